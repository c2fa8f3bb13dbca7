// The classic traffic rules on Bookinfo, through a whole mesh of real processes: faults for one user, copies, cross-origin requests, and
// an endpoint that fails and stands aside.
using System.Net;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

/// <summary>Bookinfo beside a service of two endpoints, of which one always fails.</summary>
public sealed class TrafficMesh : IAsyncLifetime
{
    // Says how it does: 200 or 503.
    private const string Shaky = """
        import os, sys, http.server
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(int(sys.argv[1]))
                self.send_header("content-length", "0")
                self.end_headers()
        http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
        """;

    private TempFolder _folder = null!;

    internal LocalMesh Mesh { get; private set; } = null!;

    /// <summary>Through the sidecar of productpage.</summary>
    internal HttpClient Http { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        _folder = new TempFolder("naru-traffic-");
        _folder.Write("shaky.py", Shaky);
        string manifest = _folder.Write("shaky.yaml", """
            apiVersion: v1
            kind: Service
            metadata: { name: shaky }
            spec: { selector: { app: shaky }, ports: [{ name: http, port: 9080 }] }
            ---
            apiVersion: networking.istio.io/v1
            kind: DestinationRule
            metadata: { name: shaky }
            spec:
              host: shaky
              trafficPolicy: { outlierDetection: { consecutive5xxErrors: 1, baseEjectionTime: 1h, maxEjectionPercent: 100 } }

            """ + Deployment("good", 200) + Deployment("bad", 503));
        Mesh = await LocalMesh.UpAsync(Repository.At("samples", "bookinfo"), manifest);
        Http = new HttpClient(new SocketsHttpHandler
        {
            Proxy = new WebProxy($"http://{await AddressAsync("productpage-v1")}:15080"),
            UseProxy = true
        });
    }

    private static string Deployment(string name, int status) => $$"""
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: { name: shaky-{{name}} }
        spec:
          selector: { matchLabels: { app: shaky, version: {{name}} } }
          template:
            metadata:
              labels: { app: shaky, version: {{name}} }
              annotations: { naru.dev/run: "{{OwnServiceTests.Python}} shaky.py {{status}}" }
            spec: { containers: [{ name: shaky, ports: [{ containerPort: 9080 }] }] }

        """;

    internal async Task<string> AddressAsync(string workload) =>
        LocalMesh.Pods(await Mesh.StatusAsync(), workload).Single().GetProperty("address").GetString()!;

    /// <summary>A page of the administration of a workload's sidecar.</summary>
    internal async Task<string> AdminAsync(string workload, string page)
    {
        using var http = new HttpClient();
        return await http.GetStringAsync($"http://{await AddressAsync(workload)}:15000{page}");
    }

    /// <summary>The sum of a sidecar's counters whose names begin and end so.</summary>
    internal async Task<long> CountAsync(string workload, string begin, string end) => (await AdminAsync(workload, "/stats")).Split('\n')
        .Select(l => l.Split(": ")).Where(l =>
            l.Length == 2 && l[0].StartsWith(begin, StringComparison.Ordinal) && l[0].EndsWith(end, StringComparison.Ordinal))
        .Sum(l => long.Parse(l[1]));

    public async ValueTask DisposeAsync()
    {
        Http?.Dispose();
        if (Mesh is not null) await Mesh.DisposeAsync();
        _folder.Dispose();
    }
}

public sealed class TrafficRuleTests(TrafficMesh fixture) : IClassFixture<TrafficMesh>
{
    private LocalMesh Mesh => fixture.Mesh;

    private static string Rule(string file) => Repository.At("samples", "bookinfo", "networking", file);

    private async Task NaruAsync(params string[] words)
    {
        ProcessResult result = await Mesh.NaruAsync(words);
        Assert.True(result.ExitCode == 0, result.All);
    }

    private static HttpRequestMessage Ask(HttpMethod method, string path, params (string Name, string Value)[] headers)
    {
        var request = new HttpRequestMessage(method, path);
        foreach ((string name, string value) in headers) request.Headers.Add(name, value);
        return request;
    }

    private async Task<string> PageAsync(string user)
    {
        using HttpResponseMessage answer = await Mesh.Http.SendAsync(Ask(HttpMethod.Get, "productpage", ("end-user", user)));
        return await answer.Content.ReadAsStringAsync();
    }

