// One stream to a control plane and all subscriptions on it: connects, asks, answers each response with ACK or NACK, and when the
// stream dies begins anew after a while with what it knows. It never takes configuration away. Runs on the main context only.
// Order, as Envoy has it: what an answer makes wanted is asked for before the answer is confirmed, so that a server knows all of it by then.
using Envoy.Config.Core.V3;
using Envoy.Service.Discovery.V3;
using Google.Protobuf;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Xds;

/// <summary>What a client needs from the rest.</summary>
internal sealed record XdsClientOptions
{
    /// <summary>Name of the xDS cluster, for logs.</summary>
    public required string Cluster { get; init; }
    /// <summary>The method to call.</summary>
    public required XdsMethod Method { get; init; }
    /// <summary>Who we are.</summary>
    public required Node Node { get; init; }
    /// <summary>The next server; asked at each connect. Null where there is none.</summary>
    public required Func<XdsPeer?> NextPeer { get; init; }
    /// <summary>Judges and stores updates.</summary>
    public required UpdateHandler Updates { get; init; }
    /// <summary>Versions of accepted resources.</summary>
    public required Func<ResourceType, IEnumerable<KeyValuePair<string, string>>> Known { get; init; }
    /// <summary>Whether verdicts on a type must wait: what it brought is not in use yet.</summary>
    public Func<ResourceType, bool> Holds { get; init; } = static _ => false;

    /// <summary>How the stream is called and kept.</summary>
    public StreamSettings Settings { get; init; } = new();

    /// <summary>Where to count; null for nowhere.</summary>
    public StatBlock? Stats { get; init; }

    /// <summary>Told when the connection comes and goes.</summary>
    public Action<bool> ConnectedChanged { get; init; } = _ => { };
}

/// <summary>A multiplexed xDS stream. Types are asked for in the order of <see cref="ResourceType"/>.</summary>
internal sealed class XdsClient
{
    private readonly XdsClientOptions _options;
    private readonly IXdsTransport _transport;
    private readonly MainContext _main;
    private readonly Action<LogLevel, string> _log;
    private readonly BackOff _backOff;
    private readonly ITimer _retry;
    private readonly ITimer _turn;
    private readonly RequestBudget? _budget;
    private readonly Queue<(Subscription Of, Verdict? Verdict)> _line = new();
    private readonly SortedDictionary<ResourceType, Subscription> _subscriptions = [];
    private IXdsStream? _stream;
    private int _generation;
    private bool _nodeSent;
    private bool _connected;
    private bool _waiting;
    private bool _stopped;
    private int _handling;

