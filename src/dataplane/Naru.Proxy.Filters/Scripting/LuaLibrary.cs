// What scripts find in their world: the basic functions (reference manual 5.1), coroutines, math, os and LuaJIT's bit. Nothing reads
// files, starts programs or makes code of texts: those names are there, and say that they are not.
using System.Globalization;
using System.Text;

namespace Naru.Proxy.Filters.Scripting;

internal static class LuaLibrary
{
    /// <summary>Names of Lua that scripts do not have here.</summary>
    public static readonly IReadOnlySet<string> Absent = new HashSet<string>
    {
        "load", "loadstring", "loadfile", "dofile", "require", "module", "package", "io", "getfenv", "setfenv", "newproxy", "ffi", "jit",
    };

    private static readonly string[] s_absentOfSystem = ["execute", "exit", "getenv", "remove", "rename", "tmpname", "setlocale"];

    /// <summary>Fills a new world.</summary>
    public static void Open(LuaState state)
    {
        LuaTable globals = state.Globals;
        globals.Set("_G", globals);
        globals.Set("_VERSION", LuaValue.Of("Lua 5.1"));
        Basic(state);
        Coroutines(state);
        Mathematics(state);
        OperatingSystem(state);
        Bits(state);
        LuaStrings.Open(state);
        LuaTables.Open(state);
        var debug = new LuaTable(state);
        Add(debug, "traceback", static a => a.Thread.Give(a[0].ToText() is { } message
            ? LuaValue.Of($"{message}\n{a.Thread.Traceback()}") : a[0].IsNil ? LuaValue.Of(a.Thread.Traceback()) : a[0]));
        Missing(state, debug, "debug");
        globals.Set("debug", debug);
        foreach (string name in Absent)
        {
            if (name is "package" or "io" or "ffi" or "jit")
            {
                var table = new LuaTable(state);
                Missing(state, table, name);
                globals.Set(name, table);
            }
            else
            {
                Add(globals, name, _ => throw new LuaException($"{name} is not available"));
            }
        }
    }

    // Whatever else is asked of a table is said not to be there.
    private static void Missing(LuaState state, LuaTable table, string name)
    {
        var meta = new LuaTable(state);
        Add(meta, "__index", a => throw new LuaException($"{name}.{a[1].Shown} is not available"));
        table.Metatable = meta;
    }

    /// <summary>A function of the host's in a table.</summary>
    public static void Add(LuaTable table, string name, LuaHostCode code, LuaHostKind kind = LuaHostKind.Plain) =>
        table.Set(name, LuaValue.Of(new LuaHostFunction(name, code, kind)));

    /// <summary>Any value as a text, as its metatable says.</summary>
    public static LuaString Text(LuaThread thread, in LuaValue value)
    {
        if (value.Ref is LuaString text) return text;
        LuaValue meta = thread.State.Meta(value, LuaNames.Text);
        if (meta.IsNil) return new LuaString(value.IsNumber ? LuaNumbers.Format(value.Num) : Encoding.UTF8.GetBytes(value.ToString()));
        thread.Call(meta, value);
        return thread.Result.ToText() ?? throw new LuaException("'__tostring' must return a string");
    }

