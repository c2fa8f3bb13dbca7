// A file of generic secrets, as path_config_source watches it; moved into place.
using System.Text.Json;

namespace Naru.WireTests.Filters;

internal static class SdsFile
{
    public static void Write(string path, params (string Name, string Text)[] secrets)
    {
        IEnumerable<string> all = secrets.Select(s =>
            "{\"@type\": \"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\", "
            + $"\"name\": \"{s.Name}\", \"generic_secret\": {{\"secret\": {{\"inline_string\": {JsonSerializer.Serialize(s.Text)}}}}}}}");
        File.WriteAllText(path + ".new", $"{{\"resources\": [{string.Join(", ", all)}]}}");
        File.Move(path + ".new", path, overwrite: true);
    }
}
