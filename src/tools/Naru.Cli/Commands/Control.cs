// naru control: the control plane alone, for proxies that somebody else runs.
using System.CommandLine;
using System.Net;
using System.Runtime.InteropServices;
using Naru.Control.Host;

namespace Naru.Cli.Commands;

internal static class ControlVerb
{
    public static Command Make()
    {
        var config = new Option<string[]>("--config") { Description = "File or folder with manifests, watched; may be given several times" };
        var store = new Option<string?>("--store") { Description = "Folder for what comes through the API; without it that is kept in memory" };
        Option<IPEndPoint> xds = Address("--xds-address", "Where proxies connect (gRPC without TLS)", 15010);
        Option<IPEndPoint> http = Address("--http-address", "REST API, debug pages, metrics", 15014);
        var token = new Option<string?>("--token-file") { Description = "File with the token of the API; made where it does not exist. Without it the API is closed" };
        var unenforced = new Option<bool>("--allow-unenforced")
        {
            Description =
            "Take rules that only proxies with certificates of their own enforce"
        };
        var verbose = new Option<bool>("--verbose") { Description = "Log details" };
        var command = new Command("control", "The control plane alone") { config, store, xds, http, token, unenforced, verbose };
        command.SetAction(async (parsed, _) =>
        {
            using var stop = new CancellationTokenSource();
            void Heard(PosixSignalContext context)
            {
                context.Cancel = true;
                stop.Cancel();
            }
            using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Heard);
            using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Heard);
            try
            {
                await ControlPlane.RunAsync(new ControlOptions
                {
                    Config = parsed.GetValue(config) ?? [],
                    Store = parsed.GetValue(store),
                    XdsAddress = parsed.GetValue(xds)!,
                    HttpAddress = parsed.GetValue(http)!,
                    TokenFile = parsed.GetValue(token),
                    AllowUnenforced = parsed.GetValue(unenforced),
                    Verbose = parsed.GetValue(verbose),
                }, stop.Token).ConfigureAwait(false);
                return Exit.Ok;
            }
            catch (ControlOptionsException e)
            {
                Screen.Say(e.Message);
                return e.Message.StartsWith("--", StringComparison.Ordinal) ? Exit.Usage : Exit.Failed;
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return Exit.Ok;
            }
        });
        return command;
    }

    private static Option<IPEndPoint> Address(string name, string description, int port) => new(name)
    {
        Description = $"{description}; IP:PORT",
        DefaultValueFactory = _ => new IPEndPoint(IPAddress.Loopback, port),
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (IPEndPoint.TryParse(text, out IPEndPoint? address) && text.Contains(':')) return address;
            result.AddError($"{name}: \"{text}\" is not IP:PORT");
            return null;
        },
    };
}
