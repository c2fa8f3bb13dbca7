// Reads VirtualServices: the part of IstioReader that is long because routes say much.
using System.Collections.Immutable;
using System.Text;
using System.Text.RegularExpressions;
using Google.Protobuf;
using Istio.Networking.V1Alpha3;
using Naru.Core;
using Naru.Telemetry;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;
using Wire = Istio.Networking.V1Alpha3;

namespace Naru.Control.Model;

internal static partial class IstioReader
{
    private static readonly string[] RetryTokens = ["5xx", "gateway-error", "reset", "reset-before-request", "connect-failure", "retriable-4xx", "refused-stream",
        "retriable-status-codes", "retriable-headers", "envoy-ratelimited", "cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable", "http3-post-connect-failure"];
    private static readonly string[] RetryTokensLater = ["retriable-headers", "http3-post-connect-failure"];

    public static VirtualServiceSpec? VirtualService(YamlMapping map, string subject, Diagnostics d)
    {
        if (Bind<VirtualService>(map, subject, d, out Reading? r) is not { } service || r is null) return null;
        // Without hosts it is a delegate: its routes count only where a route of another VirtualService names it.
        bool isDelegate = service.Hosts.Count == 0;
        if (isDelegate && service.Gateways.Count > 0)
        {
            r.Error("NARU-C206", "spec.gateways is there, and spec.hosts is not: a delegate serves where the one that names it does",
                r.Item("gateways", 0), "add spec.hosts, or remove spec.gateways");
        }
        ImmutableArray<Located<string>> gateways = [.. service.Gateways.Select((g, i) => new Located<string>(g, r.Item("gateways", i)))];
        if (gateways.IsEmpty) gateways = [new Located<string>("mesh", r.Spec.Place)];
        foreach (Located<string> gateway in gateways)
        {
            if (gateway.Value.Count(c => c == '/') > 1 || gateway.Value.Split('/').Any(p => !IsHost(p, wildcards: false)))
                r.Error("NARU-C205", $"spec.gateways: \"{Short(gateway.Value)}\" is no gateway", gateway.Place, "write name, namespace/name or mesh");
        }

        var hosts = ImmutableArray.CreateBuilder<Located<string>>();
        for (int i = 0; i < service.Hosts.Count; i++)
        {
            string host = service.Hosts[i].ToLowerInvariant();
            Place at = r.Item("hosts", i);
            if (!IsHost(host, wildcards: true)) r.Error("NARU-C205", $"spec.hosts[{i}] \"{Short(host)}\" is no host", at, "write a DNS name, *.name or *");
            else if (host == "*" && gateways.Any(g => g.Value == "mesh"))
                r.Error("NARU-C206", "the host * is only for gateways, and this object is for the mesh", at, "name the hosts, or add gateways: without mesh");
            else if (hosts.Any(h => h.Value == host)) r.Error("NARU-C206", $"host \"{Short(host)}\" is there twice", at);
            else hosts.Add(new Located<string>(host, at));
        }
        if (service.Http.Count == 0) r.Error("NARU-C204", "spec.http is missing", r.Spec.Place, "add at least one route");
        return new VirtualServiceSpec
        {
            Hosts = hosts.ToImmutable(),
            Gateways = gateways,
            Http = [.. service.Http.Select((route, i) => Route(route, $"spec.http[{i}]", isDelegate, r))],
            ExportTo = ExportTo(service.ExportTo, r),
        };
    }

