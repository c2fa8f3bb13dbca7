// The table of honoured fields is whole and is what the reference page says.
using System.Text;
using Google.Protobuf.Reflection;
using Naru.Kit;
using Naru.Proxy.Config.Reading;
using Xunit;

namespace Naru.GoldenTests.Bootstraps;

public sealed class TableTests
{
    private const string Marker = "<!-- generated below this line: NARU_GOLDEN=write ./test Table -->\n";

    public static TheoryData<string> Messages => [.. HonouredFields.Messages];

    [Theory]
    [MemberData(nameof(Messages))]
    public void Every_row_names_a_field_and_every_honoured_message_has_rows(string name)
    {
        MessageDescriptor? type = EnvoyTypes.Registry.Find(name);
        Assert.NotNull(type);
        Assert.Same(type, EnvoyTypes.Find(name));
        foreach (FieldRule rule in HonouredFields.Of(name))
        {
            FieldDescriptor? field = type.FindFieldByName(rule.Field);
            Assert.True(field is not null, $"{name} has no {rule.Field}");
            if (rule.Treatment != FieldTreatment.Honoured)
            {
                Assert.NotEmpty(rule.Reason);
                continue;
            }
            if (field.FieldType != FieldType.Message || field.IsMap || field.MessageType.File.Package == "google.protobuf") continue;
            Assert.True(HonouredFields.Knows(field.MessageType), $"{field.FullName} is honoured, but {field.MessageType.FullName} has no rows");
        }
    }

    [Fact]
    public void The_reference_page_says_what_the_table_says()
    {
        string path = Repository.At("docs", "reference", "configuration.md");
        string page = File.ReadAllText(path);
        int marker = page.IndexOf(Marker, StringComparison.Ordinal);
        Assert.True(marker > 0, "the marker is gone");
        string generated = Generate();
        if (Environment.GetEnvironmentVariable("NARU_GOLDEN") == "write") File.WriteAllText(path, page[..(marker + Marker.Length)] + generated);
        Assert.Equal(generated, File.ReadAllText(path)[(marker + Marker.Length)..]);
    }

    private static string Generate()
    {
        var text = new StringBuilder();
        foreach (string name in HonouredFields.Messages)
        {
            MessageDescriptor type = EnvoyTypes.Registry.Find(name)!;
            IReadOnlyCollection<FieldRule> rules = HonouredFields.Of(name);
            text.Append("\n### ").Append(name).Append("\n\n");
            Line(text, "Honoured", rules.Where(r => r.Treatment == FieldTreatment.Honoured).Select(r => r.Field));
            foreach (FieldRule rule in rules.Where(r => r.Treatment == FieldTreatment.WithoutEffect)) text.Append("- `").Append(rule.Field).Append("` has no effect: ").Append(rule.Reason).Append(".\n");
            foreach (FieldRule rule in rules.Where(r => r.Treatment == FieldTreatment.Refused)) text.Append("- `").Append(rule.Field).Append("` is refused: ").Append(rule.Reason).Append(".\n");
            Line(text, "Refused", type.Fields.InFieldNumberOrder().Select(f => f.Name).Except(rules.Select(r => r.Field)));
            if (type.Fields.InFieldNumberOrder().Count == 0) text.Append("It has no fields.\n");
        }
        return text.ToString();
    }

    private static void Line(StringBuilder text, string word, IEnumerable<string> fields)
    {
        string[] all = [.. fields];
        if (all.Length > 0) text.Append("- ").Append(word).Append(": ").AppendJoin(", ", all.Select(f => $"`{f}`")).Append(".\n");
    }
}
