// Functions of expressions (cel-spec, "Standard Definitions"), by name and by how they are called.
using System.Buffers.Text;
using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace Naru.Telemetry;

internal static class CelFunctions
{
    /// <summary>Operators and functions of one operand; methods where the key begins with a dot.</summary>
    public static Dictionary<string, UnaryFunction> Unary { get; } = new(StringComparer.Ordinal)
    {
        ["!_"] = CelOperators.Not,
        ["-_"] = CelOperators.Negate,
        ["size"] = Size,
        [".size"] = Size,
        ["int"] = ToInt,
        ["uint"] = ToUInt,
        ["double"] = ToDouble,
        ["string"] = ToText,
        ["bytes"] = ToBytes,
        ["bool"] = ToBool,
        ["timestamp"] = ToTimestamp,
        ["duration"] = ToDuration,
        ["dyn"] = static (Evaluation e, in CelValue value) => value,
        ["type"] = static (Evaluation e, in CelValue value) => CelValue.Type(CelText.TypeName(value.Kind)),
    };

    /// <summary>The same of two.</summary>
    public static Dictionary<string, BinaryFunction> Binary { get; } = new(StringComparer.Ordinal)
    {
        ["_==_"] = CelOperators.Equals,
        ["_!=_"] = CelOperators.Differs,
        ["_<_"] = CelOperators.Less,
        ["_<=_"] = CelOperators.LessOrEqual,
        ["_>_"] = CelOperators.Greater,
        ["_>=_"] = CelOperators.GreaterOrEqual,
        ["_+_"] = CelOperators.Add,
        ["_-_"] = CelOperators.Subtract,
        ["_*_"] = CelOperators.Multiply,
        ["_/_"] = CelOperators.Divide,
        ["_%_"] = CelOperators.Remainder,
        ["@in"] = CelOperators.In,
        ["_in_"] = CelOperators.In,
        ["in"] = CelOperators.In,
        ["_[_]"] = CelOperators.Index,
        [".contains"] = Texts(static (text, part) => text.IndexOf(part) >= 0),
        [".startsWith"] = Texts(static (text, part) => text.StartsWith(part)),
        [".endsWith"] = Texts(static (text, part) => text.EndsWith(part)),
    };

    static CelFunctions()
    {
        foreach ((string name, CelTimes.Part part) in CelTimes.Parts) Unary[name] = (Evaluation e, in CelValue value)
            => CelTimes.Get(value, part, null);
    }

    private delegate bool TextTest(ReadOnlySpan<byte> text, ReadOnlySpan<byte> part);

    private static BinaryFunction Texts(TextTest test) => (Evaluation e, in CelValue text, in CelValue part) =>
        text.Kind != CelKind.Text || part.Kind != CelKind.Text ? CelValue.NoOverload
        : e.Spend(text.Bytes.Length / 16) ? CelValue.Of(test(text.Bytes, part.Bytes)) : CelValue.Spent;

    private static CelValue Size(Evaluation e, in CelValue value)
    {
        switch (value.Kind)
        {
            case CelKind.Text:
                if (!e.Spend(value.Bytes.Length / 16)) return CelValue.Spent;
                long characters = 0;
                foreach (byte b in value.Bytes) if ((b & 0xC0) != 0x80) characters++;
                return CelValue.Of(characters);
            case CelKind.Bytes: return CelValue.Of((long)value.Bytes.Length);
            case CelKind.List or CelKind.Map: return value.Count < 0 ? CelValue.Error("it has no size") : CelValue.Of((long)value.Count);
            default: return CelValue.NoOverload;
        }
    }

    private static CelValue ToInt(Evaluation e, in CelValue value) => value.Kind switch
    {
        CelKind.Int => value,
        CelKind.UInt => value.UInt > long.MaxValue ? CelValue.Overflow : CelValue.Of((long)value.UInt),
        CelKind.Double => value.Double is > -9223372036854775808.0 and < 9223372036854775808.0 ? CelValue.Of((long)value.Double)
            : CelValue.Overflow,
        CelKind.Text => Utf8Parser.TryParse(value.Bytes, out long number, out int used) && used == value.Bytes.Length
            && value.Bytes[0] != '+'
            ? CelValue.Of(number) : CelValue.Error("it is no int"),
        CelKind.Timestamp => CelValue.Of(value.Seconds),
        _ => CelValue.NoOverload,
    };

