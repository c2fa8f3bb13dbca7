// One running service of the sample: the real executable on a free port, and its end.
using System.Diagnostics;
using System.Runtime.InteropServices;
using Xunit;

namespace Bookinfo.Tests;

internal sealed partial class BookinfoProcess : IAsyncDisposable
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(60);
    private readonly Process process;

    private BookinfoProcess(Process process, Uri address)
    {
        this.process = process;
        Address = address;
        Http = new HttpClient(new SocketsHttpHandler { UseProxy = false, UseCookies = false, AllowAutoRedirect = false }) { BaseAddress = address };
    }

    public Uri Address { get; }

    public HttpClient Http { get; }

    public static async Task<BookinfoProcess> StartAsync(string arguments, params (string Name, Uri Address)[] peers)
    {
        Process process = Start(arguments, peers);
        using var bound = new CancellationTokenSource(Bound);
        string? line = await process.StandardOutput.ReadLineAsync(bound.Token);
        if (line is null || !line.Contains("listens on ", StringComparison.Ordinal))
            throw new InvalidOperationException($"{arguments}: {line} {await process.StandardError.ReadToEndAsync(bound.Token)}");
        // A pipe nobody reads would stop the process once it is full.
        _ = process.StandardOutput.BaseStream.CopyToAsync(Stream.Null, CancellationToken.None);
        _ = process.StandardError.BaseStream.CopyToAsync(Stream.Null, CancellationToken.None);
        return new BookinfoProcess(process, new Uri(line[(line.IndexOf("listens on ", StringComparison.Ordinal) + 11)..]));
    }

    public static async Task<(int ExitCode, string Error)> RunAsync(string arguments)
    {
        using Process process = Start(arguments, []);
        using var bound = new CancellationTokenSource(Bound);
        string error = await process.StandardError.ReadToEndAsync(bound.Token);
        await process.WaitForExitAsync(bound.Token);
        return (process.ExitCode, error);
    }

    /// <summary>SIGTERM.</summary>
    public void Terminate() => Assert.Equal(0, Kill(process.Id, 15));

    public async Task<int> ExitCodeAsync()
    {
        using var bound = new CancellationTokenSource(Bound);
        await process.WaitForExitAsync(bound.Token);
        return process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (!process.HasExited)
            process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
    }

    private static Process Start(string arguments, (string Name, Uri Address)[] peers)
    {
        string dll = Path.Combine(AppContext.BaseDirectory, "bookinfo.dll");
        var start = new ProcessStartInfo("dotnet", $"\"{dll}\" {arguments}") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["PORT"] = "0";
        foreach ((string name, Uri address) in peers)
        {
            start.Environment[$"{name}_SERVICE_HOST"] = address.Host;
            start.Environment[$"{name}_SERVICE_PORT"] = $"{address.Port}";
        }
        return Process.Start(start)!;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int pid, int signal);
}
