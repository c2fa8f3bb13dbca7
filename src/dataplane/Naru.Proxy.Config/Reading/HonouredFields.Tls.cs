// The rows of the table of honoured fields: transport sockets and TLS.
// The marks are explained in HonouredFields.cs.
namespace Naru.Proxy.Config.Reading;

public static partial class HonouredFields
{
    private const string Tls = """
envoy.config.core.v3.TransportSocket
  + name typed_config
envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer
envoy.config.core.v3.DataSource
  + filename inline_bytes inline_string environment_variable
  ~ watched_directory: a file that is read again when it changes is watched itself, or by the watched_directory beside it
envoy.config.core.v3.ProxyProtocolConfig
  + version added_tlvs
  - pass_through_tlvs: values of a client's header are not sent on
envoy.config.core.v3.PerHostConfig
  + added_tlvs
envoy.config.core.v3.TlvEntry
  + type value
  - format_string: a value is the same for every connection
envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
  + common_tls_context require_client_certificate require_sni session_ticket_keys session_ticket_keys_sds_secret_config
  + disable_stateless_session_resumption session_timeout ocsp_staple_policy full_scan_certs_on_sni_mismatch
  + disable_stateful_session_resumption prefer_client_ciphers
envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
  + common_tls_context sni allow_renegotiation max_session_keys auto_host_sni auto_sni_san_validation
  ~ enforce_rsa_key_usage: OpenSSL looks at the key usage in any case
envoy.extensions.transport_sockets.tls.v3.CommonTlsContext
  + tls_params tls_certificates tls_certificate_sds_secret_configs validation_context validation_context_sds_secret_config
  + combined_validation_context alpn_protocols
  - key_log: session keys are never written
  - custom_handshaker: OpenSSL does the handshake
  - tls_certificate_provider_instance tls_certificate_certificate_provider tls_certificate_certificate_provider_instance: use tls_certificates or SDS
  - validation_context_certificate_provider validation_context_certificate_provider_instance: use validation_context or SDS
envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext
  + default_validation_context validation_context_sds_secret_config
  - validation_context_certificate_provider validation_context_certificate_provider_instance: use validation_context_sds_secret_config
envoy.extensions.transport_sockets.tls.v3.TlsParameters
  + tls_minimum_protocol_version tls_maximum_protocol_version cipher_suites ecdh_curves signature_algorithms
envoy.extensions.transport_sockets.tls.v3.TlsCertificate
  + certificate_chain private_key password ocsp_staple pkcs12 watched_directory
  - private_key_provider: keys are in files, in the configuration or come by SDS
  - signed_certificate_timestamp: put the timestamps into the certificate
envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext
  + trusted_ca verify_certificate_hash verify_certificate_spki match_subject_alt_names match_typed_subject_alt_names crl
  + allow_expired_certificate trust_chain_verification watched_directory custom_validator_config only_verify_leaf_cert_crl max_verify_depth
  - require_signed_certificate_timestamp: timestamps are not looked at
  - ca_certificate_provider_instance: use trusted_ca or SDS
  - system_root_certs: name the system's file in trusted_ca, such as /etc/ssl/certs/ca-certificates.crt
envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher
  + san_type matcher
  - oid: names of type OTHER_NAME are not looked at
envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys
  + keys
envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig
  + name sds_config
envoy.extensions.transport_sockets.tls.v3.Secret
  + name tls_certificate session_ticket_keys validation_context generic_secret
envoy.extensions.transport_sockets.tls.v3.GenericSecret
  + secret
envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig
  + trust_domains
envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.TrustDomain
  + name trust_bundle
envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport
  + config transport_socket
envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport
  + transport_socket
  ~ passthrough_metadata: an internal listener gets no metadata

""";
}
