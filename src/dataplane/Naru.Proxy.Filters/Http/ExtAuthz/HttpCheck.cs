// The service is asked by HTTP: a request like the client's, to its own path, with the fields that may be told. A 200 lets the request in, 5xx is
// an error, anything else denies it (Envoy: HttpService).
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Naru.Proxy.Upstreams;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.ExtAuthz;

internal sealed class HttpCheck
{
    // Of an answer.
    private const int MostBody = 1024 * 1024;

    // What belongs to a connection, to a body, or to whoever answers.
    private static readonly HashSet<string> s_notPassed = new(
        [
            "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "date", "server",
            "x-envoy-upstream-service-time",
        ], StringComparer.OrdinalIgnoreCase);

    // Those clients get with any denial.
    private static readonly HashSet<string> s_always =
        new(["location", "www-authenticate", "proxy-authenticate"], StringComparer.OrdinalIgnoreCase);

    private readonly ExtAuthzConfig _config;
    private readonly WeightedTarget _target;
    private readonly long _timeoutMs;
    private readonly byte[] _prefix;
    private readonly FieldChoice _fields;
    private readonly (byte[] Name, HeaderValueFormat Value)[] _added;
    private readonly ByteMatcher[] _upstream, _appended, _client, _onSuccess, _metadata;

    public HttpCheck(ExtAuthzConfig config, ClusterDirectory clusters)
    {
        _config = config;
        _target = new WeightedTarget(clusters.GetOrAdd(config.Http!.Cluster), 1, null, null);
        _timeoutMs = Math.Max(1, (long)config.Http.Timeout.TotalMilliseconds);
        _prefix = Encoding.ASCII.GetBytes(config.PathPrefix);
        _fields = new FieldChoice(config);
        _added = [.. config.Added.Select(a => (Encoding.ASCII.GetBytes(a.Name), new HeaderValueFormat(a.Value)))];
        (_upstream, _appended, _client) = (Of(config.Upstream), Of(config.UpstreamAppended), Of(config.Client));
        (_onSuccess, _metadata) = (Of(config.ClientOnSuccess), Of(config.MetadataFromHeaders));
    }

    private static ByteMatcher[] Of(IEnumerable<Config.StringMatcherConfig> all) => [.. all.Select(m => new ByteMatcher(m))];

    /// <summary>The question.</summary>
    /// <param name="x">The request.</param>
    /// <param name="body">What is told of its body.</param>
    /// <param name="partial">Whether that is not all; null where none is told.</param>
    public CallOut Ask(Exchange x, ReadOnlySpan<byte> body, bool? partial)
    {
        var call = new CallOut(x.Worker);
        call.Append(x.Method);
        call.Append(" "u8);
        call.Append(_prefix);
        call.Append(x.PathAndQuery);
        call.Append(" HTTP/1.1\r\n"u8);
        call.AppendField("host"u8, x.Authority);
        call.Append("content-length: "u8);
        call.Append(body.Length);
        call.Append("\r\n"u8);
        foreach ((byte[] name, byte[] value) in _fields.Joined(x))
            if (!s_notPassed.Contains(Encoding.Latin1.GetString(name)) && !IsAdded(name) && !name.AsSpan().SequenceEqual("expect"u8)
                && !(x.Trace.Context.IsKnown && Reports.Tracer.IsTraceField(name)))
                call.AppendField(name, value);
        foreach ((byte[] name, HeaderValueFormat format) in _added)
        {
            ReadOnlySpan<byte> value = format.Value(x, x.Scratch);
            if (!value.IsEmpty) call.AppendField(name, value);
        }
        call.Span = Reports.CallSpan.Of(x, call.Call, _target.Slot.Name);
        if (partial is { } cut) call.AppendField("x-envoy-auth-partial-body"u8, cut ? "true"u8 : "false"u8);
        call.AppendOrigin(_timeoutMs, saysAddress: false);
        call.Append("\r\n"u8);
        call.Append(body);
        return call;
    }

    private bool IsAdded(ReadOnlySpan<byte> name)
    {
        foreach ((byte[] added, _) in _added) if (name.SequenceEqual(added)) return true;
        return false;
    }

    public ValueTask<bool> RunAsync(CallOut call, Exchange x) => call.RunAsync(x, _target, _timeoutMs, MostBody);

