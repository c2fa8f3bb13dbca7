// The library of tables (reference manual 5.5), with pack, unpack and move of later versions.
namespace Naru.Proxy.Filters.Scripting;

internal static class LuaTables
{
    public static void Open(LuaState state)
    {
        var table = new LuaTable(state);
        LuaLibrary.Add(table, "concat", Concat);
        LuaLibrary.Add(table, "insert", Insert);
        LuaLibrary.Add(table, "remove", Remove);
        LuaLibrary.Add(table, "sort", Sort);
        LuaLibrary.Add(table, "unpack", Unpack);
        LuaLibrary.Add(table, "getn", static a => a.Thread.Give(a.Table(0).Length));
        LuaLibrary.Add(table, "maxn", static a =>
        {
            double most = 0;
            LuaValue key = default;
            while (a.Table(0).Next(key, out key, out _))
            {
                a.State.Spend(1);
                if (key.IsNumber && key.Num > most) most = key.Num;
            }
            return a.Thread.Give(most);
        });
        LuaLibrary.Add(table, "pack", static a =>
        {
            var all = new LuaTable(a.State);
            for (int i = 0; i < a.Count; i++) all.Set(i + 1, a[i]);
            all.Set("n", a.Count);
            return a.Thread.Give(all);
        });
        LuaLibrary.Add(table, "foreach", static a =>
        {
            LuaTable of = a.Table(0);
            LuaFunction function = a.Function(1);
            LuaValue key = default;
            while (of.Next(key, out key, out LuaValue value))
            {
                a.Thread.Call(LuaValue.Of(function), key, value);
                if (!a.Thread.Result.IsNil) return a.Thread.Give(a.Thread.Result);
            }
            return a.Thread.None();
        });
        LuaLibrary.Add(table, "foreachi", static a =>
        {
            LuaTable of = a.Table(0);
            LuaFunction function = a.Function(1);
            int count = of.Length;
            for (int i = 1; i <= count; i++)
            {
                a.Thread.Call(LuaValue.Of(function), i, of.Get(i));
                if (!a.Thread.Result.IsNil) return a.Thread.Give(a.Thread.Result);
            }
            return a.Thread.None();
        });
        LuaLibrary.Add(table, "move", static a =>
        {
            LuaTable from = a.Table(0), to = a[4].IsNil ? from : a.Table(4);
            int first = a.Int(1), last = a.Int(2), at = a.Int(3);
            if (last < first) return a.Thread.Give(to);
            if ((long)last - first >= a.State.Limits.Instructions) throw a.Wrong(2, "too many elements to move");
            a.State.Spend(last - first);
            if (at <= first || at > last || to != from)
                for (int i = 0; i <= last - first; i++) to.Set(LuaValue.Of((double)at + i), from.Get(first + i));
            else for (int i = last - first; i >= 0; i--) to.Set(LuaValue.Of((double)at + i), from.Get(first + i));
            return a.Thread.Give(to);
        });
        state.Globals.Set("table", table);
    }

    /// <summary>The values of a table as results.</summary>
    public static LuaOutcome Unpack(LuaArguments a)
    {
        LuaTable table = a.Table(0);
        int from = a.Int(1, 1), to = a[2].IsNil ? table.Length : a.Int(2);
        if (from > to) return a.Thread.None();
        if ((long)to - from >= a.State.Limits.Stack / 2) throw new LuaException("too many results to unpack");
        a.State.Spend(to - from);
        for (long i = from; i <= to; i++) a.Thread.Add(table.Get((int)i));
        return LuaOutcome.Done;
    }

    private static LuaOutcome Concat(LuaArguments a)
    {
        LuaTable table = a.Table(0);
        byte[] separator = a.TextOrNone(1)?.Bytes ?? [];
        int from = a.Int(2, 1), to = a[3].IsNil ? table.Length : a.Int(3);
        if (from > to) return a.Thread.Give(LuaString.Empty);
        var parts = new List<byte[]>();
        long length = 0;
        for (long i = from; i <= to; i++)
        {
            a.State.Spend(1);
            LuaValue value = table.Get((int)i);
            LuaString text = value.ToText() ?? throw new LuaException($"invalid value (at index {i}) in table for 'concat'");
            parts.Add(text.Bytes);
            length += text.Length + (i < to ? separator.Length : 0);
            a.State.CheckSize(length);
        }
        a.State.Spend(length / 16);
        byte[] joined = new byte[length];
        int at = 0;
        for (int i = 0; i < parts.Count; i++)
        {
            if (i > 0)
            {
                separator.CopyTo(joined, at);
                at += separator.Length;
            }
            parts[i].CopyTo(joined, at);
            at += parts[i].Length;
        }
        return a.Thread.Give(a.State.String(joined));
    }

