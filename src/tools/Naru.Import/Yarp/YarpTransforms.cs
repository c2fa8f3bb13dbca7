// Transforms of a route: paths, headers, what the proxy tells about itself
// (learn.microsoft.com/aspnet/core/fundamentals/servers/yarp/transforms-request, .../transforms-response). They run in the order in
// which they are written; a path becomes a prefix taken away and one put before, or a pattern over the whole.
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;

namespace Naru.Import.Yarp;

internal sealed class YarpTransforms(Notes notes, RouteTemplate? template, IReadOnlyList<ImportedMatch> matches, YarpCluster? cluster)
{
    private static readonly string[] s_unknown =
    [
        "RequestHeadersCopy", "RequestHeadersAllowed", "RequestHeaderRouteValue", "ResponseHeadersCopy", "ResponseHeadersAllowed",
        "ResponseTrailer", "ResponseTrailerRemove", "ResponseTrailersCopy",
        "ResponseTrailersAllowed", "QueryValueParameter", "QueryRouteParameter", "QueryRemoveParameter", "HttpMethodChange", "ClientCert",
        "Forwarded",
    ];

    private string _removed = "";
    private string _prefix = "";
    private string? _set;
    private string? _pattern;
    private Section? _patternAt;
    private bool _forwarded = true;
    private string _for = "Set", _host = "Set", _proto = "Set", _headers = "X-Forwarded-";

    public List<HeaderChange> Request { get; } = [];

    public List<HeaderChange> Response { get; } = [];

    /// <summary>Whether the client's address is appended to those that it told.</summary>
    public bool AppendsFor { get; private set; }

    /// <summary>Whether destinations see the host that the client asked for.</summary>
    public bool KeepsHost { get; private set; }

    /// <summary>The host that a transform sets.</summary>
    public string? Host { get; private set; }

    public void Read(Section route)
    {
        foreach (Section one in route.Each("Transforms"))
        {
            One(one);
            one.Rest();
        }
        if (_forwarded) Forwarded(route.PlaceOf("Transforms"));
    }

    private void One(Section t)
    {
        if (t.Text("PathPrefix") is { } prefix) Prefix(prefix);
        else if (t.Text("PathRemovePrefix") is { } removed) Remove(t, removed.TrimEnd('/'));
        else if (t.Text("PathSet") is { } set) (_set, _pattern) = (Slash(set), null);
        else if (t.Text("PathPattern") is { } pattern) (_pattern, _set, _patternAt, _removed, _prefix) = (Slash(pattern), null, t, "", "");
        else if (t.Text("RequestHeaderOriginalHost") is { } original)
            KeepsHost = original.Equals("true", StringComparison.OrdinalIgnoreCase);
        else if (t.Text("RequestHeader") is { } header) Header(t, header, Request);
        else if (t.Text("RequestHeaderRemove") is { } gone) Removal(t, gone, "RequestHeaderRemove", Request);
        else if (t.Text("ResponseHeader") is { } answer) Header(t, answer, Response);
        else if (t.Text("ResponseHeaderRemove") is { } without) Removal(t, without, "ResponseHeaderRemove", Response);
        else if (t.Has("X-Forwarded") || t.Has("XForwarded")) XForwarded(t);
        else if (s_unknown.FirstOrDefault(t.Has) is { } known) Unknown(t, known);
        else if (t.Entries.FirstOrDefault() is { Key: not null } first)
        {
            notes.Unknown(first.KeyPlace, t.Path, first.Key, ["PathPrefix", "PathRemovePrefix", "PathSet", "PathPattern", "RequestHeader",
                "RequestHeaderRemove", "RequestHeaderOriginalHost", "ResponseHeader", "ResponseHeaderRemove", "X-Forwarded", .. s_unknown]);
            foreach (string key in t.Entries.Select(e => e.Key)) _ = t.Node(key);
        }
    }

