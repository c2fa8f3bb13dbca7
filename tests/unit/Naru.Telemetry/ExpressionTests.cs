// What expressions say of a request, row by row (cel-spec, "Standard Definitions", and Envoy's attributes), and that none of them, whatever
// it is made of, does not end.
using System.Text;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Telemetry;

public sealed class ExpressionTests
{
    private static FakeRequest Request()
    {
        FakeRequest request = new FakeRequest()
            .Header(":method", "GET").Header(":path", "/a/b?x=1#f").Header(":authority", "shop:80").Header(":scheme",
                "https").Header("user-agent", "curl/8")
            .Header("x-n", "four").Header("x-empty", "").Header("x-odd", [0xff, 0xfe])
            .Header("x-kind", "fruit", HeaderSource.Response).Header("grpc-status", "5", HeaderSource.ResponseTrailer)
            .Set(RequestText.Protocol, "HTTP/1.1").Set(RequestText.DownstreamRemoteAddress,
                "10.0.0.7:4711").Set(RequestText.DownstreamLocalAddress, "[::1]:443")
            .Set(RequestText.RouteName, "r").Set(RequestText.VirtualHostName, "v");
        request.Numbers[RequestNumber.ResponseCode] = 404;
        request.Numbers[RequestNumber.BytesReceived] = 7;
        request.Numbers[RequestNumber.ConnectionId] = 3;
        request.Times[TimePoint.DownstreamTxEnd] = 1_500_000_000;
        request.Flags = ResponseFlags.NoRouteFound;
        request.Said[MetadataSource.Dynamic] = MetaValue.Map([new("who", MetaValue.Map(
            [new("name", MetaValue.Of("ann")), new("age", MetaValue.Of(7)),
                new("tags", MetaValue.List([MetaValue.Of("a"), MetaValue.Of(2)])), new("none", MetaValue.Null)]))]);
        request.States["k"] = "kept"u8.ToArray();
        return request;
    }

    private static string Show(string text)
    {
        Expression? expression = Expression.Parse(text, out string? error);
        return expression is null ? "refused: " + error : expression.Show(Request());
    }

