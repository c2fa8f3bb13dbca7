// Values that change how the proxy behaves while it runs (Envoy docs: runtime): layers, of which later ones win. Their values stand in the
// bootstrap, come from files or from discovery, or are the administrator's. Readers hold a slot for their key, so that looking at a value
// costs no search.
using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using Naru.Telemetry;

namespace Naru.Proxy.Config;

/// <summary>A layer of values.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Values">By key; of a layer that somebody fills later none at first.</param>
/// <param name="IsAdmin">The administrator changes it.</param>
public sealed record RuntimeLayerConfig(string Name, ImmutableSortedDictionary<string, RuntimeValue> Values, bool IsAdmin = false)
{
    /// <summary>No values.</summary>
    public static ImmutableSortedDictionary<string, RuntimeValue> None { get; } = ImmutableSortedDictionary.Create<string, RuntimeValue>(StringComparer.Ordinal);

    /// <summary>The folder whose files are its values; null where it has none.</summary>
    public RuntimeFolderConfig? Folder { get; init; }

    /// <summary>The resource that brings its values; empty where none does.</summary>
    public string Resource { get; init; } = "";

    /// <summary>Where <see cref="Resource"/> comes from.</summary>
    public ConfigSourceConfig? Source { get; init; }

    /// <summary>Its folder is not there: as if there were no such layer.</summary>
    public bool IsMissing { get; init; }
}

/// <summary><c>RuntimeLayer.DiskLayer</c>.</summary>
/// <param name="Root">Where links are swapped; what is moved into it is noticed.</param>
/// <param name="Path">The folder of the values, below it.</param>
public sealed record RuntimeFolderConfig(string Root, string Path);

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

    /// <summary>Whether it is switched on: <c>true</c>, <c>false</c>; or what holds without it (Envoy: RuntimeFeatureFlag).</summary>
    public bool IsOn(bool standard) => _value?.Text switch { "true" => true, "false" => false, _ => standard };

    /// <summary>A share in millionths: a share as such, or a number of hundred; or the one that holds without it.</summary>
    public int PerMillion(int standard) => _value is not { } value ? standard : value.PerMillion ?? (value.Integer is { } percent ? (int)Math.Min(100, percent) * 10_000 : standard);
}

/// <summary><c>runtime</c>: how often layers were put together, and how they are now.</summary>
internal static class RuntimeStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int Deprecated = Schema.Counter("deprecated_feature_use");
    public static readonly int Error = Schema.Counter("load_error");
    public static readonly int Success = Schema.Counter("load_success");
    public static readonly int OverrideIsThere = Schema.Counter("override_dir_exists");
    public static readonly int OverrideIsMissing = Schema.Counter("override_dir_not_exists");
    public static readonly int AdminActive = Schema.Gauge("admin_overrides_active");
    public static readonly int DeprecatedSeen = Schema.Gauge("deprecated_feature_seen_since_process_start");
    public static readonly int Keys = Schema.Gauge("num_keys");
    public static readonly int Layers = Schema.Gauge("num_layers");
}

/// <summary>All values, as they are now.</summary>
public sealed class Runtime
{
    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<string, RuntimeSlot> _slots = new(StringComparer.Ordinal);
    private readonly StatBlock? _stats;
    private volatile ImmutableArray<RuntimeLayerConfig>[] _all;

    /// <summary>Of these layers, the first below.</summary>
    /// <param name="layers">The layers.</param>
    /// <param name="stats">Where to count; null for nowhere.</param>
    public Runtime(ImmutableArray<RuntimeLayerConfig> layers, StatRegistry? stats = null)
    {
        _all = [layers];
        if (stats is null) return;
        _stats = stats.Block("runtime", RuntimeStats.Schema);
        // Envoy puts them together twice at its start.
        Loaded(failed: false);
        Loaded(failed: false);
    }

    /// <summary>The layers that there are now.</summary>
    public ImmutableArray<RuntimeLayerConfig> Layers => [.. _all[0].Where(l => !l.IsMissing)];

