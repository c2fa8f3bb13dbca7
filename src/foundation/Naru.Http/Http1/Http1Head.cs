// One HTTP/1 message head (or trailer section), parsed line by line as bytes arrive. No sockets, no allocation once made.
// Strict: what RFC 9112 lets a recipient repair (bare LF, folding, blanks around the colon) is refused, since two parsers
// that repair differently are how requests get smuggled.
using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Headers;

namespace Naru.Http.Http1;

/// <summary>How far a head has come.</summary>
public enum HeadStatus
{
    /// <summary>More bytes are wanted.</summary>
    Incomplete,
    /// <summary>The empty line was seen; <see cref="Http1Head.Length"/> bytes belong to the head.</summary>
    Complete,
    /// <summary>Refused; see <see cref="Http1Head.Error"/>.</summary>
    Refused,
}

/// <summary>A field line: offsets from the first byte of the head. The line runs to <see cref="ValueEnd"/> plus blanks and CRLF.</summary>
public struct HeaderField
{
    /// <summary>Offset of the name, which is also that of the line.</summary>
    public int NameStart;
    /// <summary>Offset of the first byte of the next line.</summary>
    public int LineEnd;
    /// <summary>Offset of the value, blanks trimmed.</summary>
    public int ValueStart;
    /// <summary>Length of the value, blanks trimmed.</summary>
    public int ValueLength;
    /// <summary>Length of the name.</summary>
    public ushort NameLength;
    /// <summary>What the name means.</summary>
    public KnownHeader Id;

    /// <summary>Offset behind the value.</summary>
    public readonly int ValueEnd => ValueStart + ValueLength;
}

/// <summary>A reusable parsed head. Feed it the same growing bytes until it is complete; offsets stay valid when bytes move.</summary>
public sealed class Http1Head
{
    private static readonly SearchValues<byte> TokenBytes =
        SearchValues.Create("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

    // What no field value may hold: controls but HTAB, and DEL (RFC 9110 5.5).
    private static readonly SearchValues<byte> BadValueBytes = SearchValues.Create(
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127]);

    private enum Phase { StartLine, Fields, Done }

    private HeaderField[] _fields = new HeaderField[24];
    private Phase _phase;
    private bool _response;
    private int _scanned;
    private int _lineStart;
    // Lower-case names, each behind its length.
    private byte[] _neverIndexed = [];
    private int _neverIndexedLength;

    /// <summary>Fields in order.</summary>
    public ReadOnlySpan<HeaderField> Fields => _fields.AsSpan(0, Count);

    /// <summary>How many fields there are.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of the head, the empty line included; valid when complete.</summary>
    public int Length { get; private set; }

    /// <summary>Why it was refused.</summary>
    public Http1Error Error { get; private set; }

    /// <summary>Offset of the method (blank lines before it are skipped).</summary>
    public int MethodStart { get; private set; }
    /// <summary>Length of the method.</summary>
    public int MethodLength { get; private set; }
    /// <summary>Offset of the request target.</summary>
    public int TargetStart { get; private set; }
    /// <summary>Length of the request target.</summary>
    public int TargetLength { get; private set; }
    /// <summary>0 for HTTP/1.0, 1 for HTTP/1.1.</summary>
    public int Minor { get; private set; }
    /// <summary>Status code of a response.</summary>
    public int Status { get; private set; }
    /// <summary>Offset of the reason phrase.</summary>
    public int ReasonStart { get; private set; }
    /// <summary>Length of the reason phrase.</summary>
    public int ReasonLength { get; private set; }
    /// <summary>Offset of the first field line.</summary>
    public int FieldsStart { get; private set; }

    /// <summary>Starts a request head.</summary>
    public void StartRequest() => Reset(Phase.StartLine, response: false);

    /// <summary>Starts a response head.</summary>
    public void StartResponse() => Reset(Phase.StartLine, response: true);

    /// <summary>Starts a trailer section: fields only.</summary>
    public void StartTrailers() => Reset(Phase.Fields, response: false);