    [Theory]
    [InlineData("1 + 2 * 3 - 4 / 2", "5")]
    [InlineData("(1 + 2) * 3 % 5", "4")]
    [InlineData("-7 / 2", "-3")]
    [InlineData("-7 % 3", "-1")]
    [InlineData("7u / 2u", "3")]
    [InlineData("1.5 * 2.0", "3")]
    [InlineData("0x1F", "31")]
    [InlineData("-0x10", "-16")]
    [InlineData("1e3", "1000")]
    [InlineData("-9223372036854775808", "-9223372036854775808")]
    [InlineData("18446744073709551615u", "18446744073709551615")]
    [InlineData("--1", "1")]
    [InlineData("- 1", "-1")]
    [InlineData("1.0 / 0.0", "inf")]
    [InlineData("!true || !!true", "true")]
    [InlineData("1 < 2 ? 'yes' : 'no'", "yes")]
    [InlineData("true ? (false ? 1 : 2) : false ? 3 : 4", "2")]
    [InlineData("1 == 1u && 1u == 1.0 && 1.0 == 1", "true")]
    [InlineData("9223372036854775807 == 9223372036854775808.0", "false")]
    [InlineData("9223372036854775807 < 9223372036854775808u", "true")]
    [InlineData("-1 < 0u && 0u > -1", "true")]
    [InlineData("0.0 / 0.0 == 0.0 / 0.0", "false")]
    [InlineData("0.0 / 0.0 < 1", "false")]
    [InlineData("'a' == 1", "false")]
    [InlineData("null == null", "true")]
    [InlineData("null == 0", "false")]
    [InlineData("[1, 2] == [1.0, 2u]", "true")]
    [InlineData("{'a': 1, 'b': [2]} == {'b': [2], 'a': 1}", "true")]
    [InlineData("{'a': 1} == {'a': 2}", "false")]
    [InlineData("'abc' < 'abd' && b'a' < b'b' && false < true", "true")]
    [InlineData("'é'.size() == 1 && b'é'.size() == 2 && size([1, 2]) == 2 && {1: 2}.size() == 1", "true")]
    [InlineData("'a' + 'b' + 'c'", "abc")]
    [InlineData("[1] + [2, 3] + []", "[1,2,3]")]
    [InlineData("b'a' + b'\\xff' == b'a\\377'", "true")]
    [InlineData("2 in [1, 2] && !('x' in ['y']) && 'k' in {'k': 1}", "true")]
    [InlineData("[10, 20][1] + {'a': 1}['a'] + {1: 2}[1u]", "23")]
    [InlineData("{true: 'x'}[true]", "x")]
    [InlineData("{'a': {'b': 5}}.a.b", "5")]
    [InlineData("contains('hello', 'ell') && startsWith('hello', 'he') && endsWith('hello', 'lo') && !startsWith('hello', 'lo')", "true")]
    [InlineData("'hello'.contains('ell') && 'hello'.startsWith('he') && 'hello'.endsWith('lo')", "true")]
    [InlineData("'hello'.matches('^h.*o$') && matches('abc', 'b') && !'x'.matches('y')", "true")]
    [InlineData("'a\\nb'.matches('a.b')", "false")]
    [InlineData("'''it's'''", "it's")]
    [InlineData("\"\"\"a\nb\"\"\".size()", "3")]
    [InlineData("r'\\n'.size()", "2")]
    [InlineData("'\\u00e9\\U0001F600\\x41\\101\\t'.size()", "5")]
    [InlineData("// a remark\n1 // and another", "1")]
    [InlineData("[1, 2, 3,]", "[1,2,3]")]
    [InlineData("{'a': [1, {'b': null}], 2: true}", "{\"a\":[1,{\"b\":null}],\"2\":true}")]
    [InlineData("has({'a': 1}.a) && !has({'a': 1}.b)", "true")]
    [InlineData("[1, 2, 3].all(x, x > 0) && [1, 2].exists(x, x == 2) && [1, 2, 2].exists_one(x, x == 1)", "true")]
    [InlineData("[].all(x, false) && ![].exists(x, true)", "true")]
    [InlineData("[1, 2, 3, 4].filter(x, x % 2 == 0).map(x, x * x)", "[4,16]")]
    [InlineData("[1, 2, 3].map(x, x > 1, x * 10)", "[20,30]")]
    [InlineData("[[1, 2], [3]].map(x, x.map(y, y + size(x)))", "[[3,4],[4]]")]
    [InlineData("{'a': 1, 'b': 2}.map(k, k)", "[\"a\",\"b\"]")]
    [InlineData("[1].map(request, request + 1)", "[2]")]
    [InlineData("int('-12') + int(3.9) + int(4u)", "-5")]
    [InlineData("uint(3) + uint('4')", "7")]
    [InlineData("double('1.5') + double(1)", "2.5")]
    [InlineData("string(1) + string(true) + string(2.5) + string(b'x') + string(3u)", "1true2.5x3")]
    [InlineData("bytes('a') == b'a' && bool('true') && dyn(1) == 1", "true")]
    [InlineData("type(1) == int && type('') == string && type([]) == list && type(null) == null_type && type(int) == type", "true")]
    [InlineData("type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp", "true")]
    public void An_expression_has_its_value(string text, string value) => Assert.Equal(value, Show(text));

