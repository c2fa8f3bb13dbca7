// envoy.filters.http.grpc_web: it has nothing to be configured.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Http;
using Web = Naru.Proxy.Http.GrpcWeb;

namespace Naru.Proxy.Filters.Http.GrpcWeb;

/// <summary>Calls of browsers, translated to gRPC and back (gRPC: PROTOCOL-WEB).</summary>
public sealed class GrpcWebExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.grpc_web";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.GrpcWeb.V3.GrpcWeb.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.grpc_web.v2.GrpcWeb";

    /// <inheritdoc/>
    public override bool NeedsNothing => true;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.grpc_web.v3.GrpcWeb

        """;

    internal override object Read(Scope scope, IMessage message) => this;

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new GrpcWebFilter();
}

/// <summary>Recognises calls and their answers, and says to each side what it speaks; the bodies are read in the form of the other side
/// (BodyReader).</summary>
internal sealed class GrpcWebFilter : HttpFilter
{
    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Web.Recognise(call.Exchange);
        if (call.Exchange.Web != GrpcWebForm.None) Web.SetRequestType(call.Exchange);
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    // What is no gRPC answer passes as it is; answers of our own have their form already.
    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.Exchange.Web == GrpcWebForm.None || call.Response.IsLocal || !call.Response.TryGet("content-type"u8, out ReadOnlySpan<byte> type) || !ReplyForms.IsGrpc(type))
            return new ValueTask<bool>(true);
        call.Exchange.AnswersWeb = true;
        call.Response.Set("content-type"u8, Web.AnswerType(call.Exchange));
        return new ValueTask<bool>(true);
    }
}
