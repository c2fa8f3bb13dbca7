// What a client accepts of the codings that there are (RFC 9110 12.5.3), and which of the filters of a chain is to pack for it. Packed into a
// number, since the request's head may have lost the field when the answer comes.
using Naru.Http.Http1;

namespace Naru.Proxy.Filters.Http.Compressor;

/// <summary>Why a coding was chosen; each has a counter.</summary>
internal enum CodingChoice : byte
{
    /// <summary>The client names the coding.</summary>
    Named,

    /// <summary>It would rather have none.</summary>
    Identity,

    /// <summary>It takes any.</summary>
    Wildcard,

    /// <summary>It takes none of those that there are.</summary>
    None,
}

/// <summary>Weights and order of the names that matter.</summary>
/// <param name="bits">Sixteen for each: weight in thousandths plus one (0 is not named), then its place among them.</param>
internal readonly struct AcceptedCodings(long bits)
{
    private const int Names = 4, Gzip = 0, Brotli = 1, Identity = 2, Any = 3;
    private const int Bits = 15, WeightBits = 11, Mask = (1 << WeightBits) - 1;

    // Told apart from a number that was never set.
    private const long Present = 1L << 62;

    /// <summary>As a number.</summary>
    public long Value => bits;

    /// <summary>The field was there.</summary>
    public bool IsPresent => (bits & Present) != 0;

    /// <summary>Reads all lines of the field. Names are compared with their case, as in Envoy; a weight that is none leaves its name out.</summary>
    public static AcceptedCodings Of(Naru.Proxy.Http.RequestHeaders head)
    {
        long bits = 0;
        int place = 0;
        for (int i = head.Next("accept-encoding"u8); i >= 0; i = head.Next("accept-encoding"u8, i + 1))
        {
            bits |= Present;
            ReadOnlySpan<byte> line = head.Value(i);
            foreach (Range range in line.Split((byte)',')) Add(line[range], ref bits, ref place);
        }
        return new AcceptedCodings(bits);
    }

    /// <summary>The same of one line.</summary>
    public static AcceptedCodings Of(ReadOnlySpan<byte> line)
    {
        long bits = Present;
        int place = 0;
        foreach (Range range in line.Split((byte)',')) Add(line[range], ref bits, ref place);
        return new AcceptedCodings(bits);
    }

    private static void Add(ReadOnlySpan<byte> token, ref long bits, ref int place)
    {
        int semicolon = token.IndexOf((byte)';');
        ReadOnlySpan<byte> name = Http1Framing.Trim(semicolon < 0 ? token : token[..semicolon]);
        int index = name.SequenceEqual("gzip"u8) ? Gzip : name.SequenceEqual("br"u8) ? Brotli
            : name.SequenceEqual("identity"u8) ? Identity : name.SequenceEqual("*"u8) ? Any : -1;
        if (index < 0) return;
        int weight = semicolon < 0 ? 1000 : WeightOf(token[(semicolon + 1)..]);
        if (weight < 0) return;
        int shift = index * Bits;
        int before = (int)(bits >> shift) & Mask;
        // Named twice: no is no, else the better one holds.
        if (before == 1 || (before > 0 && weight > 0 && weight + 1 <= before)) return;
        bits &= ~((long)((1 << Bits) - 1) << shift);
        bits |= (long)((weight + 1) | (place << WeightBits)) << shift;
        if (before == 0) place++;
    }

    // Thousandths; 1000 where there is no weight, -1 where it is none.
    private static int WeightOf(ReadOnlySpan<byte> parameters)
    {
        int equals = parameters.IndexOf((byte)'=');
        if (equals < 0) return 1000;
        ReadOnlySpan<byte> name = Http1Framing.Trim(parameters[..equals]);
        if (name.Length != 1 || (name[0] | 0x20) != 'q') return 1000;
        ReadOnlySpan<byte> value = Http1Framing.Trim(parameters[(equals + 1)..]);
        int end = value.IndexOf((byte)';');
        if (end >= 0) value = Http1Framing.Trim(value[..end]);
        if (value.IsEmpty || value[0] is not ((byte)'0' or (byte)'1')) return -1;
        int weight = (value[0] - '0') * 1000;
        if (value.Length == 1) return weight;
        if (value[1] != '.' || value.Length > 5) return -1;
        for (int i = 2, unit = 100; i < value.Length; i++, unit /= 10)
        {
            if (value[i] is < (byte)'0' or > (byte)'9') return -1;
            weight += (value[i] - '0') * unit;
        }
        return weight > 1000 ? -1 : weight;
    }

    private int Weight(int index) => ((int)(bits >> (index * Bits)) & Mask) - 1;

    private int Place(int index) => (int)(bits >> (index * Bits + WeightBits)) & (Names - 1);

    /// <summary>Which coding an answer of this type gets (Envoy docs: compressor, how it works). Between equal weights a filter that is to be
    /// chosen first wins, the last of several, else what the client named first.</summary>
    /// <param name="offers">Of the chain, in its order.</param>
    /// <param name="contentType">The answer's.</param>
    /// <param name="coding">Chosen; of no meaning where there is none.</param>
    public CodingChoice Choose(List<IPackOffer> offers, ReadOnlySpan<byte> contentType, out PackCoding coding)
    {
        coding = default;
        int allowed = 0, first = -1, preferred = -1;
        foreach (IPackOffer offer in offers)
        {
            int index = (int)offer.Coding;
            if (!offer.Packs(contentType) || Weight(index) == 0) continue;
            if (first < 0) first = index;
            if (offer.IsFirst) preferred = index;
            allowed |= 1 << index;
        }
        if (allowed == 0) return CodingChoice.None;
        int choice = -1, best = 0;
        for (int index = 0; index < Names; index++)
        {
            if (index < Identity && (allowed & (1 << index)) == 0) continue;
            int weight = Weight(index);
            if (weight <= 0 || weight < best) continue;
            if (weight == best && choice >= 0 && (choice == preferred || (index != preferred && Place(index) > Place(choice)))) continue;
            (choice, best) = (index, weight);
        }
        switch (choice)
        {
            case < 0: return CodingChoice.None;
            case Identity: return CodingChoice.Identity;
            case Any:
                coding = (PackCoding)(preferred >= 0 ? preferred : first);
                return CodingChoice.Wildcard;
            default:
                coding = (PackCoding)choice;
                return CodingChoice.Named;
        }
    }
}
