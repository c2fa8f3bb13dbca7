// Reads DestinationRules: the part of IstioReader that says how services are talked to. Values are judged as Istio's webhook judges them.
using System.Collections.Immutable;
using Google.Protobuf;
using Istio.Networking.V1Alpha3;
using Naru.Core;
using Naru.Yaml;
using static Naru.Control.Model.ManifestReader;
using Wire = Istio.Networking.V1Alpha3;

namespace Naru.Control.Model;

internal static partial class IstioReader
{
    public static DestinationRuleSpec? DestinationRule(YamlMapping map, string subject, Diagnostics d)
    {
        if (Bind<DestinationRule>(map, subject, d, out Reading? r) is not { } rule || r is null) return null;
        if (rule.Host.Length == 0) r.Error("NARU-C204", "spec.host is missing", r.Spec.Place, "name the service that the rule is for");
        else if (!IsHost(rule.Host, wildcards: true)) r.Error("NARU-C205", $"spec.host \"{Short(rule.Host)}\" is no host",
            r.At(rule, "host"));
        var subsets = ImmutableArray.CreateBuilder<Model.Subset>();
        for (int i = 0; i < rule.Subsets.Count; i++)
        {
            Wire.Subset subset = rule.Subsets[i];
            string path = $"spec.subsets[{i}]";
            if (subset.Name.Length == 0) r.Error("NARU-C204", $"{path}.name is missing", r.At(subset));
            else if (!IsSubsetName(subset.Name)) r.Error("NARU-C205", $"{path}.name \"{Short(subset.Name)}\" is no name",
                r.At(subset, "name"), "use letters, digits, '-', '_' and '.'");
            else if (subsets.Any(s => s.Name == subset.Name)) r.Error("NARU-C206", $"subset \"{Short(subset.Name)}\" is there twice",
                r.At(subset, "name"));
            subsets.Add(new Model.Subset(subset.Name, Sorted(subset.Labels), Policy(subset.TrafficPolicy, path + ".trafficPolicy", r),
                r.At(subset)));
        }
        return new DestinationRuleSpec(new Located<string>(rule.Host.ToLowerInvariant(), r.At(rule, "host")),
            Policy(rule.TrafficPolicy, "spec.trafficPolicy", r), subsets.ToImmutable(), ExportTo(rule.ExportTo, r));
    }

    private static Model.TrafficPolicy Policy(Wire.TrafficPolicy? policy, string path, Reading r)
    {
        if (policy is null) return Model.TrafficPolicy.None;
        Model.TrafficPolicy made = Policy(policy.LoadBalancer, policy.ConnectionPool, policy.OutlierDetection, policy.Tls, path, r);
        var ports = ImmutableSortedDictionary.CreateBuilder<int, Model.TrafficPolicy>();
        for (int i = 0; i < policy.PortLevelSettings.Count; i++)
        {
            Wire.TrafficPolicy.Types.PortTrafficPolicy port = policy.PortLevelSettings[i];
            string at = $"{path}.portLevelSettings[{i}]";
            if (port.Port is null || !IsPort(port.Port.Number)) r.Error("NARU-C204", $"{at}.port.number must be between 1 and 65535",
                r.At(port));
            else if (!ports.TryAdd((int)port.Port.Number,
                Policy(port.LoadBalancer, port.ConnectionPool, port.OutlierDetection, port.Tls, at, r))) r.Error("NARU-C206",
                $"port {port.Port.Number} is there twice", r.At(port));
        }
        return made with
        {
            Ports = ports.ToImmutable(),
            Budget = Budget(policy.RetryBudget, path + ".retryBudget", r),
            ProxyProtocol = policy.ProxyProtocol is { } proxy ? (int)proxy.Version + 1 : 0,
            Tunnel = Tunnel(policy.Tunnel, path + ".tunnel", r),
        };
    }

    private static RetryBudget? Budget(Wire.TrafficPolicy.Types.RetryBudget? budget, string path, Reading r)
    {
        if (budget is null) return null;
        double percent = budget.Percent ?? 20;
        if (!(percent is >= 0 and <= 100)) r.Error("NARU-C205", $"{path}.percent {percent} is not between 0 and 100",
            r.At(budget, "percent"));
        if (budget.MinRetryConcurrency > int.MaxValue)
            r.Error("NARU-C205", $"{path}.minRetryConcurrency {budget.MinRetryConcurrency} is more than {int.MaxValue}",
                r.At(budget, "min_retry_concurrency"));
        return new RetryBudget(percent, budget.MinRetryConcurrency == 0 ? 3 : (int)Math.Min(budget.MinRetryConcurrency, int.MaxValue));
    }

