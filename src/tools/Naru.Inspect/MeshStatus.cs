// What a runner says about its mesh: the words on the wire of its socket, for `naru status -o json` as well.
using Naru.Core;

namespace Naru.Inspect;

/// <summary>One moment of a local mesh.</summary>
public sealed record MeshStatus
{
    /// <summary>Name of the mesh.</summary>
    public string Mesh { get; init; } = "";
    /// <summary>Process id of the runner.</summary>
    public int Pid { get; init; }
    /// <summary>When it was started.</summary>
    public DateTimeOffset Started { get; init; }
    /// <summary>Base address of the gateway.</summary>
    public string Gateway { get; init; } = "";
    /// <summary>The run folder.</summary>
    public string Folder { get; init; } = "";
    /// <summary>Memory of all processes in bytes, shared pages counted once.</summary>
    public long MemoryBytes { get; init; }
    /// <summary>Processes of the mesh, the runner included.</summary>
    public int Processes { get; init; }
    /// <summary>The control plane.</summary>
    public ControlPlaneStatus ControlPlane { get; init; } = new();
    /// <summary>Services.</summary>
    public IReadOnlyList<ServiceStatus> Services { get; init; } = [];
    /// <summary>Pods, the gateway's included.</summary>
    public IReadOnlyList<PodStatus> Pods { get; init; } = [];
    /// <summary>Deployments that run here.</summary>
    public IReadOnlyList<DeploymentStatus> Deployments { get; init; } = [];
    /// <summary>What keeps something from running.</summary>
    public IReadOnlyList<ReportedDiagnostic> Diagnostics { get; init; } = [];
    /// <summary>Generated traffic; null where there is none.</summary>
    public TrafficStatus? Traffic { get; init; }
    /// <summary>Who called whom in vain lately.</summary>
    public IReadOnlyList<CallStatus> FailingCalls { get; init; } = [];
}

/// <summary>Calls of one workload to one service, as the callers' proxies counted them.</summary>
public sealed record CallStatus
{
    /// <summary>Deployment, <c>run</c> member or gateway.</summary>
    public string Caller { get; init; } = "";
    /// <summary>Service, with its subset.</summary>
    public string Service { get; init; } = "";
    /// <summary>Tries within <see cref="Seconds"/>.</summary>
    public long Tries { get; init; }
    /// <summary>Of those, how many had a 5xx, no endpoint, a broken connection, or a caller that gave up.</summary>
    public long Failed { get; init; }
    /// <summary>Over how long they were counted, 60 at most.</summary>
    public int Seconds { get; init; }
}

/// <summary>The control plane.</summary>
public sealed record ControlPlaneStatus
{
    /// <summary>Whether it answers.</summary>
    public bool Ready { get; init; }
    /// <summary>Process id; 0 while it is down.</summary>
    public int Pid { get; init; }
    /// <summary>How often it was started again.</summary>
    public int Restarts { get; init; }
    /// <summary>REST and debug pages.</summary>
    public string Http { get; init; } = "";
    /// <summary>xDS.</summary>
    public string Xds { get; init; } = "";
}

/// <summary>A service.</summary>
public sealed record ServiceStatus
{
    /// <summary>Namespace.</summary>
    public string Namespace { get; init; } = "";
    /// <summary>Name.</summary>
    public string Name { get; init; } = "";
    /// <summary>Cluster IP.</summary>
    public string Address { get; init; } = "";
    /// <summary>Ports.</summary>
    public IReadOnlyList<int> Ports { get; init; } = [];
    /// <summary>Ready pods.</summary>
    public int Ready { get; init; }
}

/// <summary>A pod.</summary>
public sealed record PodStatus
{
    /// <summary>Namespace.</summary>
    public string Namespace { get; init; } = "";
    /// <summary>Name.</summary>
    public string Name { get; init; } = "";
    /// <summary>Its Deployment, <c>run</c> member or gateway.</summary>
    public string Workload { get; init; } = "";
    /// <summary>Own address.</summary>
    public string Address { get; init; } = "";
    /// <summary>Starting, Running, NotReady, CrashLoopBackOff, Terminating.</summary>
    public string Phase { get; init; } = "";
    /// <summary>Whether it gets requests.</summary>
    public bool Ready { get; init; }
    /// <summary>Whether it did at any time.</summary>
    public bool WasReady { get; init; }
    /// <summary>How often its process was started again.</summary>
    public int Restarts { get; init; }
    /// <summary>How often its proxy was started again.</summary>
    public int ProxyRestarts { get; init; }
    /// <summary>Process id of the application; 0 while it is down.</summary>
    public int Pid { get; init; }
    /// <summary>Process id of the proxy; 0 while it is down.</summary>
    public int ProxyPid { get; init; }
    /// <summary>Port of the application on 127.0.0.1; 0 for none.</summary>
    public int AppPort { get; init; }
    /// <summary>When it was made.</summary>
    public DateTimeOffset Started { get; init; }
    /// <summary>Last reason for not being ready, or empty.</summary>
    public string Reason { get; init; } = "";

