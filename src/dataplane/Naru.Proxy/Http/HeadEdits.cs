// The fields of one message as everything behind the parser sees them: the lines that came in less those taken out, then those added.
// Routing, formats, filters and writers read a head through it; whoever changes a head changes it here, in the order of the changes.
// It owns its bytes and keeps them for the next message, so that a warm exchange allocates nothing.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

/// <summary>Changes over a parsed head. A field is known by its index: parsed ones come first, added ones follow; an index stays valid until
/// <see cref="Clear"/>. Names are given in lower case, values without line ends. How a message is framed is no matter of its fields here:
/// <c>content-length</c>, <c>transfer-encoding</c> and what belongs to a connection can neither be added nor taken out.</summary>
internal abstract class HeadEdits
{
    // More than this is not kept for the next message.
    private const int KeepBytes = 16 * 1024;

    private HeaderField[] _added = new HeaderField[16];
    private byte[] _lines = new byte[1024];
    private ulong[] _dropped = new ulong[2];
    private int _count, _length;
    private bool _addedDropped;

    // Added fields from here on are staged: nobody sees them before the commit.
    private int _visible;
    private bool[] _overwrites = new bool[16];

    /// <summary>The parsed head under it.</summary>
    protected abstract Http1Head Head { get; }

    /// <summary>The parsed head's bytes.</summary>
    protected abstract ReadOnlySpan<byte> Bytes { get; }

    /// <summary>Whether several values of a name are one line (Envoy: headers it knows inline), as against a line each.</summary>
    protected abstract bool Joins(ReadOnlySpan<byte> name);

    /// <summary>Any parsed field was taken out.</summary>
    public bool AnyDropped { get; private set; }

    /// <summary>Bytes of the added lines; what <see cref="CopyAdded"/> needs room for.</summary>
    public int AddedBytes => _length;

    /// <summary>Forgets all changes.</summary>
    public void Clear()
    {
        if (AnyDropped) Array.Clear(_dropped);
        AnyDropped = _addedDropped = false;
        _count = _visible = _length = 0;
        if (_lines.Length > KeepBytes) _lines = new byte[1024];
    }

    /// <summary>Index of the first field at or after <paramref name="from"/>, or -1.</summary>
    public int Next(int from = 0)
    {
        int parsed = Head.Count;
        for (int i = from; i < parsed; i++) if (!IsDropped(i)) return i;
        for (int i = Math.Max(from - parsed, 0); i < _visible; i++) if (_added[i].NameLength > 0) return parsed + i;
        return -1;
    }

    /// <summary>Index of the first field of this name at or after <paramref name="from"/>, or -1.</summary>
    public int Next(ReadOnlySpan<byte> name, int from = 0)
    {
        int parsed = Head.Count;
        if (from < parsed)
        {
            ReadOnlySpan<byte> bytes = Bytes;
            for (int i = Head.IndexOf(bytes, name, from); i >= 0; i = Head.IndexOf(bytes, name, i + 1)) if (!IsDropped(i)) return i;
        }
        for (int i = Math.Max(from - parsed, 0); i < _visible; i++) if (IsNamed(i, name)) return parsed + i;
        return -1;
    }

    /// <summary>The same by what the name means.</summary>
    public int Next(KnownHeader id, int from = 0)
    {
        ReadOnlySpan<HeaderField> fields = Head.Fields;
        for (int i = from; i < fields.Length; i++) if (fields[i].Id == id && !IsDropped(i)) return i;
        for (int i = Math.Max(from - fields.Length, 0); i < _visible; i++) if (_added[i].Id == id && _added[i].NameLength > 0) return fields.Length + i;
        return -1;
    }

    /// <summary>The name of a field, in the letter case in which it came.</summary>
    public ReadOnlySpan<byte> Name(int index) =>
        index < Head.Count ? Http1Head.Name(Bytes, Head.Fields[index]) : Http1Head.Name(_lines, _added[index - Head.Count]);

