// A stand-in for a service that cannot run here: says who it is and what it was asked, to anybody, with 200 whatever the path, health
// checks
// included. HTTP/1.1 on 127.0.0.1 only; its sidecar speaks the rest.
using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Naru.Local.Stub;

/// <summary>Who a stand-in says it is.</summary>
public sealed record StubOptions
{
    /// <summary>Name of the service.</summary>
    public string Name { get; init; } = "stub";
    /// <summary>Version, or empty.</summary>
    public string Version { get; init; } = "";
    /// <summary>Image in whose place it stands, or empty.</summary>
    public string Image { get; init; } = "";
    /// <summary>Pod, or empty.</summary>
    public string Pod { get; init; } = "";
    /// <summary>The only answer, as hashicorp/http-echo gives it; null for its name and the request.</summary>
    public string? Text { get; init; }
    /// <summary>Version of Istio's helloworld to answer like; null for none.</summary>
    public string? Hello { get; init; }
    /// <summary>Status of answers, 200 to 599.</summary>
    public int Status { get; init; } = 200;
    /// <summary>Ports on 127.0.0.1; 0 takes a free one. None: it only stays.</summary>
    public IReadOnlyList<int> Ports { get; init; } = [];
}

/// <summary>The stand-in.</summary>
public sealed class StubServer : IAsyncDisposable
{
    private static readonly JsonWriterOptions s_plain =
        new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly StubOptions _options;
    private readonly WebApplication? _app;

    private StubServer(StubOptions options, WebApplication? app)
    {
        _options = options;
        _app = app;
    }

    /// <summary>Where it listens.</summary>
    public IReadOnlyList<int> Ports { get; private set; } = [];

    /// <summary>Starts listening.</summary>
    /// <exception cref="IOException">A port is taken.</exception>
    public static async Task<StubServer> StartAsync(StubOptions options)
    {
        if (options.Ports.Count == 0) return new StubServer(options, null);
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(k =>
        {
            k.AddServerHeader = false;
            k.Limits.MaxRequestBodySize = null;
            foreach (int port in options.Ports.Distinct()) k.Listen(IPAddress.Loopback, port, l => l.Protocols = HttpProtocols.Http1);
        });
        WebApplication app = builder.Build();
        var server = new StubServer(options, app);
        app.Run(server.AnswerAsync);
        await app.StartAsync().ConfigureAwait(false);
        server.Ports = [.. app.Urls.Select(u => new Uri(u).Port)];
        return server;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_app is null) return;
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await _app.StopAsync(bound.Token).ConfigureAwait(false);
        await _app.DisposeAsync().ConfigureAwait(false);
    }

    private async Task AnswerAsync(HttpContext http)
    {
        (int status, string type, byte[] body) = Answer(http.Request);
        http.Response.StatusCode = status;
        http.Response.ContentType = type;
        http.Response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(http.Request.Method)) await http.Response.Body.WriteAsync(body, http.RequestAborted).ConfigureAwait(false);
    }

    private (int Status, string Type, byte[] Body) Answer(HttpRequest request)
    {
        const string Plain = "text/plain; charset=utf-8";
        string target = $"{request.PathBase}{request.Path.ToUriComponent()}{request.QueryString}";
        if (_options.Text is { } text) return (_options.Status, Plain, Encoding.UTF8.GetBytes(text + "\n"));
        if (_options.Hello is { } version)
        {
            return request.Path.Value switch
            {
                "/hello" => (200, Plain, Encoding.UTF8.GetBytes($"Hello version: {version}, instance: {_options.Pod}\n")),
                "/health" => (200, Plain, "Helloworld is healthy\n"u8.ToArray()),
                _ => (404, Plain, Encoding.UTF8.GetBytes($"helloworld {version} answers /hello and /health\n")),
            };
        }
        if (request.Headers.Accept.ToString().Contains("application/json", StringComparison.OrdinalIgnoreCase))
        {
            using var made = new MemoryStream();
            using (var json = new Utf8JsonWriter(made, s_plain))
            {
                json.WriteStartObject();
                json.WriteString("name", _options.Name);
                json.WriteString("version", _options.Version);
                json.WriteString("pod", _options.Pod);
                json.WriteString("standsFor", _options.Image);
                json.WriteString("method", request.Method);
                json.WriteString("target", target);
                json.WriteString("host", request.Host.Value);
                json.WriteEndObject();
            }
            return (_options.Status, "application/json", made.ToArray());
        }
        var said = new StringBuilder(_options.Name);
        if (_options.Version.Length > 0) said.Append(CultureInfo.InvariantCulture, $" {_options.Version}");
        if (_options.Pod.Length > 0) said.Append(CultureInfo.InvariantCulture, $" ({_options.Pod})");
        said.Append(_options.Image.Length > 0 ? $", a stand-in for {_options.Image}\n" : ", a stand-in\n");
        said.Append(CultureInfo.InvariantCulture, $"{request.Method} {target} {request.Protocol}\nhost: {request.Host.Value}\n");
        return (_options.Status, Plain, Encoding.UTF8.GetBytes(said.ToString()));
    }
}
