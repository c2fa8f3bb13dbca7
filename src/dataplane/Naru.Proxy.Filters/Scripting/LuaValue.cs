// What scripts handle: values of Lua 5.1 (reference manual 2.2). Strings are bytes.
using System.Globalization;
using System.Text;

namespace Naru.Proxy.Filters.Scripting;

/// <summary>One value; the default is nil.</summary>
internal readonly struct LuaValue
{
    private static readonly object s_number = new(), s_true = new(), s_false = new();

    /// <summary>What it refers to; tells its type.</summary>
    public readonly object? Ref;

    /// <summary>Its number, where it is one.</summary>
    public readonly double Num;

    private LuaValue(object? reference, double number) => (Ref, Num) = (reference, number);

    public static LuaValue Nil => default;

    public static LuaValue True => new(s_true, 0);

    public static LuaValue False => new(s_false, 0);

    public bool IsNil => Ref is null;

    public bool IsNumber => ReferenceEquals(Ref, s_number);

    public bool IsBoolean => ReferenceEquals(Ref, s_true) || ReferenceEquals(Ref, s_false);

    /// <summary>All but nil and false.</summary>
    public bool IsTrue => Ref is not null && !ReferenceEquals(Ref, s_false);

    public static LuaValue Of(double number) => new(s_number, number);

    public static LuaValue Of(bool value) => value ? True : False;

    public static LuaValue Of(object? reference) => new(reference, 0);

    public static LuaValue Of(string text) => new(new LuaString(Encoding.UTF8.GetBytes(text)), 0);

    public static implicit operator LuaValue(double number) => Of(number);

    public static implicit operator LuaValue(LuaString text) => new(text, 0);

    public static implicit operator LuaValue(LuaTable table) => new(table, 0);

    public LuaString? AsString => Ref as LuaString;

    public LuaTable? AsTable => Ref as LuaTable;

    /// <summary>Equal without a metamethod.</summary>
    public static bool RawEquals(in LuaValue a, in LuaValue b)
    {
        if (ReferenceEquals(a.Ref, b.Ref)) return !a.IsNumber || a.Num == b.Num;
        return a.Ref is LuaString left && b.Ref is LuaString right && left.Equals(right);
    }

    /// <summary>The name of its type.</summary>
    public string TypeName => Ref switch
    {
        null => "nil",
        LuaString => "string",
        LuaTable => "table",
        LuaFunction => "function",
        LuaThread => "thread",
        LuaObject => "userdata",
        _ => IsNumber ? "number" : "boolean",
    };

    /// <summary>Its number, also that of a text which is one.</summary>
    public bool TryNumber(out double number)
    {
        number = Num;
        return IsNumber || (Ref is LuaString text && LuaNumbers.TryParse(text.Bytes, out number));
    }

    /// <summary>A text, also that of a number; null for others.</summary>
    public LuaString? ToText() => Ref is LuaString text ? text : IsNumber ? new LuaString(LuaNumbers.Format(Num)) : null;

    /// <summary>For messages that name it; the beginning of what is long.</summary>
    public string Shown => Ref is LuaString { Length: > 64 } text ? Encoding.UTF8.GetString(text.Bytes.AsSpan(0, 64)) + "..." : ToString();

    /// <summary>For messages; asks no metamethod.</summary>
    public override string ToString() => Ref switch
    {
        null => "nil",
        LuaString text => text.ToString(),
        _ when IsNumber => Encoding.ASCII.GetString(LuaNumbers.Format(Num)),
        _ when IsBoolean => IsTrue ? "true" : "false",
        // Where it lies in memory is nobody's business: a number that is its own.
        _ => $"{TypeName}: 0x{System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(Ref):x8}",
    };
}

/// <summary>Bytes that never change.</summary>
internal sealed class LuaString(byte[] bytes) : IEquatable<LuaString>
{
    public static readonly LuaString Empty = new([]);
    private int _hash;

    public readonly byte[] Bytes = bytes;

    public int Length => Bytes.Length;

    public bool Equals(LuaString? other) =>
        ReferenceEquals(this, other) || (other is not null && Hash == other.Hash && Bytes.AsSpan().SequenceEqual(other.Bytes));

    public override bool Equals(object? obj) => obj is LuaString other && Equals(other);

    public override int GetHashCode() => Hash;

    // Seeded for each process: keys come from strangers.
    public int Hash
    {
        get
        {
            if (_hash != 0) return _hash;
            var hash = default(HashCode);
            hash.AddBytes(Bytes);
            int value = hash.ToHashCode();
            return _hash = value == 0 ? 1 : value;
        }
    }

    public override string ToString() => Encoding.UTF8.GetString(Bytes);
}

/// <summary>Something of the host's that scripts hold and cannot look into.</summary>
internal class LuaObject
{
    /// <summary>What can be asked of it.</summary>
    public LuaTable? Metatable { get; set; }

