// Why a message was refused: values, not exceptions, since hostile bytes are everyday life here.
namespace Naru.Http.Http1;

/// <summary>Reasons for refusing HTTP/1 bytes.</summary>
public enum Http1Error
{
    /// <summary>Nothing wrong.</summary>
    None,
    /// <summary>The start line is not one (RFC 9112 3 and 4).</summary>
    StartLine,
    /// <summary>Neither HTTP/1.0 nor HTTP/1.1.</summary>
    Version,
    /// <summary>A line ends in LF without CR, or has a CR inside (RFC 9112 2.2).</summary>
    LineEnding,
    /// <summary>A field line without a name, with a space before the colon, or folded (RFC 9112 5).</summary>
    FieldLine,
    /// <summary>A byte that field values must not have (RFC 9110 5.5).</summary>
    FieldValue,
    /// <summary>More bytes of head than allowed.</summary>
    HeadTooLarge,
    /// <summary>A start line that alone fills the allowance.</summary>
    StartLineTooLong,
    /// <summary>More fields than allowed.</summary>
    TooManyFields,
    /// <summary>Content-Length repeated or not a plain number (RFC 9112 6.3).</summary>
    ContentLength,
    /// <summary>Transfer-Encoding and Content-Length together (RFC 9112 6.1).</summary>
    LengthAndEncoding,
    /// <summary>A transfer coding other than chunked alone, or in HTTP/1.0.</summary>
    TransferEncoding,
    /// <summary>No Host, several, or not a host (RFC 9112 3.2).</summary>
    Host,
    /// <summary>The request target is not one.</summary>
    Target,
    /// <summary>Chunked framing is broken (RFC 9112 7.1).</summary>
    Chunk,
}
