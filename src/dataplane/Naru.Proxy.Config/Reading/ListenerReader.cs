// envoy.config.listener.v3.Listener and the HTTP connection manager in it, as records. A listener has one filter chain with one
// network filter, the HTTP connection manager, whose last HTTP filter is the router; everything else is refused by name.
using System.Collections.Immutable;
using Envoy.Config.Accesslog.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads listeners.</summary>
internal static class ListenerReader
{
    private const string HcmName = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    private const string RouterName = "envoy.extensions.filters.http.router.v3.Router";

    /// <summary>The record; null after an error that leaves none.</summary>
    public static ListenerConfig? Read(Scope scope, Listener listener)
    {
        FieldWalk.Check(scope);
        if (listener.ListenerSpecifierCase != Listener.ListenerSpecifierOneofCase.None || listener.ApiListener is not null) return null;
        AddressConfig? address = Values.Address(scope, "address", listener.Address, literalOnly: true);
        var additional = ImmutableArray.CreateBuilder<AddressConfig>(listener.AdditionalAddresses.Count);
        for (int i = 0; i < listener.AdditionalAddresses.Count; i++)
        {
            AdditionalAddress more = listener.AdditionalAddresses[i];
            if (Values.Address(scope.In("additional_addresses", i, more), "address", more.Address, literalOnly: true) is { } other) additional.Add(other);
        }
        if (listener.BindToPort == false || listener.DeprecatedV1?.BindToPort == false)
        {
            scope.Error(listener.BindToPort == false ? "bind_to_port" : "deprecated_v1", "NARU-C113", "a listener that binds no port is not supported yet", "let it bind a port of its own");
        }
        ListenerFilters(scope, listener);
        HttpConnectionManagerConfig? http = Chain(scope, listener) is var (at, chain) ? Http(at, chain) : null;
        if (address is null || http is null) return null;
        return new ListenerConfig
        {
            Name = listener.Name.Length > 0 ? listener.Name : address.ToString(),
            Address = address,
            AdditionalAddresses = additional.ToImmutable(),
            FilterChains = [new FilterChainConfig { Terminal = http }],
            StatPrefix = listener.StatPrefix,
            Direction = listener.TrafficDirection switch
            {
                Envoy.Config.Core.V3.TrafficDirection.Inbound => TrafficDirection.Inbound,
                Envoy.Config.Core.V3.TrafficDirection.Outbound => TrafficDirection.Outbound,
                _ => TrafficDirection.Unspecified,
            },
        };
    }

    // Inspectors only serve the matching of filter chains, of which there is one.
    private static void ListenerFilters(Scope scope, Listener listener)
    {
        for (int i = 0; i < listener.ListenerFilters.Count; i++)
        {
            ListenerFilter filter = listener.ListenerFilters[i];
            Scope at = scope.In("listener_filters", i, filter);
            if (filter.Name is "envoy.filters.listener.tls_inspector" or "envoy.filters.listener.http_inspector")
            {
                at.Info("name", "NARU-C111", $"\"{filter.Name}\" has no effect: there is one filter chain, so nothing is inspected");
                continue;
            }
            at.Error("name", "NARU-C112", $"Naru does not support the listener filter {filter.Name} yet", "remove it");
        }
    }

    private static (Scope Scope, FilterChain Chain)? Chain(Scope scope, Listener listener)
    {
        if (listener.FilterChains.Count == 1 && listener.DefaultFilterChain is null) return (scope.In("filter_chains", 0, listener.FilterChains[0]), listener.FilterChains[0]);
        if (listener.FilterChains.Count == 0 && listener.DefaultFilterChain is { } only) return (scope.In("default_filter_chain", only), only);
        if (listener.FilterChains.Count == 0)
        {
            scope.Error("filter_chains", "NARU-C101", "\"filter_chains\" is required", "add a filter chain with an HTTP connection manager");
            return null;
        }
        scope.Error("filter_chains", "NARU-C113", "a listener has one filter chain: chains are not matched yet", "give each chain a listener of its own");
        return null;
    }

    private static HttpConnectionManagerConfig? Http(Scope scope, FilterChain chain)
    {
        if (chain.TransportSocket is { } socket) TransportSockets.MustBePlain(scope.In("transport_socket", socket), socket);
        HttpConnectionManagerConfig? http = null;
        for (int i = 0; i < chain.Filters.Count; i++)
        {
            Filter filter = chain.Filters[i];
            Scope at = scope.In("filters", i, filter);
            string type = filter.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
            if (type != HcmName)
            {
                string name = type.Length > 0 ? type : filter.Name;
                if (type.Length == 0 && filter.Name is "envoy.filters.network.http_connection_manager") at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
                else at.Error(filter.TypedConfig is null ? "name" : "typed_config", "NARU-C112", $"Naru does not support the network filter {name} yet", "known here: envoy.filters.network.http_connection_manager");
                continue;
            }
            if (i + 1 < chain.Filters.Count) at.Error("", "NARU-C106", "the HTTP connection manager must be the last network filter", "remove the filters after it");
            if (scope.Pass.Unpack<HttpConnectionManager>(filter.TypedConfig!, at) is { } manager) http = Manager(at.In("typed_config", manager), manager);
        }
        if (chain.Filters.Count == 0) scope.Error("filters", "NARU-C101", "\"filters\" is required", "add envoy.filters.network.http_connection_manager");
        return http;
    }

