// A request with whatever a test says about it.
using System.Text;
using Naru.Telemetry;

namespace Naru.UnitTests.Telemetry;

internal sealed class FakeRequest : IRequestInfo
{
    private readonly Dictionary<(HeaderSource, string), byte[]> _headers = [];
    private readonly Dictionary<RequestText, byte[]> _texts = [];

    public Dictionary<RequestNumber, long> Numbers { get; } = [];
    public Dictionary<TimePoint, long> Times { get; } = new() { [TimePoint.DownstreamRxBegin] = 0 };
    public DateTime StartTime { get; set; } = new DateTime(2026, 3, 4, 5, 6, 7, DateTimeKind.Utc).AddTicks(1234567);
    public ResponseFlags Flags { get; set; }

    public FakeRequest Header(string name, string value, HeaderSource source = HeaderSource.Request) => Header(name, Encoding.UTF8.GetBytes(value), source);

    public FakeRequest Header(string name, byte[] value, HeaderSource source = HeaderSource.Request)
    {
        _headers[(source, name)] = value;
        return this;
    }

    public FakeRequest Set(RequestText what, string value)
    {
        _texts[what] = Encoding.UTF8.GetBytes(value);
        return this;
    }

    public Dictionary<MetadataSource, MetaValue> Said { get; } = [];
    public Dictionary<string, byte[]> States { get; } = new(StringComparer.Ordinal);

    public MetaValue? Metadata(MetadataSource whose) => Said.GetValueOrDefault(whose);

    public bool TryGetState(ReadOnlySpan<byte> key, out ReadOnlySpan<byte> value)
    {
        bool there = States.TryGetValue(Encoding.UTF8.GetString(key), out byte[]? bytes);
        value = bytes;
        return there;
    }

    public bool TryGetHeader(HeaderSource source, ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
    {
        // No string is made: the allocation test measures the format, not this fake.
        foreach (((HeaderSource where, string known), byte[] bytes) in _headers)
        {
            if (where != source || known.Length != name.Length || !Ascii.Equals(name, known)) continue;
            value = bytes;
            return true;
        }
        value = default;
        return false;
    }

    public ReadOnlySpan<byte> Text(RequestText what) => _texts.TryGetValue(what, out byte[]? value) ? value : default(ReadOnlySpan<byte>);

    public long Number(RequestNumber what) => Numbers.GetValueOrDefault(what, -1);

    public long Nanoseconds(TimePoint point) => Times.GetValueOrDefault(point, -1);
}
