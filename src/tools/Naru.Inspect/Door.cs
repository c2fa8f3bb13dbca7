// One way out for all clients here: plain HTTP to loopback or to a Unix socket, never through a proxy of the environment.
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;

namespace Naru.Inspect;

/// <summary>Nobody answered: the mesh is not there, or is going down. The message says what to do.</summary>
public sealed class UnreachableException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>Somebody answered, and said no.</summary>
public sealed class RefusedException(Core.Diagnostic diagnostic) : Exception(diagnostic.Message)
{
    /// <summary>Code, cause, remedy.</summary>
    public Core.Diagnostic Diagnostic { get; } = diagnostic;
}

internal static class Door
{
    /// <summary>Why nobody answered, in words for people.</summary>
    public static string Cause(Exception e)
    {
        for (Exception? at = e; at is not null; at = at.InnerException)
        {
            if (at is SocketException socket)
            {
                return socket.SocketErrorCode switch
                {
                    SocketError.ConnectionRefused => "nobody listens there",
                    SocketError.HostNotFound or SocketError.TryAgain or SocketError.NoData => "its name is not known",
                    SocketError.TimedOut => "it does not take the connection",
                    SocketError.ConnectionReset => "it ended the connection",
                    SocketError.AddressNotAvailable => "there is no such socket any more",
                    SocketError.AccessDenied => "this user may not speak to it",
                    var other => $"{other}",
                };
            }
            if (at is TimeoutException or OperationCanceledException) return "it does not answer in time";
        }
        return e is HttpRequestException { HttpRequestError: HttpRequestError.ResponseEnded } or IOException ? "it ended the connection" : "the connection failed";
    }

    private static readonly SocketsHttpHandler s_handler = new()
    {
        UseProxy = false,
        AllowAutoRedirect = false,
        UseCookies = false,
        ConnectTimeout = TimeSpan.FromSeconds(5),
        PooledConnectionIdleTimeout = TimeSpan.FromSeconds(4),
    };

    public static HttpClient Http(string baseAddress, TimeSpan timeout) => new(s_handler, disposeHandler: false) { BaseAddress = new Uri(baseAddress), Timeout = timeout };

    public static HttpClient Unix(string path) => new(new SocketsHttpHandler
    {
        UseProxy = false,
        ConnectCallback = async (_, cancel) =>
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel).ConfigureAwait(false);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch
            {
                socket.Dispose();
                throw;
            }
        },
    })
    { BaseAddress = new Uri("http://naru/"), Timeout = Timeout.InfiniteTimeSpan, DefaultRequestVersion = HttpVersion.Version11 };

    public static AuthenticationHeaderValue? Token(string file)
    {
        if (file.Length == 0) return null;
        try
        {
            string token = File.ReadAllText(file).Trim();
            return token.Length > 0 ? new AuthenticationHeaderValue("Bearer", token) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
