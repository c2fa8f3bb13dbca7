// Follows one application as long as it lives: finds where its own processes listen, hears when they stop or move, and says after a while
// what keeps it from being reached. It trusts the owner of a socket, never a port that merely answers.
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Naru.Core;
using Naru.Local.Processes;

namespace Naru.Local.Pods;

/// <summary>What is watched.</summary>
internal sealed record WatchedApp
{
    /// <summary>As people know it.</summary>
    public required string Name { get; init; }
    /// <summary>Ports at which it may listen, the one preferred first.</summary>
    public required IReadOnlyList<int> Ports { get; init; }
    /// <summary>Whether it may listen anywhere else instead.</summary>
    public bool AnyPort { get; init; }
    /// <summary>Where <see cref="Ports"/> come from, for example <c>--port 5000</c>.</summary>
    public required string Told { get; init; }
    /// <summary>What to do about another port than those.</summary>
    public required string Elsewhere { get; init; }
    /// <summary>How to say which of several it is.</summary>
    public required string Choose { get; init; }
}

/// <summary>Its watch.</summary>
/// <param name="app">What.</param>
/// <param name="machine">Looks, for all watches together.</param>
/// <param name="time">Clock.</param>
internal sealed class AppWatch(WatchedApp app, Machine machine, TimeProvider time)
{
    /// <summary>How long an application may be silent before it is asked about.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(40);
    private static readonly TimeSpan s_calmLook = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_settle = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan s_connectBound = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan s_answerBound = TimeSpan.FromSeconds(10);

    // Debuggers open these beside the application: Node's inspector, the JVM's, Python's. Some answer HTTP, some do not take it well.
    private static readonly int[] s_debuggers = [9229, 9230, 5005, 5678];

    private static readonly byte[] s_question =
        [.. "HEAD / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: naru\r\nConnection: close\r\n\r\n"u8];

    // Who does not answer HTTP to so many is not asked any more: a database that hears it again and again locks this machine out.
    private const int MostQuestions = 3;

    private readonly Dictionary<long, (Task<int> Status, long At, int Count)> _asked = [];
    private HashSet<long> _before = [];
    private IReadOnlyList<ListeningSocket>? _seen;
    private int[] _candidates = [];
    private long _candidatesSince;

    /// <summary>It can be reached, or at another place than before.</summary>
    public required Func<Way, Sight, Task> Found { get; init; }

    /// <summary>It cannot be reached any more.</summary>
    public required Action<Diagnostic> Lost { get; init; }

    /// <summary>What is wrong, after <see cref="Patience"/>, then more and more rarely; or what was chosen of several.</summary>
    public required Action<Diagnostic> Say { get; init; }

