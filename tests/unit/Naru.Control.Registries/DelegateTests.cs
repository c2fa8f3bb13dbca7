// Routes of a delegate stand where its root names it, as far as one request can meet both; what they leave open is the root's.
using System.Collections.Immutable;
using Naru.Control.Model;
using Naru.Control.Registries;
using Naru.Control.Sources;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed class DelegateTests
{
    private const string Services = """
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: front}
        spec: {ports: [{port: 80, name: http}]}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: web, namespace: team}
        spec: {ports: [{port: 80, name: http}]}
        ---

        """;

    private static Snapshot Build(string root, string part, string exportTo = "'*'")
    {
        Manifest manifest = ManifestReader.Read($"""
            {Services}
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata: {"{"}name: root, namespace: front{"}"}
            spec: {"{"}hosts: [web], http: [{root}]{"}"}
            ---
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata: {"{"}name: part, namespace: team{"}"}
            spec: {"{"}exportTo: [{exportTo}], http: [{part}]{"}"}
            """, "f.yaml");
        Assert.DoesNotContain(manifest.AllDiagnostics, d => d.Severity == Severity.Error);
        var objects = manifest.Items.Select(i => KeyValuePair.Create(i.Object!.Key, i.Object!)).ToImmutableSortedDictionary();
        return Registry.Build(new ConfigState { Objects = objects }, Snapshot.Empty);
    }

    private static ImmutableArray<HttpRoute> Routes(string root, string part) =>
        Assert.Single(Build(root, part).Layout.VirtualServices).Spec.Http;

    private const string To = "delegate: {name: part, namespace: team}";
    private const string Web = "route: [{destination: {host: web}}]";

    [Fact]
    public void Short_names_mean_what_they_mean_where_they_were_written()
    {
        HttpRoute route = Assert.Single(Routes($"{{{To}}}", $"{{{Web}, mirror: {{host: web}}}}"));
        Assert.Equal("web.team.svc.cluster.local", Assert.Single(route.Destinations).Destination.Host);
        Assert.Equal("web.team.svc.cluster.local", Assert.Single(route.Mirrors).Destination.Host);
    }

    [Theory]
    [InlineData("uri: {prefix: /a}", "uri: {prefix: /a/b}", "/a/b")]
    [InlineData("uri: {prefix: /a}", "uri: {exact: /a/b}", "/a/b")]
    [InlineData("uri: {exact: /a}", "uri: {exact: /a}", "/a")]
    [InlineData("uri: {prefix: /a}", "method: {exact: GET}", "/a")]
    [InlineData("uri: {prefix: /a}", "uri: {prefix: /b}", null)]
    [InlineData("uri: {exact: /a}", "uri: {prefix: /a}", null)]
    [InlineData("uri: {prefix: /a/b}", "uri: {prefix: /a}", null)]
    [InlineData("uri: {regex: /a.*}", "uri: {exact: /ab}", null)]
    [InlineData("uri: {prefix: /a}", "uri: {regex: /a.*}", null)]
    [InlineData("uri: {prefix: /a}, headers: {h: {exact: x}}", "headers: {h: {exact: y}}", null)]
    [InlineData("uri: {prefix: /a}, headers: {h: {exact: x}}", "headers: {i: {exact: y}}", "/a")]
    [InlineData("uri: {prefix: /a}, port: 80", "port: 81", null)]
    [InlineData("uri: {prefix: /a}, sourceLabels: {app: x}", "sourceLabels: {app: y}", null)]
    [InlineData("uri: {prefix: /a}, sourceNamespace: x", "sourceNamespace: y", null)]
    [InlineData("uri: {prefix: /a}, ignoreUriCase: true", "uri: {prefix: /a/b}", null)]
    public void The_narrower_match_counts_and_what_contradicts_the_root_is_left_out(string root, string part, string? uri)
    {
        ImmutableArray<HttpRoute> routes = Routes($"{{match: [{{{root}}}], {To}}}", $"{{match: [{{{part}}}], {Web}}}");
        if (uri is null) Assert.Empty(routes);
        else Assert.Equal(uri, Assert.Single(Assert.Single(routes).Matches).Uri!.Value);
    }

    [Fact]
    public void Each_match_of_the_delegate_meets_each_of_the_root_that_it_fits()
    {
        HttpRoute route = Assert.Single(Routes($"{{match: [{{uri: {{prefix: /a}}}}, {{uri: {{prefix: /b}}}}], {To}}}",
            $"{{match: [{{method: {{exact: GET}}}}, {{uri: {{exact: /b/c}}}}], {Web}}}"));
        Assert.Equal(["/a", "/b", "/b/c"], route.Matches.Select(m => m.Uri!.Value));
    }

    [Fact]
    public void A_route_of_which_one_match_fits_nowhere_is_left_out_whole() =>
        Assert.Empty(Routes($"{{match: [{{uri: {{prefix: /a}}}}], {To}}}",
            $"{{match: [{{uri: {{prefix: /a/b}}}}, {{uri: {{prefix: /c}}}}], {Web}}}"));

    [Fact]
    public void What_the_delegate_leaves_open_is_the_roots_and_headers_join()
    {
        string root = $"{{name: r, timeout: 9s, retries: {{attempts: 5}}, fault: {{abort: {{httpStatus: 500, percentage: {{value: 1}}}}}}, headers: {{request: {{set: {{x-a: root, x-b: root}}, remove: [x-r]}}}}, {To}}}";
        ImmutableArray<HttpRoute> routes = Routes(root,
            $"{{name: p, match: [{{uri: {{exact: /}}}}], timeout: 2s, headers: {{request: {{set: {{x-b: part}}, remove: [x-p]}}}}, {Web}}}, {{{Web}}}");
        Assert.Equal(["r-p", "r"], routes.Select(r => r.Name));
        Assert.Equal([2, 9], routes.Select(r => (int)r.Timeout!.Value.TotalSeconds));
        Assert.All(routes, r => Assert.Equal((5, 500), (r.Retries!.Attempts, r.Fault!.Abort!.HttpStatus)));
        Assert.Equal(["x-a=root", "x-b=part"], routes[0].Headers.Request.Set.Select(s => $"{s.Key}={s.Value}"));
        Assert.Equal(["x-r", "x-p"], routes[0].Headers.Request.Remove);
    }

    // Said and nothing is not the same as not said.
    [Fact]
    public void What_the_delegate_switches_off_stays_off()
    {
        string root = "{name: r, timeout: 9s, retries: {attempts: 5, perTryTimeout: 3s}, fault: {abort: {httpStatus: 500, percentage: {value: 100}}}, "
            + $"mirror: {{host: web}}, corsPolicy: {{allowOrigins: [{{exact: a}}], maxAge: 9s}}, {To}}}";
        HttpRoute route = Assert.Single(Routes(root, "{name: p, timeout: 0s, retries: {attempts: 0}, fault: {abort: {httpStatus: 500, percentage: {value: 0}}}, "
            + $"mirror: {{host: web}}, mirrorPercentage: {{value: 0}}, corsPolicy: {{allowOrigins: [{{exact: a}}], maxAge: 0s}}, {Web}}}"));
        Assert.Equal(TimeSpan.Zero, route.Timeout);
        Assert.Equal((0, null), (route.Retries!.Attempts, route.Retries.PerTryTimeout));
        Assert.Equal(0, route.Fault!.Abort!.Share!.Value.Percent);
        Assert.Equal(0, Assert.Single(route.Mirrors).Share.Percent);
        Assert.Equal(TimeSpan.Zero, route.Cors!.MaxAge);
    }

    [Theory]
    [InlineData("delegate: {name: part, namespace: team}", "'.'", "is not exported")]
    [InlineData("delegate: {name: prat, namespace: team}", "'*'", "did you mean \"part\"?")]
    [InlineData("delegate: {name: part}", "'*'", "is not there")]
    [InlineData("delegate: {name: root}", "'*'", "has hosts of its own")]
    public void A_delegate_that_cannot_be_had_is_said_and_its_route_left_out(string to, string exportTo, string words)
    {
        Snapshot snapshot = Build($"{{match: [{{uri: {{prefix: /a}}}}], {to}}}, {{{Web}}}", $"{{{Web}}}", exportTo);
        Assert.Single(Assert.Single(snapshot.Layout.VirtualServices).Spec.Http);
        Assert.Contains(snapshot.Diagnostics, d =>
            d.Code == "NARU-C237" && d.Subject == "VirtualService front/root"
            && (d.Message + d.Remedy).Contains(words, StringComparison.Ordinal));
        Assert.Contains(snapshot.Diagnostics, d => d.Code == "NARU-C237" && d.Subject == "VirtualService team/part");
    }
}
