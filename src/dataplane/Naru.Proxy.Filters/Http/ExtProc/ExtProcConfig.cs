// What is written of a processor, in the chain and at routes.
using System.Collections.Immutable;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Reading;
using Body = Envoy.Extensions.Filters.Http.ExtProc.V3.ProcessingMode.Types.BodySendMode;

namespace Naru.Proxy.Filters.Http.ExtProc;

/// <summary>What of a message the processor sees.</summary>
internal readonly record struct SideMode(bool Headers, Body Body, bool Trailers);

/// <summary>The same of a request and its answer.</summary>
internal sealed record ModeConfig(SideMode Request, SideMode Response);

/// <summary>Whether routes are chosen again after changes of a request's head.</summary>
internal enum RouteCache : byte
{
    AsTold,
    Clear,
    Retain,
}

/// <summary>What the chain says.</summary>
internal sealed record ExtProcConfig
{
    public GrpcServiceConfig? Grpc { get; init; }
    public ModeConfig Mode { get; init; } = new(new SideMode(true, Body.None, false), new SideMode(true, Body.None, false));
    public bool AllowsFailures { get; init; }
    public long MessageMs { get; init; } = 200;

    /// <summary>The most that the processor may ask for instead; 0 is nothing.</summary>
    public long MostMessageMs { get; init; }
    public string StatPrefix { get; init; } = "";
    public MutationRulesConfig Rules { get; init; } = MutationRulesConfig.Standard;
    public ImmutableArray<StringMatcherConfig>? Forwarded { get; init; }
    public ImmutableArray<StringMatcherConfig> Withheld { get; init; } = [];
    public bool AllowsModes { get; init; }

    /// <summary>The modes that the processor may choose; empty for all. Of them the request's head is not compared.</summary>
    public ImmutableArray<ModeConfig> AllowedModes { get; init; } = [];
    public bool TakesNoAnswers { get; init; }
    public ImmutableArray<byte[]> Told { get; init; } = [];
    public ImmutableArray<string> Taken { get; init; } = [];
    public RouteCache RouteCache { get; init; }

    /// <summary>Null where none is written: 500, or 504 for a processor that is late.</summary>
    public int? StatusOnError { get; init; }
}

/// <summary>What a level of a route says; null for nothing.</summary>
internal sealed record ExtProcRouteConfig
{
    public bool Disabled { get; init; }
    public ModeConfig? Mode { get; init; }
    public GrpcServiceConfig? Grpc { get; init; }
    public ImmutableArray<HeaderValueConfig> Metadata { get; init; } = [];
    public bool? AllowsFailures { get; init; }
    public ImmutableArray<byte[]>? Told { get; init; }
    public ImmutableArray<string>? Taken { get; init; }
}
