// What a check by HTTP asks, and what it makes of the status that comes back.
using System.Collections.Immutable;
using Naru.Proxy.Config;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Health;

/// <summary>How a check ended.</summary>
/// <param name="Outcome">Its meaning.</param>
/// <param name="Why">In a few words.</param>
/// <param name="Untouched">Nothing at all came back: on a connection that rested, another one may tell more.</param>
internal readonly record struct CheckAnswer(CheckOutcome Outcome, string Why, bool Untouched = false)
{
    /// <summary>There was none in time.</summary>
    public bool TimedOut { get; init; }

    /// <summary>The endpoint is well and says that it is worse than usual.</summary>
    public bool Degraded { get; init; }

    /// <summary>The endpoint said so in an answer to somebody else.</summary>
    public bool SaidItself { get; init; }

    /// <summary>Of HTTP; 0 for none.</summary>
    public int Status { get; init; }

    public static readonly CheckAnswer Good = new(CheckOutcome.Healthy, "");
    public static readonly CheckAnswer Unreadable = new(CheckOutcome.Network, "the answer cannot be read");

    public static CheckAnswer Lost(CheckConnection connection) =>
        new(CheckOutcome.Network, connection.Failure, Untouched: true) { TimedOut = connection.HasTimedOut };

    public static CheckAnswer Broken(CheckConnection connection) =>
        new(CheckOutcome.Network, connection.Failure) { TimedOut = connection.HasTimedOut };
}

/// <summary>The head of a request, and the statuses that are good.</summary>
internal sealed class CheckHead
{
    /// <summary>Why an answer is none: it is of another service.</summary>
    public const string OtherService = "another service answers";

    private readonly HttpCheckConfig? _config;
    private readonly ByteMatcher? _service;

    /// <summary>Of a check by HTTP.</summary>
    public CheckHead(HttpCheckConfig config, string host, bool reuse)
    {
        _config = config;
        _service = config.ServiceName is { } name ? new ByteMatcher(name) : null;
        Method = config.Method;
        Path = config.Path;
        Host = host;
        ReuseConnection = reuse;
        Fields = Merge(config.Http2 ? [("user-agent", "Naru/HC")] : [("host", host), ("user-agent", "Naru/HC")], config.Add, config.Remove);
    }

    /// <summary>Of a check by gRPC.</summary>
    public CheckHead(GrpcCheckConfig config, string host)
    {
        Method = "POST";
        Path = "/grpc.health.v1.Health/Check";
        Host = host;
        Fields = Merge([("te", "trailers"), ("content-type", "application/grpc"), ("user-agent", "Naru/HC")], config.Metadata, []);
    }

    /// <summary>With it an endpoint says that it is worse than usual (Envoy docs: degraded endpoints).</summary>
    public static ReadOnlySpan<byte> Degraded => "x-envoy-degraded"u8;

    /// <summary>With it an endpoint says that it fails.</summary>
    public static ReadOnlySpan<byte> ImmediateFail => "x-envoy-immediate-health-check-fail"u8;

    public string Method { get; }
    public string Path { get; }
    public string Host { get; }
    public bool ReuseConnection { get; }
    public ImmutableArray<(string Name, string Value)> Fields { get; }

    /// <summary>What a status means (Envoy: expected_statuses, retriable_statuses, service_name_matcher).</summary>
    /// <param name="status">The status.</param>
    /// <param name="service">Who answers, as he says it.</param>
    /// <param name="degraded">He says that he is worse than usual.</param>
    public CheckAnswer Judge(int status, ReadOnlySpan<byte> service, bool degraded)
    {
        bool good = _config!.Expected.IsEmpty ? status == 200 : Holds(_config.Expected, status);
        CheckOutcome bad = Holds(_config.Retriable, status) ? CheckOutcome.Failing : CheckOutcome.Unhealthy;
        if (!good) return new CheckAnswer(bad, $"status {status}") { Status = status };
        if (_service is null || _service.Matches(service)) return CheckAnswer.Good with { Status = status, Degraded = degraded };
        return new CheckAnswer(CheckOutcome.Unhealthy, OtherService) { Status = status };
    }

    /// <summary>Bodies are looked at.</summary>
    public bool ReadsBody => _config is { Receive.IsEmpty: false };

    /// <summary>Bytes of a body that are looked at, at most.</summary>
    public int MostBody => _config!.MostBody;

    /// <summary>Whether a body holds what it must, one behind the other with anything between.</summary>
    public bool Holds(ReadOnlySpan<byte> body) => TcpCheck.Holds(body, _config!.Receive);

    private static bool Holds(ImmutableArray<(long Start, long End)> ranges, int status)
    {
        foreach ((long start, long end) in ranges) if (status >= start && status < end) return true;
        return false;
    }

    private static ImmutableArray<(string, string)> Merge(List<(string Name, string Value)> own, ImmutableArray<HeaderValueConfig> add, ImmutableArray<string> remove)
    {
        foreach (HeaderValueConfig field in add)
        {
            bool there = own.Any(f => f.Name == field.Name);
            if (there && field.Action == HeaderAppendAction.AddIfAbsent) continue;
            if (!there && field.Action == HeaderAppendAction.OverwriteIfExists) continue;
            if (field.Action is HeaderAppendAction.OverwriteIfExistsOrAdd or HeaderAppendAction.OverwriteIfExists) own.RemoveAll(f => f.Name == field.Name);
            own.Add((field.Name, field.Value));
        }
        own.RemoveAll(f => remove.Contains(f.Name));
        return [.. own];
    }
}