    /// <summary>The value of a field; valid until the next change.</summary>
    public ReadOnlySpan<byte> Value(int index) =>
        index < Head.Count ? Http1Head.Value(Bytes, Head.Fields[index]) : Http1Head.Value(_lines, _added[index - Head.Count]);

    /// <summary>What the name of a field means.</summary>
    public KnownHeader Id(int index) => index < Head.Count ? Head.Fields[index].Id : _added[index - Head.Count].Id;

    /// <summary>The first value of a name, or that of a pseudo header.</summary>
    public bool TryGet(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        if (IsPseudo(name)) return TryGetPseudo(name, out value);
        int index = Next(name);
        value = index < 0 ? default : Value(index);
        return index >= 0;
    }

    /// <summary>Whether there is a field of this name.</summary>
    public bool Has(ReadOnlySpan<byte> name) => TryGet(name, out _);

    /// <summary>Whether there is a field with this meaning.</summary>
    public bool Has(KnownHeader id) => Next(id) >= 0;

    /// <summary>Whether a parsed field was taken out.</summary>
    public bool IsDropped(int parsed) => AnyDropped && (uint)(parsed >> 6) < (uint)_dropped.Length && (_dropped[parsed >> 6] & (1UL << parsed)) != 0;

    /// <summary>Takes one field out.</summary>
    public void Drop(int index)
    {
        int parsed = Head.Count;
        if (index >= parsed)
        {
            _added[index - parsed].NameLength = 0;
            _addedDropped = true;
            return;
        }
        if (IsFraming(Head.Fields[index].Id)) return;
        if (index >> 6 >= _dropped.Length) Array.Resize(ref _dropped, (index >> 6) + 1);
        _dropped[index >> 6] |= 1UL << index;
        AnyDropped = true;
    }

    /// <summary>Takes all fields of a name out: how many there were.</summary>
    public int Remove(ReadOnlySpan<byte> name)
    {
        if (IsPseudo(name)) return 0;
        int removed = 0;
        for (int i = Next(name); i >= 0; i = Next(name, i + 1), removed++) Drop(i);
        return removed;
    }

    /// <summary>Adds a line, whatever there is. False where no field may be so, and nothing was added.</summary>
    public bool Add(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value)
    {
        if (!AddLine(name, value)) return false;
        _visible = _count;
        return true;
    }

    /// <summary>Adds a line of our own making, whose name and value need no look.</summary>
    public void AddOwn(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, KnownHeader id)
    {
        Line(name, value, id);
        _visible = _count;
    }

    /// <summary>Adds a value: a known name's becomes part of the line that there is, others get a line of their own (Envoy:
    /// APPEND_IF_EXISTS_OR_ADD).</summary>
    public bool Append(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value)
    {
        if (IsPseudo(name)) return SetPseudo(name, value);
        return Joins(name) && Next(name) >= 0 ? Join(name, value, Separator(name)) : Add(name, value);
    }

    /// <summary>All values of a name become one line, and one more behind them; an empty one is none. Without a field of that name the
    /// line is the value.</summary>
    public bool Join(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, scoped ReadOnlySpan<byte> separator) =>
        JoinInto(name, value, separator, _visible);

    /// <summary>One line in the place of all of a name (Envoy: OVERWRITE_IF_EXISTS_OR_ADD). A pseudo header of a request, or <c>host</c>, is changed.
    /// False where the value may not stand in a head: then there is none of that name, for what was there is not what was meant.</summary>
    public bool Set(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value)
    {
        if (IsPseudo(name)) return SetPseudo(name, value);
        int before = _visible;
        if (!Add(name, value))
        {
            Remove(name);
            return false;
        }
        int last = Head.Count + _visible - 1;
        if (before > 0 || Head.Count > 0) for (int i = Next(name); i >= 0 && i < last; i = Next(name, i + 1)) Drop(i);
        return true;
    }

