// Health checks as configuration: what is read, and what is refused by name.
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class HealthCheckTests
{
    private const string Needed = "timeout: 1s, interval: 2s, unhealthy_threshold: 3, healthy_threshold: 2";

    [Fact]
    public void Defaults_are_envoys()
    {
        ClusterConfig cluster = Read.Cluster($"health_checks: [{{ {Needed}, http_health_check: {{ path: /ready }} }}]");
        HealthCheckConfig check = Assert.Single(cluster.HealthChecks);
        Assert.Equal((1, 2, 3, 2), (check.Timeout.TotalSeconds, check.Interval.TotalSeconds, check.UnhealthyThreshold, check.HealthyThreshold));
        Assert.Equal((60, true, 0), (check.NoTrafficInterval.TotalSeconds, check.ReuseConnection, check.AltPort));
        Assert.Equal(("/ready", "GET", false, ""), (check.Http!.Path, check.Http.Method, check.Http.Http2, check.Http.Host));
        Assert.Equal((0.5, false, false), (cluster.PanicThreshold, cluster.IgnoreNewHosts, cluster.IgnoreHealthOnHostRemoval));
    }

    [Fact]
    public void Bytes_are_hexadecimal_or_base64()
    {
        TcpCheckConfig tcp = Read.Cluster($"health_checks: [{{ {Needed}, tcp_health_check: {{ send: {{ text: 50494e47 }}, receive: [{{ binary: UE9ORw== }}] }} }}]").HealthChecks[0].Tcp!;
        Assert.Equal("PING"u8, tcp.Send.AsSpan());
        Assert.Equal("PONG"u8, Assert.Single(tcp.Receive).AsSpan());
    }

    [Theory]
    [InlineData("interval: 2s, unhealthy_threshold: 3, healthy_threshold: 2, tcp_health_check: {}", "NARU-C101 timeout")]
    [InlineData("timeout: 1s, interval: 0s, unhealthy_threshold: 3, healthy_threshold: 2, tcp_health_check: {}", "NARU-C102 interval")]
    [InlineData("timeout: 1s, interval: 1s, healthy_threshold: 2, tcp_health_check: {}", "NARU-C101 unhealthy_threshold")]
    [InlineData(Needed, "NARU-C101 health_checks[0]")]
    [InlineData(Needed + ", http_health_check: {}", "NARU-C101 path")]
    [InlineData(Needed + ", http_health_check: { path: \"/a b\" }", "NARU-C102 path")]
    [InlineData(Needed + ", http_health_check: { path: /, method: CONNECT }", "NARU-C102 method")]
    [InlineData(Needed + ", http_health_check: { path: /, codec_client_type: HTTP3 }", "NARU-C113 codec_client_type")]
    [InlineData(Needed + ", http_health_check: { path: /, expected_statuses: [{ start: 300, end: 200 }] }", "NARU-C102 expected_statuses[0]")]
    [InlineData(Needed + ", http_health_check: { path: /, request_headers_to_add: [{ header: { key: a, value: \"%PROTOCOL%\" } }] }", "NARU-C113 request_headers_to_add")]
    [InlineData(Needed + ", tcp_health_check: { send: { text: xyz } }", "NARU-C102 text")]
    [InlineData(Needed + ", grpc_health_check: { authority: \"a b\" }", "NARU-C102 authority")]
    [InlineData(Needed + ", custom_health_check: { name: envoy.health_checkers.redis }", "NARU-C110 custom_health_check")]
    [InlineData(Needed + ", tcp_health_check: {}, event_service: {}", "NARU-C110 event_service")]
    public void What_cannot_be_checked_is_refused(string check, string fault) => Assert.Equal(fault, Read.Bad(Read.InCluster($"health_checks: [{{ {check} }}]")));

    [Fact]
    public void Shares_of_panic_are_percent()
    {
        Assert.Equal(0.25, Read.Cluster("common_lb_config: { healthy_panic_threshold: { value: 25 } }").PanicThreshold);
        Assert.Equal("NARU-C102 healthy_panic_threshold", Read.Bad(Read.InCluster("common_lb_config: { healthy_panic_threshold: { value: 101 } }")));
    }
}
