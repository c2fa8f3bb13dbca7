// A talk between one engine and one imagined client, without wire, threads or clock. Tests speak in names and versions.
using Google.Protobuf.WellKnownTypes;
using Naru.Control.Xds;
using Xunit;

namespace Naru.SimulationTests.Xds;

/// <summary>A clock that moves only when told.</summary>
internal sealed class FakeTime : TimeProvider
{
    private long _ticks = 1;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override long GetTimestamp() => _ticks;

    public override DateTimeOffset GetUtcNow() => new(_ticks, TimeSpan.Zero);

    public void Advance(TimeSpan by) => _ticks += by.Ticks;
}

/// <summary>What there is: resources as <c>name=version</c>, parents as <c>name=version&gt;child,child</c>.</summary>
internal sealed class WorldBuilder
{
    private readonly Dictionary<string, ResourceTable> _tables = [];

    public WorldBuilder Clusters(params string[] items) => Set(TypeUrls.Cluster, items);

    public WorldBuilder Endpoints(params string[] items) => Set(TypeUrls.Endpoint, items);

    public WorldBuilder Listeners(params string[] items) => Set(TypeUrls.Listener, items);

    public WorldBuilder Routes(params string[] items) => Set(TypeUrls.Route, items);

    public WorldBuilder Set(string typeUrl, params string[] items)
    {
        _tables[typeUrl] = new ResourceTable([.. items.Select(Parse)]);
        return this;
    }

    public ResourceWorld Build() => new(_tables.ToDictionary());

    private static XdsResource Parse(string item)
    {
        string[] parts = item.Split('=', '>');
        string version = parts.Length > 1 ? parts[1] : "1";
        return new XdsResource(parts[0], version, new Any(), parts.Length > 2 ? parts[2].Split(',') : []);
    }
}

/// <summary>One engine and what was said to it.</summary>
internal sealed class Conversation(XdsEncoding encoding, XdsLimits? limits = null)
{
    public FakeTime Time { get; } = new();

    public SubscriptionEngine Engine => field ??= new SubscriptionEngine(encoding, "n", limits ?? new XdsLimits(), Time);

    public static Conversation State() => new(XdsEncoding.StateOfTheWorld);

    public static Conversation Delta() => new(XdsEncoding.Delta);

    public Conversation World(Action<WorldBuilder> build)
    {
        var builder = new WorldBuilder();
        build(builder);
        Engine.Offer(builder.Build());
        return this;
    }

    /// <summary>A request that must be taken.</summary>
    public Conversation Ask(string typeUrl, string[] names, string nonce = "", string? error = null, string[]? unsubscribe = null, Dictionary<string, string>? initial = null)
    {
        Refusal? refusal = Engine.Receive(new ClientMessage(typeUrl, nonce, names) { Error = error, Unsubscribe = unsubscribe ?? [], InitialVersions = initial ?? [] });
        Assert.Null(refusal);
        return this;
    }

    /// <summary>State of the world: confirms, repeating the names.</summary>
    public Conversation Ack(ServerUpdate update, params string[] names) => Ask(update.TypeUrl, encoding == XdsEncoding.Delta ? [] : names, update.Nonce);

    public Conversation Nack(ServerUpdate update, string error, params string[] names) => Ask(update.TypeUrl, encoding == XdsEncoding.Delta ? [] : names, update.Nonce, error);

    /// <summary>The next response, which must be there.</summary>
    public ServerUpdate Next(string typeUrl)
    {
        ServerUpdate? update = Engine.Next();
        Assert.NotNull(update);
        Assert.Equal(TypeUrls.ShortName(typeUrl), TypeUrls.ShortName(update.TypeUrl));
        return update;
    }

    public Conversation Silent()
    {
        ServerUpdate? update = Engine.Next();
        Assert.True(update is null, $"expected nothing, got {update?.TypeUrl} [{Text(update)}]");
        return this;
    }

    public TypeStatus Status(string typeUrl) => Engine.Status().Single(s => s.TypeUrl == typeUrl);

    /// <summary><c>a=1 b=2 -gone</c>, sorted.</summary>
    public static string Text(ServerUpdate? update) => update is null ? "" : string.Join(' ',
        update.Resources.Select(r => $"{r.Name}={r.Version}").Order(StringComparer.Ordinal).Concat(update.Removed.Select(r => "-" + r).Order(StringComparer.Ordinal)));
}
