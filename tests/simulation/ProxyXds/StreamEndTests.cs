// How a stream that the proxy gives up looks to its server: as a stream that ended, never as a connection that broke.
using System.IO.Pipelines;
using System.Net;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class StreamEndTests
{
    [Fact]
    public async Task What_was_still_to_be_said_and_the_end_arrive_before_the_connection_goes()
    {
        var seen = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0, l => l.Protocols = HttpProtocols.Http2));
        await using WebApplication app = builder.Build();
        app.Run(async context =>
        {
            context.Response.ContentType = "application/grpc";
            await context.Response.BodyWriter.FlushAsync();
            seen.TrySetResult(await HowItEndsAsync(context.Request.BodyReader));
        });
        await app.StartAsync();
        var events = new Events();
        int port = new Uri(app.Urls.First()).Port;
        IXdsStream stream = new GrpcTransport().Open(XdsMethod.Aggregated(false), new XdsPeer(new AddressConfig("127.0.0.1", port), "", TimeSpan.FromSeconds(5), null), events);
        await events.Open.Task.WaitAsync(Waiting.Bound);
        var last = new DiscoveryRequest { TypeUrl = "last" };
        stream.Send(last);
        stream.Close();
        Assert.Equal($"ended after {5 + last.CalculateSize()} bytes", await seen.Task.WaitAsync(Waiting.Bound));
    }

    private static async Task<string> HowItEndsAsync(PipeReader body)
    {
        long bytes = 0;
        try
        {
            while (true)
            {
                ReadResult read = await body.ReadAsync();
                bytes += read.Buffer.Length;
                body.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted) return $"ended after {bytes} bytes";
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            return $"{e.GetType().Name} after {bytes} bytes";
        }
    }

    private sealed class Events : IXdsStreamEvents
    {
        public TaskCompletionSource Open { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Connected() => Open.TrySetResult();

        public void Received(IMessage response)
        {
        }

        public void Closed(string reason) => Open.TrySetException(new InvalidOperationException(reason));
    }
}
