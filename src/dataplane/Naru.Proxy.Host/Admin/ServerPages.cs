// Pages about the process itself: its state, memory and log levels, and the switches that drain or end it.
using System.Text.Json;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Tls;

namespace Naru.Proxy.Host.Admin;

internal static class ServerPages
{
    public static Task<AdminResponse> Ready(IAdminTarget target, AdminRequest request) =>
        AdminPages.Done(AdminResponse.Text(NameOf(target.State) + "\n", target.State == ServerState.Live ? 200 : 503));

    /// <summary><c>envoy.admin.v3.ServerInfo</c>.</summary>
    public static Task<AdminResponse> Info(IAdminTarget target, AdminRequest request) => AdminPages.Done(AdminResponse.WriteJson(json =>
    {
        ServerDescription server = target.Server;
        string uptime = (long)target.Uptime.TotalSeconds + "s";
        json.WriteStartObject();
        json.WriteString("version", server.Version);
        json.WriteString("state", NameOf(target.State));
        json.WriteString("hot_restart_version", "disabled");
        json.WriteStartObject("command_line_options");
        json.WriteNumber("concurrency", server.Concurrency);
        json.WriteNumber("restart_epoch", server.RestartEpoch);
        foreach ((string name, string value) in server.CommandLine)
        {
            if (name != "concurrency") json.WriteString(name, value);
        }
        // A field that is not known is refused, wherever it comes from.
        json.WriteBoolean("reject_unknown_dynamic_fields", true);
        json.WriteEndObject();
        WriteNode(json, server);
        json.WriteString("uptime_current_epoch", uptime);
        json.WriteString("uptime_all_epochs", uptime);
        json.WriteBoolean("hot_restart_initializing", false);
        json.WriteEndObject();
    }));

    // As the bootstrap has it; who it is of is said in any case.
    private static void WriteNode(Utf8JsonWriter json, ServerDescription server)
    {
        json.WriteStartObject("node");
        json.WriteString("id", server.NodeId);
        json.WriteString("cluster", server.NodeCluster);
        json.WriteString("user_agent_name", "naru");
        if (server.Node is { } who)
        {
            using JsonDocument node = JsonDocument.Parse(MessageJson.Print(who, typed: false));
            foreach (JsonProperty property in node.RootElement.EnumerateObject())
                if (property.Name is not ("id" or "cluster" or "user_agent_name")) property.WriteTo(json);
        }
        json.WriteEndObject();
    }

