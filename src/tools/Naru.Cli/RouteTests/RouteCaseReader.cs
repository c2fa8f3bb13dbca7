// Reads files of route tests: ours, and those of Envoy's route table check tool (Envoy docs: Route table check tool). Every field is honoured or refused by
// name, with its line.
using System.Globalization;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Cli.RouteTests;

internal sealed class RouteCaseReader(Diagnostics faults)
{
    private const string Code = "NARU-L050";

    // Fields of our expectations, and where what they mean stands in an explanation.
    private static readonly Dictionary<string, string[]> s_texts = new(StringComparer.Ordinal)
    {
        ["cluster"] = ["cluster", "name"],
        ["virtual_host"] = ["virtual_host", "name"],
        ["route"] = ["route", "name"],
        ["route_configuration"] = ["route_configuration"],
        ["listener"] = ["listener", "name"],
        ["filter_chain"] = ["filter_chain", "name"],
        ["endpoint"] = ["endpoints", "chosen"],
        ["host"] = ["upstream_request", "authority"],
        ["path"] = ["upstream_request", "path"],
        ["redirect"] = ["outcome", "location"],
        ["status"] = ["outcome", "status"],
        ["body"] = ["outcome", "body"],
        ["outcome"] = ["outcome", "kind"],
    };

    // The same of Envoy's tool.
    private static readonly Dictionary<string, string[]> s_envoy = new(StringComparer.Ordinal)
    {
        ["cluster_name"] = s_texts["cluster"],
        ["virtual_host_name"] = s_texts["virtual_host"],
        ["host_rewrite"] = s_texts["host"],
        ["path_rewrite"] = s_texts["path"],
        ["path_redirect"] = s_texts["redirect"],
        ["code_redirect"] = s_texts["status"],
    };

    private static readonly string[] s_request = ["method", "url", "headers", "random", "random_value", "listener", "source", "sni"];
    private static readonly string[] s_input = ["authority", "path", "method", "ssl", "random_value", "additional_request_headers"];

    private static readonly Dictionary<string, string> s_not = new(StringComparer.Ordinal)
    {
        ["virtual_cluster_name"] = "which virtual cluster counts a request is not explained",
        ["internal"] = "who is internal is known by the address: write source in a case of ours",
        ["runtime"] = "values of the runtime are those of the bootstrap (layered_runtime)",
        ["dynamic_metadata"] = "metadata is made by filters",
        ["additional_response_headers"] = "nobody answers",
    };

    /// <summary>The cases of a text; what is wrong is told.</summary>
    public IReadOnlyList<RouteCase> Read(string text, string file)
    {
        var cases = new List<RouteCase>();
        int before = faults.Items.Count;
        IReadOnlyList<YamlNode> documents = YamlReader.ReadAll(text, file, faults);
        foreach (YamlNode document in documents)
        {
            YamlNode? list = document is YamlMapping mapping ? mapping.Get("cases") ?? mapping.Get("tests") : document;
            if (document is YamlMapping all) Known(all, ["cases", "tests"]);
            if (list is not YamlSequence sequence)
            {
                Fault("a file of tests is a list cases: (or tests:, as Envoy's tool has it)", document.Place, "write cases: and below it - name, request and expect");
                continue;
            }
            foreach (YamlNode item in sequence.Items) if (Case(item, cases.Count) is { } made) cases.Add(made);
        }
        if (cases.Count == 0 && faults.Items.Count == before) Fault("the file has no case", new Place(file, 1), "write cases: and below it - name, request and expect");
        return cases;
    }

    private RouteCase? Case(YamlNode node, int index)
    {
        if (node is not YamlMapping item)
        {
            Fault($"a case is a mapping, not {node.Describe()}", node.Place, "it has name, request and expect");
            return null;
        }
        bool envoys = item.Get("input") is not null || item.Get("validate") is not null || item.Get("test_name") is not null;
        string[] names = envoys ? ["test_name", "input", "validate"] : ["name", "request", "expect"];
        Known(item, names);
        string name = item.GetText(names[0]) ?? $"case {index + 1}";
        if (item.Get(names[1]) is not YamlMapping asked || item.Get(names[2]) is not YamlMapping wanted)
        {
            Fault($"case {name} needs {names[1]} and {names[2]}, a mapping each", item.Place, envoys ? "input has authority and path, validate cluster_name" : "request has url, expect for example cluster");
            return null;
        }
        Dictionary<string, object>? request = envoys ? Input(asked) : Request(asked);
        IReadOnlyList<Expectation> expected = envoys ? Validate(wanted) : Expect(wanted);
        if (expected.Count == 0 && !faults.HasErrors) Fault($"case {name} expects nothing", wanted.Place, $"write for example {(envoys ? "cluster_name" : "cluster")}: NAME");
        return request is null ? null : new RouteCase(name, item.Place, request, expected);
    }

