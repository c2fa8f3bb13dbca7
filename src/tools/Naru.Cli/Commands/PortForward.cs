// naru port-forward KIND/NAME [LOCAL:]PORT …: a port of this machine that leads to one of a pod, or of a ready pod of a service or
// Deployment. Connections go to the pod's own address, through its sidecar, so they are seen and ruled like any other.
using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Naru.Cli.Output;
using Naru.Inspect;

namespace Naru.Cli.Commands;

internal static class PortForwardVerb
{
    public static Command Make()
    {
        var scope = new ScopeOptions();
        var address = new Option<string>("--address") { Description = "Address to listen on", HelpName = "IP", DefaultValueFactory = _ => "127.0.0.1" };
        var target = new Argument<string>("KIND/NAME") { HelpName = "KIND/NAME", Description = "pod/NAME, service/NAME or deployment/NAME; a bare name is a pod's" };
        target.CompletionSources.Add(Completions.Targets);
        var ports = new Argument<string[]>("PORT") { Description = "PORT, LOCAL:PORT, or :PORT for any free one; a port may be named", Arity = ArgumentArity.OneOrMore };
        var command = new Command("port-forward", "Leads a port of this machine to a pod or service") { target, ports, address };
        scope.AddTo(command, everywhere: false);
        command.SetAction(async (parsed, cancel) =>
        {
            string word = parsed.GetValue(target)!;
            if (Targets.Parse([word.Contains('/') ? word : $"pod/{word}"], "port-forward") is not [var wanted]) return Exit.Usage;
            if (wanted.Kind.Name is not ("Pod" or "Service" or "Deployment"))
            {
                Screen.Say($"only pods, services and Deployments have ports to lead to, not a {wanted.Kind.Name}");
                return Exit.Usage;
            }
            if (!IPAddress.TryParse(parsed.GetValue(address), out IPAddress? own))
            {
                Screen.Say($"--address: \"{parsed.GetValue(address)}\" is no IP address");
                return Exit.Usage;
            }
            using Cluster cluster = scope.Open(parsed);
            string ns = parsed.GetValue(scope.Namespace) ?? "default";
            IReadOnlyList<JsonElement> all = await cluster.ListAsync(wanted.Kind, ns, cancel).ConfigureAwait(false);
            if (!all.Any(i => Json.Name(i) == wanted.Name))
            {
                Screen.Say(GetVerb.Missing(wanted, ns, all));
                return Exit.Failed;
            }
            var doors = new List<(TcpListener Listener, string Port)>();
            try
            {
                foreach (string text in parsed.GetValue(ports)!)
                {
                    if (await OpenAsync(cluster, wanted, ns, own, text, cancel).ConfigureAwait(false) is not { } door) return Exit.Failed;
                    doors.Add(door);
                }
                foreach ((TcpListener listener, string port) in doors) Console.WriteLine($"Forwarding from {listener.LocalEndpoint} -> {port}");
                await Console.Out.FlushAsync(cancel).ConfigureAwait(false);
                await Task.WhenAll(doors.Select(d => ServeAsync(d.Listener, () => FindAsync(cluster, wanted, ns, d.Port, cancel), cancel))).ConfigureAwait(false);
                return Exit.Ok;
            }
            finally
            {
                foreach ((TcpListener listener, _) in doors) listener.Dispose();
            }
        });
        return command;
    }

