// RFC 9113 row by row, against the server side: each row is what a client sends on a fresh connection and what must come of it.
using Naru.Http.Http2;
using Naru.Kit;
using Xunit;
using static Naru.Kit.Http2Bytes;

namespace Naru.WireTests.Http2;

public sealed class ProtocolTests(Http2Fixture fixture) : IClassFixture<Http2Fixture>
{
    private const Http2ErrorCode Protocol = Http2ErrorCode.ProtocolError;
    private const Http2Flags EndHeaders = Http2Flags.EndHeaders;

    // What must come of a row: the connection ends with a code, or stream 1 does, or nothing happens.
    private sealed record Row(byte[] Bytes, Http2ErrorCode? Connection = null, Http2ErrorCode? Stream = null);

    private static Row Ends(Http2ErrorCode code, params byte[][] parts) => new(Join(parts), Connection: code);
    private static Row Resets(Http2ErrorCode code, params byte[][] parts) => new(Join(parts), Stream: code);
    private static Row Passes(params byte[][] parts) => new(Join(parts));
    private static byte[] Join(byte[][] parts) => [.. parts.SelectMany(p => p)];

    private static byte[] Get(int id = 1, params (string, string)[] fields) => Headers(id, Request("GET", "/a", fields), end: true);
    private static byte[] Post(int id = 1, params (string, string)[] fields) => Headers(id, Request("POST", "/a", fields));
    private static byte[] Block(params (string, string)[] fields) => Section(fields);
    private static byte[] Raw(Http2FrameType type, int flags, int id, params byte[] payload) => Frame(type, (Http2Flags)flags, id, payload);
    private static byte[] Setting(Http2SettingId id, uint value) => Settings((id, value));
    private static byte[] Request_(params (string, string)[] fields) => Headers(1, fields, end: true);

    private static readonly (string, string)[] s_plain = [(":method", "GET"), (":scheme", "http"), (":path", "/a"), (":authority", "x")];
    private static readonly byte[] s_block = Section(s_plain);

    private static (string, string)[] With(string name, string value) => [.. s_plain, (name, value)];
    private static (string, string)[] Without(string name) => [.. s_plain.Where(f => f.Item1 != name)];

    private static (string, string)[] But(string name, string value) => [.. s_plain.Select(f => f.Item1 == name ? (name, value) : f)];