    /// <summary>Says what it holds besides itself.</summary>
    public virtual void Visit(LuaMarker marker)
    {
    }
}

/// <summary>Something that can be called.</summary>
internal abstract class LuaFunction;

/// <summary>A function of a script with what it holds of others' variables.</summary>
internal sealed class LuaClosure(LuaProto proto, LuaVariable[] variables) : LuaFunction
{
    public readonly LuaProto Proto = proto;
    public readonly LuaVariable[] Variables = variables;
}

/// <summary>A variable that closures share: in a thread's stack while its block runs, here afterwards.</summary>
internal sealed class LuaVariable
{
    private LuaThread? _thread;
    private LuaValue _value;

    public LuaVariable(LuaThread thread, int index) => (_thread, Index) = (thread, index);

    public int Index { get; }

    public LuaValue Value
    {
        get => _thread is { } thread ? thread.Stack[Index] : _value;
        set
        {
            if (_thread is { } thread) thread.Stack[Index] = value;
            else _value = value;
        }
    }

    /// <summary>Whose block still runs.</summary>
    public LuaThread? Thread => _thread;

    /// <summary>Its block ends.</summary>
    public void Close() => (_value, _thread) = (Value, null);
}

/// <summary>What a function of the host is asked with.</summary>
internal readonly ref struct LuaArguments(LuaThread thread, int from, int count)
{
    public LuaThread Thread => thread;

    public LuaState State => thread.State;

    public int Count => count;

    public LuaValue this[int index] => index < count ? thread.Stack[from + index] : LuaValue.Nil;

    /// <summary>What an argument should have been.</summary>
    public LuaException Wrong(int index, string what) => new($"bad argument #{index + 1} to '{thread.Host}' ({what})");

    private LuaException Expected(int index, string type) =>
        Wrong(index, $"{type} expected, got {(index < count ? this[index].TypeName : "no value")}");

    /// <summary>A string, or a number as one.</summary>
    public LuaString Text(int index) => this[index].ToText() ?? throw Expected(index, "string");

    /// <summary>The same; null for nil.</summary>
    public LuaString? TextOrNone(int index) => this[index].IsNil ? null : Text(index);

    /// <summary>A number, or a string that is one.</summary>
    public double Number(int index) => this[index].TryNumber(out double number) ? number : throw Expected(index, "number");

    /// <summary>The whole part of a number, within what an int holds.</summary>
    public int Int(int index)
    {
        double number = Number(index);
        return double.IsNaN(number) ? 0 : (int)Math.Clamp(number, int.MinValue, int.MaxValue);
    }

    /// <summary>The same; another where there is none.</summary>
    public int Int(int index, int otherwise) => this[index].IsNil ? otherwise : Int(index);

    public LuaTable Table(int index) => this[index].AsTable ?? throw Expected(index, "table");

    public LuaFunction Function(int index) => this[index].Ref as LuaFunction ?? throw Expected(index, "function");

    /// <summary>Anything, but something.</summary>
    public LuaValue Any(int index) => index < count ? this[index] : throw Wrong(index, "value expected");

    /// <summary>An object of the host's of one kind.</summary>
    public T Object<T>(int index, string name) where T : LuaObject => this[index].Ref as T ?? throw Expected(index, name);
}

/// <summary>How a function of the host ends.</summary>
internal enum LuaOutcome : byte
{
    /// <summary>Its results are in <see cref="LuaThread.Results"/>.</summary>
    Done,

    /// <summary>The thread waits for something; who resumes it brings the results.</summary>
    Wait,
}

/// <summary>A function of the host: puts its results into <see cref="LuaThread.Results"/>.</summary>
internal delegate LuaOutcome LuaHostCode(LuaArguments arguments);

/// <summary>What the interpreter itself does with a call.</summary>
internal enum LuaHostKind : byte
{
    Plain,
    ProtectedCall,
    ProtectedCallWithHandler,
}

/// <summary>A function of the host as a value.</summary>
internal sealed class LuaHostFunction(string name, LuaHostCode code, LuaHostKind kind = LuaHostKind.Plain) : LuaFunction
{
    public string Name => name;

    public LuaHostCode Code => code;

    public LuaHostKind Kind => kind;

    /// <summary>What it keeps of the script's; null for nothing, of those that are there once.</summary>
    public object[]? Holds { get; init; }
}

/// <summary>An error of a script, which it can catch.</summary>
internal class LuaException : Exception
{
    private readonly string? _unplaced;

    /// <summary>With any value.</summary>
    public LuaException(LuaValue value) => Value = value;

    /// <summary>With words, before which stands where it was.</summary>
    public LuaException(string message) => (_unplaced, Value) = (message, LuaValue.Of(message));

    public LuaValue Value { get; private set; }

    /// <summary>Says where it was, once.</summary>
    public void Place(LuaThread thread)
    {
        if (_unplaced is null || _isPlaced) return;
        _isPlaced = true;
        Value = LuaValue.Of(thread.Place(1) + _unplaced);
    }

