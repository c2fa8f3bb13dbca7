// Variables and patterns of nginx's in Envoy's words (nginx.org/en/docs/varindex.html).
using System.Text;
using Naru.Import.Model;

namespace Naru.Import.Nginx;

/// <summary>What is known where a value stands.</summary>
/// <param name="Scope">Variables that <c>set</c> gave.</param>
/// <param name="Listener">The port, and whether it is TLS.</param>
/// <param name="ServerName">The first name of the server.</param>
internal sealed record NginxPlace(NginxScope Scope, ImportedListener Listener, string ServerName)
{
    public string Scheme => Listener.Tls ? "https" : "http";
}

internal static class NginxValues
{
    /// <summary>A text cut into literals and variables' names, in turn; the literal may be empty.</summary>
    public static List<(string Literal, string? Variable)> Cut(string text)
    {
        var made = new List<(string, string?)>();
        var literal = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] != '$' || i + 1 >= text.Length)
            {
                literal.Append(text[i]);
                continue;
            }
            bool braces = text[i + 1] == '{';
            int start = braces ? i + 2 : i + 1, end = start;
            // $1 is one digit, $10 is $1 and a 0.
            if (!braces && char.IsAsciiDigit(text[start])) end = start + 1;
            else while (end < text.Length && (char.IsAsciiLetterOrDigit(text[end]) || text[end] == '_')) end++;
            if (end == start)
            {
                literal.Append('$');
                continue;
            }
            made.Add((literal.ToString(), text[start..end]));
            literal.Clear();
            i = braces && end < text.Length ? end : end - 1;
        }
        if (literal.Length > 0) made.Add((literal.ToString(), null));
        return made;
    }

    /// <summary>A text as a header's value in Envoy's format.</summary>
    /// <returns>Null where <paramref name="unknown"/> names a variable that has no equivalent.</returns>
    public static string? Format(string text, NginxPlace at, out string? unknown, int depth = 0)
    {
        var made = new StringBuilder();
        unknown = null;
        foreach ((string literal, string? variable) in Cut(text))
        {
            made.Append(Named.Value(literal));
            if (variable is null) continue;
            if (at.Scope.Variable(variable) is { } set && depth < 8)
            {
                if (Format(set, at, out unknown, depth + 1) is not { } inner) return null;
                made.Append(inner);
            }
            else if (Variable(variable, at) is { } known) made.Append(known);
            else
            {
                unknown = variable;
                return null;
            }
        }
        return made.ToString();
    }

    /// <summary>A text without variables but those that <c>set</c> gave; null where there are others.</summary>
    public static string? Plain(string text, NginxScope scope, int depth = 0)
    {
        var made = new StringBuilder();
        foreach ((string literal, string? variable) in Cut(text))
        {
            made.Append(literal);
            if (variable is null) continue;
            if (depth >= 8 || scope.Variable(variable) is not { } set || Plain(set, scope, depth + 1) is not { } inner) return null;
            made.Append(inner);
        }
        return made.ToString();
    }

    private static string? Variable(string name, NginxPlace at) => name switch
    {
        "host" or "http_host" => "%REQ(:AUTHORITY)%",
        "remote_addr" => "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "remote_port" => "%DOWNSTREAM_REMOTE_PORT%",
        "server_addr" => "%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%",
        "server_port" => at.Listener.Port.ToString(System.Globalization.CultureInfo.InvariantCulture),
        "server_name" => Named.Value(at.ServerName),
        "scheme" => at.Scheme,
        "https" => at.Listener.Tls ? "on" : "",
        "request_uri" => "%REQ(:PATH)%",
        "uri" or "document_uri" => "%PATH(NQ)%",
        "request_method" => "%REQ(:METHOD)%",
        "request_id" => "%REQ(X-REQUEST-ID)%",
        "server_protocol" => "%PROTOCOL%",
        "upstream_addr" => "%UPSTREAM_HOST%",
        "status" => "%RESPONSE_CODE%",
        "hostname" => "%HOSTNAME%",
        "ssl_protocol" => "%DOWNSTREAM_TLS_VERSION%",
        "ssl_cipher" => "%DOWNSTREAM_TLS_CIPHER%",
        "ssl_server_name" => "%REQUESTED_SERVER_NAME%",
        "ssl_client_s_dn" => "%DOWNSTREAM_PEER_SUBJECT%",
        "ssl_client_i_dn" => "%DOWNSTREAM_PEER_ISSUER%",
        "ssl_client_serial" => "%DOWNSTREAM_PEER_SERIAL%",
        "proxy_add_x_forwarded_for" => "%REQ(X-FORWARDED-FOR)%",
        _ when name.StartsWith("http_", StringComparison.Ordinal) => $"%REQ({name[5..].Replace('_', '-').ToUpperInvariant()})%",
        _ => null,
    };

    /// <summary>A pattern that is searched for in a path, as one over the whole path; groups keep their numbers.</summary>
    public static string Whole(string pattern)
    {
        bool begins = pattern.StartsWith('^'), ends = pattern.EndsWith('$') && !pattern.EndsWith(@"\$", StringComparison.Ordinal);
        // An alternative has its own anchors.
        if (pattern.Contains('|') && !OneGroup(pattern)) return $".*(?:{pattern}).*";
        string middle = pattern[(begins ? 1 : 0)..(ends && pattern.Length > (begins ? 1 : 0) ? ^1 : ^0)];
        return $"{(begins ? "" : ".*")}{middle}{(ends ? "" : ".*")}";
    }

    // Whether every | of a pattern stands in parentheses.
    private static bool OneGroup(string pattern)
    {
        int depth = 0;
        for (int i = 0; i < pattern.Length; i++)
        {
            if (pattern[i] == '\\') i++;
            else if (pattern[i] == '(') depth++;
            else if (pattern[i] == ')') depth--;
            else if (pattern[i] == '|' && depth == 0) return false;
        }
        return true;
    }

    /// <summary>A replacement with $1 to $9 as one of RE2; null where it has other variables.</summary>
    public static string? Substitution(string text)
    {
        var made = new StringBuilder();
        foreach ((string literal, string? variable) in Cut(text))
        {
            made.Append(Named.Literal(literal));
            if (variable is null) continue;
            if (variable is not [>= '1' and <= '9']) return null;
            made.Append('\\').Append(variable);
        }
        return made.ToString();
    }
}