    private Dictionary<string, object>? Request(YamlMapping request)
    {
        Known(request, s_request);
        if (request.GetText("url") is not { Length: > 0 } url)
        {
            Fault("request has no url", request.Place, "write url: http://HOST/PATH");
            return null;
        }
        var made = new Dictionary<string, object> { ["url"] = url };
        foreach (string name in (string[])["method", "listener", "source", "sni"]) if (request.GetText(name) is { } text) made[name] = text;
        if ((Number(request, "random") ?? Number(request, "random_value")) is { } random) made["random"] = random;
        if (request.Get("headers") is { } headers && Lines(headers) is { Count: > 0 } lines) made["headers"] = lines;
        return made;
    }

    private Dictionary<string, object>? Input(YamlMapping input)
    {
        Known(input, s_input);
        if (input.GetText("authority") is not { Length: > 0 } authority || input.GetText("path") is not { Length: > 0 } path)
        {
            Fault("input needs authority and path", input.Place, "write authority: HOST and path: /PATH");
            return null;
        }
        var made = new Dictionary<string, object> { ["url"] = $"{(input.GetText("ssl") == "true" ? "https" : "http")}://{authority}{path}" };
        if (input.GetText("method") is { } method) made["method"] = method;
        if (Number(input, "random_value") is { } random) made["random"] = random;
        if (input.Get("additional_request_headers") is { } headers && Lines(headers) is { Count: > 0 } lines) made["headers"] = lines;
        return made;
    }

    // A mapping, a list of "name: value", or Envoy's list of key and value.
    private List<string> Lines(YamlNode node)
    {
        var lines = new List<string>();
        switch (node)
        {
            case YamlMapping mapping:
                foreach (YamlEntry entry in mapping.Entries)
                    foreach (YamlNode value in entry.Value is YamlSequence several ? several.Items : [entry.Value]) Add(entry.Key, value);
                break;
            case YamlSequence sequence:
                foreach (YamlNode item in sequence.Items)
                {
                    if (item is YamlMapping { Entries: var pair } header && header.GetText("key") is { } key)
                    {
                        Known(header, ["key", "value"]);
                        lines.Add($"{key}: {header.GetText("value")}");
                    }
                    else if (item is YamlMapping { Entries: [var single] }) Add(single.Key, single.Value);
                    else if (item is YamlScalar scalar && scalar.Value.IndexOf(':', Math.Min(1, scalar.Value.Length)) > 0) lines.Add(scalar.Value);
                    else Fault($"a header is \"name: value\", not {item.Describe()}", item.Place, null);
                }
                break;
            default:
                Fault($"headers are a mapping, not {node.Describe()}", node.Place, "write headers: { x-version: \"2\" }");
                break;
        }
        return lines;

        void Add(string name, YamlNode value)
        {
            if (value is YamlScalar scalar) lines.Add($"{name}: {scalar.Value}");
            else Fault($"the value of header {name} is a text, not {value.Describe()}", value.Place, null);
        }
    }

    private List<Expectation> Expect(YamlMapping wanted)
    {
        Known(wanted, [.. s_texts.Keys, "request_headers", "response_headers"]);
        List<Expectation> made = Texts(wanted, s_texts);
        foreach (string field in (string[])["request_headers", "response_headers"])
        {
            if (wanted.Get(field) is not { } node) continue;
            if (node is not YamlMapping headers)
            {
                Fault($"{field} is a mapping, not {node.Describe()}", node.Place, $"write {field}: {{ x-version: \"2\" }}; null expects that a header is not there");
                continue;
            }
            foreach (YamlEntry entry in headers.Entries)
            {
                string name = entry.Key.ToLowerInvariant();
                if (entry.Value is not YamlScalar value) Fault($"{field}.{entry.Key} is a text, or null for none", entry.Value.Place, null);
                else if (value.IsNull) made.Add(new HeaderExpectation(field, value.Place, field[2] == 's', name, "not to be there", v => v.Count == 0));
                else made.Add(new HeaderExpectation(field, value.Place, field[2] == 's', name, $"to be {value.Value}", HeaderExpectation.Any(v => v == value.Value)));
            }
        }
        return made;
    }

