// Clusters that change, go and come back: what of them is kept, what is forgotten, and what is refused.
using System.Net;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Filters;
using Naru.Telemetry;
using Naru.UnitTests.Proxy.Filters;
using Xunit;

namespace Naru.UnitTests.Proxy.Changes;

public sealed class ClusterChangeTests
{
    private const string Get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    private static ClusterConfig Eds(string name, string service) =>
        new() { Name = name, Type = DiscoveryType.Eds, EdsServiceName = service };

    private static EndpointsConfig At(string service, params int[] ports) =>
        new(service, [.. ports.Select(p => new EndpointConfig(new AddressConfig("127.0.0.1", p)))]);

    private static int EndpointsOf(EngineBench bench, string cluster) =>
        bench.Engine.Clusters.Single(c => c.Name == cluster).Endpoints.Length;

    [Theory]
    [InlineData("")]
    [InlineData("service")]
    public async Task A_cluster_that_comes_back_has_no_endpoints_before_its_own_come(string service)
    {
        await using var bench = new EngineBench(1);
        string key = service.Length > 0 ? service : "c";
        bench.Apply(new ConfigChange { Clusters = [Eds("c", service)], Endpoints = [At(key, 1, 2)] });
        Assert.Equal(2, EndpointsOf(bench, "c"));
        bench.Apply(new ConfigChange { RemovedClusters = ["c"] });
        bench.Apply(new ConfigChange { Clusters = [Eds("c", service)] });
        Assert.Equal(0, EndpointsOf(bench, "c"));
        bench.Apply(new ConfigChange { Endpoints = [At(key, 3)] });
        Assert.Equal(1, EndpointsOf(bench, "c"));
    }

    [Fact]
    public async Task Endpoints_that_two_clusters_have_stay_until_the_second_goes()
    {
        await using var bench = new EngineBench(1);
        bench.Apply(new ConfigChange { Clusters = [Eds("a", "s"), Eds("b", "s")], Endpoints = [At("s", 1, 2)] });
        bench.Apply(new ConfigChange { RemovedClusters = ["a"] });
        bench.Apply(new ConfigChange { Clusters = [Eds("b", "s") with { ConnectTimeout = TimeSpan.FromSeconds(9) }] });
        Assert.Equal(2, EndpointsOf(bench, "b"));
        bench.Apply(new ConfigChange { RemovedClusters = ["b"] });
        bench.Apply(new ConfigChange { Clusters = [Eds("a", "s")] });
        Assert.Equal(0, EndpointsOf(bench, "a"));
    }

    [Fact]
    public async Task Endpoints_that_a_changed_cluster_no_longer_names_are_forgotten_and_those_of_nobody_are_not_kept()
    {
        await using var bench = new EngineBench(1);
        bench.Apply(new ConfigChange { Clusters = [Eds("a", "old")], Endpoints = [At("old", 1), At("nobody", 2)] });
        bench.Apply(new ConfigChange { Clusters = [Eds("a", "new")], Endpoints = [At("new", 1, 2)] });
        Assert.Equal(2, EndpointsOf(bench, "a"));
        bench.Apply(new ConfigChange { Clusters = [Eds("b", "old"), Eds("c", "nobody")] });
        Assert.Equal((0, 0), (EndpointsOf(bench, "b"), EndpointsOf(bench, "c")));
    }

    [Fact]
    public async Task Clusters_that_count_as_one_are_counted_until_the_last_goes()
    {
        await using var bench = new EngineBench(1);
        bench.Apply(EngineBench.Cluster("a", 1) with { AltStatName = "one" }, EngineBench.Cluster("b", 1) with { AltStatName = "one" });
        bench.Apply(new ConfigChange { RemovedClusters = ["a"] });
        Assert.Contains(bench.Stats.Blocks, b => b.Prefix == "cluster.one");
        bench.Apply(new ConfigChange { RemovedClusters = ["b"] });
        Assert.DoesNotContain(bench.Stats.Blocks, b => b.Prefix == "cluster.one");
    }

