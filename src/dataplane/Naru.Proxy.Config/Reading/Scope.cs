// One resource being read: collects what is wrong with it, with the place of each field where that is known.
// Used by all readers; knows nothing of any particular resource.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Telemetry;
using Naru.Yaml;

namespace Naru.Proxy.Config.Reading;

/// <summary>The diagnostics and places of one reading.</summary>
/// <param name="Found">Takes what is found.</param>
/// <param name="Places">Where fields were written; null for what came over the wire.</param>
/// <param name="Subject">The resource, for example <c>Cluster reviews</c>; empty to name each field by its whole path.</param>
internal sealed record ResourcePass(Diagnostics Found, ProtoPlaces? Places, string Subject)
{
    /// <summary>The message that an <c>Any</c> holds, or null after an error.</summary>
    public T? Unpack<T>(Any any, Scope at) where T : class, IMessage, new() => (T?)Unpack(new T().Descriptor, any, at);

    /// <summary>The same where the type is known by its descriptor.</summary>
    public IMessage? Unpack(MessageDescriptor type, Any any, Scope at)
    {
        if (Places?.Unpacked(any) is { } bound && bound.Descriptor == type) return bound;
        if (any.TypeUrl.EndsWith(".TypedStruct", StringComparison.Ordinal))
        {
            at.Error("typed_config", "NARU-C113", $"a {type.Name} as a TypedStruct is read from files only", "send the message itself");
            return null;
        }
        try
        {
            return type.Parser.ParseFrom(any.Value);
        }
        catch (InvalidProtocolBufferException fault)
        {
            at.Error("typed_config", "NARU-C102", $"the bytes are not a {type.Name}: {fault.Message}");
            return null;
        }
    }
}

/// <summary>A message within a reading, with its path from the resource.</summary>
internal readonly struct Scope(ResourcePass pass, IMessage message, string path)
{
    /// <summary>The reading it belongs to.</summary>
    public ResourcePass Pass { get; } = pass;

    /// <summary>The message.</summary>
    public IMessage Message { get; } = message;

    /// <summary>Path of the message; empty for the resource itself.</summary>
    public string Path { get; } = path;

    /// <summary>Scope of a message in a field.</summary>
    public Scope In(string field, IMessage child) => new(Pass, child, Path.Length == 0 ? field : $"{Path}.{field}");

    /// <summary>Scope of an element of a repeated field.</summary>
    public Scope In(string field, int index, IMessage child) => In($"{field}[{index}]", child);

    /// <summary>Adds an error.</summary>
    public void Error(string field, string code, string cause, string? remedy = null) => Add(Severity.Error, field, code, cause, remedy);

    /// <summary>Adds a warning.</summary>
    public void Warning(string field, string code, string cause, string? remedy = null) => Add(Severity.Warning, field, code, cause, remedy);

    /// <summary>Adds information.</summary>
    public void Info(string field, string code, string cause, string? remedy = null) => Add(Severity.Info, field, code, cause, remedy);

    /// <summary>Compiles a format of command operators, only to learn whether it is one.</summary>
    public void CheckFormat(string field, string format, FormatUse use)
    {
        var found = new Diagnostics();
        AccessLogFormat.Compile(format, found, use);
        foreach (Diagnostic fault in found.Items) Add(fault.Severity, field, fault.Code, fault.Message, fault.Remedy);
    }

    /// <summary>The same of a format as configuration has it.</summary>
    public void CheckFormat(string field, FormatSource format, FormatUse use)
    {
        var found = new Diagnostics();
        AccessLogFormat.Compile(format, found, use);
        foreach (Diagnostic fault in found.Items) Add(fault.Severity, field, fault.Code, fault.Message, fault.Remedy);
    }

    private void Add(Severity severity, string field, string code, string cause, string? remedy)
    {
        string full = field.Length == 0 ? Path : Path.Length == 0 ? field : $"{Path}.{field}";
        Place place = Pass.Places?.Of(Message, field.Length == 0 ? null : field) ?? default;
        bool named = Pass.Subject.Length > 0;
        string text = named && full.Length > 0 ? $"{full}: {cause}" : cause;
        Pass.Found.Add(new Diagnostic(code, severity, text, place, named ? Pass.Subject : full, remedy));
    }
}
