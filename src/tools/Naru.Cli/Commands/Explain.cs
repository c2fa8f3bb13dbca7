// naru explain KIND[.FIELD…]: which fields there are and what they hold, from the very declarations that manifests are read with; of an address or a
// method, what becomes of a request (ExplainRequest.cs). naru api-resources: which kinds there are.
using System.Collections.Immutable;
using System.CommandLine;
using System.CommandLine.Completions;
using Naru.Cli.Output;
using Naru.Control.Host;
using Naru.Core;

namespace Naru.Cli.Commands;

internal static class ExplainVerb
{
    public static Command Make()
    {
        var what = new Argument<string[]>("WHAT")
        {
            Description = "[METHOD] URL of a request; or KIND, KIND.spec.FIELD…, for example vs.spec.http.route",
            HelpName = "[METHOD] URL | KIND[.FIELD]",
            Arity = new ArgumentArity(1, 2),
        };
        what.CompletionSources.Add(_ => Schema.KindNames.Select(k => new CompletionItem(k.ToLowerInvariant())));
        var recursive = new Option<bool>("--recursive") { Description = "Of a kind: fields of fields as well" };
        var proxy = new ProxyOptions();
        var request = new RequestOptions();
        Option<string?> output = OutputFormat.JsonOnly();
        var command = new Command("explain", "What becomes of a request, and why; or which fields a kind has") { what, recursive };
        request.AddTo(command);
        proxy.AddTo(command);
        command.Add(output);
        command.SetAction(async (parsed, cancel) =>
        {
            string[] given = parsed.GetValue(what)!;
            bool isRequest = ExplainRequestVerb.IsMeant(given);
            Option[] others = isRequest ? [recursive] : [request.Headers, request.Listener, request.Source, request.ServerName, request.Random, proxy.From, proxy.Admin, proxy.Config, proxy.Dump, output];
            if (others.FirstOrDefault(o => parsed.GetResult(o) is { Implicit: false }) is { } stray)
            {
                Screen.Say(isRequest ? $"{stray.Name} is for kinds, and \"{given[^1]}\" is a request" : $"{stray.Name} is for requests, and \"{given[0]}\" is a kind; a request is [METHOD] http://HOST/PATH");
                return Exit.Usage;
            }
            if (isRequest) return await ExplainRequestVerb.RunAsync(given, parsed, proxy, request, parsed.GetValue(output) is not null, cancel).ConfigureAwait(false);
            if (given.Length == 1) return Fields(given[0].Split('.'), parsed.GetValue(recursive));
            Screen.Say($"unexpected \"{given[1]}\" after explain {given[0]}; a request is [METHOD] http://HOST/PATH");
            return Exit.Usage;
        });
        return command;
    }

    private static int Fields(string[] words, bool recursive)
    {
        if (Kinds.Find(words[0]) is not { } kind)
        {
            Screen.Complain(new Diagnostic("NARU-L042", Severity.Error, $"no kind \"{words[0]}\" is known", Remedy: Kinds.Suggestion(words[0])));
            return Exit.Usage;
        }
        if (Schema.Spec(kind.Name) is not { } spec)
        {
            Screen.Say($"{kind.Name} is Kubernetes' own; its fields are explained by kubectl explain and at https://kubernetes.io/docs/reference/. Naru explains {string.Join(", ", Schema.KindNames)}");
            return Exit.Failed;
        }
        ImmutableArray<SchemaField> fields =
        [
            new("apiVersion", "string", [], true, () => []), new("kind", "string", [], true, () => []), new("metadata", "ObjectMeta", [], true, () => []), new("spec", kind.Name, [], true, () => spec),
        ];
        SchemaField? field = null;
        for (int i = 1; i < words.Length; i++)
        {
            SchemaField? next = fields.FirstOrDefault(f => f.Name == words[i]);
            // Everybody leaves spec out.
            if (next is null && i == 1 && spec.FirstOrDefault(f => f.Name == words[i]) is { } inSpec) next = inSpec;
            if (next is null)
            {
                IEnumerable<string> known = (i == 1 ? fields.Concat(spec) : fields).Select(f => f.Name);
                Screen.Say($"{string.Join('.', words[..i])} has no field \"{words[i]}\"; {Nearest.Suggestion(words[i], known) ?? (known.Any() ? $"there are {string.Join(", ", known)}" : "it is a plain value")}");
                return Exit.Failed;
            }
            field = next;
            fields = next.Fields();
        }
        Console.WriteLine($"KIND:     {kind.Name}\nVERSION:  {kind.ApiVersion}\n");
        if (field is not null)
        {
            Console.WriteLine($"FIELD: {field.Name}{Type(field)}");
            if (!field.Supported) Console.WriteLine("  Istio has this field; it is not supported yet, and a manifest that uses it is refused.");
            if (field.Values.Length > 0) Console.WriteLine($"  one of {string.Join(", ", field.Values)}");
        }
        if (fields.Length > 0) Console.WriteLine($"{(field is null ? "" : "\n")}FIELDS:");
        Print(fields, "  ", recursive ? 12 : 1);
        return Exit.Ok;
    }

    private static void Print(ImmutableArray<SchemaField> fields, string indent, int depth)
    {
        if (depth == 0) return;
        int width = fields.Select(f => f.Name.Length).DefaultIfEmpty().Max();
        foreach (SchemaField field in fields)
        {
            Console.WriteLine($"{indent}{field.Name.PadRight(width)}  {(field.Supported ? Type(field).Trim() : "not supported yet")}");
            if (field.Supported) Print(field.Fields(), indent + "  ", depth - 1);
        }
    }

    private static string Type(SchemaField field) => field.Type.Length > 0 ? $" <{field.Type}>" : "";
}

internal static class ApiResourcesVerb
{
    public static Command Make()
    {
        Option<string?> output = OutputFormat.JsonOnly("wide", "name");
        var command = new Command("api-resources", "Which kinds there are") { output };
        command.SetAction(parsed =>
        {
            switch (parsed.GetValue(output))
            {
                case "json":
                    Screen.Json(Kinds.All.Select(k => new { name = k.Plural, shortNames = k.Short, apiVersion = k.ApiVersion, namespaced = k.Namespaced, kind = k.Name, verbs = k.Verbs }));
                    break;
                case "name":
                    foreach (Kind kind in Kinds.All) Console.WriteLine(kind.Plural);
                    break;
                case var wide:
                    string[] more = wide is null ? [] : ["VERBS"];
                    Screen.Table(Console.Out, ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", .. more], Kinds.All.Select(k => (IReadOnlyList<string>)
                    [
                        k.Plural, string.Join(",", k.Short), k.ApiVersion, k.Namespaced ? "true" : "false", k.Name, .. wide is null ? [] : new[] { string.Join(",", k.Verbs) },
                    ]));
                    break;
            }
            return Exit.Ok;
        });
        return command;
    }
}
