// What requests say about time: grpc-timeout read and written, and fields that only internal clients may send taken out of a head.
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class RequestLimitsTests
{
    [Theory]
    [InlineData("1H", 3_600_000)]
    [InlineData("2M", 120_000)]
    [InlineData("3S", 3000)]
    [InlineData("4m", 4)]
    [InlineData("1u", 1)]
    [InlineData("1000u", 1)]
    [InlineData("1001u", 2)]
    [InlineData("1n", 1)]
    [InlineData("99999999n", 100)]
    [InlineData("0S", 0)]
    [InlineData("00000001S", 1000)]
    [InlineData("99999999S", 99_999_999_000)]
    [InlineData("99999999H", RequestLimits.MostMs)]
    public void A_grpc_timeout_is_digits_and_a_unit(string text, long ms)
    {
        Assert.True(RequestLimits.TryGrpcTimeout(Encoding.ASCII.GetBytes(text), out long read));
        Assert.Equal(ms, read);
    }

    [Theory]
    [InlineData("")]
    [InlineData("S")]
    [InlineData("1")]
    [InlineData("1s")]
    [InlineData("1h")]
    [InlineData("-1S")]
    [InlineData("+1S")]
    [InlineData("1.5S")]
    [InlineData(" 1S")]
    [InlineData("1 S")]
    [InlineData("1SS")]
    [InlineData("0x1S")]
    [InlineData("100000000S")]
    [InlineData("99999999999999999999H")]
    [InlineData("\u00b2S")]
    public void Garbage_is_no_grpc_timeout(string text) => Assert.False(RequestLimits.TryGrpcTimeout(Encoding.Latin1.GetBytes(text), out _));

    [Theory]
    [InlineData(0, "1m")]
    [InlineData(1, "1m")]
    [InlineData(99_999_999, "99999999m")]
    [InlineData(100_000_000, "100000S")]
    [InlineData(99_999_999_999, "99999999S")]
    [InlineData(100_000_000_000, "1666666M")]
    [InlineData(RequestLimits.MostMs, "5256000M")]
    [InlineData(long.MaxValue - 1, "99999999H")]
    public void A_grpc_timeout_is_written_in_eight_digits_at_most(long ms, string text)
    {
        byte[] written = new byte[16];
        Assert.Equal(text, Encoding.ASCII.GetString(written.AsSpan(0, RequestLimits.FormatGrpcTimeout(ms, written))));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nX-In: 1\r\nHost: x\r\nA: 2\r\nx-IN: 3\r\nX-Inner: 4\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: 2\r\nX-Inner: 4\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nX-Other: 1\r\nX-In: 2\r\n\r\n", "GET / HTTP/1.1\r\n\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")]
    public void Named_fields_are_taken_out_of_a_head_and_what_follows_stays_where_it_is(string before, string after)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(before + "body");
        var head = new Http1Head();
        head.StartRequest();
        Assert.Equal(HeadStatus.Complete, head.Parse(bytes, 4096, 100));
        int moved = head.RemoveNamed(bytes.AsSpan(0, head.Length), ["x-in"u8.ToArray(), "x-other"u8.ToArray()]);
        Assert.Equal(after + "body", Encoding.ASCII.GetString(bytes.AsSpan(moved)));
        Assert.Equal(after.Length, head.Length);
        Assert.Equal(after.Split("\r\n")[1..^2].Select(l => l.Split(':')[0]), head.Fields.ToArray().Select(f => Encoding.ASCII.GetString(Http1Head.Name(bytes.AsSpan(moved), f))));
    }

    private static ForwardActionConfig Route(string fields)
    {
        const string Manager = Read.Types + "filters.network.http_connection_manager.v3.HttpConnectionManager";
        ListenerConfig listener = Read.Listener($$"""
            filter_chains: [{ filters: [{ name: m, typed_config: { "@type": {{Manager}}, stat_prefix: m, http_filters: [{ name: envoy.filters.http.router }],
              route_config: { virtual_hosts: [{ name: v, domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster_header: x-c, {{fields}} } }] }] } } }] }]
            """);
        var manager = (HttpConnectionManagerConfig)listener.FilterChains[0].Terminal!;
        return (ForwardActionConfig)manager.RouteConfig!.VirtualHosts[0].Routes[0].Action;
    }

    [Fact]
    public void Zero_and_nothing_are_two_things_in_limits_of_streams()
    {
        Assert.Null(Route("timeout: 1s").StreamLimits);
        Assert.Equal(new StreamLimitsConfig(), Route("max_stream_duration: {}").StreamLimits);
        Assert.Equal(new StreamLimitsConfig { MaxStreamDuration = TimeSpan.Zero, GrpcTimeoutHeaderMax = TimeSpan.Zero, GrpcTimeoutHeaderOffset = TimeSpan.FromMilliseconds(5) },
            Route("max_stream_duration: { max_stream_duration: 0s, grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 0.005s }").StreamLimits);
        Assert.Null(Route("timeout: 1s").MaxGrpcTimeout);
        Assert.Equal(TimeSpan.Zero, Route("max_grpc_timeout: 0s").MaxGrpcTimeout);
    }
}
