// Prints a registry as Envoy's admin does: text lines, JSON, and the Prometheus exposition format.
// Stands beside Stats.cs. Each printer is a sequence that pauses when its buffer is worth sending, so a large mesh needs no large buffer.
using System.Buffers.Text;
using System.Globalization;
using System.Text;

namespace Naru.Telemetry;

/// <summary>The formats of <c>/stats</c> and <c>/stats/prometheus</c>. Every sequence yields when <c>into</c> holds
/// <see cref="ChunkBytes"/> or more, and once at its end: send and clear it each time.</summary>
public static class StatsFormats
{
    /// <summary>About so many bytes are gathered between two yields.</summary>
    public const int ChunkBytes = 16 * 1024;

    private static readonly double[] s_quantiles = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

    private static readonly string[] s_quantileNames = ["0", "25", "50", "75", "90", "95", "99", "99.5", "99.9", "100"];

    /// <summary><c>name: value</c> a line, scalars sorted, then histograms with their quantiles (Envoy's <c>P50(interval,cumulative)</c>;
    /// we keep no intervals, so the first is always <c>nan</c>) or their buckets.</summary>
    public static IEnumerable<bool> Text(StatRegistry registry, StatsQuery query, LineBuffer into)
    {
        StatBlock[] blocks = Sorted(registry);
        foreach ((StatBlock block, int text) in Texts(registry, blocks, query))
        {
            AppendName(block.Prefix, block.Schema.Texts[text], into);
            into.Append(": \""u8);
            Escapes.AppendText(Encoding.UTF8.GetBytes(block.Said(text)), into);
            into.Append("\"\n"u8);
            if (into.Length >= ChunkBytes) yield return true;
        }
        foreach (StatBlock block in blocks)
        {
            foreach (int stat in Order(block.Schema))
            {
                (string name, StatKind kind) = block.Schema.Stats[stat];
                if (!query.Wants(kind) || !Wants(registry, query, block, name)) continue;
                long value = block.Read(stat);
                if (value == 0 && IsLeftOut(block, stat, query)) continue;
                AppendName(block.Prefix, name, into);
                into.Append(": "u8);
                AppendValue(kind, value, into);
                into.Append((byte)'\n');
                if (into.Length >= ChunkBytes) yield return true;
            }
        }
        var merged = new Histogram();
        foreach (StatBlock block in query.WantsHistograms ? blocks : [])
        {
            for (int i = 0; i < block.Schema.Histograms.Count; i++)
            {
                if (!Load(registry, block, i, query, merged)) continue;
                AppendName(block.Prefix, block.Schema.Histograms[i], into);
                into.Append(":"u8);
                if (merged.Count == 0) into.Append(" No recorded values"u8);
                if (query.Buckets != StatBucketForm.None)
                {
                    if (merged.Count > 0) AppendBuckets(merged, registry.Rules.BoundsOf(block, block.Schema.Histograms[i]), query.Buckets, into);
                    into.Append((byte)'\n');
                    if (into.Length >= ChunkBytes) yield return true;
                    continue;
                }
                for (int q = 0; q < s_quantiles.Length && merged.Count > 0; q++)
                {
                    into.Append(" P"u8);
                    AppendAscii(s_quantileNames[q], into);
                    into.Append("(nan,"u8);
                    AppendDouble(merged.Quantile(s_quantiles[q]), into);
                    into.Append((byte)')');
                }
                into.Append((byte)'\n');
                if (into.Length >= ChunkBytes) yield return true;
            }
        }
        yield return true;
    }

