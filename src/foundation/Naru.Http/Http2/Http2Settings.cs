// SETTINGS of one side (RFC 9113 6.5), with the values that hold before any frame came. Values out of range are errors by name.
using System.Buffers.Binary;

namespace Naru.Http.Http2;

/// <summary>The settings of one side of a connection.</summary>
public struct Http2Settings
{
    /// <summary>Longest legal window, 2^31 - 1.</summary>
    public const int MaxWindow = int.MaxValue;
    /// <summary>Window before any SETTINGS or WINDOW_UPDATE, bytes (RFC 9113 6.9.2).</summary>
    public const int DefaultWindow = 65535;
    /// <summary>Smallest and initial SETTINGS_MAX_FRAME_SIZE, bytes.</summary>
    public const int MinMaxFrameSize = 16384;
    /// <summary>Largest SETTINGS_MAX_FRAME_SIZE, bytes.</summary>
    public const int MaxMaxFrameSize = (1 << 24) - 1;
    /// <summary>Most bytes that <see cref="Write"/> needs: one of each behind a frame header.</summary>
    public const int MaxWritten = Http2FrameHeader.Size + 7 * 6;

    /// <summary>Initial values.</summary>
    public Http2Settings()
    {
    }

    /// <summary>SETTINGS_HEADER_TABLE_SIZE, bytes.</summary>
    public uint HeaderTableSize { get; set; } = 4096;
    /// <summary>SETTINGS_ENABLE_PUSH.</summary>
    public bool EnablePush { get; set; } = true;
    /// <summary>SETTINGS_MAX_CONCURRENT_STREAMS; <see cref="uint.MaxValue"/> is unlimited.</summary>
    public uint MaxConcurrentStreams { get; set; } = uint.MaxValue;
    /// <summary>SETTINGS_INITIAL_WINDOW_SIZE, bytes.</summary>
    public int InitialWindowSize { get; set; } = DefaultWindow;
    /// <summary>SETTINGS_MAX_FRAME_SIZE, bytes.</summary>
    public int MaxFrameSize { get; set; } = MinMaxFrameSize;
    /// <summary>SETTINGS_MAX_HEADER_LIST_SIZE, bytes with 32 for each field; <see cref="uint.MaxValue"/> is unlimited.</summary>
    public uint MaxHeaderListSize { get; set; } = uint.MaxValue;
    /// <summary>SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441).</summary>
    public bool EnableConnectProtocol { get; set; }

    /// <summary>Applies a SETTINGS payload, in order, the later value winning. Unknown identifiers are ignored.</summary>
    /// <param name="payload">A multiple of 6 bytes.</param>
    /// <param name="fromServer">Whether a server sent it: it may not enable push.</param>
    /// <returns>A connection error, or <see cref="Http2ErrorCode.NoError"/>.</returns>
    public Http2ErrorCode Apply(ReadOnlySpan<byte> payload, bool fromServer)
    {
        if (payload.Length % 6 != 0) return Http2ErrorCode.FrameSizeError;
        for (; payload.Length >= 6; payload = payload[6..])
        {
            uint value = BinaryPrimitives.ReadUInt32BigEndian(payload[2..]);
            switch ((Http2SettingId)BinaryPrimitives.ReadUInt16BigEndian(payload))
            {
                case Http2SettingId.HeaderTableSize:
                    HeaderTableSize = value;
                    break;
                case Http2SettingId.EnablePush:
                    if (value > 1 || (fromServer && value == 1)) return Http2ErrorCode.ProtocolError;
                    EnablePush = value == 1;
                    break;
                case Http2SettingId.MaxConcurrentStreams:
                    MaxConcurrentStreams = value;
                    break;
                case Http2SettingId.InitialWindowSize:
                    if (value > MaxWindow) return Http2ErrorCode.FlowControlError;
                    InitialWindowSize = (int)value;
                    break;
                case Http2SettingId.MaxFrameSize:
                    if (value is < MinMaxFrameSize or > MaxMaxFrameSize) return Http2ErrorCode.ProtocolError;
                    MaxFrameSize = (int)value;
                    break;
                case Http2SettingId.MaxHeaderListSize:
                    MaxHeaderListSize = value;
                    break;
                case Http2SettingId.EnableConnectProtocol:
                    // Once on it stays on (RFC 8441 3).
                    if (value > 1 || (value == 0 && EnableConnectProtocol)) return Http2ErrorCode.ProtocolError;
                    EnableConnectProtocol = value == 1;
                    break;
            }
        }
        return Http2ErrorCode.NoError;
    }

    /// <summary>Writes a SETTINGS frame with everything that differs from the initial values, at most <see cref="MaxWritten"/> bytes.</summary>
    /// <returns>Bytes written.</returns>
    public readonly int Write(Span<byte> destination)
    {
        var initial = new Http2Settings();
        int at = Http2FrameHeader.Size;
        if (HeaderTableSize != initial.HeaderTableSize) Put(destination, ref at, Http2SettingId.HeaderTableSize, HeaderTableSize);
        if (EnablePush != initial.EnablePush) Put(destination, ref at, Http2SettingId.EnablePush, 0);
        if (MaxConcurrentStreams != initial.MaxConcurrentStreams) Put(destination, ref at, Http2SettingId.MaxConcurrentStreams, MaxConcurrentStreams);
        if (InitialWindowSize != initial.InitialWindowSize) Put(destination, ref at, Http2SettingId.InitialWindowSize, (uint)InitialWindowSize);
        if (MaxFrameSize != initial.MaxFrameSize) Put(destination, ref at, Http2SettingId.MaxFrameSize, (uint)MaxFrameSize);
        if (MaxHeaderListSize != initial.MaxHeaderListSize) Put(destination, ref at, Http2SettingId.MaxHeaderListSize, MaxHeaderListSize);
        if (EnableConnectProtocol) Put(destination, ref at, Http2SettingId.EnableConnectProtocol, 1);
        Http2FrameHeader.Write(destination, at - Http2FrameHeader.Size, Http2FrameType.Settings, Http2Flags.None, 0);
        return at;
    }

    private static void Put(Span<byte> destination, ref int at, Http2SettingId id, uint value)
    {
        BinaryPrimitives.WriteUInt16BigEndian(destination[at..], (ushort)id);
        BinaryPrimitives.WriteUInt32BigEndian(destination[(at + 2)..], value);
        at += 6;
    }
}
