// envoy.filters.http.credential_injector: how its configuration is read. Credentials are secrets, or tokens that a server gives out.
using System.Collections.Immutable;
using Envoy.Extensions.Http.InjectedCredentials.Generic.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Filters.Http.OAuth2;
using ClientGrant = Envoy.Extensions.Http.InjectedCredentials.Oauth2.V3.OAuth2;
using Injector = Envoy.Extensions.Filters.Http.CredentialInjector.V3.CredentialInjector;

namespace Naru.Proxy.Filters.Http.CredentialInjector;

/// <summary>Requests go on with a credential of this workload (Envoy docs: credential injector).</summary>
public sealed class CredentialInjectorExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.credential_injector";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Injector.Descriptor;

    /// <inheritdoc/>
    public override bool MayBeUpstream => true;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.credential_injector.v3.CredentialInjector
          + overwrite allow_request_without_credential credential
        envoy.extensions.http.injected_credentials.generic.v3.Generic
          + credential header
        envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2
          + token_endpoint scopes client_credentials token_fetch_retry_interval
        envoy.extensions.http.injected_credentials.oauth2.v3.OAuth2.ClientCredentials
          + client_id client_secret auth_type

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var given = (Injector)message;
        var config = new CredentialInjectorConfig(given.Overwrite, given.AllowRequestWithoutCredential);
        if (given.Credential is not { } credential)
        {
            scope.Error("credential", "NARU-C101", "\"credential\" is required");
            return config;
        }
        Scope at = scope.In("credential", credential);
        if (credential.TypedConfig is not { } any)
        {
            at.Error("typed_config", "NARU-C101", "\"typed_config\" is required");
            return config;
        }
        string type = EnvoyTypes.NameOf(any);
        if (type == Generic.Descriptor.FullName && at.Pass.Unpack<Generic>(any, at) is { } generic)
        {
            Scope inside = at.In("typed_config", generic);
            FieldWalk.Check(inside);
            string header = generic.Header.Length > 0 ? generic.Header.ToLowerInvariant() : "authorization";
            Values.OwnHeader(inside, "header", header);
            return config with { Header = header, Secret = OAuth2Extension.Secret(inside, "credential", generic.Credential) };
        }
        if (type == ClientGrant.Descriptor.FullName && at.Pass.Unpack<ClientGrant>(any, at) is { } grant)
        {
            Scope inside = at.In("typed_config", grant);
            FieldWalk.Check(inside);
            return Grant(inside, grant, config);
        }
        at.Error("typed_config", "NARU-C112", $"Naru does not know the credential {type}",
            $"give a {Generic.Descriptor.FullName} or {ClientGrant.Descriptor.FullName}");
        return config;
    }

    private static CredentialInjectorConfig Grant(Scope scope, ClientGrant given, CredentialInjectorConfig config)
    {
        HttpServiceConfig? service = CallOuts.Http(scope, "token_endpoint", given.TokenEndpoint);
        TimeSpan again = Values.Time(scope, "token_fetch_retry_interval", given.TokenFetchRetryInterval) ?? TimeSpan.FromSeconds(2);
        if (again < TimeSpan.FromSeconds(1))
            scope.Error("token_fetch_retry_interval", "NARU-C102", "\"token_fetch_retry_interval\" must be at least 1s");
        if (given.ClientCredentials is not { } client)
        {
            scope.Error("client_credentials", "NARU-C101", "\"client_credentials\" is required");
            return config;
        }
        Scope at = scope.In("client_credentials", client);
        FieldWalk.Check(at);
        SecretReferenceConfig? secret = OAuth2Extension.Secret(at, "client_secret", client.ClientSecret);
        if (client.AuthType is not (ClientGrant.Types.AuthType.BasicAuth or ClientGrant.Types.AuthType.UrlEncodedBody))
            at.Error("auth_type", "NARU-C102", $"{(int)client.AuthType} is no auth_type");
        if (!Values.Required(at, "client_id", client.ClientId) || service is null || secret is null) return config;
        ClientAuth auth = client.AuthType == ClientGrant.Types.AuthType.UrlEncodedBody ? ClientAuth.Body : ClientAuth.Basic;
        return config with
        {
            Grant = new TokenGrantConfig(new TokenEndpointConfig(service, client.ClientId, auth, secret), [.. given.Scopes], again),
        };
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) =>
        new CredentialInjectorFilter((CredentialInjectorConfig)settings, context);
}

/// <summary>What the filter is told.</summary>
/// <param name="Overwrites">A client's own header is replaced.</param>
/// <param name="AllowsNone">Requests go on without a credential where there is none.</param>
internal sealed record CredentialInjectorConfig(bool Overwrites, bool AllowsNone) : IHasSecrets
{
    /// <summary>Where it stands, lower case.</summary>
    public string Header { get; init; } = "authorization";

    /// <summary>The secret that is the credential; null where a server gives it out.</summary>
    public SecretReferenceConfig? Secret { get; init; }

    /// <summary>Who gives out tokens.</summary>
    public TokenGrantConfig? Grant { get; init; }

    /// <inheritdoc/>
    public IEnumerable<SecretReferenceConfig> Secrets => (Secret ?? Grant?.Endpoint.Secret) is { } secret ? [secret] : [];
}

/// <summary>A token by client credentials (RFC 6749 4.4).</summary>
/// <param name="Endpoint">Who gives it out.</param>
/// <param name="Scopes">What for.</param>
/// <param name="RetryAfter">Not sooner is asked again after a failure.</param>
internal sealed record TokenGrantConfig(TokenEndpointConfig Endpoint, ImmutableArray<string> Scopes, TimeSpan RetryAfter);
