// What came of a scenario in which one call failed, and how things stood when it did.
using Naru.FuzzTests.Simulation;

namespace Naru.FuzzTests.Faults;

internal sealed class Result
{
    public required Scenario Scenario { get; init; }
    public required Fault How { get; init; }
    public Answer Answer { get; set; }
    public Answer Next { get; set; }
    public List<CallMade> Calls { get; set; } = [];
    public SimLine[] Lines { get; set; } = [];
    public string[] Bugs { get; set; } = [];
    public string[] BackendFaults { get; set; } = [];
    public string Owed { get; set; } = "";
    public bool StillOpen { get; set; }

    /// <summary>The call that failed; null where none did.</summary>
    public CallMade? Failed { get; private set; }

    /// <summary>Bytes the client had by then.</summary>
    public int ClientHad { get; private set; }

    /// <summary>The exchange was over by then.</summary>
    public bool WasOver { get; private set; }

    /// <summary>How many requests the backend had whole by then.</summary>
    public int BackendHad { get; private set; }

    /// <summary>What the log says; null where it has no line.</summary>
    public SimLine? Line => Lines.Length == 1 ? Lines[0] : null;

    /// <summary>Remembers how things stand.</summary>
    public void At(SimSocket client, SimWorld world, CallMade call, Backend backend)
    {
        Failed = call;
        ClientHad = client.Received.Length;
        WasOver = world.Lines.Count > 0;
        BackendHad = backend.Requests;
    }

    public override string ToString() =>
        $"{Scenario}: {How} at {Failed?.Kind} {(Failed is { Downstream: true } ? "down" : "up")}, client had {ClientHad}, over {WasOver}, backend {BackendHad}"
        + $" -> {Answer}; log [{string.Join(" | ", (object[])Lines)}]; owed [{Owed}]; next {Next}; open {StillOpen}"
        + (Bugs.Length > 0 ? $"; BUGS {string.Join(" // ", Bugs)}" : "") + (BackendFaults.Length > 0 ? $"; BACKEND {string.Join(" // ", BackendFaults)}" : "");
}
