// The names of what the data path counts, as Envoy's users know them (Envoy docs: HTTP connection manager, cluster and
// listener statistics). Indexes are positions in a worker's shard.
using Naru.Telemetry;

namespace Naru.Proxy;

/// <summary>Stats of one <c>http.&lt;stat_prefix&gt;</c>.</summary>
internal static class HttpStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int CxTotal = Schema.Counter("downstream_cx_total");
    public static readonly int CxSslTotal = Schema.Counter("downstream_cx_ssl_total");
    public static readonly int CxSslActive = Schema.Gauge("downstream_cx_ssl_active", with: CxSslTotal);
    public static readonly int CxHttp1Total = Schema.Counter("downstream_cx_http1_total");
    public static readonly int CxHttp2Total = Schema.Counter("downstream_cx_http2_total");
    public static readonly int CxActive = Schema.Gauge("downstream_cx_active", with: CxTotal);
    public static readonly int CxHttp1Active = Schema.Gauge("downstream_cx_http1_active", with: CxHttp1Total);
    public static readonly int CxHttp2Active = Schema.Gauge("downstream_cx_http2_active", with: CxHttp2Total);
    public static readonly int Http2KeepaliveTimeout = Schema.Counter("http2.keepalive_timeout");
    public static readonly int CxDestroy = Schema.Counter("downstream_cx_destroy");
    public static readonly int CxDestroyLocal = Schema.Counter("downstream_cx_destroy_local");
    public static readonly int CxDestroyRemote = Schema.Counter("downstream_cx_destroy_remote");
    public static readonly int CxDestroyActiveRq = Schema.Counter("downstream_cx_destroy_active_rq");
    public static readonly int CxDestroyLocalActiveRq = Schema.Counter("downstream_cx_destroy_local_active_rq");
    public static readonly int CxDestroyRemoteActiveRq = Schema.Counter("downstream_cx_destroy_remote_active_rq");
    public static readonly int CxUpgradesTotal = Schema.Counter("downstream_cx_upgrades_total");
    public static readonly int CxUpgradesActive = Schema.Gauge("downstream_cx_upgrades_active", with: CxUpgradesTotal);
    public static readonly int CxRxBytes = Schema.Counter("downstream_cx_rx_bytes_total");
    public static readonly int CxTxBytes = Schema.Counter("downstream_cx_tx_bytes_total");
    public static readonly int CxProtocolError = Schema.Counter("downstream_cx_protocol_error");
    public static readonly int CxIdleTimeout = Schema.Counter("downstream_cx_idle_timeout");
    public static readonly int CxMaxDuration = Schema.Counter("downstream_cx_max_duration_reached");
    public static readonly int CxMaxRequests = Schema.Counter("downstream_cx_max_requests_reached");
    public static readonly int CxDrainClose = Schema.Counter("downstream_cx_drain_close");
    public static readonly int RqTotal = Schema.Counter("downstream_rq_total");
    public static readonly int RqHttp1Total = Schema.Counter("downstream_rq_http1_total");
    public static readonly int RqHttp2Total = Schema.Counter("downstream_rq_http2_total");
    public static readonly int RqActive = Schema.Gauge("downstream_rq_active", with: RqTotal);
    public static readonly int RqCompleted = Schema.Counter("downstream_rq_completed");
    public static readonly int Rq1xx = Schema.Counter("downstream_rq_1xx");
    public static readonly int Rq2xx = Schema.Counter("downstream_rq_2xx");
    public static readonly int Rq3xx = Schema.Counter("downstream_rq_3xx");
    public static readonly int Rq4xx = Schema.Counter("downstream_rq_4xx");
    public static readonly int Rq5xx = Schema.Counter("downstream_rq_5xx");
    public static readonly int RqTooLarge = Schema.Counter("downstream_rq_too_large");
    public static readonly int RqHeaderTimeout = Schema.Counter("downstream_rq_header_timeout");
    public static readonly int RqTimeout = Schema.Counter("downstream_rq_timeout");
    public static readonly int RqIdleTimeout = Schema.Counter("downstream_rq_idle_timeout");
    public static readonly int RqMaxDuration = Schema.Counter("downstream_rq_max_duration_reached");
    public static readonly int RqOverloadClose = Schema.Counter("downstream_rq_overload_close");
    public static readonly int CxOverloadDisableKeepalive = Schema.Counter("downstream_cx_overload_disable_keepalive");
    public static readonly int RqRxReset = Schema.Counter("downstream_rq_rx_reset");
    public static readonly int RqTxReset = Schema.Counter("downstream_rq_tx_reset");
    public static readonly int FlowPaused = Schema.Counter("downstream_flow_control_paused_reading_total");
    public static readonly int FlowResumed = Schema.Counter("downstream_flow_control_resumed_reading_total");
    public static readonly int RqResponseBeforeComplete = Schema.Counter("downstream_rq_response_before_rq_complete");
    public static readonly int RqNonRelativePath = Schema.Counter("downstream_rq_non_relative_path");
    public static readonly int RqFailedPathNormalization = Schema.Counter("downstream_rq_failed_path_normalization");
    public static readonly int RqRedirectedWithNormalizedPath = Schema.Counter("downstream_rq_redirected_with_normalized_path");
    public static readonly int RqUpgradeRefused = Schema.Counter("downstream_rq_ws_on_non_ws_route");
    public static readonly int NoRoute = Schema.Counter("no_route");
    public static readonly int NoCluster = Schema.Counter("no_cluster");
    public static readonly int RqRedirect = Schema.Counter("rq_redirect");
    public static readonly int RqDirectResponse = Schema.Counter("rq_direct_response");
    public static readonly int RqRouted = Schema.Counter("rq_total");
    public static readonly int RedirectBadLocation = Schema.Counter("passthrough_internal_redirect_bad_location");
    public static readonly int RedirectUnsafeScheme = Schema.Counter("passthrough_internal_redirect_unsafe_scheme");
    public static readonly int RedirectTooMany = Schema.Counter("passthrough_internal_redirect_too_many_redirects");
    public static readonly int RedirectNoRoute = Schema.Counter("passthrough_internal_redirect_no_route");
    public static readonly int RedirectPredicate = Schema.Counter("passthrough_internal_redirect_predicate");
    public static readonly int RqTime = Schema.Histogram("downstream_rq_time");
    public static readonly int CxLength = Schema.Histogram("downstream_cx_length_ms");
    public static readonly int CxDelayedCloseTimeout = Schema.Counter("downstream_cx_delayed_close_timeout");
    public static readonly int RqRejectedByDetection = Schema.Counter("downstream_rq_rejected_via_ip_detection");
    public static readonly int RqOverloadLocalReply = Schema.Counter("rq_overload_local_reply");

    // Envoy: HTTP connection manager, tracing statistics. They are there whether anything is traced or not.
    public static readonly int TraceRandomSampling = Schema.Counter("tracing.random_sampling");
    public static readonly int TraceServiceForced = Schema.Counter("tracing.service_forced");
    public static readonly int TraceClientEnabled = Schema.Counter("tracing.client_enabled");
    public static readonly int TraceNotTraceable = Schema.Counter("tracing.not_traceable");
    public static readonly int TraceHealthCheck = Schema.Counter("tracing.health_check");

    static HttpStats()
    {
        // HTTP/3 is not spoken, and answers have no limit: Envoy has the names, and so have dashboards.
        foreach (string name in (ReadOnlySpan<string>)
            ["downstream_cx_http1_soft_drain", "downstream_cx_http3_total", "downstream_rq_http3_total", "downstream_rq_too_many_premature_resets",
                "rq_reset_after_downstream_response_started", "rs_too_large"])
            Schema.Counter(name);
        Schema.Gauge("downstream_cx_http3_active");
    }

    /// <summary>A downstream connection is closed.</summary>
    /// <param name="shard">Its manager's.</param>
    /// <param name="byPeer">The client ended it.</param>
    /// <param name="hasActive">Requests were under way on it.</param>
    public static void Destroyed(long[] shard, bool byPeer, bool hasActive)
    {
        shard[CxDestroy]++;
        shard[byPeer ? CxDestroyRemote : CxDestroyLocal]++;
        if (!hasActive) return;
        shard[CxDestroyActiveRq]++;
        shard[byPeer ? CxDestroyRemoteActiveRq : CxDestroyLocalActiveRq]++;
    }

    /// <summary>A downstream connection goes on with another manager: it is open there, and no longer here.</summary>
    /// <param name="from">The old one's shard.</param>
    /// <param name="to">The new one's.</param>
    /// <param name="codec"><see cref="CxHttp1Active"/> or <see cref="CxHttp2Active"/>; negative where that is not known yet.</param>
    /// <param name="secure">It has TLS.</param>
    public static void MoveConnection(long[] from, long[] to, int codec, bool secure)
    {
        Add(from, -1);
        Add(to, 1);

        void Add(long[] shard, int one)
        {
            shard[CxActive] += one;
            if (codec >= 0) shard[codec] += one;
            if (secure) shard[CxSslActive] += one;
        }
    }
}

