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
