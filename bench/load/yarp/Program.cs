// YARP on Kestrel as a peer of bench/run: one route, one cluster, no logs. `Naru.Bench.Yarp LISTEN_URL BACKEND_URL`.
using Yarp.ReverseProxy.Configuration;

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.WebHost.UseUrls(args[0]);
builder.Services.AddReverseProxy().LoadFromMemory(
    [new RouteConfig { RouteId = "all", ClusterId = "backend", Match = new RouteMatch { Path = "/{**rest}" } }],
    [
        new ClusterConfig
        {
            ClusterId = "backend",
            Destinations = new Dictionary<string, DestinationConfig> { ["one"] = new() { Address = args[1] } },
        },
    ]);
WebApplication app = builder.Build();
app.MapReverseProxy();
app.Run();
