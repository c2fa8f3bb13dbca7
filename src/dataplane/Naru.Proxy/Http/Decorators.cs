// The name of an operation that a route says (Envoy: route decorator, x-envoy-decorator-operation), told where the manager traces: by the
// proxy before a service to the client in its answer, by the one behind a client to the service in the request.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Listeners;

namespace Naru.Proxy.Http;

internal static class Decorators
{
    private static readonly byte[] s_name = "x-envoy-decorator-operation"u8.ToArray();

    /// <summary>The route is chosen: what the request says of it is settled. Once more where a redirect leads to another one.</summary>
    public static void OnRequest(Exchange x)
    {
        RequestHeaders head = x.RequestHeaders;
        RouteConfig? route = x.Route?.Config;
        string operation = route is { PropagatesOperation: true } ? route.Operation : "";
        if (IsOutbound(x))
        {
            if (operation.Length > 0) head.Set(s_name, Encoding.UTF8.GetBytes(operation));
            return;
        }
        // A client that knows better overrides the route; the service never learns of it.
        if (head.TryGet(s_name, out ReadOnlySpan<byte> own) && own.Length > 0)
        {
            x.NamesOperation = true;
            if (x.Trace.Span is { } span) span.Name = Encoding.UTF8.GetString(own);
        }
        head.Remove(s_name);
        x.Operation = x.NamesOperation ? "" : operation;
    }

    /// <summary>An answer is put together.</summary>
    public static void OnAnswer(Exchange x)
    {
        if (IsOutbound(x))
        {
            if (x.Trace.Span is { } span && x.ResponseHeaders.TryGet(s_name, out ReadOnlySpan<byte> name) && name.Length > 0)
                span.Name = Encoding.UTF8.GetString(name);
            x.ResponseHeaders.Remove(s_name);
        }
        else if (x.Operation.Length > 0) x.ResponseHeaders.Set(s_name, Encoding.UTF8.GetBytes(x.Operation));
    }

    private static bool IsOutbound(Exchange x) => Reports.RequestTracing.IsOutbound(x);
}
