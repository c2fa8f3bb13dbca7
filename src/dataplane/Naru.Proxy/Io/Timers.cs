// A worker's timers: one wheel of 16 ms slots for the next 16 s, one list for what is further away.
// Pushing a deadline out costs one store: a node that fires early looks at its deadline and goes back in. Requests
// set and clear their timers thousands of times for every time one fires, so that is the case that must be free.
using System.Numerics;

namespace Naru.Proxy.Io;

/// <summary>Whoever owns a timer.</summary>
internal interface ITimerOwner
{
    /// <summary>The deadline has passed. The timer is not running any more.</summary>
    void OnTimer(TimerNode timer);
}

/// <summary>One timer, part of its owner.</summary>
internal sealed class TimerNode(ITimerOwner owner)
{
    public const long Never = long.MaxValue;
    public readonly ITimerOwner Owner = owner;

    /// <summary>Worker milliseconds when it is due, or <see cref="Never"/>.</summary>
    public long Deadline = Never;

    internal TimerNode? Next;
    internal TimerNode? Previous;
    internal long Linked = Never;
    internal int Slot = -1;
}

internal sealed class TimerWheel
{
    private const int SlotMs = 16;
    private const int Slots = 1024;
    private const int Far = Slots;
    private const int FarScanMs = 8000;
    private readonly TimerNode?[] _slots = new TimerNode?[Slots + 1];
    // A bit for each slot that may hold something, so that the next one is found without looking at all of them.
    private readonly ulong[] _used = new ulong[Slots / 64];
    private long _tick;
    private long _nextFarScan;
    private int _near;
    private int _far;

    public TimerWheel(long now)
    {
        _tick = now / SlotMs;
        _nextFarScan = now + FarScanMs;
    }

    /// <summary>Runs the timer at a time (ms) at the earliest.</summary>
    public void Set(TimerNode node, long deadline, long now)
    {
        node.Deadline = deadline;
        if (node.Slot >= 0)
        {
            if (node.Linked <= deadline) return;
            Unlink(node);
        }
        if (deadline != TimerNode.Never) Link(node, deadline, now);
    }

    /// <summary>Stops the timer; it stays linked until its slot comes by.</summary>
    public static void Stop(TimerNode node) => node.Deadline = TimerNode.Never;

    /// <summary>Stops the timer and lets go of its owner.</summary>
    public void Remove(TimerNode node)
    {
        node.Deadline = TimerNode.Never;
        if (node.Slot >= 0) Unlink(node);
    }

    private void Link(TimerNode node, long deadline, long now)
    {
        long tick = Math.Max(deadline / SlotMs + 1, _tick + 1);
        int slot = tick - _tick >= Slots ? Far : (int)(tick % Slots);
        node.Slot = slot;
        node.Linked = deadline;
        node.Previous = null;
        node.Next = _slots[slot];
        if (node.Next is { } next) next.Previous = node;
        _slots[slot] = node;
        if (slot != Far)
        {
            _near++;
            _used[slot >> 6] |= 1UL << slot;
        }
        else if (_far++ == 0) _nextFarScan = now + FarScanMs;
    }

    private void Unlink(TimerNode node)
    {
        if (node.Previous is { } previous) previous.Next = node.Next;
        else _slots[node.Slot] = node.Next;
        if (node.Next is { } next) next.Previous = node.Previous;
        if (node.Slot == Far) _far--;
        else _near--;
        node.Next = node.Previous = null;
        node.Slot = -1;
        node.Linked = TimerNode.Never;
    }

    /// <summary>Milliseconds until something may be due; -1 when nothing is waiting.</summary>
    public int UntilNext(long now)
    {
        long until = long.MaxValue;
        if (_near > 0)
        {
            until = Math.Max(0, NextUsed() * SlotMs - now);
        }
        if (_far > 0) until = Math.Min(until, Math.Max(0, _nextFarScan - now));
        return until == long.MaxValue ? -1 : (int)Math.Min(until, int.MaxValue);
    }

    /// <summary>Timers that will fire. Looks at every one of them.</summary>
    public int CountRunning()
    {
        int running = 0;
        foreach (TimerNode? first in _slots)
            for (TimerNode? node = first; node is not null; node = node.Next)
                if (node.Deadline != TimerNode.Never) running++;
        return running;
    }

    private long NextUsed()
    {
        long tick = _tick + 1;
        while (tick <= _tick + Slots)
        {
            int slot = (int)(tick % Slots);
            ulong bits = _used[slot >> 6] >> slot;
            if (bits == 0)
            {
                tick += 64 - (slot & 63);
                continue;
            }
            int skip = BitOperations.TrailingZeroCount(bits);
            if (_slots[slot + skip] is not null) return tick + skip;
            _used[slot >> 6] &= ~(1UL << (slot + skip));
        }
        return tick;
    }

    /// <summary>Runs what is due.</summary>
    public void Advance(long now)
    {
        long target = now / SlotMs;
        if (_near == 0) _tick = Math.Max(_tick, target);
        else if (target - _tick > Slots) _tick = target - Slots;
        while (_tick < target)
        {
            _tick++;
            Fire(ref _slots[_tick % Slots], now);
        }
        if (_far > 0 && now >= _nextFarScan)
        {
            _nextFarScan = now + FarScanMs;
            TimerNode? node = _slots[Far];
            while (node is not null)
            {
                TimerNode? next = node.Next;
                if (node.Deadline == TimerNode.Never) Unlink(node);
                else if (node.Deadline < now + Slots * SlotMs - SlotMs)
                {
                    Unlink(node);
                    Link(node, node.Deadline, now);
                }
                node = next;
            }
        }
    }

    private void Fire(ref TimerNode? head, long now)
    {
        // Taken off one by one from the front, since an owner may set or remove any timer meanwhile.
        while (head is { } node)
        {
            Unlink(node);
            if (node.Deadline == TimerNode.Never) continue;
            if (node.Deadline > now)
            {
                Link(node, node.Deadline, now);
                continue;
            }
            node.Deadline = TimerNode.Never;
            node.Owner.OnTimer(node);
        }
    }
}
