// Every suite here runs against a worker with a past: one worker, and its pools hold what exchanges of other kinds left.
using System.Runtime.CompilerServices;
using Naru.Kit;

namespace Naru.WireTests;

internal static class Poisoned
{
    [ModuleInitializer]
    internal static void Always() => ProxyOptions.PoisonedByDefault = true;
}