    private static CelValue ToUInt(Evaluation e, in CelValue value) => value.Kind switch
    {
        CelKind.UInt => value,
        CelKind.Int => value.Int < 0 ? CelValue.Overflow : CelValue.Of((ulong)value.Int),
        CelKind.Double => value.Double is > -1.0 and < 18446744073709551616.0 ? CelValue.Of((ulong)value.Double) : CelValue.Overflow,
        CelKind.Text => Utf8Parser.TryParse(value.Bytes, out ulong number, out int used) && used == value.Bytes.Length
            && value.Bytes[0] != '+'
            ? CelValue.Of(number) : CelValue.Error("it is no uint"),
        _ => CelValue.NoOverload,
    };

    private static CelValue ToDouble(Evaluation e, in CelValue value) => value.Kind switch
    {
        CelKind.Double => value,
        CelKind.Int => CelValue.Of((double)value.Int),
        CelKind.UInt => CelValue.Of((double)value.UInt),
        CelKind.Text => Utf8Parser.TryParse(value.Bytes, out double number, out int used) && used == value.Bytes.Length
            ? CelValue.Of(number) : CelValue.Error("it is no double"),
        _ => CelValue.NoOverload,
    };

    private static CelValue ToBool(Evaluation e, in CelValue value)
    {
        if (value.Kind == CelKind.Bool) return value;
        if (value.Kind != CelKind.Text) return CelValue.NoOverload;
        ReadOnlySpan<byte> text = value.Bytes;
        if (text.SequenceEqual("true"u8) || text.SequenceEqual("True"u8) || text.SequenceEqual("TRUE"u8) || text.SequenceEqual("t"u8)
            || text.SequenceEqual("1"u8))
            return CelValue.Of(true);
        return text.SequenceEqual("false"u8) || text.SequenceEqual("False"u8) || text.SequenceEqual("FALSE"u8) || text.SequenceEqual("f"u8)
            || text.SequenceEqual("0"u8)
            ? CelValue.Of(false) : CelValue.Error("it is no bool");
    }

    private static CelValue ToText(Evaluation e, in CelValue value)
    {
        switch (value.Kind)
        {
            case CelKind.Text: return value;
            case CelKind.Bytes:
                return !e.Spend(value.Bytes.Length / 16) ? CelValue.Spent
                    : Utf8.IsValid(value.Bytes) ? value.As(CelKind.Text) : CelValue.Error("the bytes are no UTF-8");
            case CelKind.Bool: return CelValue.Text(value.IsTrue ? s_true : s_false);
            case CelKind.Int or CelKind.UInt or CelKind.Double:
                Span<byte> room = e.Room(32);
                return e.Take(CelText.Number(value, room));
            case CelKind.Timestamp or CelKind.Duration:
                room = e.Room(48);
                return e.Take(value.Kind == CelKind.Timestamp ? CelTimes.Format(value, room, "Z"u8) : CelTimes.Seconds(value, room));
            default: return CelValue.NoOverload;
        }
    }

    private static readonly byte[] s_true = "true"u8.ToArray(), s_false = "false"u8.ToArray();

    private static CelValue ToBytes(Evaluation e, in CelValue value) =>
        value.Kind is CelKind.Text or CelKind.Bytes ? value.As(CelKind.Bytes) : CelValue.NoOverload;

    private static CelValue ToTimestamp(Evaluation e, in CelValue value) => value.Kind switch
    {
        CelKind.Timestamp => value,
        CelKind.Int => CelValue.Timestamp(value.Int, 0),
        CelKind.Text => CelTimes.ParseTimestamp(value.Bytes),
        _ => CelValue.NoOverload,
    };

    private static CelValue ToDuration(Evaluation e, in CelValue value) => value.Kind switch
    {
        CelKind.Duration => value,
        CelKind.Text => CelTimes.ParseDuration(value.Bytes),
        _ => CelValue.NoOverload,
    };
}

