// Refuses requests whose x-envoy headers cannot be read instead of leaving those out (Envoy: Router.strict_check_headers).
using System.Text;
using Naru.Telemetry;

namespace Naru.Proxy.Http;

internal static class StrictChecks
{
    /// <summary>What of the headers that the manager names cannot be read; null for nothing.</summary>
    /// <param name="x">The exchange.</param>
    /// <param name="body">What the client is told.</param>
    public static Reason? Refusal(Exchange x, out string body)
    {
        body = "";
        foreach (string name in x.Manager.Config.StrictChecks)
        {
            byte[] bytes = Encoding.ASCII.GetBytes(name);
            for (int i = x.RequestHeaders.Next(bytes); i >= 0; i = x.RequestHeaders.Next(bytes, i + 1))
            {
                ReadOnlySpan<byte> value = x.RequestHeaders.Value(i);
                if (RequestLimits.IsReadable(name, value)) continue;
                body = $"invalid header '{name}' with value '{Encoding.Latin1.GetString(value)}'";
                return Reasons.InvalidRequestHeader with { Details = $"request_headers_failed_strict_check{{{name}}}" };
            }
        }
        return null;
    }
}
