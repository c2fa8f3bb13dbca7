// Other bytes in the place of a body that was taken in whole, once it goes on.
using Naru.Proxy.Io;

namespace Naru.Proxy.Filters;

internal struct BodyChange
{
    /// <summary>What goes on instead; null where nothing is changed.</summary>
    public byte[]? With;

    /// <summary>So many bytes do not go on.</summary>
    public long Without;

    /// <summary><see cref="With"/> went on.</summary>
    public bool Went;

    /// <summary>Makes the change in a piece. The new bytes go in front of the piece that holds the first old one; true where the filter is asked
    /// about the rest next.</summary>
    public bool Exchanges(BodyPiece piece)
    {
        if (With is not { } with) return false;
        int drop = (int)Math.Min(Without, piece.Bytes.Length);
        Without -= drop;
        if (Went || with.Length == 0)
        {
            Went = true;
            if (drop > 0) piece.Skip(drop);
            return false;
        }
        Went = true;
        IoBuffer first = piece.Rent(with.Length);
        first.Append(with);
        piece.Emit(first, drop);
        return true;
    }
}
