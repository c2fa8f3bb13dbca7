// Every directive of nginx's own modules that a file may have and an import does not express: without effect, or dropped, and why
// (nginx.org/en/docs/dirindex.html). What stands in none of the tables is unknown.
namespace Naru.Import.Nginx;

internal static class NginxWords
{
    /// <summary>Read elsewhere.</summary>
    public static readonly HashSet<string> Handled = new(StringComparer.Ordinal)
    {
        "http", "server", "location", "upstream", "events", "listen", "server_name", "proxy_pass", "grpc_pass", "return", "rewrite", "set",
            "if", "proxy_set_header", "grpc_set_header",
        "add_header", "proxy_hide_header", "proxy_connect_timeout", "proxy_read_timeout", "grpc_connect_timeout", "grpc_read_timeout",
        "proxy_next_upstream", "proxy_next_upstream_tries",
        "proxy_next_upstream_timeout", "ssl_certificate", "ssl_certificate_key", "ssl_client_certificate", "ssl_verify_client",
        "client_max_body_size", "root", "alias", "try_files", "index",
        "allow", "deny", "auth_basic", "auth_basic_user_file", "auth_request", "auth_jwt", "satisfy", "limit_except", "internal",
        "proxy_ssl_server_name", "proxy_ssl_name", "proxy_ssl_verify",
        "proxy_ssl_trusted_certificate", "proxy_ssl_certificate", "proxy_ssl_certificate_key", "proxy_redirect", "map", "fastcgi_pass",
        "uwsgi_pass", "scgi_pass", "memcached_pass", "autoindex",
        "stub_status", "empty_gif", "flv", "mp4", "perl", "ssl", "proxy_http_version", "secure_link", "ssl_password_file",
        "include", "ssl_reject_handshake",
    };

    /// <summary>Nothing of a proxy's behaviour depends on it, or Naru does it in any case.</summary>
    public static readonly Dictionary<string, string> NoEffect = Table(
        ("it is about processes of nginx",
        "user worker_processes worker_rlimit_nofile worker_rlimit_core worker_cpu_affinity worker_priority worker_shutdown_timeout "
            + "worker_connections pid daemon master_process lock_file "
            + "load_module pcre_jit thread_pool timer_resolution use multi_accept accept_mutex accept_mutex_delay env debug_connection "
            + "error_log"),
        ("access logs are written by access_log of a bootstrap, and by a mesh in any case",
        "access_log log_format log_not_found log_subrequest open_log_file_cache rewrite_log"),
        ("files are not served",
        "sendfile sendfile_max_chunk tcp_nopush directio output_buffers open_file_cache open_file_cache_valid open_file_cache_min_uses "
            + "open_file_cache_errors types types_hash_max_size "
            + "types_hash_bucket_size default_type aio charset source_charset charset_types override_charset etag if_modified_since "
            + "expires disable_symlinks"),
        ("there is nothing to tune here",
        "tcp_nodelay server_names_hash_max_size server_names_hash_bucket_size variables_hash_max_size variables_hash_bucket_size "
            + "map_hash_max_size map_hash_bucket_size "
            + "proxy_headers_hash_max_size proxy_headers_hash_bucket_size client_body_buffer_size client_body_temp_path "
            + "client_header_buffer_size large_client_header_buffers connection_pool_size "
            + "request_pool_size reset_timedout_connection lingering_close lingering_time lingering_timeout postpone_output "
            + "keepalive_requests keepalive_timeout keepalive_disable keepalive_time server_tokens "
            + "client_body_in_file_only client_body_in_single_buffer port_in_redirect server_name_in_redirect absolute_redirect http2 "
            + "http2_max_concurrent_streams http2_chunk_size msie_padding"),
        ("bodies are passed on as they come",
        "proxy_buffering proxy_buffer_size proxy_buffers proxy_busy_buffers_size proxy_max_temp_file_size proxy_temp_file_write_size "
            + "proxy_temp_path fastcgi_temp_path uwsgi_temp_path scgi_temp_path "
            + "proxy_request_buffering proxy_socket_keepalive proxy_send_lowat grpc_buffer_size proxy_limit_rate"),
        ("the timeout without traffic is that of proxy_read_timeout, and heads must end within 10 s",
        "proxy_send_timeout send_timeout client_body_timeout client_header_timeout grpc_send_timeout resolver_timeout"),
        ("names are asked of the system", "resolver"),
        ("TLS 1.2 and 1.3 are spoken, with OpenSSL's choice of ciphers",
        "ssl_protocols ssl_ciphers ssl_prefer_server_ciphers ssl_session_cache ssl_session_timeout ssl_session_tickets "
            + "ssl_session_ticket_key ssl_dhparam "
            + "ssl_ecdh_curve ssl_buffer_size ssl_early_data ssl_conf_command proxy_ssl_protocols proxy_ssl_ciphers "
            + "proxy_ssl_session_reuse proxy_ssl_verify_depth ssl_verify_depth"),
        ("all headers of a backend are passed on",
        "proxy_pass_header proxy_ignore_headers proxy_pass_request_headers proxy_pass_request_body"),
        ("paths are normalized, slashes merged, and headers checked in any case",
        "merge_slashes ignore_invalid_headers underscores_in_headers"),
        ("a client that goes away ends the request at its backend", "proxy_ignore_client_abort"));

