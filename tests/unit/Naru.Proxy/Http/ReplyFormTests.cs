// The pure parts of answers of our own: what a client prefers, gRPC's codes and messages, addresses in headers.
using System.Net;
using System.Text;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class ReplyFormTests
{
    [Theory]
    [InlineData("application/json", true)]
    [InlineData("application/problem+json", true)]
    [InlineData("Application/JSON", true)]
    [InlineData("application/json, text/plain, */*", true)]
    [InlineData("text/html, application/json;q=0.9", false)]
    [InlineData("text/html;q=0.5, application/json;q=0.9", true)]
    [InlineData("application/json;q=0", false)]
    [InlineData("application/json; charset=utf-8; q=0.2, text/plain;q=0.3", false)]
    [InlineData("application/json;q=nonsense", true)]
    [InlineData("*/*", false)]
    [InlineData("", false)]
    [InlineData(",,;,", false)]
    [InlineData("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false)]
    public void Json_is_given_to_those_who_ask_for_it_by_name(string accept, bool json) =>
        Assert.Equal(json, ReplyForms.PrefersJson(Encoding.Latin1.GetBytes(accept)));

    [Theory]
    [InlineData("application/grpc", true)]
    [InlineData("application/grpc+proto", true)]
    [InlineData("application/grpc;charset=x", false)]
    [InlineData("application/grpc-web", false)]
    [InlineData("application/grp", false)]
    [InlineData("application/grpcx", false)]
    [InlineData("", false)]
    public void A_grpc_call_is_known_by_its_content_type(string type, bool grpc) => Assert.Equal(grpc, ReplyForms.IsGrpc(Encoding.ASCII.GetBytes(type)));

    [Theory]
    [InlineData(400, 13)]
    [InlineData(401, 16)]
    [InlineData(403, 7)]
    [InlineData(404, 12)]
    [InlineData(408, 2)]
    [InlineData(429, 14)]
    [InlineData(431, 2)]
    [InlineData(500, 2)]
    [InlineData(502, 14)]
    [InlineData(503, 14)]
    [InlineData(504, 14)]
    public void An_http_status_has_one_grpc_status(int http, int grpc) => Assert.Equal(grpc, ReplyForms.GrpcStatus(http));

    [Theory]
    [InlineData("no route", "no route")]
    [InlineData("100% sure", "100%25 sure")]
    [InlineData("a\r\nb", "a%0D%0Ab")]
    [InlineData("\u00fc", "%C3%BC")]
    [InlineData("ends\n", "ends")]
    public void A_grpc_message_is_percent_encoded(string message, string encoded) => Assert.Equal(encoded, ReplyForms.GrpcMessage(Encoding.UTF8.GetBytes(message)));

    [Fact]
    public void A_body_is_Envoys_words()
    {
        const string Before = "upstream connect error or disconnect/reset before headers. ";
        Assert.Equal(Before + "reset reason: remote connection failure", Reasons.Body(Reasons.ConnectFailure, retried: false));
        Assert.Equal(Before + "retried and the latest reset reason: connection timeout", Reasons.Body(Reasons.ConnectTimeout, retried: true));
        Assert.Equal(Before + "reset reason: remote connection failure", Reasons.Body(Reasons.TlsFailure("no shared cipher"), retried: false));
        Assert.Equal("Request Header Fields Too Large", Reasons.Body(Reasons.HeadTooLarge, retried: false));
        Assert.Equal("no healthy upstream", Reasons.Body(Reasons.NoHealthyUpstream, retried: true));
        Assert.Equal("", Reasons.Body(Reasons.NoRoute, retried: false));
    }

    [Theory]
    [InlineData("10.1.2.3")]
    [InlineData("0.0.0.0")]
    [InlineData("255.255.255.255")]
    [InlineData("::1")]
    [InlineData("2001:db8::1")]
    public void Addresses_in_headers_are_read(string text)
    {
        Assert.True(ClientAddress.TryParse(Encoding.ASCII.GetBytes(text), out SockAddr address));
        Assert.Equal(IPAddress.Parse(text), address.Address);
        Assert.Equal(0, address.Port);
    }

    [Theory]
    [InlineData("")]
    [InlineData("1")]
    [InlineData("1.2.3")]
    [InlineData("1.2.3.4.5")]
    [InlineData("1.2.3.4:80")]
    [InlineData("1.2.3.256")]
    [InlineData("01.2.3.4")]
    [InlineData("0x7f.0.0.1")]
    [InlineData("127.1")]
    [InlineData("1.2.3.4 ")]
    [InlineData("unknown")]
    [InlineData("[::1]")]
    [InlineData("fe80::1%eth0")]
    [InlineData("::1/128")]
    [InlineData("9999999999.1.1.1")]
    public void What_is_no_plain_address_is_none(string text) => Assert.False(ClientAddress.TryParse(Encoding.ASCII.GetBytes(text), out _));

    [Fact]
    public void A_mapped_address_is_the_one_it_maps()
    {
        Assert.True(ClientAddress.TryParse("::ffff:10.1.2.3"u8, out SockAddr address));
        Assert.Equal("10.1.2.3", address.Address.ToString());
    }

    [Theory]
    [InlineData("10.0.0.0/8", "10.255.1.2", true)]
    [InlineData("10.0.0.0/8", "11.0.0.0", false)]
    [InlineData("172.16.0.0/12", "172.31.255.255", true)]
    [InlineData("172.16.0.0/12", "172.32.0.0", false)]
    [InlineData("0.0.0.0/0", "8.8.8.8", true)]
    [InlineData("fd00::/8", "fdff::1", true)]
    [InlineData("fd00::/8", "fe00::1", false)]
    [InlineData("10.0.0.0/8", "a00::", false)]
    [InlineData("192.0.2.1/32", "192.0.2.1", true)]
    public void A_range_holds_what_shares_its_prefix(string range, string address, bool holds) =>
        Assert.Equal(holds, new AddressRange(IPNetwork.Parse(range)).Contains(IPAddress.Parse(address).GetAddressBytes()));
}