    [Fact]
    public async Task A_look_up_that_ends_in_a_way_nobody_thought_of_ends_the_wait()
    {
        int asked = 0;
        var caches = new Naru.Proxy.Clusters.NameCaches((_, _) => asked++ == 0
            ? throw new InvalidOperationException("unheard of")
            : Task.FromResult(new NameAnswer([IPAddress.Loopback], null)), new Naru.Telemetry.StatRegistry(1), new Naru.Proxy.Clusters.Reach());
        Naru.Proxy.Clusters.ForwardNames names = caches.Of(new ClusterConfig { Name = "c", Type = DiscoveryType.DynamicForwardProxy });
        Naru.Proxy.Clusters.ForwardNames.Entry entry = names.Get("name"u8, 80, 0, out _)!;
        await Waiting.UntilAsync(() => entry.Addresses is not null, "the end of the look-up");
        Assert.Empty(entry.Addresses!);
        // The next one is made when its time has come.
        Assert.Same(entry, names.Get("name"u8, 80, entry.GoodUntil, out _));
        await Waiting.UntilAsync(() => entry.Addresses is [_], "an address");
    }

    private static ClusterConfig Forward(string name, string digest) =>
        new() { Name = name, Type = DiscoveryType.DynamicForwardProxy, DnsCacheName = "shared", DnsCacheDigest = digest };

