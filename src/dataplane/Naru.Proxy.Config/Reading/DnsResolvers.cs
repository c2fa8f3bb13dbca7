// How a cluster, or the cache of a dynamic forward proxy, looks names up: which servers, over what, how often (Envoy: Cluster.dns_*,
// DnsCacheConfig, CaresDnsResolverConfig). Without any of it the system's resolver does. Refuses resolvers that are not known.
using System.Collections.Immutable;
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Common.DynamicForwardProxy.V3;
using Envoy.Extensions.Network.DnsResolver.Cares.V3;
using Google.Protobuf.Collections;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads how names are looked up.</summary>
internal static class DnsResolvers
{
    private const string Cares = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
    private const string System = "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig";

    /// <summary>Of a cluster.</summary>
    public static ClusterConfig Read(Scope scope, Cluster cluster, ClusterConfig config)
    {
        DnsResolverConfig? resolver = null;
        if (cluster.DnsResolvers.Count > 0) resolver = new DnsResolverConfig { Servers = Servers(scope, "dns_resolvers", cluster.DnsResolvers) };
        if (cluster.UseTcpForDnsLookups) resolver = (resolver ?? new()) with { UseTcp = true };
        if (cluster.DnsResolutionConfig is { } old) resolver = Old(scope.In("dns_resolution_config", old), old);
        bool system = false;
        if (cluster.TypedDnsResolverConfig is { } typed) resolver = Typed(scope.In("typed_dns_resolver_config", typed), typed, out system);
        if (cluster.RespectDnsTtl)
        {
            if (system) scope.Error("respect_dns_ttl", "NARU-C113", "getaddrinfo tells no TTL", "use envoy.network.dns_resolver.cares, or leave typed_dns_resolver_config out");
            resolver ??= new DnsResolverConfig();
        }
        config = Failure(scope, cluster.DnsFailureRefreshRate, config);
        return config with { DnsResolver = resolver, RespectDnsTtl = cluster.RespectDnsTtl, DnsJitter = Values.Time(scope, "dns_jitter", cluster.DnsJitter) ?? TimeSpan.Zero };
    }

    /// <summary>Of a dynamic forward proxy's cache.</summary>
    public static ClusterConfig OfCache(Scope scope, DnsCacheConfig cache, ClusterConfig config)
    {
        Values.Required(scope, "name", cache.Name);
        if (!global::System.Enum.IsDefined((DnsLookupFamily)(int)cache.DnsLookupFamily))
            scope.Error("dns_lookup_family", "NARU-C102", $"{(int)cache.DnsLookupFamily} is not a dns_lookup_family");
        DnsResolverConfig? resolver = cache.UseTcpForDnsLookups ? new DnsResolverConfig { UseTcp = true } : null;
        if (cache.DnsResolutionConfig is { } old) resolver = Old(scope.In("dns_resolution_config", old), old);
        if (cache.TypedDnsResolverConfig is { } typed) resolver = Typed(scope.In("typed_dns_resolver_config", typed), typed, out _);
        TimeSpan least = Values.Time(scope, "dns_min_refresh_rate", cache.DnsMinRefreshRate) ?? TimeSpan.FromSeconds(5);
        if (least < TimeSpan.FromSeconds(1)) scope.Error("dns_min_refresh_rate", "NARU-C102", "\"dns_min_refresh_rate\" must be at least 1s");
        var names = ImmutableArray.CreateBuilder<string>(cache.PreresolveHostnames.Count);
        for (int i = 0; i < cache.PreresolveHostnames.Count; i++)
        {
            SocketAddress host = cache.PreresolveHostnames[i];
            Scope at = scope.In("preresolve_hostnames", i, host);
            if (!Values.Required(at, "address", host.Address)) continue;
            if (host.Address.Length > 253 || host.Address.Any(c => c <= ' ' || c == '/')) at.Error("address", "NARU-C107", $"\"{host.Address}\" is not a name");
            else names.Add($"{host.Address.ToLowerInvariant()}:{(host.PortValue is > 0 and <= 65535 ? host.PortValue : 80)}");
        }
        int pending = 1024;
        if (cache.DnsCacheCircuitBreaker is { } limits)
            pending = Values.Count(scope.In("dns_cache_circuit_breaker", limits), "max_pending_requests", limits.MaxPendingRequests, pending);
        return Failure(scope, cache.DnsFailureRefreshRate, config) with
        {
            DnsCacheName = cache.Name,
            DnsCacheDigest = Digest.Of(cache),
            DnsLookupFamily = (DnsLookupFamily)(int)cache.DnsLookupFamily,
            DnsRefreshRate = Values.Time(scope, "dns_refresh_rate", cache.DnsRefreshRate, mustBePositive: true) ?? TimeSpan.FromMinutes(1),
            CleanupInterval = Values.Time(scope, "host_ttl", cache.HostTtl, mustBePositive: true) ?? TimeSpan.FromMinutes(5),
            MaxPendingLookups = pending,
            DnsResolver = resolver,
            DnsMinRefreshRate = least,
            MaxHosts = Values.Count(scope, "max_hosts", cache.MaxHosts, standard: 1024, least: 1),
            DnsQueryTimeout = Values.Limit(scope, "dns_query_timeout", cache.DnsQueryTimeout, TimeSpan.FromSeconds(5)),
            PreresolveHostnames = names.ToImmutable(),
        };
    }

