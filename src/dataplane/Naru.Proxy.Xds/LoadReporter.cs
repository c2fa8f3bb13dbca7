// Tells a control plane how much load this proxy brought to which cluster (Envoy docs: load reporting service; bootstrap,
// cluster_manager.load_stats_config). It says who it is, is told which clusters and how often, and reports what came since the last time.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Service.LoadStats.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>What was asked of an endpoint since it is there.</summary>
/// <param name="Config">The endpoint.</param>
/// <param name="Issued">Requests sent to it.</param>
/// <param name="Good">Of those answered below 500.</param>
/// <param name="Bad">Of those that failed.</param>
/// <param name="InProgress">Under way.</param>
public readonly record struct EndpointLoad(EndpointConfig Config, long Issued, long Good, long Bad, int InProgress);

/// <summary>Of a cluster.</summary>
/// <param name="Name">Its name.</param>
/// <param name="ServiceName">What EDS knows it by; empty for its name.</param>
/// <param name="Endpoints">Its endpoints.</param>
public sealed record ClusterLoad(string Name, string ServiceName, ImmutableArray<EndpointLoad> Endpoints);

/// <summary>Reports load. Runs on the main context.</summary>
internal sealed class LoadReporter : IDisposable
{
    // A server may choose no interval that would keep us busy with nothing else.
    private static readonly TimeSpan Least = TimeSpan.FromMilliseconds(100);

    private readonly ConfigSourceConfig _source;
    private readonly Node _node;
    private readonly Func<IReadOnlyList<ClusterLoad>> _loads;
    private readonly Func<XdsPeer?> _peer;
    private readonly IXdsTransport _transport;
    private readonly MainContext _main;
    private readonly TimeProvider _time;
    private readonly StatBlock _stats;
    private readonly Action<LogLevel, string> _log;
    private readonly BackOff _backOff;
    private readonly ITimer _retry;
    private readonly ITimer _report;
    private readonly Dictionary<string, (long Since, Dictionary<AddressConfig, EndpointLoad> Known)> _watched = new(StringComparer.Ordinal);
    private IXdsStream? _stream;
    private LoadStatsResponse? _wanted;
    private TimeSpan _interval;
    // Since when a cluster counts that nobody looked at before: the last time all were looked at.
    private long _lastLook;
    private bool _answered;
    private int _generation;

