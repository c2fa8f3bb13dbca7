// Names of header fields with capitals, for peers that care: a letter is a capital at the beginning and behind whatever is neither letter nor
// digit (Envoy: header_key_format, proper_case_words).
namespace Naru.Proxy.Http;

internal static class ProperCase
{
    /// <summary>Writes the names of a head that was laid out for HTTP/1 so, in place.</summary>
    public static void Apply(Span<byte> head)
    {
        for (int line = head.IndexOf((byte)'\n'); line >= 0; line = head.IndexOf((byte)'\n'))
        {
            head = head[(line + 1)..];
            int colon = head.IndexOf((byte)':');
            if (colon < 0) return;
            bool begins = true;
            foreach (ref byte b in head[..colon])
            {
                bool letter = (uint)((b | 0x20) - 'a') <= 'z' - 'a';
                if (letter) b = (byte)(begins ? b & ~0x20 : b | 0x20);
                begins = !letter && (uint)(b - '0') > 9;
            }
        }
    }
}
