// Lines arrive whole and in order, files may be rotated under us, and a lane that is full drops and counts.
using System.Text;
using Naru.Kit;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Telemetry;

public sealed class AccessLogWriterTests
{
    private static readonly StatRegistry s_unused = new(0);

    [Fact]
    public void Lines_of_all_workers_are_on_disk_when_the_writer_ends()
    {
        using var folder = new TempFolder();
        string path = folder.At("access.log");
        using (var writer = new AccessLogWriter(s_unused, 2))
        {
            AccessLogSink sink = writer.Open(path);
            Assert.Same(sink, writer.Open(path));
            for (int i = 0; i < 1000; i++) sink.Write(1 + i % 2, Encoding.ASCII.GetBytes($"{i}\n"));
        }
        int[] lines = [.. File.ReadAllLines(path).Select(int.Parse)];
        Assert.Equal(Enumerable.Range(0, 1000), lines.Order());
        Assert.Equal(lines.Where(l => l % 2 == 0).Order(), lines.Where(l => l % 2 == 0));
    }

    [Fact]
    public async Task A_rotated_file_is_made_anew_on_reopen()
    {
        using var folder = new TempFolder();
        string path = folder.At("access.log");
        using var writer = new AccessLogWriter(s_unused, 1, TimeSpan.FromMilliseconds(1));
        AccessLogSink sink = writer.Open(path);
        sink.Write(1, "one\n"u8);
        await Waiting.UntilAsync(() => File.ReadAllText(path) == "one\n", "the first line");
        File.Move(path, path + ".1");
        writer.Reopen();
        await Waiting.UntilAsync(() => File.Exists(path), "the new file");
        sink.Write(1, "two\n"u8);
        await Waiting.UntilAsync(() => File.ReadAllText(path) == "two\n", "the second line");
        Assert.Equal("one\n", File.ReadAllText(path + ".1"));
    }

    [Fact]
    public async Task A_file_that_was_cut_is_written_from_its_new_end()
    {
        using var folder = new TempFolder();
        string path = folder.At("access.log");
        using var writer = new AccessLogWriter(s_unused, 1, TimeSpan.FromMilliseconds(1));
        AccessLogSink sink = writer.Open(path);
        sink.Write(1, "one\n"u8);
        await Waiting.UntilAsync(() => File.ReadAllText(path) == "one\n", "the first line");
        await File.WriteAllTextAsync(path, "");
        sink.Write(1, "two\n"u8);
        await Waiting.UntilAsync(() => File.ReadAllText(path) == "two\n", "the second line, without a hole before it");
    }

    [Fact]
    public async Task A_full_lane_drops_and_counts()
    {
        var registry = new StatRegistry(1);
        using var writer = new AccessLogWriter(registry, 1, TimeSpan.FromMilliseconds(1));
        AccessLogSink full = writer.Open("/dev/full");
        byte[] large = new byte[AccessLogWriter.MaxLaneBytes + 1];
        Assert.False(full.Write(1, large));
        Assert.True(full.Write(1, "x\n"u8));
        StatBlock block = registry.Blocks.Single(b => b.Prefix == "filesystem");
        int dropped = block.Schema.Stats.Select(s => s.Name).ToList().IndexOf("write_dropped");
        int failed = block.Schema.Stats.Select(s => s.Name).ToList().IndexOf("write_failed");
        await Waiting.UntilAsync(() => block.Read(dropped) == 2 && block.Read(failed) >= 1, "both lines to be counted as dropped");
    }

    [Fact]
    public async Task A_pipe_that_nobody_reads_is_refused_and_not_waited_for()
    {
        using var folder = new TempFolder();
        string path = folder.At("pipe");
        Assert.Equal(0, (await ChildProcess.RunAsync("mkfifo", [path])).ExitCode);
        using var writer = new AccessLogWriter(s_unused, 1);
        Assert.Contains(path, Assert.Throws<IOException>(() => writer.Open(path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_path_that_cannot_be_opened_says_why()
    {
        using var writer = new AccessLogWriter(s_unused, 1);
        IOException e = Assert.Throws<IOException>(() => writer.Open("/nowhere/at/all.log"));
        Assert.Contains("No such file", e.Message, StringComparison.Ordinal);
    }
}
