// /config_dump: the configuration in use, shaped as envoy.admin.v3.ConfigDump, one resource at a time so that size costs no memory.
// Stands over protobuf's JSON; secrets are replaced before anything is printed.
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Google.Protobuf;
using Naru.Proxy.Config.Reading;
using Naru.Telemetry;

namespace Naru.Proxy.Host.Admin;

internal static class ConfigDumpPage
{
    private const string TypePrefix = "type.googleapis.com/envoy.admin.v3.";

    // Fields of ConfigDump's parts that `resource` may name.
    private static readonly string[] s_resources =
        ["bootstrap", "static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters", "static_endpoint_configs", "dynamic_endpoint_configs",
            "static_listeners", "dynamic_listeners", "static_route_configs", "dynamic_route_configs",
            "static_secrets", "dynamic_active_secrets", "dynamic_warming_secrets", "ecds_filters"];

    public static string[] Parameters { get; } = ["include_eds", "resource", "mask", "name_regex"];

    public static async Task<AdminResponse> Answer(IAdminTarget target, AdminRequest request)
    {
        string? resource = request.Parameter("resource") is { Length: > 0 } named ? named : null;
        if (resource is not null && !s_resources.Contains(resource))
            return AdminResponse.Text($"{AdminPages.Printable(resource)} not found in config dump", 404);
        Regex? names = null;
        if (request.Parameter("name_regex") is { Length: > 0 } pattern)
        {
            try
            {
                names = StatsQuery.CompileFilter($"^(?:{pattern})$");
            }
            catch (ArgumentException e)
            {
                return AdminResponse.Text(
                    $"INVALID_ARGUMENT: Error while parsing name_regex from {AdminPages.Printable(pattern)}: {AdminPages.Printable(Fault(e, pattern))}", 400);
            }
        }
        ConfigDumpView dump = await target.ConfigDumpAsync().ConfigureAwait(false);
        bool endpoints = request.Parameter("include_eds") is not null || resource is "static_endpoint_configs" or "dynamic_endpoint_configs";
        var into = new LineBuffer(4096);
        var printer = new Printer(into, dump, names);
        if (request.Parameter("mask") is { Length: > 0 } mask) return Masked(mask, into, resource is null ? printer.All(endpoints) : printer.Only(resource));
        return new AdminResponse { ContentType = AdminResponse.Json, Body = into, Pieces = resource is null ? printer.All(endpoints) : printer.Only(resource) };
    }

    // A mask is laid over each config of the answer (protobuf: FieldMask); those that know none of its fields are left out.
    private static AdminResponse Masked(string mask, LineBuffer whole, IEnumerable<bool> pieces)
    {
        foreach (bool _ in pieces) { }
        string[][] paths = [.. mask.Split(',', StringSplitOptions.RemoveEmptyEntries).Select(p => p.Split('.'))];
        using JsonDocument dump = JsonDocument.Parse(whole.Written.ToArray());
        JsonElement[] kept = !dump.RootElement.TryGetProperty("configs", out JsonElement configs) ? []
            : [.. configs.EnumerateArray().Where(c => Knows(c, paths))];
        if (kept.Length == 0) return AdminResponse.Text($"FieldMask {AdminPages.Printable(mask)} could not be successfully applied to any configs.", 400);
        return AdminResponse.WriteJson(json =>
        {
            json.WriteStartObject();
            json.WriteStartArray("configs");
            foreach (JsonElement config in kept) Write(json, config, paths, 0);
            json.WriteEndArray();
            json.WriteEndObject();
        });
    }

    private static bool Knows(JsonElement config, string[][] paths)
    {
        string type = config.GetProperty("@type").GetString()!;
        return EnvoyTypes.Find(type[(type.LastIndexOf('/') + 1)..]) is { } message
            && Array.Exists(paths, p => message.FindFieldByName(p[0]) is not null);
    }

    // Lists are kept whole, or not at all; what a type says it is stays.
    private static void Write(Utf8JsonWriter json, JsonElement from, string[][] paths, int depth)
    {
        json.WriteStartObject();
        foreach (JsonProperty member in from.EnumerateObject())
        {
            string[][] led = [.. paths.Where(p => p.Length > depth && p[depth] == member.Name)];
            if (member.Name == "@type" || Array.Exists(led, p => p.Length == depth + 1))
            {
                member.WriteTo(json);
            }
            else if (led.Length > 0 && member.Value.ValueKind == JsonValueKind.Object)
            {
                json.WritePropertyName(member.Name);
                Write(json, member.Value, led, depth + 1);
            }
        }
        json.WriteEndObject();
    }

