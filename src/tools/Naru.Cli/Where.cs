// Finds what a verb works on: the running mesh, its control plane, and our own executables. Says what to do where there is none.
using System.CommandLine;
using Naru.Inspect;

namespace Naru.Cli;

internal static class Where
{
    public static Option<string> MeshOption()
    {
        var option = new Option<string>("--mesh")
        {
            HelpName = "NAME",
            Description = "Name of the mesh on this machine ($NARU_MESH)",
            DefaultValueFactory = _ => Environment.GetEnvironmentVariable("NARU_MESH") is { Length: > 0 } name ? name : "default",
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !IsMeshName(token.Value)) result.AddError(NoMeshName(token.Value));
        });
        return option;
    }

    /// <summary>Whether a mesh may be called so: its folder and its hints have the name.</summary>
    public static bool IsMeshName(string name) =>
        name.Length is > 0 and <= 63 && char.IsAsciiLetterOrDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');

    /// <summary>What is said of another one.</summary>
    public static string NoMeshName(string name) => $"\"{name}\" is no name for a mesh; letters, digits, \"-\", \"_\" and \".\" make one, 63 at most";

    public static Option<string?> ServerOption()
    {
        var option = new Option<string?>("--server")
        {
            HelpName = "ADDRESS",
            Description = "A control plane's API (http://IP:PORT) in place of the mesh on this machine; needs --token-file",
        };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && Address(token.Value) is null)
                result.AddError($"--server: \"{token.Value}\" is no address; write http://IP:PORT");
        });
        return option;
    }

    public static Option<string?> TokenOption()
    {
        var option = new Option<string?>("--token-file") { HelpName = "FILE", Description = "File with the token for --server" };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [var token] && !File.Exists(token.Value)) result.AddError($"--token-file: there is no file {token.Value}");
        });
        return option;
    }

    private static string? Address(string server)
    {
        string address = server.Contains("://", StringComparison.Ordinal) ? server : $"http://{server}";
        return Uri.TryCreate(address, UriKind.Absolute, out Uri? uri) && uri.Scheme == "http" ? address : null;
    }

    public static MeshLocation Mesh(string name)
    {
        if (!IsMeshName(name)) throw new UnreachableException(NoMeshName(name));
        return MeshLocation.Find(name) ?? throw new UnreachableException(name == "default"
            ? "no mesh runs here; start one with `naru up PATH` or `naru demo`"
            : $"no mesh \"{name}\" runs here; start it with `naru up PATH --mesh {name}`");
    }

    public static ControlPlaneClient ControlPlane(string mesh, string? server, string? tokenFile)
    {
        if (server is not null) return new ControlPlaneClient(Address(server)!, tokenFile ?? "");
        MeshLocation location = Mesh(mesh);
        return new ControlPlaneClient(location.ControlPlane, location.TokenFile);
    }

    /// <summary>The folder of the sample Bookinfo: of this checkout, or installed beside this program; null where there is none.</summary>
    public static string? Sample()
    {
        foreach (string? start in new[] { Environment.GetEnvironmentVariable("NARU_ROOT"), AppContext.BaseDirectory,
            Environment.CurrentDirectory })
        {
            for (string? folder = start; !string.IsNullOrEmpty(folder); folder = Path.GetDirectoryName(folder))
            {
                string sample = Path.Combine(folder, "samples", "bookinfo");
                if (File.Exists(Path.Combine(sample, "kustomization.yaml"))) return sample;
            }
        }
        return null;
    }

    /// <summary>How to start this program again: the runtime and the assembly, or the executable.</summary>
    public static IReadOnlyList<string> Self(params string[] arguments)
    {
        string host = Environment.ProcessPath ?? "dotnet";
        return Path.GetFileNameWithoutExtension(host) == "dotnet" ? [host, Path.Combine(AppContext.BaseDirectory, "naru.dll"), .. arguments] : [host, .. arguments];
    }

    /// <summary>The data plane: <c>NARU_PROXY</c>, beside this program, or the newest build of this checkout.</summary>
    public static IReadOnlyList<string> Proxy()
    {
        if (Environment.GetEnvironmentVariable("NARU_PROXY") is { Length: > 0 } given)
        {
            return File.Exists(given) ? Runnable(given) : throw new FileNotFoundException($"NARU_PROXY names {given}, and there is no such file");
        }
        string beside = Path.Combine(AppContext.BaseDirectory, "naru-proxy");
        if (File.Exists(beside)) return [beside];
        for (string? folder = AppContext.BaseDirectory; folder is not null; folder = Path.GetDirectoryName(folder))
        {
            if (!File.Exists(Path.Combine(folder, "Naru.slnx"))) continue;
            string bin = Path.Combine(folder, "src", "dataplane", "Naru.Proxy.Host", "bin");
            string[] candidates = [Path.Combine(folder, "artifacts", "naru-proxy", "naru-proxy"), .. Directory.Exists(bin) ? Directory.GetFiles(bin, "naru-proxy.dll", SearchOption.AllDirectories).Where(f => !f.Contains("/ref/")) : []];
            string? newest = candidates.Where(File.Exists).MaxBy(File.GetLastWriteTimeUtc);
            if (newest is not null) return Runnable(newest);
        }
        throw new FileNotFoundException("naru-proxy is not there; start naru by the launcher ./naru, which builds it, or set NARU_PROXY");
    }

    private static IReadOnlyList<string> Runnable(string file) => file.EndsWith(".dll", StringComparison.Ordinal) ? ["dotnet", file] : [Path.GetFullPath(file)];
}