    [Theory]
    [InlineData("timestamp('2024-02-29T23:59:59.5+01:00')", "2024-02-29T22:59:59.5+00:00")]
    [InlineData("string(timestamp('2024-02-29T23:59:59.000000001Z'))", "2024-02-29T23:59:59.000000001Z")]
    [InlineData("timestamp(0)", "1970-01-01T00:00:00+00:00")]
    [InlineData("timestamp('2024-03-01T00:00:00Z') - timestamp('2024-02-28T00:00:00Z')", "48h")]
    [InlineData("timestamp('2024-01-01T00:00:00Z') + duration('90m') == timestamp('2024-01-01T01:30:00Z')", "true")]
    [InlineData("timestamp('2024-01-01T00:00:00Z') > timestamp('2023-12-31T23:59:59.999Z')", "true")]
    [InlineData("duration('1h30m') + duration('-1.5s')", "1h29m58.5s")]
    [InlineData("duration('1.5ms')", "1.5ms")]
    [InlineData("duration('-0.5s')", "-500ms")]
    [InlineData("string(duration('1h1ms'))", "3600.001s")]
    [InlineData("duration('90m').getHours() + duration('90m').getMinutes() + duration('-1.5s').getSeconds()", "90")]
    [InlineData("duration('-1.5s').getMilliseconds()", "-500")]
    [InlineData("timestamp('2024-12-31T23:30:15.250Z').getFullYear('+01:00')", "2025")]
    [InlineData("[timestamp('2024-12-31T23:30:15.250Z')].map(t, [t.getMonth(), t.getDate(), t.getDayOfMonth(), t.getDayOfWeek(), t.getDayOfYear()])", "[[11,31,30,2,365]]")]
    [InlineData("[timestamp('2024-12-31T23:30:15.250Z')].map(t, [t.getHours(), t.getMinutes('-00:30'), t.getSeconds(), t.getMilliseconds()])", "[[23,0,15,250]]")]
    [InlineData("int(timestamp('1970-01-01T00:01:00Z'))", "60")]
    public void Times_and_spans_have_their_values(string text, string value) => Assert.Equal(value, Show(text));

    [Theory]
    [InlineData("request.path", "/a/b?x=1#f")]
    [InlineData("request.url_path + '|' + request.query", "/a/b|x=1")]
    [InlineData("request.method + request.scheme + request.host + request.protocol", "GEThttpsshop:80HTTP/1.1")]
    [InlineData("request['useragent']", "curl/8")]
    [InlineData("request.headers['X-N'].size() + 1", "5")]
    [InlineData("request.headers['x-empty'] == ''", "true")]
    [InlineData("has(request.headers.x_n) || has(request.useragent) && !has(request.referer)", "true")]
    [InlineData("'x-n' in request.headers && !('x-m' in request.headers)", "true")]
    [InlineData("request.size + request.size", "14")]
    [InlineData("request.time.getFullYear()", "2026")]
    [InlineData("request.duration > duration('1s')", "true")]
    [InlineData("response.code >= 400 && response.headers['x-kind'] == 'fruit' && response.grpc_status == 5", "true")]
    [InlineData("response.flags", "256")]
    [InlineData("connection.id == 3u && !connection.mtls && connection.requested_server_name == ''", "true")]
    [InlineData("source.address + ' ' + string(source.port) + ' ' + string(destination.port)", "10.0.0.7:4711 4711 443")]
    [InlineData("xds.route_name + xds.virtual_host_name", "rv")]
    [InlineData("metadata.filter_metadata['who']['name']", "ann")]
    [InlineData("metadata.filter_metadata.who.age == 7 && 'a' in metadata.filter_metadata.who.tags && metadata.filter_metadata.who.none == null", "true")]
    [InlineData("metadata.filter_metadata.who.map(k, k)", "[\"age\",\"name\",\"none\",\"tags\"]")]
    [InlineData("has(metadata.filter_metadata.nobody)", "false")]
    [InlineData("has(xds.cluster_metadata)", "false")]
    [InlineData("filter_state['k'] == b'kept' && string(filter_state['k']) == 'kept'", "true")]
    [InlineData("upstream.request_attempt_count", "0")]
    public void Attributes_say_what_is_known_of_a_request(string text, string value) => Assert.Equal(value, Show(text));

