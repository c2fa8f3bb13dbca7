// One request to the admin, read strictly: what is not plain HTTP/1.1 (RFC 9112) is refused, nothing is guessed.
// Stands under AdminServer, which feeds it bytes; small on purpose, since nothing here carries users' traffic.
using System.Text;

namespace Naru.Proxy.Host.Admin;

/// <summary>A parsed request head.</summary>
internal sealed record AdminRequest(string Method, string Path, string Query, bool IsHttp11, IReadOnlyList<KeyValuePair<string, string>> Headers)
{
    /// <summary>Host of an absolute-form target; null for origin-form.</summary>
    public string? TargetAuthority { get; init; }

    public int ContentLength { get; init; }

    /// <summary>Its body; empty without one.</summary>
    public ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>Whether the connection stays open afterwards.</summary>
    public bool KeepAlive { get; init; }

    /// <summary>The first header of that name, or null.</summary>
    public string? Header(string name)
    {
        foreach ((string key, string value) in Headers)
        {
            if (string.Equals(key, name, StringComparison.OrdinalIgnoreCase)) return value;
        }
        return null;
    }

    /// <summary>Parameters of the query, percent-decoded, in order.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Parameters { get; } = ParseQuery(Query);

    /// <summary>The value of a parameter; empty where it has none; null where it is not there.</summary>
    public string? Parameter(string name)
    {
        foreach ((string key, string value) in Parameters)
        {
            if (key == name) return value;
        }
        return null;
    }

    /// <summary>Most bytes of a body that a command may come with (most read it and do not use it).</summary>
    public const int MaxBodyBytes = 64 * 1024;

    /// <summary>Parses a head, from the request line to the empty line.</summary>
    /// <param name="head">Without the last CRLF CRLF.</param>
    /// <param name="request">The request, where 0 is returned.</param>
    /// <param name="fault">One sentence, where it is not.</param>
    /// <returns>0, or the status to refuse it with.</returns>
    public static int Parse(ReadOnlySpan<byte> head, out AdminRequest? request, out string fault)
    {
        request = null;
        foreach (byte b in head)
        {
            if (b is 0 or >= 0x7f || (b < 0x20 && b is not (byte)'\r' and not (byte)'\n' and not (byte)'\t')) { fault = "a control or non-ASCII character in the head"; return 400; }
        }
        string[] lines = Encoding.ASCII.GetString(head).Split("\r\n");
        foreach (string line in lines)
        {
            if (line.AsSpan().IndexOfAny('\r', '\n') >= 0) { fault = "a line that does not end with CR LF"; return 400; }
        }
        string[] parts = lines[0].Split(' ');
        fault = "the request line is not METHOD SP TARGET SP VERSION";
        if (parts.Length != 3 || parts[0].Length == 0 || !parts[0].All(char.IsAsciiLetterUpper)) return 400;
        if (parts[2] is not ("HTTP/1.1" or "HTTP/1.0")) { fault = "only HTTP/1.1 and HTTP/1.0 are spoken here"; return 505; }
        bool http11 = parts[2] == "HTTP/1.1";

        var headers = new List<KeyValuePair<string, string>>(lines.Length);
        for (int i = 1; i < lines.Length; i++)
        {
            int colon = lines[i].IndexOf(':');
            if (colon <= 0 || !lines[i].AsSpan(0, colon).ContainsOnlyTokens()) { fault = "a header line without a proper name"; return 400; }
            headers.Add(new KeyValuePair<string, string>(lines[i][..colon], lines[i][(colon + 1)..].Trim(' ', '\t')));
        }
        string target = parts[1];
        string? authority = null;
        if (target.StartsWith("http://", StringComparison.OrdinalIgnoreCase))
        {
            int slash = target.IndexOf('/', 7);
            authority = slash < 0 ? target[7..] : target[7..slash];
            target = slash < 0 ? "/" : target[slash..];
        }
        if (!target.StartsWith('/')) { fault = "the target is neither a path nor http://…"; return 400; }
        int mark = target.IndexOf('?');
        var made = new AdminRequest(parts[0], mark < 0 ? target : target[..mark], mark < 0 ? "" : target[(mark + 1)..], http11, headers) { TargetAuthority = authority };
        int hosts = headers.Count(h => h.Key.Equals("host", StringComparison.OrdinalIgnoreCase));
        if (hosts > 1 || (http11 && hosts == 0)) { fault = "exactly one Host header is needed"; return 400; }
        if (made.Header("transfer-encoding") is not null) { fault = "bodies are taken with Content-Length only"; return 411; }
        int length = 0;
        int lengths = headers.Count(h => h.Key.Equals("content-length", StringComparison.OrdinalIgnoreCase));
        if (lengths > 1) { fault = "more than one Content-Length"; return 400; }
        if (made.Header("content-length") is { } text && (text.Length == 0 || !text.All(char.IsAsciiDigit) || !int.TryParse(text, out length))) { fault = "Content-Length is not a number"; return 400; }
        if (length > MaxBodyBytes) { fault = $"a body of more than {MaxBodyBytes} bytes"; return 413; }
        string connection = made.Header("connection") ?? "";
        bool close = connection.Contains("close", StringComparison.OrdinalIgnoreCase);
        bool keep = http11 ? !close : connection.Contains("keep-alive", StringComparison.OrdinalIgnoreCase) && !close;
        request = made with { ContentLength = length, KeepAlive = keep };
        fault = "";
        return 0;
    }

    private static List<KeyValuePair<string, string>> ParseQuery(string query)
    {
        var made = new List<KeyValuePair<string, string>>();
        foreach (string pair in query.Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = pair.IndexOf('=');
            made.Add(equals < 0
                ? new KeyValuePair<string, string>(Decode(pair), "")
                : new KeyValuePair<string, string>(Decode(pair[..equals]), Decode(pair[(equals + 1)..])));
        }
        return made;
    }

    private static string Decode(string text) => Uri.UnescapeDataString(text.Replace('+', ' '));
}

/// <summary>RFC 9110 section 5.6.2.</summary>
internal static class Tokens
{
    public static bool ContainsOnlyTokens(this ReadOnlySpan<char> name)
    {
        foreach (char c in name)
        {
            if (!char.IsAsciiLetterOrDigit(c) && !"!#$%&'*+-.^_`|~".Contains(c)) return false;
        }
        return true;
    }
}