    private void Reset(Phase phase, bool response)
    {
        _phase = phase;
        _response = response;
        _scanned = _lineStart = 0;
        Count = 0;
        Length = 0;
        Error = Http1Error.None;
        MethodStart = MethodLength = TargetStart = TargetLength = 0;
        Minor = Status = ReasonStart = ReasonLength = FieldsStart = _neverIndexedLength = 0;
    }

    /// <summary>Whether fields are marked so: whoever sends the head on over HTTP/2 has to keep the mark (RFC 7541 6.2.3).</summary>
    public bool HasNeverIndexed => _neverIndexedLength > 0;

    /// <summary>Marks every field of this lower-case name as one that must enter no table: it came as a never-indexed literal.</summary>
    public void MarkNeverIndexed(ReadOnlySpan<byte> name)
    {
        if (name.Length > byte.MaxValue || IsNeverIndexed(name)) return;
        int end = _neverIndexedLength + 1 + name.Length;
        if (_neverIndexed.Length < end) Array.Resize(ref _neverIndexed, Math.Max(64, end * 2));
        _neverIndexed[_neverIndexedLength] = (byte)name.Length;
        name.CopyTo(_neverIndexed.AsSpan(_neverIndexedLength + 1));
        _neverIndexedLength = end;
    }

    /// <summary>Whether fields of a name are marked. Of names beyond 255 bytes no list is kept: where any field is marked, they are.</summary>
    public bool IsNeverIndexed(ReadOnlySpan<byte> name)
    {
        if (_neverIndexedLength == 0) return false;
        if (name.Length > byte.MaxValue) return true;
        for (int at = 0; at < _neverIndexedLength; at += 1 + _neverIndexed[at])
            if (_neverIndexed[at] == name.Length && Ascii.EqualsIgnoreCase(name, _neverIndexed.AsSpan(at + 1, name.Length))) return true;
        return false;
    }

    /// <summary>Parses what has arrived. <paramref name="bytes"/> begins at the head's first byte each time and only grows.</summary>
    public HeadStatus Parse(ReadOnlySpan<byte> bytes, int maxBytes, int maxFields)
    {
        if (_phase == Phase.Done) return HeadStatus.Complete;
        while (true)
        {
            int lf = bytes[_scanned..].IndexOf((byte)'\n');
            if (lf < 0)
            {
                _scanned = bytes.Length;
                if (bytes.Length >= maxBytes)
                    return Refuse(_phase == Phase.StartLine ? Http1Error.StartLineTooLong : Http1Error.HeadTooLarge);
                return HeadStatus.Incomplete;
            }
            int end = _scanned + lf;
            if (end >= maxBytes) return Refuse(_phase == Phase.StartLine ? Http1Error.StartLineTooLong : Http1Error.HeadTooLarge);
            if (end == _lineStart || bytes[end - 1] != '\r') return Refuse(Http1Error.LineEnding);
            _scanned = end + 1;
            int length = end - 1 - _lineStart;

            if (_phase == Phase.StartLine)
            {
                // One empty line before a request is forgiven (RFC 9112 2.2), no more.
                if (length == 0 && !_response && _lineStart == 0)
                {
                    _lineStart = _scanned;
                    continue;
                }
                Http1Error error = _response ? StatusLine(bytes, _lineStart, length) : RequestLine(bytes, _lineStart, length);
                if (error != Http1Error.None) return Refuse(error);
                FieldsStart = _scanned;
                _phase = Phase.Fields;
            }
            else if (length == 0)
            {
                Length = _scanned;
                _phase = Phase.Done;
                return HeadStatus.Complete;
            }
            else
            {
                if (Count == maxFields) return Refuse(Http1Error.TooManyFields);
                Http1Error error = FieldLine(bytes.Slice(_lineStart, length), _lineStart, _scanned);
                if (error != Http1Error.None) return Refuse(error);
            }
            _lineStart = _scanned;
        }
    }

    /// <summary>Starts a head that is put together from decoded fields (HTTP/2) instead of parsed: the bytes it speaks of are laid out
    /// as HTTP/1 would have them, so that whoever reads heads need not know what a peer speaks.</summary>
    public void StartBuilt()
    {
        Reset(Phase.Done, response: false);
        Minor = 1;
    }

