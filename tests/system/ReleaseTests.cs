// What ./release takes and refuses before it makes anything.
using Naru.Kit;
using Xunit;

namespace Naru.SystemTests;

public sealed class ReleaseTests
{
    [Theory]
    [InlineData(0, "naru 1.2.3 for linux-arm64 in", "--arch", "arm64", "--jit", "--dry-run", "1.2.3")]
    [InlineData(0, "naru 1.2.3-rc.1 for linux-x64 in", "--dry-run", "--jit", "1.2.3-rc.1", "--arch=x64")]
    [InlineData(0, "with the runtime inside (--jit)", "--jit", "--dry-run")]
    [InlineData(0, "--arch ARCH", "--help")]
    [InlineData(2, "no architecture \"mips\"", "--arch", "mips", "--dry-run")]
    [InlineData(2, "--arch wants x64 or arm64", "--dry-run", "--arch")]
    [InlineData(2, "one architecture at a time", "--arch", "x64", "--arch", "arm64", "--dry-run")]
    [InlineData(2, "\"1.2\" is no version", "--dry-run", "1.2")]
    [InlineData(2, "one version, not two", "--dry-run", "1.2.3", "1.2.4")]
    [InlineData(2, "no option --arc", "--arc", "x64", "--dry-run")]
    public async Task Options_are_read_before_anything_is_made(int code, string says, params string[] arguments)
    {
        ProcessResult result = await ChildProcess.RunAsync(Repository.At("release"), arguments);
        Assert.True(code == result.ExitCode, result.All);
        Assert.Contains(says, result.All);
    }

    [Fact]
    public async Task Without_a_cross_compiler_it_says_what_to_install_or_to_do_without()
    {
        using var folder = new TempFolder();
        // A machine of the other kind, on which nothing but the shell's own tools is.
        foreach (string tool in (string[])["bash", "dirname", "readlink", "sed", "env"])
            File.CreateSymbolicLink(folder.At(tool), Tools.Path(tool, tool));
        folder.Write("uname", "#!/bin/bash\necho x86_64\n");
        if (OperatingSystem.IsWindows()) throw new PlatformNotSupportedException();
        File.SetUnixFileMode(folder.At("uname"), UnixFileMode.UserRead | UnixFileMode.UserExecute);
        var path = new Dictionary<string, string?> { ["PATH"] = folder.Root };
        ProcessResult result = await ChildProcess.RunAsync(Repository.At("release"), ["--arch", "arm64", "--dry-run"], environment: path);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("aarch64-linux-gnu-gcc is missing", result.All);
        Assert.Contains("apt-get install gcc-aarch64-linux-gnu, or --jit", result.All);
        result = await ChildProcess.RunAsync(Repository.At("release"), ["--arch", "arm64", "--dry-run", "--jit"], environment: path);
        Assert.True(result.ExitCode == 0, result.All);
    }
}
