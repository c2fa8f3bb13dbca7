// gRPC-Web (gRPC: PROTOCOL-WEB): browsers cannot read trailers, so their calls carry them as a last frame of the body, and as base64
// where they cannot read bytes. Translated to gRPC for the upstream and back; what is no gRPC answer passes as it is.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;

namespace Naru.Proxy.Http;

/// <summary>How a gRPC-Web call is written.</summary>
internal enum GrpcWebForm : byte
{
    None,
    Binary,

    /// <summary>In base64.</summary>
    Text,
}

internal static class GrpcWeb
{
    private const int Prefix = 20;

    /// <summary>Whether a content type is that of a call.</summary>
    public static GrpcWebForm Form(ReadOnlySpan<byte> type)
    {
        if (type.Length < Prefix || !Ascii.EqualsIgnoreCase(type[..Prefix], "application/grpc-web"u8)) return GrpcWebForm.None;
        ReadOnlySpan<byte> rest = type[Prefix..];
        bool text = rest.Length >= 5 && Ascii.EqualsIgnoreCase(rest[..5], "-text"u8);
        if (text) rest = rest[5..];
        if (rest.Length > 0 && rest[0] is not ((byte)'+' or (byte)';')) return GrpcWebForm.None;
        return text ? GrpcWebForm.Text : GrpcWebForm.Binary;
    }

    /// <summary>Looks whether the request is one, and in which form it wants its answer: as Accept says, else as it came.</summary>
    public static void Recognise(Exchange x)
    {
        x.Web = Form(ReplyForms.ContentType(x));
        if (x.Web == GrpcWebForm.None) return;
        int accept = x.Head.IndexOf(x.Bytes, "accept"u8);
        GrpcWebForm wanted = accept < 0 ? GrpcWebForm.None : Form(Http1Head.Value(x.Bytes, x.Head.Fields[accept]));
        x.WebAnswer = wanted == GrpcWebForm.None ? x.Web : wanted;
    }

    /// <summary>Tells the upstream of a gRPC call.</summary>
    public static void SetRequestType(Exchange x)
    {
        ReadOnlySpan<byte> type = ReplyForms.ContentType(x);
        x.RequestHeaders.Set("content-type"u8, [.. "application/grpc"u8, .. type[(x.Web == GrpcWebForm.Text ? Prefix + 5 : Prefix)..]]);
        x.RequestHeaders.Set("te"u8, "trailers"u8);
        if (!x.RequestHeaders.Has("grpc-accept-encoding"u8)) x.RequestHeaders.Set("grpc-accept-encoding"u8, "identity"u8);
    }

    /// <summary>The content type for the client.</summary>
    public static ReadOnlySpan<byte> AnswerType(Exchange x) => x.WebAnswer == GrpcWebForm.Text ? "application/grpc-web-text+proto"u8 : "application/grpc-web+proto"u8;

    /// <summary>The last frame: flag 0x80, length, and the trailers as lines with lower-case names. Its length; it fits where
    /// <see cref="HeadEdits"/> says how much its lines need, and 5 bytes more.</summary>
    public static int WriteTrailerFrame(HeadEdits trailers, Span<byte> into)
    {
        int at = 5;
        for (int i = trailers.Next(); i >= 0; i = trailers.Next(i + 1))
        {
            ReadOnlySpan<byte> name = trailers.Name(i), value = trailers.Value(i);
            if (!BodyPump.IsTrailer(trailers.Id(i), name)) continue;
            Ascii.ToLower(name, into[at..], out _);
            at += name.Length;
            ":"u8.CopyTo(into[at..]);
            value.CopyTo(into[(at + 1)..]);
            at += 1 + value.Length;
            "\r\n"u8.CopyTo(into[at..]);
            at += 2;
        }
        into[0] = 0x80;
        System.Buffers.Binary.BinaryPrimitives.WriteInt32BigEndian(into[1..], at - 5);
        return at;
    }
}

/// <summary>Decodes base64 that comes in pieces, in place; padding may stand wherever a piece of the sender's ended.</summary>
internal struct Base64Stream
{
    private static readonly byte[] s_values = Values();
    private uint _bits;
    private int _count;
    private bool _padded;

    /// <summary>What it remembers, as a number and back.</summary>
    public long State
    {
        readonly get => _bits | (long)_count << 32 | (_padded ? 1L << 40 : 0);
        set => (_bits, _count, _padded) = ((uint)value, (int)(value >> 32) & 7, value >> 40 != 0);
    }

    /// <summary>Whether it may end here.</summary>
    public readonly bool IsWhole => _count == 0;

    /// <summary>Decodes a piece: false where it is no base64.</summary>
    public bool Decode(Span<byte> piece, out int length)
    {
        length = 0;
        foreach (byte b in piece)
        {
            if (b == '=')
            {
                if (_count < 2) return false;
                _padded = true;
            }
            else
            {
                byte value = s_values[b];
                if (value == 0xff || _padded) return false;
                _bits = _bits << 6 | value;
                // A byte at most for each digit, as soon as it is known: writing never overtakes reading.
                if (_count > 0) piece[length++] = (byte)(_bits >> (6 - 2 * _count));
            }
            if (++_count < 4) continue;
            _bits = 0;
            _count = 0;
            _padded = false;
        }
        return true;
    }

    private static byte[] Values()
    {
        var values = new byte[256];
        Array.Fill(values, (byte)0xff);
        const string Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (int i = 0; i < Alphabet.Length; i++) values[Alphabet[i]] = (byte)i;
        return values;
    }
}
