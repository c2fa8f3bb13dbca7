// A network filter that stands before the last one of a chain, as the configuration knows it: its name, its message, which of its fields it
// honours, and how they are read. What it does with connections is told by the same class on the data plane's side.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Proxy.Config.Reading;

namespace Naru.Proxy.Config.Extensions;

/// <summary>One kind of network filter. It has no state: one object serves all that are configured.</summary>
public abstract class NetworkFilterExtension
{
    /// <summary>Envoy's name of it, such as <c>envoy.filters.network.ext_authz</c>. In configurations the type decides.</summary>
    public abstract string Name { get; }

    /// <summary>The message of its configuration.</summary>
    public abstract MessageDescriptor Message { get; }

    /// <summary>The package that declares <see cref="Message"/>.</summary>
    public virtual string Package => $"envoy.extensions.{Name["envoy.".Length..]}.v3";

    /// <summary>The full name of <see cref="Message"/> in API v2; null where there was none.</summary>
    public virtual string? OldMessage => null;

    /// <summary>Rows of the table of honoured fields for its messages; the marks are explained in HonouredFields.cs.</summary>
    public abstract string Fields { get; }

    /// <summary>What the message says; meaningless after an error. Its fields were walked already.</summary>
    internal abstract object Read(Scope scope, IMessage message);
}
