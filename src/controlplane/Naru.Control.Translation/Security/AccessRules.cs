// One rule of an AuthorizationPolicy → permissions (what is asked) and principals (who asks), as Envoy's RBAC has them.
using System.Collections.Immutable;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Envoy.Config.Core.V3;
using Envoy.Config.Rbac.V3;
using Envoy.Config.Route.V3;
using Envoy.Extensions.Path.Match.UriTemplate.V3;
using Envoy.Type.Matcher.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Model;

namespace Naru.Control.Translation;

internal static class AccessRules
{
    private const string JwtFilter = "envoy.filters.http.jwt_authn", Spiffe = "spiffe://";

    /// <summary>A rule; null where it falls away.</summary>
    /// <param name="rule">As written.</param>
    /// <param name="ns">Namespace of its policy, which accounts without one are of.</param>
    /// <param name="mesh">Names of the trust domain.</param>
    /// <param name="tcp">Whether there are no requests.</param>
    /// <param name="loses">Whether the rule then goes on without the question, and does not fall away.</param>
    public static Policy? Policy(AccessRule rule, string ns, MeshConfigSpec mesh, bool tcp, bool loses)
    {
        if (tcp && !loses && AsksOfRequests(rule)) return null;
        var made = new Policy();
        foreach (AccessOperation? to in rule.To.IsEmpty ? [null] : rule.To.Cast<AccessOperation?>())
        {
            var all = new Permission.Types.Set();
            if (to is not null)
            {
                Add(all, to.Hosts, tcp, ofRequests: true, h => Header(":authority", h, ignoreCase: true));
                Add(all, to.Methods, tcp, ofRequests: true, m => Header(":method", m, ignoreCase: false));
                Add(all, to.Paths, tcp, ofRequests: true, Path);
                Add(all, to.Ports, tcp, ofRequests: false, p => new Permission { DestinationPort = uint.Parse(p) });
            }
            foreach (AccessCondition when in rule.When)
            {
                switch (when.Key)
                {
                    case "destination.ip":
                        Add(all, when.Values, tcp, ofRequests: false, v => new Permission { DestinationIp = Block(v) });
                        break;
                    case "destination.port":
                        Add(all, when.Values, tcp, ofRequests: false, v =>
                        new Permission { DestinationPort = uint.Parse(v) }); break;
                    case "connection.sni":
                        Add(all, when.Values, tcp, ofRequests: false, v =>
                        new Permission { RequestedServerName = Text(v) }); break;
                }
            }
            if (all.Rules.Count == 0) all.Rules.Add(new Permission { Any = true });
            made.Permissions.Add(new Permission { AndRules = all });
        }
        foreach (AccessSource? from in rule.From.IsEmpty ? [null] : rule.From.Cast<AccessSource?>())
        {
            var all = new Principal.Types.Set();
            if (from is not null)
            {
                Add(all, from.Principals, v => Peers(v, mesh));
                Extended(all, from.RequestPrincipals, tcp, Requesters);
                Add(all, from.Namespaces, v => [Named(NamespaceOf(v))]);
                Add(all, from.ServiceAccounts, v => [Named(AccountOf(v, ns))]);
                Add(all, from.IpBlocks, v => [new Principal { DirectRemoteIp = Block(v) }]);
                Add(all, from.RemoteIpBlocks, v => [new Principal { RemoteIp = Block(v) }]);
            }
            foreach (AccessCondition when in rule.When) Condition(all, when, ns, mesh, tcp);
            if (all.Ids.Count == 0) all.Ids.Add(new Principal { Any = true });
            made.Principals.Add(new Principal { AndIds = all });
        }
        return made;
    }

