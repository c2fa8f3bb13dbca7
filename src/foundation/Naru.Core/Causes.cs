// Why the system refused something, in words for people: no names of classes, no sentences of a framework that say what its programmer
// did. Whoever writes a complaint adds the place and what to do.
using System.Net.Http;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace Naru.Core;

/// <summary>Exceptions of files, sockets and HTTP as causes.</summary>
public static partial class Causes
{
    private const int NoSpaceLeft = 28;

    /// <summary>A cause: the end of a sentence, without a full stop.</summary>
    /// <param name="e">What was thrown.</param>
    /// <param name="withPath">Whether the path is named, where the system named one.</param>
    public static string Of(Exception e, bool withPath = false)
    {
        string? path = e is FileNotFoundException { FileName.Length: > 0 } missing ? missing.FileName
            : Quoted().Match(e.Message) is { Success: true } match ? match.Groups[1].Value : null;
        string of = withPath && path is not null ? $"{path}: " : "";
        return e switch
        {
            FileNotFoundException when path is null => e.Message.TrimEnd('.'),
            FileNotFoundException or DirectoryNotFoundException => of + "there is no such file or folder",
            UnauthorizedAccessException when path is not null && Directory.Exists(path)
                && !e.Message.Contains("directory", StringComparison.OrdinalIgnoreCase)
                => of + "this user may not write there, or it is a folder",
            UnauthorizedAccessException => of + "this user may not (permission denied)",
            PathTooLongException => of + "the path is too long",
            IOException { InnerException: SocketException inner } => Of(inner),
            IOException when (e.HResult & 0xffff) == NoSpaceLeft || Says("No space left") => of + "no space is left on the disk",
            IOException when Says("Read-only file system") => of + "the disk is read-only",
            IOException when Says("Not a directory") => of + "a part of the path is no folder",
            IOException when Says("already exists") => of + "there is something else of that name",
            IOException when Says("being used by another process") => of + "another process holds it",
            IOException when Says("Error while copying content") => "the connection was closed while it was being sent",
            IOException when Says("response ended prematurely") => "the connection was closed before the answer was whole",
            SocketException socket => Of(socket),
            HttpRequestException { InnerException: { } inner and (SocketException or IOException) } => Of(inner),
            HttpRequestException http => Of(http),
            TimeoutException or OperationCanceledException => "there was no answer in time",
            _ => e.Message.TrimEnd('.'),
        };

        bool Says(string words) => e.Message.Contains(words, StringComparison.OrdinalIgnoreCase);
    }

    private static string Of(SocketException e) => e.SocketErrorCode switch
    {
        SocketError.ConnectionRefused => "nobody listens there",
        SocketError.ConnectionReset or SocketError.ConnectionAborted or SocketError.Shutdown => "the connection was closed",
        SocketError.TimedOut => "there was no answer in time",
        SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain => "the name cannot be resolved",
        SocketError.HostUnreachable or SocketError.NetworkUnreachable or SocketError.HostDown => "the host cannot be reached",
        SocketError.AddressAlreadyInUse => "the address is in use already",
        SocketError.AddressNotAvailable => "the address is none of this machine",
        SocketError.AccessDenied => "this user may not (permission denied)",
        _ => e.Message.TrimEnd('.'),
    };

    private static string Of(HttpRequestException e) => e.HttpRequestError switch
    {
        HttpRequestError.NameResolutionError => "the name cannot be resolved",
        HttpRequestError.ConnectionError => "no connection can be made",
        HttpRequestError.SecureConnectionError => "no secure connection can be made",
        HttpRequestError.InvalidResponse => "the answer is no HTTP",
        HttpRequestError.ResponseEnded => "the connection was closed before the answer was whole",
        HttpRequestError.ConfigurationLimitExceeded => "the answer is larger than is read",
        _ => e.Message.TrimEnd('.'),
    };

    [GeneratedRegex("'([^']+)'")]
    private static partial Regex Quoted();
}
