// How much a line of the log matters. Stands below everything, so that each part can log without knowing who writes.
namespace Naru.Core;

/// <summary>Levels of Envoy's <c>--log-level</c>, from chatty to silent.</summary>
public enum LogLevel
{
    /// <summary>Each step.</summary>
    Trace,

    /// <summary>For whoever looks for a fault.</summary>
    Debug,

    /// <summary>What happened, once.</summary>
    Info,

    /// <summary>Goes on, but somebody should look.</summary>
    Warning,

    /// <summary>Something asked for was not done.</summary>
    Error,

    /// <summary>The process cannot go on.</summary>
    Critical,

    /// <summary>Nothing is written.</summary>
    Off,
}
