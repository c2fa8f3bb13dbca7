// Header changes of all levels of a route, flattened into the order in which they are made (Envoy: HTTP header manipulation:
// narrow to wide, unless most_specific_header_mutations_wins turns that around).
using System.Text;
using Naru.Proxy.Config;

namespace Naru.Proxy.Routing;

/// <summary>One addition, compiled.</summary>
/// <param name="Name">As it is written out.</param>
/// <param name="Lower">Lower case, for comparing.</param>
/// <param name="Value">Its value, still to be formatted.</param>
/// <param name="Action">How it is added.</param>
internal sealed record HeaderAddition(byte[] Name, byte[] Lower, HeaderValueFormat Value, HeaderAppendAction Action);

internal sealed class HeaderMutations
{
    private HeaderMutations(HeaderAddition[] requestAdd, byte[][] requestRemove, HeaderAddition[] responseAdd, byte[][] responseRemove)
    {
        RequestAdd = requestAdd;
        RequestRemove = requestRemove;
        ResponseAdd = responseAdd;
        ResponseRemove = responseRemove;
    }

    public HeaderAddition[] RequestAdd { get; }
    public byte[][] RequestRemove { get; }
    public HeaderAddition[] ResponseAdd { get; }
    public byte[][] ResponseRemove { get; }

    public static HeaderMutations? Of(bool mostSpecificWins, params HeaderMutationsConfig[] narrowToWide)
    {
        if (narrowToWide.All(l => l.IsEmpty)) return null;
        IEnumerable<HeaderMutationsConfig> order = mostSpecificWins ? narrowToWide.Reverse() : narrowToWide;
        return new HeaderMutations(
            [.. order.SelectMany(l => l.RequestAdd).Select(Compile)],
            [.. order.SelectMany(l => l.RequestRemove).Select(Lower)],
            [.. order.SelectMany(l => l.ResponseAdd).Select(Compile)],
            [.. order.SelectMany(l => l.ResponseRemove).Select(Lower)]);
    }

    private static HeaderAddition Compile(HeaderValueConfig config) =>
        new(Encoding.ASCII.GetBytes(config.Name), Lower(config.Name), new HeaderValueFormat(config.Value), config.Action);

    private static byte[] Lower(string name) => Encoding.ASCII.GetBytes(name.ToLowerInvariant());

    /// <summary>Whether a field of the original message is to be left out: removed, or replaced by an addition.</summary>
    public static bool Drops(byte[][] removed, HeaderAddition[] added, ReadOnlySpan<byte> name)
    {
        foreach (byte[] lower in removed) if (Ascii.EqualsIgnoreCase(name, lower)) return true;
        foreach (HeaderAddition addition in added)
        {
            if (addition.Action is HeaderAppendAction.OverwriteIfExistsOrAdd or HeaderAppendAction.OverwriteIfExists
                && Ascii.EqualsIgnoreCase(name, addition.Lower)) return true;
        }
        return false;
    }
}
