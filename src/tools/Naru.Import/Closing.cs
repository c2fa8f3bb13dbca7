// What guards, and cannot be expressed, closes: the one place where routes are shut. Readers and writers only say what guards a listener,
// a site or a route, and which routes stand for requests whose own route was left out.
using Naru.Core;
using Naru.Import.Model;

namespace Naru.Import;

internal static class Closing
{
    /// <summary>Closes what is guarded (403), and takes away what stands for routes that were left out where the user wants it
    /// open.</summary>
    public static void Close(ImportedConfig config, ImportOptions options, Notes notes)
    {
        foreach (ImportedListener listener in config.Listeners)
        {
            if (!options.Proxy) CloseUnsaid(listener, notes);
            listener.Sites.Find(s => s.Domains.Contains("*"))?.Routes.InsertRange(0, listener.HostsLeftOut);
            foreach (ImportedSite site in listener.Sites)
            {
                if (options.Unguarded)
                {
                    site.Routes.RemoveAll(r => r.LeftOut);
                    continue;
                }
                for (int i = 0; i < site.Routes.Count; i++)
                {
                    ImportedRoute route = site.Routes[i];
                    (Guard? guard, string subject) = route.Guard is { } own ? (own, route.GuardSubject)
                        : listener.Guard is { } all ? (all, $"listener {listener.Name}")
                        : (site.Guard, site.Name);
                    if (!route.LeftOut && guard is null) continue;
                    if (guard is { } found && route.Action is not Respond { Status: >= 400 })
                        notes.Closed(found.Place.Line > 0 ? found.Place : route.Place, subject, found.Why);
                    // A copy: the same route may stand open on another listener.
                    if (route.Action is not Respond { Status: >= 400 }) site.Routes[i] = route.Closed();
                }
            }
        }
    }

    // What a bootstrap says and Istio's words do not is a guard there.
    private static void CloseUnsaid(ImportedListener listener, Notes notes)
    {
        foreach (ImportedSite site in listener.Sites)
        {
            // Nobody asks for a client's certificate without TLS.
            if (site.Certificate is { ClientAuthority: not null, ClientRequired: true })
                site.Guard ??= new Guard(site.Place, "only clients with a certificate were let in, and a Gateway does not end TLS yet");
            foreach (ImportedRoute route in site.Routes.Where(r => r.Action is Redirect { Rewritten: not null } && !r.LeftOut))
            {
                notes.OnlyProxy(route.Place, route.Name, "a redirect to a part of the path: a VirtualService redirects to a whole one");
                route.LeftOut = true;
            }
            foreach (string domain in site.Domains.Where(d => d.EndsWith(".*", StringComparison.Ordinal)))
            {
                notes.OnlyProxy(site.Place, domain, $"the host \"{domain}\": a VirtualService has wildcards at the beginning only");
                if (!site.Domains.Contains("*"))
                    listener.HostsLeftOut.Add(ImportedRoute.OfHosts(domain, $"{Named.Quote(domain[..^1])}[^:]+", site.Place));
            }
        }
    }
}
