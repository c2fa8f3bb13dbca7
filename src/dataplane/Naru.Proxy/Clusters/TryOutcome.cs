// How a try on an endpoint ended, as far as that says something about the endpoint.
namespace Naru.Proxy.Clusters;

/// <summary>Whose doing the end was.</summary>
internal enum TryEnd : byte
{
    /// <summary>It answered.</summary>
    Answered,
    /// <summary>No connection, one that failed, or a reset.</summary>
    Failed,
    /// <summary>It took too long to connect or to answer.</summary>
    TimedOut,
    /// <summary>A connection was made that carries bytes and no requests.</summary>
    Connected,
}

/// <summary>How a try ended.</summary>
/// <param name="End">What happened.</param>
/// <param name="Status">With <see cref="TryEnd.Answered"/>: its status; 0 without.</param>
internal readonly record struct TryOutcome(TryEnd End, int Status = 0);

/// <summary>Hears how tries on one endpoint end, and may hold that against it.</summary>
internal interface IHostListener
{
    /// <summary>What is held against the endpoint. Any thread.</summary>
    HostFlags Flags { get; }

    /// <summary>A try has ended. On its worker.</summary>
    void Take(int worker, in TryOutcome outcome);

    /// <summary>A check of ours has found the endpoint well. On the check's worker.</summary>
    void FoundWell();
}
