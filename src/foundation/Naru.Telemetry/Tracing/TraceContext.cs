// Which span a request belongs to, as headers say it: B3 in one header or several (openzipkin/b3-propagation), and traceparent (W3C Trace
// Context). Headers of strangers are read strictly: what is not written as the standards have it is none.
using System.Buffers.Binary;
using System.Buffers.Text;

namespace Naru.Telemetry;

/// <summary>What was found in headers.</summary>
public enum TraceFound : byte
{
    /// <summary>Nothing.</summary>
    None,
    /// <summary>A span.</summary>
    Span,
    /// <summary>Something that is none: no span is made, and what came goes on as it is.</summary>
    Malformed,
}

/// <summary>A span's ids, and whether it is recorded.</summary>
public record struct TraceContext
{
    /// <summary>The upper half of the trace's id; 0 of one of 64 bits.</summary>
    public ulong High { get; set; }

    /// <summary>The lower half.</summary>
    public ulong Low { get; set; }

    /// <summary>The span's.</summary>
    public ulong Span { get; set; }

    /// <summary>That of the span above; 0 for none.</summary>
    public ulong Parent { get; set; }

    /// <summary>It is recorded.</summary>
    public bool IsSampled { get; set; }

    /// <summary>The span above is another program's.</summary>
    public bool HasRemoteParent { get; set; }

    /// <summary>It came in the one header <c>b3</c>, and goes on in it.</summary>
    public bool IsSingle { get; set; }

    /// <summary>There is one.</summary>
    public readonly bool IsKnown => Span != 0;

    /// <summary>A span below this one.</summary>
    /// <param name="id">Its id.</param>
    public readonly TraceContext Below(ulong id) => this with { Span = id, Parent = Span, HasRemoteParent = false };

    /// <summary>Longest id of a trace in digits.</summary>
    public const int MostTraceId = 32;

    /// <summary>Bytes of a <c>traceparent</c>.</summary>
    public const int ParentLength = 55;

    /// <summary>Bytes of the longest <c>b3</c>.</summary>
    public const int MostSingle = 68;

    /// <summary>Reads <c>traceparent</c> (W3C Trace Context 3.2).</summary>
    public static TraceFound ReadParent(ReadOnlySpan<byte> text, out TraceContext context)
    {
        context = default;
        if (text.Length != ParentLength || text[2] != '-' || text[35] != '-' || text[52] != '-') return TraceFound.Malformed;
        if (!TryHex(text[..2], out ulong version) || version == 0xff || !TryHex(text[3..19], out ulong high) || !TryHex(text[19..35],
            out ulong low)
            || !TryHex(text[36..52], out ulong span) || !TryHex(text[53..], out ulong flags)) return TraceFound.Malformed;
        if ((high | low) == 0 || span == 0) return TraceFound.Malformed;
        context = new TraceContext { High = high, Low = low, Span = span, IsSampled = (flags & 1) != 0 };
        return TraceFound.Span;
    }

    /// <summary>Reads <c>b3</c>.</summary>
    /// <param name="text">Its value.</param>
    /// <param name="context">The span.</param>
    /// <param name="sampled">What it says of whether the trace is recorded; null for nothing.</param>
    public static TraceFound ReadSingle(ReadOnlySpan<byte> text, out TraceContext context, out bool? sampled)
    {
        context = default;
        sampled = null;
        if (text.Length == 1)
        {
            sampled = Sampled(text[0]);
            return sampled is null ? TraceFound.Malformed : TraceFound.None;
        }
        int trace = text.Length > 32 && text[32] == '-' ? 32 : 16;
        if (text.Length is < 33 or > MostSingle || text.Length < trace + 17 || text[trace] != '-') return TraceFound.Malformed;
        ulong high = 0;
        if ((trace == 32 && !TryHex(text[..16], out high)) || !TryHex(text[(trace - 16)..trace], out ulong low)
            || !TryHex(text.Slice(trace + 1, 16), out ulong span)) return TraceFound.Malformed;
        ReadOnlySpan<byte> rest = text[(trace + 17)..];
        ulong parent = 0;
        if (rest.Length > 0)
        {
            if (rest.Length is not (2 or 19) || rest[0] != '-' || (sampled = Sampled(rest[1])) is null) return TraceFound.Malformed;
            if (rest.Length == 19 && (rest[2] != '-' || !TryHex(rest[3..], out parent))) return TraceFound.Malformed;
        }
        if ((high | low) == 0 || span == 0) return TraceFound.Malformed;
        context = new TraceContext { High = high, Low = low, Span = span, Parent = parent, IsSingle = true };
        return TraceFound.Span;
    }

