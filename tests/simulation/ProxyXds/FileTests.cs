// Resources in watched files. The files are real, in a folder of the test's own; their contents are read by the test's own reader,
// a line a resource: "name timeout", since what YAML means is not this folder's question.
using System.Globalization;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Xds;
using Xunit;

namespace Naru.SimulationTests.ProxyXds;

public sealed class FileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("naru-files-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void What_the_file_holds_at_the_start_is_used()
    {
        World world = Watching("1\na 1\nb 1");
        Assert.True(world.IsLive);
        Assert.Equal(["a", "b", "xds-grpc"], world.Plane.Clusters.Keys);
        Assert.Equal("1", world.Dump().CdsVersion);
    }

    [Fact]
    public async Task A_file_renamed_into_place_is_the_new_state()
    {
        World world = Watching("1\na 1\nb 1");
        Replace("2\na 7\nc 1");
        await Until(world, () => world.Plane.Clusters.ContainsKey("c"), "the new file");
        Assert.Equal(["a", "c", "xds-grpc"], world.Plane.Clusters.Keys);
        Assert.Equal(TimeSpan.FromSeconds(7), world.Plane.Clusters["a"].ConnectTimeout);
    }

    [Fact]
    public async Task A_file_rewritten_in_place_is_noticed_too()
    {
        World world = Watching("1\na 1");
        File.WriteAllText(PathOf("cds"), "2\nb 1");
        await Until(world, () => world.Plane.Clusters.ContainsKey("b"), "the new text");
    }

    [Fact]
    public async Task A_broken_file_leaves_the_last_good_one_serving_and_is_told_with_its_place()
    {
        World world = Watching("1\na 1");
        Replace("2\nbroken");
        await Until(world, () => world.Stat("cluster_manager.cds", "update_rejected") == 1, "the refusal");
        Assert.Contains("a", world.Plane.Clusters.Keys);
        Assert.Contains(world.Lines, l => l.Contains(PathOf("cds") + ":2: error[NARU-T009]", StringComparison.Ordinal));
        Replace("3\nb 1");
        await Until(world, () => world.Plane.Clusters.ContainsKey("b"), "the repair");
    }

    [Fact]
    public async Task A_bad_resource_of_a_file_keeps_its_predecessor_while_the_others_go_on()
    {
        World world = Watching("1\na 1\nb 1");
        Replace("2\na -1\nb 9");
        await Until(world, () => world.Plane.Clusters["b"].ConnectTimeout == TimeSpan.FromSeconds(9), "the good one");
        Assert.Equal(TimeSpan.FromSeconds(1), world.Plane.Clusters["a"].ConnectTimeout);
    }

    [Fact]
    public async Task A_file_that_vanishes_takes_nothing_away()
    {
        World world = Watching("1\na 1");
        File.Delete(PathOf("cds"));
        await Until(world, () => world.Stat("cluster_manager.cds", "update_failure") == 1, "the failure");
        Assert.Contains("a", world.Plane.Clusters.Keys);
    }

    [Fact]
    public async Task A_file_that_is_not_there_yet_is_read_when_it_comes()
    {
        World world = new World(change: Source, files: Read).Start();
        Assert.True(world.IsLive);
        Replace("1\na 1");
        await Until(world, () => world.Plane.Clusters.ContainsKey("a"), "the file");
    }

    [Fact]
    public async Task The_swap_of_a_directory_link_is_noticed()
    {
        Directory.CreateDirectory(PathOf("v1"));
        Directory.CreateDirectory(PathOf("v2"));
        File.WriteAllText(PathOf("v1/cds"), "1\na 1");
        File.WriteAllText(PathOf("v2/cds"), "2\nb 1");
        Directory.CreateSymbolicLink(PathOf("data"), PathOf("v1"));
        File.CreateSymbolicLink(PathOf("cds"), PathOf("data/cds"));
        World world = new World(change: Source, files: Read).Start();
        Assert.Contains("a", world.Plane.Clusters.Keys);
        Directory.CreateSymbolicLink(PathOf("data.new"), PathOf("v2"));
        Assert.Equal(0, Rename(PathOf("data.new"), PathOf("data")));
        await Until(world, () => world.Plane.Clusters.ContainsKey("b"), "the swap");
    }

    [Fact]
    public async Task Endpoints_may_come_from_a_file_that_names_several_services()
    {
        File.WriteAllText(PathOf("eds"), "1\na 80\nother 81");
        var source = new ConfigSourceConfig(ConfigSourceKind.Path, PathOf("eds"));
        World world = new World(change: b => new BootstrapConfig
        {
            Clusters = [new ClusterConfig { Name = "a", Type = DiscoveryType.Eds, EdsSource = source }, new ClusterConfig { Name = "gone", Type = DiscoveryType.Eds, EdsSource = source }],
        }, files: Read).Start();
        Assert.True(world.IsLive);
        Assert.Equal("10.0.0.1:80", world.Plane.Addresses("a"));
        Assert.Equal("(unknown)", world.Plane.Addresses("other"));
        Assert.Contains("gone", world.Plane.Clusters.Keys);
        File.WriteAllText(PathOf("eds"), "2\na 82");
        await Until(world, () => world.Plane.Addresses("a") == "10.0.0.1:82", "the new endpoints");
    }

    private static FileContent Read(ResourceType type, string text, string path)
    {
        string[] lines = text.Split('\n');
        var diagnostics = new Diagnostics();
        var resources = new List<FileResource>();
        for (int i = 1; i < lines.Length; i++)
        {
            string[] parts = lines[i].Split(' ');
            if (parts.Length != 2)
            {
                diagnostics.Error("NARU-T009", "not a name and a number", new Place(path, i + 1));
                continue;
            }
            int number = int.Parse(parts[1], CultureInfo.InvariantCulture);
            IMessage message = type == ResourceType.Endpoints ? Resources.Endpoints(parts[0], $"10.0.0.1:{number}") : Resources.Static(parts[0], timeout: number);
            var found = new Diagnostics();
            resources.Add(new FileResource(parts[0], message, Resources.Decode(type, message.ToByteString(), found), found));
        }
        return new FileContent(lines[0], resources, diagnostics);
    }

    [System.Runtime.InteropServices.DllImport("libc", EntryPoint = "rename", SetLastError = true)]
    private static extern int Rename(string from, string to);

    private BootstrapConfig Source(BootstrapConfig bootstrap) =>
        bootstrap with { Cds = new ConfigSourceConfig(ConfigSourceKind.Path, PathOf("cds")), Lds = null, Ads = null };

    private World Watching(string text)
    {
        File.WriteAllText(PathOf("cds"), text);
        return new World(change: Source, files: Read).Start();
    }

    private void Replace(string text)
    {
        File.WriteAllText(PathOf("cds.new"), text);
        File.Move(PathOf("cds.new"), PathOf("cds"), overwrite: true);
    }

    private string PathOf(string name) => Path.Combine(_folder, name);

    // The system tells of changes when it likes; the fake clock must move for the settling time to pass.
    private static Task Until(World world, Func<bool> probe, string what) => world.UntilAsync(
        () =>
        {
            world.Wait(0.1);
            return probe();
        },
        what);
}
