// envoy.config.bootstrap.v3.LayeredRuntime: layers whose values stand in the bootstrap, in files, come by discovery, or are the
// administrator's; and how values are written.
using System.Collections.Immutable;
using System.Globalization;
using Envoy.Config.Bootstrap.V3;
using Google.Protobuf.WellKnownTypes;
using Naru.Core;
using Naru.Yaml;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads layers of the runtime.</summary>
internal static class RuntimeReader
{
    private const int MostDepth = 32;

    /// <summary>The layers; those with faults were reported.</summary>
    /// <param name="scope">Of the message.</param>
    /// <param name="runtime">The message.</param>
    /// <param name="cluster">The cluster of this node, for folders that are named after it.</param>
    public static ImmutableArray<RuntimeLayerConfig> Read(Scope scope, LayeredRuntime runtime, string cluster)
    {
        var layers = ImmutableArray.CreateBuilder<RuntimeLayerConfig>(runtime.Layers.Count);
        for (int i = 0; i < runtime.Layers.Count; i++)
        {
            RuntimeLayer layer = runtime.Layers[i];
            Scope at = scope.In("layers", i, layer);
            if (Reading.Values.Required(at, "name", layer.Name) && layers.Any(l => l.Name == layer.Name))
                at.Error("name", "NARU-C103", $"there are two layers \"{layer.Name}\"", "give each its own name");
            var config = new RuntimeLayerConfig(layer.Name, RuntimeLayerConfig.None);
            switch (layer.LayerSpecifierCase)
            {
                case RuntimeLayer.LayerSpecifierOneofCase.StaticLayer:
                    layers.Add(config with { Values = Values(at, "static_layer", layer.StaticLayer) });
                    break;
                case RuntimeLayer.LayerSpecifierOneofCase.AdminLayer:
                    if (layers.Any(l => l.IsAdmin)) at.Error("admin_layer", "NARU-C103", "there is a layer of the administrator already", "keep one of them");
                    layers.Add(config with { IsAdmin = true });
                    break;
                case RuntimeLayer.LayerSpecifierOneofCase.DiskLayer:
                    layers.Add(config with { Folder = Folder(at.In("disk_layer", layer.DiskLayer), layer.DiskLayer, cluster), IsMissing = true });
                    break;
                case RuntimeLayer.LayerSpecifierOneofCase.RtdsLayer:
                    Scope rtds = at.In("rtds_layer", layer.RtdsLayer);
                    string name = layer.RtdsLayer.Name;
                    if (Reading.Values.Required(rtds, "name", name) && layers.Any(l => l.Resource == name))
                        rtds.Error("name", "NARU-C103", $"there is a layer of the resource \"{name}\" already", "keep one of them");
                    layers.Add(config with { Resource = name, Source = ConfigSources.Read(rtds, "rtds_config", layer.RtdsLayer.RtdsConfig) });
                    break;
                default:
                    at.Error("", "NARU-C101", "a layer says where its values are", "add static_layer: { KEY: VALUE }, disk_layer, rtds_layer or admin_layer: {}");
                    break;
            }
        }
        return layers.ToImmutable();
    }

    /// <summary>Values of a struct.</summary>
    public static ImmutableSortedDictionary<string, RuntimeValue> Values(Scope scope, string field, Struct? given)
    {
        var values = ImmutableSortedDictionary.CreateBuilder<string, RuntimeValue>(StringComparer.Ordinal);
        foreach ((string key, Value value) in given?.Fields ?? []) Flatten(scope, field, key, value, values, 0);
        return values.ToImmutable();
    }

    /// <summary>The value that a file holds: lines that begin with <c>#</c> and blanks at the end do not count; a share is written as a
    /// mapping (Envoy docs: runtime, file system layout).</summary>
    public static RuntimeValue OfFile(string text)
    {
        string value = string.Join('\n', text.Split('\n').Where(l => !l.StartsWith('#'))).TrimEnd();
        if (!value.Contains("numerator", StringComparison.Ordinal) && !value.Contains("denominator", StringComparison.Ordinal))
            return new RuntimeValue(value);
        IReadOnlyList<YamlNode> documents = YamlReader.ReadAll(value, null, new Diagnostics());
        return documents is [YamlMapping mapping] && Share(mapping.ToStruct()) is { } share ? new RuntimeValue(value, share) : new RuntimeValue(value);
    }

    private static RuntimeFolderConfig? Folder(Scope scope, RuntimeLayer.Types.DiskLayer disk, string cluster)
    {
        if (!Reading.Values.Required(scope, "symlink_root", disk.SymlinkRoot)) return null;
        if (disk.AppendServiceCluster && cluster.Length == 0)
            scope.Error("append_service_cluster", "NARU-C104", "this node is of no cluster whose folder it could be", "give node.cluster, or --service-cluster");
        if (disk.AppendServiceCluster && (cluster.Contains('/') || cluster is "." or ".."))
            scope.Error("append_service_cluster", "NARU-C102", $"\"{cluster}\" is not the name of a folder", "leave append_service_cluster out");
        string path = Path.Combine(disk.SymlinkRoot, disk.Subdirectory.TrimStart('/'));
        return new RuntimeFolderConfig(disk.SymlinkRoot, disk.AppendServiceCluster ? Path.Combine(path, cluster) : path);
    }

    // Names within names become one key with dots; a share stays together (Envoy docs: runtime, file system layout and types).
    private static void Flatten(Scope scope, string field, string key, Value value, ImmutableSortedDictionary<string, RuntimeValue>.Builder into, int depth)
    {
        switch (value.KindCase)
        {
            case Value.KindOneofCase.StringValue: into[key] = new RuntimeValue(value.StringValue); break;
            case Value.KindOneofCase.BoolValue: into[key] = new RuntimeValue(value.BoolValue ? "true" : "false"); break;
            case Value.KindOneofCase.NumberValue: into[key] = new RuntimeValue(value.NumberValue.ToString("R", CultureInfo.InvariantCulture)); break;
            case Value.KindOneofCase.StructValue when value.StructValue.Fields.ContainsKey("numerator") || value.StructValue.Fields.ContainsKey("denominator"):
                if (Share(value.StructValue) is { } share) into[key] = new RuntimeValue(value.StructValue.ToString(), share);
                else scope.Error(field, "NARU-C102", $"\"{key}\" is not a share", "write { numerator: 5, denominator: HUNDRED }");
                break;
            case Value.KindOneofCase.StructValue when depth < MostDepth:
                foreach ((string name, Value inner) in value.StructValue.Fields) Flatten(scope, field, $"{key}.{name}", inner, into, depth + 1);
                break;
            default:
                scope.Error(field, "NARU-C102", $"\"{key}\" holds what no value of the runtime can be", "write a text, a number, a truth value, a share or names within names");
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
