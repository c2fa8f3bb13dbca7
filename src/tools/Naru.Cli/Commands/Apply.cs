// naru apply, naru create: files become configuration, each file whole or not at all. What is wrong comes back with file and line.
using System.CommandLine;
using System.Text.Json;
using Naru.Cli.Output;
using Naru.Control.Host;
using Naru.Core;
using Naru.Inspect;
using Naru.Local.Manifests;

namespace Naru.Cli.Commands;

internal static class ApplyVerb
{
    private static readonly TimeSpan s_inStepBound = TimeSpan.FromSeconds(10);

    public static Command Apply() => Make("apply", "Creates or changes configuration", createOnly: false);

    public static Command Create() => Make("create", "Creates configuration; refuses what is there already", createOnly: true);

    public static Option<bool> NoWait() => new("--no-wait") { Description = "Return before the proxies have confirmed" };

    private static Command Make(string name, string description, bool createOnly)
    {
        var scope = new ScopeOptions();
        var files = new FileOptions();
        Option<DryRun> dryRun = Options.DryRunOption();
        Option<OutputFormat> output = OutputFormat.Option();
        Option<bool> noWait = NoWait();
        var command = new Command(name, description);
        files.AddTo(command);
        command.Add(dryRun);
        command.Add(noWait);
        command.Add(output);
        scope.AddTo(command, everywhere: false);
        command.SetAction(async (parsed, cancel) =>
        {
            if (!files.Any(parsed))
            {
                Screen.Say($"{name} what? `naru {name} -f FILE`, or -k FOLDER");
                return Exit.Usage;
            }
            if (await files.ReadAsync(parsed, cancel).ConfigureAwait(false) is not { } texts) return Exit.Failed;
            string? given = parsed.GetValue(scope.Namespace);
            if (given is not null && !FitsNamespace(texts, given)) return Exit.Failed;
            var run = new Run(name, createOnly, parsed.GetValue(dryRun), parsed.GetValue(output) ?? OutputFormat.Plain, given ?? "default");
            if (run.Dry == DryRun.Client) return run.Here(texts);
            using Cluster cluster = scope.Open(parsed);
            return await run.ThereAsync(cluster.Control, texts, !parsed.GetValue(noWait), cancel).ConfigureAwait(false);
        });
        return command;
    }

    /// <summary>Returns once all proxies have confirmed, or says that they have not.</summary>
    public static async Task WaitAsync(ControlPlaneClient control, CancellationToken cancel)
    {
        (int proxies, bool inStep) = await control.WhenInStepAsync(s_inStepBound, cancel).ConfigureAwait(false);
        if (!inStep) Screen.Say($"not all of {proxies} proxies have confirmed yet; see `naru proxy-status`");
    }

    // -n does not move objects: one that names another namespace is a mistake on either side.
    private static bool FitsNamespace(IEnumerable<ManifestText> texts, string ns)
    {
        bool fits = true;
        foreach (ManifestText text in texts)
        {
            foreach (ObjectName item in ObjectName.ReadAll(text.Text, text.Name, new Diagnostics()).Where(o => o.Namespace is not null && o.Namespace != ns && o.Kind != "Namespace"))
            {
                Screen.Complain(new Diagnostic("NARU-L061", Severity.Error, $"the object is in namespace {item.Namespace}, and -n asks for {ns}", new Place(text.Name), $"{item.Kind} {item.Namespace}/{item.Name}", "leave one of them out"));
                fits = false;
            }
        }
        return fits;
    }

    private sealed record Run(string Verb, bool CreateOnly, DryRun Dry, OutputFormat Format, string Namespace)
    {
        public int Here(IReadOnlyList<ManifestText> texts)
        {
            OfflineResult result = Offline.Check(texts.Select(t => (t.Name, t.Text)), Namespace, together: false);
            Screen.Complain(result.Diagnostics);
            if (result.Diagnostics.Any(d => d.Severity == Severity.Error)) return Exit.Failed;
            if (Format.IsTable)
            {
                // Whether they are there already is not known here.
                foreach (ManifestObject item in result.Objects) Console.WriteLine($"{item.Kind.ToLowerInvariant()}/{item.Name} {(CreateOnly ? "created" : "configured")}{Options.Suffix(Dry)}");
            }
            else Print(result.Objects);
            return Exit.Ok;
        }

        public async Task<int> ThereAsync(ControlPlaneClient control, IReadOnlyList<ManifestText> texts, bool wait, CancellationToken cancel)
        {
            bool refused = false, changed = false;
            var applied = new List<ManifestObject>();
            foreach (ManifestText text in texts)
            {
                ApplyResult result = await control.ApplyAsync(text.Text, text.Name, CreateOnly, Dry == DryRun.Server, Namespace, cancel).ConfigureAwait(false);
                Screen.Complain(result.Diagnostics.Select(d => d.ToDiagnostic()));
                if (!result.Ok)
                {
                    refused = true;
                    Console.Error.WriteLine($"nothing of {text.Name} was applied; what ran before goes on");
                    continue;
                }
                changed |= result.Objects.Any(o => o.Action != "unchanged");
                if (Format.IsTable)
                {
                    foreach (AppliedObject item in result.Objects) Console.WriteLine($"{item.Kind.ToLowerInvariant()}/{item.Name} {item.Action}{Options.Suffix(Dry)}");
                }
                else applied.AddRange(Offline.Check([(text.Name, text.Text)], Namespace, together: false).Objects);
                bool Runs(AppliedObject o) => o.Action != "unchanged" && o.Kind is "Deployment" or "StatefulSet" or "DaemonSet";
                foreach (AppliedObject item in result.Objects.Where(Runs))
                {
                    Screen.Complain(new Diagnostic("NARU-L041", Severity.Warning, "pods are run from the files given to `naru up`, not from what is applied", new Place(text.Name), $"{item.Kind} {item.Namespace}/{item.Name}",
                        "put the file beside those manifests"));
                }
            }
            if (!Format.IsTable) Print(applied);
            if (changed && wait && Dry == DryRun.None) await WaitAsync(control, cancel).ConfigureAwait(false);
            return refused ? Exit.Failed : Exit.Ok;
        }

        private void Print(IReadOnlyList<ManifestObject> objects)
        {
            JsonElement[] items = [.. objects.Select(o => JsonDocument.Parse(o.Json, new JsonDocumentOptions { MaxDepth = 256 }).RootElement)];
            Printer.Print(Console.Out, Format, items, new ListView { Single = items.Length == 1 });
        }
    }
}