    private void Unknown(Section t, string known)
    {
        string? value = t.Text(known);
        if (known is "RequestHeadersCopy" or "ResponseHeadersCopy" or "ResponseTrailersCopy" && value?.ToLowerInvariant() == "true") return;
        if (known == "Forwarded") _forwarded = false;
        string? remedy = known.StartsWith("Query", StringComparison.Ordinal) || known == "RequestHeaderRouteValue"
            ? "a bootstrap has the filter envoy.filters.http.header_mutation" : null;
        notes.Dropped(t.PlaceOf(known), t.PathOf(known), $"the transform {known}", remedy);
        foreach (string key in t.Entries.Select(e => e.Key)) _ = t.Node(key);
    }

    private static string Slash(string path) => path.StartsWith('/') ? path : "/" + path;

    private void Prefix(string prefix)
    {
        string with = Slash(prefix).TrimEnd('/');
        if (_set is not null) _set = with + _set;
        else if (_pattern is not null) _pattern = with + _pattern;
        else _prefix = with + _prefix;
    }

    private void Remove(Section t, string removed)
    {
        removed = Slash(removed);
        if (removed == "/") return;
        if (_set is not null) _set = Cut(_set, removed);
        else if (_pattern is null && _prefix.Length == 0) _removed += removed;
        else if (_pattern is null && Cut(_prefix + "/", removed) is var rest && rest != _prefix + "/") _prefix = rest.TrimEnd('/');
        else notes.Dropped(t.PlaceOf("PathRemovePrefix"), t.PathOf("PathRemovePrefix"),
            "a prefix taken from a path that other transforms have made", "write the path that is meant into one PathPattern");

        static string Cut(string path, string prefix) =>
            path.StartsWith(prefix, StringComparison.OrdinalIgnoreCase) && (path.Length == prefix.Length || path[prefix.Length] == '/')
            ? Slash(path[prefix.Length..]) : path;
    }

    private void Header(Section t, string name, List<HeaderChange> changes)
    {
        string key = changes == Request ? "RequestHeader" : "ResponseHeader";
        string? set = t.Text("Set"), append = t.Text("Append"), when = t.Text("When");
        if (when is null && changes == Response) when = "Success";
        Place place = t.PlaceOf(key);
        if (!Named.IsHeader(name) || (set ?? append) is not { } value || !Named.IsHeaderValue(value))
        {
            notes.Value(place, t.PathOf(key), $"\"{Notes.Short(name)}\" needs Set or Append, and both must fit into a header");
            return;
        }
        if (changes == Request && name.Equals("Host", StringComparison.OrdinalIgnoreCase))
        {
            Host = value;
            KeepsHost = false;
            return;
        }
        if (when is "Failure") notes.Dropped(place, t.PathOf(key), $"{name} for failures only: headers are set whatever the status");
        else
        {
            if (changes == Response && !when!.Equals("Always", StringComparison.OrdinalIgnoreCase))
                notes.Slight(place, t.PathOf(key), $"{name} is set whatever the status, not below 400 only");
            changes.Add(new HeaderChange(set is not null ? HeaderOp.Set : HeaderOp.Add, name, Named.Value(value), place));
        }
    }

    private void Removal(Section t, string name, string key, List<HeaderChange> changes)
    {
        _ = t.Text("When");
        if (Named.IsHeader(name)) changes.Add(new HeaderChange(HeaderOp.Remove, name, "", t.PlaceOf(key)));
        else notes.Value(t.PlaceOf(key), t.PathOf(key), $"\"{Notes.Short(name)}\" is no header");
    }

    // "X-Forwarded": "Set" is the default of all; "For", "Proto", "Host" and "Prefix" have their own.
    private void XForwarded(Section t)
    {
        string all = t.Text("X-Forwarded") ?? t.Text("XForwarded") ?? "Set";
        if (all.Contains(','))
        {
            // Before YARP 1.0 the names were listed, and "Append" said how.
            string how = t.Flag("Append") == false ? "Set" : "Append";
            (_for, _host, _proto) = (Named(all, "for"), Named(all, "host"), Named(all, "proto"));
            _headers = t.Text("Prefix") ?? _headers;
            string Named(string list, string one) => list.Contains(one, StringComparison.OrdinalIgnoreCase) ? how : "Off";
            return;
        }
        _for = t.Text("For") ?? all;
        _host = t.Text("Host") ?? all;
        _proto = t.Text("Proto") ?? all;
        _headers = t.Text("HeaderPrefix") ?? _headers;
        _ = t.Text("Prefix");
    }

