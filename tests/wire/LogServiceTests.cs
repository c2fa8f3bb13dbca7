// Logs that services take, and sinks of statistics: what they are told, and what becomes of requests where they are dead, slow or lie.
using System.Net;
using System.Net.Sockets;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class LogServiceTests
{
    private const string AlsService = "/envoy.service.accesslog.v3.AccessLogService";
    private const string OtlpService = "/opentelemetry.proto.collector.logs.v1.LogsService";
    private static readonly (string, string)[] s_head = [(":status", "200"), ("content-type", "application/grpc")];

    private static string Als(string fields, string more = "", string filter = "") =>
        $"access_log: [ {{ name: a{filter}, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig, "
        + $"common_config: {{ log_name: mine, transport_api_version: V3, grpc_service: {{ envoy_grpc: {{ cluster_name: sink }} }}, {fields} }}{more} }} }} ]";

    private static string Otlp(string fields) =>
        "access_log: [ { name: o, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig, " + fields + " } } ]";

    private static Task<ProxyProcess> StartAsync(int backend, int sink, string manager, string more = "") => ProxyProcess.StartAsync(
        Bootstraps.Many("- match: { prefix: / }\n  name: all\n  route: { cluster: backend }",
            [new TestCluster("backend", [backend]), new TestCluster("sink", [sink], Bootstraps.Http2Cluster)], manager) + more,
        new ProxyOptions { Concurrency = 1 });

    private static async Task<HttpMessage> GetAsync(ProxyProcess proxy, string target, string headers = "")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: shop\r\n{headers}\r\n");
    }

    private static IReadOnlyList<byte[]> Said(Http2Message stream) => ProtoBytes.Messages(stream.Body);

    [Fact]
    public async Task One_stream_takes_all_entries_and_its_first_message_says_who_tells()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nx-out: 1\r\nx-out: 2\r\nContent-Length: 2\r\n\r\nok");
        await using var sink = new Http2Backend();
        sink.At(AlsService, (_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend.Port, sink.Port,
            Als("buffer_size_bytes: 1, custom_tags: [ { tag: t, literal: { value: v } } ]",
                ", additional_request_headers_to_log: [ x-in, x-none ], additional_response_headers_to_log: [ x-out ]"));
        await GetAsync(proxy, path, "x-in: a\r\nx-in: b\r\nUser-Agent: \u00ff\r\n");
        await GetAsync(proxy, path);
        await Waiting.UntilAsync(() => sink.Seen(AlsService) is [var one] && Said(one).Count == 2, "two messages of one stream");
        IReadOnlyList<byte[]> said = Said(sink.Seen(AlsService)[0]);
        // identifier { node { id }, log_name }, of the first alone.
        Assert.Equal(("mine", "test"), (ProtoBytes.Texts(said[0], 1, 2).Single(), ProtoBytes.Texts(said[0], 1, 1, 1).Single()));
        Assert.Empty(ProtoBytes.All(said[1], 1));
        byte[] entry = ProtoBytes.All(said[0], 2, 1).Single();
        Assert.Equal(["x-in=a,b"], ProtoBytes.Pairs(entry, 3, 13));
        Assert.Equal(["x-out=1,2"], ProtoBytes.Pairs(entry, 4, 4));
        Assert.Equal(["t=v"], ProtoBytes.Pairs(entry, 1, 22));
        Assert.Equal((200, 2), (ProtoBytes.Numbers(entry, 4, 1, 1).Single(), ProtoBytes.Numbers(entry, 2).Single()));
        Assert.Equal(("all", "backend"), (ProtoBytes.Texts(entry, 1, 19).Single(), ProtoBytes.Texts(entry, 1, 15).Single()));
        // What is no UTF-8 would have a service refuse the whole message.
        Assert.Equal("\ufffd"u8.ToArray(), ProtoBytes.All(entry, 3, 6).Single());
        Assert.Equal((2, 0), (await proxy.StatAsync("access_logs.grpc_access_log.logs_written"),
            await proxy.StatAsync("access_logs.grpc_access_log.logs_dropped")));
    }

    [Fact]
    public async Task Filters_of_logs_hold_for_services()
    {
        await using var backend = new Cases();
        string good = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            bad = backend.Answer("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
        await using var sink = new Http2Backend();
        sink.At(AlsService, (_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend.Port, sink.Port, Als("buffer_size_bytes: 1",
            filter: ", filter: { status_code_filter: { comparison: { op: GE, value: { default_value: 500, runtime_key: a.b } } } }"));
        await GetAsync(proxy, good);
        await GetAsync(proxy, bad);
        await Waiting.UntilAsync(() => sink.Seen(AlsService) is [var one] && Said(one).Count > 0, "a message");
        Assert.Equal(500, ProtoBytes.Numbers(Said(sink.Seen(AlsService)[0]).Single(), 2, 1, 4, 1, 1).Single());
    }

    [Fact]
    public async Task A_stream_that_ends_is_opened_again_and_says_again_who_tells()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var sink = new Http2Backend();
        sink.At(AlsService, (peer, request) => Http2Backend.AnswerAsync(peer, request, s_head, [], [("grpc-status", "14")]));
        await using ProxyProcess proxy = await StartAsync(backend.Port, sink.Port,
            Als("buffer_size_bytes: 1, buffer_flush_interval: 0.05s"));
        await GetAsync(proxy, path);
        await Waiting.UntilAsync(() => sink.Seen(AlsService).Count == 1, "a stream");
        sink.At(AlsService, (_, _) => Task.CompletedTask);
        await Waiting.UntilAsync(async () =>
        {
            await GetAsync(proxy, path);
            return sink.Seen(AlsService) is [_, var again] && Said(again) is [var first, ..] && ProtoBytes.Texts(first, 1, 2) is ["mine"];
        }, "another stream");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_service_that_reads_nothing_or_is_dead_costs_no_request_and_bounded_memory(bool isDead)
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var sink = new Http2Backend((Naru.Http.Http2.Http2SettingId.InitialWindowSize, 0));
        sink.OnConnection = peer => peer.OpensWindows = false;
        sink.At(AlsService, (_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend.Port, isDead ? 1 : sink.Port, Als("buffer_size_bytes: 1",
            ", additional_request_headers_to_log: [ x-long ]"));
        using RawClient client = await proxy.ConnectAsync();
        string padding = new('p', 50_000);
        await Waiting.UntilAsync(async () =>
        {
            for (int i = 0; i < 60; i++)
                Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: h\r\nx-long: {padding}\r\n\r\n")).Status);
            return await proxy.StatAsync("access_logs.grpc_access_log.logs_dropped") > 0;
        }, "dropped entries");
        IReadOnlyDictionary<string, long> ledger = await proxy.LedgerAsync();
        Assert.True(ledger["buffers_bytes"] < 8 * 1024 * 1024, $"{ledger["buffers_bytes"]}");
    }

    [Fact]
    public async Task A_record_of_OpenTelemetry_has_body_attributes_and_resource_as_they_are_written()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var sink = new Http2Backend();
        sink.At(OtlpService, (peer, request) => Http2Backend.AnswerAsync(peer, request, s_head, [0, 0, 0, 0, 0], [("grpc-status", "0")]));
        await using ProxyProcess proxy = await StartAsync(backend.Port, sink.Port, Otlp(
            "log_name: o, grpc_service: { envoy_grpc: { cluster_name: sink } }, buffer_size_bytes: 1, stat_prefix: mine, "
            + "body: { string_value: \"%REQ(:METHOD)% %RESPONSE_CODE%\" }, "
            + "attributes: { values: [ { key: t, value: { string_value: \"%REQ(x-a)%\" } }, { key: n, value: { int_value: 5 } }, { key: l, value: { array_value: { values: [ { bool_value: true }, { double_value: 0.5 } ] } } } ] }, "
            + "resource_attributes: { values: [ { key: team, value: { string_value: blue } } ] }"));
        await GetAsync(proxy, path, "x-a: \"\u00e9\"\r\n");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("access_logs.open_telemetry_access_log.mine.logs_written") == 1,
            "the count");
        byte[] logs = ProtoBytes.All(Said(sink.Seen(OtlpService)[0]).Single(), 1).Single();
        Assert.Equal(["cluster_name=tests", "log_name=o", "node_name=test", "team=blue", "zone_name="],
            ProtoBytes.All(logs, 1, 1).Select(a =>
                $"{ProtoBytes.Texts(a, 1).Single()}={ProtoBytes.Texts(a, 2, 1).Single()}").Order(StringComparer.Ordinal));
        byte[] record = ProtoBytes.All(logs, 2, 2).Single();
        Assert.Equal(["GET 200"], ProtoBytes.Texts(record, 5, 1));
        Assert.Equal([5], ProtoBytes.Numbers(record, 6, 2, 3));
        Assert.Equal([1], ProtoBytes.Numbers(record, 6, 2, 5, 1, 2));
        Assert.Equal([0.5], ProtoBytes.Numbers(record, 6, 2, 5, 1, 4).Select(BitConverter.Int64BitsToDouble));
    }

    [Fact]
    public async Task What_a_collector_rejects_counts_as_dropped()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var sink = new Http2Backend();
        // partial_success { rejected_log_records: 1 }
        sink.At(OtlpService, (peer, request) => Http2Backend.AnswerAsync(peer, request, s_head, [0, 0, 0, 0, 4, 0x0a, 2, 0x08, 1],
            [("grpc-status", "0")]));
        await using ProxyProcess proxy = await StartAsync(backend.Port, sink.Port,
            Otlp("grpc_service: { envoy_grpc: { cluster_name: sink } }, buffer_size_bytes: 1"));
        await GetAsync(proxy, path);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("access_logs.open_telemetry_access_log.logs_dropped") == 1, "the count");
        Assert.Equal(0, await proxy.StatAsync("access_logs.open_telemetry_access_log.logs_written"));
    }

    [Theory]
    [InlineData("statsd.StatsdSink", "", "own.http.test.downstream_rq_total:1|c")]
    [InlineData("statsd.DogStatsdSink", ", max_bytes_per_datagram: 512",
        "own.http.downstream_rq_total:1|c|#envoy.http_conn_manager_prefix:test")]
    public async Task Statistics_go_to_statsd_as_what_changed(string type, string more, string line)
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        using var statsd = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        statsd.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        statsd.ReceiveTimeout = 20_000;
        int port = ((IPEndPoint)statsd.LocalEndPoint!).Port;
        // Few statistics: a datagram for which there is no room is lost. What the kit asks of a proxy at its start is among them.
        await using ProxyProcess proxy = await StartAsync(backend.Port, 1, "",
            "\nstats_config: { stats_matcher: { inclusion_list: { patterns: [ { exact: http.test.downstream_rq_total }, { suffix: _active } ] } } }"
            + "\nstats_flush_interval: 0.05s\nstats_sinks: [ { name: s, typed_config: { \"@type\": type.googleapis.com/envoy.config.metrics.v3."
            + type[7..] + $", prefix: own{more}, "
            + $"address: {{ socket_address: {{ protocol: UDP, address: 127.0.0.1, port_value: {port} }} }} }} }} ]\n");
        byte[] datagram = new byte[65536];
        await Waiting.UntilAsync(async () =>
        {
            await GetAsync(proxy, path);
            for (int i = 0; i < 20; i++)
            {
                string text = Encoding.UTF8.GetString(datagram, 0, statsd.Receive(datagram));
                if (text.Split('\n').Contains(line)) return true;
            }
            return false;
        }, line);
    }

    [Fact]
    public async Task Statistics_go_to_statsd_over_a_connection_that_is_made_again_where_it_ends()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        await using ProxyProcess proxy = await StartAsync(backend.Port, ((IPEndPoint)listener.LocalEndpoint).Port, "",
            "\nstats_flush_interval: 0.05s\nstats_sinks: [ { name: s, typed_config: "
            + "{ \"@type\": type.googleapis.com/envoy.config.metrics.v3.StatsdSink, tcp_cluster_name: sink } } ]\n");
        for (int i = 0; i < 2; i++)
        {
            using TcpClient taken = await listener.AcceptTcpClientAsync(TestContext.Current.CancellationToken).AsTask().Within("a connection");
            using var reader = new StreamReader(taken.GetStream());
            Assert.StartsWith("envoy.", await reader.ReadLineAsync(TestContext.Current.CancellationToken).AsTask().Within("a line"));
        }
        Assert.Equal(200, (await GetAsync(proxy, path)).Status);
    }

    [Theory]
    [InlineData("stats_sinks: [ { name: envoy.stat_sinks.hystrix, typed_config: { \"@type\": type.googleapis.com/envoy.config.metrics.v3.HystrixSink } } ]", "HystrixSink")]
    [InlineData("stats_sinks: [ { name: s } ]", "stats_sinks[0]")]
    [InlineData("stats_flush_interval: 400s", "stats_flush_interval")]
    public async Task Sinks_that_are_not_known_are_refused_by_name(string more, string named)
    {
        using var folder = new TempFolder();
        string file = Path.Combine(folder.Root, "b.yaml");
        await File.WriteAllTextAsync(file, Bootstraps.Many("- match: { prefix: / }\n  route: { cluster: backend }",
            [new TestCluster("backend", [1])]) + "\n" + more + "\n", TestContext.Current.CancellationToken);
        ProcessResult result = await ProxyProcess.RunAsync("-c", file, "--mode", "validate");
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains(named, result.All);
    }
}