    /// <summary>Adds a value at once, as the action says.</summary>
    public void Apply(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, HeaderAppendAction action)
    {
        if (action == HeaderAppendAction.AppendIfExistsOrAdd) Append(name, value);
        else if (action == HeaderAppendAction.OverwriteIfExistsOrAdd || Has(name) == (action == HeaderAppendAction.OverwriteIfExists)) Set(name, value);
    }

    /// <summary>Bytes of names and values of all fields.</summary>
    public int FieldBytes()
    {
        int bytes = 0;
        for (int i = Next(); i >= 0; i = Next(i + 1)) bytes += Name(i).Length + Value(i).Length;
        return bytes;
    }

    /// <summary>Number of all fields.</summary>
    public int FieldCount()
    {
        int count = 0;
        for (int i = Next(); i >= 0; i = Next(i + 1)) count++;
        return count;
    }

    /// <summary>The same with a number.</summary>
    public void Set(ReadOnlySpan<byte> name, long value)
    {
        Span<byte> text = stackalloc byte[20];
        value.TryFormat(text, out int written);
        Set(name, text[..written]);
    }

    /// <summary>Prepares an addition that nobody sees before <see cref="Commit"/>: the values of one list must not see each other. Whether the name
    /// is there is asked now.</summary>
    public void Stage(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, HeaderAppendAction action)
    {
        bool overwrites = action is HeaderAppendAction.OverwriteIfExists or HeaderAppendAction.OverwriteIfExistsOrAdd;
        if (action is HeaderAppendAction.AddIfAbsent or HeaderAppendAction.OverwriteIfExists && Next(name) >= 0 != overwrites) return;
        if (!AddLine(name, value))
        {
            if (overwrites) Remove(name);
            return;
        }
        if (_overwrites.Length < _count) Array.Resize(ref _overwrites, Math.Max(_count, _overwrites.Length * 2));
        _overwrites[_count - 1] = overwrites;
    }

    /// <summary>Makes staged additions part of the head: what overwrites first, then what adds (Envoy: HeaderParser).</summary>
    public void Commit()
    {
        int first = _visible, end = _count, parsed = Head.Count;
        for (int i = first; i < end; i++)
        {
            if (!_overwrites[i]) continue;
            ReadOnlySpan<byte> name = Http1Head.Name(_lines, _added[i]);
            for (int at = Next(name); at >= 0; at = Next(name, at + 1)) Drop(at);
            for (int j = first; j < i; j++) if (_overwrites[j] && IsNamed(j, name)) Drop(parsed + j);
        }
        // Those that overwrite are seen first: they change places with what is only added, whose order stays.
        int seen = first;
        for (int i = first; i < end; i++)
        {
            if (!_overwrites[i]) continue;
            (HeaderField moved, bool flag) = (_added[i], true);
            for (int j = i; j > seen; j--) (_added[j], _overwrites[j]) = (_added[j - 1], _overwrites[j - 1]);
            (_added[seen], _overwrites[seen]) = (moved, flag);
            seen++;
        }
        _visible = seen;
        for (int i = seen; i < end; i++)
        {
            HeaderField field = _added[i];
            ReadOnlySpan<byte> name = Http1Head.Name(_lines, field);
            if (Joins(name) && Next(name) >= 0)
            {
                ReadOnlySpan<byte> value = Http1Head.Value(_lines, field);
                Drop(parsed + i);
                JoinInto(name, value, Separator(name), i);
                // The joined line stands in the place of the staged one.
                if (_count > end) (_added[i], _count) = (_added[_count - 1], _count - 1);
            }
            _visible = i + 1;
        }
    }

    /// <summary>Copies the added lines; the buffer has room for <see cref="AddedBytes"/>.</summary>
    public void CopyAdded(IoBuffer o)
    {
        if (!_addedDropped)
        {
            // In whatever order they are seen, their bytes follow each other.
            o.Append(_lines.AsSpan(0, _length));
            return;
        }
        for (int i = 0; i < _visible; i++)
        {
            ref readonly HeaderField field = ref _added[i];
            if (field.NameLength > 0) o.Append(_lines.AsSpan(field.NameStart, field.LineEnd - field.NameStart));
        }
    }

