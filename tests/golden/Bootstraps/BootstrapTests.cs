// Bootstraps as people have them, v3 and v2, good and bad, and what becomes of them: the record, printed, and every complaint.
// Files in cases/; NARU_GOLDEN=write rewrites what is compared, and the difference is for a person to read.
using System.Collections;
using System.Collections.Immutable;
using System.Globalization;
using System.Reflection;
using System.Text;
using Envoy.Config.Bootstrap.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Kit;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Reading;
using Xunit;

namespace Naru.GoldenTests.Bootstraps;

public sealed class BootstrapTests
{
    private static string Folder => Repository.At("tests", "golden", "Bootstraps", "cases");

    public static TheoryData<string> Cases => [.. Directory.EnumerateFiles(Folder).Select(f => Path.GetFileName(f)).Where(f => !f.EndsWith(".txt", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Cases))]
    public void A_bootstrap_becomes_what_its_golden_file_says(string name)
    {
        var found = new Diagnostics();
        BootstrapConfig? config = BootstrapReader.Read(File.ReadAllText(Path.Combine(Folder, name)), name, found);
        Assert.Equal(config is null, found.HasErrors);
        var text = new StringBuilder();
        foreach (Diagnostic diagnostic in found.Items.OrderBy(d => d.Place.Line).ThenBy(d => d.Place.Column)) text.Append(diagnostic).Append('\n');
        if (config is not null) Print(text, config, 0);
        string golden = Path.Combine(Folder, name + ".txt");
        if (Environment.GetEnvironmentVariable("NARU_GOLDEN") == "write") File.WriteAllText(golden, text.ToString());
        Assert.Equal(File.ReadAllText(golden), text.ToString());
    }

    [Theory]
    [InlineData("v3-front.yaml", true)]
    [InlineData("v3-all-fields.yaml", true)]
    [InlineData("v3-layer-4.yaml", true)]
    [InlineData("v3-google.yaml", true)]
    [InlineData("v2-google.yaml", true)]
    [InlineData("v2-front.yaml", true)]
    [InlineData("v2-filter-key.yaml", true)]
    [InlineData("v2-istio-1.0.json", true)]
    [InlineData("refused.yaml", false)]
    [InlineData("wrong.yaml", false)]
    [InlineData("mistyped.yaml", false)]
    public void Good_bootstraps_are_accepted_and_every_complaint_about_bad_ones_has_a_line(string name, bool good)
    {
        var found = new Diagnostics();
        BootstrapReader.Read(File.ReadAllText(Path.Combine(Folder, name)), name, found);
        Assert.Equal(good, !found.HasErrors);
        Assert.All(found.Items, d => Assert.True(d.Place.Line > 0, d.ToString()));
        Assert.All(found.Items.Where(d => d.Severity == Severity.Error), d => Assert.False(string.IsNullOrEmpty(d.Subject), d.ToString()));
    }

    [Theory]
    [InlineData("v3-front.yaml")]
    [InlineData("v3-layer-4.yaml")]
    [InlineData("v2-google.yaml")]
    [InlineData("v2-front.yaml")]
    [InlineData("v2-filter-key.yaml")]
    [InlineData("v2-istio-1.0.json")]
    public void What_protobuf_prints_of_a_bootstrap_is_read_back_as_the_same(string name)
    {
        BootstrapReader.Read(File.ReadAllText(Path.Combine(Folder, name)), name, new Diagnostics(), null, out Bootstrap message);
        string json = new JsonFormatter(JsonFormatter.Settings.Default.WithTypeRegistry(EnvoyTypes.Registry)).Format(message);
        var found = new Diagnostics();
        Assert.NotNull(BootstrapReader.Read(json, "printed.json", found, null, out Bootstrap again));
        Assert.Equal(message, again);
        Assert.DoesNotContain(found.Items, d => d.Code == "NARU-C120");
        Assert.Equal(message, new JsonParser(JsonParser.Settings.Default.WithTypeRegistry(EnvoyTypes.Registry)).Parse<Bootstrap>(json));
    }

    // Prints every property that is given and not empty, lists and records indented.
    private static void Print(StringBuilder text, object record, int depth)
    {
        string indent = new(' ', depth * 2);
        foreach (PropertyInfo property in record.GetType().GetProperties().Where(p => p.GetIndexParameters().Length == 0 && p.CanWrite && p.Name is not ("Frame" or "Digest")))
        {
            object? value = property.GetValue(record);
            if (Text(value) is { } simple)
            {
                if (simple.Length > 0) text.Append(indent).Append(property.Name).Append(": ").Append(simple).Append('\n');
                continue;
            }
            if (value is IEnumerable items)
            {
                object[] all = IsDefault(value) ? [] : [.. items.Cast<object>()];
                if (all.Length == 0) continue;
                if (all.All(i => Text(i) is not null))
                {
                    text.Append(indent).Append(property.Name).Append(": [").AppendJoin(", ", all.Select(Text)).Append("]\n");
                    continue;
                }
                text.Append(indent).Append(property.Name).Append(":\n");
                foreach (object item in all)
                {
                    (string key, object shown) = Member(item);
                    text.Append(indent).Append("- ").Append(key).Append(Text(shown) ?? shown.GetType().Name).Append('\n');
                    if (Text(shown) is null) Print(text, shown, depth + 1);
                }
                continue;
            }
            if (value is HeaderMutationsConfig { IsEmpty: true }) continue;
            text.Append(indent).Append(property.Name).Append(": ").Append(value!.GetType().Name).Append('\n');
            Print(text, value, depth + 1);
        }
    }

    // A member of a map by its name.
    private static (string Key, object Value) Member(object item) => item.GetType() is { IsGenericType: true } type && type.GetGenericTypeDefinition() == typeof(KeyValuePair<,>)
        ? ($"{type.GetProperty("Key")!.GetValue(item)}: ", type.GetProperty("Value")!.GetValue(item)!)
        : ("", item);

    private static bool IsDefault(object value) => value.GetType() is { IsGenericType: true } type && type.Name.StartsWith("ImmutableArray", StringComparison.Ordinal)
        && (bool)type.GetProperty("IsDefault")!.GetValue(value)!;

    private static string? Text(object? value) => value switch
    {
        null => "",
        string s => s.ReplaceLineEndings("\\n"),
        byte[] bytes => bytes.Length == 0 ? "" : $"{bytes.Length} bytes",
        TimeSpan time => time == Timeout.InfiniteTimeSpan ? "never" : time.TotalSeconds.ToString(CultureInfo.InvariantCulture) + "s",
        AddressConfig address => address.ToString(),
        DataSourceConfig source => source.ToString(),
        System.Net.IPNetwork network => network.ToString(),
        ImmutableArray<byte> bytes => bytes.IsDefaultOrEmpty ? "" : $"{bytes.Length} bytes",
        System.Text.RegularExpressions.Regex regex => regex.ToString(),
        System.Runtime.CompilerServices.ITuple tuple => string.Join(" -> ", Enumerable.Range(0, tuple.Length).Select(i => Text(tuple[i]))),
        KeyValuePair<string, string> pair => $"{pair.Key}={pair.Value}",
        KeyValuePair<string, DataSourceConfig> pair => $"{pair.Key}={pair.Value}",
        IFormattable simple when simple.GetType().IsPrimitive || simple is Enum => simple.ToString(null, CultureInfo.InvariantCulture),
        bool flag => flag ? "true" : "false",
        _ => null,
    };
}
