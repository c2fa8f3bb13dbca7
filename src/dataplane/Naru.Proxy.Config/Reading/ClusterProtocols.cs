// How HTTP is spoken to a cluster: version, limits, what TLS takes from the request. v3's typed options and the older fields of the
// cluster alike; refuses what is for clients only.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Google.Protobuf.WellKnownTypes;
using UpstreamOptions = Envoy.Extensions.Upstreams.Http.V3.HttpProtocolOptions;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads protocols of clusters.</summary>
internal static class ClusterProtocols
{
    /// <summary>Key and name of the typed options.</summary>
    private const string HttpOptionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

    /// <summary>The record with what the cluster says about protocols. TLS has been read.</summary>
    public static ClusterConfig Read(Scope scope, Cluster cluster, ClusterConfig config)
    {
        if (cluster.CommonHttpProtocolOptions is { } common) config = Common(scope.In("common_http_protocol_options", common), common, config);
        if (cluster.HttpProtocolOptions is { } http1) config = Http1(scope.In("http_protocol_options", http1), http1, config);
        if (cluster.Http2ProtocolOptions is { } http2) config = config with { Protocol = UpstreamProtocol.Http2, Http2Options = Http2Options.Read(scope.In("http2_protocol_options", http2), http2, new Http2OptionsConfig()) };
        if (cluster.ProtocolSelection == Cluster.Types.ClusterProtocolSelection.UseDownstreamProtocol) config = config with { Protocol = UpstreamProtocol.Downstream };
        if (cluster.UpstreamHttpProtocolOptions is { } tls) config = FromRequest(scope.In("upstream_http_protocol_options", tls), tls, config);
        foreach ((string key, Any any) in cluster.TypedExtensionProtocolOptions)
        {
            string field = $"typed_extension_protocol_options[{key}]";
            if (EnvoyTypes.NameOf(any) != HttpOptionsKey)
            {
                scope.Error(field, "NARU-C112", $"Naru does not support {EnvoyTypes.NameOf(any)} yet", $"known here: {HttpOptionsKey}");
                continue;
            }
            if (scope.Pass.Unpack<UpstreamOptions>(any, scope) is { } options) config = Typed(scope.In(field, options), options, config);
        }
        return config;
    }

    private static ClusterConfig Typed(Scope at, UpstreamOptions options, ClusterConfig config)
    {
        FieldWalk.Check(at);
        config = config with { HttpFilters = HttpFilters.Upstream(at, options.HttpFilters) };
        if (options.CommonHttpProtocolOptions is { } common) config = Common(at.In("common_http_protocol_options", common), common, config);
        if (options.UpstreamHttpProtocolOptions is { } tls) config = FromRequest(at.In("upstream_http_protocol_options", tls), tls, config);
        switch (options.UpstreamProtocolOptionsCase)
        {
            case UpstreamOptions.UpstreamProtocolOptionsOneofCase.ExplicitHttpConfig:
                Scope explicitAt = at.In("explicit_http_config", options.ExplicitHttpConfig);
                if (options.ExplicitHttpConfig.ProtocolConfigCase == UpstreamOptions.Types.ExplicitHttpConfig.ProtocolConfigOneofCase.None)
                {
                    explicitAt.Error("", "NARU-C101", "\"explicit_http_config\" names no protocol", "write http_protocol_options: {} or http2_protocol_options: {}");
                }
                config = config with { Protocol = options.ExplicitHttpConfig.Http2ProtocolOptions is not null ? UpstreamProtocol.Http2 : UpstreamProtocol.Http1 };
                return Both(explicitAt, options.ExplicitHttpConfig.HttpProtocolOptions, options.ExplicitHttpConfig.Http2ProtocolOptions, config);
            case UpstreamOptions.UpstreamProtocolOptionsOneofCase.UseDownstreamProtocolConfig:
                UpstreamOptions.Types.UseDownstreamHttpConfig downstream = options.UseDownstreamProtocolConfig;
                config = config with { Protocol = UpstreamProtocol.Downstream };
                return Both(at.In("use_downstream_protocol_config", downstream), downstream.HttpProtocolOptions, downstream.Http2ProtocolOptions, config);
            case UpstreamOptions.UpstreamProtocolOptionsOneofCase.AutoConfig:
                UpstreamOptions.Types.AutoHttpConfig auto = options.AutoConfig;
                if (config.AllTls.Contains(null)) at.Error("auto_config", "NARU-C113", "\"auto_config\" needs TLS, whose handshake settles the protocol", "use explicit_http_config, or add a transport_socket with TLS, and no transport_socket_matches without");
                config = config with { Protocol = UpstreamProtocol.Auto };
                return Both(at.In("auto_config", auto), auto.HttpProtocolOptions, auto.Http2ProtocolOptions, config);
            default:
                at.Error("", "NARU-C101", "HttpProtocolOptions says how HTTP is spoken", "write explicit_http_config: {http_protocol_options: {}} or {http2_protocol_options: {}}, use_downstream_protocol_config or auto_config");
                return config;
        }
    }