/// <summary>Stats of hashing balancers, <c>cluster.&lt;name&gt;.ring_hash_lb</c> and <c>.maglev_lb</c>.</summary>
internal static class HashStats
{
    public static readonly StatSchema Ring = new();
    public static readonly int Size = Ring.Gauge("size");
    public static readonly int RingLeast = Ring.Gauge("min_hashes_per_host");
    public static readonly int RingMost = Ring.Gauge("max_hashes_per_host");
    public static readonly StatSchema Maglev = new();
    public static readonly int MaglevLeast = Maglev.Gauge("min_entries_per_host");
    public static readonly int MaglevMost = Maglev.Gauge("max_entries_per_host");
}

/// <summary>Stats of one <c>cluster.&lt;name&gt;</c>.</summary>
internal static class ClusterStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int CxTotal = Schema.Counter("upstream_cx_total");
    public static readonly int CxActive = Schema.Gauge("upstream_cx_active", with: CxTotal);
    public static readonly int CxHttp1Total = Schema.Counter("upstream_cx_http1_total");
    public static readonly int CxHttp2Total = Schema.Counter("upstream_cx_http2_total");
    public static readonly int CxConnectFail = Schema.Counter("upstream_cx_connect_fail");
    public static readonly int CxConnectTimeout = Schema.Counter("upstream_cx_connect_timeout");
    public static readonly int CxIdleTimeout = Schema.Counter("upstream_cx_idle_timeout");
    public static readonly int CxOverflow = Schema.Counter("upstream_cx_overflow");
    public static readonly int CxConnectAttemptsExceeded = Schema.Counter("upstream_cx_connect_attempts_exceeded");
    public static readonly int CxDestroy = Schema.Counter("upstream_cx_destroy");
    public static readonly int CxDestroyRemote = Schema.Counter("upstream_cx_destroy_remote");
    public static readonly int CxDestroyLocal = Schema.Counter("upstream_cx_destroy_local");
    public static readonly int CxDestroyWithActiveRq = Schema.Counter("upstream_cx_destroy_with_active_rq");
    public static readonly int CxDestroyLocalWithActiveRq = Schema.Counter("upstream_cx_destroy_local_with_active_rq");
    public static readonly int CxDestroyRemoteWithActiveRq = Schema.Counter("upstream_cx_destroy_remote_with_active_rq");
    public static readonly int CxCloseNotify = Schema.Counter("upstream_cx_close_notify");
    public static readonly int CxMaxRequests = Schema.Counter("upstream_cx_max_requests");
    public static readonly int CxMaxDuration = Schema.Counter("upstream_cx_max_duration_reached");
    public static readonly int CxPoolOverflow = Schema.Counter("upstream_cx_pool_overflow");
    public static readonly int CxNoneHealthy = Schema.Counter("upstream_cx_none_healthy");
    public static readonly int CxProtocolError = Schema.Counter("upstream_cx_protocol_error");
    public static readonly int CxRxBytes = Schema.Counter("upstream_cx_rx_bytes_total");
    public static readonly int CxTxBytes = Schema.Counter("upstream_cx_tx_bytes_total");
    public static readonly int FlowPaused = Schema.Counter("upstream_flow_control_paused_reading_total");
    public static readonly int FlowResumed = Schema.Counter("upstream_flow_control_resumed_reading_total");
    public static readonly int RqTotal = Schema.Counter("upstream_rq_total");
    public static readonly int RqActive = Schema.Gauge("upstream_rq_active", with: RqTotal);
    public static readonly int RqPendingTotal = Schema.Counter("upstream_rq_pending_total");
    public static readonly int RqPendingOverflow = Schema.Counter("upstream_rq_pending_overflow");
    public static readonly int RqPendingActive = Schema.Gauge("upstream_rq_pending_active", with: RqPendingTotal);
    public static readonly int RqPendingFailureEject = Schema.Counter("upstream_rq_pending_failure_eject");
    public static readonly int RqTimeout = Schema.Counter("upstream_rq_timeout");
    public static readonly int RqPerTryTimeout = Schema.Counter("upstream_rq_per_try_timeout");
    public static readonly int RqPerTryIdleTimeout = Schema.Counter("upstream_rq_per_try_idle_timeout");
    public static readonly int RqCancelled = Schema.Counter("upstream_rq_cancelled");
    public static readonly int RqMaxDuration = Schema.Counter("upstream_rq_max_duration_reached");
    public static readonly int RqRxReset = Schema.Counter("upstream_rq_rx_reset");
    public static readonly int RqRxResetNoError = Schema.Counter("upstream_rq_rx_reset_no_error");
    public static readonly int RqTxReset = Schema.Counter("upstream_rq_tx_reset");
    public static readonly int RqRetry = Schema.Counter("upstream_rq_retry");
    public static readonly int RqRetryBackOff = Schema.Counter("upstream_rq_retry_backoff_exponential");
    public static readonly int RqRetryRateLimited = Schema.Counter("upstream_rq_retry_backoff_ratelimited");
    public static readonly int RetryAbandoned = Schema.Counter("retry_or_shadow_abandoned");
    public static readonly int RqRetryActive = Schema.Gauge("upstream_rq_retry_active");
    public static readonly int RqRetrySuccess = Schema.Counter("upstream_rq_retry_success");
    public static readonly int RqRetryOverflow = Schema.Counter("upstream_rq_retry_overflow");
    public static readonly int RqRetryLimitExceeded = Schema.Counter("upstream_rq_retry_limit_exceeded");
    public static readonly int RqFallback = Schema.Counter("upstream_rq_fallback");
    public static readonly int RqResent = Schema.Counter("upstream_rq_resent_on_stale_cx");
    public static readonly Upstreams.CodeNames Codes = new(Schema);
    public static readonly int InternalRedirectSucceeded = Schema.Counter("upstream_internal_redirect_succeeded_total");
    public static readonly int InternalRedirectFailed = Schema.Counter("upstream_internal_redirect_failed_total");
    public static readonly int MembershipTotal = Schema.Gauge("membership_total");
    public static readonly int MembershipHealthy = Schema.Gauge("membership_healthy");
    public static readonly int MembershipDegraded = Schema.Gauge("membership_degraded");
    public static readonly int MembershipExcluded = Schema.Gauge("membership_excluded");
    public static readonly int MembershipChange = Schema.Counter("membership_change");
    public static readonly int OriginalDstHostInvalid = Schema.Counter("original_dst_host_invalid");
    public static readonly int LbHealthyPanic = Schema.Counter("lb_healthy_panic");
    public static readonly int RqMaintenanceMode = Schema.Counter("upstream_rq_maintenance_mode");
    public static readonly int LbSubsetsActive = Schema.Gauge("lb_subsets_active");
    public static readonly int LbSubsetsCreated = Schema.Counter("lb_subsets_created");
    public static readonly int LbSubsetsRemoved = Schema.Counter("lb_subsets_removed");
    public static readonly int LbSubsetsSelected = Schema.Counter("lb_subsets_selected");
    public static readonly int LbSubsetsFallback = Schema.Counter("lb_subsets_fallback");
    public static readonly int LbSubsetsFallbackPanic = Schema.Counter("lb_subsets_fallback_panic");
    public static readonly int LbSubsetsDuplicate = Schema.Gauge("lb_subsets_single_host_per_subset_duplicate");
    public static readonly int LbRecalculateZones = Schema.Counter("lb_recalculate_zone_structures");
    public static readonly int LbLocalClusterNotOk = Schema.Counter("lb_local_cluster_not_ok");
    public static readonly int LbZoneClusterTooSmall = Schema.Counter("lb_zone_cluster_too_small");
    public static readonly int LbZoneNoCapacity = Schema.Counter("lb_zone_no_capacity_left");
    public static readonly int LbZoneAllDirectly = Schema.Counter("lb_zone_routing_all_directly");
    public static readonly int LbZoneSampled = Schema.Counter("lb_zone_routing_sampled");
    public static readonly int LbZoneCross = Schema.Counter("lb_zone_routing_cross_zone");
    public static readonly int ConnectMs = Schema.Histogram("upstream_cx_connect_ms");

    static ClusterStats()
    {
        // HTTP/3, early data, weights that have a most, and buffers above a mark are not here: Envoy has the names, and so have dashboards.
        foreach (string name in (ReadOnlySpan<string>)
            ["assignment_stale", "assignment_timeout_received", "assignment_use_cached", "bind_errors", "upstream_cx_connect_with_0_rtt",
                "upstream_cx_http3_total", "upstream_cx_preconnect_skipped", "upstream_flow_control_backed_up_total",
                "upstream_flow_control_drained_total", "upstream_http3_broken", "upstream_queue_overloaded", "upstream_rq_0rtt",
                "upstream_rq_active_overflow"])
            Schema.Counter(name);
        Schema.Gauge("max_host_weight");
    }
}