    private void Forwarded(Place place)
    {
        Change(_for, "For", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%");
        Change(_host, "Host", "%REQ(:AUTHORITY)%");
        // What the proxy writes anyway is the scheme.
        if (_proto is "Remove" or "Off") Change(_proto, "Proto", "");
        else if (_headers != "X-Forwarded-") Change(_proto, "Proto", "%REQ(X-FORWARDED-PROTO)%");

        void Change(string how, string name, string value)
        {
            string header = _headers + name;
            bool own = _headers == "X-Forwarded-" && name == "For";
            switch (how)
            {
                case "Set": Request.Add(new HeaderChange(HeaderOp.Set, header, value, place)); break;
                case "Append" when own: AppendsFor = true; break;
                case "Append": Request.Add(new HeaderChange(HeaderOp.Add, header, value, place)); break;
                case "Remove": Request.Add(new HeaderChange(HeaderOp.Remove, header, "", place)); break;
                case "Off" when own || name == "Proto": notes.Slight(place, "Transforms", $"{header} is written all the same"); break;
            }
        }
    }

    /// <summary>What becomes of the path.</summary>
    public Rewrite? Rewrite()
    {
        string before = cluster?.BasePath ?? "";
        if (_set is not null) return new ReplaceRegex("^/.*$", Named.Literal(before + _set));
        if (_pattern is not null) return Pattern(before);
        string with = before + _prefix;
        if (_removed.Length == 0 && with.Length == 0) return null;
        bool whole = matches is [{ Kind: PathKind.Prefix, Path: "/" }];
        if (_removed.Length == 0) return whole ? new ReplaceMatched(with + "/") : new ReplaceRegex("^(/.*)$", $@"{Named.Literal(with)}\1");
        if (matches is [{ Kind: PathKind.Segments } match] && match.Path.Equals(_removed, StringComparison.OrdinalIgnoreCase))
            return new ReplaceMatched(with);
        string removed = Named.Quote(_removed);
        return with.Length == 0 ? new ReplaceRegex($"(?i)^{removed}(?:/(.*))?$", @"/\1") : new ReplaceRegex($"(?i)^{removed}(/.*)?$",
            $@"{Named.Literal(with)}\1");
    }

    private Rewrite? Pattern(string before)
    {
        Place place = _patternAt!.PlaceOf("PathPattern");
        string subject = _patternAt.PathOf("PathPattern");
        RouteTemplate? to = RouteTemplate.Parse(_pattern!, out string? fault);
        if (to is null || template?.Pattern(out fault) is not { } from)
        {
            notes.Value(place, subject, $"\"{Notes.Short(_pattern!)}\": {fault}");
            return null;
        }
        // The rest behind a literal prefix goes behind another one.
        if (template.BeforeCatchAll is { Length: > 0 } && to.BeforeCatchAll is { } literal
            && template.Names.SequenceEqual(to.Names, StringComparer.OrdinalIgnoreCase)) return new ReplaceMatched(before + literal);
        if (template.BeforeCatchAll is "" && to.BeforeCatchAll is { } behind
            && template.Names.SequenceEqual(to.Names, StringComparer.OrdinalIgnoreCase)) return before + behind == "" ? null
            : new ReplaceMatched(before + behind + "/");
        var made = new System.Text.StringBuilder(Named.Literal(before));
        IReadOnlyList<string> names = template.Names;
        foreach (IReadOnlyList<TemplatePart> segment in to.Segments)
        {
            made.Append('/');
            foreach (TemplatePart part in segment)
            {
                int group = part.Text is null ? names.ToList().FindIndex(n => n.Equals(part.Name, StringComparison.OrdinalIgnoreCase))
                    + 1 : 0;
                if (part.Text is { } text) made.Append(Named.Literal(text));
                else if (group is > 0 and <= 9) made.Append('\\').Append(group);
                else if (group > 9)
                {
                    notes.Dropped(place, subject, "more than nine parts of a path");
                    return null;
                }
                // What the match does not know is nothing.
            }
        }
        return new ReplaceRegex($"(?i)^{from}$", made.Length == 0 ? "/" : made.ToString());
    }
}
