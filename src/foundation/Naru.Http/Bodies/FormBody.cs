// Reads the fields of a form (application/x-www-form-urlencoded, WHATWG URL 5.1). A percent sign that begins no escape stands for itself.
// A field that is there twice is unclear: the services behind take the first one, the last one, or both.
using System.Text.Unicode;

namespace Naru.Http.Bodies;

/// <summary>Forms.</summary>
public static class FormBody
{
    /// <summary>Longest name of a field that can be asked for, bytes.</summary>
    public const int LongestName = 256;

    /// <summary>Reads a whole form.</summary>
    /// <param name="text">All of it.</param>
    /// <param name="names">By rule, UTF-8; null for rules of other kinds.</param>
    /// <param name="found">Begun for so many rules.</param>
    public static void Read(ReadOnlySpan<byte> text, ReadOnlySpan<byte[]?> names, BodyFindings found)
    {
        foreach (Range range in text.Split((byte)'&'))
        {
            ReadOnlySpan<byte> pair = text[range];
            if (pair.IsEmpty) continue;
            int equals = pair.IndexOf((byte)'=');
            ReadOnlySpan<byte> name = equals < 0 ? pair : pair[..equals], value = equals < 0 ? default : pair[(equals + 1)..];
            if (name.IndexOfAny((byte)'%', (byte)'+') >= 0)
            {
                found.Scratch.Clear();
                found.Scratch.Set(FindingKind.Text);
                // Longer than any that is asked for, whatever it says.
                if (name.Length > 3 * LongestName) continue;
                Decode(name, found.Scratch);
                name = found.Scratch.Text;
            }
            for (int i = 0; i < names.Length; i++)
            {
                if (names[i] is not { } wanted || !name.SequenceEqual(wanted)) continue;
                if (found[i].Kind != FindingKind.Missing)
                {
                    found[i].Set(FindingKind.Unclear);
                    continue;
                }
                found[i].Set(FindingKind.Text);
                Decode(value, found[i]);
                if (!Utf8.IsValid(found[i].Text)) found[i].Set(FindingKind.Unclear);
            }
        }
    }

    private static void Decode(ReadOnlySpan<byte> text, BodyFinding into)
    {
        while (!text.IsEmpty)
        {
            int next = text.IndexOfAny((byte)'%', (byte)'+');
            into.Append(next < 0 ? text : text[..next]);
            if (next < 0) return;
            bool plus = text[next] == '+';
            int high = plus || text.Length - next < 3 ? -1 : HexDigits.Value(text[next + 1]);
            int low = high < 0 ? -1 : HexDigits.Value(text[next + 2]);
            into.Append([plus ? (byte)' ' : low < 0 ? (byte)'%' : (byte)(high << 4 | low)]);
            text = text[(next + (low < 0 ? 1 : 3))..];
        }
    }
}
