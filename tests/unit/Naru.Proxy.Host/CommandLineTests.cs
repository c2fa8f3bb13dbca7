// Options: Envoy's names, and a reason for each one that is not taken.
using Naru.Core;
using Naru.Proxy.Host;
using Xunit;

namespace Naru.UnitTests.Proxy.Host;

public sealed class CommandLineTests
{
    [Fact]
    public void Envoys_options_are_taken_in_every_spelling()
    {
        CommandLine? line = CommandLine.Parse(
            ["-c", "a.yaml", "--config-yaml={}", "--mode", "validate", "--concurrency=3", "-ldebug", "--service-node", "n", "--service-cluster", "c", "--drain-time-s", "5",
                "--parent-shutdown-time-s", "6", "--admin-address-path", "p", "--component-log-level", "admin:warning,config:trace", "--disable-hot-restart"], out IReadOnlyList<string> errors);
        Assert.Empty(errors);
        Assert.NotNull(line);
        Assert.Equal(("a.yaml", "{}", RunMode.Validate, 3, LogLevel.Debug, "n", "c", "p"),
            (line.ConfigPath, line.ConfigYaml, line.Mode, line.Concurrency, line.LogLevel, line.ServiceNode, line.ServiceCluster, line.AdminAddressPath));
        Assert.Equal((TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(6)), (line.DrainTime, line.ParentShutdownTime));
        Assert.False(line.Explain);
        Assert.True(CommandLine.Parse(["-c", "a.yaml", "--explain"], out _)!.Explain);
        Assert.Equal([("admin", LogLevel.Warning), ("config", LogLevel.Trace)], line.ComponentLogLevels);
    }

    [Fact]
    public void Defaults_are_Envoys()
    {
        CommandLine line = CommandLine.Parse(["-c", "x"], out _)!;
        Assert.Equal((600, 900, LogLevel.Info, Environment.ProcessorCount, RunMode.Serve), (line.DrainTime.TotalSeconds, line.ParentShutdownTime.TotalSeconds, line.LogLevel, line.Concurrency, line.Mode));
    }

    [Theory]
    [InlineData("--concurency 2", "--concurrency")]
    [InlineData("--mode dance", "dance")]
    [InlineData("--use-dynamic-base-id", "base-id")]
    [InlineData("--concurrency many", "many")]
    [InlineData("--concurrency -1", "-1")]
    [InlineData("--log-level loud", "loud")]
    [InlineData("-x", "-x")]
    [InlineData("file.yaml", "-c")]
    [InlineData("-c", "value")]
    [InlineData("--version=1", "takes no value")]
    [InlineData("", "-c FILE")]
    public void What_is_wrong_is_said_by_name(string arguments, string says)
    {
        Assert.Null(CommandLine.Parse(arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries), out IReadOnlyList<string> errors));
        Assert.Contains(errors, e => e.Contains(says, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_fault_is_reported()
    {
        Assert.Null(CommandLine.Parse(["--aa", "--bb", "--mode", "x"], out IReadOnlyList<string> errors));
        Assert.Equal(3, errors.Count);
    }
}