    /// <summary>What was answered.</summary>
    public CheckAnswer Read(CallOut call, long tookMs)
    {
        var answer = new CheckAnswer();
        if (!call.IsAnswered || call.Answer.Status is >= 500 or < 200) return answer;
        bool ok = call.Answer.Status == 200;
        // What it says of the client is not there: the client's own would stand for it.
        if (ok && call.TakesBack) return answer;
        answer.Outcome = ok ? CheckOutcome.Ok : CheckOutcome.Denied;
        answer.Status = call.Answer.Status;
        if (!ok) answer.Body = call.Body.ToArray();
        MetaValue? metadata = null;
        foreach ((string name, byte[] value) in Fields(call.Head))
        {
            byte[] bytes = Encoding.Latin1.GetBytes(name);
            if (Any(_metadata, bytes)) metadata = (metadata ?? MetaValue.Empty).With(bytes, MetaValue.Of(value));
            if (ok && name == "x-envoy-auth-headers-to-remove")
            {
                foreach (string one in Encoding.Latin1.GetString(value).Split(',')) answer.Removed.Add(one.Trim().ToLowerInvariant());
                continue;
            }
            if (s_notPassed.Contains(name)) continue;
            if (!ok)
            {
                if (_client.Length == 0 || s_always.Contains(name) || Any(_client, bytes)) answer.Fields.Add(new FieldEdit(name, value, FieldChange.Add));
                continue;
            }
            if (Any(_upstream, bytes)) answer.Fields.Add(new FieldEdit(name, value, FieldChange.Set));
            if (Any(_appended, bytes)) answer.Fields.Add(new FieldEdit(name, value, FieldChange.Add));
            if (Any(_onSuccess, bytes)) answer.AnswerFields.Add(new FieldEdit(name, value, FieldChange.Add));
        }
        if (metadata is not null) answer.Metadata = metadata.With("ext_authz_duration"u8.ToArray(), MetaValue.Of(tookMs));
        return answer;
    }

    private static bool Any(ByteMatcher[] matchers, ReadOnlySpan<byte> name)
    {
        foreach (ByteMatcher one in matchers) if (one.Matches(name)) return true;
        return false;
    }

    private static List<(string Name, byte[] Value)> Fields(ReadOnlySpan<byte> head)
    {
        var fields = new List<(string, byte[])>();
        int line = head.IndexOf("\r\n"u8);
        while (line >= 0)
        {
            head = head[(line + 2)..];
            line = head.IndexOf("\r\n"u8);
            int colon = head.IndexOf((byte)':');
            if (line <= 0 || colon <= 0 || colon > line) continue;
            fields.Add((Encoding.Latin1.GetString(head[..colon]).ToLowerInvariant(), Http1Framing.Trim(head[(colon + 1)..line]).ToArray()));
        }
        return fields;
    }
}

/// <summary>Which of a client's fields are told to the service.</summary>
internal sealed class FieldChoice
{
    private readonly ByteMatcher[]? _allowed;
    private readonly ByteMatcher[] _disallowed;
    private readonly bool _isHttp;

    public FieldChoice(ExtAuthzConfig config)
    {
        _allowed = config.Allowed is { } allowed ? [.. allowed.Select(m => new ByteMatcher(m))] : null;
        _disallowed = [.. config.Disallowed.Select(m => new ByteMatcher(m))];
        _isHttp = config.Http is not null;
    }

    /// <summary>Whether a field is told; <paramref name="name"/> in lower case.</summary>
    public bool Tells(ReadOnlySpan<byte> name)
    {
        foreach (ByteMatcher not in _disallowed) if (not.Matches(name)) return false;
        if (_isHttp && name.SequenceEqual("authorization"u8)) return true;
        if (_allowed is null) return !_isHttp;
        foreach (ByteMatcher one in _allowed) if (one.Matches(name)) return true;
        return false;
    }

    /// <summary>The fields that are told, in order; several of a name are one, with commas between, cookies with semicolons.</summary>
    public List<(byte[] Name, byte[] Value)> Joined(Exchange x)
    {
        RequestHeaders head = x.RequestHeaders;
        var told = new List<(byte[] Name, byte[] Value)>();
        for (int i = head.Next(); i >= 0; i = head.Next(i + 1))
        {
            byte[] name = head.Name(i).ToArray();
            for (int c = 0; c < name.Length; c++) if (name[c] is >= (byte)'A' and <= (byte)'Z') name[c] |= 0x20;
            if (name.AsSpan().SequenceEqual("host"u8) || !Tells(name)) continue;
            int at = told.FindIndex(t => t.Name.AsSpan().SequenceEqual(name));
            if (at < 0) told.Add((name, head.Value(i).ToArray()));
            else told[at] = (name, [.. told[at].Value, .. HeadEdits.Separator(name), .. head.Value(i)]);
        }
        return told;
    }
}