    private static HttpRoute Route(HTTPRoute route, string path, bool isDelegate, Reading r)
    {
        Place place = r.At(route);
        int actions = (route.Route.Count > 0 ? 1 : 0) + (route.Redirect is not null ? 1 : 0) + (route.DirectResponse is not null ? 1 : 0)
            + (route.Delegate is not null ? 1 : 0);
        if (actions == 0) r.Error("NARU-C204", $"{path} says nothing to do", place, "add route, redirect, directResponse or delegate");
        if (actions > 1) r.Error("NARU-C206", $"{path} has more than one of route, redirect, directResponse and delegate", place,
            "keep one");
        if (isDelegate && route.Delegate is not null) r.Error("NARU-C206", $"{path}.delegate: a delegate has none of its own",
            r.At(route.Delegate), "name the other one in the VirtualService with the hosts");
        if (route.Fault is not null && (route.Redirect ?? (IMessage?)route.DirectResponse) is not null)
            r.Error("NARU-C206", $"{path}.fault cannot go with a {(route.Redirect is not null ? "redirect" : "directResponse")}",
                r.At(route.Fault));
        if (route.Redirect is not null && route.Rewrite is not null) r.Error("NARU-C206", $"{path}.rewrite cannot go with a redirect", r.At(route.Rewrite));
        if (route.Route.Count == 0 && route.Delegate is null)
        {
            if (route.Timeout is not null) r.Error("NARU-C206", $"{path}.timeout needs a route", r.At(route, "timeout"));
            if (route.Retries is not null) r.Error("NARU-C206", $"{path}.retries needs a route", r.At(route.Retries));
            if (route.Redirect is null && route.Rewrite is not null) r.Error("NARU-C206", $"{path}.rewrite needs a route", r.At(route.Rewrite));
        }

        TimeSpan? timeout = route.Timeout?.ToTimeSpan();
        if (timeout is { } t && (t < TimeSpan.Zero || t > LongestTime || (t > TimeSpan.Zero && t < TimeSpan.FromMilliseconds(1))))
            r.Error("NARU-C205", $"{path}.timeout must be 0s (off), or at least 1ms and no longer than 292 years", r.At(route, "timeout"));
        var destinations = ImmutableArray.CreateBuilder<RouteDestination>();
        for (int i = 0; i < route.Route.Count; i++)
        {
            if (Target(route.Route[i], $"{path}.route[{i}]", route.Route.Count, r) is { } target) destinations.Add(target);
        }
        long sum = destinations.Sum(t => (long)t.Weight);
        if (destinations.Count > 1 && destinations.Count == route.Route.Count && sum == 0)
            r.Error("NARU-C205", $"{path}: all weights are 0", place, "give at least one destination a weight");
        // What a proxy can take (Envoy: WeightedCluster.clusters).
        if (sum > uint.MaxValue) r.Error("NARU-C205", $"{path}: the weights add up to {sum}", place, "make them smaller, keeping their ratio: at most 4294967295 in all");
        return new HttpRoute
        {
            Name = route.Name,
            Matches = [.. route.Match.Select((m, i) => Match(m, $"{path}.match[{i}]", r))],
            Destinations = destinations.ToImmutable(),
            Redirect = route.Redirect is null ? null : Redirect(route.Redirect, path + ".redirect", r),
            DirectResponse = route.DirectResponse is null ? null : Direct(route.DirectResponse, path + ".directResponse", r),
            Rewrite = route.Rewrite is null ? null : Rewrite(route.Rewrite, path + ".rewrite", r),
            Timeout = timeout,
            Retries = route.Retries is null ? null : Retry(route.Retries, path + ".retries", r),
            Fault = Fault(route.Fault, path + ".fault", r),
            Mirrors = Mirrors(route, path, r),
            Cors = Cors(route.CorsPolicy, path + ".corsPolicy", r),
            Delegate = Delegate(route.Delegate, path + ".delegate", r),
            Headers = WithOldFields(HeaderChangesOf(route.Headers, path + ".headers", r), route.AppendHeaders, route.AppendRequestHeaders,
                route.RemoveRequestHeaders, route.AppendResponseHeaders, route.RemoveResponseHeaders, path, place, r),
            Place = place,
        };
    }

    private static RouteDestination? Target(HTTPRouteDestination target, string path, int count, Reading r)
    {
        Place place = r.At(target);
        Destination? to = To(target.Destination, path + ".destination", place, r);
        if (target.Weight < 0) r.Error("NARU-C205", $"{path}.weight {target.Weight} is negative", r.At(target, "weight"));
        // A single destination without a weight takes everything, as Istio has it.
        int weight = count == 1 && target.Weight == 0 ? 1 : target.Weight;
        if (to is null) return null;
        return new RouteDestination(to, weight, WithOldFields(HeaderChangesOf(target.Headers, path + ".headers", r), EmptyMap,
            target.AppendRequestHeaders, target.RemoveRequestHeaders, target.AppendResponseHeaders, target.RemoveResponseHeaders,
            path, place, r), place);
    }

