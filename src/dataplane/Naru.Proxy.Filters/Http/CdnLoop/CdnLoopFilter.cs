// Counts how often a request has passed this network, as CDN-Loop tells it, refuses one that did too often, and adds this network.
using System.Text;

namespace Naru.Proxy.Filters.Http.CdnLoop;

internal sealed class CdnLoopFilter(CdnLoopSettings settings) : HttpFilter
{
    private readonly byte[] _id = Encoding.UTF8.GetBytes(settings.Id);

    public override FilterStages Stages => FilterStages.RequestHead;

    public override bool IsPure(object? said) => true;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call) => new(Ask(call));

    private FilterVerdict Ask(FilterCall call)
    {
        long passed = 0;
        for (int i = call.Request.Next("cdn-loop"u8); i >= 0; i = call.Request.Next("cdn-loop"u8, i + 1))
        {
            int found = CdnInfo.Count(call.Request.Value(i), _id);
            if (found < 0) return call.Answer(FilterReasons.CdnHeader, "Invalid CDN-Loop header in request.");
            passed += found;
        }
        if (passed > settings.Most) return call.Answer(FilterReasons.CdnLoop, "The server has detected a loop between CDNs.");
        call.Request.Join("cdn-loop"u8, _id, ","u8);
        return FilterVerdict.Go;
    }
}

/// <summary>The grammar of <c>CDN-Loop</c>: names of networks with parameters, with commas (RFC 8586 2, RFC 9110 5.6).</summary>
internal static class CdnInfo
{
    private static readonly System.Buffers.SearchValues<byte> s_token = System.Buffers.SearchValues.Create(
        "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"u8);

    // A registered name may have these, too (RFC 3986 3.2.2); a comma or a semicolon in one could not be told from the list's own.
    private static readonly System.Buffers.SearchValues<byte> s_host = System.Buffers.SearchValues.Create(
        "!#$%&'()*+-.=^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"u8);

    private static readonly System.Buffers.SearchValues<byte> s_inBrackets =
        System.Buffers.SearchValues.Create("0123456789abcdefABCDEFvV.:_~-"u8);

    /// <summary>A name of a network, whole.</summary>
    public static bool IsId(ReadOnlySpan<byte> text) => Id(text) == text.Length;

    /// <summary>How often a name stands in a list; -1 for what is no list.</summary>
    public static int Count(ReadOnlySpan<byte> list, ReadOnlySpan<byte> id)
    {
        int count = 0;
        while (true)
        {
            list = list.TrimStart(" \t"u8);
            if (list.IsEmpty) return count;
            if (list[0] != ',')
            {
                int length = Id(list);
                if (length <= 0) return -1;
                if (list[..length].SequenceEqual(id)) count++;
                list = list[length..];
                if (!Parameters(ref list)) return -1;
            }
            if (list.IsEmpty) return count;
            if (list[0] != ',') return -1;
            list = list[1..];
        }
    }

    // Length of the name that begins here; 0 for none.
    private static int Id(ReadOnlySpan<byte> text)
    {
        int length;
        if (text.Length > 0 && text[0] == '[')
        {
            int close = text.IndexOf((byte)']');
            if (close < 2 || text[1..close].IndexOfAnyExcept(s_inBrackets) >= 0) return 0;
            length = close + 1;
        }
        else
        {
            length = text.IndexOfAnyExcept(s_host);
            if (length < 0) length = text.Length;
            if (length == 0) return 0;
        }
        if (length == text.Length || text[length] != ':') return length;
        int port = text[(length + 1)..].IndexOfAnyExceptInRange((byte)'0', (byte)'9');
        return port < 0 ? text.Length : length + 1 + port;
    }

    // *( OWS ";" OWS parameter ) OWS
    private static bool Parameters(ref ReadOnlySpan<byte> rest)
    {
        while (true)
        {
            rest = rest.TrimStart(" \t"u8);
            if (rest.IsEmpty || rest[0] != ';') return true;
            rest = rest[1..].TrimStart(" \t"u8);
            if (!Token(ref rest) || rest.IsEmpty || rest[0] != '=') return false;
            rest = rest[1..];
            if (rest.Length > 0 && rest[0] == '"' ? !Quoted(ref rest) : !Token(ref rest)) return false;
        }
    }

    private static bool Token(ref ReadOnlySpan<byte> rest)
    {
        int length = rest.IndexOfAnyExcept(s_token);
        if (length < 0) length = rest.Length;
        rest = rest[length..];
        return length > 0;
    }

    private static bool Quoted(ref ReadOnlySpan<byte> rest)
    {
        for (int i = 1; i < rest.Length; i++)
        {
            if (rest[i] == '\\') i++;
            else if (rest[i] == '"')
            {
                rest = rest[(i + 1)..];
                return true;
            }
        }
        return false;
    }
}
