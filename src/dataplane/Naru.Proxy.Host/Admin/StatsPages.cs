// /stats and /stats/prometheus: turns a query string into a selection, refuses what it does not know, and lets the formats print.
using Naru.Telemetry;

namespace Naru.Proxy.Host.Admin;

internal static class StatsPages
{
    private const int MaxPatternLength = 1000;

    public static string[] Parameters { get; } = ["usedonly", "filter", "format", "type", "histogram_buckets", "text_readouts"];

    public static Task<AdminResponse> Stats(IAdminTarget target, AdminRequest request)
    {
        string format = request.Parameter("format") ?? "text";
        return AdminPages.Done(Answer(target, request, format));
    }

    public static Task<AdminResponse> Prometheus(IAdminTarget target, AdminRequest request)
    {
        if (request.Parameter("format") is { } format and not "prometheus")
            return AdminPages.Done(AdminResponse.Text($"/stats/prometheus has no format \"{AdminPages.Printable(format)}\".\n", 400));
        return AdminPages.Done(Answer(target, request, "prometheus"));
    }

    private static AdminResponse Answer(IAdminTarget target, AdminRequest request, string format)
    {
        if (format is not ("text" or "json" or "prometheus"))
            return AdminResponse.Text($"/stats has no format \"{AdminPages.Printable(format)}\"; it has text, json and prometheus.\n", 400);
        StatBucketForm? buckets = request.Parameter("histogram_buckets") switch
        {
            null or "" or "none" or "summary" => StatBucketForm.None,
            "cumulative" => StatBucketForm.Cumulative,
            "disjoint" => StatBucketForm.Disjoint,
            _ => format == "prometheus" ? StatBucketForm.None : null,
        };
        if (buckets is null) return AdminResponse.Text("usage: /stats?histogram_buckets=(cumulative|disjoint|none|summary)\n", 400);
        StatTypes? types = request.Parameter("type") switch
        {
            null or "" or "All" => StatTypes.All,
            "Counters" => StatTypes.Counters,
            "Gauges" => StatTypes.Gauges,
            "Histograms" => StatTypes.Histograms,
            "TextReadouts" => StatTypes.Texts,
            _ => null,
        };
        if (types is null) return AdminResponse.Text("type is Counters, Gauges, Histograms, TextReadouts or All.\n", 400);
        var query = new StatsQuery { Types = types.Value, UsedOnly = request.Parameter("usedonly") is not null, Buckets = buckets.Value };
        if (request.Parameter("filter") is { Length: > 0 } pattern)
        {
            if (pattern.Length > MaxPatternLength) return AdminResponse.Text($"filter is longer than {MaxPatternLength} characters.\n", 400);
            try
            {
                query = query with { Filter = StatsQuery.CompileFilter(pattern) };
            }
            catch (ArgumentException e)
            {
                return AdminResponse.Text($"filter is not a regular expression that we can run: {AdminPages.Printable(e.Message)}\n", 400);
            }
        }
        target.RefreshStats();
        var into = new LineBuffer(2048);
        return new AdminResponse
        {
            ContentType = format switch { "json" => AdminResponse.Json, "prometheus" => AdminResponse.Prometheus, _ => AdminResponse.Plain },
            Body = into,
            Pieces = format switch
            {
                "json" => StatsFormats.Json(target.Stats, query, into),
                "prometheus" => StatsFormats.Prometheus(target.Stats, query, into),
                _ => StatsFormats.Text(target.Stats, query, into),
            },
        };
    }
}
