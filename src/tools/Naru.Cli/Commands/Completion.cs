// naru completion SHELL: prints a script that asks naru itself what could come next, names in the running mesh included.
using System.CommandLine;

namespace Naru.Cli.Commands;

internal static class CompletionVerb
{
    // COMP_POINT counts from the start of the whole line; a command before this one on it is none of ours.
    private const string Bash = """
        # bash completion for naru: source <(naru completion bash)
        _naru_complete() {
          local word=${COMP_WORDS[COMP_CWORD]} line=${COMP_LINE:0:COMP_POINT} found
          mapfile -t found < <("${COMP_WORDS[0]}" "[suggest:${#line}]" "$line" 2>/dev/null)
          COMPREPLY=()
          local one
          for one in "${found[@]}"; do
            [[ $one == "$word"* ]] && COMPREPLY+=("$one")
          done
          [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        }
        complete -o default -F _naru_complete naru ./naru
        """;

    private const string Zsh = """
        #compdef naru
        # zsh completion for naru: source <(naru completion zsh)
        _naru_complete() {
          local -a found
          local line="${words[1,CURRENT]}"
          found=("${(@f)$("${words[1]}" "[suggest:${#line}]" "$line" 2>/dev/null)}")
          (( ${#found} )) && compadd -- "${found[@]}" || _files
        }
        compdef _naru_complete naru
        """;

    private const string Fish = """
        # fish completion for naru: naru completion fish | source
        function __naru_complete
            set -l line (commandline -cp)
            set -l program (commandline -opc)[1]
            $program "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null
        end
        complete -c naru -a '(__naru_complete)'
        """;

    private const string PowerShell = """
        # PowerShell completion for naru: naru completion powershell | Out-String | Invoke-Expression
        Register-ArgumentCompleter -Native -CommandName naru -ScriptBlock {
            param($wordToComplete, $commandAst, $cursorPosition)
            $line = $commandAst.ToString().PadRight($cursorPosition).Substring(0, $cursorPosition)
            & $commandAst.CommandElements[0].Value "[suggest:$cursorPosition]" $line 2>$null |
                Where-Object { $_ -like "$wordToComplete*" } |
                ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
        }
        """;

    public static Command Make()
    {
        var shell = new Argument<string>("SHELL") { HelpName = "SHELL", Description = "bash, zsh, fish or powershell" };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish", "powershell");
        var command = new Command("completion", "Prints a completion script for a shell") { shell };
        command.SetAction(parsed =>
        {
            Console.WriteLine(parsed.GetValue(shell) switch { "bash" => Bash, "zsh" => Zsh, "fish" => Fish, _ => PowerShell });
            return Exit.Ok;
        });
        return command;
    }
}
