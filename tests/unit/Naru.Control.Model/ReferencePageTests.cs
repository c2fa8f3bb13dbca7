// docs/reference/istio.md says which of Istio's fields are honoured and what every complaint about configuration means. The field
// tables are written from our declarations (NARU_GOLDEN=write), the codes by hand; both are compared with the source.
using System.Text;
using System.Text.RegularExpressions;
using Google.Protobuf.Reflection;
using Istio.Networking.V1Alpha3;
using Istio.Security.V1Beta1;
using Naru.Control.Model;
using Naru.Kit;
using Xunit;

namespace Naru.UnitTests.Control;

public sealed partial class ReferencePageTests
{
    private const string Begin = "<!-- fields: written from the declarations -->", End = "<!-- end of fields -->";
    private static readonly string Page = Repository.At("docs", "reference", "istio.md");

    [Fact]
    public void The_reference_page_lists_the_fields_that_are_honoured()
    {
        string text = File.ReadAllText(Page);
        int from = text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length, to = text.IndexOf(End, StringComparison.Ordinal);
        string fields = Fields();
        if (Environment.GetEnvironmentVariable("NARU_GOLDEN") == "write") File.WriteAllText(Page, text[..from] + fields + text[to..]);
        Assert.Equal(fields, File.ReadAllText(Page)[from..].Split(End)[0]);
    }

    [Fact]
    public void Every_code_of_the_control_plane_is_explained()
    {
        string text = File.ReadAllText(Page);
        IEnumerable<string> used = Directory.EnumerateFiles(Repository.At("src", "controlplane"), "*.cs", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/obj/", StringComparison.Ordinal))
            .SelectMany(f => Code().Matches(File.ReadAllText(f)).Select(m => m.Value)).Distinct().Order(StringComparer.Ordinal);
        Assert.Equal(used, Code().Matches(text).Select(m => m.Value).Distinct().Order(StringComparer.Ordinal));
    }

    private static string Fields()
    {
        var text = new StringBuilder("\n");
        foreach (MessageDescriptor kind in (MessageDescriptor[])[Gateway.Descriptor, VirtualService.Descriptor, DestinationRule.Descriptor,
            ServiceEntry.Descriptor, AuthorizationPolicy.Descriptor, RequestAuthentication.Descriptor, PeerAuthentication.Descriptor])
        {
            text.Append($"\n### {kind.Name}\n\n| message | honoured | refused, not supported yet |\n| --- | --- | --- |\n");
            foreach (MessageDescriptor message in Reached(kind))
            {
                string honoured = string.Join(" ", message.Fields.InDeclarationOrder().Select(f => $"`{f.JsonName}`"));
                string later = NotYet.Fields.TryGetValue(message.Name, out string[]? names) ? string.Join(" ", names.Select(n => $"`{NotYet.Camel(n)}`")) : "";
                text.Append($"| {message.Name} | {honoured} | {later} |\n");
            }
        }
        return text.Append('\n').ToString();
    }

    private static List<MessageDescriptor> Reached(MessageDescriptor root)
    {
        var found = new List<MessageDescriptor>();
        Visit(root);
        return found;

        void Visit(MessageDescriptor message)
        {
            if (message.File.Package != root.File.Package || found.Contains(message)) return;
            found.Add(message);
            foreach (FieldDescriptor field in message.Fields.InDeclarationOrder())
            {
                FieldDescriptor value = field.IsMap ? field.MessageType.FindFieldByNumber(2) : field;
                if (value.FieldType == FieldType.Message) Visit(value.MessageType);
            }
        }
    }

    [GeneratedRegex(@"NARU-C2\d\d")]
    private static partial Regex Code();
}
