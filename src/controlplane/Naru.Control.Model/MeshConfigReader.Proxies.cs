// Reads the mesh configuration: the part of MeshConfigReader about proxies' own ways: headers, logs, ports, times, retries.
using System.Collections.Immutable;
using System.Globalization;
using Google.Protobuf;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Telemetry;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;

namespace Naru.Control.Model;

public static partial class MeshConfigReader
{
    private const int MostDepth = 16;

    // Istio's own default (access logging): one line, the same fields as JSON below.
    private const string TextLine = "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "
        + "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% "
        + "%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
        + "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% "
        + "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

    private static readonly (string Name, string Value)[] s_jsonFields =
    [
        ("start_time", "%START_TIME%"), ("route_name", "%ROUTE_NAME%"), ("method", "%REQ(:METHOD)%"),
        ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"), ("protocol", "%PROTOCOL%"), ("response_code", "%RESPONSE_CODE%"),
        ("response_flags", "%RESPONSE_FLAGS%"), ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
        ("connection_termination_details", "%CONNECTION_TERMINATION_DETAILS%"), ("bytes_received", "%BYTES_RECEIVED%"),
        ("bytes_sent", "%BYTES_SENT%"), ("duration", "%DURATION%"), ("upstream_service_time", "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"),
        ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"), ("user_agent", "%REQ(USER-AGENT)%"), ("request_id", "%REQ(X-REQUEST-ID)%"),
        ("authority", "%REQ(:AUTHORITY)%"), ("upstream_host", "%UPSTREAM_HOST%"), ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
        ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"), ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
        ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"), ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
        ("upstream_transport_failure_reason", "%UPSTREAM_TRANSPORT_FAILURE_REASON%"),
    ];

