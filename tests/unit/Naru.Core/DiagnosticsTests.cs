// Findings are many where a file is bad, and nobody reads them all.
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Core;

public sealed class DiagnosticsTests
{
    [Fact]
    public void What_is_beyond_the_limit_is_counted_and_hides_no_error()
    {
        var found = new Diagnostics();
        for (int i = 0; i < Diagnostics.Most + 250; i++) found.Add(new Diagnostic("NARU-X001", Severity.Info, $"info {i}"));
        found.Error("NARU-X002", new string('x', 100_000));
        Assert.True(found.HasErrors);
        Assert.Equal(Diagnostics.Most + 2, found.Items.Count);
        Assert.Contains(found.Items, d => d.Code == "NARU-X002" && d.Message.Length == Diagnostics.MostText + 1);
        Assert.Equal("250 more of this severity were found and are left out", found.Items[^1].Message);
        Assert.Equal(Severity.Info, found.Items[^1].Severity);
    }
}