    private static readonly Dictionary<string, string> EmptyMap = [];

    /// <summary>A destination; null, and told, where it names no host.</summary>
    private static Destination? To(Wire.Destination? to, string path, Place owner, Reading r)
    {
        if (to is null || to.Host.Length == 0)
        {
            r.Error("NARU-C204", $"{path}.host is missing", to is null ? owner : r.At(to));
            return null;
        }
        if (!IsHost(to.Host, wildcards: false)) r.Error("NARU-C205", $"{path}.host \"{Short(to.Host)}\" is no host", r.At(to, "host"));
        if (to.Subset.Length > 0 && !IsSubsetName(to.Subset)) r.Error("NARU-C205", $"{path}.subset \"{Short(to.Subset)}\" is no name",
            r.At(to, "subset"));
        if (to.Port is not null && !IsPort(to.Port.Number)) r.Error("NARU-C205",
            $"{path}.port.number {to.Port.Number} is not between 1 and 65535", r.At(to.Port));
        return new Destination(to.Host.ToLowerInvariant(), to.Subset, (int)(to.Port?.Number ?? 0), r.At(to));
    }

    private static HttpMatch Match(HTTPMatchRequest match, string path, Reading r)
    {
        if (match.Port > 65535) r.Error("NARU-C205", $"{path}.port {match.Port} is not between 1 and 65535", r.At(match, "port"));
        if (match.Uri is { MatchTypeCase: Wire.StringMatch.MatchTypeOneofCase.None })
            r.Error("NARU-C204", $"{path}.uri must have exact, prefix or regex", r.At(match, "uri"));
        if (match.IgnoreUriCase && match.Uri?.MatchTypeCase == Wire.StringMatch.MatchTypeOneofCase.Regex)
            r.Error("NARU-C206", $"{path}.ignoreUriCase has no meaning for a regex", r.At(match, "ignore_uri_case"), "begin the regex with (?i)");
        return new HttpMatch
        {
            Name = match.Name,
            Uri = Compare(match.Uri, path + ".uri", match, "uri", r),
            IgnoreUriCase = match.IgnoreUriCase,
            Scheme = Compare(match.Scheme, path + ".scheme", match, "scheme", r),
            Method = Compare(match.Method, path + ".method", match, "method", r),
            Authority = Compare(match.Authority, path + ".authority", match, "authority", r),
            Headers = Compares(match.Headers, path + ".headers", match, "headers", true, r),
            WithoutHeaders = Compares(match.WithoutHeaders, path + ".withoutHeaders", match, "without_headers", true, r),
            QueryParams = Compares(match.QueryParams, path + ".queryParams", match, "query_params", false, r),
            Port = (int)match.Port,
            SourceLabels = Sorted(match.SourceLabels),
            SourceNamespace = match.SourceNamespace,
            StatPrefix = match.StatPrefix,
            Gateways = [.. match.Gateways.Select(g => new Located<string>(g, r.At(match, "gateways")))],
            Place = r.At(match),
        };
    }

    private static ImmutableArray<KeyValuePair<string, Model.StringMatch>> Compares(
        IEnumerable<KeyValuePair<string, Wire.StringMatch>> map, string path, IMessage owner, string field, bool header, Reading r)
    {
        var made = ImmutableArray.CreateBuilder<KeyValuePair<string, Model.StringMatch>>();
        foreach ((string key, Wire.StringMatch match) in map)
        {
            string name = header ? key.ToLowerInvariant() : key;
            bool claim = header && RequestClaims.Is(key);
            // Names of claims know their case.
            if (claim) name = key;
            if (claim && RequestClaims.Keys(key).Any(k => k.Length == 0))
                r.Error("NARU-C205", $"{path}: \"{Short(key)}\" is no claim", r.At(owner, field),
                    "write @request.auth.claims.name, or [name][inner]");
            else if (!claim && (name.Length == 0 || (header && !IsHeaderName(name))))
                r.Error("NARU-C205", $"{path}: \"{Short(key)}\" is no header name", r.At(owner, field));
            else made.Add(KeyValuePair.Create(name, Compare(match, $"{path}.{key}", owner, field, r) ?? new Model.StringMatch(StringMatchKind.Present, "")));
        }
        // Equal rules give equal resources whatever order they were written in.
        made.Sort((a, b) => string.CompareOrdinal(a.Key, b.Key));
        return made.ToImmutable();
    }

