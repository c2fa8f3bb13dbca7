// libcrypto of OpenSSL 3: certificates, keys, stores, and the error queue of the thread. Declarations and the few lines
// that turn its strings and stacks into ours.
using System.Runtime.InteropServices;
using System.Text;

namespace Naru.Proxy.Tls;

internal static unsafe partial class Crypto
{
    private const string Lib = "libcrypto.so.3";

    public const uint IsAuthority = 0x10, SignsCertificates = 4, SignsLists = 2;
    public const int BioFlagsRetry = 0x08, BioFlagsRead = 0x01, BioFlagsWrite = 0x02, BioFlagsAll = 0x0f;
    public const int BioCtrlEof = 2, BioCtrlInfo = 3, BioCtrlFlush = 11;
    public const int NidSubjectAltName = 85, KeyRsa = 6, KeyEc = 408;
    public const int NameEmail = 1, NameDns = 2, NameUri = 6, NameIp = 7;
    public const ulong VerifyCrl = 4, VerifyCrlAll = 8, VerifyPartialChain = 0x80000, VerifyNoTime = 0x200000;
    public const int CertNotYetValid = 9, CertExpired = 10, UnableToGetCrl = 3, SelfSignedLeaf = 18, SelfSignedInChain = 19, NoLocalIssuer = 20, NoLeafSignature = 21,
        ChainTooLong = 22, Revoked = 23, InvalidPurpose = 26, Untrusted = 27, ApplicationVerification = 50;
    public const int CrlSignature = 8, CrlNotYetValid = 11, CrlExpired = 12, NoCrlIssuer = 33;

    /// <summary>Errors that only say which alert is sent (OpenSSL has a table): certificate_unknown, bad_certificate.</summary>
    public const int TellUnknown = 47, TellBad = 28;

    /// <summary>Library SSL in an error.</summary>
    public const int LibrarySsl = 20;
    private const ulong NameRfc2253 = 0x1110317;

    [LibraryImport(Lib)] public static partial nuint ERR_get_error();
    [LibraryImport(Lib), SuppressGCTransition] public static partial void ERR_clear_error();
    [LibraryImport(Lib), SuppressGCTransition] public static partial nuint ERR_peek_error();
    [LibraryImport(Lib)] public static partial byte* ERR_reason_error_string(nuint error);
    [LibraryImport(Lib)] public static partial byte* ERR_lib_error_string(nuint error);

