// Rules of access compiled (envoy.config.rbac.v3): who may do what, of requests and of connections. Immutable, shared by all workers;
// asking them allocates nothing. What is not known of a request or connection fits nothing.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Routing;
using Naru.Proxy.Tls;
using Naru.Telemetry;

namespace Naru.Proxy.Filters;

/// <summary>What came of asking.</summary>
/// <param name="Allowed">It may.</param>
/// <param name="Policy">Index of the name of what decided; -1 for none.</param>
/// <param name="Logs">It is for the access log; null where nobody speaks of that.</param>
internal readonly record struct AccessVerdict(bool Allowed, int Policy, bool? Logs);

internal sealed class AccessRules
{
    private static readonly Func<AccessEnd, bool> s_refusals = static end => end.Action == AccessAction.Deny;
    private readonly AccessAction _action;
    private readonly AccessPolicy[] _policies;
    private readonly MatcherTree<AccessEnd>? _matcher;
    private readonly bool _matcherLogs;

    private AccessRules(AccessRulesConfig config)
    {
        _action = config.Action;
        _policies = [.. config.Policies.Select(p => new AccessPolicy(p, config.Action))];
        if (config.Matcher is not { } matcher)
        {
            Names = [.. config.Policies.Select(p => p.Name)];
            return;
        }
        Names = [.. matcher.Actions.Select(a => a.Name).Distinct(StringComparer.Ordinal)];
        _matcher = MatcherTree<AccessEnd>.Of(matcher, a => new AccessEnd(Array.IndexOf(Names, a.Name), a.Action));
        _matcherLogs = matcher.Actions.Any(a => a.Action == AccessAction.Log);
    }

    /// <summary>Null for no rules.</summary>
    public static AccessRules? Of(AccessRulesConfig? config) => config is null ? null : new AccessRules(config);

    /// <summary>Of policies, or of the ends of a matcher.</summary>
    public string[] Names { get; }

    /// <summary>Decides.</summary>
    public AccessVerdict Judge(in MatchSubject subject)
    {
        if (_matcher is not null)
        {
            // Who is led nowhere is refused, and who may be led to a refusal: a condition that cannot be told lets nobody in.
            if (_matcher.Find(subject, s_refusals, out _) is not { } end) return new AccessVerdict(false, -1, _matcherLogs ? false : null);
            return new AccessVerdict(end.Action != AccessAction.Deny, end.Policy, _matcherLogs ? end.Action == AccessAction.Log : null);
        }
        int policy = -1;
        for (int i = 0; i < _policies.Length && policy < 0; i++) if (_policies[i].Fits(subject)) policy = i;
        return _action switch
        {
            AccessAction.Allow => new AccessVerdict(policy >= 0, policy, null),
            AccessAction.Deny => new AccessVerdict(policy < 0, policy, null),
            _ => new AccessVerdict(true, policy, policy >= 0),
        };
    }

    /// <summary>Envoy's words for why somebody is refused; blanks in names would make two words of one.</summary>
    public string Details(int policy) => DetailsOf(policy < 0 ? "none" : Names[policy]);

    private static string DetailsOf(string name) =>
        $"rbac_access_denied_matched_policy[{string.Concat(name.Select(c => char.IsWhiteSpace(c) ? '_' : c is < ' ' or > '~' ? '?' : c))}]";

    private sealed record AccessEnd(int Policy, AccessAction Action);

    private sealed class AccessPolicy(AccessPolicyConfig config, AccessAction action)
    {
        private readonly AccessTerm[] _permissions = [.. config.Permissions.Select(AccessTerm.Of)];
        private readonly AccessTerm[] _principals = [.. config.Principals.Select(AccessTerm.Of)];

        // A condition that cannot be told, since what it asks is not there, lets nobody in: DENY takes it as one that holds.
        public bool Fits(in MatchSubject subject) => Any(_permissions, subject) && Any(_principals, subject)
            && (config.Condition is not { } condition || (condition.Holds(subject.Info!) ?? action == AccessAction.Deny));

        private static bool Any(AccessTerm[] terms, in MatchSubject subject)
        {
            foreach (AccessTerm term in terms) if (term.Holds(subject)) return true;
            return false;
        }
    }
}

/// <summary>One permission or principal, compiled.</summary>
internal abstract class AccessTerm
{
    public abstract bool Holds(in MatchSubject subject);

    public static AccessTerm Of(AccessTermConfig config) => config switch
    {
        AnyTermConfig => new Any(),
        CombinedTermConfig several => new Several(several.All, [.. several.Of.Select(Of)]),
        NotTermConfig not => new Not(Of(not.Of)),
        HeaderTermConfig header => new Header(new HeaderMatcher(header.Header)),
        PathTermConfig path => new Path(new ByteMatcher(path.Path)),
        TemplateTermConfig template => new Template(template.Template),
        AddressTermConfig address => new Address(address.Whose, new AddressRange(address.Range)),
        PortTermConfig port => new Port(port.Start, port.End),
        MetadataTermConfig metadata => new Metadata(new MetadataMatcher(metadata.Matcher), metadata.OfRoute),
        StateTermConfig state => new State(new StateMatcher(state.State)),
        ServerNameTermConfig name => new ServerName(new ByteMatcher(name.Name)),
        AuthenticatedTermConfig who => new Authenticated(who.Name is { } name ? new ByteMatcher(name) : null),
        _ => throw new ArgumentException($"{config.GetType().Name} is no rule"),
    };

