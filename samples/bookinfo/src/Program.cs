// Bookinfo, four services in one executable: `bookinfo productpage|details|reviews|ratings [--version v1]`.
// This file reads the command line, listens and stops; the services are in their own files. It refuses what it does not know.
using System.Net;
using Bookinfo;

Settings settings;
try
{
    settings = Settings.Read(args, Environment.GetEnvironmentVariable);
}
catch (UsageException e)
{
    Console.Error.WriteLine($"bookinfo: {e.Message}");
    Console.Error.WriteLine(Settings.Usage);
    return 2;
}

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
builder.Logging.ClearProviders();
builder.Services.Configure<HostOptions>(o => o.ShutdownTimeout = TimeSpan.FromSeconds(25));
builder.Services.ConfigureHttpJsonOptions(o => o.SerializerOptions.TypeInfoResolverChain.Insert(0, BookinfoJson.Default));
builder.WebHost.ConfigureKestrel(k =>
{
    k.AddServerHeader = false;
    k.Limits.MaxRequestBodySize = 64 << 10;
    k.Listen(settings.Address, settings.Port);
});

WebApplication app = builder.Build();
if (settings.LogRequests)
    app.Use(RequestLog.WriteAsync);
switch (settings.Service)
{
    case "productpage":
        ProductPage.Map(app, settings);
        break;
    case "details":
        Details.Map(app);
        break;
    case "reviews":
        Reviews.Map(app, settings);
        break;
    default:
        Ratings.Map(app);
        break;
}

try
{
    await app.StartAsync();
}
catch (IOException e)
{
    Console.Error.WriteLine($"bookinfo: cannot listen on {new IPEndPoint(settings.Address, settings.Port)}: {e.Message}");
    return 1;
}

// Tests and scripts that asked for port 0 read the address from this line.
string address = app.Urls.First();
Console.WriteLine($"bookinfo {settings.Service} {settings.Version} ({settings.PodName}) listens on {address}");

// SIGTERM and SIGINT end the wait; requests in flight are finished within ShutdownTimeout.
await app.WaitForShutdownAsync();
Console.WriteLine($"bookinfo {settings.Service} {settings.Version} has stopped");
return 0;
