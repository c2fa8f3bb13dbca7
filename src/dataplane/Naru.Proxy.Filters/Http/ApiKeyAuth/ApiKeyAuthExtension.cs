// envoy.filters.http.api_key_auth: how keys, their clients and their places are read, in the chain and at routes. No message repeats a key.
using System.Collections.Immutable;
using System.Text;
using Envoy.Extensions.Filters.Http.ApiKeyAuth.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.ApiKeyAuth;

/// <summary>Clients by their keys (Envoy docs: API key auth).</summary>
public sealed class ApiKeyAuthExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.api_key_auth";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.ApiKeyAuth.V3.ApiKeyAuth.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => ApiKeyAuthPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
          + credentials key_sources forwarding
        envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute
          + credentials key_sources allowed_clients forwarding
        envoy.extensions.filters.http.api_key_auth.v3.Credential
          + key client
        envoy.extensions.filters.http.api_key_auth.v3.KeySource
          + header query cookie
        envoy.extensions.filters.http.api_key_auth.v3.Forwarding
          + header hide_credentials

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var auth = (Envoy.Extensions.Filters.Http.ApiKeyAuth.V3.ApiKeyAuth)message;
        // Envoy takes a chain without them, where all routes have their own; a route without would then let nobody in.
        return new ApiKeyConfig(Credentials(scope, auth.Credentials), Sources(scope, auth.KeySources), [], Forward(scope, auth.Forwarding));
    }

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var auth = (ApiKeyAuthPerRoute)message;
        for (int i = 0; i < auth.AllowedClients.Count; i++) Values.Required(scope, $"allowed_clients[{i}]", auth.AllowedClients[i]);
        return new ApiKeyConfig(
            Credentials(scope, auth.Credentials), Sources(scope, auth.KeySources), [.. auth.AllowedClients],
            Forward(scope, auth.Forwarding));
    }

    private static ImmutableArray<ApiCredential> Credentials(Scope scope, RepeatedField<Credential> given)
    {
        var read = ImmutableArray.CreateBuilder<ApiCredential>(given.Count);
        var keys = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < given.Count; i++)
        {
            Scope at = scope.In("credentials", i, given[i]);
            if (!Values.Required(at, "key", given[i].Key) | !Values.Required(at, "client", given[i].Client)) continue;
            if (!keys.Add(given[i].Key))
                at.Error("key", "NARU-C103", "the key is another client's already", "give each client a key of its own");
            if (given[i].Client.AsSpan().IndexOfAny('\r', '\n', '\0') >= 0)
                at.Error("client", "NARU-C108", "\"client\" holds a line end or NUL");
            read.Add(new ApiCredential(given[i].Key, given[i].Client));
        }
        return read.ToImmutable();
    }

    private static ImmutableArray<ApiKeySource> Sources(Scope scope, RepeatedField<KeySource> given)
    {
        var read = ImmutableArray.CreateBuilder<ApiKeySource>(given.Count);
        for (int i = 0; i < given.Count; i++)
        {
            KeySource source = given[i];
            Scope at = scope.In("key_sources", i, source);
            int said = (source.Header.Length > 0 ? 1 : 0) + (source.Query.Length > 0 ? 1 : 0) + (source.Cookie.Length > 0 ? 1 : 0);
            if (said != 1)
            {
                at.Error("", said == 0 ? "NARU-C101" : "NARU-C113", "a source of keys is one place",
                    "write header, query or cookie, and further ones as sources of their own");
                continue;
            }
            string header = source.Header.ToLowerInvariant();
            if (header.Length > 0 && !Values.OwnHeader(at, "header", header)) continue;
            if (source.Cookie.Length > 0 && !Values.CookieName(at, "cookie", source.Cookie)) continue;
            read.Add(header.Length > 0 ? new ApiKeySource(ApiKeyPlace.Header, header)
                : source.Query.Length > 0 ? new ApiKeySource(ApiKeyPlace.Query, source.Query)
                : new ApiKeySource(ApiKeyPlace.Cookie, source.Cookie));
        }
        return read.ToImmutable();
    }

    private static ApiForwardConfig Forward(Scope scope, Forwarding? given)
    {
        if (given is null) return new ApiForwardConfig("", false);
        Scope at = scope.In("forwarding", given);
        string header = given.Header.ToLowerInvariant();
        if (header.Length > 0 && !Values.OwnHeader(at, "header", header)) header = "";
        return new ApiForwardConfig(header, given.HideCredentials);
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new ApiKeyAuthFilter((ApiKeyConfig)settings, context);

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => settings;
}

/// <summary>A key, and whose it is.</summary>
internal sealed record ApiCredential(string Key, string Client);

/// <summary>Where keys stand.</summary>
internal enum ApiKeyPlace : byte
{
    /// <summary>A header, behind <c>Bearer</c> or alone.</summary>
    Header,
    /// <summary>A parameter of the query.</summary>
    Query,
    /// <summary>A cookie.</summary>
    Cookie,
}

/// <summary>One place.</summary>
/// <param name="Place">What.</param>
/// <param name="Name">A header's in lower case.</param>
internal sealed record ApiKeySource(ApiKeyPlace Place, string Name)
{
    public byte[] NameBytes { get; } = Encoding.UTF8.GetBytes(Name);
}

/// <summary>What goes on.</summary>
/// <param name="Header">Tells the client's name; lower case, empty tells nobody.</param>
/// <param name="HidesKey">The key is taken out.</param>
internal sealed record ApiForwardConfig(string Header, bool HidesKey);

/// <summary>What the chain or a route says. At a route empty credentials and sources are the chain's; what goes on is the route's alone, as
/// in Envoy.</summary>
/// <param name="Credentials">Keys.</param>
/// <param name="Sources">Where they stand, in order.</param>
/// <param name="Allowed">Clients that a route is for; empty is all.</param>
/// <param name="Forward">What goes on.</param>
internal sealed record ApiKeyConfig(
    ImmutableArray<ApiCredential> Credentials, ImmutableArray<ApiKeySource> Sources, ImmutableArray<string> Allowed,
    ApiForwardConfig Forward);