    /// <summary>Whether a name is that of a pseudo header; in requests <c>host</c> is one.</summary>
    protected virtual bool IsPseudo(ReadOnlySpan<byte> name) => name.Length > 0 && name[0] == ':';

    /// <summary>The value of a pseudo header.</summary>
    protected abstract bool TryGetPseudo(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value);

    /// <summary>Changes a pseudo header; false where it cannot be changed.</summary>
    protected abstract bool SetPseudo(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value);

    // Of fields before `visible`; others are not seen yet.
    private bool JoinInto(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, scoped ReadOnlySpan<byte> separator, int visible)
    {
        _visible = visible;
        int first = Next(name);
        if (first < 0) return Add(name, value);
        if (!IsAllowed(name, value)) return false;
        int size = value.Length + separator.Length;
        for (int i = first; i >= 0; i = Next(name, i + 1)) size += Value(i).Length + separator.Length;
        int start = _length;
        Reserve(name.Length + size + 4);
        Put(name);
        Put(": "u8);
        int from = _length;
        for (int i = first; i >= 0; i = Next(name, i + 1))
        {
            if (_length > from) Put(separator);
            Put(Value(i));
            Drop(i);
        }
        if (value.Length > 0)
        {
            if (_length > from) Put(separator);
            Put(value);
        }
        int length = _length - from;
        Put("\r\n"u8);
        Push(start, name.Length, length, KnownHeaders.Of(name));
        if (visible == _count - 1) _visible = _count;
        return true;
    }

    private bool AddLine(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value)
    {
        if (!IsAllowed(name, value)) return false;
        Line(name, value, KnownHeaders.Of(name));
        return true;
    }

    private void Line(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value, KnownHeader id)
    {
        int start = _length;
        Reserve(name.Length + value.Length + 4);
        Put(name);
        Put(": "u8);
        Put(value);
        Put("\r\n"u8);
        Push(start, name.Length, value.Length, id);
    }

    private void Push(int start, int nameLength, int valueLength, KnownHeader id)
    {
        if (_count == _added.Length) Array.Resize(ref _added, _count * 2);
        ref HeaderField field = ref _added[_count++];
        field.NameStart = start;
        field.NameLength = (ushort)nameLength;
        field.ValueStart = start + nameLength + 2;
        field.ValueLength = valueLength;
        field.LineEnd = _length;
        field.Id = id;
    }

    private static bool IsAllowed(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value) =>
        name.Length is > 0 and <= ushort.MaxValue && !IsFraming(KnownHeaders.Of(name)) && Http1Head.IsToken(name) && Http1Head.IsFieldValue(value);

    private static bool IsFraming(KnownHeader id) => id is KnownHeader.ContentLength or KnownHeader.TransferEncoding or KnownHeader.Connection or KnownHeader.KeepAlive
        or KnownHeader.ProxyConnection or KnownHeader.Upgrade or KnownHeader.Host;

    private bool IsNamed(int added, ReadOnlySpan<byte> name)
    {
        ref readonly HeaderField field = ref _added[added];
        return field.NameLength == name.Length && Ascii.EqualsIgnoreCase(_lines.AsSpan(field.NameStart, name.Length), name);
    }

    /// <summary>What stands between several values of a name where they are one: cookies have their own (RFC 9113 8.2.3).</summary>
    public static ReadOnlySpan<byte> Separator(ReadOnlySpan<byte> name) => name.SequenceEqual("cookie"u8) ? "; "u8 : ","u8;

    // What is read from the lines stays where it was while they grow: the old array lives as long as somebody looks at it.
    private void Reserve(int bytes)
    {
        if (_lines.Length - _length >= bytes) return;
        byte[] larger = new byte[Math.Max(_lines.Length * 2, _length + bytes)];
        _lines.AsSpan(0, _length).CopyTo(larger);
        _lines = larger;
    }

    private void Put(scoped ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_lines.AsSpan(_length));
        _length += bytes.Length;
    }
}
