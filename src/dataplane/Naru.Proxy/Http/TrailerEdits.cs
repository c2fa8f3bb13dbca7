// The trailers of a body with what filters change in them. A body that has none can get some.
using Naru.Http.Http1;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

/// <summary>Trailers once the body ended; see <see cref="HeadEdits"/>. Of an answer over HTTP/1 whose length was told they cannot be
/// sent.</summary>
internal sealed class TrailerEdits(BodyReader body) : HeadEdits
{
    protected override Http1Head Head => body.ReceivedTrailers;

    protected override ReadOnlySpan<byte> Bytes => body.ReceivedTrailerBytes;

    // Trailers are read by those who know them one by one.
    protected override bool Joins(ReadOnlySpan<byte> name) => false;

    /// <summary>They are not what came.</summary>
    public bool IsChanged => AnyDropped || AddedBytes > 0;

    /// <summary>Bytes that all of them need at most, as lines.</summary>
    public int MostBytes => Bytes.Length + Head.Count * 4 + AddedBytes + 2;

    /// <summary>Writes them as lines, and the line that ends them; the buffer has room for <see cref="MostBytes"/>.</summary>
    public void Write(IoBuffer o)
    {
        for (int i = Next(); i >= 0; i = Next(i + 1))
        {
            o.Append(Name(i));
            o.Append(": "u8);
            o.Append(Value(i));
            o.Append("\r\n"u8);
        }
        o.Append("\r\n"u8);
    }

    // Pseudo headers stand in heads alone (RFC 9113 8.1).
    protected override bool TryGetPseudo(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        return false;
    }

    protected override bool SetPseudo(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value) => false;
}
