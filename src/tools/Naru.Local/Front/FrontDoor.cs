// The runner's second door, for the gateway only: what no rule of the gateway takes is answered here, and nothing else is. It shows and
// changes nothing by itself; whoever is not on this machine, or was led here by a name of somebody else's, is told nothing.
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Naru.Local.Front;

internal sealed class FrontDoor : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Func<CancellationToken, Task<FrontView>> _look;

    private FrontDoor(Func<CancellationToken, Task<FrontView>> look, WebApplication app)
    {
        _look = look;
        _app = app;
    }

    /// <summary>Listens on a Unix socket that only its user can open.</summary>
    public static Task<FrontDoor> StartAsync(FrontSource source, string socket) => StartAsync(source.LookAsync, socket);

    /// <summary>The same with any view.</summary>
    public static async Task<FrontDoor> StartAsync(Func<CancellationToken, Task<FrontView>> look, string socket)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(k =>
        {
            k.AddServerHeader = false;
            k.Limits.MaxRequestBodySize = 0;
            k.ListenUnixSocket(socket, l => l.Protocols = HttpProtocols.Http1);
        });
        WebApplication app = builder.Build();
        var door = new FrontDoor(look, app);
        app.Run(door.AnswerAsync);
        await app.StartAsync().ConfigureAwait(false);
        File.SetUnixFileMode(socket, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        return door;
    }

    public async ValueTask DisposeAsync()
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        await _app.StopAsync(bound.Token).ConfigureAwait(false);
        await _app.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Whether a host (without port) names this machine whatever DNS says: <c>localhost</c>, names below it, loopback
    /// addresses.</summary>
    public static bool IsLocal(string host)
    {
        string name = host.TrimEnd('.').ToLowerInvariant();
        return name == "localhost" || name.EndsWith(".localhost", StringComparison.Ordinal)
            || (IPAddress.TryParse(name.Trim('[', ']'), out IPAddress? address) && IPAddress.IsLoopback(address));
    }

    private async Task AnswerAsync(HttpContext http)
    {
        HttpResponse answer = http.Response;
        string method = http.Request.Method;
        if (method is not ("GET" or "HEAD"))
        {
            answer.StatusCode = StatusCodes.Status405MethodNotAllowed;
            answer.Headers.Allow = "GET, HEAD";
            return;
        }
        if (!MaySee(http.Request))
        {
            answer.StatusCode = StatusCodes.Status404NotFound;
            return;
        }
        FrontView view = await _look(http.RequestAborted).ConfigureAwait(false);
        string host = http.Request.Host.Host.TrimEnd('.').ToLowerInvariant();
        FrontAnswer page = FrontAnswer.To(view, FrontRequest.Of(host, http.Request.Path.Value ?? "/"),
            http.Request.Headers.Accept.ToString());
        answer.StatusCode = page.Status;
        answer.ContentType = page.ContentType;
        IHeaderDictionary headers = answer.Headers;
        headers.CacheControl = "no-store";
        headers.Vary = "Accept";
        headers.XContentTypeOptions = "nosniff";
        headers.ContentSecurityPolicy = page.ContentSecurityPolicy;
        headers["Referrer-Policy"] = "no-referrer";
        headers["Cross-Origin-Resource-Policy"] = "same-origin";
        answer.ContentLength = page.Body.Length;
        if (method == "GET") await answer.Body.WriteAsync(page.Body, http.RequestAborted).ConfigureAwait(false);
    }

    // The gateway writes this header over whatever its client sent.
    private static bool MaySee(HttpRequest request)
    {
        if (!IsLocal(request.Host.Host)) return false;
        if (request.Headers.Origin.ToString() is { Length: > 0 } origin
            && !(Uri.TryCreate(origin, UriKind.Absolute, out Uri? from) && IsLocal(from.Host))) return false;
        return IPAddress.TryParse(request.Headers["x-naru-client"].ToString(), out IPAddress? address) && IPAddress.IsLoopback(address);
    }
}
