// What a proxy that is started for it leaves out of a configuration is said, and no case passes or fails on the quiet because of it.
using Naru.Kit;
using Naru.SystemTests.Local;
using Xunit;

namespace Naru.SystemTests.Explain;

public sealed class LeftOutTests
{
    private static async Task<ProcessResult> RunAsync(params string[] arguments)
    {
        using var home = new TempFolder("naru-");
        return await LocalMesh.RunAsync(home, arguments);
    }

    [Fact]
    public async Task What_is_left_out_is_said_and_fails_a_test_unless_that_is_wanted()
    {
        using var folder = new TempFolder();
        string dump = folder.Write("dump.json", """
            {"configs": [
              {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters": [
                {"cluster": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "odd", "no_such_field": 1}}]},
              {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": [
                {"name": "edge", "active_state": {"listener": {"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": "edge",
                  "address": {"socket_address": {"address": "0.0.0.0", "port_value": 8080}},
                  "filter_chains": [{"filters": [{"name": "http", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "edge",
                    "route_config": {"name": "edge", "virtual_hosts": [{"name": "all", "domains": ["*"],
                      "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 204}}]}]},
                    "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                      "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}}}]}
            ]}
            """);
        string cases = folder.Write("t.yaml", """
            cases:
            - name: nothing there
              request: { url: "http://x:8080/" }
              expect: { status: 204 }
            """);
        ProcessResult told = await RunAsync("explain", "http://x:8080/", "--dump", dump);
        Assert.Equal(0, told.ExitCode);
        Assert.Contains("warning[NARU-X114]", told.Error);
        ProcessResult strict = await RunAsync("test", cases, "--dump", dump), partial = await RunAsync("test", cases, "--dump", dump, "--partial");
        Assert.Equal((1, 0), (strict.ExitCode, partial.ExitCode));
        foreach (ProcessResult result in (ProcessResult[])[strict, partial])
        {
            Assert.Contains("warning[NARU-X114]", result.Error);
            Assert.Contains("1 case: 1 passed, 0 failed", result.Output);
        }
        Assert.Contains("--partial", strict.Error);
    }
}
