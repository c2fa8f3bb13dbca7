// The runtime's values: what each layer says and what counts, and the administrator's own layer (Envoy docs: /runtime, /runtime_modify).
using Naru.Proxy.Config;

namespace Naru.Proxy.Host.Admin;

internal static class RuntimePages
{
    private const int MostKeys = 1000, MostLength = 1024;

    public static Task<AdminResponse> Show(IAdminTarget target, AdminRequest request) => AdminPages.Done(AdminResponse.WriteJson(json =>
    {
        IReadOnlyList<RuntimeLayerConfig> layers = target.Runtime.Layers;
        json.WriteStartObject();
        json.WriteStartArray("layers");
        foreach (RuntimeLayerConfig layer in layers) json.WriteStringValue(layer.Name);
        json.WriteEndArray();
        json.WriteStartObject("entries");
        foreach ((string key, RuntimeValue value) in target.Runtime.Entries)
        {
            json.WriteStartObject(key);
            json.WriteStartArray("layer_values");
            foreach (RuntimeLayerConfig layer in layers) json.WriteStringValue(layer.Values.TryGetValue(key, out RuntimeValue? own) ? own.Text : "");
            json.WriteEndArray();
            json.WriteString("final_value", value.Text);
            json.WriteEndObject();
        }
        json.WriteEndObject();
        json.WriteEndObject();
    }));

    public static Task<AdminResponse> Modify(IAdminTarget target, AdminRequest request)
    {
        if (request.Parameters.Count == 0)
        {
            return AdminPages.Done(AdminResponse.Text(
                "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n       or send the parameters as form values\nuse an empty value to remove a previously added override", 400));
        }
        // What an administrator sets stays as long as the process: it has a bound.
        if (request.Parameters.Any(p => p.Key.Length is 0 or > MostLength || p.Value.Length > MostLength))
            return AdminPages.Done(AdminResponse.Text($"A key or a value is empty or longer than {MostLength} characters.\n", 400));
        if (Overrides(target, request) > MostKeys)
            return AdminPages.Done(AdminResponse.Text($"There are more than {MostKeys} overrides; remove some with an empty value.\n", 400));
        return AdminPages.Done(target.Runtime.Modify(request.Parameters) ? AdminResponse.Text("OK\n") : AdminResponse.Text("No admin layer specified", 503));
    }

    // How many there would be: to change or to remove one is always possible.
    private static int Overrides(IAdminTarget target, AdminRequest request)
    {
        HashSet<string> keys = [.. target.Runtime.Layers.Where(l => l.IsAdmin).SelectMany(l => l.Values.Keys)];
        int before = keys.Count;
        foreach ((string key, string value) in request.Parameters)
        {
            if (value.Length == 0) keys.Remove(key);
            else keys.Add(key);
        }
        return keys.Count > before ? keys.Count : 0;
    }
}
