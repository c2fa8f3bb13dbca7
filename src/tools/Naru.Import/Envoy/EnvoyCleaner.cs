// A bootstrap without what Naru refuses: the proxy itself is asked, what it complains about is taken away, and it is asked again,
// until it is content. What guards is never just taken away: a filter that decides who may come is replaced by one that answers 403, and
// where a condition or the verification of TLS cannot be kept, the whole route, chain or cluster goes.
using System.Text.Json.Nodes;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Import.Envoy;

internal static class EnvoyCleaner
{
    private const int MaxRounds = 60;

    private const string Closed403 = """
        {"name": "envoy.filters.http.fault", "typed_config": {
         "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
         "abort": {"http_status": 403, "percentage": {"numerator": 100, "denominator": "HUNDRED"}}}}
        """;

    private const string Closes = """
        [{"name": "envoy.filters.network.direct_response", "typed_config":
          {"@type": "type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config"}}]
        """;

    private static readonly string[] s_paths =
    [
        "prefix", "path", "safe_regex", "safeRegex", "regex", "path_separated_prefix", "pathSeparatedPrefix", "path_match_policy",
        "pathMatchPolicy",
        "connect_matcher", "connectMatcher",
    ];

    private static readonly string[] s_actions =
    [
        "route", "redirect", "direct_response", "directResponse", "filter_action", "filterAction", "non_forwarding_action",
        "nonForwardingAction",
        "typed_per_filter_config", "typedPerFilterConfig",
    ];

    private static readonly string[] s_trust = ["validation_context", "combined_validation_context", "validation_context_sds_secret_config",
        "require_client_certificate", "validationContext", "combinedValidationContext",
        "validationContextSdsSecretConfig", "requireClientCertificate"];

    /// <summary>The document that is left; null after an error.</summary>
    public static JsonObject? Clean(YamlNode root, string file, ImportOptions options, Notes notes)
    {
        if (root is not YamlMapping)
        {
            notes.Syntax(root.Place, $"a bootstrap is a mapping, not {root.Describe()}");
            return null;
        }
        if (options.JudgeBootstrap is not { } judge)
        {
            notes.Unreadable(new Place(file), "there is no naru-proxy that could be asked what it refuses", "set NARU_PROXY");
            return null;
        }
        Tree tree = Tree.Of(root);
        for (int round = 0; round < MaxRounds; round++)
        {
            var lines = new List<Tree?>();
            string text = tree.Write(lines);
            IReadOnlyList<Diagnostic> said = judge(text);
            List<Diagnostic> errors = [.. said.Where(d => d.Severity == Severity.Error && !IsFile(d))];
            if (errors.Count == 0)
            {
                foreach (Diagnostic d in said.Where(d => d.Severity != Severity.Error || IsFile(d))) Pass(d, At(d, lines) ?? tree, notes);
                return JsonNode.Parse(text) as JsonObject;
            }
            var gone = new List<Tree>();
            foreach (Diagnostic d in errors)
            {
                Tree? node = At(d, lines);
                if (node?.Parent is null)
                {
                    notes.Syntax(node?.Place ?? new Place(file), $"this is no bootstrap: {d.Message}", d.Remedy);
                    return null;
                }
                if (!gone.Exists(g => node.Within(g))) gone.Add(Cut(node, d, options, notes));
            }
        }
        notes.Unreadable(new Place(file), $"after {MaxRounds} rounds the proxy still refuses something");
        return null;
    }

    // A file that is not on this machine may be on the other.
    private static bool IsFile(Diagnostic d) => d.Code == "NARU-C104" && (d.Message.StartsWith("there is no file", StringComparison.Ordinal)
        || d.Message.StartsWith("cannot read", StringComparison.Ordinal));

    private static Tree? At(Diagnostic d, List<Tree?> lines) => d.Place.Line > 0 && d.Place.Line < lines.Count ? lines[d.Place.Line] : null;

    private static void Pass(Diagnostic d, Tree node, Notes notes)
    {
        if (d.Code == "NARU-C111") notes.NoEffect(node.Place, node.Path, d.Message);
        else notes.Slight(node.Place, node.Path, IsFile(d) ? $"{d.Message} on this machine" : d.Message);
    }

