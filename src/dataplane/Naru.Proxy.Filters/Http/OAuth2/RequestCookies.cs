// The cookies of a request as pairs, in order, whatever lines they stood on; what is changed in them is written back as one line.
using System.Text;
using Naru.Proxy.Http;

namespace Naru.Proxy.Filters.Http.OAuth2;

internal sealed class RequestCookies
{
    private readonly List<(string Name, string Value)> _all = [];

    public RequestCookies(HeadEdits head)
    {
        for (int i = head.Next("cookie"u8); i >= 0; i = head.Next("cookie"u8, i + 1))
        {
            ReadOnlySpan<byte> line = head.Value(i);
            foreach (Range range in line.Split((byte)';'))
            {
                ReadOnlySpan<byte> pair = line[range].Trim((byte)' ').Trim((byte)'\t');
                if (pair.IsEmpty) continue;
                int equals = pair.IndexOf((byte)'=');
                _all.Add(equals < 0 ? ("", Encoding.Latin1.GetString(pair))
                    : (Encoding.Latin1.GetString(pair[..equals]), Encoding.Latin1.GetString(pair[(equals + 1)..])));
            }
        }
    }

    /// <summary>Names, in order.</summary>
    public IEnumerable<string> Names => _all.Select(c => c.Name);

    /// <summary>The value of the first cookie of a name, without quotes around it; empty where there is none.</summary>
    public string this[string name]
    {
        get
        {
            foreach ((string one, string value) in _all)
                if (one == name) return value is ['"', .. string inner, '"'] ? inner : value;
            return "";
        }
    }

    /// <summary>Whether there is one.</summary>
    public bool Has(string name) => _all.Exists(c => c.Name == name);

    /// <summary>Whether several have the name.</summary>
    public bool IsTwice(string name) => _all.Count(c => c.Name == name) > 1;

    /// <summary>Puts a value in the place of the one there is, or behind all.</summary>
    public void Set(string name, string value)
    {
        int at = _all.FindIndex(c => c.Name == name);
        if (at < 0) _all.Add((name, value));
        else _all[at] = (name, value);
    }

    /// <summary>Takes out what has the name.</summary>
    public void Remove(string name) => _all.RemoveAll(c => c.Name == name);

    /// <summary>Takes out what has the name, alone or with a suffix.</summary>
    public void RemoveFamily(string name) => _all.RemoveAll(c => IsOf(c.Name, name));

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
        IEnumerable<string> pairs = _all.Select(c => c.Name.Length == 0 ? c.Value : $"{c.Name}={c.Value}");
        head.Set("cookie"u8, Encoding.Latin1.GetBytes(string.Join("; ", pairs)));
    }
}
