// Turns bursts of changes into single pushes: waits for quiet, but never longer than its bound.
// Measures from events with the clock it is given; knows nothing of what is pushed.
using System.Threading.Channels;

namespace Naru.Control.Host;

/// <summary>Merges notes that come close together.</summary>
/// <param name="quiet">How long nothing must have been noted.</param>
/// <param name="longest">How long after the first note it acts in any case.</param>
/// <param name="time">The clock.</param>
internal sealed class Debounce(TimeSpan quiet, TimeSpan longest, TimeProvider time)
{
    private readonly Channel<byte> _notes = Channel.CreateBounded<byte>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    /// <summary>Something changed. Never waits.</summary>
    public void Note() => _notes.Writer.TryWrite(0);

    /// <summary>Calls <paramref name="act"/> after each burst until the token ends it.</summary>
    public async Task RunAsync(Action act, CancellationToken cancel)
    {
        try
        {
            while (await _notes.Reader.WaitToReadAsync(cancel).ConfigureAwait(false))
            {
                long first = time.GetTimestamp();
                Task<bool> more;
                TimeSpan wait;
                do
                {
                    _notes.Reader.TryRead(out _);
                    more = _notes.Reader.WaitToReadAsync(cancel).AsTask();
                    TimeSpan left = longest - time.GetElapsedTime(first);
                    wait = left < quiet ? left : quiet;
                    if (wait > TimeSpan.Zero) await Task.WhenAny(more, Task.Delay(wait, time, cancel)).ConfigureAwait(false);
                    cancel.ThrowIfCancellationRequested();
                }
                while (more.IsCompleted && wait > TimeSpan.Zero);
                act();
            }
        }
        catch (OperationCanceledException) when (cancel.IsCancellationRequested)
        {
            // The control plane stops; what was noted last is read again when it starts.
        }
    }
}
