// What configurations of the transcoder say is read, and what is wrong with them is said by name.
using Google.Api;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.UnitTests.ProxyConfig;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class TranscoderReaderTests
{
    private const string Http = "type.googleapis.com/envoy.extensions.filters.http.";

    private static string Bootstrap(string fields, string perRoute = "") => Read.InListener(
        "filter_chains: [{ filters: [{ name: m, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
        + "route_config: { virtual_hosts: [{ name: v, domains: [\"*\"], routes: [{ match: { prefix: / }, direct_response: { status: 200 }, "
        + $"typed_per_filter_config: {{ {(perRoute.Length > 0 ? $"f: {{ \"@type\": {Http}grpc_json_transcoder.v3.GrpcJsonTranscoder, {perRoute} }}" : "")} }} }}] }}] }}, "
        + $"http_filters: [{{ name: f, typed_config: {{ \"@type\": {Http}grpc_json_transcoder.v3.GrpcJsonTranscoder{(fields.Length > 0 ? ", " + fields : "")} }} }}, {{ name: r, typed_config: {{ \"@type\": {Http}router.v3.Router }} }}] }} }}] }}]");

    // Services t.S with these rules, one a method.
    private static string Bin(string input, params HttpRule[] rules)
    {
        FileDescriptorSet set = Grove.All.Clone();
        var service = new ServiceDescriptorProto { Name = "S" };
        for (int i = 0; i < rules.Length; i++)
        {
            var options = MethodOptions.Parser.ParseFrom([0x82, 0xd3, 0xe4, 0x93, 0x02, (byte)rules[i].CalculateSize(), .. rules[i].ToByteArray()]);
            service.Method.Add(new MethodDescriptorProto { Name = $"M{i}", InputType = ".t." + input, OutputType = ".t.All", Options = options });
        }
        set.File.Single(f => f.Name == "t.proto").Service.Add(service);
        return $"proto_descriptor_bin: \"{set.ToByteString().ToBase64()}\"";
    }

    private static string Good(params HttpRule[] rules) => $"services: [t.S], {Bin("All", rules)}";

    public static TheoryData<string, string, string> Wrong => new()
    {
        { "services: [t.S]", "", "NARU-C101" },
        { "services: [t.S], proto_descriptor: /nosuch", "proto_descriptor", "NARU-C104" },
        { "services: [t.S], proto_descriptor_bin: AAAA", "proto_descriptor_bin", "NARU-C102" },
        { $"services: [t.None], {Bin("All")}", "services[0]", "NARU-C104" },
        { $"services: [t.S, t.S], {Bin("All")}", "services[1]", "NARU-C103" },
        { Good(new HttpRule { Get = "v1" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/{nosuch}" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/{list}" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/{parts.a_int32}" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/{a_message}" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/{a_int32.x}" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/{a_int32}/{aInt32}" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/a" }, new HttpRule { Get = "/a" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/a", AdditionalBindings = { new HttpRule { Get = "/a" } } }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/a", AdditionalBindings = { new HttpRule() } }), "services[0]", "NARU-C101" },
        { Good(new HttpRule { Post = "/a", Body = "nosuch" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Post = "/a", Body = "a_message.a_int32" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Post = "/{a_string}", Body = "a_string" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Get = "/a", ResponseBody = "nosuch" }), "services[0]", "NARU-C102" },
        { Good(new HttpRule { Custom = new CustomHttpPattern { Kind = "HEAD", Path = "/a" } }), "services[0]", "NARU-C113" },
        { $"services: [t.S], {Bin("Grouped", new HttpRule { Get = "/a" })}", "services[0]", "NARU-C113" },
        { $"{Good()}, max_request_body_size: 0", "max_request_body_size", "NARU-C102" },
        { $"{Good()}, max_response_body_size: 0", "max_response_body_size", "NARU-C102" },
        { $"{Good()}, print_options: {{ stream_newline_delimited: true, stream_sse_style_delimited: true }}", "print_options", "NARU-C113" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void What_is_wrong_with_a_transcoder_is_said(string fields, string field, string code)
    {
        string said = Read.Bad(Bootstrap(fields));
        Assert.StartsWith(code, said, StringComparison.Ordinal);
        string atRoute = Read.Bad(Bootstrap("", fields));
        Assert.StartsWith(code, atRoute, StringComparison.Ordinal);
        if (field.Length == 0) return;
        Assert.EndsWith(" " + field, said, StringComparison.Ordinal);
        Assert.EndsWith(" " + field, atRoute, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_services_it_is_off_and_needs_nothing()
    {
        Read.Good(Bootstrap(""));
        Read.Good(Bootstrap(Good(new HttpRule { Get = "/{a_string=x/*}/{a_message.a_int32}:go" }, new HttpRule { Put = "/b", Body = "*" }, new HttpRule()), "services: []"));
    }

    [Fact]
    public void Descriptors_have_all_that_they_name()
    {
        FileDescriptorSet set = Grove.All.Clone();
        set.File.Remove(set.File.Single(f => f.Name == "google/protobuf/duration.proto"));
        string said = Read.Said(Bootstrap($"services: [t.S], proto_descriptor_bin: \"{set.ToByteString().ToBase64()}\""));
        Assert.Contains("t.All.span is a google.protobuf.Duration, which the descriptors lack", said, StringComparison.Ordinal);
        Assert.Contains("--include_imports", said, StringComparison.Ordinal);
    }
}
