// What a listener makes of the proxy's own answers (Envoy: local_reply_config): the first mapper whose filter passes may change status
// and body and add headers, then a format makes the body.
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Proxy.Routing;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

/// <summary>A body made of the request.</summary>
internal sealed class BodyFormat
{
    private readonly AccessLogFormat _format;

    public BodyFormat(FormatSource source)
    {
        // What does not compile was refused when the configuration was read.
        _format = AccessLogFormat.Compile(source, new Diagnostics(), FormatUse.Body)!;
        ContentType = source.ContentType.Length > 0 ? source.ContentType : source.Json is null ? "text/plain" : "application/json";
    }

    public string ContentType { get; }

    /// <summary>The body; <paramref name="body"/> is <c>%LOCAL_REPLY_BODY%</c> in it.</summary>
    public byte[] Make(Exchange x, byte[] body)
    {
        x.LocalBody = body;
        x.Scratch.Clear();
        _format.Write(x, x.Scratch);
        return x.Scratch.Written.ToArray();
    }

    public static BodyFormat? Of(FormatSource? source) => source is null ? null : new BodyFormat(source);
}

internal sealed class LocalReplies(LocalReplyConfig config, Runtime runtime)
{
    private readonly Mapper[] _mappers = [.. config.Mappers.Select(m => new Mapper(m, runtime))];
    private readonly BodyFormat? _format = BodyFormat.Of(config.BodyFormat);

    /// <summary>Changes an answer whose head was begun.</summary>
    /// <param name="x">The exchange; its status is the answer's, and may become another.</param>
    /// <param name="body">The body, which may become another.</param>
    /// <param name="contentType">Its type, likewise.</param>
    public void Apply(Exchange x, ref byte[] body, ref string contentType)
    {
        BodyFormat? format = _format;
        if (Array.Find(_mappers, m => m.Filter(x, x)) is { } mapper)
        {
            body = mapper.Body ?? body;
            x.LocalBody = body;
            // They see the status that was.
            mapper.Headers.Apply(x.ResponseHeaders, x, x.Scratch);
            if (mapper.Status > 0) x.Status = mapper.Status;
            format = mapper.Format ?? format;
        }
        if (format is null) return;
        body = format.Make(x, body);
        contentType = format.ContentType;
    }

    private sealed class Mapper(ResponseMapperConfig config, Runtime runtime)
    {
        public LogFilter Filter { get; } = LogFilters.Compile(config.Filter, runtime);
        public int Status { get; } = config.Status;
        public byte[]? Body { get; } = config.Body.IsDefault ? null : [.. config.Body];
        public BodyFormat? Format { get; } = BodyFormat.Of(config.BodyFormat);
        public HeaderChanges Headers { get; } = HeaderChanges.Of([], config.Headers);
    }
}
