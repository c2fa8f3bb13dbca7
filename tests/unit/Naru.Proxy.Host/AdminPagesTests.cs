// What each page says, in Envoy's shapes, and that names which strangers chose stay text.
using System.Text;
using System.Text.Json;
using Envoy.Config.Bootstrap.V3;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Host.Admin;
using Naru.Telemetry;
using Xunit;
using HostFlags = Naru.Proxy.Clusters.HostFlags;

namespace Naru.UnitTests.Proxy.Host;

public sealed class AdminPagesTests
{
    private static async Task<(int Status, string Text, AdminResponse Response)> AskAsync(FakeTarget target, string pathAndQuery, string method = "GET")
    {
        string head = $"{method} {pathAndQuery} HTTP/1.1\r\nHost: localhost";
        Assert.Equal(0, AdminRequest.Parse(Encoding.ASCII.GetBytes(head), out AdminRequest? request, out _));
        AdminResponse response = await new AdminPages(target).AnswerAsync(request!);
        var text = new StringBuilder();
        if (response.Pieces is null) text.Append(Encoding.UTF8.GetString(response.Body.Written));
        foreach (bool _ in response.Pieces ?? [])
        {
            text.Append(Encoding.UTF8.GetString(response.Body.Written));
            response.Body.Clear();
        }
        return (response.Status, text.ToString(), response);
    }

    private static async Task<JsonElement> JsonAsync(FakeTarget target, string path)
    {
        (int status, string text, AdminResponse response) = await AskAsync(target, path);
        Assert.Equal(200, status);
        Assert.Equal(AdminResponse.Json, response.ContentType);
        return JsonDocument.Parse(text).RootElement;
    }

    [Theory]
    [InlineData("/ready", 200)]
    [InlineData("/ready?x=1", 400)]
    [InlineData("/stats", 200)]
    [InlineData("/stats/prometheus", 200)]
    [InlineData("/READY", 403)]
    [InlineData("/", 403)]
    [InlineData("/config_dump", 403)]
    [InlineData("/ready/../quitquitquit", 403)]
    public async Task Only_paths_that_are_allowed_are_answered(string path, int status)
    {
        Assert.Equal(0, AdminRequest.Parse(Encoding.ASCII.GetBytes($"GET {path} HTTP/1.1\r\nHost: localhost"), out AdminRequest? request, out _));
        var pages = new AdminPages(new FakeTarget(), [new StringMatcherConfig(StringMatchKind.Exact, "/ready"), new StringMatcherConfig(StringMatchKind.Prefix, "/stats")]);
        Assert.Equal(status, (await pages.AnswerAsync(request!)).Status);
    }

    [Theory]
    [InlineData(0, 200, "LIVE\n")]
    [InlineData(1, 503, "DRAINING\n")]
    [InlineData(2, 503, "PRE_INITIALIZING\n")]
    [InlineData(3, 503, "INITIALIZING\n")]
    public async Task Ready_is_200_only_when_live(int state, int status, string text) =>
        Assert.Equal((status, text), await AskAsync(new FakeTarget { State = (ServerState)state }, "/ready") is var (s, t, _) ? (s, t) : default);

    [Fact]
    public async Task Every_change_needs_post_and_every_page_takes_get()
    {
        var target = new FakeTarget();
        foreach (AdminCommand command in new AdminPages(target).Commands)
        {
            (int status, _, AdminResponse response) = await AskAsync(target, command.Path);
            Assert.Equal(command.Changes ? 405 : 200, status);
            Assert.Equal(command.Changes ? "POST" : null, response.Allow);
            (status, _, response) = await AskAsync(target, command.Path, "DELETE");
            Assert.Equal(405, status);
            Assert.NotNull(response.Allow);
        }
        Assert.Empty(target.Done);
    }

