// envoy.filters.http.buffer: how its configuration is read, in the chain and at routes.
using Envoy.Extensions.Filters.Http.Buffer.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.Buffer;

/// <summary>Requests that go on when all of them is here (Envoy docs: buffer).</summary>
public sealed class BufferExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.buffer";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.Buffer.V3.Buffer.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => BufferPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.buffer.v2.Buffer";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.buffer.v3.Buffer
          + max_request_bytes
        envoy.extensions.filters.http.buffer.v3.BufferPerRoute
          + disabled buffer

        """;

    internal override object Read(Scope scope, IMessage message) => Level(scope, (Envoy.Extensions.Filters.Http.Buffer.V3.Buffer)message);

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var entry = (BufferPerRoute)message;
        switch (entry.OverrideCase)
        {
            case BufferPerRoute.OverrideOneofCase.Buffer:
                return Level(scope.In("buffer", entry.Buffer), entry.Buffer);
            case BufferPerRoute.OverrideOneofCase.Disabled:
                Values.Disabled(scope, entry.Disabled);
                break;
            default:
                const string Remedy = "write disabled: true, or buffer: { max_request_bytes: … }";
                scope.Error("", "NARU-C101", "the entry neither disables the filter nor configures it", Remedy);
                break;
        }
        return new BufferLevel(-1);
    }

    private static BufferLevel Level(Scope scope, Envoy.Extensions.Filters.Http.Buffer.V3.Buffer buffer)
    {
        if (buffer.MaxRequestBytes is null) scope.Error("max_request_bytes", "NARU-C101", "\"max_request_bytes\" is required");
        return new BufferLevel(Values.Count(scope, "max_request_bytes", buffer.MaxRequestBytes, 1, least: 1));
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new BufferFilter((BufferLevel)settings);
}

/// <summary>Bytes of a request at most; -1 where requests are not held.</summary>
internal sealed record BufferLevel(long Limit);
