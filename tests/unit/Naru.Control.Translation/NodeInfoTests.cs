// Who asks: Istio's four parts, its metadata and ours.
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Translation;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed class NodeInfoTests
{
    private static NodeInfo? Parse(string id, string metadata, out string? error) => NodeInfo.TryParse(id, "c", Struct.Parser.ParseJson(metadata), out error);

    [Theory]
    [InlineData("something", "{}")]
    [InlineData("a~b~c", "{}")]
    [InlineData("ztunnel~10.0.0.1~a.b~b.svc.cluster.local", "{}")]
    [InlineData("sidecar~nowhere~a.b~b.svc.cluster.local", "{}")]
    public void A_node_that_cannot_be_served_is_told_why(string id, string metadata)
    {
        Assert.Null(Parse(id, metadata, out string? error));
        Assert.Contains(id, error);
    }

    [Fact]
    public void Metadata_says_what_the_id_does_not()
    {
        NodeInfo node = Parse("sidecar~10.0.0.1~reviews-v1-1.shop~shop.svc.cluster.local",
            """{"LABELS":{"app":"reviews"},"INSTANCE_IPS":"10.0.0.1, fd00::1","INTERCEPTION_MODE":"NONE","HTTP_PROXY_PORT":"15080","NARU_APP_PORTS":{"9080":41233},"NARU_VIP_OCTET":7,"SERVICE_ACCOUNT":"sa"}""", out _)!;
        Assert.Equal(("reviews-v1-1", "shop", "sa"), (node.Name, node.Namespace, node.ServiceAccount));
        Assert.Equal(["10.0.0.1", "fd00::1"], node.Addresses);
        Assert.Equal((true, 15080, 7), (node.NoInterception, node.HttpProxyPort, node.VipOctet));
        Assert.Equal(41233, node.AppPorts[9080]);
        Assert.Equal("reviews", node.Labels["app"]);
    }

    [Fact]
    public void A_gRPC_client_may_be_called_anything()
    {
        NodeInfo node = Parse("me", """{"GENERATOR":"grpc"}""", out _)!;
        Assert.True(node.IsGrpc);
        Assert.Equal("default", node.Namespace);
    }
}
