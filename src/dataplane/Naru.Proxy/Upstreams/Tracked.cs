// What is recorded of a cluster's requests where its configuration asks for it (Envoy docs: cluster manager, statistics of timeout budgets
// and of requests' and answers' sizes; field Cluster.track_cluster_stats).
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Upstreams;

internal sealed class Tracked
{
    private static readonly StatSchema s_sizes = new(), s_budgets = new();

    // Names and values of fields, pseudo headers with them, in bytes and by number; bodies in bytes.
    private static readonly int s_rqHeadersSize = s_sizes.Histogram("upstream_rq_headers_size");
    private static readonly int s_rqHeadersCount = s_sizes.Histogram("upstream_rq_headers_count");
    private static readonly int s_rqBodySize = s_sizes.Histogram("upstream_rq_body_size");
    private static readonly int s_rsHeadersSize = s_sizes.Histogram("upstream_rs_headers_size");
    private static readonly int s_rsHeadersCount = s_sizes.Histogram("upstream_rs_headers_count");
    private static readonly int s_rsBodySize = s_sizes.Histogram("upstream_rs_body_size");

    // 100 is all of the time.
    private static readonly int s_percent = s_budgets.Histogram("upstream_rq_timeout_budget_percent_used");
    private static readonly int s_perTryPercent = s_budgets.Histogram("upstream_rq_timeout_budget_per_try_percent_used");

    // :method, :scheme, :authority and :path; :status.
    private const int RequestPseudo = 4, AnswerPseudo = 1;

    private readonly StatBlock? _sizes, _budgets;

    private Tracked(StatBlock? sizes, StatBlock? budgets) => (_sizes, _budgets) = (sizes, budgets);

    /// <summary>A cluster's; null where it asks for nothing.</summary>
    /// <param name="registry">All counters; what the cluster no longer asks for is forgotten.</param>
    /// <param name="prefix">The cluster's.</param>
    /// <param name="config">The cluster.</param>
    public static Tracked? Of(StatRegistry registry, string prefix, ClusterConfig config)
    {
        StatBlock? sizes = Block(config.TracksSizes, s_sizes), budgets = Block(config.TracksBudgets, s_budgets);
        return sizes is null && budgets is null ? null : new Tracked(sizes, budgets);

        StatBlock? Block(bool wanted, StatSchema schema)
        {
            if (wanted) return registry.Block(prefix, schema);
            registry.Remove(prefix, schema);
            return null;
        }
    }

    /// <summary>A try brought an answer, whose head is held.</summary>
    public void OnAnswer(Exchange x, in Answer answer)
    {
        if (_sizes is null || answer.Head is null) return;
        HeadEdits fields = x.FieldsOf(answer);
        Record(_sizes, x, s_rsHeadersSize, fields.FieldBytes() + ":status200".Length);
        Record(_sizes, x, s_rsHeadersCount, fields.FieldCount() + AnswerPseudo);
    }

    /// <summary>A try has ended, however.</summary>
    public void OnTryEnded(Exchange x, Attempt attempt)
    {
        if (_budgets is not null) Record(_budgets, x, s_perTryPercent, Percent(attempt.State.BeganTicks, x.Worker.Ticks, x.PerTryMs));
        if (_sizes is null) return;
        if (x.RequestFieldBytes() is > 0 and var bytes)
        {
            Record(_sizes, x, s_rqHeadersSize, bytes);
            Record(_sizes, x, s_rqHeadersCount, x.RequestHeaders.FieldCount() + RequestPseudo - (x.Framing.Host >= 0 ? 1 : 0));
        }
        Record(_sizes, x, s_rqBodySize, attempt.State.Ridden is null ? 0 : x.RequestBodyBytes);
        if (attempt.State.Answer.Head is not null) Record(_sizes, x, s_rsBodySize, attempt.Body.Bytes);
    }

    /// <summary>A request was answered, or its time is up.</summary>
    public void OnEnded(Exchange x)
    {
        if (_budgets is not null) Record(_budgets, x, s_percent, Percent(x.RequestEndTicks, x.Worker.Ticks, x.TimeoutMs));
    }

    // Of a time without end nothing is ever used.
    private static long Percent(long fromTicks, long toTicks, long of) => of == 0 || fromTicks == 0 ? 0 : Worker.Milliseconds(fromTicks, toTicks) * 100 / of;

    private static void Record(StatBlock block, Exchange x, int histogram, long value) => block.HistogramOf(x.Worker.Index, histogram).Record(value);
}
