// envoy.filters.http.ext_proc: how its configuration is read. Refused by name is what has no counterpart here: messages that are not waited
// for, the modes in which a processor answers in pieces of its own, attributes, a processor by HTTP, and decorators.
using System.Collections.Immutable;
using System.Text;
using Envoy.Extensions.Filters.Http.ExtProc.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Body = Envoy.Extensions.Filters.Http.ExtProc.V3.ProcessingMode.Types.BodySendMode;
using Send = Envoy.Extensions.Filters.Http.ExtProc.V3.ProcessingMode.Types.HeaderSendMode;

namespace Naru.Proxy.Filters.Http.ExtProc;

/// <summary>Another service looks at requests and answers, and changes them (Envoy docs: external processing).</summary>
public sealed class ExtProcExtension : HttpFilterExtension, IHttpFilterKind
{
    private static readonly ModeConfig s_standard = new ExtProcConfig().Mode;
    private static readonly TimeSpan s_longest = TimeSpan.FromHours(1);

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.ext_proc";

    /// <inheritdoc/>
    public override MessageDescriptor Message => ExternalProcessor.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => ExtProcPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor
          + grpc_service failure_mode_allow processing_mode message_timeout stat_prefix mutation_rules max_message_timeout
          + disable_clear_route_cache forward_rules allow_mode_override disable_immediate_response metadata_options route_cache_action
          + allowed_override_modes status_on_error
          - request_attributes response_attributes: attributes are not sent
          - filter_metadata: nothing of the call is put into filter state
          - observability_mode deferred_close_timeout: each message is waited for
          - http_service: processors are asked by gRPC
          - send_body_without_waiting_for_header_response: each message is waited for
          - on_processing_response processing_request_modifier: messages have no decorators
        envoy.extensions.filters.http.ext_proc.v3.ProcessingMode
          + request_header_mode response_header_mode request_body_mode response_body_mode request_trailer_mode response_trailer_mode
        envoy.extensions.filters.http.ext_proc.v3.MetadataOptions
          + forwarding_namespaces receiving_namespaces
        envoy.extensions.filters.http.ext_proc.v3.MetadataOptions.MetadataNamespaces
          + untyped
          - typed: metadata has no types here
        envoy.extensions.filters.http.ext_proc.v3.HeaderForwardingRules
          + allowed_headers disallowed_headers
        envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute
          + disabled overrides
        envoy.extensions.filters.http.ext_proc.v3.ExtProcOverrides
          + processing_mode grpc_service metadata_options grpc_initial_metadata failure_mode_allow
          - async_mode: each message is waited for
          - request_attributes response_attributes: attributes are not sent

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (ExternalProcessor)message;
        if (filter.DisableClearRouteCache && filter.RouteCacheAction != ExternalProcessor.Types.RouteCacheAction.Default)
            scope.Error("disable_clear_route_cache", "NARU-C113", "\"route_cache_action\" says that, too", "keep that one");
        ModeConfig mode = filter.ProcessingMode is { } written ? Mode(scope.In("processing_mode", written), written, s_standard) : s_standard;
        var allowed = ImmutableArray.CreateBuilder<ModeConfig>(filter.AllowedOverrideModes.Count);
        for (int i = 0; i < filter.AllowedOverrideModes.Count; i++)
            allowed.Add(Mode(scope.In("allowed_override_modes", i, filter.AllowedOverrideModes[i]), filter.AllowedOverrideModes[i], mode));
        int? status = filter.StatusOnError is { } given ? (int)given.Code : null;
        if (status is < 400 or > 599)
            scope.Error("status_on_error", "NARU-C102", $"{status} is no status of an error", "it may be 400 to 599");
        HeaderForwardingRules? forward = filter.ForwardRules;
        Scope forwardAt = forward is null ? scope : scope.In("forward_rules", forward);
        return new ExtProcConfig
        {
            Grpc = Service(scope, filter.GrpcService, isRequired: true),
            Mode = mode,
            AllowsFailures = filter.FailureModeAllow,
            MessageMs = Time(scope, "message_timeout", filter.MessageTimeout, 200),
            MostMessageMs = Time(scope, "max_message_timeout", filter.MaxMessageTimeout, 0),
            StatPrefix = filter.StatPrefix,
            Rules = filter.MutationRules is { } rules
                ? MutationRulesConfig.Read(scope.In("mutation_rules", rules), rules) : MutationRulesConfig.Standard,
            Forwarded = HeaderNames.All(forwardAt, "allowed_headers", forward?.AllowedHeaders),
            Withheld = HeaderNames.All(forwardAt, "disallowed_headers", forward?.DisallowedHeaders) ?? [],
            AllowsModes = filter.AllowModeOverride,
            AllowedModes = allowed.ToImmutable(),
            TakesNoAnswers = filter.DisableImmediateResponse,
            Told = [.. (filter.MetadataOptions?.ForwardingNamespaces?.Untyped ?? []).Select(Encoding.UTF8.GetBytes)],
            Taken = [.. filter.MetadataOptions?.ReceivingNamespaces?.Untyped ?? []],
            RouteCache = filter.DisableClearRouteCache || filter.RouteCacheAction == ExternalProcessor.Types.RouteCacheAction.Retain
                ? RouteCache.Retain
                : filter.RouteCacheAction == ExternalProcessor.Types.RouteCacheAction.Clear ? RouteCache.Clear : RouteCache.AsTold,
            StatusOnError = status,
        };
    }

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var entry = (ExtProcPerRoute)message;
        switch (entry.OverrideCase)
        {
            case ExtProcPerRoute.OverrideOneofCase.Disabled:
                Values.Disabled(scope, entry.Disabled);
                return new ExtProcRouteConfig { Disabled = true };
            case ExtProcPerRoute.OverrideOneofCase.Overrides:
                ExtProcOverrides given = entry.Overrides;
                Scope at = scope.In("overrides", given);
                var metadata = ImmutableArray.CreateBuilder<HeaderValueConfig>(given.GrpcInitialMetadata.Count);
                for (int i = 0; i < given.GrpcInitialMetadata.Count; i++)
                {
                    Scope headerAt = at.In("grpc_initial_metadata", i, given.GrpcInitialMetadata[i]);
                    if (CallOuts.Header(headerAt, given.GrpcInitialMetadata[i]) is { } one) metadata.Add(one);
                }
                return new ExtProcRouteConfig
                {
                    Mode = given.ProcessingMode is { } mode ? Mode(at.In("processing_mode", mode), mode, s_standard) : null,
                    Grpc = Service(at, given.GrpcService, isRequired: false),
                    Metadata = metadata.ToImmutable(),
                    AllowsFailures = given.FailureModeAllow,
                    Told = given.MetadataOptions?.ForwardingNamespaces is { } told ? [.. told.Untyped.Select(Encoding.UTF8.GetBytes)] : null,
                    Taken = given.MetadataOptions?.ReceivingNamespaces is { } taken ? [.. taken.Untyped] : null,
                };
            default:
                scope.Error("", "NARU-C101", "the entry says nothing", "write disabled: true or overrides");
                return new ExtProcRouteConfig();
        }
    }

    // Of a stream the service's own timeout says nothing, as recorded with Envoy: each message has its own.
    private static GrpcServiceConfig? Service(Scope scope, Envoy.Config.Core.V3.GrpcService? service, bool isRequired)
    {
        if (service is null && !isRequired) return null;
        if (service?.Timeout is not null)
        {
            scope.In("grpc_service", service).Info(
                "timeout", "NARU-C111", "a processor's stream lasts as long as its request; message_timeout bounds each message");
        }
        return CallOuts.Grpc(scope, "grpc_service", service, null) is { } grpc ? grpc with { Timeout = null } : null;
    }

    private static long Time(Scope scope, string field, Google.Protobuf.WellKnownTypes.Duration? given, long standard)
    {
        if (Values.Time(scope, field, given) is not { } time) return standard;
        if (time > s_longest) scope.Error(field, "NARU-C102", $"\"{field}\" is longer than an hour", "it may be 0s to 3600s");
        return (long)time.TotalMilliseconds;
    }

    private static ModeConfig Mode(Scope scope, ProcessingMode mode, ModeConfig before)
    {
        Known(scope, "request_body_mode", mode.RequestBodyMode);
        Known(scope, "response_body_mode", mode.ResponseBodyMode);
        return Mode(mode, before);
    }

    private static void Known(Scope scope, string field, Body mode)
    {
        if (mode is Body.FullDuplexStreamed or Body.Grpc)
            scope.Error(field, "NARU-C113", $"a processor is not asked in this mode ({mode})", "use NONE, STREAMED, BUFFERED or BUFFERED_PARTIAL");
    }

    /// <summary>What a mode says; where it leaves something to the default, what held before.</summary>
    internal static ModeConfig Mode(ProcessingMode mode, ModeConfig before) => new(
        new SideMode(
            Sends(mode.RequestHeaderMode, before.Request.Headers), mode.RequestBodyMode, Sends(mode.RequestTrailerMode, before.Request.Trailers)),
        new SideMode(
            Sends(mode.ResponseHeaderMode, before.Response.Headers), mode.ResponseBodyMode,
            Sends(mode.ResponseTrailerMode, before.Response.Trailers)));

    private static bool Sends(Send mode, bool standard) => mode == Send.Default ? standard : mode == Send.Send;

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new ExtProcFilter((ExtProcConfig)settings, context);
}
