// A browser as far as cookies go: it keeps what answers set and take away, whatever path they are for, and brings all of it back.
using Naru.Kit;

namespace Naru.WireTests.Filters;

internal sealed class Browser(ProxyProcess proxy, string host = "shop.test")
{
    public Dictionary<string, string> Jar { get; } = new(StringComparer.Ordinal);

    public string Cookies => string.Join("; ", Jar.Select(c => $"{c.Key}={c.Value}"));

    /// <summary>Asks, with all cookies.</summary>
    public async Task<HttpMessage> AskAsync(string target, string headers = "", string method = "GET")
    {
        using RawClient client = await proxy.ConnectAsync();
        string jar = Jar.Count > 0 ? $"Cookie: {Cookies}\r\n" : "";
        HttpMessage answer = await client.ExchangeAsync($"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{jar}{headers}\r\n");
        foreach (string set in answer.All("set-cookie"))
        {
            string[] pair = set.Split(';')[0].Split('=', 2);
            if (set.Contains("=deleted;", StringComparison.Ordinal)) Jar.Remove(pair[0]);
            else Jar[pair[0]] = pair[1];
        }
        return answer;
    }

    /// <summary>Goes to the authorization server and brings back what it says: the target of the callback.</summary>
    public static async Task<string> AuthorizeAsync(AuthorizationServer server, HttpMessage sent)
    {
        var address = new Uri(sent.Header("location")!);
        using RawClient client = await RawClient.ConnectAsync(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, server.Port));
        HttpMessage back = await client.ExchangeAsync($"GET {address.PathAndQuery} HTTP/1.1\r\nHost: idp.test\r\n\r\n");
        return new Uri(back.Header("location")!).PathAndQuery;
    }

    /// <summary>Signs in, and is where it wanted to be.</summary>
    public async Task<HttpMessage> SignInAsync(AuthorizationServer server, string page = "/page?x=1&y=2")
    {
        HttpMessage sent = await AskAsync(page);
        Xunit.Assert.Equal(302, sent.Status);
        HttpMessage back = await AskAsync(await AuthorizeAsync(server, sent));
        Xunit.Assert.Equal((302, $"http://{host}{page}"), (back.Status, back.Header("location")));
        return back;
    }
}
