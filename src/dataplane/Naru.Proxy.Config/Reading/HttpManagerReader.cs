// The HTTP connection manager as a record: limits, header and path hygiene, upgrades, where routes come from. Its last HTTP filter is
// the router; a filter before it that is not known is refused by name.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Http.Router.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf.Collections;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads HTTP connection managers.</summary>
internal static class HttpManagerReader
{
    /// <summary>The record; meaningless where the reading has errors. The fields were walked already.</summary>
    public static HttpConnectionManagerConfig Read(Scope scope, HttpConnectionManager manager)
    {
        Values.Required(scope, "stat_prefix", manager.StatPrefix);
        if (manager.CodecType is not (HttpConnectionManager.Types.CodecType.Auto or HttpConnectionManager.Types.CodecType.Http1 or HttpConnectionManager.Types.CodecType.Http2))
        {
            scope.Error("codec_type", "NARU-C113", $"{manager.CodecType.ToString().ToUpperInvariant()} is not supported", "use AUTO, HTTP1 or HTTP2");
        }
        if (manager.StripMatchingHostPort && manager.StripAnyHostPort)
        {
            scope.Error("strip_any_host_port", "NARU-C113", "\"strip_matching_host_port\" and \"strip_any_host_port\" exclude each other", "keep one of them");
        }
        foreach ((string field, int value, bool known) in new[]
        {
            ("path_with_escaped_slashes_action", (int)manager.PathWithEscapedSlashesAction, System.Enum.IsDefined(manager.PathWithEscapedSlashesAction)),
            ("server_header_transformation", (int)manager.ServerHeaderTransformation, System.Enum.IsDefined(manager.ServerHeaderTransformation)),
            ("forward_client_cert_details", (int)manager.ForwardClientCertDetails, System.Enum.IsDefined(manager.ForwardClientCertDetails)),
        })
        {
            if (!known) scope.Error(field, "NARU-C102", $"{value} is not a {field}");
        }
        ImmutableArray<HttpFilterConfig> filters = HttpFilters.Chain(scope, manager.HttpFilters, out Router? router, out Scope? routerAt);
        var config = new HttpConnectionManagerConfig
        {
            StatPrefix = manager.StatPrefix,
            Digest = Digest.Of(manager),
            CodecType = (HttpCodecType)(int)manager.CodecType,
            Http2 = manager.Http2ProtocolOptions is { } http2 ? Http2Options.Read(scope.In("http2_protocol_options", http2), http2, Http2OptionsConfig.OfClients)
                : Http2OptionsConfig.OfClients,
            HttpFilters = filters,
            RespectExpectedTimeout = router?.RespectExpectedRqTimeout ?? false,
            SuppressEnvoyHeaders = router?.SuppressEnvoyHeaders ?? false,
            StrictChecks = StrictChecks(scope, router),
            UpstreamLogs = routerAt is { } logs ? AccessLogs.All(logs, "upstream_log", router!.UpstreamLog) : [],
            ForwardProto = manager.ForwardProtoConfig is { } protocols
                ? ForwardProto(scope.In("forward_proto_config", protocols), protocols) : null,
            AppendXForwardedPort = manager.AppendXForwardedPort,
            EscapedSlashes = manager.PathWithEscapedSlashesAction switch
            {
                HttpConnectionManager.Types.PathWithEscapedSlashesAction.RejectRequest => EscapedSlashes.Reject,
                HttpConnectionManager.Types.PathWithEscapedSlashesAction.UnescapeAndRedirect => EscapedSlashes.UnescapeAndRedirect,
                HttpConnectionManager.Types.PathWithEscapedSlashesAction.UnescapeAndForward => EscapedSlashes.UnescapeAndForward,
                _ => EscapedSlashes.KeepUnchanged,
            },
            StripMatchingHostPort = manager.StripMatchingHostPort,
            StripAnyHostPort = manager.StripAnyHostPort,
            StripTrailingHostDot = manager.StripTrailingHostDot,
            XffNumTrustedHops = Values.Count(scope, "xff_num_trusted_hops", manager.XffNumTrustedHops, 0),
            InternalAddresses = manager.InternalAddressConfig is { } own
                ? new InternalAddressConfig(own.UnixSockets, FilterChains.Ranges(scope.In("internal_address_config", own), "cidr_ranges", own.CidrRanges))
                : null,
            ForwardClientCert = (ClientCertForwarding)(int)manager.ForwardClientCertDetails,
            ClientCertDetails = Details(manager.SetCurrentClientCertDetails),
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
            MaxRequestHeadersBytes = HeadersKb(scope, manager) * 1024,
            StreamIdleTimeout = Values.Limit(scope, "stream_idle_timeout", manager.StreamIdleTimeout, TimeSpan.FromMinutes(5)),
            RequestTimeout = Values.Limit(scope, "request_timeout", manager.RequestTimeout, null),
            RequestHeadersTimeout = Values.Limit(scope, "request_headers_timeout", manager.RequestHeadersTimeout, TimeSpan.FromSeconds(10)),
            DelayedCloseTimeout = Values.Time(scope, "delayed_close_timeout", manager.DelayedCloseTimeout) ?? TimeSpan.FromSeconds(1),
            DrainTimeout = Values.Time(scope, "drain_timeout", manager.DrainTimeout) ?? TimeSpan.FromSeconds(5),
            Upgrades = Upgrades(scope, manager),
            StreamErrors = manager.StreamErrorOnInvalidHttpMessage ?? false,
            AccessLogs = AccessLogs.All(scope, "access_log", manager.AccessLog),
            LocalReplies = manager.LocalReplyConfig is { } replies ? LocalReplies.Read(scope.In("local_reply_config", replies), replies) : null,
        };
        foreach ((string field, string value) in new[] { ("server_name", manager.ServerName), ("via", manager.Via) })
        {
            if (value.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0) scope.Error(field, "NARU-C108", $"\"{field}\" holds a line end or NUL");
        }
        config = HttpManagerEdge.Read(scope, manager, config);
        (bool packs, bool samples) = TracingReader.RequestIds(scope, manager.RequestIdExtension);
        config = config with
        {
            Tracing = TracingReader.Read(scope, manager.Tracing, router?.StartChildSpan ?? false),
            PacksTraceReason = packs,
            SamplesByRequestId = samples,
        };
        if (manager.CommonHttpProtocolOptions is { } common) config = Common(scope.In("common_http_protocol_options", common), common, config);
        if (manager.HttpProtocolOptions is { } http1) config = Http1(scope.In("http_protocol_options", http1), http1, config);
        return Routes(scope, manager, config);
    }