    private static void Condition(Principal.Types.Set all, AccessCondition when, string ns, MeshConfigSpec mesh, bool tcp)
    {
        string[] keys = [.. when.Key.Split('[').Skip(1).Select(k => k.TrimEnd(']'))];
        switch (when.Key.Split('[')[0])
        {
            case "source.ip": Add(all, when.Values, v => [new Principal { DirectRemoteIp = Block(v) }]); break;
            case "remote.ip": Add(all, when.Values, v => [new Principal { RemoteIp = Block(v) }]); break;
            case "source.namespace": Add(all, when.Values, v => [Named(NamespaceOf(v))]); break;
            case "source.principal": Add(all, when.Values, v => Peers(v, mesh)); break;
            case "source.serviceAccount": Add(all, when.Values, v => [Named(AccountOf(v, ns))]); break;
            case "request.headers":
                if (tcp) break;
                Add(all, when.Values, v => [new Principal { Header = HeaderOf(keys[0], v, false) }]);
                break;
            case "request.auth.principal": Extended(all, when.Values, tcp, Requesters); break;
            case "request.auth.audiences": Extended(all, when.Values, tcp, v => Claim(["aud"], v)); break;
            case "request.auth.presenter": Extended(all, when.Values, tcp, v => Claim(["azp"], v)); break;
            case "request.auth.claims": Extended(all, when.Values, tcp, v => Claim(keys, v)); break;
        }
    }

    private static bool AsksOfRequests(AccessRule rule) =>
        rule.To.Any(t => !t.Hosts.IsEmpty || !t.Methods.IsEmpty || !t.Paths.IsEmpty)
        || rule.From.Any(f => !f.RequestPrincipals.IsEmpty)
        || rule.When.Any(w => w.Key.StartsWith("request.", StringComparison.Ordinal));

    private static void Add(Permission.Types.Set all, Wanted wanted, bool tcp, bool ofRequests, Func<string, Permission> make)
    {
        if (ofRequests && tcp) return;
        if (!wanted.Values.IsEmpty) all.Rules.Add(AnyOf(wanted.Values));
        if (!wanted.NotValues.IsEmpty) all.Rules.Add(new Permission { NotRule = AnyOf(wanted.NotValues) });

        Permission AnyOf(ImmutableArray<string> values) => new() { OrRules = new Permission.Types.Set { Rules = { values.Select(make) } } };
    }

    private static void Add(Principal.Types.Set all, Wanted wanted, Func<string, IEnumerable<Principal>> make)
    {
        if (!wanted.Values.IsEmpty) all.Ids.Add(AnyOf(wanted.Values));
        if (!wanted.NotValues.IsEmpty) all.Ids.Add(new Principal { NotId = AnyOf(wanted.NotValues) });

        Principal AnyOf(ImmutableArray<string> values) => new() { OrIds = new Principal.Types.Set { Ids = { values.SelectMany(make) } } };
    }

    private static void Extended(Principal.Types.Set all, Wanted wanted, bool tcp, Func<ImmutableArray<string>, Principal> make)
    {
        if (tcp) return;
        if (!wanted.Values.IsEmpty) all.Ids.Add(make(wanted.Values));
        if (!wanted.NotValues.IsEmpty) all.Ids.Add(new Principal { NotId = make(wanted.NotValues) });
    }

    private static Permission Header(string name, string value, bool ignoreCase) => new() { Header = HeaderOf(name, value, ignoreCase) };

    private static HeaderMatcher HeaderOf(string name, string value, bool ignoreCase)
    {
        if (value == "*") return new HeaderMatcher { Name = name, PresentMatch = true };
        StringMatcher match = Text(value);
        match.IgnoreCase = ignoreCase;
        return new HeaderMatcher { Name = name, StringMatch = match };
    }

    private static Permission Path(string path)
    {
        if (!path.Contains('{')) return new Permission { UrlPath = new PathMatcher { Path = Text(path) } };
        var template = new UriTemplateMatchConfig
        {
            PathTemplate = path.Replace("{**}", "**", StringComparison.Ordinal)
            .Replace("{*}", "*", StringComparison.Ordinal)
        };
        return new Permission { UriTemplate = new TypedExtensionConfig { Name = "uri-template", TypedConfig = Any.Pack(template) } };
    }

    /// <summary>A star alone is anything, at an end the rest of it.</summary>
    private static StringMatcher Text(string value) => value switch
    {
        "*" => new StringMatcher { SafeRegex = new RegexMatcher { Regex = ".+" } },
        ['*', ..] => new StringMatcher { Suffix = value[1..] },
        [.., '*'] => new StringMatcher { Prefix = value[..^1] },
        _ => new StringMatcher { Exact = value },
    };

    // ---- who ----

