// Header fields: kept as they came, except those that belong to one hop or to us.
using System.Net.NetworkInformation;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

/// <summary>A proxy at the edge, which trusts the connection for the client's address.</summary>
public sealed class EdgeFixture : WireFixture
{
    protected override string Manager => "use_remote_address: true";
}

public sealed class HeaderTests(WireFixture fixture) : IClassFixture<WireFixture>
{
    private static readonly string[] s_ours = ["x-forwarded-proto", "x-request-id", "x-forwarded-for", "x-envoy-expected-rq-timeout-ms", "x-envoy-external-address", "via"];

    private async Task<HttpMessage> SentAsync(string headers, string body = "", string method = "GET")
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}");
        Assert.Equal(200, answer.Status);
        return Assert.Single(fixture.Backend.Seen(path));
    }

    [Fact]
    public async Task Letter_case_and_order_of_request_fields_are_kept()
    {
        HttpMessage seen = await SentAsync("X-zETA: 1\r\nx-alpha: 2\r\nACCEPT: */*\r\nX-zETA: 3\r\nCooKie: a=b\r\nx-Mid:\r\n");
        Assert.Equal(["Host: x", "X-zETA: 1", "x-alpha: 2", "ACCEPT: */*", "X-zETA: 3", "CooKie: a=b", "x-Mid: "],
            seen.Headers.Where(h => !s_ours.Contains(h.Name.ToLowerInvariant())).Select(h => $"{h.Name}: {h.Value}"));
    }

    [Fact]
    public async Task Letter_case_and_order_of_answer_fields_are_kept()
    {
        string path = fixture.Backend.Answer("HTTP/1.1 200 Fine\r\nX-Zeta: 1\r\nsEt-cOOkie: a=1\r\nx-alpha: 2\r\nsEt-cOOkie: b=2\r\nContent-LENGTH: 2\r\n\r\nok");
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        string[] ours = ["server", "date", "x-envoy-upstream-service-time", "x-request-id"];
        Assert.Equal(["X-Zeta: 1", "sEt-cOOkie: a=1", "x-alpha: 2", "sEt-cOOkie: b=2", "Content-LENGTH: 2"],
            answer.Headers.Where(h => !ours.Contains(h.Name.ToLowerInvariant())).Select(h => $"{h.Name}: {h.Value}"));
    }

    [Theory]
    [InlineData("Connection: X-One, x-two\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n", "X-One,X-Two,Connection", "X-Three")]
    [InlineData("Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nX: y\r\n", "Keep-Alive,Connection", "X")]
    [InlineData("Proxy-Connection: keep-alive\r\nX: y\r\n", "Proxy-Connection", "X")]
    [InlineData("TE: gzip, deflate\r\nX: y\r\n", "", "X")]
    [InlineData("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nX: y\r\n", "Upgrade,HTTP2-Settings,Connection", "X")]
    [InlineData("Connection: close\r\nConnection: X-One\r\nX-One: 1\r\nX: y\r\n", "X-One", "X")]
    public async Task What_belongs_to_one_hop_does_not_go_on(string headers, string gone, string kept)
    {
        HttpMessage seen = await SentAsync(headers);
        Assert.All(gone.Split(',', StringSplitOptions.RemoveEmptyEntries), n => Assert.False(seen.Has(n) && !(n == "Connection" && seen.Header(n)!.Equals("keep-alive", StringComparison.OrdinalIgnoreCase)), $"{n} went on: {seen}"));
        Assert.True(seen.Has(kept));
    }

    [Fact]
    public async Task What_belongs_to_one_hop_does_not_come_back()
    {
        string path = fixture.Backend.Answer("HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok");
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.True(answer.Has("X-Stays"));
        Assert.All(["X-Hop", "Keep-Alive", "Proxy-Connection"], n => Assert.False(answer.Has(n), n));
    }

    [Theory]
    [InlineData("Host")]
    [InlineData("hOST")]
    [InlineData("Content-Length")]
    [InlineData("content-length")]
    [InlineData("X-Forwarded-Proto")]
    [InlineData("x-forwarded-PROTO")]
    [InlineData("X-Request-Id")]
    [InlineData("x-request-id")]
    public async Task Connection_cannot_delete_what_framing_or_we_rely_on(string name)
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: {name}\r\nContent-Length: 4\r\n\r\nbody");
        HttpMessage answer = await client.ResponseAsync("POST");
        if (answer.Status == 400) return;
        HttpMessage seen = Assert.Single(fixture.Backend.Seen(path));
        Assert.Equal("body", seen.Text);
        Assert.True(seen.Has(name), $"{name} is gone: {seen}");
    }

    [Fact]
    public async Task Every_request_gets_an_id_and_keeps_the_one_it_has_inside_the_mesh()
    {
        HttpMessage fresh = await SentAsync("");
        Assert.True(Guid.TryParse(fresh.Header("x-request-id"), out _), fresh.ToString());
        HttpMessage kept = await SentAsync("x-request-id: 0c3ff5a5-6b0c-4b0b-9d27-1a2b3c4d5e6f\r\n");
        Assert.Equal("0c3ff5a5-6b0c-4b0b-9d27-1a2b3c4d5e6f", kept.Header("x-request-id"));
    }

    [Fact]
    public async Task The_scheme_of_the_connection_is_told_to_the_backend() =>
        Assert.Equal("http", (await SentAsync("")).Header("x-forwarded-proto"));

    [Fact]
    public async Task An_answer_carries_our_server_name_a_date_and_the_time_the_backend_took()
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {fixture.Backend.Echo()} HTTP/1.1\r\nHost: x\r\n\r\n");
        Assert.Equal("naru", answer.Header("server"));
        Assert.True(DateTimeOffset.TryParse(answer.Header("date"), out _));
        Assert.True(int.TryParse(answer.Header("x-envoy-upstream-service-time"), out _));
    }

    [Theory]
    [InlineData("/a%0d%0aX:%20y")]
    [InlineData("/a%20HTTP/1.1")]
    [InlineData("/a%23b")]
    [InlineData("/a%3fb=c")]
    [InlineData("/a%2fb/%2e%2e/c")]
    [InlineData("/a%00b")]
    [InlineData("/a/../b")]
    [InlineData("//a//b")]
    [InlineData("/?")]
    [InlineData("/a?b?c=d&e=%41")]
    [InlineData("/a;p=1/b")]
    [InlineData("/a[1]|b^c`d{e}\"f\\g<h>")]
    public async Task A_target_goes_on_exactly_as_it_came_or_is_refused(string target)
    {
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.SendAsync($"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync();
        if (answer.Status == 400) return;
        Assert.StartsWith($"GET {target} HTTP/1.1\n", answer.Text);
    }
}

