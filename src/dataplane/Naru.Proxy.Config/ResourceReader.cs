// The door between Envoy's resources and the engine: a protobuf message goes in, a validated record comes out, or nothing and the
// reasons. Used for bootstraps, files and xDS alike; knows where a field stood only where the message was read from a file.
using Envoy.Config.Cluster.V3;
using Envoy.Config.Core.V3;
using Envoy.Config.Endpoint.V3;
using Envoy.Config.Listener.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.TransportSockets.Tls.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config.Reading;
using Naru.Yaml;

namespace Naru.Proxy.Config;

/// <summary>Reads resources. Every method reports all faults it finds and returns null where there was an error.</summary>
public static class ResourceReader
{
    /// <summary>LDS: a listener (<c>envoy.config.listener.v3.Listener</c>).</summary>
    /// <param name="message">The resource.</param>
    /// <param name="diagnostics">Takes <c>NARU-C101</c> (missing), <c>C102</c> (bad value), <c>C103</c> (twice), <c>C104</c> (refers to nothing),
    /// <c>C105</c> (pattern), <c>C106</c> (order of filters), <c>C107</c> (address), <c>C108</c> (header), <c>C110</c> (field not supported), <c>C111</c> (no effect,
    /// information), <c>C112</c> (extension not supported), <c>C113</c> (value not supported), <c>C114</c> (unsafe, warning), <c>C115</c> (unknown bytes, information).</param>
    /// <param name="places">Where its fields were written, for a resource from a file.</param>
    /// <param name="subject">How it is named in diagnostics; null for <c>Listener NAME</c>.</param>
    public static ListenerConfig? Listener(Listener message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"Listener {message.Name}", scope => ListenerReader.Read(scope, message));

    /// <summary>CDS: a cluster (<c>envoy.config.cluster.v3.Cluster</c>). See <see cref="Listener"/> for the parameters.</summary>
    public static ClusterConfig? Cluster(Cluster message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"Cluster {message.Name}", scope => ClusterReader.Read(scope, message));

    /// <summary>RDS: a route configuration (<c>envoy.config.route.v3.RouteConfiguration</c>). See <see cref="Listener"/> for the parameters.</summary>
    public static RouteConfigurationConfig? RouteConfiguration(RouteConfiguration message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"RouteConfiguration {message.Name}", scope =>
        {
            FieldWalk.Check(scope);
            return RouteReader.Read(scope, message, mustBeNamed: true);
        });

    /// <summary>EDS: endpoints (<c>envoy.config.endpoint.v3.ClusterLoadAssignment</c>). See <see cref="Listener"/> for the parameters.</summary>
    public static EndpointsConfig? ClusterLoadAssignment(ClusterLoadAssignment message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"ClusterLoadAssignment {message.ClusterName}", scope =>
        {
            FieldWalk.Check(scope);
            return EndpointReader.Read(scope, message, names: false, ofCluster: null);
        });

    /// <summary>SDS: a secret (<c>envoy.extensions.transport_sockets.tls.v3.Secret</c>). See <see cref="Listener"/> for the parameters.</summary>
    public static SecretConfig? Secret(Secret message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"Secret {message.Name}", scope => TlsContexts.Secret(scope, message));

    /// <summary>ECDS: an HTTP filter's configuration (<c>envoy.config.core.v3.TypedExtensionConfig</c>). See <see cref="Listener"/> for the
    /// parameters.</summary>
    public static DiscoveredFilterConfig? Filter(
        TypedExtensionConfig message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"TypedExtensionConfig {message.Name}", scope =>
        {
            FieldWalk.Check(scope);
            return HttpFilters.Discovered(scope, message);
        });

    /// <summary>SRDS: a scope (<c>envoy.config.route.v3.ScopedRouteConfiguration</c>). See <see cref="Listener"/> for the parameters.</summary>
    public static RouteScopeConfig? Scope(ScopedRouteConfiguration message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"ScopedRouteConfiguration {message.Name}", scope =>
        {
            FieldWalk.Check(scope);
            return ScopedRoutesReader.Scope(scope, message);
        });

    /// <summary>VHDS: a virtual host (<c>envoy.config.route.v3.VirtualHost</c>). See <see cref="Listener"/> for the parameters.</summary>
    public static VirtualHostConfig? VirtualHost(VirtualHost message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"VirtualHost {message.Name}", scope =>
        {
            FieldWalk.Check(scope);
            return RouteReader.Alone(scope, message);
        });

    /// <summary>RTDS: a layer (<c>envoy.service.runtime.v3.Runtime</c>). See <see cref="Listener"/> for the parameters.</summary>
    public static RuntimeResourceConfig? Runtime(
        Envoy.Service.Runtime.V3.Runtime message, Diagnostics diagnostics, ProtoPlaces? places = null, string? subject = null) =>
        Read(message, diagnostics, places, subject ?? $"Runtime {message.Name}", scope =>
        {
            FieldWalk.Check(scope);
            return new RuntimeResourceConfig(message.Name, RuntimeReader.Values(scope, "layer", message.Layer));
        });

    /// <summary>Any of them: the record, or null where there was an error or the message is none of them. See
    /// <see cref="Listener"/>.</summary>
    public static object? Read(IMessage message, Diagnostics diagnostics, ProtoPlaces? places = null) => message switch
    {
        Listener listener => Listener(listener, diagnostics, places),
        Cluster cluster => Cluster(cluster, diagnostics, places),
        RouteConfiguration routes => RouteConfiguration(routes, diagnostics, places),
        ClusterLoadAssignment endpoints => ClusterLoadAssignment(endpoints, diagnostics, places),
        Secret secret => Secret(secret, diagnostics, places),
        TypedExtensionConfig filter => Filter(filter, diagnostics, places),
        ScopedRouteConfiguration scoped => Scope(scoped, diagnostics, places),
        VirtualHost host => VirtualHost(host, diagnostics, places),
        Envoy.Service.Runtime.V3.Runtime runtime => Runtime(runtime, diagnostics, places),
        _ => null,
    };

    /// <summary>The resource name of any of them; empty for another message.</summary>
    public static string NameOf(IMessage message) => message switch
    {
        Listener listener => listener.Name,
        Cluster cluster => cluster.Name,
        RouteConfiguration routes => routes.Name,
        ClusterLoadAssignment endpoints => endpoints.ClusterName,
        Secret secret => secret.Name,
        TypedExtensionConfig filter => filter.Name,
        ScopedRouteConfiguration scoped => scoped.Name,
        VirtualHost host => host.Name,
        Envoy.Service.Runtime.V3.Runtime runtime => runtime.Name,
        _ => "",
    };

    private static T? Read<T>(IMessage message, Diagnostics diagnostics, ProtoPlaces? places, string subject, Func<Scope, T?> read)
        where T : class
    {
        var found = new Diagnostics();
        var scope = new Scope(new ResourcePass(found, places, subject), message, "");
        T? result = read(scope);
        // What a file holds was compared with our declarations when it was bound; bytes off the wire may hold more.
        if (places is null && UnknownBytes(message) is > 0 and var bytes)
        {
            scope.Info("", "NARU-C115", $"{bytes} bytes belong to fields that Naru does not know; they have no effect");
        }
        diagnostics.AddRange(found.Items);
        return found.HasErrors ? null : result;
    }

    private static int UnknownBytes(IMessage message)
    {
        ByteString all = message.ToByteString();
        return all.Length - message.Descriptor.Parser.WithDiscardUnknownFields(true).ParseFrom(all).CalculateSize();
    }
}
