// A format as configuration has it, before it is compiled: a line of text, or a tree of JSON whose texts are formats.
// Stands between the readers and AccessLogFormat (Envoy: SubstitutionFormatString).
using System.Collections.Immutable;
using System.Globalization;

namespace Naru.Telemetry;

/// <summary>A format; exactly one of <see cref="Text"/> and <see cref="Json"/> is set.</summary>
public sealed record FormatSource
{
    /// <summary>Text with command operators.</summary>
    public string? Text { get; init; }

    /// <summary>An object whose texts are formats.</summary>
    public FormatMap? Json { get; init; }

    /// <summary>Leaves out what is absent: nothing in place of <c>-</c>, no member in place of <c>null</c> (<c>omit_empty_values</c>).</summary>
    public bool OmitEmpty { get; init; }

    /// <summary>Content type of a body made of it; empty for the usual one.</summary>
    public string ContentType { get; init; } = "";
}

/// <summary>A value in a JSON format.</summary>
public abstract record FormatNode
{
    /// <summary>A number as Envoy writes it: whole ones as they are, others as a text.</summary>
    public static FormatNode Of(double number) => number == Math.Floor(number) && Math.Abs(number) < 1e15
        ? new FormatLiteral(((long)number).ToString(CultureInfo.InvariantCulture))
        : new FormatText(number.ToString("R", CultureInfo.InvariantCulture));
}

/// <summary>A text with command operators. Where it is one operator alone, the value keeps its type.</summary>
/// <param name="Format">The text.</param>
public sealed record FormatText(string Format) : FormatNode;

/// <summary>A number, <c>true</c>, <c>false</c> or <c>null</c>.</summary>
/// <param name="Json">As it is written.</param>
public sealed record FormatLiteral(string Json) : FormatNode;

/// <summary>An object; it is written with its names sorted.</summary>
/// <param name="Members">Names and values.</param>
public sealed record FormatMap(ImmutableArray<KeyValuePair<string, FormatNode>> Members) : FormatNode;

/// <summary>An array.</summary>
/// <param name="Items">Its values.</param>
public sealed record FormatList(ImmutableArray<FormatNode> Items) : FormatNode;
