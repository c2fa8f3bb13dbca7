// The extensions of this program: whoever composes it says once which there are, before any configuration is read. Readers find the
// reader of a typed configuration here, by its type.
using System.Collections.Immutable;
using Google.Protobuf.Reflection;

namespace Naru.Proxy.Config.Extensions;

/// <summary>All extensions.</summary>
public static class ExtensionTable
{
    private static readonly Lock s_gate = new();
    private static ImmutableArray<HttpFilterExtension> s_httpFilters = [];
    private static ImmutableArray<NetworkFilterExtension> s_networkFilters = [];
    private static bool s_used;

    /// <summary>Says which extensions there are. The same ones may be said again.</summary>
    /// <exception cref="InvalidOperationException">Something was read already, and without them.</exception>
    public static void Use(ImmutableArray<HttpFilterExtension> httpFilters, ImmutableArray<NetworkFilterExtension> networkFilters = default)
    {
        if (networkFilters.IsDefault) networkFilters = [];
        lock (s_gate)
        {
            if (httpFilters.Select(f => f.Name).SequenceEqual(s_httpFilters.Select(f => f.Name))
                && networkFilters.Select(f => f.Name).SequenceEqual(s_networkFilters.Select(f => f.Name))) return;
            if (s_used) throw new InvalidOperationException("extensions are said before the first configuration is read");
            s_httpFilters = httpFilters;
            s_networkFilters = networkFilters;
        }
    }

    /// <summary>Every kind of HTTP filter but the router.</summary>
    internal static ImmutableArray<HttpFilterExtension> HttpFilters
    {
        get
        {
            lock (s_gate)
            {
                s_used = true;
                return s_httpFilters;
            }
        }
    }

    /// <summary>Every kind of network filter that is no part of the engine.</summary>
    internal static ImmutableArray<NetworkFilterExtension> NetworkFilters
    {
        get
        {
            lock (s_gate)
            {
                s_used = true;
                return s_networkFilters;
            }
        }
    }

    /// <summary>The files that declare their messages.</summary>
    internal static IEnumerable<FileDescriptor> Files => HttpFilters.SelectMany(f => new[] { f.Message, f.RouteMessage })
        .Concat(NetworkFilters.Select(f => f.Message)).OfType<MessageDescriptor>().Select(m => m.File).Distinct();

    /// <summary>A message that one of them declares, by its full name; null where none does.</summary>
    internal static MessageDescriptor? Find(string type)
    {
        foreach (HttpFilterExtension filter in HttpFilters)
            if (IsIn(filter.Package, type) && (In(filter.Message.File, type) ?? In(filter.RouteMessage?.File, type)) is { } found) return found;
        foreach (NetworkFilterExtension filter in NetworkFilters)
            if (IsIn(filter.Package, type) && In(filter.Message.File, type) is { } found) return found;
        return null;

        static MessageDescriptor? In(FileDescriptor? file, string type) => file?.FindTypeByName<MessageDescriptor>(type[(type.LastIndexOf('.') + 1)..]);
    }

    // Whether a type is of a package: asked first, since asking a filter for its message makes the descriptors of all its files.
    private static bool IsIn(string package, string type) => type.LastIndexOf('.') == package.Length && type.StartsWith(package, StringComparison.Ordinal);

    /// <summary>Their rows of the table of honoured fields.</summary>
    internal static string Fields => string.Concat(HttpFilters.Select(f => f.Fields).Concat(NetworkFilters.Select(f => f.Fields)));

    /// <summary>The filter whose configuration in the chain has this type, or which has this name where there is no type.</summary>
    internal static HttpFilterExtension? HttpFilter(string type, string name)
    {
        foreach (HttpFilterExtension filter in HttpFilters)
            if (type.Length > 0 ? IsIn(filter.Package, type) && filter.Message.FullName == type : filter.Name == name) return filter;
        return null;
    }

    /// <summary>The network filter whose configuration has this type, or which has this name where there is no type.</summary>
    internal static NetworkFilterExtension? NetworkFilter(string type, string name)
    {
        foreach (NetworkFilterExtension filter in NetworkFilters)
            if (type.Length > 0 ? IsIn(filter.Package, type) && filter.Message.FullName == type : filter.Name == name) return filter;
        return null;
    }

    /// <summary>The message that stands for one of API v2; null where no extension knows it.</summary>
    internal static string? TypeOfOld(string message) => HttpFilters.FirstOrDefault(f => f.OldMessage == message)?.Message.FullName
        ?? NetworkFilters.FirstOrDefault(f => f.OldMessage == message)?.Message.FullName;

    /// <summary>The message of the extension of this name; null where there is none.</summary>
    internal static string? TypeOfName(string name) => HttpFilters.FirstOrDefault(f => f.Name == name)?.Message.FullName
        ?? NetworkFilters.FirstOrDefault(f => f.Name == name)?.Message.FullName;

    /// <summary>The filter whose configuration at routes has this type.</summary>
    internal static HttpFilterExtension? HttpFilterOfRoute(string type)
    {
        foreach (HttpFilterExtension filter in HttpFilters) if (IsIn(filter.Package, type) && filter.RouteMessage?.FullName == type) return filter;
        return null;
    }
}
