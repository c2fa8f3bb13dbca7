// XML of strangers: what a path leads to, that nothing grows and nothing is fetched, and that what is not well-formed says nothing.
using System.Text;
using Naru.Http.Bodies;
using Xunit;

namespace Naru.UnitTests.HttpCodecs.Bodies;

public sealed class XmlBodyTests
{
    private static string Find(byte[] text, string path)
    {
        XmlPath read = XmlPath.Parse(path, out string fault) ?? throw new ArgumentException(fault);
        var found = new BodyFindings();
        found.Begin(1);
        return XmlBody.Read(text, [read], found) ? JsonBodyTests.Show(found[0]) : "no";
    }

    private static string Find(string text, string path) => Find(Encoding.UTF8.GetBytes(text), path);

    private const string Order = """
        <?xml version="1.0" encoding="UTF-8"?>
        <!-- an order -->
        <o:order xmlns:o="urn:o" xmlns="urn:other" id='7'>
          <item kind="book" sku="a1">One</item>
          <item kind='gift' o:sku="n" sku="a2">Two &amp; <![CDATA[<three>]]></item>
          <o:item kind="gift" sku="a3"/>
          <to><name>Ann</name><note>x<b>y</b>z</note></to>
        </o:order>
        <?end of it?>
        """;

    [Theory]
    [InlineData("/order/@id", "Text 7")]
    [InlineData("/order/item", "Text One")]
    [InlineData("/order/item/@sku", "Text a1")]
    [InlineData("/order/item[2]", "Text Two & <three>")]
    [InlineData("/order/item[2]/text()", "Text Two & <three>")]
    [InlineData("/order/item[3]/@sku", "Text a3")]
    [InlineData("/order/item[3]", "Text ")]
    [InlineData("/order/item[3]/text()", "Missing")]
    [InlineData("/order/item[4]", "Missing")]
    [InlineData("/order/item[@kind='gift']/@sku", "Text a2")]
    [InlineData("/order/item[@kind=\"gift\"][2]/@sku", "Text a3")]
    [InlineData("/order/item[2][@kind='book']/@sku", "Missing")]
    [InlineData("/order/item[2][@kind='gift']/@sku", "Text a2")]
    [InlineData("/order/item/@none", "Missing")]
    [InlineData("/order/to/name/text()", "Text Ann")]
    [InlineData("/order/to/note", "Compound")]
    [InlineData("/order/to/note/text()", "Text xz")]
    [InlineData("/order/to/note/b", "Text y")]
    [InlineData("/order/to", "Compound")]
    [InlineData("/item", "Missing")]
    [InlineData("/order/name", "Missing")]
    [InlineData("/order/to/name/none", "Missing")]
    public void A_path_leads_to_the_first_value_in_the_document(string path, string found) => Assert.Equal(found, Find(Order, path));

