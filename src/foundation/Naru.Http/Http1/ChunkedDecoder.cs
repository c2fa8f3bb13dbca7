// Takes chunked framing apart (RFC 9112 7.1) without owning bytes: says which of them are data and how many are used up.
// Chunk extensions are read and dropped; a line of framing longer than a limit, a bare LF or a stray CR ends the message.
namespace Naru.Http.Http1;

/// <summary>What <see cref="ChunkedDecoder.Next"/> found.</summary>
public enum ChunkEvent
{
    /// <summary>More bytes are wanted.</summary>
    NeedMore,
    /// <summary>Body bytes.</summary>
    Data,
    /// <summary>The last chunk was seen; what follows is the trailer section (fields and the empty line).</summary>
    Trailers,
    /// <summary>Broken framing.</summary>
    Refused,
}

/// <summary>State of one chunked body. The zero value is a fresh one.</summary>
public struct ChunkedDecoder
{
    private const int MaxFramingLine = 256;

    private enum State : byte { Size, Extension, SizeLf, Data, DataCr, DataLf }

    private State _state;
    private int _digits;
    private int _lineBytes;

    /// <summary>Bytes left of the current chunk.</summary>
    public long Remaining { get; private set; }

    /// <summary>How many of the next bytes are body for certain; 0 inside of framing.</summary>
    public readonly long Ahead => _state == State.Data ? Remaining : 0;

    /// <summary>Looks at <paramref name="input"/>; <paramref name="consumed"/> bytes are done with, of which the last
    /// <paramref name="data"/> are body when the answer is <see cref="ChunkEvent.Data"/>.</summary>
    public ChunkEvent Next(ReadOnlySpan<byte> input, out int consumed, out int data)
    {
        int i = 0;
        data = 0;
        while (i < input.Length)
        {
            if (_state == State.Data)
            {
                data = (int)Math.Min(Remaining, input.Length - i);
                Remaining -= data;
                if (Remaining == 0) _state = State.DataCr;
                consumed = i + data;
                return ChunkEvent.Data;
            }

            byte b = input[i++];
            if (++_lineBytes > MaxFramingLine)
            {
                consumed = i;
                return ChunkEvent.Refused;
            }
            switch (_state)
            {
                case State.Size:
                    int digit = HexDigit(b);
                    if (digit >= 0)
                    {
                        // 15 digits keep the number within 60 bits.
                        if (++_digits > 15) { consumed = i; return ChunkEvent.Refused; }
                        Remaining = (Remaining << 4) | (uint)digit;
                        break;
                    }
                    if (_digits == 0) { consumed = i; return ChunkEvent.Refused; }
                    if (b == '\r') _state = State.SizeLf;
                    else if (b == ';') _state = State.Extension;
                    else { consumed = i; return ChunkEvent.Refused; }
                    break;
                case State.Extension:
                    if (b == '\r') _state = State.SizeLf;
                    else if (b is < 0x20 and not (byte)'\t' or 0x7f) { consumed = i; return ChunkEvent.Refused; }
                    break;
                case State.SizeLf:
                    if (b != '\n') { consumed = i; return ChunkEvent.Refused; }
                    _digits = _lineBytes = 0;
                    if (Remaining == 0)
                    {
                        _state = State.Size;
                        consumed = i;
                        return ChunkEvent.Trailers;
                    }
                    _state = State.Data;
                    break;
                case State.DataCr:
                    if (b != '\r') { consumed = i; return ChunkEvent.Refused; }
                    _state = State.DataLf;
                    break;
                case State.DataLf:
                    if (b != '\n') { consumed = i; return ChunkEvent.Refused; }
                    _lineBytes = 0;
                    _state = State.Size;
                    break;
            }
        }
        consumed = i;
        return ChunkEvent.NeedMore;
    }

    private static int HexDigit(byte b) => b switch
    {
        >= (byte)'0' and <= (byte)'9' => b - '0',
        >= (byte)'a' and <= (byte)'f' => b - 'a' + 10,
        >= (byte)'A' and <= (byte)'F' => b - 'A' + 10,
        _ => -1,
    };
}
