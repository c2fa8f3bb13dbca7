// The subscriptions of one stream: takes requests and new worlds in, gives the next response out, in the order in
// which a proxy can apply them without losing a request. One engine, two encodings; no sockets, no tasks, no gRPC.
// Not safe for concurrent use: the stream's own loop is its only caller.
using System.Globalization;

namespace Naru.Control.Xds;

/// <summary>The protocol rules of xDS for one stream. Source: Envoy's "xDS REST and gRPC protocol" page.</summary>
/// <remarks>
/// Order: clusters, endpoints, listeners, routes, then other types. Listeners and routes wait (bounded) until the proxy
/// confirmed the clusters and endpoints before them; what no longer exists is withdrawn after everything that pointed at it.
/// Of each type one response is under way at a time, and everything that changes meanwhile is merged into the next.
/// </remarks>
/// <param name="encoding">How the client spells its subscription.</param>
/// <param name="nonceSeed">Makes nonces of different streams different.</param>
/// <param name="limits">What the client may ask for.</param>
/// <param name="time">For the bounded wait.</param>
public sealed class SubscriptionEngine(XdsEncoding encoding, string nonceSeed, XdsLimits limits, TimeProvider time)
{
    private const int MaxTypeUrl = 256;

    private readonly Dictionary<string, Subscription> _byType = new(StringComparer.Ordinal);
    private readonly List<Subscription> _ordered = [];
    private readonly HashSet<string> _awaitedChildren = new(StringComparer.Ordinal);
    private ResourceWorld? _world;
    private long _heldSince;
    private bool _holding;
    private long _lastNonce;

