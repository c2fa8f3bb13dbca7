// What the filters of bodies compute: which coding a client gets, how many bytes may go, where messages begin, and what their configurations say.
using System.Text;
using Naru.Proxy.Filters;
using Naru.Proxy.Filters.Http.BandwidthLimit;
using Naru.Proxy.Filters.Http.Compressor;
using Naru.Proxy.Filters.Http.GrpcStats;
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class BodyFilterTests
{
    private sealed record Offer(PackCoding Coding, bool IsFirst = false, string Type = "") : IPackOffer
    {
        public bool Packs(ReadOnlySpan<byte> contentType) => Type.Length == 0 || Type == Encoding.ASCII.GetString(contentType);
    }

    [Theory]
    [InlineData("gzip", "Named Gzip")]
    [InlineData("br", "Named Brotli")]
    [InlineData("gzip, br", "Named Gzip")]
    [InlineData("br, gzip", "Named Brotli")]
    [InlineData("br;q=0.5, gzip;q=0.501", "Named Gzip")]
    [InlineData("gzip;q=0, *", "Wildcard Brotli")]
    [InlineData("*", "Wildcard Gzip")]
    [InlineData("*;q=0", "None")]
    [InlineData("gzip;q=0, br;q=0, *;q=1", "None")]
    [InlineData("identity;q=0.9, gzip;q=0.1", "Identity")]
    [InlineData("identity", "Identity")]
    [InlineData("GZIP, x-gzip, deflate", "None")]
    [InlineData("gzip;q=1.001", "None")]
    [InlineData("gzip;q=x, br;q=0.1", "Named Brotli")]
    [InlineData("gzip ; q = 0.2 , br ; q=0.1", "Named Gzip")]
    [InlineData("gzip, gzip;q=0", "None")]
    [InlineData(",,;q=1,;", "None")]
    [InlineData("", "None")]
    public void A_client_gets_what_it_weighs_most(string accepted, string expected)
    {
        List<IPackOffer> offers = expected == "None" && accepted == "gzip, gzip;q=0" ? [new Offer(PackCoding.Gzip)] : [new Offer(PackCoding.Gzip), new Offer(PackCoding.Brotli)];
        CodingChoice choice = AcceptedCodings.Of(Encoding.ASCII.GetBytes(accepted)).Choose(offers, "text/plain"u8, out PackCoding coding);
        Assert.Equal(expected, choice is CodingChoice.Named or CodingChoice.Wildcard ? $"{choice} {coding}" : $"{choice}");
    }

    [Fact]
    public void Between_equals_the_chain_decides_and_who_does_not_pack_the_type_has_no_say()
    {
        AcceptedCodings both = AcceptedCodings.Of("gzip, br"u8);
        Assert.Equal(CodingChoice.Named, both.Choose([new Offer(PackCoding.Gzip), new Offer(PackCoding.Brotli, IsFirst: true)], "a"u8, out PackCoding coding));
        Assert.Equal(PackCoding.Brotli, coding);
        both.Choose([new Offer(PackCoding.Gzip, Type: "b"), new Offer(PackCoding.Brotli)], "a"u8, out coding);
        Assert.Equal(PackCoding.Brotli, coding);
        Assert.Equal(CodingChoice.None, both.Choose([new Offer(PackCoding.Gzip, Type: "b")], "a"u8, out _));
        Assert.False(new AcceptedCodings(0).IsPresent);
        Assert.True(AcceptedCodings.Of(""u8).IsPresent);
    }

    [Fact]
    public void A_bucket_has_one_intervals_worth_at_first_and_a_seconds_worth_at_most()
    {
        var bucket = new ByteBucket(20, TimeSpan.FromMilliseconds(100));
        Assert.Equal(2048, bucket.Take(1000, 10240));
        Assert.Equal(0, bucket.Take(1000, 1));
        Assert.Equal(2048, bucket.Take(1100, 10240));
        Assert.Equal(100, bucket.Take(1200, 100));
        Assert.Equal(1948, bucket.Take(1200, 10240));
        Assert.Equal(20480, bucket.Take(60_000, 100_000));
        Assert.Equal(0, bucket.Take(60_000, 1));
        Assert.Equal(20480, new ByteBucket(20, TimeSpan.FromMilliseconds(100)).Take(5, 100_000, isRequest: true));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(100)]
    public void Messages_are_counted_where_they_begin(int cut)
    {
        byte[] stream = [0, 0, 0, 0, 2, 1, 2, 0, 0, 0, 0, 0, 1, 0, 0, 1, 4, .. new byte[260], 0, 0, 0, 0, 7, 1];
        var frames = new GrpcFrames();
        foreach (byte[] piece in stream.Chunk(cut)) frames.Pass(piece);
        Assert.Equal(4, frames.Messages);
    }

    private const string Http = "type.googleapis.com/envoy.extensions.filters.http.";
    private const string Coder = "{ \"@type\": type.googleapis.com/envoy.extensions.compression.";
    private const string Gzip = $"compressor_library: {{ name: z, typed_config: {Coder}gzip.compressor.v3.Gzip }} }}";
    private const string Policy = "type.googleapis.com/envoy.extensions.http.custom_response.local_response_policy.v3.LocalResponsePolicy";

    private static string Bootstrap(string filters) => Read.InListener(
        "filter_chains: [{ filters: [{ name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
        + $"route_config: {{}}, http_filters: [{filters}, {{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}] }} }}] }}]");

    private static string On(string input, string policy) =>
        "custom_response_matcher: { matcher_list: { matchers: [{ predicate: { single_predicate: { input: { name: s, typed_config: { \"@type\": type.googleapis.com/envoy.type.matcher.v3." + input
        + " } }, value_match: { exact: \"404\" } } }, on_match: { action: { name: a, typed_config: { \"@type\": " + policy + " } } } }] } }";

    public static TheoryData<string, string, string> Refusals => new()
    {
        { "compressor.v3.Compressor", "choose_first: true", "NARU-C101 compressor_library" },
        { "compressor.v3.Compressor", "compressor_library: { name: z }", "NARU-C101 typed_config" },
        { "compressor.v3.Compressor", $"compressor_library: {{ name: z, typed_config: {Coder}gzip.compressor.v3.Gzip, window_bits: 16 }} }}", "NARU-C102 window_bits" },
        { "compressor.v3.Compressor", $"compressor_library: {{ name: z, typed_config: {Coder}gzip.compressor.v3.Gzip, memory_level: 10 }} }}", "NARU-C102 memory_level" },
        { "compressor.v3.Compressor", $"compressor_library: {{ name: z, typed_config: {Coder}brotli.compressor.v3.Brotli, quality: 12 }} }}", "NARU-C102 quality" },
        { "compressor.v3.Compressor", $"compressor_library: {{ name: z, typed_config: {Coder}brotli.compressor.v3.Brotli, encoder_mode: FONT }} }}", "NARU-C113 encoder_mode" },
        { "compressor.v3.Compressor", $"compressor_library: {{ name: z, typed_config: {Coder}brotli.compressor.v3.Brotli, input_block_bits: 20 }} }}", "NARU-C110 input_block_bits" },
        { "compressor.v3.Compressor", $"{Gzip}, content_length: 5, response_direction_config: {{}}", "NARU-C113 content_length" },
        { "compressor.v3.Compressor", $"{Gzip}, response_direction_config: {{ uncompressible_response_codes: [ 600 ] }}", "NARU-C102 uncompressible_response_codes" },
        { "compressor.v3.Compressor", $"{Gzip}, request_direction_config: {{ common_config: {{ enabled: {{ runtime_key: a }} }} }}", "NARU-C101 default_value" },
        { "decompressor.v3.Decompressor", "request_direction_config: {}", "NARU-C101 decompressor_library" },
        { "decompressor.v3.Decompressor", $"decompressor_library: {{ name: z, typed_config: {Coder}gzip.decompressor.v3.Gzip, max_inflate_ratio: 1033 }} }}", "NARU-C102 max_inflate_ratio" },
        { "decompressor.v3.Decompressor", $"decompressor_library: {{ name: z, typed_config: {Coder}brotli.decompressor.v3.Brotli, disable_ring_buffer_reallocation: true }} }}", "NARU-C110 disable_ring_buffer_reallocation" },
        { "grpc_http1_reverse_bridge.v3.FilterConfig", "withhold_grpc_frames: true", "NARU-C101 content_type" },
        { "grpc_http1_reverse_bridge.v3.FilterConfig", "content_type: a/b, response_size_header: x", "NARU-C113 response_size_header" },
        { "bandwidth_limit.v3.BandwidthLimit", "stat_prefix: s, enable_mode: REQUEST", "NARU-C101 limit_kbps" },
        { "bandwidth_limit.v3.BandwidthLimit", "stat_prefix: s, limit_kbps: 0", "NARU-C102 limit_kbps" },
        { "bandwidth_limit.v3.BandwidthLimit", "stat_prefix: s, limit_kbps: 1, fill_interval: 0.01s", "NARU-C102 fill_interval" },
        { "bandwidth_limit.v3.BandwidthLimit", "limit_kbps: 1", "NARU-C101 stat_prefix" },
        { "grpc_stats.v3.FilterConfig", "individual_method_stats_allowlist: { services: [{ name: a }] }", "NARU-C101 method_names" },
        { "custom_response.v3.CustomResponse", On("HttpRequestHeaderMatchInput, header_name: a", Policy), "NARU-C112 typed_config" },
        { "custom_response.v3.CustomResponse", On("HttpResponseStatusCodeMatchInput", Policy + ", status_code: 199"), "NARU-C102 status_code" },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void What_cannot_be_is_refused_by_name(string type, string fields, string expected) =>
        Assert.Equal(expected, Read.Bad(Bootstrap($"{{ name: f, typed_config: {{ \"@type\": {Http}{type}, {fields} }} }}")));
}
