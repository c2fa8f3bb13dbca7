// kubectl's JSONPath: what each row prints was compared with kubectl 1.32 (kubectl label --local -o jsonpath=…); what is refused, is
// refused with its place.
using System.Text.Json;
using Naru.Cli.Output;
using Xunit;

namespace Naru.UnitTests.Cli;

public sealed class JsonPathTests
{
    private static readonly JsonElement s_service = JsonDocument.Parse("""
        {"kind":"Service","metadata":{"name":"a","labels":{"app":"x","n":"m","tier.io/z":"q"}},
         "spec":{"selector":{"app":"a"},"ports":[{"name":"http","port":80,"protocol":"TCP"},{"name":"https","port":443,"protocol":"UDP"},{"name":"adm","port":9000,"protocol":"TCP"}]}}
        """).RootElement;

    [Theory]
    [InlineData("{.metadata.name}", "a")]
    [InlineData("{.spec.ports[*].port}", "80 443 9000")]
    [InlineData("{.spec.ports[0].name}{\"\\n\"}{.spec.ports[-1].name}", "http\nadm")]
    [InlineData("{.spec.ports[0:2].name}", "http https")]
    [InlineData("{.spec.ports[::2].name}", "http adm")]
    [InlineData("{.spec.ports[-2:].name}", "https adm")]
    [InlineData("{.spec.ports[1:].port}", "443 9000")]
    [InlineData("{.spec.ports[0,2].port}", "80 9000")]
    [InlineData("{.spec.ports[?(@.name==\"https\")].port}", "443")]
    [InlineData("{.spec.ports[?(@.name=='adm')].port}", "9000")]
    [InlineData("{.spec.ports[?(@.port>100)].name}", "https adm")]
    [InlineData("{.spec.ports[?(@.port==443)].name}", "https")]
    [InlineData("{.spec.ports[?(@.protocol!=\"UDP\")].port}", "80 9000")]
    [InlineData("{.spec.ports[?(@.nodePort)].name}", "")]
    [InlineData("{.spec.ports[?(@.port)].name}", "http https adm")]
    [InlineData("{range .spec.ports[*]}{.name}={.port}{\"\\t\"}{end}", "http=80\thttps=443\tadm=9000\t")]
    [InlineData("{range .spec.ports[*]}[{.name}, {@.port}] {end}", "[http, 80] [https, 443] [adm, 9000] ")]
    [InlineData("{range .spec.ports[?(@.protocol==\"TCP\")]}{.name} {end}", "http adm ")]
    [InlineData("{.metadata.labels.tier\\.io/z}", "q")]
    [InlineData("{.metadata.labels['tier\\.io/z']}", "q")]
    [InlineData("{.metadata.labels.tier.io/z}", "")]
    [InlineData("{.metadata.labels['app','n']}", "x m")]
    [InlineData("{.spec.ports[*]['name','port']}", "http https adm 80 443 9000")]
    [InlineData("{..port}", "80 443 9000")]
    [InlineData("{.spec..name}", "http https adm")]
    [InlineData("{.spec.selector}", "{\"app\":\"a\"}")]
    [InlineData("{.spec.ports[0]}", "{\"name\":\"http\",\"port\":80,\"protocol\":\"TCP\"}")]
    [InlineData("{.nope.nothing}", "")]
    [InlineData("plain {.kind} text", "plain Service text")]
    [InlineData("{$.metadata.name} {@.kind}", "a Service")]
    [InlineData("{.spec['ports'][1]['port']}", "443")]
    [InlineData("{\"a\"}{'b'}", "ab")]
    [InlineData(".kind", ".kind")]
    public void A_template_prints_what_kubectl_prints(string template, string printed) => Assert.Equal(printed, JsonPath.Parse(template).Render(s_service));

    [Theory]
    [InlineData("{.metadata.name", "character 16", "\"}\" is missing")]
    [InlineData("{.spec.ports[x]}", "character 14", "is no index")]
    [InlineData("{range .spec.ports[*]}{.name}", "character 30", "{range} without {end}")]
    [InlineData("{end}", "character 5", "{end} without {range}")]
    [InlineData("{kind}", "character 2", "begins no expression")]
    [InlineData("{.a[?(@.b=='c' && @.d)]}", "character 16", "one comparison")]
    [InlineData("{.a[0:3:0]}", "character 10", "more than 0")]
    [InlineData("{.a[?(@.b==c)]}", "character 13", "neither a number")]
    public void A_broken_template_is_refused_with_its_place(string template, string place, string why)
    {
        TemplateException e = Assert.Throws<TemplateException>(() => JsonPath.Parse(template));
        Assert.Contains(place, e.Message);
        Assert.Contains(why, e.Message);
    }

    [Theory]
    [InlineData(".metadata.name")]
    [InlineData("metadata.name")]
    [InlineData("{.metadata.name}")]
    public void One_expression_may_be_written_without_braces_and_dot(string text) => Assert.Equal("a", JsonPath.Expression(text).Find(s_service)[0].GetString());

    [Theory]
    [InlineData("{.a")]
    [InlineData("{.a}{.b}")]
    [InlineData("")]
    public void What_is_not_one_expression_is_refused(string text) => Assert.Throws<TemplateException>(() => JsonPath.Expression(text));
}
