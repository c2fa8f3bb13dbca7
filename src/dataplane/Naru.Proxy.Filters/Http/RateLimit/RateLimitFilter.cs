// Asks a service whether a request is one too many, by descriptors that its route makes of it (Envoy docs: rate limit). A request without any
// asks nobody. Where the service says nothing of use, requests go on unless the configuration would rather refuse them.
using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Common.Ratelimit.V3;
using Envoy.Service.Ratelimit.V3;
using Google.Protobuf;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;
using Unit = Envoy.Service.Ratelimit.V3.RateLimitResponse.Types.RateLimit.Types.Unit;

namespace Naru.Proxy.Filters.Http.RateLimit;

internal sealed class RateLimitFilter : HttpFilter
{
    // Of one request.
    private const int MostDescriptors = 256;
    private static readonly byte[] s_namespace = "envoy.filters.http.ratelimit"u8.ToArray();
    private readonly RateLimitFilterConfig _config;
    private readonly FilterContext _context;
    private readonly GrpcMethod _method;
    private readonly string _statName;
    private readonly ConcurrentDictionary<ClusterSlot, StatBlock> _clusters = new();
    private readonly HeaderChanges _headers;
    private readonly Reason _limited, _failed;

    public RateLimitFilter(RateLimitFilterConfig config, FilterContext context)
    {
        (_config, _context) = (config, context);
        _method = new GrpcMethod(config.Service, context.Clusters, "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
        _statName = AccessStats.Scope("ratelimit", config.StatPrefix);
        _headers = HeaderChanges.Of([], config.Headers);
        _limited = FilterReasons.RateLimited with { Status = config.Status, Grpc = config.ResourceExhausted ? 8 : 14 };
        _failed = FilterReasons.RateLimitFailed with { Status = config.StatusOnError };
    }

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.ResponseHead;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        Exchange x = call.Exchange;
        if (x.Route?.Forward is not { } forward || x.Target is null || !IsMeant(x)) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        RateLimitRoute? route = call.Route<RateLimitRoute>();
        RateLimitRequest? request = null;
        if (route is { Limits.Length: > 0 })
        {
            Describe(x, route.Limits, ref request, counts: true);
        }
        else
        {
            Describe(x, forward.RateLimits, ref request, counts: false);
            bool ofHost = route?.Config.VirtualHost switch
            {
                HostLimits.Ignore => false,
                HostLimits.Include => true,
                _ => forward.Config.IncludeVirtualHostRateLimits || forward.RateLimits.Length == 0,
            };
            if (ofHost) Describe(x, forward.VirtualHostRateLimits, ref request, counts: false);
        }
        if (request is null) return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        request.Domain = route is { Config.Domain.Length: > 0 } ? route.Config.Domain : _config.Domain;
        return AskAsync(call, request);
    }

    private bool IsMeant(Exchange x)
    {
        if (_config.Type is "" or "both") return true;
        bool isInternal = x.RequestHeaders.TryGet("x-envoy-internal"u8, out ReadOnlySpan<byte> said) && said.SequenceEqual("true"u8);
        return isInternal == (_config.Type == "internal");
    }

    private void Describe(Exchange x, RateLimitPolicy[] policies, ref RateLimitRequest? request, bool counts)
    {
        foreach (RateLimitPolicy policy in policies)
        {
            if (policy.Stage != _config.Stage || !policy.Write(x, _context.Node, x.Scratch)) continue;
            request ??= new RateLimitRequest();
            if (request.Descriptors.Count == MostDescriptors) return;
            RateLimitDescriptor descriptor = Descriptor(x.Scratch.Written);
            if (policy.Override(x) is { } limit)
                descriptor.Limit = new RateLimitDescriptor.Types.RateLimitOverride { RequestsPerUnit = limit.Requests, Unit = (Envoy.Type.V3.RateLimitUnit)limit.Unit };
            request.Descriptors.Add(descriptor);
            // As in Envoy: what routes' own limits say of hits is for nobody.
            if (counts && policy.Hits(x) is { } hits) request.HitsAddend = hits;
        }
    }

