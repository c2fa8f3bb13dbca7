// envoy.filters.http.compressor: how its configuration is read, in the chain and at routes.
using System.Collections.Frozen;
using System.Collections.Immutable;
using Envoy.Config.Core.V3;
using Envoy.Extensions.Filters.Http.Compressor.V3;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Configured = Envoy.Extensions.Filters.Http.Compressor.V3.Compressor;

namespace Naru.Proxy.Filters.Http.Compressor;

/// <summary>Bodies that are packed on their way (Envoy docs: compressor).</summary>
public sealed class CompressorExtension : HttpFilterExtension, IHttpFilterKind
{
    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.compressor";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.Compressor.V3.Compressor.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => CompressorPerRoute.Descriptor;

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.compressor.v3.Compressor
          + compressor_library request_direction_config response_direction_config choose_first
          + content_length content_type disable_on_etag_header remove_accept_encoding_header runtime_enabled
        envoy.extensions.filters.http.compressor.v3.Compressor.CommonDirectionConfig
          + enabled min_content_length content_type
        envoy.extensions.filters.http.compressor.v3.Compressor.RequestDirectionConfig
          + common_config
        envoy.extensions.filters.http.compressor.v3.Compressor.ResponseDirectionConfig
          + common_config disable_on_etag_header remove_accept_encoding_header uncompressible_response_codes status_header_enabled
        envoy.extensions.filters.http.compressor.v3.CompressorPerRoute
          + disabled overrides
        envoy.extensions.filters.http.compressor.v3.CompressorOverrides
          + response_direction_config compressor_library
        envoy.extensions.filters.http.compressor.v3.ResponseDirectionOverrides
          + remove_accept_encoding_header