    private static readonly Dictionary<string, Func<Row>> s_rows = new()
    {
        // 4.1, 5.5: what is not known is ignored.
        ["A frame of an unknown type is ignored"] = () => Passes(Raw((Http2FrameType)0x21, 0xff, 0, 1, 2, 3), Raw((Http2FrameType)0xf0, 0, 77)),
        ["Unknown flags are ignored"] = () => Passes(Raw(Http2FrameType.Ping, 0x16, 0, new byte[8])),
        ["The reserved bit of the stream id is ignored"] = () => Passes([.. Raw(Http2FrameType.Ping, 0, 0, new byte[8]).Select((b, i) => i == 5 ? (byte)0x80 : b)]),
        ["Unknown settings are ignored"] = () => Passes(Setting((Http2SettingId)0xaaaa, 7)),
        ["An unknown error code in RST_STREAM is nothing special"] = () => Passes(Post(), Reset(1, (Http2ErrorCode)0xdeadbeef)),
        ["An unknown frame inside a field section ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Headers, 1, 1, s_block), Raw((Http2FrameType)0x21, 0, 1, 0)),

        // 4.2: sizes.
        ["DATA of 16384 bytes is taken"] = () => Passes(Post(), Data(1, new byte[16384], true)),
        ["DATA beyond SETTINGS_MAX_FRAME_SIZE ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Post(), Data(1, new byte[16385])),
        ["HEADERS beyond SETTINGS_MAX_FRAME_SIZE ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.Headers, 5, 1, new byte[16385])),
        ["A frame of 16 MiB is refused by its header alone"] = () => Ends(Http2ErrorCode.FrameSizeError, [0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 0, 0]),

        // 4.3, RFC 7541.
        ["A block that is no HPACK ends the connection"] = () => Ends(Http2ErrorCode.CompressionError, Raw(Http2FrameType.Headers, 5, 1, 0x40, 0xff)),
        ["An index behind both tables ends the connection"] = () => Ends(Http2ErrorCode.CompressionError, Raw(Http2FrameType.Headers, 5, 1, [.. s_block, 0xc6])),
        ["Index 0 ends the connection"] = () => Ends(Http2ErrorCode.CompressionError, Raw(Http2FrameType.Headers, 5, 1, [.. s_block, 0x80])),
        ["Huffman padding longer than 7 bits ends the connection"] = () => Ends(Http2ErrorCode.CompressionError, Raw(Http2FrameType.Headers, 5, 1, [.. s_block, 0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x84, 0x49, 0x50, 0x9f, 0xff])),
        ["Huffman padding of zeros ends the connection"] = () => Ends(Http2ErrorCode.CompressionError, Raw(Http2FrameType.Headers, 5, 1, [.. s_block, 0x00, 0x85, 0xf2, 0xb2, 0x4a, 0x84, 0xff, 0x83, 0x49, 0x50, 0x90])),
        ["A table size above the limit ends the connection"] = () => Ends(Http2ErrorCode.CompressionError, Raw(Http2FrameType.Headers, 5, 1, [0x3f, 0xe2, 0x1f, .. s_block])),
        ["A table size behind the first field ends the connection"] = () => Ends(Http2ErrorCode.CompressionError, Raw(Http2FrameType.Headers, 5, 1, [.. s_block, 0x20])),
        ["A broken block on a stream above the limits ends the connection too"] = () => Ends(Http2ErrorCode.CompressionError, Get(), Raw(Http2FrameType.Headers, 5, 1, 0x80)),
        ["PRIORITY inside a field section ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Headers, 1, 1, s_block), Raw(Http2FrameType.Priority, 0, 1, new byte[5])),
        ["HEADERS of another stream inside a field section ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Headers, 1, 1, s_block), Get(3)),
        ["CONTINUATION of another stream ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Headers, 1, 1, s_block), Raw(Http2FrameType.Continuation, 4, 3)),

        // 5.1: states.
        ["DATA on an idle stream ends the connection"] = () => Ends(Protocol, Data(1, "x"u8)),
        ["RST_STREAM on an idle stream ends the connection"] = () => Ends(Protocol, Reset(1)),
        ["WINDOW_UPDATE on an idle stream ends the connection"] = () => Ends(Protocol, Window(1, 10)),
        ["CONTINUATION on an idle stream ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Continuation, 4, 1, s_block)),
        ["PRIORITY on an idle stream is ignored"] = () => Passes(Raw(Http2FrameType.Priority, 0, 7, 0, 0, 0, 0, 1)),
        ["DATA behind END_STREAM resets the stream"] = () => Resets(Http2ErrorCode.StreamClosed, Headers(1, Request("GET", "/hold"), true), Data(1, "x"u8)),
        ["HEADERS behind END_STREAM resets the stream"] = () => Resets(Http2ErrorCode.StreamClosed, Headers(1, Request("GET", "/hold"), true), Headers(1, [("x-late", "1")], true)),
        ["HEADERS behind END_STREAM that do not end the stream reset it"] = () => Resets(Http2ErrorCode.StreamClosed, Headers(1, Request("GET", "/hold"), true), Headers(1, [("x-late", "1")])),
        ["CONTINUATION behind END_HEADERS ends the connection"] = () => Ends(Protocol, Get(), Raw(Http2FrameType.Continuation, 4, 1, s_block)),
        ["CONTINUATION behind CONTINUATION with END_HEADERS ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Headers, 1, 1, s_block), Raw(Http2FrameType.Continuation, 4, 1), Raw(Http2FrameType.Continuation, 4, 1)),
        ["CONTINUATION behind DATA ends the connection"] = () => Ends(Protocol, Post(), Data(1, "x"u8), Raw(Http2FrameType.Continuation, 4, 1, s_block)),
        ["DATA behind the client's own RST_STREAM resets the stream"] = () => Resets(Http2ErrorCode.StreamClosed, Post(), Reset(1), Data(1, "x"u8)),
        ["HEADERS behind the client's own RST_STREAM ends the connection"] = () => Ends(Http2ErrorCode.StreamClosed, Post(), Reset(1), Get()),
        ["WINDOW_UPDATE and RST_STREAM behind RST_STREAM are ignored"] = () => Passes(Post(), Reset(1), Window(1, 5), Reset(1)),
        ["PRIORITY on a closed stream is ignored"] = () => Passes(Post(), Reset(1), Raw(Http2FrameType.Priority, 0, 1, 0, 0, 0, 0, 1)),

        // 5.1.1: identifiers.
        ["An even stream id ends the connection"] = () => Ends(Protocol, Get(2)),
        ["A stream id below one that was used ends the connection"] = () => Ends(Protocol, Get(5), Get(3)),

        // 6.1: DATA.
        ["DATA on stream 0 ends the connection"] = () => Ends(Protocol, Data(0, "x"u8)),
        ["DATA with as much padding as frame ends the connection"] = () => Ends(Protocol, Post(), Raw(Http2FrameType.Data, 9, 1, 5, 0, 0, 0, 0)),
        ["Padded DATA without a length of padding ends the connection"] = () => new Row(Join([Post(), Raw(Http2FrameType.Data, 8, 1)]), Connection: Http2ErrorCode.FrameSizeError),

        // 6.2: HEADERS.
        ["HEADERS on stream 0 ends the connection"] = () => Ends(Protocol, Get(0)),
        ["HEADERS with as much padding as frame ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Headers, 0x0d, 1, [(byte)(s_block.Length + 1), .. s_block])),
        ["Padded HEADERS without a length of padding ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.Headers, 0x0d, 1)),
        ["HEADERS too short for its priority ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.Headers, 0x25, 1, 0, 0, 0)),
        ["HEADERS with padding and priority is read"] = () => Passes(Raw(Http2FrameType.Headers, 0x2d, 1, [3, 0, 0, 0, 0, 9, .. s_block, 0, 0, 0])),

        // 6.3: PRIORITY.
        ["PRIORITY on stream 0 ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Priority, 0, 0, new byte[5])),
        ["PRIORITY of another size than 5 resets the stream"] = () => Resets(Http2ErrorCode.FrameSizeError, Post(), Raw(Http2FrameType.Priority, 0, 1, new byte[4])),
        ["PRIORITY of another size than 5 on an idle stream ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.Priority, 0, 1, new byte[6])),

        ["PRIORITY that makes a stream depend on itself resets it"] = () => Resets(Protocol, Post(), Raw(Http2FrameType.Priority, 0, 1, 0, 0, 0, 1, 9)),
        ["HEADERS that make a stream depend on itself end the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Headers, 0x25, 1, [0, 0, 0, 1, 9, .. s_block])),

        // 6.4: RST_STREAM.
        ["RST_STREAM on stream 0 ends the connection"] = () => Ends(Protocol, Reset(0)),
        ["RST_STREAM of another size than 4 ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Post(), Raw(Http2FrameType.RstStream, 0, 1, new byte[3])),

        // 6.5: SETTINGS.
        ["SETTINGS on a stream ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Settings, 0, 1)),
        ["SETTINGS of no multiple of 6 bytes ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.Settings, 0, 0, new byte[5])),
        ["An acknowledgement with settings in it ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.Settings, 1, 0, new byte[6])),
        ["SETTINGS_ENABLE_PUSH of 2 ends the connection"] = () => Ends(Protocol, Setting(Http2SettingId.EnablePush, 2)),
        ["SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1 ends the connection"] = () => Ends(Http2ErrorCode.FlowControlError, Setting(Http2SettingId.InitialWindowSize, 0x80000000)),
        ["SETTINGS_MAX_FRAME_SIZE below 16384 ends the connection"] = () => Ends(Protocol, Setting(Http2SettingId.MaxFrameSize, 16383)),
        ["SETTINGS_MAX_FRAME_SIZE above 2^24-1 ends the connection"] = () => Ends(Protocol, Setting(Http2SettingId.MaxFrameSize, 16777216)),
        ["SETTINGS_ENABLE_CONNECT_PROTOCOL of 2 ends the connection"] = () => Ends(Protocol, Setting(Http2SettingId.EnableConnectProtocol, 2)),
        ["SETTINGS_ENABLE_CONNECT_PROTOCOL that is taken back ends the connection"] = () => Ends(Protocol, Setting(Http2SettingId.EnableConnectProtocol, 1), Setting(Http2SettingId.EnableConnectProtocol, 0)),
        ["SETTINGS_ENABLE_CONNECT_PROTOCOL that is taken back in the same frame ends the connection"] = () => Ends(Protocol, Settings((Http2SettingId.EnableConnectProtocol, 1), (Http2SettingId.EnableConnectProtocol, 0))),
        ["SETTINGS_ENABLE_CONNECT_PROTOCOL may be said again"] = () => Passes(Setting(Http2SettingId.EnableConnectProtocol, 0), Setting(Http2SettingId.EnableConnectProtocol, 1), Setting(Http2SettingId.EnableConnectProtocol, 1)),
        ["A header table of no bytes is a setting like others"] = () => Passes(Setting(Http2SettingId.HeaderTableSize, 0), Get(1), Setting(Http2SettingId.HeaderTableSize, 100_000)),

        // 6.6: PUSH_PROMISE.
        ["PUSH_PROMISE from a client ends the connection"] = () => Ends(Protocol, Post(), Raw(Http2FrameType.PushPromise, 4, 1, [0, 0, 0, 2, .. s_block])),

        // 6.7: PING.
        ["PING on a stream ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.Ping, 0, 1, new byte[8])),
        ["PING of another size than 8 ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.Ping, 0, 0, new byte[7])),
        ["An answer to a PING that was never asked is ignored"] = () => Passes(Raw(Http2FrameType.Ping, 1, 0, new byte[8])),

        // 6.8: GOAWAY.
        ["GOAWAY on a stream ends the connection"] = () => Ends(Protocol, Raw(Http2FrameType.GoAway, 0, 1, new byte[8])),
        ["GOAWAY that is too short ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.GoAway, 0, 0, new byte[7])),
        ["A client that says GOAWAY may still finish"] = () => Passes(Raw(Http2FrameType.GoAway, 0, 0, [.. new byte[8], .. "bye"u8])),

        // 6.9: windows.
        ["A connection window that grows by 0 ends the connection"] = () => Ends(Protocol, Window(0, 0)),
        ["A stream window that grows by 0 resets the stream"] = () => Resets(Protocol, Post(), Window(1, 0)),
        ["WINDOW_UPDATE of another size than 4 ends the connection"] = () => Ends(Http2ErrorCode.FrameSizeError, Raw(Http2FrameType.WindowUpdate, 0, 0, new byte[3])),
        ["A connection window above 2^31-1 ends the connection"] = () => Ends(Http2ErrorCode.FlowControlError, Window(0, int.MaxValue)),
        ["A stream window above 2^31-1 resets the stream"] = () => Resets(Http2ErrorCode.FlowControlError, Post(), Window(1, int.MaxValue)),
        ["A setting that lifts an open stream's window above 2^31-1 for a moment ends the connection"] = () => Ends(Http2ErrorCode.FlowControlError, Post(), Window(1, 1000), Settings((Http2SettingId.InitialWindowSize, int.MaxValue), (Http2SettingId.InitialWindowSize, 65535))),
        ["The last of many windows in one SETTINGS holds"] = () => Passes(Post(), Settings((Http2SettingId.InitialWindowSize, 0), (Http2SettingId.InitialWindowSize, 1 << 30), (Http2SettingId.InitialWindowSize, 65535)), Window(1, int.MaxValue - 65535)),
        ["A setting that lifts an open stream's window above 2^31-1 ends the connection"] = () => Ends(Http2ErrorCode.FlowControlError, Post(), Window(1, 1000), Setting(Http2SettingId.InitialWindowSize, int.MaxValue)),

        // 8.1, 8.2: messages.
        ["A second head that does not end the stream resets it"] = () => Resets(Protocol, Post(), Headers(1, [("x-more", "1")])),
        ["An upper-case name resets the stream"] = () => Resets(Protocol, Request_(With("X-Upper", "1"))),
        ["An empty name resets the stream"] = () => Resets(Protocol, Request_(With("", "1"))),
        ["A name with a blank resets the stream"] = () => Resets(Protocol, Request_(With("x y", "1"))),
        ["A name with a colon resets the stream"] = () => Resets(Protocol, Request_(With("x:y", "1"))),
        ["A name beyond ASCII resets the stream"] = () => Resets(Protocol, Request_(With("x-\u00e9", "1"))),
        ["A value with NUL resets the stream"] = () => Resets(Protocol, Request_(With("x-a", "a\0b"))),
        ["A value with CR resets the stream"] = () => Resets(Protocol, Request_(With("x-a", "a\rb"))),
        ["A value with LF resets the stream"] = () => Resets(Protocol, Request_(With("x-a", "a\nx-b: c"))),
        ["A value with a blank in front resets the stream"] = () => Resets(Protocol, Request_(With("x-a", " a"))),
        ["A value with a tab behind resets the stream"] = () => Resets(Protocol, Request_(With("x-a", "a\t"))),
        ["Connection resets the stream"] = () => Resets(Protocol, Request_(With("connection", "keep-alive"))),
        ["Keep-Alive resets the stream"] = () => Resets(Protocol, Request_(With("keep-alive", "timeout=1"))),
        ["Proxy-Connection resets the stream"] = () => Resets(Protocol, Request_(With("proxy-connection", "close"))),
        ["Transfer-Encoding resets the stream"] = () => Resets(Protocol, Request_(With("transfer-encoding", "chunked"))),
        ["Upgrade resets the stream"] = () => Resets(Protocol, Request_(With("upgrade", "websocket"))),
        ["TE that says more than trailers resets the stream"] = () => Resets(Protocol, Request_(With("te", "trailers, deflate"))),
        ["TE that says trailers passes"] = () => Passes(Request_(With("te", "trailers"))),

        // 8.3: pseudo fields.
        ["An unknown pseudo field resets the stream"] = () => Resets(Protocol, Request_([.. s_plain, (":test", "1")])),
        ["A response's pseudo field in a request resets the stream"] = () => Resets(Protocol, Request_([.. s_plain, (":status", "200")])),
        ["A pseudo field behind a field resets the stream"] = () => Resets(Protocol, Request_([.. Without(":path"), ("x-a", "1"), (":path", "/a")])),
        ["A pseudo field in trailers resets the stream"] = () => Resets(Protocol, Post(), Headers(1, [(":method", "GET")], true)),
        ["No :method resets the stream"] = () => Resets(Protocol, Request_(Without(":method"))),
        ["No :scheme resets the stream"] = () => Resets(Protocol, Request_(Without(":scheme"))),
        ["No :path resets the stream"] = () => Resets(Protocol, Request_(Without(":path"))),
        ["An empty :path resets the stream"] = () => Resets(Protocol, Request_(But(":path", ""))),
        ["A :path without a slash resets the stream"] = () => Resets(Protocol, Request_(But(":path", "a"))),
        ["A :path with a blank resets the stream"] = () => Resets(Protocol, Request_(But(":path", "/a HTTP/1.1"))),
        ["A :path with a fragment resets the stream"] = () => Resets(Protocol, Request_(But(":path", "/a#b"))),
        ["A :method that is no token resets the stream"] = () => Resets(Protocol, Request_(But(":method", "GET /evil"))),
        ["A :scheme other than http and https resets the stream"] = () => Resets(Protocol, Request_(But(":scheme", "ftp"))),
        ["A repeated :method resets the stream"] = () => Resets(Protocol, Request_([(":method", "GET"), .. s_plain])),
        ["A repeated :scheme resets the stream"] = () => Resets(Protocol, Request_([(":scheme", "http"), .. s_plain])),
        ["A repeated :path resets the stream"] = () => Resets(Protocol, Request_([(":path", "/a"), .. s_plain])),
        ["A repeated :authority resets the stream"] = () => Resets(Protocol, Request_([(":authority", "x"), .. s_plain])),
        ["An empty :authority resets the stream"] = () => Resets(Protocol, Request_(But(":authority", ""))),
        ["An empty Host resets the stream"] = () => Resets(Protocol, Request_([.. Without(":authority"), ("host", "")])),
        ["A Host that differs from :authority resets the stream"] = () => Resets(Protocol, Request_(With("host", "y"))),
        ["A Host that equals :authority passes"] = () => Passes(Request_(With("host", "x"))),
        [":protocol without CONNECT resets the stream"] = () => Resets(Protocol, Request_([.. s_plain, (":protocol", "websocket")])),
        ["CONNECT with :path resets the stream"] = () => Resets(Protocol, Request_([(":method", "CONNECT"), (":path", "/a"), (":authority", "x:1")])),

        // 8.1.1: lengths.
        ["More DATA than Content-Length resets the stream"] = () => Resets(Protocol, Post(1, ("content-length", "1")), Data(1, "xx"u8)),
        ["Less DATA than Content-Length resets the stream"] = () => Resets(Protocol, Post(1, ("content-length", "3")), Data(1, "xx"u8, true)),
        ["No DATA where Content-Length says some resets the stream"] = () => Resets(Protocol, Get(1, ("content-length", "3"))),
        ["Less DATA in several frames than Content-Length resets the stream"] = () => Resets(Protocol, Post(1, ("content-length", "3")), Data(1, "x"u8), Data(1, "x"u8, true)),
        ["Trailers before all of Content-Length reset the stream"] = () => Resets(Protocol, Post(1, ("content-length", "3")), Data(1, "x"u8), Headers(1, [("x-t", "1")], true)),
        ["Two different Content-Lengths reset the stream"] = () => Resets(Protocol, Post(1, ("content-length", "1"), ("content-length", "2"))),
        ["A signed Content-Length resets the stream"] = () => Resets(Protocol, Post(1, ("content-length", "+1"))),
    };

    public static TheoryData<string> Rows() => [.. s_rows.Keys];

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task A_server_keeps_the_rules(string rule)
    {
        Row row = s_rows[rule]();
        fixture.Http1.At("/hold", async (c, head) => await c.Reader.RestAsync());
        using Http2Peer client = await Http2Peer.ConnectAsync(fixture.ToHttp1.Address);
        await client.PingAsync();
        await client.SendAsync(row.Bytes);
        if (row.Connection is { } code)
        {
            await client.EndsWithAsync(code);
            return;
        }
        if (row.Stream is { } reset)
        {
            await client.WaitAsync(() => client[1].Reset is not null, $"the reset of stream 1 ({reset})");
            Assert.Equal(reset, client[1].Reset);
        }
        await client.PingAsync();
        await client.HeadersAsync(101, Request("GET", "/after"), end: true);
        (await client.EndAsync(101)).Is(200);
        Assert.Null(client.GoAway);
    }
}
