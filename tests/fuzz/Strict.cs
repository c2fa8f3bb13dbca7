// Simulated proxies keep their pools strictly: what is given back twice, or used after that, throws.
using System.Runtime.CompilerServices;
using Naru.Proxy.Io;

namespace Naru.FuzzTests;

internal static class Strict
{
    [ModuleInitializer]
    internal static void Always()
    {
        Environment.SetEnvironmentVariable("NARU_STRICT_POOLS", "1");
        AppContext.SetSwitch(Sys.SimulationSwitch, true);
    }
}
