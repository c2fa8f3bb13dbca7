// envoy.filters.http.ext_authz: how its configuration is read. Refused by name is what has no counterpart here: typed metadata, labels of the
// bootstrap's node.
using System.Collections.Immutable;
using System.Text;
using Envoy.Extensions.Filters.Http.ExtAuthz.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.ExtAuthz;

/// <summary>Another service lets requests in (Envoy docs: external authorization).</summary>
public sealed class ExtAuthzExtension : HttpFilterExtension, IHttpFilterKind
{
    private static readonly TimeSpan s_timeout = TimeSpan.FromMilliseconds(200);

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.ext_authz";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.ExtAuthz.V3.ExtAuthz.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => ExtAuthzPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.ext_authz.v2.ExtAuthz";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
          + grpc_service http_service failure_mode_allow with_request_body clear_route_cache status_on_error metadata_context_namespaces
          + filter_enabled include_peer_certificate deny_at_disable transport_api_version stat_prefix filter_enabled_metadata allowed_headers
          + include_tls_session failure_mode_allow_header_add charge_cluster_response_stats route_metadata_context_namespaces
          + encode_raw_headers validate_mutations disallowed_headers decoder_header_mutation_rules enable_dynamic_metadata_ingestion
          - bootstrap_metadata_labels_key: nothing of the bootstrap's node is sent
          - typed_metadata_context_namespaces route_typed_metadata_context_namespaces: metadata has no types here
        envoy.extensions.filters.http.ext_authz.v3.BufferSettings
          + max_request_bytes allow_partial_message pack_as_bytes
        envoy.extensions.filters.http.ext_authz.v3.HttpService
          + server_uri path_prefix authorization_request authorization_response
        envoy.extensions.filters.http.ext_authz.v3.AuthorizationRequest
          + allowed_headers headers_to_add
        envoy.extensions.filters.http.ext_authz.v3.AuthorizationResponse
          + allowed_upstream_headers allowed_client_headers allowed_upstream_headers_to_append allowed_client_headers_on_success
          + dynamic_metadata_from_headers
        envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
          + disabled check_settings
        envoy.extensions.filters.http.ext_authz.v3.CheckSettings
          + context_extensions disable_request_body_buffering with_request_body
        envoy.config.common.mutation_rules.v3.HeaderMutationRules
          + allow_all_routing allow_envoy disallow_system disallow_all allow_expression disallow_expression disallow_is_error

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Envoy.Extensions.Filters.Http.ExtAuthz.V3.ExtAuthz)message;
        CallOuts.Version(scope, "transport_api_version", filter.TransportApiVersion);
        if (filter.ServicesCase == Envoy.Extensions.Filters.Http.ExtAuthz.V3.ExtAuthz.ServicesOneofCase.None)
            scope.Error("", "NARU-C101", "a service is required", "write grpc_service or http_service");
        HttpService? http = filter.HttpService;
        Scope httpAt = http is null ? scope : scope.In("http_service", http);
        Scope requestAt = http?.AuthorizationRequest is { } asks ? httpAt.In("authorization_request", asks) : scope;
        Scope answerAt = http?.AuthorizationResponse is { } answers ? httpAt.In("authorization_response", answers) : scope;
        ImmutableArray<StringMatcherConfig>? allowed = HeaderNames.All(scope, "allowed_headers", filter.AllowedHeaders);
        ImmutableArray<StringMatcherConfig>? older = HeaderNames.All(requestAt, "allowed_headers", http?.AuthorizationRequest?.AllowedHeaders);
        if (allowed is not null && older is not null)
            requestAt.Error("allowed_headers", "NARU-C113", "\"allowed_headers\" of the filter says that, too", "keep that one");
        var added = ImmutableArray.CreateBuilder<HeaderValueConfig>();
        for (int i = 0; i < (http?.AuthorizationRequest?.HeadersToAdd.Count ?? 0); i++)
        {
            var header = http!.AuthorizationRequest!.HeadersToAdd[i];
            if (CallOuts.Header(requestAt.In("headers_to_add", i, header), header) is { } one) added.Add(one);
        }
        if (http is not null && http.PathPrefix.Length > 0 && (http.PathPrefix[0] != '/' || http.PathPrefix.AsSpan().ContainsAnyExceptInRange('!', '~')))
            httpAt.Error("path_prefix", "NARU-C102", $"\"{http.PathPrefix}\" is no beginning of a path", "begin with a slash, in ASCII");
        int status = filter.StatusOnError is { } given ? (int)given.Code : 403;
        if (status is < 200 or > 599)
            scope.Error("status_on_error", "NARU-C102", $"{status} is no status of an answer", "it may be 200 to 599");
        AuthorizationResponse? answer = http?.AuthorizationResponse;
        return new ExtAuthzConfig
        {
            Grpc = filter.GrpcService is { } grpc ? CallOuts.Grpc(scope, "grpc_service", grpc, s_timeout) : null,
            Http = http is null ? null : CallOuts.Http(httpAt, "server_uri", http.ServerUri),
            PathPrefix = http?.PathPrefix ?? "",
            Added = added.ToImmutable(),
            Allowed = allowed ?? older,
            Disallowed = HeaderNames.All(scope, "disallowed_headers", filter.DisallowedHeaders) ?? [],
            Upstream = HeaderNames.All(answerAt, "allowed_upstream_headers", answer?.AllowedUpstreamHeaders) ?? [],
            UpstreamAppended = HeaderNames.All(answerAt, "allowed_upstream_headers_to_append", answer?.AllowedUpstreamHeadersToAppend) ?? [],
            Client = HeaderNames.All(answerAt, "allowed_client_headers", answer?.AllowedClientHeaders) ?? [],
            ClientOnSuccess = HeaderNames.All(answerAt, "allowed_client_headers_on_success", answer?.AllowedClientHeadersOnSuccess) ?? [],
            MetadataFromHeaders = HeaderNames.All(answerAt, "dynamic_metadata_from_headers", answer?.DynamicMetadataFromHeaders) ?? [],
            AllowsFailures = filter.FailureModeAllow,
            TellsFailures = filter.FailureModeAllowHeaderAdd,
            Body = Body(scope, filter.WithRequestBody),
            ClearRouteCache = filter.ClearRouteCache,
            StatusOnError = status,
            Namespaces = [.. filter.MetadataContextNamespaces.Select(Encoding.UTF8.GetBytes)],
            RouteNamespaces = [.. filter.RouteMetadataContextNamespaces.Select(Encoding.UTF8.GetBytes)],
            EnabledPerMillion = filter.FilterEnabled is { } on ? RouteReader.Fraction(scope.In("filter_enabled", on), on) : 1_000_000,
            EnabledKey = filter.FilterEnabled?.RuntimeKey ?? "",
            EnabledBy = filter.FilterEnabledMetadata is { } by ? MetadataReader.Matcher(scope.In("filter_enabled_metadata", by), by) : null,
            DeniesWhenOff = filter.DenyAtDisable?.DefaultValue ?? false,
            DeniesKey = filter.DenyAtDisable?.RuntimeKey ?? "",
            SendsCertificate = filter.IncludePeerCertificate,
            SendsTls = filter.IncludeTlsSession,
            StatPrefix = filter.StatPrefix,
            ChargesCluster = filter.ChargeClusterResponseStats ?? true,
            SendsRawHeaders = filter.EncodeRawHeaders,
            Validates = filter.ValidateMutations,
            Rules = filter.DecoderHeaderMutationRules is { } rules ? MutationRulesConfig.Read(scope.In("decoder_header_mutation_rules", rules), rules) : null,
            TakesMetadata = filter.EnableDynamicMetadataIngestion ?? true,
        };
    }

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var entry = (ExtAuthzPerRoute)message;
        switch (entry.OverrideCase)
        {
            case ExtAuthzPerRoute.OverrideOneofCase.Disabled:
                Values.Disabled(scope, entry.Disabled);
                return new ExtAuthzRouteConfig { Disabled = true };
            case ExtAuthzPerRoute.OverrideOneofCase.CheckSettings:
                Scope at = scope.In("check_settings", entry.CheckSettings);
                if (entry.CheckSettings is { DisableRequestBodyBuffering: true, WithRequestBody: not null })
                    at.Error("with_request_body", "NARU-C113", "\"disable_request_body_buffering\" says that no body is sent", "keep one of them");
                return new ExtAuthzRouteConfig
                {
                    Extensions = entry.CheckSettings.ContextExtensions.ToImmutableSortedDictionary(StringComparer.Ordinal),
                    SendsNoBody = entry.CheckSettings.DisableRequestBodyBuffering,
                    Body = Body(at, entry.CheckSettings.WithRequestBody),
                };
            default:
                scope.Error("", "NARU-C101", "the entry says nothing", "write disabled: true or check_settings");
                return new ExtAuthzRouteConfig();
        }
    }

    private static CheckedBodyConfig? Body(Scope scope, BufferSettings? settings)
    {
        if (settings is null) return null;
        Scope at = scope.In("with_request_body", settings);
        int most = Values.Count(at, "max_request_bytes", settings.MaxRequestBytes, 0, 1, 1 << 30);
        return new CheckedBodyConfig(most, settings.AllowPartialMessage, settings.PackAsBytes);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new ExtAuthzFilter((ExtAuthzConfig)settings, context);
}