    /// <summary>Naru has nothing like it.</summary>
    public static readonly Dictionary<string, string> Dropped = Table(
        ("nothing is cached",
        "proxy_cache proxy_cache_path proxy_cache_key proxy_cache_valid proxy_cache_use_stale proxy_cache_bypass proxy_no_cache "
            + "proxy_cache_lock proxy_cache_lock_timeout proxy_cache_min_uses "
            + "proxy_cache_methods proxy_cache_revalidate proxy_cache_background_update proxy_store proxy_store_access "
            + "proxy_cache_lock_age proxy_cache_purge proxy_force_ranges"),
        ("answers are not compressed here",
        "gzip gzip_types gzip_min_length gzip_comp_level gzip_vary gzip_proxied gzip_disable gzip_http_version gzip_buffers gzip_static "
            + "gunzip brotli brotli_types brotli_comp_level"),
        ("rates are not limited by client",
        "limit_req limit_req_zone limit_req_status limit_req_log_level limit_req_dry_run limit_conn limit_conn_zone limit_conn_status "
            + "limit_conn_log_level limit_rate limit_rate_after"),
        ("the backend's answer is passed on as it is",
        "error_page proxy_intercept_errors recursive_error_pages sub_filter sub_filter_once sub_filter_types proxy_cookie_path "
            + "proxy_cookie_domain proxy_cookie_flags "
            + "addition_types add_before_body add_after_body ssi image_filter xslt_stylesheet add_trailer"),
        ("the request is passed on as it is", "proxy_method proxy_set_body proxy_bind proxy_cookie_request mirror mirror_request_body"),
        ("addresses of clients are those of the connections", "set_real_ip_from real_ip_header real_ip_recursive proxy_protocol_timeout"),
        ("variables of one's own are not known",
        "geo geoip_country geoip_city split_clients userid js_import js_set js_content perl_set auth_request_set"),
        ("certificates are checked without it", "ssl_stapling ssl_stapling_verify ssl_trusted_certificate ssl_crl ssl_ocsp proxy_ssl_crl"),
        ("HTTP/3 is not spoken", "quic_retry http3 http3_hq quic_gso"),
        ("only HTTP is imported", "stream mail"));

    private static Dictionary<string, string> Table(params (string Why, string Words)[] rows) =>
        rows.SelectMany(r => r.Words.Split(' ').Select(w => (w, r.Why))).ToDictionary(p => p.w, p => p.Why, StringComparer.Ordinal);
}