    /// <summary>Reads <c>x-b3-traceid</c>, <c>x-b3-spanid</c> and <c>x-b3-parentspanid</c>, of which the last may be empty.</summary>
    public static TraceFound ReadSeveral(ReadOnlySpan<byte> trace, ReadOnlySpan<byte> span, ReadOnlySpan<byte> parent,
        out TraceContext context)
    {
        context = default;
        ulong high = 0, parentId = 0;
        bool isLong = trace.Length == 32;
        if ((isLong && !TryHex(trace[..16], out high)) || !TryHex(isLong ? trace[16..] : trace, out ulong low) || !TryHex(span,
            out ulong spanId)
            || (parent.Length > 0 && !TryHex(parent, out parentId)) || (high | low) == 0 || spanId == 0) return TraceFound.Malformed;
        context = new TraceContext { High = high, Low = low, Span = spanId, Parent = parentId };
        return TraceFound.Span;
    }

    /// <summary>Writes <c>traceparent</c>.</summary>
    public readonly int WriteParent(Span<byte> into)
    {
        "00-"u8.CopyTo(into);
        Hex(High, into[3..]);
        Hex(Low, into[19..]);
        into[35] = (byte)'-';
        Hex(Span, into[36..]);
        "-00"u8.CopyTo(into[52..]);
        if (IsSampled) into[54] = (byte)'1';
        return ParentLength;
    }

    /// <summary>Writes the trace's id: 16 digits or 32.</summary>
    /// <param name="into">Where to.</param>
    /// <param name="isLong">32 in any case.</param>
    public readonly int WriteTrace(Span<byte> into, bool isLong = false)
    {
        int at = 0;
        if (High != 0 || isLong)
        {
            Hex(High, into);
            at = 16;
        }
        Hex(Low, into[at..]);
        return at + 16;
    }

    /// <summary>Writes <c>b3</c>.</summary>
    public readonly int WriteSingle(Span<byte> into)
    {
        int at = WriteTrace(into);
        into[at++] = (byte)'-';
        Hex(Span, into[at..]);
        at += 16;
        into[at++] = (byte)'-';
        into[at++] = (byte)(IsSampled ? '1' : '0');
        if (Parent == 0) return at;
        into[at++] = (byte)'-';
        Hex(Parent, into[at..]);
        return at + 16;
    }

    /// <summary>Writes an id's 16 digits.</summary>
    public static void Hex(ulong id, Span<byte> into) => Utf8Formatter.TryFormat(id, into, out _, new System.Buffers.StandardFormat('x',
        16));

    /// <summary>Writes the trace's id as bytes.</summary>
    public readonly void WriteTraceBytes(Span<byte> into)
    {
        BinaryPrimitives.WriteUInt64BigEndian(into, High);
        BinaryPrimitives.WriteUInt64BigEndian(into[8..], Low);
    }

    // Of at most 16 digits.
    private static bool TryHex(ReadOnlySpan<byte> text, out ulong value)
    {
        value = 0;
        return text.Length is > 0 and <= 16 && Utf8Parser.TryParse(text, out value, out int used, 'x') && used == text.Length;
    }

    private static bool? Sampled(byte flag) => flag switch { (byte)'1' or (byte)'d' => true, (byte)'0' => false, _ => null };
}
