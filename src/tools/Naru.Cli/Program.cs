// naru: every verb of the command line hangs here. This file reads arguments and turns what went wrong into an exit code;
// what a verb does is in Commands/. 0 ok, 1 a check failed, 2 wrong usage, 3 could not reach.
using System.CommandLine;
using System.CommandLine.Parsing;
using Naru.Cli;
using Naru.Cli.Commands;
using Naru.Inspect;
using Naru.Local;

// Read before anything is started, which should not inherit it.
_ = Screen.Program;
Screen.KeepQuiet();
// The data plane's own options are its own business: nothing of them is read here.
if (args is ["proxy", .. var rest]) return ProxyVerb.Become(rest);
// `naru help`, `naru help get`: as kubectl and docker take it.
if (args is ["help", .. var topic]) args = [.. topic, "--help"];

var root = new RootCommand("naru, a service mesh: control plane, command line and local runner");
Command[] verbs =
[
    UpVerb.Up(), UpVerb.Demo(), DownVerb.Make(), RunVerb.Make(), StatusVerb.Make(), LogsVerb.Make(), GetVerb.Make(), DescribeVerb.Make(), ApplyVerb.Apply(), ApplyVerb.Create(),
    DeleteVerb.Make(), DiffVerb.Make(), EditVerb.Make(), ValidateVerb.Make(), ImportVerb.Make(), ExplainVerb.Make(), TestVerb.Make(), ApiResourcesVerb.Make(),
    RolloutVerb.Rollout(), RolloutVerb.Scale(), TopVerb.Make(), GetVerb.Events(), PortForwardVerb.Make(), SamplesVerb.Make(), StubVerb.Make(),
    ProxyStatusVerb.Make(), ProxyVerb.Make(), ControlVerb.Make(), VersionVerb.Make(), CompletionVerb.Make(),
];
foreach (Command verb in verbs) root.Add(verb);

// [suggest:N] LINE: what could come next, for completion scripts.
if (args is [['[', 's', 'u', ..] ask, .. var line]) return Completions.Answer(root, ask, string.Join(' ', line));

ParseResult parsed = root.Parse(Arguments.Expand(root, args), new ParserConfiguration { EnablePosixBundling = false });
if (parsed.Action is not System.CommandLine.Help.HelpAction && Arguments.Faults(parsed) is { Count: > 0 } faults)
{
    foreach (string fault in faults) Screen.Say(fault);
    Console.Error.WriteLine(Screen.Hint($"`{Arguments.Path(parsed.CommandResult)} --help` says what there is"));
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
catch (RefusedException e)
{
    Screen.Complain(e.Diagnostic);
    return Exit.Failed;
}
catch (UnreachableException e)
{
    Screen.Say(e.Message);
    return Exit.Unreachable;
}
catch (OperationCanceledException)
{
    return 130;
}
catch (Exception e) when (e is IOException or UnauthorizedAccessException)
{
    // Whoever reads our output may have had enough of it (| head).
    if (e.Message.Contains("Broken pipe", StringComparison.Ordinal)) return Exit.Ok;
    Screen.Say(Faults.Sentence(e, withPath: true));
    return Exit.Failed;
}
catch (Exception e)
{
    Screen.Say(Faults.Keep(e));
    return Exit.Failed;
}