    [Theory]
    [InlineData("9223372036854775807 + 1", "out of range")]
    [InlineData("-9223372036854775808 - 1", "out of range")]
    [InlineData("-(-9223372036854775808)", "out of range")]
    [InlineData("9223372036854775807 * 2", "out of range")]
    [InlineData("-9223372036854775808 / -1", "out of range")]
    [InlineData("-9223372036854775808 % -1", "out of range")]
    [InlineData("0u - 1u", "out of range")]
    [InlineData("18446744073709551615u + 1u", "out of range")]
    [InlineData("1 / 0", "division by zero")]
    [InlineData("1u % 0u", "modulus by zero")]
    [InlineData("1 + 1u", "no such overload")]
    [InlineData("1 + '1'", "no such overload")]
    [InlineData("'a' < 1", "no such overload")]
    [InlineData("!1", "no such overload")]
    [InlineData("1 ? 2 : 3", "no such overload")]
    [InlineData("true && 1", "no such overload")]
    [InlineData("1 in 2", "no such overload")]
    [InlineData("'a'.startsWith(1)", "no such overload")]
    [InlineData("1.5 % 2.0", "no such overload")]
    [InlineData("[1][1]", "the index is out of range")]
    [InlineData("[1][-1]", "the index is out of range")]
    [InlineData("[1]['a']", "no such overload")]
    [InlineData("{'a': 1}['b']", "there is no such key")]
    [InlineData("{'a': 1, 'a': 2}", "a key is there twice")]
    [InlineData("{1: 1, 1u: 2}", "a key is there twice")]
    [InlineData("{[]: 1}", "no such overload")]
    [InlineData("int('x')", "it is no int")]
    [InlineData("int('')", "it is no int")]
    [InlineData("int(1e30)", "out of range")]
    [InlineData("uint(-1)", "out of range")]
    [InlineData("string(request.headers) == ''", "no such overload")]
    [InlineData("string(bytes(request.headers['x-odd']))", "the bytes are no UTF-8")]
    [InlineData("request.headers['x-none']", "there is no such key")]
    [InlineData("request.headers[1]", "there is no such key")]
    [InlineData("response.code_details == ''", "there is no such key")]
    [InlineData("1.all(x, true)", "no such overload")]
    [InlineData("[1].all(x, x)", "no such overload")]
    [InlineData("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "out of range")]
    [InlineData("duration('1s').getFullYear()", "no such overload")]
    public void What_has_no_value_is_an_error(string text, string why) => Assert.Equal("error: " + why, Show(text));

    [Theory]
    [InlineData("false && 1 / 0 == 1", "false")]
    [InlineData("1 / 0 == 1 && false", "false")]
    [InlineData("true || 1 / 0 == 1", "true")]
    [InlineData("1 / 0 == 1 || true", "true")]
    [InlineData("1 / 0 == 1 || false", "error: division by zero")]
    [InlineData("true ? 1 : 1 / 0", "1")]
    [InlineData("[1, 0].exists(x, 1 / x == 1)", "true")]
    [InlineData("[0, 1].exists(x, 1 / x == 1)", "true")]
    [InlineData("[0, 2].all(x, 1 / x == 1)", "false")]
    [InlineData("[0, 1].all(x, 1 / x == 1)", "error: division by zero")]
    public void An_error_counts_only_where_it_decides(string text, string value) => Assert.Equal(value, Show(text));

    [Theory]
    [InlineData("", "the end is not expected")]
    [InlineData("1 +", "character 4")]
    [InlineData("(1", ") is expected")]
    [InlineData("[1, , 2]", "\",\" is not expected")]
    [InlineData("f(1,)", "\")\" is not expected")]
    [InlineData("1 2", "\"2\" is not expected")]
    [InlineData("1x", "behind a number")]
    [InlineData("0x", "wants digits")]
    [InlineData("9223372036854775808", "no int of 64 bits")]
    [InlineData("18446744073709551616u", "no uint of 64 bits")]
    [InlineData("'a", "does not end")]
    [InlineData("'a\nb'", "does not end")]
    [InlineData("'\\q'", "no such escape")]
    [InlineData("'\\ud800'", "no such escape")]
    [InlineData("'\\400'", "no such escape")]
    [InlineData("b'\\u0041'", "no such escape")]
    [InlineData("a $ b", "\"$\" is not expected")]
    [InlineData("while", "word of the language")]
    [InlineData("requst.path", "did you mean \"request\"?")]
    [InlineData("request.pat", "did you mean \"request.path\"?")]
    [InlineData("request", "request is no value")]
    [InlineData("request == response", "request is no value")]
    [InlineData("xds.node.id", "no attribute xds.node")]
    [InlineData("request.path.startWith('a')", "did you mean \"startsWith\"?")]
    [InlineData("request.path.startsWith('a', 'b')", "startsWith() is not called so")]
    [InlineData("nothing(1)", "there is no function nothing()")]
    [InlineData("request.headers.map(x, x)", "request.headers cannot be gone through or counted")]
    [InlineData("request.headers.exists(k, k == 'x-evil')", "request.headers cannot be gone through or counted")]
    [InlineData("response.trailers.all(k, k != '')", "response.trailers cannot be gone through or counted")]
    [InlineData("request['headers'].exists_one(k, true)", "request.headers cannot be gone through or counted")]
    [InlineData("filter_state.filter(k, true) == []", "filter_state cannot be gone through or counted")]
    [InlineData("request.headers.size()", "request.headers cannot be gone through or counted")]
    [InlineData("size(response.headers)", "response.headers cannot be gone through or counted")]
    [InlineData("has(request)", "has() wants a member")]
    [InlineData("has(request.headers['a'])", "has() wants a member")]
    [InlineData("[1].all(1, true)", "\"1\" is not expected")]
    [InlineData("[1].map(x, true", ") is expected")]
    [InlineData("x", "no attribute x")]
    [InlineData("[1].map(x, x) == [x]", "no attribute x")]
    [InlineData("'a'.matches('(')", "cannot be read")]
    [InlineData("'a'.matches('(?=a)')", "look-around")]
    [InlineData("'a'.matches('a{1001}')", "repeated more than")]
    [InlineData("'a'.matches(request.path)", "has to be a text that stands there")]
    [InlineData("request.time.getHours(request.path)", "time zone has to be a text")]
    [InlineData("request.time.getHours('../etc/passwd')", "no time zone")]
    [InlineData("timestamp('2024-02-30T00:00:00Z')", "no time of RFC 3339")]
    [InlineData("timestamp('0000-01-01T00:00:00Z')", "no time of RFC 3339")]
    [InlineData("duration('1')", "no duration")]
    [InlineData("duration('1d')", "no duration")]
    [InlineData("duration('999999999999h')", "out of range")]
    [InlineData("Type{a: 1}", "no attribute Type")]
    public void What_cannot_be_read_is_refused_with_its_cause(string text, string says)
    {
        Assert.Null(Expression.Parse(text, out string? error));
        Assert.Contains(says, error, StringComparison.Ordinal);
    }

    public static TheoryData<string, string> Bombs => new()
    {
        { new string('(', 100_000), "longer than" },
        { new string('(', 16_000), "deep" },
        { new string('[', 16_000), "deep" },
        { new string('-', 16_000) + "x", "deep" },
        { new string('!', 16_000) + "true", "deep" },
        { string.Concat(Enumerable.Repeat("true ? 1 : ", 1400)) + "1", "deep" },
        { string.Concat(Enumerable.Repeat("1 + ", 4000)) + "1", "deep" },
        { "[" + string.Concat(Enumerable.Repeat("1,", 8000)) + "1]", "parts" },
        { string.Concat(Enumerable.Repeat("[1].all(x, ", 40)) + "true" + new string(')', 40), "loops stand in each other" },
        { "'a'" + string.Concat(Enumerable.Repeat(".matches('a')", 110)), "deep" },
    };

    [Theory]
    [MemberData(nameof(Bombs))]
    public void What_is_too_large_or_too_deep_is_refused(string text, string says)
    {
        Assert.Null(Expression.Parse(text, out string? error));
        Assert.Contains(says, error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_long_chain_of_conditions_is_not_deep() =>
        Assert.Equal("true", Show(string.Join(" && ", Enumerable.Repeat("1 < 2", 600)) + " && ("
            + string.Join(" || ", Enumerable.Repeat("false", 500)) + " || true)"));

    // Each loop multiplies what the one around it does.
    [Theory]
    [InlineData("L.all(a, L.all(b, L.all(c, L.all(d, L.all(e, true)))))")]
    [InlineData("L.map(a, L.map(b, L.map(c, L.map(d, L)))).size() > 0")]
    [InlineData("L.map(a, L.map(b, L)) == L.map(a, L.map(b, L)) && L.all(a, L.all(b, L.all(c, L == L)))")]
    [InlineData("L.exists(a, L.exists(b, L.exists(c, L.exists(d, false)))) || true")]
    public void An_evaluation_that_costs_too_much_is_an_error(string text)
    {
        string list = "[" + string.Join(",", Enumerable.Range(0, 40)) + "]";
        Assert.Equal("error: the evaluation costs too much", Show(text.Replace("L", list, StringComparison.Ordinal)));
    }

    // Text that doubles in each turn.
    [Fact]
    public void Text_cannot_grow_without_end()
    {
        string text = string.Concat(Enumerable.Repeat("['aaaaaaaaaaaaaaaa'].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x)", 1))
            + string.Concat(Enumerable.Repeat(".map(x, x + x)", 24));
        Assert.Equal("error: the evaluation costs too much", Show(text + ".size()"));
    }

    [Fact]
    public void A_pattern_that_others_never_finish_ends()
    {
        Expression expression = Expression.Parse("request.headers['x-a'].matches('^(a+)+$')", out _)!;
        Assert.False(expression.Holds(new FakeRequest().Header("x-a", new string('a', 8000) + "!")));
        // As long as it costs more than there is.
        Assert.Null(expression.Holds(new FakeRequest().Header("x-a", new string('a', 200_000))));
    }

    [Fact]
    public void A_list_that_two_grow_is_not_shared() =>
        Assert.Equal("[[1,2],[1,3]]", Show("[[1]].map(a, [a + [2], a + [3]])[0]"));

    [Theory]
    [InlineData("true", true)]
    [InlineData("false", false)]
    [InlineData("1", null)]
    [InlineData("'true'", null)]
    [InlineData("request.headers['x-none'] == 'a'", null)]
    public void Only_a_truth_value_holds(string text, bool? holds) => Assert.Equal(holds, Expression.Parse(text, out _)!.Holds(Request()));

    [Theory]
    [InlineData("%CEL(request.headers['x-n'].size() + 1)%", "5")]
    [InlineData("%CEL(request.url_path):3%", "/a/")]
    [InlineData("%CEL(size(')%') % 3)%", "2")]
    [InlineData("%CEL(request.headers['x-none'])%", "-")]
    [InlineData("<%CEL('a\"' + '\\n')%>", "<a\\x22\\x0A>")]
    [InlineData("%COALESCE({\"operators\": [{\"command\": \"CEL\", \"param\": \"request.headers['x-none']\"}, {\"command\": \"CEL\", \"param\": \"1\"}]})%", "1")]
    public void A_format_prints_an_expression(string format, string line)
    {
        AccessLogFormat compiled = AccessLogFormat.Compile(format, new Naru.Core.Diagnostics())!;
        var into = new LineBuffer();
        compiled.Write(Request(), into);
        Assert.Equal(line, Encoding.UTF8.GetString(into.Written));
    }

    [Fact]
    public void Asking_allocates_nothing_once_warm()
    {
        Expression expression = Expression.Parse(
            "request.method == 'GET' && request.url_path.startsWith('/a') && request.headers['x-n'].size() == 4 && response.code >= 400 "
            + "&& source.port == 4711 && metadata.filter_metadata.who.name == 'ann' && !('x-m' in request.headers)", out _)!;
        FakeRequest request = Request();
        for (int i = 0; i < 1000; i++) Assert.True(expression.Holds(request));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++) expression.Holds(request);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1000);
    }
}
