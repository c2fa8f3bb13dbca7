// Copies of requests to other clusters (Envoy: request_mirror_policies). A copy is made when the whole request is here and goes out later
// than the request itself, which never waits for it; what comes back is read past and dropped.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Clusters;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Upstreams;

/// <summary>One policy, compiled.</summary>
internal sealed class MirrorPolicy(MirrorPolicyConfig config, ClusterDirectory clusters, Runtime runtime)
{
    private readonly RuntimeSlot? _share = config.RuntimeKey.Length > 0 ? runtime.Slot(config.RuntimeKey) : null;
    private readonly WeightedTarget? _target = config.ClusterHeader is null ? To(clusters.GetOrAdd(config.Cluster)) : null;
    private readonly byte[]? _header = config.ClusterHeader is { } name ? Encoding.ASCII.GetBytes(name) : null;

    public MirrorPolicyConfig Config => config;

    public byte[]? HostRewrite { get; } = config.HostRewrite is { } host ? Encoding.ASCII.GetBytes(host) : null;

    public bool AppendsSuffix => config.AppendsSuffix;

    /// <summary>Where this request's copy goes; null for nowhere.</summary>
    public WeightedTarget? Pick(Exchange x)
    {
        int share = _share?.PerMillion(config.PerMillion) ?? config.PerMillion;
        if (share < 1_000_000 && x.Worker.Random.Below(1_000_000) >= share) return null;
        if (_header is null) return _target!.Slot.Current is null ? null : _target;
        if (!x.RequestHeaders.TryGet(_header, out ReadOnlySpan<byte> name)) return null;
        return clusters.Find(Encoding.Latin1.GetString(name)) is { Current: not null } slot ? To(slot) : null;
    }

    private static WeightedTarget To(ClusterSlot slot) => new(slot, 1, null, null);
}

/// <summary>A copy: filled with the request's head at once, with its body when that is whole.</summary>
internal sealed class Mirror
{
    // More is not read of an answer that nobody wants.
    private const int MostAnswer = 1024 * 1024;

    // Where the request may be idle for ever, its copy may not (Envoy's default of stream_idle_timeout).
    private const long DefaultIdleMs = 300_000;
    private readonly Worker _worker;
    private readonly SideCall _call;
    private readonly WeightedTarget _target;
    private readonly long _timeoutMs, _idleMs;
    private readonly bool _isTraced;
    private readonly Reports.CallSpan? _span;

    public Mirror(Exchange x, MirrorPolicy policy, WeightedTarget target)
    {
        _worker = x.Worker;
        _target = target;
        _timeoutMs = x.TimeoutMs;
        _idleMs = x.Deadlines.IdleMs > 0 ? x.Deadlines.IdleMs : DefaultIdleMs;
        _call = SideCall.Rent(_worker);
        _call.SpeaksHttp2 = x.SpeaksHttp2;
        _isTraced = x.Trace.Context.IsKnown;
        WriteHead(x, policy);
        _span = Reports.CallSpan.Of(x, _call, target.Slot.Name, "mirror", policy.Config.IsTraced, outlives: true);
    }

    /// <summary>Goes out, on a later turn.</summary>
    /// <param name="body">Adds the body.</param>
    public void Start(long length, Action<SideCall>? body)
    {
        Span<byte> digits = stackalloc byte[20];
        if (length > 0)
        {
            length.TryFormat(digits, out int written);
            _call.Append("content-length: "u8);
            _call.Append(digits[..written]);
            _call.Append("\r\n"u8);
        }
        _call.Append("\r\n"u8);
        _call.Reserve(length);
        body?.Invoke(_call);
        _worker.Post(_ => Unawaited.Run(RunAsync()));
    }

    /// <summary>It is not to go out.</summary>
    public void Drop() => _call.Return();

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<bool> RunAsync()
    {
        try
        {
            SideAnswer answer = await _call.RunAsync(_target, _timeoutMs, _idleMs, MostAnswer, keeps: false);
            _span?.Answered(_call, answer);
            _span?.End(isOver: true);
        }
        catch (Exception e)
        {
            _worker.Report($"mirror to cluster {_target.Slot.Name}", e);
        }
        _call.Return();
        return true;
    }

