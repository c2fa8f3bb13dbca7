// Asks a service whether a connection is one too many, when it begins: before TLS and before anything is connected to (Envoy docs: network
// rate limit). Where the service says nothing of use, connections go on unless the configuration would rather refuse them.
using System.Text;
using Envoy.Extensions.Common.Ratelimit.V3;
using Envoy.Service.Ratelimit.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Network;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Network.RateLimit;

internal sealed class NetworkRateLimitFilter : AskingFilter
{
    private static readonly byte[] s_namespace = "envoy.filters.network.ratelimit"u8.ToArray();
    private readonly NetworkRateLimitSettings _settings;
    private readonly GrpcMethod _method;
    private readonly StatBlock _stats;
    private readonly (string Key, AccessLogFormat Value)[][] _descriptors;
    private readonly RuntimeSlot _enabled, _enforcing;

    public NetworkRateLimitFilter(NetworkRateLimitSettings settings, FilterContext context)
    {
        _settings = settings;
        _method = new GrpcMethod(settings.Service, context.Clusters, "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
        _stats = context.Stats.Block($"ratelimit.{settings.StatPrefix.TrimEnd('.')}", ConnectionLimitsStats.Schema);
        // What does not compile was refused when it was read.
        _descriptors = [.. settings.Descriptors.Select(d => d.Select(e =>
            (e.Key, AccessLogFormat.Compile(new FormatSource { Text = e.Value }, new Diagnostics(), FormatUse.Body)!)).ToArray())];
        _enabled = context.Node.Runtime.Slot("ratelimit.tcp_filter_enabled");
        _enforcing = context.Node.Runtime.Slot("ratelimit.tcp_filter_enforcing");
    }

    public override bool OnNew => true;

    public override NetworkQuestion? Ask(ListenerConnection connection, Worker worker)
    {
        if (!NodeState.Chance(worker, _enabled.PerMillion(1_000_000))) return null;
        long[] shard = _stats.Shard(worker.Index);
        shard[ConnectionLimitsStats.Total]++;
        ConnectionRecord about = connection.Record();
        var scratch = new LineBuffer();
        var request = new RateLimitRequest { Domain = _settings.Domain };
        foreach ((string Key, AccessLogFormat Value)[] entries in _descriptors)
        {
            var descriptor = new RateLimitDescriptor();
            foreach ((string key, AccessLogFormat value) in entries)
            {
                scratch.Clear();
                value.Write(about, scratch);
                descriptor.Entries.Add(new RateLimitDescriptor.Types.Entry { Key = key, Value = Encoding.UTF8.GetString(scratch.Written) });
            }
            request.Descriptors.Add(descriptor);
        }
        CallOut call = _method.Call(worker, about, scratch, request.ToByteArray());
        return new NetworkQuestion(_method, call, answer => Judge(answer, connection, worker, shard), shard, ConnectionLimitsStats.Active);
    }

    private Reason? Judge(CallOut call, ListenerConnection connection, Worker worker, long[] shard)
    {
        RateLimitResponse? response = GrpcMethod.Read(call, RateLimitResponse.Parser);
        if (response?.DynamicMetadata is { Fields.Count: > 0 } said)
        {
            ConnectionInfo info = connection.Know();
            info.Metadata = (info.Metadata ?? MetaValue.Empty).With(s_namespace, MetadataReader.Read(said));
        }
        switch (response?.OverallCode)
        {
            case RateLimitResponse.Types.Code.Ok:
                shard[ConnectionLimitsStats.Ok]++;
                return null;
            case RateLimitResponse.Types.Code.OverLimit:
                shard[ConnectionLimitsStats.OverLimit]++;
                if (!NodeState.Chance(worker, _enforcing.PerMillion(1_000_000))) return null;
                shard[ConnectionLimitsStats.Closed]++;
                return ConnectionReasons.GlobalRateLimit;
            default:
                shard[ConnectionLimitsStats.Error]++;
                shard[_settings.Denies ? ConnectionLimitsStats.Closed : ConnectionLimitsStats.FailureModeAllowed]++;
                return _settings.Denies ? ConnectionReasons.GlobalRateLimitFailed : null;
        }
    }
}

internal static class ConnectionLimitsStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Total = Schema.Counter("total");
    public static readonly int Ok = Schema.Counter("ok");
    public static readonly int OverLimit = Schema.Counter("over_limit");
    public static readonly int Error = Schema.Counter("error");
    public static readonly int FailureModeAllowed = Schema.Counter("failure_mode_allowed");
    public static readonly int Closed = Schema.Counter("cx_closed");
    public static readonly int Active = Schema.Gauge("active");
}