    private static Principal Named(StringMatcher name) =>
        new() { Authenticated = new Principal.Types.Authenticated { PrincipalName = name } };

    private static Principal Named(string regex) => Named(new StringMatcher { SafeRegex = new RegexMatcher { Regex = regex } });

    private static string NamespaceOf(string ns) =>
        $".*/ns/{Regex.Escape(ns).Replace(@"\*", ".*", StringComparison.Ordinal).Replace(@"\-", "-", StringComparison.Ordinal)}/.*";

    private static string AccountOf(string account, string ns)
    {
        string[] parts = account.Split('/');
        // The dot of a name is no other letter's place.
        return $"{Spiffe}.+/ns/{(parts.Length == 2 ? parts[0] : ns)}/(.+/|)sa/{parts[^1].Replace(".", @"\.", StringComparison.Ordinal)}(/.+)?";
    }

    // A principal of the mesh counts under all names of its trust domain.
    private static IEnumerable<Principal> Peers(string value, MeshConfigSpec mesh)
    {
        int slash = value.IndexOf('/');
        string domain = slash < 0 ? "" : value[..slash];
        bool ours = domain == "cluster.local" || domain == mesh.TrustDomain || mesh.TrustDomainAliases.Contains(domain);
        if (!ours) return [Named(Spiffed(value))];
        return mesh.TrustDomainAliases.Prepend(mesh.TrustDomain).Distinct().Select(d => Named(Spiffed(d + value[slash..])));
    }

    private static StringMatcher Spiffed(string value) => value switch
    {
        "*" => Text("*"),
        ['*', ..] => new StringMatcher { SafeRegex = new RegexMatcher { Regex = $"{Spiffe}.*{Regex.Escape(value[1..])}" } },
        [.., '*'] => new StringMatcher { Prefix = Spiffe + value[..^1] },
        _ => new StringMatcher { Exact = Spiffe + value },
    };

    // A requester is issuer/subject; an issuer may have slashes itself.
    private static Principal Requesters(ImmutableArray<string> values)
    {
        var any = new Principal.Types.Set();
        foreach (string value in values)
        {
            int slash = value.LastIndexOf('/');
            (string issuer, string subject) = value == "*" ? ("*", "*") : slash < 0 ? (value, "*") : (value[..slash], value[(slash + 1)..]);
            any.Ids.Add(new Principal
            {
                AndIds = new Principal.Types.Set
                {
                    Ids = { Payload(["iss"], new ValueMatcher { StringMatch = Text(issuer) }),
                        Payload(["sub"], new ValueMatcher { StringMatch = Text(subject) }) },
                },
            });
        }
        return any.Ids.Count == 1 ? any.Ids[0] : new Principal { OrIds = any };
    }

    // A claim is a list that has the value, or the value itself.
    private static Principal Claim(string[] keys, ImmutableArray<string> values)
    {
        ValueMatcher One() => values.Length == 1 ? new ValueMatcher { StringMatch = Text(values[0]) }
            : new ValueMatcher
            {
                OrMatch =
                new OrMatcher { ValueMatchers = { values.Select(v => new ValueMatcher { StringMatch = Text(v) }) } }
            };
        return Payload(keys, new ValueMatcher
        {
            OrMatch = new OrMatcher { ValueMatchers = { new ValueMatcher { ListMatch = new ListMatcher { OneOf = One() } }, One() } },
        });
    }

    private static Principal Payload(string[] keys, ValueMatcher value)
    {
        var made = new MetadataMatcher { Filter = JwtFilter, Value = value };
        made.Path.Add(new MetadataMatcher.Types.PathSegment { Key = "payload" });
        made.Path.AddRange(keys.Select(k => new MetadataMatcher.Types.PathSegment { Key = k }));
        return new Principal { Metadata = made };
    }

    private static CidrRange Block(string block)
    {
        int slash = block.IndexOf('/');
        string address = slash < 0 ? block : block[..slash];
        uint length = slash >= 0 ? uint.Parse(block[(slash + 1)..])
            : IPAddress.Parse(address).AddressFamily == AddressFamily.InterNetwork ? 32u : 128u;
        return new CidrRange { AddressPrefix = address, PrefixLen = length };
    }
}
