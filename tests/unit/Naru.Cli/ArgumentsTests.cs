// A word with a dash is an option or a mistake, never a name; what kubectl's users glue together comes apart.
using System.CommandLine;
using Naru.Cli;
using Naru.Cli.Commands;
using Xunit;

namespace Naru.UnitTests.Cli;

public sealed class ArgumentsTests
{
    private static RootCommand Root()
    {
        var root = new RootCommand();
        foreach (Command verb in (Command[])[GetVerb.Make(), DeleteVerb.Make(), ApplyVerb.Apply(), RunVerb.Make(), RolloutVerb.Rollout(), LogsVerb.Make(), TopVerb.Make()]) root.Add(verb);
        return root;
    }

    private static IReadOnlyList<string> Faults(string line)
    {
        RootCommand root = Root();
        return Arguments.Faults(root.Parse(Arguments.Expand(root, line.Split(' ')), new ParserConfiguration { EnablePosixBundling = false }));
    }

    [Theory]
    [InlineData("get vs -oyaml", "get vs -o yaml")]
    [InlineData("get vs -nshop -Aw", "get vs -n shop -A -w")]
    [InlineData("get vs -Aojson", "get vs -A -o json")]
    [InlineData("get vs -o=json", "get vs -o=json")]
    [InlineData("-n shop get vs", "get -n shop vs")]
    [InlineData("-A get vs", "get -A vs")]
    [InlineData("delete vs a --dry-run", "delete vs a --dry-run=server")]
    [InlineData("delete --dry-run vs a", "delete --dry-run=server vs a")]
    [InlineData("apply -f --dry-run", "apply -f --dry-run")]
    [InlineData("get vs -xyz", "get vs -xyz")]
    [InlineData("run --name a --port 1 -- sh -xc --dry-run", "run --name a --port 1 -- sh -xc --dry-run")]
    public void Glued_options_come_apart(string line, string expanded) => Assert.Equal(expanded, string.Join(' ', Arguments.Expand(Root(), line.Split(' '))));

    [Theory]
    [InlineData("delete vs reviews --dryrun", "delete has no option \"--dryrun\"; did you mean \"--dry-run\"?")]
    [InlineData("delete vs reviews --force", "delete has no option \"--force\"")]
    [InlineData("delete vs -x", "delete has no option \"-x\"")]
    [InlineData("get pods --selektor app=a", "get has no option \"--selektor\"; did you mean \"--selector\"?")]
    [InlineData("run --name a --prot 3 -- cmd", "run has no option \"--prot\"; did you mean \"--port\"?")]
    [InlineData("logs a --folow", "logs has no option \"--folow\"; did you mean \"--follow\"?")]
    [InlineData("rollout restart x --now", "rollout restart has no option \"--now\"")]
    [InlineData("gett vs", "there is no \"gett\"; did you mean \"get\"?")]
    [InlineData("rollout udno x", "there is no \"rollout udno\"; did you mean \"undo\"?")]
    [InlineData("exec pod", "there is no exec: a pod here is a process")]
    [InlineData("get", "get: KIND NAME is missing")]
    [InlineData("get vs -o", "--output needs a value")]
    [InlineData("get vs -o jsno", "did you mean \"json\"?")]
    [InlineData("get vs -l a=b=c", "selector \"a=b=c\"")]
    [InlineData("apply -f a b", "unexpected \"b\" after apply; each file has an -f of its own")]
    [InlineData("delete vs a --dry-run=sever", "did you mean \"server\"?")]
    [InlineData("top", "top what? There are pods, nodes")]
    public void What_is_wrong_is_said_with_what_was_meant(string line, string sentence) => Assert.Contains(sentence, Assert.Single(Faults(line)));

    [Theory]
    [InlineData("delete vs reviews --dry-run")]
    [InlineData("get pods,svc -l app=a -owide -A")]
    [InlineData("get vs a b c --show-labels")]
    [InlineData("apply -f - -f x --dry-run=client -R")]
    [InlineData("run --name a --port 1 -- sh -c --anything")]
    [InlineData("rollout undo deployment/x --to-revision 3")]
    public void What_is_right_is_taken(string line) => Assert.Empty(Faults(line));
}
