// What a caller of the binder may decide, and where the binder remembers what stood where.
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Core;

namespace Naru.Yaml;

/// <summary>How a tree is bound to a message.</summary>
public sealed record BindOptions
{
    /// <summary>The defaults.</summary>
    public static BindOptions Default { get; } = new();

    /// <summary>Types that <c>"@type"</c> may name, by their full names; null for those that are not known.</summary>
    public Func<string, MessageDescriptor?> Types { get; init; } = static _ => null;

    /// <summary>Keeps an <c>Any</c> whose type is not in <see cref="Types"/>: its URL is set, its value stays empty, and
    /// whoever reads the message decides. Otherwise that is <c>NARU-C014</c>.</summary>
    public bool KeepUnknownTypes { get; init; }

    /// <summary>Whether one value may stand where a list is expected, as Envoy and Istio 1.0 took it.</summary>
    public bool SingleForRepeated { get; init; } = true;

    /// <summary>Messages that are known by name only: whatever they hold is accepted without a look, since their presence is judged later.</summary>
    public Func<MessageDescriptor, bool> Opaque { get; init; } = static _ => false;

    /// <summary>A better word for a field that the message does not declare; null for the usual <c>NARU-C010</c>.</summary>
    public Func<MessageDescriptor, string, UnknownField?>? Unknown { get; init; }
}

/// <summary>What to say about a field that is not declared.</summary>
/// <param name="Code">Stable code.</param>
/// <param name="Message">One sentence; the binder adds where.</param>
/// <param name="Remedy">What to do.</param>
public sealed record UnknownField(string Code, string Message, string? Remedy);

/// <summary>Remembers where each field of each message was written, so that validation after binding can point at lines.
/// Messages are told apart by identity.</summary>
public sealed class ProtoPlaces
{
    private readonly Dictionary<(object Message, string Field), Place> _fields = new(ByIdentity.Instance);
    private readonly Dictionary<object, IMessage> _unpacked = new(ReferenceEqualityComparer.Instance);

    /// <summary>Place of a field (its proto name; <c>name[3]</c> for an element), or of the message itself. The nearest known place
    /// stands in for an unknown one; a message that was not bound here has none.</summary>
    public Place Of(IMessage message, string? field = null)
    {
        if (field is not null)
        {
            if (_fields.TryGetValue((message, field), out Place place)) return place;
            int bracket = field.IndexOf('[', StringComparison.Ordinal);
            if (bracket > 0 && _fields.TryGetValue((message, field[..bracket]), out place)) return place;
        }
        return _fields.GetValueOrDefault((message, ""));
    }

    /// <summary>The message that was bound into an <c>Any</c>, with its own places; null where the value was not bound here.</summary>
    public IMessage? Unpacked(Google.Protobuf.WellKnownTypes.Any any) => _unpacked.GetValueOrDefault(any);

    /// <summary>Remembers a place.</summary>
    public void Set(IMessage message, string field, Place place) => _fields[(message, field)] = place;

    /// <summary>Remembers what an <c>Any</c> holds.</summary>
    public void SetUnpacked(Google.Protobuf.WellKnownTypes.Any any, IMessage message) => _unpacked[any] = message;

    private sealed class ByIdentity : IEqualityComparer<(object Message, string Field)>
    {
        public static readonly ByIdentity Instance = new();

        public bool Equals((object Message, string Field) x, (object Message, string Field) y) =>
            ReferenceEquals(x.Message, y.Message) && x.Field == y.Field;

        public int GetHashCode((object Message, string Field) key) =>
            HashCode.Combine(System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(key.Message), key.Field.GetHashCode(StringComparison.Ordinal));
    }
}
