// Reads Istio's networking kinds: binds spec to our declarations, then validates into records. What the declarations do not
// have is refused by name: as unknown, or as known to Istio and not supported here yet.
using System.Collections.Immutable;
using System.Net;
using Google.Protobuf;
using Istio.Networking.V1Alpha3;
using Naru.Core;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;
using Wire = Istio.Networking.V1Alpha3;

namespace Naru.Control.Model;

internal static partial class IstioReader
{
    private static readonly string[] GatewayProtocols = ["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTPS"];
    private static readonly BindOptions Binding = new()
    {
        SingleForRepeated = false,
        Unknown = (type, field) => NotYet.Has(type.Name, field, out string remedy) ? new UnknownField("NARU-C201", $"{field} is not supported yet", remedy) : null,
    };
    private static readonly string[] LaterProtocols = ["TLS", "TCP", "MONGO", "MYSQL", "REDIS", "UDP"];

    /// <summary>What one object's reading needs at every step.</summary>
    private sealed record Reading(YamlMapping Spec, string Subject, Diagnostics D, ProtoPlaces Places)
    {
        public Place At(IMessage message, string? field = null) => Places.Of(message, field);

        /// <summary>The place of an element of a list of strings right under spec.</summary>
        public Place Item(string field, int index) =>
            Spec.Get(field) is YamlSequence list && index < list.Items.Count ? list.Items[index].Place : Spec.Get(field)?.Place ?? Spec.Place;

        /// <summary>Whether a field right below <paramref name="path"/> was refused as not supported yet: then nothing is missing there.</summary>
        public bool Refused(string path) =>
            D.Items.Any(d => d.Code == "NARU-C201" && d.Subject == Subject
            && d.Message.Contains($" at {path["spec.".Length..]}.", StringComparison.Ordinal));

        public void Error(string code, string message, Place place, string? remedy = null) => D.Error(code, message, place, Subject, remedy);
    }

    public static GatewaySpec? Gateway(YamlMapping map, string ns, string subject, Diagnostics d)
    {
        if (Bind<Gateway>(map, subject, d, out Reading? r) is not { } gateway || r is null) return null;
        Place selectorPlace = r.Spec.Get("selector")?.Place ?? r.Spec.Place;
        if (gateway.Servers.Count == 0) r.Error("NARU-C204", "a Gateway must have at least one server", r.Spec.Place, "add spec.servers");
        var servers = ImmutableArray.CreateBuilder<GatewayServer>();
        for (int i = 0; i < gateway.Servers.Count; i++)
        {
            Server server = gateway.Servers[i];
            string path = $"spec.servers[{i}]";
            Place place = r.At(server);
            if (server.Port is null)
            {
                r.Error("NARU-C204", $"{path}.port is missing", place);
                continue;
            }
            if (!IsPort(server.Port.Number)) r.Error("NARU-C205", $"{path}.port.number {server.Port.Number} is not between 1 and 65535", r.At(server.Port, "number"));
            string protocol = server.Port.Protocol.ToUpperInvariant();
            if (LaterProtocols.Contains(protocol))
                r.Error("NARU-C201", $"{path}.port.protocol {protocol} is not supported yet", r.At(server.Port, "protocol"), "use HTTP");
            else if (!GatewayProtocols.Contains(protocol))
                r.Error("NARU-C205", $"{path}.port.protocol \"{Short(server.Port.Protocol)}\" is no protocol", r.At(server.Port, "protocol"),
                    Nearest.Suggestion(protocol, GatewayProtocols.Concat(LaterProtocols)) ?? "use HTTP");
            if (server.Hosts.Count == 0) r.Error("NARU-C204", $"{path}.hosts is missing", place, "add the hosts it serves, or \"*\" for all");
            if (server.Bind.Length > 0 && !IPAddress.TryParse(server.Bind, out _)) r.Error("NARU-C205", $"{path}.bind \"{Short(server.Bind)}\" is no IP address", r.At(server, "bind"));
            var hosts = ImmutableArray.CreateBuilder<GatewayHost>();
            foreach (string host in server.Hosts)
            {
                int slash = host.IndexOf('/');
                string hostNs = slash < 0 ? "*" : host[..slash], dns = host[(slash + 1)..].ToLowerInvariant();
                Place at = r.At(server, "hosts");
                if (hostNs == ".") hostNs = ns;
                if (hostNs.Length == 0 || !IsHost(dns, wildcards: true)) r.Error("NARU-C205", $"{path}.hosts: \"{Short(host)}\" is no host", at, "write a DNS name, *.name, *, or namespace/name");
                else hosts.Add(new GatewayHost(hostNs, dns, at));
            }
            servers.Add(new GatewayServer((int)server.Port.Number, protocol, server.Port.Name, hosts.ToImmutable(), server.Bind,
                server.Name, place)
            {
                Tls = ServerTlsOf(server, protocol, path, r),
            });
        }
        return new GatewaySpec(Sorted(gateway.Selector), servers.ToImmutable(), selectorPlace);
    }

