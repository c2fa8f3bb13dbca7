// The admin of a real proxy with real traffic behind it: what Envoy's users' tools would ask.
using System.Diagnostics;
using System.Net;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Admin;

public sealed class AdminTests
{
    private static async Task<ProxyProcess> WithTrafficAsync(Witness witness, string manager = "", TempFolder? folder = null)
    {
        ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port, manager), new ProxyOptions { Folder = folder });
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 5; i++) Assert.Equal(200, (await client.ExchangeAsync("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
        return proxy;
    }

    private static async Task<JsonElement> JsonAsync(ProxyProcess proxy, string path) => JsonDocument.Parse(await proxy.Admin.GetStringAsync(path)).RootElement;

    [Fact]
    public async Task A_real_Prometheus_accepts_a_running_proxys_page()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await WithTrafficAsync(witness);
        string page = await proxy.Admin.GetStringAsync("stats/prometheus");
        Assert.Contains("envoy_cluster_upstream_rq_total{envoy_cluster_name=\"backend\"} 5\n", page);
        Assert.Contains("# TYPE envoy_http_downstream_rq_time histogram\n", page);
        using var promtool = Process.Start(new ProcessStartInfo(Tools.Path("promtool", "prometheus"), ["check", "metrics"]) { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true })!;
        await promtool.StandardInput.WriteAsync(page);
        promtool.StandardInput.Close();
        Task<string> output = promtool.StandardOutput.ReadToEndAsync();
        string errors = await promtool.StandardError.ReadToEndAsync().Within("promtool's end") + await output;
        await promtool.WaitForExitAsync().Within("promtool's end");
        Assert.True(promtool.ExitCode is 0 or 3, errors); // 3 is style: Envoy's names have no help texts either
        Assert.DoesNotContain("error while linting", errors);
    }

    [Fact]
    public async Task The_dump_holds_what_the_bootstrap_said()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await WithTrafficAsync(witness);
        JsonElement[] configs = [.. (await JsonAsync(proxy, "config_dump?include_eds")).GetProperty("configs").EnumerateArray()];
        JsonElement Part(string type) => configs.Single(c => c.GetProperty("@type").GetString()!.EndsWith("." + type, StringComparison.Ordinal));
        Assert.Equal("test", Part("BootstrapConfigDump").GetProperty("bootstrap").GetProperty("node").GetProperty("id").GetString());
        Assert.Equal("backend", Part("ClustersConfigDump").GetProperty("static_clusters")[0].GetProperty("cluster").GetProperty("name").GetString());
        Assert.Equal("backend", Part("EndpointsConfigDump").GetProperty("static_endpoint_configs")[0].GetProperty("endpoint_config").GetProperty("cluster_name").GetString());
        JsonElement listener = Part("ListenersConfigDump").GetProperty("static_listeners")[0].GetProperty("listener");
        JsonElement manager = listener.GetProperty("filter_chains")[0].GetProperty("filters")[0].GetProperty("typed_config");
        Assert.EndsWith("HttpConnectionManager", manager.GetProperty("@type").GetString());
        Assert.Equal("*", Part("RoutesConfigDump").GetProperty("static_route_configs")[0].GetProperty("route_config").GetProperty("virtual_hosts")[0].GetProperty("domains")[0].GetString());
    }

    [Fact]
    public async Task Clusters_server_and_memory_say_how_it_stands()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await WithTrafficAsync(witness);
        Assert.Contains($"backend::127.0.0.1:{witness.Port}::health_flags::healthy\n", await proxy.Admin.GetStringAsync("clusters"));
        JsonElement host = (await JsonAsync(proxy, "clusters?format=json")).GetProperty("cluster_statuses")[0].GetProperty("host_statuses")[0];
        Assert.Equal(witness.Port, host.GetProperty("address").GetProperty("socket_address").GetProperty("port_value").GetInt32());
        JsonElement info = await JsonAsync(proxy, "server_info");
        Assert.Equal(("LIVE", "test", 2), (info.GetProperty("state").GetString(), info.GetProperty("node").GetProperty("id").GetString(), info.GetProperty("command_line_options").GetProperty("concurrency").GetInt32()));
        Assert.True(long.Parse((await JsonAsync(proxy, "memory")).GetProperty("total_allocated_bytes").GetString()!) > 0);
        Assert.Equal(1, await proxy.StatAsync("server.live"));
    }

    [Fact]
    public async Task Counters_can_be_reset_and_levels_changed_only_by_post()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await WithTrafficAsync(witness);
        using (HttpResponseMessage get = await proxy.Admin.GetAsync("reset_counters")) Assert.Equal(HttpStatusCode.MethodNotAllowed, get.StatusCode);
        Assert.Equal(5, await proxy.StatAsync("cluster.backend.upstream_rq_total"));
        using (HttpResponseMessage post = await proxy.Admin.PostAsync("reset_counters", null)) Assert.Equal(HttpStatusCode.OK, post.StatusCode);
        Assert.Equal(0, await proxy.StatAsync("cluster.backend.upstream_rq_total"));
        using (HttpResponseMessage post = await proxy.Admin.PostAsync("logging?level=debug", null)) Assert.Contains("admin: debug", await post.Content.ReadAsStringAsync());
    }

    [Fact]
    public async Task A_foreign_host_and_a_foreign_page_are_refused()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await WithTrafficAsync(witness);
        using var foreign = new HttpRequestMessage(HttpMethod.Get, "config_dump") { Headers = { Host = "evil.example" } };
        using (HttpResponseMessage answer = await proxy.Admin.SendAsync(foreign)) Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
        using var page = new HttpRequestMessage(HttpMethod.Post, "quitquitquit");
        page.Headers.Add("Origin", "http://evil.example");
        using (HttpResponseMessage answer = await proxy.Admin.SendAsync(page)) Assert.Equal(HttpStatusCode.Forbidden, answer.StatusCode);
        Assert.True(await proxy.IsReadyAsync());
    }

    [Fact]
    public async Task Drained_listeners_accept_nobody_and_the_process_stays()
    {
        await using var witness = new Witness();
        await using ProxyProcess proxy = await WithTrafficAsync(witness);
        using (HttpResponseMessage post = await proxy.Admin.PostAsync("drain_listeners", null)) Assert.Equal(HttpStatusCode.OK, post.StatusCode);
        await Waiting.UntilAsync(async () =>
        {
            try
            {
                using RawClient probe = await proxy.ConnectAsync();
                return false;
            }
            catch (System.Net.Sockets.SocketException)
            {
                return await Task.FromResult(true);
            }
        }, "the listener to close");
        Assert.Contains("LIVE", await proxy.Admin.GetStringAsync("ready"));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_rotated_access_log_is_opened_again(bool bySignal)
    {
        using var folder = new TempFolder();
        string log = folder.At("access.log");
        await using var witness = new Witness();
        await using ProxyProcess proxy = await WithTrafficAsync(witness, $$"""
            access_log:
            - name: envoy.access_loggers.file
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                path: "{{log}}"
                log_format: { text_format_source: { inline_string: "%REQ(:PATH)% %PROTOCOL%\n" } }
            """, folder);
        await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllLines(log).Length == 5, "the first lines");
        File.Move(log, log + ".1");
        if (bySignal) proxy.Child.Signal(1);
        else (await proxy.Admin.PostAsync("reopen_logs", null)).Dispose();
        await Waiting.UntilAsync(() => File.Exists(log), "the new file");
        using RawClient client = await proxy.ConnectAsync();
        await client.ExchangeAsync("GET /new HTTP/1.1\r\nHost: x\r\n\r\n");
        await Waiting.UntilAsync(() => File.ReadAllText(log) == "/new HTTP/1.1\n", "the line in the new file");
        Assert.Equal(5, File.ReadAllLines(log + ".1").Length);
    }

    [Theory]
    [InlineData("%REQQ(x)%", "NARU-L002")]
    [InlineData("%UPSTREAM_FILTER_STATE(a)%", "NARU-L003")]
    public async Task A_format_with_an_unknown_operator_is_refused_before_the_start(string format, string code)
    {
        using var folder = new TempFolder();
        string text = Bootstraps.One(1, $$"""
            access_log:
            - name: envoy.access_loggers.file
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
                path: /dev/null
                log_format: { text_format_source: { inline_string: "{{format}}\n" } }
            """);
        string file = folder.Write("b.yaml", text);
        ProcessResult validated = await ProxyProcess.RunAsync("--mode", "validate", "-c", file);
        Assert.True(validated.ExitCode == 1 && validated.Error.Contains(code), validated.All);
        ProcessResult served = await ProxyProcess.RunAsync("-c", file);
        Assert.True(served.ExitCode == 1 && served.Error.Contains(code), served.All);
    }

    [Fact]
    public async Task An_address_that_is_taken_ends_the_start_with_its_name()
    {
        await using var witness = new Witness();
        await using ProxyProcess first = await WithTrafficAsync(witness);
        using var folder = new TempFolder();
        string text = Bootstraps.One(1).Replace("address: { socket_address: { address: 127.0.0.1, port_value: 0 } }", $"address: {{ socket_address: {{ address: 127.0.0.1, port_value: {first.AdminAddress.Port} }} }}");
        ProcessResult second = await ProxyProcess.RunAsync("-c", folder.Write("b.yaml", text));
        Assert.True(second.ExitCode == 1 && second.Error.Contains(first.AdminAddress.Port.ToString()), second.All);
    }
}