    private static RateLimitDescriptor Descriptor(ReadOnlySpan<byte> entries)
    {
        var descriptor = new RateLimitDescriptor();
        while (!entries.IsEmpty)
        {
            int key = entries.IndexOf((byte)0);
            ReadOnlySpan<byte> rest = entries[(key + 1)..];
            int value = rest.IndexOf((byte)0);
            descriptor.Entries.Add(new RateLimitDescriptor.Types.Entry
            {
                Key = Encoding.UTF8.GetString(entries[..key]),
                Value = Encoding.UTF8.GetString(rest[..value]),
            });
            entries = rest[(value + 1)..];
        }
        return descriptor;
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> AskAsync(FilterCall call, RateLimitRequest request)
    {
        Exchange x = call.Exchange;
        using CallOut asked = _method.Call(x, request.ToByteArray());
        if (!await _method.RunAsync(asked, x)) return FilterVerdict.Go;
        RateLimitResponse? response = GrpcMethod.Read(asked, RateLimitResponse.Parser);
        if (response is not { OverallCode: RateLimitResponse.Types.Code.Ok or RateLimitResponse.Types.Code.OverLimit }) return Failed(call);
        bool isOver = response.OverallCode == RateLimitResponse.Types.Code.OverLimit;
        asked.Span?.Tag(Reports.SpanTags.RateLimitStatus, isOver ? "over_limit" : "ok", endsRequest: isOver);
        if (response.DynamicMetadata is { Fields.Count: > 0 } metadata) x.SetMetadata(s_namespace, MetadataReader.Read(metadata));
        call.State.Object = response;
        if (response.OverallCode == RateLimitResponse.Types.Code.Ok)
        {
            Count(call, GlobalLimitStats.Ok);
            Add(call.Request, response.RequestHeadersToAdd);
            return FilterVerdict.Go;
        }
        Count(call, GlobalLimitStats.OverLimit);
        Answers.Own(x, _config.Status);
        x.FilterAnswer = new FilterAnswer(_limited, "") { Bytes = response.RawBody.ToByteArray() };
        return FilterVerdict.Answer;
    }

    private FilterVerdict Failed(FilterCall call)
    {
        Count(call, GlobalLimitStats.Error);
        if (_config.Denies) return call.Answer(_failed);
        Count(call, GlobalLimitStats.FailureModeAllowed);
        return FilterVerdict.Go;
    }

    private static void Add(HeadEdits head, IEnumerable<HeaderValue> fields)
    {
        foreach (HeaderValue field in fields)
        {
            // A service changes neither path nor host.
            if (field.Key.Length == 0 || field.Key[0] == ':') continue;
            byte[] value = field.RawValue.IsEmpty ? Encoding.UTF8.GetBytes(field.Value) : field.RawValue.ToByteArray();
            byte[] name = Encoding.UTF8.GetBytes(field.Key.ToLowerInvariant());
            // A value that may not stand in a head leaves none: what is there is not the service's.
            if (!head.Add(name, value)) head.Remove(name);
        }
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (call.State.Object is not RateLimitResponse response) return new ValueTask<bool>(true);
        bool limited = response.OverallCode == RateLimitResponse.Types.Code.OverLimit;
        Add(call.Response, response.ResponseHeadersToAdd);
        if (limited && _config.SaysLimited) call.Response.Set("x-envoy-ratelimited"u8, "true"u8);
        if (_config.TellsClients) Tell(call.Response, response);
        if (limited) _headers.Apply(call.Response, call.Exchange, call.Exchange.Scratch);
        return new ValueTask<bool>(true);
    }

    // Of the limit that is nearest, and all of them as policies (draft-polli-ratelimit-headers-03).
    private static void Tell(ResponseHeaders head, RateLimitResponse response)
    {
        RateLimitResponse.Types.DescriptorStatus? nearest = null;
        var policies = new StringBuilder();
        foreach (RateLimitResponse.Types.DescriptorStatus status in response.Statuses)
        {
            if (status.CurrentLimit is not { } limit) continue;
            if (nearest is null || status.LimitRemaining < nearest.LimitRemaining) nearest = status;
            if (Seconds(limit.Unit) is not { } window) continue;
            policies.Append(CultureInfo.InvariantCulture, $", {limit.RequestsPerUnit};w={window}");
            // It stands in quotes.
            if (limit.Name.Length > 0 && limit.Name.All(c => c is >= ' ' and <= '~' and not '"' and not '\\'))
                policies.Append(CultureInfo.InvariantCulture, $";name=\"{limit.Name}\"");
        }
        if (nearest is null) return;
        head.Set("x-ratelimit-limit"u8, Encoding.UTF8.GetBytes($"{nearest.CurrentLimit.RequestsPerUnit}{policies}"));
        head.Set("x-ratelimit-remaining"u8, nearest.LimitRemaining);
        head.Set("x-ratelimit-reset"u8, Math.Max(0, nearest.DurationUntilReset?.Seconds ?? 0));
    }

    private static int? Seconds(Unit unit) => unit switch
    {
        Unit.Second => 1,
        Unit.Minute => 60,
        Unit.Hour => 3600,
        Unit.Day => 86_400,
        Unit.Month => 2_592_000,
        Unit.Year => 31_536_000,
        _ => null,
    };

    private void Count(FilterCall call, int what)
    {
        if (call.Exchange.Target?.Slot is not { Stats: not null } slot) return;
        StatBlock block = _clusters.GetOrAdd(slot, static (s, self) => self._context.Stats.Block($"cluster.{s.Name}", self._statName, GlobalLimitStats.Schema), this);
        block.Shard(call.Worker.Index)[what]++;
    }
}

internal static class GlobalLimitStats
{
    public static readonly StatSchema Schema = new(onUse: true);
    public static readonly int Ok = Schema.Counter("ok");
    public static readonly int OverLimit = Schema.Counter("over_limit");
    public static readonly int Error = Schema.Counter("error");
    public static readonly int FailureModeAllowed = Schema.Counter("failure_mode_allowed");
}
