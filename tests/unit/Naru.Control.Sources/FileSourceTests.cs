// Files as a source: read whole, followed, and never worse than the last good version.
using Naru.Control.Model;
using Naru.Control.Sources;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed class FileSourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("naru-files-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static string Service(string name, int port) => $"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: {port}}}]}}\n";

    private string Write(string name, string text)
    {
        string path = Path.Combine(_folder, name), beside = path + ".new";
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(beside, text);
        File.Move(beside, path, overwrite: true);
        return path;
    }

    private static string Names(ConfigState state) => string.Join(' ', state.Objects.Keys.Select(k => k.Name));

    private static readonly FileSourceOptions Still = new() { Watch = false };

    [Fact]
    public async Task A_folder_is_read_without_its_subfolders()
    {
        Write("b.yaml", Service("b", 1));
        Write("a.json", """{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":1}]}}""");
        Write("readme.txt", "no manifest");
        Write("inner/c.yaml", Service("c", 1));
        await using var source = new FileSource([_folder], Still);
        Assert.Equal("a b", Names(source.Current));
        Assert.Empty(source.Current.Diagnostics);
    }

    [Fact]
    public async Task A_run_file_is_no_manifest()
    {
        Write("a.yaml", Service("a", 1));
        Write("naru.run.yaml", "a-v1: ./start\n");
        await using var source = new FileSource([_folder], Still);
        Assert.Equal("a", Names(source.Current));
        Assert.Empty(source.Current.Diagnostics);
    }

    [Fact]
    public async Task A_Service_that_its_runner_gave_an_address_keeps_its_authors_text()
    {
        string state = Write("state/service~default~a.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 127.1.0.9, ports: [{port: 1}]}\n");
        // Twice, as kubectl takes it.
        string author = Write("files/a.yaml", Service("a", 2) + "---\n" + Service("a", 2));
        var source = new FileSource([Path.GetDirectoryName(state)!, author], Still);
        ConfigObject item = Assert.Single(source.Current.Objects).Value;
        var spec = Assert.IsType<ServiceSpec>(item.Spec);
        Assert.Equal(("127.1.0.9", 2, author), (spec.ClusterIp, spec.Ports[0].Port, item.Place.File));

        // So that the same text again is no change, and nobody is told about files that are not his.
        await using var states = new Naru.Control.Registries.ControlState(source, new StoreSource(null), TimeProvider.System);
        Naru.Control.Registries.ApplyOutcome again = states.Apply(Service("a", 2));
        Assert.Equal(ApplyAction.Unchanged, Assert.Single(again.Objects).Action);
        Assert.Empty(again.Diagnostics);
    }

    [Fact]
    public async Task What_a_runner_wrote_for_itself_is_nobodys_file()
    {
        string state = Write("state/service~default~a.yaml",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {clusterIP: 127.1.0.9, ports: [{port: 1}]}\n");
        var source = new FileSource([Path.GetDirectoryName(state)!], Still);
        await using var states = new Naru.Control.Registries.ControlState(source, new StoreSource(null), TimeProvider.System);
        Naru.Control.Registries.ApplyOutcome outcome = states.Apply(Service("a", 2));
        Assert.Equal(ApplyAction.Configured, Assert.Single(outcome.Objects).Action);
        Assert.DoesNotContain(outcome.Diagnostics, d => d.Code == "NARU-C243");
        Assert.Equal("127.1.0.9", Assert.IsType<ServiceSpec>(states.Current.Config.Objects.Single().Value.Spec).ClusterIp);
    }

    [Fact]
    public async Task A_kustomization_says_which_files_count()
    {
        Write("all/a.yaml", Service("a", 1));
        Write("all/unused.yaml", Service("unused", 1));
        Write("more/kustomization.yaml", "resources: [b.yaml]");
        Write("more/b.yaml", Service("b", 1));
        Write("kustomization.yaml", "resources: [all/a.yaml, more, gone.yaml]\nnamePrefix: x-\n");
        await using var source = new FileSource([_folder], Still);
        Assert.Equal("a b", Names(source.Current));
        Assert.Equal(["NARU-C241", "NARU-C241"], source.Current.Diagnostics.Select(d => d.Code));
    }

    [Fact]
    public async Task Kustomizations_in_a_circle_end()
    {
        Write("a/kustomization.yaml", "resources: [../b]");
        Write("b/kustomization.yaml", "resources: [../a]");
        await using var source = new FileSource([Path.Combine(_folder, "a")], Still);
        Assert.Contains(source.Current.Diagnostics, d => d.Code == "NARU-C241");
    }

    [Fact]
    public async Task A_missing_path_is_a_diagnostic()
    {
        await using var source = new FileSource([Path.Combine(_folder, "gone.yaml")], Still);
        Assert.Equal("NARU-C240", Assert.Single(source.Current.Diagnostics).Code);
    }

    [Fact]
    public async Task The_last_good_version_of_a_broken_object_keeps_serving()
    {
        string path = Write("s.yaml", Service("a", 1) + "---\n" + Service("b", 2));
        await using var source = new FileSource([path], Still);
        ConfigObject good = source.Current.Objects[new ObjectKey("Service", "default", "a")];

        Write("s.yaml", Service("a", 99999) + "---\n" + Service("b", 3));
        source.Reload();
        Assert.Same(good, source.Current.Objects[good.Key]);
        Assert.Equal(3, ((ServiceSpec)source.Current.Objects[new ObjectKey("Service", "default", "b")].Spec).Ports[0].Port);
        Assert.Contains(source.Current.Diagnostics, d => d is { Code: "NARU-C205", Severity: Severity.Error } && d.Place.Line == 4);
        Assert.Contains(source.Current.Diagnostics, d => d is { Code: "NARU-C242", Severity: Severity.Info });

        Write("s.yaml", "a: [");
        source.Reload();
        Assert.Equal("a b", Names(source.Current));

        Write("s.yaml", Service("b", 4));
        source.Reload();
        Assert.Equal("b", Names(source.Current));
        Assert.Empty(source.Current.Diagnostics);
    }

    [Theory]
    [InlineData("SERVICE")]
    [InlineData("a: [")]
    public async Task The_last_good_version_survives_a_restart(string broken)
    {
        string path = Write("s.yaml", Service("a", 1));
        FileSourceOptions options = Still with { LastGoodFolder = Path.Combine(_folder, "last-good") };
        await using (var first = new FileSource([path], options))
        {
            Write("s.yaml", broken == "SERVICE" ? Service("a", 99999) : broken);
            first.Reload();
            Assert.Equal("a", Names(first.Current));
        }
        await using (var second = new FileSource([path], options))
        {
            Assert.Equal(1, ((ServiceSpec)Assert.Single(second.Current.Objects).Value.Spec).Ports[0].Port);
            Assert.Contains(second.Current.Diagnostics, d => d.Code == "NARU-C242");
            Write("s.yaml", Service("b", 1));
            second.Reload();
            Assert.Equal("b", Names(second.Current));
        }
        Assert.Empty(Directory.EnumerateFiles(options.LastGoodFolder!));
    }

    [Fact]
    public async Task An_object_that_was_never_good_is_not_there()
    {
        await using var source = new FileSource([Write("s.yaml", Service("a", 99999))], Still);
        Assert.Empty(source.Current.Objects);
        Assert.True(source.Current.Diagnostics.Any(d => d.Severity == Severity.Error));
    }

    [Fact]
    public async Task What_did_not_change_is_the_same_object()
    {
        string path = Write("s.yaml", Service("a", 1));
        await using var source = new FileSource([path], Still);
        ConfigState before = source.Current;
        bool raised = false;
        source.Changed += () => raised = true;
        source.Reload();
        Assert.Same(before, source.Current);
        Assert.False(raised);
    }

    [Fact]
    public async Task A_change_is_followed()
    {
        string path = Write("s.yaml", Service("a", 1));
        await using var source = new FileSource([_folder]);
        var seen = new TaskCompletionSource();
        source.Changed += () =>
        {
            if (source.Current.Objects.Count == 2) seen.TrySetResult();
        };
        Write("t.yaml", Service("b", 1));
        await seen.Task.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.True(File.Exists(path));

        var gone = new TaskCompletionSource();
        source.Changed += () =>
        {
            if (Names(source.Current) == "b") gone.TrySetResult();
        };
        File.Delete(path);
        await gone.Task.WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task The_same_object_in_two_files_is_reported_and_the_later_counts()
    {
        string rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x}\nspec: {host: HOST}\n";
        Write("a.yaml", rule.Replace("HOST", "a", StringComparison.Ordinal));
        Write("b.yaml", rule.Replace("HOST", "b", StringComparison.Ordinal));
        await using var source = new FileSource([_folder], Still);
        Assert.Equal("b", ((DestinationRuleSpec)Assert.Single(source.Current.Objects).Value.Spec).Host.Value);
        Assert.Equal("NARU-C207", Assert.Single(source.Current.Diagnostics).Code);
    }
}
