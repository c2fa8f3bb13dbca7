// Reads what TLS contexts are made from: files, inline bytes, secrets by name. Remembers which files were looked at, so that a change
// is noticed, and shares what was parsed already: a thousand clusters with one secret hold one certificate.
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Naru.Proxy.Config;

namespace Naru.Proxy.Tls;

/// <summary>A secret that nobody has brought yet.</summary>
internal sealed class SecretMissingException(string name) : Exception($"secret {name} has not arrived yet");

/// <summary>What was parsed, by the digest of its bytes.</summary>
internal sealed class TlsMaterialCache
{
    private readonly Dictionary<string, WeakReference<Credential>> _credentials = new(StringComparer.Ordinal);
    private readonly Dictionary<string, WeakReference<Authorities>> _authorities = new(StringComparer.Ordinal);

    public Credential Credential(string key, Func<Credential> make) => Get(_credentials, key, make);

    public Authorities Authorities(string key, Func<Authorities> make) => Get(_authorities, key, make);

    private static T Get<T>(Dictionary<string, WeakReference<T>> known, string key, Func<T> make) where T : class
    {
        if (known.TryGetValue(key, out WeakReference<T>? reference) && reference.TryGetTarget(out T? there)) return there;
        if (known.Count % 64 == 63)
            foreach ((string old, WeakReference<T> weak) in known.ToArray()) if (!weak.TryGetTarget(out _)) known.Remove(old);
        T made = make();
        known[key] = new WeakReference<T>(made);
        return made;
    }
}

/// <summary>One reading of the sources of one context.</summary>
internal sealed class TlsSources(TlsMaterialCache cache, IReadOnlyDictionary<string, SecretConfig> secrets)
{
    /// <summary>Files and directories whose change means another reading, as they were before they were read.</summary>
    public Dictionary<string, FileStamp> Watched { get; } = new(StringComparer.Ordinal);

    /// <summary>Secrets that were asked for, there or not.</summary>
    public HashSet<string> Secrets { get; } = new(StringComparer.Ordinal);

    /// <exception cref="TlsMaterialException">One cannot be used.</exception>
    /// <exception cref="SecretMissingException">One is not there yet.</exception>
    public ImmutableArray<Credential> Credentials(CommonTlsConfig config)
    {
        var made = ImmutableArray.CreateBuilder<Credential>();
        foreach (TlsCertificateConfig certificate in config.Certificates) made.Add(Credential(certificate));
        foreach (SecretReferenceConfig reference in config.CertificateSecrets)
        {
            SecretConfig secret = Secret(reference.Name);
            made.Add(Credential(secret.Certificate ?? throw new TlsMaterialException($"secret {reference.Name} holds no certificate")));
        }
        return made.ToImmutable();
    }

    public Credential Credential(TlsCertificateConfig config)
    {
        string directory = config.WatchedDirectory;
        byte[]? password = config.Password is { } p ? Read(p, "password", directory) : null;
        byte[] staple = config.OcspStaple is { } s ? Read(s, "ocsp_staple", directory) : [];
        if (config.Pkcs12 is { } pkcs12)
        {
            byte[] file = Read(pkcs12, "pkcs12", directory);
            return cache.Credential(Key([file, password ?? [], staple]), () => Tls.Credential.FromPkcs12(file, Name(pkcs12, "pkcs12"), password, staple));
        }
        if (config.Chain is not { } chain) throw new TlsMaterialException("tls_certificates: certificate_chain is missing");
        if (config.PrivateKey is not { } key) throw new TlsMaterialException("tls_certificates: private_key is missing");
        byte[] chainBytes = Read(chain, "certificate_chain", directory), keyBytes = Read(key, "private_key", directory);
        return cache.Credential(
            Key([chainBytes, keyBytes, password ?? [], staple]),
            () => Tls.Credential.FromPem(chainBytes, Name(chain, "certificate_chain"), keyBytes, Name(key, "private_key"), password, staple));
    }

    /// <summary>How the peer is verified, or null: not at all.</summary>
    public PeerVerifier? Verifier(CommonTlsConfig config)
    {
        ValidationContextConfig? validation = config.Validation;
        if (config.ValidationSecret is { } reference)
        {
            ValidationContextConfig brought = Secret(reference.Name).Validation ?? throw new TlsMaterialException($"secret {reference.Name} holds no validation context");
            validation = validation is null ? brought : Merge(validation, brought);
        }
        return validation is null ? null : Verifier(validation);
    }

    public PeerVerifier? Verifier(ValidationContextConfig config)
    {
        string directory = config.WatchedDirectory;
        byte[] lists = config.Crl is { } crl ? Read(crl, "crl", directory) : [];
        Authorities? authorities = config.TrustedCa is { } ca ? Trust(ca, "trusted_ca", config, lists) : null;
        KeyValuePair<string, Authorities>[] spiffe =
            [.. config.SpiffeTrustDomains.Select(d => new KeyValuePair<string, Authorities>(d.Key, Trust(d.Value, $"trust domain {d.Key}", config, lists)))];
        if (authorities is null && spiffe.Length == 0)
        {
            if (lists.Length > 0) throw new TlsMaterialException("crl needs trusted_ca");
            if (config.CertificateHashes.IsEmpty && config.SpkiHashes.IsEmpty)
                return config.SubjectAltNames.IsEmpty ? null : throw new TlsMaterialException("match_typed_subject_alt_names needs trusted_ca: names that nobody vouches for prove nothing");
        }
        return new PeerVerifier(config, authorities, spiffe);
    }