    /// <summary>Sets the parts of a built request's first line, as offsets.</summary>
    public void BuiltRequest(int methodStart, int methodLength, int targetStart, int targetLength, int fieldsStart) =>
        (MethodStart, MethodLength, TargetStart, TargetLength, FieldsStart) = (methodStart, methodLength, targetStart, targetLength, fieldsStart);

    /// <summary>Sets the parts of a built response's first line; it has no reason phrase.</summary>
    public void BuiltResponse(int status, int fieldsStart) => (Status, ReasonStart, FieldsStart) = (status, fieldsStart, fieldsStart);

    /// <summary>Adds a field whose line <c>name: value CRLF</c> starts at an offset.</summary>
    public void BuiltField(int start, int nameLength, int valueLength, KnownHeader id)
    {
        if (Count == _fields.Length) Array.Resize(ref _fields, _fields.Length * 2);
        ref HeaderField field = ref _fields[Count++];
        field.NameStart = start;
        field.NameLength = (ushort)nameLength;
        field.ValueStart = start + nameLength + 2;
        field.ValueLength = valueLength;
        field.LineEnd = field.ValueStart + valueLength + 2;
        field.Id = id;
    }

    /// <summary>Takes the fields out whose names hold an underscore; what stands before them moves up, so that the head ends where it
    /// did. By how many bytes its beginning moved.</summary>
    public int RemoveUnderscored(Span<byte> bytes) => Remove(bytes, [], static (name, _) => name.Contains((byte)'_'));

    /// <summary>The same with fields of these lower-case names.</summary>
    public int RemoveNamed(Span<byte> bytes, byte[][] names) => Remove(bytes, names, static (name, names) =>
    {
        foreach (byte[] one in names) if (Ascii.EqualsIgnoreCase(name, one)) return true;
        return false;
    });

    private int Remove(Span<byte> bytes, byte[][] names, Func<ReadOnlySpan<byte>, byte[][], bool> goes)
    {
        int to = Length, end = Length;
        for (int i = Count - 1; i >= 0; i--)
        {
            ref HeaderField field = ref _fields[i];
            if (!goes(Name(bytes, field), names)) continue;
            int behind = end - field.LineEnd;
            bytes.Slice(field.LineEnd, behind).CopyTo(bytes[(to - behind)..]);
            to -= behind;
            end = field.NameStart;
            field.NameLength = 0;
        }
        if (end == Length) return 0;
        bytes[..end].CopyTo(bytes[(to - end)..]);
        int kept = 0, removed = 0;
        for (int i = 0; i < Count; i++)
        {
            HeaderField field = _fields[i];
            if (field.NameLength == 0)
            {
                removed += field.LineEnd - field.NameStart;
                continue;
            }
            field.NameStart -= removed;
            field.ValueStart -= removed;
            field.LineEnd -= removed;
            _fields[kept++] = field;
        }
        Count = kept;
        Length -= removed;
        return removed;
    }

    /// <summary>A built head is refused: it stays without length.</summary>
    public void BuiltRefused(Http1Error error) => Error = error;

    /// <summary>Ends a built head; <paramref name="length"/> is that of all its bytes, the empty line included.</summary>
    public void BuiltEnd(int length) => Length = length;

    private HeadStatus Refuse(Http1Error error)
    {
        Error = error;
        return HeadStatus.Refused;
    }

    private Http1Error RequestLine(ReadOnlySpan<byte> bytes, int start, int length)
    {
        ReadOnlySpan<byte> line = bytes.Slice(start, length);
        int method = line.IndexOfAnyExcept(TokenBytes);
        if (method <= 0 || line[method] != ' ') return Http1Error.StartLine;
        ReadOnlySpan<byte> rest = line[(method + 1)..];
        // Visible ASCII only: a second blank, a control or a raw byte above 127 is not part of a target.
        int target = rest.IndexOfAnyExceptInRange((byte)0x21, (byte)0x7e);
        if (target <= 0 || rest[target] != ' ') return target < 0 ? Http1Error.Version : Http1Error.StartLine;
        ReadOnlySpan<byte> version = rest[(target + 1)..];
        if (version.SequenceEqual("HTTP/1.1"u8)) Minor = 1;
        else if (version.SequenceEqual("HTTP/1.0"u8)) Minor = 0;
        else return version.StartsWith("HTTP/"u8) && version.Length == 8 ? Http1Error.Version : Http1Error.StartLine;
        MethodStart = start;
        MethodLength = method;
        TargetStart = start + method + 1;
        TargetLength = target;
        return Http1Error.None;
    }