/// <summary>Values as text.</summary>
internal static class CelText
{
    // A list within a list and so on.
    private const int MostDeep = 128;

    public static string TypeName(CelKind kind) => kind switch
    {
        CelKind.Null => "null_type",
        CelKind.Bool => "bool",
        CelKind.Int => "int",
        CelKind.UInt => "uint",
        CelKind.Double => "double",
        CelKind.Text => "string",
        CelKind.Bytes => "bytes",
        CelKind.Timestamp => "google.protobuf.Timestamp",
        CelKind.Duration => "google.protobuf.Duration",
        CelKind.List => "list",
        CelKind.Map => "map",
        _ => "type",
    };

    /// <summary>A number in decimal; 32 bytes are enough.</summary>
    public static int Number(in CelValue value, Span<byte> into)
    {
        int written;
        if (value.Kind == CelKind.Int) Utf8Formatter.TryFormat(value.Int, into, out written);
        else if (value.Kind == CelKind.UInt) Utf8Formatter.TryFormat(value.UInt, into, out written);
        else if (double.IsNaN(value.Double)) return Copy("nan"u8, into);
        else if (double.IsInfinity(value.Double)) return Copy(value.Double > 0 ? "inf"u8 : "-inf"u8, into);
        else value.Double.TryFormat(into, out written, "R", CultureInfo.InvariantCulture);
        return written;

        static int Copy(ReadOnlySpan<byte> from, Span<byte> into)
        {
            from.CopyTo(into);
            return from.Length;
        }
    }

    /// <summary>Appends a value as text.</summary>
    public static void Write(in CelValue value, LineBuffer into)
    {
        if (value.Kind is CelKind.List or CelKind.Map) WriteJson(value, into, 0);
        else if (value.Kind is CelKind.Text or CelKind.Bytes) into.Append(value.Bytes);
        else WriteSimple(value, into);
    }

    private static void WriteSimple(in CelValue value, LineBuffer into)
    {
        switch (value.Kind)
        {
            case CelKind.Bool: into.Append(value.IsTrue ? "true"u8 : "false"u8); break;
            case CelKind.Int or CelKind.UInt or CelKind.Double: into.Advance(Number(value, into.GetSpan(32))); break;
            case CelKind.Timestamp: into.Advance(CelTimes.Format(value, into.GetSpan(48), "+00:00"u8)); break;
            case CelKind.Duration: into.Advance(CelTimes.Short(value, into.GetSpan(48))); break;
            case CelKind.Type: into.Append(Encoding.UTF8.GetBytes(value.Word)); break;
            default: into.Append("null"u8); break;
        }
    }

    private static void WriteJson(in CelValue value, LineBuffer into, int depth)
    {
        switch (value.Kind)
        {
            case CelKind.List or CelKind.Map when depth < MostDeep && value.Count >= 0:
                bool map = value.Kind == CelKind.Map;
                into.Append((byte)(map ? '{' : '['));
                for (int i = 0; i < value.Count; i++)
                {
                    if (i > 0) into.Append((byte)',');
                    if (map)
                    {
                        CelValue key = value.Key(i);
                        if (key.Kind == CelKind.Text) WriteJson(key, into, depth);
                        else
                        {
                            into.Append((byte)'"');
                            WriteSimple(key, into);
                            into.Append((byte)'"');
                        }
                        into.Append((byte)':');
                    }
                    WriteJson(map ? value.ValueAt(i) : value[i], into, depth + 1);
                }
                into.Append((byte)(map ? '}' : ']'));
                break;
            case CelKind.Bool or CelKind.Int or CelKind.UInt: WriteSimple(value, into); break;
            case CelKind.Double when double.IsFinite(value.Double): WriteSimple(value, into); break;
            case CelKind.Text or CelKind.Bytes: MetaValue.Quote(value.Bytes, into); break;
            case CelKind.Timestamp or CelKind.Duration or CelKind.Type:
                into.Append((byte)'"');
                WriteSimple(value, into);
                into.Append((byte)'"');
                break;
            default: into.Append("null"u8); break;
        }
    }
}