    public static ServiceEntrySpec? ServiceEntry(YamlMapping map, string subject, Diagnostics d)
    {
        if (Bind<ServiceEntry>(map, subject, d, out Reading? r) is not { } entry || r is null) return null;
        if (entry.Hosts.Count == 0) r.Error("NARU-C204", "spec.hosts is missing", r.Spec.Place, "name at least one host");
        bool dns = entry.Resolution is Wire.ServiceEntry.Types.Resolution.Dns or Wire.ServiceEntry.Types.Resolution.DnsRoundRobin;
        if (entry.Resolution == Wire.ServiceEntry.Types.Resolution.None)
            r.Error("NARU-C201", "spec.resolution NONE is not supported yet: it needs transparent interception", r.At(entry, "resolution"), "use STATIC with endpoints, or DNS");
        var hosts = ImmutableArray.CreateBuilder<Located<string>>();
        for (int i = 0; i < entry.Hosts.Count; i++)
        {
            Place at = r.Item("hosts", i);
            string host = entry.Hosts[i].ToLowerInvariant();
            if (!IsHost(host, wildcards: true) || host == "*") r.Error("NARU-C205", $"spec.hosts[{i}] \"{Short(host)}\" is no host", at);
            else if (host.StartsWith("*.", StringComparison.Ordinal) && dns && entry.Endpoints.Count == 0)
                r.Error("NARU-C206", $"spec.hosts[{i}] \"{Short(host)}\" has a wildcard, which DNS cannot resolve", at, "add endpoints, or name the host in full");
            else hosts.Add(new Located<string>(host, at));
        }
        foreach (string address in entry.Addresses)
        {
            if (!IPAddress.TryParse(address, out _))
                r.Error(address.Contains('/') ? "NARU-C201" : "NARU-C205", address.Contains('/') ? $"spec.addresses: the range {Short(address)} is not supported yet" : $"spec.addresses: \"{Short(address)}\" is no IP address", r.At(entry, "addresses"));
        }
        if (entry.Ports.Count == 0) r.Error("NARU-C204", "spec.ports is missing", r.Spec.Place, "add at least one port");
        var ports = ImmutableArray.CreateBuilder<ServiceEntryPort>();
        foreach (Wire.ServicePort port in entry.Ports)
        {
            if (!IsPort(port.Number)) r.Error("NARU-C205", $"port number {port.Number} is not between 1 and 65535", r.At(port, "number"));
            if (port.Name.Length == 0) r.Error("NARU-C204", "a port must have a name", r.At(port));
            if (port.TargetPort > 65535) r.Error("NARU-C205", $"target port {port.TargetPort} is not between 1 and 65535", r.At(port, "target_port"));
            if (ports.Any(p => p.Number == port.Number || p.Name == port.Name)) r.Error("NARU-C206", $"port {port.Number} \"{Short(port.Name)}\" is there twice", r.At(port));
            ports.Add(new ServiceEntryPort((int)port.Number, port.Protocol.ToUpperInvariant(), port.Name, (int)port.TargetPort));
        }
        if (entry.WorkloadSelector is not null && entry.Endpoints.Count > 0) r.Error("NARU-C206", "spec.workloadSelector and spec.endpoints exclude each other", r.At(entry, "workload_selector"));
        if (entry.WorkloadSelector is not null && dns) r.Error("NARU-C206", "spec.workloadSelector needs resolution STATIC", r.At(entry, "workload_selector"));
        return new ServiceEntrySpec
        {
            Hosts = hosts.ToImmutable(),
            Addresses = [.. entry.Addresses],
            Ports = ports.ToImmutable(),
            Internal = entry.Location == Wire.ServiceEntry.Types.Location.MeshInternal,
            Dns = dns,
            LogicalDns = entry.Resolution == Wire.ServiceEntry.Types.Resolution.DnsRoundRobin,
            Endpoints = [.. entry.Endpoints.Select((e, i) => Endpoint(e, i, dns, entry, r)).OfType<WorkloadEndpoint>()],
            WorkloadSelector = Sorted(entry.WorkloadSelector?.Labels),
            ExportTo = ExportTo(entry.ExportTo, r),
        };
    }

