// Hot restart: a new process takes the listening sockets over, and whoever connects meanwhile is served by one of the two.
using System.Globalization;
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests.Proxy;

public sealed class HotRestartTests
{
    // Names are of the machine, so each test takes a number that no other process takes: its own id and a counter.
    private static int s_tests;
    private readonly string _baseId = (Environment.ProcessId * 16 + Interlocked.Increment(ref s_tests)).ToString(CultureInfo.InvariantCulture);

    private ProxyOptions Epoch(int epoch, int concurrency, params string[] more) => new()
    {
        Concurrency = concurrency,
        Arguments = ["--base-id", _baseId, "--restart-epoch", epoch.ToString(CultureInfo.InvariantCulture), "--drain-time-s", "5", "--parent-shutdown-time-s", "20", .. more],
    };

    // The same listener with the port that the first process got.
    private static string Fixed(string bootstrap, int port)
    {
        int at = bootstrap.LastIndexOf("port_value: 0", StringComparison.Ordinal);
        return string.Concat(bootstrap.AsSpan(0, at), $"port_value: {port}", bootstrap.AsSpan(at + "port_value: 0".Length));
    }

    [Theory]
    [InlineData(2, 2)]
    [InlineData(3, 1)]
    [InlineData(1, 3)]
    public async Task A_restart_under_load_refuses_nobody(int before, int after)
    {
        await using var witness = new Witness();
        string bootstrap = Bootstraps.One(witness.Port, "drain_timeout: 1s");
        await using ProxyProcess old = await ProxyProcess.StartAsync(bootstrap, Epoch(0, before));
        await using var kept = Load.Start(old.Address, connections: 3);
        await using var fresh = Load.Start(old.Address, connections: 3, request: "GET /fresh HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        await Waiting.UntilAsync(() => kept.Count > 50 && fresh.Count > 50, "some load");

        await using ProxyProcess young = await ProxyProcess.StartAsync(Fixed(bootstrap, old.Address.Port), Epoch(1, after));
        ProcessResult end = await old.Child.ExitAsync();
        Assert.True(end.ExitCode == 0, end.All);
        int then = fresh.Count;
        await Waiting.UntilAsync(() => fresh.Count > then + 50, "load on the new process");
        Assert.Empty((await kept.StopAsync()).Failures);
        Assert.Empty((await fresh.StopAsync()).Failures);
        Assert.Equal(old.Address, young.Address);
    }

    [Fact]
    public async Task Without_a_process_to_take_over_from_it_says_so()
    {
        await using var witness = new Witness();
        string file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, Bootstraps.One(witness.Port), TestContext.Current.CancellationToken);
        ProcessResult end = await ProxyProcess.RunAsync(["-c", file, .. Epoch(1, 1).Arguments]);
        File.Delete(file);
        Assert.Equal(1, end.ExitCode);
        Assert.Contains("NARU-H102", end.All, StringComparison.Ordinal);

        await using ProxyProcess alone = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), Epoch(1, 1, "--skip-hot-restart-on-no-parent"));
        using RawClient client = await alone.ConnectAsync();
        Assert.Equal(200, (await client.ExchangeAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n")).Status);
    }

    [Fact]
    public async Task A_second_process_of_the_same_epoch_is_refused_by_name()
    {
        await using var witness = new Witness();
        await using ProxyProcess first = await ProxyProcess.StartAsync(Bootstraps.One(witness.Port), Epoch(0, 1));
        string file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, Bootstraps.One(witness.Port), TestContext.Current.CancellationToken);
        ProcessResult end = await ProxyProcess.RunAsync(["-c", file, .. Epoch(0, 1).Arguments]);
        File.Delete(file);
        Assert.Equal(1, end.ExitCode);
        Assert.Contains("NARU-H101", end.All, StringComparison.Ordinal);
        Assert.True(await first.IsReadyAsync());
    }
}