    private List<Expectation> Validate(YamlMapping wanted)
    {
        Known(wanted, [.. s_envoy.Keys, "request_header_matches", "response_header_matches"]);
        List<Expectation> made = Texts(wanted, s_envoy);
        foreach (string field in (string[])["request_header_matches", "response_header_matches"])
        {
            if (wanted.Get(field) is not { } node) continue;
            if (node is not YamlSequence list)
            {
                Fault($"{field} is a list of matchers, not {node.Describe()}", node.Place, null);
                continue;
            }
            foreach (YamlNode item in list.Items) if (Matcher(field, item) is { } matcher) made.Add(matcher);
        }
        return made;
    }

    private List<Expectation> Texts(YamlMapping wanted, Dictionary<string, string[]> known)
    {
        var made = new List<Expectation>();
        foreach (YamlEntry entry in wanted.Entries)
        {
            if (!known.TryGetValue(entry.Key, out string[]? path)) continue;
            if (entry.Value is YamlScalar value) made.Add(new TextExpectation(entry.Key, entry.KeyPlace, path, value.IsNull ? "" : value.Value));
            else Fault($"{entry.Key} is a text, not {entry.Value.Describe()}", entry.Value.Place, null);
        }
        return made;
    }

    // route.v3.HeaderMatcher, as far as files of that tool have it.
    private HeaderExpectation? Matcher(string field, YamlNode node)
    {
        if (node is not YamlMapping matcher || matcher.GetText("name") is not { } name)
        {
            Fault($"{field}: a matcher has a name", node.Place, "write - name: x-version and below it string_match: { exact: \"2\" }");
            return null;
        }
        string[] kinds = ["exact", "prefix", "suffix", "contains"];
        Known(matcher, ["name", "invert_match", "present_match", "string_match", "safe_regex_match", .. kinds.Select(k => k + "_match")]);
        bool inverted = matcher.GetText("invert_match") == "true", present = matcher.GetText("present_match") != "false";
        (string What, Func<string, bool> Fits)? value = null;
        YamlMapping? inner = matcher.Get("string_match") as YamlMapping;
        if (inner is not null) Known(inner, [.. kinds, "safe_regex"]);
        foreach (string kind in kinds)
        {
            if ((inner?.GetText(kind) ?? matcher.GetText(kind + "_match")) is not { } text) continue;
            value = ($"{kind} {text}", kind switch
            {
                "exact" => v => v == text,
                "prefix" => v => v.StartsWith(text, StringComparison.Ordinal),
                "suffix" => v => v.EndsWith(text, StringComparison.Ordinal),
                _ => v => v.Contains(text, StringComparison.Ordinal),
            });
        }
        if (((inner?.Get("safe_regex") ?? matcher.Get("safe_regex_match")) as YamlMapping)?.GetText("regex") is { } pattern)
        {
            try
            {
                value = ($"regex {pattern}", HeaderExpectation.ByPattern(pattern));
            }
            catch (Exception e) when (e is ArgumentException or NotSupportedException)
            {
                Fault($"{field}: the pattern cannot be read: {e.Message}", node.Place, null);
            }
        }
        string words = value is { } known ? known.What : present ? "to be there" : "not to be there";
        Func<IReadOnlyList<string>, bool> fits = value is { } one ? HeaderExpectation.Any(one.Fits, inverted) : v => v.Count > 0 == present != inverted;
        return new HeaderExpectation(field, node.Place, field.StartsWith("response", StringComparison.Ordinal), name.ToLowerInvariant(), inverted ? $"not {words}" : words, fits);
    }

    private ulong? Number(YamlMapping from, string field)
    {
        if (from.Get(field) is not { } node) return null;
        if (node is YamlScalar scalar && ulong.TryParse(scalar.Value, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)) return number;
        Fault($"{field} is a number from 0 on, not {node.Describe()}", node.Place, null);
        return null;
    }

    private void Known(YamlMapping mapping, IReadOnlyList<string> names)
    {
        foreach (YamlEntry entry in mapping.Entries)
        {
            if (names.Contains(entry.Key)) continue;
            string why = s_not.TryGetValue(entry.Key, out string? not) ? $": {not}" : "";
            Fault(why.Length > 0 ? $"{entry.Key} is not supported{why}" : $"there is no field \"{entry.Key}\" here", entry.KeyPlace,
                Nearest.Suggestion(entry.Key, names) ?? $"there {(names.Count == 1 ? "is" : "are")} {string.Join(", ", names)}");
        }
    }

    private void Fault(string message, Place place, string? remedy) => faults.Error(Code, message, place, remedy: remedy);
}
