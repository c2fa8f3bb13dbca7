// What the front page says in each language that clients speak: HTML to browsers, problem+json (RFC 9457) to programs that ask for JSON,
// a few lines of text to everybody else.
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Naru.Local.Front;

/// <summary>An answer, whole.</summary>
internal sealed record FrontAnswer(int Status, string ContentType, byte[] Body, string ContentSecurityPolicy)
{
    private const string NothingAllowed = "default-src 'none'; frame-ancestors 'none'";
    private const int MostLines = 12;

    private static readonly JsonSerializerOptions s_json = new(JsonSerializerDefaults.Web)
    {
        WriteIndented = true,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        // Text of type JSON is never read as HTML: the type says so and sniffing is off.
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    /// <summary>The answer to one request.</summary>
    /// <param name="accept">The Accept header as it came; empty for none.</param>
    public static FrontAnswer To(FrontView view, FrontRequest request, string accept) => Language(accept) switch
    {
        "html" => new FrontAnswer(request.IsFront ? 200 : 404, "text/html; charset=utf-8",
            Encoding.UTF8.GetBytes(FrontHtml.Write(view, request)), FrontHtml.ContentSecurityPolicy),
        "json" => new FrontAnswer(404, "application/problem+json", JsonSerializer.SerializeToUtf8Bytes(Problem(view, request), s_json),
            NothingAllowed),
        // To a program nothing was served, whatever the path.
        _ => new FrontAnswer(404, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(Text(view, request)), NothingAllowed),
    };

    // The best of the three by weight (RFC 9110, section 12.5.1); between equals the first named. Who takes anything gets text.
    private static string Language(string accept)
    {
        (string Language, double Weight) best = ("text", 0);
        foreach (string item in accept.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] parts = item.Split(';', StringSplitOptions.TrimEntries);
            string? language = parts[0].ToLowerInvariant() switch
            {
                "text/html" or "application/xhtml+xml" => "html",
                "application/json" or "application/problem+json" => "json",
                "text/plain" => "text",
                _ => null,
            };
            string? weight = parts.Skip(1).FirstOrDefault(p => p.StartsWith("q=", StringComparison.OrdinalIgnoreCase));
            double q = weight is null ? 1 : double.TryParse(weight.AsSpan(2), CultureInfo.InvariantCulture, out double given) ? given : 0;
            if (language is not null && q > best.Weight) best = (language, q);
        }
        return best.Language;
    }

    private static string Text(FrontView view, FrontRequest request)
    {
        var text = new StringBuilder();
        text.Append($"404 {request.Missing(view)} (NARU-R404)\n");
        IReadOnlyList<string> near = request.Near(view);
        if (near.Count > 0) text.Append($"did you mean  {string.Join("  ", near)}\n");
        string[] there = [.. view.Routes.Where(r => r.Url is not null).Select(r => r.Url!)
            .Concat(view.Services.Where(s => s.Url is not null).Select(s => s.Url!)).Except(near).Distinct()];
        if (there.Length > 0) text.Append("there is\n");
        foreach (string url in there.Take(MostLines)) text.Append($"  {url}\n");
        if (there.Length > MostLines) text.Append($"  and {there.Length - MostLines} more: naru get vs,svc{view.MeshOption}\n");
        foreach (FrontProblem problem in view.Problems.Where(p => p.IsError).Take(3)) text.Append($"! {problem.Text}  {problem.Where}".TrimEnd() + "\n");
        return text.ToString();
    }

    private static string? Given(string text) => text.Length > 0 ? text : null;

    private static object Version(FrontVersion version) => new { Version = version.Label, version.Ready, version.Pods };

    private static object Problem(FrontView view, FrontRequest request) => new
    {
        Type = "about:blank",
        Title = "Not Found",
        Status = 404,
        Detail = request.Missing(view),
        Instance = request.Reference.Length > 0 ? request.Reference : null,
        Code = "NARU-R404",
        DidYouMean = request.Near(view),
        Routes = view.Routes.Select(r => new { r.Host, r.Kind, r.Path, Condition = Given(r.Condition), r.Target, r.Url }),
        Services = view.Services.Select(s => new { s.Name, s.Namespace, s.Url, s.Ready, Versions = s.Versions.Select(Version) }),
        Problems = view.Problems.Select(p =>
            new { p.Text, Where = Given(p.Where), Help = Given(p.Help), Severity = p.IsError ? "error" : "warning" }),
    };
}