    private bool _isPlaced;

    public override string Message => Value.Ref is LuaString or null || Value.IsNumber
        ? Value.ToString() : $"(error object is a {Value.TypeName} value)";
}

/// <summary>A limit is reached: the whole run ends, whatever the script would catch.</summary>
internal sealed class LuaLimitException(string message) : LuaException(message);

/// <summary>A text that is no script.</summary>
internal sealed class LuaSyntaxException(string message, int line) : Exception(message)
{
    public int Line => line;
}

/// <summary>Numbers as texts.</summary>
internal static class LuaNumbers
{
    /// <summary>As tostring has it (%.14g).</summary>
    public static byte[] Format(double number)
    {
        if (number == Math.Floor(number) && Math.Abs(number) < 1e15 && !(number == 0 && double.IsNegative(number)))
            return Encoding.ASCII.GetBytes(((long)number).ToString(CultureInfo.InvariantCulture));
        return Encoding.ASCII.GetBytes(General(number, 14, false, false));
    }

    /// <summary>C's %g.</summary>
    public static string General(double number, int precision, bool alternate, bool upper)
    {
        if (NotFinite(number) is { } word) return upper ? word.ToUpperInvariant() : word;
        if (precision == 0) precision = 1;
        string scientific = number.ToString("E" + (precision - 1).ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        int at = scientific.IndexOf('E', StringComparison.Ordinal);
        int exponent = int.Parse(scientific.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
        string text;
        if (exponent < -4 || exponent >= precision)
        {
            string digits = alternate ? scientific[..at] : Bare(scientific[..at]);
            text = digits + Exponent(exponent);
        }
        else
        {
            text = number.ToString("F" + (precision - 1 - exponent).ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
            if (!alternate) text = Bare(text);
        }
        return upper ? text.ToUpperInvariant() : text;
    }

    /// <summary>C's %e.</summary>
    public static string Scientific(double number, int precision, bool upper)
    {
        if (NotFinite(number) is { } word) return upper ? word.ToUpperInvariant() : word;
        string text = number.ToString("E" + precision.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        int at = text.IndexOf('E', StringComparison.Ordinal);
        text = text[..at] + Exponent(int.Parse(text.AsSpan(at + 1), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture));
        return upper ? text.ToUpperInvariant() : text;
    }

    /// <summary>C's %f.</summary>
    public static string Fixed(double number, int precision) =>
        NotFinite(number) ?? number.ToString("F" + precision.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    private static string? NotFinite(double number) =>
        double.IsNaN(number) ? "nan" : double.IsInfinity(number) ? number > 0 ? "inf" : "-inf" : null;

    private static string Exponent(int exponent) =>
        (exponent < 0 ? "e-" : "e+") + Math.Abs(exponent).ToString("00", CultureInfo.InvariantCulture);

    private static string Bare(string digits) =>
        digits.Contains('.', StringComparison.Ordinal) ? digits.TrimEnd('0').TrimEnd('.') : digits;

    /// <summary>A whole text that is a number, with white space around it: decimal, or hexadecimal behind 0x.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, out double number)
    {
        number = 0;
        if (text.Length > 1000) return false;
        text = Trim(text);
        if (text.Length is 0 or > 400) return false;
        bool negative = text[0] == (byte)'-';
        ReadOnlySpan<byte> digits = text[0] is (byte)'-' or (byte)'+' ? text[1..] : text;
        if (digits.Length == 0 || digits[0] is not ((>= (byte)'0' and <= (byte)'9') or (byte)'.')) return false;
        if (digits.Length > 2 && digits[0] == (byte)'0' && (digits[1] | 0x20) == 'x')
        {
            foreach (byte digit in digits[2..])
            {
                int value = Digit(digit);
                if (value > 15) return false;
                number = number * 16 + value;
            }
            if (negative) number = -number;
            return true;
        }
        Span<char> chars = stackalloc char[text.Length];
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] is not ((>= (byte)'0' and <= (byte)'9') or (byte)'.' or (byte)'e' or (byte)'E' or (byte)'+' or (byte)'-'))
                return false;
            chars[i] = (char)text[i];
        }
        return double.TryParse(
            chars, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent,
            CultureInfo.InvariantCulture, out number);
    }

    /// <summary>The value of a digit; 99 for none.</summary>
    public static int Digit(byte c) => c switch
    {
        >= (byte)'0' and <= (byte)'9' => c - '0',
        >= (byte)'a' and <= (byte)'z' => c - 'a' + 10,
        >= (byte)'A' and <= (byte)'Z' => c - 'A' + 10,
        _ => 99,
    };

    public static bool IsSpace(byte c) => c is (byte)' ' or (>= 9 and <= 13);

    public static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> text)
    {
        while (text.Length > 0 && IsSpace(text[0])) text = text[1..];
        while (text.Length > 0 && IsSpace(text[^1])) text = text[..^1];
        return text;
    }
}
