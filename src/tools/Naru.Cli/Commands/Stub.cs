// naru stub: a stand-in for a service. `naru up --stub` starts one for each Deployment that nothing else here runs; `naru run --name N --
// naru stub` puts one beside a service of one's own.
using System.Collections;
using System.CommandLine;
using System.Runtime.InteropServices;
using Naru.Local.Stub;

namespace Naru.Cli.Commands;

internal static class StubVerb
{
    public static Command Make()
    {
        var name = new Option<string>("--name") { Description = "Who it says it is", HelpName = "NAME", DefaultValueFactory = _ => "stub" };
        var label = new Option<string?>("--label") { Description = "Which version it says it is ($SERVICE_VERSION)", HelpName = "VERSION" };
        var image = new Option<string?>("--image") { Description = "In whose place it says it stands", HelpName = "IMAGE" };
        var text = new Option<string?>("--text") { Description = "Answer with this text alone, as hashicorp/http-echo does" };
        var hello = new Option<string?>("--hello")
        {
            Description = "Answer /hello as Istio's helloworld of that version does",
            HelpName = "VERSION",
        };
        var status = new Option<int>("--status") { Description = "Status of its answers (200)", DefaultValueFactory = _ => 200 };
        var port = new Option<int[]>("--port")
        {
            Description = "Ports on 127.0.0.1; 0 takes a free one. Without it those of the environment (PORT_N, PORT)",
            AllowMultipleArgumentsPerToken = false,
        };
        status.InRange(200, 599, "no status of an answer");
        port.InRange(0, 65535, "no port");
        var command = new Command("stub", "A stand-in service: answers with its name, version and the request") { name,
            label, image, port, text, hello, status };
        command.SetAction(async (parsed, cancel) => await RunAsync(new StubOptions
        {
            Name = parsed.GetValue(name)!,
            Version = parsed.GetValue(label) ?? Environment.GetEnvironmentVariable("SERVICE_VERSION") ?? "",
            Image = parsed.GetValue(image) ?? "",
            Pod = Environment.GetEnvironmentVariable("POD_NAME") ?? "",
            Text = parsed.GetValue(text),
            Hello = parsed.GetValue(hello),
            Status = parsed.GetValue(status),
            Ports = parsed.GetValue(port) is { Length: > 0 } given ? given : Told(),
        }).ConfigureAwait(false));
        return command;
    }

    private static async Task<int> RunAsync(StubOptions options)
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void Heard(PosixSignalContext context)
        {
            context.Cancel = true;
            asked.TrySetResult();
        }
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Heard);
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Heard);
        StubServer server;
        try
        {
            server = await StubServer.StartAsync(options).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            Screen.Say($"cannot listen on {string.Join(", ", options.Ports.Select(p => $"127.0.0.1:{p}"))}: {Core.Causes.Of(e)}");
            return Exit.Failed;
        }
        await using (server)
        {
            string version = options.Version.Length > 0 ? $" {options.Version}" : "";
            Console.WriteLine($"{options.Name}{version}, a stand-in, {(server.Ports.Count == 0 ? "listens nowhere" : $"listens on {string.Join(", ", server.Ports.Select(p => $"http://127.0.0.1:{p}"))}")}");
            await asked.Task.ConfigureAwait(false);
        }
        return Exit.Ok;
    }

    // Each port of a container has a variable of its own; without containers there is PORT.
    private static int[] Told()
    {
        List<int> ports = [.. Environment.GetEnvironmentVariables().Cast<DictionaryEntry>()
            .Where(v => ((string)v.Key).StartsWith("PORT_", StringComparison.Ordinal) && int.TryParse(((string)v.Key)[5..], out _))
            .Select(v => int.TryParse((string?)v.Value, out int port) ? port : 0).Where(p => p > 0).Distinct()];
        if (ports.Count == 0 && int.TryParse(Environment.GetEnvironmentVariable("PORT"), out int one)) ports.Add(one);
        return [.. ports];
    }
}