    private static ClusterConfig Failure(Scope scope, Cluster.Types.RefreshRate? rate, ClusterConfig config)
    {
        if (rate is null) return config;
        Scope at = scope.In("dns_failure_refresh_rate", rate);
        if (rate.BaseInterval is null) at.Error("base_interval", "NARU-C101", "\"base_interval\" is required");
        TimeSpan least = Values.Time(at, "base_interval", rate.BaseInterval, mustBePositive: true) ?? TimeSpan.FromSeconds(5);
        if (least < TimeSpan.FromMilliseconds(1)) at.Error("base_interval", "NARU-C102", "\"base_interval\" must be at least 1ms");
        TimeSpan most = Values.Time(at, "max_interval", rate.MaxInterval, mustBePositive: true) ?? least * 10;
        if (most < least) at.Error("max_interval", "NARU-C102", "\"max_interval\" is less than \"base_interval\"");
        return config with { DnsFailureBase = least, DnsFailureMax = most };
    }

    private static DnsResolverConfig Old(Scope scope, DnsResolutionConfig config) =>
        Options(config.DnsResolverOptions, new DnsResolverConfig { Servers = Servers(scope, "resolvers", config.Resolvers) });

    private static DnsResolverConfig? Typed(Scope scope, TypedExtensionConfig extension, out bool system)
    {
        string type = extension.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
        system = type == System || (type.Length == 0 && extension.Name == "envoy.network.dns_resolver.getaddrinfo");
        if (system) return null;
        if (type != Cares)
        {
            scope.Error("typed_config", "NARU-C112", $"Naru does not support the DNS resolver {(type.Length > 0 ? type : extension.Name)}", "known here: envoy.network.dns_resolver.cares and .getaddrinfo");
            return null;
        }
        if (scope.Pass.Unpack<CaresDnsResolverConfig>(extension.TypedConfig!, scope) is not { } cares) return null;
        Scope at = scope.In("typed_config", cares);
        FieldWalk.Check(at);
        return Options(cares.DnsResolverOptions, new DnsResolverConfig { Servers = Servers(at, "resolvers", cares.Resolvers), ServersAreFallback = cares.UseResolversAsFallback });
    }

    private static DnsResolverConfig Options(DnsResolverOptions? options, DnsResolverConfig config) =>
        options is null ? config : config with { UseTcp = options.UseTcpForDnsLookups, NoSearch = options.NoDefaultSearchDomain };

    private static ImmutableArray<AddressConfig> Servers(Scope scope, string field, RepeatedField<Address> addresses)
    {
        var servers = ImmutableArray.CreateBuilder<AddressConfig>(addresses.Count);
        for (int i = 0; i < addresses.Count; i++)
        {
            if (Addresses.Read(scope, $"{field}[{i}]", addresses[i], literalOnly: true) is not { } server) continue;
            if (server.Kind != AddressKind.Socket) scope.Error($"{field}[{i}]", "NARU-C107", "a DNS server has an IP address");
            else servers.Add(server.Port == 0 ? server with { Port = 53 } : server);
        }
        return servers.ToImmutable();
    }
}