    /// <summary>Envoy's JSON: <c>{"stats":[{"name","value"}…,{"histograms":{…}}]}</c>.</summary>
    public static IEnumerable<bool> Json(StatRegistry registry, StatsQuery query, LineBuffer into)
    {
        StatBlock[] blocks = Sorted(registry);
        into.Append("{\"stats\":["u8);
        bool first = true;
        foreach ((StatBlock block, int text) in Texts(registry, blocks, query))
        {
            into.Append(first ? "{\"name\":\""u8 : ",{\"name\":\""u8);
            first = false;
            AppendJsonName(block.Prefix, block.Schema.Texts[text], into);
            into.Append("\",\"value\":\""u8);
            Escapes.AppendJson(Encoding.UTF8.GetBytes(block.Said(text)), into);
            into.Append("\"}"u8);
            if (into.Length >= ChunkBytes) yield return true;
        }
        foreach (StatBlock block in blocks)
        {
            foreach (int stat in Order(block.Schema))
            {
                (string name, StatKind kind) = block.Schema.Stats[stat];
                if (!query.Wants(kind) || !Wants(registry, query, block, name)) continue;
                long value = block.Read(stat);
                if (value == 0 && IsLeftOut(block, stat, query)) continue;
                into.Append(first ? "{\"name\":\""u8 : ",{\"name\":\""u8);
                first = false;
                AppendJsonName(block.Prefix, name, into);
                into.Append("\",\"value\":"u8);
                AppendValue(kind, value, into);
                into.Append((byte)'}');
                if (into.Length >= ChunkBytes) yield return true;
            }
        }
        if (query.WantsHistograms && query.Buckets != StatBucketForm.None)
        {
            into.Append(first ? "{\"histograms\":["u8 : ",{\"histograms\":["u8);
            var merged = new Histogram();
            bool firstHistogram = true;
            foreach (StatBlock block in blocks)
            {
                for (int i = 0; i < block.Schema.Histograms.Count; i++)
                {
                    if (!Load(registry, block, i, query, merged)) continue;
                    into.Append(firstHistogram ? "{\"name\":\""u8 : ",{\"name\":\""u8);
                    firstHistogram = false;
                    AppendJsonName(block.Prefix, block.Schema.Histograms[i], into);
                    into.Append("\",\"buckets\":["u8);
                    AppendJsonBuckets(merged, registry.Rules.BoundsOf(block, block.Schema.Histograms[i]), query.Buckets, into);
                    into.Append("]}"u8);
                    if (into.Length >= ChunkBytes) yield return true;
                }
            }
            into.Append("]}"u8);
        }
        else if (query.WantsHistograms)
        {
            into.Append(first ? "{\"histograms\":{\"supported_quantiles\":["u8 : ",{\"histograms\":{\"supported_quantiles\":["u8);
            AppendAscii(string.Join(',', s_quantileNames), into);
            into.Append("],\"computed_quantiles\":["u8);
            var merged = new Histogram();
            bool firstHistogram = true;
            foreach (StatBlock block in blocks)
            {
                for (int i = 0; i < block.Schema.Histograms.Count; i++)
                {
                    if (!Load(registry, block, i, query, merged)) continue;
                    into.Append(firstHistogram ? "{\"name\":\""u8 : ",{\"name\":\""u8);
                    firstHistogram = false;
                    AppendJsonName(block.Prefix, block.Schema.Histograms[i], into);
                    into.Append("\",\"values\":["u8);
                    for (int q = 0; q < s_quantiles.Length; q++)
                    {
                        into.Append(q == 0 ? "{\"cumulative\":"u8 : ",{\"cumulative\":"u8);
                        if (merged.Count == 0) into.Append("null"u8);
                        else AppendDouble(merged.Quantile(s_quantiles[q]), into);
                        into.Append(",\"interval\":null}"u8);
                    }
                    into.Append("]}"u8);
                    if (into.Length >= ChunkBytes) yield return true;
                }
            }
            into.Append("]}}"u8);
        }
        into.Append("]}"u8);
        yield return true;
    }

