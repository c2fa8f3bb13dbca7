// Logs of a local mesh: they stay small, their lines keep a time, and who follows them misses none and sees none twice.
using Naru.Inspect;
using Naru.Kit;
using Naru.Local;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class LogKeeperTests : IDisposable
{
    private sealed class Clock : TimeProvider
    {
        public DateTimeOffset Now { get; set; } = DateTimeOffset.UnixEpoch;

        public override DateTimeOffset GetUtcNow() => Now;
    }

    private readonly TempFolder _folder = new();
    private readonly Clock _clock = new();

    public void Dispose() => _folder.Dispose();

    private LogKeeper Keeper(long most, params string[] living) => new(_folder.Root, () => living, _clock, most);

    private void Write(string name, string text) => File.AppendAllText(_folder.At(name), text);

    [Fact]
    public void Logs_of_a_pod_whose_name_has_dots_stay_while_it_lives()
    {
        LogKeeper keeper = Keeper(most: 1000, "my.app-wwvbv");
        foreach (string kind in new[] { "", ".proxy", ".requests" }) Write($"my.app-wwvbv{kind}.log", "line\n");
        Write("a.x.log", "line\n");
        Write("a.y.log", "line\n");
        foreach (FileInfo file in new DirectoryInfo(_folder.Root).EnumerateFiles()) file.LastWriteTimeUtc = new DateTime(2000, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        for (int i = 1; i < LogKeeper.MostEnded; i++) Write($"gone-{i}.log", "line\n");
        keeper.Tidy();
        string[] left = [.. Directory.EnumerateFiles(_folder.Root).Select(f => Path.GetFileName(f)!).Where(f => !f.StartsWith("gone", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];
        Assert.Equal(["my.app-wwvbv.log", "my.app-wwvbv.proxy.log", "my.app-wwvbv.requests.log"], left.Where(f => f.StartsWith("my", StringComparison.Ordinal)));
        // Two pods, of which one is one too many.
        Assert.Single(left, f => f.StartsWith("a.", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("my.app-x.log", "my.app-x", LogKind.App)]
    [InlineData("my.app-x.log.1", "my.app-x", LogKind.App)]
    [InlineData("my.app-x.log.1.times", "my.app-x", LogKind.App)]
    [InlineData("my.app-x.log.times", "my.app-x", LogKind.App)]
    [InlineData("my.app-x.proxy.log.1.fresh", "my.app-x", LogKind.Proxy)]
    [InlineData("my.app-x.requests.log.1.from", "my.app-x", LogKind.Requests)]
    [InlineData("a.log.1.log", "a.log.1", LogKind.App)]
    public void A_file_is_told_from_its_end(string file, string pod, LogKind kind) =>
        Assert.Equal(new LogFile(pod, kind, file), LogFiles.Of(file));

    [Fact]
    public void A_burst_leaves_its_last_part_and_a_follower_goes_on_after_it()
    {
        LogKeeper keeper = Keeper(most: 1000);
        var tail = new LogTail(new LogFile("a", LogKind.App, _folder.At("a.log")));
        Write("a.log", "first\n");
        Assert.Equal(["first"], tail.Read(_clock.Now).Select(l => l.Text));
        Write("a.log", string.Concat(Enumerable.Range(0, 10_000).Select(i => $"line {i}\n")));
        keeper.Look();
        Assert.InRange(new FileInfo(_folder.At("a.log.1")).Length, 500, 2000);
        Write("a.log", "after\n");
        List<string> read = [.. tail.Read(_clock.Now).Select(l => l.Text)];
        Assert.Equal("after", read[^1]);
        Assert.Equal("line 9999", read[^2]);
        Assert.All(read.SkipLast(1), l => Assert.Matches("^line [0-9]{4}$", l));
        var late = new LogTail(new LogFile("a", LogKind.App, _folder.At("a.log")));
        Assert.Equal(read, late.Read(_clock.Now).Select(l => l.Text));
    }

    [Fact]
    public void Where_nothing_can_be_copied_the_file_is_emptied_all_the_same_and_its_follower_goes_on()
    {
        LogKeeper keeper = Keeper(most: 100);
        var tail = new LogTail(new LogFile("a", LogKind.App, _folder.At("a.log")));
        Directory.CreateDirectory(_folder.At("a.log.1.fresh"));
        Write("a.log", new string('x', 200) + "\n");
        Assert.Single(tail.Read(_clock.Now));
        keeper.Look();
        Assert.Equal(0, new FileInfo(_folder.At("a.log")).Length);
        Write("a.log", "after\n");
        Assert.Equal(["after"], tail.Read(_clock.Now).Select(l => l.Text));
    }

    [Fact]
    public void A_follower_reads_every_line_once_across_cuts()
    {
        LogKeeper keeper = Keeper(most: 200);
        var tail = new LogTail(new LogFile("a", LogKind.App, _folder.At("a.log")));
        var read = new List<string>();
        for (int i = 0; i < 200; i++)
        {
            Write("a.log", $"line {i}\n");
            if (i % 3 == 0) read.AddRange(tail.Read(_clock.Now).Select(l => l.Text));
            if (i % 5 == 0) keeper.Look();
        }
        read.AddRange(tail.Read(_clock.Now).Select(l => l.Text));
        Assert.Equal(Enumerable.Range(0, 200).Select(i => $"line {i}"), read);
        Assert.True(new DirectoryInfo(_folder.Root).EnumerateFiles("a.log*").Where(f => !f.Name.EndsWith(".times"))
            .Sum(f => f.Length) < 1000);
    }

    [Fact]
    public void A_line_has_the_time_of_the_look_that_saw_it_first_and_keeps_it_in_the_older_half()
    {
        LogKeeper keeper = Keeper(most: 20);
        for (int second = 1; second <= 4; second++)
        {
            _clock.Now = DateTimeOffset.UnixEpoch.AddSeconds(second);
            Write("a.log", $"second {second}\n");
            keeper.Look();
        }
        DateTimeOffset now = DateTimeOffset.UnixEpoch.AddHours(1);
        Write("a.log", "later\n");
        Assert.Equal(
            [("second 1", 1), ("second 2", 2), ("second 3", 3), ("second 4", 4), ("later", 3600)],
            new LogTail(new LogFile("a", LogKind.App, _folder.At("a.log"))).Read(now)
                .Select(l => (l.Text, (int)l.Time.ToUnixTimeSeconds())).TakeLast(5));
    }

    [Fact]
    public void Half_a_line_waits_for_its_other_half()
    {
        var tail = new LogTail(new LogFile("a", LogKind.App, _folder.At("a.log")));
        Write("a.log", "one\ntw");
        Assert.Equal(["one"], tail.Read(_clock.Now).Select(l => l.Text));
        Write("a.log", "o\n");
        Assert.Equal(["two"], tail.Read(_clock.Now).Select(l => l.Text));
    }

    [Theory]
    [InlineData("reviews-v1-abcde", "reviews-v1-abcde", true)]
    [InlineData("reviews-v1", "reviews-v1-abcde", true)]
    [InlineData("deploy/reviews-v1", "reviews-v1-abcde", true)]
    [InlineData("deployment/reviews", "reviews-v1-abcde", false)]
    [InlineData("svc/reviews", "reviews-v1-abcde", true)]
    [InlineData("reviews", "reviews-v1-abcde", true)]
    [InlineData("review", "reviews-v1-abcde", false)]
    [InlineData("pod/reviews-v1", "reviews-v1-abcde", false)]
    [InlineData("orders", "orders-run-abcde", true)]
    [InlineData("gateway", "istio-ingressgateway", true)]
    [InlineData("deploy/istio-ingressgateway", "istio-ingressgateway", true)]
    [InlineData("control", "control", true)]
    public void Pods_are_found_by_the_names_that_people_use(string wanted, string pod, bool means) =>
        Assert.Equal(means, LogFiles.Means(wanted, pod));

    [Fact]
    public void A_request_is_one_line_that_says_why_it_went_wrong_and_controls_no_terminal()
    {
        RequestEntry request = RequestEntry.Parse("""
            {"time":"2026-01-02T03:04:05.678Z","method":"GET","authority":"shop","path":"/a\u001b[31m\u202e","status":503,"flags":"UF,URX","reason":null,"duration":7,"attempts":3,"cluster":"outbound|80|v1|shop.default.svc.cluster.local"}
            """)!;
        Assert.Equal("503 GET /a\\u001b[31m\\u202e  7 ms  3 tries  UF,URX  the endpoint could not be reached; all tries were used up",
            request.Describe(withAuthority: false, (_, s) => s));
        Assert.Equal("shop v1", request.Service);
        Assert.Equal("200 GET shop/  1 ms", (request with { Status = 200, Flags = "-", Path = "/", Duration = 1, Attempts = 1 }).Describe(
            withAuthority: true, (_, s) => s));
        Assert.Equal("404 GET /  1 ms  NR  NARU-R404 no route",
            (request with { Status = 404, Flags = "NR", Reason = "NARU-R404 no route", Path = "/", Duration = 1, Attempts = 0 }).Describe(
            withAuthority: false, (_, s) => s));
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("{\"time\":7}")]
    [InlineData("{\"time\":\"2026-01-02T03:04:05.678Z\",\"status\":1e99,\"path\":[]}x")]
    public void What_is_no_request_is_left_out(string line) => Assert.Null(RequestEntry.Parse(line));
}
