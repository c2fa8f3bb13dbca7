// What one client wants of one type, what it holds of it, and what it has not answered yet.
// Bookkeeping only: when something is sent, and in which order, is the engine's matter.
namespace Naru.Control.Xds;

internal sealed class Subscription(string typeUrl, XdsEncoding encoding, int errorLength)
{
    /// <summary>What the client holds of one name. An empty version means "something, we do not know what". One field and a
    /// flag: there is one for every resource of every proxy.</summary>
    internal readonly record struct Held(object Known, bool Refused)
    {
        /// <summary>The resource, where it was sent on this stream.</summary>
        public XdsResource? Resource => Known as XdsResource;

        public string Version => Known as string ?? ((XdsResource)Known).Version;
    }

    /// <summary>A response that has not been answered.</summary>
    internal sealed record Sent(string Nonce, string Version, IReadOnlyList<XdsResource> Resources, IReadOnlyList<string> Removed);

    private readonly Dictionary<string, Held> _held = new(StringComparer.Ordinal);
    private HashSet<string> _demanded = new(StringComparer.Ordinal);
    private readonly List<Sent> _unanswered = [];
    private bool _everNamed;
    private bool _acceptedLast;

    public string TypeUrl => typeUrl;

    /// <summary>State of the world, and the type's responses are its full state.</summary>
    public bool IsFull { get; } = encoding == XdsEncoding.StateOfTheWorld && TypeUrls.IsWildcard(typeUrl);

    public bool Started { get; private set; }
    public bool Wildcard { get; private set; }
    public HashSet<string> Names { get; private set; } = new(StringComparer.Ordinal);
    public IReadOnlyDictionary<string, Held> Holds => _held;
    public IReadOnlyList<Sent> Unanswered => _unanswered;
    public IReadOnlyCollection<string> Demanded => _demanded;

    /// <summary>The client asked, and gets a response even if there is nothing new in it.</summary>
    public bool MustAnswer { get; private set; }

    /// <summary>Something may have to be sent; looked at, and cleared, by the engine.</summary>
    public bool Dirty { get; set; }

    /// <summary>Something the client holds is gone, and it is told so once nothing of it points there any more.</summary>
    public bool RemovalDue { get; set; }

    /// <summary>Children of this type were announced anew, so the same names may be asked for once more.</summary>
    public bool Rewarmed { get; set; }

    /// <summary>The client refused the last response.</summary>
    public string? Error { get; private set; }

    public string LastNonce { get; private set; } = "";
    public string SentVersion { get; private set; } = "";
    public string AckedVersion { get; private set; } = "";
    public long Updates { get; private set; }
    public long Nacks { get; private set; }

    public bool Covers(string name) => Wildcard || Names.Contains(name);

    /// <summary>A state-of-the-world request: it lists every name. Returns what was refused or confirmed.</summary>
    public Answer ReceiveState(ClientMessage message)
    {
        bool first = !Started || message.Nonce.Length == 0 || LastNonce.Length == 0;
        if (!first && message.Nonce != LastNonce) return Answer.Stale;

        var answer = Answer.None;
        bool repeated = false;
        if (!first)
        {
            answer = Settle(message);
            repeated = answer == Answer.None && message.Error is null && _acceptedLast;
        }
        else
        {
            _unanswered.Clear();
            _held.Clear();
            Demand();
        }
        Started = true;

        var wanted = new HashSet<string>(message.Names, StringComparer.Ordinal);
        bool star = wanted.Remove("*");
        bool wildcardBefore = Wildcard;
        bool canBeWildcard = TypeUrls.IsWildcard(typeUrl);
        // An empty list means "everything" until a name was ever given; from then on it means "nothing" (xDS, legacy wildcard).
        bool legacy = wanted.Count == 0 && !star && !_everNamed;
        _everNamed |= star || wanted.Count > 0;
        Wildcard = canBeWildcard && (star || legacy);

        bool same = wanted.SetEquals(Names) && Wildcard == wildcardBefore;
        foreach (string name in wanted)
        {
            if (Names.Contains(name)) continue;
            _held.Remove(name);
            _demanded.Add(name);
            Demand();
        }
        if (Wildcard && !wildcardBefore) Demand();
        Names = wanted;
        if (!same) Trim();
        // Nothing is asked for, so there is nothing to answer.
        if (!Wildcard && Names.Count == 0) MustAnswer = false;

        if (repeated && same && Rewarmed)
        {
            // The client built the parent anew and asks for the same children again: it waits for them, changed or not.
            Rewarmed = false;
            foreach (string name in Names) _held.Remove(name);
            Demand();
        }
        return answer;
    }

