// Small things that readers and writers share: names, patterns, URLs, headers' values.
using System.Text;
using Naru.Core;

namespace Naru.Import.Model;

internal static class Named
{
    /// <summary>A name as Kubernetes takes it: lower-case letters, digits, dashes; at most 50, different from those in
    /// <paramref name="taken"/>.</summary>
    public static string Unique(string wanted, HashSet<string> taken)
    {
        var made = new StringBuilder();
        foreach (char c in wanted.ToLowerInvariant())
        {
            if (made.Length == 50) break;
            if (char.IsAsciiLetterOrDigit(c)) made.Append(c);
            else if (made.Length > 0 && made[^1] != '-') made.Append('-');
        }
        string name = made.ToString().Trim('-');
        if (name.Length == 0) name = "x";
        if (char.IsAsciiDigit(name[0])) name = "n-" + name;
        string result = name;
        for (int i = 2; !taken.Add(result); i++) result = $"{name}-{i}";
        return result;
    }

    /// <summary>A text as a pattern of RE2 that matches nothing else.</summary>
    public static string Quote(string text)
    {
        var made = new StringBuilder(text.Length + 8);
        foreach (char c in text)
        {
            if (@"\.+*?()|[]{}^$".Contains(c)) made.Append('\\');
            made.Append(c);
        }
        return made.ToString();
    }

    /// <summary>A text as a substitution of RE2 that puts in just that.</summary>
    public static string Literal(string text) => text.Replace(@"\", @"\\");

    /// <summary>A text as a header's value in Envoy's format.</summary>
    public static string Value(string text) => text.Replace("%", "%%");

    /// <summary>Whether RE2 takes it, for the whole of a text; the reason where it does not.</summary>
    public static string? RegexFault(string pattern)
    {
        if (pattern.Length > 2048) return "it has more than 2048 characters";
        try
        {
            _ = Re2.Compile(pattern, whole: true);
            return null;
        }
        catch (ArgumentException fault)
        {
            return fault.Message;
        }
    }

    /// <summary>Whether a name may be a header's (RFC 9110, 5.6.2).</summary>
    public static bool IsHeader(string name) => name.Length > 0
        && name.All(c => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c));

    /// <summary>Whether a text may be a header's value.</summary>
    public static bool IsHeaderValue(string value) => !value.Any(c => char.IsControl(c) && c != '\t');

    /// <summary>Host and port of an address such as <c>http://host:81/base/</c>; null where it is none.</summary>
    public static Uri? Url(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out Uri? url) && url.Scheme is "http" or "https"
        && Uri.TryCreate(text, UriKind.Absolute, out url) && url.Host.Length > 0 ? url : null;

    /// <summary>Whether an address is one, and no name.</summary>
    public static bool IsAddress(string host) => System.Net.IPAddress.TryParse(host.Trim('[', ']'), out _)
        && (host.Contains('.') || host.Contains(':'));

    /// <summary>Host of a URL as Host headers have it: without a default port.</summary>
    public static string Authority(Uri url) => url.IsDefaultPort ? Host(url) : $"{Host(url)}:{url.Port}";

    private static string Host(Uri url) => url.HostNameType == UriHostNameType.IPv6 ? $"[{url.Host.Trim('[', ']')}]" : url.Host;
}
