// Layers of the runtime: which value counts, what folders hold, what is counted, and what is refused by name.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.ProxyConfig;

public sealed class RuntimeLayerTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("naru-runtime-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private void Write(string path, string text)
    {
        string file = Path.Combine(_folder, path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }

    [Fact]
    public void A_file_is_a_value_and_its_path_is_the_key()
    {
        Write("health_check/min_interval", "5\n");
        Write("a/b/c", "# a comment\ntext  \n\n");
        Write("share", "{numerator: 5, denominator: TEN_THOUSAND}\n");
        Write("lines", "numerator: 3\ndenominator: HUNDRED\n");
        Write("empty", "");
        ImmutableSortedDictionary<string, RuntimeValue> values = RuntimeFolder.Read(_folder)!;
        Assert.Equal(["a.b.c", "empty", "health_check.min_interval", "lines", "share"], values.Keys);
        Assert.Equal(5ul, values["health_check.min_interval"].Integer);
        Assert.Equal("text", values["a.b.c"].Text);
        Assert.Equal(500, values["share"].PerMillion);
        Assert.Equal(30_000, values["lines"].PerMillion);
        Assert.Equal("", values["empty"].Text);
    }

    [Fact]
    public void A_folder_that_is_not_there_is_no_layer()
    {
        Assert.Null(RuntimeFolder.Read(Path.Combine(_folder, "none")));
        var runtime = new Runtime([Layer("base", ("k", "1")), new RuntimeLayerConfig("disk", RuntimeLayerConfig.None) { Folder = new("/none", "/none/x"), IsMissing = true }]);
        Assert.Equal(["base"], runtime.Layers.Select(l => l.Name));
    }

    public static IEnumerable<TheoryDataRow<string>> Monsters() => ["deep", "large", "loop"];

    [Theory]
    [MemberData(nameof(Monsters))]
    public void What_no_hand_would_write_is_refused(string kind)
    {
        switch (kind)
        {
            case "deep": Write(string.Join('/', Enumerable.Repeat("d", RuntimeFolder.MostDepth + 1)) + "/k", "1"); break;
            case "large": Write("k", new string('x', RuntimeFolder.MostBytes + 1)); break;
            default: Directory.CreateSymbolicLink(Path.Combine(_folder, "round"), _folder); break;
        }
        Assert.Throws<InvalidDataException>(() => RuntimeFolder.Read(_folder));
    }

    [Fact]
    public void Later_layers_win_and_readers_see_each_change_at_once()
    {
        var runtime = new Runtime([Layer("base", ("k", "1"), ("low", "x")), Layer("far"), Layer("over"), new RuntimeLayerConfig("admin", RuntimeLayerConfig.None, IsAdmin: true)]);
        RuntimeSlot slot = runtime.Slot("k");
        Assert.Equal(1ul, slot.Integer(0));
        runtime.Replace("far", Values(("k", "2")));
        Assert.Equal(2ul, slot.Integer(0));
        runtime.Replace("over", Values(("k", "3")));
        runtime.Replace("far", Values(("k", "9")));
        Assert.Equal(3ul, slot.Integer(0));
        Assert.True(runtime.Modify([new("k", "4")]));
        Assert.Equal(4ul, slot.Integer(0));
        runtime.Modify([new("k", "")]);
        runtime.Replace("over", null);
        Assert.Equal(9ul, slot.Integer(0));
        Assert.Equal(["base", "far", "admin"], runtime.Layers.Select(l => l.Name));
        runtime.Replace("far", Values());
        Assert.Equal(1ul, slot.Integer(0));
    }

    [Fact]
    public void What_is_loaded_is_counted()
    {
        var stats = new StatRegistry(1);
        var runtime = new Runtime(
            [
                Layer("base", ("k", "1")),
                new RuntimeLayerConfig("disk", RuntimeLayerConfig.None) { Folder = new("/r", "/r/a"), IsMissing = true },
                new RuntimeLayerConfig("over", RuntimeLayerConfig.None) { Folder = new("/r", "/r/b"), IsMissing = true },
                new RuntimeLayerConfig("admin", RuntimeLayerConfig.None, IsAdmin: true),
            ],
            stats);
        Assert.Equal((2, 0, 2, 0, 2, 1, 0), Counts());
        runtime.Replace("disk", Values(("k", "2"), ("j", "3")));
        runtime.Replace("over", Values());
        Assert.Equal((4, 0, 3, 1, 4, 2, 0), Counts());
        runtime.Failed();
        runtime.Modify([new("a", "1")]);
        Assert.Equal((5, 1, 3, 3, 4, 3, 1), Counts());

        (long Good, long Bad, long Without, long With, long Layers, long Keys, long Admin) Counts()
        {
            StatBlock block = stats.Blocks.Single(b => b.Prefix == "runtime");
            long Of(string name) => block.Read(block.Schema.Stats.Select((s, i) => (s.Name, i)).Single(s => s.Name == name).i);
            return (Of("load_success"), Of("load_error"), Of("override_dir_not_exists"), Of("override_dir_exists"), Of("num_layers"), Of("num_keys"), Of("admin_overrides_active"));
        }
    }

    [Theory]
    [InlineData("{name: a}", "a layer says where its values are")]
    [InlineData("{name: a, disk_layer: {}}", "symlink_root")]
    [InlineData("{name: a, disk_layer: {symlink_root: /r, append_service_cluster: true}}", "of no cluster")]
    [InlineData("{name: a, rtds_layer: {rtds_config: {ads: {}, resource_api_version: V3}}}", "\"name\" is required")]
    [InlineData("{name: a, rtds_layer: {name: x}}", "rtds_config")]
    [InlineData("{name: a, rtds_layer: {name: x, rtds_config: {ads: {}, resource_api_version: V3}}}", "ads_config")]
    [InlineData("{name: a, static_layer: {k: [1]}}", "no value of the runtime")]
    [InlineData("{name: a, static_layer: {k: {numerator: -1}}}", "not a share")]
    [InlineData("{name: a, admin_layer: {}}, {name: a, static_layer: {}}", "two layers")]
    [InlineData("{name: a, admin_layer: {}}, {name: b, admin_layer: {}}", "a layer of the administrator already")]
    public void A_layer_that_cannot_be_is_refused_by_name(string layers, string why)
    {
        var found = new Diagnostics();
        Assert.Null(BootstrapReader.Read($"layered_runtime: {{layers: [{layers}]}}\n", "b.yaml", found));
        Assert.Contains(found.Items, d => d.Severity == Severity.Error && d.ToString().Contains(why, StringComparison.Ordinal));
    }

    [Fact]
    public void A_folder_may_be_named_after_the_cluster_of_the_node()
    {
        var found = new Diagnostics();
        BootstrapConfig? read = BootstrapReader.Read(
            "node: {id: n, cluster: shop}\nlayered_runtime: {layers: [{name: d, disk_layer: {symlink_root: /srv/current, subdirectory: values, append_service_cluster: true}}]}\n", "b.yaml", found);
        Assert.Equal(new RuntimeFolderConfig("/srv/current", "/srv/current/values/shop"), read!.Runtime.Single().Folder);
    }

    [Theory]
    [InlineData("true", false, true)]
    [InlineData("false", true, false)]
    [InlineData("1", true, true)]
    [InlineData("words", false, false)]
    public void A_switch_is_on_or_off_by_these_words_alone(string text, bool standard, bool isOn) =>
        Assert.Equal(isOn, new Runtime([Layer("base", ("k", text))]).Slot("k").IsOn(standard));

    private static RuntimeLayerConfig Layer(string name, params (string Key, string Text)[] values) => new(name, Values(values));

    private static ImmutableSortedDictionary<string, RuntimeValue> Values(params (string Key, string Text)[] values) =>
        RuntimeLayerConfig.None.AddRange(values.Select(v => KeyValuePair.Create(v.Key, new RuntimeValue(v.Text))));
}
