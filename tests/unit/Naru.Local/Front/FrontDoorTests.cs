// Who is let in at the door behind the gateway, and by which words.
using System.Net;
using System.Net.Sockets;
using Naru.Kit;
using Naru.Local.Front;
using Xunit;

namespace Naru.UnitTests.Local.Front;

[System.Runtime.Versioning.SupportedOSPlatform("linux")]
public sealed class FrontDoorTests
{
    private static readonly FrontView s_view = new() { Mesh = "secret-mesh", Gateway = "http://localhost:8080" };

    [Theory]
    [InlineData("GET", "localhost:8080", "127.0.0.1", "", 200)]
    [InlineData("GET", "LOCALHOST.", "127.0.0.1", "", 200)]
    [InlineData("GET", "127.0.0.1:8080", "127.0.0.1", "", 200)]
    [InlineData("GET", "[::1]:8080", "::1", "", 200)]
    [InlineData("GET", "localhost", "127.0.0.1", "http://reviews.localhost:8080", 200)]
    [InlineData("HEAD", "localhost", "127.0.0.1", "", 200)]
    [InlineData("GET", "evil.example.com", "127.0.0.1", "", 404)]
    [InlineData("GET", "localhost.evil.example.com", "127.0.0.1", "", 404)]
    [InlineData("GET", "evillocalhost", "127.0.0.1", "", 404)]
    [InlineData("GET", "192.0.2.1", "127.0.0.1", "", 404)]
    [InlineData("GET", "localhost", "192.0.2.1", "", 404)]
    [InlineData("GET", "localhost", "", "", 404)]
    [InlineData("GET", "localhost", "localhost", "", 404)]
    [InlineData("GET", "localhost", "127.0.0.1", "http://evil.example.com", 404)]
    [InlineData("GET", "localhost", "127.0.0.1", "null", 404)]
    [InlineData("POST", "localhost", "127.0.0.1", "", 405)]
    [InlineData("DELETE", "localhost", "127.0.0.1", "", 405)]
    public async Task Only_who_is_on_this_machine_and_meant_it_sees_the_page(
        string method, string host, string client, string origin, int status)
    {
        using var folder = new TempFolder();
        string socket = folder.At("page.sock");
        await using FrontDoor door = await FrontDoor.StartAsync(_ => Task.FromResult(s_view), socket);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(socket));
        using var http = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            ConnectCallback = async (_, cancel) =>
            {
                var connection = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await connection.ConnectAsync(new UnixDomainSocketEndPoint(socket), cancel);
                return new NetworkStream(connection, ownsSocket: true);
            },
        });
        using var request = new HttpRequestMessage(new HttpMethod(method), "http://naru/");
        request.Headers.Host = host;
        request.Headers.Add("Accept", "text/html");
        if (client.Length > 0) request.Headers.Add("x-naru-client", client);
        if (origin.Length > 0) request.Headers.Add("Origin", origin);
        using HttpResponseMessage answer = await http.SendAsync(request);
        Assert.Equal((HttpStatusCode)status, answer.StatusCode);
        string body = await answer.Content.ReadAsStringAsync();
        Assert.Equal(status == 200 && method == "GET", body.Contains("secret-mesh", StringComparison.Ordinal));
    }
}
