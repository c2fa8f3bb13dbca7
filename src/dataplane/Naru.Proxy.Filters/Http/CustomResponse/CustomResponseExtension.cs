// envoy.filters.http.custom_response: how its configuration is read, in the chain and at routes alike.
using System.Collections.Immutable;
using Envoy.Extensions.Http.CustomResponse.LocalResponsePolicy.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Telemetry;
using Configured = Envoy.Extensions.Filters.Http.CustomResponse.V3.CustomResponse;

namespace Naru.Proxy.Filters.Http.CustomResponse;

/// <summary>Answers that are replaced (Envoy docs: custom response).</summary>
public sealed class CustomResponseExtension : HttpFilterExtension, IHttpFilterKind
{
    private const string Local = "envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy";

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.custom_response";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Configured.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => Message;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.custom_response.v3.CustomResponse
          + custom_response_matcher
        envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy
          + body body_format status_code response_headers_to_add
        envoy.type.matcher.v3.HttpResponseStatusCodeMatchInput
        envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput
        envoy.type.matcher.v3.HttpResponseHeaderMatchInput
          + header_name

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var given = (Configured)message;
        if (given.CustomResponseMatcher is not { } matcher) return new ResponseRules(null);
        return new ResponseRules(
            MatcherReader.Read<ResponsePolicyConfig>(scope.In("custom_response_matcher", matcher), matcher, Action, whose: MatchedHead.Response));
    }

    internal override object ReadRoute(Scope scope, IMessage message) => Read(scope, message);

    private static ResponsePolicyConfig? Action(Scope scope, Any any)
    {
        if (EnvoyTypes.NameOf(any) != Local)
        {
            scope.Error("typed_config", "NARU-C112", $"Naru does not support the custom response {EnvoyTypes.NameOf(any)} yet", $"use {Local}");
            return null;
        }
        if (scope.Pass.Unpack<LocalResponsePolicy>(any, scope) is not { } policy) return null;
        Scope at = scope.In("typed_config", policy);
        FieldWalk.Check(at);
        if (policy.StatusCode is < 200 or > 599)
        {
            at.Error("status_code", "NARU-C102", $"{policy.StatusCode} is not a status that can be answered", "it may be 200 to 599");
            return null;
        }
        ByteString? body = null;
        if (policy.Body is { } source && (body = Values.Data(at.In("body", source), source)) is null) return null;
        FormatSource? format = null;
        if (policy.BodyFormat is { } own && (format = Formats.Read(at.In("body_format", own), own, FormatUse.Body)) is null) return null;
        return new ResponsePolicyConfig(
            (int)(policy.StatusCode ?? 0), body is null ? null : [.. body.Span], format,
            Values.Added(at, "response_headers_to_add", policy.ResponseHeadersToAdd));
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new CustomResponseFilter(((ResponseRules)settings).Compile());

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => new ResponseLevels([((ResponseRules)settings).Compile()]);
}

/// <summary>What one level says; null for nothing.</summary>
internal sealed record ResponseRules(MatcherConfig<ResponsePolicyConfig>? Matcher)
{
    public MatcherTree<ResponsePolicy>? Compile() => Matcher is null ? null : MatcherTree<ResponsePolicy>.Of(Matcher, p => new ResponsePolicy(p));
}

/// <summary>An answer that stands in the configuration.</summary>
/// <param name="Status">0 for the one that was.</param>
/// <param name="Body">Null for an empty one.</param>
/// <param name="Format">Makes the body; null for none.</param>
/// <param name="Headers">To add.</param>
public sealed record ResponsePolicyConfig(int Status, byte[]? Body, FormatSource? Format, ImmutableArray<HeaderValueConfig> Headers);

/// <summary>The same, compiled.</summary>
internal sealed class ResponsePolicy(ResponsePolicyConfig config)
{
    private readonly BodyFormat? _format = BodyFormat.Of(config.Format);
    private readonly byte[] _body = config.Body ?? [];

    // Of a format without a type it is text, also of JSON, as in Envoy.
    private readonly string _type = config.Format is { ContentType.Length: > 0 } format ? format.ContentType : "text/plain";
    private readonly HeaderChanges _headers = HeaderChanges.Of([], config.Headers);
    private readonly Reason?[] _reasons = new Reason?[600];

    /// <summary>The answer for an exchange, whose status it has where it says none.</summary>
    public FilterAnswer Answer(Exchange x)
    {
        if (config.Status > 0) x.Status = config.Status;
        byte[] body = _format is { } format ? format.Make(x, _body) : _body;
        Reason reason = _reasons[x.Status] ??= new Reason(x.Status, "", "", ResponseFlags.None, "");
        return new FilterAnswer(reason) { Content = (body, _type), Headers = _headers };
    }
}

/// <summary>What the levels of a route say, narrow to wide.</summary>
internal sealed record ResponseLevels(MatcherTree<ResponsePolicy>?[] Levels);