    [LibraryImport(Lib)] public static partial int BIO_get_new_index();
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] public static partial nint BIO_meth_new(int type, string name);
    [LibraryImport(Lib)] public static partial int BIO_meth_set_read(nint method, nint callback);
    [LibraryImport(Lib)] public static partial int BIO_meth_set_write(nint method, nint callback);
    [LibraryImport(Lib)] public static partial int BIO_meth_set_ctrl(nint method, nint callback);
    [LibraryImport(Lib)] public static partial nint BIO_new(nint method);
    [LibraryImport(Lib)] public static partial void BIO_set_init(nint bio, int value);
    [LibraryImport(Lib), SuppressGCTransition] public static partial void BIO_set_flags(nint bio, int flags);
    [LibraryImport(Lib), SuppressGCTransition] public static partial void BIO_clear_flags(nint bio, int flags);
    [LibraryImport(Lib)] public static partial nint BIO_s_mem();
    [LibraryImport(Lib)] public static partial nint BIO_new_mem_buf(byte* bytes, int length);
    [LibraryImport(Lib)] public static partial int BIO_free(nint bio);
    [LibraryImport(Lib)] public static partial nint BIO_ctrl(nint bio, int command, nint number, nint pointer);

    [LibraryImport(Lib)] public static partial nint PEM_read_bio_X509(nint bio, nint into, nint passwordCallback, byte* password);
    [LibraryImport(Lib)] public static partial nint PEM_read_bio_X509_CRL(nint bio, nint into, nint passwordCallback, byte* password);
    [LibraryImport(Lib)] public static partial nint PEM_read_bio_PrivateKey(nint bio, nint into, nint passwordCallback, byte* password);
    [LibraryImport(Lib)] public static partial int PEM_write_bio_X509(nint bio, nint certificate);
    [LibraryImport(Lib)] public static partial nint d2i_X509_CRL_bio(nint bio, nint into);
    [LibraryImport(Lib)] public static partial nint d2i_PKCS12_bio(nint bio, nint into);
    [LibraryImport(Lib)] public static partial int PKCS12_parse(nint file, byte* password, nint* key, nint* certificate, nint* chain);
    [LibraryImport(Lib)] public static partial void PKCS12_free(nint file);

    [LibraryImport(Lib)] public static partial void X509_free(nint certificate);
    [LibraryImport(Lib)] public static partial int X509_up_ref(nint certificate);
    [LibraryImport(Lib)] public static partial void X509_CRL_free(nint crl);
    [LibraryImport(Lib)] public static partial nint X509_get_subject_name(nint certificate);
    [LibraryImport(Lib)] public static partial nint X509_get_issuer_name(nint certificate);
    [LibraryImport(Lib)] public static partial int X509_NAME_entry_count(nint name);
    [LibraryImport(Lib)] public static partial int X509_NAME_print_ex(nint bio, nint name, int indent, ulong flags);
    [LibraryImport(Lib)] public static partial nint X509_get0_notBefore(nint certificate);
    [LibraryImport(Lib)] public static partial nint X509_get0_notAfter(nint certificate);
    [LibraryImport(Lib)] public static partial nint X509_get0_serialNumber(nint certificate);
    [LibraryImport(Lib)] public static partial int X509_digest(nint certificate, nint digest, byte* into, uint* length);
    [LibraryImport(Lib)] public static partial int X509_pubkey_digest(nint certificate, nint digest, byte* into, uint* length);
    [LibraryImport(Lib)] public static partial nint X509_get_X509_PUBKEY(nint certificate);
    [LibraryImport(Lib)] public static partial int i2d_X509_PUBKEY(nint key, byte** into);
    [LibraryImport(Lib)] public static partial nint X509_get_ext_d2i(nint certificate, int nid, int* critical, int* index);
    [LibraryImport(Lib)] public static partial uint X509_get_extension_flags(nint certificate);
    [LibraryImport(Lib)] public static partial uint X509_get_key_usage(nint certificate);
    [LibraryImport(Lib)] public static partial int X509_cmp_current_time(nint time);
    [LibraryImport(Lib)] public static partial int i2d_X509(nint certificate, byte** into);
    [LibraryImport(Lib)] public static partial void GENERAL_NAMES_free(nint names);
    [LibraryImport(Lib)] public static partial nint GENERAL_NAME_get0_value(nint name, int* type);
    [LibraryImport(Lib)] public static partial int X509_check_private_key(nint certificate, nint key);
    [LibraryImport(Lib)] public static partial nint X509_get0_pubkey(nint certificate);
    [LibraryImport(Lib)] public static partial int EVP_PKEY_get_base_id(nint key);
    [LibraryImport(Lib)] public static partial void EVP_PKEY_free(nint key);
    [LibraryImport(Lib)] public static partial int ASN1_TIME_to_tm(nint time, int* tm);
    [LibraryImport(Lib)] public static partial int ASN1_STRING_length(nint text);
    [LibraryImport(Lib)] public static partial byte* ASN1_STRING_get0_data(nint text);
    [LibraryImport(Lib)] public static partial nint ASN1_INTEGER_to_BN(nint number, nint into);
    [LibraryImport(Lib)] public static partial byte* BN_bn2hex(nint number);
    [LibraryImport(Lib)] public static partial void BN_free(nint number);
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] public static partial void CRYPTO_free(void* memory, string file, int line);
    [LibraryImport(Lib, StringMarshalling = StringMarshalling.Utf8)] public static partial byte* CRYPTO_malloc(nuint size, string file, int line);

    [LibraryImport(Lib)] public static partial nint X509_STORE_new();
    [LibraryImport(Lib)] public static partial void X509_STORE_free(nint store);
    [LibraryImport(Lib)] public static partial int X509_STORE_add_cert(nint store, nint certificate);
    [LibraryImport(Lib)] public static partial int X509_STORE_add_crl(nint store, nint crl);
    [LibraryImport(Lib)] public static partial int X509_STORE_set_flags(nint store, ulong flags);
    [LibraryImport(Lib)] public static partial int X509_verify_cert(nint verification);
    [LibraryImport(Lib)] public static partial nint X509_STORE_CTX_get0_cert(nint verification);
    [LibraryImport(Lib)] public static partial nint X509_STORE_CTX_get_current_cert(nint verification);
    [LibraryImport(Lib)] public static partial nint X509_STORE_CTX_new();
    [LibraryImport(Lib)] public static partial void X509_STORE_CTX_free(nint verification);
    [LibraryImport(Lib)] public static partial int X509_STORE_CTX_init(nint verification, nint store, nint certificate, nint untrusted);
    [LibraryImport(Lib)] public static partial nint X509_STORE_CTX_get0_untrusted(nint verification);
    [LibraryImport(Lib)] public static partial nint X509_STORE_CTX_get0_param(nint verification);
    [LibraryImport(Lib)] public static partial int X509_VERIFY_PARAM_set1(nint parameters, nint from);
    [LibraryImport(Lib)] public static partial int X509_STORE_CTX_get_error_depth(nint verification);
    [LibraryImport(Lib)] public static partial int X509_STORE_CTX_get_error(nint verification);
    [LibraryImport(Lib)] public static partial void X509_STORE_CTX_set_error(nint verification, int error);
    [LibraryImport(Lib)] public static partial byte* X509_verify_cert_error_string(nint error);

    [LibraryImport(Lib)] public static partial nint OPENSSL_sk_new_null();
    [LibraryImport(Lib)] public static partial int OPENSSL_sk_push(nint stack, nint item);
    [LibraryImport(Lib)] public static partial int OPENSSL_sk_num(nint stack);
    [LibraryImport(Lib)] public static partial nint OPENSSL_sk_value(nint stack, int index);
    [LibraryImport(Lib)] public static partial void OPENSSL_sk_free(nint stack);

    [LibraryImport(Lib)] public static partial nint EVP_sha256();
    [LibraryImport(Lib)] public static partial int EVP_Digest(byte* bytes, nuint length, byte* into, uint* written, nint digest, nint engine);
    [LibraryImport(Lib)] public static partial nint EVP_aes_256_cbc();
    [LibraryImport(Lib)] public static partial int EVP_EncryptInit_ex(nint cipher, nint type, nint engine, byte* key, byte* iv);
    [LibraryImport(Lib)] public static partial int EVP_DecryptInit_ex(nint cipher, nint type, nint engine, byte* key, byte* iv);
    [LibraryImport(Lib)] public static partial int EVP_MAC_CTX_set_params(nint mac, nint parameters);
    [LibraryImport(Lib)] public static partial int RAND_bytes(byte* into, int length);

    [LibraryImport(Lib)] public static partial nint d2i_OCSP_RESPONSE(nint into, byte** bytes, nint length);
    [LibraryImport(Lib)] public static partial int OCSP_response_status(nint response);
    [LibraryImport(Lib)] public static partial nint OCSP_response_get1_basic(nint response);
    [LibraryImport(Lib)] public static partial nint OCSP_resp_get0(nint basic, int index);
    [LibraryImport(Lib)] public static partial int OCSP_single_get0_status(nint single, int* reason, nint* revoked, nint* thisUpdate, nint* nextUpdate);
    [LibraryImport(Lib)] public static partial void OCSP_BASICRESP_free(nint basic);
    [LibraryImport(Lib)] public static partial void OCSP_RESPONSE_free(nint response);

    /// <summary>SHA-256 (32 bytes).</summary>
    public static byte[] Sha256(ReadOnlySpan<byte> bytes)
    {
        OpenSsl.Start();
        byte[] made = new byte[32];
        fixed (byte* from = bytes)
        fixed (byte* into = made)
            _ = EVP_Digest(from, (nuint)bytes.Length, into, null, EVP_sha256(), 0);
        return made;
    }

    /// <summary>Unpredictable bytes.</summary>
    public static void Random(Span<byte> into)
    {
        OpenSsl.Start();
        fixed (byte* bytes = into)
            if (RAND_bytes(bytes, into.Length) != 1) throw new InvalidOperationException("OpenSSL has no random bytes");
    }

    /// <summary>What the thread's error queue says, oldest first, and empties it. Never holds key material.</summary>
    public static string TakeErrors()
    {
        StringBuilder? text = null;
        for (nuint error; (error = ERR_get_error()) != 0;)
        {
            text = text is null ? new StringBuilder() : text.Append("; ");
            text.Append(Text(ERR_reason_error_string(error)) is { Length: > 0 } reason ? reason : $"error {error:x}");
        }
        return text?.ToString() ?? "no reason given";
    }

    /// <summary>The reason code in an error (OpenSSL 3 packing); system errors have none.</summary>
    public static int ReasonOf(nuint error) => (error & 0x80000000) != 0 ? 0 : (int)(error & 0x7fffff);

    /// <summary>The library in an error (OpenSSL 3 packing); 0 of the system's.</summary>
    public static int LibraryOf(nuint error) => (error & 0x80000000) != 0 ? 0 : (int)((error >> 23) & 0xff);

    /// <summary>A C string, or empty.</summary>
    public static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";

    /// <summary>A distinguished name as RFC 2253 writes it.</summary>
    public static string NameText(nint name)
    {
        if (X509_NAME_entry_count(name) == 0) return "";
        nint bio = BIO_new(BIO_s_mem());
        _ = X509_NAME_print_ex(bio, name, 0, NameRfc2253 & ~4UL);
        return TakeText(bio);
    }

    /// <summary>A memory BIO's content; frees it.</summary>
    public static string TakeText(nint bio)
    {
        byte* data;
        nint length = BIO_ctrl(bio, BioCtrlInfo, 0, (nint)(&data));
        string text = Encoding.UTF8.GetString(data, (int)length);
        _ = BIO_free(bio);
        return text;
    }

    /// <summary>An ASN.1 time in UTC.</summary>
    public static DateTime Time(nint time)
    {
        int* tm = stackalloc int[16];
        if (time == 0 || ASN1_TIME_to_tm(time, tm) != 1) return DateTime.MinValue;
        return new DateTime(tm[5] + 1900, tm[4] + 1, tm[3], tm[2], tm[1], Math.Min(tm[0], 59), DateTimeKind.Utc);
    }
}
