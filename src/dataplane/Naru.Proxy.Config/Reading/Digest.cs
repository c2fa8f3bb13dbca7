// Tells messages apart without keeping them: what is read anew with each change is compared with what was read before.
using Google.Protobuf;

namespace Naru.Proxy.Config.Reading;

/// <summary>Digests of messages.</summary>
internal static class Digest
{
    /// <summary>32 hexadecimal digits, the same for the same bytes. FNV-1a of 128 bits: it tells apart, it keeps nothing secret.</summary>
    public static string Of(IMessage message)
    {
        UInt128 hash = new(0x6c62272e07bb0142, 0x62b821756295c58d), prime = new(0x1000000, 0x13b);
        foreach (byte b in message.ToByteArray()) hash = unchecked((hash ^ b) * prime);
        return hash.ToString("x32", System.Globalization.CultureInfo.InvariantCulture);
    }
}
