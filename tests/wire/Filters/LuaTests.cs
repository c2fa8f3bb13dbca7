// Scripts: what they see and change of messages on both versions of HTTP, also of bodies that come late; what they ask others; and what becomes of
// messages whose script fails, never ends, takes all there is, or wants what no message may have. Nothing hangs and nothing is kept.
using System.Text;
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class LuaTests
{
    private const string Routes = """
        - match: { prefix: /direct }
          direct_response: { status: 200, body: { inline_string: own } }
        - match: { prefix: /, headers: [ { name: x-to, string_match: { exact: other } } ] }
          name: other
          route: { cluster: service }
        - match: { prefix: / }
          name: all
          route: { cluster: backend }
          metadata: { filter_metadata: { l: { text: hi, list: [ 1, two ] } } }
        """;

    private static string Script(string code) => $"default_source_code: {{ inline_string: {JsonSerializer.Serialize(code)} }}";

    private static Task<ProxyProcess> StartAsync(int backend, string code, int service = 1, string more = "") => ProxyProcess.StartAsync(
        Bootstraps.Many(Routes, [new TestCluster("backend", [backend], ""), new TestCluster("service", [service], "")], filters: Yaml.Filter("l", "lua.v3.Lua", Script(code)) + more),
        new ProxyOptions { Concurrency = 1 });

    private static async Task<HttpMessage> SendAsync(ProxyProcess proxy, string request, string method = "GET")
    {
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync(request);
        return await client.ResponseAsync(method);
    }

    private static Task<HttpMessage> GetAsync(ProxyProcess proxy, string target, string headers = "") =>
        SendAsync(proxy, $"GET {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");

    private static Task<long> ErrorsAsync(ProxyProcess proxy) => proxy.StatAsync("http.test.lua.errors");

    // One function for all rows: a process each would take long. The script is chosen by a header.
    public static TheoryData<string, string> Asked => new()
    {
        { "return h:headers():get('X-A')", "1,2" },
        { "return h:headers():getNumValues('x-a') .. h:headers():getAtIndex('x-a', 1) .. tostring(h:headers():getAtIndex('x-a', 2))", "22nil" },
        { "return tostring(h:headers():get('none')) .. h:headers():getNumValues('none')", "nil0" },
        { "return h:headers():get(':method') .. h:headers():get(':authority') .. h:headers():get('host') .. h:headers():get(':scheme')", "GEThhhttp" },
        { "local n = '' for k, v in pairs(h:headers()) do if k:sub(1, 2) == 'x-' and k ~= 'x-script' and #k == 3 then n = n .. k .. v end end return n", "x-a1x-a2" },
        { "local n = 0 for k in pairs(h:headers()) do if k:sub(1, 1) == ':' then n = n + 1 end end return n", "4" },
        { "return h:streamInfo():protocol() .. h:streamInfo():routeName() .. '[' .. h:streamInfo():virtualClusterName() .. h:streamInfo():requestedServerName() .. ']'", "HTTP/1.1all[]" },
        { "return h:streamInfo():downstreamLocalAddress() == h:streamInfo():downstreamDirectLocalAddress() and h:streamInfo():downstreamDirectRemoteAddress():match('^127.0.0.1:%d+$') ~= nil", "true" },
        { "return h:metadata():get('text') .. h:route():metadata():get('list')[2] .. tostring(h:virtualHost():metadata():get('x') or 'none')", "hitwonone" },
        { "return select('#', h:metadata():get('none'))", "0" },
        { "local n = '' for k, v in pairs(h:metadata()) do n = n .. k end return n", "listtext" },
        { "local d = h:streamInfo():dynamicMetadata() d:set('a', 'k', {1, 2, {x = true}}) d:set('a', 'l', 'v') return d:get('a').k[3].x, d:get('a').l", "true" },
        { "return h:base64Escape('\\0\\255')", "AP8=" },
        { "return h:timestamp() > 1e12 and h:timestampString(EnvoyTimestampResolution.MICROSECOND):match('^%d+$') ~= nil", "true" },
        { "return h:connection():ssl() == nil and h:streamInfo():downstreamSslConnection() == nil and h:connectionStreamInfo():dynamicTypedMetadata('a') == nil", "true" },
        { "return h:body() == nil and h:body(true):length()", "0" },
        { "local n = 0 for c in h:bodyChunks() do n = n + 1 end return n .. tostring(h:trailers())", "0nil" },
        { "return tostring(h:streamInfo():filterState():get('none')) .. type(h:filterContext())", "niltable" },
        { "h:headers():replace('content-length', '5') h:headers():remove('x-none') return 'ok'", "ok" },
        { "h:headers():add('X-Case', 'v') return h:headers():get('x-case')", "v" },
        { "h:logInfo('a') h:headers():logWarn('b') print('c', 1) return 'ok'", "ok" },
        { "count = (count or 0) + 1 return type(count)", "number" },
        { "local k = h:importPublicKey('no key', 6) return tostring((h:verifySignature('SHA256', k, 'a', 1, 'b', 1)))", "false" },
        { "local ok, e = pcall(function() return h:headers():get() end) return (not ok) and e:match('bad argument') ", "bad argument" },
        { "local c = coroutine.wrap(function() coroutine.yield(h:headers():get('x-a')) end) return c()", "1,2" },
        { "return getmetatable(h)", "false" },
    };

    // What a script may not do, with a word of what it is told, and that the request goes on with what was set before.
    public static TheoryData<string, string> Wrong => new()
    {
        { "while true do end", "instructions" },
        { "while true do pcall(function() while true do end end) end", "instructions" },
        { "local function f() return 1 + f() end f()", "stack overflow" },
        { "local s = 'x' while true do s = s .. s end", "not enough memory" },
        { "('x'):rep(1e9)", "not enough memory" },
        { "string.find(('a'):rep(1e5), ('a-'):rep(30) .. 'b')", "instructions" },
        { "error({})", "error object is a table" },
        { "xpcall(error, function() error('x') end) error('y')", "y" },
        { "local x = nil x:y()", "attempt to index local 'x'" },
        { "h:nothing()", "attempt to call method 'nothing'" },
        { "for k in pairs(h:headers()) do h:headers():add('x-b', '1') end", "while iterating" },
        { "for k in pairs(h:headers()) do break end h:headers():remove('x-a')", "while iterating" },
        { "h:headers():add('x-b', 'a\\r\\nx-evil: 1')", "characters" },
        { "h:headers():add('x-b\\r\\nx-evil', 'a')", "invalid name" },
        { "h:headers():add('x evil', 'a')", "invalid name" },
        { "h:headers():replace('', 'a')", "invalid name" },
        { "h:headers():replace(':path', '/a b')", "cannot be set" },
        { "h:headers():replace(':path', 'x')", "cannot be set" },
        { "h:headers():replace(':authority', 'a\\r\\nb')", "cannot be set" },
        { "h:headers():replace(':method', 'POST')", "cannot be set" },
        { "h:headers():add(':path', '/x')", "cannot be added" },
        { "h:headers():remove('host')", "cannot be removed" },
        { "h:headers():remove(':path')", "cannot be removed" },
        { "h:headers():add('transfer-encoding', 'chunked')", "belongs to the connection" },
        { "h:headers():replace('connection', 'x-a')", "belongs to the connection" },
        { "h:headers():add('x-b', ('x'):rep(70000))", "headers at most" },
        { "h:headers():setHttp1ReasonPhrase('x')", "not available" },
        { "h:body(true):setBytes('GET /evil HTTP/1.1\\r\\n\\r\\n')", "without a body" },
        { "h:body(true):getBytes(0, 1)", "buffer size" },
        { "h:respond({[':status'] = 700}, 'x')", "200-599" },
        { "h:respond({['x-a'] = '1'}, 'x')", "200-599" },
        { "h:respond({[':status'] = '200', ['x-b'] = 'a\\r\\nb'}, 'x')", "characters" },
        { "h:respond({[':status'] = '200', [':path'] = '/'}, 'x')", "has no :path" },
        { "('x'):gsub('x', function() h:respond({[':status'] = '200'}) end)", "C-call boundary" },
        { "coroutine.wrap(function() h:httpCall('service', {[':method'] = 'GET', [':path'] = '/', [':authority'] = 'a'}, '', 1) end)()", "cannot wait" },
        { "h:httpCall('nowhere', {[':method'] = 'GET', [':path'] = '/', [':authority'] = 'a'}, '', 1)", "cluster invalid" },
        { "h:httpCall('service', {[':method'] = 'GET', [':path'] = '/'}, '', 1)", "must include" },
        { "h:httpCall('service', {[':method'] = 'GET', [':path'] = '/ HTTP/1.1\\r\\nx: y', [':authority'] = 'a'}, '', 1)", "characters" },
        { "h:httpCall('service', {[':method'] = 'G T', [':path'] = '/', [':authority'] = 'a'}, '', 1)", ":method" },
        { "h:httpCall('service', {[':method'] = 'GET', [':path'] = '/', [':authority'] = 'a', ['x'] = 'a\\nb'}, '', 1)", "characters" },
        { "h:httpCall('service', {[':method'] = 'GET', [':path'] = '/', [':authority'] = 'a', ['Transfer-Encoding'] = 'chunked'}, '', 1)", "belongs to" },
        { "h:httpCall('service', {[':method'] = 'GET', [':path'] = '/', [':authority'] = 'a'}, '', -1)", ">= 0" },
        { "h:httpCall('service', {[':method'] = 'GET', [':path'] = '/', [':authority'] = 'a'}, '', {retries = 1})", "no option" },
        { "h:setUpstreamOverrideHost('example.com')", "valid IP" },
        { "h:streamInfo():dynamicMetadata():set('a', 'b', print)", "no value of metadata" },
        { "local t = {} t.t = t h:streamInfo():dynamicMetadata():set('a', 'b', t)", "too deep" },
        { "h:streamInfo():dynamicMetadata():set('a', 'b', ('x'):rep(300000))", "metadata at most" },
        { "h.headers({})", "object of the proxy expected" },
        { "local f = h:headers().get f(h, 'x-a')", "object of the proxy expected" },
        { "coroutine.yield()", "outside a coroutine" },
        { "kept = h kept_headers = h:headers() error('kept')", "kept" },
        { "kept:headers()", "proper scope" },
        { "kept_headers:get('x-a')", "proper scope" },
        { "kept:logInfo('x')", "proper scope" },
    };

    // Each row is a function of one script, called by its number.
    private static string Rows(IEnumerable<string> rows) =>
        "local rows = {\n" + string.Join(",\n", rows.Select(r => $"function(h) {r} end")) + "\n}\n"
        + "function envoy_on_request(h)\n h:headers():add('x-before', '1')\n local r = rows[tonumber(h:headers():get('x-script'))](h)\n"
        + " h:headers():add('x-out', tostring(r))\nend";

    [Fact]
    public async Task A_script_is_told_what_it_asks()
    {
        (string Code, string Says)[] rows = [.. Asked.Select(r => r.Data)];
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend.Port, Rows(rows.Select(r => r.Code)));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        for (int i = 0; i < rows.Length; i++)
        {
            string path = backend.Echo();
            HttpMessage answer = await GetAsync(proxy, path, $"X-A: 1\r\nX-A: 2\r\nX-Script: {i + 1}\r\n");
            Assert.Equal(200, answer.Status);
            Assert.True(rows[i].Says == backend.Seen(path)[0].Header("x-out"), $"{rows[i].Code}: {backend.Seen(path)[0].Header("x-out")}\n{proxy.Child.Error}");
        }
        Assert.Equal(0, await ErrorsAsync(proxy));
        Assert.Equal(rows.Length, await proxy.StatAsync("http.test.lua.executions"));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task What_a_script_may_not_do_is_its_error_and_the_request_goes_on()
    {
        (string Code, string Says)[] rows = [.. Wrong.Select(r => r.Data)];
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend.Port, Rows(rows.Select(r => r.Code)));
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        for (int i = 0; i < rows.Length; i++)
        {
            string path = backend.Echo();
            int said = proxy.Child.Error.Length;
            HttpMessage answer = await GetAsync(proxy, path, $"X-A: 1\r\nX-Script: {i + 1}\r\n");
            Assert.True(answer.Status == 200, rows[i].Code);
            HttpMessage seen = Assert.Single(backend.Seen(path));
            Assert.Equal((i + 1, "1", null, "", "GET", "1"), (
                (int)await ErrorsAsync(proxy), seen.Header("x-before"), seen.Header("x-out"), seen.Text, seen.Method, seen.Header("x-a")));
            Assert.DoesNotContain(seen.Headers, h => h.Name.Contains("evil", StringComparison.OrdinalIgnoreCase));
            await Waiting.UntilAsync(() => proxy.Child.Error[said..].Contains("script log: ", StringComparison.Ordinal), $"a line of the log for {rows[i].Code}");
            Assert.True(proxy.Child.Error[said..].Contains(rows[i].Says, StringComparison.Ordinal), $"{rows[i].Code}\n{proxy.Child.Error[said..]}");
        }
        Assert.DoesNotContain("internal fault", proxy.Child.Error);
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Headers_of_both_directions_are_changed_and_the_route_is_chosen_again()
    {
        await using var backend = new Cases();
        await using var service = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend.Port, """
            function envoy_on_request(h)
              local hs = h:headers()
              hs:replace(':path', '/changed?q') hs:replace(':authority', 'other.test')
              hs:remove('x-gone') hs:replace('x-a', 'new')
              if hs:get('x-other') then hs:add('x-to', 'other') end
            end
            function envoy_on_response(h)
              local hs = h:headers()
              hs:replace(':status', '202') hs:add('set-cookie', 'b=2') hs:remove('x-secret')
              hs:add('x-n', hs:getNumValues('set-cookie'))
            end
            """, service.Port);
        foreach (Cases cases in (Cases[])[backend, service])
            cases.At("/changed", async (connection, head) =>
            {
                connection.Witness.Remember(head);
                await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nX-Secret: 1\r\n\r\nok");
            });
        HttpMessage answer = await GetAsync(proxy, "/x", "X-A: 1\r\nX-A: 2\r\nX-Gone: 1\r\n");
        HttpMessage seen = Assert.Single(backend.Witness.Requests);
        Assert.Equal(("/changed?q", "other.test", "new", null), (seen.Target, seen.Header("host"), seen.Header("x-a"), seen.Header("x-gone")));
        Assert.Equal((202, "2", null, "ok"), (answer.Status, answer.Header("x-n"), answer.Header("x-secret"), answer.Text));
        Assert.Equal(["a=1", "b=2"], answer.Headers.Where(h => h.Name.Equals("set-cookie", StringComparison.OrdinalIgnoreCase)).Select(h => h.Value));
        await GetAsync(proxy, "/x", "X-Other: 1\r\n");
        Assert.Single(service.Witness.Requests);
    }

    private const string WholeBodies = """
        function envoy_on_request(h)
          local b = h:body()
          if b == nil then return end
          h:headers():add('x-length', b:length())
          b:setBytes('[' .. b:getBytes(0, b:length()) .. ']')
        end
        function envoy_on_response(h)
          local b = h:body()
          if b then b:setBytes('<' .. b:getBytes(0, b:length()) .. '>') end
          h:headers():replace('x-length', b and b:length() or 'none')
        end
        """;

    [Theory]
    [InlineData("Content-Length: 5\r\n\r\n", "hello", "")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n", "2\r\nhe\r\n3\r\nllo\r\n", "0\r\n\r\n")]
    [InlineData("Transfer-Encoding: chunked\r\n\r\n", "2\r\nhe\r\n3\r\nllo\r\n", "0\r\nx-t: 1\r\n\r\n")]
    public async Task A_late_body_is_taken_in_and_replaced_both_ways(string head, string first, string rest)
    {
        await using var backend = new Cases();
        HttpMessage seen = null!;
        string path = backend.Add(async (connection, request) =>
        {
            await connection.Reader.RequestBodyAsync(request);
            seen = request;
            await connection.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfro\r\n");
            await connection.SendAsync("1\r\nm\r\n0\r\n\r\n");
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, WholeBodies);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        for (int i = 0; i < 2; i++)
        {
            await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: h\r\n{head}");
            await client.SendAsync(first[..1]);
            await client.SendAsync(first[1..]);
            if (rest.Length > 0) await client.SendAsync(rest);
            HttpMessage answer = await client.ResponseAsync("POST");
            Assert.Equal(("[hello]", "5"), (seen.Text, seen.Header("x-length")));
            Assert.Equal((200, "<from>", "6"), (answer.Status, answer.Text, answer.Header("x-length")));
        }
        Assert.Equal(0, await ErrorsAsync(proxy));
        client.Dispose();
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task The_same_holds_over_http2()
    {
        await using var backend = new Cases();
        string path = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfrom");
        await using ProxyProcess proxy = await StartAsync(backend.Port, WholeBodies);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (Http2Peer peer = await Http2Peer.ConnectAsync(proxy.Address))
        {
            await peer.HeadersAsync(1, [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "h")]);
            await peer.DataAsync(1, "hel");
            await peer.DataAsync(1, "lo", end: true);
            Http2Message answer = await peer.EndAsync(1);
            Assert.Equal((200, "<from>", "6"), (answer.Status, answer.Text, answer.Header("x-length")));
        }
        Assert.Equal(0, await ErrorsAsync(proxy));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_body_over_the_limit_is_refused_and_an_answers_is_500()
    {
        await using var backend = new Cases();
        string large = backend.Add(async (connection, head) =>
        {
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n");
            await connection.SendAsync(new byte[2_000_000]);
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, WholeBodies);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        Assert.Equal(413, (await SendAsync(proxy, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n", "POST")).Status);
        Assert.Equal(500, (await GetAsync(proxy, large)).Status);
        Assert.Equal(0, await ErrorsAsync(proxy));
        await proxy.SettleAsync(before);
    }

    private const string Pieces = """
        function envoy_on_request(h)
          local n, bytes = 0, 0
          for c in h:bodyChunks() do
            n, bytes = n + 1, bytes + c:length()
            if c:length() > 0 then c:setBytes((c:getBytes(0, c:length()):upper()) .. '!') end
          end
          local t = h:trailers()
          if t then t:add('x-sum', bytes) t:remove('x-gone') end
          h:logInfo('bytes ' .. bytes)
        end
        function envoy_on_response(h)
          local last
          for c in h:bodyChunks() do c:setBytes('') last = c end
          if h:trailers() == nil then last:setBytes('all of it') end
        end
        """;

    [Fact]
    public async Task Pieces_are_changed_as_they_come_and_trailers_behind_them()
    {
        await using var backend = new Cases();
        HttpMessage seen = null!;
        string path = backend.Add(async (connection, request) =>
        {
            await connection.Reader.RequestBodyAsync(request);
            seen = request;
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
            await connection.SendAsync("56789");
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, Pieces);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using RawClient client = await proxy.ConnectAsync();
        await client.SendAsync($"POST {path} HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
        await client.SendAsync("3\r\ndef\r\n");
        await client.SendAsync("0\r\nx-gone: 1\r\nx-stays: 1\r\n\r\n");
        HttpMessage answer = await client.ResponseAsync("POST");
        Assert.Equal("ABCDEF", seen.Text.Replace("!", "", StringComparison.Ordinal));
        Assert.Contains("!", seen.Text);
        Assert.Equal([("x-stays", "1"), ("x-sum", "6")], seen.Trailers.Select(t => (t.Name.ToLowerInvariant(), t.Value)));
        Assert.Equal((200, "all of it"), (answer.Status, answer.Text));
        Assert.Equal(0, await ErrorsAsync(proxy));
        client.Dispose();
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Trailers_behind_a_whole_body_are_changed_while_the_head_waits()
    {
        await using var backend = new Cases();
        HttpMessage seen = null!;
        string path = backend.Add(async (connection, request) =>
        {
            await connection.Reader.RequestBodyAsync(request);
            seen = request;
            await connection.SendAsync("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-b: 1\r\n\r\n");
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, """
            function envoy_on_request(h)
              local n = h:body():length()
              local t = h:trailers()
              t:add('x-n', n) t:replace('x-a', t:get('x-a') .. '2')
              h:headers():add('x-t', t:get('x-a'))
            end
            function envoy_on_response(h)
              h:body()
              local t = h:trailers()
              t:remove('x-b') t:add('x-c', '2')
              h:headers():add('x-seen', '1')
            end
            """);
        HttpMessage answer = await SendAsync(
            proxy, $"POST {path} HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-a: 1\r\n\r\n", "POST");
        Assert.Equal((0, "12", "abc"), ((int)await ErrorsAsync(proxy), seen.Header("x-t"), seen.Text));
        Assert.Equal([("x-a", "12"), ("x-n", "3")], seen.Trailers.Select(t => (t.Name.ToLowerInvariant(), t.Value)).Order());
        Assert.Equal(("1", "ok"), (answer.Header("x-seen"), answer.Text));
        Assert.Equal([("x-c", "2")], answer.Trailers.Select(t => (t.Name.ToLowerInvariant(), t.Value)));
    }

    [Fact]
    public async Task A_script_answers_itself()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend.Port, """
            function envoy_on_request(h)
              local p = h:headers():get(':path')
              if p == '/two' then h:respond({[':status'] = '418', ['x-m'] = {'1', '2'}}, 'tea') h:respond({[':status'] = '500'}, 'never') end
              if p == '/none' then h:respond({[':status'] = 204}, 'not sent') end
              if p == '/caught' then pcall(function() h:respond({[':status'] = '403'}, 'no') end) h:headers():add('x-never', '1') end
              if p == '/late' then h:body() h:respond({[':status'] = '409'}, 'late') end
            end
            function envoy_on_response(h) h:headers():add('x-seen', h:headers():get(':status')) h:respond({[':status'] = '200'}, 'x') end
            """);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage two = await GetAsync(proxy, "/two");
        Assert.Equal((418, "tea", "418", null), (two.Status, two.Text, two.Header("x-seen"), two.Header("content-type")));
        Assert.Equal(["1", "2"], two.Headers.Where(h => h.Name == "x-m").Select(h => h.Value));
        HttpMessage none = await GetAsync(proxy, "/none");
        Assert.Equal((204, ""), (none.Status, none.Text));
        Assert.Equal(403, (await GetAsync(proxy, "/caught")).Status);
        HttpMessage head = await SendAsync(proxy, "HEAD /two HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD");
        Assert.Equal((418, "3"), (head.Status, head.Header("content-length")));
        Assert.Equal(409, (await SendAsync(proxy, "POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "POST")).Status);
        // Each answer's own part failed: it may not answer.
        Assert.Equal(5, await ErrorsAsync(proxy));
        Assert.Empty(backend.Witness.Requests);
        await proxy.SettleAsync(before);
    }

    private const string Asks = """
        function envoy_on_request(h)
          local hs = h:headers()
          local mode = hs:get('x-mode') or ''
          local options = {timeout_ms = 20000, return_duplicate_headers = mode == 'all', send_xff = false}
          if mode == 'short' then options.timeout_ms = 50 end
          if mode == 'loose' then options.asynchronous = true end
          if mode == 'bodied' then h:body() hs = h:headers() end
          local heads, body = h:httpCall('service', {[':method'] = 'POST', [':path'] = hs:get('x-ask') or '/check', [':authority'] = 'a', ['x-m'] = {'1', '2'}}, 'question', options)
          hs = h:headers()
          if mode == 'loose' then hs:add('x-got', tostring(heads)) return end
          hs:add('x-got', heads[':status'] .. ' ' .. tostring(body))
          local many = heads['x-many']
          hs:add('x-many', type(many) == 'table' and table.concat(many, '+') or tostring(many))
        end
        """;

    [Fact]
    public async Task A_script_asks_another_cluster_and_uses_what_it_says()
    {
        await using var backend = new Cases();
        await using var service = new Cases();
        service.At("/check", async (connection, head) =>
        {
            await connection.Reader.RequestBodyAsync(head);
            connection.Witness.Remember(head);
            await connection.SendAsync("HTTP/1.1 202 OK\r\nContent-Length: 4\r\nX-Many: 1\r\nX-Many: 2\r\n\r\nsaid");
        });
        service.At("/cut", async (connection, head) =>
        {
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nsaid");
            connection.Close();
        });
        service.At("/never", async (connection, head) => await connection.Reader.HeadAsync());
        service.At("/large", async (connection, head) =>
        {
            await connection.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
            await connection.SendAsync(new byte[3_000_000]);
        });
        await using ProxyProcess proxy = await StartAsync(backend.Port, Asks, service.Port);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        async Task<(string?, string?)> AskAsync(string headers, string body = "")
        {
            string path = backend.Echo();
            await SendAsync(proxy, $"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {body.Length}\r\n{headers}\r\n{body}", "POST");
            HttpMessage seen = Assert.Single(backend.Seen(path));
            Assert.Equal(body, seen.Text);
            return (seen.Header("x-got"), seen.Header("x-many"));
        }

        Assert.Equal(("202 said", "2"), await AskAsync(""));
        HttpMessage asked = Assert.Single(service.Witness.Requests);
        Assert.Equal(("question", null, "a", "POST"), (asked.Text, asked.Header("x-forwarded-for"), asked.Header("host"), asked.Method));
        Assert.Equal(["1", "2"], asked.Headers.Where(h => h.Name == "x-m").Select(h => h.Value));
        Assert.Equal(("202 said", "1+2"), await AskAsync("X-Mode: all\r\n"));
        Assert.Equal(("202 said", "2"), await AskAsync("X-Mode: bodied\r\n", "kept"));
        Assert.Equal(("504 upstream request timeout", "nil"), await AskAsync("X-Mode: short\r\nX-Ask: /never\r\n"));
        Assert.Equal(("503 upstream failure", "nil"), await AskAsync("X-Ask: /cut\r\n"));
        Assert.Equal(("503 upstream failure", "nil"), await AskAsync("X-Ask: /large\r\n"));
        int sent = service.Witness.Requests.Count;
        Assert.Equal(("nil", null), await AskAsync("X-Mode: loose\r\n"));
        await Waiting.UntilAsync(() => service.Witness.Requests.Count == sent + 1, "the call that nobody waits for");
        // A client that leaves takes its script and its call with it.
        using (RawClient client = await proxy.ConnectAsync())
        {
            await client.SendAsync("GET /x HTTP/1.1\r\nHost: h\r\nX-Ask: /never\r\n\r\n");
            await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.service.upstream_rq_active") > 0, "the call of a client that leaves");
            client.Reset();
        }
        await Waiting.UntilAsync(async () => await proxy.StatAsync("cluster.service.upstream_rq_active") == 0, "the end of that call");
        Assert.Equal(0, await ErrorsAsync(proxy));
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task Answers_without_a_body_and_own_ones_have_their_scripts_too()
    {
        await using var backend = new Cases();
        string empty = backend.Answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        string none = backend.Answer("HTTP/1.1 304 Not Modified\r\n\r\n");
        await using ProxyProcess proxy = await StartAsync(backend.Port, """
            function envoy_on_response(h)
              local b = h:body(true)
              h:headers():add('x-length', b:length())
              b:setBytes('made of nothing')
            end
            """);
        HttpMessage made = await GetAsync(proxy, empty);
        Assert.Equal(("made of nothing", "0"), (made.Text, made.Header("x-length")));
        Assert.Equal((304, ""), ((await GetAsync(proxy, none)).Status, (await GetAsync(proxy, none)).Text));
        HttpMessage own = await GetAsync(proxy, "/direct");
        Assert.Equal(("made of nothing", "3"), (own.Text, own.Header("x-length")));
        HttpMessage head = await SendAsync(proxy, $"HEAD {empty} HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD");
        Assert.Equal((200, "0"), (head.Status, head.Header("x-length")));
    }

    [Fact]
    public async Task Globals_of_a_worker_stay_and_those_of_another_filter_are_its_own()
    {
        await using var backend = new Cases();
        const string Counts = "n = 0 function envoy_on_request(h) n = n + 1 h:headers():add('x-n', n) end";
        await using ProxyProcess proxy = await StartAsync(backend.Port, Counts, more: Yaml.Filter("other", "lua.v3.Lua", $"stat_prefix: two, {Script(Counts)}"));
        for (int i = 1; i <= 3; i++)
        {
            string path = backend.Echo();
            await GetAsync(proxy, path);
            Assert.Equal([$"{i}", $"{i}"], backend.Seen(path)[0].Headers.Where(h => h.Name == "x-n").Select(h => h.Value));
        }
        Assert.Equal((3, 3), (await proxy.StatAsync("http.test.lua.executions"), await proxy.StatAsync("http.test.lua.two.executions")));
    }

    [Fact]
    public async Task A_body_that_is_cut_ends_its_script()
    {
        await using var backend = new Cases();
        foreach (string script in (string[])[WholeBodies, Pieces])
        {
            await using ProxyProcess proxy = await StartAsync(backend.Port, script);
            IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
            foreach (string rest in (string[])["", "abc", "zz\r\n"])
            {
                using RawClient client = await proxy.ConnectAsync();
                await client.SendAsync($"POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n{rest}");
                await Waiting.UntilAsync(async () => await proxy.StatAsync("http.test.lua.executions") > 0, "the script");
                client.Reset();
            }
            Assert.Equal(0, await ErrorsAsync(proxy));
            await proxy.SettleAsync(before);
        }
    }
}
