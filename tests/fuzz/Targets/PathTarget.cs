// Normalized paths: policy, routes and upstreams must all see one spelling, so normalizing twice changes nothing more.
using Naru.FuzzTests.Engine;
using Naru.Proxy.Routing;

namespace Naru.FuzzTests.Targets;

/// <summary>A first byte that chooses what is normalized, then a path as a request line may hold it.</summary>
internal sealed class PathTarget : FuzzTarget
{
    public override string Name => "path";

    public override int MaxLength => 300;

    public override IEnumerable<byte[]> Seeds => [.. new[] { "/", "/admin/x", "/a/./b/../c", "/%2e%2e/%2E/a%2fb", "//a//b\\..\\c", "/a;x=y/..;/b", "/%c0%ae/%25%32%65" }.Select(p => Bytes("\u0003" + p))];

    public override IReadOnlyList<byte[]> Words { get; } =
        [.. new[] { "/", "//", "/.", "/..", "/./", "/../", "%2e", "%2E", "%2f", "%5c", "\\", "%00", "%", "%2", "%zz", "%25", "%7e", ";", "admin", "~", "*" }.Select(Bytes)];

    public override int Run(byte[] input)
    {
        if (input.Length == 0) return 0;
        bool normalize = (input[0] & 1) != 0;
        bool merge = (input[0] & 2) != 0;
        byte[] path = [(byte)'/', .. input.AsSpan(1).ToArray().Where(b => b is > 0x20 and < 0x7f and not (byte)'?' and not (byte)'#')];
        byte[]? made = PathRewrite.Normalize(path, normalize, merge, out bool valid);
        if (!valid)
        {
            Law(made is null && normalize, "a path that is refused is not rewritten");
            return 1;
        }
        string result = Text(made ?? path);
        Law(result.StartsWith('/') && result.All(c => c is > ' ' and < (char)127), "a path stays a path");
        if (merge) Law(!result.Contains("//", StringComparison.Ordinal), "no slashes are left to merge");
        if (normalize)
        {
            Law(!result.Split('/').Any(s => s is "." or ".."), "no dot segment is left");
            Law(!result.Contains('\\'), "no backslash is left");
            Law(!result.Contains("%2e", StringComparison.OrdinalIgnoreCase) && !result.Contains("%41", StringComparison.OrdinalIgnoreCase), "what needs no escape has none");
        }
        byte[]? again = PathRewrite.Normalize(Bytes(result), normalize, merge, out valid);
        Law(valid, "a normalized path is not refused");
        Same(result, Text(again ?? Bytes(result)), "normalizing twice changes nothing more");
        return HashCode.Combine(made is null, result.AsSpan().Count('/'), result.AsSpan().Count('%'), normalize, merge);
    }
}
