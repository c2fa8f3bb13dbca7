// The readers of bytes and text that strangers can reach. A new one gets a line here.
using Naru.FuzzTests.Engine;
using Naru.Proxy.Http2;

namespace Naru.FuzzTests.Targets;

internal static class AllTargets
{
    public static IReadOnlyList<FuzzTarget> List { get; } =
    [
        new Http1HeadTarget("http1-request", Http1HeadTarget.Kind.Request),
        new Http1HeadTarget("http1-response", Http1HeadTarget.Kind.Response),
        new Http1HeadTarget("http1-trailers", Http1HeadTarget.Kind.Trailers),
        new ChunkedTarget(),
        new HuffmanTarget(),
        new HpackDecodeTarget(),
        new HpackEncodeTarget(),
        new Http2FramesTarget(),
        new Http2HeadTarget(),
        new Http1ToHttp2Target("http1-to-http2", SectionKind.Request),
        new Http1ToHttp2Target("http1-to-http2-response", SectionKind.Response),
        new PathTarget(),
        new ClientHelloTarget(),
        new ProxyHeaderTarget(),
        new HttpSnifferTarget(),
        new DnsTarget(),
        new JsonBodyTarget(),
        new XmlBodyTarget(),
        new FormBodyTarget(),
        new ProtoBodyTarget(),
        new JsonToProtoTarget(),
        new ProtoToJsonTarget(),
        new ExpressionTextTarget(),
        new ExpressionTreeTarget(),
        new ScriptTarget(),
        new YamlTarget(),
        new BootstrapTarget(),
        new Http1ConnectionTarget(),
        new Http1UpstreamTarget(),
        new Http2ConnectionTarget(),
        new Http2UpstreamTarget(),
    ];
}
