// What access logs say of a failed handshake (%DOWNSTREAM_TRANSPORT_FAILURE_REASON%, %UPSTREAM_TRANSPORT_FAILURE_REASON%) in Envoy's words, which
// people search their logs for: number, library and reason as BoringSSL has them, then what the verification found. Our own sentence about the
// same failure goes to the log of the proxy and into answers (TlsSession.Failure).
using System.Collections.Immutable;
using System.Text;

namespace Naru.Proxy.Tls;

internal static unsafe class TransportText
{
    /// <summary>The secrets have not come (Envoy: a socket that is not ready).</summary>
    public const string NoSecret = "TLS_error:_Secret_is_not_supplied_by_SDS";

    /// <summary>A required certificate was not given.</summary>
    public static readonly string NoPeerCertificate = Whole(192, "PEER_DID_NOT_RETURN_A_CERTIFICATE:peer_did_not_provide_required_client_certificate");

    // BoringSSL's library SSL in an error.
    private const int Ssl = 16 << 24;

    // A certificate may name thousands; a line of a log is for reading.
    private const int MostNames = 32, MostLength = 1024;

    /// <summary>A certificate that was refused.</summary>
    /// <param name="why">What was found, with blanks.</param>
    public static string Verification(string why) => Whole(125, $"CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_{why.Replace(' ', '_')}");

    /// <summary>The chain of a certificate is no good.</summary>
    /// <param name="error">X509_V_ERR_….</param>
    /// <param name="depth">Where in the chain; 0 is the peer's own.</param>
    public static string Chain(int error, int depth)
    {
        string lists = error is Crypto.UnableToGetCrl or Crypto.Revoked or Crypto.CrlNotYetValid or Crypto.CrlExpired or Crypto.CrlSignature or Crypto.NoCrlIssuer
            ? "certificate revocation check against provided CRLs failed: "
            : "";
        string words = Crypto.Text(Crypto.X509_verify_cert_error_string(error)).Replace("self-signed", "self signed", StringComparison.Ordinal);
        return Verification($"X509_verify_cert: certificate verification error at depth {depth}: {lists}{words}");
    }

    /// <summary>None of the names is one that was asked for by the configuration.</summary>
    public static string Names(ImmutableArray<SubjectAltName> names) => Verification($"SAN matcher, certificate SANs are [{List(names)}]");

    /// <summary>None of the names is that of the request's host.</summary>
    public static string Names(ImmutableArray<SubjectAltName> names, string expected) =>
        Verification($"verify SAN list, expected SANs: [{expected}], certificate SANs: [{List(names)}]");

    private static string List(ImmutableArray<SubjectAltName> names)
    {
        var text = new StringBuilder();
        foreach (SubjectAltName name in names.Take(MostNames))
        {
            if (text.Length + name.Value.Length > MostLength) break;
            if (text.Length > 0) text.Append(", ");
            text.Append(name.Value);
        }
        return text.ToString();
    }

    /// <summary>What OpenSSL found.</summary>
    /// <param name="error">Packed as OpenSSL 3 has it.</param>
    public static string Error(nuint error)
    {
        int reason = Crypto.ReasonOf(error);
        if (Crypto.LibraryOf(error) != Crypto.LibrarySsl) return Unknown(error);
        if (reason >= 1000 && Alert(reason - 1000) is { } alert) return Whole(reason, alert);
        return reason switch
        {
            OpenSsl.ReasonVerifyFailed => Whole(125, "CERTIFICATE_VERIFY_FAILED"),
            OpenSsl.ReasonNoPeerCertificate => NoPeerCertificate,
            OpenSsl.ReasonHttpRequest => Whole(156, "HTTP_REQUEST"),
            OpenSsl.ReasonProxyRequest => Whole(155, "HTTPS_PROXY_REQUEST"),
            OpenSsl.ReasonNoSharedCipher => Whole(184, "NO_SHARED_CIPHER"),
            OpenSsl.ReasonUnsupportedProtocol or OpenSsl.ReasonVersionTooLow => Whole(240, "UNSUPPORTED_PROTOCOL"),
            OpenSsl.ReasonWrongVersion => Whole(247, "WRONG_VERSION_NUMBER"),
            OpenSsl.ReasonNoSignatureAlgorithm => Whole(253, "NO_COMMON_SIGNATURE_ALGORITHMS"),
            OpenSsl.ReasonNoKeyShare => Whole(266, "NO_SHARED_GROUP"),
            _ => Unknown(error),
        };
    }

    // The number is OpenSSL's where BoringSSL has no such reason: none of BoringSSL's looks like it.
    private static string Unknown(nuint error) =>
        $"TLS_error:|{error}:{Words(Crypto.Text(Crypto.ERR_lib_error_string(error)))}:OPENSSL_internal:{Words(Crypto.Text(Crypto.ERR_reason_error_string(error))).ToUpperInvariant()}:TLS_error_end";

    private static string Words(string text) => text.Replace(' ', '_');

    private static string Whole(int reason, string text) => $"TLS_error:|{Ssl + reason}:SSL_routines:OPENSSL_internal:{text}:TLS_error_end";

    // Of the peer (RFC 8446 6.2); those of SSL 3 keep its name.
    private static string? Alert(int description) => description switch
    {
        10 => "SSLV3_ALERT_UNEXPECTED_MESSAGE",
        20 => "SSLV3_ALERT_BAD_RECORD_MAC",
        22 => "TLSV1_ALERT_RECORD_OVERFLOW",
        40 => "SSLV3_ALERT_HANDSHAKE_FAILURE",
        42 => "SSLV3_ALERT_BAD_CERTIFICATE",
        43 => "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        44 => "SSLV3_ALERT_CERTIFICATE_REVOKED",
        45 => "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        46 => "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        47 => "SSLV3_ALERT_ILLEGAL_PARAMETER",
        48 => "TLSV1_ALERT_UNKNOWN_CA",
        49 => "TLSV1_ALERT_ACCESS_DENIED",
        50 => "TLSV1_ALERT_DECODE_ERROR",
        51 => "TLSV1_ALERT_DECRYPT_ERROR",
        70 => "TLSV1_ALERT_PROTOCOL_VERSION",
        71 => "TLSV1_ALERT_INSUFFICIENT_SECURITY",
        80 => "TLSV1_ALERT_INTERNAL_ERROR",
        90 => "TLSV1_ALERT_USER_CANCELLED",
        112 => "TLSV1_ALERT_UNRECOGNIZED_NAME",
        113 => "TLSV1_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE",
        114 => "TLSV1_ALERT_BAD_CERTIFICATE_HASH_VALUE",
        116 => "TLSV1_ALERT_CERTIFICATE_REQUIRED",
        120 => "TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
        _ => null,
    };
}
