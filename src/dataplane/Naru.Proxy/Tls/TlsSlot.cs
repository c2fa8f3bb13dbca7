// The place where a filter chain or a cluster finds its TLS context. It stays while certificates rotate below it; a handshake reads
// it once at its beginning. Whoever drops it lets the store forget it.
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

internal abstract class TlsSlot(string owner, StatBlock stats, Action<Diagnostic> report)
{
    // A broken peer tries again and again; one line in this time is enough to find it by.
    private const long QuietMs = 10_000;
    private volatile string _waiting = "";
    private long _quietUntil;
    private int _unsaid;

    /// <summary>Who uses it: <c>listener a, filter chain b</c> or <c>cluster c</c>.</summary>
    public string Owner { get; } = owner;

    /// <summary>Schema <see cref="TlsStats"/>.</summary>
    public StatBlock Stats { get; } = stats;

    /// <summary>What is missing while there is no context, in one sentence.</summary>
    public string Waiting { get => _waiting; set => _waiting = value; }

    /// <summary>What SDS does for it, schema <see cref="SdsStats"/>; null where it does nothing.</summary>
    public StatBlock? Sds { get; init; }

    /// <summary>Secrets that it names and SDS brings.</summary>
    public abstract IEnumerable<SecretReferenceConfig> References { get; }

    /// <summary>The context, or null while its secrets are not there yet.</summary>
    public abstract TlsContext? Context { get; }

    /// <summary>Tells about a failed handshake, at most once in ten seconds. From any worker.</summary>
    public void TellFailure(string failure)
    {
        long now = Environment.TickCount64, quietUntil = Interlocked.Read(ref _quietUntil);
        if (now < quietUntil || Interlocked.CompareExchange(ref _quietUntil, now + QuietMs, quietUntil) != quietUntil)
        {
            Interlocked.Increment(ref _unsaid);
            return;
        }
        int unsaid = Interlocked.Exchange(ref _unsaid, 0);
        report(new Diagnostic("NARU-P107", Severity.Warning, unsaid == 0 ? failure : $"{failure} (and {unsaid} more failures since the last one told)", Subject: Owner));
    }

    /// <summary>Makes a new context and puts it in place.</summary>
    /// <exception cref="TlsMaterialException">Something cannot be used.</exception>
    /// <exception cref="SecretMissingException">A secret is not there yet.</exception>
    public abstract void Make(TlsSources sources);
}

/// <summary>Of a filter chain.</summary>
internal sealed class TlsServerSlot(string owner, DownstreamTlsConfig config, StatBlock stats, Action<Diagnostic> report, TicketKeys? ownKeys)
    : TlsSlot(owner, stats, report)
{
    private volatile TlsServerContext? _current;

    public TlsServerContext? Current => _current;

    public override TlsContext? Context => _current;

    public override IEnumerable<SecretReferenceConfig> References => config.SecretReferences.Where(r => r.Source is not null);

    /// <summary>Ticket keys that nobody configured; they outlive rotations of certificates and changes of the listener.</summary>
    public TicketKeys OwnKeys { get; } = ownKeys ?? TicketKeys.Own();

    public override void Make(TlsSources sources) => _current = new TlsServerContext(
        config, sources.Credentials(config.Common), sources.Verifier(config.Common), Stats, sources.Tickets(config) ?? OwnKeys, Owner);
}

/// <summary>Of a cluster.</summary>
internal sealed class TlsClientSlot(string owner, UpstreamTlsConfig config, StatBlock stats, Action<Diagnostic> report) : TlsSlot(owner, stats, report)
{
    private volatile TlsClientContext? _current;

    public UpstreamTlsConfig Config => config;

    public TlsClientContext? Current => _current;

    public override TlsContext? Context => _current;

    public override IEnumerable<SecretReferenceConfig> References => config.Common.SecretReferences.Where(r => r.Source is not null);

    public override void Make(TlsSources sources)
    {
        PeerVerifier? verifier = sources.Verifier(config.Common);
        if (config.AutoSniSanValidation && verifier is null) throw new TlsMaterialException("auto_sni_san_validation needs a validation context with trusted_ca");
        _current = new TlsClientContext(config, sources.Credentials(config.Common), verifier, Stats);
    }
}