    private async Task<HttpStatusCode> RatingsAsync(string user)
    {
        using HttpResponseMessage answer = await fixture.Http.SendAsync(Ask(HttpMethod.Get, "http://ratings:9080/ratings/0",
            ("end-user", user)));
        return answer.StatusCode;
    }

    [Fact]
    public async Task A_broken_service_is_answered_for_by_what_its_VirtualService_says()
    {
        using var folder = new TempFolder("naru-fallback-");
        // A subset of nobody: its cluster is there, and has no endpoint.
        string rule = folder.Write("ratings.yaml", """
            apiVersion: networking.istio.io/v1
            kind: DestinationRule
            metadata: { name: nobody }
            spec: { host: ratings, subsets: [{ name: nobody, labels: { version: none } }] }
            ---
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata:
              name: ratings
              annotations: { naru.dev/fallback: '{status: 200, body: "{\"ratings\": {}}", contentType: application/json}' }
            spec:
              hosts: [ratings]
              http:
              - fault: { abort: { httpStatus: 503, percentage: { value: 100 } } }
                match: [{ headers: { end-user: { exact: faulty } } }]
                route: [{ destination: { host: ratings } }]
              - route: [{ destination: { host: ratings, subset: nobody } }]
            """);
        await NaruAsync("apply", "-f", rule);
        try
        {
            using HttpResponseMessage answer = await fixture.Http.SendAsync(Ask(HttpMethod.Get, "http://ratings:9080/ratings/0"));
            Assert.Equal((HttpStatusCode.OK, "{\"ratings\": {}}"), (answer.StatusCode, await answer.Content.ReadAsStringAsync()));
            Assert.Equal("application/json", answer.Content.Headers.ContentType!.MediaType);
            // What a filter answered is not the cluster's fault.
            Assert.Equal(HttpStatusCode.ServiceUnavailable, await RatingsAsync("faulty"));
        }
        finally
        {
            await NaruAsync("delete", "-f", rule);
        }
        Assert.Equal(HttpStatusCode.OK, await RatingsAsync("anna"));
    }

    [Fact]
    public async Task A_delay_of_ratings_is_felt_by_the_one_user_and_shows_whose_patience_ends_first()
    {
        await NaruAsync("apply", "-f", Rule("virtual-service-reviews-test-v2.yaml"), "-f", Rule("virtual-service-ratings-test-delay.yaml"));
        try
        {
            long before = await fixture.CountAsync("reviews-v2", "http.", ".fault.delays_injected");
            Assert.Contains("Sorry, product reviews are currently unavailable", await PageAsync("jason"));
            long delayed = await fixture.CountAsync("reviews-v2", "http.", ".fault.delays_injected");
            Assert.NotEqual(before, delayed);
            Assert.DoesNotContain("Sorry", await PageAsync("anna"));
            Assert.Equal(delayed, await fixture.CountAsync("reviews-v2", "http.", ".fault.delays_injected"));
        }
        finally
        {
            await NaruAsync("delete", "-f", Rule("virtual-service-reviews-test-v2.yaml"), "-f",
                Rule("virtual-service-ratings-test-delay.yaml"));
        }
    }

    [Fact]
    public async Task An_abort_is_met_by_the_one_user_and_never_sent()
    {
        await NaruAsync("apply", "-f", Rule("virtual-service-reviews-test-v2.yaml"), "-f", Rule("virtual-service-ratings-test-abort.yaml"));
        try
        {
            long before = await fixture.CountAsync("ratings-v1", "http.inbound", ".downstream_rq_total");
            Assert.Contains("Ratings service is currently unavailable", await PageAsync("jason"));
            Assert.Equal(HttpStatusCode.InternalServerError, await RatingsAsync("jason"));
            Assert.Equal(before, await fixture.CountAsync("ratings-v1", "http.inbound", ".downstream_rq_total"));
            Assert.Equal(HttpStatusCode.OK, await RatingsAsync("anna"));
            Assert.Equal(before + 1, await fixture.CountAsync("ratings-v1", "http.inbound", ".downstream_rq_total"));
        }
        finally
        {
            await NaruAsync("delete", "-f", Rule("virtual-service-reviews-test-v2.yaml"), "-f",
                Rule("virtual-service-ratings-test-abort.yaml"));
        }
    }