    // The head as the route made it, less its framing; told to come from here, as Envoy tells of all requests of its own.
    private void WriteHead(Exchange x, MirrorPolicy policy)
    {
        IoBuffer written = RequestWriter.Write(x, x.Try);
        ReadOnlySpan<byte> lines = written.Filled;
        ReadOnlySpan<byte> forwarded = default;
        _call.Append(Take(ref lines));
        while (lines.Length > 2)
        {
            ReadOnlySpan<byte> line = Take(ref lines);
            int colon = line.IndexOf((byte)':');
            ReadOnlySpan<byte> name = line[..colon];
            if (Ascii.EqualsIgnoreCase(name, "host"u8)) WriteHost(Http1Framing.Trim(line[(colon + 1)..^2]), policy);
            else if (Ascii.EqualsIgnoreCase(name, "x-forwarded-for"u8)) forwarded = Http1Framing.Trim(line[(colon + 1)..^2]);
            else if (!IsOwn(name) && !(_isTraced && Reports.Tracer.IsTraceField(name))) _call.Append(line);
        }
        _call.Append("x-envoy-internal: true\r\nx-forwarded-for: "u8);
        if (!forwarded.IsEmpty)
        {
            _call.Append(forwarded);
            _call.Append(","u8);
        }
        _call.Append(TrustedHeaders.Machine ?? "127.0.0.1"u8);
        _call.Append("\r\n"u8);
        _worker.Buffers.Return(written);
    }

    // What framed the request on its own connection, or is said anew.
    private static bool IsOwn(ReadOnlySpan<byte> name) =>
        Ascii.EqualsIgnoreCase(name, "content-length"u8) || Ascii.EqualsIgnoreCase(name, "transfer-encoding"u8)
        || Ascii.EqualsIgnoreCase(name, "expect"u8) || Ascii.EqualsIgnoreCase(name, "connection"u8)
        || Ascii.EqualsIgnoreCase(name, "trailer"u8) || Ascii.EqualsIgnoreCase(name, "x-envoy-internal"u8);

    private void WriteHost(ReadOnlySpan<byte> host, MirrorPolicy policy)
    {
        _call.Append("host: "u8);
        int colon = host.LastIndexOf((byte)':');
        int name = policy.HostRewrite is not null || colon < 0 || host[^1] == ']' ? host.Length : colon;
        _call.Append(policy.HostRewrite ?? host[..name]);
        // An address has no other name.
        if (policy.AppendsSuffix && !(policy.HostRewrite ?? host).StartsWith("["u8)) _call.Append("-shadow"u8);
        if (policy.HostRewrite is null) _call.Append(host[name..]);
        _call.Append("\r\n"u8);
    }

    private static ReadOnlySpan<byte> Take(scoped ref ReadOnlySpan<byte> lines)
    {
        int end = lines.IndexOf("\r\n"u8) + 2;
        ReadOnlySpan<byte> line = lines[..end];
        lines = lines[end..];
        return line;
    }
}

internal static class Mirrors
{
    /// <summary>Bytes of a body that are kept for the sake of its copies (Envoy's default of <c>per_connection_buffer_limit_bytes</c>):
    /// longer requests, and those that never end, are not copied.</summary>
    public const int MostKept = 1024 * 1024;

    /// <summary>Makes the copies that a request is to have. Those of a request that is all here go out.</summary>
    public static void Begin(Exchange x, MirrorPolicy[] policies)
    {
        if (x.IsUpgrade) return;
        foreach (MirrorPolicy policy in policies)
            if (policy.Pick(x) is { } target) x.Mirrors.Add(new Mirror(x, policy, target));
        if (x.Mirrors.Count == 0 || !x.RequestBodyBuffered) return;
        long length = Math.Max(0, x.Framing.Body == BodyKind.None ? 0 : x.Framing.ContentLength);
        while (Next(x) is { } mirror) mirror.Start(length, length == 0 ? null : call => call.Append(x.In.Filled[..(int)length]));
    }

    /// <summary>The request's body is whole.</summary>
    public static void BodyCame(Exchange x)
    {
        if (x.Mirrors.Count > 0 && x.RequestBody.IsKept) Send(x);
    }

    // Apart, since what it captures is allocated where the method begins.
    private static void Send(Exchange x)
    {
        while (Next(x) is { } mirror) mirror.Start(x.RequestBody.KeptBytes, call => x.RequestBody.CopyTo(call.Append));
    }

    // From here on it is its own: whatever goes wrong with it, it is not dropped by the exchange as well.
    private static Mirror? Next(Exchange x)
    {
        if (x.Mirrors.Count == 0) return null;
        Mirror mirror = x.Mirrors[0];
        x.Mirrors.RemoveAt(0);
        return mirror;
    }

    /// <summary>The exchange is over: what is no whole request by now has no copies.</summary>
    public static void End(Exchange x)
    {
        // Of a request that is whole there are copies, whatever its own endpoint did.
        if (x.Abort == AbortReason.None) BodyCame(x);
        foreach (Mirror mirror in x.Mirrors) mirror.Drop();
        x.Mirrors.Clear();
    }
}
