// What comes through the API, and how it lies over files; it survives a restart, and deletions are remembered.
using Naru.Control.Model;
using Naru.Control.Registries;
using Naru.Control.Sources;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed class ControlStateTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("naru-state-").FullName;

    private static readonly ObjectKey Rule = new(Kinds.DestinationRule, "default", "reviews");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static string Text(string host) => $"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: reviews\nspec:\n  host: {host}\n";

    private ControlState Open()
    {
        string files = Path.Combine(_folder, "files");
        Directory.CreateDirectory(files);
        return new ControlState(new FileSource([files], new FileSourceOptions { Watch = false }), new StoreSource(Path.Combine(_folder, "store")));
    }

    private void File_(string text)
    {
        Directory.CreateDirectory(Path.Combine(_folder, "files"));
        File.WriteAllText(Path.Combine(_folder, "files", "f.yaml"), text);
    }

    private static string Host(ControlState state) => ((DestinationRuleSpec)state.Current.Config.Objects[Rule].Spec).Host.Value;

    [Fact]
    public async Task What_was_applied_survives_a_restart_and_wins_over_files()
    {
        File_(Text("from-file"));
        await using (ControlState first = Open())
        {
            Assert.Equal("from-file", Host(first));
            ApplyOutcome outcome = first.Apply(Text("applied"), "r.yaml");
            Assert.True(outcome.Accepted);
            Assert.Equal((Rule, ApplyAction.Configured), Assert.Single(outcome.Objects));
            Assert.Equal("applied", Host(first));
        }
        await using ControlState second = Open();
        Assert.Equal("applied", Host(second));
        Assert.Contains(second.Current.Diagnostics, d => d.Code == "NARU-C243");
        Assert.Equal(ApplyAction.Unchanged, second.Apply(Text("applied")).Objects[0].Action);
    }

    [Fact]
    public async Task A_deletion_of_what_a_file_says_is_remembered()
    {
        File_(Text("from-file"));
        await using (ControlState first = Open())
        {
            Assert.True(first.Delete(Rule));
            Assert.False(first.Delete(Rule));
        }
        await using ControlState second = Open();
        Assert.Empty(second.Current.Config.Objects);
        second.Apply(Text("again"));
        Assert.Equal("again", Host(second));
    }

    [Fact]
    public async Task One_fault_keeps_the_whole_document_out()
    {
        await using ControlState state = Open();
        ApplyOutcome outcome = state.Apply(Text("good") + "---\n" + Text("bad").Replace("host:", "hots:", StringComparison.Ordinal).Replace("reviews", "other", StringComparison.Ordinal), "r.yaml");
        Assert.False(outcome.Accepted);
        Assert.Empty(state.Current.Config.Objects);
        Assert.Contains(outcome.Diagnostics, d => d.Code == "NARU-C010" && d.Place.ToString().StartsWith("r.yaml:13:", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_dry_run_says_what_would_be_and_changes_nothing()
    {
        await using ControlState state = Open();
        ApplyOutcome outcome = state.Apply(Text("nobody"), "r.yaml", dryRun: true);
        Assert.True(outcome.Accepted);
        Assert.Equal(ApplyAction.Created, outcome.Objects[0].Action);
        Assert.Contains(outcome.Diagnostics, d => d.Code == "NARU-C229");
        Assert.Empty(state.Current.Config.Objects);
        Assert.Empty(Directory.EnumerateFiles(Path.Combine(_folder, "store")));
    }

    [Fact]
    public async Task Create_refuses_what_exists()
    {
        await using ControlState state = Open();
        Assert.True(state.Apply(Text("a"), createOnly: true).Accepted);
        Assert.Equal("NARU-C244", state.Apply(Text("b"), createOnly: true).Diagnostics.Single(d => d.Severity == Severity.Error).Code);
        Assert.Equal("a", Host(state));
    }

    [Fact]
    public async Task A_change_is_announced_with_its_snapshot()
    {
        await using ControlState state = Open();
        var seen = new List<Snapshot>();
        state.Changed += seen.Add;
        state.Apply(Text("a"));
        state.Apply(Text("a"));
        Assert.Same(state.Current, Assert.Single(seen));
    }

    [Fact]
    public async Task Applying_a_service_keeps_the_address_that_the_runner_gave_it()
    {
        const string Service = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: [{port: PORT}]\n";
        File_(Service.Replace("PORT", "80", StringComparison.Ordinal) + "  clusterIP: 127.7.0.2\n");
        await using ControlState state = Open();
        state.Apply(Service.Replace("PORT", "81", StringComparison.Ordinal));
        MeshService service = Assert.Single(state.Current.Layout.Services).Value;
        Assert.Equal(("127.7.0.2", 81), (service.Addresses[0], service.Ports[0].Number));
    }

    [Fact]
    public async Task Many_objects_are_deleted_in_one_change_and_a_dry_run_changes_nothing()
    {
        await using ControlState state = Open();
        ObjectKey[] keys = [.. Enumerable.Range(0, 20).Select(i => new ObjectKey(Kinds.DestinationRule, "default", $"r{i}"))];
        Assert.True(state.Apply(string.Join("---\n", keys.Select(k => Text("h").Replace("name: reviews", $"name: {k.Name}")))).Accepted);
        int changes = 0;
        state.Changed += _ => changes++;
        ObjectKey[] wanted = [.. keys, Rule];
        bool[] there = [.. keys.Select(_ => true), false];
        Assert.Equal(there, state.Delete(wanted, dryRun: true));
        Assert.Equal(20, state.Current.Config.Objects.Count);
        Assert.Equal(there, state.Delete(wanted, dryRun: false));
        Assert.Equal(1, changes);
        Assert.Empty(state.Current.Config.Objects);
        Assert.Null(state.Since(keys[0]));
    }

    [Fact]
    public async Task An_object_is_dated_when_it_comes_and_keeps_its_date_when_it_changes()
    {
        await using ControlState state = Open();
        state.Apply(Text("a"));
        DateTimeOffset? since = state.Since(Rule);
        Assert.NotNull(since);
        state.Apply(Text("b"));
        Assert.Equal(since, state.Since(Rule));
    }

    [Fact]
    public async Task Objects_without_a_namespace_go_where_the_caller_says()
    {
        await using ControlState state = Open();
        Assert.True(state.Apply(Text("a"), ns: "shop").Accepted);
        Assert.Equal("shop", Assert.Single(state.Current.Config.Objects.Keys).Namespace);
    }
}