    private static ClientCertDetails Details(HttpConnectionManager.Types.SetCurrentClientCertDetails? details)
    {
        if (details is null) return ClientCertDetails.None;
        return (details.Subject == true ? ClientCertDetails.Subject : 0) | (details.Cert ? ClientCertDetails.Cert : 0) | (details.Chain ? ClientCertDetails.Chain : 0)
            | (details.Dns ? ClientCertDetails.Dns : 0) | (details.Uri ? ClientCertDetails.Uri : 0);
    }

    // A head is read into one buffer.
    private static int HeadersKb(Scope scope, HttpConnectionManager manager)
    {
        const int Most = 96;
        int kb = Values.Count(scope, "max_request_headers_kb", manager.MaxRequestHeadersKb, 60, 1, 8192);
        if (kb <= Most) return kb;
        scope.Info("max_request_headers_kb", "NARU-C111", $"\"max_request_headers_kb\" is {Most}: longer heads are refused");
        return Most;
    }

    private static ImmutableArray<string> Upgrades(Scope scope, HttpConnectionManager manager)
    {
        var upgrades = new List<string>();
        var seen = new HashSet<string>();
        for (int i = 0; i < manager.UpgradeConfigs.Count; i++)
        {
            HttpConnectionManager.Types.UpgradeConfig upgrade = manager.UpgradeConfigs[i];
            Scope at = scope.In("upgrade_configs", i, upgrade);
            if (UpgradeToken(at, upgrade.UpgradeType) is not { } token) continue;
            if (!seen.Add(token)) Twice(at, upgrade.UpgradeType);
            if (upgrade.Enabled != false) upgrades.Add(token);
        }
        return [.. upgrades];
    }