public sealed class EdgeTests(EdgeFixture fixture) : IClassFixture<EdgeFixture>
{
    [Theory]
    [InlineData("x-envoy-internal")]
    [InlineData("x-envoy-original-path")]
    [InlineData("x-envoy-original-host")]
    [InlineData("x-envoy-expected-rq-timeout-ms")]
    [InlineData("X-Envoy-Attempt-Count")]
    [InlineData("x-naru-identity")]
    [InlineData("X-NARU-Reason")]
    public async Task A_client_outside_cannot_speak_in_our_name(string name)
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\n{name}: spoofed-by-client\r\n\r\n");
        HttpMessage seen = Assert.Single(fixture.Backend.Seen(path));
        Assert.DoesNotContain("spoofed-by-client", seen.ToString());
    }

    [Fact]
    public async Task The_address_of_the_client_is_appended_last()
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n");
        HttpMessage seen = Assert.Single(fixture.Backend.Seen(path));
        // A peer on loopback is told by an address of this machine, where it has one that others may know it by.
        string[] addresses = Assert.Single(seen.All("x-forwarded-for")).Split(',');
        Assert.Equal("6.6.6.6", addresses[0]);
        Assert.Contains(addresses[1], NetworkInterface.GetAllNetworkInterfaces().SelectMany(i => i.GetIPProperties().UnicastAddresses).Select(a => a.Address.ToString()).Append("127.0.0.1"));
        Assert.Equal(2, addresses.Length);
    }

    [Theory]
    [InlineData("X-Forwarded-For")]
    [InlineData("x-forwarded-for")]
    [InlineData("X-FORWARDED-FOR")]
    public async Task Connection_cannot_delete_the_address_of_the_client(string name)
    {
        string path = fixture.Backend.Echo();
        using RawClient client = await fixture.Proxy.ConnectAsync();
        HttpMessage answer = await client.ExchangeAsync($"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close, {name}\r\n\r\n");
        if (answer.Status == 400) return;
        Assert.True(Assert.Single(fixture.Backend.Seen(path)).Has("x-forwarded-for"));
    }
}
