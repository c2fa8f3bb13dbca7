// envoy.config.core.v3.SocketOption as a record: setsockopt(2) by numbers.
using System.Collections.Immutable;
using Envoy.Config.Core.V3;

namespace Naru.Proxy.Config.Reading;

/// <summary>Reads socket options.</summary>
internal static class SocketOptions
{
    /// <summary>The options in order.</summary>
    public static ImmutableArray<SocketOptionConfig> Read(Scope scope, string field, IReadOnlyList<SocketOption> given)
    {
        var options = ImmutableArray.CreateBuilder<SocketOptionConfig>(given.Count);
        for (int i = 0; i < given.Count; i++)
        {
            SocketOption option = given[i];
            Scope at = scope.In(field, i, option);
            if (!Fits(at, "level", option.Level) || !Fits(at, "name", option.Name)) continue;
            if (!System.Enum.IsDefined(option.State))
            {
                at.Error("state", "NARU-C102", $"{(int)option.State} is not a state");
                continue;
            }
            var state = (SocketOptionState)(int)option.State;
            switch (option.ValueCase)
            {
                case SocketOption.ValueOneofCase.IntValue when Fits(at, "int_value", option.IntValue):
                    options.Add(new SocketOptionConfig((int)option.Level, (int)option.Name, (int)option.IntValue, [], state));
                    break;
                case SocketOption.ValueOneofCase.BufValue:
                    options.Add(new SocketOptionConfig((int)option.Level, (int)option.Name, null, [.. option.BufValue.Span], state));
                    break;
                case SocketOption.ValueOneofCase.None:
                    at.Error("", "NARU-C101", "a socket option has a value", "add int_value or buf_value");
                    break;
            }
        }
        return options.ToImmutable();
    }

    private static bool Fits(Scope scope, string field, long value)
    {
        if (value is >= int.MinValue and <= int.MaxValue) return true;
        scope.Error(field, "NARU-C102", $"\"{field}\" cannot be {value}", "setsockopt takes a number of 32 bits");
        return false;
    }
}
