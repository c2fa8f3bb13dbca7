// The readers of first bytes: every prefix asks for more or decides rightly, and no hostile length is believed.
using System.Buffers.Binary;
using System.Net;
using System.Net.Security;
using System.Text;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Io;
using Xunit;

namespace Naru.UnitTests.Proxy;

public sealed class ReaderTests
{
    private static byte[] Hello(string? name, params string[] alpn)
    {
        var extensions = new List<byte>();
        void Extension(int type, byte[] value) => extensions.AddRange([(byte)(type >> 8), (byte)type, (byte)(value.Length >> 8), (byte)value.Length, .. value]);
        byte[] Sized(byte[] value) => [(byte)(value.Length >> 8), (byte)value.Length, .. value];
        Extension(10, Sized([0, 29]));
        if (name is not null) Extension(0, Sized([0, .. Sized(Encoding.Latin1.GetBytes(name))]));
        if (alpn.Length > 0) Extension(16, Sized([.. alpn.SelectMany(p => new[] { (byte)p.Length }.Concat(Encoding.ASCII.GetBytes(p)))]));
        byte[] body = [3, 3, .. new byte[32], 4, 1, 2, 3, 4, 0, 2, 0x13, 1, 1, 0, .. Sized([.. extensions])];
        return [1, 0, (byte)(body.Length >> 8), (byte)body.Length, .. body];
    }

    private static byte[] Records(byte[] message, int size) =>
        [.. message.Chunk(size).SelectMany(part => new byte[] { 22, 3, 1, (byte)(part.Length >> 8), (byte)part.Length }.Concat(part))];

    [Theory]
    [InlineData(16000)]
    [InlineData(10)]
    [InlineData(1)]
    public void A_client_hello_is_read_however_it_is_cut(int record)
    {
        byte[] bytes = Records(Hello("A.Example", "h2", "http/1.1"), record);
        for (int i = 0; i < bytes.Length; i++) Assert.Equal(Sniffed.Incomplete, ClientHello.Read(bytes.AsSpan(0, i), out _));
        Assert.Equal(Sniffed.Found, ClientHello.Read(bytes, out ClientHelloInfo info));
        Assert.Equal("a.example", info.ServerName);
        Assert.Equal(["h2", "http/1.1"], info.Alpn);
        Assert.Equal(Sniffed.Found, ClientHello.Read([.. bytes, .. "what follows"u8], out _));
    }

    [Fact]
    public void A_hello_without_names_is_a_hello()
    {
        Assert.Equal(Sniffed.Found, ClientHello.Read(Records(Hello(null), 16000), out ClientHelloInfo info));
        Assert.Equal(("", 0), (info.ServerName, info.Alpn.Length));
        byte[] old = [1, 0, 0, 41, 3, 1, .. new byte[32], 0, 0, 2, 0, 5, 1, 0];
        Assert.Equal(Sniffed.Found, ClientHello.Read(Records(old, 16000), out _));
    }

