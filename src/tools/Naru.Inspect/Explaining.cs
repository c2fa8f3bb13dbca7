// Asks a proxy what would become of a request: a running one through its admin page /explain, or one that was started for it on a file and reads
// requests from its standard input. The answer is the proxy's own; nothing of it is made here.
using System.Diagnostics;
using System.Net;
using System.Text;
using System.Text.Json;

namespace Naru.Inspect;

/// <summary>What a proxy said.</summary>
/// <param name="Text">Lines for people; null where JSON was asked for.</param>
/// <param name="Json">The explanation; null where text was asked for.</param>
/// <param name="Fault">Why there is none, in a sentence.</param>
/// <param name="IsUsage">The request itself is at fault.</param>
public sealed record ExplainAnswer(string? Text, JsonElement? Json, string? Fault = null, bool IsUsage = false);

/// <summary>A proxy that explains.</summary>
public abstract class Explaining : IAsyncDisposable
{
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(10);

    /// <summary>Asks about one request; one call at a time.</summary>
    /// <param name="request">Fields of docs/reference/explain.md.</param>
    /// <param name="format">text or json.</param>
    /// <param name="cancel">Gives up.</param>
    public abstract Task<ExplainAnswer> AskAsync(IReadOnlyDictionary<string, object> request, string format, CancellationToken cancel);

    /// <summary>Ends asking: what the proxy complained about while it read its configuration, a line each; none of a running one.</summary>
    public virtual Task<IReadOnlyList<string>> EndAsync() => Task.FromResult<IReadOnlyList<string>>([]);

    /// <inheritdoc/>
    public virtual ValueTask DisposeAsync() => default;

    /// <summary>A running proxy.</summary>
    /// <param name="address">Its admin's, <c>ip:port</c>.</param>
    /// <param name="who">For complaints.</param>
    public sealed class Running(string address, string who) : Explaining
    {
        private readonly HttpClient _http = Door.Http($"http://{address}/", s_bound);

        /// <inheritdoc/>
        public override async Task<ExplainAnswer> AskAsync(IReadOnlyDictionary<string, object> request, string format, CancellationToken cancel)
        {
            try
            {
                using var body = new StringContent(JsonSerializer.Serialize(request), Encoding.UTF8, "application/json");
                using HttpResponseMessage answer = await _http.PostAsync($"explain?format={format}", body, cancel).ConfigureAwait(false);
                string text = await answer.Content.ReadAsStringAsync(cancel).ConfigureAwait(false);
                if (answer.IsSuccessStatusCode) return format == "json" ? new ExplainAnswer(null, JsonDocument.Parse(text).RootElement) : new ExplainAnswer(text, null);
                // Who has no such page says so in many lines.
                if (answer.StatusCode == HttpStatusCode.NotFound && text.StartsWith("There is no admin command", StringComparison.Ordinal))
                    return new ExplainAnswer(null, null, $"{who} is an older one, which explains nothing; start it anew");
                return new ExplainAnswer(null, null, text.Split('\n')[0], answer.StatusCode == HttpStatusCode.BadRequest);
            }
            catch (Exception e) when (!cancel.IsCancellationRequested && e is HttpRequestException or TaskCanceledException or IOException or JsonException)
            {
                throw new UnreachableException($"{who} does not answer at {address}: {(e is JsonException ? "what came is no explanation" : Door.Cause(e))}", e);
            }
        }

        /// <inheritdoc/>
        public override ValueTask DisposeAsync()
        {
            _http.Dispose();
            return default;
        }
    }

    /// <summary>A proxy that is started for it.</summary>
    /// <param name="command">Program and arguments.</param>
    public sealed class Started(IReadOnlyList<string> command) : Explaining
    {
        private readonly StringBuilder _complaints = new();
        private Process? _process;

        /// <inheritdoc/>
        public override async Task<ExplainAnswer> AskAsync(IReadOnlyDictionary<string, object> request, string format, CancellationToken cancel)
        {
            Process process = _process ??= Start();
            string? line = null;
            try
            {
                await process.StandardInput.WriteLineAsync(JsonSerializer.Serialize(request).AsMemory(), cancel).ConfigureAwait(false);
                await process.StandardInput.FlushAsync(cancel).ConfigureAwait(false);
                line = await process.StandardOutput.ReadLineAsync(cancel).AsTask().WaitAsync(TimeSpan.FromSeconds(60), cancel).ConfigureAwait(false);
            }
            catch (IOException)
            {
                // It has ended; what it said stands below.
            }
            if (line is null)
            {
                await process.WaitForExitAsync(cancel).ConfigureAwait(false);
                process.WaitForExit();
                lock (_complaints) return new ExplainAnswer(null, null, _complaints.Length > 0 ? _complaints.ToString().TrimEnd() : $"naru-proxy ended with exit code {process.ExitCode} and said nothing");
            }
            JsonElement root = JsonDocument.Parse(line).RootElement;
            if (root.TryGetProperty("fault", out JsonElement fault)) return new ExplainAnswer(null, null, fault.GetString(), IsUsage: true);
            return format == "json" ? new ExplainAnswer(null, root.GetProperty("explanation")) : new ExplainAnswer(root.GetProperty("text").GetString(), null);
        }

        /// <inheritdoc/>
        /// <remarks>All that it said has come when it has ended with its input.</remarks>
        public override async Task<IReadOnlyList<string>> EndAsync()
        {
            if (_process is not { } process) return [];
            await StopAsync(process).ConfigureAwait(false);
            process.WaitForExit();
            lock (_complaints) return _complaints.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        }

        private Process Start()
        {
            var start = new ProcessStartInfo(command[0]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
            foreach (string argument in command.Skip(1)) start.ArgumentList.Add(argument);
            Process process = Process.Start(start) ?? throw new IOException($"{command[0]} cannot be started");
            process.ErrorDataReceived += (_, e) =>
            {
                if (e.Data is null) return;
                lock (_complaints) if (_complaints.Length < 64 * 1024) _complaints.Append(e.Data).Append('\n');
            };
            process.BeginErrorReadLine();
            return process;
        }

        /// <inheritdoc/>
        public override async ValueTask DisposeAsync()
        {
            if (_process is not { } process) return;
            await StopAsync(process).ConfigureAwait(false);
            process.Dispose();
        }

        private static async Task StopAsync(Process process)
        {
            try
            {
                process.StandardInput.Close();
                using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(5));
                await process.WaitForExitAsync(bound.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is IOException or OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
            }
        }
    }
}
