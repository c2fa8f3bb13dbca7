// One type on one stream, and its two encodings: state of the world and delta (xDS transport protocol). Decides what is to be said
// to the server next; knows no socket and does not judge resources.
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Rpc;

namespace Naru.Proxy.Xds;

/// <summary>What became of a response.</summary>
/// <param name="Nonce">Its nonce.</param>
/// <param name="Version">Its version.</param>
/// <param name="Error">Null for ACK, the readable reason for NACK.</param>
internal sealed record Verdict(string Nonce, string Version, string? Error)
{
    private const int Internal = 13;

    /// <summary>The reason as the wire has it.</summary>
    public Status? Status => Error is null ? null : new Status { Code = Internal, Message = Error };
}

/// <summary>A subscription to one type.</summary>
internal abstract class Subscription(ResourceType type)
{
    public ResourceType Type { get; } = type;

    /// <summary>Everything there is (CDS, LDS, SRDS); then <see cref="Names"/> is not used.</summary>
    public bool Wildcard { get; set; }

    /// <summary>It begins even where nothing is wanted yet: what will be wanted nobody knows (VHDS).</summary>
    public bool SpeaksFirst { get; init; }

    /// <summary>It needs not begin any more (<see cref="SpeaksFirst"/>).</summary>
    public bool IsOver { get; set; }

    /// <summary>What is wanted.</summary>
    public HashSet<string> Names { get; set; } = [];

    /// <summary>The same names are wanted once more.</summary>
    public bool Again { get; set; }

    /// <summary>Verdicts that are not told yet.</summary>
    public Queue<Verdict> Held { get; } = new();

    /// <summary>A request of it waits for its turn already.</summary>
    public bool IsInLine { get; set; }

    /// <summary>A new stream knows nothing of what was said on the old one.</summary>
    public virtual void StreamOpened()
    {
        Held.Clear();
        IsInLine = Again = false;
    }

    /// <summary>Whether there is anything to say but verdicts.</summary>
    public abstract bool HasNews { get; }

    /// <summary>The next request, or null where there is nothing to say.</summary>
    /// <param name="verdict">On a response that was handled.</param>
    /// <param name="known">Versions of accepted resources, read only when a stream begins.</param>
    public abstract IMessage? Next(Verdict? verdict, Func<IEnumerable<KeyValuePair<string, string>>> known);
}

/// <summary>State of the world: each request names everything wanted, with the version last accepted.</summary>
internal sealed class StateSubscription(ResourceType type) : Subscription(type)
{
    private string _version = "";
    private string _nonce = "";
    private HashSet<string>? _sent;

    public override void StreamOpened()
    {
        base.StreamOpened();
        _nonce = "";
        _sent = null;
    }

    // Naming nothing in a first request would mean everything.
    public override bool HasNews => _sent is null ? Wildcard || Names.Count > 0 : Again || (!Wildcard && !_sent.SetEquals(Names));

    public override IMessage? Next(Verdict? verdict, Func<IEnumerable<KeyValuePair<string, string>>> known)
    {
        if (verdict is null && !HasNews) return null;
        if (verdict is not null)
        {
            _nonce = verdict.Nonce;
            if (verdict.Error is null) _version = verdict.Version;
        }
        Again = false;
        if (_sent is null && !Wildcard && Names.Count == 0) return null;
        _sent = Wildcard ? [] : [.. Names];
        var request = new DiscoveryRequest { TypeUrl = Type.Url(), VersionInfo = _version, ResponseNonce = _nonce };
        if (!Wildcard) request.ResourceNames.AddRange(Names.Order(StringComparer.Ordinal));
        if (verdict?.Status is { } status) request.ErrorDetail = status;
        return request;
    }
}

/// <summary>Delta: each request says what changed in what is wanted; versions belong to resources.</summary>
internal sealed class DeltaSubscription(ResourceType type) : Subscription(type)
{
    private HashSet<string>? _sent;

    public override void StreamOpened()
    {
        base.StreamOpened();
        _sent = null;
    }

    public override bool HasNews => _sent is null ? Wildcard || (SpeaksFirst && !IsOver) || Names.Count > 0 : !Wildcard && !_sent.SetEquals(Names);

    public override IMessage? Next(Verdict? verdict, Func<IEnumerable<KeyValuePair<string, string>>> known)
    {
        Again = false;
        if (verdict is null ? !HasNews : _sent is null && !Wildcard && !SpeaksFirst && Names.Count == 0) return null;
        var request = new DeltaDiscoveryRequest { TypeUrl = Type.Url() };
        if (_sent is null)
        {
            foreach ((string name, string version) in known())
                if (Wildcard || Names.Contains(name)) request.InitialResourceVersions[name] = version;
        }
        IEnumerable<string> wanted = Wildcard ? [] : Names;
        request.ResourceNamesSubscribe.AddRange(wanted.Where(n => _sent is null || !_sent.Contains(n)).Order(StringComparer.Ordinal));
        if (_sent is not null) request.ResourceNamesUnsubscribe.AddRange(_sent.Where(n => !Names.Contains(n)).Order(StringComparer.Ordinal));
        _sent = [.. wanted];
        if (verdict is not null) request.ResponseNonce = verdict.Nonce;
        if (verdict?.Status is { } status) request.ErrorDetail = status;
        return request;
    }
}
