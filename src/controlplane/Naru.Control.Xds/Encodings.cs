// The two wire forms of one subscription: protobuf in, engine messages out, and back. No state, no decisions.
using Envoy.Config.Core.V3;
using Envoy.Service.Discovery.V3;
using Google.Rpc;

namespace Naru.Control.Xds;

/// <summary>How one kind of stream reads requests and writes responses.</summary>
internal interface IStreamEncoding<TRequest, TResponse>
{
    XdsEncoding Encoding { get; }
    Node? NodeOf(TRequest request);
    string TypeUrlOf(TRequest request);
    bool HasLocators(TRequest request);
    ClientMessage Read(TRequest request, string typeUrl);
    TResponse Write(ServerUpdate update, ControlPlane controlPlane);
}

internal sealed class StateEncoding : IStreamEncoding<DiscoveryRequest, DiscoveryResponse>
{
    public static StateEncoding Instance { get; } = new();

    public XdsEncoding Encoding => XdsEncoding.StateOfTheWorld;

    public Node? NodeOf(DiscoveryRequest request) => request.Node;

    public string TypeUrlOf(DiscoveryRequest request) => request.TypeUrl;

    public bool HasLocators(DiscoveryRequest request) => request.ResourceLocators.Count > 0;

    public ClientMessage Read(DiscoveryRequest request, string typeUrl) =>
        new(typeUrl, request.ResponseNonce, request.ResourceNames) { Error = DeltaEncoding.TextOf(request.ErrorDetail) };

    public DiscoveryResponse Write(ServerUpdate update, ControlPlane controlPlane)
    {
        var response = new DiscoveryResponse { TypeUrl = update.TypeUrl, Nonce = update.Nonce, VersionInfo = update.Version, ControlPlane = controlPlane };
        foreach (XdsResource resource in update.Resources) response.Resources.Add(resource.Body);
        return response;
    }
}

internal sealed class DeltaEncoding : IStreamEncoding<DeltaDiscoveryRequest, DeltaDiscoveryResponse>
{
    public static DeltaEncoding Instance { get; } = new();

    public XdsEncoding Encoding => XdsEncoding.Delta;

    public Node? NodeOf(DeltaDiscoveryRequest request) => request.Node;

    public string TypeUrlOf(DeltaDiscoveryRequest request) => request.TypeUrl;

    public bool HasLocators(DeltaDiscoveryRequest request) => request.ResourceLocatorsSubscribe.Count + request.ResourceLocatorsUnsubscribe.Count > 0;

    public ClientMessage Read(DeltaDiscoveryRequest request, string typeUrl) => new(typeUrl, request.ResponseNonce, request.ResourceNamesSubscribe)
    {
        Error = TextOf(request.ErrorDetail),
        Unsubscribe = request.ResourceNamesUnsubscribe,
        InitialVersions = request.InitialResourceVersions.AsReadOnly(),
    };

    public DeltaDiscoveryResponse Write(ServerUpdate update, ControlPlane controlPlane)
    {
        var response = new DeltaDiscoveryResponse { TypeUrl = update.TypeUrl, Nonce = update.Nonce, SystemVersionInfo = update.Version, ControlPlane = controlPlane };
        foreach (XdsResource resource in update.Resources)
        {
            response.Resources.Add(new Resource { Name = resource.Name, Version = resource.Version, Resource_ = resource.Body });
        }
        response.RemovedResources.AddRange(update.Removed);
        return response;
    }

    // A refusal without words is still a refusal.
    internal static string? TextOf(Status? error) => error is null ? null : error.Message.Length > 0 ? error.Message : $"refused without a reason (code {error.Code})";
}
