// The command line of bench/run.
using System.Globalization;

namespace Naru.Bench;

/// <summary>What to measure, and how long.</summary>
public sealed record Options
{
    /// <summary>Printed by <c>--help</c>.</summary>
    public const string Usage = """
        usage: bench/run [ROW...] [options]
          ROW               of http1, h2, mtls, handshakes, 1mib, websocket, tcp (all)
          --quick           two rounds of one second: shows that everything runs, decides nothing
          --rounds N        rounds, each measures every proxy once (5)
          --seconds N       seconds of each turn (2)
          --connections N   kept-alive connections of the load generator (64), row http1 only
          --only A,B        of naru, nginx, haproxy, yarp
          --before PATH     a naru-proxy built from another state takes part as "before": nothing may have become slower by more than 2 %
          --proxy-cpu N     the CPU of the measured proxy (the last one)
          --load-cpu N      the CPU of load generator and backend (the first one)
          --wrk             load by wrk and a backend by nginx, as a cross-check: row http1 at full load only
          --check           exit 1 where a budget is exceeded
          --no-build        measure what the last run has built
        """;

    /// <summary>The contenders, in order of a round.</summary>
    public static readonly string[] All = ["naru", Before, "nginx", "haproxy", "yarp"];

    /// <summary>Another state of naru-proxy.</summary>
    public const string Before = "before";

    /// <summary>Every row, in their order.</summary>
    public static readonly string[] AllRows = [Row.Http1, .. Row.All.Select(r => r.Name)];

    /// <summary>Root of the repository.</summary>
    public string Root { get; init; } = ".";
    /// <summary>The rows to measure.</summary>
    public IReadOnlyList<string> Rows { get; init; } = AllRows;
    /// <summary>Rounds.</summary>
    public int Rounds { get; init; } = 5;
    /// <summary>Seconds of each load.</summary>
    public int Seconds { get; init; } = 2;
    /// <summary>Connections of the load generator.</summary>
    public int Connections { get; init; } = 64;
    /// <summary>Who takes part.</summary>
    public IReadOnlyList<string> Only { get; init; } = [.. All.Where(n => n != Before)];
    /// <summary>The executable of <see cref="Before"/>; empty where it takes no part.</summary>
    public string BeforePath { get; init; } = "";
    /// <summary>CPU of the proxies.</summary>
    public int ProxyCpu { get; init; } = Environment.ProcessorCount - 1;
    /// <summary>CPU of everything else.</summary>
    public int LoadCpu { get; init; }
    /// <summary>wrk and nginx in place of the pump.</summary>
    public bool Wrk { get; init; }
    /// <summary>Budgets decide the exit code.</summary>
    public bool Check { get; init; }

    /// <summary>Reads the command line.</summary>
    /// <exception cref="ArgumentException">What it cannot be.</exception>
    public static Options Read(string[] args)
    {
        var o = new Options();
        var rows = new List<string>();
        for (int i = 0; i < args.Length; i++)
        {
            string name = args[i];
            if (!name.StartsWith('-'))
            {
                rows.Add(AllRows.Contains(name) ? name : throw new ArgumentException($"there is no row \"{name}\""));
                continue;
            }
            o = name switch
            {
                "--quick" => o with { Rounds = 2, Seconds = 1 },
                "--wrk" => o with { Wrk = true },
                "--check" => o with { Check = true },
                "--no-build" => o,
                "--root" => o with { Root = Next() },
                "--rounds" => o with { Rounds = Number(1) },
                "--seconds" => o with { Seconds = Number(1) },
                "--connections" => o with { Connections = Number(1) },
                "--proxy-cpu" => o with { ProxyCpu = Number(0) },
                "--load-cpu" => o with { LoadCpu = Number(0) },
                "--only" => o with { Only = Names(Next()) },
                "--before" => o with { BeforePath = Existing(Next()) },
                _ => throw new ArgumentException($"there is no option \"{name}\""),
            };

            string Next() => ++i < args.Length ? args[i] : throw new ArgumentException($"{name} needs a value");

            int Number(int least) => int.TryParse(Next(), NumberStyles.None, CultureInfo.InvariantCulture, out int n) && n >= least
                ? n
                : throw new ArgumentException($"{name} takes a number from {least}, not \"{args[i]}\"");
        }
        if (rows.Count > 0)
            o = o with { Rows = rows };
        if (o.BeforePath.Length > 0)
            o = o with { Only = [.. All.Where(n => n == Before || o.Only.Contains(n))] };
        if (o.ProxyCpu == o.LoadCpu)
            throw new ArgumentException("the proxies need a CPU of their own: --proxy-cpu and --load-cpu are the same");
        return o;
    }

    private static string Existing(string path) => File.Exists(path) ? path : throw new ArgumentException($"there is no \"{path}\"");

    private static string[] Names(string list)
    {
        string[] names = list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        string? unknown = names.FirstOrDefault(n => !All.Contains(n) || n == Before);
        if (unknown is not null || names.Length == 0)
            throw new ArgumentException($"--only takes {string.Join(", ", All)}, not \"{unknown}\"");
        return [.. All.Where(names.Contains)];
    }
}
