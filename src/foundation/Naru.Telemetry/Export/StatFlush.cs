// What statistics have to say since the last time somebody was told: for sinks that are told at intervals (Envoy: stats sinks). Of one
// thread
// at a time. Only what was used is told, as Envoy has it.
using System.Text;

namespace Naru.Telemetry;

/// <summary>One statistic in a flush.</summary>
/// <param name="Block">Whose.</param>
/// <param name="Name">Its own name.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Value">As it is now.</param>
/// <param name="Delta">Of a counter, since the last flush.</param>
/// <param name="All">Of a histogram, all that was recorded; null of others.</param>
/// <param name="New">The same since the last flush.</param>
public readonly record struct StatSample(StatBlock Block, string Name, StatKind Kind, long Value, long Delta, Histogram? All,
    Histogram? New)
{
    /// <summary>All of its name.</summary>
    public string FullName => $"{Block.Prefix}.{Name}";
}

/// <summary>A statistic's name without the values in it, and those.</summary>
public readonly record struct TaggedStat(string Name, IReadOnlyList<(string Name, string Value)> Tags);

/// <summary>Walks a registry and remembers what it has told.</summary>
public sealed class StatFlush(StatRegistry registry)
{
    private Dictionary<(StatBlock, int), long> _told = [];
    private Dictionary<(StatBlock, int), Histogram> _recorded = [];

    /// <summary>All statistics that were used, in the order of their names. To be walked to its end.</summary>
    public IEnumerable<StatSample> Walk()
    {
        var told = new Dictionary<(StatBlock, int), long>(_told.Count);
        var recorded = new Dictionary<(StatBlock, int), Histogram>(_recorded.Count);
        Func<string, bool>? shows = registry.Rules.Shows;
        foreach (StatBlock block in registry.Blocks.OrderBy(b => b.Prefix, StringComparer.Ordinal))
        {
            for (int i = 0; i < block.Schema.Stats.Count; i++)
            {
                (string name, StatKind kind) = block.Schema.Stats[i];
                long value = block.Read(i);
                bool known = _told.TryGetValue((block, i), out long before);
                int counter = block.Schema.CounterOf(i);
                if (!known && value == 0 && (counter < 0 || block.Read(counter) == 0)) continue;
                if (shows is not null && !shows($"{block.Prefix}.{name}")) continue;
                told[(block, i)] = value;
                // One that was set back begins anew.
                yield return new StatSample(block, name, kind, value, value >= before ? value - before : value, null, null);
            }
            for (int i = 0; i < block.Schema.Histograms.Count; i++)
            {
                string name = block.Schema.Histograms[i];
                var all = new Histogram();
                block.ReadHistogram(i, all);
                if (all.Count == 0 || (shows is not null && !shows($"{block.Prefix}.{name}"))) continue;
                var latest = new Histogram();
                latest.Merge(all);
                if (_recorded.TryGetValue((block, i), out Histogram? before)) latest.Subtract(before);
                recorded[(block, i)] = all;
                yield return new StatSample(block, name, StatKind.Counter, 0, 0, all, latest);
            }
        }
        (_told, _recorded) = (told, recorded);
    }

    /// <summary>A name without the values in it.</summary>
    public TaggedStat Tagged(in StatSample sample)
    {
        StatRules rules = registry.Rules;
        TaggedPrefix prefix = StatTags.Extract(sample.Block.Prefix, sample.Block.Scope);
        (string left, string own, string labels) = rules.Split(sample.Block.Prefix, prefix, sample.Name);
        if (rules.HasDefaultTags)
        {
            (own, string code) = StatTags.ExtractCode(own);
            labels = Join(labels, code);
        }
        labels = Join(labels, rules.FixedLabels);
        return new TaggedStat(left.Length == 0 ? own : $"{left}.{own}", Parse(labels));
    }

    /// <summary>Bounds of a histogram's buckets.</summary>
    public double[] BoundsOf(in StatSample sample) => registry.Rules.BoundsOf(sample.Block, sample.Name);

