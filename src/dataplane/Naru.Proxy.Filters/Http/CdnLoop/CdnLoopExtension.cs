// envoy.filters.http.cdn_loop: how its configuration is read.
using System.Text;
using Envoy.Extensions.Filters.Http.CdnLoop.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.CdnLoop;

/// <summary>Requests that go round in a circle (RFC 8586; Envoy docs: CDN-Loop).</summary>
public sealed class CdnLoopExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.cdn_loop";

    /// <inheritdoc/>
    public override MessageDescriptor Message => CdnLoopConfig.Descriptor;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.extensions.filters.http.cdn_loop.v3alpha.CdnLoopConfig";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.cdn_loop.v3.CdnLoopConfig
          + cdn_id max_allowed_occurrences

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var config = (CdnLoopConfig)message;
        if (Values.Required(scope, "cdn_id", config.CdnId) && !CdnInfo.IsId(Encoding.UTF8.GetBytes(config.CdnId)))
            scope.Error("cdn_id", "NARU-C102", $"\"{config.CdnId}\" is not a name of a network",
                "write a host with or without a port, or a word (RFC 8586 2)");
        return new CdnLoopSettings(config.CdnId, config.MaxAllowedOccurrences);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new CdnLoopFilter((CdnLoopSettings)settings);
}

/// <summary>What the chain says.</summary>
/// <param name="Id">This network.</param>
/// <param name="Most">How often a request may have passed it.</param>
internal sealed record CdnLoopSettings(string Id, uint Most);
