// Takes a response apart, has each resource judged, stores the good ones and puts the complaints about the others into the words of
// a NACK. Runs on the main context; it decides nothing about streams.
using System.Text;
using System.Text.RegularExpressions;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>Turns the bytes of a resource into its validated record (the type that <see cref="ResourceType"/> implies in
/// <c>Naru.Proxy.Config</c>); null with at least one error where it may not be used.</summary>
public delegate object? ResourceDecoder(ResourceType type, ByteString bytes, Diagnostics diagnostics);

/// <summary>Judges updates.</summary>
internal sealed partial class UpdateHandler(ConfigStore store, ResourceDecoder decode, StatRegistry stats, TimeProvider time, Action<LogLevel, string> log)
{
    /// <summary>Most characters of an <c>error_detail</c>.</summary>
    public const int MostErrorDetail = 4096;

    // Messages hold names, so that their kinds have no bound of their own.
    private const int MostRemarks = 4096;
    private readonly HashSet<string> _remarks = new(StringComparer.Ordinal);

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
        store.CountFailure(type, names);
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
        if (resource.Ttl is not null)
        {
            batch.Rejected.Add(new RejectedResource(name,
                "error[NARU-X106]: Resource.ttl is not supported; help: send resources without a time to live and remove them when they end"));
            return;
        }
        if (resource.Resource_ is not { } any)
        {
            if (batch.Type == ResourceType.VirtualHost)
            {
                // That is how a server says that there is no such host.
                batch.Removed.AddRange(resource.Aliases.Append(name).Where(n => n.Length > 0));
                return;
            }
            batch.Rejected.Add(new RejectedResource(name, "error[NARU-X102]: a Resource without its resource; help: name what is gone in removed_resources"));
            return;
        }
        Take(batch, seen, name.Length > 0 ? name : null, resource.Version, any.TypeUrl, any.Value, resource.Aliases);
    }

    private void Take(ResourceBatch batch, Seen seen, string? statedName, string version, string typeUrl, ByteString bytes, IReadOnlyList<string>? aliases = null)
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
        if (store.BytesOf(type, name) is { } accepted && accepted.Equals(bytes))
        {
            batch.Accepted.Add(new AcceptedResource(name, version, accepted, null) { Aliases = aliases });
            return;
        }
        var diagnostics = new Diagnostics();
        object? record = null;
        try { record = decode(type, bytes, diagnostics); }
        catch (InvalidProtocolBufferException e) { diagnostics.Error("NARU-X102", $"its bytes are not a message of this type: {e.Message}"); }
        LogWarnings(name, diagnostics);
        if (record is null || diagnostics.HasErrors) batch.Rejected.Add(new RejectedResource(name, Join(diagnostics)));
        else batch.Accepted.Add(new AcceptedResource(name, version, bytes, record) { Aliases = aliases });
    }

    private string? Finish(ResourceBatch batch, Seen? seen)
    {
        seen?.RejectRepeated();
        int total = batch.Accepted.Count + batch.Rejected.Count;
        StatBlock? block = StatsOf(batch.Type);
        block?.Add(SubscriptionStats.Attempt);
        List<RejectedResource> bad = [.. store.Accept(batch)];
        bad.InsertRange(0, batch.Rejected);
        if (bad.Count == 0)
        {
            block?.Add(SubscriptionStats.Success);
            block?.Set(SubscriptionStats.Version, SubscriptionStats.Number(batch.Version));
            block?.Say(SubscriptionStats.VersionText, batch.Version);
            block?.Set(SubscriptionStats.Time, time.GetUtcNow().ToUnixTimeMilliseconds());
            log(LogLevel.Debug, $"xds: {batch.Type.Abbreviation()} accepted: {total} resources, {batch.Removed.Count} removed, version \"{batch.Version}\"");
            return null;
        }
        block?.Add(batch.Unreadable ? SubscriptionStats.Failure : SubscriptionStats.Rejected);
        string text = Describe(bad, total);
        log(LogLevel.Warning, $"xds: {batch.Type.Abbreviation()} version \"{batch.Version}\" refused in part, the last good ones stay: {text}");
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
            log(level, $"{name}: {diagnostic}");
        }
    }

    private bool IsNew(Diagnostic remark) => _remarks.Count < MostRemarks && _remarks.Add($"{remark.Code} {Index().Replace(remark.Message, "[]")}");

    [GeneratedRegex(@"\[[0-9]+\]")]
    private static partial Regex Index();

    private StatBlock? StatsOf(ResourceType type) => type switch
    {
        ResourceType.Cluster => stats.Block("cluster_manager.cds", SubscriptionStats.Schema),
        ResourceType.Listener => stats.Block("listener_manager.lds", SubscriptionStats.Schema),
        ResourceType.Runtime => stats.Block("runtime", SubscriptionStats.Schema),
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