    private static async Task<(TcpListener, string)?> OpenAsync(Cluster cluster, Target target, string ns, IPAddress own, string text, CancellationToken cancel)
    {
        string[] parts = text.Split(':');
        string remote = parts[^1], local = parts.Length == 1 ? remote : parts[0];
        if (parts.Length > 2 || remote.Length == 0 || local.Length > 0 && parts.Length == 2 && !IsPort(local))
        {
            Screen.Say($"\"{text}\" is not PORT, LOCAL:PORT or :PORT");
            return null;
        }
        (IPEndPoint? end, string? fault) = await FindAsync(cluster, target, ns, remote, cancel).ConfigureAwait(false);
        if (end is null && fault is not null)
        {
            Screen.Say(fault);
            return null;
        }
        // A named port is the pod's number here, too, where none was given.
        int number = local.Length == 0 ? 0 : IsPort(local) ? int.Parse(local, System.Globalization.CultureInfo.InvariantCulture) : end!.Port;
        var listener = new TcpListener(own, number);
        try
        {
            listener.Start();
            return (listener, remote);
        }
        catch (SocketException e)
        {
            listener.Dispose();
            Screen.Say(e.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => $"port {number} is taken on {own}; choose another one: LOCAL:{remote}, or :{remote} for any free one",
                SocketError.AccessDenied => $"port {number} is for the system only; choose another one: LOCAL:{remote}",
                _ => $"{own}:{number} cannot be listened on; --address takes an address of this machine",
            });
            return null;
        }
    }

    private static bool IsPort(string text) => int.TryParse(text, out int port) && port is >= 1 and <= 65535;

    // Asked for every connection: a pod that was replaced meanwhile is another one.
    private static async Task<(IPEndPoint? End, string? Fault)> FindAsync(Cluster cluster, Target target, string ns, string port, CancellationToken cancel)
    {
        cluster.Forget();
        if (target.Kind.Name == "Service")
        {
            JsonElement service = (await cluster.ListAsync(target.Kind, ns, cancel).ConfigureAwait(false)).FirstOrDefault(s => Json.Name(s) == target.Name);
            string number = Json.Items(service, "spec", "ports").Where(p => Json.Text(p, "port") == port || Json.Text(p, "name") == port).Select(p => Json.Text(p, "port")).FirstOrDefault("");
            if (number.Length == 0) return (null, $"service {target.Name} has no port {port}; it has {string.Join(", ", Json.Items(service, "spec", "ports").Select(p => Json.Text(p, "port")))}");
            JsonElement page = await cluster.Control.GetAsync("debug/endpointz", cancel).ConfigureAwait(false);
            JsonElement end = page.EnumerateArray().Where(s => Json.Text(s, "service").StartsWith($"{target.Name}.{ns}.", StringComparison.Ordinal) && Json.Text(s, "port") == number).SelectMany(s => Json.Items(s, "endpoints")).FirstOrDefault();
            return end.ValueKind == JsonValueKind.Undefined ? (null, $"service {target.Name} has no ready pod for port {port}; see `naru get pods`") : (new IPEndPoint(IPAddress.Parse(Json.Text(end, "address")), end.GetProperty("port").GetInt32()), null);
        }
        MeshStatus? status = await cluster.StatusAsync(cancel).ConfigureAwait(false);
        List<JsonElement> pods = [.. (await cluster.ListAsync(Kinds.Find("pods")!, ns, cancel).ConfigureAwait(false)).Where(p => target.Kind.Name == "Pod" ? Json.Name(p) == target.Name
            : status?.Pods.Any(s => s.Workload == target.Name && s.Namespace == ns && s.Name == Json.Name(p)) == true)];
        if (pods.Count == 0) return (null, $"{target.Kind.Name.ToLowerInvariant()} {target.Name} has no pod");
        JsonElement pod = pods.FirstOrDefault(p => Columns.ReadyCondition(p) == "True") is { ValueKind: JsonValueKind.Object } ready ? ready : pods[0];
        List<JsonElement> open = [.. Json.Items(pod, "spec", "containers").SelectMany(c => Json.Items(c, "ports"))];
        string container = open.Where(p => Json.Text(p, "containerPort") == port || Json.Text(p, "name") == port).Select(p => Json.Text(p, "containerPort")).FirstOrDefault("");
        if (container.Length == 0) return (null, $"pod {Json.Name(pod)} has no port {port}; it has {string.Join(", ", open.Select(p => Json.Text(p, "containerPort")))}");
        // The gateway listens where people find it, not on its pod's address.
        if (status?.Pods.FirstOrDefault(p => p.Name == Json.Name(pod) && p.Namespace == ns) is { Pid: 0, AppPort: > 0, Workload: "istio-ingressgateway" } gateway && container == "8080") return (new IPEndPoint(IPAddress.Loopback, gateway.AppPort), null);
        return (new IPEndPoint(IPAddress.Parse(Json.Text(pod, "status", "podIP")), int.Parse(container, System.Globalization.CultureInfo.InvariantCulture)), null);
    }

    private static async Task ServeAsync(TcpListener listener, Func<Task<(IPEndPoint? End, string? Fault)>> find, CancellationToken cancel)
    {
        while (!cancel.IsCancellationRequested) _ = RelayAsync(await listener.AcceptTcpClientAsync(cancel).ConfigureAwait(false), find, cancel);
    }

    private static async Task RelayAsync(TcpClient client, Func<Task<(IPEndPoint? End, string? Fault)>> find, CancellationToken cancel)
    {
        using (client)
        using (var there = new TcpClient())
        {
            try
            {
                (IPEndPoint? end, string? fault) = await find().ConfigureAwait(false);
                if (end is null)
                {
                    Screen.Say(fault ?? "nobody is there");
                    return;
                }
                await there.ConnectAsync(end, cancel).ConfigureAwait(false);
                client.NoDelay = there.NoDelay = true;
                await Task.WhenAll(CopyAsync(client, there, cancel), CopyAsync(there, client, cancel)).ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException or SocketException or UnreachableException)
            {
                if (!there.Connected) Screen.Say($"a connection could not be led on: {ControlPlaneClient.Cause(e)}");
            }
        }
    }

    // Each way ends by itself: who has said all may still want to hear.
    private static async Task CopyAsync(TcpClient from, TcpClient to, CancellationToken cancel)
    {
        await from.GetStream().CopyToAsync(to.GetStream(), cancel).ConfigureAwait(false);
        to.Client.Shutdown(SocketShutdown.Send);
    }
}