    /// <summary>How long until <see cref="Next"/> may have something although nothing arrived; null where only events matter.</summary>
    public TimeSpan? WakeIn
    {
        get
        {
            if (!_holding || !_ordered.Any(s => s.Dirty || s.RemovalDue)) return null;
            TimeSpan left = limits.WarmingHold - time.GetElapsedTime(_heldSince);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    /// <summary>Takes one request in. A refusal ends the stream.</summary>
    public Refusal? Receive(ClientMessage message)
    {
        if (Refuse(message) is { } refusal) return refusal;
        if (!_byType.TryGetValue(message.TypeUrl, out Subscription? subscription))
        {
            if (_byType.Count >= limits.Types)
            {
                return new Refusal(RefusalKind.ResourceExhausted, $"this stream already has {limits.Types} resource types; {message.TypeUrl} would be one more");
            }
            subscription = new Subscription(message.TypeUrl, encoding, limits.ErrorLength);
            _byType.Add(message.TypeUrl, subscription);
            _ordered.Add(subscription);
            _ordered.Sort((a, b) => Rank(a.TypeUrl).CompareTo(Rank(b.TypeUrl)));
        }
        message = message with { Names = Shared(message.TypeUrl, message.Names) };
        if (encoding == XdsEncoding.Delta) subscription.ReceiveDelta(message);
        else subscription.ReceiveState(message);
        return null;
    }

    /// <summary>Gives the engine what there is now. What differs from what the client holds becomes due; earlier worlds are forgotten.</summary>
    public void Offer(ResourceWorld world)
    {
        foreach (Subscription subscription in _ordered)
        {
            if (_world is null || !ReferenceEquals(_world[subscription.TypeUrl], world[subscription.TypeUrl])
                && _world[subscription.TypeUrl].Version != world[subscription.TypeUrl].Version)
            {
                subscription.Dirty = true;
            }
        }
        _world = world;
        AwaitReturned();
    }

    /// <summary>The next response to send, or null where nothing may be sent now. Nothing is ever sent before the first <see cref="Offer"/>.</summary>
    public ServerUpdate? Next()
    {
        if (_world is null) return null;
        bool holdsRoutes = HoldsRoutes();
        foreach (Subscription subscription in _ordered)
        {
            if (!subscription.Dirty || IsBlocked(subscription, holdsRoutes)) continue;
            if (Compute(subscription, MayRemove(subscription)) is { } update) return update;
        }
        foreach (Subscription subscription in _ordered)
        {
            if (!subscription.RemovalDue || subscription.Unanswered.Count > 0 || !MayRemove(subscription)) continue;
            if (Compute(subscription, true) is { } update) return update;
        }
        return null;
    }

    /// <summary>How far the client is, one row a type, in push order.</summary>
    public IReadOnlyList<TypeStatus> Status() => [.. _ordered.Select(s => new TypeStatus(
        s.TypeUrl, StateOf(s), s.SentVersion, s.AckedVersion, s.Error, s.Wildcard ? -1 : s.Names.Count, s.Holds.Count, s.Updates, s.Nacks))];

    private static SyncState StateOf(Subscription subscription)
    {
        if (subscription.Updates == 0) return SyncState.NotSent;
        if (subscription.Unanswered.Count > 0) return SyncState.Stale;
        if (subscription.Error is not null) return SyncState.Nack;
        return subscription.Dirty || subscription.RemovalDue ? SyncState.Stale : SyncState.Synced;
    }

    // A thousand proxies ask for the same thousand names: each is kept once, as the resource's own.
    private IReadOnlyList<string> Shared(string typeUrl, IReadOnlyList<string> names)
    {
        if (_world is null || names.Count == 0) return names;
        ResourceTable table = _world[typeUrl];
        var shared = new string[names.Count];
        for (int i = 0; i < shared.Length; i++) shared[i] = table.Find(names[i])?.Name ?? names[i];
        return shared;
    }

    private static int Rank(string typeUrl)
    {
        for (int i = 0; i < TypeUrls.PushOrder.Count; i++)
        {
            if (TypeUrls.PushOrder[i] == typeUrl) return i;
        }
        return int.MaxValue;
    }

    private Refusal? Refuse(ClientMessage message)
    {
        if (message.TypeUrl.Length == 0) return new Refusal(RefusalKind.InvalidArgument, "type_url is empty; an aggregated stream needs it in every request");
        if (message.TypeUrl.Length > MaxTypeUrl) return new Refusal(RefusalKind.InvalidArgument, "type_url is too long");
        int others = _ordered.Sum(s => s.TypeUrl == message.TypeUrl && encoding == XdsEncoding.StateOfTheWorld ? 0 : s.Names.Count);
        if (others + message.Names.Count > limits.Names || message.InitialVersions.Count > limits.Names || message.Unsubscribe.Count > limits.Names)
        {
            return new Refusal(RefusalKind.ResourceExhausted, $"more than {limits.Names} resource names on one stream");
        }
        foreach (string name in message.Names.Concat(message.InitialVersions.Keys))
        {
            if (name.Length == 0) return new Refusal(RefusalKind.InvalidArgument, $"an empty resource name in a request for {TypeUrls.ShortName(message.TypeUrl)}");
            if (name.Length > limits.NameLength) return new Refusal(RefusalKind.InvalidArgument, $"a resource name longer than {limits.NameLength} characters in a request for {TypeUrls.ShortName(message.TypeUrl)}");
        }
        return null;
    }

    // One response of a type is under way at a time. An explicit request is answered at once all the same (a proxy that
    // warms a cluster may keep other answers back until it has its endpoints), up to a bound.
    private bool IsBlocked(Subscription subscription, bool holdsRoutes)
    {
        int unanswered = subscription.Unanswered.Count;
        if (unanswered > 0 && !(subscription.MustAnswer && unanswered < limits.Unanswered)) return true;
        return holdsRoutes && (subscription.TypeUrl is TypeUrls.Listener or TypeUrls.Route);
    }

    // Listeners and routes must not point at a cluster that the proxy has not got, or has not warmed.
    private bool HoldsRoutes()
    {
        if (!_holding) return false;
        Subscription? endpoints = _byType.GetValueOrDefault(TypeUrls.Endpoint);
        bool endpointsSettled = endpoints is null || endpoints.Unanswered.Count == 0;
        if (endpoints is not null && endpointsSettled)
        {
            _awaitedChildren.RemoveWhere(child => _world![TypeUrls.Endpoint].Find(child) is null
                ? !endpoints.Demanded.Contains(child)
                : endpoints.Holds.ContainsKey(child));
        }
        bool warmed = IsSettled(TypeUrls.Cluster) && endpointsSettled && _awaitedChildren.Count == 0;
        if (!warmed && time.GetElapsedTime(_heldSince) < limits.WarmingHold) return true;
        _holding = false;
        _awaitedChildren.Clear();
        _awaitedChildren.TrimExcess();
        return false;
    }

    // A cluster that was to go, and comes back before it went, is no change of clusters; but its endpoints may have gone.
    private void AwaitReturned()
    {
        if (!_byType.TryGetValue(TypeUrls.Endpoint, out Subscription? endpoints) || !endpoints.Dirty) return;
        if (!_byType.TryGetValue(TypeUrls.Cluster, out Subscription? clusters) || !clusters.Wildcard) return;
        foreach (string name in endpoints.Names)
        {
            if (!endpoints.Holds.ContainsKey(name) && _world![TypeUrls.Endpoint].Find(name) is not null && _awaitedChildren.Add(name)) Hold();
        }
    }

    private void Hold()
    {
        _holding = true;
        _heldSince = time.GetTimestamp();
    }

    private bool IsSettled(string typeUrl) => !_byType.TryGetValue(typeUrl, out Subscription? s) || s.Unanswered.Count == 0;

    // Break after make: a cluster goes once no listener or route points at it any more, endpoints once their cluster is
    // gone, routes once their listener is. A client that refused its new routes still uses the old ones, and their clusters.
    private bool MayRemove(Subscription subscription) => subscription.TypeUrl switch
    {
        TypeUrls.Cluster => IsAtRest(TypeUrls.Listener) && IsAtRest(TypeUrls.Route),
        TypeUrls.Endpoint => IsAtRest(TypeUrls.Listener) && IsAtRest(TypeUrls.Route) && IsAtRest(TypeUrls.Cluster),
        TypeUrls.Route => IsAtRest(TypeUrls.Listener),
        _ => true,
    };

    private bool IsAtRest(string typeUrl)
    {
        if (!_byType.TryGetValue(typeUrl, out Subscription? s)) return true;
        // Clusters wait for their own removal only when it is endpoints that ask.
        bool removalPending = typeUrl == TypeUrls.Cluster && s.RemovalDue;
        return !s.Dirty && !removalPending && s.Unanswered.Count == 0 && s.Error is null;
    }

    private ServerUpdate? Compute(Subscription subscription, bool mayRemove)
    {
        ResourceTable table = _world![subscription.TypeUrl];
        var visible = Visible(subscription, table);
        var changed = new List<XdsResource>();
        var refused = new List<XdsResource>();
        bool refusedMoved = false;
        foreach (XdsResource resource in visible)
        {
            if (!subscription.Holds.TryGetValue(resource.Name, out Subscription.Held held)) changed.Add(resource);
            else if (held.Version != resource.Version)
            {
                changed.Add(resource);
                refusedMoved |= held.Refused;
            }
            else if (held.Refused) refused.Add(resource);
        }

        var gone = new List<string>();
        var goneRefused = new List<string>();
        var retained = new List<XdsResource>();
        bool absenceIsSilent = encoding == XdsEncoding.StateOfTheWorld && !subscription.IsFull;
        foreach ((string name, Subscription.Held held) in subscription.Holds)
        {
            if (table.Find(name) is not null) continue;
            if (absenceIsSilent) subscription.Drop(name);
            else if (held.Refused && held.Version.Length == 0) goneRefused.Add(name);
            else
            {
                gone.Add(name);
                refusedMoved |= held.Refused;
                if (held.Resource is not null) retained.Add(held.Resource);
            }
        }
        if (refusedMoved)
        {
            changed.AddRange(refused);
            gone.AddRange(goneRefused);
        }

        subscription.Dirty = false;
        subscription.RemovalDue = gone.Count > 0 && !mayRemove;
        bool withdraws = gone.Count > 0 && mayRemove;
        List<string> missing = encoding == XdsEncoding.Delta ? [.. subscription.Demanded.Where(name => table.Find(name) is null && !subscription.Holds.ContainsKey(name))] : [];
        if (changed.Count == 0 && !withdraws && missing.Count == 0 && !subscription.MustAnswer) return null;

        IReadOnlyList<XdsResource> resources = changed;
        if (subscription.IsFull) resources = mayRemove ? visible : [.. visible, .. retained];
        if (withdraws) missing.AddRange(gone);
        // In a full state, and in a partial one, absence is all there is to say.
        IReadOnlyList<string> removed = encoding == XdsEncoding.Delta ? missing : [];
        string version = subscription.IsFull ? ResourceTable.VersionOf(resources) : ResourceTable.VersionOf(visible);
        string nonce = nonceSeed + (++_lastNonce).ToString(CultureInfo.InvariantCulture);
        var update = new ServerUpdate(subscription.TypeUrl, nonce, version, resources, removed);
        subscription.Record(update, missing);
        Announce(subscription, changed);
        return update;
    }

    private static IReadOnlyList<XdsResource> Visible(Subscription subscription, ResourceTable table)
    {
        if (subscription.Wildcard) return table.Resources;
        var visible = new List<XdsResource>(Math.Min(subscription.Names.Count, table.Resources.Count));
        foreach (string name in subscription.Names)
        {
            if (table.Find(name) is { } resource) visible.Add(resource);
        }
        return visible;
    }

    // A proxy that gets a cluster (a listener) anew warms it, and waits for its endpoints (its routes) even when those
    // did not change. So they follow by themselves; those the proxy does not know yet, it will ask for.
    private void Announce(Subscription parent, List<XdsResource> changed)
    {
        if (parent.TypeUrl == TypeUrls.Cluster)
        {
            // Also for a mere removal: the next clusters wait for its answer, and routes to them must not overtake.
            Hold();
        }
        if (TypeUrls.ChildOf(parent.TypeUrl) is not { } childType) return;
        _byType.TryGetValue(childType, out Subscription? children);
        foreach (XdsResource resource in changed)
        {
            if (children is not null && children.Forget(resource.Children))
            {
                children.Dirty = true;
                children.Rewarmed = true;
            }
            if (parent.TypeUrl != TypeUrls.Cluster || !parent.Wildcard) continue;
            _awaitedChildren.UnionWith(resource.Children);
        }
    }
}