    /// <summary>Prometheus text format 0.0.4 with Envoy's names: <c>envoy_</c>, dots to underscores, values as labels.</summary>
    public static IEnumerable<bool> Prometheus(StatRegistry registry, StatsQuery query, LineBuffer into)
    {
        var merged = new Histogram();
        var shown = new HashSet<string>(StringComparer.Ordinal);
        string common = registry.Rules.FixedLabels;
        foreach ((string metric, MetricType type, List<Family> families) in Metrics(registry))
        {
            bool typed = false;
            shown.Clear();
            foreach (Family family in families)
            {
                foreach ((StatBlock block, string labels) in family.Blocks)
                {
                    string own = block.Schema is var schema && type == MetricType.Histogram ? schema.Histograms[family.Index] : schema.Stats[family.Index].Name;
                    if (!(type == MetricType.Histogram ? query.WantsHistograms : query.Wants(schema.Stats[family.Index].Kind)) || !Wants(registry, query, block, own)) continue;
                    long value = 0;
                    if (type == MetricType.Histogram)
                    {
                        if (!Load(registry, block, family.Index, query, merged)) continue;
                    }
                    else
                    {
                        value = block.Read(family.Index);
                        if (value == 0 && IsLeftOut(block, family.Index, query)) continue;
                    }
                    string all = Join(Join(labels, family.Labels), common);
                    // Names that differ in dots and dashes alone are one here, and two samples of one series make the whole page invalid.
                    if (families.Count > 1 && !shown.Add(all)) continue;
                    if (!typed) AppendType(metric, type, into);
                    typed = true;
                    if (type == MetricType.Histogram) AppendHistogram(metric, all, merged, registry.Rules.BoundsOf(block, own), into);
                    else AppendSample(metric, all, value, into, block.Schema.Stats[family.Index].Kind);
                    if (into.Length >= ChunkBytes) yield return true;
                }
            }
        }
        yield return true;
    }

    private enum MetricType { Counter, Gauge, Histogram }

    // All blocks of one schema and one base, and one stat of them.
    private sealed record Family(int Index, string Labels, List<(StatBlock Block, string Labels)> Blocks);

    // Samples of one metric must stand together (Prometheus, "Exposition formats"), whatever blocks they come from. Counters go first, then
    // gauges, then histograms (Envoy).
    private static IEnumerable<(string Metric, MetricType Type, List<Family> Families)> Metrics(StatRegistry registry)
    {
        var groups = new Dictionary<(string Base, StatSchema Schema), List<(StatBlock, string)>>();
        var metrics = new SortedDictionary<string, (MetricType Type, List<Family> Families)>(StringComparer.Ordinal);
        foreach (StatBlock block in Sorted(registry))
        {
            TaggedPrefix tagged = StatTags.Extract(block.Prefix, block.Scope);
            if (registry.Rules.ReadsNames)
            {
                AddByName(block, tagged);
                continue;
            }
            if (!groups.TryGetValue((tagged.Base, block.Schema), out List<(StatBlock, string)>? group)) groups[(tagged.Base, block.Schema)] = group = [];
            group.Add((block, tagged.Labels));
        }
        foreach (((string baseName, StatSchema schema), List<(StatBlock, string)> blocks) in groups)
        {
            for (int i = 0; i < schema.Stats.Count; i++)
            {
                (string name, string labels) = StatTags.ExtractCode(schema.Stats[i].Name);
                Add(StatTags.MetricName(baseName, name), schema.Stats[i].Kind == StatKind.Counter ? MetricType.Counter : MetricType.Gauge, new Family(i, labels, blocks));
            }
            for (int i = 0; i < schema.Histograms.Count; i++)
                Add(StatTags.MetricName(baseName, schema.Histograms[i]), MetricType.Histogram, new Family(i, "", blocks));
        }
        return metrics.Select(m => (m.Key, m.Value.Type, m.Value.Families)).OrderBy(m => m.Type);

        void AddByName(StatBlock block, TaggedPrefix tagged)
        {
            for (int i = 0; i < block.Schema.Stats.Count + block.Schema.Histograms.Count; i++)
            {
                int at = i - block.Schema.Stats.Count;
                string full = at < 0 ? block.Schema.Stats[i].Name : block.Schema.Histograms[at];
                (string left, string own, string labels) = registry.Rules.Split(block.Prefix, tagged, full);
                (string name, string code) = registry.Rules.HasDefaultTags && at < 0 ? StatTags.ExtractCode(own) : (own, "");
                MetricType type = at >= 0 ? MetricType.Histogram : block.Schema.Stats[i].Kind == StatKind.Counter ? MetricType.Counter : MetricType.Gauge;
                Add(StatTags.MetricName(left, name), type, new Family(at < 0 ? i : at, code, [(block, labels)]));
            }
        }

        void Add(string metric, MetricType type, Family family)
        {
            if (!metrics.TryGetValue(metric, out (MetricType Type, List<Family> Families) known)) metrics[metric] = known = (type, []);
            if (known.Type == type) known.Families.Add(family); // two types under one name would make the whole page invalid
        }
    }

