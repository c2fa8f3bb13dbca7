// Makes TLS contexts from configuration and keeps them up to date: files are looked at once a second, secrets come by name. A new
// context replaces the old one whole; one that cannot be made leaves the old one serving and is reported.
// Users hold the slots; a slot that nobody holds any more is forgotten.
using System.Collections.Immutable;
using Naru.Core;
using Naru.Proxy.Config;
using Naru.Telemetry;

namespace Naru.Proxy.Tls;

/// <summary>A certificate that is in use.</summary>
/// <param name="Path">File, or what it was given as.</param>
/// <param name="Info">What it says.</param>
/// <param name="IsAuthority">Trusted, not our own.</param>
/// <param name="Context">Whose, counted from 0: certificates of one listener or cluster stand together.</param>
public sealed record CertificateStatus(string Path, CertificateInfo Info, bool IsAuthority, int Context = 0);

internal sealed class TlsContextStore : IDisposable
{
    private static readonly TimeSpan s_look = TimeSpan.FromSeconds(1);
    private readonly Lock _gate = new();
    private readonly Action<Diagnostic> _report;
    private readonly List<Entry> _entries = [];
    private readonly Dictionary<string, SecretConfig> _secrets = new(StringComparer.Ordinal);
    private readonly TlsMaterialCache _cache = new();
    private readonly StatRegistry? _stats;
    private readonly Timer _timer;
    private bool _disposed;

    /// <param name="report">Told about rotations that cannot be used, and about those that can be again.</param>
    /// <param name="stats">Where rotations of secrets are counted; null is nowhere.</param>
    public TlsContextStore(Action<Diagnostic> report, StatRegistry? stats = null)
    {
        _report = report;
        _stats = stats;
        _timer = new Timer(_ => Look(), null, s_look, Timeout.InfiniteTimeSpan);
    }

    /// <summary>A slot for a filter chain; null when its context cannot be made (then <paramref name="diagnostics"/> says why).</summary>
    /// <param name="owner">Unique name of listener and chain. Sessions are good for this owner only.</param>
    /// <param name="config">What it was given.</param>
    /// <param name="stats">The listener's, schema <see cref="TlsStats"/>.</param>
    /// <param name="diagnostics">Complaints.</param>
    /// <param name="sds">Where secrets are counted that come to it, schema <see cref="SdsStats"/>.</param>
    public TlsServerSlot? Server(string owner, DownstreamTlsConfig config, StatBlock stats, Diagnostics diagnostics, StatBlock? sds = null)
    {
        lock (_gate)
        {
            TlsServerSlot? before = _entries.Select(e => e.Slot).OfType<TlsServerSlot>().LastOrDefault(s => s.Owner == owner);
            var slot = new TlsServerSlot(owner, config, stats, _report, before?.OwnKeys) { Sds = sds };
            return Admit(slot, diagnostics) ? slot : null;
        }
    }

    /// <summary>A slot for a cluster; null when its context cannot be made.</summary>
    public TlsClientSlot? Client(string owner, UpstreamTlsConfig config, StatBlock stats, Diagnostics diagnostics, StatBlock? sds = null)
    {
        lock (_gate)
        {
            var slot = new TlsClientSlot(owner, config, stats, _report) { Sds = sds };
            return Admit(slot, diagnostics) ? slot : null;
        }
    }

    private bool Admit(TlsSlot slot, Diagnostics diagnostics)
    {
        var entry = new Entry(slot);
        if (Make(entry, slot) is { } failure)
        {
            diagnostics.Error("NARU-P104", $"TLS of {slot.Owner}: {failure}", subject: slot.Owner);
            return false;
        }
        if (slot.Context is not null && entry.Secrets.Count > 0) slot.Sds?.Add(SdsStats.Updated);
        foreach (SecretReferenceConfig reference in slot.References) _ = Rotations(reference.Name);
        _entries.Add(entry);
        return true;
    }

    /// <summary>A secret is new or has changed. What uses it is made anew at once.</summary>
    public void SetSecret(SecretConfig secret, Diagnostics diagnostics)
    {
        lock (_gate)
        {
            SecretConfig? before = _secrets.GetValueOrDefault(secret.Name);
            _secrets[secret.Name] = secret;
            if (Unusable(secret) is { } wrong)
            {
                diagnostics.Error("NARU-P104", $"secret {secret.Name}: {wrong}", subject: secret.Name);
                if (before is null) _secrets.Remove(secret.Name);
                else _secrets[secret.Name] = before;
                return;
            }
            foreach (Entry entry in _entries.Where(e => e.Secrets.Contains(secret.Name)))
            {
                if (entry.Slot is not { } slot) continue;
                if (Make(entry, slot) is { } failure) Rejected(entry, slot, failure);
                else
                {
                    if (slot.Context is not null) slot.Sds?.Add(SdsStats.Updated);
                    Updated(entry, slot);
                }
            }
        }
    }

    /// <summary>Nobody names a secret any more. What was made with it, and still ends its connections, goes on.</summary>
    public void RemoveSecret(string name)
    {
        lock (_gate) _secrets.Remove(name);
    }

