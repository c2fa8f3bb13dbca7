// envoy.config.core.v3.Http2ProtocolOptions as a record, for both sides. Refuses values that RFC 9113 or Envoy's bounds rule out.
using Envoy.Config.Core.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads HTTP/2 options.</summary>
internal static class Http2Options
{
    private const int LeastWindow = 65535;
    private const int MostWindow = 16 * 1024 * 1024;

    /// <summary>The record; meaningless where the reading has errors. What is not given is as in <paramref name="standard"/>.</summary>
    public static Http2OptionsConfig Read(Scope scope, Http2ProtocolOptions options, Http2OptionsConfig standard)
    {
        var config = new Http2OptionsConfig
        {
            HpackTableSize = Values.Count(scope, "hpack_table_size", options.HpackTableSize, standard.HpackTableSize),
            MaxConcurrentStreams = Values.Count(scope, "max_concurrent_streams", options.MaxConcurrentStreams, standard.MaxConcurrentStreams, 1),
            InitialStreamWindowSize = Window(scope, "initial_stream_window_size", options.InitialStreamWindowSize, standard.InitialStreamWindowSize),
            InitialConnectionWindowSize = Window(scope, "initial_connection_window_size", options.InitialConnectionWindowSize, standard.InitialConnectionWindowSize),
            MaxOutboundControlFrames = Values.Count(scope, "max_outbound_control_frames", options.MaxOutboundControlFrames, standard.MaxOutboundControlFrames, 1),
            MaxConsecutiveEmptyFrames = Values.Count(
                scope, "max_consecutive_inbound_frames_with_empty_payload", options.MaxConsecutiveInboundFramesWithEmptyPayload, standard.MaxConsecutiveEmptyFrames),
            MaxPriorityFramesPerStream = Values.Count(scope, "max_inbound_priority_frames_per_stream", options.MaxInboundPriorityFramesPerStream, standard.MaxPriorityFramesPerStream),
            MaxWindowUpdatesPerData = Values.Count(
                scope, "max_inbound_window_update_frames_per_data_frame_sent", options.MaxInboundWindowUpdateFramesPerDataFrameSent, standard.MaxWindowUpdatesPerData, 1),
        };
        return options.ConnectionKeepalive is { } keepalive ? Keepalive(scope.In("connection_keepalive", keepalive), keepalive, config) : config;
    }

    private static int Window(Scope scope, string field, uint? given, int standard)
    {
        int size = Values.Count(scope, field, given, standard, LeastWindow);
        if (size <= MostWindow) return size;
        scope.Info(field, "NARU-C111", $"\"{field}\" is {MostWindow} (16 MiB): more is never granted");
        return MostWindow;
    }

    private static Http2OptionsConfig Keepalive(Scope scope, KeepaliveSettings settings, Http2OptionsConfig config)
    {
        if (settings.Timeout is null) scope.Error("timeout", "NARU-C101", "\"timeout\" is required");
        double jitter = settings.IntervalJitter?.Value ?? config.KeepAliveJitterPercent;
        if (!(jitter is >= 0 and <= 100)) scope.Error("interval_jitter", "NARU-C102", $"\"interval_jitter\" cannot be {jitter} percent", "it may be 0 to 100");
        return config with
        {
            KeepAliveInterval = Time(scope, "interval", settings.Interval),
            KeepAliveTimeout = Time(scope, "timeout", settings.Timeout) ?? config.KeepAliveTimeout,
            KeepAliveJitterPercent = jitter,
        };
    }

    private static TimeSpan? Time(Scope scope, string field, Google.Protobuf.WellKnownTypes.Duration? given)
    {
        TimeSpan? time = Values.Time(scope, field, given);
        if (time < TimeSpan.FromMilliseconds(1)) scope.Error(field, "NARU-C102", $"\"{field}\" must be at least 1ms");
        return time;
    }
}