    private static string Join(string a, string b) => a.Length == 0 ? b : b.Length == 0 ? a : $"{a},{b}";

    // Labels as Prometheus has them; Envoy's own tags have a dot behind their first word.
    private static List<(string, string)> Parse(string labels)
    {
        var tags = new List<(string, string)>();
        for (int at = 0; at < labels.Length;)
        {
            int equals = labels.IndexOf('=', at);
            if (equals < 0) break;
            string name = labels[at..equals];
            var value = new StringBuilder();
            int i = equals + 2;
            for (; i < labels.Length && labels[i] != '"'; i++)
            {
                if (labels[i] == '\\' && i + 1 < labels.Length) i++;
                value.Append(labels[i]);
            }
            at = i + 2;
            tags.Add((name.StartsWith("envoy_", StringComparison.Ordinal) ? $"envoy.{name[6..]}" : name, value.ToString()));
        }
        return tags;
    }
}

/// <summary>Lines of statsd (statsd: metric types), and of its dialect with tags (DogStatsD).</summary>
public static class StatsdLines
{
    /// <summary>Writes what a statistic has to say, a line each.</summary>
    /// <param name="sample">The statistic.</param>
    /// <param name="prefix">Before all names.</param>
    /// <param name="tagged">Its name without values; null for statsd, which has no tags.</param>
    /// <param name="take">Takes a line, without its end.</param>
    public static void Write(in StatSample sample, string prefix, TaggedStat? tagged, Action<string> take)
    {
        string name = Clean($"{prefix}.{tagged?.Name ?? sample.FullName}", isName: true);
        string tags = tagged is { Tags.Count: > 0 } of ? $"|#{string.Join(',', of.Tags.Select(t => $"{Clean(t.Name,
            isName: true)}:{Clean(t.Value, isName: false)}"))}" : "";
        if (sample.New is { } recorded)
        {
            // Several of one value are one line that stands for so many.
            foreach ((double value, long count) in recorded.Values())
                take(string.Create(System.Globalization.CultureInfo.InvariantCulture,
                    $"{name}:{value}|ms{(count > 1 ? $"|@{1.0 / count:0.######}" : "")}{tags}"));
            return;
        }
        take(string.Create(System.Globalization.CultureInfo.InvariantCulture,
            $"{name}:{(sample.Kind == StatKind.Counter ? sample.Delta : Math.Max(0, sample.Value))}|{(sample.Kind == StatKind.Counter ? "c" : "g")}{tags}"));
    }

    // What would end a name, a value or a line.
    private static string Clean(string text, bool isName) =>
        string.Concat(text.Select(c => c is '|' or '\n' or '\r' or '#' || (isName && c == ':') || (!isName && c == ',') ? '_' : c));
}

/// <summary>Statistics as messages: <c>io.prometheus.client.MetricFamily</c> and OTLP.</summary>
public static class StatMessages
{
    /// <summary>One of <c>StreamMetricsMessage.envoy_metrics</c>.</summary>
    /// <param name="sample">The statistic.</param>
    /// <param name="tagged">Its name and tags; null for its whole name.</param>
    /// <param name="deltas">Counters say what came since the last time.</param>
    /// <param name="bounds">Of a histogram's buckets.</param>
    /// <param name="forms">1 for a summary, 2 for a histogram, 3 for both.</param>
    /// <param name="millis">Since 1970.</param>
    /// <param name="into">Where to.</param>
    public static void WriteFamily(in StatSample sample, TaggedStat? tagged, bool deltas, double[] bounds, int forms, long millis,
        ProtoWriter into)
    {
        for (int form = 1; form <= (sample.All is null ? 1 : 2); form++)
        {
            if (sample.All is not null && (forms & form) == 0) continue;
            int family = into.Begin(2);
            into.Text(1, tagged?.Name ?? sample.FullName);
            into.Number(3, sample.All is not null ? form == 1 ? 2 : 4 : sample.Kind == StatKind.Counter ? 0 : 1);
            int metric = into.Begin(4);
            foreach ((string name, string value) in tagged?.Tags ?? [])
            {
                int pair = into.Begin(1);
                into.Text(1, name);
                into.Text(2, value);
                into.End(pair);
            }
            if (sample.New is { } recorded && form == 1)
            {
                int summary = into.Begin(4);
                into.Number(1, recorded.Count);
                into.Double(2, recorded.Sum);
                foreach (double quantile in (ReadOnlySpan<double>)[0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1])
                {
                    int one = into.Begin(3);
                    into.Double(1, quantile);
                    into.Double(2, recorded.Quantile(quantile));
                    into.End(one);
                }
                into.End(summary);
            }
            else if (sample.New is { } latest)
            {
                int histogram = into.Begin(7);
                into.Number(1, latest.Count);
                into.Double(2, latest.Sum);
                long[] counts = new long[bounds.Length + 1];
                latest.Cumulative(bounds, counts);
                for (int i = 0; i < bounds.Length; i++)
                {
                    int bucket = into.Begin(3);
                    into.Number(1, counts[i]);
                    into.Double(2, bounds[i]);
                    into.End(bucket);
                }
                into.End(histogram);
            }
            else
            {
                int value = into.Begin(sample.Kind == StatKind.Counter ? 3 : 2);
                into.Double(1, sample.Kind == StatKind.Counter && deltas ? sample.Delta : sample.Value, always: true);
                into.End(value);
            }
            into.Number(6, millis);
            into.End(metric);
            into.End(family);
        }
    }

    /// <summary>One of <c>ScopeMetrics.metrics</c>.</summary>
    /// <param name="sample">The statistic.</param>
    /// <param name="name">Its name.</param>
    /// <param name="tags">Told besides.</param>
    /// <param name="counterDeltas">Counters say what came since the last time.</param>
    /// <param name="histogramDeltas">The same of histograms.</param>
    /// <param name="bounds">Of a histogram's buckets.</param>
    /// <param name="start">When counting began, or of what is told; nanoseconds since 1970.</param>
    /// <param name="now">The same, now.</param>
    /// <param name="into">Where to.</param>
    public static void WriteOtlp(in StatSample sample, string name, IReadOnlyList<(string Name, string Value)> tags, bool counterDeltas,
        bool histogramDeltas, double[] bounds, long start, long now, ProtoWriter into)
    {
        int metric = into.Begin(2);
        into.Text(1, name);
        bool isCounter = sample.All is null && sample.Kind == StatKind.Counter;
        int data = into.Begin(sample.All is not null ? 9 : isCounter ? 7 : 5);
        int point = into.Begin(1);
        foreach ((string tag, string value) in tags) SpanFormats.Attribute(sample.All is null ? 7 : 9, tag, value, into);
        if (sample.All is not null || isCounter) into.Fixed64(2, (ulong)start);
        into.Fixed64(3, (ulong)now);
        if (sample.All is { } all)
        {
            Histogram told = histogramDeltas ? sample.New! : all;
            into.Fixed64(4, (ulong)told.Count);
            into.Double(5, told.Sum, always: true);
            long[] counts = new long[bounds.Length + 1];
            told.Cumulative(bounds, counts);
            long before = 0;
            int packed = into.Begin(6);
            Span<byte> eight = stackalloc byte[8];
            foreach (long count in counts)
            {
                System.Buffers.Binary.BinaryPrimitives.WriteInt64LittleEndian(eight, count - before);
                into.Raw(eight);
                before = count;
            }
            into.End(packed);
            packed = into.Begin(7);
            foreach (double bound in bounds)
            {
                System.Buffers.Binary.BinaryPrimitives.WriteDoubleLittleEndian(eight, bound);
                into.Raw(eight);
            }
            into.End(packed);
        }
        else
        {
            into.Fixed64(6, (ulong)(isCounter && counterDeltas ? sample.Delta : sample.Value), always: true);
        }
        into.End(point);
        if (sample.All is not null) into.Number(2, histogramDeltas ? 1 : 2);
        if (isCounter)
        {
            into.Number(2, counterDeltas ? 1 : 2);
            into.Number(3, 1);
        }
        into.End(data);
        into.End(metric);
    }
}
