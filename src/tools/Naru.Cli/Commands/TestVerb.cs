// naru test FILE…: unit tests of routes. Each case is a request and what is expected to become of it; the answer is that of `naru explain`, by the proxy's
// own code, from a bootstrap, a config_dump or a running proxy. Nothing is sent.
using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Xml;
using Naru.Cli.Output;
using Naru.Cli.RouteTests;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class TestVerb
{
    private const int MostLosers = 3;

    // Of configuration that is not there: what would come from a server, and what the proxy refuses of a dump.
    private static readonly string[] s_leftOut = ["[NARU-X110]", "[NARU-X114]"];

    private sealed record Result(string File, RouteCase Case, IReadOnlyList<string> Faults, IReadOnlyList<string> Why, TimeSpan Took);

    public static Command Make()
    {
        var files = new Argument<string[]>("FILE") { Description = "Files with cases, YAML or JSON; those of Envoy's route table check tool, too", Arity = new ArgumentArity(1, 1000) };
        var proxy = new ProxyOptions();
        Option<string?> output = OutputFormat.JsonOnly("junit");
        output.Description = "json; junit: XML for CI";
        var command = new Command("test", "Unit tests of routes: what becomes of requests, and what should") { files };
        proxy.AddTo(command);
        command.Add(output);
        var partial = new Option<bool>("--partial") { Description = "Judge by what could be read, where resources of -c or --dump are left out" };
        command.Add(partial);
        command.SetAction(async (parsed, cancel) =>
        {
            var faults = new Diagnostics();
            var cases = new List<(string File, RouteCase Case)>();
            foreach (ManifestText text in await ManifestFiles.ReadAsync(parsed.GetValue(files)!, null, false, faults, cancel).ConfigureAwait(false))
                cases.AddRange(new RouteCaseReader(faults).Read(text.Text, text.Name).Select(c => (text.Name, c)));
            Screen.Complain(faults.Items);
            if (faults.HasErrors) return Exit.Usage;
            if (await proxy.OpenAsync(parsed, cancel).ConfigureAwait(false) is not { } asked) return Exit.Usage;
            var results = new List<Result>();
            IReadOnlyList<string> complaints = [];
            await using (asked)
            {
                foreach ((string file, RouteCase one) in cases)
                {
                    long start = Stopwatch.GetTimestamp();
                    ExplainAnswer answer = await asked.AskAsync(one.Request, "json", cancel).ConfigureAwait(false);
                    // Without a proxy that reads its configuration no case can be judged.
                    if (answer is { Fault: { } broken, IsUsage: false } && asked is Explaining.Started)
                    {
                        Screen.Say(broken);
                        return Exit.Failed;
                    }
                    IReadOnlyList<string> wrong = answer.Fault is { } fault ? [fault] : one.Check(answer.Json!.Value);
                    results.Add(new Result(file, one, wrong, wrong.Count > 0 && answer.Json is { } why ? Why(why) : [], Stopwatch.GetElapsedTime(start)));
                }
                complaints = await asked.EndAsync().ConfigureAwait(false);
            }
            foreach (string complaint in complaints) Screen.Say(complaint);
            int leftOut = parsed.GetValue(partial) ? 0 : complaints.Count(c => s_leftOut.Any(c.Contains));
            int failed = results.Count(r => r.Faults.Count > 0);
            switch (parsed.GetValue(output))
            {
                case "json":
                    Screen.Json(new { ok = failed + leftOut == 0, left_out = leftOut, passed = results.Count - failed, failed, cases = results.Select(r => new { file = r.File, line = r.Case.Place.Line, name = r.Case.Name, ok = r.Faults.Count == 0, faults = r.Faults, why = r.Why }) });
                    break;
                case "junit":
                    Junit(results);
                    break;
                default:
                    Print(results, failed);
                    break;
            }
            if (leftOut > 0)
                Screen.Say($"{Screen.Count(leftOut, "resource")} of the configuration left out: the cases say nothing of a whole one; --partial judges by what could be read");
            return failed + leftOut > 0 ? Exit.Failed : Exit.Ok;
        });
        return command;
    }

    private static void Print(List<Result> results, int failed)
    {
        foreach (Result result in results)
        {
            if (result.Faults.Count == 0)
            {
                Console.WriteLine($"{Screen.Green("ok", Screen.OutColour)}    {Clean(result.Case.Name)}");
                continue;
            }
            Console.WriteLine($"{Screen.Red("FAIL", Screen.OutColour)}  {Clean(result.Case.Name)} ({result.Case.Place})");
            foreach (string fault in result.Faults) Console.WriteLine($"      {Clean(fault)}");
            foreach (string why in result.Why) Console.WriteLine($"        {Clean(why)}");
        }
        Console.WriteLine($"{Screen.Count(results.Count, "case")}: {results.Count - failed} passed, {failed} failed");
    }

    // Where the request went, and who lost on the way.
    private static List<string> Why(JsonElement explanation)
    {
        var lines = new List<string>();
        string host = Json.Text(explanation, "virtual_host", "name");
        lines.Add(host.Length > 0 ? $"virtual host {host}, by {Json.Text(explanation, "virtual_host", "domain")}" : $"no virtual host has {Json.Text(explanation, "request", "authority")}");
        if (Json.At(explanation, "route") is { } route) lines.Add($"route #{Json.Text(route, "index")} {Json.Text(route, "match")}: {Json.Text(route, "action")}");
        foreach (JsonElement lost in Json.Items(explanation, "routes", "lost").Take(MostLosers))
            lines.Add($"lost: #{Json.Text(lost, "index")} wants {Json.Text(lost, "wanted")}; got {Json.Text(lost, "got")}");
        foreach (JsonElement note in Json.Items(explanation, "notes")) lines.Add($"note: {note.GetString()}");
        return lines;
    }

    // What Jenkins, GitLab and GitHub's reporters read.
    private static void Junit(List<Result> results)
    {
        using var writer = XmlWriter.Create(Console.Out, new XmlWriterSettings { Indent = true, OmitXmlDeclaration = false, CheckCharacters = false });
        string Seconds(TimeSpan time) => time.TotalSeconds.ToString("0.000", CultureInfo.InvariantCulture);
        writer.WriteStartElement("testsuites");
        foreach (IGrouping<string, Result> suite in results.GroupBy(r => r.File))
        {
            writer.WriteStartElement("testsuite");
            writer.WriteAttributeString("name", Xml(suite.Key));
            writer.WriteAttributeString("tests", $"{suite.Count()}");
            writer.WriteAttributeString("failures", $"{suite.Count(r => r.Faults.Count > 0)}");
            writer.WriteAttributeString("time", Seconds(TimeSpan.FromTicks(suite.Sum(r => r.Took.Ticks))));
            foreach (Result result in suite)
            {
                writer.WriteStartElement("testcase");
                writer.WriteAttributeString("classname", Xml(suite.Key));
                writer.WriteAttributeString("name", Xml(result.Case.Name));
                writer.WriteAttributeString("time", Seconds(result.Took));
                if (result.Faults.Count > 0)
                {
                    writer.WriteStartElement("failure");
                    writer.WriteAttributeString("message", Xml(result.Faults[0]));
                    writer.WriteString(Xml(string.Join('\n', [$"{result.Case.Place}", .. result.Faults, .. result.Why])));
                    writer.WriteEndElement();
                }
                writer.WriteEndElement();
            }
            writer.WriteEndElement();
        }
        writer.WriteEndElement();
        writer.Flush();
        Console.WriteLine();
    }

    // XML has no way to write most control characters.
    private static string Xml(string text) => string.Concat(text.Select(c => XmlConvert.IsXmlChar(c) || char.IsSurrogate(c) ? c : '?'));

    private static string Clean(string text) => string.Concat(text.Select(c => char.IsControl(c) ? '?' : c));
}
