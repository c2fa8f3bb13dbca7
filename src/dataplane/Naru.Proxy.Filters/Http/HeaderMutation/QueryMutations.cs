// Changes of the parameters in a request's path. What is not changed stays as it came, in its place and letter by letter; what is added is
// encoded, so that a value can neither become two parameters nor end the path.
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.HeaderMutation;

internal static class QueryMutations
{
    // Rewritten from one to the other, one change at a time.
    [ThreadStatic]
    private static LineBuffer? t_path, t_next;

    /// <summary>Makes the changes one after the other.</summary>
    public static void Apply(Mutation[] mutations, FilterCall call)
    {
        if (!call.Request.TryGet(":path"u8, out ReadOnlySpan<byte> target)) return;
        LineBuffer path = t_path ??= new LineBuffer(), next = t_next ??= new LineBuffer();
        path.Clear();
        path.Append(target);
        foreach (Mutation mutation in mutations)
        {
            next.Clear();
            One(mutation, call, path.Written, next);
            (path, next) = (next, path);
        }
        call.Request.SetPath(path.Written);
    }

    private static void One(Mutation mutation, FilterCall call, ReadOnlySpan<byte> target, LineBuffer into)
    {
        int question = target.IndexOf((byte)'?');
        ReadOnlySpan<byte> query = question < 0 ? default : target[(question + 1)..];
        into.Append(question < 0 ? target : target[..question]);
        bool overwrites = mutation.Added?.Action is HeaderAppendAction.OverwriteIfExists or HeaderAppendAction.OverwriteIfExistsOrAdd;
        bool there = false;
        byte separator = (byte)'?';
        while (!query.IsEmpty)
        {
            int end = query.IndexOf((byte)'&');
            ReadOnlySpan<byte> parameter = end < 0 ? query : query[..end];
            query = end < 0 ? default : query[(end + 1)..];
            int equals = parameter.IndexOf((byte)'=');
            bool meant = IsNamed(equals < 0 ? parameter : parameter[..equals], mutation.Name);
            there |= meant;
            if (meant && (mutation.Added is null || overwrites)) continue;
            into.Append(separator);
            into.Append(parameter);
            separator = (byte)'&';
        }
        if (mutation.Added is not { } added) return;
        if (added.Action == HeaderAppendAction.AddIfAbsent ? there : added.Action == HeaderAppendAction.OverwriteIfExists && !there) return;
        into.Append(separator);
        Encode(into, mutation.Name);
        into.Append((byte)'=');
        Encode(into, added.Value.Value(call.Exchange, call.Exchange.Scratch));
    }

    // However it is written (RFC 3986 2.1; a plus stands for a blank in forms, and here for itself).
    private static bool IsNamed(ReadOnlySpan<byte> written, ReadOnlySpan<byte> name)
    {
        int at = 0;
        for (int i = 0; i < written.Length; i++, at++)
        {
            byte b = written[i];
            if (b == '%' && i + 2 < written.Length && IsHex(written[i + 1]) && IsHex(written[i + 2]))
            {
                b = (byte)(Digit(written[i + 1]) << 4 | Digit(written[i + 2]));
                i += 2;
            }
            if (at >= name.Length || b != name[at]) return false;
        }
        return at == name.Length;
    }

    private static bool IsHex(byte b) => char.IsAsciiHexDigit((char)b);

    private static int Digit(byte hex) => hex <= '9' ? hex - '0' : (hex | 0x20) - 'a' + 10;

    private static void Encode(LineBuffer into, ReadOnlySpan<byte> text)
    {
        foreach (byte b in text)
        {
            if (char.IsAsciiLetterOrDigit((char)b) || "-._~/:@,"u8.Contains(b))
            {
                into.Append(b);
                continue;
            }
            into.Append((byte)'%');
            into.Append("0123456789ABCDEF"u8[b >> 4]);
            into.Append("0123456789ABCDEF"u8[b & 15]);
        }
    }
}
