// Asks DNS servers itself, for clusters that name them or want TTLs (Envoy: respect_dns_ttl, CaresDnsResolverConfig). The hosts file is
// looked at first, search domains as resolv.conf has them. Runs on the thread pool, never on a worker. Each question has a random id and
// a socket of its own, so that an answer that is not ours has little chance; what is not ours is waited past.
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Naru.Core;
using Naru.Proxy.Config;

namespace Naru.Proxy.Xds;

/// <summary>A DNS client.</summary>
/// <param name="resolvConf">The text of <c>/etc/resolv.conf</c>; null reads it.</param>
/// <param name="hosts">The text of <c>/etc/hosts</c>; null reads it.</param>
public sealed class DnsClient(Func<string>? resolvConf = null, Func<string>? hosts = null)
{
    private const int MostHops = 8, MostBytes = 65535;

    // A TTL longer than this is a mistake, and a timer has its bounds.
    private static readonly TimeSpan s_mostTtl = TimeSpan.FromDays(7);

    private readonly Func<string> _resolvConf = resolvConf ?? (static () => TextOf("/etc/resolv.conf"));
    private readonly Func<string> _hosts = hosts ?? (static () => TextOf("/etc/hosts"));

    /// <summary>The addresses of a name in one family; empty where there is none.</summary>
    /// <exception cref="SocketException">No server could say, or the name is none.</exception>
    public async Task<NameAnswer> LookupAsync(string name, AddressFamily family, DnsResolverConfig config, CancellationToken token)
    {
        if (ResolvConf.InHosts(_hosts(), name, family) is { } own) return new NameAnswer(own, null);
        ResolvConf conf = ResolvConf.Parse(_resolvConf());
        ushort type = family == AddressFamily.InterNetwork ? DnsMessage.A : DnsMessage.Aaaa;
        bool exists = false;
        SocketException? failure = null;
        foreach (string candidate in conf.Candidates(name, config.NoSearch))
        {
            try
            {
                (NameAnswer Answer, bool Exists) found = await FollowAsync(candidate, type, config, conf, token).ConfigureAwait(false);
                if (found.Answer.Addresses.Length > 0) return found.Answer;
                exists |= found.Exists;
            }
            catch (SocketException e)
            {
                // Another candidate may still be good; a failure must not pass for "no such name".
                failure ??= e;
            }
        }
        if (failure is not null) throw failure;
        return exists ? new NameAnswer([], null) : throw new SocketException((int)SocketError.HostNotFound);
    }

    // Follows aliases over messages, where a server does not do so itself.
    private async Task<(NameAnswer Answer, bool Exists)> FollowAsync(string name, ushort type, DnsResolverConfig config, ResolvConf conf, CancellationToken token)
    {
        uint seconds = uint.MaxValue;
        for (int hops = 0; hops < MostHops; hops++)
        {
            DnsAnswer answer = await AskAllAsync(name, type, config, conf, token).ConfigureAwait(false);
            if (answer.Verdict == DnsVerdict.NoName) return (new NameAnswer([], null), hops > 0);
            if (answer.Verdict == DnsVerdict.NoData) return (new NameAnswer([], null), true);
            seconds = Math.Min(seconds, answer.Seconds);
            if (answer.Alias is null) return (new NameAnswer(answer.Addresses, TimeSpan.FromSeconds(Math.Min(seconds, s_mostTtl.TotalSeconds))), true);
            name = answer.Alias;
        }
        throw new SocketException((int)SocketError.NoRecovery);
    }

    private static async Task<DnsAnswer> AskAllAsync(string name, ushort type, DnsResolverConfig config, ResolvConf conf, CancellationToken token)
    {
        IReadOnlyList<IPEndPoint> servers = [.. config.Servers.Select(s => new IPEndPoint(IPAddress.Parse(s.Host), s.Port))];
        if (servers.Count == 0 || (config.ServersAreFallback && conf.Servers.Count > 0)) servers = conf.Servers;
        if (servers.Count == 0) servers = [new IPEndPoint(IPAddress.Loopback, 53)];
        bool tcp = config.UseTcp || conf.UseTcp;
        int code = 0;
        for (int attempt = 0; attempt < conf.Attempts; attempt++)
        {
            foreach (IPEndPoint server in servers)
            {
                byte[] question = DnsMessage.Question((ushort)RandomNumberGenerator.GetInt32(65536), name, type) ?? throw new SocketException((int)SocketError.HostNotFound);
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(token);
                patience.CancelAfter(conf.Patience.ForTimer());
                try
                {
                    DnsAnswer answer = tcp ? await OverTcpAsync(server, question, patience.Token).ConfigureAwait(false) : await OverUdpAsync(server, question, patience.Token).ConfigureAwait(false);
                    if (answer.Verdict == DnsVerdict.Truncated && !tcp) answer = await OverTcpAsync(server, question, patience.Token).ConfigureAwait(false);
                    if (answer.Verdict is DnsVerdict.Answer or DnsVerdict.NoData or DnsVerdict.NoName) return answer;
                    code = answer.Code;
                }
                catch (Exception e) when (e is SocketException or IOException or OperationCanceledException)
                {
                    // The next server, unless nobody waits any more.
                    token.ThrowIfCancellationRequested();
                }
            }
        }
        throw new SocketException((int)(code == 0 ? SocketError.TimedOut : SocketError.TryAgain));
    }

    private static async Task<DnsAnswer> OverUdpAsync(IPEndPoint server, byte[] question, CancellationToken token)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        // Connected: the kernel drops what others send.
        await socket.ConnectAsync(server, token).ConfigureAwait(false);
        await socket.SendAsync(question, token).ConfigureAwait(false);
        var buffer = new byte[MostBytes];
        while (true)
        {
            int length = await socket.ReceiveAsync(buffer, token).ConfigureAwait(false);
            DnsAnswer answer = DnsMessage.Read(buffer.AsSpan(0, length), question);
            if (answer.Verdict != DnsVerdict.Alien) return answer;
        }
    }

    private static async Task<DnsAnswer> OverTcpAsync(IPEndPoint server, byte[] question, CancellationToken token)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(server, token).ConfigureAwait(false);
        await using var stream = new NetworkStream(socket);
        var request = new byte[question.Length + 2];
        BinaryPrimitives.WriteUInt16BigEndian(request, (ushort)question.Length);
        question.CopyTo(request, 2);
        await stream.WriteAsync(request, token).ConfigureAwait(false);
        var length = new byte[2];
        await stream.ReadExactlyAsync(length, token).ConfigureAwait(false);
        var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(length)];
        await stream.ReadExactlyAsync(message, token).ConfigureAwait(false);
        DnsAnswer answer = DnsMessage.Read(message, question);
        // Here nothing else will come; and what does not even fit here is no answer.
        return answer.Verdict is DnsVerdict.Alien or DnsVerdict.Truncated ? answer with { Verdict = DnsVerdict.Failure } : answer;
    }

    private static string TextOf(string path)
    {
        try { return File.ReadAllText(path); }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException) { return ""; }
    }
}
