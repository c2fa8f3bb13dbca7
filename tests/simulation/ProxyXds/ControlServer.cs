// The control plane's own xDS server over real gRPC, with resources that the test hands out: what its translation would never make
// can be served, too.
using System.Net;
using Envoy.Config.Core.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Naru.Control.Xds;
using Naru.Proxy.Xds;

namespace Naru.SimulationTests.ProxyXds;

/// <summary>The control plane's side: its own server over one list of resources.</summary>
internal sealed class ControlServer : IResourceProvider, IAsyncDisposable
{
    private readonly WebApplication _app;
    private long _generation;
    private WorldAt? _world;

    private ControlServer(int port, HttpsConnectionAdapterOptions? https)
    {
        Xds = new XdsServer(this, TimeProvider.System, NullLogger<XdsServer>.Instance, new XdsLimits());
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, port, l =>
        {
            l.Protocols = HttpProtocols.Http2;
            if (https is not null) l.UseHttps(https);
        }));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(new XdsRunner(Xds));
        _app = builder.Build();
        _app.MapGrpcService<AggregatedService>();
    }

    public XdsServer Xds { get; }
    public int Port { get; private set; }

    public static async Task<ControlServer> StartAsync(int port, HttpsConnectionAdapterOptions? https = null)
    {
        var server = new ControlServer(port, https);
        await server._app.StartAsync();
        server.Port = new Uri(server._app.Urls.First()).Port;
        return server;
    }

    public void Publish(params IMessage[] resources)
    {
        var tables = resources.GroupBy(r => ResourceTypes.UrlPrefix + r.Descriptor.FullName).ToDictionary(g => g.Key, g => new ResourceTable([.. g.Select(Encode)]));
        _world = new WorldAt(++_generation, new ResourceWorld(tables));
        Xds.Publish();
    }

    public ProxyIdentity? Identify(Node node, out string? error)
    {
        error = null;
        return new ProxyIdentity(node.Id, node);
    }

    public WorldAt? WorldOf(ProxyIdentity proxy) => _world;

    public async ValueTask DisposeAsync()
    {
        Xds.Stop();
        await _app.StopAsync();
        await _app.DisposeAsync();
    }

    private static XdsResource Encode(IMessage message)
    {
        byte[] hash = System.Security.Cryptography.SHA256.HashData(message.ToByteArray());
        return new XdsResource(Resources.NameOf(message), Convert.ToHexString(hash, 0, 8), MemoryStream.Pack(message), ResourceChildren.Of(message));
    }
}