    private string? Unusable(SecretConfig secret)
    {
        try
        {
            var sources = new TlsSources(_cache, _secrets);
            if (secret.Certificate is { } certificate) _ = sources.Credential(certificate);
            if (secret.Validation is { } validation) _ = sources.Verifier(validation);
            if (!secret.TicketKeys.IsEmpty) _ = sources.Tickets(secret.TicketKeys);
            return null;
        }
        catch (TlsMaterialException e)
        {
            return e.Message;
        }
    }

    /// <summary>Every certificate in use, once for each that uses it.</summary>
    public IReadOnlyList<CertificateStatus> Certificates
    {
        get
        {
            lock (_gate)
            {
                var seen = new HashSet<(string, string, bool)>();
                var made = new List<CertificateStatus>();
                int index = 0;
                foreach (Entry entry in _entries)
                {
                    if (entry.Slot?.Context is not { } context) continue;
                    foreach (Credential credential in context.Credentials) Add(credential.From, credential.Infos, authority: false);
                    foreach (Authorities authorities in context.Verifier?.All ?? []) Add(authorities.From, authorities.Infos, authority: true);
                    seen.Clear();
                    index++;
                }
                return made;

                void Add(string path, ImmutableArray<CertificateInfo> infos, bool authority)
                {
                    foreach (CertificateInfo info in infos)
                        if (seen.Add((path, info.Serial, authority))) made.Add(new CertificateStatus(path, info, authority, index));
                }
            }
        }
    }

    /// <summary>Looks at all watched files now.</summary>
    public void Look()
    {
        lock (_gate)
        {
            if (_disposed) return;
            _entries.RemoveAll(e => e.Slot is null);
            var stamps = new Dictionary<string, FileStamp>(StringComparer.Ordinal);
            foreach (Entry entry in _entries)
            {
                bool changed = false;
                foreach ((string path, FileStamp stamp) in entry.Watched)
                {
                    if (!stamps.TryGetValue(path, out FileStamp now)) stamps[path] = now = FileStamp.Of(path);
                    changed |= now != stamp;
                }
                if (changed || entry.Doubtful) Remake(entry, again: !changed);
            }
            _timer.Change(s_look, Timeout.InfiniteTimeSpan);
        }
    }

    // Certificate and key are two files, and whoever writes them does it one after the other: only what still fails a second later is
    // worth a complaint.
    private void Remake(Entry entry, bool again)
    {
        if (entry.Slot is not { } slot) return;
        string? failure = Make(entry, slot);
        entry.Doubtful = failure is not null && !again;
        if (failure is null) Updated(entry, slot);
        else if (again)
        {
            foreach (SecretReferenceConfig reference in slot.References) Rotations(reference.Name)?.Add(SecretStats.RotationFailed);
            Rejected(entry, slot, failure);
        }
    }

    private StatBlock? Rotations(string secret) => _stats?.Block($"sds.{secret}", SecretStats.Schema);

    private void Updated(Entry entry, TlsSlot slot)
    {
        slot.Stats.Add(TlsStats.ContextUpdated);
        if (!entry.Failing) return;
        entry.Failing = false;
        _report(new Diagnostic("NARU-P106", Severity.Info, $"TLS of {slot.Owner} uses its new certificates", Subject: slot.Owner));
    }

    private void Rejected(Entry entry, TlsSlot slot, string failure)
    {
        entry.Failing = true;
        slot.Stats.Add(TlsStats.ContextRejected);
        _report(new Diagnostic(
            "NARU-P105", Severity.Error, $"TLS of {slot.Owner} keeps its last good certificates: {failure}", Subject: slot.Owner, Remedy: "put good files there; they are looked at every second"));
    }

    // Null: made, or waiting for its secrets.
    private string? Make(Entry entry, TlsSlot slot)
    {
        var sources = new TlsSources(_cache, _secrets);
        try
        {
            slot.Make(sources);
            return null;
        }
        catch (SecretMissingException e)
        {
            slot.Waiting = e.Message;
            return null;
        }
        catch (TlsMaterialException e)
        {
            return e.Message;
        }
        finally
        {
            // A broken reading stops early: what earlier ones looked at stays watched.
            entry.Secrets.UnionWith(sources.Secrets);
            foreach ((string path, FileStamp stamp) in sources.Watched) entry.Watched[path] = stamp;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate) _disposed = true;
        _timer.Dispose();
    }

    private sealed class Entry(TlsSlot slot)
    {
        private readonly WeakReference<TlsSlot> _slot = new(slot);

        /// <summary>Null: nobody holds it any more.</summary>
        public TlsSlot? Slot => _slot.TryGetTarget(out TlsSlot? there) ? there : null;

        public Dictionary<string, FileStamp> Watched { get; } = new(StringComparer.Ordinal);
        public HashSet<string> Secrets { get; } = new(StringComparer.Ordinal);

        /// <summary>The last reading failed for the first time.</summary>
        public bool Doubtful { get; set; }

        /// <summary>Somebody was told that its files are no good.</summary>
        public bool Failing { get; set; }
    }
}
