// The nine bytes in front of every HTTP/2 frame (RFC 9113 4.1), and the numbers that stand in frames. No sockets, no state.
using System.Buffers.Binary;

namespace Naru.Http.Http2;

/// <summary>Frame types (RFC 9113 6). Others are to be ignored.</summary>
public enum Http2FrameType : byte
{
    /// <summary>6.1.</summary>
    Data = 0x0,
    /// <summary>6.2.</summary>
    Headers = 0x1,
    /// <summary>6.3, deprecated: read and ignored.</summary>
    Priority = 0x2,
    /// <summary>6.4.</summary>
    RstStream = 0x3,
    /// <summary>6.5.</summary>
    Settings = 0x4,
    /// <summary>6.6.</summary>
    PushPromise = 0x5,
    /// <summary>6.7.</summary>
    Ping = 0x6,
    /// <summary>6.8.</summary>
    GoAway = 0x7,
    /// <summary>6.9.</summary>
    WindowUpdate = 0x8,
    /// <summary>6.10.</summary>
    Continuation = 0x9,
}

/// <summary>Frame flags. One bit means different things on different types.</summary>
[Flags]
public enum Http2Flags : byte
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>On SETTINGS and PING.</summary>
    Ack = 0x1,
    /// <summary>On DATA and HEADERS.</summary>
    EndStream = 0x1,
    /// <summary>On HEADERS, PUSH_PROMISE and CONTINUATION.</summary>
    EndHeaders = 0x4,
    /// <summary>On DATA, HEADERS and PUSH_PROMISE.</summary>
    Padded = 0x8,
    /// <summary>On HEADERS.</summary>
    Priority = 0x20,
}

/// <summary>Error codes (RFC 9113 7).</summary>
public enum Http2ErrorCode : uint
{
    /// <summary>Graceful.</summary>
    NoError = 0x0,
    /// <summary>Unspecific breach of the protocol.</summary>
    ProtocolError = 0x1,
    /// <summary>Our own fault.</summary>
    InternalError = 0x2,
    /// <summary>Flow control was not kept.</summary>
    FlowControlError = 0x3,
    /// <summary>SETTINGS were not acknowledged in time.</summary>
    SettingsTimeout = 0x4,
    /// <summary>Frame on a half-closed stream.</summary>
    StreamClosed = 0x5,
    /// <summary>Frame of a wrong size.</summary>
    FrameSizeError = 0x6,
    /// <summary>Refused before any processing: may be sent again.</summary>
    RefusedStream = 0x7,
    /// <summary>No longer wanted.</summary>
    Cancel = 0x8,
    /// <summary>The header tables cannot be kept.</summary>
    CompressionError = 0x9,
    /// <summary>CONNECT's connection broke.</summary>
    ConnectError = 0xa,
    /// <summary>Excessive load.</summary>
    EnhanceYourCalm = 0xb,
    /// <summary>TLS beneath is too weak.</summary>
    InadequateSecurity = 0xc,
    /// <summary>HTTP/1.1 is wanted instead.</summary>
    Http11Required = 0xd,
}

/// <summary>Settings identifiers (RFC 9113 6.5.2, RFC 8441 3).</summary>
public enum Http2SettingId : ushort
{
    /// <summary>SETTINGS_HEADER_TABLE_SIZE.</summary>
    HeaderTableSize = 0x1,
    /// <summary>SETTINGS_ENABLE_PUSH.</summary>
    EnablePush = 0x2,
    /// <summary>SETTINGS_MAX_CONCURRENT_STREAMS.</summary>
    MaxConcurrentStreams = 0x3,
    /// <summary>SETTINGS_INITIAL_WINDOW_SIZE.</summary>
    InitialWindowSize = 0x4,
    /// <summary>SETTINGS_MAX_FRAME_SIZE.</summary>
    MaxFrameSize = 0x5,
    /// <summary>SETTINGS_MAX_HEADER_LIST_SIZE.</summary>
    MaxHeaderListSize = 0x6,
    /// <summary>SETTINGS_ENABLE_CONNECT_PROTOCOL.</summary>
    EnableConnectProtocol = 0x8,
}

/// <summary>A frame header.</summary>
/// <param name="Length">Bytes of payload, 0 to 2^24 - 1.</param>
/// <param name="Type">Type.</param>
/// <param name="Flags">Flags.</param>
/// <param name="StreamId">Stream, 0 for the connection; the reserved bit is dropped.</param>
public readonly record struct Http2FrameHeader(int Length, Http2FrameType Type, Http2Flags Flags, int StreamId)
{
    /// <summary>Bytes of a frame header.</summary>
    public const int Size = 9;

    /// <summary>What a client sends first (RFC 9113 3.4), 24 bytes.</summary>
    public static ReadOnlySpan<byte> Preface => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8;

    /// <summary>END_STREAM on DATA or HEADERS.</summary>
    public bool EndStream => (Flags & Http2Flags.EndStream) != 0;

    /// <summary>ACK on SETTINGS or PING.</summary>
    public bool Ack => (Flags & Http2Flags.Ack) != 0;

    /// <summary>END_HEADERS.</summary>
    public bool EndHeaders => (Flags & Http2Flags.EndHeaders) != 0;

    /// <summary>PADDED.</summary>
    public bool Padded => (Flags & Http2Flags.Padded) != 0;

    /// <summary>Reads at least <see cref="Size"/> bytes.</summary>
    public static Http2FrameHeader Read(ReadOnlySpan<byte> bytes)
    {
        ulong first = BinaryPrimitives.ReadUInt64BigEndian(bytes);
        uint stream = (uint)(first << 8 | bytes[8]) & 0x7fff_ffff;
        return new Http2FrameHeader((int)(first >> 40), (Http2FrameType)(first >> 32), (Http2Flags)(first >> 24), (int)stream);
    }

    /// <summary>Writes <see cref="Size"/> bytes.</summary>
    public static void Write(Span<byte> destination, int length, Http2FrameType type, Http2Flags flags, int streamId)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)length << 8 | (byte)type);
        destination[4] = (byte)flags;
        BinaryPrimitives.WriteInt32BigEndian(destination[5..], streamId);
    }
}
