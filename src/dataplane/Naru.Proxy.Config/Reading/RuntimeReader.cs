// envoy.config.bootstrap.v3.LayeredRuntime: layers whose values stand in the bootstrap, and the administrator's. Values from files and from
// discovery are refused by name.
using System.Collections.Immutable;
using System.Globalization;
using Envoy.Config.Bootstrap.V3;
using Google.Protobuf.WellKnownTypes;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads layers of the runtime.</summary>
internal static class RuntimeReader
{
    private const int MostDepth = 32;

    /// <summary>The layers; those with faults were reported.</summary>
    public static ImmutableArray<RuntimeLayerConfig> Read(Scope scope, LayeredRuntime runtime)
    {
        var layers = ImmutableArray.CreateBuilder<RuntimeLayerConfig>(runtime.Layers.Count);
        for (int i = 0; i < runtime.Layers.Count; i++)
        {
            RuntimeLayer layer = runtime.Layers[i];
            Scope at = scope.In("layers", i, layer);
            if (Values.Required(at, "name", layer.Name) && layers.Any(l => l.Name == layer.Name))
                at.Error("name", "NARU-C103", $"there are two layers \"{layer.Name}\"", "give each its own name");
            switch (layer.LayerSpecifierCase)
            {
                case RuntimeLayer.LayerSpecifierOneofCase.StaticLayer:
                    var values = ImmutableSortedDictionary.CreateBuilder<string, RuntimeValue>(StringComparer.Ordinal);
                    foreach ((string key, Value value) in layer.StaticLayer.Fields) Flatten(at, key, value, values, 0);
                    layers.Add(new RuntimeLayerConfig(layer.Name, values.ToImmutable()));
                    break;
                case RuntimeLayer.LayerSpecifierOneofCase.AdminLayer:
                    if (layers.Any(l => l.IsAdmin)) at.Error("admin_layer", "NARU-C103", "there is a layer of the administrator already", "keep one of them");
                    layers.Add(new RuntimeLayerConfig(layer.Name, ImmutableSortedDictionary.Create<string, RuntimeValue>(StringComparer.Ordinal), IsAdmin: true));
                    break;
                case RuntimeLayer.LayerSpecifierOneofCase.None:
                    at.Error("", "NARU-C101", "a layer says where its values are", "add static_layer: { KEY: VALUE } or admin_layer: {}");
                    break;
            }
        }
        return layers.ToImmutable();
    }

    // Names within names become one key with dots; a share stays together (Envoy docs: runtime, file system layout and types).
    private static void Flatten(Scope scope, string key, Value value, ImmutableSortedDictionary<string, RuntimeValue>.Builder into, int depth)
    {
        switch (value.KindCase)
        {
            case Value.KindOneofCase.StringValue: into[key] = new RuntimeValue(value.StringValue); break;
            case Value.KindOneofCase.BoolValue: into[key] = new RuntimeValue(value.BoolValue ? "true" : "false"); break;
            case Value.KindOneofCase.NumberValue: into[key] = new RuntimeValue(value.NumberValue.ToString("R", CultureInfo.InvariantCulture)); break;
            case Value.KindOneofCase.StructValue when value.StructValue.Fields.ContainsKey("numerator") || value.StructValue.Fields.ContainsKey("denominator"):
                if (Share(value.StructValue) is { } share) into[key] = new RuntimeValue(value.StructValue.ToString(), share);
                else scope.Error("static_layer", "NARU-C102", $"\"{key}\" is not a share", "write { numerator: 5, denominator: HUNDRED }");
                break;
            case Value.KindOneofCase.StructValue when depth < MostDepth:
                foreach ((string name, Value inner) in value.StructValue.Fields) Flatten(scope, $"{key}.{name}", inner, into, depth + 1);
                break;
            default:
                scope.Error("static_layer", "NARU-C102", $"\"{key}\" holds what no value of the runtime can be", "write a text, a number, a truth value, a share or names within names");
                break;
        }
    }

    private static int? Share(Struct share)
    {
        double numerator = 0, whole = 100;
        foreach ((string name, Value value) in share.Fields)
        {
            switch (name)
            {
                case "numerator" when value.KindCase == Value.KindOneofCase.NumberValue: numerator = value.NumberValue; break;
                case "denominator" when value.KindCase == Value.KindOneofCase.StringValue:
                    whole = value.StringValue switch { "HUNDRED" => 100, "TEN_THOUSAND" => 10_000, "MILLION" => 1_000_000, _ => 0 };
                    break;
                default: return null;
            }
        }
        return whole == 0 || numerator < 0 || Math.Floor(numerator) != numerator ? null : (int)Math.Min(1_000_000, numerator * 1_000_000 / whole);
    }
}
