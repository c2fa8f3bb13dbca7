// envoy.filters.http.on_demand: how its configuration is read. Clusters on demand (odcds) are refused by name.
using Envoy.Extensions.Filters.Http.OnDemand.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.OnDemand;

/// <summary>Requests wait for the virtual host that they name, where their table loads it on demand (Envoy docs: on demand).</summary>
public sealed class OnDemandExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.on_demand";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.OnDemand.V3.OnDemand.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => PerRouteConfig.Descriptor;

    /// <inheritdoc/>
    public override bool NeedsNothing => true;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.on_demand.v3.OnDemand
          - odcds: clusters are not loaded on demand; bring them by cds_config
        envoy.extensions.filters.http.on_demand.v3.PerRouteConfig
          - odcds: clusters are not loaded on demand; bring them by cds_config

        """;

    internal override object Read(Scope scope, IMessage message) => this;

    internal override object ReadRoute(Scope scope, IMessage message) => this;

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new OnDemandFilter(context.Node.Hosts);
}
