// What the control plane accepts, every proxy takes: a value that only the proxy refuses would take the rules of everybody else in
// the same resource with it. Every value of the rules under cases/ is replaced by every odd one below, one at a time.
using System.Collections.Immutable;
using System.Reflection;
using System.Text.RegularExpressions;
using Naru.Control.Model;
using Naru.Control.Registries;
using Naru.Control.Sources;
using Naru.Control.Translation;
using Xunit;

namespace Naru.GoldenTests;

public sealed partial class AgreementTests
{
    // How many of all replacements one run tries, and which; NARU_AGREEMENT=all tries all of them.
    private const int Stride = 11;

    private static readonly string s_folder = typeof(AgreementTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().First(a => a.Key == "CasesFolder").Value!;

    private static readonly string[] s_odd =
    [
        "-1", "0", "1", "199", "600", "65535", "65536", "2147483647", "4294967295", "99999999999999999999", "1.5", "true", "null", "[]", "{}",
        "\"\"", "\" \"", "\"*\"", "\"a b\"", "\"é\"", "\"a\\0b\"", "\"a\\r\\nX: y\"", "\"a,b\"", "\"a|b\"", "\"a~b\"",
        "\"(\"", "\"a{1001}\"", "\"(?=x)\"", "\"(a*)*b\"", "'\\1'", "'\\9'", "'[[:x:]]'",
        "/", "//", "\"/%zz\"", "\"/a?b#c\"", "\"http://x/y\"", "0s", "1ns", "0.0001s", "24h", "315576000000s", "87600h", "-1s",
        "\":path\"", "\":authority\"", "Host", "connection", "transfer-encoding", "content-length", "\"x:y\"", "x-envoy-max-retries", "x_y",
        "\"*.com\"", "\"*.\"", "\".com\"", "\"a.*.b\"", "\"a..b\"", "\"1.2.3.4\"", "\"::1\"", "\"[::1]:80\"", "\"a:80\"", "unix:///tmp/x", "\"10.0.0.0/8\"",
        "\"%REQ(\"", "\"%\"", "\"%START_TIME%\"", "\"100%\"", "'\"'", "'\\'",
        $"\"{new string('a', 300)}\"", $"\"{new string('a', 20_000)}\"",
    ];

    private static readonly string[] s_oddOfPolicies =
    [
        "\"/{*}\"", "\"/{**}/{*}\"", "\"/{**}/a\"", "\"/{*}/\"", "\"{*}\"", "\"/{*}//a\"", "\"/{*}/é\"", "\"/a{*}\"", "\"**\"", "\"*a*\"", "\"a*\"", "\"*(\"",
        "\"1.2\"", "\"010.0.0.1\"", "\"10.0.0.1/+8\"", "\"10.0.0.1/ 8\"", "\"fe80::1%1\"", "\"[::1]\"", "\"::ffff:10.0.0.1/100\"", "\"0.0.0.0/0\"",
        "\"request.headers[:a]\"", "\"request.headers[]\"", "\"request.headers[a b]\"", "\"request.headers[a][b]\"", "\"request.auth.claims[]\"",
        "\"request.auth.claims[a]]\"", "\"request.auth.claims[a][b][c]\"", "request.auth.claims", "source.ip", "destination.port", "source.serviceAccount",
        "te", "\"a=b\"", "\"a;b\"", "\"a.b\"", "DENY", "CUSTOM", "AUDIT", "by-http", "nobody",
        "'{\"keys\":[]}'", "'{\"keys\":[{}]}'", "'{\"keys\":[1,null,[]]}'", "'{\"keys\":[{\"kty\":\"oct\",\"k\":\"YQ\"}]}'", "'{\"keys\":{}}'", "'[{\"kty\":\"RSA\"}]'",
        "'{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}'", "'{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"AQAB\"}]}'",
        $"'{Ed("\"kty\":\"OKP\"")}'", $"'{Ed("\"kty\":\"OKP\",\"use\":\"enc\"")}'", $"'{Ed("\"kty\":\"OKP\",\"alg\":\"RS256\"")}'",
        $"'{Ed("\"kty\":\"OKP\",\"kty\":\"OKP\"")}'", $"'{Ed("\"kty\":\"OKP\",\"d\":\"AQAB\"")}'", $"'{Ed("\"kty\":\"OKP\"")},'",
        $"'{Ed("\"kty\":\"OKP\"").Replace("{\"keys\"", "{\"keys\":1,\"keys\"", StringComparison.Ordinal)}'",
        // Not on the curve; with padding; with bits behind the last byte.
        "'{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyN\"}]}'",
        "'{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"y\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"}]}'",
        "'{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"}]}'",
    ];

    private static string Ed(string said) =>
        $"{{\"keys\":[{{{said},\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}}]}}";

    [Fact]
    public void What_the_control_plane_accepts_every_proxy_takes()
    {
        ImmutableSortedDictionary<ObjectKey, ConfigObject> mesh = Objects(Texts("mesh"));
        string[] nodes = ["sidecar", "gateway", "intercepted", "ours", "edge", "grpc"];
        bool all = Environment.GetEnvironmentVariable("NARU_AGREEMENT") == "all";
        var faults = new List<string>();
        int tried = 0, accepted = 0, at = 0;
        foreach (string @case in new[] { "mesh", "everything", "traffic", "service-entries", "gateway", "all-v1", "security" })
        {
            string text = string.Join("\n---\n", Texts(@case));
            foreach (Match value in Value().Matches(text))
            {
                foreach (string odd in @case == "security" ? s_odd.Concat(s_oddOfPolicies) : s_odd)
                {
                    if (at++ % (@case == "security" ? 2 * Stride + 1 : Stride) != 0 && !all) continue;
                    tried++;
                    // What is taken although proxies of ours have no certificates is not sent to them, or does them no harm.
                    bool unenforced = @case == "security" && (all || tried % 2 == 0);
                    Group old = value.Groups[1].Success ? value.Groups[1] : value.Groups[2];
                    Manifest manifest = ManifestReader.Read(string.Concat(text.AsSpan(0, old.Index), odd,
                        text.AsSpan(old.Index + old.Length)), "odd.yaml",
                        unenforced: unenforced);
                    int line = text.AsSpan(0, old.Index).Count('\n') + 1;
                    string name = $"{@case}:{line} {value.Value.Trim()} -> {(odd.Length > 60 ? odd[..60] : odd)}";
                    ImmutableSortedDictionary<ObjectKey, ConfigObject> objects = mesh.SetItems(Usable(manifest).Select(o => KeyValuePair.Create(o.Key, o)));
                    try
                    {
                        Snapshot snapshot = Registry.Build(new ConfigState { Objects = objects }, Snapshot.Empty);
                        accepted++;
                        foreach (string node in unenforced ? ["sidecar", "ours", "edge"]
                            : nodes) faults.AddRange(Refused(Translator.Translate(snapshot, TranslationTests.Node(node)), name));
                    }
                    catch (Exception e) when (e is not OutOfMemoryException)
                    {
                        faults.Add($"{name}: {e.GetType().Name} {e.Message} {e.StackTrace?.Split('\n')[0].Trim()}");
                    }
                }
            }
        }
        Assert.InRange(tried, 300, int.MaxValue);
        Assert.True(faults.Count == 0, $"{faults.Count} of {accepted}:\n{string.Join("\n", faults.Distinct().Take(50))}");
    }

    internal static IEnumerable<string> Refused(ResourceSet made, string name)
    {
        foreach (Resource resource in TypeUrls.PushOrder.SelectMany(t => made.Of(t).InOrder))
        {
            // Of gRPC clients: proxies take none.
            if (resource.Message is Envoy.Config.Listener.V3.Listener { ApiListener: not null }) continue;
            var diagnostics = new Naru.Core.Diagnostics();
            object? record = Naru.Proxy.Config.ResourceReader.Read(resource.Message.Descriptor.Parser.ParseFrom(resource.Packed.Value), diagnostics);
            if (record is not null && !diagnostics.Items.Any(d => d.Severity == Naru.Core.Severity.Error)) continue;
            yield return $"{name}: {resource.Message.Descriptor.Name}: {string.Join("; ", diagnostics.Items.Select(d => d.Message))}";
        }
    }

    private static IEnumerable<ConfigObject> Usable(Manifest manifest) => manifest.Items.Select(i => i.Object).OfType<ConfigObject>();

    private static string[] Texts(string folder) => [.. Directory.EnumerateFiles(Path.Combine(s_folder, folder), "*.yaml").Order(StringComparer.Ordinal).Select(File.ReadAllText)];

    private static ImmutableSortedDictionary<ObjectKey, ConfigObject> Objects(string[] texts) =>
        texts.SelectMany(t => Usable(ManifestReader.Read(t, "mesh.yaml"))).ToImmutableSortedDictionary(o => o.Key, o => o);

    // The scalars behind "key: " in block and flow style, the first elements of flow lists, and the names of headers.
    [GeneratedRegex(@"(?:[A-Za-z]+: |- |\[)(""[^""]*""|'[^']*'|[^\s\[\]{},:""'][^\[\]{},\n]*?)(?=[\],}\n])|(?<=[ {])(x-[a-z]+|Host|v|debug|version|zone)(?=: )")]
    private static partial Regex Value();
}
