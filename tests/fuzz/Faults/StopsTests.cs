// ARCHITECTURE.md, "A request, stop by stop", walked by requests: each reaches its endpoint through the stops in the order of the table.
using System.Diagnostics;
using Naru.FuzzTests.Simulation;
using Naru.Kit;
using Xunit;

namespace Naru.FuzzTests.Faults;

public sealed class StopsTests
{
    private const string Engine = "Naru.Proxy.";

    private static readonly string[] s_stops =
    [
        .. File.ReadAllLines(Repository.At("ARCHITECTURE.md"))
            .SkipWhile(l => l != "## A request, stop by stop").TakeWhile(l => !l.StartsWith("## A change", StringComparison.Ordinal))
            .Where(l => l.StartsWith("| ", StringComparison.Ordinal) && l.Contains("/`", StringComparison.Ordinal))
            .Select(l => l.Split('`')[1].TrimEnd('/')),
    ];

    [Fact]
    public void The_table_names_folders_of_the_engine()
    {
        Assert.True(s_stops.Length > 8, string.Join(", ", s_stops));
        Assert.All(s_stops, stop => Assert.True(Directory.Exists(Repository.At("src", "dataplane", "Naru.Proxy", stop)), stop));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void A_request_goes_downwards_from_its_connection_to_its_endpoint(bool down, bool up)
    {
        var scenario = new Scenario(Kind.Get, down, up, Reused: false);
        using SimWorld world = scenario.World();
        var ways = new List<string[]>();
        world.Kernel.OnCall = call =>
        {
            // Whoever asks for a descriptor or an address beneath the loop is on the way to an endpoint.
            if (call is Call.Socket or Call.Connect) ways.Add(Way());
        };
        Assert.Equal(200, scenario.Run(world).Answer.Status);
        Assert.NotEmpty(ways);
        Assert.All(ways, way =>
        {
            // Where the first bytes tell what is spoken, the connection of HTTP/1 read them, and hands its socket over.
            if (down && way[0] == "Http") way = way[1..];
            Assert.Equal(way.OrderBy(s => Array.IndexOf(s_stops, s)), way);
            Assert.Equal(down ? "Http2" : "Http", way[0]);
            Assert.Contains("Routing", way);
            Assert.Equal("Upstreams", way[^1]);
        });
    }

    // The stops on the stack, from the loop inwards, each once where it is entered.
    private static string[] Way()
    {
        var way = new List<string>();
        foreach (StackFrame frame in new StackTrace().GetFrames().Reverse())
        {
            string space = DiagnosticMethodInfo.Create(frame)?.DeclaringTypeName ?? "";
            if (!space.StartsWith(Engine, StringComparison.Ordinal)) continue;
            string stop = space[Engine.Length..].Split('.')[0];
            if (s_stops.Contains(stop) && (way.Count == 0 || way[^1] != stop)) way.Add(stop);
        }
        return [.. way];
    }
}
