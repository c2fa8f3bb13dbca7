// What is fuzzed: a reader of bytes with the laws that it keeps for any input, seeds to start from, and words of its language.
using System.Text;
using Naru.Kit;

namespace Naru.FuzzTests.Engine;

/// <summary>A law was broken. Any other exception out of a target is a finding just the same.</summary>
internal sealed class LawBroken(string message) : Exception(message);

/// <summary>A reader under search.</summary>
internal abstract class FuzzTarget
{
    /// <summary>Name on the command line and of its folder in tests/fuzz/corpus.</summary>
    public abstract string Name { get; }

    /// <summary>Longest input that is tried, bytes.</summary>
    public virtual int MaxLength => 2048;

    /// <summary>Mutations that ./test tries each time: about a second's worth.</summary>
    public virtual int Replayed => 10_000;

    /// <summary>Inputs to start from.</summary>
    public abstract IEnumerable<byte[]> Seeds { get; }

    /// <summary>Pieces that the language is made of.</summary>
    public virtual IReadOnlyList<byte[]> Words => [];

    /// <summary>Reads an input and checks the laws.</summary>
    /// <returns>A number that tells outcomes apart: inputs with one not seen before become seeds.</returns>
    public abstract int Run(byte[] input);

    /// <summary>Seeds, then what was found once and is kept in tests/fuzz/corpus.</summary>
    public IReadOnlyList<byte[]> Corpus
    {
        get
        {
            string folder = Repository.At("tests", "fuzz", "corpus", Name);
            return [.. Seeds, .. Directory.Exists(folder) ? Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal).Select(File.ReadAllBytes) : []];
        }
    }

    /// <summary>Checks a law.</summary>
    protected static void Law(bool holds, string law)
    {
        if (!holds) throw new LawBroken(law);
    }

    /// <summary>Checks that two ways lead to one result.</summary>
    protected static void Same(string expected, string got, string law)
    {
        if (expected != got) throw new LawBroken($"{law}\n  one way:     {expected}\n  another way: {got}");
    }

    /// <summary>Text as bytes, one each.</summary>
    protected static byte[] Bytes(string text) => Encoding.Latin1.GetBytes(text);

    /// <summary>Bytes as text, one character each.</summary>
    protected static string Text(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);

    /// <summary>Places at which an input is cut in two: all of them in short inputs, some 64 in long ones.</summary>
    protected static IEnumerable<int> Cuts(int length)
    {
        int step = Math.Max(1, length / 64);
        for (int i = step == 1 ? 0 : length % step; i <= length; i += step) yield return i;
    }
}
