// The library of strings (reference manual 5.4). Strings are bytes; letters are those of ASCII.
using System.Globalization;
using System.Text;

namespace Naru.Proxy.Filters.Scripting;

internal static class LuaStrings
{
    public static void Open(LuaState state)
    {
        var table = new LuaTable(state);
        LuaLibrary.Add(table, "byte", static a =>
        {
            byte[] text = a.Text(0).Bytes;
            int from = a.Int(1, 1);
            (int first, int last) = Range(text.Length, from, a.Int(2, from));
            for (int i = first; i <= last; i++) a.Thread.Add(text[i - 1]);
            return LuaOutcome.Done;
        });
        LuaLibrary.Add(table, "char", static a =>
        {
            byte[] text = new byte[a.Count];
            for (int i = 0; i < text.Length; i++)
            {
                int c = a.Int(i);
                if (c is < 0 or > 255) throw a.Wrong(i, "invalid value");
                text[i] = (byte)c;
            }
            return a.Thread.Give(a.State.String(text));
        });
        LuaLibrary.Add(table, "dump", static _ => throw new LuaException("string.dump is not available"));
        LuaLibrary.Add(table, "find", static a => Find(a, isFind: true));
        LuaLibrary.Add(table, "match", static a => Find(a, isFind: false));
        LuaLibrary.Add(table, "format", static a => a.Thread.Give(LuaFormat.Write(a)));
        LuaLibrary.Add(table, "gmatch", Each);
        LuaLibrary.Add(table, "gsub", Replace);
        LuaLibrary.Add(table, "len", static a => a.Thread.Give(a.Text(0).Length));
        LuaLibrary.Add(table, "lower", static a => Changed(a, static text =>
        {
            foreach (ref byte c in text.AsSpan()) if (c is >= (byte)'A' and <= (byte)'Z') c |= 0x20;
        }));
        LuaLibrary.Add(table, "upper", static a => Changed(a, static text =>
        {
            foreach (ref byte c in text.AsSpan()) if (c is >= (byte)'a' and <= (byte)'z') c &= 0xdf;
        }));
        LuaLibrary.Add(table, "reverse", static a => Changed(a, static text => text.AsSpan().Reverse()));
        LuaLibrary.Add(table, "rep", static a =>
        {
            byte[] text = a.Text(0).Bytes, separator = a.TextOrNone(2)?.Bytes ?? [];
            int count = a.Int(1);
            long length = count <= 0 ? 0 : (long)count * text.Length + (long)(count - 1) * separator.Length;
            if (length == 0) return a.Thread.Give(LuaString.Empty);
            a.State.CheckSize(length);
            a.State.Spend(length / 16 + 1);
            byte[] all = new byte[length];
            // What is there is doubled. Behind the last text there is no separator.
            text.CopyTo(all, 0);
            separator.AsSpan(0, Math.Min(separator.Length, all.Length - text.Length)).CopyTo(all.AsSpan(text.Length));
            for (int done = Math.Min(text.Length + separator.Length, all.Length); done < all.Length; done *= 2)
                all.AsSpan(0, Math.Min(done, all.Length - done)).CopyTo(all.AsSpan(done));
            return a.Thread.Give(a.State.String(all));
        });
        LuaLibrary.Add(table, "sub", static a =>
        {
            LuaString text = a.Text(0);
            (int first, int last) = Range(text.Length, a.Int(1), a.Int(2, -1));
            return a.Thread.Give(first > last ? LuaString.Empty : a.State.String(text.Bytes.AsSpan(first - 1, last - first + 1)));
        });
        state.Globals.Set("string", table);
        var meta = new LuaTable(state);
        meta.Set("__index", table);
        state.StringMetatable = meta;
    }

    private static LuaOutcome Changed(LuaArguments a, Action<byte[]> change)
    {
        byte[] text = a.Text(0).Bytes;
        a.State.Spend(text.Length / 16);
        byte[] copy = text.AsSpan().ToArray();
        change(copy);
        return a.Thread.Give(a.State.String(copy));
    }

    // Both ends counted from the end where they are negative, and within the text.
    private static (int First, int Last) Range(int length, int from, int to)
    {
        long first = from < 0 ? (long)length + from + 1 : from, last = to < 0 ? (long)length + to + 1 : to;
        return ((int)Math.Max(first, 1), (int)Math.Min(last, length));
    }

    private static bool IsPlain(ReadOnlySpan<byte> pattern) => pattern.IndexOfAny("^$*+?.([%-"u8) < 0;

