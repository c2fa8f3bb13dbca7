// One running service of the sample: the real executable on a free port, found by the line it prints.
using Naru.Kit;

namespace Naru.SystemTests.Bookinfo;

internal sealed class BookinfoProcess : IAsyncDisposable
{
    private const string Marker = "listens on ";

    private BookinfoProcess(ChildProcess process, Uri address)
    {
        Process = process;
        Address = address;
        Http = new HttpClient(new SocketsHttpHandler { UseProxy = false, UseCookies = false, AllowAutoRedirect = false }) { BaseAddress = address };
    }

    public ChildProcess Process { get; }

    public Uri Address { get; }

    public HttpClient Http { get; }

    public static async Task<BookinfoProcess> StartAsync(string arguments, params (string Name, Uri Address)[] peers)
    {
        ChildProcess process = Start(arguments, peers);
        try
        {
            string line = await process.LineAsync(Marker);
            return new BookinfoProcess(process, new Uri(line[(line.IndexOf(Marker, StringComparison.Ordinal) + Marker.Length)..]));
        }
        catch
        {
            await process.DisposeAsync();
            throw;
        }
    }

    public static async Task<ProcessResult> RunAsync(string arguments)
    {
        await using ChildProcess process = Start(arguments, []);
        return await process.ExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await Process.DisposeAsync();
    }

    private static ChildProcess Start(string arguments, (string Name, Uri Address)[] peers)
    {
        var environment = new Dictionary<string, string?> { ["PORT"] = "0", ["POD_NAME"] = null };
        foreach ((string name, Uri address) in peers)
        {
            environment[$"{name}_SERVICE_HOST"] = address.Host;
            environment[$"{name}_SERVICE_PORT"] = $"{address.Port}";
        }
        return ChildProcess.Start("dotnet", [Path.Combine(AppContext.BaseDirectory, "bookinfo.dll"), .. arguments.Split(' ')],
            environment: environment);
    }
}
