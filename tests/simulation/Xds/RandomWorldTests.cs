// Random worlds against an imagined proxy that warms clusters as a real one does. Whatever happens, in whatever order:
// in the end the proxy has what there is, and on the way it never routes to a cluster that it has not got.
using Naru.Control.Xds;
using Xunit;

namespace Naru.SimulationTests.Xds;

public sealed class RandomWorldTests
{
    private const string C = TypeUrls.Cluster, E = TypeUrls.Endpoint, L = TypeUrls.Listener, R = TypeUrls.Route;

    public static TheoryData<XdsEncoding, int> Rows
    {
        get
        {
            var rows = new TheoryData<XdsEncoding, int>();
            for (int seed = 0; seed < 300; seed++)
            {
                rows.Add(XdsEncoding.StateOfTheWorld, seed);
                rows.Add(XdsEncoding.Delta, seed);
            }
            return rows;
        }
    }

    [Theory, MemberData(nameof(Rows))]
    public void A_proxy_always_ends_with_what_there_is_and_never_routes_into_nothing(XdsEncoding encoding, int seed)
    {
        var random = new Random(seed);
        var engine = new SubscriptionEngine(encoding, "n", new XdsLimits(), new FakeTime());
        var proxy = new Proxy(engine, encoding, random);
        proxy.Start();
        for (int round = 0; round < 60; round++)
        {
            ResourceWorld world = MakeWorld(random);
            engine.Offer(world);
            // Sometimes let it settle, sometimes change the world in the middle of it.
            int steps = random.Next(3) == 0 ? int.MaxValue : random.Next(12);
            while (steps-- > 0 && proxy.Step()) { }
            if (steps >= 0) proxy.AssertHas(world);
        }
        ResourceWorld last = MakeWorld(random);
        engine.Offer(last);
        while (proxy.Step()) { }
        proxy.AssertHas(last);
        Assert.All(engine.Status(), s => Assert.Equal(SyncState.Synced, s.State));
        Assert.Null(engine.Next());
    }

    // Routes name the clusters that they use: the version of r is the list of its clusters.
    private static ResourceWorld MakeWorld(Random random)
    {
        string[] clusters = [.. Enumerable.Range(0, 6).Where(_ => random.Next(2) == 0).Select(i => $"c{i}")];
        string[] routes = [.. Enumerable.Range(0, 3).Select(i => $"r{i}={string.Join('+', clusters.Where(_ => random.Next(2) == 0))}")];
        return new WorldBuilder()
            .Clusters([.. clusters.Select(c => $"{c}={random.Next(2)}>{c}")])
            .Endpoints([.. clusters.Select(c => $"{c}={random.Next(3)}")])
            .Listeners($"l={random.Next(2)}>r0,r1,r2")
            .Routes(routes)
            .Build();
    }

    private sealed class Proxy(SubscriptionEngine engine, XdsEncoding encoding, Random random)
    {
        private readonly Dictionary<string, Dictionary<string, string>> _has = new() { [C] = [], [E] = [], [L] = [], [R] = [] };
        private readonly Dictionary<string, HashSet<string>> _wants = new() { [C] = [], [E] = [], [L] = [], [R] = [] };
        private readonly HashSet<string> _warm = [];
        private readonly HashSet<string> _serving = [];
        private readonly Queue<ServerUpdate> _wire = [];
        private readonly Queue<ClientMessage> _back = [];
        private readonly Dictionary<string, string> _nonce = [];

        public void Start()
        {
            Send(C, []);
            Send(L, []);
            Want(R, ["r0", "r1", "r2"], []);
        }

        /// <summary>One thing happens, in an order of chance's choosing; false where nothing is left to happen.</summary>
        public bool Step()
        {
            foreach (int choice in new[] { 0, 1, 2 }.OrderBy(_ => random.Next()))
            {
                if (choice == 0 && engine.Next() is { } update)
                {
                    _wire.Enqueue(update);
                    return true;
                }
                if (choice == 1 && _wire.TryDequeue(out ServerUpdate? arrived))
                {
                    Apply(arrived);
                    return true;
                }
                if (choice == 2 && _back.TryDequeue(out ClientMessage? message))
                {
                    Assert.Null(engine.Receive(message));
                    return true;
                }
            }
            return false;
        }

