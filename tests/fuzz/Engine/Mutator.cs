// Makes inputs out of inputs. Everything it does follows from its seed.
namespace Naru.FuzzTests.Engine;

/// <summary>Changes inputs at random.</summary>
internal sealed class Mutator(int seed)
{
    private static readonly byte[] s_interesting = [0, 1, 9, 10, 13, 31, 32, 58, 63, 64, 126, 127, 128, 192, 223, 224, 254, 255];

    private readonly Random _random = new(seed);

    /// <summary>A number from 0 to one less than <paramref name="limit"/>.</summary>
    public int Below(int limit) => _random.Next(limit);

    /// <summary>A changed copy of one of the inputs.</summary>
    public byte[] Mutate(IReadOnlyList<byte[]> pool, IReadOnlyList<byte[]> words, int maxLength)
    {
        var bytes = new List<byte>(pool[_random.Next(pool.Count)]);
        // Mostly few changes, sometimes many.
        int changes = 1 + _random.Next(1 << _random.Next(5));
        for (int i = 0; i < changes; i++) Change(bytes, pool, words);
        if (bytes.Count > maxLength) bytes.RemoveRange(maxLength, bytes.Count - maxLength);
        return [.. bytes];
    }

    private void Change(List<byte> bytes, IReadOnlyList<byte[]> pool, IReadOnlyList<byte[]> words)
    {
        int at = _random.Next(bytes.Count + 1);
        int last = Math.Min(at, bytes.Count - 1);
        switch (_random.Next(12))
        {
            case 0 when bytes.Count > 0:
                bytes[last] ^= (byte)(1 << _random.Next(8));
                break;
            case 1 when bytes.Count > 0:
                bytes[last] = (byte)_random.Next(256);
                break;
            case 2 when bytes.Count > 0:
                bytes[last] = s_interesting[_random.Next(s_interesting.Length)];
                break;
            case 3 when bytes.Count > 0:
                bytes[last] += (byte)(_random.Next(33) - 16);
                break;
            case 4:
                bytes.Insert(at, s_interesting[_random.Next(s_interesting.Length)]);
                break;
            case 5 when bytes.Count > 0:
                bytes.RemoveRange(last, Math.Min(1 + _random.Next(1 << _random.Next(7)), bytes.Count - last));
                break;
            case 6 when bytes.Count > 0:
                bytes.InsertRange(at, bytes.GetRange(last, Math.Min(1 + _random.Next(32), bytes.Count - last)));
                break;
            case 7 when words.Count > 0:
                bytes.InsertRange(at, words[_random.Next(words.Count)]);
                break;
            case 8 when words.Count > 0:
                byte[] word = words[_random.Next(words.Count)];
                bytes.RemoveRange(at, Math.Min(word.Length, bytes.Count - at));
                bytes.InsertRange(at, word);
                break;
            case 9:
                byte[] other = pool[_random.Next(pool.Count)];
                int from = _random.Next(other.Length + 1);
                bytes.RemoveRange(at, bytes.Count - at);
                bytes.AddRange(other.AsSpan(from));
                break;
            case 10:
                bytes.InsertRange(at, Enumerable.Repeat(s_interesting[_random.Next(s_interesting.Length)], 1 + _random.Next(1 << _random.Next(9))));
                break;
            case 11 when bytes.Count > 1:
                int number = _random.Next(1 << _random.Next(1, 25));
                bytes[last] = (byte)number;
                if (last > 0) bytes[last - 1] = (byte)(number >> 8);
                if (last > 1) bytes[last - 2] = (byte)(number >> 16);
                break;
        }
    }
}