/// <summary>Of the transport sockets of a cluster, <c>cluster.&lt;name&gt;.&lt;match&gt;</c>.</summary>
internal static class TransportMatchStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Total = Schema.Counter("total_match_count");
}

/// <summary>What one worker has of a listener, <c>listener.&lt;address&gt;.worker_&lt;id&gt;</c>.</summary>
internal static class ListenerWorkerStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int CxTotal = Schema.Counter("downstream_cx_total");
    public static readonly int CxActive = Schema.Gauge("downstream_cx_active", with: CxTotal);
}

/// <summary>Answers of one manager of one listener, <c>listener.&lt;address&gt;.http.&lt;stat_prefix&gt;</c>.</summary>
internal static class ListenerHttpStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Completed = Schema.Counter("downstream_rq_completed");
    public static readonly int First = Schema.Counter("downstream_rq_1xx");

    static ListenerHttpStats()
    {
        for (int family = 2; family <= 5; family++) Schema.Counter($"downstream_rq_{family}xx");
    }
}

/// <summary>What codecs towards clients count, all listeners together (Envoy: <c>http1.*</c>, <c>http2.*</c>).</summary>
internal static class CodecStats
{
    public static readonly StatSchema Http1 = new();
    public static readonly int DroppedUnderscores = Http1.Counter("dropped_headers_with_underscores");
    public static readonly int RejectedUnderscores = Http1.Counter("requests_rejected_with_underscores_in_headers");

