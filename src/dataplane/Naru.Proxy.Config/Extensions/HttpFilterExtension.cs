// An HTTP filter as the configuration knows it: its names, its messages, which of their fields it honours, and how they are read.
// What it does with requests is told by the same class on the data plane's side; here nothing is known of that.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Config.Extensions;

/// <summary>One kind of HTTP filter. It has no state: one object serves all that are configured.</summary>
public abstract class HttpFilterExtension
{
    /// <summary>Envoy's name of it, such as <c>envoy.filters.http.cors</c>. In configurations the type decides, and any name may be given.</summary>
    public abstract string Name { get; }

    /// <summary>The message of its configuration in the chain.</summary>
    public abstract MessageDescriptor Message { get; }

    /// <summary>The package that declares <see cref="Message"/> and <see cref="RouteMessage"/>.</summary>
    public virtual string Package => $"envoy.extensions.{Name["envoy.".Length..]}.v3";

    /// <summary>The message of its configuration at routes; null where it has none.</summary>
    public virtual MessageDescriptor? RouteMessage => null;

    /// <summary>The full name of <see cref="Message"/> in API v2; null where there was none.</summary>
    public virtual string? OldMessage => null;

    /// <summary>Rows of the table of honoured fields for its messages; the marks are explained in HonouredFields.cs.</summary>
    public abstract string Fields { get; }

    /// <summary>Whether a name alone, without a configuration, is enough.</summary>
    public virtual bool NeedsNothing => false;

    /// <summary>Whether it may stand behind the router, among a cluster's filters.</summary>
    public virtual bool MayBeUpstream => false;

    /// <summary>What the message says; meaningless after an error. Its fields were walked already.</summary>
    internal abstract object Read(Scope scope, IMessage message);

    /// <summary>Whether what a route says to a kind of filter is heard by a filter of this one.</summary>
    /// <param name="kind">That kind.</param>
    /// <param name="settings">What the chain says; null where that is not known.</param>
    internal virtual bool Hears(HttpFilterExtension kind, object? settings) => ReferenceEquals(kind, this);

    /// <summary>What of a route's settings can do nothing beside the chain's; null where all can.</summary>
    internal virtual string? Futile(object settings, object said) => null;

    /// <summary>The same of a <see cref="RouteMessage"/>.</summary>
    internal virtual object ReadRoute(Scope scope, IMessage message) => throw new NotSupportedException($"{Name} has no configuration at routes");
}
