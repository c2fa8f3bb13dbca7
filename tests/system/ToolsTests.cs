// The peers that system tests talk to must be real programs: this says early which one is missing.
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests;

public sealed class ToolsTests
{
    [Theory]
    [InlineData("curl", "curl")]
    [InlineData("wrk", "wrk")]
    [InlineData("h2load", "nghttp2-client")]
    public void A_peer_is_installed(string program, string package) => Assert.True(File.Exists(Tools.Path(program, package)));
}
