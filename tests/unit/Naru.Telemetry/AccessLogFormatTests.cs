// What a format prints, what it refuses, and that strangers' bytes cannot leave their field.
using System.Text;
using System.Text.Json;
using Naru.Core;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Telemetry;

public sealed class AccessLogFormatTests
{
    private static FakeRequest Request()
    {
        FakeRequest request = new FakeRequest()
            .Header(":method", "GET").Header(":path", "/a/b?x=1&yy=two&empty=&x=3").Header(":authority", "reviews:9080").Header("user-agent", "curl/8")
            .Header("content-type", "application/grpc").Header("x-request-id", "id-1").Header("x-envoy-original-path", "/orig?q=1")
            .Header("content-type", "text/plain", HeaderSource.Response).Header("x-envoy-upstream-service-time", "7", HeaderSource.Response)
            .Header("grpc-status", "14", HeaderSource.ResponseTrailer)
            .Set(RequestText.Protocol, "HTTP/1.1").Set(RequestText.UpstreamHost, "10.1.2.3:80").Set(RequestText.UpstreamCluster, "outbound|9080||reviews")
            .Set(RequestText.DownstreamRemoteAddress, "[::1]:4711").Set(RequestText.DownstreamLocalAddress, "127.0.0.1:8080")
            .Set(RequestText.ResponseCodeDetails, "via_upstream");
        request.Numbers[RequestNumber.ResponseCode] = 200;
        request.Numbers[RequestNumber.BytesReceived] = 0;
        request.Numbers[RequestNumber.BytesSent] = 1234;
        request.Times[TimePoint.DownstreamRxEnd] = 1_000_000;
        request.Times[TimePoint.UpstreamRxBegin] = 5_500_000;
        request.Times[TimePoint.DownstreamTxEnd] = 12_999_999;
        return request;
    }

    private static string Write(string format, FakeRequest? request = null, FormatUse use = FormatUse.LogLine)
    {
        var diagnostics = new Diagnostics();
        AccessLogFormat? compiled = AccessLogFormat.Compile(format, diagnostics, use);
        Assert.True(compiled is not null, string.Join('\n', diagnostics.Items));
        var buffer = new LineBuffer();
        compiled.Write(request ?? Request(), buffer);
        return Encoding.UTF8.GetString(buffer.Written);
    }

