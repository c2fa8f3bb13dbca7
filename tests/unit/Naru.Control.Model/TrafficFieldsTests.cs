// Faults, copies, cross-origin rules, delegates, outliers and pools: what Istio's webhook refuses is refused by code, line and name, and
// older spellings mean what they meant.
using Naru.Control.Model;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed class TrafficFieldsTests
{
    private const string Route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n    ";
    private const string Redirect = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  hosts: [a]\n  http:\n  - redirect: {uri: /b}\n    ";
    private const string Delegated = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  hosts: [a]\n  http:\n  - delegate: {name: b}\n    ";
    private const string Rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x}\nspec:\n  host: a\n  trafficPolicy:\n    ";

    [Theory]
    [InlineData(Route + "fault: {}", "NARU-C204", 8, "neither delay nor abort")]
    [InlineData(Route + "fault: {abort: {percentage: {value: 10}}}", "NARU-C204", 8, "says no status")]
    [InlineData(Route + "fault: {abort: {httpStatus: 199}}", "NARU-C205", 8, "between 200 and 599")]
    [InlineData(Route + "fault: {abort: {httpStatus: 600}}", "NARU-C205", 8, "between 200 and 599")]
    [InlineData(Route + "fault: {abort: {grpcStatus: UNAVAILBLE}}", "NARU-C205", 8, "no status of gRPC")]
    [InlineData(Route + "fault: {abort: {httpStatus: 500, grpcStatus: INTERNAL}}", "NARU-C013", 8, "")]
    [InlineData(Route + "fault: {abort: {http2Error: REFUSED_STREAM}}", "NARU-C201", 8, "http2Error is not supported yet")]
    [InlineData(Route + "fault:\n      abort:\n        httpStatus: 500\n        percentage: {value: 100.1}", "NARU-C205", 11,
        "not between 0 and 100")]
    [InlineData(Route + "fault: {abort: {httpStatus: 500, percentage: {value: -1}}}", "NARU-C205", 8, "not between 0 and 100")]
    [InlineData(Route + "fault: {abort: {httpStatus: 500, percentage: {value: 0.00001}}}", "NARU-C205", 8, "less than 0.0001")]
    [InlineData(Route + "fault: {abort: {httpStatus: 500, percent: 101}}", "NARU-C205", 8, "not between 0 and 100")]
    [InlineData(Route + "fault: {delay: {percentage: {value: 10}}}", "NARU-C204", 8, "fixedDelay is missing")]
    [InlineData(Route + "fault: {delay: {fixedDelay: 0s}}", "NARU-C205", 8, "at least 1ms")]
    [InlineData(Route + "fault: {delay: {exponentialDelay: 1s}}", "NARU-C201", 8, "exponentialDelay is not supported yet")]
    [InlineData(Route + "fault: {delay: {fixedDelay: 1s, percent: -1}}", "NARU-C205", 8, "not between 0 and 100")]
    [InlineData(Redirect + "fault: {delay: {fixedDelay: 1s}}", "NARU-C206", 8, "cannot go with a redirect")]
    [InlineData(Route + "mirror: {subset: v2}", "NARU-C204", 8, "mirror.host is missing")]
    [InlineData(Route + "mirror: {host: 'b c'}", "NARU-C205", 8, "is no host")]
    [InlineData(Route + "mirror: {host: b, port: {number: 65536}}", "NARU-C205", 8, "between 1 and 65535")]
    [InlineData(Route + "mirrorPercentage: {value: 10}", "NARU-C206", 8, "needs a mirror")]
    [InlineData(Route + "mirrorPercent: 10", "NARU-C206", 8, "needs a mirror")]
    [InlineData(Route + "mirror: {host: b}\n    mirrorPercent: 101", "NARU-C205", 9, "more than 100")]
    [InlineData(Route + "mirror: {host: b}\n    mirrorPercentage: {value: 101}", "NARU-C205", 9, "not between 0 and 100")]
    [InlineData(Route + "mirror: {host: b}\n    mirrors: [{destination: {host: c}}]", "NARU-C206", 9, "exclude each other")]
    [InlineData(Route + "mirrors: [{percentage: {value: 1}}]", "NARU-C204", 8, "mirrors[0].destination.host is missing")]
    [InlineData(Route + "mirrors: [{destination: {host: b}, percentage: {value: 200}}]", "NARU-C205", 8, "not between 0 and 100")]
    [InlineData(Redirect + "mirror: {host: b}", "NARU-C206", 8, "needs a route")]
    [InlineData(Route + "corsPolicy: {allowOrigins: [{}]}", "NARU-C204", 8, "exact, prefix or regex")]
    [InlineData(Route + "corsPolicy: {allowOrigins: [{regex: '('}]}", "NARU-C208", 8, "")]
    [InlineData(Route + "corsPolicy: {allowMethods: [GTE]}", "NARU-C205", 8, "is no method")]
    [InlineData(Route + "corsPolicy: {allowHeaders: ['a b']}", "NARU-C205", 8, "is no header name")]
    [InlineData(Route + "corsPolicy: {exposeHeaders: [':path']}", "NARU-C205", 8, "is no header name")]
    [InlineData(Route + "corsPolicy: {maxAge: 1.5s}", "NARU-C205", 8, "whole seconds")]
    [InlineData(Route + "corsPolicy: {maxAge: -1s}", "NARU-C205", 8, "whole seconds")]
    [InlineData(Route + "corsPolicy: {unmatchedPreflights: MAYBE}", "NARU-C012", 8, "")]
    [InlineData(Route + "appendHeaders: {content-length: '1'}", "NARU-C205", 7, "no header that may be changed")]
    [InlineData(Route + "appendResponseHeaders: {x-a: \"b\\r\\nc: d\"}", "NARU-C205", 7, "line break")]
    [InlineData(Route + "delegate: {name: b}", "NARU-C206", 7, "more than one of")]
    [InlineData(Delegated + "timeout: -1s", "NARU-C205", 8, "timeout")]
    [InlineData("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  hosts: [a]\n  http:\n  - delegate: {namespace: b}", "NARU-C204", 7, "delegate.name is missing")]
    [InlineData("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  gateways: [g]\n  http:\n  - route: [{destination: {host: a}}]", "NARU-C206", 5, "add spec.hosts")]
    [InlineData("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  http:\n  - delegate: {name: b}",
        "NARU-C206", 6, "has none of its own")]
    [InlineData("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec:\n  hosts: [a]\n  http:\n  - redirect: {uri: /b, prefixRewrite: /c}", "NARU-C206", 7, "exclude each other")]
    [InlineData(Rule + "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}", "NARU-C205", 7, "are not 100 together")]
    [InlineData(Rule + "loadBalancer: {localityLbSetting: {distribute: [{from: a}]}}", "NARU-C204", 7, "needs from and to")]
    [InlineData(Rule + "loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}", "NARU-C205", 7, "needs two regions")]
    [InlineData(Rule + "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}], distribute: [{from: a, to: {b: 100}}]}}", "NARU-C206", 7, "exclude each other")]
    [InlineData(Rule + "retryBudget: {percent: 101}", "NARU-C205", 7, "retryBudget.percent")]
    [InlineData(Rule + "tunnel: {targetHost: 'a b', targetPort: 1}", "NARU-C205", 7, "tunnel.targetHost")]
    [InlineData(Rule + "tunnel: {targetHost: a}", "NARU-C205", 7, "tunnel.targetPort")]
    [InlineData(Rule + "tunnel: {targetHost: a, targetPort: 1, protocol: TRACE}", "NARU-C205", 7, "tunnel.protocol")]
    [InlineData(Rule + "proxyProtocol: {version: V3}", "NARU-C012", 7, "V3")]
    [InlineData(Rule + "connectionPool: {tcp: {maxConnectionDuration: 0s}}", "NARU-C205", 7, "maxConnectionDuration")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {}}", "NARU-C204", 7, "by what requests are told apart")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {useSourceIp: false}}", "NARU-C204", 7, "by what requests are told apart")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {httpHeaderName: 'a b'}}", "NARU-C205", 7, "is no header name")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {httpHeaderName: ''}}", "NARU-C205", 7, "is no header name")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {httpQueryParameterName: ''}}", "NARU-C204", 7, "is empty")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {httpCookie: {ttl: 1s}}}", "NARU-C204", 7, "httpCookie.name is missing")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {httpCookie: {name: a}}}", "NARU-C204", 7, "httpCookie.ttl is missing")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {httpCookie: {name: a, ttl: -1s}}}", "NARU-C205", 7, "ttl is negative")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1024}}}", "NARU-C205", 7, "is no prime")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 5000081}}}", "NARU-C205", 7, "is no prime")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 8388609}}}", "NARU-C205", 7,
        "is more than 8388608")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {useSourceIp: true, minimumRingSize: 8388609}}", "NARU-C205", 7,
        "is more than 8388608")]
    [InlineData(Rule + "loadBalancer: {consistentHash: {httpHeaderName: a, useSourceIp: true}}", "NARU-C013", 7, "")]
    [InlineData(Rule + "loadBalancer: {simple: ROUND_ROBIN, consistentHash: {useSourceIp: true}}", "NARU-C013", 7, "")]
    [InlineData(Rule + "loadBalancer: {warmup: {aggression: 1}}", "NARU-C204", 7, "warmup.duration is missing")]
    [InlineData(Rule + "loadBalancer: {warmup: {duration: 0s}}", "NARU-C205", 7, "at least 1ms")]
    [InlineData(Rule + "loadBalancer: {warmup: {duration: 1s, minimumPercent: 101}}", "NARU-C205", 7, "not between 0 and 100")]
    [InlineData(Rule + "loadBalancer: {warmup: {duration: 1s, aggression: 0.5}}", "NARU-C205", 7, "less than 1")]
    [InlineData(Rule + "loadBalancer: {warmupDurationSecs: 0s}", "NARU-C205", 7, "at least 1ms")]
    [InlineData(Rule + "loadBalancer: {localityLbSetting: {failoverPriority: [a]}}", "NARU-C201",
        7, "failoverPriority is not supported yet")]
    [InlineData(Rule + "outlierDetection: {consecutiveErrors: -1}", "NARU-C205", 7, "is negative")]
    [InlineData(Rule + "outlierDetection: {consecutive5xxErrors: -1}", "NARU-C012", 7, "")]
    [InlineData(Rule + "outlierDetection: {interval: 0s}", "NARU-C205", 7, "at least 1ms")]
    [InlineData(Rule + "outlierDetection: {baseEjectionTime: -5s}", "NARU-C205", 7, "at least 1ms")]
    [InlineData(Rule + "outlierDetection: {maxEjectionPercent: 101}", "NARU-C205", 7, "not between 0 and 100")]
    [InlineData(Rule + "outlierDetection: {minHealthPercent: -1}", "NARU-C205", 7, "not between 0 and 100")]
    [InlineData(Rule + "outlierDetection: {consecutiveLocalOriginFailures: 2}", "NARU-C206", 7, "counts only with")]
    [InlineData(Rule + "portLevelSettings: [{port: {number: 80}, outlierDetection: {maxEjectionPercent: 101}}]", "NARU-C205", 7,
        "portLevelSettings[0].outlierDetection.maxEjectionPercent")]
    [InlineData(Rule + "connectionPool: {tcp: {tcpKeepalive: {time: 0.5s}}}", "NARU-C205", 7, "at least 1s")]
    [InlineData(Rule + "connectionPool: {tcp: {tcpKeepalive: {probes: 128}}}", "NARU-C205", 7, "more than 127")]
    [InlineData(Rule + "connectionPool: {tcp: {idleTimeout: 0s}}", "NARU-C205", 7, "at least 1ms")]
    [InlineData(Rule + "connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}", "NARU-C206", 7, "exclude each other")]
    [InlineData(Rule + "connectionPool: {http: {maxConcurrentStreams: -1}}", "NARU-C205", 7, "is negative")]
    [InlineData(Rule + "connectionPool: {http: {http2KeepAlive: {interval: 5s}}}", "NARU-C204", 7, "needs interval and timeout")]
    public void A_value_that_istio_refuses_is_named_by_code_and_line(string yaml, string code, int line, string words)
    {
        Manifest manifest = ManifestReader.Read(yaml, "f.yaml");
        Diagnostic fault = Assert.Single(manifest.AllDiagnostics, d => d.Severity == Severity.Error);
        Assert.Equal((code, line), (fault.Code, fault.Place.Line));
        Assert.Contains(words, fault.Message + fault.Remedy);
        Assert.All(manifest.Items, i => Assert.Null(i.Object));
    }

    [Theory]
    [InlineData("host: [a", "is no object")]
    [InlineData("{}", "a host or a status, not both")]
    [InlineData("{host: b, status: 200}", "a host or a status, not both")]
    [InlineData("{host: b c}", "is no host")]
    [InlineData("{host: b, body: x}", "its own body")]
    [InlineData("{host: b, port: 0}", "port is no number")]
    [InlineData("{status: 600}", "status is no number from 200 to 599")]
    [InlineData("{status: 200, statuses: [200]}", "from 400 to 599")]
    [InlineData("{status: 200, contentType: \"a\\nb\"}", "contentType")]
    [InlineData("{status: 200, stats: 1}", "unknown field stats")]
    [InlineData("{status: 200, routes: [none]}", "no route is called")]
    public void A_fallback_that_cannot_be_is_refused(string annotation, string words)
    {
        Manifest manifest = ManifestReader.Read(
            $"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: x\n  annotations:\n    naru.dev/fallback: '{annotation}'\n"
            + "spec:\n  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]", "f.yaml");
        Diagnostic fault = Assert.Single(manifest.AllDiagnostics, d => d.Severity == Severity.Error);
        Assert.Equal(("NARU-C205", 6), (fault.Code, fault.Place.Line));
        Assert.Contains(words, fault.Message + fault.Remedy);
    }

    [Fact]
    public void A_fallback_is_for_the_routes_that_it_names_and_that_lead_somewhere()
    {
        Manifest manifest = ManifestReader.Read("""
            apiVersion: networking.istio.io/v1
            kind: VirtualService
            metadata:
              name: x
              annotations: { naru.dev/fallback: '{host: Spare, port: 81, statuses: [500], routes: [one, gone]}' }
            spec:
              hosts: [a]
              http:
              - { name: one, route: [{ destination: { host: a } }] }
              - { name: two, route: [{ destination: { host: a } }] }
              - { name: gone, directResponse: { status: 410 } }
            """, null);
        Assert.Empty(manifest.AllDiagnostics);
        var spec = (VirtualServiceSpec)Assert.Single(manifest.Items).Object!.Spec;
        HttpFallback fallback = Assert.Single(spec.Http, h => h.Fallback is not null).Fallback!;
        Assert.Equal(("one", "spare", 81), (spec.Http.First(h => h.Fallback is not null).Name, fallback.Destination!.Host, fallback.Destination.Port));
        Assert.Equal([500], fallback.Statuses);
    }

    private static HttpRoute Read(string yaml) => Assert.Single(Spec<VirtualServiceSpec>(Route + yaml).Http);

    private static T Spec<T>(string yaml) where T : Spec
    {
        Manifest manifest = ManifestReader.Read(yaml, null);
        Assert.Empty(manifest.AllDiagnostics);
        return Assert.IsType<T>(Assert.Single(manifest.Items).Object!.Spec);
    }

    private static TrafficPolicy Policy(string yaml) => Spec<DestinationRuleSpec>(Rule + yaml).Policy;

    [Theory]
    [InlineData("fault: {delay: {fixedDelay: 1s, percentage: {value: 2.5}}}", 2.5, false)]
    [InlineData("fault: {delay: {fixedDelay: 1s, percent: 7}}", 7, true)]
    [InlineData("fault: {delay: {fixedDelay: 1s, percent: 7, percentage: {value: 0}}}", 0, false)]
    public void The_newer_percentage_of_a_fault_counts_before_the_older(string yaml, double percent, bool whole) =>
        Assert.Equal(new Share(percent, whole), Read(yaml).Fault!.Delay!.Share);

    [Theory]
    [InlineData("mirror: {host: b}", 100, true)]
    [InlineData("mirror: {host: b}\n    mirrorPercent: 0", 0, true)]
    [InlineData("mirror: {host: b}\n    mirrorPercent: 30", 30, true)]
    [InlineData("mirror: {host: b}\n    mirrorPercent: 30\n    mirrorPercentage: {value: 2.5}", 2.5, false)]
    [InlineData("mirrors: [{destination: {host: b}}]", 100, true)]
    [InlineData("mirrors: [{destination: {host: b}, percentage: {value: 2.5}}]", 2.5, false)]
    public void All_spellings_of_a_mirror_say_who_is_copied(string yaml, double percent, bool whole) =>
        Assert.Equal(("b", new Share(percent, whole)), Assert.Single(Read(yaml).Mirrors.Select(m => (m.Destination.Host, m.Share))));

    [Theory]
    [InlineData("OK", 0)]
    [InlineData("UNAVAILABLE", 14)]
    [InlineData("UNAUTHENTICATED", 16)]
    public void A_status_of_gRPC_is_its_number(string name, int number) =>
        Assert.Equal(number, Read($"fault: {{abort: {{grpcStatus: {name}}}}}").Fault!.Abort!.GrpcStatus);

    [Theory]
    [InlineData("corsPolicy: {allowOrigin: [a, b]}", "a b")]
    [InlineData("corsPolicy: {allowOrigin: [a, b], allowOrigins: [{exact: c}]}", "c")]
    public void Old_origins_count_where_there_are_no_new_ones(string yaml, string origins) =>
        Assert.Equal(origins, string.Join(' ', Read(yaml).Cors!.Origins.Select(o => o.Value)));

    [Fact]
    public void Header_fields_of_older_days_mean_what_headers_says()
    {
        HttpRoute old = Read("appendHeaders: {x-a: '1'}\n    appendRequestHeaders: {x-b: '2'}\n    removeRequestHeaders: [x-c]\n    appendResponseHeaders: {x-d: '3'}\n    removeResponseHeaders: [x-e]\n    websocketUpgrade: true");
        HttpRoute now = Read("headers: {request: {add: {x-a: '1', x-b: '2'}, remove: [x-c]}, response: {add: {x-d: '3'}, remove: [x-e]}}");
        Assert.Equal(now.Headers.Request.Add, old.Headers.Request.Add);
        Assert.Equal(now.Headers.Request.Remove, old.Headers.Request.Remove);
        Assert.Equal(now.Headers.Response.Add, old.Headers.Response.Add);
        Assert.Equal(now.Headers.Response.Remove, old.Headers.Response.Remove);
    }

    [Theory]
    [InlineData("outlierDetection: {consecutiveErrors: 3}", null, 3, true)]
    [InlineData("outlierDetection: {consecutiveErrors: 3, consecutive5xxErrors: 4}", 4, null, false)]
    [InlineData("outlierDetection: {consecutiveErrors: 3, consecutiveGatewayErrors: 5}", null, 5, false)]
    [InlineData("outlierDetection: {}", null, null, false)]
    public void The_old_number_of_errors_counts_gateway_errors_where_no_newer_one_stands(string yaml, int? server, int? gateway,
        bool gatewayOnly)
    {
        OutlierRule rule = Policy(yaml).Outliers!;
        Assert.Equal((server, gateway, gatewayOnly), (rule.Consecutive5xx, rule.ConsecutiveGateway, rule.GatewayOnly));
    }
}