    [Fact]
    public async Task Who_shares_a_cache_of_names_means_the_same_by_it_and_who_is_alone_may_change_it()
    {
        await using var bench = new EngineBench(1);
        bench.Apply(Forward("a", "1"));
        Assert.Empty(bench.TryApply(new ConfigChange { Clusters = [Forward("b", "1")] }));
        Assert.Equal("NARU-P109", Assert.Single(bench.TryApply(new ConfigChange { Clusters = [Forward("b", "2")] })).Code);
        bench.Apply(new ConfigChange { RemovedClusters = ["b"] });
        Assert.Empty(bench.TryApply(new ConfigChange { Clusters = [Forward("a", "2")] }));
        Assert.Contains(bench.Stats.Blocks, b => b.Prefix == "dns_cache.shared");
        bench.Apply(new ConfigChange { RemovedClusters = ["a"] });
        Assert.DoesNotContain(bench.Stats.Blocks, b => b.Prefix.StartsWith("dns_cache.", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Names_that_nobody_asks_for_go()
    {
        var registry = new Naru.Telemetry.StatRegistry(1);
        var caches = new Naru.Proxy.Clusters.NameCaches(
            (_, _) => Task.FromResult(new NameAnswer([IPAddress.Loopback], null)), registry, new Naru.Proxy.Clusters.Reach());
        Naru.Proxy.Clusters.ForwardNames names = caches.Of(Forward("c", "1") with { CleanupInterval = TimeSpan.FromMinutes(1) });
        long now = Environment.TickCount64;
        names.Get("old.test:1"u8, 80, now - 120_000, out _);
        names.Get("[::1]"u8, 80, now, out _);
        Naru.Telemetry.StatBlock block = registry.Blocks.Single(b => b.Prefix == "dns_cache.shared");
        Assert.Equal(2, block.Read(Naru.Proxy.Clusters.NameStats.Hosts));
        caches.Refresh();
        Assert.Equal((1, 1), (block.Read(Naru.Proxy.Clusters.NameStats.Hosts), block.Read(Naru.Proxy.Clusters.NameStats.Removed)));
        await Waiting.UntilAsync(() => block.Read(Naru.Proxy.Clusters.NameStats.Success) == 2, "both look-ups");
    }

    private static ClusterConfig Named { get; } = new()
    {
        Name = "backend",
        Type = DiscoveryType.OriginalDst,
        OriginalDstHeader = "x-to",
        CleanupInterval = TimeSpan.FromMinutes(10),
    };

    private static string To(int port) => $"GET / HTTP/1.1\r\nHost: x\r\nx-to: 127.0.0.1:{port}\r\n\r\n";

    public static TheoryData<bool> Ways => [true, false];

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Idle_connections_to_addresses_that_requests_named_end_with_their_cluster(bool removed)
    {
        var ended = new TaskCompletionSource();
        await using var backend = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null) await c.OkAsync();
            ended.TrySetResult();
        });
        await using var bench = new EngineBench(1);
        bench.Apply(Named, EngineBench.Listener(EngineBench.Chain(EngineBench.Http())));
        using RawClient client = await bench.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync(To(backend.Port))).Status);
        Assert.False(ended.Task.IsCompleted);
        Assert.Equal(1, bench.Stat("cluster.backend.membership_total"));
        // Removed, or of another kind.
        if (removed) bench.Apply(new ConfigChange { RemovedClusters = ["backend"] });
        else bench.Apply(EngineBench.Cluster(backend.Port));
        await ended.Task.Within("the end of the idle connection");
    }

    [Fact]
    public async Task Addresses_that_requests_name_are_new_when_their_cluster_comes_back()
    {
        var ended = new TaskCompletionSource();
        await using var backend = new Witness(async c =>
        {
            while (await c.RequestAsync() is not null) await c.OkAsync($"{c.Index}");
            ended.TrySetResult();
        });
        await using var bench = new EngineBench(1);
        bench.Apply(Named, EngineBench.Listener(EngineBench.Chain(EngineBench.Http())));
        using RawClient client = await bench.ConnectAsync();
        string first = (await client.ExchangeAsync(To(backend.Port))).Text;
        bench.Apply(new ConfigChange { RemovedClusters = ["backend"] });
        bench.Apply(new ConfigChange { Clusters = [Named] });
        await ended.Task.Within("the end of the idle connection");
        string second = (await client.ExchangeAsync(To(backend.Port))).Text;
        Assert.NotEqual(first, second);
        // And its connections are used again.
        Assert.Equal(second, (await client.ExchangeAsync(To(backend.Port))).Text);
        await bench.StatAsync("cluster.backend.membership_total", 1);
    }

    // A kind that counts its filters.
    private sealed class CountedKind : HttpFilterExtension, IHttpFilterKind
    {
        public int Made { get; private set; }
        public override string Name => "counted";
        public override MessageDescriptor Message => throw new NotSupportedException();
        public override string Fields => "";
        internal override object Read(Scope scope, IMessage message) => throw new NotSupportedException();

        HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context)
        {
            Made++;
            return new Broken();
        }
    }

    [Fact]
    public async Task A_filter_goes_on_when_its_cluster_is_read_anew_and_is_made_anew_when_it_has_changed_or_counts_elsewhere()
    {
        var kind = new CountedKind();
        HttpFilterConfig Filter(string digest) => new("f", kind, new object(), Disabled: false) { Digest = digest };
        ClusterConfig Read(string digest) => EngineBench.Cluster(1) with { HttpFilters = [Filter(digest)] };
        await using var bench = new EngineBench(1);
        bench.Apply(Read("one"));
        bench.Apply(Read("one") with { ConnectTimeout = TimeSpan.FromSeconds(9) });
        Assert.Equal(1, kind.Made);
        bench.Apply(Read("two"));
        Assert.Equal(2, kind.Made);
        bench.Apply(Read("two") with { AltStatName = "other" });
        Assert.Equal(3, kind.Made);
    }

    private sealed class Broken : HttpFilter
    {
        public override FilterStages Stages => FilterStages.None;
    }

    // A kind whose filters cannot be made.
    private sealed class BrokenKind : HttpFilterExtension, IHttpFilterKind
    {
        public override string Name => "broken";
        public override MessageDescriptor Message => throw new NotSupportedException();
        public override string Fields => "";
        internal override object Read(Scope scope, IMessage message) => throw new NotSupportedException();
        HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => throw new InvalidOperationException("it cannot be");
        object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => throw new InvalidOperationException("it cannot be");
    }

    private static HttpFilterConfig Bad { get; } = new("own", new BrokenKind(), new Broken(), Disabled: false);

    private static HttpConnectionManagerConfig Discovering => EngineBench.Http() with
    {
        HttpFilters =
        [
            TestKind.Of(new Broken()) with
            {
                Name = "own",
                Discovery = new FilterDiscoveryConfig(new ConfigSourceConfig(ConfigSourceKind.Ads), ["t"], WithoutWarming: true),
            },
        ],
    };

    [Theory]
    [InlineData(ConfigKind.Cluster)]
    [InlineData(ConfigKind.RouteConfiguration)]
    [InlineData(ConfigKind.Listener)]
    [InlineData(ConfigKind.Filter)]
    public async Task What_cannot_be_made_is_refused_by_name_while_the_others_of_a_change_and_its_predecessor_go_on(ConfigKind kind)
    {
        await using var one = new Witness(Witness.Always("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"));
        await using var two = new Witness(Witness.Always("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"));
        await using var bench = new EngineBench(1);
        HttpConnectionManagerConfig named = Discovering with { RouteConfig = null, RouteConfigName = "test" };
        RouteConfigurationConfig routes = EngineBench.Http().RouteConfig!;
        bench.Apply(new ConfigChange
        {
            Clusters = [EngineBench.Cluster(one.Port), EngineBench.Cluster("other", one.Port)],
            RouteConfigurations = [routes],
            Listeners = [EngineBench.Listener(EngineBench.Chain(named))],
        });
        using RawClient client = await bench.ConnectAsync();
        Assert.Equal("one", (await client.ExchangeAsync(Get)).Text);

        var change = new ConfigChange { Clusters = [EngineBench.Cluster("other", two.Port)] };
        RouteFilterConfig atRoute = new("own", Disabled: false, Bad.Extension, Bad.Settings);
        ClusterConfig broken = EngineBench.Cluster(two.Port) with { HttpFilters = [Bad] };
        ListenerConfig deaf = EngineBench.Listener(EngineBench.Chain(named with { HttpFilters = [Bad] }));
        change = kind switch
        {
            ConfigKind.Cluster => change with { Clusters = change.Clusters.Insert(0, broken) },
            ConfigKind.RouteConfiguration => change with { RouteConfigurations = [routes with { Filters = [atRoute] }] },
            ConfigKind.Listener => change with { Listeners = [deaf] },
            _ => change with { Filters = [new DiscoveredFilterConfig("own", "t", Bad.Extension!, Bad.Settings)] },
        };
        string name = kind switch
        {
            ConfigKind.Cluster => "backend",
            ConfigKind.RouteConfiguration => "test",
            ConfigKind.Listener => "main",
            _ => "own",
        };
        IReadOnlyList<Refusal> refused = bench.Engine.Apply(change);
        Refusal refusal = Assert.Single(refused);
        Assert.Equal((kind, name, "NARU-P108"), (refusal.Kind, refusal.Name, refusal.Code));
        Assert.Single(bench.Faults);
        bench.Faults.Clear();
        Assert.Equal("one", (await client.ExchangeAsync(Get)).Text);
        Assert.Equal(two.Port, bench.Engine.Clusters.Single(c => c.Name == "other").Endpoints.Single().Config.Address.Port);
    }

    [Fact]
    public async Task A_cluster_whose_certificates_cannot_be_used_is_refused_by_its_name_and_nothing_else()
    {
        await using var bench = new EngineBench(1);
        var trust = new ValidationContextConfig { TrustedCa = new DataSourceConfig(null, [.. "no certificate"u8]) };
        var tls = new UpstreamTlsConfig { Common = new CommonTlsConfig { Validation = trust } };
        ClusterConfig cluster = EngineBench.Cluster(1) with { Tls = tls };
        Refusal refusal = Assert.Single(bench.Engine.Apply(new ConfigChange { Clusters = [cluster] }));
        Assert.Equal((ConfigKind.Cluster, "backend", "NARU-P104"), (refusal.Kind, refusal.Name, refusal.Code));
        Assert.Empty(bench.Engine.Clusters);
    }
}
