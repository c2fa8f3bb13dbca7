// Operators of expressions (cel-spec, "Standard Definitions"): numbers compare whatever kind they are of, other kinds are never equal to
// each other, and whole numbers that do not fit are errors.
namespace Naru.Telemetry;

internal static class CelOperators
{
    // A list within a list and so on: built ones are as deep as the tree, metadata as its configuration.
    private const int MostDeep = 128;

    public static CelValue Member(Evaluation e, in CelValue of, in CelValue key)
    {
        switch (of.Object)
        {
            case CelObject known:
                return key.Kind == CelKind.Text ? known.Find(e, key.Bytes) : CelValue.Absent;
            case MetaValue { Kind: MetaKind.Map } meta:
                return key.Kind == CelKind.Text && meta.Find(key.Bytes) is { } found ? CelValue.Of(found) : CelValue.Absent;
            case CelMap map:
                for (int i = 0; i < map.Count; i++)
                {
                    if (!e.Spend(1)) return CelValue.Spent;
                    if (Equal(e, map.Key(i), key)) return map.Value(i);
                }
                return CelValue.Absent;
            default:
                return CelValue.NoOverload;
        }
    }

    public static CelValue Index(Evaluation e, in CelValue of, in CelValue key)
    {
        if (of.Kind != CelKind.List) return Member(e, of, key);
        double at = key.Kind switch { CelKind.Int => key.Int, CelKind.UInt => key.UInt, CelKind.Double => key.Double, _ => double.NaN };
        if (at != Math.Floor(at)) return CelValue.NoOverload;
        return at >= 0 && at < of.Count ? of[(int)at] : CelValue.Error("the index is out of range");
    }

    public static CelValue In(Evaluation e, in CelValue item, in CelValue of)
    {
        if (of.Kind == CelKind.Map)
        {
            CelValue found = Member(e, of, item);
            return found.IsError && !found.IsAbsent ? found : CelValue.Of(!found.IsError);
        }
        if (of.Kind != CelKind.List) return CelValue.NoOverload;
        for (int i = 0; i < of.Count; i++)
        {
            if (!e.Spend(1)) return CelValue.Spent;
            if (Equal(e, of[i], item)) return CelValue.Of(true);
        }
        return CelValue.Of(false);
    }

    public static CelValue Equals(Evaluation e, in CelValue left, in CelValue right) => CelValue.Of(Equal(e, left, right));

    public static CelValue Differs(Evaluation e, in CelValue left, in CelValue right) => CelValue.Of(!Equal(e, left, right));

    // Where the budget ends it says anything: the evaluation is an error then.
    public static bool Equal(Evaluation e, in CelValue left, in CelValue right, int depth = 0)
    {
        if (left.IsNumber && right.IsNumber) return Order(left, right) == 0;
        if (left.Kind != right.Kind) return false;
        switch (left.Kind)
        {
            case CelKind.Null: return true;
            case CelKind.Bool: return left.Int == right.Int;
            case CelKind.Text or CelKind.Bytes:
                return e.Spend(Math.Min(left.Bytes.Length, right.Bytes.Length) / 16) && left.Bytes.SequenceEqual(right.Bytes);
            case CelKind.Timestamp or CelKind.Duration: return left.Seconds == right.Seconds && left.Nanos == right.Nanos;
            case CelKind.Type: return left.Word == right.Word;
            case CelKind.List or CelKind.Map:
                if (left.Count != right.Count || left.Count < 0 || depth > MostDeep) return false;
                for (int i = 0; i < left.Count; i++)
                {
                    if (!e.Spend(1)) return false;
                    if (left.Kind == CelKind.List ? !Equal(e, left[i], right[i], depth + 1)
                        : Member(e, right, left.Key(i)) is not { IsError: false } other
                            || !Equal(e, left.ValueAt(i), other, depth + 1)) return false;
                }
                return true;
            default: return false;
        }
    }

    public static CelValue Less(Evaluation e, in CelValue left, in CelValue right) => Ordered(e, left, right, static o => o == -1);

    public static CelValue LessOrEqual(Evaluation e, in CelValue left, in CelValue right) =>
        Ordered(e, left, right, static o => o is -1 or 0);

    public static CelValue Greater(Evaluation e, in CelValue left, in CelValue right) => Ordered(e, left, right, static o => o == 1);

