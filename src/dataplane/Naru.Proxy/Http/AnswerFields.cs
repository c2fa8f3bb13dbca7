// The fields of an answer as they came, for whoever decides what becomes of it.
using Naru.Http.Http1;
using Naru.Proxy.Upstreams;

namespace Naru.Proxy.Http;

internal sealed class AnswerFields : HeadEdits
{
    private readonly byte[] _status = new byte[3];
    private Answer _answer;

    protected override Http1Head Head => _answer.Head!;

    protected override ReadOnlySpan<byte> Bytes => _answer.HeadBytes;

    /// <summary>Looks at this one, which has a head.</summary>
    public AnswerFields Of(in Answer answer)
    {
        Clear();
        _answer = answer;
        return this;
    }

    protected override bool Joins(ReadOnlySpan<byte> name) => InlineHeaders.OfResponse(name);

    protected override bool TryGetPseudo(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        value = default;
        if (!name.SequenceEqual(":status"u8) || !Head.Status.TryFormat(_status, out int written)) return false;
        value = _status.AsSpan(0, written);
        return true;
    }

    // Nobody changes it here.
    protected override bool SetPseudo(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value) => false;
}
