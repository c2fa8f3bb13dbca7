// The command line against a mesh: what is refused, what is printed, and what comes of it. One mesh serves all tests; each has objects of its own.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Local;

public sealed class CommandLineTests(CommandLineTests.OneMesh one) : IClassFixture<CommandLineTests.OneMesh>
{
    /// <summary>Service and Deployment <c>details</c>, run from a file of ours.</summary>
    public sealed class OneMesh : IAsyncLifetime
    {
        public TempFolder Files { get; } = new();
        internal LocalMesh Mesh { get; private set; } = null!;
        public string Manifest { get; private set; } = "";

        public async ValueTask InitializeAsync()
        {
            Manifest = Files.Write("one.yaml", $"""
                apiVersion: v1
                kind: Service
                metadata: {"{"} name: details, labels: {"{"} app: details {"}"} {"}"}
                spec: {"{"} selector: {"{"} app: details {"}"}, ports: [{"{"} name: http, port: 9080 {"}"}] {"}"}
                ---
                apiVersion: apps/v1
                kind: Deployment
                metadata: {"{"} name: details {"}"}
                spec:
                  selector: {"{"} matchLabels: {"{"} app: details {"}"} {"}"}
                  template:
                    metadata:
                      labels: {"{"} app: details {"}"}
                      annotations: {"{"} naru.dev/run: "dotnet {Path.Combine(AppContext.BaseDirectory, "bookinfo.dll")} details" {"}"}
                    spec:
                      containers: [{"{"} name: details, ports: [{"{"} containerPort: 9080 {"}"}] {"}"}]
                """);
            Mesh = await LocalMesh.UpAsync(Manifest);
        }

        public async ValueTask DisposeAsync()
        {
            await Mesh.DisposeAsync();
            Files.Dispose();
        }
    }

    private static string Rule(string name, string label = "a", string host = "details") =>
        $"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata:\n  name: {name}\n  labels:\n    group: {label}\nspec:\n  host: {host}\n";

    private async Task<ProcessResult> OkAsync(params string[] arguments)
    {
        ProcessResult result = await one.Mesh.NaruAsync(arguments);
        Assert.True(result.ExitCode == 0, result.All);
        return result;
    }

    private async Task ApplyAsync(TempFolder folder, params string[] documents) => await OkAsync("apply", "--no-wait", "-f", folder.Write("rules.yaml", string.Join("---\n", documents)));

    [Theory]
    [InlineData("--dry-run")]
    [InlineData("--dry-run=server")]
    [InlineData("--dry-run=client")]
    public async Task A_deletion_that_is_only_tried_deletes_nothing(string option)
    {
        using var folder = new TempFolder();
        await ApplyAsync(folder, Rule("tried"));
        Assert.Contains("destinationrule/tried deleted (", (await OkAsync("delete", "dr", "tried", option)).Output);
        await OkAsync("get", "dr", "tried");
    }

    [Theory]
    [InlineData("delete", "dr", "refused", "--dryrun")]
    [InlineData("delete", "dr", "refused", "--force")]
    [InlineData("delete", "dr", "-x")]
    [InlineData("delete", "dr")]
    [InlineData("delete", "dr", "refused", "--all")]
    [InlineData("delete", "dr", "refused", "-l", "a b")]
    public async Task A_deletion_that_is_not_understood_deletes_nothing(params string[] arguments)
    {
        using var folder = new TempFolder();
        await ApplyAsync(folder, Rule("refused"));
        ProcessResult result = await one.Mesh.NaruAsync(arguments);
        Assert.True(result.ExitCode == 2, result.All);
        await OkAsync("get", "dr", "refused");
    }