    /// <summary>An upgrade that is said twice: nobody could tell which of the two counts.</summary>
    public static void Twice(Scope scope, string type) =>
        scope.Error("upgrade_type", "NARU-C113", $"the upgrade to {type} is there already", "keep one of the two");

    /// <summary>The lower-case token of an upgrade, or null after an error.</summary>
    public static string? UpgradeToken(Scope scope, string type)
    {
        if (!Values.Required(scope, "upgrade_type", type)) return null;
        string token = type.ToLowerInvariant();
        if (token is not ("connect-udp" or "h2c")) return token;
        scope.Error("upgrade_type", "NARU-C113", $"the upgrade to {type} is not supported yet", "remove it");
        return null;
    }

    private static HttpConnectionManagerConfig Common(Scope scope, HttpProtocolOptions options, HttpConnectionManagerConfig config)
    {
        if (!System.Enum.IsDefined(options.HeadersWithUnderscoresAction)) scope.Error("headers_with_underscores_action", "NARU-C102", $"{(int)options.HeadersWithUnderscoresAction} is not a headers_with_underscores_action");
        return config with
        {
            UnderscoreHeaders = (UnderscoreHeaders)(int)options.HeadersWithUnderscoresAction,
            IdleTimeout = Values.Limit(scope, "idle_timeout", options.IdleTimeout, config.IdleTimeout),
            MaxConnectionDuration = Values.Limit(scope, "max_connection_duration", options.MaxConnectionDuration, null),
            MaxStreamDuration = Values.Limit(scope, "max_stream_duration", options.MaxStreamDuration, null),
            MaxHeadersCount = Values.Count(scope, "max_headers_count", options.MaxHeadersCount, 100, 1),
            MaxRequestsPerConnection = Values.Count(scope, "max_requests_per_connection", options.MaxRequestsPerConnection, 0),
        };
    }

    private static HttpConnectionManagerConfig Http1(Scope scope, Http1ProtocolOptions options, HttpConnectionManagerConfig config)
    {
        string host = options.DefaultHostForHttp10;
        if (host.Any(c => !char.IsAsciiLetterOrDigit(c) && !"-._:[]".Contains(c))) scope.Error("default_host_for_http_10", "NARU-C102", $"\"{host}\" is not a host", "give a name or an address, with a port or without");
        return config with
        {
            DefaultHostForHttp10 = host,
            AcceptHttp10 = options.AcceptHttp10,
            AllowCustomMethods = options.AllowCustomMethods,
            AllowAbsoluteUrl = options.AllowAbsoluteUrl ?? true,
            AllowChunkedLength = options.AllowChunkedLength,
            ProperCaseWords = options.HeaderKeyFormat?.ProperCaseWords is not null,
            IgnoredUpgrades = Ignored(scope, options),
            StreamErrors = options.OverrideStreamErrorOnInvalidHttpMessage ?? config.StreamErrors,
        };
    }

    private static ImmutableArray<StringMatcherConfig> Ignored(Scope scope, Http1ProtocolOptions options)
    {
        var all = ImmutableArray.CreateBuilder<StringMatcherConfig>(options.IgnoreHttp11Upgrade.Count);
        for (int i = 0; i < options.IgnoreHttp11Upgrade.Count; i++)
        {
            Envoy.Type.Matcher.V3.StringMatcher given = options.IgnoreHttp11Upgrade[i];
            if (Values.Match(scope.In("ignore_http_11_upgrade", i, given), given) is { } matcher) all.Add(matcher);
        }
        return all.ToImmutable();
    }

