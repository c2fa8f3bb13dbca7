// What the stops of the request path keep with a worker, under the names by which they speak of it. The worker knows none of them.
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Proxy.Overload;

namespace Naru.Proxy;

internal static class WorkerParts
{
    extension(Worker worker)
    {
        /// <summary>What its HTTP connections rent for the time of an exchange.</summary>
        public WorkerCache Cache => WorkerCache.Local.Of(worker);

        /// <summary>What the overload manager decided; one object for all workers of an engine.</summary>
        public OverloadState Overload => OverloadState.Local.Of(worker);
    }
}