    private static Model.StringMatch? Compare(Wire.StringMatch? match, string path, IMessage owner, string field, Reading r)
    {
        switch (match?.MatchTypeCase)
        {
            case Wire.StringMatch.MatchTypeOneofCase.Exact:
                return new Model.StringMatch(StringMatchKind.Exact, match.Exact);
            case Wire.StringMatch.MatchTypeOneofCase.Prefix:
                if (match.Prefix.Length == 0) r.Error("NARU-C205", $"{path}.prefix is empty", r.At(owner, field));
                return new Model.StringMatch(StringMatchKind.Prefix, match.Prefix);
            case Wire.StringMatch.MatchTypeOneofCase.Regex:
                CheckRegex(match.Regex, path + ".regex", r.At(match, "regex"), r);
                return new Model.StringMatch(StringMatchKind.Regex, match.Regex);
            default:
                return null;
        }
    }

    private static Regex? CheckRegex(string pattern, string path, Place place, Reading r)
    {
        if (pattern.Length is 0 or > 1024)
        {
            r.Error("NARU-C208", pattern.Length == 0 ? $"{path} is empty" : $"{path} is longer than 1,024 characters", place);
            return null;
        }
        try
        {
            return Re2.Compile(pattern, whole: false);
        }
        catch (ArgumentException fault)
        {
            r.Error("NARU-C208", $"{path} is no RE2 regular expression: {Short(fault.Message)}", place, "backreferences and look-around are not in RE2");
            return null;
        }
    }

    private static HttpRedirect Redirect(HTTPRedirect redirect, string path, Reading r)
    {
        int code = redirect.RedirectCode == 0 ? 301 : (int)Math.Min(redirect.RedirectCode, 999);
        if (code is not (301 or 302 or 303 or 307 or 308)) r.Error("NARU-C205", $"{path}.redirectCode {code} is not 301, 302, 303, 307 or 308", r.At(redirect, "redirect_code"));
        if (redirect.Scheme.Length > 0 && redirect.Scheme is not ("http" or "https")) r.Error("NARU-C205", $"{path}.scheme \"{Short(redirect.Scheme)}\" is not http or https", r.At(redirect, "scheme"));
        bool hasPort = redirect.RedirectPortCase == HTTPRedirect.RedirectPortOneofCase.Port;
        if (hasPort && !IsPort(redirect.Port)) r.Error("NARU-C205", $"{path}.port {redirect.Port} is not between 1 and 65535", r.At(redirect, "port"));
        bool fromRequest = redirect.RedirectPortCase == HTTPRedirect.RedirectPortOneofCase.DerivePort && redirect.DerivePort == HTTPRedirect.Types.RedirectPortSelection.FromRequestPort;
        bool fromProtocol = redirect.RedirectPortCase == HTTPRedirect.RedirectPortOneofCase.DerivePort && !fromRequest;
        if (redirect.Uri.Length == 0 && redirect.PrefixRewrite.Length == 0 && redirect.Authority.Length == 0 && redirect.Scheme.Length == 0
            && !hasPort)
            r.Error("NARU-C204", $"{path} changes nothing", r.At(redirect), "add uri, prefixRewrite, authority, port or scheme");
        if (redirect.Uri.Length > 0 && redirect.PrefixRewrite.Length > 0) r.Error("NARU-C206",
            $"{path}.uri and {path}.prefixRewrite exclude each other", r.At(redirect, "prefix_rewrite"));
        if (redirect.PrefixRewrite.Any(c => c is <= ' ' or '\x7f')) r.Error("NARU-C205",
            $"{path}.prefixRewrite has a blank or a control character, which no URL has", r.At(redirect, "prefix_rewrite"), "escape it, as in %20");
        CheckText(redirect.Uri, path + ".uri", r.At(redirect, "uri"), r);
        CheckAuthority(redirect.Authority, path + ".authority", r.At(redirect, "authority"), r);
        return new HttpRedirect(redirect.Uri, redirect.PrefixRewrite, redirect.Authority, hasPort ? (int)redirect.Port : 0, fromRequest,
            fromProtocol, redirect.Scheme, code);
    }

