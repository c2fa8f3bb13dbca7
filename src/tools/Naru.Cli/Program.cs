// naru: every verb of the command line hangs here. This file reads arguments and turns what went wrong into an exit code;
// what a verb does is in Commands/. 0 ok, 1 a check failed, 2 wrong usage, 3 could not reach.
using System.CommandLine;
using System.CommandLine.Parsing;
using Naru.Cli;
using Naru.Cli.Commands;
using Naru.Inspect;
using Naru.Local;

// The data plane's own options are its own business: nothing of them is read here.
if (args is ["proxy", .. var rest]) return ProxyVerb.Become(rest);
// `naru help`, `naru help get`: as kubectl and docker take it.
if (args is ["help", .. var topic]) args = [.. topic, "--help"];

var root = new RootCommand("naru, a service mesh: control plane, command line and local runner");
root.Add(UpVerb.Up());
root.Add(UpVerb.Demo());
root.Add(DownVerb.Make());
root.Add(RunVerb.Make());
root.Add(StatusVerb.Make());
root.Add(LogsVerb.Make());
root.Add(ApplyVerb.Apply());
root.Add(ApplyVerb.Create());
root.Add(GetVerb.Make());
root.Add(DeleteVerb.Make());
root.Add(RolloutVerb.Rollout());
root.Add(RolloutVerb.Scale());
root.Add(ProxyStatusVerb.Make());
root.Add(ProxyVerb.Make());
root.Add(ControlVerb.Make());
root.Add(VersionVerb.Make());
root.Add(CompletionVerb.Make());

ParseResult parsed = root.Parse(args, new ParserConfiguration { EnablePosixBundling = false });
if (parsed.Errors.Count > 0)
{
    foreach (ParseError error in parsed.Errors) Console.Error.WriteLine($"naru: {error.Message}");
    string verb = parsed.CommandResult.Command is RootCommand ? "" : $"{parsed.CommandResult.Command.Name} ";
    Console.Error.WriteLine($"`naru {verb}--help` says what there is");
    return Exit.Usage;
}
try
{
    // Verbs that run long listen for signals themselves; the others may die of them.
    return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null, EnableDefaultExceptionHandler = false });
}
catch (MeshException e)
{
    Screen.Complain(e.Diagnostic);
    return Exit.Failed;
}
catch (RunnerException e)
{
    Screen.Complain(e.Diagnostic.ToDiagnostic());
    return Exit.Failed;
}
catch (UnreachableException e)
{
    Console.Error.WriteLine($"naru: {e.Message}");
    return Exit.Unreachable;
}
catch (OperationCanceledException)
{
    return 130;
}
catch (Exception e) when (e is IOException or UnauthorizedAccessException)
{
    Console.Error.WriteLine($"naru: {e.Message}");
    return Exit.Failed;
}
