// What formats make of metadata and filter state, and that values which strangers chose cannot leave their field.
using System.Text;
using System.Text.Json;
using Naru.Core;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Telemetry;

public sealed class MetadataFormatTests
{
    private static MetaValue Map(params (string Name, MetaValue Value)[] members) =>
        MetaValue.Map(members.Select(m => KeyValuePair.Create(m.Name, m.Value)));

    private static FakeRequest Request(string text = "ann")
    {
        var request = new FakeRequest();
        request.Said[MetadataSource.Dynamic] = Map(("shop", Map(
            ("user", MetaValue.Of(text)), ("count", MetaValue.Of(3)), ("half", MetaValue.Of(2.5)), ("on", MetaValue.Of(true)),
                ("gone", MetaValue.Null),
            ("deep", Map(("list", MetaValue.List([MetaValue.Of(1), MetaValue.Of(text)])), ("x", MetaValue.Of("d")))))));
        request.Said[MetadataSource.Route] = Map(("r", Map(("team", MetaValue.Of("carts")))));
        request.States["key"] = Encoding.UTF8.GetBytes(text);
        return request;
    }

    private static string Write(FormatSource format, FakeRequest request, FormatUse use)
    {
        var found = new Diagnostics();
        AccessLogFormat? compiled = AccessLogFormat.Compile(format, found, use);
        Assert.True(compiled is not null, string.Join('\n', found.Items));
        var into = new LineBuffer();
        compiled.Write(request, into);
        return Encoding.UTF8.GetString(into.Written);
    }

    private static string Text(string format, FormatUse use = FormatUse.LogLine, string text = "ann") =>
        Write(new FormatSource { Text = format }, Request(text), use);

    [Theory]
    [InlineData("%DYNAMIC_METADATA(shop:user)%", "ann")]
    [InlineData("%DYNAMIC_METADATA(shop:count)%", "3")]
    [InlineData("%DYNAMIC_METADATA(shop:half)%", "2.5")]
    [InlineData("%DYNAMIC_METADATA(shop:on)%", "true")]
    [InlineData("%DYNAMIC_METADATA(shop:gone)%", "-")]
    [InlineData("%DYNAMIC_METADATA(shop:user:deeper)%", "-")]
    [InlineData("%DYNAMIC_METADATA(none)%", "-")]
    [InlineData("%DYNAMIC_METADATA(shop:deep)%", "{\"list\":[1,\"ann\"],\"x\":\"d\"}")]
    [InlineData("%DYNAMIC_METADATA([\"shop\", \"deep\", \"x\"])%", "d")]
    [InlineData("%DYNAMIC_METADATA(shop:deep):7%", "{\"list\"")]
    [InlineData("%METADATA(ROUTE:r:team)% %METADATA(DYNAMIC:shop:count)% %METADATA(CLUSTER:r:team)%", "carts 3 -")]
    [InlineData("%UPSTREAM_METADATA(r:team)% %CLUSTER_METADATA(r)%", "- -")]
    [InlineData("%FILTER_STATE(key:PLAIN)% %FILTER_STATE(key)% %FILTER_STATE(none)% %PER_REQUEST_STATE(key):2%", "ann \"ann\" - an")]
    public void Values_stand_as_they_are_and_lists_and_maps_as_JSON(string format, string written) => Assert.Equal(written, Text(format));

    [Theory]
    [InlineData("%DYNAMIC_METADATA%")]
    [InlineData("%DYNAMIC_METADATA()%")]
    [InlineData("%DYNAMIC_METADATA([1])%")]
    [InlineData("%DYNAMIC_METADATA([])%")]
    [InlineData("%METADATA(ROUTE)%")]
    [InlineData("%METADATA(NOBODY:a)%")]
    [InlineData("%FILTER_STATE()%")]
    [InlineData("%FILTER_STATE(a:FIELD:b)%")]
    [InlineData("%FILTER_STATE(a:LOUD)%")]
    [InlineData("%PER_REQUEST_STATE()%")]
    public void What_names_nothing_is_refused(string format)
    {
        var found = new Diagnostics();
        Assert.Null(AccessLogFormat.Compile(format, found));
        Assert.Equal("NARU-L004", Assert.Single(found.Items).Code);
    }