    private static LuaOutcome Insert(LuaArguments a)
    {
        LuaTable table = a.Table(0);
        int count = table.Length;
        if (a.Count == 2)
        {
            table.Set(count + 1, a[1]);
            return a.Thread.None();
        }
        if (a.Count != 3) throw new LuaException("wrong number of arguments to 'insert'");
        int at = a.Int(1);
        if (at < 1 || at > count + 1)
        {
            // Outside it is a field like any other.
            table.Set(at, a[2]);
            return a.Thread.None();
        }
        a.State.Spend((count - at + 1) / 2);
        for (int i = count; i >= at; i--) table.Set(i + 1, table.Get(i));
        table.Set(at, a[2]);
        return a.Thread.None();
    }

    private static LuaOutcome Remove(LuaArguments a)
    {
        LuaTable table = a.Table(0);
        int count = table.Length, at = a.Int(1, count);
        if (at < 1 || at > count) return a.Thread.Give(LuaValue.Nil);
        LuaValue taken = table.Get(at);
        a.State.Spend((count - at) / 2);
        for (int i = at; i < count; i++) table.Set(i, table.Get(i + 1));
        table.Set(count, LuaValue.Nil);
        return a.Thread.Give(taken);
    }

    // By merging: ends after as many comparisons as there are, whatever the function says.
    private static LuaOutcome Sort(LuaArguments a)
    {
        LuaTable table = a.Table(0);
        LuaValue by = a[1].IsNil ? default : LuaValue.Of(a.Function(1));
        int count = table.Length;
        a.State.Spend(count);
        a.State.Charge((long)count * 32);
        var values = new LuaValue[count];
        var other = new LuaValue[count];
        for (int i = 0; i < count; i++) values[i] = table.Get(i + 1);
        LuaThread thread = a.Thread;
        a.State.Aside += (long)count * 32;
        try
        {
            Merge(thread, by, ref values, other);
        }
        finally
        {
            a.State.Aside -= (long)count * 32;
        }
        for (int i = 0; i < count; i++) table.Set(i + 1, values[i]);
        return thread.None();
    }

    private static void Merge(LuaThread thread, in LuaValue by, ref LuaValue[] values, LuaValue[] other)
    {
        int count = values.Length;
        for (int width = 1; width < count; width *= 2)
        {
            for (int from = 0; from < count; from += 2 * width)
            {
                int middle = Math.Min(from + width, count), end = Math.Min(from + 2 * width, count);
                for (int i = from, left = from, right = middle; i < end; i++)
                    other[i] = left < middle && (right >= end || !Less(thread, by, values[right], values[left]))
                        ? values[left++] : values[right++];
            }
            (values, other) = (other, values);
        }
    }

    private static bool Less(LuaThread thread, in LuaValue by, in LuaValue left, in LuaValue right)
    {
        thread.State.Spend(1);
        if (by.IsNil)
        {
            if (left.IsNumber && right.IsNumber) return left.Num < right.Num;
            if (left.Ref is LuaString a && right.Ref is LuaString b)
            {
                thread.State.Spend(Math.Min(a.Length, b.Length) / 16);
                return a.Bytes.AsSpan().SequenceCompareTo(b.Bytes) < 0;
            }
            LuaValue meta = thread.State.Meta(left, LuaNames.Less);
            if (meta.IsNil) meta = thread.State.Meta(right, LuaNames.Less);
            if (meta.IsNil) throw new LuaException($"attempt to compare {left.TypeName} with {right.TypeName}");
            thread.Call(meta, left, right);
        }
        else
        {
            thread.Call(by, left, right);
        }
        return thread.Result.IsTrue;
    }
}