    /// <summary>Follows it until cancelled.</summary>
    /// <param name="tree">Its processes.</param>
    /// <param name="cancel">Ends it.</param>
    public async Task FollowAsync(ProcessTree tree, CancellationToken cancel)
    {
        long since = time.GetTimestamp();
        TimeSpan next = Patience;
        Way? current = null;
        Sight sight = Sight.Nothing;
        long walked = 0;
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            TimeSpan pace = current is null ? Pace(time.GetElapsedTime(since)) : s_calmLook;
            MachineLook look = machine.Look(pace / 2);
            IReadOnlyList<ListeningSocket> all = look.Sockets;
            bool due = current is null && time.GetElapsedTime(since) >= next;
            if (HasChanged(all) || due || (current is null && time.GetElapsedTime(walked) >= s_calmLook))
            {
                walked = time.GetTimestamp();
                sight = Sight.Of(all, tree.Sockets(look), [app.Ports[0]]);
            }
            Way? best = await ChooseAsync(sight, current, all, cancel).ConfigureAwait(false);
            if (best != current)
            {
                if (best is null)
                {
                    (since, next) = (time.GetTimestamp(), Patience);
                    Lost(Trouble(sight, []));
                }
                else
                {
                    if (_candidates.Length > 1 && _candidates.Contains(best.Port)) Say(Several(best));
                    await Found(best, sight).ConfigureAwait(false);
                }
                current = best;
            }
            else if (due && current is null)
            {
                // Where nothing runs any more, somebody else says how it ended.
                if (tree.Members(look.Processes) is { Count: > 0 } members) Say(Trouble(sight, members));
                TimeSpan waited = time.GetElapsedTime(since);
                next = waited < TimeSpan.FromSeconds(15) ? TimeSpan.FromSeconds(15) : waited + TimeSpan.FromSeconds(60);
            }
            await Task.Delay(current is null ? pace : s_calmLook, time, cancel).ConfigureAwait(false);
        }
    }

    /// <summary>How long until the next look at one that was waited for so long: what starts is found at once, what does not start costs
    /// one look a second.</summary>
    public static TimeSpan Pace(TimeSpan waited) => waited < Patience ? s_look : waited >= s_calmLook * 10 ? s_calmLook : waited / 10;

    private bool HasChanged(IReadOnlyList<ListeningSocket> all)
    {
        if (ReferenceEquals(_seen, all)) return false;
        _seen = all;
        HashSet<long> now = [.. all.Select(s => s.Inode)];
        if (now.SetEquals(_before)) return false;
        _before = now;
        return true;
    }

    // The port it was told; else the one that it has; else the one of several that answers HTTP.
    private async Task<Way?> ChooseAsync(Sight sight, Way? current, IReadOnlyList<ListeningSocket> all, CancellationToken cancel)
    {
        foreach (int port in app.Ports)
        {
            if (await FirstAsync(sight, port, current, cancel).ConfigureAwait(false) is { } told) return told;
        }
        if (!app.AnyPort) return null;
        int[] others = [.. sight.Ways.Select(w => w.Port).Distinct().Except(app.Ports)];
        if (current is not null && others.Contains(current.Port))
        {
            return await FirstAsync(sight, current.Port, current, cancel).ConfigureAwait(false);
        }
        if (!others.SequenceEqual(_candidates)) (_candidates, _candidatesSince) = (others, time.GetTimestamp());
        TimeSpan settled = time.GetElapsedTime(_candidatesSince);
        // Many open a second port a moment after the first, and it may be the one they were told.
        if (others.Length == 0 || settled < s_settle) return null;
        int[] open = [.. others.Except(s_debuggers)];
        var answered = new List<(int Status, Way Way)>();
        foreach (int port in open)
        {
            if (await FirstAsync(sight, port, current, cancel).ConfigureAwait(false) is not { } way) continue;
            long inode = all.First(s => s.Port == port).Inode;
            if (Status(way, inode, cancel) is > 0 and var status) answered.Add((status, way));
        }
        // 400 and 426 are what servers of something else say to a plain request (TLS, WebSocket).
        if (answered.Count > 0) return answered.OrderBy(a => a.Status is 400 or 426).ThenBy(a => a.Way.Port).First().Way;
        return settled >= Patience && open.Length == 1 ? await FirstAsync(sight, open[0], current, cancel).ConfigureAwait(false) : null;
    }

    private async Task<Way?> FirstAsync(Sight sight, int port, Way? current, CancellationToken cancel)
    {
        foreach (Way way in sight.Ways.Where(w => w.Port == port))
        {
            if (way.IsSure || way == current || await ConnectsAsync(way, cancel).ConfigureAwait(false)) return way;
        }
        return null;
    }

    private async Task<bool> ConnectsAsync(Way way, CancellationToken cancel)
    {
        using var socket = new Socket(way.Address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(way.Address, cancel).AsTask().WaitAsync(s_connectBound, time, cancel).ConfigureAwait(false);
            return true;
        }
        catch (Exception e) when (e is SocketException or TimeoutException)
        {
            return false;
        }
    }

    // What a port said to a question about HTTP; 0 as long as nothing came, and where it was no HTTP. Asked only of ports that the
    // application chose itself; again where it hung up, since some accept before they can answer, each time later.
    private int Status(Way way, long inode, CancellationToken cancel)
    {
        bool known = _asked.TryGetValue(inode, out (Task<int> Status, long At, int Count) asked);
        bool again = asked is { Count: < MostQuestions, Status: { IsCompletedSuccessfully: true, Result: 0 } };
        if (!known || (again && time.GetElapsedTime(asked.At) > s_connectBound * Math.Pow(4, asked.Count - 1)))
        {
            _asked[inode] = asked = (AskAsync(way, cancel), time.GetTimestamp(), asked.Count + 1);
        }
        return asked.Status.IsCompletedSuccessfully ? asked.Status.Result : 0;
    }

    // A HEAD of the root changes nothing and is answered by whatever speaks HTTP/1.1.
    private static async Task<int> AskAsync(Way way, CancellationToken cancel)
    {
        using var socket = new Socket(way.Address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        bound.CancelAfter(s_answerBound);
        try
        {
            await socket.ConnectAsync(way.Address, bound.Token).ConfigureAwait(false);
            await socket.SendAsync(s_question, bound.Token).ConfigureAwait(false);
            byte[] answer = new byte[12];
            int have = 0;
            while (have < answer.Length)
            {
                int read = await socket.ReceiveAsync(answer.AsMemory(have), bound.Token).ConfigureAwait(false);
                if (read == 0) return 0;
                have += read;
            }
            string line = Encoding.ASCII.GetString(answer);
            if (!line.StartsWith("HTTP/1.", StringComparison.Ordinal)) return 0;
            return int.TryParse(line.AsSpan(9, 3), CultureInfo.InvariantCulture, out int status) ? status : 0;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            return 0;
        }
    }

    private Diagnostic Several(Way chosen) => new("NARU-L035", Severity.Info,
        $"{app.Name} listens on {List(_candidates)}; requests go to {chosen.Port}, which answers HTTP", Remedy: app.Choose);

    private Diagnostic Trouble(Sight sight, IReadOnlyList<ProcessEntry> members)
    {
        static Diagnostic Warn(string code, string message, string remedy) => new(code, Severity.Warning, message, Remedy: remedy);
        int[] ports = [.. sight.Ports];
        if (sight.Held.FirstOrDefault(s => s.Port == app.Ports[0] || ports.Contains(s.Port)) is { } held)
        {
            string holder = PortHolder.Name(new HashSet<long> { held.Inode });
            int[] rest = [.. ports.Except([held.Port])];
            string own = rest.Length == 0 ? "" : $"; its own processes listen on {List(rest)}";
            string message = $"port {held.Port} is held by {holder}, which is no process of {app.Name}{own}; no request is sent there";
            return Warn("NARU-L034", message, $"end that process, or {app.Elsewhere}");
        }
        if (ports.Length > 0 && app.AnyPort)
        {
            string answer = ports.Length == 1 ? "it does not answer" : "none of them answers";
            return Warn("NARU-L032", $"{app.Name} listens on {List(ports)}, and {answer} HTTP there", app.Choose);
        }
        if (ports.Length > 0)
        {
            string message = $"{app.Name} listens on {List(ports)}, not on {app.Ports[0]} ({app.Told}); no request is sent to it";
            return Warn("NARU-L032", message, app.Elsewhere);
        }
        string told = $"it was told {app.Ports[0]} ({app.Told}){(app.AnyPort ? " and is found wherever it listens" : "")}";
        if (members.Count == 0) return Warn("NARU-L033", $"{app.Name} does not listen any more", told);
        string who = string.Join(", ", members.Take(3).Select(m => $"{ProcessTable.NameOf(m.Pid) ?? m.Name} {m.Pid}"));
        string more = members.Count > 3 ? $" and {members.Count - 3} more" : "";
        return Warn("NARU-L033", $"{app.Name} runs ({who}{more}) and listens on no port yet",
            $"{told}; is it still being built, or does it wait for something?");
    }

    private static string List(IReadOnlyList<int> ports) =>
        ports.Count == 1 ? $"{ports[0]}" : $"{string.Join(", ", ports.Take(ports.Count - 1))} and {ports[^1]}";
}