    private static readonly string[] s_strict =
    [
        "x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-retry-grpc-on",
    ];

    // A port in both lists is refused: Envoy would take https, and nobody could tell.
    private static ImmutableDictionary<int, bool> ForwardProto(Scope scope, ForwardProtoConfig given)
    {
        var ports = ImmutableDictionary.CreateBuilder<int, bool>();
        foreach ((string field, bool secure, RepeatedField<uint> list) in new[]
            { ("https_destination_ports", true, given.HttpsDestinationPorts),
                ("http_destination_ports", false, given.HttpDestinationPorts) })
        {
            for (int i = 0; i < list.Count; i++)
            {
                if (list[i] is 0 or > 65535) scope.Error($"{field}[{i}]", "NARU-C102", $"{list[i]} is not a port", "it may be 1 to 65535");
                else if (ports.TryGetValue((int)list[i], out bool other) && other != secure)
                    scope.Error($"{field}[{i}]", "NARU-C113", $"port {list[i]} stands in both lists", "keep it in one of them");
                else ports[(int)list[i]] = secure;
            }
        }
        return ports.ToImmutable();
    }

    // Of the router, which reads them.
    private static ImmutableArray<string> StrictChecks(Scope scope, Router? router)
    {
        var all = ImmutableArray.CreateBuilder<string>();
        foreach (string name in router?.StrictCheckHeaders ?? [])
        {
            string lower = name.ToLowerInvariant();
            if (s_strict.Contains(lower)) all.Add(lower);
            else scope.Error("http_filters", "NARU-C102", $"\"{name}\" is not a header that \"strict_check_headers\" of the router knows", string.Join(", ", s_strict));
        }
        return all.ToImmutable();
    }

    private static HttpConnectionManagerConfig Routes(Scope scope, HttpConnectionManager manager, HttpConnectionManagerConfig config)
    {
        switch (manager.RouteSpecifierCase)
        {
            case HttpConnectionManager.RouteSpecifierOneofCase.RouteConfig:
                Scope inline = scope.In("route_config", manager.RouteConfig);
                config = config with { RouteConfig = RouteReader.Read(inline, manager.RouteConfig, mustBeNamed: false) };
                HttpFilters.ReportStray(inline, config.HttpFilters, config.RouteConfig);
                HttpFilters.ReportPaths(scope, config.NormalizePath, config.HttpFilters, config.RouteConfig);
                return config;
            case HttpConnectionManager.RouteSpecifierOneofCase.Rds:
                Scope at = scope.In("rds", manager.Rds);
                Values.Required(at, "route_config_name", manager.Rds.RouteConfigName);
                HttpFilters.ReportPaths(scope, config.NormalizePath, config.HttpFilters, null);
                return config with { RouteConfigName = manager.Rds.RouteConfigName, RouteConfigSource = ConfigSources.Read(at, "config_source", manager.Rds.ConfigSource) };
            case HttpConnectionManager.RouteSpecifierOneofCase.ScopedRoutes:
                Scope scopedAt = scope.In("scoped_routes", manager.ScopedRoutes);
                config = config with { ScopedRoutes = ScopedRoutesReader.Read(scopedAt, manager.ScopedRoutes) };
                foreach ((_, RouteConfigurationConfig table) in config.ScopedRoutes?.Scopes ?? []) HttpFilters.ReportStray(scopedAt, config.HttpFilters, table);
                return config;
            case HttpConnectionManager.RouteSpecifierOneofCase.None:
                scope.Error("", "NARU-C101", "an HTTP connection manager needs routes", "add route_config or rds");
                return config;
            default:
                return config;
        }
    }
}
