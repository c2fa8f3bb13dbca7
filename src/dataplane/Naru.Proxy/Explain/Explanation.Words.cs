// An explanation as JSON, whose names stay as they are (docs/reference/explain.md), and its parts made of what serves.
using System.Buffers;
using System.Text.Json;
using Naru.Proxy.Config;
using Naru.Proxy.FilterChains;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Explain;

internal sealed partial class Explanation
{
    /// <summary>A listener.</summary>
    internal static ListenerPart ListenerOf(Listener listener, string why) => new(
        listener.Config.Name, listener.Bound is [var bound, ..] ? bound.ToString()! : listener.Config.Address.ToString(), RouteWords.Snake(listener.Config.Direction.ToString()), why);

    /// <summary>A filter chain.</summary>
    internal static ChainPart ChainOf(Listener listener, FilterChain chain)
    {
        ChainSet set = listener.Chains;
        int index = Array.IndexOf(set.Chains, chain);
        string name = chain.Config.Name.Length > 0 ? chain.Config.Name : index < 0 ? "the default chain" : $"chain {index}";
        string terminal = chain.Config.Terminal switch
        {
            HttpConnectionManagerConfig http => $"http_connection_manager {http.StatPrefix}",
            TcpProxyConfig tcp => $"tcp_proxy {tcp.StatPrefix} to {string.Join(", ", tcp.Clusters.Take(8).Select(c => c.Name))}",
            EchoConfig => "echo",
            NetworkDirectResponseConfig => "direct_response",
            var other => other.GetType().Name,
        };
        string match = index < 0 ? "what no other chain takes" : MatchOf(listener, chain);
        return new ChainPart(name, set.All.Count(), match, chain.Config.Tls is not null || chain.Config.IsTlsLeftOut, terminal);
    }

    /// <summary>What a filter chain is for, on one line.</summary>
    internal static string MatchOf(Listener listener, FilterChain chain)
    {
        if (listener.Config.ChainMatcher is not null) return "what filter_chain_matcher leads to it";
        FilterChainMatchConfig match = chain.Config.Match;
        var parts = new List<string>();
        if (match.DestinationPort is { } port) parts.Add($"destination port {port}");
        if (!match.PrefixRanges.IsEmpty) parts.Add($"destination {string.Join(" or ", match.PrefixRanges.Take(4))}");
        if (!match.ServerNames.IsEmpty) parts.Add($"server name {string.Join(" or ", match.ServerNames.Take(4))}");
        if (match.TransportProtocol.Length > 0) parts.Add($"transport {match.TransportProtocol}");
        if (!match.ApplicationProtocols.IsEmpty) parts.Add($"protocol {string.Join(" or ", match.ApplicationProtocols)}");
        if (!match.DirectSourcePrefixRanges.IsEmpty) parts.Add($"direct source {string.Join(" or ", match.DirectSourcePrefixRanges.Take(4))}");
        if (match.SourceType != SourceType.Any) parts.Add($"source {RouteWords.Snake(match.SourceType.ToString())}");
        if (!match.SourcePrefixRanges.IsEmpty) parts.Add($"source {string.Join(" or ", match.SourcePrefixRanges.Take(4))}");
        if (!match.SourcePorts.IsEmpty) parts.Add($"source port {string.Join(" or ", match.SourcePorts.Take(8))}");
        return parts.Count == 0 ? "any connection" : string.Join(", ", parts);
    }

    /// <summary>Its JSON, indented, with a line end.</summary>
    public byte[] Json()
    {
        var bytes = new ArrayBufferWriter<byte>(4096);
        using (var writer = new Utf8JsonWriter(bytes, new JsonWriterOptions { Indented = true, IndentSize = 1 })) Write(writer);
        return [.. bytes.WrittenSpan, (byte)'\n'];
    }

    /// <summary>Its lines for people, UTF-8.</summary>
    public byte[] Lines() => System.Text.Encoding.UTF8.GetBytes(ExplanationText.Of(this));

