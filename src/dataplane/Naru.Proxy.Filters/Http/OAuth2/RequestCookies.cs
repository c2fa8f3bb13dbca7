// The cookies of a request as pairs, in order, whatever lines they stood on; what is changed in them is written back as one line.
// Names are compared as any service may read them, so that no spelling of a name gets past who looks for it: without the blanks and quotes
// around them, before a comma and behind it, and with nothing behind them.
using System.Text;
using Naru.Proxy.Http;

namespace Naru.Proxy.Filters.Http.OAuth2;

internal sealed class RequestCookies
{
    private static readonly char[] s_around = [' ', '\t', '"'];
    private readonly List<Pair> _all = [];

    // As it stands, and whether it stands behind a comma.
    private sealed record Pair(string Name, string Value, string Text, bool IsBehindComma);

    public RequestCookies(HeadEdits head)
    {
        for (int i = head.Next("cookie"u8); i >= 0; i = head.Next("cookie"u8, i + 1))
        {
            foreach (string one in Encoding.Latin1.GetString(head.Value(i)).Split(';', StringSplitOptions.RemoveEmptyEntries))
            {
                string[] parts = one.Split(',');
                for (int k = 0; k < parts.Length; k++)
                {
                    string text = k == 0 ? parts[k].Trim(' ', '\t') : parts[k];
                    if (text.Length == 0 && parts.Length == 1) continue;
                    int equals = text.IndexOf('=', StringComparison.Ordinal);
                    _all.Add(new Pair((equals < 0 ? text : text[..equals]).Trim(s_around), equals < 0 ? "" : text[(equals + 1)..], text, k > 0));
                }
            }
        }
    }

    /// <summary>Names, in order.</summary>
    public IEnumerable<string> Names => _all.Select(c => c.Name);

    /// <summary>The value of the first cookie of a name, without quotes around it; empty where there is none.</summary>
    public string this[string name] =>
        _all.Find(c => c.Name == name) is { } pair ? pair.Value is ['"', .. string inner, '"'] ? inner : pair.Value : "";

    /// <summary>Whether there is one.</summary>
    public bool Has(string name) => _all.Exists(c => c.Name == name);

    /// <summary>Whether several have the name.</summary>
    public bool IsTwice(string name) => _all.Count(c => c.Name == name) > 1;

    /// <summary>Puts a value in the place of the one there is, or behind all.</summary>
    public void Set(string name, string value)
    {
        int at = _all.FindIndex(c => c.Name == name);
        var pair = new Pair(name, value, $"{name}={value}", IsBehindComma: false);
        if (at < 0) _all.Add(pair);
        else _all[at] = pair;
        if (at >= 0 && at + 1 < _all.Count) _all[at + 1] = _all[at + 1] with { IsBehindComma = false };
    }

    /// <summary>Takes out what has the name.</summary>
    public void Remove(string name) => Drop(one => one == name);

    /// <summary>Takes out what has the name, alone or with a suffix.</summary>
    public void RemoveFamily(string name) => Drop(one => IsOf(one, name));

    // What stood behind it stands alone then, and does not become a part of what stood before.
    private void Drop(Predicate<string> named)
    {
        for (int i = _all.Count - 1; i >= 0; i--)
        {
            if (!named(_all[i].Name)) continue;
            if (i + 1 < _all.Count) _all[i + 1] = _all[i + 1] with { IsBehindComma = false };
            _all.RemoveAt(i);
        }
    }

    /// <summary>Whether a cookie's name is another one, alone or with a suffix.</summary>
    public static bool IsOf(string cookie, string name) =>
        cookie.StartsWith(name, StringComparison.Ordinal) && (cookie.Length == name.Length || cookie[name.Length] == '.');

    /// <summary>Writes them.</summary>
    public void WriteTo(HeadEdits head)
    {
        if (_all.Count == 0)
        {
            head.Remove("cookie"u8);
            return;
        }
        var line = new StringBuilder();
        foreach (Pair pair in _all)
        {
            if (line.Length > 0) line.Append(pair.IsBehindComma ? "," : "; ");
            line.Append(pair.Text);
        }
        head.Set("cookie"u8, Encoding.Latin1.GetBytes(line.ToString()));
    }
}
