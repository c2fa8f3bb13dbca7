// Changes of a request's headers before anything else looks at them: before it is known who the client is and what may be believed of it,
// and before a route is chosen (Envoy: early_header_mutation_extensions). What is added here is cleaned as if the client had sent it.
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Routing;

namespace Naru.Proxy.Http;

internal sealed class EarlyMutations(IEnumerable<HeaderMutationConfig> config)
{
    private readonly (byte[] Name, HeaderAddition? Added)[] _all =
        [.. config.Select(m => (Encoding.ASCII.GetBytes(m.Name), m.Added is { } added ? HeaderAddition.Of(added) : null))];

    /// <summary>Makes the changes, each seeing what those before it left.</summary>
    public void Apply(Exchange x)
    {
        RequestHeaders head = x.RequestHeaders;
        foreach ((byte[] name, HeaderAddition? added) in _all)
        {
            if (added is null)
            {
                head.Remove(name);
                continue;
            }
            ReadOnlySpan<byte> value = added.Value.Value(x, x.Scratch);
            if (value.Length > 0 || added.KeepEmpty) head.Apply(name, value, added.Action);
        }
    }
}