    private sealed class Any : AccessTerm
    {
        public override bool Holds(in MatchSubject subject) => true;
    }

    private sealed class Several(bool all, AccessTerm[] of) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject)
        {
            foreach (AccessTerm one in of) if (one.Holds(subject) != all) return !all;
            return all;
        }
    }

    private sealed class Not(AccessTerm of) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject) => !of.Holds(subject);
    }

    private sealed class Header(HeaderMatcher header) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject) => subject.Head is { } head && header.Matches(head);
    }

    // As it goes on: normalized, and as filters before this one left it. CONNECT has none.
    private sealed class Path(ByteMatcher path) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject) => subject.Exchange is { IsConnect: false } x && path.Matches(x.Path);
    }

    private sealed class Template(UriTemplateConfig template) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject) =>
            subject.Exchange is { IsConnect: false } x && Re2.IsMatch(template.Regex, x.Path);
    }

    private sealed class Address(AccessAddress whose, AddressRange range) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject)
        {
            if (subject.Connection is not { } connection) return false;
            Span<byte> bytes = stackalloc byte[16];
            SockAddr address = whose switch
            {
                AccessAddress.Destination => connection.Local,
                AccessAddress.Connection => connection.Peer,
                AccessAddress.Direct => MatchSubject.Direct(connection),
                _ => subject.Client(connection),
            };
            return range.Contains(bytes[..ClientAddress.AddressBytes(address, bytes)]);
        }
    }

    private sealed class Port(int start, int end) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject) =>
            subject.Connection is { Local: { Family: Sys.AF_INET or Sys.AF_INET6 } local } && local.Port >= start && local.Port < end;
    }

    private sealed class Metadata(MetadataMatcher metadata, bool ofRoute) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject)
        {
            IRequestInfo? request = subject.Exchange;
            return metadata.Matches(request?.Metadata(ofRoute ? MetadataSource.Route : MetadataSource.Dynamic));
        }
    }

    private sealed class State(StateMatcher state) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject) =>
            subject.Exchange is { } x ? state.Matches(x) : state.Matches(subject.Connection?.Info?.States);
    }

    private sealed class ServerName(ByteMatcher name) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject) => name.Matches(subject.ServerName);
    }

    // A name counts only where somebody verified the certificate that says it.
    private sealed class Authenticated(ByteMatcher? name) : AccessTerm
    {
        public override bool Holds(in MatchSubject subject)
        {
            if (subject.Connection is not { } connection || (connection.Tls is null && !connection.SeemsSecure)) return false;
            if (name is null) return true;
            if (MatchSubject.Certificate(connection) is not { } certificate) return false;
            return Names(certificate, SanType.Uri) || Names(certificate, SanType.Dns) || name.Matches(certificate.Subject);
        }

        private bool Names(CertificateInfo certificate, SanType type)
        {
            foreach (SubjectAltName one in certificate.Names) if (one.Type == type && name!.Matches(one.Value)) return true;
            return false;
        }
    }
}

/// <summary>Counters of rules.</summary>
internal static class AccessStats
{
    public static readonly StatSchema Enforced = new();
    public static readonly int Allowed = Enforced.Counter("allowed");
    public static readonly int Denied = Enforced.Counter("denied");

    public static readonly StatSchema Shadow = new();
    public static readonly int ShadowAllowed = Shadow.Counter("shadow_allowed");
    public static readonly int ShadowDenied = Shadow.Counter("shadow_denied");

    /// <summary>Of one policy; there from their first use on.</summary>
    public static readonly StatSchema Policy = new(onUse: true);
    public static readonly int PolicyAllowed = Policy.Counter("allowed");
    public static readonly int PolicyDenied = Policy.Counter("denied");

    public static readonly StatSchema ShadowPolicy = new(onUse: true);
    public static readonly int PolicyShadowAllowed = ShadowPolicy.Counter("shadow_allowed");
    public static readonly int PolicyShadowDenied = ShadowPolicy.Counter("shadow_denied");

    /// <summary>Rules that are named by a prefix; a dot at its end is the one that joins.</summary>
    public static string Scope(string name, string prefix) => prefix.Length == 0 ? name : $"{name}.{prefix.TrimEnd('.')}";
}

/// <summary>The counters of one set of rules, and of each of its policies where they are counted.</summary>
/// <param name="All">Of all of them.</param>
/// <param name="Policies">By index; null where they are not counted.</param>
internal sealed record AccessCounters(StatBlock All, StatBlock[]? Policies)
{
    /// <summary>Adds one.</summary>
    public void Count(int worker, in AccessVerdict verdict)
    {
        // Of either schema the first counter is of those who may.
        All.Shard(worker)[verdict.Allowed ? 0 : 1]++;
        if (Policies is { } policies && verdict.Policy >= 0) policies[verdict.Policy].Shard(worker)[verdict.Allowed ? 0 : 1]++;
    }
}
