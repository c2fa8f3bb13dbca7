// /listeners: names and bound addresses, as text (name::address) or as envoy.admin.v3.Listeners.
using System.Text;
using System.Text.Json;

namespace Naru.Proxy.Host.Admin;

internal static class ListenersPage
{
    public static async Task<AdminResponse> Answer(IAdminTarget target, AdminRequest request)
    {
        // Whatever else it says is text, as with Envoy.
        string format = request.Parameter("format") ?? "text";
        IReadOnlyList<ListenerView> listeners = await target.ListenersAsync().ConfigureAwait(false);
        if (format == "json") return AdminResponse.WriteJson(json => Write(json, listeners));
        var text = new StringBuilder();
        foreach (ListenerView listener in listeners)
        {
            foreach (AddressView address in listener.Addresses) text.Append(ClustersPage.OneLine(listener.Name)).Append("::").Append(address).Append('\n');
        }
        return AdminResponse.Text(text.ToString());
    }

    private static void Write(Utf8JsonWriter json, IReadOnlyList<ListenerView> listeners)
    {
        json.WriteStartObject();
        json.WriteStartArray("listener_statuses");
        foreach (ListenerView listener in listeners)
        {
            if (listener.Addresses.Count == 0) continue;
            json.WriteStartObject();
            json.WriteString("name", listener.Name);
            json.WriteStartObject("local_address");
            WriteSocketAddress(json, listener.Addresses[0]);
            json.WriteEndObject();
            if (listener.Addresses.Count > 1)
            {
                json.WriteStartArray("additional_local_addresses");
                foreach (AddressView address in listener.Addresses.Skip(1))
                {
                    json.WriteStartObject();
                    WriteSocketAddress(json, address);
                    json.WriteEndObject();
                }
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }

    internal static void WriteSocketAddress(Utf8JsonWriter json, AddressView address)
    {
        if (address.Host is ['/', ..] or ['@', ..])
        {
            json.WriteStartObject("pipe");
            json.WriteString("path", address.Host);
            json.WriteEndObject();
            return;
        }
        json.WriteStartObject("socket_address");
        json.WriteString("address", address.Host);
        json.WriteNumber("port_value", address.Port);
        json.WriteEndObject();
    }
}
