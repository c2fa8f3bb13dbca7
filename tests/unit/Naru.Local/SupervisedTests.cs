// A process that is kept running is kept running: whatever throws when it is to be started, and whoever throws when he hears of it.
using Naru.Core;
using Naru.Kit;
using Naru.Local.Processes;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class SupervisedTests : IDisposable
{
    private static readonly TimeSpan s_bound = TimeSpan.FromMinutes(1);

    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private SpawnRequest Sleep => new() { File = "/bin/sleep", Arguments = ["600"], Log = _folder.At("app.log") };

    public static TheoryData<string> Faults => ["io", "access", "argument", "program", "log"];

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task A_start_that_throws_has_failed_and_is_tried_again(string fault)
    {
        int starts = 0;
        var told = new List<Diagnostic>();
        var ends = new List<Child?>();
        var came = new TaskCompletionSource<Child>(TaskCreationOptions.RunContinuationsAsynchronously);
        SpawnRequest Request() => ++starts > 2 ? Sleep : fault switch
        {
            "io" => throw new IOException("no space left on device"),
            "access" => throw new UnauthorizedAccessException("denied"),
            "argument" => throw new InvalidOperationException("a fault of ours"),
            "program" => Sleep with { File = _folder.At("none") },
            _ => Sleep with { Log = _folder.At("gone/app.log") },
        };
        var process = new Supervised("app", Request, TimeProvider.System, told.Add);
        process.Went += ends.Add;
        process.Came += came.SetResult;
        process.Start();
        Child child = await came.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Assert.True(child.IsAlive);
        Assert.Equal(2, process.Restarts);
        // Twice it never came, and once it was said.
        Assert.Equal([null, null], ends);
        Assert.Equal("NARU-L038", Assert.Single(told).Code);
        await process.StopAsync(s_bound);
        Assert.False(child.IsAlive);
    }

    [Fact]
    public async Task What_is_started_while_it_is_stopped_is_ended_too()
    {
        var starting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var stopped = new ManualResetEventSlim();
        int came = 0;
        SpawnRequest Request()
        {
            starting.SetResult();
            Assert.True(stopped.Wait(s_bound));
            return Sleep;
        }
        var process = new Supervised("app", Request, TimeProvider.System);
        process.Came += _ => came++;
        process.Start();
        await starting.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Task stopping = process.StopAsync(s_bound);
        stopped.Set();
        await stopping.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Assert.Equal((null, 0), (process.Child, came));
    }

    [Fact]
    public async Task Whoever_throws_on_hearing_of_it_does_not_end_it()
    {
        var children = new List<Child>();
        var second = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var process = new Supervised("app", () => Sleep, TimeProvider.System);
        process.Came += child =>
        {
            children.Add(child);
            if (children.Count == 2) second.SetResult();
            else child.SignalGroup(9);
            throw new IOException("no space left on device");
        };
        process.Went += _ => throw new IOException("no space left on device");
        process.Start();
        await second.Task.WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Assert.True(children[1].IsAlive);
        await process.StopAsync(s_bound);
        Assert.All(children, c => Assert.False(c.IsAlive));
    }

    [Fact]
    public void What_could_not_be_written_down_is_written_when_it_can_be()
    {
        string folder = _folder.At("state");
        var writer = new Naru.Local.StateWriter(folder);
        writer.Put(new Naru.Local.PodState { Name = "a", Namespace = "default", Address = "127.0.0.9", Ready = false });
        writer.Put(new Naru.Local.PodState { Name = "a", Namespace = "default", Address = "127.0.0.9", Ready = true });
        writer.RemovePod("default", "b");
        Assert.NotNull(writer.Retry());
        Directory.CreateDirectory(folder);
        Assert.Null(writer.Retry());
        Assert.Contains("\"True\"", File.ReadAllText(Assert.Single(Directory.GetFiles(folder))));
    }

    // A process that is told to make room has not failed: nobody counts it, and nobody waits.
    [Fact]
    public async Task A_replaced_process_is_no_restart_and_followed_at_once()
    {
        var children = System.Threading.Channels.Channel.CreateUnbounded<Child>();
        var process = new Supervised("app", () => Sleep, TimeProvider.System);
        process.Came += c => children.Writer.TryWrite(c);
        process.Start();
        for (int i = 0; i < 5; i++)
        {
            Child child = await children.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(s_bound, TestContext.Current.CancellationToken);
            process.Replace();
            process.Replace();
            await child.Exited.WaitAsync(s_bound, TestContext.Current.CancellationToken);
            Assert.False(process.IsBackingOff);
        }
        Child last = await children.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Assert.Equal(0, process.Restarts);
        Assert.Equal("", process.LastEnd);
        last.SignalGroup(9);
        _ = await children.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(s_bound, TestContext.Current.CancellationToken);
        Assert.Equal(1, process.Restarts);
        await process.StopAsync(s_bound);
    }
}