    private static HttpConnectionManagerConfig Manager(Scope scope, HttpConnectionManager manager)
    {
        FieldWalk.Check(scope);
        Values.Required(scope, "stat_prefix", manager.StatPrefix);
        if (manager.CodecType is not (HttpConnectionManager.Types.CodecType.Auto or HttpConnectionManager.Types.CodecType.Http1))
        {
            scope.Error("codec_type", "NARU-C113", $"{manager.CodecType.ToString().ToUpperInvariant()} is not supported yet", "use AUTO or HTTP1");
        }
        if (manager.PathWithEscapedSlashesAction is not (HttpConnectionManager.Types.PathWithEscapedSlashesAction.ImplementationSpecificDefault or HttpConnectionManager.Types.PathWithEscapedSlashesAction.KeepUnchanged))
        {
            scope.Error("path_with_escaped_slashes_action", "NARU-C113", "escaped slashes are kept as they are", "use KEEP_UNCHANGED");
        }
        HttpFilters(scope, manager);
        var config = new HttpConnectionManagerConfig
        {
            StatPrefix = manager.StatPrefix,
            ServerName = manager.ServerName.Length > 0 ? manager.ServerName : "naru",
            ServerHeader = (ServerHeaderTransformation)(int)manager.ServerHeaderTransformation,
            UseRemoteAddress = manager.UseRemoteAddress ?? false,
            SkipXffAppend = manager.SkipXffAppend,
            GenerateRequestId = manager.GenerateRequestId ?? true,
            PreserveExternalRequestId = manager.PreserveExternalRequestId,
            AlwaysSetRequestIdInResponse = manager.AlwaysSetRequestIdInResponse,
            Via = manager.Via,
            Proxy100Continue = manager.Proxy100Continue,
            NormalizePath = manager.NormalizePath ?? false,
            MergeSlashes = manager.MergeSlashes,
            MaxRequestHeadersBytes = Values.Count(scope, "max_request_headers_kb", manager.MaxRequestHeadersKb, 60, 1, 8192) * 1024,
            StreamIdleTimeout = Values.Limit(scope, "stream_idle_timeout", manager.StreamIdleTimeout, TimeSpan.FromMinutes(5)),
            RequestTimeout = Values.Limit(scope, "request_timeout", manager.RequestTimeout, null),
            RequestHeadersTimeout = Values.Limit(scope, "request_headers_timeout", manager.RequestHeadersTimeout, TimeSpan.FromSeconds(10)),
            DelayedCloseTimeout = Values.Time(scope, "delayed_close_timeout", manager.DelayedCloseTimeout) ?? TimeSpan.FromSeconds(1),
            DrainTimeout = Values.Time(scope, "drain_timeout", manager.DrainTimeout) ?? TimeSpan.FromSeconds(5),
            Upgrades = Upgrades(scope, manager),
            AccessLogs = Logs(scope, manager),
        };
        foreach ((string field, string value) in new[] { ("server_name", manager.ServerName), ("via", manager.Via) })
        {
            if (value.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0) scope.Error(field, "NARU-C108", $"\"{field}\" holds a line end or NUL");
        }
        if (manager.CommonHttpProtocolOptions is { } common) config = Common(scope.In("common_http_protocol_options", common), common, config);
        if (manager.HttpProtocolOptions is { } http1) Http1(scope.In("http_protocol_options", http1), http1);
        return Routes(scope, manager, config);
    }

    private static void HttpFilters(Scope scope, HttpConnectionManager manager)
    {
        bool routerIsLast = false;
        for (int i = 0; i < manager.HttpFilters.Count; i++)
        {
            HttpFilter filter = manager.HttpFilters[i];
            Scope at = scope.In("http_filters", i, filter);
            Values.Required(at, "name", filter.Name);
            if (filter.ConfigTypeCase == HttpFilter.ConfigTypeOneofCase.ConfigDiscovery) continue;
            string type = filter.TypedConfig is { } any ? EnvoyTypes.NameOf(any) : "";
            if (type == RouterName || (type.Length == 0 && filter.Name is "envoy.filters.http.router"))
            {
                if (i + 1 < manager.HttpFilters.Count) at.Error("", "NARU-C106", "the router must be the last HTTP filter", "move it to the end");
                else routerIsLast = true;
                if (filter.Disabled) at.Error("disabled", "NARU-C106", "the router cannot be disabled");
                if (filter.TypedConfig is not null && scope.Pass.Unpack<Router>(filter.TypedConfig, at) is { } router) FieldWalk.Check(at.In("typed_config", router));
                continue;
            }
            string name = type.Length > 0 ? type : filter.Name;
            if (filter.IsOptional || filter.Disabled)
            {
                at.Info("name", "NARU-C111", $"the HTTP filter {name} is left out: it is not supported yet, and {(filter.Disabled ? "disabled" : "optional")}");
                continue;
            }
            at.Error(filter.TypedConfig is null ? "name" : "typed_config", "NARU-C112", $"Naru does not support the HTTP filter {name} yet", "known here: envoy.filters.http.router; remove it, or set is_optional: true");
        }
        if (!routerIsLast && !manager.HttpFilters.Any(f => f.Name.EndsWith("router", StringComparison.Ordinal)))
        {
            scope.Error("http_filters", "NARU-C106", "the last HTTP filter must be the router", "end http_filters with envoy.filters.http.router");
        }
    }

