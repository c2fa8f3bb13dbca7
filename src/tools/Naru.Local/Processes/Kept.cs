// Keeps one of our own loops going: whatever it throws is said once and it is begun again with back-off. A loop that ended without a word
// would leave the mesh as it happened to be.
using Naru.Core;

namespace Naru.Local.Processes;

/// <summary>Loops that only end when they are told to.</summary>
public static class Kept
{
    private static readonly TimeSpan s_least = TimeSpan.FromMilliseconds(100);

    /// <summary>Runs a loop until it returns or is cancelled. Never throws.</summary>
    /// <param name="name">What it does, for people: <c>the logs are not looked after</c>.</param>
    /// <param name="loop">The loop. It may be begun anew at any point where it can throw.</param>
    /// <param name="time">Clock of the back-off (<see cref="BackOff"/>, at least 0.1 s).</param>
    /// <param name="tell">Hears NARU-L043 when it stopped, once for each row of equal reasons.</param>
    /// <param name="cancel">Ends it.</param>
    public static async Task RunAsync(
        string name, Func<CancellationToken, Task> loop, TimeProvider time, Action<Diagnostic> tell, CancellationToken cancel)
    {
        var backOff = new BackOff();
        string said = "";
        while (!cancel.IsCancellationRequested)
        {
            long started = time.GetTimestamp();
            TimeSpan wait;
            try
            {
                await loop(cancel).ConfigureAwait(false);
                return;
            }
            catch (Exception) when (cancel.IsCancellationRequested)
            {
                return; // Whatever it ran into on its way out.
            }
            catch (Exception e)
            {
                TimeSpan lived = time.GetElapsedTime(started);
                wait = backOff.Next(lived);
                string why = Causes.Of(e);
                if (why != said || lived >= BackOff.Good) Tell(tell, new Diagnostic("NARU-L043", Severity.Warning, $"{name} for now: {why}; it is tried again"));
                said = why;
            }
            try
            {
                await Task.Delay(wait > s_least ? wait : s_least, time, cancel).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    private static void Tell(Action<Diagnostic> tell, Diagnostic what)
    {
        try
        {
            tell(what);
        }
        catch (Exception)
        {
            // Nobody hears it; the loop goes on.
        }
    }
}