    private static void Basic(LuaState state)
    {
        LuaTable globals = state.Globals;
        Add(globals, "assert", static a =>
        {
            if (!a.Any(0).IsTrue) throw a.Count > 1 ? new LuaException(a[1]) : new LuaException("assertion failed!");
            for (int i = 0; i < a.Count; i++) a.Thread.Add(a[i]);
            return LuaOutcome.Done;
        });
        Add(globals, "collectgarbage", static a => a.Thread.Give(0));
        Add(globals, "error", static a =>
        {
            int level = a.Int(1, 1);
            if (a[0].Ref is not LuaString text || level <= 0) throw new LuaException(a[0]);
            throw new LuaException(LuaValue.Of(a.State.String([.. Encoding.UTF8.GetBytes(a.Thread.Place(level)), .. text.Bytes])));
        });
        Add(globals, "getmetatable", static a =>
        {
            if (a.State.MetatableOf(a.Any(0)) is not { } meta) return a.Thread.Give(LuaValue.Nil);
            LuaValue shown = meta.Get(LuaNames.Metatable);
            return a.Thread.Give(shown.IsNil ? meta : shown);
        });
        Add(globals, "setmetatable", static a =>
        {
            LuaTable table = a.Table(0);
            if (a.Count < 2 || (!a[1].IsNil && a[1].AsTable is null)) throw a.Wrong(1, "nil or table expected");
            if (table.Metatable is { } before && !before.Get(LuaNames.Metatable).IsNil)
                throw new LuaException("cannot change a protected metatable");
            table.Metatable = a[1].AsTable;
            return a.Thread.Give(table);
        });
        var next = new LuaHostFunction("next", static a =>
            a.Table(0).Next(a[1], out LuaValue key, out LuaValue value) ? a.Thread.Give(key, value) : a.Thread.Give(LuaValue.Nil));
        globals.Set("next", LuaValue.Of(next));
        Add(globals, "pairs", a =>
        {
            LuaValue meta = a.State.Meta(a.Any(0), LuaNames.Pairs);
            if (meta.IsNil) return a.Thread.Give(LuaValue.Of(next), a.Table(0), LuaValue.Nil);
            a.Thread.Call(meta, a[0]);
            LuaThread thread = a.Thread;
            return thread.Give(Nth(thread, 0), Nth(thread, 1), Nth(thread, 2));
        });
        var following = new LuaHostFunction("ipairs", static a =>
        {
            int index = a.Int(1) + 1;
            LuaValue value = a.Table(0).Get(index);
            return value.IsNil ? a.Thread.Give(LuaValue.Nil) : a.Thread.Give(index, value);
        });
        Add(globals, "ipairs", a => a.Thread.Give(LuaValue.Of(following), a.Table(0), 0));
        Add(globals, "pcall", static _ => LuaOutcome.Done, LuaHostKind.ProtectedCall);
        Add(globals, "xpcall", static _ => LuaOutcome.Done, LuaHostKind.ProtectedCallWithHandler);
        Add(globals, "rawequal", static a => a.Thread.Give(LuaValue.Of(a.State.RawEquals(a.Any(0), a.Any(1)))));
        Add(globals, "rawget", static a => a.Thread.Give(a.Table(0).Get(a.Any(1))));
        Add(globals, "rawset", static a =>
        {
            a.Table(0).Set(a.Any(1), a.Any(2));
            return a.Thread.Give(a[0]);
        });
        Add(globals, "rawlen", static a => a.Thread.Give(a[0].Ref is LuaString text ? text.Length : a.Table(0).Length));
        Add(globals, "select", static a =>
        {
            if (a[0].Ref is LuaString { Bytes: [(byte)'#'] }) return a.Thread.Give(a.Count - 1);
            int from = a.Int(0);
            if (from < 0) from = a.Count + from;
            if (from < 1) throw a.Wrong(0, "index out of range");
            for (int i = from; i < a.Count; i++) a.Thread.Add(a[i]);
            return LuaOutcome.Done;
        });
        Add(globals, "tonumber", static a => a.Thread.Give(ToNumber(a)));
        Add(globals, "tostring", static a => a.Thread.Give(Text(a.Thread, a.Any(0))));
        Add(globals, "type", static a => a.Thread.Give(LuaValue.Of(a.Any(0).TypeName)));
        Add(globals, "unpack", LuaTables.Unpack);
    }

    private static LuaValue Nth(LuaThread thread, int index) => index < thread.ResultCount ? thread.Results[index] : LuaValue.Nil;

    private static LuaValue ToNumber(LuaArguments a)
    {
        int radix = a.Int(1, 10);
        if (radix == 10) return a.Any(0).TryNumber(out double number) ? LuaValue.Of(number) : LuaValue.Nil;
        if (radix is < 2 or > 36) throw a.Wrong(1, "base out of range");
        a.State.Spend(a.Text(0).Length / 4);
        ReadOnlySpan<byte> text = LuaNumbers.Trim(a.Text(0).Bytes);
        bool negative = text.Length > 0 && text[0] == (byte)'-';
        if (negative) text = text[1..];
        if (radix == 16 && text.Length > 2 && text[0] == (byte)'0' && (text[1] | 0x20) == 'x') text = text[2..];
        if (text.IsEmpty) return LuaValue.Nil;
        double sum = 0;
        foreach (byte c in text)
        {
            int digit = LuaNumbers.Digit(c);
            if (digit >= radix) return LuaValue.Nil;
            sum = sum * radix + digit;
        }
        return LuaValue.Of(negative ? -sum : sum);
    }