    [Fact]
    public async Task Many_objects_are_deleted_by_file_by_label_and_by_name()
    {
        using var folder = new TempFolder();
        string[] many = [.. Enumerable.Range(0, 300).Select(i => Rule($"many{i}", "many"))];
        await ApplyAsync(folder, many);
        Assert.Equal(300, (await OkAsync("get", "dr", "-l", "group=many", "-o", "name")).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Equal(300, (await OkAsync("delete", "--no-wait", "-f", folder.Root)).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Equal("", (await OkAsync("get", "dr", "-l", "group=many", "-o", "name")).Output);
        await ApplyAsync(folder, Rule("label1", "label"), Rule("label2", "label"), Rule("label3", "other"));
        await OkAsync("delete", "dr", "-l", "group in (label)");
        Assert.Equal("destinationrule/label3", (await OkAsync("get", "dr", "-l", "group in (label,other)", "-oname")).Output.Trim());
        ProcessResult typo = await one.Mesh.NaruAsync("delete", "dr/labl3");
        Assert.Equal(1, typo.ExitCode);
        Assert.Contains("did you mean \"label3\"?", typo.Error);
        await OkAsync("delete", "dr/labl3", "--ignore-not-found");
        await OkAsync("delete", "dr/label3");
    }

    [Fact]
    public async Task A_pod_of_the_runner_is_not_deleted()
    {
        ProcessResult result = await one.Mesh.NaruAsync("delete", "pods", "--all");
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("rollout restart deployment/details", result.Error);
    }

    [Fact]
    public async Task What_runs_is_printed_in_every_format()
    {
        string pods = (await OkAsync("get", "pods")).Output;
        Assert.Matches(@"^NAME +READY +STATUS +RESTARTS +AGE\ndetails-\w{5} +2/2 +Running +0 +\d+\w+", pods);
        Assert.Matches(@"IP +NODE +REASON", (await OkAsync("get", "po", "-owide")).Output);
        Assert.Matches(@"details-\w{5} .* app=details", (await OkAsync("get", "pods", "--show-labels")).Output);
        Assert.Matches(@"^istio-system +istio-ingressgateway +1/1", (await OkAsync("get", "pods", "-A", "--no-headers", "-l", "app!=details")).Output);
        Assert.Matches(@"^details +1/1 +1 +1 ", (await OkAsync("get", "deploy", "--no-headers")).Output);
        Assert.Equal("9080", (await OkAsync("get", "svc", "details", "-o", "jsonpath={.spec.ports[?(@.name==\"http\")].port}")).Output.Trim());
        Assert.Matches(@"^N +P\ndetails +9080", (await OkAsync("get", "svc", "-o", "custom-columns=N:.metadata.name,P:.spec.ports[*].port")).Output);
        Assert.Equal("2", (await OkAsync("get", "pods", "-o", "jsonpath={.items[0].status.containerStatuses[*].name}")).Output.Trim().Split(' ').Length.ToString());
        Assert.Contains("default", (await OkAsync("get", "ns", "-o", "name")).Output);
        Assert.Contains("Ready", (await OkAsync("get", "nodes")).Output);
        Assert.Matches(@"details +127\.[\d.]+:9080", (await OkAsync("get", "endpoints")).Output);
        Assert.Contains("kind: Deployment", (await OkAsync("get", "deployment", "details", "-o", "yaml")).Output);
    }

    [Fact]
    public async Task What_happened_is_told_of_the_mesh_and_of_one_object()
    {
        Assert.Matches(@"Normal +Ready +pod/details-\w{5} +it gets requests", (await OkAsync("events")).Output);
        string told = (await OkAsync("describe", "pod", "details")).Output;
        Assert.Matches(@"Containers: +details: ready", told);
        Assert.Contains("Events:", told);
        Assert.Contains("Endpoints:", (await OkAsync("describe", "svc/details")).Output);
        Assert.Matches(@"^NAME +CPU\(cores\) +MEMORY\(bytes\)\ndetails-\w{5} +\d+m +\d+Mi", (await OkAsync("top", "pods")).Output);
    }

    [Fact]
    public async Task A_difference_ends_with_1_and_none_with_0()
    {
        using var folder = new TempFolder();
        string file = folder.Write("d.yaml", Rule("different"));
        ProcessResult fresh = await one.Mesh.NaruAsync("diff", "-f", file);
        Assert.Equal(1, fresh.ExitCode);
        Assert.Contains("+  name: different", fresh.Output);
        await OkAsync("apply", "--no-wait", "-f", file);
        Assert.Equal("", (await OkAsync("diff", "-f", file)).Output);
        File.WriteAllText(file, Rule("different", "b"));
        ProcessResult changed = await one.Mesh.NaruAsync("diff", "-f", file);
        Assert.Equal(1, changed.ExitCode);
        Assert.Contains("-    group: a\n+    group: b", changed.Output);
        File.WriteAllText(file, "kind: [");
        Assert.Equal(2, (await one.Mesh.NaruAsync("diff", "-f", file)).ExitCode);
    }

    [Fact]
    public async Task What_an_editor_saves_is_applied_and_what_is_refused_is_kept()
    {
        using var folder = new TempFolder();
        await ApplyAsync(folder, Rule("edited"));
        Dictionary<string, string?> Editor(string command) => new() { ["NARU_EDITOR"] = command };
        ProcessResult done = await one.Mesh.NaruAsync(Editor("sed -i 's/group: a/group: z/'"), "edit", "dr", "edited");
        Assert.True(done.ExitCode == 0, done.All);
        Assert.Equal("z", (await OkAsync("get", "dr", "edited", "-o", "jsonpath={.metadata.labels.group}")).Output.Trim());
        Assert.Contains("nothing was changed", (await one.Mesh.NaruAsync(Editor("true"), "edit", "dr/edited")).Error);
        ProcessResult refused = await one.Mesh.NaruAsync(Editor("sed -i s/host:/hots:/"), "edit", "dr", "edited");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("did you mean \"host\"?", refused.Error);
        string kept = refused.Error.Split('`')[1].Split(' ')[^1];
        Assert.Contains("hots: details", File.ReadAllText(kept));
        File.Delete(kept);
        Assert.Equal(1, (await one.Mesh.NaruAsync(Editor("false"), "edit", "dr", "edited")).ExitCode);
    }

    [Fact]
    public async Task A_watch_prints_what_comes_and_goes()
    {
        using var folder = new TempFolder();
        await using ChildProcess watch = one.Mesh.StartNaru("get", "dr", "-l", "group=watched", "-w");
        await watch.LineAsync("nothing in namespace default", LocalMesh.Bound);
        await ApplyAsync(folder, Rule("seen", "watched"));
        await watch.LineAsync(l => l.StartsWith("seen ", StringComparison.Ordinal), "the object", LocalMesh.Bound);
        await OkAsync("delete", "dr", "seen");
        await watch.LineAsync(l => l.StartsWith("seen ", StringComparison.Ordinal) && l.EndsWith("deleted", StringComparison.Ordinal), "its end", LocalMesh.Bound);
        watch.Kill();
    }

    [Theory]
    [InlineData("svc/details")]
    [InlineData("deployment/details")]
    public async Task A_port_leads_to_a_pod(string target)
    {
        await using ChildProcess forward = one.Mesh.StartNaru("port-forward", target, ":9080");
        string line = await forward.LineAsync("Forwarding from ", LocalMesh.Bound);
        using var http = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        Assert.Contains("\"author\"", await http.GetStringAsync($"http://{line.Split(' ')[2]}/details/0"));
        forward.Kill();
        ProcessResult wrong = await one.Mesh.NaruAsync("port-forward", target, "81");
        Assert.Equal(1, wrong.ExitCode);
        Assert.Contains("it has 9080", wrong.Error);
    }

    [Fact]
    public async Task A_template_that_was_changed_can_be_undone()
    {
        ProcessResult early = await one.Mesh.NaruAsync("rollout", "undo", "deployment/details");
        Assert.Equal(1, early.ExitCode);
        Assert.Contains("NARU-L022", early.Error);
        string before = File.ReadAllText(one.Manifest);
        one.Files.Replace("one.yaml", before.Replace("annotations: {", "annotations: { changed: \"yes\","));
        await Waiting.UntilAsync(async () => (await OkAsync("rollout", "history", "details")).Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length == 3, "a second revision", LocalMesh.Bound);
        await OkAsync("rollout", "status", "details");
        Assert.Equal("yes", (await OkAsync("get", "pods", "-o", "jsonpath={.items[*].metadata.annotations.changed}")).Output.Trim());
        await OkAsync("rollout", "undo", "deployment/details");
        await OkAsync("rollout", "status", "deployment", "details", "--timeout", "3m");
        Assert.Equal("", (await OkAsync("get", "pods", "-o", "jsonpath={.items[*].metadata.annotations.changed}")).Output.Trim());
        Assert.Contains("undo to 1", (await OkAsync("rollout", "history", "details")).Output);
        Assert.Contains("RolledBack", (await OkAsync("events", "--for", "deployment/details")).Output);
    }

    [Theory]
    [InlineData("naru get dr comp", "completed")]
    [InlineData("naru delete dr comp", "completed")]
    [InlineData("naru get dr/comp", "dr/completed")]
    [InlineData("naru rollout restart ", "deployment/details")]
    [InlineData("naru desc", "describe")]
    [InlineData("naru get virt", "virtualservices")]
    [InlineData("naru get dr --show", "--show-labels")]
    public async Task A_shell_is_told_real_names(string line, string found)
    {
        using var folder = new TempFolder();
        await ApplyAsync(folder, Rule("completed"));
        // Names are asked for with a bound, since a shell waits: on a busy machine one key may find none.
        await Waiting.UntilAsync(async () =>
        {
            ProcessResult result = await one.Mesh.NaruAsync($"[suggest:{line.Length}]", line);
            Assert.Equal("", result.Error);
            return result.Output.Split('\n').Contains(found);
        }, found, LocalMesh.Bound);
    }

    [Fact]
    public async Task A_namespace_is_for_objects_that_name_none()
    {
        using var folder = new TempFolder();
        string file = folder.Write("n.yaml", Rule("spaced"));
        await OkAsync("apply", "--no-wait", "-n", "shop", "-f", file);
        await OkAsync("-n", "shop", "get", "dr", "spaced");
        Assert.Equal(1, (await one.Mesh.NaruAsync("get", "dr", "spaced")).ExitCode);
        File.WriteAllText(file, Rule("spaced").Replace("  name:", "  namespace: other\n  name:"));
        Assert.Contains("-n asks for shop", (await one.Mesh.NaruAsync("apply", "-n", "shop", "-f", file)).Error);
        await OkAsync("delete", "dr", "spaced", "-n", "shop");
    }

    [Fact]
    public async Task A_file_that_is_too_long_is_told_the_limit()
    {
        using var folder = new TempFolder();
        string file = folder.Write("long.yaml", Rule("long") + string.Concat(Enumerable.Repeat("# " + new string('x', 1000) + "\n", 11_000)));
        ProcessResult result = await one.Mesh.NaruAsync("apply", "-f", file);
        Assert.Equal(1, result.ExitCode);
        Assert.Matches(@"long\.yaml has 10\.\d MB, and at most 10 MB are taken", result.Error);
    }

    [Fact]
    public async Task Output_of_apply_is_objects()
    {
        using var folder = new TempFolder();
        ProcessResult result = await OkAsync("apply", "--dry-run", "-o", "json", "-f", folder.Write("o.yaml", Rule("output")));
        Assert.Equal("output", JsonDocument.Parse(result.Output).RootElement.GetProperty("metadata").GetProperty("name").GetString());
        Assert.Equal(1, (await one.Mesh.NaruAsync("get", "dr", "output")).ExitCode);
    }
}
