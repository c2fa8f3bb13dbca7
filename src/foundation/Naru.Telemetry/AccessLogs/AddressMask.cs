// The network of an address: what is left of it when only its first bits count (RFC 4632, RFC 4291 2.3).
// Stands under AccessLogFormat, for the operators whose argument is a number of bits.
using System.Net;
using System.Text;

namespace Naru.Telemetry;

internal static class AddressMask
{
    /// <summary>Appends <c>203.0.0.0/16</c> and the like; false where the text is no address, or has fewer bits.</summary>
    /// <param name="address">An address without port.</param>
    /// <param name="bits">How many of its first bits count.</param>
    /// <param name="into">Takes the network.</param>
    public static bool Write(ReadOnlySpan<byte> address, int bits, LineBuffer into)
    {
        if (!IPAddress.TryParse(address, out IPAddress? parsed)) return false;
        Span<byte> bytes = stackalloc byte[16];
        parsed.TryWriteBytes(bytes, out int length);
        if (bits > length * 8) return false;
        for (int i = 0; i < length; i++)
        {
            int kept = Math.Clamp(bits - i * 8, 0, 8);
            bytes[i] &= (byte)(0xff << (8 - kept));
        }
        into.Append(Encoding.ASCII.GetBytes($"{new IPAddress(bytes[..length])}/{bits}"));
        return true;
    }
}