    /// <summary>Begins to connect.</summary>
    public LoadReporter(
        ConfigSourceConfig source, Node node, Func<IReadOnlyList<ClusterLoad>> loads, Func<XdsPeer?> peer, IXdsTransport transport,
        MainContext main, TimeProvider time, Random random, StatRegistry stats, Action<LogLevel, string> log)
    {
        (_source, _loads, _peer, _transport, _main, _time, _log) = (source, loads, peer, transport, main, time, log);
        _node = node.Clone();
        _node.ClientFeatures.Add("envoy.lrs.supports_send_all_clusters");
        _stats = stats.Block("load_reporter", LoadReporterStats.Schema);
        StreamSettings settings = source.Stream ?? StreamSettings.Default;
        _backOff = new BackOff(random, settings.RetryBase, settings.RetryMax);
        _retry = time.CreateTimer(_ => main.Post(Connect), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _report = time.CreateTimer(_ => main.Post(Report), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        Connect();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _generation++;
        _retry.Dispose();
        _report.Dispose();
        _stream?.Close();
        _stream = null;
    }

    private void Connect()
    {
        if (_stream is not null) return;
        if (_peer() is not { } peer)
        {
            Again($"cluster {_source.ClusterName} has no address");
            return;
        }
        _wanted = null;
        _answered = false;
        // What is done between the question and its answer counts: it is no less load for the server's taking its time. So does what is
        // done between two streams (Envoy, too, does not reset a cluster that it reports on), for which a cluster stays watched.
        foreach (ClusterLoad cluster in Now().Values) if (!_watched.ContainsKey(cluster.Name)) Watch(cluster);
        _lastLook = _time.GetTimestamp();
        _stream = _transport.Open(XdsMethod.LoadReports, peer, new Events(this, ++_generation));
        Send([]);
    }

    private void Send(IEnumerable<ClusterStats> clusters)
    {
        var request = new LoadStatsRequest { Node = _node };
        request.ClusterStats.AddRange(clusters);
        _stream!.Send(request);
        _stats.Add(LoadReporterStats.Responses);
    }

    private void Received(LoadStatsResponse response)
    {
        _backOff.Reset();
        _stats.Add(LoadReporterStats.Requests);
        if (response.LoadReportingInterval is not { } stated || Leases.Read(stated) is not { } interval)
        {
            _log(LogLevel.Warning, $"lrs: {_source.ClusterName} wants load reports and states no interval above 0; nothing is reported");
            _wanted = null;
            _report.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            return;
        }
        _wanted = response;
        _interval = interval < Least ? Least : interval;
        // Those that an earlier answer did not ask for count from now on; those that came after the question, whole.
        foreach (ClusterLoad cluster in Now().Values) if (_answered && !_watched.ContainsKey(cluster.Name)) Watch(cluster);
        _answered = true;
        _report.Change(_interval.ForTimer(), Timeout.InfiniteTimeSpan);
    }

    // What is to be reported; the others are forgotten.
    private Dictionary<string, ClusterLoad> Now()
    {
        IEnumerable<ClusterLoad> all = _loads();
        if (_wanted is { SendAllClusters: false } wanted) all = all.Where(c => wanted.Clusters.Contains(c.Name));
        var now = all.ToDictionary(c => c.Name, StringComparer.Ordinal);
        foreach (string gone in _watched.Keys.Where(n => !now.ContainsKey(n)).ToList()) _watched.Remove(gone);
        return now;
    }

    private void Watch(ClusterLoad cluster) =>
        _watched[cluster.Name] = (_time.GetTimestamp(), cluster.Endpoints.DistinctBy(e => e.Config.Address).ToDictionary(e => e.Config.Address));

    private void Report()
    {
        if (_stream is null || _wanted is not { } wanted) return;
        var clusters = new List<ClusterStats>();
        foreach (ClusterLoad cluster in Now().Values)
        {
            (long since, Dictionary<AddressConfig, EndpointLoad> known) = _watched.TryGetValue(cluster.Name, out (long, Dictionary<AddressConfig, EndpointLoad>) before) ? before : (_lastLook, []);
            clusters.Add(Of(cluster, since, known, wanted));
            Watch(cluster);
        }
        _lastLook = _time.GetTimestamp();
        Send(clusters);
        _report.Change(_interval.ForTimer(), Timeout.InfiniteTimeSpan);
    }

    private ClusterStats Of(ClusterLoad cluster, long since, Dictionary<AddressConfig, EndpointLoad> before, LoadStatsResponse wanted)
    {
        var stats = new ClusterStats { ClusterName = cluster.Name, ClusterServiceName = cluster.ServiceName, LoadReportInterval = Duration.FromTimeSpan(_time.GetElapsedTime(since)) };
        foreach (IGrouping<(string Locality, int Priority), EndpointLoad> group in cluster.Endpoints.GroupBy(e => (e.Config.Locality, e.Config.Priority)))
        {
            var locality = new UpstreamLocalityStats { Locality = LocalityOf(group.Key.Locality), Priority = (uint)group.Key.Priority };
            foreach (EndpointLoad endpoint in group)
            {
                before.TryGetValue(endpoint.Config.Address, out EndpointLoad then);
                // One that left and came again counts from nothing.
                if (then.Issued > endpoint.Issued) then = default;
                var one = new UpstreamEndpointStats
                {
                    TotalIssuedRequests = (ulong)(endpoint.Issued - then.Issued),
                    TotalSuccessfulRequests = (ulong)Math.Max(0, endpoint.Good - then.Good),
                    TotalErrorRequests = (ulong)Math.Max(0, endpoint.Bad - then.Bad),
                    TotalRequestsInProgress = (ulong)endpoint.InProgress,
                };
                if (one.CalculateSize() == 0) continue;
                locality.TotalIssuedRequests += one.TotalIssuedRequests;
                locality.TotalSuccessfulRequests += one.TotalSuccessfulRequests;
                locality.TotalErrorRequests += one.TotalErrorRequests;
                locality.TotalRequestsInProgress += one.TotalRequestsInProgress;
                if (!wanted.ReportEndpointGranularity) continue;
                one.Address = AddressOf(endpoint.Config.Address);
                locality.UpstreamEndpointStats.Add(one);
            }
            if (locality.TotalIssuedRequests + locality.TotalSuccessfulRequests + locality.TotalErrorRequests + locality.TotalRequestsInProgress > 0)
                stats.UpstreamLocalityStats.Add(locality);
        }
        return stats;
    }

    private static Locality LocalityOf(string joined)
    {
        string[] parts = joined.Split('/');
        return new Locality { Region = parts[0], Zone = parts.ElementAtOrDefault(1) ?? "", SubZone = parts.ElementAtOrDefault(2) ?? "" };
    }

    private static Address AddressOf(AddressConfig address) => address.Kind == AddressKind.Pipe
        ? new Address { Pipe = new Pipe { Path = address.Host } }
        : new Address { SocketAddress = new SocketAddress { Address = address.Host, PortValue = (uint)address.Port } };

    private void Closed(string reason)
    {
        _stream = null;
        _wanted = null;
        _generation++;
        Again(reason);
    }

    private void Again(string reason)
    {
        _stats.Add(LoadReporterStats.Errors);
        TimeSpan wait = _backOff.Next();
        _log(LogLevel.Debug, $"lrs: stream to {_source.ClusterName} ended: {reason}; next try in {wait.TotalMilliseconds:0} ms");
        _retry.Change(wait.ForTimer(), Timeout.InfiniteTimeSpan);
    }

    private sealed class Events(LoadReporter reporter, int generation) : IXdsStreamEvents
    {
        public void Connected()
        {
        }

        public void Received(IMessage response) => Post(() => reporter.Received((LoadStatsResponse)response));

        public void Closed(string reason) => Post(() => reporter.Closed(reason));

        private void Post(Action action) => reporter._main.Post(() =>
        {
            if (reporter._generation == generation) action();
        });
    }
}
