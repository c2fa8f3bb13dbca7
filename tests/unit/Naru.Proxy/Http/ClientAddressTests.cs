// Which names of a request may be told more than a code: those that no name server of somebody else's answers for.
using System.Text;
using Naru.Proxy.Http;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class ClientAddressTests
{
    [Theory]
    [InlineData("localhost:8080", true)]
    [InlineData("Reviews.LOCALHOST.", true)]
    [InlineData("127.0.0.1:8080", true)]
    [InlineData("[::1]:8080", true)]
    [InlineData("reviews:9080", true)]
    [InlineData("reviews.default.svc.cluster.local:9080", true)]
    [InlineData("a.test", true)]
    [InlineData("", true)]
    [InlineData("evil.com", false)]
    [InlineData("evil.com:8080", false)]
    [InlineData("evil.com.", false)]
    [InlineData("localhost.evil.com", false)]
    [InlineData("127.0.0.1.evil.com", false)]
    [InlineData("[evil.com]", false)]
    [InlineData("xlocalhost.dev", false)]
    public void A_name_of_somebody_elses_is_told_the_code_alone(string authority, bool all) =>
        Assert.Equal(all, ClientAddress.IsNamedHere(Encoding.ASCII.GetBytes(authority)));
}