    private Authorities Trust(DataSourceConfig source, string field, ValidationContextConfig config, byte[] lists)
    {
        byte[] pem = Read(source, field, config.WatchedDirectory);
        string crlFrom = config.Crl is { } crl ? Name(crl, "crl") : "";
        return cache.Authorities(
            Key([pem, lists, [(byte)(config.OnlyLeafCrl ? 1 : 0), (byte)(config.AllowExpired ? 1 : 0)]]),
            () => Authorities.Read(pem, Name(source, field), lists, crlFrom, config.OnlyLeafCrl, config.AllowExpired));
    }

    // combined_validation_context: what SDS brings comes over the default (protobuf's merge).
    private static ValidationContextConfig Merge(ValidationContextConfig under, ValidationContextConfig over) => new()
    {
        TrustedCa = over.TrustedCa ?? under.TrustedCa,
        WatchedDirectory = over.WatchedDirectory.Length > 0 ? over.WatchedDirectory : under.WatchedDirectory,
        CertificateHashes = [.. under.CertificateHashes, .. over.CertificateHashes],
        SpkiHashes = [.. under.SpkiHashes, .. over.SpkiHashes],
        SubjectAltNames = [.. under.SubjectAltNames, .. over.SubjectAltNames],
        Crl = over.Crl ?? under.Crl,
        AllowExpired = under.AllowExpired || over.AllowExpired,
        AcceptUntrusted = under.AcceptUntrusted || over.AcceptUntrusted,
        MaxVerifyDepth = over.MaxVerifyDepth ?? under.MaxVerifyDepth,
        OnlyLeafCrl = under.OnlyLeafCrl || over.OnlyLeafCrl,
        SpiffeTrustDomains = over.SpiffeTrustDomains.IsEmpty ? under.SpiffeTrustDomains : over.SpiffeTrustDomains,
    };

    /// <summary>Configured ticket keys, or null: own ones.</summary>
    public TicketKeys? Tickets(DownstreamTlsConfig config)
    {
        ImmutableArray<DataSourceConfig> sources = config.TicketKeysSecret is { } reference ? Secret(reference.Name).TicketKeys : config.TicketKeys;
        if (config.TicketKeysSecret is { } named && sources.IsEmpty) throw new TlsMaterialException($"secret {named.Name} holds no session ticket keys");
        return sources.IsDefaultOrEmpty ? null : Tickets(sources);
    }

    public TicketKeys Tickets(ImmutableArray<DataSourceConfig> sources)
    {
        byte[][] keys = [.. sources.Select(s => Read(s, "session_ticket_keys", ""))];
        foreach (byte[] key in keys)
            if (key.Length != TicketKeys.KeyLength) throw new TlsMaterialException($"session_ticket_keys: a key has {TicketKeys.KeyLength} bytes, one given has {key.Length}");
        return TicketKeys.Given(keys);
    }

    private SecretConfig Secret(string name)
    {
        Secrets.Add(name);
        return secrets.TryGetValue(name, out SecretConfig? secret) ? secret : throw new SecretMissingException(name);
    }

    private static string Name(DataSourceConfig source, string field) => source.File ?? $"inline {field}";

    private byte[] Read(DataSourceConfig source, string field, string watchedDirectory)
    {
        if (source.File is not { } path) return [.. source.Inline];
        string watched = watchedDirectory.Length > 0 ? watchedDirectory : path;
        Watched.TryAdd(watched, FileStamp.Of(watched));
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new TlsMaterialException(e switch
            {
                FileNotFoundException or DirectoryNotFoundException => $"{path} ({field}) does not exist",
                UnauthorizedAccessException => $"{path} ({field}) may not be read by this process",
                _ => $"{path} ({field}) cannot be read: {e.Message}",
            });
        }
    }

    private static string Key(byte[][] parts)
    {
        int length = parts.Sum(p => p.Length + 4);
        byte[] all = new byte[length];
        int at = 0;
        foreach (byte[] part in parts)
        {
            BinaryPrimitives.WriteInt32LittleEndian(all.AsSpan(at), part.Length);
            part.CopyTo(all, at + 4);
            at += 4 + part.Length;
        }
        string key = Convert.ToHexString(Crypto.Sha256(all));
        Array.Clear(all);
        return key;
    }
}

/// <summary>What a file looks like from outside: another inode, time or size means another content.</summary>
internal readonly unsafe partial record struct FileStamp(ulong Inode, long Seconds, uint Nanoseconds, ulong Size)
{
    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int statx(int directory, string path, int flags, uint mask, byte* into);

    /// <summary>Follows links; all zero where there is nothing.</summary>
    public static FileStamp Of(string path)
    {
        const int CurrentDirectory = -100;
        const uint BasicStats = 0x7ff;
        byte* stat = stackalloc byte[256];
        if (statx(CurrentDirectory, path, 0, BasicStats, stat) != 0) return default;
        return new FileStamp(*(ulong*)(stat + 32), *(long*)(stat + 112), *(uint*)(stat + 120), *(ulong*)(stat + 40));
    }
}