    private Http1Error StatusLine(ReadOnlySpan<byte> bytes, int start, int length)
    {
        ReadOnlySpan<byte> line = bytes.Slice(start, length);
        if (line.Length < 12 || !line.StartsWith("HTTP/1."u8)) return Http1Error.StartLine;
        if (line[7] is not ((byte)'0' or (byte)'1') || line[8] != ' ') return Http1Error.Version;
        Minor = line[7] - '0';
        int status = 0;
        for (int i = 9; i < 12; i++)
        {
            if (!char.IsAsciiDigit((char)line[i])) return Http1Error.StartLine;
            status = status * 10 + line[i] - '0';
        }
        if (status < 100 || (line.Length > 12 && line[12] != ' ')) return Http1Error.StartLine;
        Status = status;
        ReasonStart = start + Math.Min(13, line.Length);
        ReasonLength = Math.Max(0, line.Length - 13);
        return line[Math.Min(13, line.Length)..].IndexOfAny(BadValueBytes) >= 0 ? Http1Error.StartLine : Http1Error.None;
    }

    private Http1Error FieldLine(ReadOnlySpan<byte> line, int start, int lineEnd)
    {
        int colon = line.IndexOfAnyExcept(TokenBytes);
        if (colon <= 0 || line[colon] != ':' || colon > ushort.MaxValue) return Http1Error.FieldLine;
        int from = colon + 1;
        int to = line.Length;
        while (from < to && line[from] is (byte)' ' or (byte)'\t') from++;
        while (to > from && line[to - 1] is (byte)' ' or (byte)'\t') to--;
        if (line[from..to].IndexOfAny(BadValueBytes) >= 0) return Http1Error.FieldValue;

        if (Count == _fields.Length) Array.Resize(ref _fields, _fields.Length * 2);
        ref HeaderField field = ref _fields[Count++];
        field.NameStart = start;
        field.NameLength = (ushort)colon;
        field.ValueStart = start + from;
        field.ValueLength = to - from;
        field.LineEnd = lineEnd;
        field.Id = KnownHeaders.Of(line[..colon]);
        return Http1Error.None;
    }

    /// <summary>The name of a field within the head's bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ReadOnlySpan<byte> Name(ReadOnlySpan<byte> bytes, in HeaderField field) => bytes.Slice(field.NameStart, field.NameLength);

    /// <summary>The value of a field within the head's bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ReadOnlySpan<byte> Value(ReadOnlySpan<byte> bytes, in HeaderField field) => bytes.Slice(field.ValueStart, field.ValueLength);

    /// <summary>Index of the first field with this name at or after <paramref name="from"/>, or -1.</summary>
    public int IndexOf(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> lowerName, int from = 0)
    {
        for (int i = from; i < Count; i++)
        {
            ref HeaderField field = ref _fields[i];
            if (field.NameLength == lowerName.Length && Ascii.EqualsIgnoreCase(bytes.Slice(field.NameStart, field.NameLength), lowerName)) return i;
        }
        return -1;
    }

    /// <summary>Whether bytes form a token (RFC 9110 5.6.2).</summary>
    public static bool IsToken(ReadOnlySpan<byte> bytes) => bytes.Length > 0 && bytes.IndexOfAnyExcept(TokenBytes) < 0;

    /// <summary>Whether bytes may stand in a field value.</summary>
    public static bool IsFieldValue(ReadOnlySpan<byte> bytes) => bytes.IndexOfAny(BadValueBytes) < 0;
}
