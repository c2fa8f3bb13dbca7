// Takes a response apart, has each resource judged, stores the good ones and puts the complaints about the others into the words of
// a NACK. Runs on the main context; it decides nothing about streams.
using System.Text;
using System.Text.RegularExpressions;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>Turns the bytes of a resource into its validated record (the type that <see cref="ResourceType"/> implies in
/// <c>Naru.Proxy.Config</c>); null with at least one error where it may not be used.</summary>
public delegate object? ResourceDecoder(ResourceType type, ByteString bytes, Diagnostics diagnostics);

/// <summary>Judges updates.</summary>
internal sealed partial class UpdateHandler : IDisposable
{
    /// <summary>Most characters of an <c>error_detail</c>.</summary>
    public const int MostErrorDetail = 4096;

    // Messages hold names, so that their kinds have no bound of their own.
    private const int MostRemarks = 4096;
    private readonly HashSet<string> _remarks = new(StringComparer.Ordinal);
    private readonly ConfigStore _store;
    private readonly ResourceDecoder _decode;
    private readonly StatRegistry _stats;
    private readonly TimeProvider _time;
    private readonly Action<LogLevel, string> _log;
    private readonly Leases _leases;

    public UpdateHandler(ConfigStore store, ResourceDecoder decode, StatRegistry stats, MainContext main, TimeProvider time, Action<LogLevel, string> log)
    {
        _store = store;
        _decode = decode;
        _stats = stats;
        _time = time;
        _log = log;
        _leases = new Leases(time, main, Expire);
    }

    /// <summary>Stops the clock.</summary>
    public void Dispose() => _leases.Dispose();

    /// <summary>Handles a state-of-the-world response. Returns null for ACK, or the text of a NACK.</summary>
    public string? Handle(ResourceType type, DiscoveryResponse response)
    {
        var batch = new ResourceBatch(type, response.VersionInfo) { FullState = type.IsFullState() };
        var seen = new Seen(batch, firstWins: !batch.FullState);
        foreach (Any any in response.Resources)
        {
            if (any.TypeUrl == ResourceTypes.WrapperUrl) Unwrap(batch, seen, any);
            else Take(batch, seen, null, response.VersionInfo, any.TypeUrl, any.Value);
        }
        // An answer that only renews says nothing of what it leaves out.
        if (batch.Renewed > 0 && batch.Renewed == response.Resources.Count) batch.FullState = false;
        return Finish(batch, seen);
    }

    /// <summary>Handles a delta response. Returns null for ACK, or the text of a NACK.</summary>
    public string? Handle(ResourceType type, DeltaDiscoveryResponse response)
    {
        var batch = new ResourceBatch(type, response.SystemVersionInfo);
        var seen = new Seen(batch);
        foreach (Resource resource in response.Resources) Take(batch, seen, resource);
        foreach (string name in response.RemovedResources.Concat(response.RemovedResourceNames.Select(n => n.Name))) batch.Removed.Add(name);
        return Finish(batch, seen);
    }

    /// <summary>Handles resources that were judged elsewhere (a file). Returns null, or what is wrong in one text.</summary>
    public string? Handle(ResourceBatch batch) => Finish(batch, null);

    /// <summary>A subscription begins.</summary>
    public void Subscribed(ResourceType type) => StatsOf(type)?.Add(SubscriptionStats.Attempt);

    /// <summary>A stream ended.</summary>
    /// <param name="type">What was asked for on it.</param>
    /// <param name="names">By which names; empty for all.</param>
    public void ConnectionFailed(ResourceType type, IReadOnlyCollection<string> names)
    {
        if (StatsOf(type) is { } block)
        {
            block.Add(SubscriptionStats.Attempt);
            block.Add(SubscriptionStats.Failure);
        }
        _store.CountFailure(type, names);
    }

    private void Unwrap(ResourceBatch batch, Seen seen, Any any)
    {
        try { Take(batch, seen, Resource.Parser.ParseFrom(any.Value)); }
        catch (InvalidProtocolBufferException e)
        {
            batch.Rejected.Add(new RejectedResource("", $"error[NARU-X102]: a {ResourceTypes.WrapperUrl} is not a message of that type: {e.Message}"));
        }
    }

    private void Take(ResourceBatch batch, Seen seen, Resource resource)
    {
        string name = resource.Name.Length > 0 ? resource.Name : resource.ResourceName?.Name ?? "";
        TimeSpan? stays = null;
        if (resource.Ttl is not null)
        {
            stays = Leases.Read(resource.Ttl);
            string? wrong = !Leases.Has(batch.Type) ? $"a {batch.Type.Abbreviation()} resource cannot have a time to live; help: send it without one"
                : stays is null ? $"a time to live of {resource.Ttl.Seconds} s and {resource.Ttl.Nanos} ns; help: send one above 0" : null;
            if (wrong is not null)
            {
                batch.Rejected.Add(new RejectedResource(name, $"error[NARU-X106]: Resource.ttl: {wrong}"));
                return;
            }
        }
        if (resource.Resource_ is not { } any)
        {
            if (stays is not null)
            {
                Renew(batch, seen, name, resource.Version, stays.Value);
                return;
            }
            if (batch.Type == ResourceType.VirtualHost)
            {
                // That is how a server says that there is no such host.
                batch.Removed.AddRange(resource.Aliases.Append(name).Where(n => n.Length > 0));
                return;
            }
            batch.Rejected.Add(new RejectedResource(name, "error[NARU-X102]: a Resource without its resource; help: name what is gone in removed_resources"));
            return;
        }
        Take(batch, seen, name.Length > 0 ? name : null, resource.Version, any.TypeUrl, any.Value, resource.Aliases, stays);
    }

    // A heartbeat: the time to live once more, without what is known already.
    private void Renew(ResourceBatch batch, Seen seen, string name, string version, TimeSpan stays)
    {
        batch.Renewed++;
        if (_store.BytesOf(batch.Type, name) is not { } held || _store.VersionOf(batch.Type, name) is not { } known || (version.Length > 0 && version != known))
        {
            batch.Rejected.Add(new RejectedResource(name,
                $"error[NARU-X120]: its time to live is renewed, but version \"{version}\" is not held; help: send the resource itself"));
            return;
        }
        if (seen.IsFirst(name)) batch.Accepted.Add(new AcceptedResource(name, known, held, null) { Stays = stays });
    }

    private void Expire(ResourceType type, IReadOnlyList<string> names)
    {
        var batch = new ResourceBatch(type, "");
        foreach (string name in names)
        {
            // Endpoints and tables live as long as somebody refers to them, so that what is over is emptied instead.
            object? empty = type switch
            {
                ResourceType.Endpoints => new EndpointsConfig(name, []),
                ResourceType.Route => new RouteConfigurationConfig { Name = name },
                _ => null,
            };
            if (empty is null) batch.Removed.Add(name);
            else batch.Accepted.Add(new AcceptedResource(name, "", ByteString.Empty, empty));
        }
        StatBlock? block = StatsOf(type);
        block?.Add(SubscriptionStats.Attempt);
        block?.Add(SubscriptionStats.Success);
        _log(LogLevel.Warning, $"xds: {type.Abbreviation()} {string.Join(", ", names)}: the time to live is over and nobody renewed it; taken away");
        _store.Accept(batch);
    }

    private void Take(ResourceBatch batch, Seen seen, string? statedName, string version, string typeUrl, ByteString bytes, IReadOnlyList<string>? aliases = null, TimeSpan? stays = null)
    {
        ResourceType type = batch.Type;
        string? name = typeUrl == type.Url() ? ResourceTypes.PeekName(bytes) : statedName ?? "";
        if (typeUrl != type.Url())
        {
            batch.Rejected.Add(new RejectedResource(name!, $"error[NARU-X103]: its type is \"{typeUrl}\", not \"{type.Url()}\""));
            return;
        }
        if (string.IsNullOrEmpty(name))
        {
            string what = name is null ? "its bytes are not a message of this type" : "it has no name";
            batch.Rejected.Add(new RejectedResource(statedName ?? "", $"error[NARU-X102]: a {type.Abbreviation()} resource cannot be used: {what}"));
            return;
        }
        // A virtual host is asked for by table and host; what it is called inside is for statistics.
        if (type == ResourceType.VirtualHost && statedName is not null) name = statedName;
        if (statedName is not null && statedName != name)
        {
            batch.Rejected.Add(new RejectedResource(statedName, $"error[NARU-X104]: it is called \"{name}\" inside; help: give both the same name"));
            return;
        }
        if (!seen.IsFirst(name)) return;
        if (_store.BytesOf(type, name) is { } accepted && accepted.Equals(bytes))
        {
            batch.Accepted.Add(new AcceptedResource(name, version, accepted, null) { Aliases = aliases, Stays = stays });
            return;
        }
        var diagnostics = new Diagnostics();
        object? record = null;
        try { record = _decode(type, bytes, diagnostics); }
        catch (InvalidProtocolBufferException e) { diagnostics.Error("NARU-X102", $"its bytes are not a message of this type: {e.Message}"); }
        LogWarnings(name, diagnostics);
        if (record is null || diagnostics.HasErrors) batch.Rejected.Add(new RejectedResource(name, Join(diagnostics)));
        else batch.Accepted.Add(new AcceptedResource(name, version, bytes, record) { Aliases = aliases, Stays = stays });
    }

    private string? Finish(ResourceBatch batch, Seen? seen)
    {
        seen?.RejectRepeated();
        int total = batch.Accepted.Count + batch.Rejected.Count;
        StatBlock? block = StatsOf(batch.Type);
        block?.Add(SubscriptionStats.Attempt);
        List<RejectedResource> bad = [.. _store.Accept(batch)];
        foreach (AcceptedResource good in batch.Accepted)
            if (!bad.Exists(b => b.Name == good.Name)) _leases.Set(batch.Type, good.Name, good.Stays);
        foreach (string name in batch.Removed) _leases.Set(batch.Type, name, null);
        bad.InsertRange(0, batch.Rejected);
        if (bad.Count == 0)
        {
            block?.Add(SubscriptionStats.Success);
            block?.Set(SubscriptionStats.Version, SubscriptionStats.Number(batch.Version));
            block?.Say(SubscriptionStats.VersionText, batch.Version);
            block?.Set(SubscriptionStats.Time, _time.GetUtcNow().ToUnixTimeMilliseconds());
            _log(LogLevel.Debug, $"xds: {batch.Type.Abbreviation()} accepted: {total} resources, {batch.Removed.Count} removed, version \"{batch.Version}\"");
            return null;
        }
        block?.Add(batch.Unreadable ? SubscriptionStats.Failure : SubscriptionStats.Rejected);
        string text = Describe(bad, total);
        _log(LogLevel.Warning, $"xds: {batch.Type.Abbreviation()} version \"{batch.Version}\" refused in part, the last good ones stay: {text}");
        return text;
    }

    /// <summary>Names first, so that they survive the cut, then each reason.</summary>
    internal static string Describe(List<RejectedResource> bad, int total)
    {
        var text = new StringBuilder();
        text.Append(bad.Select(b => b.Name).Distinct().Count()).Append(" of ").Append(total).Append(" resources refused: ");
        string names = string.Join(", ", bad.Select(b => b.Name.Length > 0 ? b.Name : "(unnamed)").Distinct());
        text.Append(names.Length <= MostErrorDetail / 4 ? names : names[..(MostErrorDetail / 4)] + "…");
        int said = 0;
        foreach (RejectedResource one in bad)
        {
            string line = $"\n{(one.Name.Length > 0 ? one.Name : "(unnamed)")}: {one.Reason}";
            string rest = $"\n… and {bad.Count - said} more";
            if (text.Length + line.Length + rest.Length > MostErrorDetail)
            {
                if (said == 0) text.Append(line, 0, Math.Max(0, MostErrorDetail - text.Length - rest.Length));
                return text.Append(rest).ToString();
            }
            text.Append(line);
            said++;
        }
        return text.ToString();
    }

    /// <summary>All errors of one resource in one line.</summary>
    internal static string Join(Diagnostics diagnostics)
    {
        string joined = string.Join("; ", diagnostics.Items.Where(d => d.Severity == Severity.Error).Select(d => d.ToString()));
        return joined.Length > 0 ? joined : "error[NARU-X102]: it cannot be used";
    }

    /// <summary>Logs what is no error. A remark (a field without effect) is told once, whichever resource has it: a control plane sends the
    /// same one thousands of times a push, and a rejection among them must be seen. Later ones are for the debug level.</summary>
    internal void LogWarnings(string name, Diagnostics diagnostics)
    {
        foreach (Diagnostic diagnostic in diagnostics.Items)
        {
            if (diagnostic.Severity == Severity.Error) continue;
            LogLevel level = diagnostic.Severity == Severity.Warning ? LogLevel.Warning : IsNew(diagnostic) ? LogLevel.Info : LogLevel.Debug;
            _log(level, $"{name}: {diagnostic}");
        }
    }

    private bool IsNew(Diagnostic remark) => _remarks.Count < MostRemarks && _remarks.Add($"{remark.Code} {Index().Replace(remark.Message, "[]")}");

    [GeneratedRegex(@"\[[0-9]+\]")]
    private static partial Regex Index();

    private StatBlock? StatsOf(ResourceType type) => type switch
    {
        ResourceType.Cluster => _stats.Block("cluster_manager.cds", SubscriptionStats.Schema),
        ResourceType.Listener => _stats.Block("listener_manager.lds", SubscriptionStats.Schema),
        ResourceType.Runtime => _stats.Block("runtime", SubscriptionStats.Schema),
        _ => null,
    };

    /// <summary>Names of one response. A name that comes twice is nobody's: neither is taken. Of what was asked for by name the first
    /// is taken, as in Envoy.</summary>
    private sealed class Seen(ResourceBatch batch, bool firstWins = false)
    {
        private readonly HashSet<string> _names = new(StringComparer.Ordinal);
        private HashSet<string>? _repeated;

        public bool IsFirst(string name)
        {
            if (_names.Add(name)) return true;
            if (firstWins) return false;
            (_repeated ??= new HashSet<string>(StringComparer.Ordinal)).Add(name);
            return false;
        }

        public void RejectRepeated()
        {
            if (_repeated is null) return;
            batch.Accepted.RemoveAll(a => _repeated.Contains(a.Name));
            batch.Rejected.RemoveAll(r => _repeated.Contains(r.Name));
            foreach (string name in _repeated)
                batch.Rejected.Add(new RejectedResource(name, "error[NARU-X105]: the name comes more than once in one response; help: send each name once"));
        }
    }
}
