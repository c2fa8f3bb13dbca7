// Headers of traces: what is a span, what is none, and that what is written reads back as it was.
using System.Text;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Telemetry;

public sealed class TraceContextTests
{
    private const string Trace = "463ac35c9f6413ad48485a3953bb6124", Span = "a2fb4a1d1a96d312", Parent = "0020000000000001";

    private static byte[] B(string text) => Encoding.ASCII.GetBytes(text);

    [Theory]
    [InlineData($"{Trace}-{Span}-1-{Parent}", true)]
    [InlineData($"{Trace}-{Span}-0", false)]
    [InlineData($"{Trace}-{Span}-d", true)]
    [InlineData($"{Trace}-{Span}", null)]
    [InlineData($"463ac35c9f6413ad-{Span}-1", true)]
    [InlineData($"463ac35c9f6413ad-{Span}", null)]
    public void A_single_header_says_ids_and_whether_they_are_recorded(string text, bool? sampled)
    {
        Assert.Equal(TraceFound.Span, TraceContext.ReadSingle(B(text), out TraceContext context, out bool? said));
        Assert.Equal(sampled, said);
        Assert.Equal(text.StartsWith(Trace, StringComparison.Ordinal) ? (0x463ac35c9f6413adUL, 0x48485a3953bb6124UL) : (0UL, 0x463ac35c9f6413adUL),
            (context.High, context.Low));
        Span<byte> written = stackalloc byte[TraceContext.MostSingle];
        context.IsSampled = said ?? false;
        string again = Encoding.ASCII.GetString(written[..context.WriteSingle(written)]);
        Assert.StartsWith(text.Replace("-d", "-1", StringComparison.Ordinal), again);
    }

    [Fact]
    public void A_cut_of_a_header_is_none_or_says_less_and_never_throws()
    {
        foreach (string whole in (string[])[$"{Trace}-{Span}-1-{Parent}", $"00-{Trace}-{Span}-01"])
        {
            for (int i = 0; i <= whole.Length; i++)
            {
                foreach (byte other in (byte[])[(byte)'-', (byte)'g', 0, 0xff, (byte)' '])
                {
                    byte[] changed = B(whole[..i]);
                    if (i > 0) changed[i - 1] = other;
                    TraceContext.ReadSingle(changed, out TraceContext single, out _);
                    TraceContext.ReadParent(changed, out TraceContext parent);
                    TraceContext.ReadSeveral(changed, changed, changed, out _);
                    Assert.False(parent.IsKnown && i < whole.Length);
                    Assert.True(!single.IsKnown || single.Low != 0 || single.High != 0);
                }
            }
        }
    }

    [Fact]
    public void What_is_written_as_traceparent_reads_back()
    {
        var context = new TraceContext { High = 1, Low = 2, Span = 3, IsSampled = true };
        Span<byte> text = stackalloc byte[TraceContext.ParentLength];
        Assert.Equal(TraceContext.ParentLength, context.WriteParent(text));
        Assert.Equal("00-00000000000000010000000000000002-0000000000000003-01", Encoding.ASCII.GetString(text));
        Assert.Equal(TraceFound.Span, TraceContext.ReadParent(text, out TraceContext read));
        Assert.Equal(context, read);
    }

    [Theory]
    [InlineData("00-463AC35C9F6413AD48485A3953BB6124-A2FB4A1D1A96D312-01", TraceFound.Span)]
    [InlineData("cc-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-00", TraceFound.Span)]
    [InlineData("ff-463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01", TraceFound.Malformed)]
    [InlineData("00-00000000000000000000000000000000-a2fb4a1d1a96d312-01", TraceFound.Malformed)]
    [InlineData("00-463ac35c9f6413ad48485a3953bb6124-0000000000000000-01", TraceFound.Malformed)]
    [InlineData("00_463ac35c9f6413ad48485a3953bb6124-a2fb4a1d1a96d312-01", TraceFound.Malformed)]
    [InlineData("", TraceFound.Malformed)]
    public void A_traceparent_is_what_the_standard_says(string text, TraceFound found) => Assert.Equal(found,
        TraceContext.ReadParent(B(text), out _));
}