    private static void Coroutines(LuaState state)
    {
        var table = new LuaTable(state);
        Add(table, "create", static a => a.Thread.Give(LuaValue.Of(new LuaThread(a.State, LuaValue.Of(a.Function(0))))));
        Add(table, "resume", static a =>
        {
            LuaThread other = a[0].Ref as LuaThread ?? throw a.Wrong(0, "coroutine expected");
            try
            {
                Resume(a.Thread, other, a, 1);
            }
            catch (LuaException e) when (e is not LuaLimitException)
            {
                a.State.SpendError();
                return a.Thread.Give(LuaValue.False, e.Value);
            }
            a.Thread.Give(LuaValue.True);
            for (int i = 0; i < other.ResultCount; i++) a.Thread.Add(other.Results[i]);
            return LuaOutcome.Done;
        });
        Add(table, "wrap", static a =>
        {
            var other = new LuaThread(a.State, LuaValue.Of(a.Function(0)));
            return a.Thread.Give(LuaValue.Of(new LuaHostFunction("wrap", b =>
            {
                Resume(b.Thread, other, b, 0);
                b.Thread.None();
                for (int i = 0; i < other.ResultCount; i++) b.Thread.Add(other.Results[i]);
                return LuaOutcome.Done;
            })
            { Holds = [other] }));
        });
        Add(table, "yield", static a =>
        {
            if (a.Thread.Resumer is null) throw new LuaException("attempt to yield from outside a coroutine");
            if (!a.Thread.MayWait) throw new LuaException("attempt to yield across C-call boundary");
            for (int i = 0; i < a.Count; i++) a.Thread.Add(a[i]);
            return LuaOutcome.Wait;
        });
        Add(table, "status", static a => a.Thread.Give(LuaValue.Of(
            (a[0].Ref as LuaThread ?? throw a.Wrong(0, "coroutine expected")).Status switch
            {
                LuaStatus.Suspended => "suspended",
                LuaStatus.Running => "running",
                LuaStatus.Normal => "normal",
                _ => "dead",
            })));
        Add(table, "running", static a => a.Thread.Give(LuaValue.Of(a.Thread), LuaValue.Of(a.Thread.Resumer is null)));
        Add(table, "isyieldable", static a => a.Thread.Give(LuaValue.Of(a.Thread.Resumer is not null && a.Thread.MayWait)));
        state.Globals.Set("coroutine", table);
    }

    private static void Resume(LuaThread by, LuaThread other, LuaArguments a, int from)
    {
        if (other.Status != LuaStatus.Suspended)
            throw new LuaException($"cannot resume {(other.Status == LuaStatus.Dead ? "dead" : "non-suspended")} coroutine");
        LuaState state = by.State;
        if (state.Nested >= LuaState.MostNested) throw new LuaException("C stack overflow");
        other.None();
        for (int i = from; i < a.Count; i++) other.Add(a[i]);
        state.Nested++;
        try
        {
            other.Resume();
        }
        finally
        {
            state.Nested--;
        }
    }

    private static void Mathematics(LuaState state)
    {
        var table = new LuaTable(state);
        table.Set("pi", Math.PI);
        table.Set("huge", double.PositiveInfinity);
        One("abs", Math.Abs);
        One("acos", Math.Acos);
        One("asin", Math.Asin);
        One("atan", Math.Atan);
        One("ceil", Math.Ceiling);
        One("cos", Math.Cos);
        One("cosh", Math.Cosh);
        One("deg", static x => x * (180 / Math.PI));
        One("exp", Math.Exp);
        One("floor", Math.Floor);
        One("log10", Math.Log10);
        One("rad", static x => x * (Math.PI / 180));
        One("sin", Math.Sin);
        One("sinh", Math.Sinh);
        One("sqrt", Math.Sqrt);
        One("tan", Math.Tan);
        One("tanh", Math.Tanh);
        Add(table, "atan2", static a => a.Thread.Give(Math.Atan2(a.Number(0), a.Number(1))));
        Add(table, "fmod", static a => a.Thread.Give(a.Number(0) % a.Number(1)));
        Add(table, "pow", static a => a.Thread.Give(Math.Pow(a.Number(0), a.Number(1))));
        Add(table, "ldexp", static a => a.Thread.Give(Math.ScaleB(a.Number(0), a.Int(1))));
        Add(table, "log", static a => a.Thread.Give(a[1].IsNil ? Math.Log(a.Number(0)) : Math.Log(a.Number(0)) / Math.Log(a.Number(1))));
        Add(table, "modf", static a =>
        {
            double number = a.Number(0), whole = Math.Truncate(number);
            return a.Thread.Give(whole, double.IsInfinity(number) ? 0 : number - whole);
        });
        Add(table, "frexp", static a =>
        {
            double number = a.Number(0);
            if (number == 0 || !double.IsFinite(number)) return a.Thread.Give(number, 0);
            int exponent = Math.ILogB(number) + 1;
            return a.Thread.Give(Math.ScaleB(number, -exponent), exponent);
        });
        Add(table, "max", static a =>
        {
            double most = a.Number(0);
            for (int i = 1; i < a.Count; i++) most = a.Number(i) > most ? a.Number(i) : most;
            return a.Thread.Give(most);
        });
        Add(table, "min", static a =>
        {
            double least = a.Number(0);
            for (int i = 1; i < a.Count; i++) least = a.Number(i) < least ? a.Number(i) : least;
            return a.Thread.Give(least);
        });
        Add(table, "random", static a =>
        {
            double chance = a.State.Chance();
            if (a.Count == 0) return a.Thread.Give(chance);
            double from = a.Count > 1 ? Math.Floor(a.Number(0)) : 1, to = Math.Floor(a.Number(a.Count > 1 ? 1 : 0));
            if (!(from <= to)) throw a.Wrong(a.Count > 1 ? 1 : 0, "interval is empty");
            return a.Thread.Give(Math.Floor(chance * (to - from + 1)) + from);
        });
        Add(table, "randomseed", static a =>
        {
            var seeded = new Random(a.Number(0).GetHashCode());
            a.State.Chance = seeded.NextDouble;
            return a.Thread.None();
        });
        state.Globals.Set("math", table);

        void One(string name, Func<double, double> of) => Add(table, name, a => a.Thread.Give(of(a.Number(0))));
    }

