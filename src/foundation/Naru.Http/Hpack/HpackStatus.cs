// How decoding a header block ended, and who receives its fields. Values, not exceptions, since hostile bytes are everyday life here.
using Naru.Http.Headers;

namespace Naru.Http.Hpack;

/// <summary>How <see cref="HpackDecoder.Decode{TSink}"/> ended. Everything but <see cref="Ok"/> and <see cref="RefusedBySink"/>
/// is a connection error of type COMPRESSION_ERROR (RFC 9113 4.3): the two tables are no longer alike.</summary>
public enum HpackStatus
{
    /// <summary>The whole block was read.</summary>
    Ok,
    /// <summary>The sink wanted no more. The rest of the block was read all the same, so the connection goes on.</summary>
    RefusedBySink,
    /// <summary>The block ends inside a field.</summary>
    Truncated,
    /// <summary>An integer beyond what any length or index can be (RFC 7541 5.1).</summary>
    IntegerOverflow,
    /// <summary>Index 0, or behind the end of both tables (RFC 7541 2.3.3, 6.1).</summary>
    InvalidIndex,
    /// <summary>Huffman bytes with EOS inside, padding longer than 7 bits or not of ones (RFC 7541 5.2).</summary>
    InvalidHuffman,
    /// <summary>A table size update behind the first field, above the limit, or missing after the limit shrank (RFC 7541 4.2, 6.3).</summary>
    InvalidTableSize,
}

/// <summary>Receives the fields of a header block in order.</summary>
public interface IHpackSink
{
    /// <summary>One field. The spans are valid during the call only.</summary>
    /// <param name="name">Name as sent.</param>
    /// <param name="value">Value as sent.</param>
    /// <param name="id">What the name means; letter case is ignored, so look at <paramref name="wellFormed"/> first.</param>
    /// <param name="wellFormed">Whether name and value obey RFC 9113 8.2.1: a lower-case token (behind a colon for pseudo-headers),
    /// a value without NUL, CR, LF, other controls or blanks at its ends. Reckoned once for each entry of the tables.</param>
    /// <returns>False when nothing more of this block is wanted; what was refused is for the sink to remember.</returns>
    bool OnField(scoped ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, KnownHeader id, bool wellFormed);
}
