// All xDS streams of this control plane: wakes them when there is something new, and tells how far each proxy is.
// Translation is the provider's matter, the protocol the engine's; this is where the two meet.
using System.Collections.Concurrent;
using Envoy.Config.Core.V3;
using Microsoft.Extensions.Logging;

namespace Naru.Control.Xds;

/// <summary>A proxy that was let in.</summary>
/// <param name="Id"><c>node.id</c>.</param>
/// <param name="Node">Whatever the provider wants to know again when it is asked for resources.</param>
public sealed record ProxyIdentity(string Id, object Node);

/// <summary>A world and the moment it belongs to.</summary>
/// <param name="Generation">Counts up; later worlds have higher numbers.</param>
/// <param name="World">The resources.</param>
public sealed record WorldAt(long Generation, ResourceWorld World);

/// <summary>Where resources come from.</summary>
public interface IResourceProvider
{
    /// <summary>Lets a proxy in.</summary>
    /// <returns>Its identity, or null and a sentence that says why not.</returns>
    ProxyIdentity? Identify(Node node, out string? error);

    /// <summary>What there is for it now; null until the sources were read once. Called from many streams at a time; may take CPU, never waits.</summary>
    WorldAt? WorldOf(ProxyIdentity proxy);
}

/// <summary>One stream of one proxy, at one moment.</summary>
/// <param name="Stream">Unique in this process.</param>
/// <param name="Id"><c>node.id</c>.</param>
/// <param name="Peer">Address of the proxy.</param>
/// <param name="Encoding">State of the world or delta.</param>
/// <param name="ConnectedAt">When it was let in.</param>
/// <param name="Generation">Of the world that was last looked at for this stream; -1 before the first.</param>
/// <param name="Types">One row a type, in push order.</param>
public sealed record ProxyStatus(long Stream, string Id, string Peer, XdsEncoding Encoding, DateTimeOffset ConnectedAt, long Generation, IReadOnlyList<TypeStatus> Types);

/// <summary>The control plane's side of xDS. Safe for concurrent use.</summary>
/// <param name="provider">Where resources come from.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Connections, refusals, NACKs.</param>
/// <param name="limits">What one stream may ask for.</param>
/// <param name="identifier">Told to proxies as <c>control_plane.identifier</c>.</param>
public sealed class XdsServer(IResourceProvider provider, TimeProvider time, ILogger<XdsServer> logger, XdsLimits limits, string identifier = "naru") : IDisposable
{
    /// <summary>From this many resources on, sending takes a turn.</summary>
    internal const int LargeResponse = 200;

    /// <summary>How long a turn lasts at most.</summary>
    internal static readonly TimeSpan LongestTurn = TimeSpan.FromSeconds(1);

    private const int Turns = 32;

    private readonly CancellationTokenSource _stopping = new();
    private readonly ConcurrentDictionary<long, XdsStream> _streams = new();
    private long _published;
    private long _lastStream;

    /// <summary>Counters for metrics.</summary>
    public XdsCounters Counters { get; } = new();

    /// <summary>Ends every stream, so that proxies look for another control plane at once instead of waiting for this one to vanish.</summary>
    public void Stop() => _stopping.Cancel();

    /// <inheritdoc/>
    public void Dispose() => _stopping.Dispose();

    internal SemaphoreSlim LargeSends { get; } = new(Turns);

    internal CancellationToken Stopping => _stopping.Token;
    internal IResourceProvider Provider => provider;
    internal TimeProvider Time => time;
    internal ILogger Logger => logger;
    internal XdsLimits Limits => limits;
    internal ControlPlane ControlPlane { get; } = new() { Identifier = identifier };
    internal long Published => Volatile.Read(ref _published);

    /// <summary>Says that the provider has something new. Streams look when they can; what comes in between is merged.</summary>
    public void Publish()
    {
        Interlocked.Increment(ref _published);
        foreach (XdsStream stream in _streams.Values) stream.Wake();
    }

    /// <summary>Every connected proxy, in the order of connection.</summary>
    public IReadOnlyList<ProxyStatus> Proxies() => [.. _streams.Values.Select(s => s.Status).OfType<ProxyStatus>().OrderBy(s => s.Stream)];

    /// <summary>What the provider knows of a connected proxy, by node id or by its <c>name.namespace</c>; null where there is none.</summary>
    public object? NodeOf(string id) => _streams.Values
        .Where(s => s.Proxy is { } proxy && (proxy.Id == id || proxy.Id.Split('~') is { Length: 4 } parts && parts[2] == id))
        .OrderByDescending(s => s.Id).FirstOrDefault()?.Proxy?.Node;

    internal XdsStream Open(string peer)
    {
        var stream = new XdsStream(this, Interlocked.Increment(ref _lastStream), peer);
        _streams[stream.Id] = stream;
        return stream;
    }

    internal void Close(XdsStream stream) => _streams.TryRemove(stream.Id, out _);
}

/// <summary>What was sent and refused, by type. Types that nobody knows share one row, so that strangers cannot add rows.</summary>
public sealed class XdsCounters
{
    private static readonly string[] s_types = ["CDS", "EDS", "LDS", "RDS", "other"];
    private readonly long[] _pushes = new long[s_types.Length];
    private readonly long[] _resources = new long[s_types.Length];
    private readonly long[] _nacks = new long[s_types.Length];
    private long _refusedStreams;

    /// <summary>Streams that we ended with a refusal.</summary>
    public long RefusedStreams => Volatile.Read(ref _refusedStreams);

    /// <summary>Type, responses sent, resources in them, responses refused by the proxy.</summary>
    public IEnumerable<(string Type, long Pushes, long Resources, long Nacks)> Rows =>
        s_types.Select((type, i) => (type, Volatile.Read(ref _pushes[i]), Volatile.Read(ref _resources[i]), Volatile.Read(ref _nacks[i])));

    internal void Pushed(string typeUrl, int resources)
    {
        int row = Row(typeUrl);
        Interlocked.Increment(ref _pushes[row]);
        Interlocked.Add(ref _resources[row], resources);
    }

    internal void Refused(string typeUrl) => Interlocked.Increment(ref _nacks[Row(typeUrl)]);

    internal void StreamRefused() => Interlocked.Increment(ref _refusedStreams);

    private static int Row(string typeUrl)
    {
        int row = Array.IndexOf(s_types, TypeUrls.ShortName(typeUrl));
        return row >= 0 ? row : s_types.Length - 1;
    }
}
