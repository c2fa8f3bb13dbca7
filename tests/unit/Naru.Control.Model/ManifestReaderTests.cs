// What is wrong with a manifest is said by code, line and name; what is right beside it is used all the same.
using Naru.Control.Model;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed class ManifestReaderTests
{
    private const string VirtualService = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n";
    private const string Rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x}\nspec:\n";
    private const string Gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: x}\nspec:\n";
    private const string Entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: x}\nspec:\n";
    private const string Service = "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec:\n";
    private const string Deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n";

    [Theory]
    [InlineData("just text", "NARU-C200", 1)]
    [InlineData("- a\n- b", "NARU-C200", 1)]
    [InlineData("kind: Service\nmetadata: {name: x}", "NARU-C200", 1)]
    [InlineData("apiVersion: v1\nmetadata: {name: x}", "NARU-C200", 1)]
    [InlineData("apiVersion: v1\nkind: List", "NARU-C200", 1)]
    [InlineData("apiVersion: networking.istio.io/v1\nkind: VirtualServce\nmetadata: {name: x}", "NARU-C202", 2)]
    [InlineData("apiVersion: networking.istio.io/v2\nkind: VirtualService\nmetadata: {name: x}", "NARU-C202", 1)]
    [InlineData("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: x}", "NARU-C202", 1)]
    [InlineData("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: x}\nspec: {}", "NARU-C520", 4)]
    [InlineData("apiVersion: v1\nkind: Namespace", "NARU-C203", 1)]
    [InlineData("apiVersion: v1\nkind: Namespace\nmetadata: {labels: {a: b}}", "NARU-C203", 3)]
    [InlineData("apiVersion: v1\nkind: Namespace\nmetadata: {name: ../../etc/passwd}", "NARU-C203", 3)]
    [InlineData("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x, namespace: A_B}", "NARU-C203", 3)]
    [InlineData("apiVersion: v1\nkind: Namespace\nmetadata: {nmae: x, name: y}", "NARU-C211", 3)]
    [InlineData("apiVersion: v1\nkind: Namespace\nmetadata: {name: x}\nspce: {}", "NARU-C211", 4)]
    [InlineData("apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: [a]}", "NARU-C210", 3)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - rote: []", "NARU-C010", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - match: [{headers: {'@request.auth.claims[]': {}}}]\n    route: [{destination: {host: a}}]", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  tcp: []\n  http:\n  - route: [{destination: {host: a}}]", "NARU-C201", 6)]
    [InlineData(VirtualService + "  hosts: a\n  http:\n  - route: [{destination: {host: a}}]", "NARU-C011", 5)]
    [InlineData(VirtualService + "  hosts: [a]", "NARU-C204", 5)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - name: n", "NARU-C204", 7)]
    [InlineData(VirtualService + "  hosts:\n  - a\n  - 'b c'\n  http:\n  - route: [{destination: {host: a}}]", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: ['*']\n  http:\n  - route: [{destination: {host: a}}]", "NARU-C206", 5)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route: [{destination: {}}]", "NARU-C204", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n      weight: -1", "NARU-C205", 9)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}, {destination: {host: b}}]", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    headers: {request: {set: {x-share: \"100%\"}}}", "NARU-C205", 8)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    headers: {response: {set: {Host: x}}}", "NARU-C205", 8)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    rewrite: {authority: \"a b\"}", "NARU-C205", 8)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    rewrite: {uriRegexRewrite: {match: \"/a\", rewrite: '/\\1'}}", "NARU-C208", 8)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - match: [{uri: {regex: \"a{1001}\"}}]\n    route: [{destination: {host: a}}]", "NARU-C208", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}, weight: 2147483647}, {destination: {host: b}, weight: 2147483647}, {destination: {host: c}, weight: 2}]", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    redirect: {uri: /}", "NARU-C206", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - redirect: {uri: /x, redirectCode: 200}", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - directResponse: {status: 99}", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - match: [{uri: {regex: '(a'}}]\n    route: [{destination: {host: a}}]", "NARU-C208", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - match: [{uri: {regex: '(a)\\1'}}]\n    route: [{destination: {host: a}}]", "NARU-C208", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - match: [{uri: {exact: /, prefix: /}}]\n    route: [{destination: {host: a}}]", "NARU-C013", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - match: [{uri: {}}]\n    route: [{destination: {host: a}}]", "NARU-C204", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - match: [{headers: {'a b': {exact: c}}}]\n    route: [{destination: {host: a}}]", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - retries: {attempts: 2, retryOn: conect-failure}\n    route: [{destination: {host: a}}]", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - timeout: 5\n    route: [{destination: {host: a}}]", "NARU-C011", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - headers: {request: {set: {x: \"a\\r\\nb: c\"}}}\n    route: [{destination: {host: a}}]", "NARU-C205", 7)]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - headers: {request: {add: {':path': x}}}\n    route: [{destination: {host: a}}]", "NARU-C205", 7)]
    [InlineData(Rule + "  subsets: []", "NARU-C204", 5)]
    [InlineData(Rule + "  host: a\n  trafficPolicy: {tls: {mode: DISABLE}}", "NARU-C520", 6)]
    [InlineData(Rule + "  host: a\n  trafficPolicy: {loadBalancer: {simple: FASTEST}}", "NARU-C012", 6)]
    [InlineData(Rule + "  host: a\n  trafficPolicy: {loadBalancer: {localityLbSetting: {failoverPriority: [a]}}}", "NARU-C201", 6)]
    [InlineData(Rule + "  host: a\n  subsets: [{name: v1}, {name: v1}]", "NARU-C206", 6)]
    [InlineData(Rule + "  host: a\n  trafficPolicy: {connectionPool: {tcp: {connectTimeout: 0s}}}", "NARU-C205", 6)]
    [InlineData(Gateway + "  servers: []", "NARU-C204", 5)]
    [InlineData(Gateway + "  servers:\n  - port: {number: 0, protocol: HTTP}\n    hosts: ['*']", "NARU-C205", 6)]
    [InlineData(Gateway + "  servers:\n  - port: {number: 80, protocol: HTPP}\n    hosts: ['*']", "NARU-C205", 6)]
    [InlineData(Gateway + "  servers:\n  - port: {number: 443, protocol: HTTPS}\n    hosts: ['*']", "NARU-C204", 6)]
    [InlineData(Gateway + "  servers:\n  - port: {number: 80, protocol: HTTP}\n    hosts: ['a..b']", "NARU-C205", 7)]
    [InlineData(Entry + "  hosts: [a.b]\n  ports: [{number: 80, name: http, protocol: HTTP}]", "NARU-C201", 5)]
    [InlineData(Entry + "  hosts: [a.b]\n  resolution: STATIC\n  ports: [{number: 80, name: http}]\n  endpoints: [{address: c.d}]", "NARU-C205", 8)]
    [InlineData(Entry + "  hosts: [a.b]\n  resolution: STATIC\n  ports: [{number: 80, name: http}]\n  endpoints: [{address: 10.0.0.1, ports: {htpp: 1}}]", "NARU-C205", 8)]
    [InlineData(Entry + "  hosts: ['*.b']\n  resolution: DNS\n  ports: [{number: 80, name: http}]", "NARU-C206", 5)]
    [InlineData(Service + "  selector: {a: b}", "NARU-C204", 5)]
    [InlineData(Service + "  selectr: {a: b}\n  ports: [{port: 80}]", "NARU-C211", 5)]
    [InlineData(Service + "  ports: [{port: 80}, {port: 81, name: b}]", "NARU-C204", 5)]
    [InlineData(Service + "  ports: [{port: 80, name: a}, {port: 80, name: b}]", "NARU-C206", 5)]
    [InlineData(Service + "  type: ClusterIp\n  ports: [{port: 80}]", "NARU-C205", 5)]
    [InlineData(Service + "  clusterIP: nowhere\n  ports: [{port: 80}]", "NARU-C205", 5)]
    [InlineData(Deployment + "  selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: c}}}", "NARU-C206", 6)]
    [InlineData(Deployment + "  replicas: many\n  template: {}", "NARU-C205", 5)]
    public void A_fault_is_named_by_code_and_line(string yaml, string code, int line)
    {
        Manifest manifest = ManifestReader.Read(yaml, "f.yaml");
        Diagnostic fault = Assert.Single(manifest.AllDiagnostics, d => d.Code == code);
        Assert.Equal(Severity.Error, fault.Severity);
        Assert.Equal("f.yaml", fault.Place.File);
        Assert.Equal(line, fault.Place.Line);
        Assert.All(manifest.Items, i => Assert.Null(i.Object));
    }

    [Theory]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - rote: []", "did you mean \"route\"?")]
    [InlineData("apiVersion: v1\nkind: Servce\nmetadata: {name: x}", "did you mean \"Service\"?")]
    [InlineData(Service + "  selectr: {a: b}\n  ports: [{port: 80}]", "did you mean \"selector\"?")]
    [InlineData(VirtualService + "  hosts: [a]\n  http:\n  - retries: {attempts: 2, retryOn: conect-failure}\n    route: [{destination: {host: a}}]", "did you mean \"connect-failure\"?")]
    public void A_misspelt_name_gets_its_nearest(string yaml, string remedy) =>
        Assert.Contains(ManifestReader.Read(yaml, null).AllDiagnostics, d => d.Remedy == remedy);

    [Fact]
    public void Every_fault_of_an_object_is_said_not_only_the_first()
    {
        Manifest manifest = ManifestReader.Read(VirtualService + """
              hosts: ["a b"]
              http:
              - fault: {delay: {fixedDelay: 1s, exponentialDelay: 1s}}
                match: [{uri: {regex: "("}}]
                route: [{destination: {host: a}, weight: -1}]
            """, "f.yaml");
        Assert.Equal(["NARU-C201", "NARU-C205", "NARU-C205", "NARU-C208"], manifest.AllDiagnostics.Select(d => d.Code).Order());
        Assert.All(manifest.AllDiagnostics, d => Assert.Equal("VirtualService default/x", d.Subject));
    }

    [Fact]
    public void A_broken_object_does_not_take_others_along()
    {
        Manifest manifest = ManifestReader.Read(Service + "  ports: [{port: 80}]\n---\n" + VirtualService + "  hosts: [a]\n---\n" + Rule + "  host: a\n", null);
        Assert.Equal([true, false, true], manifest.Items.Select(i => i.Object is not null));
    }

    [Fact]
    public void A_list_is_unfolded()
    {
        Manifest manifest = ManifestReader.Read("""{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}},{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"b"}}]}""", null);
        Assert.Equal(["Namespace a", "ServiceAccount default/b"], manifest.Items.Select(i => i.Object!.Key.ToString()));
    }

    [Fact]
    public void Kinds_that_only_a_cluster_needs_are_information()
    {
        ManifestItem item = Assert.Single(ManifestReader.Read("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}", null).Items);
        Assert.Equal((Severity.Info, "NARU-C209"), (item.Diagnostics[0].Severity, item.Diagnostics[0].Code));
        Assert.False(item.IsBroken);
    }

    [Theory]
    [InlineData("networking.istio.io/v1")]
    [InlineData("networking.istio.io/v1beta1")]
    [InlineData("networking.istio.io/v1alpha3")]
    public void All_versions_of_the_group_are_one_kind(string version)
    {
        string yaml = VirtualService.Replace("networking.istio.io/v1", version, StringComparison.Ordinal) + "  hosts: [a]\n  http: [{route: [{destination: {host: a}}]}]";
        Assert.NotNull(Assert.Single(ManifestReader.Read(yaml, null).Items).Object);
    }

    [Theory]
    [InlineData("a: b: c")]
    [InlineData("\t- x")]
    [InlineData("apiVersion: v1\nkind: [")]
    [InlineData("\"\\u0000\"")]
    [InlineData("a: &a [*a]")]
    [InlineData("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]")]
    public void Hostile_YAML_is_a_diagnostic(string yaml)
    {
        Manifest manifest = ManifestReader.Read(yaml, "f.yaml");
        Assert.Contains(manifest.AllDiagnostics, d => d.Severity == Severity.Error);
        Assert.All(manifest.Items, i => Assert.Null(i.Object));
    }

    [Fact]
    public void Deep_nesting_is_a_diagnostic()
    {
        Manifest manifest = ManifestReader.Read(new string('[', 5000), "f.yaml");
        Assert.Contains(manifest.AllDiagnostics, d => d.Severity == Severity.Error);
    }

    [Fact]
    public void The_object_keeps_its_words_as_JSON()
    {
        ConfigObject item = ManifestReader.Read("apiVersion: v1\nkind: Namespace\nmetadata: {name: x, labels: {n: '1', m: \"true\"}, generation: 3, annotations: {v: 007}}", null).Items[0].Object!;
        Assert.Equal("""{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x","labels":{"n":"1","m":"true"},"generation":3,"annotations":{"v":"007"}}}""", item.Json);
    }
}
