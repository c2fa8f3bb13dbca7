// Has a request explained that nobody sends: finds the listener that it would come to, lets the serving code look at it on a worker up to where it would be
// forwarded or answered, and takes what was found out. Nothing is counted, logged or sent.
using System.Net;
using Naru.Core;
using Naru.Http.Http1;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Explain;

internal sealed class Explainer(Func<IReadOnlyList<Listener>> listeners, Worker worker, bool knowsHosts)
{
    // Not one of the proxy's.
    private static readonly WorkerLocal<StatBlock> s_stats = new(static w => new StatRegistry(w.Index).Block("http.explained", HttpStats.Schema));

    /// <summary>What was found out; null with a fault where no listener is meant.</summary>
    public async Task<(Explanation? Found, string Fault)> AskAsync(ExplainRequest request)
    {
        if (Choose(request, out string why, out string fault) is not { } listener) return (null, fault);
        var done = new TaskCompletionSource<Explanation>(TaskCreationOptions.RunContinuationsAsynchronously);
        // It catches what it throws.
        worker.Post(w => Unawaited.Run(RunAsync(w, listener, why, request, done, knowsHosts)));
        return (await done.Task.ConfigureAwait(false), "");
    }

    [System.Runtime.CompilerServices.AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> RunAsync(Worker worker, Listener listener, string why, ExplainRequest request, TaskCompletionSource<Explanation> done, bool knowsHosts)
    {
        try
        {
            done.TrySetResult(await ExplainAsync(worker, listener, why, request, knowsHosts));
        }
        catch (Exception e)
        {
            done.TrySetException(e);
        }
        return true;
    }

    [System.Runtime.CompilerServices.AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<Explanation> ExplainAsync(Worker worker, Listener listener, string why, ExplainRequest request, bool knowsHosts)
    {
        Explanation found = Explanation.OfNobody(request.Random, knowsHosts);
        found.Method = request.Method;
        found.Authority = request.Authority;
        found.Path = request.Target;
        found.Url = $"{(request.IsSecure ? "https" : "http")}://{request.Authority}{(request.Method == "CONNECT" ? "" : request.Target)}";
        found.Listener = Explanation.ListenerOf(listener, why);
        var connection = new ExplainedConnection(worker, listener, request, LocalOf(listener, request));
        if (connection.PickChain() is not { } chain)
        {
            found.Outcome = Closed("closed", "no filter chain of the listener is for this connection, which would be closed");
            foreach (FilterChain other in listener.Chains.All.Take(20))
                found.Notes.Add($"chain {other.Config.Name} is for {Explanation.MatchOf(listener, other)}");
            return found;
        }
        found.Chain = Explanation.ChainOf(listener, chain);
        if (chain.Manager is not { } manager)
        {
            found.Outcome = Closed("tcp", $"is no request to this chain: its bytes go to {found.Chain.Terminal}");
            return found;
        }
        if (request.IsSecure && chain.Config is { Tls: null, IsTlsLeftOut: false, Match.TransportProtocol: not "tls" }) found.Notes.Add("the URL says https, and the filter chain has no TLS");
        await AnswerAsync(worker, connection, manager.Unseen(s_stats.Of(worker)), request, found);
        return found;
    }

    private static Explanation.OutcomePart Closed(string kind, string why) => new(kind, 0, "", "", why, "", "", []);

    // As a connection does it that read a head (Http1Connection).
    [System.Runtime.CompilerServices.AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private static async ValueTask<bool> AnswerAsync(Worker worker, ExplainedConnection connection, HttpManager manager, ExplainRequest request, Explanation found)
    {
        byte[] head = request.Head();
        IoBuffer buffer = worker.Buffers.Rent();
        if (buffer.Room < head.Length) buffer = worker.Buffers.Grow(buffer, head.Length);
        Exchange x = worker.Cache.RentExchange();
        bool sound = false;
        try
        {
            buffer.Append(head);
            x.Head.StartRequest();
            HeadStatus status = x.Head.Parse(buffer.Filled, manager.Config.MaxRequestHeadersBytes, manager.Config.MaxHeadersCount);
            x.Begin(connection, connection, manager, buffer, buffer.Start, worker.Ticks);
            x.Explanation = found;
            Reason? refusal = status == HeadStatus.Incomplete ? Reasons.BadRequest : RequestCheck.Refusal(x);
            buffer.Start += x.Head.Length;
            x.StartRequestBody();
            _ = refusal is not null ? await LocalReply.SendAsync(x, refusal) : await Router.AnswerAsync(x);
            sound = true;
        }
        finally
        {
            x.Explanation = null;
            x.ResponseHeaders.End();
            x.End();
            if (sound) worker.Cache.Return(x);
            else worker.Cache.Drop(x);
            worker.Buffers.Return(buffer);
        }
        return true;
    }

    private static IPEndPoint LocalOf(Listener listener, ExplainRequest request)
    {
        int port = PortsOf(listener).FirstOrDefault(request.Port);
        if (IPAddress.TryParse(request.HostName, out IPAddress? ip)) return new IPEndPoint(ip, listener.Config.BindToPort ? port : request.Port);
        IPAddress bound = listener.Bound.OfType<IPEndPoint>().Select(b => b.Address).FirstOrDefault() ?? listener.Config.Address.Ip ?? IPAddress.Loopback;
        return new IPEndPoint(bound.Equals(IPAddress.Any) ? IPAddress.Loopback : bound.Equals(IPAddress.IPv6Any) ? IPAddress.IPv6Loopback : bound, port);
    }

    private static IEnumerable<int> PortsOf(Listener listener) =>
        listener.Bound.OfType<IPEndPoint>().Select(b => b.Port).Concat(listener.Config.AllAddresses.Where(a => a.Kind == Config.AddressKind.Socket && a.Port > 0).Select(a => a.Port)).Distinct();

    /// <summary>The listener that a request would come to: the one that is named, the one on the URL's address, one on its port, one that knows its host.</summary>
    private Listener? Choose(ExplainRequest request, out string why, out string fault)
    {
        Listener[] all = [.. listeners().Where(l => l.Udp is null).OrderBy(l => l.Config.Name, StringComparer.Ordinal)];
        why = fault = "";
        if (all.Length == 0)
        {
            fault = "this proxy has no listener";
            return null;
        }
        if (request.Listener.Length > 0)
        {
            why = "it was named";
            Listener? named = all.FirstOrDefault(l => l.Config.Name == request.Listener)
                ?? all.FirstOrDefault(l => AddressesOf(l).Contains(request.Listener))
                ?? (int.TryParse(request.Listener, out int wanted) ? all.FirstOrDefault(l => PortsOf(l).Contains(wanted)) : null);
            if (named is null) fault = $"no listener is \"{request.Listener}\"; {(request.Listener.Length <= 256 ? Nearest.Suggestion(request.Listener, all.Select(l => l.Config.Name)) : "")} there are {Names(all)}".Replace("  ", " ");
            return named;
        }
        string at = $"{request.HostName}:{request.Port}";
        if (all.FirstOrDefault(l => AddressesOf(l).Contains(at)) is { } exact)
        {
            why = $"it listens on {at}";
            return exact;
        }
        Listener[] onPort = [.. all.Where(l => PortsOf(l).Contains(request.Port))];
        if (onPort.Length > 0)
        {
            Listener best = onPort.OrderByDescending(l => Knows(l, request)).ThenBy(l => l.Config.Direction == Config.TrafficDirection.Inbound).First();
            why = onPort.Length == 1 ? $"it listens on port {request.Port}" : $"one of {onPort.Length} on port {request.Port}";
            return best;
        }
        Listener[] http = [.. all.Where(l => l.Chains.All.Any(c => c.Manager is not null))];
        if (http.Where(l => Knows(l, request)).OrderBy(l => l.Config.Direction == Config.TrafficDirection.Inbound).FirstOrDefault() is { } knows)
        {
            why = $"none listens on port {request.Port}, and its routes know {request.Authority}";
            return knows;
        }
        if (http is [var only])
        {
            why = $"the only one, though it does not listen on port {request.Port}";
            return only;
        }
        fault = $"no listener is on port {request.Port}, and no routes know {request.Authority}; name one of {Names(all)} (--listener)";
        return null;
    }

    // By a name of its own, not by *.
    private static bool Knows(Listener listener, ExplainRequest request)
    {
        byte[] authority = System.Text.Encoding.UTF8.GetBytes(request.Authority);
        return listener.Chains.All.Any(c => c.Manager?.Routes is { } table && table.Find(authority, out DomainMatch how) is not null && how.Kind != DomainKind.Any);
    }

    private static IEnumerable<string> AddressesOf(Listener listener) => listener.Bound.Select(b => b.ToString()!).Concat(listener.Config.AllAddresses.Select(a => a.ToString()));

    private static string Names(Listener[] all) =>
        string.Join(", ", all.Take(20).Select(l => $"{l.Config.Name} ({AddressesOf(l).First()})")) + (all.Length > 20 ? $" and {all.Length - 20} more" : "");
}
