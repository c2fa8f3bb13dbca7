// Our own programs as tests start them: the newest build below a project's folder. Nothing is built here.
namespace Naru.Kit;

/// <summary>Executables built from this repository.</summary>
public static class Programs
{
    /// <summary>The newest build of an executable.</summary>
    /// <param name="name">Its file name, for example <c>naru</c>.</param>
    /// <param name="project">Folder of its project, in parts.</param>
    /// <exception cref="FileNotFoundException">It was not built; the message names the project.</exception>
    public static string Newest(string name, params string[] project)
    {
        string bin = Path.Combine(Repository.At(project), "bin");
        string? newest = !Directory.Exists(bin) ? null : Directory.EnumerateFiles(bin, name + ".dll", SearchOption.AllDirectories)
            .Where(f => !f.Contains("/ref/", StringComparison.Ordinal) && File.Exists(f[..^4]))
            .OrderByDescending(File.GetLastWriteTimeUtc).Select(f => f[..^4]).FirstOrDefault();
        return newest ?? throw new FileNotFoundException($"no {name} below {bin}: build {string.Join('/', project)} first");
    }

    /// <summary>The <c>naru</c> command line.</summary>
    public static string Naru() => Newest("naru", "src", "tools", "Naru.Cli");
}
