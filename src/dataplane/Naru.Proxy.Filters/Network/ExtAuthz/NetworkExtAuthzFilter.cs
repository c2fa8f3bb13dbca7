// Asks another service whether a connection may go on (Envoy docs: network external authorization): at its first bytes, as Envoy does, so
// that protocols in which the server speaks first are heard before; or when it begins, where that is configured. Nothing that a client sent
// is passed on before the answer, and where the service says nothing of use the connection is refused unless the configuration would rather
// let it in.
using Envoy.Service.Auth.V3;
using Google.Protobuf;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Filters.Http.ExtAuthz;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Proxy.Network;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Network.ExtAuthz;

internal sealed class NetworkExtAuthzFilter : AskingFilter
{
    private static readonly byte[] s_namespace = "envoy.filters.network.ext_authz"u8.ToArray();
    private readonly NetworkExtAuthzConfig _config;
    private readonly GrpcMethod _method;
    private readonly StatBlock _stats;
    private readonly MetadataMatcher? _enabledBy;

    public NetworkExtAuthzFilter(NetworkExtAuthzConfig config, FilterContext context)
    {
        _config = config;
        _method = new GrpcMethod(config.Service, context.Clusters, "/envoy.service.auth.v3.Authorization/Check");
        _stats = context.Stats.Block($"ext_authz.{config.StatPrefix.TrimEnd('.')}", ConnectionAuthzStats.Schema);
        _enabledBy = config.EnabledBy is { } by ? new MetadataMatcher(by) : null;
    }

    public override bool OnNew => _config.OnNew;

    public override NetworkQuestion? Ask(ListenerConnection connection, Worker worker)
    {
        long[] shard = _stats.Shard(worker.Index);
        if (_enabledBy is not null && !_enabledBy.Matches(connection.Info?.Metadata))
        {
            shard[ConnectionAuthzStats.Disabled]++;
            return null;
        }
        shard[ConnectionAuthzStats.Total]++;
        var context = new AttributeContext
        {
            Source = GrpcCheck.PeerOf(connection, connection.Peer, isSource: true, _config.SendsCertificate),
            Destination = GrpcCheck.PeerOf(connection, connection.Local, isSource: false, sendsCertificate: false),
        };
        if (_config.SendsTls)
            context.TlsSession = new AttributeContext.Types.TLSSession { Sni = connection.Tls?.Sni ?? connection.Info?.ServerName ?? "" };
        CallOut call = _method.Call(worker, connection.Record(), new LineBuffer(), new CheckRequest { Attributes = context }.ToByteArray());
        return new NetworkQuestion(_method, call, answer => Judge(answer, connection, shard), shard, ConnectionAuthzStats.Active);
    }

    private Reason? Judge(CallOut call, ListenerConnection connection, long[] shard)
    {
        CheckResponse? response = GrpcMethod.Read(call, CheckResponse.Parser);
        if (response?.DynamicMetadata is { Fields.Count: > 0 } said)
        {
            ConnectionInfo info = connection.Know();
            info.Metadata = (info.Metadata ?? MetaValue.Empty).With(s_namespace, MetadataReader.Read(said));
        }
        // A message that says nothing lets nobody in, as where it says no.
        if (response is { Status.Code: 0 })
        {
            shard[ConnectionAuthzStats.Ok]++;
            return null;
        }
        shard[response is null ? ConnectionAuthzStats.Error : ConnectionAuthzStats.Denied]++;
        if (response is null && _config.AllowsFailures)
        {
            shard[ConnectionAuthzStats.FailureModeAllowed]++;
            return null;
        }
        shard[ConnectionAuthzStats.Closed]++;
        return response is null ? ConnectionReasons.AuthorizationFailed : ConnectionReasons.AuthorizationDenied;
    }
}

internal static class ConnectionAuthzStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Total = Schema.Counter("total");
    public static readonly int Ok = Schema.Counter("ok");
    public static readonly int Denied = Schema.Counter("denied");
    public static readonly int Error = Schema.Counter("error");
    public static readonly int FailureModeAllowed = Schema.Counter("failure_mode_allowed");
    public static readonly int Disabled = Schema.Counter("disabled");
    public static readonly int Closed = Schema.Counter("cx_closed");
    public static readonly int Active = Schema.Gauge("active");
}
