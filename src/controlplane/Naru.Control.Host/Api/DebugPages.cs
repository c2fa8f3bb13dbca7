// What the control plane believes: configuration, services, endpoints, and what a proxy would be told now. Read only.
using System.Text.Json;
using Google.Protobuf;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Naru.Control.Model;
using Naru.Control.Registries;
using Naru.Control.Translation;
using Naru.Core;

namespace Naru.Control.Host.Api;

/// <summary><c>/debug/{configz,registryz,endpointz,config_dump}</c>.</summary>
/// <param name="state">The newest snapshot.</param>
/// <param name="dump">The nodes that are connected, by id.</param>
internal sealed class DebugPages(ControlState state, Func<string, NodeInfo?> dump)
{
    private static readonly JsonFormatter s_formatter =
        new(JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true).WithTypeRegistry(Translator.Types));

    /// <summary>Adds the pages.</summary>
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/debug/configz", (RequestDelegate)ConfigAsync);
        routes.MapGet("/debug/registryz", (RequestDelegate)ServicesAsync);
        routes.MapGet("/debug/endpointz", (RequestDelegate)EndpointsAsync);
        routes.MapGet("/debug/config_dump", (RequestDelegate)DumpAsync);
    }

    private Task ConfigAsync(HttpContext context)
    {
        Snapshot snapshot = state.Current;
        ILookup<string, Diagnostic> bySubject = snapshot.Diagnostics.Where(d => d.Subject is not null).ToLookup(d => d.Subject!, StringComparer.Ordinal);
        return Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
        {
            w.WriteStartArray();
            foreach (ConfigObject item in snapshot.Config.Objects.Values)
            {
                if (item.ApiVersion.Contains("istio.io/", StringComparison.Ordinal)) ConfigApi.WriteObject(w, item, bySubject[item.Key.ToString()]);
            }
            w.WriteEndArray();
        });
    }

    private Task ServicesAsync(HttpContext context) => Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
    {
        w.WriteStartArray();
        foreach (MeshService service in state.Current.Layout.Services.Values)
        {
            w.WriteStartObject();
            w.WriteString("hostname", service.Hostname);
            w.WriteString("namespace", service.Namespace);
            w.WriteStartArray("addresses");
            foreach (string address in service.Addresses) w.WriteStringValue(address);
            w.WriteEndArray();
            w.WriteStartArray("ports");
            foreach (MeshPort port in service.Ports)
            {
                w.WriteStartObject();
                w.WriteNumber("port", port.Number);
                w.WriteString("name", port.Name);
                w.WriteString("protocol", port.Protocol.ToString().ToUpperInvariant());
                w.WriteEndObject();
            }
            w.WriteEndArray();
            w.WriteString("resolution", service.Resolution.ToString());
            w.WriteString("source", service.Source.ToString());
            w.WriteEndObject();
        }
        w.WriteEndArray();
    });

    private Task EndpointsAsync(HttpContext context) => Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
    {
        w.WriteStartArray();
        foreach (((string host, int port), System.Collections.Immutable.ImmutableArray<MeshEndpoint> endpoints) in state.Current.Endpoints.OrderBy(e => e.Key.Host, StringComparer.Ordinal).ThenBy(e => e.Key.Port))
        {
            w.WriteStartObject();
            w.WriteString("service", host);
            w.WriteNumber("port", port);
            w.WriteStartArray("endpoints");
            foreach (MeshEndpoint endpoint in endpoints)
            {
                w.WriteStartObject();
                w.WriteString("address", endpoint.Address);
                w.WriteNumber("port", endpoint.Port);
                w.WriteString("workload", endpoint.Workload);
                if (endpoint.Locality.Length > 0) w.WriteString("locality", endpoint.Locality);
                w.WriteNumber("weight", endpoint.Weight);
                w.WriteStartObject("labels");
                foreach ((string key, string value) in endpoint.Labels) w.WriteString(key, value);
                w.WriteEndObject();
                w.WriteEndObject();
            }
            w.WriteEndArray();
            w.WriteEndObject();
        }
        w.WriteEndArray();
    });

    // What a connected proxy would be told now, type by type; to be held against its own dump.
    private Task DumpAsync(HttpContext context)
    {
        string id = context.Request.Query["proxyID"].FirstOrDefault() ?? "";
        if (dump(id) is not { } node) return Answers.ErrorAsync(context, StatusCodes.Status404NotFound, $"no proxy \"{id}\" is connected; /api/v1/proxies lists them, and proxyID may be its id or name.namespace");
        ResourceSet set = Translator.Translate(state.Current, node);
        return Answers.JsonAsync(context, StatusCodes.Status200OK, w =>
        {
            w.WriteStartObject();
            w.WriteString("proxy", node.Id);
            w.WriteStartObject("resources");
            foreach (string type in TypeUrls.PushOrder)
            {
                w.WriteStartArray(Xds.TypeUrls.ShortName(type));
                foreach (Resource resource in set.Of(type).InOrder)
                {
                    w.WriteStartObject();
                    w.WriteString("name", resource.Name);
                    w.WriteString("version", resource.Version);
                    w.WritePropertyName("resource");
                    w.WriteRawValue(s_formatter.Format(resource.Message));
                    w.WriteEndObject();
                }
                w.WriteEndArray();
            }
            w.WriteEndObject();
            w.WriteEndObject();
        });
    }
}
