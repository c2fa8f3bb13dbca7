// /etc/resolv.conf and /etc/hosts as resolv.conf(5) and hosts(5) describe them: servers, search domains, options; names of this machine.
// What cannot be read counts as not there, as it does for everybody else on the machine.
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Naru.Proxy.Xds;

/// <summary>What resolv.conf says.</summary>
internal sealed record ResolvConf
{
    private const int MostServers = 3, MostDomains = 16;

    public IReadOnlyList<IPEndPoint> Servers { get; init; } = [];
    public IReadOnlyList<string> Search { get; init; } = [];

    /// <summary>Names with at least so many dots are asked for as they are first.</summary>
    public int Dots { get; init; } = 1;

    /// <summary>Longest wait for one server.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How often all servers are asked.</summary>
    public int Attempts { get; init; } = 2;

    public bool UseTcp { get; init; }

    public static ResolvConf Parse(string text)
    {
        var servers = new List<IPEndPoint>();
        var conf = new ResolvConf();
        foreach (string line in text.Split('\n'))
        {
            string[] words = line.Split((char[])[' ', '\t', '\r'], StringSplitOptions.RemoveEmptyEntries);
            if (words.Length < 2 || words[0][0] is '#' or ';') continue;
            switch (words[0])
            {
                case "nameserver":
                    if (servers.Count < MostServers && IPAddress.TryParse(words[1], out IPAddress? server)) servers.Add(new IPEndPoint(server, 53));
                    break;
                // The last of both holds.
                case "domain":
                    conf = conf with { Search = [words[1]] };
                    break;
                case "search":
                    conf = conf with { Search = [.. words.Skip(1).Take(MostDomains)] };
                    break;
                case "options":
                    foreach (string word in words.Skip(1)) conf = conf.With(word);
                    break;
            }
        }
        return conf with { Servers = servers };
    }

    private ResolvConf With(string option)
    {
        if (option == "use-vc") return this with { UseTcp = true };
        int colon = option.IndexOf(':', StringComparison.Ordinal);
        if (colon < 0 || !int.TryParse(option.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int value)) return this;
        return option[..colon] switch
        {
            "ndots" => this with { Dots = Math.Min(value, 15) },
            "timeout" => this with { Patience = TimeSpan.FromSeconds(Math.Clamp(value, 1, 30)) },
            "attempts" => this with { Attempts = Math.Clamp(value, 1, 5) },
            _ => this,
        };
    }

    /// <summary>Under which names one is asked for, in order.</summary>
    public IEnumerable<string> Candidates(string name, bool noSearch)
    {
        if (name.EndsWith('.') || noSearch) return [name];
        IEnumerable<string> searched = Search.Where(d => d != ".").Select(d => $"{name}.{d}");
        return name.Count(c => c == '.') >= Dots ? searched.Prepend(name) : searched.Append(name);
    }

    /// <summary>The addresses of a name in a hosts file; null where it does not speak of it. Where it names the other family only, there
    /// are none: whoever pins a name there does not want somebody else's answer for the family that was left out.</summary>
    public static IPAddress[]? InHosts(string hosts, string name, AddressFamily family)
    {
        name = name.TrimEnd('.');
        bool spoken = false;
        var found = new List<IPAddress>();
        foreach (string line in hosts.Split('\n'))
        {
            string[] words = line.Split('#')[0].Split((char[])[' ', '\t', '\r'], StringSplitOptions.RemoveEmptyEntries);
            if (!words.Skip(1).Contains(name, StringComparer.OrdinalIgnoreCase) || !IPAddress.TryParse(words[0], out IPAddress? address)) continue;
            spoken = true;
            if (address.AddressFamily == family && !found.Contains(address)) found.Add(address);
        }
        // RFC 6761 6.3: nobody else is asked for this machine.
        if (found.Count == 0 && (name.Equals("localhost", StringComparison.OrdinalIgnoreCase) || name.EndsWith(".localhost", StringComparison.OrdinalIgnoreCase)))
            return [family == AddressFamily.InterNetwork ? IPAddress.Loopback : IPAddress.IPv6Loopback];
        return spoken ? [.. found] : null;
    }
}