    private static void AppendType(string metric, MetricType type, LineBuffer into)
    {
        into.Append("# TYPE "u8);
        AppendAscii(metric, into);
        into.Append(type switch { MetricType.Counter => " counter\n"u8, MetricType.Gauge => " gauge\n"u8, _ => " histogram\n"u8 });
    }

    private static void AppendValue(StatKind kind, long value, LineBuffer into)
    {
        if (kind == StatKind.UnsignedGauge) into.Append((ulong)value);
        else into.Append(value);
    }

    private static void AppendSample(string metric, string labels, long value, LineBuffer into, StatKind kind = StatKind.Counter)
    {
        AppendAscii(metric, into);
        into.Append((byte)'{');
        AppendUtf8(labels, into);
        into.Append("} "u8);
        AppendValue(kind, value, into);
        into.Append((byte)'\n');
    }

    private static void AppendHistogram(string metric, string labels, Histogram values, double[] bounds, LineBuffer into)
    {
        var cumulative = new long[bounds.Length + 1];
        values.Cumulative(bounds, cumulative);
        for (int i = 0; i < cumulative.Length; i++)
        {
            AppendAscii(metric, into);
            into.Append("_bucket{"u8);
            AppendUtf8(labels, into);
            into.Append(labels.Length > 0 ? ",le=\""u8 : "le=\""u8);
            AppendAscii(i < bounds.Length ? bounds[i].ToString(CultureInfo.InvariantCulture) : "+Inf", into);
            into.Append("\"} "u8);
            into.Append(cumulative[i]);
            into.Append((byte)'\n');
        }
        AppendSample(metric + "_sum", labels, values.Sum, into);
        AppendSample(metric + "_count", labels, cumulative[^1], into);
    }

    // As C prints %g, six digits at most.
    private static void AppendBuckets(Histogram values, double[] bounds, StatBucketForm form, LineBuffer into)
    {
        long[] counts = Counts(values, bounds, form);
        for (int i = 0; i < bounds.Length; i++)
        {
            string bound = bounds[i] < 1_000_000 ? bounds[i].ToString("G6", CultureInfo.InvariantCulture)
                : bounds[i].ToString("0.#####e+00", CultureInfo.InvariantCulture);
            AppendAscii($" B{bound}(nan,{counts[i]})", into);
        }
    }

    // The shorter spelling of a number, as Envoy's JSON has it.
    private static void AppendJsonBuckets(Histogram values, double[] bounds, StatBucketForm form, LineBuffer into)
    {
        long[] counts = Counts(values, bounds, form);
        for (int i = 0; i < bounds.Length; i++)
        {
            string plain = bounds[i].ToString("0.################", CultureInfo.InvariantCulture);
            string power = bounds[i].ToString("0.################e+00", CultureInfo.InvariantCulture);
            AppendAscii($"{(i > 0 ? "," : "")}{{\"upper_bound\":{(power.Length < plain.Length ? power : plain)},\"interval\":null,\"cumulative\":{counts[i]}}}", into);
        }
    }