    /// <summary>Keys that any layer has, and what counts.</summary>
    public IEnumerable<(string Key, RuntimeValue Value)> Entries
    {
        get
        {
            ImmutableArray<RuntimeLayerConfig> layers = _all[0];
            foreach (string key in KeysOf(layers).Order(StringComparer.Ordinal))
                if (Of(layers, key) is { } value) yield return (key, value);
        }
    }

    /// <summary>Where a key's value can be looked at from now on.</summary>
    public RuntimeSlot Slot(string key)
    {
        lock (_gate)
        {
            if (_slots.TryGetValue(key, out RuntimeSlot? slot)) return slot;
            return _slots[key] = new RuntimeSlot { Value = Of(_all[0], key) };
        }
    }

    /// <summary>Changes the administrator's layer: an empty value takes the key out of it. False where there is no such layer.</summary>
    public bool Modify(IEnumerable<KeyValuePair<string, string>> values)
    {
        lock (_gate)
        {
            int at = _all[0].ToList().FindIndex(l => l.IsAdmin);
            if (at < 0) return false;
            ImmutableSortedDictionary<string, RuntimeValue> changed = _all[0][at].Values;
            foreach ((string key, string value) in values) changed = value.Length == 0 ? changed.Remove(key) : changed.SetItem(key, new RuntimeValue(value));
            Put(at, _all[0][at] with { Values = changed });
            return true;
        }
    }

    /// <summary>A layer has these values from now on; nothing where there is no such layer.</summary>
    /// <param name="layer">Its name.</param>
    /// <param name="values">All its values; null where its folder is not there.</param>
    /// <param name="counted">It is a load, and no part of the first ones.</param>
    public void Replace(string layer, ImmutableSortedDictionary<string, RuntimeValue>? values, bool counted = true)
    {
        lock (_gate)
        {
            int at = _all[0].ToList().FindIndex(l => l.Name == layer);
            if (at >= 0) Put(at, _all[0][at] with { Values = values ?? RuntimeLayerConfig.None, IsMissing = values is null }, counted);
        }
    }

    /// <summary>A layer could not be read: what it had stays.</summary>
    public void Failed()
    {
        lock (_gate) Loaded(failed: true);
    }

    private void Put(int at, RuntimeLayerConfig layer, bool counted = true)
    {
        ImmutableArray<RuntimeLayerConfig> layers = _all[0].SetItem(at, layer);
        _all = [layers];
        foreach ((string key, RuntimeSlot slot) in _slots) slot.Value = Of(layers, key);
        if (counted) Loaded(failed: false);
        else Show();
    }

    // Two folders are one and what is laid over it.
    private void Loaded(bool failed)
    {
        if (_stats is null) return;
        ImmutableArray<RuntimeLayerConfig> layers = Layers;
        _stats.Add(failed ? RuntimeStats.Error : RuntimeStats.Success);
        _stats.Add(layers.Count(l => l.Folder is not null) > 1 ? RuntimeStats.OverrideIsThere : RuntimeStats.OverrideIsMissing);
        Show();
    }

    private void Show()
    {
        if (_stats is null) return;
        ImmutableArray<RuntimeLayerConfig> layers = Layers;
        _stats.Set(RuntimeStats.Layers, layers.Length);
        _stats.Set(RuntimeStats.Keys, KeysOf(layers).Count());
        _stats.Set(RuntimeStats.AdminActive, layers.Any(l => l.IsAdmin && !l.Values.IsEmpty) ? 1 : 0);
    }

    private static IEnumerable<string> KeysOf(ImmutableArray<RuntimeLayerConfig> layers) =>
        layers.SelectMany(l => l.Values.Keys).Distinct(StringComparer.Ordinal);

    private static RuntimeValue? Of(ImmutableArray<RuntimeLayerConfig> layers, string key)
    {
        for (int i = layers.Length - 1; i >= 0; i--) if (layers[i].Values.TryGetValue(key, out RuntimeValue? value)) return value;
        return null;
    }
}
