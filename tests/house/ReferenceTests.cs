// Who may reference whom: ARCHITECTURE.md says it, project files do it, and the two are compared here.
using System.Xml.Linq;
using Naru.Kit;
using Xunit;

namespace Naru.HouseTests;

public sealed class ReferenceTests
{
    private static readonly Dictionary<string, string[]> s_allowed = House.Table("ARCHITECTURE.md", "Who may reference whom")
        .ToDictionary(row => row[0], row => row[1].Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));

    public static TheoryData<string> Sources => [.. House.Projects.Where(p => p.Path.StartsWith("src/", StringComparison.Ordinal)).Select(p => p.Name)];

    [Theory]
    [MemberData(nameof(Sources))]
    public void A_project_references_only_what_the_table_allows(string name)
    {
        Assert.True(s_allowed.TryGetValue(name, out string[]? allowed), $"{name} has no row in ARCHITECTURE.md, \"Who may reference whom\"");
        Project project = House.Projects.Single(p => p.Name == name);
        Assert.Empty(project.References.Except(allowed));
    }

    [Fact]
    public void The_table_names_no_project_that_is_not_there()
    {
        string[] there = [.. House.Projects.Select(p => p.Name)];
        Assert.Empty(s_allowed.Keys.Concat(s_allowed.Values.SelectMany(v => v)).Except(there));
    }

    [Fact]
    public void The_planes_never_reference_each_other_and_foundation_knows_nobody_above_it()
    {
        string Home(string name) => House.Projects.Single(p => p.Name == name).Path.Split('/')[1];
        foreach (Project project in House.Projects.Where(p => p.Path.StartsWith("src/", StringComparison.Ordinal)))
        {
            string home = Home(project.Name);
            foreach (string reference in project.References)
            {
                string other = Home(reference);
                bool forbidden = (home, other) is ("dataplane", "controlplane" or "tools") or ("controlplane", "dataplane" or "tools") or ("foundation", not "foundation");
                Assert.False(forbidden, $"{project.Name} ({home}) references {reference} ({other})");
            }
        }
    }

    [Fact]
    public void Only_a_host_sees_the_engine_and_its_sources_together()
    {
        Assert.DoesNotContain(House.Projects, p => p.Path.StartsWith("src/", StringComparison.Ordinal) && !p.Name.EndsWith(".Host", StringComparison.Ordinal)
            && p.References.Contains("Naru.Proxy") && p.References.Contains("Naru.Proxy.Xds"));
        Assert.DoesNotContain("Naru.Api", House.Projects.Single(p => p.Name == "Naru.Proxy").References);
    }

    // Below all stops of the path lies what knows none of them; what was written (records) it may read.
    [Fact]
    public void Io_knows_nobody_above_it()
    {
        const string Folder = "src/dataplane/Naru.Proxy/";
        string[] others = [.. House.Files.Where(f => f.StartsWith(Folder, StringComparison.Ordinal))
            .Select(f => f[Folder.Length..].Split('/'))
            .Where(parts => parts.Length > 1 && parts[0] != "Io").Select(parts => parts[0]).Distinct()];
        Assert.Contains("Tls", others);
        foreach (string file in House.Files.Where(f => f.StartsWith(Folder + "Io/", StringComparison.Ordinal)))
        {
            string text = House.Read(file);
            foreach (string other in others)
            {
                Assert.False(text.Contains($"using Naru.Proxy.{other}", StringComparison.Ordinal), $"{file} uses Naru.Proxy.{other}");
                // As a name that begins here: Naru.Proxy.X.Y, Proxy.X.Y or X.Y.
                Assert.False(System.Text.RegularExpressions.Regex.IsMatch(text, $@"(?<![\w.])(Naru\.)?(Proxy\.)?{other}\.[A-Z]\w*"),
                    $"{file} names something of {other}");
            }
        }
    }

    [Fact]
    public void Every_project_is_in_the_solution_and_the_solution_names_no_other()
    {
        string[] listed = [.. XDocument.Load(Repository.At("Naru.slnx")).Descendants("Project").Select(p => p.Attribute("Path")!.Value).Order(StringComparer.Ordinal)];
        Assert.Equal(House.Projects.Select(p => p.Path).Order(StringComparer.Ordinal), listed);
    }

    [Fact]
    public void Package_versions_are_pinned_in_one_place_and_explained()
    {
        Dictionary<string, string> versions = XDocument.Load(Repository.At("Directory.Packages.props")).Descendants("PackageVersion")
            .ToDictionary(p => p.Attribute("Include")!.Value, p => p.Attribute("Version")!.Value);
        string page = House.Read("docs/decisions/0006-packages.md");
        Assert.All(versions, v =>
        {
            Assert.Matches(@"^\d+\.\d+\.\d+(\.\d+)?$", v.Value);
            Assert.Contains($"| {v.Key} |", page);
        });
        Assert.All(House.Projects, p => Assert.Empty(p.Packages.Except(versions.Keys)));
        Assert.All(House.Projects, p => Assert.DoesNotContain("VersionOverride", House.Read(p.Path)));
        Assert.Empty(versions.Keys.Except(House.Projects.SelectMany(p => p.Packages)));
    }
}
