// envoy.filters.http.basic_auth: how its users are read, in the format of htpasswd. Of its kinds of hashes only {SHA} is one that Envoy
// takes; others are refused by name, and no message says what a line holds.
using System.Collections.Immutable;
using System.Text;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Http.BasicAuth.V3;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Filters.Http.BasicAuth;

/// <summary>Names and passwords (RFC 7617; Envoy docs: basic auth).</summary>
public sealed class BasicAuthExtension : HttpFilterExtension, IHttpFilterKind
{
    private const string Sha = "{SHA}";

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.basic_auth";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.BasicAuth.V3.BasicAuth.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => BasicAuthPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.basic_auth.v3.BasicAuth
          + users forward_username_header authentication_header
        envoy.extensions.filters.http.basic_auth.v3.BasicAuthPerRoute
          + users

        """;

    internal override object Read(Scope scope, IMessage message)
    {
        var auth = (Envoy.Extensions.Filters.Http.BasicAuth.V3.BasicAuth)message;
        string forward = Header(scope, "forward_username_header", auth.ForwardUsernameHeader);
        string header = Header(scope, "authentication_header", auth.AuthenticationHeader);
        return new BasicAuthConfig(Users(scope, auth.Users), forward, header.Length > 0 ? header : "authorization");
    }

    internal override object ReadRoute(Scope scope, IMessage message) =>
        new BasicAuthConfig(Users(scope, ((BasicAuthPerRoute)message).Users), "", "");

    private static string Header(Scope scope, string field, string given)
    {
        string name = given.ToLowerInvariant();
        return name.Length > 0 && Values.OwnHeader(scope, field, name) ? name : "";
    }

    private static ImmutableArray<BasicUser> Users(Scope scope, DataSource? source)
    {
        if (source is null)
        {
            scope.Error("users", "NARU-C101", "\"users\" is required");
            return [];
        }
        Scope at = scope.In("users", source);
        if (Values.Data(at, source) is not { } bytes) return [];
        var users = ImmutableArray.CreateBuilder<BasicUser>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        string[] lines = Encoding.UTF8.GetString(bytes.Span).Split('\n');
        for (int i = 0; i < lines.Length; i++)
        {
            string line = lines[i].TrimEnd('\r').Trim();
            if (line.Length == 0 || line[0] == '#') continue;
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            string name = colon < 0 ? "" : line[..colon], hash = colon < 0 ? "" : line[(colon + 1)..];
            byte[] digest = new byte[20];
            string fault = name.Length == 0 || hash.Length == 0 ? "it is not NAME:HASH"
                : !hash.StartsWith(Sha, StringComparison.Ordinal) ? $"the hash of \"{name}\" is not of the kind {Sha}"
                : hash.Length != Sha.Length + 28 || !Convert.TryFromBase64String(hash[Sha.Length..], digest, out int length) || length != 20
                    ? $"the hash of \"{name}\" is not the base64 of 20 bytes"
                : !names.Add(name) ? $"the name \"{name}\" is there twice" : "";
            if (fault.Length == 0) users.Add(new BasicUser(name, [.. digest]));
            else at.Error("", "NARU-C102", $"line {i + 1} of the users: {fault}", "make lines with htpasswd -s");
        }
        return users.ToImmutable();
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new BasicAuthFilter((BasicAuthConfig)settings, context);

    object IHttpFilterKind.CompileRoute(object settings, FilterContext context) => BasicUsers.Of((BasicAuthConfig)settings);
}

/// <summary>A user.</summary>
/// <param name="Name">Without a colon.</param>
/// <param name="Digest">SHA-1 of the password.</param>
internal sealed record BasicUser(string Name, ImmutableArray<byte> Digest);

/// <summary>What the chain or a route says.</summary>
/// <param name="Users">Who may come in.</param>
/// <param name="ForwardHeader">Tells the name to those behind; lower case, empty tells nobody.</param>
/// <param name="Header">Has name and password; lower case.</param>
internal sealed record BasicAuthConfig(ImmutableArray<BasicUser> Users, string ForwardHeader, string Header);
