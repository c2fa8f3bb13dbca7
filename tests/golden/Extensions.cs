// The proxy's extensions are known before any test reads a configuration.
using System.Runtime.CompilerServices;

namespace Naru.GoldenTests;

internal static class Extensions
{
    [ModuleInitializer]
    internal static void Use() => Naru.Proxy.Host.Extensions.Use();
}