/// <summary>How much of a body is sent.</summary>
internal sealed record CheckedBodyConfig(int Most, bool MayBePartial, bool AsBytes);

/// <summary>What the chain says.</summary>
internal sealed record ExtAuthzConfig
{
    /// <summary>One of the two is there.</summary>
    public GrpcServiceConfig? Grpc { get; init; }
    public HttpServiceConfig? Http { get; init; }
    public string PathPrefix { get; init; } = "";
    public ImmutableArray<HeaderValueConfig> Added { get; init; } = [];

    /// <summary>Which of the client's fields are sent; null for all over gRPC, for none over HTTP but those that always are.</summary>
    public ImmutableArray<StringMatcherConfig>? Allowed { get; init; }
    public ImmutableArray<StringMatcherConfig> Disallowed { get; init; } = [];
    public ImmutableArray<StringMatcherConfig> Upstream { get; init; } = [];
    public ImmutableArray<StringMatcherConfig> UpstreamAppended { get; init; } = [];

    /// <summary>Which of the service's fields a client gets with a denial; empty for all.</summary>
    public ImmutableArray<StringMatcherConfig> Client { get; init; } = [];
    public ImmutableArray<StringMatcherConfig> ClientOnSuccess { get; init; } = [];
    public ImmutableArray<StringMatcherConfig> MetadataFromHeaders { get; init; } = [];
    public bool AllowsFailures { get; init; }
    public bool TellsFailures { get; init; }
    public CheckedBodyConfig? Body { get; init; }
    public bool ClearRouteCache { get; init; }
    public int StatusOnError { get; init; } = 403;
    public ImmutableArray<byte[]> Namespaces { get; init; } = [];
    public ImmutableArray<byte[]> RouteNamespaces { get; init; } = [];
    public int EnabledPerMillion { get; init; } = 1_000_000;
    public string EnabledKey { get; init; } = "";
    public MetadataMatcherConfig? EnabledBy { get; init; }
    public bool DeniesWhenOff { get; init; }
    public string DeniesKey { get; init; } = "";
    public bool SendsCertificate { get; init; }
    public bool SendsTls { get; init; }
    public string StatPrefix { get; init; } = "";
    public bool ChargesCluster { get; init; } = true;
    public bool SendsRawHeaders { get; init; }
    public bool Validates { get; init; }
    public MutationRulesConfig? Rules { get; init; }
    public bool TakesMetadata { get; init; } = true;
}

/// <summary>What a route says.</summary>
internal sealed record ExtAuthzRouteConfig
{
    public bool Disabled { get; init; }
    public ImmutableSortedDictionary<string, string> Extensions { get; init; } = ImmutableSortedDictionary<string, string>.Empty;
    public bool SendsNoBody { get; init; }

    /// <summary>In place of the chain's.</summary>
    public CheckedBodyConfig? Body { get; init; }
}
