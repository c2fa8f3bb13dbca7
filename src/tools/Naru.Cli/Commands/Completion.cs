// naru completion bash|zsh|fish: prints a script that asks naru itself what could come next.
using System.CommandLine;

namespace Naru.Cli.Commands;

internal static class CompletionVerb
{
    private const string Bash = """
        # bash completion for naru: source <(naru completion bash)
        _naru_complete() {
          local IFS=$'\n'
          COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "[suggest:${COMP_POINT}]" "${COMP_LINE}" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
        }
        complete -o default -F _naru_complete naru ./naru
        """;

    private const string Zsh = """
        # zsh completion for naru: source <(naru completion zsh)
        _naru_complete() {
          local -a found
          found=("${(@f)$("${words[1]}" "[suggest:${CURSOR}]" "${BUFFER}" 2>/dev/null)}")
          compadd -a found
        }
        compdef _naru_complete naru
        """;

    private const string Fish = """
        # fish completion for naru: naru completion fish | source
        complete -f -c naru -a '(naru "[suggest:"(commandline -C)"]" (commandline -cp) 2>/dev/null)'
        """;

    public static Command Make()
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or fish" };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish");
        var command = new Command("completion", "Prints a completion script for a shell") { shell };
        command.SetAction(parsed =>
        {
            Console.WriteLine(parsed.GetValue(shell) switch { "bash" => Bash, "zsh" => Zsh, _ => Fish });
            return Exit.Ok;
        });
        return command;
    }
}