    public XdsClient(XdsClientOptions options, IXdsTransport transport, MainContext main, TimeProvider time, Random random, Action<LogLevel, string> log)
    {
        _options = options;
        _transport = transport;
        _main = main;
        _log = log;
        _backOff = new BackOff(random, options.Settings.RetryBase, options.Settings.RetryMax);
        if (options.Settings.MaxTokens is { } tokens) _budget = new RequestBudget(time, tokens, options.Settings.FillRate);
        _turn = time.CreateTimer(_ => main.Post(Drain), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _retry = time.CreateTimer(_ => main.Post(Connect), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Whether the server has accepted the stream.</summary>
    public bool IsConnected => _connected;

    /// <summary>Wants everything of a type.</summary>
    public void SubscribeAll(ResourceType type)
    {
        Of(type).Wildcard = true;
        Speak();
    }

    /// <summary>Wants exactly these names of a type.</summary>
    public void SubscribeNames(ResourceType type, HashSet<string> names)
    {
        if (names.Count == 0 && type != ResourceType.VirtualHost && !_subscriptions.ContainsKey(type)) return;
        Subscription subscription = Of(type);
        subscription.IsOver = false;
        subscription.Names = names;
        Speak();
    }

    /// <summary>Wants nothing of a type any more, not even to have it begun.</summary>
    public void Unwant(ResourceType type)
    {
        if (!_subscriptions.TryGetValue(type, out Subscription? subscription)) return;
        subscription.Names = [];
        if (subscription.SpeaksFirst) subscription.IsOver = true;
        Speak();
    }

    /// <summary>Wants no longer all of a type; false where it did not.</summary>
    public bool UnsubscribeAll(ResourceType type) =>
        _subscriptions.TryGetValue(type, out Subscription? subscription) && subscription.Wildcard && _subscriptions.Remove(type);

    /// <summary>Wants an answer about these names though it had one: whoever needs it was made anew.</summary>
    public void AskAgain(ResourceType type)
    {
        if (!_subscriptions.TryGetValue(type, out Subscription? subscription)) return;
        subscription.Again = true;
        Speak();
    }

    /// <summary>Says what had to wait.</summary>
    /// <param name="type">Whose verdicts.</param>
    /// <param name="complaint">Why the last one is a refusal after all; null where it is as it was.</param>
    public void Release(ResourceType type, string? complaint)
    {
        if (complaint is not null && _subscriptions.TryGetValue(type, out Subscription? subscription) && subscription.Held.LastOrDefault() is { Error: null } last)
        {
            List<Verdict> held = [.. subscription.Held];
            held[^1] = last with { Error = complaint };
            subscription.Held.Clear();
            foreach (Verdict verdict in held) subscription.Held.Enqueue(verdict);
        }
        Speak();
    }

    /// <summary>Says no more and hears no more.</summary>
    public void Stop()
    {
        _stopped = true;
        _generation++;
        _retry.Dispose();
        _turn.Dispose();
        _line.Clear();
        _stream?.Close();
        _stream = null;
        SetConnected(false);
    }

    private Subscription Of(ResourceType type)
    {
        if (!_subscriptions.TryGetValue(type, out Subscription? subscription))
        {
            _subscriptions[type] = subscription = _options.Method.Delta
                ? new DeltaSubscription(type) { SpeaksFirst = type == ResourceType.VirtualHost }
                : new StateSubscription(type);
        }
        return subscription;
    }

    private void Speak()
    {
        // All that a response changes is said when it was handled.
        if (_handling > 0 || _stopped) return;
        if (_stream is null)
        {
            if (!_waiting) Connect();
            return;
        }
        SayNews(null);
        Drain();
    }

    private void SayNews(Subscription? but)
    {
        foreach (Subscription subscription in _subscriptions.Values)
        {
            if (subscription == but) continue;
            while (subscription.Held.Count > 0 && !_options.Holds(subscription.Type)) _line.Enqueue((subscription, subscription.Held.Dequeue()));
            if (subscription.IsInLine || !subscription.HasNews) continue;
            subscription.IsInLine = true;
            _line.Enqueue((subscription, null));
        }
    }

    // In turn, each for a token where they are counted.
    private void Drain()
    {
        while (_line.Count > 0 && _stream is not null)
        {
            (Subscription of, Verdict? verdict) = _line.Peek();
            if (_budget is not null && (verdict is not null || of.HasNews) && !_budget.TryTake())
            {
                _options.Stats?.Add(ControlPlaneStats.RateLimited);
                _turn.Change(_budget.UntilNext.ForTimer(), Timeout.InfiniteTimeSpan);
                break;
            }
            _line.Dequeue();
            if (verdict is null) of.IsInLine = false;
            Send(of, verdict);
        }
        _options.Stats?.Set(ControlPlaneStats.Pending, _line.Count);
    }

    private void Connect()
    {
        _waiting = false;
        if (_stopped || _stream is not null) return;
        if (_options.NextPeer() is not { } peer)
        {
            Failed($"cluster {_options.Cluster} has no address");
            return;
        }
        _nodeSent = false;
        _line.Clear();
        foreach (Subscription subscription in _subscriptions.Values) subscription.StreamOpened();
        _stream = _transport.Open(_options.Method, peer, new Events(this, ++_generation, peer.Address));
        SayNews(null);
        Drain();
    }

    private void Send(Subscription subscription, Verdict? verdict)
    {
        IMessage? request = subscription.Next(verdict, () => _options.Known(subscription.Type));
        if (request is null || _stream is null) return;
        if (!_nodeSent || !_options.Settings.NodeOnce)
        {
            _nodeSent = true;
            if (request is DiscoveryRequest state) state.Node = _options.Node;
            else ((DeltaDiscoveryRequest)request).Node = _options.Node;
        }
        _stream.Send(request);
    }

    private void Received(IMessage response)
    {
        _backOff.Reset();
        SetConnected(true);
        string url = response is DiscoveryResponse s ? s.TypeUrl : ((DeltaDiscoveryResponse)response).TypeUrl;
        Subscription? subscription = null;
        if (url.Length == 0 && _subscriptions.Count == 1) subscription = _subscriptions.Values.First();
        else if (ResourceTypes.TryParse(url, out ResourceType type)) _subscriptions.TryGetValue(type, out subscription);
        if (subscription is null)
        {
            _log(LogLevel.Warning, $"xds: {_options.Cluster} sent \"{url}\", which was not asked for; ignored");
            return;
        }
        (string nonce, string version) = response is DiscoveryResponse answer
            ? (answer.Nonce, answer.VersionInfo)
            : (((DeltaDiscoveryResponse)response).Nonce, "");
        _handling++;
        string? wrong;
        try
        {
            wrong = response is DiscoveryResponse state
                ? _options.Updates.Handle(subscription.Type, state)
                : _options.Updates.Handle(subscription.Type, (DeltaDiscoveryResponse)response);
        }
        catch (Exception e)
        {
            // A bug of ours. Who sent it waits for a word about it, and would send nothing more of this type.
            _log(LogLevel.Error, $"xds: {subscription.Type.Abbreviation()} version \"{version}\": an internal fault was contained: {e}");
            wrong = $"error[NARU-X112]: an internal fault of the proxy: {e.GetType().Name}: {e.Message}";
        }
        finally { _handling--; }
        if (_stopped || _stream is null) return;
        SayNews(subscription);
        subscription.Held.Enqueue(new Verdict(nonce, version, wrong));
        // Of its own names the verdict tells, too.
        while (subscription.Held.Count > 0 && !_options.Holds(subscription.Type)) _line.Enqueue((subscription, subscription.Held.Dequeue()));
        if (subscription.Held.Count > 0) SayNews(null);
        Drain();
    }

    private void Connected(AddressConfig address)
    {
        if (!_connected) _log(LogLevel.Info, $"xds: connected to {_options.Cluster} at {address}");
        SetConnected(true);
    }

    private void Failed(string reason)
    {
        _stream = null;
        _generation++;
        bool was = _connected;
        SetConnected(false);
        _line.Clear();
        foreach (Subscription subscription in _subscriptions.Values) _options.Updates.ConnectionFailed(subscription.Type, subscription.Names);
        TimeSpan wait = _backOff.Next();
        _log(was ? LogLevel.Warning : LogLevel.Info,
            $"xds: stream to {_options.Cluster} ended: {reason}; what is known goes on, next try in {wait.TotalMilliseconds:0} ms");
        _waiting = true;
        _retry.Change(wait.ForTimer(), Timeout.InfiniteTimeSpan);
    }

    private void SetConnected(bool connected)
    {
        if (_connected == connected) return;
        _connected = connected;
        _options.ConnectedChanged(connected);
    }

    /// <summary>Brings a stream's events to the main context; those of a stream that was given up are dropped.</summary>
    private sealed class Events(XdsClient client, int generation, AddressConfig address) : IXdsStreamEvents
    {
        public void Connected() => Post(() => client.Connected(address));

        public void Received(IMessage response) => Post(() => client.Received(response));

        public void Closed(string reason) => Post(() => client.Failed($"{address}: {reason}"));

        private void Post(Action action) => client._main.Post(() =>
        {
            if (client._generation == generation && !client._stopped) action();
        });
    }
}
