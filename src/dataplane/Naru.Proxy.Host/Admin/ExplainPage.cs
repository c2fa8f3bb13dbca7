// POST /explain: what would become of a request, by the code that serves (docs/reference/explain.md). It changes nothing; POST, because a request is its body.
using Naru.Proxy.Explain;

namespace Naru.Proxy.Host.Admin;

internal static class ExplainPage
{
    public static async Task<AdminResponse> Answer(IAdminTarget target, AdminRequest request)
    {
        string format = request.Parameter("format") ?? "json";
        if (format is not ("json" or "text")) return AdminResponse.Text($"format \"{AdminPages.Printable(format)}\" is neither json nor text.\n", 400);
        if (ExplainRequest.Parse(request.Body, out string fault) is not { } asked) return AdminResponse.Text($"{AdminPages.Printable(fault)}\n", 400);
        (byte[]? text, string none) = await target.ExplainAsync(asked, format == "json").ConfigureAwait(false);
        if (text is null) return AdminResponse.Text($"{none}\n", 404);
        var made = new AdminResponse { ContentType = format == "json" ? AdminResponse.Json : AdminResponse.Plain };
        made.Body.Append(text);
        return made;
    }
}