        public void AssertHas(ResourceWorld world)
        {
            foreach (string type in new[] { C, L, R }) Assert.Equal(Text(world[type].Resources.ToDictionary(r => r.Name, r => r.Version)), Text(_has[type]));
            foreach (XdsResource cluster in world[C].Resources)
            {
                Assert.Equal(world[E].Find(cluster.Name)!.Version, _has[E].GetValueOrDefault(cluster.Name));
                Assert.Contains(cluster.Name, _warm);
            }
        }

        private void Apply(ServerUpdate update)
        {
            Dictionary<string, string> has = _has[update.TypeUrl];
            _nonce[update.TypeUrl] = update.Nonce;
            bool full = encoding == XdsEncoding.StateOfTheWorld && TypeUrls.IsWildcard(update.TypeUrl);
            var gone = full ? has.Keys.Except(update.Resources.Select(r => r.Name)).ToList() : [.. update.Removed];
            var changed = update.Resources.Where(r => has.GetValueOrDefault(r.Name) != r.Version).ToList();
            foreach (string name in gone) has.Remove(name);
            foreach (XdsResource resource in update.Resources) has[resource.Name] = resource.Version;

            switch (update.TypeUrl)
            {
                case C:
                    // A cluster that is new or changed is built anew and warms: it asks for its endpoints once more.
                    foreach (string name in gone)
                    {
                        _warm.Remove(name);
                        _serving.Remove(name);
                        _has[E].Remove(name);
                    }
                    foreach (XdsResource cluster in changed)
                    {
                        _warm.Remove(cluster.Name);
                        _has[E].Remove(cluster.Name);
                    }
                    Ack(update);
                    if (gone.Count + changed.Count > 0) Want(E, [.. changed.Select(c => c.Name)], gone);
                    break;
                case E:
                    _warm.UnionWith(update.Resources.Select(r => r.Name).Where(_has[C].ContainsKey));
                    _serving.UnionWith(_warm);
                    Ack(update);
                    break;
                case R:
                    foreach (XdsResource route in update.Resources)
                    {
                        foreach (string cluster in route.Version.Split('+', StringSplitOptions.RemoveEmptyEntries))
                        {
                            Assert.True(_has[C].ContainsKey(cluster), $"route {route.Name} arrived before its cluster {cluster}");
                            // One that is built anew goes on serving with what it had until it is warm again.
                            Assert.True(_serving.Contains(cluster), $"route {route.Name} arrived before cluster {cluster} was ever warm");
                        }
                    }
                    Ack(update);
                    break;
                default:
                    Ack(update);
                    break;
            }
            foreach (string cluster in _has[R].Values.SelectMany(v => v.Split('+', StringSplitOptions.RemoveEmptyEntries)))
            {
                Assert.True(_has[C].ContainsKey(cluster), $"cluster {cluster} went while a route still led to it");
            }
        }

        private void Want(string type, List<string> more, List<string> less)
        {
            _wants[type].ExceptWith(less);
            _wants[type].UnionWith(more);
            if (encoding == XdsEncoding.StateOfTheWorld) Send(type, [.. _wants[type]]);
            else _back.Enqueue(new ClientMessage(type, "", more) { Unsubscribe = less });
        }

        private void Send(string type, List<string> names) => _back.Enqueue(new ClientMessage(type, _nonce.GetValueOrDefault(type, ""), names));

        private void Ack(ServerUpdate update) =>
            _back.Enqueue(new ClientMessage(update.TypeUrl, update.Nonce, encoding == XdsEncoding.StateOfTheWorld ? [.. _wants[update.TypeUrl]] : []));

        private static string Text(Dictionary<string, string> items) => string.Join(' ', items.OrderBy(i => i.Key, StringComparer.Ordinal).Select(i => $"{i.Key}={i.Value}"));
    }
}
