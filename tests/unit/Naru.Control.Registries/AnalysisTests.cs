// What objects mean together: everything that attaches to nothing, or can never be reached, is said once, with its place.
using Naru.Control.Model;
using Naru.Control.Registries;
using Naru.Control.Sources;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed class AnalysisTests
{
    private const string Mesh = """
        apiVersion: v1
        kind: Service
        metadata: {name: reviews}
        spec: {selector: {app: reviews}, ports: [{port: 9080, name: http}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: ratings, namespace: other}
        spec: {selector: {app: ratings}, ports: [{port: 9080, name: http}]}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: reviews-v1}
        spec: {selector: {matchLabels: {app: reviews}}, template: {metadata: {labels: {app: reviews, version: v1}}}}
        ---
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: gw, namespace: istio-system}
        spec: {selector: {matchLabels: {istio: ingressgateway}}, template: {metadata: {labels: {istio: ingressgateway}}}}
        ---
        apiVersion: networking.istio.io/v1
        kind: Gateway
        metadata: {name: gate}
        spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, protocol: HTTP, name: http}, hosts: [shop.example.com]}]}
        ---
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: reviews}
        spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
        ---

        """;

    private static string VirtualService(string spec, string name = "x") => $"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\nspec: {spec}\n";

    private static List<Diagnostic> Check(string yaml)
    {
        Manifest manifest = ManifestReader.Read(Mesh + yaml, "f.yaml");
        Assert.DoesNotContain(manifest.AllDiagnostics, d => d.Severity == Severity.Error);
        var state = new ConfigState { Objects = System.Collections.Immutable.ImmutableSortedDictionary.CreateRange(manifest.Items.Select(i => KeyValuePair.Create(i.Object!.Key, i.Object!))) };
        return [.. Registry.Build(state, Snapshot.Empty).Diagnostics];
    }

    [Fact]
    public void A_mesh_in_order_has_nothing_to_say() =>
        Assert.Empty(Check(VirtualService("{hosts: [reviews], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews, subset: v1}}]}, {route: [{destination: {host: ratings.other}}]}]}")));

    [Theory]
    [InlineData("{hosts: [shop.example.com], gateways: [gaet], http: [{route: [{destination: {host: reviews}}]}]}", "NARU-C220", "gate")]
    [InlineData("{hosts: [shop.example.com], gateways: [other/gate], http: [{route: [{destination: {host: reviews}}]}]}", "NARU-C220", null)]
    [InlineData("{hosts: [shop.example.com], gateways: [gate], http: [{match: [{gateways: [mesh]}], route: [{destination: {host: reviews}}]}]}", "NARU-C220", null)]
    [InlineData("{hosts: [blog.example.com], gateways: [gate], http: [{route: [{destination: {host: reviews}}]}]}", "NARU-C228", null)]
    [InlineData("{hosts: [reveiws], http: [{route: [{destination: {host: reviews}}]}]}", "NARU-C221", "reviews.default.svc.cluster.local")]
    [InlineData("{hosts: [reviews], http: [{route: [{destination: {host: ratings}}]}]}", "NARU-C222", "ratings.other.svc.cluster.local")]
    [InlineData("{hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v9}}]}]}", "NARU-C223", null)]
    [InlineData("{hosts: [ratings.other], http: [{route: [{destination: {host: ratings.other, subset: v1}}]}]}", "NARU-C223", null)]
    [InlineData("{hosts: [reviews], http: [{route: [{destination: {host: reviews, port: {number: 80}}}]}]}", "NARU-C231", null)]
    [InlineData("{hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}, {match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews}}]}]}", "NARU-C224", null)]
    [InlineData("{hosts: [reviews], http: [{match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews}}]}, {match: [{uri: {prefix: /a}}], route: [{destination: {host: reviews}}]}]}", "NARU-C224", null)]
    [InlineData("{hosts: [reviews], http: [{route: [{destination: {host: reviews}, weight: 0}, {destination: {host: reviews, subset: v1}, weight: 1}]}]}", "NARU-C227", null)]
    [InlineData("{hosts: [reviews], http: [{fault: {delay: {fixedDelay: 1s}}, route: [{destination: {host: reviews}}]}]}", "NARU-C238",
        null)]
    [InlineData("{hosts: [reviews], http: [{fault: {abort: {httpStatus: 500}}, route: [{destination: {host: reviews}}]}]}", "NARU-C238",
        null)]
    [InlineData("{hosts: [reviews], http: [{mirror: {host: ratings}, route: [{destination: {host: reviews}}]}]}", "NARU-C222",
        "ratings.other.svc.cluster.local")]
    [InlineData("{hosts: [reviews], http: [{mirrors: [{destination: {host: reviews, subset: v2}}], route: [{destination: {host: reviews}}]}]}", "NARU-C223", null)]
    [InlineData("{http: [{route: [{destination: {host: reviews}}]}]}", "NARU-C237", null)]
    public void What_attaches_to_nothing_is_said(string spec, string code, string? nearest)
    {
        Diagnostic found = Assert.Single(Check(VirtualService(spec)));
        Assert.Equal(code, found.Code);
        Assert.NotEqual(Severity.Error, found.Severity);
        Assert.Equal("VirtualService default/x", found.Subject);
        Assert.True(found.Place.Line > Mesh.Count(c => c == '\n'));
        if (nearest is not null) Assert.Contains(nearest, found.Remedy);
    }

    [Fact]
    public void Two_rules_for_one_host_of_the_mesh_are_said()
    {
        string spec = "{hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}";
        Diagnostic found = Assert.Single(Check(VirtualService(spec, "a") + "---\n" + VirtualService(spec, "b")));
        Assert.Equal(("NARU-C225", "VirtualService default/b"), (found.Code, found.Subject));
    }

    [Theory]
    [InlineData("Gateway", "{selector: {istio: nowhere}, servers: [{port: {number: 80, protocol: HTTP, name: h}, hosts: ['*']}]}", "NARU-C226")]
    [InlineData("DestinationRule", "{host: reveiws}", "NARU-C229")]
    [InlineData("DestinationRule", "{host: reviews.default.svc.cluster.local, subsets: [{name: v1, labels: {version: v1}}]}", "NARU-C234")]
    [InlineData("DestinationRule", "{host: '*.default.svc.cluster.local', subsets: [{name: v9, labels: {version: v9}}]}", "NARU-C230")]
    [InlineData("ServiceEntry", "{hosts: [reviews.default.svc.cluster.local], resolution: DNS, ports: [{number: 80, name: http}]}", "NARU-C236")]
    public void Other_kinds_too(string kind, string spec, string code) =>
        Assert.Equal(code, Assert.Single(Check($"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n")).Code);
}
