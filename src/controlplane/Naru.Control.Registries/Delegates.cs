// Routes that name a delegate, replaced by the routes of that delegate as far as both can match one request. Pure; what became of it are
// ordinary routes, so that whoever translates or checks them knows nothing of delegates.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Core;

namespace Naru.Control.Registries;

/// <summary>Delegates of VirtualServices (Istio: Delegate, one level deep).</summary>
internal static class Delegates
{
    /// <summary>Of all VirtualServices those without hosts, by namespace and name.</summary>
    public static Dictionary<(string Namespace, string Name), VirtualServiceSpec> Among(IEnumerable<ConfigObject> objects) => objects
        .Where(o => o.Spec is VirtualServiceSpec { Hosts.IsEmpty: true })
        .ToDictionary(o => (o.Key.Namespace, o.Key.Name), o => (VirtualServiceSpec)o.Spec);

    /// <summary>The routes of an object of <paramref name="ns"/> with those of its delegates in their places; the route of a delegate that
    /// is not there, or not to be seen from <paramref name="ns"/>, is left out.</summary>
    public static ImmutableArray<HttpRoute> Resolve(
        ImmutableArray<HttpRoute> routes, string ns, IReadOnlyDictionary<(string Namespace, string Name), VirtualServiceSpec> delegates,
            MeshLayout layout)
    {
        if (!routes.Any(r => r.Delegate is not null)) return routes;
        var made = ImmutableArray.CreateBuilder<HttpRoute>();
        foreach (HttpRoute route in routes)
        {
            if (route.Delegate is not { } to)
            {
                made.Add(route);
                continue;
            }
            if (Find(to, ns, delegates) is not { } spec) continue;
            string home = Home(to, ns);
            foreach (HttpRoute part in spec.Http)
            {
                if (Joined(route, Homed(part, home, layout), home) is { } joined) made.Add(joined);
            }
        }
        return made.ToImmutable();
    }

    /// <summary>The delegate that a route of an object of <paramref name="ns"/> names, where it may be seen there.</summary>
    public static VirtualServiceSpec? Find(
        DelegateReference to, string ns, IReadOnlyDictionary<(string Namespace, string Name), VirtualServiceSpec> delegates)
    {
        string home = Home(to, ns);
        bool seen = delegates.TryGetValue((home, to.Name), out VirtualServiceSpec? spec) && HostNames.Visible(spec.ExportTo, home, ns);
        return seen ? spec : null;
    }

    private static string Home(DelegateReference to, string ns) => to.Namespace.Length > 0 ? to.Namespace : ns;

    // Short names mean what they mean where they were written.
    private static HttpRoute Homed(HttpRoute route, string home, MeshLayout layout) => route with
    {
        Destinations = [.. route.Destinations.Select(d => d with { Destination = Homed(d.Destination, home, layout) })],
        Fallback = route.Fallback is { Destination: { } instead } ? route.Fallback with { Destination = Homed(instead, home, layout) } : route.Fallback,
        Mirrors = [.. route.Mirrors.Select(m => m with { Destination = Homed(m.Destination, home, layout) })],
    };

    private static Destination Homed(Destination to, string home, MeshLayout layout) => to with { Host = layout.Resolve(to.Host, home) };

    private static HttpRoute? Joined(HttpRoute root, HttpRoute part, string home)
    {
        if (Matches(root.Matches, part.Matches, home) is not { } matches) return null;
        return part with
        {
            Name = Named(root.Name, part.Name),
            Matches = matches,
            Rewrite = part.Rewrite ?? root.Rewrite,
            Timeout = part.Timeout ?? root.Timeout,
            Retries = part.Retries ?? root.Retries,
            Fault = part.Fault ?? root.Fault,
            Mirrors = part.Mirrors.IsEmpty ? root.Mirrors : part.Mirrors,
            Cors = part.Cors ?? root.Cors,
            Headers = new HeaderChanges(Both(root.Headers.Request, part.Headers.Request),
                Both(root.Headers.Response, part.Headers.Response)),
        };
    }

    private static string Named(string root, string part) => part.Length == 0 ? root : root.Length == 0 ? part : $"{root}-{part}";

    private static HeaderOps Both(HeaderOps root, HeaderOps part) =>
        new(Both(root.Set, part.Set), Both(root.Add, part.Add), [.. root.Remove.Union(part.Remove)]);

