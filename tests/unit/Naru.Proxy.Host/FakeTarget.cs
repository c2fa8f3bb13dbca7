// A proxy that exists only for the admin's tests: says what it is told and remembers what was asked of it.
using Naru.Core;
using Naru.Proxy.Host;
using Naru.Proxy.Host.Admin;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.UnitTests.Proxy.Host;

internal sealed class FakeTarget : IAdminTarget
{
    public const string Evil = "<img src=x onerror=alert(1)>\"'\n\u001b";

    public StatRegistry Stats { get; } = new(1);
    public ProxyLog Log { get; } = new(LogLevel.Info, Stream.Null);
    public ServerDescription Server { get; set; } = new() { Version = "1.2.3", NodeId = Evil, NodeCluster = "reviews.default", Concurrency = 2 };
    public ServerState State { get; set; } = ServerState.Live;
    public TimeSpan Uptime => TimeSpan.FromSeconds(61.5);
    public List<ListenerView> Listeners { get; } = [];
    public List<ClusterView> Clusters { get; } = [];
    public ConfigDumpView Dump { get; set; } = new(null, DateTimeOffset.UnixEpoch, "", "", []);
    public List<string> Done { get; } = [];
    public bool HealthCheckFailed { get; set; }

    public List<CertificateStatus> Certificates { get; } = [];

    public Task<(byte[]? Text, string Fault)> ExplainAsync(Naru.Proxy.Explain.ExplainRequest request, bool asJson) => Task.FromResult<(byte[]?, string)>((null, "nothing listens"));

    IReadOnlyList<CertificateStatus> IAdminTarget.Certificates => Certificates;

    public void RefreshStats() { }

    public Task<IReadOnlyList<ListenerView>> ListenersAsync() => Task.FromResult<IReadOnlyList<ListenerView>>(Listeners);

    public Task<IReadOnlyList<ClusterView>> ClustersAsync() => Task.FromResult<IReadOnlyList<ClusterView>>(Clusters);

    public Task<ConfigDumpView> ConfigDumpAsync() => Task.FromResult(Dump);

    public Naru.Proxy.Config.Runtime Runtime { get; init; } = new([]);

    public Task<IReadOnlyList<(int Worker, string Name, long Count)>> LedgersAsync() => Task.FromResult<IReadOnlyList<(int, string, long)>>([(1, "buffers_active", 3), (2, "buffers_active", 0)]);

    public void DrainListeners(bool inboundOnly, bool graceful, bool skipExit) => Done.Add($"drain {inboundOnly} {graceful} {skipExit}");

    public void ReopenLogs() => Done.Add("reopen");

    public void ResetCounters() => Done.Add("reset");

    public void Quit() => Done.Add("quit");
}