    /// <summary>Writes it as one object.</summary>
    public void Write(Utf8JsonWriter w)
    {
        w.WriteStartObject();
        w.WriteStartObject("request");
        w.WriteString("method", Method);
        w.WriteString("url", Url);
        w.WriteString("authority", Authority);
        w.WriteString("path", Path);
        w.WriteBoolean("sent", IsLive);
        w.WriteEndObject();
        if (Listener is { } listener)
        {
            w.WriteStartObject("listener");
            w.WriteString("name", listener.Name);
            w.WriteString("address", listener.Address);
            w.WriteString("direction", listener.Direction);
            w.WriteString("why", listener.Why);
            w.WriteEndObject();
        }
        if (Chain is { } chain)
        {
            w.WriteStartObject("filter_chain");
            w.WriteString("name", chain.Name);
            w.WriteNumber("of", chain.Of);
            w.WriteString("match", chain.Match);
            w.WriteBoolean("tls", chain.HasTls);
            w.WriteString("ends_in", chain.Terminal);
            w.WriteEndObject();
        }
        if (Table.Length > 0) w.WriteString("route_configuration", Table);
        if (Host is { } host)
        {
            w.WriteStartObject("virtual_host");
            w.WriteString("name", host.Name);
            w.WriteString("how", host.How);
            w.WriteString("domain", host.Domain);
            w.WriteEndObject();
        }
        else if (NearHosts.Count > 0) Strings(w, "nearest_domains", NearHosts);
        if (Routes is { } routes) Write(w, routes);
        if (Cluster is { } cluster) Write(w, cluster);
        if (Endpoints is { } endpoints) Write(w, endpoints);
        if (Filters.Count > 0)
        {
            w.WriteStartArray("http_filters");
            foreach (FilterPart filter in Filters)
            {
                w.WriteStartObject();
                w.WriteString("name", filter.Name);
                w.WriteString("state", filter.State);
                if (filter.Verdict.Length > 0) w.WriteString("verdict", filter.Verdict);
                w.WriteEndObject();
            }
            w.WriteEndArray();
        }
        if (Limits is { } limits) Write(w, limits);
        if (Retry is { } retry)
        {
            w.WriteStartObject("retries");
            Strings(w, "on", retry.On);
            w.WriteNumber("most", retry.Most);
            w.WriteNumber("back_off_ms", retry.BackOffMs);
            w.WriteNumber("most_back_off_ms", retry.MostBackOffMs);
            if (retry.Elsewhere.Length > 0) w.WriteString("prefers", retry.Elsewhere);
            w.WriteEndObject();
        }
        if (Mirrors.Count > 0) Strings(w, "mirrors", Mirrors);
        if (Fallback is not null) w.WriteString("fallback", Fallback);
        if (Upstream is { } upstream)
        {
            w.WriteStartObject("upstream_request");
            w.WriteString("method", upstream.Method);
            w.WriteString("authority", upstream.Authority);
            w.WriteString("path", upstream.Path);
            Strings(w, "headers_added", upstream.Added);
            Strings(w, "headers_removed", upstream.Removed);
            w.WriteEndObject();
        }
        if (AnswerAdds.Count > 0) Strings(w, "answer_headers_added", AnswerAdds);
        if (AnswerRemoves.Count > 0) Strings(w, "answer_headers_removed", AnswerRemoves);
        if (Outcome is { } outcome) Write(w, outcome);
        if (Notes.Count > 0) Strings(w, "notes", Notes);
        w.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter w, RoutesPart routes)
    {
        if (routes.Chosen is { } route)
        {
            w.WriteStartObject("route");
            w.WriteNumber("index", route.Index);
            w.WriteString("name", route.Name);
            w.WriteString("match", route.Match);
            w.WriteString("action", route.Action);
            w.WriteEndObject();
        }
        w.WriteStartObject("routes");
        w.WriteNumber("count", routes.Count);
        w.WriteNumber("tried", routes.Tried);
        w.WriteStartArray("lost");
        foreach (LoserPart lost in routes.Lost)
        {
            w.WriteStartObject();
            w.WriteNumber("index", lost.Index);
            w.WriteString("name", lost.Name);
            w.WriteString("match", lost.Match);
            w.WriteString("by", lost.Kind);
            w.WriteString("why", lost.Why);
            w.WriteString("wanted", lost.Wanted);
            w.WriteString("got", lost.Got);
            w.WriteEndObject();
        }
        w.WriteEndArray();
        w.WriteNumber("more_lost", routes.More);
        w.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter w, ClusterPart cluster)
    {
        w.WriteStartObject("cluster");
        w.WriteString("name", cluster.Name);
        w.WriteString("chosen_by", cluster.ChosenBy);
        if (cluster.Member.Length > 0) w.WriteString("member", cluster.Member);
        if (cluster.Type.Length > 0)
        {
            w.WriteString("type", cluster.Type);
            w.WriteString("lb_policy", cluster.Policy);
            w.WriteString("protocol", cluster.Protocol);
        }
        if (cluster.Weights.Count > 1)
        {
            w.WriteStartArray("weights");
            foreach ((string name, ulong weight) in cluster.Weights)
            {
                w.WriteStartObject();
                w.WriteString("cluster", name);
                w.WriteNumber("weight", weight);
                w.WriteEndObject();
            }
            w.WriteEndArray();
        }
        w.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter w, EndpointsPart endpoints)
    {
        w.WriteStartObject("endpoints");
        w.WriteNumber("count", endpoints.Count);
        w.WriteNumber("candidates", endpoints.Candidates);
        if (endpoints.Chosen.Length > 0) w.WriteString("chosen", endpoints.Chosen);
        if (endpoints.Note.Length > 0) w.WriteString("note", endpoints.Note);
        w.WriteStartArray("left_out");
        foreach ((string address, int priority, string why) in endpoints.LeftOut)
        {
            w.WriteStartObject();
            w.WriteString("address", address);
            w.WriteNumber("priority", priority);
            w.WriteString("why", why);
            w.WriteEndObject();
        }
        w.WriteEndArray();
        w.WriteNumber("more_left_out", endpoints.More);
        w.WriteEndObject();
    }

