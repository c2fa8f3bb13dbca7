// Values that change how the proxy behaves while it runs (Envoy docs: runtime): layers, of which later ones win, and the administrator's above them
// where there is one. Readers hold a slot for their key, so that looking at a value costs no search.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;

namespace Naru.Proxy.Config;

/// <summary>A layer of values.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Values">By key; of the administrator's layer none at first.</param>
/// <param name="IsAdmin">The administrator changes it.</param>
public sealed record RuntimeLayerConfig(string Name, ImmutableSortedDictionary<string, RuntimeValue> Values, bool IsAdmin = false);

/// <summary>One value.</summary>
/// <param name="Text">As it is shown.</param>
/// <param name="PerMillion">Of a share that was given as such, in millionths.</param>
public sealed record RuntimeValue(string Text, int? PerMillion = null)
{
    /// <summary>The number that it is, if it is one.</summary>
    public double? Number { get; } = double.TryParse(Text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) ? number : null;

    /// <summary>The same as a whole number that is not negative.</summary>
    public ulong? Integer => Number is { } number && number >= 0 && number <= long.MaxValue && Math.Floor(number) == number ? (ulong)number : null;
}

/// <summary>What one key's value is now. Any thread may look.</summary>
public sealed class RuntimeSlot
{
    private volatile RuntimeValue? _value;

    /// <summary>Null where no layer has the key.</summary>
    public RuntimeValue? Value { get => _value; internal set => _value = value; }

    /// <summary>A whole number, or the one that holds without it.</summary>
    public ulong Integer(ulong standard) => _value?.Integer ?? standard;

    /// <summary>A share in millionths: a share as such, or a number of hundred; or the one that holds without it.</summary>
    public int PerMillion(int standard) => _value is not { } value ? standard : value.PerMillion ?? (value.Integer is { } percent ? (int)Math.Min(100, percent) * 10_000 : standard);
}

/// <summary>All values, as they are now.</summary>
public sealed class Runtime
{
    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<string, RuntimeSlot> _slots = new(StringComparer.Ordinal);
    private volatile ImmutableArray<RuntimeLayerConfig>[] _layers;

    /// <summary>Of these layers, the first below.</summary>
    public Runtime(ImmutableArray<RuntimeLayerConfig> layers) => _layers = [layers];

    /// <summary>The layers as they are now.</summary>
    public ImmutableArray<RuntimeLayerConfig> Layers => _layers[0];

    /// <summary>Keys that any layer has, and what counts.</summary>
    public IEnumerable<(string Key, RuntimeValue Value)> Entries
    {
        get
        {
            ImmutableArray<RuntimeLayerConfig> layers = Layers;
            foreach (string key in layers.SelectMany(l => l.Values.Keys).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal))
                if (Of(layers, key) is { } value) yield return (key, value);
        }
    }

    /// <summary>Where a key's value can be looked at from now on.</summary>
    public RuntimeSlot Slot(string key)
    {
        lock (_gate)
        {
            if (_slots.TryGetValue(key, out RuntimeSlot? slot)) return slot;
            return _slots[key] = new RuntimeSlot { Value = Of(Layers, key) };
        }
    }

    /// <summary>Changes the administrator's layer: an empty value takes the key out of it. False where there is no such layer.</summary>
    public bool Modify(IEnumerable<KeyValuePair<string, string>> values)
    {
        lock (_gate)
        {
            ImmutableArray<RuntimeLayerConfig> layers = Layers;
            int at = layers.ToList().FindIndex(l => l.IsAdmin);
            if (at < 0) return false;
            ImmutableSortedDictionary<string, RuntimeValue> changed = layers[at].Values;
            foreach ((string key, string value) in values) changed = value.Length == 0 ? changed.Remove(key) : changed.SetItem(key, new RuntimeValue(value));
            layers = layers.SetItem(at, layers[at] with { Values = changed });
            _layers = [layers];
            foreach ((string key, RuntimeSlot slot) in _slots) slot.Value = Of(layers, key);
            return true;
        }
    }

    private static RuntimeValue? Of(ImmutableArray<RuntimeLayerConfig> layers, string key)
    {
        for (int i = layers.Length - 1; i >= 0; i--) if (layers[i].Values.TryGetValue(key, out RuntimeValue? value)) return value;
        return null;
    }
}
