// The part of fuzzing that runs each time: everything in the corpora, and some thousand mutations that are always the same.
using Naru.FuzzTests.Engine;
using Naru.FuzzTests.Targets;
using Naru.Kit;
using Xunit;

namespace Naru.FuzzTests;

public sealed class ReplayTests
{
    public static TheoryData<string> Names => [.. AllTargets.List.Select(t => t.Name)];

    private static FuzzTarget Target(string name) => AllTargets.List.Single(t => t.Name == name);

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_known_input_keeps_the_laws(string target)
    {
        Assert.NotEmpty(Target(target).Corpus);
        foreach (byte[] input in Target(target).Corpus) Target(target).Run(input);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Mutations_of_known_inputs_keep_the_laws(string target)
    {
        Finding? finding = new FuzzSearch(Target(target), seed: 20).Go(Target(target).Replayed);
        Assert.True(finding is null, finding is null ? "" : $"{Convert.ToHexString(finding.Input)}\n{finding.Problem}");
    }

    [Fact]
    public void Every_corpus_belongs_to_a_target_and_no_target_is_named_twice()
    {
        string[] names = [.. AllTargets.List.Select(t => t.Name)];
        Assert.Equal(names.Distinct(), names);
        Assert.Empty(Directory.EnumerateDirectories(Repository.At("tests", "fuzz", "corpus")).Select(Path.GetFileName).Except(names));
    }

    private sealed class Faulty : FuzzTarget
    {
        public override string Name => "faulty";

        public override IEnumerable<byte[]> Seeds => [Bytes("GET / HTTP/1.1")];

        public override IReadOnlyList<byte[]> Words => [Bytes("BANG")];

        public override int Run(byte[] input)
        {
            Law(!Text(input).Contains("BANG/", StringComparison.Ordinal), "no bang before a slash");
            return input.Length;
        }
    }

    [Fact]
    public void The_search_finds_a_planted_fault_makes_it_small_and_does_so_again_with_the_same_seed()
    {
        byte[] Found() => new FuzzSearch(new Faulty(), seed: 5).Go(200_000)!.Input;
        Assert.Equal("BANG/"u8.ToArray(), Found());
        Assert.Equal(Found(), Found());
    }
}