    private static long[] Counts(Histogram values, double[] bounds, StatBucketForm form)
    {
        var counts = new long[bounds.Length + 1];
        values.Cumulative(bounds, counts);
        if (form == StatBucketForm.Disjoint)
            for (int i = bounds.Length - 1; i > 0; i--) counts[i] -= counts[i - 1];
        return counts;
    }

    private static bool Wants(StatRegistry registry, StatsQuery query, StatBlock block, string stat) =>
        query.Wants(block, stat) && (registry.Rules.Shows is not { } shows || shows($"{block.Prefix}.{stat}"));

    // Of what is 0: a counter that never counted, a gauge that never moved as far as that is known.
    private static bool IsLeftOut(StatBlock block, int stat, StatsQuery query)
    {
        if (block.Schema.OnUse) return true;
        int counter = block.Schema.CounterOf(stat);
        return query.UsedOnly && (counter < 0 || block.Read(counter) == 0);
    }

    private static string Join(string a, string b) => a.Length == 0 ? b : b.Length == 0 ? a : b + "," + a;

    private static bool Load(StatRegistry registry, StatBlock block, int histogram, StatsQuery query, Histogram merged)
    {
        if (!Wants(registry, query, block, block.Schema.Histograms[histogram])) return false;
        merged.Clear();
        block.ReadHistogram(histogram, merged);
        return merged.Count > 0 || !(query.UsedOnly || block.Schema.OnUse);
    }

    // Before all else, as Envoy prints them.
    private static IEnumerable<(StatBlock Block, int Text)> Texts(StatRegistry registry, StatBlock[] blocks, StatsQuery query)
    {
        if (!query.WantsTexts) yield break;
        foreach (StatBlock block in blocks)
        {
            for (int text = 0; text < block.Schema.Texts.Count; text++)
            {
                if (!Wants(registry, query, block, block.Schema.Texts[text]) || (query.UsedOnly && block.Said(text).Length == 0)) continue;
                yield return (block, text);
            }
        }
    }

    private static StatBlock[] Sorted(StatRegistry registry)
    {
        StatBlock[] blocks = [.. registry.Blocks];
        Array.Sort(blocks, static (a, b) => string.CompareOrdinal(a.Prefix, b.Prefix));
        return blocks;
    }

    private static int[] Order(StatSchema schema)
    {
        int[] order = [.. Enumerable.Range(0, schema.Stats.Count)];
        Array.Sort(order, (a, b) => string.CompareOrdinal(schema.Stats[a].Name, schema.Stats[b].Name));
        return order;
    }

    private static void AppendName(string prefix, string name, LineBuffer into)
    {
        Span<byte> bytes = stackalloc byte[512];
        Escapes.AppendText(Utf8(prefix, bytes), into);
        into.Append((byte)'.');
        Escapes.AppendText(Utf8(name, bytes), into);
    }

    private static void AppendJsonName(string prefix, string name, LineBuffer into)
    {
        Span<byte> bytes = stackalloc byte[512];
        Escapes.AppendJson(Utf8(prefix, bytes), into);
        into.Append((byte)'.');
        Escapes.AppendJson(Utf8(name, bytes), into);
    }

    private static ReadOnlySpan<byte> Utf8(string text, Span<byte> room) =>
        text.Length * 3 <= room.Length ? room[..Encoding.UTF8.GetBytes(text, room)] : Encoding.UTF8.GetBytes(text);

    private static void AppendAscii(string text, LineBuffer into)
    {
        Span<byte> room = into.GetSpan(text.Length);
        into.Advance(Encoding.ASCII.GetBytes(text, room));
    }

    private static void AppendUtf8(string text, LineBuffer into)
    {
        Span<byte> room = into.GetSpan(Encoding.UTF8.GetMaxByteCount(text.Length));
        into.Advance(Encoding.UTF8.GetBytes(text, room));
    }

    private static void AppendDouble(double value, LineBuffer into)
    {
        Utf8Formatter.TryFormat(Math.Round(value, 4), into.GetSpan(32), out int written);
        into.Advance(written);
    }
}