    [Fact]
    public async Task Copies_arrive_at_the_version_that_nobody_sees()
    {
        await NaruAsync("apply", "-f", Rule("virtual-service-reviews-mirror-v3.yaml"));
        try
        {
            long before = await fixture.CountAsync("reviews-v3", "http.inbound", ".downstream_rq_total");
            for (int i = 0; i < 5; i++) Assert.Contains("reviews-v1", await PageAsync("anna"));
            await Waiting.UntilAsync(async () =>
                await fixture.CountAsync("reviews-v3", "http.inbound", ".downstream_rq_total") == before + 5, "five copies",
                LocalMesh.Bound);
        }
        finally
        {
            await NaruAsync("delete", "-f", Rule("virtual-service-reviews-mirror-v3.yaml"));
        }
    }

    [Fact]
    public async Task Scripts_of_the_named_origins_may_ask_and_those_of_others_may_not()
    {
        await NaruAsync("apply", "-f", Rule("virtual-service-bookinfo-cors.yaml"));
        try
        {
            using HttpResponseMessage preflight = await Mesh.Http.SendAsync(Ask(HttpMethod.Options, "api/v1/products",
                ("Origin", "https://shop.example.com"), ("Access-Control-Request-Method", "GET")));
            Assert.Equal((HttpStatusCode.OK, "https://shop.example.com", "GET", "end-user", "86400"),
                (preflight.StatusCode, Header(preflight, "Origin"), Header(preflight, "Methods"), Header(preflight, "Headers"),
                    preflight.Headers.GetValues("Access-Control-Max-Age").Single()));
            foreach ((string origin, string? allowed) in new[] { ("https://example.com", "https://example.com"),
                ("https://example.org", null) })
            {
                using HttpResponseMessage answer = await Mesh.Http.SendAsync(Ask(HttpMethod.Get, "api/v1/products", ("Origin", origin)));
                Assert.Equal((HttpStatusCode.OK, allowed), (answer.StatusCode, Header(answer, "Origin")));
            }
        }
        finally
        {
            await NaruAsync("apply", "-f", Rule("bookinfo-gateway.yaml"));
        }

        static string? Header(HttpResponseMessage answer, string name) =>
            answer.Headers.TryGetValues("Access-Control-Allow-" + name, out IEnumerable<string>? values) ? string.Join(',', values) : null;
    }

    [Fact]
    public async Task An_endpoint_that_fails_stands_aside_and_is_told_by_clusters()
    {
        string bad = await fixture.AddressAsync("shaky-bad");
        await Waiting.UntilAsync(async () =>
        {
            using HttpResponseMessage answer = await fixture.Http.GetAsync("http://shaky:9080/");
            return answer.StatusCode == HttpStatusCode.ServiceUnavailable;
        }, "a request to meet the endpoint that fails", LocalMesh.Bound);
        string flags = $"outbound|9080||shaky.default.svc.cluster.local::{bad}:9080::health_flags::/failed_outlier_check";
        await Waiting.UntilAsync(async () =>
            (await fixture.AdminAsync("productpage-v1", "/clusters")).Contains(flags, StringComparison.Ordinal), "its ejection",
            LocalMesh.Bound);
        for (int i = 0; i < 50; i++)
        {
            using HttpResponseMessage answer = await fixture.Http.GetAsync("http://shaky:9080/");
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        }
    }

    [Fact]
    public async Task A_circuit_breaker_lets_through_what_it_has_room_for()
    {
        await NaruAsync("apply", "-f", Rule("destination-rule-ratings-circuit-breaker.yaml"));
        try
        {
            for (int i = 0; i < 5; i++) Assert.Equal(HttpStatusCode.OK, await RatingsAsync("anna"));
            Assert.Contains("outbound|9080|v1|ratings.default.svc.cluster.local::default_priority::max_connections::1",
                await fixture.AdminAsync("productpage-v1", "/clusters"));
            // One request a connection: none of the five was the second one.
            Assert.True(await fixture.CountAsync("productpage-v1", "cluster.outbound|9080||ratings.default", ".upstream_cx_total") >= 5);
        }
        finally
        {
            await NaruAsync("apply", "-f", Rule("destination-rule-all.yaml"));
        }
    }
}
