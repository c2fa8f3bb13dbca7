// Istio's policies in a whole mesh of real processes: what AuthorizationPolicy and RequestAuthentication say about requests is enforced by
// the sidecars and the gateway; what only certificates could decide is refused.
using System.Net;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

public sealed class PolicyTests(TrafficMesh fixture) : IClassFixture<TrafficMesh>
{
    private const string Head = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n";

    private async Task<HttpStatusCode> StatusAsync(string url, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, url);
        foreach ((string name, string value) in headers) request.Headers.Add(name, value);
        using HttpResponseMessage answer = await fixture.Http.SendAsync(request);
        return answer.StatusCode;
    }

    [Fact]
    public async Task A_policy_on_requests_is_enforced_and_goes_again()
    {
        const string Url = "http://ratings:9080/ratings/0";
        using var folder = new TempFolder("naru-policy-");
        string file = folder.Write("policy.yaml", Head + """
            metadata: { name: no-guests }
            spec:
              selector: { matchLabels: { app: ratings } }
              action: DENY
              rules: [ { to: [ { operation: { paths: [ "/ratings/*" ] } } ], when: [ { key: "request.headers[x-guest]", values: [ "*" ] } ] } ]
            ---
            apiVersion: security.istio.io/v1
            kind: RequestAuthentication
            metadata: { name: tokens }
            spec:
              selector: { matchLabels: { app: ratings } }
              jwtRules: [ { issuer: https://login.example.com, jwks: '{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}' } ]
            """);
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(Url, ("x-guest", "1")));
        ProcessResult applied = await fixture.Mesh.NaruAsync("apply", "-f", file);
        Assert.True(applied.ExitCode == 0, applied.All);
        await Waiting.UntilAsync(async () => await StatusAsync(Url, ("x-guest", "1")) == HttpStatusCode.Forbidden,
            "the policy is enforced");
        Assert.Equal(HttpStatusCode.OK, await StatusAsync(Url));
        await Waiting.UntilAsync(async () =>
            await StatusAsync(Url, ("authorization", "Bearer e30.e30.e30")) == HttpStatusCode.Unauthorized, "a bad token is refused");
        ProcessResult gone = await fixture.Mesh.NaruAsync("delete", "-f", file);
        Assert.True(gone.ExitCode == 0, gone.All);
        await Waiting.UntilAsync(async () => await StatusAsync(Url, ("x-guest", "1")) == HttpStatusCode.OK, "the policy is gone");
    }

    [Fact]
    public async Task A_policy_that_only_certificates_could_enforce_is_refused()
    {
        using var folder = new TempFolder("naru-policy-");
        string file = folder.Write("policy.yaml",
            Head + "metadata: { name: who }\nspec: { rules: [ { from: [ { source: { namespaces: [ default ] } } ] } ] }\n");
        ProcessResult applied = await fixture.Mesh.NaruAsync("apply", "-f", file);
        Assert.NotEqual(0, applied.ExitCode);
        Assert.Contains("NARU-C520", applied.All, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_rule_that_a_proxy_would_refuse_with_its_listener_is_refused_before()
    {
        using var folder = new TempFolder("naru-policy-");
        string file = folder.Write("tokens.yaml", """
            apiVersion: security.istio.io/v1
            kind: RequestAuthentication
            metadata: { name: tokens }
            spec:
              jwtRules: [ { issuer: https://login.example.com, jwks: '{"keys":[{"kty":"oct","k":"YQ"}]}' } ]
            """);
        ProcessResult applied = await fixture.Mesh.NaruAsync("apply", "-f", file);
        Assert.NotEqual(0, applied.ExitCode);
        Assert.Contains("NARU-C522", applied.All, StringComparison.Ordinal);
        Assert.Contains("spec.jwtRules[0].jwks", applied.All, StringComparison.Ordinal);
    }
}
