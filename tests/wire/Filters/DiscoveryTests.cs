// Filters whose configuration is discovered: what holds before it comes, that a newer one takes effect, and that what may not be used
// changes nothing.
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class DiscoveryTests
{
    private const string Types = "type.googleapis.com/envoy.extensions.filters.http.";
    private const string Stats = "extension_config_discovery.http_filter.dyn.";
    private const string Route = "- { match: { prefix: / }, route: { cluster: backend } }";

    private static string Fault(int status) =>
        $"{{ \"@type\": {Types}fault.v3.HTTPFault, abort: {{ http_status: {status}, percentage: {{ numerator: 100 }} }} }}";

    private static string Discovered(string version, string config) => $$"""
        version_info: "{{version}}"
        resources:
        - "@type": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
          name: dyn
          typed_config: {{config}}
        """;

    private static string Filter(string path, string more = "") =>
        $"- {{ name: dyn, config_discovery: {{ config_source: {{ path_config_source: {{ path: {path} }}, resource_api_version: V3 }}, "
        + $"type_urls: [{Types}fault.v3.HTTPFault]{more} }} }}\n";

    private static async Task<int> StatusAsync(ProxyProcess proxy)
    {
        using RawClient client = await proxy.ConnectAsync();
        return (await client.ExchangeAsync("GET /case HTTP/1.1\r\nHost: x\r\n\r\n")).Status;
    }

    private static Task BecomesAsync(ProxyProcess proxy, int status) =>
        Waiting.UntilAsync(async () => await StatusAsync(proxy) == status, $"the answer to be {status}");

    [Fact]
    public async Task A_newer_configuration_takes_effect_and_the_other_filters_keep_what_they_remember()
    {
        using var folder = new TempFolder();
        string path = folder.At("ecds.yaml");
        folder.Replace("ecds.yaml", Discovered("1", Fault(501)));
        await using var backend = new Cases();
        // One token, ever: whoever made the filter anew would have another.
        string once = Yaml.Filter("l", "local_ratelimit.v3.LocalRateLimit", "stat_prefix: lim, "
            + "token_bucket: { max_tokens: 1, fill_interval: 3600s }, filter_enabled: { default_value: { numerator: 100 } }, filter_enforced: { default_value: { numerator: 100 } }");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(
            Bootstraps.Many(Route, [new TestCluster("backend", [backend.Port])], filters: Filter(path) + once));
        Assert.Equal(501, await StatusAsync(proxy));
        folder.Replace("ecds.yaml", Discovered("2", Fault(502)));
        await BecomesAsync(proxy, 502);
        // Of another type than was named, then none at all: the last good one stays.
        folder.Replace("ecds.yaml", Discovered("3", $"{{ \"@type\": {Types}cors.v3.Cors }}"));
        await Waiting.UntilAsync(async () => await proxy.StatAsync(Stats + "config_fail") == 1, "the refusal");
        Assert.Equal(502, await StatusAsync(proxy));
        folder.Replace("ecds.yaml", Discovered("4", $"{{ \"@type\": {Types}fault.v3.HTTPFault }}"));
        await BecomesAsync(proxy, 200);
        Assert.Equal(429, await StatusAsync(proxy));
        folder.Replace("ecds.yaml", Discovered("5", Fault(503)));
        await BecomesAsync(proxy, 503);
        folder.Replace("ecds.yaml", Discovered("6", $"{{ \"@type\": {Types}fault.v3.HTTPFault }}"));
        await BecomesAsync(proxy, 429);
        Assert.Equal(5, await proxy.StatAsync(Stats + "config_reload"));
        Assert.Contains("EcdsConfigDump", await proxy.Admin.GetStringAsync("config_dump"));
    }

    [Theory]
    [InlineData("", 500)]
    [InlineData(", default_config: ", 505)]
    [InlineData(", apply_default_config_without_warming: true, default_config: ", 505)]
    public async Task What_has_not_come_stands_as_its_default_or_lets_nobody_past(string standard, int status)
    {
        using var folder = new TempFolder();
        string path = folder.At("ecds.yaml");
        await using var backend = new Cases();
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Bootstraps.Many(
            Route, [new TestCluster("backend", [backend.Port])], filters: Filter(path, standard.Length > 0 ? standard + Fault(505) : "")));
        Assert.Equal(status, await StatusAsync(proxy));
        folder.Replace("ecds.yaml", Discovered("1", Fault(501)));
        await BecomesAsync(proxy, 501);
        Assert.Empty(backend.Witness.Requests);
    }
}
