// Texts of HTTP filters and of what routes say about them.
namespace Naru.WireTests.Filters;

internal static class Yaml
{
    private const string Types = "type.googleapis.com/envoy.extensions.filters.http.";
    public const string On = "{ \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {} }";
    public const string Off = "{ \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true }";

    /// <summary>A filter as an element of a list.</summary>
    public static string Filter(string name, string type, string fields = "", string more = "") =>
        $"- {{ name: {name}, {more}typed_config: {{ \"@type\": {Types}{type}{(fields.Length > 0 ? ", " + fields : "")} }} }}\n";

    /// <summary>A configuration at a route.</summary>
    public static string At(string type, string fields) => $"{{ \"@type\": {Types}{type}, {fields} }}";

    /// <summary>A filter that adds its own name to request and answer.</summary>
    public static string Mark(string name, string more = "") =>
        Filter(name, "header_mutation.v3.HeaderMutation", $"mutations: {{ {Marks(name)} }}", more);

    /// <summary>The same at a route.</summary>
    public static string MarkAt(string name) => At("header_mutation.v3.HeaderMutationPerRoute", $"mutations: {{ {Marks(name)} }}");

    private static string Marks(string name)
    {
        string one = $"[{{ append: {{ header: {{ key: x-seen, value: {name} }} }} }}]";
        return $"request_mutations: {one}, response_mutations: {one}";
    }
}