    public static readonly StatSchema Http2 = new();
    public static readonly int Http2DroppedUnderscores = Http2.Counter("dropped_headers_with_underscores");
    public static readonly int Http2RejectedUnderscores = Http2.Counter("requests_rejected_with_underscores_in_headers");
    public static readonly int HeaderOverflow = Http2.Counter("header_overflow");
    public static readonly int EmptyFramesFlood = Http2.Counter("inbound_empty_frames_flood");
    public static readonly int PriorityFramesFlood = Http2.Counter("inbound_priority_frames_flood");
    public static readonly int WindowUpdateFramesFlood = Http2.Counter("inbound_window_update_frames_flood");
    public static readonly int OutboundControlFlood = Http2.Counter("outbound_control_flood");
}

/// <summary>The blocks of <see cref="CodecStats"/>.</summary>
internal sealed record CodecBlocks(StatBlock Http1, StatBlock Http2);

/// <summary>What the engine knows of all listeners: <c>listener_manager</c>. Discovery counts the rest.</summary>
internal static class ListenersStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Stopped = Schema.Counter("listener_stopped");
    public static readonly int InPlace = Schema.Counter("listener_in_place_updated");
    public static readonly int Draining = Schema.Gauge("total_listeners_draining");
    public static readonly int Started = Schema.Gauge("workers_started");
}

