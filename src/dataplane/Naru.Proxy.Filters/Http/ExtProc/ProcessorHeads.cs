// Heads and trailers on their way to a processor, and the changes that it wants made to them. Nothing is changed before all of it was looked
// at: what may not stand in a head is the processor's failure, what it may not change is left out.
using System.Globalization;
using System.Text;
using Envoy.Config.Core.V3;
using Envoy.Service.ExtProc.V3;
using Google.Protobuf;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Http;
using Naru.Proxy.Routing;
using Action = Envoy.Config.Core.V3.HeaderValueOption.Types.HeaderAppendAction;
using HeadMutation = Envoy.Service.ExtProc.V3.HeaderMutation;

namespace Naru.Proxy.Filters.Http.ExtProc;

internal sealed class ProcessorHeads(ExtProcConfig config)
{
    // Of one answer; heads have no more of either where nobody says otherwise.
    private const int MostChanges = 200;
    private const int MostBytes = 64 * 1024;
    private readonly ByteMatcher[]? _forwarded = config.Forwarded is { } forwarded ? [.. forwarded.Select(m => new ByteMatcher(m))] : null;
    private readonly ByteMatcher[] _withheld = [.. config.Withheld.Select(m => new ByteMatcher(m))];

    /// <summary>What becomes of <c>content-length</c>, which is nothing that a head says by itself.</summary>
    public enum LengthRule : byte
    {
        /// <summary>The processor has no say in it.</summary>
        None,

        /// <summary>It is to be that of the body that the processor leaves.</summary>
        Told,
    }

    /// <summary>A request's head.</summary>
    public HttpHeaders Request(Exchange x, bool end)
    {
        var map = new HeaderMap();
        RequestHeaders head = x.RequestHeaders;
        // In the order in which a client says them.
        foreach (string pseudo in x.SpeaksHttp2
            ? (ReadOnlySpan<string>)[":method", ":path", ":scheme", ":authority"] : [":authority", ":path", ":method", ":scheme"])
        {
            if (head.TryGet(Encoding.ASCII.GetBytes(pseudo), out ReadOnlySpan<byte> value)) Add(map, pseudo, value);
        }
        AddFields(map, head, isRequest: true);
        return new HttpHeaders { Headers = map, EndOfStream = end };
    }

    /// <summary>An answer's head.</summary>
    public HttpHeaders Response(Exchange x, bool end)
    {
        var map = new HeaderMap();
        Add(map, ":status", Encoding.ASCII.GetBytes(x.Status.ToString(CultureInfo.InvariantCulture)));
        AddFields(map, x.ResponseHeaders, isRequest: false);
        return new HttpHeaders { Headers = map, EndOfStream = end };
    }

    /// <summary>Trailers.</summary>
    public HttpTrailers Trailers(TrailerEdits trailers)
    {
        var map = new HeaderMap();
        AddFields(map, trailers, isRequest: false);
        return new HttpTrailers { Trailers = map };
    }

    private void AddFields(HeaderMap map, HeadEdits head, bool isRequest)
    {
        for (int i = head.Next(); i >= 0; i = head.Next(i + 1))
        {
            // Of a request it is known already how it is framed, and by whom.
            if (isRequest && IsOfConnection(head.Id(i))) continue;
            Add(map, Encoding.ASCII.GetString(head.Name(i)).ToLowerInvariant(), head.Value(i));
        }
    }

    private static bool IsOfConnection(KnownHeader id) =>
        id is KnownHeader.Host or KnownHeader.TransferEncoding or KnownHeader.Connection or KnownHeader.KeepAlive or KnownHeader.ProxyConnection;

    private void Add(HeaderMap map, string name, ReadOnlySpan<byte> value)
    {
        if (Tells(Encoding.ASCII.GetBytes(name))) map.Headers.Add(new HeaderValue { Key = name, RawValue = ByteString.CopyFrom(value) });
    }

    private bool Tells(byte[] name)
    {
        foreach (ByteMatcher not in _withheld) if (not.Matches(name)) return false;
        if (_forwarded is null) return true;
        foreach (ByteMatcher one in _forwarded) if (one.Matches(name)) return true;
        return false;
    }