    // RE2's words where it has them.
    private static string Fault(ArgumentException fault, string pattern) => (fault as RegexParseException)?.Error switch
    {
        RegexParseError.InsufficientClosingParentheses => $"missing ): {pattern}",
        RegexParseError.InsufficientOpeningParentheses => $"unexpected ): {pattern}",
        _ => fault.Message,
    };

    /// <summary>Writes the parts. Whole parts when <c>resource</c> is not given; else the entries of one field, each as a config of its own.</summary>
    private sealed class Printer(LineBuffer into, ConfigDumpView dump, Regex? names)
    {
        private bool _comma;

        public IEnumerable<bool> All(bool endpoints)
        {
            Raw("{\n \"configs\": [");
            bool first = true;
            if (names is null && dump.Bootstrap is not null)
            {
                Part("BootstrapConfigDump", ref first);
                Bootstrap();
                Raw("\n  }");
                yield return true;
            }
            Part("ClustersConfigDump", ref first);
            if (dump.CdsVersion.Length > 0) Field("version_info", dump.CdsVersion);
            foreach (bool more in Fields("static_clusters", "dynamic_active_clusters", "dynamic_warming_clusters")) yield return more;
            Raw("\n  }");
            if (endpoints)
            {
                Part("EndpointsConfigDump", ref first);
                foreach (bool more in Fields("static_endpoint_configs", "dynamic_endpoint_configs")) yield return more;
                Raw("\n  }");
            }
            Part("ListenersConfigDump", ref first);
            if (dump.LdsVersion.Length > 0) Field("version_info", dump.LdsVersion);
            foreach (bool more in Fields("static_listeners", "dynamic_listeners")) yield return more;
            Raw("\n  }");
            Part("RoutesConfigDump", ref first);
            foreach (bool more in Fields("static_route_configs", "dynamic_route_configs")) yield return more;
            Raw("\n  }");
            // Scopes have their rows in /stats; the part stands for whoever reads its name.
            Part("ScopedRoutesConfigDump", ref first);
            Raw("\n  }");
            Part("SecretsConfigDump", ref first);
            foreach (bool more in Fields("static_secrets", "dynamic_active_secrets", "dynamic_warming_secrets")) yield return more;
            Raw("\n  }");
            if (dump.Resources.Any(r => r.Kind == DumpKind.Filter))
            {
                Part("EcdsConfigDump", ref first);
                foreach (bool more in Fields("ecds_filters")) yield return more;
                Raw("\n  }");
            }
            Raw("\n ]\n}\n");
            yield return true;
        }

        public IEnumerable<bool> Only(string field)
        {
            if (field == "bootstrap" ? dump.Bootstrap is null : !dump.Resources.Any(r => FieldOf(r) == field && Wanted(r)))
            {
                Raw("{}\n");
                yield return true;
                yield break;
            }
            Raw("{\n \"configs\": [");
            if (field == "bootstrap")
            {
                if (dump.Bootstrap is not null)
                {
                    bool first = true;
                    Part("BootstrapConfigDump", ref first);
                    Bootstrap();
                    Raw("\n  }");
                }
            }
            else
            {
                bool any = false;
                foreach (DumpedResource entry in dump.Resources)
                {
                    if (FieldOf(entry) != field || !Wanted(entry)) continue;
                    Raw(any ? "," : "");
                    any = true;
                    Raw("\n  {\n   \"@type\": \"" + TypePrefix + EntryType(field) + "\"");
                    _comma = true;
                    Entry(entry, "   ");
                    Raw("\n  }");
                    if (into.Length >= StatsFormats.ChunkBytes) yield return true;
                }
            }
            Raw("\n ]\n}\n");
            yield return true;
        }

        private IEnumerable<bool> Fields(params string[] fields)
        {
            foreach (string field in fields)
            {
                bool any = false;
                foreach (DumpedResource entry in dump.Resources)
                {
                    if (FieldOf(entry) != field || !Wanted(entry)) continue;
                    if (!any) Comma();
                    Raw(any ? ",\n    {" : "\n   \"" + field + "\": [\n    {");
                    any = true;
                    _comma = false;
                    Entry(entry, "     ");
                    Raw("\n    }");
                    if (into.Length >= StatsFormats.ChunkBytes) yield return true;
                }
                if (any) Raw("\n   ]");
                _comma = true;
            }
        }

        private bool Wanted(DumpedResource entry) => names is null || names.IsMatch(entry.Name);

        private void Bootstrap()
        {
            Message("bootstrap", dump.Bootstrap!, typed: false, "   ");
            Text("last_updated", Time(dump.Started), "   ");
        }