/// <summary>What codecs of endpoints count: <c>cluster.&lt;name&gt;.http1</c>. Answers with odd names are passed on, METADATA is none of
/// our frames and nobody floods us with answers, so that these stay 0.</summary>
internal static class UpstreamCodecStats
{
    public static readonly StatSchema Http1 = new();
    private static readonly int[] s_names =
    [
        Http1.Counter("dropped_headers_with_underscores"), Http1.Counter("metadata_not_supported_error"),
        Http1.Counter("requests_rejected_with_underscores_in_headers"), Http1.Counter("response_flood"),
    ];
}

/// <summary>Stats of one <c>listener.&lt;address&gt;</c>.</summary>
internal static class ListenerStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int CxTotal = Schema.Counter("downstream_cx_total");
    public static readonly int CxActive = Schema.Gauge("downstream_cx_active", with: CxTotal);
    public static readonly int CxGlobalOverflow = Schema.Counter("downstream_global_cx_overflow");
    public static readonly int CxOverloadReject = Schema.Counter("downstream_cx_overload_reject");
    public static readonly int CxDestroy = Schema.Counter("downstream_cx_destroy");
    public static readonly int CxOverflow = Schema.Counter("downstream_cx_overflow");
    public static readonly int PreCxActive = Schema.Gauge("downstream_pre_cx_active");
    public static readonly int PreCxTimeout = Schema.Counter("downstream_pre_cx_timeout");
    public static readonly int NoFilterChainMatch = Schema.Counter("no_filter_chain_match");
    public static readonly int FilterRemoteClose = Schema.Counter("downstream_listener_filter_remote_close");
    public static readonly int FilterError = Schema.Counter("downstream_listener_filter_error");
    public static readonly int TransportConnectTimeout = Schema.Counter("downstream_cx_transport_socket_connect_timeout");
    public static readonly int CxLength = Schema.Histogram("downstream_cx_length_ms");
    public static readonly int AcceptedPerEvent = Schema.Histogram("connections_accepted_per_socket_event");

    // Whatever a listener needs is there before it serves.
    private static readonly int[] s_names = [Schema.Counter("extension_config_missing"), Schema.Counter("network_extension_config_missing")];
}
