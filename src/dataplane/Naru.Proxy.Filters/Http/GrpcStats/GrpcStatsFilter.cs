// Counts calls by cluster, service and method: how they ended, and how many messages went each way. Names come from requests: of those that
// nobody listed there are so many at most, and further ones are counted without a name.
using System.Collections.Concurrent;
using System.Collections.Frozen;
using System.Globalization;
using System.Text;
using Naru.Http.Bodies;
using Naru.Http.Http1;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.GrpcStats;

internal sealed class GrpcStatsFilter(GrpcStatsSettings settings, StatRegistry registry) : HttpFilter
{
    /// <summary>Names of methods at most, where nobody lists them.</summary>
    public const int MostNames = 1024;

    private const int LongestName = 256;
    private static readonly byte[] s_stateKey = "envoy.filters.http.grpc_stats"u8.ToArray();
    private readonly ConcurrentDictionary<string, ClusterBlocks> _clusters = new(StringComparer.Ordinal);
    private readonly FrozenSet<string>? _allowed = settings.Allowed?.ToFrozenSet(StringComparer.Ordinal);
    private int _names;

    public override FilterStages Stages => FilterStages.RequestHead | FilterStages.RequestBody | FilterStages.ResponseHead
        | FilterStages.ResponseBody | FilterStages.ResponseTrailers | FilterStages.End;

    public override bool IsPure(object? said) => true;

    // Of one cluster, by SERVICE/METHOD.
    private sealed class ClusterBlocks(StatBlock unnamed)
    {
        public StatBlock Unnamed => unnamed;
        public readonly ConcurrentDictionary<string, StatBlock> Named = new(StringComparer.Ordinal);
    }

    private sealed class Call : IPooled
    {
        public StatBlock? Stats;
        public GrpcFrames Request, Response;
        public bool IsCharged;

        bool IPooled.IsRented { get; set; }
    }

    private static readonly WorkerLocal<Pool<Call>> s_calls = new(static _ => new Pool<Call>(static () => new Call()));