    private static DirectResponse Direct(HTTPDirectResponse direct, string path, Reading r)
    {
        if (direct.Status is < 200 or > 599) r.Error("NARU-C205", $"{path}.status {direct.Status} is not between 200 and 599", r.At(direct, "status"));
        byte[] body = direct.Body?.SpecifierCase switch
        {
            HTTPBody.SpecifierOneofCase.String => Encoding.UTF8.GetBytes(direct.Body.String),
            HTTPBody.SpecifierOneofCase.Bytes => direct.Body.Bytes.ToByteArray(),
            _ => [],
        };
        if (body.Length > DirectResponse.MaxBody) r.Error("NARU-C205", $"{path}.body is longer than 1 MiB", r.At(direct.Body!));
        return new DirectResponse((int)direct.Status, [.. body]);
    }

    private static HttpRewrite Rewrite(HTTPRewrite rewrite, string path, Reading r)
    {
        if (rewrite.Uri.Length > 0 && rewrite.UriRegexRewrite is not null)
            r.Error("NARU-C206", $"{path}.uri and {path}.uriRegexRewrite exclude each other", r.At(rewrite.UriRegexRewrite));
        if (rewrite.Uri.Length == 0 && rewrite.Authority.Length == 0 && rewrite.UriRegexRewrite is null)
            r.Error("NARU-C204", $"{path} changes nothing", r.At(rewrite), "add uri, authority or uriRegexRewrite");
        if (rewrite.UriRegexRewrite is { } regex && CheckRegex(regex.Match, path + ".uriRegexRewrite.match", r.At(regex, "match"), r) is { } pattern && Re2.Substitution(regex.Rewrite, Re2.Groups(pattern)) is null)
        {
            r.Error("NARU-C208", $"{path}.uriRegexRewrite.rewrite \"{Short(regex.Rewrite)}\" names a group that the pattern does not have", r.At(regex, "rewrite"),
                $"its groups are \\0 to \\{Re2.Groups(pattern)}; a backslash is written \\\\");
        }
        CheckText(rewrite.Uri, path + ".uri", r.At(rewrite, "uri"), r);
        CheckAuthority(rewrite.Authority, path + ".authority", r.At(rewrite, "authority"), r);
        return new HttpRewrite(rewrite.Uri, rewrite.Authority, rewrite.UriRegexRewrite is null ? null : (rewrite.UriRegexRewrite.Match, rewrite.UriRegexRewrite.Rewrite));
    }

    private static HttpRetry Retry(HTTPRetry retry, string path, Reading r)
    {
        if (retry.Attempts < 0) r.Error("NARU-C205", $"{path}.attempts {retry.Attempts} is negative", r.At(retry, "attempts"));
        var tokens = new List<string>();
        var codes = ImmutableArray.CreateBuilder<int>();
        foreach (string token in retry.RetryOn.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (int.TryParse(token, out int code))
            {
                if (code is < 100 or > 599) r.Error("NARU-C205", $"{path}.retryOn: {code} is no status code", r.At(retry, "retry_on"));
                else codes.Add(code);
            }
            else if (RetryTokensLater.Contains(token)) r.Error("NARU-C201", $"{path}.retryOn: {token} is not supported yet", r.At(retry, "retry_on"));
            else if (!RetryTokens.Contains(token)) r.Error("NARU-C205", $"{path}.retryOn: \"{Short(token)}\" is no condition", r.At(retry, "retry_on"), Nearest.Suggestion(token, RetryTokens));
            else tokens.Add(token);
        }
        if (codes.Count > 0 && !tokens.Contains("retriable-status-codes")) tokens.Add("retriable-status-codes");
        return new HttpRetry(retry.Attempts, Positive(retry.PerTryTimeout, retry, "per_try_timeout", path + ".perTryTimeout", r), string.Join(',', tokens),
            codes.ToImmutable(), retry.RetryIgnorePreviousHosts, Positive(retry.Backoff, retry, "backoff", path + ".backoff", r),
            retry.RetryRemoteLocalities ?? false);
    }

