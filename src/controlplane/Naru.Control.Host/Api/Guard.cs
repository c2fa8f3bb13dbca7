// Who may speak HTTP to the control plane: the Host header must name this machine (a browser that was lured to another name is
// refused), and everything that shows or changes configuration needs the token. Knows no page.
using System.Net;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace Naru.Control.Host.Api;

/// <summary>Checks requests before any page sees them.</summary>
internal sealed class Guard
{
    private readonly byte[]? _tokenHash;

    private Guard(byte[]? tokenHash) => _tokenHash = tokenHash;

    /// <summary>Reads the token; makes one where the file does not exist; closes the API where no file is named.</summary>
    /// <exception cref="ControlOptionsException">The file cannot be read, written, or is empty.</exception>
    public static Guard Open(string? tokenFile)
    {
        if (tokenFile is null) return new Guard(null);
        try
        {
            if (!File.Exists(tokenFile)) Create(tokenFile);
            string token = File.ReadAllText(tokenFile).Trim();
            if (token.Length < 16) throw new ControlOptionsException($"--token-file {tokenFile}: the token must have at least 16 characters; remove the file and a good one is made");
            return new Guard(SHA256.HashData(Encoding.UTF8.GetBytes(token)));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ControlOptionsException($"--token-file {tokenFile}: {Naru.Core.Causes.Of(e)}", e);
        }
    }

    /// <summary>Whether the Host header names a loopback address, <c>localhost</c>, or the address that the connection came in on.</summary>
    public static bool IsOwnHost(string? host, IPAddress? local)
    {
        if (string.IsNullOrEmpty(host)) return false;
        string name = new HostString(host).Host;
        if (string.Equals(name, "localhost", StringComparison.OrdinalIgnoreCase)) return true;
        if (!IPAddress.TryParse(name.Trim('[', ']'), out IPAddress? address)) return false;
        return IPAddress.IsLoopback(address) || local is not null && address.Equals(local.IsIPv4MappedToIPv6 ? local.MapToIPv4() : local);
    }

    /// <summary>Null where the request may pass, else the status and what to say.</summary>
    public (int Status, string Text)? RefuseToken(string? authorization)
    {
        if (_tokenHash is null) return (StatusCodes.Status401Unauthorized, "this control plane runs without a token; start it with --token-file FILE to open its API");
        const string scheme = "Bearer ";
        if (authorization is null || !authorization.StartsWith(scheme, StringComparison.OrdinalIgnoreCase))
        {
            return (StatusCodes.Status401Unauthorized, "give the token of the control plane as \"Authorization: Bearer TOKEN\"");
        }
        // Hashes have one length and differ everywhere, so that the time of comparing tells nothing.
        byte[] given = SHA256.HashData(Encoding.UTF8.GetBytes(authorization[scheme.Length..].Trim()));
        return CryptographicOperations.FixedTimeEquals(given, _tokenHash) ? null : (StatusCodes.Status401Unauthorized, "this is not the token of this control plane");
    }

    private static void Create(string path)
    {
        string full = Path.GetFullPath(path);
        Directory.CreateDirectory(Path.GetDirectoryName(full)!);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var file = new FileStream(full, options);
        file.Write(Encoding.ASCII.GetBytes(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)) + "\n"));
    }
}