    private static Tree Cut(Tree node, Diagnostic d, ImportOptions options, Notes notes)
    {
        string said = $"{d.Message} ({d.Code})";
        if (Item(node, "http_filters", "httpFilters") is { } filter && Guards(filter) && !options.Unguarded)
        {
            notes.Closed(filter.Place, filter.Path, $"the filter \"{Name(filter)}\" decides who may come, and {said}");
            filter.Replace(Of(Closed403));
            return filter;
        }
        if (Item(node, "filters") is { } network && Guards(network) && !options.Unguarded
            && Item(node, "filter_chains", "filterChains") is { } guarded)
        {
            notes.Closed(network.Place, guarded.Path, $"the filter \"{Name(network)}\" decides who may come, and {said}");
            guarded.Put("filters", Of(Closes));
            return guarded;
        }
        if (Below(node, "match") is { } match && Item(match, "routes") is { } route)
        {
            if (options.Unguarded) return LeaveOut(node, route, said, d, notes);
            notes.Refused(node.Place, route.Path, $"{route.Path} as a whole, since {said}", d.Remedy);
            CloseRoute(route, match, node);
            return route;
        }
        // Without its condition a chain takes more than it did, and without the chain others take what it took.
        Tree? whole = Below(node, "filter_chain_match", "filterChainMatch") is not null
            ? (options.Unguarded ? Item(node, "filter_chains", "filterChains") : Item(node, "listeners"))
            : Below(node, "transport_socket", "transportSocket", "tls_context", "tlsContext") is { } socket
                && (ReferenceEquals(socket, node) || node.Key is "typed_config" or "typedConfig" or "config" or "@type"
                || Below(node, s_trust) is not null)
                ? Item(node, "filter_chains", "filterChains") ?? Item(node, "clusters") : null;
        if (whole is not null) return LeaveOut(node, whole, said, d, notes);
        notes.Dropped(node.Place, node.Path, said, d.Remedy);
        node.Remove();
        return node;
    }

    private static YamlNode Of(string json) => YamlReader.ReadAll(json, null, new Diagnostics())[0];

    private static Tree LeaveOut(Tree node, Tree whole, string said, Diagnostic d, Notes notes)
    {
        notes.LeftOut(node.Place, whole.Path,
            $"{whole.Path} as a whole, since {said}, and without it more would be let through than was meant", d.Remedy);
        whole.Remove();
        return whole;
    }

    // Conditions must all hold: without the refused one the others hold for at least the same requests, which get 403.
    private static void CloseRoute(Tree route, Tree match, Tree refused)
    {
        Tree? condition = refused;
        while (condition is not null && !ReferenceEquals(condition.Parent, match)) condition = condition.Parent;
        if (condition is null) route.Put("match", Of("""{"prefix": "/"}"""));
        else if (s_paths.Contains(condition.Key)) match.Put("prefix", Of("\"/\""), s_paths);
        else (Item(refused, condition.Key) ?? condition).Remove();
        route.Put("direct_response", Of("""{"status": 403}"""), s_actions);
    }

    private static bool Guards(Tree filter)
    {
        string name = Name(filter).ToLowerInvariant();
        return EnvoyRoutes.Guards.Any(g => name.Contains(g));
    }

    private static string Name(Tree filter) =>
        $"{filter.Child("name")?.Text} {filter.Child("typed_config", "typedConfig", "config")?.Child("@type")?.Text}".Trim();

    // The item of a list of that name in which a node stands.
    private static Tree? Item(Tree node, params string[] lists)
    {
        for (Tree? at = node; at?.Parent is not null; at = at.Parent)
        {
            if (at.Key[0] == '[' && lists.Contains(at.Parent.Key)) return at;
        }
        return null;
    }

    private static Tree? Below(Tree node, params string[] names)
    {
        for (Tree? at = node; at is not null; at = at.Parent)
        {
            if (names.Contains(at.Key)) return at;
        }
        return null;
    }
}