    [Theory]
    [InlineData("%REQ(:METHOD)% %REQ(X-NONE)% %REQ(X-NONE?:METHOD)%", "GET - GET")]
    [InlineData("%REQ(USER-AGENT):4%", "curl")]
    [InlineData("%RESP(Content-Type)% %TRAILER(grpc-status)%", "text/plain 14")]
    [InlineData("%REQ_WITHOUT_QUERY(:PATH)%", "/a/b")]
    [InlineData("%PATH(WQ)% %PATH(NQ:PATH)% %PATH(NQ:ORIG)% %PATH(WQ:PATH):4%", "/orig?q=1 /a/b /orig /a/b")]
    [InlineData("%QUERY_PARAM(x)% %QUERY_PARAM(yy):2% [%QUERY_PARAM(empty)%] %QUERY_PARAM(y)%", "1 tw [] -")]
    [InlineData("%PROTOCOL% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED% %BYTES_SENT%", "HTTP/1.1 200 via_upstream 0 1234")]
    [InlineData("%DURATION% %REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION% %REQUEST_TX_DURATION%", "12 1 5 7 -")]
    [InlineData("%COMMON_DURATION(DS_RX_END:US_RX_BEG:us)% %COMMON_DURATION(DS_RX_BEG:DS_TX_END:ns)%", "4500 12999999")]
    [InlineData("%UPSTREAM_HOST% %UPSTREAM_CLUSTER% %UPSTREAM_LOCAL_ADDRESS%", "10.1.2.3:80 outbound|9080||reviews -")]
    [InlineData("%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT% %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "[::1]:4711 ::1 4711 127.0.0.1")]
    [InlineData("%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%", "Unavailable UNAVAILABLE 14")]
    [InlineData("%START_TIME%", "2026-03-04T05:06:07.123Z")]
    [InlineData("%START_TIME(%Y/%m/%dT%H:%M:%S%z %s.%6f %3f %9f)%", "2026/03/04T05:06:07+0000 1772600767.123456 123 123456700")]
    [InlineData("%START_TIME(%a %b %e %I%p %j %y %F %T %D %E*S)%", "Wed Mar  4 05AM 063 26 2026-03-04 05:06:07 03/04/26 07.123456700")]
    [InlineData("%DOWNSTREAM_TLS_VERSION% %REQUESTED_SERVER_NAME% %ROUTE_NAME%", "- - -")]
    [InlineData("100%% %ACCESS_LOG_TYPE%", "100% DownstreamEnd")]
    [InlineData("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%", "- -")]
    [InlineData("%QUERY_PARAMS(ORIG)% %QUERY_PARAMS(DECODED)%", "x=1&yy=two&empty=&x=3 x=1&yy=two&empty=&x=3")]
    [InlineData("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(8)% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)% %UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(8)%", "127.0.0.0/8 ::/16 -")]
    [InlineData("%COALESCE({\"operators\": [{\"command\": \"REQ\", \"param\": \"none\"}, \"ROUTE_NAME\", {\"command\": \"REQ\", \"param\": \":method\"}]})%", "GET")]
    [InlineData("%COALESCE({\"operators\": [{\"command\": \"REQ\", \"param\": \"none\"}, {\"command\": \"PROTOCOL\", \"max_length\": 4}]})%", "HTTP")]
    [InlineData("%COALESCE({\"operators\": [\"ROUTE_NAME\"]})%", "-")]
    [InlineData("no operator", "no operator")]
    public void A_format_prints_what_the_operators_say(string format, string expected) => Assert.Equal(expected, Write(format));

    [Fact]
    public void The_default_line_is_Envoys()
    {
        FakeRequest request = Request();
        request.Flags = ResponseFlags.UpstreamConnectionFailure | ResponseFlags.UpstreamRetryLimitExceeded;
        var buffer = new LineBuffer();
        AccessLogFormat.Default.Write(request, buffer);
        Assert.Equal("[2026-03-04T05:06:07.123Z] \"GET /orig?q=1 HTTP/1.1\" 200 URX,UF 0 1234 12 7 \"-\" \"curl/8\" \"id-1\" \"reviews:9080\" \"10.1.2.3:80\"\n",
            Encoding.UTF8.GetString(buffer.Written));
    }

    [Fact]
    public void Every_flag_has_its_short_and_its_long_name()
    {
        foreach (ResponseFlags flag in Enum.GetValues<ResponseFlags>().Where(f => f != ResponseFlags.None))
        {
            FakeRequest request = new() { Flags = flag };
            Assert.Equal(flag.ToString(), Write("%RESPONSE_FLAGS_LONG%", request));
            Assert.Contains(Write("%RESPONSE_FLAGS%", request), ResponseFlagNames.Short);
        }
        Assert.Equal("NR", Write("%RESPONSE_FLAGS%", new FakeRequest { Flags = ResponseFlags.NoRouteFound }));
        Assert.Equal("UDO", Write("%RESPONSE_FLAGS%", new FakeRequest { Flags = ResponseFlags.UnconditionalDropOverload }));
    }

    [Theory]
    [InlineData("%REQQ(x)%", "NARU-L002", "REQ")]
    [InlineData("%UPSTREAM_HOTS%", "NARU-L002", "UPSTREAM_HOST")]
    [InlineData("%UPSTREAM_FILTER_STATE(a)%", "NARU-L003", "UPSTREAM_FILTER_STATE")]
    [InlineData("%CEL(request.pat)%", "NARU-L004", "request.path")]
    [InlineData("%CEL(1 +)%", "NARU-L004", "character 4")]
    [InlineData("%CEL(size(')')", "NARU-L001", "character 1")]
    [InlineData("%REQ(x", "NARU-L001", "character 1")]
    [InlineData("50% of", "NARU-L001", "character 3")]
    [InlineData("%REQ%", "NARU-L004", "name of a header")]
    [InlineData("%REQ(a?b?c)%", "NARU-L004", "alternative")]
    [InlineData("%DURATION(x)%", "NARU-L004", "no argument")]
    [InlineData("%DURATION:4%", "NARU-L004", "cut")]
    [InlineData("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(129)%", "NARU-L004", "bits")]
    [InlineData("%QUERY_PARAMS(RAW)%", "NARU-L004", "DECODED")]
    [InlineData("%COALESCE({\"operators\": []})%", "NARU-L004", "one operator")]
    [InlineData("%COALESCE({\"operators\": [\"NO_SUCH\"]})%", "NARU-L004", "NO_SUCH")]
    [InlineData("%COALESCE({\"operators\" []})%", "NARU-L004", "JSON")]
    [InlineData("%START_TIME(%Q)%", "NARU-L004", "%Q")]
    [InlineData("%COMMON_DURATION(DS_RX_BEG:NEVER)%", "NARU-L004", "NEVER")]
    public void What_cannot_be_printed_is_refused_by_name(string format, string code, string says)
    {
        var diagnostics = new Diagnostics();
        Assert.Null(AccessLogFormat.Compile(format, diagnostics, place: new Place("b.yaml", 3, 4), subject: "access_log[0]"));
        Diagnostic found = Assert.Single(diagnostics.Items);
        Assert.Equal(code, found.Code);
        Assert.Contains(says, found.ToString(), StringComparison.Ordinal);
        Assert.StartsWith("b.yaml:3:4", found.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Every_fault_of_a_format_is_reported()
    {
        var diagnostics = new Diagnostics();
        Assert.Null(AccessLogFormat.Compile("%A% %B% %REQ(x)% %C%", diagnostics));
        Assert.Equal(3, diagnostics.Items.Count);
    }

    [Theory]
    [InlineData("a\r\nb", @"a\x0D\x0Ab")]
    [InlineData("a\"b\\c", @"a\x22b\x5Cc")]
    [InlineData("\u001b[31mred", @"\x1B[31mred")]
    [InlineData("x\u2028y", @"x\xE2\x80\xA8y")]
    [InlineData("x\u0085y\u202ez", @"x\xC2\x85y\xE2\x80\xAEz")]
    [InlineData("나루 é", "나루 é")]
    [InlineData("\0\t\u007f", @"\x00\x09\x7F")]
    public void A_strangers_bytes_stay_in_their_field(string value, string printed) =>
        Assert.Equal($"\"{printed}\"\n", Write("\"%REQ(x)%\"\n", new FakeRequest().Header("x", value)));

    [Fact]
    public void Bytes_that_are_not_UTF8_are_printed_as_numbers() =>
        Assert.Equal(@"a\xFFb\xC3", Write("%REQ(x)%", new FakeRequest().Header("x", [(byte)'a', 0xff, (byte)'b', 0xc3])));

    [Fact]
    public void A_header_value_has_no_line_ends_and_nothing_for_what_is_absent()
    {
        FakeRequest request = new FakeRequest().Header("x", "a\r\nset-cookie: b\0\"c\"");
        Assert.Equal("v=a  set-cookie: b \"c\";", Write("v=%REQ(x)%;%REQ(none)%", request, FormatUse.HeaderValue));
    }

    [Fact]
    public void A_cut_never_splits_a_character() => Assert.Equal("é", Write("%REQ(x):3%", new FakeRequest().Header("x", "éé")));

    private static string Json(FormatSource source, FakeRequest request)
    {
        var diagnostics = new Diagnostics();
        AccessLogFormat? format = AccessLogFormat.Compile(source, diagnostics);
        Assert.True(format is not null, string.Join('\n', diagnostics.Items));
        var buffer = new LineBuffer();
        format.Write(request, buffer);
        return Encoding.UTF8.GetString(buffer.Written);
    }

    private static FormatMap Map(params (string Name, FormatNode Value)[] members) => new([.. members.Select(m => new KeyValuePair<string, FormatNode>(m.Name, m.Value))]);

    private static FormatText Text(string format) => new(format);

    [Fact]
    public void Json_keeps_types_and_escapes_everything()
    {
        string line = Json(new FormatSource
        {
            Json = Map(("code", Text("%RESPONSE_CODE%")), ("ms", Text("%DURATION%")), ("host", Text("%UPSTREAM_HOST%")), ("none", Text("%REQ(none)%")),
                ("wait", Text("%REQUEST_TX_DURATION%")), ("mixed", Text("%PROTOCOL% \"%REQ(evil)%\" %REQ(none)%")), ("k\"ey", Text("plain")), ("evil", Text("%REQ(evil)%"))),
        }, Request().Header("evil", "a\"}\n{\u2028\u001b\\\U0001F600"));
        Assert.Equal(line.Length - 1, line.IndexOf('\n'));
        using JsonDocument document = JsonDocument.Parse(line);
        JsonElement root = document.RootElement;
        Assert.Equal(200, root.GetProperty("code").GetInt32());
        Assert.Equal(12, root.GetProperty("ms").GetInt32());
        Assert.Equal("10.1.2.3:80", root.GetProperty("host").GetString());
        Assert.Equal(JsonValueKind.Null, root.GetProperty("none").ValueKind);
        Assert.Equal(JsonValueKind.Null, root.GetProperty("wait").ValueKind);
        Assert.Equal("HTTP/1.1 \"a\"}\n{\u2028\u001b\\\U0001F600\" -", root.GetProperty("mixed").GetString());
        Assert.Equal("plain", root.GetProperty("k\"ey").GetString());
        Assert.Equal("a\"}\n{\u2028\u001b\\\U0001F600", root.GetProperty("evil").GetString());
        Assert.DoesNotContain('\u2028', line);
    }

    [Theory]
    [InlineData(false,
        """{"all_gone":{"gone":null,"too":{"more":null}},"code":200,"code_text":"code 200","empty":"","first":200,"flags":"-","half":"1.5","list":["GET",200,3,{"in":null}],"map":{},"none":null,"none_text":"v=-;GET","number":7,"port":8080,"text":"a \"b\" \\","two":"--","yes":true}""")]
    [InlineData(true, """{"code":200,"code_text":"code 200","empty":"","first":200,"flags":"-","half":"1.5","list":["GET",200,3],"none_text":"v=;GET","number":7,"port":8080,"text":"a \"b\" \\","two":"","yes":true}""")]
    public void Json_is_sorted_and_nested_and_leaves_out_what_is_asked(bool omit, string expected) => Assert.Equal(expected + "\n", Json(new FormatSource
    {
        OmitEmpty = omit,
        Json = Map(("yes", new FormatLiteral("true")), ("two", Text("%REQ(none)%%RESP(none)%")), ("text", Text("a \"b\" \\")), ("port", Text("%DOWNSTREAM_LOCAL_PORT%")),
            ("number", FormatNode.Of(7)), ("half", FormatNode.Of(1.5)), ("none_text", Text("v=%REQ(none)%;%REQ(:METHOD)%")), ("none", Text("%REQ(none)%")), ("map", Map()),
            ("list", new FormatList([Text("%REQ(:METHOD)%"), Text("%RESPONSE_CODE%"), FormatNode.Of(3), Map(("in", Text("%ROUTE_NAME%")))])), ("flags", Text("%RESPONSE_FLAGS%")),
            ("first", Text("%COALESCE({\"operators\": [{\"command\": \"REQ\", \"param\": \"none\"}, \"RESPONSE_CODE\"]})%")), ("empty", Text("")),
            ("code_text", Text("code %RESPONSE_CODE%")), ("code", Text("%RESPONSE_CODE%")), ("all_gone", Map(("gone", Text("%REQ(none)%")), ("too", Map(("more", Text("%RESP(none)%"))))))),
    }, Request()));

    [Fact]
    public void Json_takes_what_is_no_utf8_for_latin1() => Assert.Equal("{\"x\":\"a\\u0022\\u00e9\"}\n",
        Json(new FormatSource { Json = Map(("x", Text("%REQ(x)%"))) }, new FakeRequest().Header("x", [(byte)'a', (byte)'"', 0xe9])));

    [Fact]
    public void A_text_without_what_is_absent() => Assert.Equal("[] 200 () -\n", Json(new FormatSource { OmitEmpty = true, Text = "[%REQ(none)%] %RESPONSE_CODE% (%ROUTE_NAME%) %RESPONSE_FLAGS%\n" }, Request()));

    [Fact]
    public void A_body_has_values_as_they_are_and_nothing_for_an_empty_body() =>
        Assert.Equal("<a\"b>-[]", Write("<%REQ(x)%>%REQ(none)%[%LOCAL_REPLY_BODY%]", new FakeRequest().Header("x", "a\"b"), FormatUse.Body));

    [Theory]
    [InlineData("application/grpc", "5", null, 200, "NotFound")]
    [InlineData("application/grpc+proto", null, "14", 200, "Unavailable")]
    [InlineData("application/grpc", null, null, 503, "Unavailable")]
    [InlineData("application/grpc", null, null, 200, "Unknown")]
    [InlineData("application/grpc", "99", null, 200, "99")]
    [InlineData("application/grpc", "x", null, 200, "-1")]
    [InlineData("text/plain", "5", null, 200, "-")]
    [InlineData("application/grpc; charset=x", "5", null, 200, "-")]
    public void A_grpc_status_is_that_of_the_call(string type, string? trailer, string? header, int code, string printed)
    {
        FakeRequest request = new FakeRequest().Header("content-type", type);
        if (trailer is not null) request.Header("grpc-status", trailer, HeaderSource.ResponseTrailer);
        if (header is not null) request.Header("grpc-status", header, HeaderSource.Response);
        request.Numbers[RequestNumber.ResponseCode] = code;
        Assert.Equal(printed, Write("%GRPC_STATUS%", request));
    }

    [Theory]
    [InlineData("/?c=%41%20b", "A b")]
    [InlineData("/?c=%4", "%4")]
    [InlineData("/?c=%zz%", "%zz%")]
    [InlineData("/?C=1", "-")]
    public void A_query_parameter_is_decoded(string path, string printed) => Assert.Equal(printed, Write("%QUERY_PARAM(c)%", new FakeRequest().Header(":path", path)));

    [Fact]
    public void In_a_header_the_type_of_the_entry_is_not_set() => Assert.Equal("NotSet", Write("%ACCESS_LOG_TYPE%", use: FormatUse.HeaderValue));

    [Fact]
    public void An_environment_variable_is_read_once()
    {
        Environment.SetEnvironmentVariable("NARU_TEST_POD", "reviews-1");
        AccessLogFormat format = AccessLogFormat.Compile("%ENVIRONMENT(NARU_TEST_POD)% %ENVIRONMENT(NARU_TEST_NONE)% %HOSTNAME%", new Diagnostics())!;
        Environment.SetEnvironmentVariable("NARU_TEST_POD", null);
        var buffer = new LineBuffer();
        format.Write(Request(), buffer);
        Assert.Equal($"reviews-1 - {Environment.MachineName}", Encoding.UTF8.GetString(buffer.Written));
    }

    [Fact]
    public void Two_unique_ids_differ() => Assert.Equal(2, Write("%UNIQUE_ID% %UNIQUE_ID%").Split(' ').Distinct().Count());

    [Fact]
    public void A_warm_format_allocates_nothing()
    {
        FakeRequest request = Request().Header("x-forwarded-for", "ev\"il\n");
        request.Flags = ResponseFlags.UpstreamRequestTimeout;
        AccessLogFormat json = AccessLogFormat.Compile(new FormatSource { Json = Map(("t", Text("%START_TIME%")), ("p", Text("%REQ(:PATH)%")), ("d", Text("%DURATION%"))) }, new Diagnostics())!;
        var buffer = new LineBuffer();
        for (int i = 0; i < 100; i++) Once();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++) Once();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Once()
        {
            buffer.Clear();
            AccessLogFormat.Default.Write(request, buffer);
            json.Write(request, buffer);
        }
    }
}