    // Of one name the narrower object's.
    private static ImmutableArray<KeyValuePair<string, T>> Both<T>(
        ImmutableArray<KeyValuePair<string, T>> root, ImmutableArray<KeyValuePair<string, T>> part) =>
        [.. part.Concat(root).DistinctBy(p => p.Key).OrderBy(p => p.Key, StringComparer.Ordinal)];

    /// <summary>Every pair of matches that one request can meet; null where a match of the delegate meets none of the root's.</summary>
    private static ImmutableArray<HttpMatch>? Matches(ImmutableArray<HttpMatch> root, ImmutableArray<HttpMatch> part, string home)
    {
        if (root.IsEmpty) return part;
        if (part.IsEmpty) return root;
        var made = ImmutableArray.CreateBuilder<HttpMatch>();
        foreach (HttpMatch narrow in part)
        {
            int before = made.Count;
            foreach (HttpMatch wide in root)
            {
                if (!Contradict(wide, narrow)) made.Add(Joined(wide, narrow, home));
            }
            if (made.Count == before) return null;
        }
        return made.ToImmutable();
    }

    private static HttpMatch Joined(HttpMatch root, HttpMatch part, string home) => new()
    {
        Name = Named(root.Name, part.Name),
        Uri = part.Uri ?? root.Uri,
        IgnoreUriCase = part.IgnoreUriCase,
        Scheme = part.Scheme ?? root.Scheme,
        Method = part.Method ?? root.Method,
        Authority = part.Authority ?? root.Authority,
        Headers = Both(root.Headers, part.Headers),
        WithoutHeaders = Both(root.WithoutHeaders, part.WithoutHeaders),
        QueryParams = Both(root.QueryParams, part.QueryParams),
        Port = part.Port != 0 ? part.Port : root.Port,
        SourceLabels = root.SourceLabels.SetItems(part.SourceLabels),
        SourceNamespace = part.SourceNamespace.Length > 0 ? part.SourceNamespace : root.SourceNamespace,
        StatPrefix = part.StatPrefix.Length > 0 ? part.StatPrefix : root.StatPrefix,
        Gateways = part.Gateways.IsEmpty ? root.Gateways
            : [.. part.Gateways.Select(g => g with { Value = BoundVirtualService.GatewayName(g.Value, home) })],
        Place = part.Place,
    };

    private static bool Contradict(HttpMatch root, HttpMatch part) =>
        Contradict(root.Uri, part.Uri) || Contradict(root.Scheme, part.Scheme) || Contradict(root.Method, part.Method)
        || Contradict(root.Authority, part.Authority)
        || Contradict(root.Headers, part.Headers) || Contradict(root.WithoutHeaders, part.WithoutHeaders)
        || Contradict(root.QueryParams, part.QueryParams)
        || root.IgnoreUriCase != part.IgnoreUriCase
        || (root.Port != 0 && part.Port != 0 && root.Port != part.Port)
        || (root.SourceNamespace.Length > 0 && part.SourceNamespace.Length > 0 && root.SourceNamespace != part.SourceNamespace)
        || part.SourceLabels.Any(l => root.SourceLabels.TryGetValue(l.Key, out string? value) && value != l.Value)
        || (!root.Gateways.IsEmpty && part.Gateways.Any(g => root.Gateways.All(r => r.Value != g.Value)));

    private static bool Contradict(
        ImmutableArray<KeyValuePair<string, StringMatch>> root, ImmutableArray<KeyValuePair<string, StringMatch>> part) =>
        part.Any(p => root.Any(r => r.Key == p.Key && Contradict(r.Value, p.Value)));

    // Whether the delegate asks for something that the root does not give it. A regular expression beside anything else counts as such.
    private static bool Contradict(StringMatch? root, StringMatch? part)
    {
        if (root is null || part is null) return false;
        return (root.Kind, part.Kind) switch
        {
            (StringMatchKind.Exact, StringMatchKind.Exact) => root.Value != part.Value,
            (StringMatchKind.Prefix, StringMatchKind.Exact or StringMatchKind.Prefix) =>
                !part.Value.StartsWith(root.Value, StringComparison.Ordinal),
            _ => true,
        };
    }
}
