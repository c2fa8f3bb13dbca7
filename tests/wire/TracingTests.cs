// What a proxy tells of traced requests: which headers go on, which spans a collector gets, and what becomes of both where a client forges
// headers or a collector is dead, slow or lies.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class TracingTests
{
    private const string Trace = "463ac35c9f6413ad48485a3953bb6124", Span = "a2fb4a1d1a96d312";

    private const string AtOnce = "\nlayered_runtime: { layers: [ { name: s, static_layer: { tracing: { zipkin: { min_flush_spans: 1 }, opentelemetry: { min_flush_spans: 1 } } } } ] }\n";

    private const string Inside = "\ninternal_address_config: { cidr_ranges: [ { address_prefix: 127.0.0.0, prefix_len: 8 } ] }\nuse_remote_address: true";

    private static string Zipkin(string fields = "", string tracing = "") =>
        "tracing: { provider: { name: envoy.tracers.zipkin, typed_config: { \"@type\": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, "
        + $"collector_cluster: collector, collector_endpoint: /api/v2/spans, collector_endpoint_version: HTTP_JSON{Also(fields)} }} }}{Also(tracing)} }}";

    private static string Otlp(string fields = "", string tracing = "") =>
        "tracing: { provider: { name: envoy.tracers.opentelemetry, typed_config: { \"@type\": type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig"
        + $"{Also(fields)} }} }}{Also(tracing)} }}";

    private static string Also(string more) => more.Length > 0 ? $", {more}" : "";

    private static Task<ProxyProcess> StartAsync(int backend, int collector, string manager, string routes = "", string cluster = "") =>
        ProxyProcess.StartAsync(
        Bootstraps.Many(
            routes.Length > 0 ? routes : "- match: { prefix: / }\n  route: { cluster: backend }",
            [new TestCluster("backend", [backend]), new TestCluster("collector", [collector], cluster)], manager) + AtOnce,
        new ProxyOptions { Concurrency = 1 });

    private static async Task<HttpMessage> GetAsync(ProxyProcess proxy, string target, string headers = "")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: shop\r\n{headers}\r\n");
    }

    // A path that is remembered and answers so.
    private static string Answer(Cases backend, string bytes) => backend.Add((connection, head) =>
    {
        connection.Witness.Remember(head);
        return connection.SendAsync(bytes);
    });

    private static string Tag(JsonElement span, string name) => span.GetProperty("tags").GetProperty(name).GetString()!;

    [Fact]
    public async Task A_request_has_a_span_whose_ids_its_service_gets()
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nsad");
        await using var collector = new Collector();
        await using ProxyProcess proxy = await StartAsync(backend.Port, collector.Port, Zipkin());
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        await GetAsync(proxy, path);
        JsonElement span = (await collector.SpansAsync(1))[0];
        HttpMessage seen = backend.Seen(path).Single();
        Assert.Equal((seen.Header("x-b3-traceid"), seen.Header("x-b3-spanid"), "1"), (span.GetProperty("traceId").GetString(),
            span.GetProperty("id").GetString(), seen.Header("x-b3-sampled")));
        Assert.Equal(("shop", "SERVER", true), (span.GetProperty("name").GetString(), span.GetProperty("kind").GetString(),
            span.GetProperty("shared").GetBoolean()));
        Assert.Equal(("503", "true", $"http://shop{path}", "backend", "test", "-"),
            (Tag(span, "http.status_code"), Tag(span, "error"), Tag(span, "http.url"), Tag(span, "upstream_cluster"), Tag(span, "node_id"),
                Tag(span, "response_flags")));
        Assert.Equal('9', seen.Header("x-request-id")![14]);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("tracing.zipkin.reports_sent") == 1, "the report");
        Assert.Equal((1, 1, 0), (await proxy.StatAsync("http.test.tracing.random_sampling"),
            await proxy.StatAsync("tracing.zipkin.spans_sent"), await proxy.StatAsync("tracing.zipkin.reports_dropped")));
        await proxy.SettleAsync(before);
    }

    [Theory]
    [InlineData("x-b3-traceid: zz\r\nx-b3-spanid: a2fb4a1d1a96d312\r\n")]
    [InlineData("x-b3-traceid: 0\r\nx-b3-spanid: 0\r\n")]
    [InlineData("x-b3-traceid: 463ac35c9f6413ad48485a3953bb61240\r\nx-b3-spanid: a2fb4a1d1a96d312\r\n")]
    [InlineData("x-b3-traceid: 463ac35c9f6413ad\r\nx-b3-spanid: a2fb4a1d1a96d312\r\nx-b3-parentspanid: -1\r\n")]
    [InlineData("b3: \r\n")]
    [InlineData("b3: 2\r\n")]
    [InlineData("b3: 463ac35c9f6413ad\r\n")]
    [InlineData("b3: 463ac35c9f6413ad-a2fb4a1d1a96d312-\r\n")]
    [InlineData("b3: 463ac35c9f6413ad-a2fb4a1d1a96d312-1-\r\n")]
    [InlineData("b3: 463ac35c9f6413ad-a2fb4a1d1a96d312-1-zzzzzzzzzzzzzzzz\r\n")]
    [InlineData("b3: 463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-1-05e3ac9a4f6e3b90-1\r\n")]
    public async Task Ids_that_are_none_go_on_as_they_are_and_no_span_is_made(string headers)
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            good = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var collector = new Collector();
        await using ProxyProcess proxy = await StartAsync(backend.Port, collector.Port, Zipkin());
        Assert.Equal(200, (await GetAsync(proxy, path, headers)).Status);
        string[] sent = [.. headers.Split("\r\n", StringSplitOptions.RemoveEmptyEntries)];
        HttpMessage seen = backend.Seen(path).Single();
        Assert.All(sent, line => Assert.Equal(line.Split(':')[1].Trim(), seen.Header(line.Split(':')[0])));
        Assert.Equal(sent.Length, seen.Headers.Count(h => h.Name == "b3" || h.Name.StartsWith("x-b3-", StringComparison.Ordinal)));
        await GetAsync(proxy, good);
        Assert.Equal($"http://shop{good}", Tag((await collector.SpansAsync(1))[0], "http.url"));
    }

    [Theory]
    [InlineData("traceparent: junk\r\n")]
    [InlineData("traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n")]
    [InlineData("traceparent: 00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01\r\n")]
    [InlineData("traceparent: ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n")]
    [InlineData("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00\r\n")]
    [InlineData("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x\r\n")]
    [InlineData("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01\r\n")]
    public async Task A_traceparent_that_is_none_makes_no_span(string headers)
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using ProxyProcess proxy = await StartAsync(backend.Port, backend.Port, Otlp());
        await GetAsync(proxy, path, headers);
        HttpMessage seen = backend.Seen(path).Single();
        Assert.Equal(headers.Split("\r\n", StringSplitOptions.RemoveEmptyEntries), seen.Headers.Where(h =>
            h.Name is "traceparent" or "tracestate").Select(h => $"{h.Name}: {h.Value}"));
    }

    [Fact]
    public async Task A_trace_goes_on_under_an_id_of_its_own_and_keeps_its_state()
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            own = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using ProxyProcess proxy = await StartAsync(backend.Port, backend.Port, Otlp() + "\naccess_log: []");
        await GetAsync(proxy, path, $"traceparent: 00-{Trace}-{Span}-01\r\ntracestate: a=b\r\n");
        HttpMessage seen = backend.Seen(path).Single();
        string parent = seen.Header("traceparent")!;
        Assert.StartsWith($"00-{Trace}-", parent);
        Assert.EndsWith("-01", parent);
        Assert.DoesNotContain(Span, parent);
        Assert.Equal("a=b", seen.Header("tracestate"));
        // State without a trace is nobody's.
        await GetAsync(proxy, own, "tracestate: a=b\r\n");
        Assert.Equal("", backend.Seen(own).Single().Header("tracestate"));
    }

    [Fact]
    public async Task Each_try_has_a_span_of_its_own_below_that_of_the_request()
    {
        await using var backend = new Cases();
        int tries = 0;
        string path = backend.Add((connection, head) =>
        {
            connection.Witness.Remember(head);
            return connection.SendAsync(Interlocked.Increment(ref tries) == 1
                ? "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        await using var collector = new Collector();
        await using ProxyProcess proxy = await StartAsync(backend.Port, collector.Port, Zipkin(tracing: "spawn_upstream_span: true"),
            "- match: { prefix: / }\n  route: { cluster: backend, retry_policy: { retry_on: 5xx, num_retries: 2 } }");
        await GetAsync(proxy, path);
        IReadOnlyList<JsonElement> spans = await collector.SpansAsync(3);
        JsonElement whole = spans.Single(s => s.GetProperty("kind").GetString() == "SERVER");
        JsonElement[] parts = [.. spans.Where(s => s.GetProperty("kind").GetString() == "CLIENT")];
        Assert.All(parts, p => Assert.Equal((whole.GetProperty("id").GetString(), "router backend egress"),
            (p.GetProperty("parentId").GetString(), p.GetProperty("name").GetString())));
        Assert.Equal(["503", "200"], parts.Select(p => Tag(p, "http.status_code")));
        Assert.Equal("1", Tag(parts[1], "retry.count"));
        Assert.Equal(parts.Select(p => p.GetProperty("id").GetString()), backend.Seen(path).Select(r => r.Header("x-b3-spanid")));
    }

    [Fact]
    public async Task A_stranger_forces_no_trace_and_his_request_id_says_nothing()
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var collector = new Collector();
        // Nobody on this machine is one of us here.
        const string outside = "\nuse_remote_address: true\ninternal_address_config: { cidr_ranges: [ { address_prefix: 10.0.0.0, prefix_len: 8 } ] }\npreserve_external_request_id: true";
        await using ProxyProcess proxy = await StartAsync(backend.Port, collector.Port,
            Zipkin(tracing: "random_sampling: { value: 0 }") + outside);
        await GetAsync(proxy, path, "x-envoy-force-trace: 1\r\nx-request-id: 11111111-2222-9333-8444-555555555555\r\n");
        HttpMessage seen = backend.Seen(path).Single();
        Assert.Equal(("11111111-2222-4333-8444-555555555555", "0", null), (seen.Header("x-request-id"), seen.Header("x-b3-sampled"),
            seen.Header("x-envoy-force-trace")));
        Assert.Equal(1, await proxy.StatAsync("http.test.tracing.not_traceable"));
        Assert.Empty(collector.Requests);
    }

    [Fact]
    public async Task Whom_an_internal_client_forces_the_log_can_tell_apart_and_show_ids_of()
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var collector = new Collector();
        using var folder = new TempFolder();
        string log = Path.Combine(folder.Root, "log");
        string manager = Zipkin(tracing: "random_sampling: { value: 0 }") + Inside
            + $"\naccess_log: [ {{ name: f, filter: {{ traceable_filter: {{}} }}, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: \"{log}\", log_format: {{ text_format_source: {{ inline_string: \"%TRACE_ID% %SPAN_ID%\\n\" }} }} }} }} ]";
        await using ProxyProcess proxy = await StartAsync(backend.Port, collector.Port, manager);
        await GetAsync(proxy, path);
        HttpMessage answer = await GetAsync(proxy, path, "x-envoy-force-trace: 1\r\n");
        HttpMessage seen = backend.Seen(path)[1];
        Assert.Equal(('a', seen.Header("x-request-id")), (seen.Header("x-request-id")![14], answer.Header("x-request-id")));
        await Waiting.UntilAsync(() => File.Exists(log) && File.ReadAllText(log).EndsWith('\n'), "the log");
        Assert.Equal($"{seen.Header("x-b3-traceid")} {seen.Header("x-b3-spanid")}\n", await File.ReadAllTextAsync(log,
            TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Ten_thousand_tags_make_a_span_of_bounded_size()
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var collector = new Collector();
        string tags = string.Join(", ", Enumerable.Range(0, 10_000).Select(i => $"{{ tag: t{i}, request_header: {{ name: x-long }} }}"));
        await using ProxyProcess proxy = await StartAsync(backend.Port, collector.Port, Zipkin(tracing: $"custom_tags: [ {tags} ]"));
        Assert.Equal(200, (await GetAsync(proxy, path, $"x-long: {new string('x', 4000)}\r\n")).Status);
        await collector.SpansAsync(1);
        Assert.InRange(collector.Requests[0].Text.Length, 50_000, 400_000);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n")]
    [InlineData("garbage\r\n\r\n")]
    [InlineData("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")]
    [InlineData("")]
    public async Task A_collector_that_lies_or_says_nothing_costs_no_request(string answer)
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using var collector = new Collector((connection, _) => answer.Length > 0 ? connection.SendAsync(answer) : Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend.Port, collector.Port, Zipkin());
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 50; i++) Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).Status);
        Assert.Equal(0, await proxy.StatAsync("tracing.zipkin.reports_sent"));
    }

    [Fact]
    public async Task A_collector_that_is_dead_costs_bounded_memory_and_what_is_lost_is_counted()
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        // Takes connections, and never says a word.
        await using var collector = new Collector((_, _) => Task.CompletedTask);
        await using ProxyProcess proxy = await StartAsync(backend.Port, collector.Port, Zipkin());
        using RawClient client = await proxy.ConnectAsync();
        string padding = new('p', 30_000);
        await Waiting.UntilAsync(async () =>
        {
            for (int i = 0; i < 60; i++)
                Assert.Equal(200, (await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: h\r\nUser-Agent: {padding}\r\n\r\n")).Status);
            return await proxy.StatAsync("tracing.zipkin.spans_dropped") > 0;
        }, "dropped spans");
    }

    [Fact]
    public async Task A_cluster_that_is_not_there_is_counted()
    {
        await using var backend = new Cases();
        string path = Answer(backend, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        await using ProxyProcess proxy = await StartAsync(backend.Port, 1, Zipkin().Replace("collector_cluster: collector",
            "collector_cluster: nobody", StringComparison.Ordinal));
        Assert.Equal(200, (await GetAsync(proxy, path)).Status);
        await Waiting.UntilAsync(async () => await proxy.StatAsync("tracing.zipkin.reports_skipped_no_cluster") == 1, "the count");
    }

    [Theory]
    [InlineData("tracing: { provider: { name: a, typed_config: { \"@type\": type.googleapis.com/envoy.config.trace.v3.DatadogConfig } } }",
        "tracing.provider.typed_config")]
    [InlineData("zipkin collector_endpoint_version: GRPC", "collector_endpoint_version")]
    [InlineData("tracing: { client_sampling: { value: 101 } }", "tracing.client_sampling")]
    [InlineData("tracing: { custom_tags: [ { tag: a } ] }", "custom_tags[0]")]
    [InlineData("tracing: { custom_tags: [ { tag: a, metadata: { metadata_key: { key: k } } } ] }", "kind")]
    [InlineData("tracing: { custom_tags: [ { tag: a, value: \"%NO_SUCH%\" } ] }", "NO_SUCH")]
    [InlineData("otlp sampler: { name: s, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3.DynatraceSamplerConfig } }", "sampler")]
    [InlineData("otlp resource_detectors: [ { name: d, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.tracers.opentelemetry.resource_detectors.v3.DynatraceResourceDetectorConfig } } ]", "resource_detectors[0]")]
    public async Task What_is_not_known_is_refused_by_name(string manager, string named)
    {
        if (manager.StartsWith("zipkin ", StringComparison.Ordinal)) manager = Zipkin().Replace("collector_endpoint_version: HTTP_JSON",
            manager[7..], StringComparison.Ordinal);
        if (manager.StartsWith("otlp ", StringComparison.Ordinal)) manager = Otlp(manager[5..]);
        using var folder = new TempFolder();
        string file = Path.Combine(folder.Root, "b.yaml");
        await File.WriteAllTextAsync(file, Bootstraps.Many("- match: { prefix: / }\n  route: { cluster: backend }",
            [new TestCluster("backend", [1])], manager), TestContext.Current.CancellationToken);
        ProcessResult result = await ProxyProcess.RunAsync("-c", file, "--mode", "validate");
        Assert.NotEqual(0, result.ExitCode);
        Assert.Contains(named, result.All);
    }
}
