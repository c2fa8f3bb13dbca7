// The 61 entries that both sides know from the start (RFC 7541 appendix A), with an index by name for the encoder.
using Naru.Http.Headers;

namespace Naru.Http.Hpack;

/// <summary>The static table.</summary>
internal static class HpackStaticTable
{
    /// <summary>Entries, numbered from 1.</summary>
    public const int Count = 61;

    // One entry a line, name=value.
    private static ReadOnlySpan<byte> Text =>
        """
        :authority=
        :method=GET
        :method=POST
        :path=/
        :path=/index.html
        :scheme=http
        :scheme=https
        :status=200
        :status=204
        :status=206
        :status=304
        :status=400
        :status=404
        :status=500
        accept-charset=
        accept-encoding=gzip, deflate
        accept-language=
        accept-ranges=
        accept=
        access-control-allow-origin=
        age=
        allow=
        authorization=
        cache-control=
        content-disposition=
        content-encoding=
        content-language=
        content-length=
        content-location=
        content-range=
        content-type=
        cookie=
        date=
        etag=
        expect=
        expires=
        from=
        host=
        if-match=
        if-modified-since=
        if-none-match=
        if-range=
        if-unmodified-since=
        last-modified=
        link=
        location=
        max-forwards=
        proxy-authenticate=
        proxy-authorization=
        range=
        referer=
        refresh=
        retry-after=
        server=
        set-cookie=
        strict-transport-security=
        transfer-encoding=
        user-agent=
        vary=
        via=
        www-authenticate=

        """u8;

    private struct Entry
    {
        public ushort Name;
        public byte NameLength;
        public byte ValueLength;
        public KnownHeader Id;
    }

    // Twice as many slots as names and more; open addressing, so that a miss ends at the first empty slot.
    private const int Slots = 256;

    private static readonly Entry[] s_entries = ReadEntries();
    private static readonly byte[] s_byName = IndexNames();
    private static readonly byte[] s_byField = IndexFields();

    /// <summary>Name of an entry, 1 to <see cref="Count"/>.</summary>
    public static ReadOnlySpan<byte> Name(int index)
    {
        ref readonly Entry e = ref s_entries[index];
        return Text.Slice(e.Name, e.NameLength);
    }

    /// <summary>Value of an entry, 1 to <see cref="Count"/>.</summary>
    public static ReadOnlySpan<byte> Value(int index)
    {
        ref readonly Entry e = ref s_entries[index];
        return Text.Slice(e.Name + e.NameLength + 1, e.ValueLength);
    }

    /// <summary>What the name of an entry means.</summary>
    public static KnownHeader Id(int index) => s_entries[index].Id;

    /// <summary>The first entry with this name, or 0. <paramref name="hash"/> is <see cref="HpackHash.Of"/> of it.</summary>
    public static int IndexOf(ReadOnlySpan<byte> name, uint hash)
    {
        byte[] byName = s_byName;
        for (uint slot = hash % Slots; ; slot = (slot + 1) % Slots)
        {
            int index = byName[slot];
            if (index == 0 || Name(index).SequenceEqual(name)) return index;
        }
    }

    /// <summary>The entry with this name and this value, or 0. <paramref name="hash"/> is that of the value, going on from that of the name.</summary>
    public static int IndexOf(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, uint hash)
    {
        byte[] byField = s_byField;
        for (uint slot = hash % Slots; ; slot = (slot + 1) % Slots)
        {
            int index = byField[slot];
            if (index == 0 || (Value(index).SequenceEqual(value) && Name(index).SequenceEqual(name))) return index;
        }
    }

    private static Entry[] ReadEntries()
    {
        var entries = new Entry[Count + 1];
        int at = 0;
        for (int i = 1; i <= Count; i++)
        {
            int equals = Text[at..].IndexOf((byte)'=');
            int end = Text[at..].IndexOf((byte)'\n');
            entries[i] = new Entry
            {
                Name = (ushort)at,
                NameLength = (byte)equals,
                ValueLength = (byte)(end - equals - 1),
                Id = KnownHeaders.Of(Text.Slice(at, equals)),
            };
            at += end + 1;
        }
        return entries;
    }

    private static byte[] IndexNames()
    {
        var byName = new byte[Slots];
        for (int i = 1; i <= Count; i++)
        {
            if (i > 1 && Name(i).SequenceEqual(Name(i - 1))) continue;
            uint slot = HpackHash.Of(Name(i)) % Slots;
            while (byName[slot] != 0) slot = (slot + 1) % Slots;
            byName[slot] = (byte)i;
        }
        return byName;
    }

    private static byte[] IndexFields()
    {
        var byField = new byte[Slots];
        for (int i = 1; i <= Count; i++)
        {
            if (Value(i).Length == 0) continue;
            uint slot = HpackHash.Of(Value(i), HpackHash.Of(Name(i))) % Slots;
            while (byField[slot] != 0) slot = (slot + 1) % Slots;
            byField[slot] = (byte)i;
        }
        return byField;
    }
}
