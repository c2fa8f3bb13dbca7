// Reads a head laid out as HTTP/1 and encodes it for HTTP/2: the first line becomes pseudo headers, Host becomes :authority, and
// what belongs to HTTP/1 connections stays behind (RFC 9113 8.2.2, 8.3).
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Hpack;
using Naru.Http.Http1;
using Naru.Proxy.Http;

namespace Naru.Proxy.Http2;

internal readonly ref struct HeadReader(SectionKind kind, ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;
    private readonly SectionKind _kind = kind;

    /// <summary>Requests only: what <c>:scheme</c> says.</summary>
    public bool IsHttps { get; init; }

    /// <summary>A request with Upgrade becomes extended CONNECT, its 101 becomes 200 (RFC 8441 5).</summary>
    public bool IsTunnel { get; init; }

    /// <summary>See <see cref="HeadForm.PostPath"/>.</summary>
    public byte[]? PostPath { get; init; }

    /// <summary>The head that came, where it came over HTTP/2: which names it marks as never indexed.</summary>
    public Http1Head? Marks { private get; init; }

    /// <summary>The encoded section is never longer: a field of 255 bytes and more may take one byte beyond its line.</summary>
    public int MostBytes => _bytes.Length + _bytes.Length / 128 + 256;

    /// <summary>Encodes into <paramref name="into"/>, which has room for <see cref="MostBytes"/>: bytes written.</summary>
    public int Encode(HpackEncoder encoder, Span<byte> into)
    {
        int at = encoder.BeginBlock(into);
        ReadOnlySpan<byte> lines = _bytes;
        if (_kind != SectionKind.Trailers)
        {
            int end = lines.IndexOf("\r\n"u8);
            ReadOnlySpan<byte> first = lines[..end];
            lines = lines[(end + 2)..];
            if (_kind == SectionKind.Response)
            {
                ReadOnlySpan<byte> status = IsTunnel && first.Slice(9, 3).SequenceEqual("101"u8) ? "200"u8 : first.Slice(9, 3);
                at += status.SequenceEqual("200"u8) ? HpackEncoder.EncodeStatic(8, into[at..]) : encoder.Encode(":status"u8, status, into[at..]);
            }
            else
            {
                at += Request(encoder, first, lines, into[at..]);
            }
        }
        // What a line becomes may depend on the message in tunnels and trailers only.
        Http1Head? marks = Marks is { HasNeverIndexed: true } ? Marks : null;
        bool plain = !IsTunnel && _kind != SectionKind.Trailers && marks is null;
        while (lines.Length > 2)
        {
            // One byte is found faster than two; a line feed alone ends no line.
            int end = lines.IndexOf((byte)'\n') - 1;
            if (end > 0 && lines[end] != '\r') end = lines.IndexOf("\r\n"u8);
            if (end <= 0) break;
            ReadOnlySpan<byte> line = lines[..end];
            lines = lines[(end + 2)..];
            if (plain && encoder.EncodeKnown(line, into[at..]) is > 0 and int known)
            {
                at += known;
                continue;
            }
            int colon = line.IndexOf((byte)':');
            ReadOnlySpan<byte> name = line[..colon];
            ReadOnlySpan<byte> value = Http1Framing.Trim(line[(colon + 1)..]);
            KnownHeader id = KnownHeaders.Of(name);
            if (id != KnownHeader.Other && !Travels(id, name, value)) continue;
            if (_kind == SectionKind.Trailers && !BodyPump.IsTrailer(id, name)) continue;
            if (IsTunnel && IsHandshake(name)) continue;
            // Servers compare it letter by letter; whatever stands there means this (RFC 9113 8.2.2).
            if (id == KnownHeader.Te) value = "trailers"u8;
            if (marks is not null && marks.IsNeverIndexed(name))
            {
                at += HpackEncoder.EncodeNeverIndexed(name, value, into[at..]);
                continue;
            }
            at += plain && id != KnownHeader.Te ? encoder.EncodeLine(line, name, value, into[at..]) : encoder.Encode(name, value, into[at..]);
        }
        return at;
    }

    private int Request(HpackEncoder encoder, ReadOnlySpan<byte> first, ReadOnlySpan<byte> lines, Span<byte> into)
    {
        int space = first.IndexOf((byte)' ');
        ReadOnlySpan<byte> method = first[..space];
        ReadOnlySpan<byte> path = first[(space + 1)..(first.Length - " HTTP/1.1".Length)];
        bool connect = method.SequenceEqual("CONNECT"u8);
        if (connect && PostPath is { } post)
        {
            method = "POST"u8;
            path = post;
            connect = false;
        }
        int at = IsTunnel ? encoder.Encode(":method"u8, "CONNECT"u8, into)
            : method.SequenceEqual("GET"u8) ? HpackEncoder.EncodeStatic(2, into)
            : method.SequenceEqual("POST"u8) ? HpackEncoder.EncodeStatic(3, into)
            : encoder.Encode(":method"u8, method, into);
        if (!connect)
        {
            at += HpackEncoder.EncodeStatic(IsHttps ? 7 : 6, into[at..]);
            at += Marked(":path"u8) ? HpackEncoder.EncodeNeverIndexed(":path"u8, path, into[at..]) : encoder.Encode(":path"u8, path, into[at..]);
        }
        if (ResponseWriter.FindHeader(_bytes, "host"u8, out ReadOnlySpan<byte> host) && !host.IsEmpty)
            at += Marked(":authority"u8) || Marked("host"u8) ? HpackEncoder.EncodeNeverIndexed(":authority"u8, host, into[at..]) : encoder.Encode(":authority"u8, host, into[at..]);
        if (IsTunnel && ResponseWriter.FindHeader(_bytes, "upgrade"u8, out ReadOnlySpan<byte> protocol)) at += encoder.Encode(":protocol"u8, protocol, into[at..]);
        return at;
    }

    private bool Marked(ReadOnlySpan<byte> name) => Marks is { HasNeverIndexed: true } marks && marks.IsNeverIndexed(name);

    private bool Travels(KnownHeader id, ReadOnlySpan<byte> name, ReadOnlySpan<byte> value) => id switch
    {
        KnownHeader.Connection or KnownHeader.KeepAlive or KnownHeader.ProxyConnection or KnownHeader.TransferEncoding or KnownHeader.Upgrade => false,
        KnownHeader.Host => _kind != SectionKind.Request,
        KnownHeader.Te => Ascii.EqualsIgnoreCase(value, "trailers"u8),
        KnownHeader.ContentLength => !IsTunnel,
        _ => name.Length > 0,
    };

    // Between HTTP/1 neighbours only (RFC 8441 5.1).
    private static bool IsHandshake(ReadOnlySpan<byte> name) =>
        Ascii.EqualsIgnoreCase(name, "sec-websocket-key"u8) || Ascii.EqualsIgnoreCase(name, "sec-websocket-accept"u8);
}
