// Starts gRPC's own xDS clients: grpc-js-xds, and the C core by way of Debian's grpcio.
using System.Globalization;

namespace Naru.Kit;

/// <summary>A gRPC client that finds its endpoints over xDS, as a process.</summary>
public static class GrpcXdsClient
{
    /// <summary>Calls <paramref name="target"/> (<c>xds:///…</c>) <paramref name="calls"/> times, or for ever where that is 0, and prints a line
    /// for each call.</summary>
    /// <param name="client"><c>grpc-js</c> or <c>grpcio</c>.</param>
    /// <param name="controlPlane">Address of the xDS server.</param>
    /// <param name="target">What it dials.</param>
    /// <param name="calls">How many calls.</param>
    /// <param name="metadata">KEY=VALUE each.</param>
    public static ChildProcess Start(string client, string controlPlane, string target, int calls, params string[] metadata)
    {
        // The bootstrap names its control plane, and itself as it likes: GENERATOR says that it is a gRPC client.
        string bootstrap = $$$"""
            {"xds_servers": [{"server_uri": "{{{controlPlane}}}", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
             "node": {"id": "some-grpc-client", "locality": {"region": "here"}, "metadata": {"GENERATOR": "grpc", "NAMESPACE": "default"} } }
            """;
        var environment = new Dictionary<string, string?> { ["GRPC_XDS_BOOTSTRAP_CONFIG"] = bootstrap, ["GRPC_XDS_BOOTSTRAP"] = null, ["http_proxy"] = null, ["https_proxy"] = null, ["grpc_proxy"] = null };
        string[] arguments = [target, calls.ToString(CultureInfo.InvariantCulture), .. metadata];
        return client == "grpc-js"
            ? ChildProcess.Start(Tools.Path("node", "nodejs"), [Repository.At("tests/kit/peers/grpc-xds-client.js"), .. arguments], environment: environment)
            : ChildProcess.Start("/usr/bin/python3", [Repository.At("tests/kit/peers/grpc_xds_client.py"), .. arguments], environment: environment);
    }
}