    private static LuaOutcome Find(LuaArguments a, bool isFind)
    {
        byte[] text = a.Text(0).Bytes, pattern = a.Text(1).Bytes;
        int init = a.Int(2, 1);
        if (init < 0) init = (int)Math.Max((long)text.Length + init + 1, 1);
        if (init == 0) init = 1;
        if (init > text.Length + 1) return a.Thread.Give(LuaValue.Nil);
        if (isFind && (a[3].IsTrue || IsPlain(pattern)))
        {
            // Where all is alike, all is compared at each place.
            long length = text.Length - init + 1;
            a.State.Spend(length / 16 + length * pattern.Length / 1024);
            int found = text.AsSpan(init - 1).IndexOf(pattern);
            return found < 0 ? a.Thread.Give(LuaValue.Nil) : a.Thread.Give(found + init, found + init + pattern.Length - 1);
        }
        int from = pattern.Length > 0 && pattern[0] == (byte)'^' ? 1 : 0;
        var matcher = new LuaPattern(a.State, text, pattern);
        for (int at = init - 1; at <= text.Length; at++)
        {
            int end = matcher.Match(at, from);
            if (end >= 0)
            {
                LuaThread thread = a.Thread;
                if (isFind)
                {
                    thread.Give(at + 1, end);
                    for (int i = 0; i < matcher.Count; i++) thread.Add(matcher.Capture(i, at, end));
                }
                else
                {
                    for (int i = 0; i < Math.Max(matcher.Count, 1); i++) thread.Add(matcher.Capture(i, at, end));
                }
                return LuaOutcome.Done;
            }
            if (from == 1) break;
        }
        return a.Thread.Give(LuaValue.Nil);
    }

    private static LuaOutcome Each(LuaArguments a)
    {
        LuaString text = a.Text(0), pattern = a.Text(1);
        int next = 0;
        a.State.Charge(128);
        return a.Thread.Give(LuaValue.Of(new LuaHostFunction("gmatch", b =>
        {
            var matcher = new LuaPattern(b.State, text.Bytes, pattern.Bytes);
            for (int at = next; at <= text.Length; at++)
            {
                int end = matcher.Match(at, 0);
                if (end < 0) continue;
                next = end > at ? end : at + 1;
                for (int i = 0; i < Math.Max(matcher.Count, 1); i++) b.Thread.Add(matcher.Capture(i, at, end));
                return LuaOutcome.Done;
            }
            next = text.Length + 1;
            return b.Thread.Give(LuaValue.Nil);
        })
        { Holds = [text, pattern] }));
    }

    private static LuaOutcome Replace(LuaArguments a)
    {
        byte[] text = a.Text(0).Bytes, pattern = a.Text(1).Bytes;
        LuaValue with = a[2];
        if (with.Ref is not (LuaString or LuaTable or LuaFunction) && !with.IsNumber) throw a.Wrong(2, "string/function/table expected");
        int most = a[3].IsNil ? int.MaxValue : a.Int(3);
        int from = pattern.Length > 0 && pattern[0] == (byte)'^' ? 1 : 0;
        var matcher = new LuaPattern(a.State, text, pattern);
        var made = new ByteList(a.State);
        int at = 0, count = 0;
        while (count < most)
        {
            int end = matcher.Match(at, from);
            if (end >= 0)
            {
                count++;
                Replaced(a, ref matcher, with, at, end, ref made);
            }
            if (end > at) at = end;
            else if (at < text.Length) made.Add(text.AsSpan(at++, 1));
            else break;
            if (from == 1) break;
        }
        if (at < text.Length) made.Add(text.AsSpan(at));
        return a.Thread.Give(a.State.String(made.Written), count);
    }

    private static void Replaced(LuaArguments a, ref LuaPattern matcher, in LuaValue with, int at, int end, ref ByteList made)
    {
        ReadOnlySpan<byte> whole = a.Text(0).Bytes.AsSpan(at, end - at);
        LuaValue value;
        if (with.Ref is LuaTable table)
        {
            value = Lookup(a.Thread, table, matcher.Capture(0, at, end));
        }
        else if (with.Ref is LuaFunction)
        {
            var captures = new LuaValue[Math.Max(matcher.Count, 1)];
            for (int i = 0; i < captures.Length; i++) captures[i] = matcher.Capture(i, at, end);
            a.State.Aside += made.Size;
            try
            {
                a.Thread.Call(with, captures);
            }
            finally
            {
                a.State.Aside -= made.Size;
            }
            value = a.Thread.Result;
        }
        else
        {
            byte[] template = with.ToText()!.Bytes;
            for (int i = 0; i < template.Length; i++)
            {
                if (template[i] != (byte)'%')
                {
                    made.Add(template.AsSpan(i, 1));
                    continue;
                }
                if (++i >= template.Length) throw new LuaException("invalid use of '%' in replacement string");
                if (template[i] == (byte)'0') made.Add(whole);
                else if (template[i] is >= (byte)'1' and <= (byte)'9')
                    made.Add(matcher.Capture(template[i] - '1', at, end).ToText()!.Bytes);
                else made.Add(template.AsSpan(i, 1));
            }
            return;
        }
        if (!value.IsTrue) made.Add(whole);
        else made.Add((value.ToText() ?? throw new LuaException($"invalid replacement value (a {value.TypeName})")).Bytes);
    }

