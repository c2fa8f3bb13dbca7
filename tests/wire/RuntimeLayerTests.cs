// Layers of the runtime in the program: folders that are swapped, what the administrator sets above them, and who looks at them.
using System.Text.Json;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests;

public sealed class RuntimeLayerTests
{
    private const string Routes = """
        - { match: { prefix: /, runtime_fraction: { runtime_key: shop.new, default_value: { numerator: 0 } } }, direct_response: { status: 201 } }
        - { match: { prefix: / }, direct_response: { status: 200 } }
        """;

    private static string Layers(string layers) => $"layered_runtime: {{ layers: [{layers}] }}\n";

    private static async Task<int> StatusAsync(ProxyProcess proxy)
    {
        using RawClient client = await proxy.ConnectAsync();
        return (await client.ExchangeAsync("GET /case HTTP/1.1\r\nHost: x\r\n\r\n")).Status;
    }

    private static Task BecomesAsync(ProxyProcess proxy, int status) =>
        Waiting.UntilAsync(async () => await StatusAsync(proxy) == status, $"the answer to be {status}");

    private static void Put(TempFolder folder, string path, string text)
    {
        string file = folder.At(path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }

    // As whoever rolls values out does it: a link is made beside the old one and moved into its place.
    private static async Task SwapAsync(TempFolder folder, string to)
    {
        Directory.CreateSymbolicLink(folder.At("fresh"), folder.At(to));
        Assert.Equal(0, (await ChildProcess.RunAsync("mv", ["-T", folder.At("fresh"), folder.At("current")])).ExitCode);
    }

    [Fact]
    public async Task A_folder_of_values_is_swapped_whole_and_the_administrator_stands_above_it()
    {
        using var folder = new TempFolder();
        Put(folder, "v1/shop/new", "0\n");
        Put(folder, "v2/shop/new", "100\n");
        Put(folder, "v3/shop/old", "x");
        await SwapAsync(folder, "v1");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Layers(
            $"{{ name: base, static_layer: {{ shop.new: 100 }} }}, {{ name: disk, disk_layer: {{ symlink_root: {folder.At("current")} }} }}, {{ name: admin, admin_layer: {{}} }}")
            + Bootstraps.Many(Routes, []));
        Assert.Equal(200, await StatusAsync(proxy));
        await SwapAsync(folder, "v2");
        await BecomesAsync(proxy, 201);
        await proxy.Admin.PostAsync("runtime_modify?shop.new=0", null);
        Assert.Equal(200, await StatusAsync(proxy));
        await proxy.Admin.PostAsync("runtime_modify?shop.new=", null);
        Assert.Equal(201, await StatusAsync(proxy));
        // What the folder does not say is said below.
        await SwapAsync(folder, "v3");
        await Waiting.UntilAsync(async () => (await proxy.Admin.GetStringAsync("runtime")).Contains("shop.old", StringComparison.Ordinal), "the third folder");
        Assert.Equal(201, await StatusAsync(proxy));
        using JsonDocument page = JsonDocument.Parse(await proxy.Admin.GetStringAsync("runtime"));
        Assert.Equal(["base", "disk", "admin"], page.RootElement.GetProperty("layers").EnumerateArray().Select(l => l.GetString()));
    }

    [Fact]
    public async Task A_folder_of_the_cluster_overrides_the_one_of_all_and_what_cannot_be_read_leaves_what_was_there()
    {
        using var folder = new TempFolder();
        Put(folder, "v1/all/shop/new", "0");
        Put(folder, "v1/own/tests/shop/new", "100");
        Put(folder, "v2/all/shop/new", "0");
        Put(folder, "v2/own/tests/" + string.Join('/', Enumerable.Repeat("d", 20)) + "/k", "1");
        Put(folder, "v3/all/shop/new", "0");
        await SwapAsync(folder, "v1");
        string root = folder.At("current");
        await using ProxyProcess proxy = await ProxyProcess.StartAsync(Layers(
            $"{{ name: all, disk_layer: {{ symlink_root: {root}, subdirectory: all }} }}, {{ name: own, disk_layer: {{ symlink_root: {root}, subdirectory: own, append_service_cluster: true }} }}")
            + Bootstraps.Many(Routes, []));
        Assert.Equal(201, await StatusAsync(proxy));
        Assert.Equal(2, await proxy.StatAsync("runtime.num_layers"));
        await SwapAsync(folder, "v2");
        await Waiting.UntilAsync(async () => await proxy.StatAsync("runtime.load_error") > 0, "the folder that cannot be read");
        Assert.Equal(201, await StatusAsync(proxy));
        Assert.Contains("NARU-X119", proxy.Child.Error + proxy.Child.Output, StringComparison.Ordinal);
        await SwapAsync(folder, "v3");
        await BecomesAsync(proxy, 200);
        Assert.Equal(1, await proxy.StatAsync("runtime.num_layers"));
    }
}
