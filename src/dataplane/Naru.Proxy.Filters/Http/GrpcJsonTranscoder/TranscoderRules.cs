// What the transcoder is told, compiled: which requests lead to which methods, and how each side is written.
using System.Text;
using Naru.Http.Transcoding;

namespace Naru.Proxy.Filters.Http.GrpcJsonTranscoder;

/// <summary>A transcoder. One without services does nothing.</summary>
internal sealed record TranscoderRules
{
    /// <summary>Nothing is transcoded: so is a route told.</summary>
    public bool IsOff { get; init; }

    public required PathMatcher<TranscodedMethod> Methods { get; init; }
    public required JsonRules Json { get; init; }
    public required JsonPrint Print { get; init; }
    public StreamForm Stream { get; init; }

    /// <summary>How messages of a stream are written: where each has a line, it has one only, whatever is said of blanks.</summary>
    public JsonPrint StreamPrint => Stream == StreamForm.List ? Print : Print with { Indents = false };
    public bool KeepsRoute { get; init; }
    public required HashSet<string> IgnoredParameters { get; init; }
    public bool IgnoresUnknown { get; init; }
    public bool CapturesUnknown { get; init; }
    public bool ConvertsStatus { get; init; }
    public UrlUnescape Unescape { get; init; }
    public bool PlusIsBlank { get; init; }
    public bool RejectsMethods { get; init; }
    public bool RejectsParameters { get; init; }

    /// <summary>Bytes; null for what a stream may hold.</summary>
    public uint? MostRequest { get; init; }

    /// <summary>The same of answers.</summary>
    public uint? MostResponse { get; init; }

    /// <summary>What a status is written as.</summary>
    public MessageShape? Status { get; init; }
}

/// <summary>How messages of a stream are told apart.</summary>
internal enum StreamForm : byte
{
    /// <summary>A list.</summary>
    List,

    /// <summary>A line each.</summary>
    Lines,

    /// <summary>Events (HTML, server-sent events).</summary>
    Events,
}

/// <summary>One rule of one method.</summary>
internal sealed class TranscodedMethod(DeclaredMethod declared, PathTemplate template)
{
    public DeclaredMethod Declared => declared;
    public PathTemplate Template => template;

    /// <summary>Of the call.</summary>
    public byte[] Path { get; } = Encoding.UTF8.GetBytes($"/{declared.Service}/{declared.Name}");

    /// <summary>The rule names a body: a field, or all of the message.</summary>
    public bool HasBody { get; init; }

    /// <summary>The field that the body is; null for the message.</summary>
    public FieldShape? Body { get; init; }

    /// <summary>The field that the answer is; null for the message.</summary>
    public FieldShape? Answer { get; init; }

    /// <summary>The fields of the template's variables.</summary>
    public required FieldShape[][] Variables { get; init; }

    /// <summary>The body is google.api.HttpBody, and goes as it is.</summary>
    public bool TakesBytes => HasBody && (Body is { } held ? held.Message : declared.Input) is { IsHttpBody: true };

    /// <summary>So is the answer.</summary>
    public bool GivesBytes => (Answer is { } held ? held.Message : declared.Output) is { IsHttpBody: true };
}
