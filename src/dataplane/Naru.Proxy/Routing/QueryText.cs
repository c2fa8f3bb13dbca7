// Parameters of a query by their names as services read them: without escapes, each where it stands (RFC 3986 2.1, 3.4).
using Naru.Proxy.Http;

namespace Naru.Proxy.Routing;

/// <summary>Parameters of a query, as services read them.</summary>
internal static class QueryText
{
    /// <summary>A name or value without its escapes (RFC 3986 2.1); in a value of a form a plus is a blank, and keys have none.</summary>
    public static ReadOnlySpan<byte> Decode(ReadOnlySpan<byte> written, Span<byte> into)
    {
        if (!written.Contains((byte)'%')) return written;
        int length = 0;
        for (int i = 0; i < written.Length; i++, length++)
        {
            byte b = written[i];
            if (b == '%' && i + 2 < written.Length
                && Convert.FromHexString(written.Slice(i + 1, 2), into[length..], out _, out _) == System.Buffers.OperationStatus.Done)
                i += 2;
            else into[length] = b;
        }
        return into[..length];
    }

    /// <summary>The same, for those who keep it.</summary>
    public static byte[] Decoded(ReadOnlySpan<byte> written) => Decode(written, new byte[written.Length]).ToArray();

    /// <summary>Takes all parameters of a name out; others stay in their place, letter by letter.</summary>
    public static void Remove(Exchange x, byte[] name)
    {
        ReadOnlySpan<byte> query = x.Query;
        if (query.IsEmpty) return;
        byte[] room = new byte[query.Length];
        var left = new List<byte>(x.Path.Length + query.Length + 1);
        left.AddRange(x.Path);
        bool any = false, removed = false;
        foreach (Range range in query.Split((byte)'&'))
        {
            ReadOnlySpan<byte> parameter = query[range];
            int equals = parameter.IndexOf((byte)'=');
            if (Decode(equals < 0 ? parameter : parameter[..equals], room).SequenceEqual(name))
            {
                removed = true;
                continue;
            }
            left.Add(any ? (byte)'&' : (byte)'?');
            left.AddRange(parameter);
            any = true;
        }
        if (removed) x.RequestHeaders.SetPath(left.ToArray());
    }
}