    /// <summary>A time as metadata has it; null where there is none.</summary>
    public static TimeSpan? TimeOf(string text)
    {
        (string number, double unit) = text.EndsWith("ms", StringComparison.Ordinal) ? (text[..^2], 0.001)
            : text.EndsWith('m') ? (text[..^1], 60) : text.EndsWith('h') ? (text[..^1], 3600) : (text.TrimEnd('s'), 1);
        return text.Length > 0 && char.IsLetter(text[^1])
            && double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double count)
            && count * unit is >= 0.001 and <= 9_200_000_000 ? TimeSpan.FromSeconds(count * unit) : null;
    }

    /// <summary>The headers of a proxy that brings its configuration itself (JSON or YAML); what is wrong in it is as if it were not
    /// there.</summary>
    public static ProxyHeadersSpec HeadersOf(string text)
    {
        var faults = new Diagnostics();
        if (YamlReader.ReadAll(text, null, faults).FirstOrDefault() is not YamlMapping config) return ProxyHeadersSpec.None;
        ProxyHeadersSpec read = Headers(config.Get("proxyHeaders") as YamlMapping, new Reader("PROXY_CONFIG", default, faults));
        return faults.HasErrors ? ProxyHeadersSpec.None : read;
    }

    private static ProxyHeadersSpec Headers(YamlMapping? said, Reader at)
    {
        if (said is null) return ProxyHeadersSpec.None;
        const string Path = "defaultConfig.proxyHeaders.";
        foreach (YamlEntry entry in said.Entries)
        {
            // Headers of Istio's own filters, which only its own proxies have.
            if (entry.Key is "forwardedClientCert" or "metadataExchangeHeaders") continue;
            if (entry.Value is not YamlMapping part
                || entry.Key is not ("server" or "attemptCount" or "envoyDebugHeaders" or "requestId" or "setCurrentClientCertDetails"))
            {
                at.Unread(Path + Short(entry.Key));
                continue;
            }
            string[] fields = entry.Key switch
            {
                "server" => ["value", "disabled"],
                "setCurrentClientCertDetails" => ["subject", "cert", "chain", "dns", "uri"],
                _ => ["disabled"],
            };
            foreach (YamlEntry field in part.Entries.Where(f =>
                !fields.Contains(f.Key))) at.Unread($"{Path}{entry.Key}.{Short(field.Key)}");
        }
        bool Off(string name) => said.Get(name) is YamlMapping part && at.Flag(part, "disabled", $"{Path}{name}.");
        string? server = Text(said.Get("server") as YamlMapping, "value");
        if (server is { Length: 0 } || server?.Length > 255 || server?.Any(c => c is < ' ' or > '~') == true)
            at.Wrong($"{Path}server.value {Short(server)} is no name of a server", "write some ASCII letters");
        string forwarded = Text(said, "forwardedClientCert") ?? "";
        if (forwarded is not ("" or "UNDEFINED" or "SANITIZE" or "FORWARD_ONLY" or "APPEND_FORWARD" or "SANITIZE_SET" or "ALWAYS_FORWARD_ONLY"))
            at.Wrong($"{Path}forwardedClientCert {Short(forwarded)} is no choice", "use SANITIZE, FORWARD_ONLY, APPEND_FORWARD, SANITIZE_SET or ALWAYS_FORWARD_ONLY");
        ClientCertificateDetails? details = said.Get("setCurrentClientCertDetails") is not YamlMapping what ? null
            : new ClientCertificateDetails(Said("subject", true), Said("cert", false), Said("chain", false), Said("dns", true),
                Said("uri", true));
        bool Said(string name, bool otherwise) =>
            Text(said.Get("setCurrentClientCertDetails") as YamlMapping, name) is null ? otherwise
                : at.Flag((YamlMapping)said.Get("setCurrentClientCertDetails")!, name, $"{Path}setCurrentClientCertDetails.");
        return new ProxyHeadersSpec
        {
            Server = server is { Length: > 0 } ? server : null,
            KeepsServer = Off("server"),
            HidesAttempts = Off("attemptCount"),
            HidesDebug = Off("envoyDebugHeaders"),
            MakesNoId = Off("requestId"),
            ClientCertificate = forwarded == "UNDEFINED" ? "" : forwarded.Replace("_", "", StringComparison.Ordinal),
            Details = details,
        };
    }

    private static AccessLogSpec? Log(YamlMapping mesh, Reader at)
    {
        string file = Text(mesh, "accessLogFile") ?? "", format = Text(mesh, "accessLogFormat") ?? "",
            encoding = Text(mesh, "accessLogEncoding") ?? "TEXT";
        if (encoding is not ("TEXT" or "JSON")) at.Wrong($"accessLogEncoding {Short(encoding)}", "use TEXT or JSON");
        if (file.Length == 0) return null;
        // From where a proxy was started nobody knows.
        if (file[0] != '/' || file.Contains('\0')) at.Wrong($"accessLogFile {Short(file)} is no absolute path", "write /dev/stdout");
        if (encoding != "JSON")
        {
            if (format.Length > 0) Check(format, at);
            return new AccessLogSpec(file, format.Length == 0 ? TextLine : format.EndsWith('\n') ? format : format + "\n", null);
        }
        var fields = new Struct();
        if (format.Length == 0)
        {
            foreach ((string name, string value) in s_jsonFields) fields.Fields[name] = Value.ForString(value);
            return new AccessLogSpec(file, null, fields);
        }
        try
        {
            fields = JsonParser.Default.Parse<Struct>(format);
            foreach (Value value in fields.Fields.Values) Check(value, at, 1);
        }
        catch (Exception e) when (e is InvalidProtocolBufferException or InvalidJsonException)
        {
            at.Wrong("accessLogFormat is no JSON object", "write { \"name\": \"%OPERATOR%\" }, or accessLogEncoding: TEXT");
        }
        return new AccessLogSpec(file, null, fields);
    }

    private static void Check(Value value, Reader at, int depth)
    {
        if (depth > MostDepth) at.Wrong($"accessLogFormat is more than {MostDepth} deep", "write it flatter");
        else if (value.KindCase == Value.KindOneofCase.StringValue) Check(value.StringValue, at);
        else if (value.KindCase == Value.KindOneofCase.StructValue) foreach (Value inner in value.StructValue.Fields.Values) Check(inner,
            at, depth + 1);
        else if (value.KindCase == Value.KindOneofCase.ListValue) foreach (Value inner in value.ListValue.Values) Check(inner, at,
            depth + 1);
    }

    private static void Check(string format, Reader at)
    {
        var found = new Diagnostics();
        if (format.Contains('%', StringComparison.Ordinal)) AccessLogFormat.Compile(format, found);
        foreach (Diagnostic fault in found.Items.Where(f => f.Severity == Severity.Error))
            at.Wrong($"accessLogFormat: {fault.Message}", fault.Remedy ?? "see the command operators");
    }

    private static TcpKeepalive? Keepalive(YamlMapping mesh, Reader at)
    {
        if (mesh.Get("tcpKeepalive") is not YamlMapping said) return null;
        at.Known(said, ["probes", "time", "interval"], "tcpKeepalive.");
        int? Seconds(string key)
        {
            if (at.Time(said, key) is not { } time) return null;
            // What Linux can be told.
            if (time < TimeSpan.FromSeconds(1)
                || time > TimeSpan.FromSeconds(32767)) at.Wrong($"tcpKeepalive.{key} must be 1s to 32767s", "write 60s");
            return (int)Math.Clamp(time.TotalSeconds, 1, 32767);
        }
        return new TcpKeepalive(said.Get("probes") is null ? null : (int)at.Number(said, "probes", "tcpKeepalive.", 1, 127),
            Seconds("time"), Seconds("interval"));
    }

    private static HttpRetry? Retries(YamlMapping mesh, Reader at)
    {
        if (mesh.Get("defaultHttpRetryPolicy") is not YamlMapping said) return null;
        var faults = new Diagnostics();
        HttpRetry made = IstioReader.MeshRetry(said, at.Subject, faults);
        foreach (Diagnostic fault in faults.Items.Where(f => f.Severity == Severity.Error)) at.Wrong(fault.Message,
            fault.Remedy ?? "see HTTPRetry");
        return made;
    }

    private static LocalityRule? Locality(YamlMapping mesh, Reader at)
    {
        if (mesh.Get("localityLbSetting") is not YamlMapping said) return null;
        var faults = new Diagnostics();
        LocalityRule made = IstioReader.MeshLocality(said, at.Subject, faults);
        foreach (Diagnostic fault in faults.Items.Where(f => f.Severity == Severity.Error)) at.Wrong(fault.Message,
            fault.Remedy ?? "see LocalityLoadBalancerSetting");
        return made;
    }

    private static TlsFloor? Floor(YamlMapping mesh, string key, Reader at)
    {
        if (mesh.Get(key) is not YamlMapping said) return null;
        at.Identity(key);
        at.Known(said, ["minProtocolVersion", "cipherSuites", "ecdhCurves"], $"{key}.");
        string version = Text(said, "minProtocolVersion") ?? "TLS_AUTO";
        if (version is not ("TLS_AUTO" or "TLSV1_2" or "TLSV1_3")) at.Wrong($"{key}.minProtocolVersion {Short(version)}", "use TLSV1_2 or TLSV1_3");
        ImmutableArray<string> ciphers = Strings(said, "cipherSuites"), curves = Strings(said, "ecdhCurves");
        if (ciphers.Any(c => c.Length is 0 or > 64 || !c.All(x => char.IsAsciiLetterOrDigit(x) || x is '-' or '_')))
            at.Wrong($"{key}.cipherSuites has what is no cipher", "write names such as ECDHE-RSA-AES256-GCM-SHA384");
        foreach (string curve in curves.Where(c => c is not ("X25519" or "P-256" or "P-384" or "P-521")))
            at.Wrong($"{key}.ecdhCurves: {Short(curve)} is no curve", "use X25519, P-256, P-384 or P-521");
        return new TlsFloor(version switch { "TLSV1_2" => 3, "TLSV1_3" => 4, _ => 0 }, ciphers, curves);
    }

    private static ImmutableArray<string> Exports(YamlMapping mesh, string key, Reader at)
    {
        ImmutableArray<string> said = Strings(mesh, key);
        foreach (string value in said.Where(v => v is not ("." or "*") && !IstioReader.IsHost(v, wildcards: false)))
            at.Wrong($"{key}: {Short(value)} is no namespace", "use \".\", \"*\" or a namespace");
        return said.Contains("*") ? [] : said;
    }

    private static int Port(YamlMapping mesh, string key, int otherwise, Reader at) =>
        at.Number(mesh, key, "", 1, 65535) is > 0 and var port ? (int)port : otherwise;

    private static PathNormalization Paths(YamlMapping mesh, Reader at)
    {
        var said = mesh.Get("pathNormalization") as YamlMapping;
        if (said is not null) at.Known(said, ["normalization"], "pathNormalization.");
        switch (Text(said, "normalization") ?? "DEFAULT")
        {
            case "DEFAULT" or "BASE": return PathNormalization.Base;
            case "NONE": return PathNormalization.None;
            case "MERGE_SLASHES": return PathNormalization.MergeSlashes;
            case "DECODE_AND_MERGE_SLASHES": return PathNormalization.DecodeAndMergeSlashes;
            case var other:
                at.Wrong($"pathNormalization.normalization {Short(other)}", "use NONE, BASE, MERGE_SLASHES or DECODE_AND_MERGE_SLASHES");
                return PathNormalization.Base;
        }
    }
}