    public static CelValue GreaterOrEqual(Evaluation e, in CelValue left, in CelValue right) =>
        Ordered(e, left, right, static o => o is 1 or 0);

    private static CelValue Ordered(Evaluation e, in CelValue left, in CelValue right, Func<int, bool> holds)
    {
        if (left.IsNumber && right.IsNumber) return CelValue.Of(holds(Order(left, right)));
        if (left.Kind != right.Kind) return CelValue.NoOverload;
        switch (left.Kind)
        {
            case CelKind.Bool: return CelValue.Of(holds(left.Int.CompareTo(right.Int)));
            case CelKind.Text or CelKind.Bytes:
                return e.Spend(Math.Min(left.Bytes.Length, right.Bytes.Length) / 16)
                    ? CelValue.Of(holds(Math.Sign(left.Bytes.SequenceCompareTo(right.Bytes)))) : CelValue.Spent;
            case CelKind.Timestamp or CelKind.Duration:
                return CelValue.Of(holds(left.Seconds != right.Seconds ? left.Seconds.CompareTo(right.Seconds)
                    : left.Nanos.CompareTo(right.Nanos)));
            default: return CelValue.NoOverload;
        }
    }

    // -1, 0, 1; 2 where one is no number at all.
    private static int Order(in CelValue left, in CelValue right) => (left.Kind, right.Kind) switch
    {
        (CelKind.Int, CelKind.Int) => left.Int.CompareTo(right.Int),
        (CelKind.UInt, CelKind.UInt) => left.UInt.CompareTo(right.UInt),
        (CelKind.Int, CelKind.UInt) => left.Int < 0 ? -1 : ((ulong)left.Int).CompareTo(right.UInt),
        (CelKind.UInt, CelKind.Int) => right.Int < 0 ? 1 : left.UInt.CompareTo((ulong)right.Int),
        (CelKind.Double, CelKind.Double) => double.IsNaN(left.Double) || double.IsNaN(right.Double) ? 2
            : left.Double.CompareTo(right.Double),
        (CelKind.Double, _) => Order(left.Double, right),
        _ => Order(right.Double, left) is 2 ? 2 : -Order(right.Double, left),
    };

    // Exactly, where a conversion to double would round.
    private static int Order(double left, in CelValue right)
    {
        if (double.IsNaN(left)) return 2;
        Int128 whole = right.Kind == CelKind.Int ? right.Int : right.UInt;
        if (left >= 1e20) return 1;
        if (left <= -1e20) return -1;
        double floor = Math.Floor(left);
        int order = ((Int128)floor).CompareTo(whole);
        return order != 0 ? Math.Sign(order) : left > floor ? 1 : 0;
    }

    public static CelValue Add(Evaluation e, in CelValue left, in CelValue right)
    {
        switch (left.Kind, right.Kind)
        {
            case (CelKind.Int, CelKind.Int):
                long sum = unchecked(left.Int + right.Int);
                return ((left.Int ^ sum) & (right.Int ^ sum)) < 0 ? CelValue.Overflow : CelValue.Of(sum);
            case (CelKind.UInt, CelKind.UInt):
                return left.UInt > ulong.MaxValue - right.UInt ? CelValue.Overflow : CelValue.Of(left.UInt + right.UInt);
            case (CelKind.Double, CelKind.Double): return CelValue.Of(left.Double + right.Double);
            case (CelKind.Text, CelKind.Text) or (CelKind.Bytes, CelKind.Bytes):
                int length = left.Bytes.Length + right.Bytes.Length;
                if (!e.Spend(length / 16)) return CelValue.Spent;
                Span<byte> room = e.Room(length);
                left.Bytes.CopyTo(room);
                right.Bytes.CopyTo(room[left.Bytes.Length..]);
                CelValue joined = e.Take(length);
                return joined.IsError ? joined : joined.As(left.Kind);
            case (CelKind.List, CelKind.List):
                // What is copied at worst: a list that others have grown already.
                return e.Spend(right.Count) ? Joined(e, left, right) : CelValue.Spent;
            case (CelKind.Timestamp, CelKind.Duration): return CelValue.Timestamp(left.Seconds + right.Seconds, left.Nanos + right.Nanos);
            case (CelKind.Duration, CelKind.Timestamp): return CelValue.Timestamp(left.Seconds + right.Seconds, left.Nanos + right.Nanos);
            case (CelKind.Duration, CelKind.Duration): return CelValue.Duration(left.Seconds + right.Seconds, left.Nanos + right.Nanos);
            default: return CelValue.NoOverload;
        }
    }