    [Theory]
    [InlineData("<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x1F600;</a>", "/a", "Text <>&\"'A😀")]
    [InlineData("<a b='&#x41;&lt;'/>", "/a/@b", "Text A<")]
    [InlineData("<a b='1\n2\t3'/>", "/a/@b", "Text 1 2 3")]
    [InlineData("<a>x\r\ny\rz</a>", "/a", "Text x\ny\nz")]
    [InlineData("<a>x<!-- - --><?p i?>y</a>", "/a", "Text xy")]
    [InlineData("<a><![CDATA[]]]]><![CDATA[>]]></a>", "/a", "Text ]]>")]
    [InlineData("\uFEFF<a>1</a>", "/a", "Text 1")]
    [InlineData("<é>1</é>", "/é", "Text 1")]
    [InlineData("<a><b x='q'>1</b><b x='&#113;'>2</b></a>", "/a/b[@x='q'][2]", "Text 2")]
    [InlineData("<a><b><c>1</c></b><b><c>2</c><c>3</c></b></a>", "/a/b/c[2]", "Text 3")]
    [InlineData("<a><b><c>1</c></b><b><c>2</c></b></a>", "/a/b[2]/c", "Text 2")]
    [InlineData("<a><a>in</a></a>", "/a/a", "Text in")]
    [InlineData("<a ></a >", "/a", "Text ")]
    [InlineData("<a x = '1' />", "/a/@x", "Text 1")]
    public void What_may_stand_in_a_document_is_read_as_it_is_meant(string text, string path, string found) =>
        Assert.Equal(found, Find(text, path));

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("<a>")]
    [InlineData("<a></b>")]
    [InlineData("<a></ab>")]
    [InlineData("<a/><b/>")]
    [InlineData("<a/>x")]
    [InlineData("<a")]
    [InlineData("<a b>x</a>")]
    [InlineData("<a b=1/>")]
    [InlineData("<a b='1'c='2'/>")]
    [InlineData("<a b='1' b='2'/>")]
    [InlineData("<a b='<'/>")]
    [InlineData("<a b='&'/>")]
    [InlineData("<a>&</a>")]
    [InlineData("<a>&lt</a>")]
    [InlineData("<a>&nbsp;</a>")]
    [InlineData("<a>&#0;</a>")]
    [InlineData("<a>&#x110000;</a>")]
    [InlineData("<a>&#xD800;</a>")]
    [InlineData("<a>&#;</a>")]
    [InlineData("<a>&#xffffffffffffff;</a>")]
    [InlineData("<a>]]></a>")]
    [InlineData("<a><!-- -- --></a>")]
    [InlineData("<a><!-- --->x</a>")]
    [InlineData("<a><![CDATA[x</a>")]
    [InlineData("<![CDATA[x]]>")]
    [InlineData("<a><?xml version='1.0'?></a>")]
    [InlineData(" <?xml version='1.0'?><a/>")]
    [InlineData("<?xml version='1.0' encoding='UTF-16'?><a/>")]
    [InlineData("<?xml version='1.0' encoding='ISO-8859-1'?><a/>")]
    [InlineData("<1a/>")]
    [InlineData("< a/>")]
    [InlineData("<a>\u0001</a>")]
    [InlineData("<a/")]
    [InlineData("</a>")]
    [InlineData("<a><!b></a>")]
    public void What_is_not_well_formed_says_nothing(string text) => Assert.Equal("no", Find(text, "/a"));

    [Theory]
    [InlineData("<!DOCTYPE a><a>1</a>")]
    [InlineData("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a>1</a>")]
    [InlineData("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>")]
    [InlineData("<!DOCTYPE a [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>")]
    [InlineData("<!DOCTYPE a [<!ENTITY % p SYSTEM \"http://127.0.0.1/x.dtd\"> %p;]><a/>")]
    [InlineData("<!ENTITY x \"y\"><a/>")]
    public void There_is_no_DTD_and_nothing_grows(string text) => Assert.Equal("no", Find(text, "/a"));

    [Fact]
    public void Depth_and_attributes_have_limits()
    {
        static string Nested(int depth) => string.Concat(Enumerable.Repeat("<a>", depth)) + string.Concat(Enumerable.Repeat("</a>", depth));
        Assert.Equal("Compound", Find(Nested(XmlBody.MostDepth), "/a"));
        Assert.Equal("no", Find(Nested(XmlBody.MostDepth + 1), "/a"));
        Assert.Equal("no", Find(string.Concat(Enumerable.Repeat("<a>", 20_000)), "/a"));
        static string Wide(int count) => $"<a {string.Join(' ', Enumerable.Range(0, count).Select(i => $"x{i}='{i}'"))}/>";
        Assert.Equal("Text 31", Find(Wide(XmlBody.MostAttributes), "/a/@x31"));
        Assert.Equal("no", Find(Wide(XmlBody.MostAttributes + 1), "/a/@x31"));
    }

    [Fact]
    public void Bytes_that_are_no_UTF_8_say_nothing()
    {
        Assert.Equal("no", Find([.. "<a>"u8, 0xc3, .. "</a>"u8], "/a"));
        Assert.Equal("no", Find([0xff, 0xfe, .. Encoding.Unicode.GetBytes("<a>1</a>")], "/a"));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a")]
    [InlineData("/")]
    [InlineData("//a")]
    [InlineData("/a/..")]
    [InlineData("/a/*")]
    [InlineData("/x:a")]
    [InlineData("/@id")]
    [InlineData("/text()")]
    [InlineData("/a/text()/b")]
    [InlineData("/a/@id/b")]
    [InlineData("/a[0]")]
    [InlineData("/a[last()]")]
    [InlineData("/a[b='x']")]
    [InlineData("/a[@b]")]
    [InlineData("/a[@b='x]")]
    [InlineData("/a[@b='x' or @c='y']")]
    [InlineData("/a[1][1][1][1]")]
    [InlineData("/a | /b")]
    [InlineData("/a/child::b")]
    [InlineData("count(/a)")]
    public void What_is_no_path_of_ours_is_refused_with_what_is(string path)
    {
        Assert.Null(XmlPath.Parse(path, out string fault));
        Assert.Contains("/a/b", fault);
    }
}