    private static LuaValue Lookup(LuaThread thread, LuaTable table, in LuaValue key)
    {
        LuaValue of = table;
        for (int i = 0; i < LuaState.MostIndexed; i++)
        {
            if (of.Ref is LuaTable next && next.Get(key) is { IsNil: false } value) return value;
            LuaValue meta = thread.State.Meta(of, LuaNames.Index);
            if (meta.IsNil) return default;
            if (meta.Ref is LuaFunction)
            {
                thread.Call(meta, of, key);
                return thread.Result;
            }
            of = meta;
        }
        throw new LuaException("loop in gettable");
    }

    /// <summary>Bytes that are put together, within what a string may have.</summary>
    internal struct ByteList(LuaState state)
    {
        private byte[] _bytes = new byte[64];
        private int _length;

        public void Add(ReadOnlySpan<byte> bytes)
        {
            if (_bytes.Length - _length < bytes.Length)
            {
                state.CheckSize((long)_length + bytes.Length);
                state.Charge(_bytes.Length + bytes.Length);
                Array.Resize(ref _bytes, Math.Max(_bytes.Length * 2, _length + bytes.Length));
            }
            state.Spend(1 + bytes.Length / 16);
            bytes.CopyTo(_bytes.AsSpan(_length));
            _length += bytes.Length;
        }

        public readonly long Size => _bytes.Length;

        public readonly ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _length);
    }
}