    [Theory]
    [InlineData("key0=2", 200)]
    [InlineData("key0=", 200)]
    [InlineData("key0=&other=1", 200)]
    [InlineData("other=&key1=", 200)]
    [InlineData("other=1", 400)]
    [InlineData("key0=&other=1&third=1", 400)]
    public async Task A_full_layer_of_the_runtime_can_be_changed_but_not_grow(string query, int status)
    {
        var target = new FakeTarget { Runtime = new([new RuntimeLayerConfig("admin", System.Collections.Immutable.ImmutableSortedDictionary<string, RuntimeValue>.Empty, IsAdmin: true)]) };
        for (int i = 0; i < 1000; i += 50)
        {
            string keys = string.Join('&', Enumerable.Range(i, 50).Select(n => $"key{n}=1"));
            Assert.Equal(200, (await AskAsync(target, $"/runtime_modify?{keys}", "POST")).Status);
        }
        Assert.Equal(status, (await AskAsync(target, $"/runtime_modify?{query}", "POST")).Status);
    }

    [Fact]
    public async Task Envoys_paths_are_there()
    {
        string[] paths = [.. new AdminPages(new FakeTarget()).Commands.Select(c => c.Path)];
        foreach (string path in "/ /help /certs /clusters /config_dump /healthcheck/fail /healthcheck/ok /hot_restart_version /ledger /listeners /logging /memory /quitquitquit /reset_counters /drain_listeners /runtime /runtime_modify /server_info /ready /stats /stats/prometheus /reopen_logs".Split(' '))
            Assert.Contains(path, paths);
        (int status, string text, _) = await AskAsync(new FakeTarget(), "/help");
        Assert.Equal(200, status);
        Assert.All(paths, p => Assert.Contains($"  {p}", text, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("/stat", 404, "/stats?")]
    [InlineData("/config_dum", 404, "/config_dump?")]
    [InlineData("/%3Cscript%3E", 404, "no admin command")]
    [InlineData("/stats?usedonli", 400, "usedonly")]
    [InlineData("/ready?x=1", 400, "takes none")]
    [InlineData("/stats?filter=(", 400, "regular expression")]
    [InlineData("/stats?format=xml", 400, "xml")]
    [InlineData("/stats?type=Things", 400, "Counters")]
    [InlineData("/stats?histogram_buckets=detailed", 400, "disjoint")]
    [InlineData("/ready/", 404, "invalid path. admin commands are:")]
    [InlineData("/clusters?filter=(", 400, "Invalid re2 regex")]
    [InlineData("/stats/prometheus?format=json", 400, "json")]
    [InlineData("/clusters?format=xml", 400, "xml")]
    [InlineData("/config_dump?mask=a", 400, "FieldMask a could not be")]
    [InlineData("/config_dump?resource=static_clusters&mask=cluster", 400, "FieldMask")]
    [InlineData("/config_dump?resource=x", 404, "x not found in config dump")]
    [InlineData("/config_dump?name_regex=(", 400, "missing )")]
    [InlineData("/config_dump?name_regex=[", 400, "name_regex")]
    public async Task What_is_not_there_is_refused_by_name(string path, int status, string says)
    {
        (int got, string text, AdminResponse response) = await AskAsync(new FakeTarget(), path);
        Assert.Equal(status, got);
        Assert.Contains(says, text, StringComparison.Ordinal);
        Assert.StartsWith("text/plain", response.ContentType, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_home_page_escapes_what_strangers_named()
    {
        (_, string text, AdminResponse response) = await AskAsync(new FakeTarget(), "/");
        Assert.StartsWith("text/html", response.ContentType, StringComparison.Ordinal);
        Assert.DoesNotContain("<img", text, StringComparison.Ordinal);
        Assert.DoesNotContain("<script", text, StringComparison.Ordinal);
        Assert.Contains("&lt;img", text, StringComparison.Ordinal);
        Assert.Contains("<form method=\"post\" action=\"quitquitquit\">", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Stats_take_a_filter_a_type_and_used_only()
    {
        var target = new FakeTarget();
        var schema = new StatSchema();
        int hits = schema.Counter("hits");
        schema.Gauge("now");
        target.Stats.Block("cluster.a", schema).Add(hits, 3);
        target.Stats.Block("cluster.b", schema);
        Assert.Equal("cluster.a.hits: 3\n", (await AskAsync(target, "/stats?usedonly&filter=cluster")).Text);
        Assert.Equal("cluster.a.now: 0\ncluster.b.now: 0\n", (await AskAsync(target, "/stats?type=Gauges")).Text);
        Assert.Equal("cluster.b.hits: 0\n", (await AskAsync(target, "/stats?filter=%5Ecluster%5C.b.*hits%24")).Text);
        Assert.Contains("envoy_cluster_hits{envoy_cluster_name=\"a\"} 3", (await AskAsync(target, "/stats?format=prometheus")).Text, StringComparison.Ordinal);
        Assert.Equal(4 + 1, (await JsonAsync(target, "/stats?format=json&filter=cluster")).GetProperty("stats").GetArrayLength());
    }

    [Fact]
    public async Task Listeners_and_clusters_are_shown_as_text_and_as_json()
    {
        var target = new FakeTarget();
        target.Listeners.Add(new ListenerView("ingress", [new AddressView("127.0.0.1", 8080), new AddressView("::1", 8080)]));
        target.Listeners.Add(new ListenerView(FakeTarget.Evil, [new AddressView("127.0.0.1", 81)]));
        target.Clusters.Add(new ClusterView("reviews")
        {
            Thresholds = new ThresholdsConfig { MaxConnections = 1024, MaxPendingRequests = 1024, MaxRequests = 1024, MaxRetries = 3 },
            AddedViaApi = true,
            EdsServiceName = "outbound|9080||reviews",
            Hosts =
            [
                new HostView(new AddressView("10.0.0.1", 9080), "r1") { Weight = 2, Region = "eu", Zone = "a", Stats = [("cx_active", 4, true), ("rq_total", 9, false)] },
                new HostView(new AddressView("10.0.0.2", 9080), "") { EdsHealth = "UNHEALTHY", Flags = HostFlags.FailedEdsHealth,
                    Priority = 1 },
            ],
        });
        string listeners = (await AskAsync(target, "/listeners")).Text;
        Assert.StartsWith("ingress::127.0.0.1:8080\ningress::[::1]:8080\n", listeners, StringComparison.Ordinal);
        Assert.Equal(3, listeners.Count(c => c == '\n'));
        JsonElement status = (await JsonAsync(target, "/listeners?format=json")).GetProperty("listener_statuses")[0];
        Assert.Equal("ingress", status.GetProperty("name").GetString());
        Assert.Equal(8080, status.GetProperty("local_address").GetProperty("socket_address").GetProperty("port_value").GetInt32());
        Assert.Equal(1, status.GetProperty("additional_local_addresses").GetArrayLength());

        string[] lines = (await AskAsync(target, "/clusters")).Text.Split('\n');
        foreach (string line in new[]
            {
                "reviews::observability_name::reviews", "reviews::default_priority::max_retries::3", "reviews::added_via_api::true",
                "reviews::10.0.0.1:9080::cx_active::4", "reviews::10.0.0.1:9080::hostname::r1", "reviews::10.0.0.1:9080::health_flags::healthy",
                "reviews::10.0.0.1:9080::weight::2", "reviews::10.0.0.1:9080::region::eu", "reviews::10.0.0.2:9080::health_flags::/failed_eds_health",
                "reviews::10.0.0.2:9080::priority::1",
            })
        {
            Assert.Contains(line, lines);
        }
        JsonElement cluster = (await JsonAsync(target, "/clusters?format=json")).GetProperty("cluster_statuses")[0];
        Assert.True(cluster.GetProperty("added_via_api").GetBoolean());
        JsonElement host = cluster.GetProperty("host_statuses")[0];
        Assert.Equal("10.0.0.1", host.GetProperty("address").GetProperty("socket_address").GetProperty("address").GetString());
        Assert.Equal("4", host.GetProperty("stats").EnumerateArray().First(s => s.TryGetProperty("type", out _)).GetProperty("value").GetString());
        Assert.Equal("UNHEALTHY", cluster.GetProperty("host_statuses")[1].GetProperty("health_status").GetProperty("eds_health_status").GetString());
    }

    [Fact]
    public async Task The_servers_own_pages_have_Envoys_fields()
    {
        JsonElement info = await JsonAsync(new FakeTarget(), "/server_info");
        Assert.Equal("LIVE", info.GetProperty("state").GetString());
        Assert.Equal("61s", info.GetProperty("uptime_current_epoch").GetString());
        Assert.Equal(FakeTarget.Evil, info.GetProperty("node").GetProperty("id").GetString());
        JsonElement memory = await JsonAsync(new FakeTarget(), "/memory");
        Assert.True(long.Parse(memory.GetProperty("allocated").GetString()!) > 0);
        Assert.True(long.Parse(memory.GetProperty("total_allocated_bytes").GetString()!) > 0);
        Assert.Equal(0, (await JsonAsync(new FakeTarget(), "/certs")).GetProperty("certificates").GetArrayLength());
    }

    [Fact]
    public async Task Log_levels_are_read_by_get_and_changed_by_post()
    {
        var target = new FakeTarget();
        Assert.Contains("  admin: info\n", (await AskAsync(target, "/logging")).Text, StringComparison.Ordinal);
        Assert.Equal(405, (await AskAsync(target, "/logging?level=debug")).Status);
        Assert.Contains("  admin: debug\n", (await AskAsync(target, "/logging?level=debug", "POST")).Text, StringComparison.Ordinal);
        string text = (await AskAsync(target, "/logging?paths=admin:error,main:off", "POST")).Text;
        Assert.Contains("  admin: error\n", text, StringComparison.Ordinal);
        Assert.Contains("  main: off\n", text, StringComparison.Ordinal);
        Assert.Equal(400, (await AskAsync(target, "/logging?level=loud", "POST")).Status);
        (int status, text, _) = await AskAsync(target, "/logging?paths=amdin:info", "POST");
        Assert.Equal(400, status);
        Assert.Contains("admin", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/drain_listeners", "drain False False False")]
    [InlineData("/drain_listeners?graceful", "drain False True False")]
    [InlineData("/drain_listeners?graceful&skip_exit&inboundonly", "drain True True True")]
    [InlineData("/reset_counters", "reset")]
    [InlineData("/reopen_logs", "reopen")]
    public async Task A_post_does_what_it_says(string path, string done)
    {
        var target = new FakeTarget();
        Assert.Equal((200, "OK\n"), await AskAsync(target, path, "POST") is var (s, t, _) ? (s, t) : default);
        Assert.Equal([done], target.Done);
    }

    [Fact]
    public async Task Health_can_be_failed_and_taken_back()
    {
        var target = new FakeTarget();
        await AskAsync(target, "/healthcheck/fail", "POST");
        Assert.True(target.HealthCheckFailed);
        await AskAsync(target, "/healthcheck/ok", "POST");
        Assert.False(target.HealthCheckFailed);
        Assert.Equal(400, (await AskAsync(target, "/drain_listeners?skip_exit", "POST")).Status);
    }

    private static FakeTarget WithDump()
    {
        var routes = new RouteConfiguration { Name = "9080" };
        routes.RequestHeadersToAdd.Add(new HeaderValueOption { Header = new HeaderValue { Key = "Authorization", Value = "Bearer s3cr3t" } });
        routes.RequestHeadersToAdd.Add(new HeaderValueOption { Header = new HeaderValue { Key = "x-plain", Value = "seen" } });
        var bootstrap = new Bootstrap { Node = new Node { Id = "n", Metadata = new Struct { Fields = { ["MESH_TOKEN"] = Value.ForString("s3cr3t"), ["ZONE"] = Value.ForString("seen") } } } };
        DateTimeOffset at = DateTimeOffset.UnixEpoch;
        var hidden = new DataSource { InlineString = "s3cr3t" };
        var own = new TlsCertificate { CertificateChain = new DataSource { InlineString = "shown chain" }, PrivateKey = hidden, Password = hidden, Pkcs12 = hidden };
        var tls = new DownstreamTlsContext { CommonTlsContext = new CommonTlsContext { TlsCertificates = { own }, TlsCertificateSdsSecretConfigs = { new SdsSecretConfig { Name = "shown reference" } } } };
        bootstrap.StaticResources = new Bootstrap.Types.StaticResources { Secrets = { new Secret { Name = "shown secret", TlsCertificate = own } } };
        bootstrap.StaticResources.Listeners.Add(new Listener { FilterChains = { new FilterChain { TransportSocket = new TransportSocket { Name = "tls", TypedConfig = Any.Pack(tls) } } } });
        string[] written = ["http://u:s3cr3t@h/p?x=seen", "HTTPS://s3cr3t@h", "a://u:s3cr3t@pw@h:1/@seen", "to x://u:s3cr3t@h and y://v:s3cr3t@k"];
        for (int i = 0; i < written.Length; i++) bootstrap.Node.Metadata.Fields["a" + i] = Value.ForString(written[i]);
        bootstrap.Node.Metadata.Fields["list"] = Value.ForList([.. written.Select(Value.ForString)]);
        var asked = new Envoy.Config.Core.V3.HealthCheck
        {
            HttpHealthCheck = new Envoy.Config.Core.V3.HealthCheck.Types.HttpHealthCheck { Path = "/shown-path?key=s3cr3t&b" },
        };
        bootstrap.StaticResources.Clusters.Add(new Cluster { Name = "asked", HealthChecks = { asked } });
        return new FakeTarget
        {
            Dump = new ConfigDumpView(bootstrap, at, "c7", "l8",
            [
                new DumpedResource(DumpKind.Cluster, "static", true, DumpState.Active, "", at, new Cluster { Name = "static" }),
                new DumpedResource(DumpKind.Cluster, FakeTarget.Evil, false, DumpState.Active, "c7", at, new Cluster { Name = FakeTarget.Evil }),
                new DumpedResource(DumpKind.Cluster, "warm", false, DumpState.Warming, "c7", at, new Cluster { Name = "warm" }),
                new DumpedResource(DumpKind.Endpoint, "static", true, DumpState.Active, "", at, new Envoy.Config.Endpoint.V3.ClusterLoadAssignment { ClusterName = "static" }),
                new DumpedResource(DumpKind.Listener, "dyn", false, DumpState.Active, "l8", at, new Listener { Name = "dyn" }) { Failure = ("NARU-C010: no", "l9", at) },
                new DumpedResource(DumpKind.Listener, "never", false, DumpState.Failed, "", at, null) { Failure = ("bad", "l9", at) },
                new DumpedResource(DumpKind.Route, "9080", false, DumpState.Active, "r1", at, routes),
                new DumpedResource(DumpKind.Secret, "own", false, DumpState.Active, "s1", at, new Secret { Name = "own", TlsCertificate = own }),
                new DumpedResource(DumpKind.Secret, "keys", true, DumpState.Active, "", at, new Secret { Name = "keys", SessionTicketKeys = new TlsSessionTicketKeys { Keys = { hidden } } }),
            ]),
        };
    }

    [Fact]
    public async Task The_dump_has_Envoys_shape()
    {
        JsonElement[] configs = [.. (await JsonAsync(WithDump(), "/config_dump")).GetProperty("configs").EnumerateArray()];
        Assert.Equal(["BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump", "ScopedRoutesConfigDump", "SecretsConfigDump"],
            configs.Select(c => c.GetProperty("@type").GetString()!.Replace("type.googleapis.com/envoy.admin.v3.", "", StringComparison.Ordinal)));
        Assert.Equal("n", configs[0].GetProperty("bootstrap").GetProperty("node").GetProperty("id").GetString());
        Assert.Equal("c7", configs[1].GetProperty("version_info").GetString());
        JsonElement cluster = configs[1].GetProperty("dynamic_active_clusters")[0];
        Assert.Equal("type.googleapis.com/envoy.config.cluster.v3.Cluster", cluster.GetProperty("cluster").GetProperty("@type").GetString());
        Assert.Equal(FakeTarget.Evil, cluster.GetProperty("cluster").GetProperty("name").GetString());
        Assert.Equal("warm", configs[1].GetProperty("dynamic_warming_clusters")[0].GetProperty("cluster").GetProperty("name").GetString());
        Assert.Equal("static", configs[1].GetProperty("static_clusters")[0].GetProperty("cluster").GetProperty("name").GetString());
        JsonElement listener = configs[2].GetProperty("dynamic_listeners")[0];
        Assert.Equal("dyn", listener.GetProperty("active_state").GetProperty("listener").GetProperty("name").GetString());
        Assert.Equal("l9", listener.GetProperty("error_state").GetProperty("version_info").GetString());
        Assert.Equal("bad", configs[2].GetProperty("dynamic_listeners")[1].GetProperty("error_state").GetProperty("details").GetString());
        Assert.Equal(("own", "s1"), (configs[5].GetProperty("dynamic_active_secrets")[0].GetProperty("name").GetString(), configs[5].GetProperty("dynamic_active_secrets")[0].GetProperty("version_info").GetString()));
        Assert.Equal("keys", configs[5].GetProperty("static_secrets")[0].GetProperty("secret").GetProperty("name").GetString());
        Assert.Equal("r1", configs[3].GetProperty("dynamic_route_configs")[0].GetProperty("version_info").GetString());
    }

    [Fact]
    public async Task Endpoints_are_dumped_on_request()
    {
        JsonElement[] configs = [.. (await JsonAsync(WithDump(), "/config_dump?include_eds")).GetProperty("configs").EnumerateArray()];
        JsonElement endpoints = configs.Single(c => c.GetProperty("@type").GetString()!.EndsWith("EndpointsConfigDump", StringComparison.Ordinal));
        Assert.Equal("static", endpoints.GetProperty("static_endpoint_configs")[0].GetProperty("endpoint_config").GetProperty("cluster_name").GetString());
    }

    [Fact]
    public async Task A_resource_and_a_name_choose()
    {
        JsonElement configs = (await JsonAsync(WithDump(), "/config_dump?resource=dynamic_listeners")).GetProperty("configs");
        Assert.Equal(2, configs.GetArrayLength());
        Assert.EndsWith("DynamicListener", configs[0].GetProperty("@type").GetString(), StringComparison.Ordinal);
        Assert.Equal(1, (await JsonAsync(WithDump(), "/config_dump?resource=bootstrap")).GetProperty("configs").GetArrayLength());
        configs = (await JsonAsync(WithDump(), "/config_dump?name_regex=d.n")).GetProperty("configs");
        Assert.Equal(1, configs.EnumerateArray().Sum(c => c.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.Array).Sum(p => p.Value.GetArrayLength())));
    }

    [Fact]
    public async Task Secrets_are_not_in_the_dump()
    {
        string text = (await AskAsync(WithDump(), "/config_dump?include_eds")).Text;
        Assert.DoesNotContain("s3cr3t", text, StringComparison.Ordinal);
        Assert.Contains("[redacted]", text, StringComparison.Ordinal);
        Assert.Equal(2, text.Split("\"seen\"").Length - 1);
        string[] all = ["shown chain", "shown reference", "shown secret", "/shown-path?[redacted]", "http://[redacted]@h/p?x=seen"];
        foreach (string shown in all) Assert.Contains(shown, text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("https://u:s3cr3t@h/keys?k=s3cr3t#a", "https://[redacted]@h/keys?[redacted]")]
    [InlineData("https://s3cr3t@h", "https://[redacted]@h")]
    [InlineData("https://u:s3cr3t@pw@h:1/a", "https://[redacted]@h:1/a")]
    [InlineData("h:443?k=s3cr3t", "h:443?[redacted]")]
    [InlineData("https://h/@a", "https://h/@a")]
    public void Who_logs_in_and_what_a_query_holds_is_not_in_an_address_of_the_dump(string uri, string shown)
    {
        string text = MessageJson.Print(new HttpUri { Uri = uri, Cluster = "c" }, typed: false);
        Assert.Contains($"\"{shown}\"", text, StringComparison.Ordinal);
        Assert.DoesNotContain("s3cr3t", text, StringComparison.Ordinal);
    }
}
