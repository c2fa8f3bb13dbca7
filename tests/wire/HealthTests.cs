// Active health checks on the wire: who is asked, what for, and who gets requests afterwards.
using System.Collections.Concurrent;
using System.Net.Security;
using System.Net.Sockets;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class HealthTests
{
    private const string Quick = "timeout: 5s, interval: 0.02s, no_traffic_interval: 0.02s, unhealthy_threshold: 1, healthy_threshold: 1";
    // Who was well once stays so, however slow this machine is; who never was does not become so.
    private const string Impatient = "timeout: 0.3s, interval: 0.02s, no_traffic_interval: 0.02s, unhealthy_threshold: 1000, healthy_threshold: 1";
    private const string NoPanic = "common_lb_config: { healthy_panic_threshold: { value: 0 } }";

    private static string Pair(string checks, int one, int two, string more = NoPanic) =>
        Bootstraps.Many("- { match: { prefix: / }, route: { cluster: pair } }", [new TestCluster("pair", [one, two], $"health_checks: [{{ {checks} }}]\n{more}")]);

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy)
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync("GET /who HTTP/1.1\r\nHost: x\r\n\r\n");
    }

    private static async Task<string[]> WhoAsync(ProxyProcess proxy)
    {
        var answers = new List<string>();
        for (int i = 0; i < 12; i++) answers.Add(await AskAsync(proxy) is { Status: 200 } answer ? answer.Text : "none");
        return [.. answers.Distinct().Order(StringComparer.Ordinal)];
    }

    private static Task UntilAsync(ProxyProcess proxy, params string[] who) => Waiting.UntilAsync(async () => (await WhoAsync(proxy)).SequenceEqual(who), $"answers of {string.Join(" and ", who)} alone");

    // Answers /health with what it is told, and everything else with its name.
    private sealed class Endpoint : IAsyncDisposable
    {
        public Endpoint(string name) => Server = new Witness(async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                if (!request.Target.StartsWith("/health", StringComparison.Ordinal)) await c.OkAsync(name);
                else await c.SendAsync(Health);
            }
        });

        public Witness Server { get; }
        public int Port => Server.Port;
        public string Health { get; set; } = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        public IEnumerable<HttpMessage> Checks => Server.Requests.Where(r => r.Target.StartsWith("/health", StringComparison.Ordinal));
        public ValueTask DisposeAsync() => Server.DisposeAsync();
    }

    [Fact]
    public async Task An_endpoint_gets_requests_while_it_says_that_it_is_well()
    {
        await using var a = new Endpoint("a");
        await using var b = new Endpoint("b");
        b.Health = "HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Quick}, http_health_check: {{ path: /health }}", a.Port, b.Port));
        // Ready means that everybody was asked.
        Assert.Equal(["a"], await WhoAsync(proxy));
        string clusters = await proxy.Admin.GetStringAsync("/clusters");
        Assert.Contains($"pair::127.0.0.1:{b.Port}::health_flags::/failed_active_hc", clusters, StringComparison.Ordinal);
        Assert.Contains($"pair::127.0.0.1:{a.Port}::health_flags::healthy", clusters, StringComparison.Ordinal);
        b.Health = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        await UntilAsync(proxy, "a", "b");
        a.Health = "HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n";
        await UntilAsync(proxy, "b");
        Assert.True(await proxy.StatAsync("cluster.pair.health_check.failure") > 0);
        Assert.True(await proxy.StatAsync("cluster.pair.health_check.success") > 0);
        Assert.Equal(1, await proxy.StatAsync("cluster.pair.membership_healthy"));
        Assert.Equal(0, await proxy.StatAsync("cluster.pair.health_check.network_failure"));
    }

    [Fact]
    public async Task Where_all_fail_the_answer_says_so_and_panic_uses_them_all_the_same()
    {
        await using var a = new Endpoint("a") { Health = "HTTP/1.1 503 Not Now\r\nContent-Length: 0\r\n\r\n" };
        int dead = Loopback.FreePort();
        await using (ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Quick}, http_health_check: {{ path: /health }}", a.Port, dead)))
        {
            HttpMessage answer = await AskAsync(proxy);
            Assert.Equal(503, answer.Status);
            Assert.StartsWith("NARU-U503", answer.Header("x-naru-reason"));
            Assert.Contains("2 of 2 failed their health checks", answer.ToString(), StringComparison.Ordinal);
        }
        await using ProxyProcess panicking = await ProxyProcess.StartAsync(Pair($"{Quick}, http_health_check: {{ path: /health }}", a.Port, dead, ""));
        await Waiting.UntilAsync(async () => await AskAsync(panicking) is { Status: 200 }, "an answer in panic");
        Assert.True(await panicking.StatAsync("cluster.pair.lb_healthy_panic") > 0);
    }

    [Fact]
    public async Task A_check_asks_for_what_it_is_told_on_one_connection()
    {
        await using var a = new Endpoint("a");
        await using var b = new Endpoint("b");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair(
            $$"""
            {{Quick}}, http_health_check: { path: "/health?deep=1", host: checks.test, method: OPTIONS, expected_statuses: [{ start: 200, end: 201 }],
            request_headers_to_add: [{ header: { key: X-Check, value: "yes" } }], request_headers_to_remove: [user-agent] }
            """.Replace("\n", " ", StringComparison.Ordinal), a.Port, b.Port));
        await Waiting.UntilAsync(() => a.Checks.Count() > 5, "checks");
        HttpMessage check = a.Checks.First();
        Assert.Equal(("OPTIONS", "/health?deep=1", "checks.test", "yes", false), (check.Method, check.Target, check.Header("host"), check.Header("x-check"), check.Has("user-agent")));
        Assert.Single(a.Server.Connections);
    }

    [Theory]
    [InlineData("retriable_statuses: [{ start: 500, end: 501 }]", 3)]
    [InlineData("expected_statuses: [{ start: 200, end: 501 }]", 0)]
    [InlineData("", 1)]
    public async Task Statuses_count_as_they_are_told(string statuses, int failures)
    {
        await using var a = new Endpoint("a");
        await using var b = new Endpoint("b");
        int asked = 0;
        b.Server.Script = async c =>
        {
            while (await c.RequestAsync() is { } request)
            {
                if (request.Target == "/who") await c.OkAsync("b");
                else if (Interlocked.Increment(ref asked) > 1) await c.SendAsync("HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n");
                else await c.OkAsync();
            }
        };
        string checks = Quick.Replace("unhealthy_threshold: 1", "unhealthy_threshold: 3", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{checks}, http_health_check: {{ path: /health, {statuses} }}", a.Port, b.Port));
        if (failures > 0) await UntilAsync(proxy, "a");
        else await Waiting.UntilAsync(() => asked > 8, "checks");
        Assert.Equal(failures == 0 ? ["a", "b"] : ["a"], await WhoAsync(proxy));
        Assert.True(asked > failures);
    }

    // Whatever answers like this is not well, and the proxy is.
    public static TheoryData<string, string> Hostile => new()
    {
        { "garbage", "SSH-2.0-dropbear\r\n" },
        { "silence", "" },
        { "half a head", "HTTP/1.1 200 OK\r\nX: " },
        { "smuggling", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { "interim answers for ever", string.Concat(Enumerable.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 50)) },
        { "a head without end", "HTTP/1.1 200 OK\r\n" + string.Concat(Enumerable.Range(0, 200).Select(i => $"X-{i}: {new string('x', 1000)}\r\n")) },
        { "a switch of protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" },
    };

    [Theory, MemberData(nameof(Hostile))]
    public async Task What_answers_nonsense_is_not_well(string kind, string nonsense)
    {
        await using var a = new Endpoint("a");
        await using var b = new Witness(async c =>
        {
            if (await c.RequestAsync() is null) return;
            if (nonsense.Length > 0) await c.SendAsync(nonsense);
            if (kind == "silence") await c.Reader.RestAsync();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Impatient}, http_health_check: {{ path: /health }}", a.Port, b.Port));
        await UntilAsync(proxy, "a");
        await Waiting.UntilAsync(() => b.Connections.Count > 3, "further checks");
        Assert.Equal(["a"], await WhoAsync(proxy));
        Assert.True(await proxy.StatAsync("cluster.pair.health_check.network_failure") > 0);
    }

    [Theory]
    [InlineData("tcp_health_check: {}", true)]
    [InlineData("tcp_health_check: { send: { text: 50494e470d0a }, receive: [{ text: \"2b\" }, { text: 504f4e47 }] }", true)]
    [InlineData("tcp_health_check: { send: { text: 50494e470d0a }, receive: [{ text: 504f4e47 }, { text: \"2b\" }] }", false)]
    [InlineData("tcp_health_check: { send: { text: 51554954 }, receive: [{ text: 504f4e47 }] }", false)]
    public async Task Bytes_are_sent_and_waited_for(string check, bool well)
    {
        var heard = new ConcurrentQueue<string>();
        WitnessScript script = async c =>
        {
            if (await c.Reader.ByteAsync() != 'P')
            {
                heard.Enqueue("other");
                return;
            }
            heard.Enqueue("ping");
            await c.SendAsync("+PO");
            await c.SendAsync("NG\r\n");
            await c.Reader.RestAsync();
        };
        await using var a = new Witness(script);
        await using var b = new Witness(script);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Impatient}, {check}", a.Port, b.Port));
        if (well) await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.pair.membership_healthy") == 2, "both to be well");
        else await Waiting.UntilAsync(() => a.Connections.Count > 3 && b.Connections.Count > 3, "further checks");
        Assert.Equal(well ? 2 : 0, await proxy.StatAsync("cluster.pair.membership_healthy"));
        if (well && check.Contains("send", StringComparison.Ordinal)) Assert.Contains("ping", heard);
    }

    [Fact]
    public async Task A_check_by_bytes_says_its_word_again_on_the_connection_that_it_has()
    {
        WitnessScript script = async c =>
        {
            while (await c.Reader.ByteAsync() == 'P') await c.SendAsync("+");
        };
        await using var a = new Witness(script);
        await using var b = new Witness(script);
        const string Bytes = "tcp_health_check: { send: { text: \"50\" }, receive: [{ text: \"2b\" }] }";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Quick}, {Bytes}", a.Port, b.Port));
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.pair.health_check.success") > 10, "many checks");
        Assert.Equal((1, 1), (a.Connections.Count, b.Connections.Count));
        await using ProxyProcess other = await ProxyProcess.StartAsync(Pair($"{Quick}, reuse_connection: false, {Bytes}", a.Port, b.Port));
        await Waiting.UntilAsync(() => a.Connections.Count > 4, "a connection for each check");
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n..OK.YES", true)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nO\r\n4\r\nKYES\r\n0\r\n\r\n", true)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nYESOK", false)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false)]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n.......OKYES", false)]
    [InlineData("HTTP/1.1 204 No Content\r\n\r\n", false)]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false)]
    public async Task A_body_must_hold_what_is_wanted_in_its_first_bytes(string answer, bool well)
    {
        await using var a = new Endpoint("a");
        await using var b = new Endpoint("b") { Health = answer };
        a.Health = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nOKYES";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair(
            $"{Quick}, http_health_check: {{ path: /health, receive: [{{ text: \"4f4b\" }}, "
            + $"{{ text: \"594553\" }}], response_buffer_size: 10 }}", a.Port, b.Port));
        await Waiting.UntilAsync(() => b.Checks.Count() > 2, "further checks");
        Assert.Equal(well ? ["a", "b"] : ["a"], await WhoAsync(proxy));
    }

    [Fact]
    public async Task What_a_check_finds_out_is_written_once_and_a_worn_endpoint_is_called_so()
    {
        await using var a = new Endpoint("a");
        await using var b = new Endpoint("b");
        string log = Path.Combine(Directory.CreateTempSubdirectory().FullName, "events");
        string sink = $"event_logger: [{{ name: file, typed_config: "
            + $"{{ \"@type\": type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink, "
            + $"event_log_path: {log} }} }}]";
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Quick}, {sink}, http_health_check: {{ path: /health }}",
            a.Port, b.Port));
        b.Health = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-envoy-degraded: 1\r\n\r\n";
        await FlaggedAsync("/degraded_active_hc");
        b.Health = "HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n";
        await FlaggedAsync("/failed_active_hc");
        b.Health = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        await FlaggedAsync("healthy");
        string[] words = ["add_healthy_event", "degraded_healthy_host", "eject_unhealthy_event", "add_healthy_event"];
        string[] lines = [];
        await Waiting.UntilAsync(() => (lines = Lines()).Length >= words.Length, "its events to be written");
        Assert.Equal(words, lines.Select(l => words.First(w => l.Contains($"\"{w}\"", StringComparison.Ordinal))));
        Assert.Equal((2, 0), (await proxy.StatAsync("cluster.pair.health_check.healthy"),
            await proxy.StatAsync("cluster.pair.health_check.degraded")));

        string[] Lines() => File.Exists(log)
            ? [.. File.ReadAllLines(log).Where(l => l.Contains($"\"port_value\":{b.Port}", StringComparison.Ordinal))] : [];

        Task FlaggedAsync(string flags) => Waiting.UntilAsync(
            async () => (await proxy.Admin.GetStringAsync("/clusters")).Contains($"pair::127.0.0.1:{b.Port}::health_flags::{flags}\n",
                StringComparison.Ordinal), $"the flags {flags}");
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("service_name: demo.Echo", true)]
    [InlineData("service_name: demo.Down", false)]
    [InlineData("service_name: demo.Other", false)]
    public async Task A_grpc_server_is_asked_how_it_is(string service, bool well)
    {
        int one = Loopback.FreePort(), two = Loopback.FreePort();
        await using ChildProcess backends = ChildProcess.Start(Tools.Path("node", "nodejs"), [Repository.At("tests/kit/peers/grpc-backends.js"), $"127.0.0.1:{one}=v1"]);
        await backends.LineAsync("listening v1");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Quick}, grpc_health_check: {{ {service} }}", one, two));
        string clusters = await proxy.Admin.GetStringAsync("/clusters");
        Assert.Contains($"127.0.0.1:{one}::health_flags::{(well ? "healthy" : "/failed_active_hc")}", clusters, StringComparison.Ordinal);
        Assert.Contains($"127.0.0.1:{two}::health_flags::/failed_active_hc", clusters, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_check_over_http2_is_a_stream()
    {
        await using var backend = new Http2Backend();
        string path = backend.Add((peer, request) => peer.HeadersAsync(request.Id, [(":status", "200")], end: true));
        int dead = Loopback.FreePort();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Quick}, http_health_check: {{ path: \"{path}\", codec_client_type: HTTP2 }}", backend.Port, dead, $"{NoPanic}\n{Bootstraps.Http2Cluster}"));
        string clusters = await proxy.Admin.GetStringAsync("/clusters");
        Assert.Contains($"127.0.0.1:{backend.Port}::health_flags::healthy", clusters, StringComparison.Ordinal);
        await Waiting.UntilAsync(() => backend.Seen(path).Count > 3, "further checks");
        Assert.Equal("pair", backend.Seen(path)[0].Header(":authority"));
    }

    public static TheoryData<string, byte[]> HostileOverHttp2 => new()
    {
        { "closes at once", [] },
        { "says GOAWAY at once", [.. Http2Bytes.Settings(), .. Http2Bytes.Frame(Naru.Http.Http2.Http2FrameType.GoAway, 0, 0, new byte[8])] },
        { "speaks HTTP/1", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"u8.ToArray() },
    };

    [Theory, MemberData(nameof(HostileOverHttp2))]
    public async Task What_does_not_answer_a_stream_is_not_well_and_is_asked_again(string kind, byte[] bytes)
    {
        await using var a = new Http2Backend();
        await using var b = new Witness(async c =>
        {
            await c.SendAsync(bytes);
            if (kind != "closes at once") await c.Reader.RestAsync();
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Impatient}, http_health_check: {{ path: /health, codec_client_type: HTTP2 }}", a.Port, b.Port, $"{NoPanic}\n{Bootstraps.Http2Cluster}"));
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.pair.membership_healthy") == 1, "the other to be well");
        await Waiting.UntilAsync(() => b.Connections.Count > 3, "further checks");
        Assert.Equal(1, await proxy.StatAsync("cluster.pair.membership_healthy"));
        string clusters = await proxy.Admin.GetStringAsync("/clusters");
        Assert.Contains($"pair::127.0.0.1:{a.Port}::health_flags::healthy", clusters, StringComparison.Ordinal);
        Assert.Contains($"pair::127.0.0.1:{b.Port}::health_flags::/failed_active_hc", clusters, StringComparison.Ordinal);
        Assert.True(await proxy.StatAsync("cluster.pair.health_check.network_failure") > 0);
        for (int i = 0; i < 4; i++) Assert.Equal(200, (await AskAsync(proxy)).Status);
        Assert.DoesNotContain("Exception", proxy.Child.Error);
    }

    [Theory]
    [InlineData("trusted", true)]
    [InlineData("other", false)]
    public async Task An_endpoint_with_tls_is_asked_over_tls(string root, bool well)
    {
        using var folder = new TempFolder();
        var pki = new TestAuthority("trusted");
        await File.WriteAllTextAsync(folder.At("ca.pem"), root == "trusted" ? pki.Pem : new TestAuthority(root).Pem);
        TestCertificate own = pki.Issue(["web.test"]);
        var asked = new ConcurrentQueue<string>();
        await using var a = new Witness(async c =>
        {
            await using var stream = new SslStream(new NetworkStream(c.Socket));
            await stream.AuthenticateAsServerAsync(new SslServerAuthenticationOptions { ServerCertificateContext = SslStreamCertificateContext.Create(own.Certificate, null, offline: true) });
            asked.Enqueue(stream.TargetHostName);
            byte[] buffer = new byte[4096];
            while (await stream.ReadAsync(buffer) > 0) await stream.WriteAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"u8.ToArray());
        });
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Pair($"{Quick}, http_health_check: {{ path: /health }}", a.Port, Loopback.FreePort(), $$"""
            {{NoPanic}}
            transport_socket:
              name: envoy.transport_sockets.tls
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
                sni: web.test
                common_tls_context: { validation_context: { trusted_ca: { filename: "{{folder.At("ca.pem")}}" } } }
            """));
        Assert.Equal(well ? 200 : 503, (await AskAsync(proxy)).Status);
        if (well) Assert.Contains("web.test", asked);
    }

    [Fact]
    public async Task Another_port_is_asked_and_who_is_not_to_be_asked_is_well()
    {
        await using var a = new Endpoint("a");
        await using var b = new Endpoint("b") { Health = "HTTP/1.1 503 Ill\r\nContent-Length: 0\r\n\r\n" };
        await using var asked = new Endpoint("asked") { Health = "HTTP/1.1 503 Ill\r\nContent-Length: 0\r\n\r\n" };
        string bootstrap = Pair($"{Quick}, alt_port: {asked.Port}, http_health_check: {{ path: /health }}", a.Port, b.Port)
            .Replace($"port_value: {b.Port} }} }} }}", $"port_value: {b.Port} }} }}, health_check_config: {{ disable_active_health_check: true }} }}", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap);
        Assert.Equal(["b"], await WhoAsync(proxy));
        asked.Health = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        await UntilAsync(proxy, "a", "b");
        Assert.Empty(a.Checks);
        Assert.Empty(b.Checks);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Another_address_is_asked_at_its_own_port_or_at_one_that_is_named(bool named)
    {
        await using var a = new Endpoint("a");
        await using var b = new Endpoint("b");
        await using var asked = new Endpoint("asked") { Health = "HTTP/1.1 503 Ill\r\nContent-Length: 0\r\n\r\n" };
        string there = $"{(named ? $"port_value: {asked.Port}, " : "")}address: {{ socket_address: {{ address: 127.0.0.1, port_value: {(named ? 1 : asked.Port)} }} }}";
        string bootstrap = Pair($"{Quick}, alt_port: {b.Port}, http_health_check: {{ path: /health }}", a.Port, b.Port)
            .Replace($"port_value: {a.Port} }} }} }}", $"port_value: {a.Port} }} }}, health_check_config: {{ {there} }} }}", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap);
        Assert.Equal(["b"], await WhoAsync(proxy));
        asked.Health = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        await UntilAsync(proxy, "a", "b");
        Assert.Empty(a.Checks);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Who_leaves_the_discovery_but_answers_stays_unless_that_is_not_wanted(bool ignored)
    {
        using var folder = new TempFolder();
        await using var a = new Endpoint("a");
        await using var b = new Endpoint("b");
        await File.WriteAllTextAsync(folder.At("eds.yaml"), Assignment(a.Port, b.Port));
        string bootstrap = Pair($"{Quick}, http_health_check: {{ path: /health }}", a.Port, b.Port, $"{NoPanic}\nignore_health_on_host_removal: {(ignored ? "true" : "false")}\neds_cluster_config: {{ eds_config: {{ path_config_source: {{ path: \"{folder.At("eds.yaml")}\" }} }} }}")
            .Replace("type: STATIC", "type: EDS", StringComparison.Ordinal);
        int at = bootstrap.IndexOf("    load_assignment:", StringComparison.Ordinal);
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(bootstrap[..at]);
        await UntilAsync(proxy, "a", "b");
        await File.WriteAllTextAsync(folder.At("next.yaml"), Assignment(a.Port));
        File.Move(folder.At("next.yaml"), folder.At("eds.yaml"), overwrite: true);
        if (!ignored)
        {
            await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.pair.update_success") >= 2, "the update");
            Assert.Equal(["a", "b"], await WhoAsync(proxy));
            b.Health = "HTTP/1.1 503 Ill\r\nContent-Length: 0\r\n\r\n";
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.pair.membership_total") == 1, "b to be gone");
        Assert.Equal(["a"], await WhoAsync(proxy));
        int asked = b.Checks.Count();
        int more = a.Checks.Count();
        await Waiting.UntilAsync(() => a.Checks.Count() > more + 5, "checks of a");
        Assert.InRange(b.Checks.Count() - asked, 0, 1);

        static string Assignment(params int[] ports) => $$"""
            resources:
            - "@type": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
              cluster_name: pair
              endpoints: [{ lb_endpoints: [{{string.Join(", ", ports.Select(p => $"{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {p} }} }} }} }}"))}}] }]
            """;
    }
}