    /// <summary>A delta request: it lists differences, and may at the same time answer a response.</summary>
    public Answer ReceiveDelta(ClientMessage message)
    {
        var answer = message.Nonce.Length > 0 ? Settle(message) : Answer.None;
        bool first = !Started;
        Started = true;
        bool canBeWildcard = TypeUrls.IsWildcard(typeUrl);
        if (first)
        {
            foreach ((string name, string version) in message.InitialVersions) _held[name] = new Held(version, false);
            if (canBeWildcard && message.Names.Count == 0) Wildcard = true;
            Demand();
        }
        if (Names.Count == 0) Names.EnsureCapacity(message.Names.Count);
        foreach (string name in message.Names)
        {
            if (name == "*")
            {
                if (canBeWildcard && !Wildcard) Demand();
                Wildcard |= canBeWildcard;
                continue;
            }
            Names.Add(name);
            // What the client still holds from before a reconnect is not sent again; any later request for a name is
            // answered even if nothing changed, because the client may have dropped what it had.
            if (!first || !message.InitialVersions.ContainsKey(name)) _held.Remove(name);
            _demanded.Add(name);
            Demand();
        }
        foreach (string name in message.Unsubscribe)
        {
            if (name == "*")
            {
                Wildcard = false;
                Trim();
                continue;
            }
            if (!Names.Remove(name)) continue;
            _held.Remove(name);
            _demanded.Remove(name);
            if (!Wildcard) continue;
            // Still covered by the wildcard: the client must be told whether it exists.
            _demanded.Add(name);
            Demand();
        }
        if (first) Trim();
        if (!Wildcard && Names.Count == 0) MustAnswer = false;
        return answer;
    }

    /// <summary>Records that an update goes out, and which names the client no longer holds once it took it.</summary>
    public void Record(ServerUpdate update, IReadOnlyList<string> withdrawn)
    {
        // Sized to what is held: a thousand proxies hold what they hold for days.
        if (_held.Count == 0) _held.EnsureCapacity(update.Resources.Count);
        foreach (XdsResource resource in update.Resources) _held[resource.Name] = new Held(resource, false);
        foreach (string name in withdrawn) _held.Remove(name);
        _unanswered.Add(new Sent(update.Nonce, update.Version, update.Resources, withdrawn));
        if (_demanded.Count > 0) _demanded = new HashSet<string>(StringComparer.Ordinal);
        MustAnswer = false;
        _acceptedLast = false;
        LastNonce = update.Nonce;
        SentVersion = update.Version;
        Updates++;
    }

    /// <summary>Forgets what the client holds of these names, so that they are sent again.</summary>
    public bool Forget(IEnumerable<string> names)
    {
        bool any = false;
        foreach (string name in names)
        {
            if (Covers(name)) any |= _held.Remove(name);
        }
        return any;
    }

    /// <summary>Drops a name silently: absence says nothing in this encoding and type.</summary>
    public void Drop(string name) => _held.Remove(name);

    private void Demand()
    {
        MustAnswer = true;
        Dirty = true;
    }

    private void Trim()
    {
        foreach (string name in _held.Keys)
        {
            if (!Covers(name)) _held.Remove(name);
        }
    }

    // ACK or NACK. Answering one response also settles the older ones: answers come in order.
    private Answer Settle(ClientMessage message)
    {
        int index = _unanswered.FindIndex(s => s.Nonce == message.Nonce);
        if (index < 0) return Answer.None;
        Sent sent = _unanswered[index];
        _unanswered.RemoveRange(0, index + 1);
        Dirty = true;
        if (message.Error is null)
        {
            AckedVersion = sent.Version;
            _acceptedLast = true;
            if (_unanswered.Count == 0) Error = null;
            return Answer.Ack;
        }
        Nacks++;
        Error = message.Error.Length <= errorLength ? message.Error : message.Error[..errorLength];
        // The client may have taken some of it or none. Nothing is sent again by itself, but the next change of
        // anything that was refused brings all of it along, since a good neighbour may have been refused too.
        foreach (XdsResource resource in sent.Resources)
        {
            if (_held.TryGetValue(resource.Name, out Held held) && held.Version == resource.Version) _held[resource.Name] = held with { Refused = true };
        }
        foreach (string name in sent.Removed)
        {
            if (Covers(name)) _held.TryAdd(name, new Held("", true));
        }
        return Answer.Nack;
    }
}

internal enum Answer
{
    None,
    Stale,
    Ack,
    Nack,
}