    [Fact]
    public void A_JSON_format_keeps_types_and_leaves_absent_values_null()
    {
        string[] names = ["shop", "shop:user", "shop:count", "shop:on", "shop:gone", "none"];
        var json = new FormatMap([.. names.Select(n => KeyValuePair.Create(n, (FormatNode)new FormatText($"%DYNAMIC_METADATA({n})%")))]);
        using JsonDocument line = JsonDocument.Parse(Write(new FormatSource { Json = json }, Request(), FormatUse.LogLine));
        JsonElement root = line.RootElement;
        Assert.Equal(
            (JsonValueKind.Object, "ann", 3, true, JsonValueKind.Null, JsonValueKind.Null),
            (root.GetProperty("shop").ValueKind, root.GetProperty("shop:user").GetString(), root.GetProperty("shop:count").GetInt32(),
                root.GetProperty("shop:on").GetBoolean(), root.GetProperty("shop:gone").ValueKind, root.GetProperty("none").ValueKind));
        Assert.Equal("2.5", root.GetProperty("shop").GetProperty("half").GetString());
    }

    [Theory]
    [InlineData("a\" 200 - \"b")]
    [InlineData("a\r\nb: c")]
    [InlineData("\u001b[2J\0\\")]
    [InlineData("\u202e\u2028\u0085")]
    public void What_a_stranger_chose_leaves_neither_its_line_nor_its_text(string hostile)
    {
        foreach (string format in (string[])["%DYNAMIC_METADATA(shop:user)%", "%DYNAMIC_METADATA(shop:deep)%", "%FILTER_STATE(key)%",
            "%FILTER_STATE(key:PLAIN)%"])
        {
            string line = Text(format, FormatUse.LogLine, hostile);
            Assert.DoesNotContain(line, c => char.IsControl(c) || c is '\u202e' or '\u2028');
            Assert.DoesNotContain("\r", Text(format, FormatUse.HeaderValue, hostile), StringComparison.Ordinal);
            Assert.DoesNotContain("\n", Text(format, FormatUse.HeaderValue, hostile), StringComparison.Ordinal);
            var json = new FormatMap([KeyValuePair.Create("v", (FormatNode)new FormatText(format)),
                KeyValuePair.Create("w", (FormatNode)new FormatText($"<{format}>"))]);
            string written = Write(new FormatSource { Json = json }, Request(hostile), FormatUse.LogLine);
            using JsonDocument parsed = JsonDocument.Parse(written);
            Assert.Equal(["v", "w"], parsed.RootElement.EnumerateObject().Select(m => m.Name));
        }
        using JsonDocument kept = JsonDocument.Parse(Text("%DYNAMIC_METADATA(shop:deep)%", FormatUse.LogLine, hostile));
        Assert.Equal(hostile, kept.RootElement.GetProperty("list")[1].GetString());
    }

    [Fact]
    public void Reading_allocates_nothing()
    {
        FakeRequest request = Request();
        AccessLogFormat format = AccessLogFormat.Compile(
            "%DYNAMIC_METADATA(shop:deep)% %DYNAMIC_METADATA(shop:half)% %METADATA(ROUTE:r:team)%", new Diagnostics())!;
        var into = new LineBuffer();
        format.Write(request, into);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            into.Clear();
            format.Write(request, into);
        }
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Merging_joins_maps_and_lists_and_replaces_the_rest()
    {
        MetaValue one = Map(("a", MetaValue.Of("x")), ("list", MetaValue.List([MetaValue.Of(1)])), ("deep", Map(("x", MetaValue.Of(1)))),
            ("odd", MetaValue.Of(1)));
        MetaValue two = Map(("a", MetaValue.Of("y")), ("list", MetaValue.List([MetaValue.Of(2)])), ("deep", Map(("y", MetaValue.Of(2)))),
            ("odd", MetaValue.List([])));
        Assert.Equal("{\"a\":\"y\",\"deep\":{\"x\":1,\"y\":2},\"list\":[1,2],\"odd\":[]}", one.Merge(two).ToString());
        Assert.Equal("{\"a\":\"y\",\"deep\":{\"y\":2},\"list\":[2],\"odd\":[]}", one.WithAll(two).ToString());
        Assert.Equal("{\"a\":\"x\",\"deep\":{\"x\":1},\"list\":[1],\"odd\":1}", one.ToString());
    }

    [Fact]
    public void A_name_is_found_among_any_others()
    {
        string[] names = [.. Enumerable.Range(0, 60).Select(i => $"n{i * 7919 % 101}"), "", "é", "n"];
        MetaValue map = MetaValue.Map(names.Select((n, i) => KeyValuePair.Create(n, MetaValue.Of(i))));
        for (int i = 0; i < names.Length; i++) Assert.Equal(Array.LastIndexOf(names, names[i]),
            map.Find(Encoding.UTF8.GetBytes(names[i]))!.Number);
        Assert.Null(map.Find("absent"u8));
        Assert.Null(MetaValue.Of(1).Find("n"u8));
    }
}
