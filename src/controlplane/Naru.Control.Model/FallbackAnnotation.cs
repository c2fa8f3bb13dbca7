// The annotation naru.dev/fallback: Istio's VirtualService has no field for what it says, and refuses fields that it does not know
// (docs/decisions/0036-fallback.md).
using System.Collections.Immutable;
using System.Globalization;
using Naru.Core;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;

namespace Naru.Control.Model;

internal static class FallbackAnnotation
{
    public const string Name = "naru.dev/fallback";
    private static readonly string[] s_fields = ["host", "subset", "port", "status", "body", "contentType", "statuses", "routes"];

    /// <summary>The VirtualService with what its annotation says in the routes that it is for.</summary>
    /// <param name="spec">Of the VirtualService.</param>
    /// <param name="annotations">Its annotations' node; null for none.</param>
    /// <param name="subject">Whose they are.</param>
    /// <param name="d">Takes <c>NARU-C205</c> and <c>C206</c>.</param>
    public static VirtualServiceSpec Apply(VirtualServiceSpec spec, YamlNode? annotations, string subject, Diagnostics d)
    {
        if ((annotations as YamlMapping)?.Get(Name) is not YamlScalar said) return spec;
        Place place = said.Place;
        void Error(string what, string remedy) => d.Error("NARU-C205", $"metadata.annotations[{Name}]: {what}", place, subject, remedy);

        var inside = new Diagnostics();
        if (YamlReader.ReadAll(said.Value, Name, inside) is not [YamlMapping map] || inside.HasErrors)
        {
            Error("is no object", "write {host: reviews-cache, port: 9080}, or {status: 200, body: \"[]\", contentType: application/json}");
            return spec;
        }
        foreach (YamlEntry entry in map.Entries)
            if (!s_fields.Contains(entry.Key)) Error($"unknown field {Short(entry.Key)}", Nearest.Suggestion(entry.Key, s_fields) ?? $"there are {string.Join(", ", s_fields)}");
        string host = Text(map, "host"), body = Text(map, "body"), type = Text(map, "contentType");
        int port = Number(map, "port", 1, 65535) ?? 0, status = Number(map, "status", 200, 599) ?? 0;
        if (host.Length > 0 == map.Get("status") is not null) Error("needs a host or a status, not both", "keep one of them");
        if (host.Length > 0 && !IstioReader.IsHost(host, wildcards: false)) Error($"\"{Short(host)}\" is no host", "name a service");
        if (host.Length > 0 && (body.Length > 0 || type.Length > 0)) Error("a host answers with its own body", "remove body and contentType");
        if (host.Length == 0 && (map.Get("port") ?? map.Get("subset")) is not null) Error("port and subset are of a host", "name the host, or remove them");
        if (System.Text.Encoding.UTF8.GetByteCount(body) > 64 * 1024) Error("the body is longer than 64 KiB", "name a host");
        if (type.AsSpan().ContainsAnyExceptInRange(' ', '~')) Error("contentType is no value of a header", "write a media type");
        ImmutableArray<int> statuses = default;
        if (map.Get("statuses") is YamlSequence list)
            statuses = [.. list.Items.Select(i => int.TryParse((i as YamlScalar)?.Value, NumberStyles.None, CultureInfo.InvariantCulture, out int s) && s is >= 400 and <= 599 ? s : -1)];
        else if (map.Get("statuses") is not null) Error("statuses is no list", "write statuses: [502, 503, 504]");
        if (!statuses.IsDefault && statuses.Contains(-1)) Error("statuses are from 400 to 599", "write statuses: [502, 503, 504]");
        HashSet<string>? routes = map.Get("routes") is YamlSequence named ? [.. named.Items.Select(i => (i as YamlScalar)?.Value ?? "")] : null;
        if (routes is null && map.Get("routes") is not null) Error("routes is no list", "write the names of routes: [names]");
        foreach (string name in routes ?? [])
            if (!spec.Http.Any(h => h.Name == name)) Error($"no route is called \"{Short(name)}\"", Nearest.Suggestion(name, [.. spec.Http.Select(h => h.Name).Where(n => n.Length > 0)]) ?? "name routes of this VirtualService");
        if (d.HasErrors) return spec;
        var fallback = new HttpFallback(host.Length > 0 ? new Destination(host.ToLowerInvariant(), Text(map, "subset"), port, place) : null, status, body, type, statuses);
        return spec with
        {
            Http = [.. spec.Http.Select(h => h.Destinations.IsEmpty || routes?.Contains(h.Name) == false ? h : h with { Fallback = fallback })],
        };

        string Text(YamlMapping from, string field)
        {
            if (from.Get(field) is null or YamlScalar { IsNull: true }) return "";
            if (from.Get(field) is YamlScalar text) return text.Value;
            Error($"{field} is no text", "write one");
            return "";
        }

        int? Number(YamlMapping from, string field, int least, int most)
        {
            if (from.Get(field) is null) return null;
            if (int.TryParse(Text(from, field), NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most) return number;
            Error($"{field} is no number from {least} to {most}", "write one");
            return null;
        }
    }
}
