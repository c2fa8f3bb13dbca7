// The table of reasons is whole, every row of it is used, and docs/reference/reasons.md says what it says (NARU_GOLDEN=write).
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using Naru.Kit;
using Naru.Proxy.Filters;
using Naru.Proxy.Http;
using Naru.Proxy.Network;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class ReasonTests
{
    private const string Marker = "<!-- generated below this line: NARU_GOLDEN=write ./test Reason -->\n";

    private static readonly (string Name, Reason Reason)[] s_all =
        [.. new[] { typeof(Reasons), typeof(ConnectionReasons), typeof(FilterReasons) }.SelectMany(t => t.GetFields(BindingFlags.Public | BindingFlags.Static)).Where(f => f.FieldType == typeof(Reason))
            .Select(f => ($"{f.DeclaringType!.Name}.{f.Name}", (Reason)f.GetValue(null)!))];

    public static TheoryData<string> Names => [.. s_all.Select(r => r.Name)];

    /// <summary>What Envoy documents (HTTP connection manager, response code details), and request_header_timeout, which its source has.</summary>
    private static readonly string[] s_envoys =
    [
        "cluster_not_found", "low_version", "max_duration_timeout", "missing_host_header", "no_healthy_upstream", "overload", "path_normalization_failed",
        "request_header_timeout", "request_overall_timeout", "route_configuration_not_found", "route_not_found", "stream_idle_timeout", "upgrade_failed",
        "upstream_per_try_timeout", "upstream_per_try_idle_timeout", "upstream_max_stream_duration_reached", "response_timeout", "http1.codec_error", "http1.headers_too_large", "http1.invalid_characters",
        "http1.invalid_transfer_encoding", "grpc_base_64_decode_failed", "http1.invalid_url", "http1.too_many_headers", "http1.unexpected_underscore",
        "http1.connection_header_rejected", "http1.https_url_on_plaintext_connection", "filter_chain_not_found", "over_connection_limit", "local_ratelimit_close_over_limit", "tcp_session_idle_timeout", "max_connection_duration_reached",
        "remote_connection_failure", "connection_timeout", "downstream_remote_disconnect", "upstream_overflow",
        "ratelimit_close_over_limit", "ratelimit_error", "fault_filter_abort", "health_check_failed", "local_rate_limited", "request_payload_too_large", "response_payload_too_large",
        "rejecting_because_detection_failed", "request_headers_failed_strict_check",
        "rbac_access_denied_matched_policy[none]", "no_credential_for_basic_auth", "missing_api_key", "client_not_allowed",
        "csrf_origin_mismatch", "invalid_cdn_loop_header", "cdn_loop_detected",
        "failed_to_inject_credential", "jwt_authn_access_denied", "ext_authz_denied", "ext_authz_error", "ext_authz_invalid", "request_rate_limited", "rate_limiter_error",
        "dns_resolution_failure", "dns_cache_overflow", "dynamic_forward_proxy_pending_request_overflow",
        "lua_response",
        "grpc_json_transcode_failure", "early_grpc_json_transcode_failure{NOT_FOUND}", "early_grpc_json_transcode_failure{INVALID_ARGUMENT}",
        "grpc_json_transcode_failure{request_buffer_size_limit_reached}", "grpc_json_transcode_failure{response_buffer_size_limit_reached}",
        "grpc_json_transcode_failure{INVALID_ARGUMENT}",
    ];

    // Ends that Envoy does not have.
    private static readonly string[] s_ours =
    [
        "max_forwards_reached", "listener_filter_refused", "listener_filters_timeout", "transport_socket_failure", "transport_socket_timeout", "tunnel_refused",
        "tunnel_failed", "drain_timeout", "upstream_remote_disconnect", "filter_config_not_found", "filter_failed",
        "body_too_long_to_match", "body_unreadable", "on_demand_overflow",
        "oauth_failed", "oauth_sign_out_by_others", "filter_secret_not_found",
        "ext_proc_error", "ext_proc_error_per-message_timeout_exceeded", "spurious_message", "ext_proc_immediate_response",
        "request_decompression_failed", "request_decompression_ratio_exceeded", "response_decompression_failed", "response_decompression_ratio_exceeded",
    ];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_reason_says_what_when_and_what_to_do(string name)
    {
        Reason reason = s_all.Single(r => r.Name == name).Reason;
        Assert.Matches("^NARU-[A-Z][0-9]{3}$", reason.Code);
        Assert.NotEmpty(reason.Sentence);
        Assert.True(reason.When.EndsWith('.'), $"{name}: When");
        Assert.True(reason.Remedy.EndsWith('.') || reason.Remedy.EndsWith('?'), $"{name}: Remedy");
        Assert.Equal(name.StartsWith("ConnectionReasons.", StringComparison.Ordinal), reason.Status == 0);
        if (reason.Status > 0) Assert.NotEmpty(Reasons.Phrase(reason.Status));
        if (!reason.Details.StartsWith("upstream_reset_before_response_started{", StringComparison.Ordinal)) Assert.Contains(reason.Details, s_envoys.Concat(s_ours));
    }

    [Fact]
    public void No_two_reasons_share_a_code() => Assert.Empty(s_all.GroupBy(r => r.Reason.Code).Where(g => g.Count() > 1).Select(g => g.Key));

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_reason_is_given_somewhere(string name)
    {
        string own = File.ReadAllText(Repository.At("src", "dataplane", "Naru.Proxy", "Http", "Reasons.cs"));
        string bare = name[(name.IndexOf('.', StringComparison.Ordinal) + 1)..];
        bool inTable = name.StartsWith("Reasons.", StringComparison.Ordinal) && (own[own.IndexOf("public static Reason Of(", StringComparison.Ordinal)..].Contains($"> {bare},", StringComparison.Ordinal)
            || own.Contains($"{bare} with {{", StringComparison.Ordinal));
        Assert.True(inTable || Directory.EnumerateFiles(Repository.At("src", "dataplane"), "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/obj/", StringComparison.Ordinal))
            .Any(f => Use(name).IsMatch(File.ReadAllText(f))), $"nobody uses {name}");
    }

    [Fact]
    public void The_reference_page_says_what_the_table_says()
    {
        string path = Repository.At("docs", "reference", "reasons.md");
        string page = File.ReadAllText(path);
        int marker = page.IndexOf(Marker, StringComparison.Ordinal);
        Assert.True(marker > 0, "the marker is gone");
        string generated = Generate();
        if (Environment.GetEnvironmentVariable("NARU_GOLDEN") == "write") File.WriteAllText(path, page[..(marker + Marker.Length)] + generated);
        Assert.Equal(generated, File.ReadAllText(path)[(marker + Marker.Length)..]);
    }

    private static string Generate()
    {
        var text = new StringBuilder("\n| code | status | flag | details | why |\n| --- | --- | --- | --- | --- |\n");
        IEnumerable<Reason> ordered = s_all.Select(r => r.Reason).OrderBy(r => r.Code, StringComparer.Ordinal);
        foreach (Reason reason in ordered) text.Append($"| `{reason.Code}` | {Status(reason)} | {Flags(reason)} | `{reason.Details.Replace("|", "\\|")}` | {reason.Sentence} |\n");
        foreach (Reason reason in ordered) text.Append($"\n### {reason.Code}\n\n{(reason.Status > 0 ? Status(reason) : "End of a connection")}: {reason.Sentence}.\n\n{reason.When} {reason.Remedy}\n");
        return text.ToString();
    }

    private static string Status(Reason reason) => reason.Status > 0 ? reason.Status.ToString(System.Globalization.CultureInfo.InvariantCulture) : "";

    private static string Flags(Reason reason)
    {
        var flags = new LineBuffer();
        ResponseFlagNames.Append(reason.Flags, flags);
        return flags.Written.IsEmpty ? "" : $"`{Encoding.ASCII.GetString(flags.Written)}`";
    }

    private static Regex Use(string name) => new($@"\b{Regex.Escape(name)}\b", RegexOptions.CultureInvariant);
}