    /// <summary>Whether it is on its way for the first time: not ready yet, and nothing went wrong so far.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsStarting => !Ready && !WasReady && Restarts == 0 && ProxyRestarts == 0 && Phase is ("Starting" or "NotReady");
}

/// <summary>A Deployment.</summary>
public sealed record DeploymentStatus
{
    /// <summary>Namespace.</summary>
    public string Namespace { get; init; } = "";
    /// <summary>Name.</summary>
    public string Name { get; init; } = "";
    /// <summary>Pods wanted, as written or as scaled.</summary>
    public int Wanted { get; init; }
    /// <summary>Pods there.</summary>
    public int Pods { get; init; }
    /// <summary>Of those, pods of the newest template.</summary>
    public int Updated { get; init; }
    /// <summary>Of those, ready.</summary>
    public int UpdatedReady { get; init; }
    /// <summary>Pods that get requests.</summary>
    public int Ready { get; init; }
    /// <summary>Its templates, oldest first; the last one runs.</summary>
    public IReadOnlyList<RevisionStatus> Revisions { get; init; } = [];
}

/// <summary>A template that a Deployment had.</summary>
public sealed record RevisionStatus
{
    /// <summary>Counts from 1.</summary>
    public int Number { get; init; }
    /// <summary>When it came.</summary>
    public DateTimeOffset Since { get; init; }
    /// <summary>Why: the manifest, or an undo.</summary>
    public string Cause { get; init; } = "";
    /// <summary>What its pods run.</summary>
    public string Command { get; init; } = "";
}

/// <summary>Something that happened in a mesh; repetitions are counted.</summary>
public sealed record MeshEvent
{
    /// <summary>Counts from 1.</summary>
    public long Number { get; init; }
    /// <summary>Normal or Warning.</summary>
    public string Type { get; init; } = "Normal";
    /// <summary>One word, Kubernetes' where it has one.</summary>
    public string Reason { get; init; } = "";
    /// <summary>Kind of the object it happened to.</summary>
    public string Kind { get; init; } = "";
    /// <summary>Its namespace.</summary>
    public string Namespace { get; init; } = "";
    /// <summary>Its name.</summary>
    public string Name { get; init; } = "";
    /// <summary>One sentence.</summary>
    public string Message { get; init; } = "";
    /// <summary>How often.</summary>
    public int Count { get; init; } = 1;
    /// <summary>The first time.</summary>
    public DateTimeOffset First { get; init; }
    /// <summary>The last time.</summary>
    public DateTimeOffset Last { get; init; }
}

/// <summary>Generated traffic.</summary>
public sealed record TrafficStatus
{
    /// <summary>Requests sent.</summary>
    public long Requests { get; init; }
    /// <summary>Of those, without an answer below 500.</summary>
    public long Errors { get; init; }
    /// <summary>Requests a second aimed at.</summary>
    public int Rate { get; init; }
}

/// <summary>A diagnostic on the wire, as the control plane's API writes it, too.</summary>
public sealed record ReportedDiagnostic
{
    /// <summary>Stable code.</summary>
    public string Code { get; init; } = "";
    /// <summary>error, warning or info.</summary>
    public string Severity { get; init; } = "error";
    /// <summary>One sentence.</summary>
    public string Message { get; init; } = "";
    /// <summary>File, or null.</summary>
    public string? File { get; init; }
    /// <summary>Line from 1, or 0.</summary>
    public int Line { get; init; }
    /// <summary>Column from 1, or 0.</summary>
    public int Column { get; init; }
    /// <summary>Field or object.</summary>
    public string? Subject { get; init; }
    /// <summary>What to do.</summary>
    public string? Remedy { get; init; }

    /// <summary>From ours.</summary>
    public static ReportedDiagnostic From(Diagnostic d) => new()
    {
        Code = d.Code,
        Severity = d.Severity.ToString().ToLowerInvariant(),
        Message = d.Message,
        File = d.Place.File,
        Line = d.Place.Line,
        Column = d.Place.Column,
        Subject = d.Subject,
        Remedy = d.Remedy,
    };

    /// <summary>To ours.</summary>
    public Diagnostic ToDiagnostic() => new(Code,
        Severity.ToLowerInvariant() switch { "error" => Core.Severity.Error, "warning" => Core.Severity.Warning, _ => Core.Severity.Info },
        Message, new Place(File, Line, Column), Subject, Remedy);
}