    private static void OperatingSystem(LuaState state)
    {
        var table = new LuaTable(state);
        Add(table, "clock", static a => a.Thread.Give(a.State.Time.GetElapsedTime(0).TotalSeconds));
        Add(table, "difftime", static a => a.Thread.Give(a.Number(0) - (a[1].IsNil ? 0 : a.Number(1))));
        Add(table, "time", static a =>
        {
            if (a[0].IsNil) return a.Thread.Give(a.State.Time.GetUtcNow().ToUnixTimeSeconds());
            return a.Thread.Give(LuaDates.Time(a));
        });
        Add(table, "date", static a => a.Thread.Give(LuaDates.Date(a)));
        foreach (string name in s_absentOfSystem) Add(table, name, _ => throw new LuaException($"os.{name} is not available"));
        state.Globals.Set("os", table);
    }

    private static void Bits(LuaState state)
    {
        var table = new LuaTable(state);
        Add(table, "tobit", static a => a.Thread.Give(Bit(a, 0)));
        Add(table, "bnot", static a => a.Thread.Give(~Bit(a, 0)));
        Add(table, "band", static a => a.Thread.Give(Fold(a, static (x, y) => x & y)));
        Add(table, "bor", static a => a.Thread.Give(Fold(a, static (x, y) => x | y)));
        Add(table, "bxor", static a => a.Thread.Give(Fold(a, static (x, y) => x ^ y)));
        Add(table, "lshift", static a => a.Thread.Give(Bit(a, 0) << (Bit(a, 1) & 31)));
        Add(table, "rshift", static a => a.Thread.Give((int)((uint)Bit(a, 0) >> (Bit(a, 1) & 31))));
        Add(table, "arshift", static a => a.Thread.Give(Bit(a, 0) >> (Bit(a, 1) & 31)));
        Add(table, "rol", static a => a.Thread.Give((int)uint.RotateLeft((uint)Bit(a, 0), Bit(a, 1) & 31)));
        Add(table, "ror", static a => a.Thread.Give((int)uint.RotateRight((uint)Bit(a, 0), Bit(a, 1) & 31)));
        Add(table, "bswap", static a => a.Thread.Give(System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(Bit(a, 0))));
        Add(table, "tohex", static a =>
        {
            int digits = a.Int(1, 8);
            bool upper = digits < 0;
            digits = (int)Math.Min(Math.Abs((long)digits), 8);
            string all = ((uint)Bit(a, 0)).ToString(upper ? "X8" : "x8", CultureInfo.InvariantCulture);
            return a.Thread.Give(LuaValue.Of(all[(8 - digits)..]));
        });
        state.Globals.Set("bit", table);
    }

    private static int Fold(LuaArguments a, Func<int, int, int> with)
    {
        int all = Bit(a, 0);
        for (int i = 1; i < a.Count; i++) all = with(all, Bit(a, i));
        return all;
    }

    // Modulo 2^32 (LuaJIT: bit operations).
    private static int Bit(LuaArguments a, int index)
    {
        double number = Math.Round(a.Number(index) % 4294967296.0);
        return double.IsFinite(number) ? unchecked((int)(long)number) : 0;
    }
}