    [Fact]
    public async Task What_a_real_client_sends_is_read()
    {
        var wire = new MemoryStream();
        var stream = new SslStream(new OneWay(wire));
        await Assert.ThrowsAnyAsync<Exception>(() => stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "real.example",
            ApplicationProtocols = [SslApplicationProtocol.Http2],
        }));
        Assert.Equal(Sniffed.Found, ClientHello.Read(wire.ToArray(), out ClientHelloInfo info));
        Assert.Equal("real.example", info.ServerName);
        Assert.Equal(["h2"], info.Alpn);
    }

    private sealed class OneWay(MemoryStream written) : Stream
    {
        public override bool CanRead => true;
        public override bool CanSeek => false;
        public override bool CanWrite => true;
        public override long Length => 0;
        public override long Position { get => 0; set { } }
        public override void Flush() { }
        public override int Read(byte[] buffer, int offset, int count) => 0;
        public override long Seek(long offset, SeekOrigin origin) => 0;
        public override void SetLength(long value) { }
        public override void Write(byte[] buffer, int offset, int count) => written.Write(buffer, offset, count);
    }

    [Theory]
    [InlineData("G", 1)]
    [InlineData("SSH-", 1)]
    [InlineData("\x16\x02", 2)]
    [InlineData("\x16\x03\x05", 3)]
    [InlineData("\x16\x03\x01\0\0", 5)]
    [InlineData("\x16\x03\x01\x40\x01", 5)]
    [InlineData("\x16\x03\x01\0\x05\x02", 6)]
    public void What_is_not_tls_is_known_at_the_first_byte_that_cannot_be(string text, int decidedAt)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(text);
        Assert.Equal(Sniffed.Other, ClientHello.Read(bytes.AsSpan(0, decidedAt), out _));
        Assert.Equal(Sniffed.Incomplete, ClientHello.Read(bytes.AsSpan(0, decidedAt - 1), out _));
    }

    [Fact]
    public void Lengths_are_not_believed()
    {
        Assert.Equal(Sniffed.TooLarge, ClientHello.Read(Records([1, 0xff, 0xff, 0xff, 3, 3], 100), out _));
        byte[] good = Records(Hello("a.example", "h2"), 16000);
        int changed = 0;
        for (int i = 43; i < good.Length; i++)
        {
            byte[] bad = [.. good];
            bad[i] = 0xff;
            Sniffed found = ClientHello.Read(bad, out ClientHelloInfo info);
            Assert.True(found is Sniffed.Found or Sniffed.Malformed);
            if (found == Sniffed.Malformed)
            {
                changed++;
                Assert.Equal("", info.ServerName);
            }
        }
        Assert.True(changed > 10);
        foreach (string name in new[] { "a b", "a\0b", "\xff", new string('x', 256), "" }) Assert.Equal(Sniffed.Malformed, ClientHello.Read(Records(Hello(name), 16000), out _));
    }

    [Theory]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 65535\r\n", "1.2.3.4:1", "5.6.7.8:65535")]
    [InlineData("PROXY TCP6 2001:db8::1 ::1 4 5\r\n", "[2001:db8::1]:4", "[::1]:5")]
    [InlineData("PROXY UNKNOWN\r\n", "", "")]
    [InlineData("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "", "")]
    public void A_proxy_line_is_read_to_its_end_and_not_beyond(string line, string source, string destination)
    {
        byte[] bytes = [.. Encoding.ASCII.GetBytes(line), .. "GET"u8];
        for (int i = 0; i < line.Length; i++) Assert.Equal(Sniffed.Incomplete, ProxyHeader.Read(bytes.AsSpan(0, i), out _));
        Assert.Equal(Sniffed.Found, ProxyHeader.Read(bytes, out ProxyHeaderInfo info));
        Assert.Equal((1, line.Length), (info.Version, info.Length));
        Assert.Equal(source, info.Source.Length == 0 ? "" : info.Source.ToString());
        Assert.Equal(destination, info.Destination.Length == 0 ? "" : info.Destination.ToString());
    }

    [Theory]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n")]
    [InlineData("PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n")]
    [InlineData("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n")]
    [InlineData("PROXY TCP4 0x1.2.3.4 5.6.7.8 1 2\r\n")]
    [InlineData("PROXY TCP4 1.2.3.04 5.6.7.8 1 2\r\n")]
    [InlineData("PROXY TCP4 ::1 5.6.7.8 1 2\r\n")]
    [InlineData("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n")]
    [InlineData("PROXY TCP6 fe80::1%1 ::1 1 2\r\n")]
    [InlineData("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n")]
    [InlineData("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n")]
    [InlineData("PROXY \r\n")]
    [InlineData("PROXY UNKNOWN aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")]
    public void A_proxy_line_that_is_not_as_specified_is_refused(string line) => Assert.Equal(Sniffed.Malformed, ProxyHeader.Read(Encoding.ASCII.GetBytes(line), out _));

    [Theory]
    [InlineData("G")]
    [InlineData("PROXX")]
    [InlineData("\r\n\r\n\0\r\nQUIX")]
    public void What_is_no_proxy_header_is_known_at_once(string text) => Assert.Equal(Sniffed.Other, ProxyHeader.Read(Encoding.Latin1.GetBytes(text), out _));

    private static byte[] Binary(byte command, byte family, params byte[] body) =>
        [.. "\r\n\r\n\0\r\nQUIT\n"u8, command, family, (byte)(body.Length >> 8), (byte)body.Length, .. body];

    private static readonly byte[] s_four = [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 0, 2];

    [Fact]
    public void A_binary_proxy_header_is_read_with_what_may_follow_its_addresses()
    {
        byte[] bytes = Binary(0x21, 0x11, [.. s_four, 4, 0, 2, 9, 9, 0xee, 0, 0]);
        for (int i = 0; i < bytes.Length; i++) Assert.Equal(Sniffed.Incomplete, ProxyHeader.Read(bytes.AsSpan(0, i), out _));
        Assert.Equal(Sniffed.Found, ProxyHeader.Read(bytes, out ProxyHeaderInfo info));
        Assert.Equal((2, bytes.Length, "1.2.3.4:1", "5.6.7.8:2"), (info.Version, info.Length, info.Source.ToString(), info.Destination.ToString()));
        foreach (byte[] nameless in new[] { Binary(0x20, 0x11, s_four), Binary(0x20, 0), Binary(0x21, 0), Binary(0x21, 0x31, new byte[216]), Binary(0x21, 0x12, s_four) })
        {
            Assert.Equal(Sniffed.Found, ProxyHeader.Read(nameless, out info));
            Assert.Equal((nameless.Length, 0), (info.Length, info.Source.Length));
        }
    }

    [Fact]
    public void A_binary_proxy_header_that_is_not_as_specified_is_refused()
    {
        foreach (byte[] bad in new[]
        {
            Binary(0x11, 0x11, s_four), Binary(0x22, 0x11, s_four), Binary(0x21, 0x41, s_four), Binary(0x21, 0x13, s_four), Binary(0x21, 0x11, s_four[..11]),
            Binary(0x21, 0x21, s_four), Binary(0x21, 0x11, [.. s_four, 4, 0]), Binary(0x21, 0x11, [.. s_four, 4, 0, 3, 1, 1]), Binary(0x21, 0x11, [.. s_four, 3, 0, 4, 0, 0, 0, 0]),
        })
        {
            Assert.Equal(Sniffed.Malformed, ProxyHeader.Read(bad, out _));
        }
    }

    [Fact]
    public void A_checksum_is_compared_and_the_standard_check_value_is_right()
    {
        Assert.Equal(0xE3069283u, ProxyHeader.Checksum("123456789"u8, 100));
        byte[] bytes = Binary(0x21, 0x11, [.. s_four, 3, 0, 4, 0, 0, 0, 0]);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(^4), ProxyHeader.Checksum(bytes, bytes.Length - 4));
        Assert.Equal(Sniffed.Found, ProxyHeader.Read(bytes, out _));
        bytes[16]++;
        Assert.Equal(Sniffed.Malformed, ProxyHeader.Read(bytes, out _));
    }

    [Theory]
    [InlineData("1.2.3.4", "5.6.7.8")]
    [InlineData("2001:db8::1", "::1")]
    [InlineData("::ffff:1.2.3.4", "5.6.7.8")]
    public void What_is_written_is_read_again(string source, string destination)
    {
        SockAddr from = SockAddr.From(IPAddress.Parse(source), 1), to = SockAddr.From(IPAddress.Parse(destination), 65535);
        foreach (int version in new[] { 1, 2 })
        {
            var bytes = new byte[ProxyHeader.MaxWritten];
            int length = ProxyHeader.Write(bytes, version, from, to);
            Assert.Equal(Sniffed.Found, ProxyHeader.Read(bytes.AsSpan(0, length), out ProxyHeaderInfo info));
            Assert.Equal((version, length, from.Unmapped, to), (info.Version, info.Length, info.Source, info.Destination));
            length = ProxyHeader.Write(bytes, version, default, to);
            Assert.Equal(Sniffed.Found, ProxyHeader.Read(bytes.AsSpan(0, length), out info));
            Assert.Equal(0, info.Source.Length);
        }
    }

    [Theory]
    [InlineData("1.2.3.4", "5.6.7.8")]
    [InlineData("2001:db8::1", "::1")]
    public void Values_stand_behind_the_addresses_of_a_client_that_is_known(string source, string destination)
    {
        SockAddr from = SockAddr.From(IPAddress.Parse(source), 1), to = SockAddr.From(IPAddress.Parse(destination), 65535);
        byte[] values = [0xEE, 0, 2, 7, 8, 0xEF, 0, 1, 9];
        var bytes = new byte[ProxyHeader.MaxWritten + values.Length];
        int length = ProxyHeader.Write(bytes, 2, from, to, values);
        Assert.Equal(Sniffed.Found, ProxyHeader.Read(bytes.AsSpan(0, length), out ProxyHeaderInfo info));
        Assert.Equal((length, from, to), (info.Length, info.Source, info.Destination));
        Assert.True(ProxyHeader.TryGetValue(bytes.AsSpan(0, length), 0xEE, out ReadOnlySpan<byte> value));
        Assert.Equal([7, 8], value.ToArray());
        Assert.True(ProxyHeader.TryGetValue(bytes.AsSpan(0, length), 0xEF, out value));
        Assert.Equal([9], value.ToArray());
        Assert.Equal(16, ProxyHeader.Write(bytes, 2, default, to, values));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n", "http/1.1")]
    [InlineData("\r\nM-SEARCH * HTTP/1.0\r\n", "http/1.0")]
    [InlineData("OPTIONS * HTTP/1.1\n", "http/1.1")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2c")]
    public void Http_is_known_by_its_first_line(string text, string protocol)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(text);
        int at = text.EndsWith("\r\n", StringComparison.Ordinal) && protocol != "h2c" ? bytes.Length - 1 : bytes.Length;
        for (int i = 0; i < at; i++) Assert.Equal(Sniffed.Incomplete, HttpSniffer.Read(bytes.AsSpan(0, i), out _));
        Assert.Equal(Sniffed.Found, HttpSniffer.Read(bytes, out string found));
        Assert.Equal(protocol, found);
    }

    [Theory]
    [InlineData("*1\r")]
    [InlineData("PING\r")]
    [InlineData("SET foo bar")]
    [InlineData("GET  ")]
    [InlineData("GET / HTTP/2")]
    [InlineData("GET / HTTP/1.1 ")]
    [InlineData("\0")]
    [InlineData("EHLO example.com\r")]
    [InlineData("PRI * HTTP/2.0\r\n\r\nXX")]
    public void What_is_not_http_is_known_at_the_first_byte_that_cannot_be(string text)
    {
        byte[] bytes = Encoding.Latin1.GetBytes(text);
        Assert.Equal(Sniffed.Other, HttpSniffer.Read(bytes, out _));
    }
}
