// Extensions are known before any test reads a configuration.
using System.Runtime.CompilerServices;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Filters.Http.Cors;
using Naru.Proxy.Filters.Http.CredentialInjector;
using Naru.Proxy.Filters.Http.HeaderMutation;

namespace Naru.SimulationTests;

internal static class Extensions
{
    [ModuleInitializer]
    internal static void Use() => ExtensionTable.Use([new CorsExtension(), new CredentialInjectorExtension(), new HeaderMutationExtension()]);
}