    /// <summary>The mesh's own retries, where they stand as in a route.</summary>
    internal static HttpRetry MeshRetry(YamlMapping map, string subject, Diagnostics d)
    {
        var places = new ProtoPlaces();
        HTTPRetry retry = ProtoBinder.Bind<HTTPRetry>(map, d, subject, places, Binding);
        return Retry(retry, "defaultHttpRetryPolicy", new Reading(map, subject, d, places));
    }

    private static HeaderChanges HeaderChangesOf(Headers? headers, string path, Reading r) => headers is null
        ? HeaderChanges.None
        : new HeaderChanges(Ops(headers.Request, path + ".request", true, r), Ops(headers.Response, path + ".response", false, r));

    private static HeaderOps Ops(Headers.Types.HeaderOperations? ops, string path, bool request, Reading r)
    {
        if (ops is null) return HeaderOps.None;
        Check(ops.Set.Keys, "set");
        Check(ops.Add.Keys, "add");
        Check(ops.Remove, "remove");
        foreach ((string name, string value) in ops.Set.Concat(ops.Add)) CheckValue(value, $"{path}: value of {Short(name)}", r.At(ops), r);
        return new HeaderOps([.. ops.Set.OrderBy(s => s.Key, StringComparer.Ordinal)], [.. ops.Add.OrderBy(a => a.Key, StringComparer.Ordinal)], [.. ops.Remove]);

        void Check(IEnumerable<string> names, string field)
        {
            foreach (string name in names)
            {
                if (!MayChange(name, request, field)) r.Error("NARU-C205",
                    $"{path}.{field}: \"{Short(name)}\" is no header that may be changed", r.At(ops, field));
            }
        }
    }

    private static bool MayChange(string name, bool request, string field) => name.ToLowerInvariant() is ":authority" or "host"
        ? request && field == "set"
        : IsHeaderName(name) && name[0] != ':' && (field == "remove" || !IsFraming(name.ToLowerInvariant()));

    // What says how a message is framed would stand beside what the message really has: proxies refuse to add it.
    private static bool IsFraming(string name) => name is "content-length" or "transfer-encoding" or "connection" or "keep-alive" or "proxy-connection" or "upgrade";

    // What ends up in a request line or header must not be able to end it.
    private static void CheckText(string text, string path, Place place, Reading r)
    {
        if (text.Any(c => c is '\r' or '\n' or '\0')) r.Error("NARU-C205", $"{path} has a line break or NUL", place);
    }

    private const int MaxValueLength = 16_384;

    private static void CheckAuthority(string text, string path, Place place, Reading r)
    {
        if (text.Any(c => c is <= ' ' or '\x7f')) r.Error("NARU-C205", $"{path} \"{Short(text)}\" is no host", place);
    }

    // A proxy reads values as formats: %REQ(x)% is that header's value (Envoy: custom request/response headers).
    private static void CheckValue(string text, string path, Place place, Reading r)
    {
        CheckText(text, path, place, r);
        if (text.Length > MaxValueLength) r.Error("NARU-C205", $"{path} is longer than {MaxValueLength} characters", place);
        var found = new Diagnostics();
        if (text.Contains('%', StringComparison.Ordinal)) AccessLogFormat.Compile(text, found, FormatUse.HeaderValue);
        foreach (Diagnostic fault in found.Items.Where(f => f.Severity == Severity.Error)) r.Error("NARU-C205", $"{path}: {fault.Message}", place, fault.Remedy);
    }

    private static bool IsHeaderName(string name)
    {
        string rest = name.StartsWith(':') ? name[1..] : name;
        return rest.Length is > 0 and <= 256 && rest.All(c => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c));
    }
}
