// What the system refuses is said in words for people, never in those of a framework.
using System.Net.Http;
using System.Net.Sockets;
using Naru.Core;
using Xunit;

namespace Naru.UnitTests.Core;

public sealed class CausesTests
{
    public static TheoryData<Exception, string> Rows => new()
    {
        { new SocketException((int)SocketError.ConnectionRefused), "nobody listens there" },
        { new SocketException((int)SocketError.AddressAlreadyInUse), "the address is in use already" },
        { new IOException("x", new SocketException((int)SocketError.ConnectionReset)), "the connection was closed" },
        { new HttpRequestException("x", new SocketException((int)SocketError.HostNotFound)), "the name cannot be resolved" },
        { new HttpRequestException(HttpRequestError.ResponseEnded, "x"), "the connection was closed before the answer was whole" },
        { new HttpRequestException("x",
            new HttpIOException(HttpRequestError.ResponseEnded, "The response ended prematurely. (ResponseEnded)")),
            "the connection was closed before the answer was whole" },
        { new TaskCanceledException("The request was canceled due to the configured HttpClient.Timeout of 1 seconds elapsing."),
            "there was no answer in time" },
        { new TimeoutException(), "there was no answer in time" },
        { new IOException("The file '/x' already exists."), "there is something else of that name" },
        { new FileNotFoundException("Could not find file '/proc/x'.", "/proc/x"), "there is no such file or folder" },
        { new UnauthorizedAccessException("Access to the path '/nowhere/x' is denied."), "this user may not (permission denied)" },
    };

    [Theory]
    [MemberData(nameof(Rows))]
    public void A_cause_is_a_sentence_for_people(Exception e, string said) => Assert.Equal(said, Causes.Of(e));

    [Fact]
    public void A_path_is_named_where_that_is_asked_for() =>
        Assert.Equal("/x: there is something else of that name",
            Causes.Of(new IOException("The file '/x' already exists."), withPath: true));
}
