// Answers of DNS servers, which anybody on the way may write. A message is read as the answer to one question, of each type.
using System.Buffers.Binary;
using System.Net.Sockets;
using Naru.FuzzTests.Engine;
using Naru.Kit;
using Naru.Proxy.Xds;

namespace Naru.FuzzTests.Targets;

/// <summary>DNS messages (RFC 1035 4).</summary>
internal sealed class DnsTarget : FuzzTarget
{
    private const string Asked = "web.test";
    private static readonly byte[] s_four = DnsMessage.Question(0x1234, Asked, DnsMessage.A)!, s_six = DnsMessage.Question(0x1234, Asked, DnsMessage.Aaaa)!;

    public override string Name => "dns-answer";

    public override int MaxLength => 600;

    public override IEnumerable<byte[]> Seeds =>
    [
        Answer(s_four), Answer(s_four, "web.test A 30 10.0.0.1", "web.test A 7 10.0.0.2"), Answer(s_six, "web.test AAAA 60 fd00::1"),
        Answer(s_four, "web.test CNAME 20 a.test", "a.test CNAME 5 b.test", "b.test A 30 10.0.0.1"), Answer(s_four, "web.test CNAME 1 web.test"),
        [.. Answer(s_four)[..6], 0, 2, .. s_four.AsSpan(8).ToArray(), 0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 50, 0, 4, 1, (byte)'x', 0xc0, 16, 0xc0, 38, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 10, 0, 0, 3],
        DnsReplies.Of(Question(s_four), [], code: 3), DnsReplies.Of(Question(s_four), [], truncated: true), s_four,
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
        [[0xc0, 12], [0xc0, 26], [0xc0, 16], [0xff, 0xff], [0x40], [0, 1, 0, 1], [0, 28, 0, 1], [0, 5, 0, 1], [0, 41], [0, 4, 10, 0, 0, 1], [0, 0, 0, 0], [0x80, 0, 0, 0], DnsReplies.Name("a.test"), DnsReplies.Name(Asked), [63, .. new byte[63]]];

    public override int Run(byte[] input)
    {
        DnsAnswer four = Check(input, s_four, AddressFamily.InterNetwork), six = Check(input, s_six, AddressFamily.InterNetworkV6);
        Law(four.Verdict == DnsVerdict.Alien || six.Verdict == DnsVerdict.Alien, "a message answers one question");
        if (input.Length >= 2)
        {
            byte[] other = [.. input];
            other[0] ^= 0x80;
            Law(DnsMessage.Read(other, s_four).Verdict == DnsVerdict.Alien || DnsMessage.Read(input, s_four).Verdict == DnsVerdict.Alien, "an id is heeded");
        }
        return HashCode.Combine(four.Verdict, six.Verdict, four.Addresses.Length + six.Addresses.Length, four.Alias?.Length, four.Code);
    }

    private static DnsAnswer Check(byte[] input, byte[] question, AddressFamily family)
    {
        DnsAnswer answer = DnsMessage.Read(input, question);
        Law(answer.Verdict == DnsVerdict.Alien || (input.Length >= question.Length && BinaryPrimitives.ReadUInt16BigEndian(input) == 0x1234 && (input[2] & 0x80) != 0), "what answers is an answer with our id");
        Law(answer.Verdict == DnsVerdict.Answer || (answer.Addresses.Length == 0 && answer.Alias is null), "only an answer has something to say");
        Law(answer.Verdict != DnsVerdict.Answer || answer.Addresses.Length > 0 != answer.Alias is not null, "an answer leads to addresses or to another name");
        Law(answer.Addresses.All(a => a.AddressFamily == family), "addresses are of the family that was asked for");
        // Whoever follows an alias asks for it: it has to be a name that can be asked for.
        if (answer.Alias is { Length: > 0 } alias) Law(DnsMessage.Question(1, alias, DnsMessage.A) is not null, $"an alias can be asked for: {alias}");
        Law(answer.Verdict != DnsVerdict.Answer || answer.Seconds <= int.MaxValue, "a TTL has 31 bits");
        // What follows the records is nobody's; it must not change them.
        if (answer.Verdict == DnsVerdict.Answer) Same(Told(answer), Told(DnsMessage.Read([.. input, 0, 1, 2], question)), "what comes behind changes nothing");
        return answer;
    }

    private static string Told(DnsAnswer answer) => $"{answer.Verdict} {string.Join(',', answer.Addresses.Select(a => a.ToString()))} {answer.Alias} {answer.Seconds}";

    private static DnsQuestion Question(byte[] bytes) => new(0x1234, Asked, bytes[^3], false, bytes);

    private static byte[] Answer(byte[] question, params string[] records) => DnsReplies.Of(Question(question), records);
}
