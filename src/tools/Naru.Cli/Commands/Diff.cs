// naru diff: what applying files would change, as a unified difference. Exit 0 for nothing, 1 for something, 2 for files that cannot be
// compared. naru edit: the other way round, from the mesh into an editor and back.
using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using Naru.Cli.Output;
using Naru.Control.Host;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class DiffVerb
{
    public static Command Make()
    {
        var scope = new ScopeOptions();
        var files = new FileOptions();
        var command = new Command("diff", "What applying files would change; exit 1 where they differ");
        files.AddTo(command);
        scope.AddTo(command, everywhere: false);
        command.SetAction(async (parsed, cancel) =>
        {
            if (!files.Any(parsed))
            {
                Screen.Say("diff what? `naru diff -f FILE`, or -k FOLDER");
                return Exit.Usage;
            }
            if (await files.ReadAsync(parsed, cancel).ConfigureAwait(false) is not { } texts) return Exit.Usage;
            OfflineResult result = Offline.Check(texts.Select(t => (t.Name, t.Text)), parsed.GetValue(scope.Namespace) ?? "default", together: false);
            // Only what keeps a file from being read as a whole: what it would mean, `naru apply --dry-run` says.
            foreach (Diagnostic d in result.Diagnostics.Where(d => d.Severity == Severity.Error)) Screen.Complain(d);
            if (result.Diagnostics.Any(d => d.Severity == Severity.Error)) return Exit.Usage;
            using Cluster cluster = scope.Open(parsed);
            bool different = false;
            foreach (ManifestObject item in result.Objects)
            {
                JsonElement? live = await cluster.WrittenAsync(item.Kind, item.Namespace, item.Name, cancel).ConfigureAwait(false);
                string before = live is { } there ? Text(there) : "";
                string after = Text(JsonDocument.Parse(item.Json, new JsonDocumentOptions { MaxDepth = 256 }).RootElement);
                string name = $"{item.Kind.ToLowerInvariant()}/{item.Name}{(item.Namespace.Length > 0 ? $" in {item.Namespace}" : "")}";
                string text = TextDiff.Unified(before, after, live is null ? "/dev/null" : $"{name} (now)", $"{name} ({item.Place.File})");
                different |= text.Length > 0;
                foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries)) Console.WriteLine(Coloured(line));
            }
            return different ? Exit.Failed : Exit.Ok;
        });
        return command;
    }

    /// <summary>An object in the form in which two are compared: what its author wrote, as YAML, its namespace said.</summary>
    public static string Text(JsonElement item)
    {
        System.Text.Json.Nodes.JsonObject made = Cluster.Node(Cluster.Bare(item));
        if (made["metadata"] is System.Text.Json.Nodes.JsonObject metadata && Json.Kind(item) != "Namespace") metadata["namespace"] ??= "default";
        if (made["metadata"] is System.Text.Json.Nodes.JsonObject again)
        {
            // The order of a mapping's fields means nothing.
            foreach ((string key, System.Text.Json.Nodes.JsonNode? value) in again.OrderBy(p => p.Key, StringComparer.Ordinal).ToList())
            {
                again.Remove(key);
                again[key] = value;
            }
        }
        return Yaml.Write(Cluster.Element(made));
    }

    private static string Coloured(string line) => line[0] switch
    {
        '-' => Screen.Red(line, Screen.OutColour),
        '+' => Screen.Green(line, Screen.OutColour),
        _ => line,
    };
}

internal static class EditVerb
{
    public static Command Make()
    {
        var scope = new ScopeOptions();
        var target = new Argument<string[]>("KIND NAME") { HelpName = "KIND NAME", Description = "virtualservice reviews, or virtualservice/reviews", Arity = new ArgumentArity(1, 2) };
        target.CompletionSources.Add(Completions.Targets);
        var command = new Command("edit", "Opens an object in your editor ($EDITOR) and applies what you save") { target };
        scope.AddTo(command, everywhere: false);
        command.SetAction(async (parsed, cancel) =>
        {
            if (Targets.Parse(parsed.GetValue(target)!, "edit") is not { } targets) return Exit.Usage;
            if (targets is not [{ Name: { } name, Kind: var kind }])
            {
                Screen.Say("edit one object: `naru edit KIND NAME`");
                return Exit.Usage;
            }
            if (!kind.Kept)
            {
                Screen.Say($"{kind.Plural} are made from what runs; there is nothing to edit");
                return Exit.Usage;
            }
            string ns = kind.Namespaced ? parsed.GetValue(scope.Namespace) ?? "default" : "";
            using Cluster cluster = scope.Open(parsed);
            if (await cluster.WrittenAsync(kind.Name, ns, name, cancel).ConfigureAwait(false) is not { } item)
            {
                Screen.Say(GetVerb.Missing(targets[0], ns, await cluster.ListAsync(kind, ns, cancel).ConfigureAwait(false)));
                return Exit.Failed;
            }
            string file = Path.Combine(Path.GetTempPath(), $"naru-edit-{kind.Name.ToLowerInvariant()}-{name}-{Guid.NewGuid().ToString("N")[..8]}.yaml");
            string before = $"# Save and leave to apply; leave without a change to apply nothing.\n{Yaml.Write(Cluster.Bare(item))}";
            await File.WriteAllTextAsync(file, before, cancel).ConfigureAwait(false);
            if (await EditorAsync(file, cancel).ConfigureAwait(false) is { } fault)
            {
                File.Delete(file);
                Screen.Say(fault);
                return Exit.Failed;
            }
            string after = await File.ReadAllTextAsync(file, cancel).ConfigureAwait(false);
            if (after == before)
            {
                File.Delete(file);
                Console.Error.WriteLine("nothing was changed");
                return Exit.Ok;
            }
            ApplyResult result = await cluster.Control.ApplyAsync(after, file, createOnly: false, dryRun: false, ns.Length > 0 ? ns : "default", cancel).ConfigureAwait(false);
            foreach (ReportedDiagnostic d in result.Diagnostics) Screen.Complain(d.ToDiagnostic());
            if (!result.Ok)
            {
                Screen.Say($"nothing was applied; your text is kept: mend it and `naru apply -f {file}`");
                return Exit.Failed;
            }
            File.Delete(file);
            foreach (AppliedObject done in result.Objects) Console.WriteLine($"{done.Kind.ToLowerInvariant()}/{done.Name} {(done.Action == "configured" ? "edited" : done.Action)}");
            await ApplyVerb.WaitAsync(cluster.Control, cancel).ConfigureAwait(false);
            return Exit.Ok;
        });
        return command;
    }

    // By a shell, since people write options into these variables: EDITOR="code --wait".
    private static async Task<string?> EditorAsync(string file, CancellationToken cancel)
    {
        string editor = new[] { "NARU_EDITOR", "KUBE_EDITOR", "VISUAL", "EDITOR" }.Select(Environment.GetEnvironmentVariable).FirstOrDefault(e => !string.IsNullOrWhiteSpace(e)) ?? "vi";
        using Process? process = Process.Start(new ProcessStartInfo("/bin/sh") { ArgumentList = { "-c", $"exec {editor} \"$1\"", "sh", file }, UseShellExecute = false });
        if (process is null) return "no shell could be started";
        await process.WaitForExitAsync(cancel).ConfigureAwait(false);
        return process.ExitCode == 0 ? null : $"the editor \"{editor}\" ended with {process.ExitCode}; nothing was applied{(process.ExitCode == 127 ? " (set $EDITOR to one that is installed)" : "")}";
    }
}