    private static CelValue Joined(Evaluation e, in CelValue left, in CelValue right)
    {
        CelValue joined = CelList.Join(left, right);
        return ReferenceEquals(joined.Object, left.Object) || ReferenceEquals(joined.Object, right.Object) || e.Spend(left.Count) ? joined
            : CelValue.Spent;
    }

    public static CelValue Subtract(Evaluation e, in CelValue left, in CelValue right)
    {
        switch (left.Kind, right.Kind)
        {
            case (CelKind.Int, CelKind.Int):
                long difference = unchecked(left.Int - right.Int);
                return ((left.Int ^ right.Int) & (left.Int ^ difference)) < 0 ? CelValue.Overflow : CelValue.Of(difference);
            case (CelKind.UInt, CelKind.UInt): return left.UInt < right.UInt ? CelValue.Overflow : CelValue.Of(left.UInt - right.UInt);
            case (CelKind.Double, CelKind.Double): return CelValue.Of(left.Double - right.Double);
            case (CelKind.Timestamp, CelKind.Duration): return CelValue.Timestamp(left.Seconds - right.Seconds, left.Nanos - right.Nanos);
            case (CelKind.Timestamp, CelKind.Timestamp) or (CelKind.Duration, CelKind.Duration):
                return CelValue.Duration(left.Seconds - right.Seconds, left.Nanos - right.Nanos);
            default: return CelValue.NoOverload;
        }
    }

    public static CelValue Multiply(Evaluation e, in CelValue left, in CelValue right) => (left.Kind, right.Kind) switch
    {
        (CelKind.Int, CelKind.Int) => (Int128)left.Int * right.Int is var product && product >= long.MinValue && product <= long.MaxValue
            ? CelValue.Of((long)product) : CelValue.Overflow,
        (CelKind.UInt, CelKind.UInt) => (UInt128)left.UInt * right.UInt is var product && product <= ulong.MaxValue
            ? CelValue.Of((ulong)product) : CelValue.Overflow,
        (CelKind.Double, CelKind.Double) => CelValue.Of(left.Double * right.Double),
        _ => CelValue.NoOverload,
    };

    public static CelValue Divide(Evaluation e, in CelValue left, in CelValue right) => (left.Kind, right.Kind) switch
    {
        (CelKind.Int, CelKind.Int) => right.Int == 0 ? CelValue.Error("division by zero")
            : left.Int == long.MinValue && right.Int == -1 ? CelValue.Overflow : CelValue.Of(left.Int / right.Int),
        (CelKind.UInt, CelKind.UInt) => right.UInt == 0 ? CelValue.Error("division by zero") : CelValue.Of(left.UInt / right.UInt),
        (CelKind.Double, CelKind.Double) => CelValue.Of(left.Double / right.Double),
        _ => CelValue.NoOverload,
    };

    public static CelValue Remainder(Evaluation e, in CelValue left, in CelValue right) => (left.Kind, right.Kind) switch
    {
        (CelKind.Int, CelKind.Int) => right.Int == 0 ? CelValue.Error("modulus by zero")
            : left.Int == long.MinValue && right.Int == -1 ? CelValue.Overflow : CelValue.Of(left.Int % right.Int),
        (CelKind.UInt, CelKind.UInt) => right.UInt == 0 ? CelValue.Error("modulus by zero") : CelValue.Of(left.UInt % right.UInt),
        _ => CelValue.NoOverload,
    };

    public static CelValue Negate(Evaluation e, in CelValue value) => value.Kind switch
    {
        CelKind.Int => value.Int == long.MinValue ? CelValue.Overflow : CelValue.Of(-value.Int),
        CelKind.Double => CelValue.Of(-value.Double),
        _ => CelValue.NoOverload,
    };

    public static CelValue Not(Evaluation e, in CelValue value) => value.Kind == CelKind.Bool ? CelValue.Of(!value.IsTrue)
        : CelValue.NoOverload;
}