    // In ms; 0 is never.
    private static void Write(Utf8JsonWriter w, LimitsPart limits)
    {
        w.WriteStartObject("timeouts");
        w.WriteNumber("route_ms", limits.RouteMs);
        w.WriteNumber("per_try_ms", limits.PerTryMs);
        w.WriteNumber("per_try_idle_ms", limits.PerTryIdleMs);
        w.WriteNumber("idle_ms", limits.IdleMs);
        w.WriteNumber("max_stream_ms", limits.MaxStreamMs);
        w.WriteNumber("connect_ms", limits.ConnectMs);
        w.WriteEndObject();
        w.WriteStartObject("limits");
        w.WriteString("priority", limits.Priority);
        w.WriteNumber("max_connections", limits.MaxConnections);
        w.WriteNumber("max_pending_requests", limits.MaxPending);
        w.WriteNumber("max_requests", limits.MaxRequests);
        w.WriteNumber("max_retries", limits.MaxRetries);
        w.WriteNumber("body_buffer_bytes", limits.BufferBytes == long.MaxValue ? 0 : limits.BufferBytes);
        w.WriteBoolean("hedges", limits.Hedges);
        w.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter w, OutcomePart outcome)
    {
        w.WriteStartObject("outcome");
        w.WriteString("kind", outcome.Kind);
        if (outcome.Status > 0) w.WriteNumber("status", outcome.Status);
        if (outcome.Details.Length > 0) w.WriteString("details", outcome.Details);
        if (outcome.Flags.Length > 0) w.WriteString("flags", outcome.Flags);
        if (outcome.Reason.Length > 0) w.WriteString("reason", outcome.Reason);
        if (outcome.Location.Length > 0) w.WriteString("location", outcome.Location);
        if (outcome.Body.Length > 0) w.WriteString("body", outcome.Body);
        if (outcome.Headers.Count > 0) Strings(w, "headers", outcome.Headers);
        w.WriteEndObject();
    }

    private static void Strings(Utf8JsonWriter w, string name, IEnumerable<string> all)
    {
        w.WriteStartArray(name);
        foreach (string one in all) w.WriteStringValue(one);
        w.WriteEndArray();
    }
}
