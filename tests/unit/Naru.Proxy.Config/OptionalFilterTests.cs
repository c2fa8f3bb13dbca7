// What is_optional may leave out: only filters that nobody has heard of, and never without a word.
using Envoy.Config.Listener.V3;
using Envoy.Extensions.Filters.Network.HttpConnectionManager.V3;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Proxy.Config;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class OptionalFilterTests
{
    private const string Manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    private const string Router = "{ name: r, typed_config: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router } }";

    /// <summary>Types and names of filters that guard something, in the spelling of all their times.</summary>
    public static TheoryData<string> Guards =>
    [
        "envoy.extensions.filters.http.aws_lambda.v3.Config",
        "envoy.extensions.filters.http.gcp_authn.v3.GcpAuthnFilterConfig",
        "envoy.extensions.filters.http.wasm.v3.Wasm",
        "envoy.extensions.filters.http.golang.v3alpha.Config",
        "istio.envoy.config.filter.http.authn.v2alpha1.FilterConfig",
    ];

    private static string Bootstrap(string filter) => Read.InListener(
        $"filter_chains: [{{ filters: [{{ name: m, typed_config: {{ \"@type\": type.googleapis.com/{Manager}, stat_prefix: s, "
        + $"route_config: {{ virtual_hosts: [{{ name: v, domains: [\"*\"], routes: [{{ match: {{ prefix: / }}, direct_response: {{ status: 200 }} }}] }}] }}, http_filters: [{filter}, {Router}] }} }}] }}]");

    private static Diagnostic[] Found(string text)
    {
        var found = new Diagnostics();
        BootstrapReader.Read(text, "b.yaml", found);
        return [.. found.Items];
    }

    private static void IsRefused(string name, IEnumerable<Diagnostic> found)
    {
        Diagnostic error = Assert.Single(found, d => d.Severity == Severity.Error);
        Assert.Equal("NARU-C112", error.Code);
        Assert.Contains(name, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("optional", error.Remedy, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Guards))]
    public void A_filter_that_is_known_and_missing_is_refused_though_it_is_optional(string type) =>
        IsRefused(type, Found(Bootstrap($"{{ name: guard, is_optional: true, typed_config: {{ \"@type\": type.googleapis.com/{type} }} }}")));

    [Theory]
    [MemberData(nameof(Guards))]
    public void And_so_it_is_as_free_data(string type) => IsRefused(type, Found(Bootstrap(
        $"{{ name: guard, is_optional: true, typed_config: {{ \"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/{type}, value: {{ a: 1 }} }} }}")));

    [Theory]
    [MemberData(nameof(Guards))]
    public void And_where_it_is_switched_off_since_a_route_may_switch_it_on(string type) =>
        IsRefused(type, Found(Bootstrap($"{{ name: guard, is_optional: true, disabled: true, typed_config: {{ \"@type\": type.googleapis.com/{type} }} }}")));

    [Theory]
    [MemberData(nameof(Guards))]
    public void And_off_the_wire_in_both_forms(string type)
    {
        IsRefused(type, FoundOnTheWire(new Any { TypeUrl = $"type.googleapis.com/{type}" }));
        IsRefused(type, FoundOnTheWire(Any.Pack(new Xds.Type.V3.TypedStruct { TypeUrl = $"type.googleapis.com/{type}" })));
        IsRefused(type, FoundOnTheWire(Any.Pack(new Udpa.Type.V1.TypedStruct { TypeUrl = $"type.googleapis.com/{type}" })));
    }

    [Theory]
    [InlineData("envoy.filters.http.aws_lambda")]
    [InlineData("mixer")]
    [InlineData("istio_authn")]
    public void A_name_alone_says_it_too(string name) => IsRefused(name, Found(Bootstrap($"{{ name: {name}, is_optional: true }}")));

    [Theory]
    [InlineData("made.up.v1.Filter")]
    [InlineData("envoyproxy.rbac.v3.RBAC")]
    [InlineData("envoy.extensions.filters.http.never_heard_of.v3.Filter")]
    public void What_nobody_knows_may_be_left_out_and_that_is_said(string type)
    {
        foreach (Diagnostic[] found in new[]
        {
            Found(Bootstrap($"{{ name: f, is_optional: true, typed_config: {{ \"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/{type}, value: {{ a: 1 }} }} }}")),
            FoundOnTheWire(new Any { TypeUrl = $"type.googleapis.com/{type}", Value = ByteString.Empty }),
        })
        {
            Assert.DoesNotContain(found, d => d.Severity == Severity.Error);
            Diagnostic said = Assert.Single(found, d => d.Severity == Severity.Warning);
            Assert.Equal("NARU-C114", said.Code);
            Assert.Contains(type, said.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Nor_is_it_left_out_unless_it_is_optional() =>
        IsRefused("made.up.v1.Filter", Found(Bootstrap("{ name: f, typed_config: { \"@type\": type.googleapis.com/xds.type.v3.TypedStruct, type_url: type.googleapis.com/made.up.v1.Filter, value: {} } }")));

    private static Diagnostic[] FoundOnTheWire(Any filter)
    {
        var manager = new HttpConnectionManager
        {
            StatPrefix = "s",
            RouteConfig = new(),
            HttpFilters =
            {
                new HttpFilter { Name = "guard", IsOptional = true, TypedConfig = filter },
                new HttpFilter { Name = "r", TypedConfig = Any.Pack(new Envoy.Extensions.Filters.Http.Router.V3.Router()) },
            },
        };
        var listener = new Listener
        {
            Name = "l",
            Address = new() { SocketAddress = new() { Address = "127.0.0.1", PortValue = 1 } },
            FilterChains = { new FilterChain { Filters = { new Filter { Name = "m", TypedConfig = Any.Pack(manager) } } } },
        };
        var found = new Diagnostics();
        ResourceReader.Listener(listener, found);
        return [.. found.Items];
    }
}