    private static ClusterConfig Both(Scope at, Http1ProtocolOptions? http1, Http2ProtocolOptions? http2, ClusterConfig config)
    {
        if (http1 is not null) config = Http1(at.In("http_protocol_options", http1), http1, config);
        return http2 is null ? config : config with { Http2Options = Http2Options.Read(at.In("http2_protocol_options", http2), http2, new Http2OptionsConfig()) };
    }

    /// <summary>A cluster whose hosts requests name takes their names for TLS, too, where it says nothing of HTTP (Envoy docs, dynamic forward
    /// proxy cluster: both options are on unless they are stated).</summary>
    /// <param name="scope">The cluster.</param>
    /// <param name="cluster">It.</param>
    /// <param name="config">What was read of it.</param>
    /// <param name="lenient">Whether <c>allow_insecure_cluster_options</c> spares it a validation context.</param>
    public static ClusterConfig OfNamedHosts(Scope scope, Cluster cluster, ClusterConfig config, bool lenient)
    {
        if (cluster.UpstreamHttpProtocolOptions is not null || cluster.TypedExtensionProtocolOptions.ContainsKey(HttpOptionsKey)) return config;
        if (config.AllTls.All(t => t is null)) return config;
        return FromRequest(scope, new UpstreamHttpProtocolOptions { AutoSni = true, AutoSanValidation = !lenient || !LacksValidation(config) }, config);
    }

    private static ClusterConfig FromRequest(Scope scope, UpstreamHttpProtocolOptions options, ClusterConfig config)
    {
        if (options.AutoSanValidation && LacksValidation(config))
        {
            scope.Error("auto_san_validation", "NARU-C113", "\"auto_san_validation\" needs a validation context in the TLS context", "add validation_context with trusted_ca");
        }
        return config with { AutoSni = options.AutoSni, AutoSanValidation = options.AutoSanValidation };
    }

    private static bool LacksValidation(ClusterConfig config) => config.AllTls.Any(t => t is { Common: { Validation: null, ValidationSecret: null } });

    private static ClusterConfig Common(Scope scope, HttpProtocolOptions options, ClusterConfig config)
    {
        if (options.MaxHeadersCount is 0) scope.Error("max_headers_count", "NARU-C102", "0 fields are no answer", "at least 1");
        if (options.MaxResponseHeadersKb is 0 or > 8192)
            scope.Error("max_response_headers_kb", "NARU-C102", $"{options.MaxResponseHeadersKb} KiB is no limit", "1 to 8192");
        if (options.HeadersWithUnderscoresAction != 0) scope.Error("headers_with_underscores_action", "NARU-C113", "headers with underscores are passed on", "remove it");
        return config with
        {
            IdleTimeout = Values.Limit(scope, "idle_timeout", options.IdleTimeout, config.IdleTimeout),
            MaxConnectionDuration = Values.Limit(scope, "max_connection_duration", options.MaxConnectionDuration, null),
            MaxResponseFields = Values.Count(scope, "max_headers_count", options.MaxHeadersCount, config.MaxResponseFields),
            MaxResponseHeadBytes = options.MaxResponseHeadersKb is { } kb
                ? (int)Math.Clamp(kb, 1, 8192) * 1024 : config.MaxResponseHeadBytes,
            MaxStreamDuration = Values.Limit(scope, "max_stream_duration", options.MaxStreamDuration, null),
            MaxRequestsPerConnection = Values.Count(scope, "max_requests_per_connection", options.MaxRequestsPerConnection, config.MaxRequestsPerConnection),
        };
    }

    private static ClusterConfig Http1(Scope scope, Http1ProtocolOptions options, ClusterConfig config)
    {
        if (options.AllowChunkedLength) OfClients("allow_chunked_length");
        if (options.IgnoreHttp11Upgrade.Count > 0) OfClients("ignore_http_11_upgrade");
        if (options.AcceptHttp10) scope.Error("accept_http_10", "NARU-C110", "\"accept_http_10\" is for clients", "set it at the HTTP connection manager");
        if (options.DefaultHostForHttp10.Length > 0) scope.Error("default_host_for_http_10", "NARU-C110", "\"default_host_for_http_10\" is for clients", "set it at the HTTP connection manager");
        return config with
        {
            SendsFullyQualifiedUrl = options.SendFullyQualifiedUrl,
            ProperCaseWords = options.HeaderKeyFormat?.ProperCaseWords is not null,
        };

        void OfClients(string field) => scope.Error(field, "NARU-C110", $"\"{field}\" is for clients", "set it at the HTTP connection manager");
    }
}
