// envoy.filters.http.stateful_session: how its configuration is read, in the chain and at routes.
using System.Globalization;
using System.Text;
using Envoy.Extensions.Filters.Http.StatefulSession.V3;
using Envoy.Extensions.Http.StatefulSession.Cookie.V3;
using Envoy.Extensions.Http.StatefulSession.Header.V3;
using Envoy.Type.Http.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.StatefulSession;

/// <summary>Clients that stay with an endpoint, which a cookie or a header names (Envoy docs: stateful session).</summary>
public sealed class StatefulSessionExtension : HttpFilterExtension, IHttpFilterKind
{
    private const string CookieState = "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState";
    private const string HeaderState = "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState";

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.stateful_session";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.StatefulSession.V3.StatefulSession.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => StatefulSessionPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.stateful_session.v3.StatefulSession
          + session_state strict
          ~ stat_prefix: sessions are not counted
        envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute
          + disabled stateful_session
        envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState
          + cookie
        envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState
          + name
        envoy.type.http.v3.Cookie
          + name ttl path attributes
        envoy.type.http.v3.CookieAttribute
          + name value

        """;

    internal override object Read(Scope scope, IMessage message) =>
        Level(scope, (Envoy.Extensions.Filters.Http.StatefulSession.V3.StatefulSession)message);

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var entry = (StatefulSessionPerRoute)message;
        switch (entry.OverrideCase)
        {
            case StatefulSessionPerRoute.OverrideOneofCase.StatefulSession:
                return Level(scope.In("stateful_session", entry.StatefulSession), entry.StatefulSession);
            case StatefulSessionPerRoute.OverrideOneofCase.Disabled:
                Values.Disabled(scope, entry.Disabled);
                break;
            default:
                scope.Error("", "NARU-C101", "the entry neither disables the filter nor configures it",
                    "write disabled: true, or stateful_session: { … }");
                break;
        }
        return SessionLevel.Off;
    }

    // Without a state it does nothing, which routes may change.
    private static SessionLevel Level(Scope scope, Envoy.Extensions.Filters.Http.StatefulSession.V3.StatefulSession session)
    {
        if (session.SessionState is not { } state) return SessionLevel.Off;
        Scope at = scope.In("session_state", state);
        if (state.TypedConfig is not { } any)
        {
            at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return SessionLevel.Off;
        }
        switch (EnvoyTypes.NameOf(any))
        {
            case CookieState when at.Pass.Unpack<CookieBasedSessionState>(any, at) is { } byCookie:
                Scope cookieAt = at.In("typed_config", byCookie);
                FieldWalk.Check(cookieAt);
                if (byCookie.Cookie is { } cookie) return ByCookie(cookieAt.In("cookie", cookie), cookie, session.Strict);
                cookieAt.Error("cookie", "NARU-C101", "\"cookie\" is required");
                break;
            case HeaderState when at.Pass.Unpack<HeaderBasedSessionState>(any, at) is { } byHeader:
                Scope headerAt = at.In("typed_config", byHeader);
                FieldWalk.Check(headerAt);
                string name = byHeader.Name.ToLowerInvariant();
                if (Values.HeaderName(headerAt, "name", name))
                    return new SessionLevel(Encoding.ASCII.GetBytes(name), IsCookie: false, session.Strict);
                break;
            case CookieState or HeaderState: break;
            default:
                at.Error("typed_config", "NARU-C112", $"Naru does not support the session state {EnvoyTypes.NameOf(any)}",
                    "known here: envoy.http.stateful_session.cookie and envoy.http.stateful_session.header");
                break;
        }
        return SessionLevel.Off;
    }

    private static SessionLevel ByCookie(Scope scope, Cookie cookie, bool strict)
    {
        var suffix = new StringBuilder();
        TimeSpan ttl = Values.Time(scope, "ttl", cookie.Ttl) ?? TimeSpan.Zero;
        if (ttl.TotalSeconds >= 1) suffix.Append(CultureInfo.InvariantCulture, $"; Max-Age={(long)ttl.TotalSeconds}");
        if (cookie.Path.Length > 0) suffix.Append("; Path=").Append(cookie.Path);
        if (Values.Required(scope, "name", cookie.Name)) Good(scope, "name", cookie.Name, isName: true);
        Good(scope, "path", cookie.Path, isName: false);
        for (int i = 0; i < cookie.Attributes.Count; i++)
        {
            CookieAttribute attribute = cookie.Attributes[i];
            Scope at = scope.In("attributes", i, attribute);
            if (Values.Required(at, "name", attribute.Name)) Good(at, "name", attribute.Name, isName: true);
            Good(at, "value", attribute.Value, isName: false);
            suffix.Append("; ").Append(attribute.Name);
            if (attribute.Value.Length > 0) suffix.Append('=').Append(attribute.Value);
        }
        return new SessionLevel(Encoding.UTF8.GetBytes(cookie.Name), IsCookie: true, strict)
        {
            Path = Encoding.UTF8.GetBytes(cookie.Path),
            TtlSeconds = (long)ttl.TotalSeconds,
            Suffix = Encoding.UTF8.GetBytes($"{suffix}; HttpOnly"),
        };

        // It would end the cookie, or the line (RFC 6265 4.1.1).
        static void Good(Scope of, string field, string text, bool isName)
        {
            if (!text.Any(c => c is < ' ' or >= (char)127 or ';' || (isName && c is ' ' or '=' or '"' or ','))) return;
            of.Error(field, "NARU-C102", $"\"{field}\" holds a character that no cookie has there");
        }
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new StatefulSessionFilter((SessionLevel)settings);
}

/// <summary>What a level says of sessions.</summary>
/// <param name="Name">Of the cookie or, lower case, of the header; empty where there are no sessions.</param>
/// <param name="IsCookie">Else it is a header.</param>
/// <param name="IsStrict">Nobody but the endpoint that is named will do.</param>
internal sealed record SessionLevel(byte[] Name, bool IsCookie, bool IsStrict)
{
    /// <summary>No sessions.</summary>
    public static SessionLevel Off { get; } = new([], IsCookie: false, IsStrict: false);

    /// <summary>Paths that the cookie is for; empty for all.</summary>
    public byte[] Path { get; init; } = [];

    /// <summary>How long a cookie holds, s; 0 is while the client keeps it.</summary>
    public long TtlSeconds { get; init; }

    /// <summary>What stands behind the cookie's value.</summary>
    public byte[] Suffix { get; init; } = [];

    /// <summary>Whether requests for a path have a session (RFC 6265 5.1.4).</summary>
    public bool IsFor(ReadOnlySpan<byte> path) =>
        Name.Length > 0
            && (Path.Length == 0 || (path.StartsWith(Path) && (path.Length == Path.Length || Path[^1] == '/' || path[Path.Length] == '/')));
}
