// Where the application listens: Kestrel's endpoints, else Urls, else ASP.NET Core's port 5000
// (learn.microsoft.com/aspnet/core/fundamentals/servers/kestrel/endpoints).
using Naru.Core;
using Naru.Import.Model;
using Naru.Import.Text;
using Naru.Yaml;

namespace Naru.Import.Yarp;

internal sealed class YarpListeners(Notes notes)
{
    public List<ImportedListener> Read(Section settings, string file)
    {
        var made = new List<ImportedListener>();
        if (settings.Below("Kestrel") is { } kestrel)
        {
            Section? endpoints = kestrel.Below("Endpoints"), defaults = kestrel.Below("Certificates")?.Below("Default");
            ImportedCertificate? standard = defaults is null ? null : Certificate(defaults);
            foreach (YamlEntry entry in endpoints?.Entries ?? [])
            {
                if (endpoints!.Below(entry.Key) is not { } endpoint) continue;
                ImportedCertificate? own = endpoint.Below("Certificate") is { } named ? Certificate(named) : standard;
                endpoint.NoEffect("both HTTP/1.1 and HTTP/2 are spoken", "Protocols");
                string? asks = endpoint.Text("ClientCertificateMode") ?? kestrel.Below("EndpointDefaults")?.Text("ClientCertificateMode");
                bool guarded = asks is "RequireCertificate" || endpoint.Node("Sni") is not null;
                endpoint.Drop("settings of TLS", "set them in the bootstrap", "SslProtocols", "ClientCertificateMode", "Sni");
                int before = made.Count;
                if (endpoint.Text("Url") is { } url) Add(made, url, entry.Key, endpoint.PlaceOf("Url"), endpoint.PathOf("Url"), own);
                if (guarded && made.Count > before)
                    made[^1].Guard = new Guard(endpoint.Place, asks is "RequireCertificate" ? "only clients with a certificate were let in"
                        : "by the name that clients ask for, \"Sni\" may let in only some");
                endpoint.Rest();
            }
            kestrel.Drop("limits of the server", "the proxy has its own: docs/reference/configuration.md", "Limits", "EndpointDefaults");
            kestrel.NoEffect("nothing of it is needed", "AddServerHeader", "AllowSynchronousIO", "AllowAlternateSchemes",
                "AllowResponseHeaderCompression");
            kestrel.Rest();
        }
        string? urls = settings.Text("Urls");
        if (made.Count == 0 && urls is not null)
        {
            foreach (string url in urls.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
                Add(made, url, "http", settings.PlaceOf("Urls"), "Urls", null);
        }
        if (made.Count == 0)
        {
            notes.Slight(new Place(file), "Kestrel", "the file names no port to listen on: it is 8080");
            made.Add(new ImportedListener { Name = "http", Place = new Place(file), Port = 8080, WebSocket = true });
        }
        return made;
    }

    private ImportedCertificate? Certificate(Section section)
    {
        string? path = section.Text("Path"), key = section.Text("KeyPath");
        if (path is not null && key is not null)
        {
            section.Drop("passwords are not copied", "give the key without one", "Password");
            section.Rest();
            return new ImportedCertificate(path, key, null, false);
        }
        section.Drop("a certificate of .NET's own kind",
            "convert it: openssl pkcs12 -in FILE -out cert.pem -nodes, and name Path and KeyPath", "Path", "Password", "Subject", "Store",
            "Location", "AllowInvalid");
        section.Rest();
        return null;
    }

    private void Add(List<ImportedListener> made, string url, string name, Place place, string subject, ImportedCertificate? certificate)
    {
        // http://*:80 and http://+:80 are no URLs elsewhere.
        string plain = url.Replace("://*", "://0.0.0.0", StringComparison.Ordinal).Replace("://+", "://0.0.0.0", StringComparison.Ordinal);
        if (Named.Url(plain) is not { } at || at.Port == 0)
        {
            notes.Value(place, subject, $"\"{Notes.Short(url)}\" is no URL to listen on");
            return;
        }
        bool tls = at.Scheme == "https";
        if (tls && certificate is null)
        {
            notes.Dropped(place, subject, $"port {at.Port} is https, and its certificate is not in PEM files",
                "name Path and KeyPath in Certificate, then import again");
            return;
        }
        string host = Named.IsAddress(at.Host) ? at.Host.Trim('[', ']') : at.Host == "localhost" ? "127.0.0.1" : "0.0.0.0";
        if (made.Find(l => l.Port == at.Port && (l.Address == host || "0.0.0.0" == host || l.Address == "0.0.0.0")) is { } first)
        {
            notes.Value(place, subject, $"\"{first.Name}\" listens on port {at.Port} already", "give it a port or an address of its own");
            return;
        }
        made.Add(new ImportedListener
        {
            Name = name,
            Place = place,
            Port = at.Port,
            Address = host,
            Tls = tls,
            Certificate = tls
            ? certificate : null,
            WebSocket = true
        });
    }
}