    private static WorkloadEndpoint? Endpoint(WorkloadEntry endpoint, int index, bool dns, ServiceEntry entry, Reading r)
    {
        string path = $"spec.endpoints[{index}]";
        if (endpoint.Address.StartsWith("unix:", StringComparison.Ordinal))
        {
            r.Error("NARU-C201", $"{path}.address: Unix sockets are not supported yet", r.At(endpoint, "address"));
            return null;
        }
        if (endpoint.Address.Length == 0 || (!IPAddress.TryParse(endpoint.Address, out _) && !(dns && IsHost(endpoint.Address, wildcards: false))))
        {
            r.Error("NARU-C205", $"{path}.address \"{Short(endpoint.Address)}\" is no {(dns ? "IP address or name" : "IP address")}", r.At(endpoint, "address"), dns ? null : "a name needs resolution DNS");
            return null;
        }
        foreach ((string name, uint port) in endpoint.Ports)
        {
            if (!IsPort(port)) r.Error("NARU-C205", $"{path}.ports.{Short(name)} {port} is not between 1 and 65535", r.At(endpoint, "ports"));
            else if (entry.Ports.All(p => p.Name != name))
                r.Error("NARU-C205", $"{path}.ports names \"{Short(name)}\", which is no port of the entry", r.At(endpoint, "ports"), Nearest.Suggestion(name, entry.Ports.Select(p => p.Name)));
        }
        return new WorkloadEndpoint(endpoint.Address, endpoint.Ports.ToImmutableSortedDictionary(p => p.Key, p => (int)p.Value, StringComparer.Ordinal),
            Sorted(endpoint.Labels), endpoint.Locality, endpoint.Weight == 0 ? 1 : (int)Math.Min(endpoint.Weight, 1_000_000), endpoint.ServiceAccount, r.At(endpoint));
    }

    // ---- binding and what all kinds share ----

    private static T? Bind<T>(YamlMapping map, string subject, Diagnostics d, out Reading? reading) where T : class, IMessage, new()
    {
        reading = null;
        if (map.Get("spec") is not YamlMapping spec)
        {
            d.Error("NARU-C204", "spec is missing or no mapping", map.Get("spec")?.Place ?? map.Place, subject);
            return null;
        }
        var places = new ProtoPlaces();
        var bound = new Diagnostics();
        T message = ProtoBinder.Bind<T>(spec, bound, subject, places, Binding);
        d.AddRange(bound.Items);
        // Fields that are only not supported yet leave the rest readable: its faults are reported in the same go.
        if (bound.Items.Any(b => b.Severity == Severity.Error && b.Code != "NARU-C201")) return null;
        reading = new Reading(spec, subject, d, places);
        return message;
    }

    private static ImmutableArray<string> ExportTo(IEnumerable<string> values, Reading r)
    {
        ImmutableArray<string> made = [.. values];
        foreach (string value in made)
        {
            if (value is not ("." or "*") && !IsHost(value, wildcards: false))
                r.Error("NARU-C205", $"spec.exportTo: \"{Short(value)}\" is no namespace", r.Spec.Get("exportTo")?.Place ?? r.Spec.Place, "use \".\", \"*\" or a namespace");
        }
        // To everybody is something else than nothing: of that the mesh configuration says what it means.
        return made.Contains("*") ? ["*"] : made;
    }

    private static int? Count(int? value, IMessage? owner, string field, string path, Reading r)
    {
        if (value is null or 0) return null;
        if (value > 0) return value;
        r.Error("NARU-C205", $"{path} {value} is negative", r.At(owner!, field));
        return null;
    }

    // What fits into a proxy's 64 bits of nanoseconds.
    private static readonly TimeSpan LongestTime = TimeSpan.FromSeconds(9_200_000_000);

    private static TimeSpan? Positive(Google.Protobuf.WellKnownTypes.Duration? value, IMessage? owner, string field, string path, Reading r)
    {
        if (value is null) return null;
        TimeSpan span = value.ToTimeSpan();
        if (span >= TimeSpan.FromMilliseconds(1) && span <= LongestTime) return span;
        r.Error("NARU-C205", span > LongestTime ? $"{path} is longer than 292 years" : $"{path} must be at least 1ms", r.At(owner!, field));
        return null;
    }

    private static ImmutableSortedDictionary<string, string> Sorted(IEnumerable<KeyValuePair<string, string>>? map) =>
        (map ?? []).ToImmutableSortedDictionary(StringComparer.Ordinal);

    private static bool IsPort(uint port) => port is >= 1 and <= 65535;

    private static bool IsSubsetName(string name) => name.Length <= 63 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');

    /// <summary>A DNS name or IP literal; with wildcards also <c>*</c> and <c>*.name</c>.</summary>
    internal static bool IsHost(string host, bool wildcards)
    {
        if (host.Length is 0 or > 255) return false;
        if (host == "*") return wildcards;
        if (IPAddress.TryParse(host, out _)) return true;
        string name = host.StartsWith("*.", StringComparison.Ordinal) ? host[2..] : host;
        if (name.Length != host.Length && !wildcards) return false;
        return name.Split('.').All(label => label.Length is > 0 and <= 63 && label.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_')
            && label[0] != '-' && label[^1] != '-');
    }
}