    private static Call Begin(FilterCall call)
    {
        Call state = s_calls.Of(call.Worker).Rent();
        (state.Stats, state.Request, state.Response, state.IsCharged) = (null, default, default, false);
        call.State.Object = state;
        return state;
    }

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        if (call.Request.TryGet("content-type"u8, out ReadOnlySpan<byte> type) && ReplyForms.IsGrpc(type) && !call.Exchange.IsUpgrade)
        {
            Begin(call).Stats = Block(call.Exchange);
            call.Want(FilterStages.RequestBody);
        }
        return new ValueTask<FilterVerdict>(FilterVerdict.Go);
    }

    // Null where there is no cluster, or no method in the path.
    private StatBlock? Block(Exchange x)
    {
        if (x.Target?.Slot.Name is not { } cluster) return null;
        ReadOnlySpan<byte> path = x.Path;
        if (path.Length < 4 || path[0] != '/') return null;
        int slash = path[1..].IndexOf((byte)'/') + 1;
        if (slash < 2 || slash + 1 == path.Length || path[(slash + 1)..].Contains((byte)'/')) return null;
        if (!_clusters.TryGetValue(cluster, out ClusterBlocks? blocks))
            blocks = _clusters.GetOrAdd(cluster, of => new ClusterBlocks(registry.Block($"cluster.{of}", "grpc", GrpcCallStats.Schema)));
        ReadOnlySpan<byte> name = path[1..];
        if ((!settings.All && _allowed is null) || name.Length > LongestName || name.ContainsAnyExceptInRange((byte)'!', (byte)'~'))
            return blocks.Unnamed;
        Span<char> chars = stackalloc char[LongestName];
        chars = chars[..Encoding.ASCII.GetChars(name, chars)];
        if (blocks.Named.GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(chars, out StatBlock? known)) return known;
        if (_allowed is { } allowed ? !allowed.GetAlternateLookup<ReadOnlySpan<char>>().Contains(chars) : _names >= MostNames)
            return blocks.Unnamed;
        Interlocked.Increment(ref _names);
        return blocks.Named.GetOrAdd(new string(chars), static (key, at) => at.Self.Make(at.Cluster, key), (Self: this, Cluster: cluster));
    }

    private StatBlock Make(string cluster, string method)
    {
        int slash = method.IndexOf('/', StringComparison.Ordinal);
        string service = settings.ReplacesDots ? method[..slash].Replace('.', '_') : method[..slash];
        return registry.Block($"cluster.{cluster}", $"grpc.{service}.{method[(slash + 1)..]}", GrpcCallStats.Schema);
    }

    public override ValueTask<BodyVerdict> OnRequestBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is Call state) Count(call, state, ref state.Request, piece, GrpcCallStats.RequestMessages);
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    public override ValueTask<BodyVerdict> OnResponseBodyAsync(FilterCall call, BodyPiece piece)
    {
        if (call.State.Object is Call state) Count(call, state, ref state.Response, piece, GrpcCallStats.ResponseMessages);
        return new ValueTask<BodyVerdict>(BodyVerdict.Go);
    }

    private static void Count(FilterCall call, Call state, ref GrpcFrames frames, BodyPiece piece, int stat)
    {
        int begun = frames.Pass(piece.Bytes);
        if (begun > 0 && state.Stats is { } stats) stats.Shard(call.Worker.Index)[stat] += begun;
    }

    public override ValueTask<bool> OnResponseAsync(FilterCall call)
    {
        if (!call.Response.TryGet("content-type"u8, out ReadOnlySpan<byte> type) || !ReplyForms.IsGrpc(type)) return new ValueTask<bool>(true);
        Call state = call.State.Object as Call ?? Begin(call);
        if (call.HasResponseBody) call.Want(FilterStages.ResponseBody | FilterStages.ResponseTrailers);
        else Charge(call, state, call.Response);
        return new ValueTask<bool>(true);
    }

    public override ValueTask OnResponseTrailersAsync(FilterCall call, BodyPiece last)
    {
        if (call.State.Object is Call state) Charge(call, state, call.ResponseTrailers);
        return default;
    }

    private static void Charge(FilterCall call, Call state, HeadEdits fields)
    {
        if (state.Stats is not { } stats || state.IsCharged || !fields.TryGet("grpc-status"u8, out ReadOnlySpan<byte> status)) return;
        state.IsCharged = true;
        long[] shard = stats.Shard(call.Worker.Index);
        shard[GrpcCallStats.Total]++;
        shard[status.SequenceEqual("0"u8) ? GrpcCallStats.Success : GrpcCallStats.Failure]++;
        // Others are no codes, and names of statistics are not for backends to choose.
        if (int.TryParse(status, NumberStyles.None, CultureInfo.InvariantCulture, out int code) && code <= GrpcCallStats.LastCode)
            shard[GrpcCallStats.Codes + code]++;
    }

    public override void OnEnd(FilterCall call)
    {
        if (call.State.Object is not Call state) return;
        Exchange x = call.Exchange;
        if (settings.Times && state is { IsCharged: true, Stats: { } stats } && x.UpstreamEndTicks > 0)
        {
            long sent = x.RequestSentTicks, from = sent > 0 && sent < x.UpstreamEndTicks ? sent : x.UpstreamStartTicks;
            if (from > 0) stats.HistogramOf(call.Worker.Index, GrpcCallStats.Time).Record(Worker.Milliseconds(from, x.UpstreamEndTicks));
        }
        if (settings.KeepsState && (state.Request.Messages > 0 || state.Response.Messages > 0)) Keep(x, state);
        call.State.Object = null;
        s_calls.Of(call.Worker).Return(state);
    }

    // As the protobuf message would be written (Envoy: FilterObject).
    private static void Keep(Exchange x, Call state)
    {
        (long request, long response) = (state.Request.Messages, state.Response.Messages);
        string of = request > 0 ? $"\"requestMessageCount\":\"{request}\"" : "";
        if (response > 0) of += $"{(of.Length > 0 ? "," : "")}\"responseMessageCount\":\"{response}\"";
        x.SetState(s_stateKey, Encoding.ASCII.GetBytes($"{request},{response}"), readOnly: false, Encoding.ASCII.GetBytes($"{{{of}}}"));
    }
}

/// <summary>Where a stream of messages stands (gRPC over HTTP/2: Length-Prefixed-Message).</summary>
internal struct GrpcFrames
{
    private uint _left;
    private int _prefix;

    /// <summary>Messages that began.</summary>
    public long Messages { get; private set; }

    /// <summary>Passes bytes: how many messages began with them.</summary>
    public int Pass(ReadOnlySpan<byte> bytes)
    {
        int begun = 0;
        while (!bytes.IsEmpty)
        {
            if (_prefix == ProtoBody.Prefix)
            {
                int take = (int)Math.Min(_left, (uint)bytes.Length);
                _left -= (uint)take;
                bytes = bytes[take..];
                if (_left == 0) _prefix = 0;
                continue;
            }
            if (_prefix == 0) _left = 0;
            else _left = (_left << 8) | bytes[0];
            bytes = bytes[1..];
            if (++_prefix < ProtoBody.Prefix) continue;
            begun++;
            if (_left == 0) _prefix = 0;
        }
        Messages += begun;
        return begun;
    }
}

internal static class GrpcCallStats
{
    /// <summary>The last of gRPC's status codes.</summary>
    public const int LastCode = 16;

    public static readonly StatSchema Schema = new(onUse: true);
    public static readonly int Success = Schema.Counter("success");
    public static readonly int Failure = Schema.Counter("failure");
    public static readonly int Total = Schema.Counter("total");
    public static readonly int RequestMessages = Schema.Counter("request_message_count");
    public static readonly int ResponseMessages = Schema.Counter("response_message_count");
    public static readonly int Time = Schema.Histogram("upstream_rq_time");

    /// <summary>The first code's.</summary>
    public static readonly int Codes = MakeCodes();

    private static int MakeCodes()
    {
        int first = Schema.Counter("0");
        for (int code = 1; code <= LastCode; code++) Schema.Counter(code.ToString(CultureInfo.InvariantCulture));
        return first;
    }
}
