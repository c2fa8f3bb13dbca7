// The REST API of configuration: apply, read, delete, diagnostics. A document is applied whole or not at all; what is said about
// it is said with file and line. Everything here needs the token.
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Naru.Control.Model;
using Naru.Control.Registries;
using Naru.Core;

namespace Naru.Control.Host.Api;

/// <summary><c>/api/v1/{apply,objects,diagnostics}</c>.</summary>
/// <param name="state">Where configuration lives.</param>
internal sealed class ConfigApi(ControlState state)
{
    private static readonly UTF8Encoding s_strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Adds the pages.</summary>
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/v1/apply", (RequestDelegate)ApplyAsync);
        routes.MapPost("/api/v1/delete", (RequestDelegate)DeleteManyAsync);
        routes.MapGet("/api/v1/objects", (RequestDelegate)ListAsync);
        routes.MapDelete("/api/v1/objects/{kind}/{namespace}/{name}", (RequestDelegate)DeleteAsync);
        routes.MapDelete("/api/v1/objects/{kind}/{name}", (RequestDelegate)DeleteAsync);
        routes.MapGet("/api/v1/diagnostics", (RequestDelegate)DiagnosticsAsync);
    }

    private async Task ApplyAsync(HttpContext context)
    {
        string text;
        using (var body = new MemoryStream())
        {
            await context.Request.Body.CopyToAsync(body, context.RequestAborted).ConfigureAwait(false);
            try
            {
                text = s_strict.GetString(body.GetBuffer().AsSpan(0, (int)body.Length));
            }
            catch (DecoderFallbackException)
            {
                await Answers.ErrorAsync(context, StatusCodes.Status400BadRequest, "the body is not UTF-8").ConfigureAwait(false);
                return;
            }
        }
        if (!Flag(context, "dryRun", out bool dryRun) || !Flag(context, "createOnly", out bool createOnly))
        {
            await Answers.ErrorAsync(context, StatusCodes.Status400BadRequest, "dryRun and createOnly are true or false").ConfigureAwait(false);
            return;
        }
        string? file = context.Request.Query["file"].FirstOrDefault() ?? context.Request.Headers["X-Naru-File"].FirstOrDefault();
        ApplyOutcome outcome;
        try
        {
            outcome = state.Apply(text, file, dryRun, createOnly, Query(context, "namespace") ?? "default");
        }
        catch (IOException e)
        {
            await Answers.ErrorAsync(context, StatusCodes.Status507InsufficientStorage,
                $"the store could not be written: {Causes.Of(e)}; nothing else was changed").ConfigureAwait(false);
            return;
        }
        await Answers.JsonAsync(context, outcome.Accepted ? StatusCodes.Status200OK : StatusCodes.Status422UnprocessableEntity, w =>
        {
            w.WriteStartObject();
            w.WriteStartArray("objects");
            foreach ((ObjectKey key, Sources.ApplyAction action) in outcome.Objects)
            {
                w.WriteStartObject();
                Write(w, key);
                w.WriteString("action", action switch { Sources.ApplyAction.Created => "created", Sources.ApplyAction.Configured => "configured", _ => "unchanged" });
                w.WriteEndObject();
            }
            w.WriteEndArray();
            w.Write(outcome.Diagnostics);
            w.WriteEndObject();
        }).ConfigureAwait(false);
    }

    // A List, as Kubernetes answers: each item is the manifest as it was written, with what we have to say about it in status.
    private Task ListAsync(HttpContext context)
    {
        string? kind = Query(context, "kind"), ns = Query(context, "namespace"), name = Query(context, "name");
        Snapshot snapshot = state.Current;
        ILookup<string, Diagnostic> bySubject = snapshot.Diagnostics.Where(d => d.Subject is not null).ToLookup(d => d.Subject!, StringComparer.Ordinal);
        return Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
        {
            w.WriteStartObject();
            w.WriteString("apiVersion", "v1");
            w.WriteString("kind", "List");
            w.WriteStartArray("items");
            foreach ((ObjectKey key, ConfigObject item) in snapshot.Config.Objects)
            {
                if (kind is not null && !string.Equals(kind, key.Kind, StringComparison.OrdinalIgnoreCase)) continue;
                if (ns is not null && ns != key.Namespace || name is not null && name != key.Name) continue;
                WriteObject(w, item, bySubject[key.ToString()], state.Since(key));
            }
            w.WriteEndArray();
            w.WriteEndObject();
        });
    }

    private async Task DeleteAsync(HttpContext context)
    {
        string Part(string name) => context.Request.RouteValues[name] as string ?? "";
        // Kinds as people write them, in any case; namespaces and names are exact.
        string kind = state.Current.Config.Objects.Keys.Select(k => k.Kind).FirstOrDefault(k => string.Equals(k, Part("kind"), StringComparison.OrdinalIgnoreCase)) ?? Part("kind");
        var key = new ObjectKey(kind, Part("namespace"), Part("name"));
        try
        {
            if (!state.Delete(key))
            {
                IEnumerable<string> near = state.Current.Config.Objects.Keys.Where(k => k.Kind == key.Kind && k.Namespace == key.Namespace).Select(k => k.Name);
                string? suggestion = Nearest.Suggestion(key.Name, near);
                await Answers.ErrorAsync(context, StatusCodes.Status404NotFound, $"there is no {key}" + (suggestion is null ? "" : $"; {suggestion}")).ConfigureAwait(false);
                return;
            }
        }
        catch (IOException e)
        {
            await Answers.ErrorAsync(context, StatusCodes.Status507InsufficientStorage,
                $"the store could not be written: {Causes.Of(e)}; nothing else was changed").ConfigureAwait(false);
            return;
        }
        await Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
        {
            w.WriteStartObject();
            Write(w, key);
            w.WriteString("action", "deleted");
            w.WriteEndObject();
        }).ConfigureAwait(false);
    }

    // [{kind, namespace, name}, …]: all in one step, so that there is one new snapshot and one push.
    private async Task DeleteManyAsync(HttpContext context)
    {
        if (!Flag(context, "dryRun", out bool dryRun))
        {
            await Answers.ErrorAsync(context, StatusCodes.Status400BadRequest, "dryRun is true or false").ConfigureAwait(false);
            return;
        }
        var keys = new List<ObjectKey>();
        try
        {
            using JsonDocument body = await JsonDocument.ParseAsync(context.Request.Body, default, context.RequestAborted).ConfigureAwait(false);
            keys.AddRange(body.RootElement.EnumerateArray().Select(o => new ObjectKey(o.GetProperty("kind").GetString()!, o.GetProperty("namespace").GetString()!, o.GetProperty("name").GetString()!)));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            await Answers.ErrorAsync(context, StatusCodes.Status400BadRequest, "the body must be a list of {\"kind\", \"namespace\", \"name\"}").ConfigureAwait(false);
            return;
        }
        IReadOnlyList<bool> there;
        ICollection<ObjectKey> before = [.. state.Current.Config.Objects.Keys];
        try
        {
            there = state.Delete(keys, dryRun);
        }
        catch (IOException e)
        {
            await Answers.ErrorAsync(context, StatusCodes.Status507InsufficientStorage,
                $"the store could not be written: {Causes.Of(e)}; nothing else was changed").ConfigureAwait(false);
            return;
        }
        await Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
        {
            w.WriteStartObject();
            w.WriteStartArray("objects");
            for (int i = 0; i < keys.Count; i++)
            {
                w.WriteStartObject();
                Write(w, keys[i]);
                w.WriteString("action", there[i] ? "deleted" : "absent");
                if (!there[i] && i < 100 && Near(keys[i], before) is { } near) w.WriteString("suggestion", near);
                w.WriteEndObject();
            }
            w.WriteEndArray();
            w.WriteEndObject();
        }).ConfigureAwait(false);
    }

    private static string? Near(ObjectKey key, IEnumerable<ObjectKey> there) =>
        Nearest.Suggestion(key.Name, there.Where(k => k.Kind == key.Kind && k.Namespace == key.Namespace).Select(k => k.Name))
        ?? there.Where(k => k.Kind == key.Kind && k.Name == key.Name).Select(k => $"there is one in namespace {k.Namespace}").FirstOrDefault();

    private Task DiagnosticsAsync(HttpContext context) => Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
    {
        w.WriteStartObject();
        w.Write(state.Current.Diagnostics);
        w.WriteEndObject();
    });

    /// <summary>The manifest, and our remarks under <c>status.naru</c>, beside whatever status it had.</summary>
    internal static void WriteObject(Utf8JsonWriter w, ConfigObject item, IEnumerable<Diagnostic> diagnostics, DateTimeOffset? since = null)
    {
        using JsonDocument manifest = JsonDocument.Parse(item.Json, new JsonDocumentOptions { MaxDepth = 128 });
        w.WriteStartObject();
        JsonElement status = default;
        foreach (JsonProperty property in manifest.RootElement.EnumerateObject())
        {
            if (property.NameEquals("status")) status = property.Value;
            else if (property.NameEquals("metadata")) WriteMetadata(w, property.Value, item.Key, since);
            else property.WriteTo(w);
        }
        w.WriteStartObject("status");
        if (status.ValueKind == JsonValueKind.Object)
        {
            foreach (JsonProperty property in status.EnumerateObject())
            {
                if (!property.NameEquals("naru")) property.WriteTo(w);
            }
        }
        w.WriteStartObject("naru");
        if (item.Place.File is not null) w.WriteString("place", item.Place.ToString());
        w.Write(diagnostics);
        w.WriteEndObject();
        w.WriteEndObject();
        w.WriteEndObject();
    }

    // An object that named no namespace is shown with the one it is in, and since when it is known.
    private static void WriteMetadata(Utf8JsonWriter w, JsonElement metadata, ObjectKey key, DateTimeOffset? since)
    {
        w.WriteStartObject("metadata");
        foreach (JsonProperty property in metadata.EnumerateObject()) property.WriteTo(w);
        if (key.Namespace.Length > 0 && !metadata.TryGetProperty("namespace", out _)) w.WriteString("namespace", key.Namespace);
        if (since is { } known && !metadata.TryGetProperty("creationTimestamp", out _)) w.WriteString("creationTimestamp", known.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ"));
        w.WriteEndObject();
    }

    private static void Write(Utf8JsonWriter w, ObjectKey key)
    {
        w.WriteString("kind", key.Kind);
        w.WriteString("namespace", key.Namespace);
        w.WriteString("name", key.Name);
    }

    private static string? Query(HttpContext context, string name) => context.Request.Query[name].FirstOrDefault() is { Length: > 0 } value ? value : null;

    private static bool Flag(HttpContext context, string name, out bool value)
    {
        value = false;
        return Query(context, name) is not { } text || bool.TryParse(text, out value);
    }
}
