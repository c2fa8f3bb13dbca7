// Every call of every exchange fails once, in every way: both versions on both sides, bodies up and down, retries, upgrades, on new objects
// and on ones with a past. Whatever fails: the client gets a whole answer or sees that it did not, the log says whose fault it was, what was
// lent comes back, and the next request is served.
using System.Text;
using Naru.FuzzTests.Simulation;
using Xunit;

namespace Naru.FuzzTests.Faults;

public sealed class FaultTests
{
    private const string Client = "DownstreamConnectionTermination", Endpoint = "UpstreamConnectionTermination", Protocol = "UpstreamProtocolError", Connecting = "UpstreamConnectionFailure",
        Timeout = "UpstreamRequestTimeout", Idle = "StreamIdleTimeout", Tried = "UpstreamRetryLimitExceeded";

    public static TheoryData<string> Kinds => [.. Enum.GetNames<Kind>()];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Whatever_call_fails_the_end_is_an_honest_one(string kind)
    {
        var broken = new StringBuilder();
        int tried = 0;
        foreach (Scenario scenario in Scenario.All.Where(s => s.Kind.ToString() == kind))
        {
            Result plain;
            using (SimWorld world = scenario.World()) plain = scenario.Run(world);
            Check(broken, plain, 0);
            Assert.True(broken.Length == 0, broken.ToString());
            for (int n = 1; n <= plain.Calls.Count; n++)
            {
                foreach (Fault fault in Ways(plain.Calls[n - 1].Kind))
                {
                    tried++;
                    try
                    {
                        using SimWorld world = scenario.World();
                        Check(broken, scenario.Run(world, n, fault), n);
                    }
                    catch (LawViolated e)
                    {
                        broken.AppendLine($"{n} {e.Message}");
                    }
                }
            }
        }
        Assert.True(broken.Length == 0, broken.ToString());
        Assert.True(tried > 50, $"only {tried} were tried");
    }

    // How a call can fail.
    private static Fault[] Ways(Call call) => call switch
    {
        Call.Wait => [Fault.Interrupted],
        Call.Socket => [Fault.NoDescriptors],
        Call.Accept => [Fault.Interrupted, Fault.Again, Fault.Reset, Fault.NoDescriptors],
        Call.Connect => [Fault.Reset, Fault.Ended, Fault.Silent],
        _ => [Fault.Interrupted, Fault.Again, Fault.OneByte, Fault.Reset, Fault.Ended, Fault.Silent],
    };

    private static void Check(StringBuilder broken, Result r, int at)
    {
        string? law = Broken(r);
        if (law is not null) broken.AppendLine($"{law}: {at} {r}");
    }

    // The law that a result breaks; null for none.
    private static string? Broken(Result r)
    {
        if (r.Bugs.Length > 0) return "an exception reached a loop";
        if (r.Owed.Length > 0) return "not given back";
        if (r.Next is not { Status: 200, IsCut: false, Body: "ok" }) return "the next request was not served";
        if (r.BackendFaults.FirstOrDefault(f => !f.StartsWith("ended", StringComparison.Ordinal)) is { } fault) return $"the backend got what is no request ({fault})";
        if (r.Lines.Length > 1) return "logged twice";
        Scenario s = r.Scenario;
        bool whole = r.Answer is { IsCut: false, Status: 200 or 101 };
        if (whole && r.Answer.Body != s.Expected) return "the body is another one";
        if (whole && r.Answer.Trailers != (s.Kind == Kind.Chunked ? 1 : 0)) return "the trailers are missing";
        if (r.Line is { } line && r.Answer.Status > 0 && line.Status != r.Answer.Status) return "the log has another status";
        string wanted = Wanted(r);
        string got = $"{r.Answer}, {(r.Line is { } l ? l.Flags : "no line")}";
        return wanted.Split(" or ").Contains(got) ? null : $"wanted {wanted}, got {got}";
    }

    // What must come of it. Where there are two, it depends on what nobody outside can know: how far the proxy had come.
    private static string Wanted(Result r)
    {
        Scenario s = r.Scenario;
        bool tunnel = s.Kind == Kind.Upgrade;
        // Clients close when they have what they wanted, and a tunnel that its client ends is logged as such.
        string good = tunnel ? $"101 whole, {Client}" : "200 whole, -";
        string cut = tunnel ? "101 cut" : "200 cut";
        if (r.Failed is not { } call || r.How is Fault.Interrupted or Fault.Again or Fault.OneByte) return good;
        if (call.Kind == Call.Accept) return r.How == Fault.NoDescriptors ? good : "nothing, no line";
        if (call.Kind is Call.Socket or Call.Connect)
            return s.Kind != Kind.Retry ? $"503 whole, {Connecting}" : r.BackendHad > (s.Reused ? 2 : 0) ? $"503 whole, {Connecting}, {Tried}" : $"503 whole, {Tried}";
        return call.Downstream ? OfClient(r, call, good, cut) : OfEndpoint(r, call, good, cut);
    }

    private static string OfClient(Result r, CallMade call, string good, string cut)
    {
        Scenario s = r.Scenario;
        if (r.How == Fault.Silent) return OfSilentClient(r, call);
        // Over, in the log: its last bytes were on their way, or what came was nothing of it.
        if (r.WasOver) return call.Kind == Call.Receive ? good : "200 cut, - or nothing, -";
        // What the kernel took in is sent, as far as anybody knows.
        string taken = r.How == Fault.Ended && call.Kind == Call.Send && s.Kind != Kind.Upgrade && !s.Down ? " or 200 cut, - or nothing, -" : "";
        return $"{cut}, {Client} or nothing, {Client} or nothing, no line{taken}";
    }

    private static string OfSilentClient(Result r, CallMade call)
    {
        if (r.WasOver) return "200 whole, - or 200 cut, - or nothing, -";
        string unread = r.Scenario.Kind == Kind.Upgrade ? "101 cut" : "200 cut";
        _ = call;
        return $"{unread}, {Idle} or {unread}, {Timeout} or {unread}, {Client} or nothing, {Idle} or nothing, {Timeout} or nothing, {Client} or nothing, no line or {unread}, - or nothing, -";
    }

    private static string OfEndpoint(Result r, CallMade call, string good, string cut)
    {
        Scenario s = r.Scenario;
        string after = s.Kind == Kind.Retry ? $" or 503 whole, {Tried}" : "";
        if (r.How == Fault.Silent)
        {
            // Where the client's own body waits for the endpoint, nothing moves; else the route's time is up. A connection over which HTTP/2
            // was to be spoken ends when the endpoint says nothing at first.
            string upload = s.Kind == Kind.Upload ? $" or 408 whole, {Idle} or 504 whole, {Idle}{(s.Up && !s.Reused ? $" or 502 whole, {Protocol}" : "")}" : "";
            return s.Kind == Kind.Upgrade ? $"504 whole, {Timeout} or {cut}, {Idle}" : $"504 whole, {Timeout} or {cut}, {Timeout}{upload}{after}";
        }
        string died = s.Kind == Kind.Upgrade ? $"{cut}, {Endpoint}" : $"{cut}, {(s.Up ? Endpoint : Protocol)}";
        // An endpoint that ends a tunnel in order has ended it.
        if (s.Kind == Kind.Upgrade && r.How == Fault.Ended && call.Kind == Call.Receive) died += $" or {cut}, -";
        string again = s.Reused || s.Kind == Kind.Retry ? $" or {good}" : "";
        return $"503 whole, {Endpoint} or {died}{(s.Kind == Kind.Retry ? $" or 503 whole, {Endpoint}, {Tried}" : "")}{again}{after}";
    }
}
