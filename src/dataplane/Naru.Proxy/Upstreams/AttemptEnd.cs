// How a try ended, as a value: whether to try again is the Forwarder's business, and what the client is told.
namespace Naru.Proxy.Upstreams;

internal enum AttemptKind : byte
{
    /// <summary>An answer begins: see <see cref="Attempt.Answer"/>.</summary>
    Answered,
    ConnectFailed,
    /// <summary>The connection was made and its TLS handshake failed.</summary>
    TlsFailed,
    ConnectTimedOut,
    Overflow,
    /// <summary>The connection died before the answer's head was whole.</summary>
    Reset,
    /// <summary>The endpoint reset the stream.</summary>
    RemoteReset,
    /// <summary>The endpoint did not process it and said so (RFC 9113 8.7).</summary>
    Refused,
    /// <summary>The try's own time was up.</summary>
    TimedOut,
    /// <summary>It was on its way for as long as it may be, and had no answer.</summary>
    Outlived,
    /// <summary>The answer is not valid HTTP/1.</summary>
    Malformed,
    UpgradeRefused,
    /// <summary>An answer in whose place another try was granted.</summary>
    Replaced,
    /// <summary>The endpoint left the cluster while a connection to it was waited for.</summary>
    Moved,
    /// <summary>The connection takes no further stream.</summary>
    NoRoom,
    /// <summary>The exchange was given up; see its abort reason.</summary>
    Aborted,
}

/// <summary>How a try ended.</summary>
/// <param name="Kind">What happened.</param>
/// <param name="Reused">It rode on a reused connection and got no byte of an answer.</param>
/// <param name="RequestBegun">At least one byte of the request was handed to the kernel.</param>
internal readonly record struct AttemptEnd(AttemptKind Kind, bool Reused = false, bool RequestBegun = true);
