// The pure parts of path and header hygiene: slashes, dots, underscores, names that are believed.
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class HygieneTests
{
    private static byte[] Latin1(string text) => Encoding.Latin1.GetBytes(text);

    [Theory]
    [InlineData("/a%2Fb", "/a/b")]
    [InlineData("/a%2fb", "/a/b")]
    [InlineData("/a%5Cb%5cc", "/a\\b\\c")]
    [InlineData("/%2f%2F", "///")]
    [InlineData("/a%252Fb", null)]
    [InlineData("/a%2", null)]
    [InlineData("/a%", null)]
    [InlineData("/%2G", null)]
    [InlineData("/plain/path", null)]
    [InlineData("%2F", "/")]
    public void Escaped_slashes_are_unescaped_once(string path, string? plain) =>
        Assert.Equal(plain, PathRewrite.UnescapeSlashes(Latin1(path)) is { } bytes ? Encoding.Latin1.GetString(bytes) : null);

    /// <summary>Spellings of /admin/x (attack class 28) that an application which normalizes would serve as that.</summary>
    [Theory]
    [InlineData("/admin/x")]
    [InlineData("//admin/x")]
    [InlineData("/admin//x")]
    [InlineData("///admin///x")]
    [InlineData("/./admin/x")]
    [InlineData("/admin/./x")]
    [InlineData("/a/../admin/x")]
    [InlineData("/a/b/../../admin/x")]
    [InlineData("/../admin/x")]
    [InlineData("/../../../admin/x")]
    [InlineData("/admin/y/../x")]
    [InlineData("/%61dmin/x")]
    [InlineData("/%61%64%6d%69%6E/x")]
    [InlineData("/admin/%78")]
    [InlineData("/%2e/admin/x")]
    [InlineData("/%2E%2e/admin/x")]
    [InlineData("/a/%2e%2e/admin/x")]
    [InlineData("/a/.%2e/admin/x")]
    [InlineData("/a/%2e./admin/x")]
    [InlineData("\\admin\\x")]
    [InlineData("/\\admin/x")]
    [InlineData("/admin\\x")]
    [InlineData("/a\\..\\admin/x")]
    [InlineData("/a/..\\admin/x")]
    [InlineData("/a%5C..%5Cadmin/x")]
    [InlineData("/a%2F..%2Fadmin/x")]
    [InlineData("/admin%2Fx")]
    [InlineData("/%2Fadmin/x")]
    [InlineData("/a%2f%2e%2e%2fadmin%2fx")]
    public void Every_spelling_of_a_path_becomes_the_same_path(string spelling)
    {
        byte[] path = PathRewrite.UnescapeSlashes(Latin1(spelling)) ?? Latin1(spelling);
        byte[]? normalized = PathRewrite.Normalize(path, normalize: true, mergeSlashes: true, out bool valid);
        Assert.True(valid);
        Assert.Equal("/admin/x", Encoding.Latin1.GetString(normalized ?? path));
    }

    [Theory]
    [InlineData("/a%00b")]
    [InlineData("/%%361dmin")]
    [InlineData("/%%32e/")]
    [InlineData("/%2%30")]
    public void An_escape_that_hides_another_or_a_NUL_is_no_path(string path)
    {
        PathRewrite.Normalize(Latin1(path), normalize: true, mergeSlashes: true, out bool valid);
        Assert.False(valid);
    }

    [Theory]
    [InlineData("/admin;x=y", "/admin;x=y")]
    [InlineData("/ADMIN/x", "/ADMIN/x")]
    [InlineData("/a%c0%AFb", "/a%c0%AFb")]
    [InlineData("/a%", "/a%")]
    [InlineData("/a%4", "/a%4")]
    [InlineData("/a%zz", "/a%zz")]
    [InlineData("/%u002e/", "/%u002e/")]
    [InlineData("/a%252e%252e/b", "/a%252e%252e/b")]
    [InlineData("/admin/x.", "/admin/x.")]
    [InlineData("/...", "/...")]
    [InlineData("/.a/..b", "/.a/..b")]
    [InlineData("/a/..", "/")]
    [InlineData("/a/.", "/a/")]
    public void What_is_another_path_stays_another(string path, string expected)
    {
        byte[]? normalized = PathRewrite.Normalize(Latin1(path), normalize: true, mergeSlashes: true, out bool valid);
        Assert.True(valid);
        Assert.Equal(expected, Encoding.Latin1.GetString(normalized ?? Latin1(path)));
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("A: 1|", "A: 1|")]
    [InlineData("X_Y: 1|", "")]
    [InlineData("A: 1|X_Y: 2|B: 3|", "A: 1|B: 3|")]
    [InlineData("_: 1|A: 1|__: 2|B_: 3|C: 4|", "A: 1|C: 4|")]
    [InlineData("A: x_y|B_b: 1|", "A: x_y|")]
    [InlineData("A: 1|B: 2|C_c: 3|", "A: 1|B: 2|")]
    public void A_head_loses_the_fields_whose_names_have_underscores(string fields, string kept)
    {
        const string Line = "GET /a_b HTTP/1.1\r\n", Behind = "BODY_X: 1\r\n";
        byte[] bytes = Latin1($"{Line}{fields.Replace("|", "\r\n")}\r\n{Behind}");
        var head = new Http1Head();
        head.StartRequest();
        Assert.Equal(HeadStatus.Complete, head.Parse(bytes, 4096, 100));
        int end = head.Length;
        int moved = head.RemoveUnderscored(bytes.AsSpan(0, end));
        Assert.Equal(end - moved, head.Length);
        Assert.Equal($"{Line}{kept.Replace("|", "\r\n")}\r\n{Behind}", Encoding.Latin1.GetString(bytes.AsSpan(moved)));
        ReadOnlySpan<byte> now = bytes.AsSpan(moved, head.Length);
        var read = new StringBuilder();
        foreach (ref readonly HeaderField field in head.Fields)
        {
            read.Append(Encoding.Latin1.GetString(Http1Head.Name(now, field))).Append(": ").Append(Encoding.Latin1.GetString(Http1Head.Value(now, field))).Append('|');
            Assert.Equal("\r\n", Encoding.Latin1.GetString(now[(field.LineEnd - 2)..field.LineEnd]));
        }
        Assert.Equal(kept, read.ToString());
        Assert.Equal("/a_b", Encoding.Latin1.GetString(now.Slice(head.TargetStart, head.TargetLength)));
    }

    [Theory]
    [InlineData("x_forwarded_for", true)]
    [InlineData("X-Forwarded_For", true)]
    [InlineData("X_ENVOY_INTERNAL", true)]
    [InlineData("x_naru_identity", true)]
    [InlineData("x_request_id", true)]
    [InlineData("x_forwarded_client_cert", true)]
    [InlineData("x-forwarded-for", false)]
    [InlineData("x_my_own", false)]
    [InlineData("my_header", false)]
    [InlineData("x", false)]
    public void Twins_of_trusted_names_are_known(string name, bool twin) => Assert.Equal(twin, TrustedHeaders.IsTwin(Latin1(name)));

    [Theory]
    [InlineData("Authorization")]
    [InlineData("cookie")]
    [InlineData("X-Forwarded-Prefix")]
    [InlineData("X-B3-TraceId")]
    [InlineData("x-b3-sampled")]
    [InlineData("B3")]
    [InlineData("Traceparent")]
    [InlineData("tracestate")]
    [InlineData("X-Real-IP")]
    [InlineData("Content-Type")]
    [InlineData("grpc-timeout")]
    [InlineData("Baggage")]
    [InlineData("X-Client-Trace-Id")]
    [InlineData("X-Datadog-Trace-Id")]
    [InlineData("x-amzn-trace-id")]
    public void What_identifies_routes_or_traces_cannot_be_deleted(string name) => Assert.True(TrustedHeaders.IsProtected(Latin1(name)));
}