    private static Tunnel? Tunnel(Wire.TrafficPolicy.Types.TunnelSettings? tunnel, string path, Reading r)
    {
        if (tunnel is null) return null;
        if (!IsHost(tunnel.TargetHost, wildcards: false)) r.Error("NARU-C205",
            $"{path}.targetHost \"{Short(tunnel.TargetHost)}\" is no host", r.At(tunnel, "target_host"));
        if (!IsPort(tunnel.TargetPort)) r.Error("NARU-C205", $"{path}.targetPort {tunnel.TargetPort} is no port",
            r.At(tunnel, "target_port"));
        string protocol = tunnel.Protocol.ToUpperInvariant();
        if (protocol is not ("" or "CONNECT" or "POST")) r.Error("NARU-C205", $"{path}.protocol \"{Short(tunnel.Protocol)}\"",
            r.At(tunnel, "protocol"), "use CONNECT or POST");
        return new Tunnel($"{(tunnel.TargetHost.Contains(':') ? $"[{tunnel.TargetHost}]" : tunnel.TargetHost)}:{tunnel.TargetPort}",
            protocol == "POST");
    }

    private static Model.TrafficPolicy Policy(LoadBalancerSettings? lb, ConnectionPoolSettings? pool, OutlierDetection? outliers,
        ClientTLSSettings? tls, string path, Reading r)
    {
        return new Model.TrafficPolicy
        {
            LoadBalancer = Balancing(lb, path + ".loadBalancer", r),
            Pool = Pool(pool, path + ".connectionPool", r),
            Outliers = Outliers(outliers, path + ".outlierDetection", r),
            Tls = Tls(tls, path + ".tls", r),
        };
    }

    private static ConnectionPool? Pool(ConnectionPoolSettings? pool, string path, Reading r)
    {
        if (pool is null) return null;
        ConnectionPoolSettings.Types.TCPSettings? tcp = pool.Tcp;
        ConnectionPoolSettings.Types.HTTPSettings? http = pool.Http;
        bool? upgrade = http?.H2UpgradePolicy switch
        {
            ConnectionPoolSettings.Types.HTTPSettings.Types.H2UpgradePolicy.Upgrade => true,
            ConnectionPoolSettings.Types.HTTPSettings.Types.H2UpgradePolicy.DoNotUpgrade => false,
            _ => null,
        };
        if (upgrade == true && http!.UseClientProtocol)
            r.Error("NARU-C206", $"{path}.http.useClientProtocol and h2UpgradePolicy UPGRADE exclude each other",
                r.At(http, "use_client_protocol"), "remove one of them");
        return new ConnectionPool
        {
            MaxConnections = Count(tcp?.MaxConnections, tcp, "max_connections", path + ".tcp.maxConnections", r),
            ConnectTimeout = Positive(tcp?.ConnectTimeout, tcp, "connect_timeout", path + ".tcp.connectTimeout", r),
            Keepalive = Keepalive(tcp?.TcpKeepalive, path + ".tcp.tcpKeepalive", r),
            MaxConnectionDuration = Positive(tcp?.MaxConnectionDuration, tcp, "max_connection_duration",
                path + ".tcp.maxConnectionDuration", r),
            TcpIdleTimeout = Positive(tcp?.IdleTimeout, tcp, "idle_timeout", path + ".tcp.idleTimeout", r),
            MaxPendingRequests = Count(http?.Http1MaxPendingRequests, http, "http1_max_pending_requests",
                path + ".http.http1MaxPendingRequests", r),
            MaxRequests = Count(http?.Http2MaxRequests, http, "http2_max_requests", path + ".http.http2MaxRequests", r),
            MaxRequestsPerConnection = Count(http?.MaxRequestsPerConnection, http, "max_requests_per_connection",
                path + ".http.maxRequestsPerConnection", r),
            MaxRetries = Count(http?.MaxRetries, http, "max_retries", path + ".http.maxRetries", r),
            IdleTimeout = Positive(http?.IdleTimeout, http, "idle_timeout", path + ".http.idleTimeout", r),
            Http2Upgrade = upgrade,
            UseClientProtocol = http?.UseClientProtocol ?? false,
            MaxConcurrentStreams = Count(http?.MaxConcurrentStreams, http, "max_concurrent_streams", path + ".http.maxConcurrentStreams",
                r),
            Http2Keepalive = Pings(http?.Http2KeepAlive, path + ".http.http2KeepAlive", r),
        };
    }

