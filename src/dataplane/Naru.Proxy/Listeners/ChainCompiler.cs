// Makes a listener's filter chains from its configuration, on the main thread. A chain whose configuration did not change is kept with
// its connections and counters; of one that only got new HTTP settings the manager is replaced.
using Naru.Core;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Network;
using Naru.Proxy.Routing;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Listeners;

internal sealed class ChainCompiler(
    ProxyEngineOptions options, ClusterDirectory clusters, TlsContextStore tls, NodeState node, DiscoveredFilters discovered,
    Func<string, RouteSlot> routes)
{
    /// <summary>The chains, and what is to be done when they are put in place; null after an error.</summary>
    /// <param name="config">The listener.</param>
    /// <param name="prefix">Of its stats.</param>
    /// <param name="current">The chains it has now; null for a new listener.</param>
    /// <param name="diagnostics">Complaints.</param>
    public CompiledChains? Compile(ListenerConfig config, string prefix, ChainSet? current, Diagnostics diagnostics)
    {
        List<FilterChain> free = current is null ? [] : [.. current.All];
        var changes = new List<(FilterChain Chain, FilterChainConfig Config, HttpManager? Manager)>();
        var chains = new List<FilterChain>();
        try
        {
            foreach (FilterChainConfig chain in config.FilterChains)
            {
                if (Chain(config, chain, prefix, free, changes, diagnostics) is not { } compiled) return null;
                chains.Add(compiled);
            }
            FilterChain? last = null;
            if (config.DefaultFilterChain is { } fallback && (last = Chain(config, fallback, prefix, free, changes, diagnostics)) is null) return null;
            UdpProxy? udp = config.Udp is { } datagrams ? new UdpProxy(datagrams, options.Stats, clusters, Logs(datagrams.AccessLogs)) : null;
            MatcherTree<FilterChain>? matcher = config.ChainMatcher is { } leads
                ? MatcherTree<FilterChain>.Of(leads, n => chains.First(c => c.Config.Name == n.Name)) : null;
            return new CompiledChains(new ChainSet([.. chains], last, Filters(config, current), matcher), changes, free, udp, Logs(config.AccessLogs));
        }
        catch (IOException e)
        {
            diagnostics.Error("NARU-P103", $"listener {config.Name}: its access log {e.Message}", subject: config.Name, remedy: "give a path that this process may write");
            return null;
        }
    }

    private ListenerFilter[] Filters(ListenerConfig config, ChainSet? current)
    {
        List<ListenerFilterConfig> filters = [.. config.ListenerFilters];
        if (config.UseOriginalDst && !filters.OfType<OriginalDstFilterConfig>().Any()) filters.Insert(0, new OriginalDstFilterConfig());
        // Envoy adds it too, where names are matched and nobody looks at them.
        if (ChainSet.NeedsTlsInspector(config.FilterChains) && !filters.OfType<TlsInspectorConfig>().Any()) filters.Add(new TlsInspectorConfig());
        // A bucket goes on where its configuration does: a change elsewhere must not fill it.
        List<ListenerRateLimit> limits = current is null ? [] : [.. current.Filters.OfType<ListenerRateLimit>()];
        return
        [
            .. filters.Select(f => f is ListenerRateLimitConfig limit && limits.Find(l => l.Config == limit) is { } same ? same : ListenerFilter.Make(f, options.Stats, node.Runtime)),
        ];
    }

    private FilterChain? Chain(
        ListenerConfig listener, FilterChainConfig config, string prefix, List<FilterChain> free, List<(FilterChain, FilterChainConfig, HttpManager?)> changes, Diagnostics diagnostics)
    {
        FilterChain? same = free.Find(c => c.Continues(config));
        HttpManager? before = (same ?? Like(listener, config, free))?.Manager;
        HttpManager? manager = config.Terminal is HttpConnectionManagerConfig http
            ? Manager(http, before).CountedBy(options.Stats.Block($"listener.{prefix}.http.{http.StatPrefix}", ListenerHttpStats.Schema)) : null;
        if (same is not null)
        {
            free.Remove(same);
            changes.Add((same, config, manager));
            return same;
        }
        TlsServerSlot? slot = null;
        if (config.Tls is { } secure)
        {
            StatBlock? sds = secure.SecretReferences.Any() ? options.Stats.Block($"listener.{prefix}", SdsStats.Server) : null;
            slot = tls.Server(Owner(listener, config), secure, options.Stats.Block($"listener.{prefix}", TlsStats.Schema), diagnostics, sds);
            if (slot is null) return null;
        }
        TcpProxy? tcp = config.Terminal is TcpProxyConfig proxy ? Tcp(proxy) : null;
        return new FilterChain(config, manager, Server(config.Terminal, tcp), [.. config.Filters.Select(f => NetworkFilter.Make(f, new FilterContext(options.Stats, "", clusters, node)))], slot) { Tcp = tcp };
    }

    // In whose place a chain comes that is not the same: the one of its name, or the only one.
    private static FilterChain? Like(ListenerConfig listener, FilterChainConfig config, List<FilterChain> free)
    {
        if (config.Name.Length > 0) return free.Find(c => c.Config.Name == config.Name);
        return free is [{ Config.Name.Length: 0 } only] && !listener.AllChains.Skip(1).Any() ? only : null;
    }

    // Unique: TLS sessions are good for one owner only.
    private static string Owner(ListenerConfig listener, FilterChainConfig chain)
    {
        string owner = $"listener {listener.Name}";
        if (listener.FilterChains.Length + (listener.DefaultFilterChain is null ? 0 : 1) == 1) return owner;
        if (chain.Name.Length > 0) return $"{owner}, filter chain {chain.Name}";
        int index = listener.FilterChains.IndexOf(chain);
        return index < 0 ? $"{owner}, default filter chain" : $"{owner}, filter chain {index}";
    }

    private TcpProxy Tcp(TcpProxyConfig tcp) => new(tcp, options.Stats.Block($"tcp.{tcp.StatPrefix}", TcpStats.Schema), clusters, Logs(tcp.AccessLogs))
    {
        Http = tcp.Tunneling is null ? null : Inner(tcp),
    };

    private static Func<Arrival, ListenerConnection> Server(NetworkFilterConfig terminal, TcpProxy? tcp)
    {
        switch (terminal)
        {
            case HttpConnectionManagerConfig:
                return static arrival => new Http1Connection(arrival);
            case TcpProxyConfig:
                return arrival => new TcpProxyConnection(arrival, tcp!);
            case EchoConfig:
                return static arrival => new EchoConnection(arrival);
            case NetworkDirectResponseConfig direct:
                byte[] response = [.. direct.Response];
                return arrival => new DirectResponseConnection(arrival, response);
            default:
                throw new ArgumentException($"{terminal.GetType().Name} ends no filter chain");
        }
    }

    // A listener without sockets that passes CONNECT on and nothing else.
    private (Listener, FilterChain) Inner(TcpProxyConfig tcp)
    {
        var http = new HttpConnectionManagerConfig
        {
            StatPrefix = $"tunnel_{tcp.StatPrefix}",
            Upgrades = ["connect"],
            PostPath = tcp.Tunneling is { UsePost: true } tunneling ? tunneling.PostPath : "",
            GenerateRequestId = false,
            IdleTimeout = null,
            StreamIdleTimeout = null,
            RouteConfig = new RouteConfigurationConfig
            {
                Name = $"tunnel_{tcp.StatPrefix}",
                VirtualHosts =
                [
                    new VirtualHostConfig
                    {
                        Name = "tunnel",
                        Domains = ["*"],
                        Routes =
                        [
                            new RouteConfig
                            {
                                Match = new RouteMatchConfig { Kind = PathMatchKind.Connect, Path = "" },
                                // It is the proxy itself that asks.
                                Headers = HeaderMutationsConfig.None with { RequestRemove = ["x-forwarded-proto"] },
                                Action = new ForwardActionConfig
                                {
                                    Clusters = tcp.Clusters,
                                    Timeout = null,
                                    RetryPolicy = tcp.MaxConnectAttempts > 1 ? new RetryPolicyConfig { On = RetryOn.ConnectFailure, NumRetries = tcp.MaxConnectAttempts - 1, AvoidPreviousHosts = true } : null,
                                },
                            },
                        ],
                    },
                ],
            },
        };
        var config = new FilterChainConfig { Name = "tunnel", Terminal = http };
        var chain = new FilterChain(config, Manager(http, null), static arrival => new Http1Connection(arrival), [], null);
        var listener = new ListenerConfig { Name = $"tunnel_{tcp.StatPrefix}", Address = new AddressConfig(tcp.StatPrefix, 0) { Kind = AddressKind.Internal }, FilterChains = [config] };
        StatBlock stats = options.Stats.Block($"listener.tunnel_{tcp.StatPrefix}", ListenerStats.Schema);
        return (new Listener(listener, new ChainSet([chain], null, []), stats, Math.Max(1, options.Concurrency), new ListenerDirectory(), options.OnFault), chain);
    }

    // What routes and filters remember (buckets, counts, caches) goes on where their configuration does: a change elsewhere must not make
    // them forget.
    private HttpManager Manager(HttpConnectionManagerConfig http, HttpManager? before)
    {
        if (before is not null && (before.Config == http || (http.Digest.Length > 0 && before.Config.Digest == http.Digest))) return before;
        StatBlock stats = options.Stats.Block($"http.{http.StatPrefix}", HttpStats.Schema);
        RouteTable? inline = http.RouteConfig is { } given ? Inline(given, before?.InlineRoutes) : null;
        RouteScopes? scopes = http.ScopedRoutes is { } scoped
            ? new RouteScopes(scoped, table => Inline(table, before?.Scopes?.Tables.FirstOrDefault(t => t.Config.Digest.Length > 0 && t.Config.Digest == table.Digest)),
                node.Scopes)
            : null;
        RouteSlot? slot = inline is null && scopes is null ? routes(http.RouteConfigName ?? "") : null;
        var context = new FilterContext(options.Stats, stats.Prefix, clusters, node);
        return new HttpManager(http, stats, inline, slot, Logs(http.AccessLogs), Logs(http.UpstreamLogs), node.Runtime)
        {
            Scopes = scopes,
            Tracing = http.Tracing is null ? null : new Reports.RequestTracing(http, context, node.Exporters),
            Explains = options.Explain,
            FilterSet = HttpFilterSet.Make(http.HttpFilters, context, discovered, before?.FilterSet),
            ProxyStatus = http.ProxyStatus is { } status ? new ProxyStatus(status, http.ServerName, options.NodeId) : null,
            Codecs = new CodecBlocks(options.Stats.Block("http1", CodecStats.Http1), options.Stats.Block("http2", CodecStats.Http2)),
            Node = node,
        };
    }

    private RouteTable Inline(RouteConfigurationConfig config, RouteTable? before) =>
        before is not null && (before.Config == config || (config.Digest.Length > 0 && before.Config.Digest == config.Digest))
            ? before
            : new RouteTable(config, clusters, new FilterContext(options.Stats, "", clusters, node));

    private AccessLog[] Logs(IEnumerable<AccessLogConfig> configured)
    {
        var logs = new List<AccessLog>();
        foreach (AccessLogConfig log in options.AccessLog is null ? [] : configured)
        {
            LogFilter? passes = log.Filter is { } given ? LogFilters.Compile(given, node.Runtime) : null;
            if (log.Service is { } service)
            {
                logs.Add(new AccessLog(null, null, passes) { Service = Reports.ServiceLog.Of(service, new FilterContext(options.Stats, "", clusters, node)) });
                continue;
            }
            // Formats were compiled once already when the configuration was validated.
            AccessLogFormat? format = log.Format is { } source ? AccessLogFormat.Compile(source, new Diagnostics()) : AccessLogFormat.Default;
            if (format is not null) logs.Add(new AccessLog(format, options.AccessLog!.Open(log.Path), passes));
        }
        return [.. logs];
    }
}

/// <summary>Chains that were made and are not in place yet.</summary>
/// <param name="Set">All of them.</param>
/// <param name="Changes">Chains that go on with another configuration.</param>
/// <param name="Gone">Chains that are no longer there.</param>
/// <param name="Udp">What serves a UDP listener instead.</param>
/// <param name="Logs">The listener's own.</param>
internal sealed record CompiledChains(ChainSet Set, List<(FilterChain Chain, FilterChainConfig Config, HttpManager? Manager)> Changes, List<FilterChain> Gone, UdpProxy? Udp, AccessLog[] Logs)
{
    /// <summary>Has those that go on use what is new.</summary>
    /// <returns>Those that go on with another manager.</returns>
    public FilterChain[] Commit()
    {
        FilterChain[] renewed = [.. Changes.Where(c => !ReferenceEquals(c.Chain.Manager, c.Manager)).Select(c => c.Chain)];
        foreach ((FilterChain chain, FilterChainConfig config, HttpManager? manager) in Changes)
        {
            chain.Config = config;
            chain.Manager = manager;
        }
        foreach (FilterChain chain in Gone) chain.IsRetired = true;
        return renewed;
    }
}