        """ + PackingLibrary.Fields;

    internal override object Read(Scope scope, IMessage message)
    {
        var given = (Configured)message;
        PackingLibrary library = PackingLibrary.Read(scope, "compressor_library", given.CompressorLibrary)
            ?? new BrotliPacking("", 3, 18);
        PackDirection request = PackDirection.Off;
        if (given.RequestDirectionConfig is { } up)
        {
            Scope at = scope.In("request_direction_config", up);
            request = Common(at, up.CommonConfig, standard: false);
        }
        if (given.ResponseDirectionConfig is not { } down)
        {
            // As it was written before there were directions.
            return new PackSettings(library, request, Direction(scope, "content_length", given.ContentLength, given.ContentType,
                Values.RuntimeSwitch(scope, "runtime_enabled", given.RuntimeEnabled).IsOn))
            {
                IsLegacy = true,
                LeavesEtags = given.DisableOnEtagHeader,
                RemovesAccept = given.RemoveAcceptEncodingHeader,
                IsFirst = given.ChooseFirst,
            };
        }
        if (given.ContentLength is not null) Twice(scope, "content_length");
        if (given.ContentType.Count > 0) Twice(scope, "content_type");
        if (given.DisableOnEtagHeader) Twice(scope, "disable_on_etag_header");
        if (given.RemoveAcceptEncodingHeader) Twice(scope, "remove_accept_encoding_header");
        if (given.RuntimeEnabled is not null) Twice(scope, "runtime_enabled");
        Scope downAt = scope.In("response_direction_config", down);
        foreach (uint code in down.UncompressibleResponseCodes)
        {
            if (code is < 200 or > 599)
                downAt.Error("uncompressible_response_codes", "NARU-C102", $"{code} is not a status of an answer", "it may be 200 to 599");
        }
        return new PackSettings(library, request, Common(downAt, down.CommonConfig, standard: true))
        {
            LeavesEtags = down.DisableOnEtagHeader,
            RemovesAccept = down.RemoveAcceptEncodingHeader,
            LeavesStatus = [.. down.UncompressibleResponseCodes.Select(c => (int)c)],
            TellsStatus = down.StatusHeaderEnabled,
            IsFirst = given.ChooseFirst,
        };
    }

    private static void Twice(Scope scope, string field) =>
        scope.Error(field, "NARU-C113", $"\"{field}\" stands beside response_direction_config, which says the same", "move it there");

    internal override object ReadRoute(Scope scope, IMessage message)
    {
        var entry = (CompressorPerRoute)message;
        switch (entry.OverrideCase)
        {
            case CompressorPerRoute.OverrideOneofCase.Overrides:
                Scope at = scope.In("overrides", entry.Overrides);
                PackingLibrary? library = entry.Overrides.CompressorLibrary is { } own ? PackingLibrary.Read(at, "compressor_library", own) : null;
                return new PackOverrides(false, entry.Overrides.ResponseDirectionConfig?.RemoveAcceptEncodingHeader, library);
            case CompressorPerRoute.OverrideOneofCase.Disabled:
                Values.Disabled(scope, entry.Disabled);
                break;
            default:
                scope.Error("", "NARU-C101", "the entry neither disables the filter nor changes it", "write disabled: true, or overrides: { … }");
                break;
        }
        return new PackOverrides(true, null, null);
    }

    private static PackDirection Common(Scope parent, Configured.Types.CommonDirectionConfig? common, bool standard)
    {
        if (common is null) return Direction(parent, "min_content_length", null, [], standard);
        Scope scope = parent.In("common_config", common);
        return Direction(
            scope, "min_content_length", common.MinContentLength, common.ContentType, Values.RuntimeSwitch(scope, "enabled", common.Enabled, standard).IsOn);
    }

    private static PackDirection Direction(Scope scope, string field, uint? least, RepeatedField<string> types, bool enabled) =>
        new(enabled, Values.Count(scope, field, least, 30), types.Count == 0 ? PackDirection.StandardTypes : [.. types]);

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new CompressorFilter((PackSettings)settings, context);
}

/// <summary>One direction's bodies.</summary>
/// <param name="IsOn">Whether they are packed at all.</param>
/// <param name="Least">Bytes of a body whose length is told.</param>
/// <param name="Types">Media types.</param>
internal sealed record PackDirection(bool IsOn, int Least, ImmutableArray<string> Types)
{
    // Envoy docs: compressor, "and their synonyms".
    public static readonly ImmutableArray<string> StandardTypes =
    [
        "text/html", "text/plain", "text/css", "text/xml", "text/javascript", "text/x-javascript", "text/ecmascript", "text/js", "text/jscript",
        "text/x-js", "application/javascript", "application/x-javascript", "application/ecmascript", "application/json", "application/x-json",
        "application/xml", "application/xhtml+xml", "image/svg+xml",
    ];

    /// <summary>None.</summary>
    public static readonly PackDirection Off = new(false, 30, StandardTypes);

    private readonly FrozenSet<string>.AlternateLookup<ReadOnlySpan<char>> _allowed =
        Types.ToFrozenSet(StringComparer.OrdinalIgnoreCase).GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>Whether content of this type is packed; without a type it is, as in Envoy.</summary>
    public bool Packs(ReadOnlySpan<byte> contentType)
    {
        int semicolon = contentType.IndexOf((byte)';');
        contentType = Naru.Http.Http1.Http1Framing.Trim(semicolon < 0 ? contentType : contentType[..semicolon]);
        if (contentType.IsEmpty) return true;
        if (contentType.Length > 128) return false;
        Span<char> text = stackalloc char[128];
        return _allowed.Contains(text[..System.Text.Encoding.Latin1.GetChars(contentType, text)]);
    }
}

/// <summary>What the chain says.</summary>
internal sealed record PackSettings(PackingLibrary Library, PackDirection Request, PackDirection Response)
{
    /// <summary>Written without directions: names of statistics have none either.</summary>
    public bool IsLegacy { get; init; }
    /// <summary>Answers with an ETag stay as they are.</summary>
    public bool LeavesEtags { get; init; }
    /// <summary>Endpoints are not told what the client accepts.</summary>
    public bool RemovesAccept { get; init; }
    /// <summary>Answers of these stay as they are.</summary>
    public ImmutableArray<int> LeavesStatus { get; init; } = [];
    /// <summary>Answers say what became of them (x-envoy-compression-status).</summary>
    public bool TellsStatus { get; init; }
    /// <summary>Preferred between equals.</summary>
    public bool IsFirst { get; init; }
}

/// <summary>What a route says.</summary>
internal sealed record PackOverrides(bool IsOff, bool? RemovesAccept, PackingLibrary? Library);
