// Header changes of all levels of a route in the order in which they are made: narrow to wide, unless most_specific_header_mutations_wins turns
// that around. Each level removes before it adds and sees what the levels before it left (Envoy: HTTP header manipulation).
using System.Text;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

/// <summary>One addition, compiled.</summary>
/// <param name="Name">Lower case.</param>
/// <param name="Value">Its value, still to be formatted.</param>
/// <param name="Action">How it is added.</param>
/// <param name="KeepEmpty">Whether an empty value is added; else it does nothing at all.</param>
internal sealed record HeaderAddition(byte[] Name, HeaderValueFormat Value, HeaderAppendAction Action, bool KeepEmpty)
{
    public static HeaderAddition Of(HeaderValueConfig config) =>
        new(Encoding.ASCII.GetBytes(config.Name), new HeaderValueFormat(config.Value), config.Action, config.KeepEmptyValue);
}

/// <summary>One level's changes of one head, compiled.</summary>
internal sealed class HeaderChanges(byte[][] removed, HeaderAddition[] added)
{
    public static HeaderChanges Of(IEnumerable<string> removed, IEnumerable<HeaderValueConfig> added) =>
        new([.. removed.Select(n => Encoding.ASCII.GetBytes(n.ToLowerInvariant()))], [.. added.Select(HeaderAddition.Of)]);

    public bool IsEmpty => removed.Length == 0 && added.Length == 0;

    /// <summary>Makes the changes. Values are all computed on the head as it is after the removals.</summary>
    public void Apply(HeadEdits head, IRequestInfo request, LineBuffer scratch)
    {
        foreach (byte[] name in removed) head.Remove(name);
        if (added.Length == 0) return;
        foreach (HeaderAddition addition in added)
        {
            ReadOnlySpan<byte> value = addition.Value.Value(request, scratch);
            if (value.Length > 0 || addition.KeepEmpty) head.Stage(addition.Name, value, addition.Action);
        }
        head.Commit();
    }
}

internal sealed class HeaderMutations
{
    private readonly HeaderChanges[] _request, _response;

    private HeaderMutations(HeaderChanges[] request, HeaderChanges[] response) => (_request, _response) = (request, response);

    /// <summary>Null where no level changes anything.</summary>
    public static HeaderMutations? Of(bool mostSpecificWins, params HeaderMutationsConfig[] narrowToWide)
    {
        if (narrowToWide.All(l => l.IsEmpty)) return null;
        HeaderMutationsConfig[] order = mostSpecificWins ? [.. narrowToWide.Reverse()] : narrowToWide;
        return new HeaderMutations(
            [.. order.Select(l => HeaderChanges.Of(l.RequestRemove, l.RequestAdd)).Where(c => !c.IsEmpty)],
            [.. order.Select(l => HeaderChanges.Of(l.ResponseRemove, l.ResponseAdd)).Where(c => !c.IsEmpty)]);
    }

    public void ApplyToRequest(Exchange x)
    {
        foreach (HeaderChanges level in _request) level.Apply(x.RequestHeaders, x, x.Scratch);
    }

    public void ApplyToResponse(Exchange x)
    {
        foreach (HeaderChanges level in _response) level.Apply(x.ResponseHeaders, x, x.Scratch);
    }
}
