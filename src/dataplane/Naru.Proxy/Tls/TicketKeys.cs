// Keys of session tickets (RFC 5077 4): own ones, new every hour with the one before still good, or configured ones, of which the
// first encrypts and all decrypt. Keys never leave this class but into OpenSSL.
using System.Runtime.InteropServices;

namespace Naru.Proxy.Tls;

internal sealed unsafe class TicketKeys
{
    /// <summary>16 bytes name, 32 HMAC-SHA256, 32 AES-256 (Envoy: session_ticket_keys).</summary>
    public const int KeyLength = 80;

    private const long RotateMs = 3_600_000;
    private readonly Lock _gate = new();
    private readonly bool _own;
    private byte[][] _keys;
    private long _rotateAt;

    private TicketKeys(byte[][] keys, bool own)
    {
        _keys = keys;
        _own = own;
        _rotateAt = Environment.TickCount64 + RotateMs;
    }

    /// <summary>Own keys, made here.</summary>
    public static TicketKeys Own() => new([NewKey()], own: true);

    /// <summary>Given keys, 80 bytes each.</summary>
    public static TicketKeys Given(byte[][] keys) => new(keys, own: false);

    private static byte[] NewKey()
    {
        byte[] key = new byte[KeyLength];
        Crypto.Random(key);
        return key;
    }

    /// <summary>Makes a new key the one that encrypts.</summary>
    public void Rotate()
    {
        lock (_gate)
        {
            if (!_own) return;
            _rotateAt = Environment.TickCount64 + RotateMs;
            Volatile.Write(ref _keys, [NewKey(), _keys[0]]);
        }
    }

    // SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 is done, 0 is "no such key" (a full handshake follows), 2 asks for a new ticket.
    private int Apply(nint ssl, byte* name, byte* iv, nint cipher, nint mac, bool encrypt)
    {
        if (_own && Environment.TickCount64 >= Volatile.Read(ref _rotateAt)) Rotate();
        byte[][] keys = Volatile.Read(ref _keys);
        int which = 0;
        if (encrypt)
        {
            keys[0].AsSpan(0, 16).CopyTo(new Span<byte>(name, 16));
            if (Crypto.RAND_bytes(iv, 16) != 1) return -1;
        }
        else
        {
            var wanted = new ReadOnlySpan<byte>(name, 16);
            while (which < keys.Length && !keys[which].AsSpan(0, 16).SequenceEqual(wanted)) which++;
            if (which == keys.Length) return 0;
        }
        fixed (byte* key = keys[which])
        fixed (byte* keyWord = "key\0"u8, digestWord = "digest\0"u8, digest = "SHA256\0"u8)
        {
            int ok = encrypt
                ? Crypto.EVP_EncryptInit_ex(cipher, Crypto.EVP_aes_256_cbc(), 0, key + 48, iv)
                : Crypto.EVP_DecryptInit_ex(cipher, Crypto.EVP_aes_256_cbc(), 0, key + 48, iv);
            const uint Utf8Text = 4, Octets = 5;
            Parameter* parameters = stackalloc Parameter[3];
            parameters[0] = new Parameter { Key = keyWord, Type = Octets, Data = key + 16, Size = 32, Returned = 0 };
            parameters[1] = new Parameter { Key = digestWord, Type = Utf8Text, Data = digest, Size = 6 };
            parameters[2] = default;
            if (ok != 1 || Crypto.EVP_MAC_CTX_set_params(mac, (nint)parameters) != 1) return -1;
        }
        // In TLS 1.3 a ticket is used once: a client that comes back needs the next one.
        return encrypt || (which == 0 && OpenSsl.SSL_version(ssl) < OpenSsl.Tls13) ? 1 : 2;
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(System.Runtime.CompilerServices.CallConvCdecl)])]
    private static int OnTicket(nint ssl, byte* name, byte* iv, nint cipher, nint mac, int encrypt)
    {
        try
        {
            return TlsSession.Current?.Context is TlsServerContext { Tickets: { } keys } ? keys.Apply(ssl, name, iv, cipher, mac, encrypt != 0) : -1;
        }
        catch (Exception)
        {
            return -1;
        }
    }

    /// <summary>The function OpenSSL calls.</summary>
    public static nint Callback => (nint)(delegate* unmanaged[Cdecl]<nint, byte*, byte*, nint, nint, int, int>)&OnTicket;

    // OSSL_PARAM.
    private struct Parameter
    {
        public byte* Key;
        public uint Type;
        public void* Data;
        public nuint Size;
        public nuint Returned;
    }
}