    private static TcpKeepalive? Keepalive(ConnectionPoolSettings.Types.TCPSettings.Types.TcpKeepalive? keepalive, string path, Reading r)
    {
        if (keepalive is null) return null;
        // What Linux can be told.
        if (keepalive.Probes > 127) r.Error("NARU-C205", $"{path}.probes {keepalive.Probes} is more than 127", r.At(keepalive, "probes"));
        return new TcpKeepalive(keepalive.Probes == 0 ? null : (int)Math.Min(keepalive.Probes, 127), Seconds(keepalive.Time, "time"),
            Seconds(keepalive.Interval, "interval"));

        int? Seconds(Google.Protobuf.WellKnownTypes.Duration? value, string field)
        {
            if (value is null) return null;
            if (value.Seconds is < 1 or > 32767 || value.Nanos < 0)
            {
                r.Error("NARU-C205", $"{path}.{field} must be at least 1s, and at most 32767s", r.At(keepalive, field));
                return null;
            }
            return (int)value.Seconds;
        }
    }

    private static (TimeSpan, TimeSpan)? Pings(ConnectionPoolSettings.Types.HTTPSettings.Types.HTTP2KeepAlive? keepalive, string path,
        Reading r)
    {
        if (keepalive is null) return null;
        if (keepalive.Interval is null || keepalive.Timeout is null)
            r.Error("NARU-C204", $"{path} needs interval and timeout", r.At(keepalive),
                "say how often to ask, and how long an answer may take");
        TimeSpan? interval = Positive(keepalive.Interval, keepalive, "interval", path + ".interval", r),
            timeout = Positive(keepalive.Timeout, keepalive, "timeout", path + ".timeout", r);
        return interval is { } i && timeout is { } t ? (i, t) : null;
    }

    private static OutlierRule? Outliers(OutlierDetection? outliers, string path, Reading r)
    {
        if (outliers is null) return null;
        if (outliers.ConsecutiveErrors < 0) r.Error("NARU-C205", $"{path}.consecutiveErrors {outliers.ConsecutiveErrors} is negative",
            r.At(outliers, "consecutive_errors"));
        Percent(outliers.MaxEjectionPercent, "max_ejection_percent");
        Percent(outliers.MinHealthPercent, "min_health_percent");
        if (outliers.ConsecutiveLocalOriginFailures > 0 && !outliers.SplitExternalLocalOriginErrors)
        {
            r.Error("NARU-C206", $"{path}.consecutiveLocalOriginFailures counts only with splitExternalLocalOriginErrors",
                r.At(outliers, "consecutive_local_origin_failures"),
                "add splitExternalLocalOriginErrors: true");
        }
        // 1.0 counted gateway errors alone; what was written for it means that still, unless a newer field says more.
        bool old = outliers.ConsecutiveErrors > 0 && outliers.ConsecutiveGatewayErrors is null && outliers.Consecutive5XxErrors is null;
        return new OutlierRule
        {
            Consecutive5xx = Errors(outliers.Consecutive5XxErrors, "consecutive_5xx_errors"),
            ConsecutiveGateway = old ? outliers.ConsecutiveErrors : Errors(outliers.ConsecutiveGatewayErrors, "consecutive_gateway_errors"),
            GatewayOnly = old,
            SplitLocalOrigin = outliers.SplitExternalLocalOriginErrors,
            ConsecutiveLocalOrigin = Errors(outliers.ConsecutiveLocalOriginFailures, "consecutive_local_origin_failures"),
            Interval = Positive(outliers.Interval, outliers, "interval", path + ".interval", r),
            BaseEjectionTime = Positive(outliers.BaseEjectionTime, outliers, "base_ejection_time", path + ".baseEjectionTime", r),
            MaxEjectionPercent = outliers.MaxEjectionPercent > 0 ? outliers.MaxEjectionPercent : null,
            MinHealthPercent = outliers.MinHealthPercent,
        };

        void Percent(int value, string field)
        {
            if (value is < 0 or > 100) r.Error("NARU-C205", $"{path}.{NotYet.Camel(field)} {value} is not between 0 and 100",
                r.At(outliers, field));
        }

        int? Errors(uint? value, string field)
        {
            if (value > int.MaxValue) r.Error("NARU-C205", $"{path}.{NotYet.Camel(field)} {value} is more than {int.MaxValue}",
                r.At(outliers, field));
            return value is null ? null : (int)Math.Min(value.Value, int.MaxValue);
        }
    }
}
