// x-request-id: a random UUID for a request that has none that is believed (Envoy: x-request-id).
using System.Buffers.Binary;
using Naru.Http.Headers;
using Naru.Proxy.Io;

namespace Naru.Proxy.Http;

internal static class RequestId
{
    /// <summary>Gives the request an id.</summary>
    /// <param name="head">Its fields.</param>
    /// <param name="worker">Whose chance is asked.</param>
    /// <param name="anew">There is none that had to go.</param>
    public static void Set(RequestHeaders head, Worker worker, bool anew)
    {
        Span<byte> id = stackalloc byte[36];
        Make(worker.Random.Next(), worker.Random.Next(), id);
        if (!anew || head.Has(KnownHeader.XRequestId)) head.Set("x-request-id"u8, id);
        else head.AddOwn("x-request-id"u8, id, KnownHeader.XRequestId);
    }

    // A random UUID (RFC 9562 5.4): version 4, variant 10.
    private static void Make(ulong high, ulong low, Span<byte> id)
    {
        high = (high & 0xffffffffffff0fffUL) | 0x4000UL;
        low = (low & 0x3fffffffffffffffUL) | 0x8000000000000000UL;
        Hex(high >> 32, 8, id);
        id[8] = (byte)'-';
        Hex((high >> 16) & 0xffff, 4, id[9..]);
        id[13] = (byte)'-';
        Hex(high & 0xffff, 4, id[14..]);
        id[18] = (byte)'-';
        Hex(low >> 48, 4, id[19..]);
        id[23] = (byte)'-';
        Hex(low & 0xffffffffffffUL, 12, id[24..]);
    }

    // Eight digits at a time: nibbles are spread over bytes, then 0-9 and a-f are told apart by a carry.
    private static void Hex(ulong value, int digits, Span<byte> into)
    {
        while (digits >= 8)
        {
            digits -= 8;
            ulong x = (uint)(value >> (digits * 4));
            x = ((x & 0xffff0000) << 16) | (x & 0xffff);
            x = ((x & 0x0000ff000000ff00) << 8) | (x & 0x000000ff000000ff);
            x = ((x & 0x00f000f000f000f0) << 4) | (x & 0x000f000f000f000f);
            ulong letters = ((x + 0x0606060606060606) >> 4) & 0x0101010101010101;
            BinaryPrimitives.WriteUInt64BigEndian(into, x + 0x3030303030303030 + letters * ('a' - '0' - 10));
            into = into[8..];
        }
        for (int i = digits - 1; i >= 0; i--)
        {
            into[i] = "0123456789abcdef"u8[(int)(value & 15)];
            value >>= 4;
        }
    }
}