    /// <summary><c>envoy.admin.v3.Certificates</c>: one entry for each listener's chain and each cluster that has any, its certificates in order. Keys are no part of it.</summary>
    public static Task<AdminResponse> Certificates(IAdminTarget target, AdminRequest request) => AdminPages.Done(AdminResponse.WriteJson(json =>
    {
        json.WriteStartObject();
        json.WriteStartArray("certificates");
        foreach (IGrouping<int, CertificateStatus> context in target.Certificates.GroupBy(c => c.Context))
        {
            json.WriteStartObject();
            WriteCertificates(json, "ca_cert", context.Where(c => c.IsAuthority));
            WriteCertificates(json, "cert_chain", context.Where(c => !c.IsAuthority));
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
    }));

    private static void WriteCertificates(Utf8JsonWriter json, string name, IEnumerable<CertificateStatus> those)
    {
        json.WriteStartArray(name);
        foreach (CertificateStatus one in those)
        {
            CertificateInfo info = one.Info;
            json.WriteStartObject();
            json.WriteString("path", one.Path);
            json.WriteString("serial_number", info.Serial);
            json.WriteStartArray("subject_alt_names");
            foreach (SubjectAltName san in info.Names)
            {
                json.WriteStartObject();
                json.WriteString(san.Type switch { SanType.Dns => "dns", SanType.Uri => "uri", SanType.IpAddress => "ip_address", _ => "email" }, san.Value);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            // 64-bit numbers are strings in protobuf's JSON.
            json.WriteString("days_until_expiration", Math.Max(0, (long)(info.NotAfter - DateTime.UtcNow).TotalDays).ToString());
            json.WriteString("valid_from", info.NotBefore.ToString("yyyy-MM-ddTHH:mm:ssZ"));
            json.WriteString("expiration_time", info.NotAfter.ToString("yyyy-MM-ddTHH:mm:ssZ"));
            json.WriteEndObject();
        }
        json.WriteEndArray();
    }

    /// <summary><c>envoy.admin.v3.Memory</c> (64-bit numbers are strings in protobuf's JSON), and <c>total_allocated_bytes</c>: all managed bytes
    /// ever allocated, exact, which is how benchmarks see what a request allocates.</summary>
    public static Task<AdminResponse> Memory(IAdminTarget target, AdminRequest request)
    {
        long everAllocated = GC.GetTotalAllocatedBytes(precise: true);
        GCMemoryInfo info = GC.GetGCMemoryInfo();
        return AdminPages.Done(AdminResponse.WriteJson(json =>
        {
            json.WriteStartObject();
            json.WriteString("allocated", Text(GC.GetTotalMemory(false)));
            json.WriteString("heap_size", Text(Math.Max(info.TotalCommittedBytes, GC.GetTotalMemory(false))));
            json.WriteString("pageheap_unmapped", "0");
            json.WriteString("pageheap_free", Text(info.FragmentedBytes));
            json.WriteString("total_thread_cache", "0");
            json.WriteString("total_physical_bytes", Text(ResidentBytes()));
            json.WriteString("total_allocated_bytes", Text(everAllocated));
            json.WriteNumber("gc_gen0_collections", GC.CollectionCount(0));
            json.WriteNumber("gc_gen2_collections", GC.CollectionCount(2));
            json.WriteEndObject();
        }));

        static string Text(long value) => value.ToString(System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>One line each, <c>worker_1.buffers_active: 0</c>. A proxy without requests under way has the same numbers before and after them.</summary>
    public static async Task<AdminResponse> Ledger(IAdminTarget target, AdminRequest request)
    {
        var text = new System.Text.StringBuilder();
        foreach ((int worker, string name, long count) in await target.LedgersAsync().ConfigureAwait(false))
            text.Append(System.Globalization.CultureInfo.InvariantCulture, $"worker_{worker}.{name}: {count}\n");
        return AdminResponse.Text(text.ToString());
    }

    private static string LoggingUsage => "usage: /logging?<name>=<level> (change single level)\nusage: /logging?paths=name1:level1,name2:level2,... (change multiple levels)\n"
        + $"usage: /logging?level=<level> (change all levels)\nlevels: {string.Join(' ', ProxyLog.LevelNames)}\n";

    public static Task<AdminResponse> Logging(IAdminTarget target, AdminRequest request)
    {
        if (request.Parameters.Count > 1) return AdminPages.Done(AdminResponse.Text($"error: invalid number of parameters\n{LoggingUsage}", 400));
        var wanted = new List<(string? Component, LogLevel Level)>();
        foreach ((string name, string value) in request.Parameters)
        {
            foreach (string item in name == "paths" ? value.Split(',') : [value])
            {
                string[] pair = name == "paths" ? item.Split(':') : name == "level" ? ["", item] : [name, item];
                if (pair.Length != 2 || !ProxyLog.TryParseLevel(pair[1], out LogLevel level))
                    return AdminPages.Done(AdminResponse.Text($"error: unknown logger level\n\"{AdminPages.Printable(item)}\" has none of them.\n{LoggingUsage}", 400));
                if (pair[0].Length > 0 && !target.Log.Components.Any(c => c.Key == pair[0]))
                    return AdminPages.Done(AdminResponse.Text(
                        $"error: unknown logger name\nThere is no \"{AdminPages.Printable(pair[0])}\". There are {string.Join(", ", target.Log.Components.Select(c => c.Key))}.\n{LoggingUsage}", 400));
                wanted.Add((pair[0].Length == 0 ? null : pair[0], level));
            }
        }
        foreach ((string? component, LogLevel level) in wanted)
        {
            if (component is null) target.Log.SetAll(level);
            else target.Log.Set(component, level);
        }
        string text = "active loggers:\n" + string.Concat(target.Log.Components.Select(c => $"  {c.Key}: {ProxyLog.NameOf(c.Value)}\n"));
        return AdminPages.Done(AdminResponse.Text(text));
    }

    public static Task<AdminResponse> ReopenLogs(IAdminTarget target, AdminRequest request)
    {
        target.ReopenLogs();
        return Ok();
    }

    public static Task<AdminResponse> ResetCounters(IAdminTarget target, AdminRequest request)
    {
        target.ResetCounters();
        return Ok();
    }

    public static Task<AdminResponse> Health(IAdminTarget target, bool failed)
    {
        target.HealthCheckFailed = failed;
        return Ok();
    }

    public static Task<AdminResponse> DrainListeners(IAdminTarget target, AdminRequest request)
    {
        bool graceful = request.Parameter("graceful") is not null, skipExit = request.Parameter("skip_exit") is not null;
        if (skipExit && !graceful) return AdminPages.Done(AdminResponse.Text("skip_exit requires graceful\n", 400));
        target.DrainListeners(request.Parameter("inboundonly") is not null, graceful, skipExit);
        return Ok();
    }

    public static Task<AdminResponse> Quit(IAdminTarget target, AdminRequest request)
    {
        var made = new AdminResponse { Afterwards = target.Quit };
        made.Body.Append("OK\n"u8);
        return Task.FromResult(made);
    }

    /// <summary>Envoy's spelling.</summary>
    internal static string NameOf(ServerState state) => state switch
    {
        ServerState.Live => "LIVE",
        ServerState.Draining => "DRAINING",
        ServerState.PreInitializing => "PRE_INITIALIZING",
        _ => "INITIALIZING",
    };

    /// <summary>Resident bytes by <c>/proc/self/statm</c>; 0 where there is none.</summary>
    internal static long ResidentBytes()
    {
        try
        {
            string[] fields = File.ReadAllText("/proc/self/statm").Split(' ');
            return fields.Length > 1 && long.TryParse(fields[1], out long pages) ? pages * Environment.SystemPageSize : 0;
        }
        catch (IOException)
        {
            return 0;
        }
    }

    private static Task<AdminResponse> Ok() => AdminPages.Done(AdminResponse.Text("OK\n"));
}
