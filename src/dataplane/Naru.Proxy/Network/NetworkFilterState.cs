// Texts that are kept with a connection from its start on (Envoy: network set_filter_state): read by formats, by rules of access and by the
// requests that come over it; one of them names the cluster of a tcp_proxy.
using System.Text;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Listeners;
using Naru.Telemetry;

namespace Naru.Proxy.Network;

internal sealed class NetworkFilterState(NetworkStateConfig config) : NetworkFilter
{
    // What does not compile was refused when it was read.
    private readonly (StateValueConfig Config, byte[] Key, AccessLogFormat Format)[] _values =
        [.. config.Values.Select(v => (v, Encoding.UTF8.GetBytes(v.Key), AccessLogFormat.Compile(v.Format, new Diagnostics(), FormatUse.Body)!))];

    public override long? Refuses(ListenerConnection connection, Worker worker)
    {
        ConnectionInfo info = connection.Know();
        foreach ((StateValueConfig value, byte[] key, AccessLogFormat format) in _values)
        {
            var record = new ConnectionRecord(connection.Id, worker.Ticks);
            record.Begin(connection);
            var made = new LineBuffer();
            format.Write(record, made);
            if ((value.SkipIfEmpty && made.Length == 0) || StateText.IsKept(info.States, key)) continue;
            info.States = new StateText(key, made.Written.ToArray(), value.ReadOnly, null, info.States);
            if (value.Key == NetworkStateConfig.TcpCluster) info.Cluster = Encoding.UTF8.GetString(made.Written);
        }
        return null;
    }
}
