// Programs of others that tests use as real peers: found on this machine, never fetched by a test.
// `./test` installs what is missing; a test that needs an absent tool fails with its name.
namespace Naru.Kit;

/// <summary>Programs on the PATH.</summary>
public static class Tools
{
    /// <summary>Full path of a program.</summary>
    /// <exception cref="FileNotFoundException">It is not installed; the message names the Debian package.</exception>
    public static string Path(string name, string package) =>
        Find(name) ?? throw new FileNotFoundException($"{name} is not installed (Debian package {package}); ./test installs it");

    /// <summary>Full path of a program, or null.</summary>
    public static string? Find(string name)
    {
        string folders = (Environment.GetEnvironmentVariable("PATH") ?? "") + ":/usr/sbin:/usr/local/sbin";
        return folders.Split(':').Where(f => f.Length > 0).Select(f => System.IO.Path.Combine(f, name)).FirstOrDefault(File.Exists);
    }
}