    private static ImmutableArray<AccessLogConfig> Logs(Scope scope, HttpConnectionManager manager)
    {
        var logs = ImmutableArray.CreateBuilder<AccessLogConfig>(manager.AccessLog.Count);
        for (int i = 0; i < manager.AccessLog.Count; i++)
        {
            AccessLog log = manager.AccessLog[i];
            if (AccessLogs.Read(scope.In("access_log", i, log), log) is { } config) logs.Add(config);
        }
        return logs.ToImmutable();
    }

    private static ImmutableArray<string> Upgrades(Scope scope, HttpConnectionManager manager)
    {
        // WebSocket is on unless it is switched off.
        var upgrades = new List<string> { "websocket" };
        for (int i = 0; i < manager.UpgradeConfigs.Count; i++)
        {
            HttpConnectionManager.Types.UpgradeConfig upgrade = manager.UpgradeConfigs[i];
            if (UpgradeToken(scope.In("upgrade_configs", i, upgrade), upgrade.UpgradeType) is not { } token) continue;
            upgrades.Remove(token);
            if (upgrade.Enabled != false) upgrades.Add(token);
        }
        return [.. upgrades];
    }

    /// <summary>The lower-case token of an upgrade, or null after an error.</summary>
    public static string? UpgradeToken(Scope scope, string type)
    {
        if (!Values.Required(scope, "upgrade_type", type)) return null;
        string token = type.ToLowerInvariant();
        if (token is not ("connect" or "connect-udp" or "h2c")) return token;
        scope.Error("upgrade_type", "NARU-C113", $"the upgrade to {type} is not supported yet", "remove it");
        return null;
    }

    private static HttpConnectionManagerConfig Common(Scope scope, HttpProtocolOptions options, HttpConnectionManagerConfig config)
    {
        if (options.HeadersWithUnderscoresAction != 0) scope.Error("headers_with_underscores_action", "NARU-C113", "headers with underscores are passed on", "use ALLOW");
        return config with
        {
            IdleTimeout = Values.Limit(scope, "idle_timeout", options.IdleTimeout, config.IdleTimeout),
            MaxConnectionDuration = Values.Limit(scope, "max_connection_duration", options.MaxConnectionDuration, null),
            MaxStreamDuration = Values.Limit(scope, "max_stream_duration", options.MaxStreamDuration, null),
            MaxHeadersCount = Values.Count(scope, "max_headers_count", options.MaxHeadersCount, 100, 1),
            MaxRequestsPerConnection = Values.Count(scope, "max_requests_per_connection", options.MaxRequestsPerConnection, 0),
        };
    }

    private static void Http1(Scope scope, Http1ProtocolOptions options)
    {
        if (options.AllowAbsoluteUrl == false) scope.Error("allow_absolute_url", "NARU-C113", "a target in absolute form is always taken, as RFC 9112 asks", "remove it");
    }

    private static HttpConnectionManagerConfig Routes(Scope scope, HttpConnectionManager manager, HttpConnectionManagerConfig config)
    {
        switch (manager.RouteSpecifierCase)
        {
            case HttpConnectionManager.RouteSpecifierOneofCase.RouteConfig:
                return config with { RouteConfig = RouteReader.Read(scope.In("route_config", manager.RouteConfig), manager.RouteConfig, mustBeNamed: false) };
            case HttpConnectionManager.RouteSpecifierOneofCase.Rds:
                Scope at = scope.In("rds", manager.Rds);
                Values.Required(at, "route_config_name", manager.Rds.RouteConfigName);
                return config with { RouteConfigName = manager.Rds.RouteConfigName, RouteConfigSource = ConfigSources.Read(at, "config_source", manager.Rds.ConfigSource) };
            case HttpConnectionManager.RouteSpecifierOneofCase.None:
                scope.Error("", "NARU-C101", "an HTTP connection manager needs routes", "add route_config or rds");
                return config;
            default:
                return config;
        }
    }
}