        private void Entry(DumpedResource entry, string indent)
        {
            string key = entry.Kind switch
            {
                DumpKind.Cluster => "cluster",
                DumpKind.Endpoint => "endpoint_config",
                DumpKind.Route => "route_config",
                DumpKind.Secret => "secret",
                DumpKind.Filter => "ecds_filter",
                _ => "listener",
            };
            if (entry.Kind == DumpKind.Listener && !entry.IsStatic)
            {
                // DynamicListener has a state of each life instead of fields of its own.
                Text("name", entry.Name, indent);
                if (entry.Resource is not null)
                {
                    Comma();
                    Raw("\n" + indent + "\"" + (entry.State switch { DumpState.Warming => "warming_state", DumpState.Draining => "draining_state", _ => "active_state" }) + "\": {");
                    _comma = false;
                    Common(entry, key, indent + " ");
                    Raw("\n" + indent + "}");
                    _comma = true;
                }
            }
            else
            {
                if (entry.Kind == DumpKind.Secret) Text("name", entry.Name, indent);
                Common(entry, key, indent);
            }
            if (entry.Failure is not { } failure) return;
            Comma();
            Raw("\n" + indent + "\"error_state\": {");
            _comma = false;
            Text("last_update_attempt", Time(failure.At), indent + " ");
            Text("details", failure.Details, indent + " ");
            Text("version_info", failure.Version, indent + " ");
            Raw("\n" + indent + "}");
            _comma = true;
        }

        private void Common(DumpedResource entry, string key, string indent)
        {
            if (entry.Version.Length > 0) Text("version_info", entry.Version, indent);
            if (entry.Resource is not null) Message(key, entry.Resource, typed: true, indent);
            // Envoy says of secrets of the bootstrap no time.
            if (entry is not { Kind: DumpKind.Secret, IsStatic: true }) Text("last_updated", Time(entry.LastUpdated), indent);
        }

        private void Part(string type, ref bool first)
        {
            Raw((first ? "" : ",") + "\n  {\n   \"@type\": \"" + TypePrefix + type + "\"");
            first = false;
            _comma = true;
        }

        private void Field(string name, string value) => Text(name, value, "   ");

        private void Text(string name, string value, string indent)
        {
            Comma();
            Raw("\n" + indent + "\"" + name + "\": \"" + JsonEncodedText.Encode(value) + "\"");
        }

        private void Message(string name, IMessage message, bool typed, string indent)
        {
            Comma();
            Raw("\n" + indent + "\"" + name + "\": ");
            Raw(MessageJson.Print(message, typed).Replace("\n", "\n" + indent, StringComparison.Ordinal));
        }

        private void Comma()
        {
            if (_comma) into.Append((byte)',');
            _comma = true;
        }

        private void Raw(string text)
        {
            Span<byte> room = into.GetSpan(Encoding.UTF8.GetMaxByteCount(text.Length));
            into.Advance(Encoding.UTF8.GetBytes(text, room));
        }
    }

    private static string FieldOf(DumpedResource entry) => (entry.Kind, entry.IsStatic) switch
    {
        (DumpKind.Cluster, true) => "static_clusters",
        (DumpKind.Cluster, false) => entry.State == DumpState.Warming ? "dynamic_warming_clusters" : "dynamic_active_clusters",
        (DumpKind.Endpoint, true) => "static_endpoint_configs",
        (DumpKind.Endpoint, false) => "dynamic_endpoint_configs",
        (DumpKind.Listener, true) => "static_listeners",
        (DumpKind.Listener, false) => "dynamic_listeners",
        (DumpKind.Route, true) => "static_route_configs",
        (DumpKind.Secret, true) => "static_secrets",
        (DumpKind.Secret, false) => entry.State == DumpState.Warming ? "dynamic_warming_secrets" : "dynamic_active_secrets",
        (DumpKind.Filter, _) => "ecds_filters",
        _ => "dynamic_route_configs",
    };

    private static string EntryType(string field) => field switch
    {
        "static_clusters" => "ClustersConfigDump.StaticCluster",
        "dynamic_active_clusters" or "dynamic_warming_clusters" => "ClustersConfigDump.DynamicCluster",
        "static_endpoint_configs" => "EndpointsConfigDump.StaticEndpointConfig",
        "dynamic_endpoint_configs" => "EndpointsConfigDump.DynamicEndpointConfig",
        "static_listeners" => "ListenersConfigDump.StaticListener",
        "dynamic_listeners" => "ListenersConfigDump.DynamicListener",
        "static_route_configs" => "RoutesConfigDump.StaticRouteConfig",
        "static_secrets" => "SecretsConfigDump.StaticSecret",
        "dynamic_active_secrets" or "dynamic_warming_secrets" => "SecretsConfigDump.DynamicSecret",
        "ecds_filters" => "EcdsConfigDump.EcdsFilterConfig",
        _ => "RoutesConfigDump.DynamicRouteConfig",
    };

    private static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
}