    /// <summary>Makes the changes; null where that is good, else what is wrong with them.</summary>
    public string? Change(Processing processing, HeadEdits head, HeadMutation? mutation, ProcessingSide? side, LengthRule rule)
    {
        if (mutation is null) return null;
        if (Wrong(mutation) is { } wrong)
        {
            processing.Count(ProcessorStats.Rejected);
            return wrong;
        }
        foreach (string written in mutation.RemoveHeaders)
        {
            string name = written.ToLowerInvariant();
            if (name == "content-length")
            {
                if (rule == LengthRule.Told) (side!.Length, side.LengthChanged) = (-1, true);
            }
            else if (name[0] == ':' || name == "host" || !config.Rules.Allows(name))
            {
                processing.Count(ProcessorStats.Rejected);
                if (config.Rules.IsError) return "Invalid_attempt_to_remove_a_header";
            }
            else
            {
                head.Remove(Encoding.ASCII.GetBytes(name));
            }
        }
        foreach (HeaderValueOption option in mutation.SetHeaders)
        {
            string name = option.Header.Key.ToLowerInvariant();
            byte[] value = ValueOf(option.Header);
            if (name == "content-length")
            {
                if (rule == LengthRule.None) continue;
                if (!long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long length)) return "Invalid_content-length";
                (side!.Length, side.LengthChanged) = (length, true);
                continue;
            }
            if (config.Rules.Allows(name) && Set(head, name, value, option)) continue;
            processing.Count(ProcessorStats.Rejected);
            if (config.Rules.IsError) return "Invalid_attempt_to_modify_a_header";
        }
        return null;
    }

    private static string? Wrong(HeadMutation mutation)
    {
        if (mutation.SetHeaders.Count > MostChanges || mutation.RemoveHeaders.Count > MostChanges) return "Too_many_header_mutations";
        long bytes = 0;
        foreach (HeaderValueOption option in mutation.SetHeaders)
        {
            if (option.Header is not { } header) return "A_header_mutation_without_a_header";
            byte[] value = ValueOf(header);
            bytes += header.Key.Length + value.Length;
            if (!IsName(header.Key) || !Http1Head.IsFieldValue(value)) return "Invalid_character_in_set_headers_mutation";
        }
        if (bytes > MostBytes) return "Header_mutations_are_too_long";
        foreach (string name in mutation.RemoveHeaders) if (!IsName(name)) return "Invalid_character_in_remove_headers_mutation";
        return null;
    }

    private static bool IsName(string name) => name.Length > 0 && Http1Head.IsToken(Encoding.UTF8.GetBytes(name[0] == ':' ? name[1..] : name));

    private static byte[] ValueOf(HeaderValue header) => header.RawValue.IsEmpty ? Encoding.UTF8.GetBytes(header.Value) : header.RawValue.ToByteArray();

    private static bool Set(HeadEdits head, string name, byte[] value, HeaderValueOption option)
    {
        byte[] key = Encoding.ASCII.GetBytes(name);
        if (value.Length == 0 && !option.KeepEmptyValue && name[0] != ':')
        {
            // An empty value is none (core/v3: keep_empty_value).
            if (option.Append != true) head.Remove(key);
            return true;
        }
        if (name[0] == ':' || name == "host") return option.AppendAction != Action.AddIfAbsent && head.Set(key, value);
        if (option.Append is { } append) return append ? head.Append(key, value) : head.Set(key, value);
        return option.AppendAction switch
        {
            Action.AddIfAbsent => head.Has(key) || head.Add(key, value),
            Action.OverwriteIfExists => !head.Has(key) || head.Set(key, value),
            // As recorded with Envoy, where nothing is said: the processor's value is the only one.
            _ => head.Set(key, value),
        };
    }

    /// <summary>The lines of an answer of the processor's own, and its type; null where they are no good.</summary>
    public (string Lines, string Type)? Own(Processing processing, HeadMutation? mutation)
    {
        if (mutation is null) return ("", "text/plain");
        if (Wrong(mutation) is not null) return null;
        string type = "text/plain";
        var lines = new StringBuilder();
        foreach (HeaderValueOption option in mutation.SetHeaders)
        {
            string name = option.Header.Key.ToLowerInvariant();
            byte[] value = ValueOf(option.Header);
            if (name[0] == ':' || !config.Rules.Allows(name))
            {
                processing.Count(ProcessorStats.Rejected);
                if (config.Rules.IsError) return null;
            }
            else if (name == "content-type")
            {
                type = Encoding.Latin1.GetString(value);
            }
            else if (value.Length > 0 || option.KeepEmptyValue)
            {
                lines.Append(name).Append(": ").Append(Encoding.Latin1.GetString(value)).Append("\r\n");
            }
        }
        return (lines.ToString(), type);
    }
}