/// <summary>string.format (reference manual 5.4, with C's flags, width and precision).</summary>
internal static class LuaFormat
{
    public static LuaString Write(LuaArguments a)
    {
        byte[] format = a.Text(0).Bytes;
        var made = new LuaStrings.ByteList(a.State);
        int argument = 0;
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != (byte)'%')
            {
                made.Add(format.AsSpan(i, 1));
                continue;
            }
            if (++i >= format.Length) throw new LuaException("invalid format (ends with '%')");
            if (format[i] == (byte)'%')
            {
                made.Add("%"u8);
                continue;
            }
            Spec spec = Spec.Read(format, ref i);
            One(a, spec, ++argument, ref made);
        }
        return a.State.String(made.Written);
    }

    private struct Spec
    {
        public bool Left, Plus, Space, Alternate, Zero;
        public int Width, Precision;
        public char What;

        public static Spec Read(byte[] format, ref int i)
        {
            var spec = new Spec { Precision = -1 };
            for (; i < format.Length; i++)
            {
                if (format[i] == '-') spec.Left = true;
                else if (format[i] == '+') spec.Plus = true;
                else if (format[i] == ' ') spec.Space = true;
                else if (format[i] == '#') spec.Alternate = true;
                else if (format[i] == '0') spec.Zero = true;
                else break;
            }
            spec.Width = Number(format, ref i);
            if (i < format.Length && format[i] == '.')
            {
                i++;
                spec.Precision = Number(format, ref i);
            }
            if (i >= format.Length) throw new LuaException("invalid format (incomplete)");
            spec.What = (char)format[i];
            return spec;
        }

        private static int Number(byte[] format, ref int i)
        {
            int value = 0;
            for (int digits = 0; i < format.Length && format[i] is >= (byte)'0' and <= (byte)'9'; i++)
            {
                if (++digits > 2) throw new LuaException("invalid format (width or precision too long)");
                value = value * 10 + (format[i] - '0');
            }
            return value;
        }
    }

    private static void One(LuaArguments a, Spec spec, int index, ref LuaStrings.ByteList made)
    {
        // Each digit is a division of a long number.
        if (spec.What is 'e' or 'E' or 'f' or 'g' or 'G') a.State.Spend(32 + 8 * Math.Max(spec.Precision, 6));
        switch (spec.What)
        {
            case 'c':
                Pad(ref made, [(byte)a.Int(index)], spec);
                break;
            case 'd' or 'i':
                {
                    double number = Math.Truncate(a.Number(index));
                    string digits = Math.Abs(number) < 9e18
                        ? Math.Abs((long)number).ToString(CultureInfo.InvariantCulture) : "9223372036854775808";
                    Numeric(ref made, digits, number < 0 || !double.IsFinite(number), spec);
                    break;
                }
            case 'u' or 'o' or 'x' or 'X':
                {
                    double number = Math.Truncate(a.Number(index));
                    ulong bits = number < 0 ? (ulong)(long)Math.Max(number, -9e18) : number < 1.8e19 ? (ulong)number : ulong.MaxValue;
                    string digits = spec.What switch
                    {
                        'u' => bits.ToString(CultureInfo.InvariantCulture),
                        'o' => Octal(bits),
                        _ => bits.ToString(spec.What == 'x' ? "x" : "X", CultureInfo.InvariantCulture),
                    };
                    if (spec.Precision > digits.Length) digits = digits.PadLeft(spec.Precision, '0');
                    if (spec.Alternate && bits != 0)
                        digits = spec.What == 'o' ? "0" + digits : spec.What is 'x' or 'X' ? "0" + spec.What + digits : digits;
                    (spec.Plus, spec.Space) = (false, false);
                    Numeric(ref made, digits, false, spec);
                    break;
                }
            case 'e' or 'E' or 'f' or 'F' or 'g' or 'G':
                {
                    double number = a.Number(index);
                    int precision = spec.Precision < 0 ? 6 : spec.Precision;
                    bool negative = number < 0 || (number == 0 && double.IsNegative(number)), upper = char.IsUpper(spec.What);
                    double size = Math.Abs(number);
                    string digits = char.ToLowerInvariant(spec.What) switch
                    {
                        'e' => LuaNumbers.Scientific(size, precision, upper),
                        'f' => LuaNumbers.Fixed(size, precision),
                        _ => LuaNumbers.General(size, precision, spec.Alternate, upper),
                    };
                    if (!double.IsFinite(number)) spec.Zero = false;
                    spec.Precision = -1;
                    Numeric(ref made, digits, negative, spec);
                    break;
                }
            case 'q':
                Quote(a.Text(index).Bytes, ref made);
                break;
            case 's':
                {
                    LuaString text = LuaLibrary.Text(a.Thread, a.Any(index));
                    ReadOnlySpan<byte> bytes = spec.Precision >= 0 && spec.Precision < text.Length
                        ? text.Bytes.AsSpan(0, spec.Precision) : text.Bytes;
                    Pad(ref made, bytes, spec);
                    break;
                }
            default:
                throw new LuaException($"invalid option '%{spec.What}' to 'format'");
        }
    }

    private static string Octal(ulong bits)
    {
        var text = new StringBuilder();
        do text.Insert(0, (char)('0' + (int)(bits & 7)));
        while ((bits >>= 3) != 0);
        return text.ToString();
    }

    private static void Numeric(ref LuaStrings.ByteList made, string digits, bool negative, Spec spec)
    {
        if (spec.What is 'd' or 'i' && spec.Precision > digits.Length) digits = digits.PadLeft(spec.Precision, '0');
        string sign = negative ? "-" : spec.Plus ? "+" : spec.Space ? " " : "";
        bool whole = spec.What is 'd' or 'i' or 'u' or 'o' or 'x' or 'X';
        if (spec.Zero && !spec.Left && !(whole && spec.Precision >= 0)) digits = digits.PadLeft(Math.Max(spec.Width - sign.Length, 0), '0');
        Pad(ref made, Encoding.ASCII.GetBytes(sign + digits), spec);
    }

    private static void Pad(ref LuaStrings.ByteList made, ReadOnlySpan<byte> text, Spec spec)
    {
        int blanks = Math.Max(spec.Width - text.Length, 0);
        Span<byte> pad = stackalloc byte[100];
        pad.Fill((byte)' ');
        if (!spec.Left) made.Add(pad[..blanks]);
        made.Add(text);
        if (spec.Left) made.Add(pad[..blanks]);
    }

    private static void Quote(byte[] text, ref LuaStrings.ByteList made)
    {
        made.Add("\""u8);
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] is (byte)'"' or (byte)'\\' or (byte)'\n') made.Add("\\"u8);
            if (text[i] == (byte)'\r') made.Add("\\r"u8);
            else if (text[i] == 0) made.Add("\\000"u8);
            else made.Add(text.AsSpan(i, 1));
        }
        made.Add("\""u8);
    }
}
