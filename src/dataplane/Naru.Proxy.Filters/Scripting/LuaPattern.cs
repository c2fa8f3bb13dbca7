// Patterns of Lua (reference manual 5.4.1). They are matched by trying, which can take exponentially many steps: each is counted as an
// instruction of the script's, and how deep trying goes is limited.
namespace Naru.Proxy.Filters.Scripting;

internal ref struct LuaPattern(LuaState state, ReadOnlySpan<byte> text, ReadOnlySpan<byte> pattern)
{
    private const int MostCaptures = 32, MostDepth = 200, Unfinished = -1, Position = -2;

    private readonly ReadOnlySpan<byte> _text = text, _pattern = pattern;
    private Captures _from, _length;
    private int _depth;

    [System.Runtime.CompilerServices.InlineArray(MostCaptures)]
    private struct Captures
    {
        private int _first;
    }

    /// <summary>Parts that were captured.</summary>
    public int Count { get; private set; }

    /// <summary>Whether it matches right at a place: the end of the match, or -1.</summary>
    /// <param name="at">Of the text.</param>
    /// <param name="from">Of the pattern: behind its anchor.</param>
    public int Match(int at, int from)
    {
        Count = 0;
        _depth = 0;
        return Try(at, from);
    }

    /// <summary>A captured part; without any the whole match.</summary>
    public readonly LuaValue Capture(int index, int start, int end)
    {
        if (index >= Count)
        {
            if (index > 0) throw new LuaException("invalid capture index");
            return state.String(_text[start..end]);
        }
        if (_length[index] == Position) return LuaValue.Of((double)_from[index] + 1);
        if (_length[index] == Unfinished) throw new LuaException("unfinished capture");
        return state.String(_text.Slice(_from[index], _length[index]));
    }

    private int Try(int at, int p)
    {
        if (++_depth > MostDepth)
        {
            // So many calls to come back from.
            state.Spend(MostDepth * 100);
            throw new LuaException("pattern too complex");
        }
        try
        {
            while (true)
            {
                state.Spend(1);
                if (p >= _pattern.Length) return at;
                switch (_pattern[p])
                {
                    case (byte)'(':
                        return p + 1 < _pattern.Length && _pattern[p + 1] == (byte)')'
                            ? Open(at, p + 2, Position) : Open(at, p + 1, Unfinished);
                    case (byte)')':
                        return Close(at, p + 1);
                    case (byte)'$' when p + 1 == _pattern.Length:
                        return at == _text.Length ? at : -1;
                    case (byte)'%' when p + 1 < _pattern.Length && _pattern[p + 1] == (byte)'b':
                        at = Balanced(at, p + 2);
                        if (at < 0) return -1;
                        p += 4;
                        continue;
                    case (byte)'%' when p + 1 < _pattern.Length && _pattern[p + 1] == (byte)'f':
                        p += 2;
                        if (p >= _pattern.Length || _pattern[p] != (byte)'[') throw new LuaException("missing '[' after '%f' in pattern");
                        int set = End(p);
                        byte before = at == 0 ? (byte)0 : _text[at - 1], here = at < _text.Length ? _text[at] : (byte)0;
                        if (InSet(before, p, set - 1) || !InSet(here, p, set - 1)) return -1;
                        p = set;
                        continue;
                    case (byte)'%' when p + 1 < _pattern.Length && _pattern[p + 1] is >= (byte)'0' and <= (byte)'9':
                        at = Again(at, _pattern[p + 1]);
                        if (at < 0) return -1;
                        p += 2;
                        continue;
                }
                int end = End(p);
                byte suffix = end < _pattern.Length ? _pattern[end] : (byte)0;
                switch (suffix)
                {
                    case (byte)'?':
                        if (at < _text.Length && Single(at, p, end) && Try(at + 1, end + 1) is >= 0 and int with) return with;
                        p = end + 1;
                        continue;
                    case (byte)'*':
                        return Most(at, p, end, 0);
                    case (byte)'+':
                        return at < _text.Length && Single(at, p, end) ? Most(at + 1, p, end, 0) : -1;
                    case (byte)'-':
                        return Least(at, p, end);
                }
                if (at >= _text.Length || !Single(at, p, end)) return -1;
                at++;
                p = end;
            }
        }
        finally
        {
            _depth--;
        }
    }

    private int Most(int at, int p, int end, int count)
    {
        while (at + count < _text.Length && Single(at + count, p, end))
        {
            state.Spend(1);
            count++;
        }
        for (; count >= 0; count--) if (Try(at + count, end + 1) is >= 0 and int match) return match;
        return -1;
    }

    private int Least(int at, int p, int end)
    {
        while (true)
        {
            if (Try(at, end + 1) is >= 0 and int match) return match;
            if (at >= _text.Length || !Single(at, p, end)) return -1;
            at++;
        }
    }

    private int Open(int at, int p, int kind)
    {
        if (Count >= MostCaptures) throw new LuaException("too many captures");
        (_from[Count], _length[Count]) = (at, kind);
        Count++;
        int match = Try(at, p);
        if (match < 0) Count--;
        return match;
    }

    private int Close(int at, int p)
    {
        int index = Count - 1;
        while (index >= 0 && _length[index] != Unfinished) index--;
        if (index < 0) throw new LuaException("invalid pattern capture");
        _length[index] = at - _from[index];
        int match = Try(at, p);
        if (match < 0) _length[index] = Unfinished;
        return match;
    }

    private readonly int Balanced(int at, int p)
    {
        if (p + 1 >= _pattern.Length) throw new LuaException("unbalanced pattern");
        if (at >= _text.Length || _text[at] != _pattern[p]) return -1;
        byte open = _pattern[p], close = _pattern[p + 1];
        int level = 1;
        for (int i = at + 1; i < _text.Length; i++)
        {
            state.Spend(1);
            if (_text[i] == close)
            {
                if (--level == 0) return i + 1;
            }
            else if (_text[i] == open)
            {
                level++;
            }
        }
        return -1;
    }

    private readonly int Again(int at, byte digit)
    {
        int index = digit - '1';
        if (index < 0 || index >= Count || _length[index] is Unfinished or Position) throw new LuaException("invalid capture index");
        ReadOnlySpan<byte> part = _text.Slice(_from[index], _length[index]);
        state.Spend(part.Length / 16);
        return _text[at..].StartsWith(part) ? at + part.Length : -1;
    }

    // Behind the one character or set at p.
    private readonly int End(int p)
    {
        int first = p;
        byte c = _pattern[p++];
        if (c == (byte)'%')
        {
            if (p >= _pattern.Length) throw new LuaException("malformed pattern (ends with '%')");
            return p + 1;
        }
        if (c != (byte)'[') return p;
        if (p < _pattern.Length && _pattern[p] == (byte)'^') p++;
        do
        {
            if (p >= _pattern.Length) throw new LuaException("malformed pattern (missing ']')");
            if (_pattern[p++] == (byte)'%')
            {
                if (p >= _pattern.Length) throw new LuaException("malformed pattern (ends with '%')");
                p++;
            }
        }
        while (p >= _pattern.Length || _pattern[p] != (byte)']');
        state.Spend((p - first) / 8);
        return p + 1;
    }

    private readonly bool Single(int at, int p, int end) => _pattern[p] switch
    {
        (byte)'.' => true,
        (byte)'%' => InClass(_text[at], _pattern[p + 1]),
        (byte)'[' => InSet(_text[at], p, end - 1),
        _ => _pattern[p] == _text[at],
    };

    // The set from its bracket to the closing one.
    private readonly bool InSet(byte c, int p, int close)
    {
        p++;
        bool not = _pattern[p] == (byte)'^';
        if (not) p++;
        state.Spend((close - p) / 8);
        for (; p < close; p++)
        {
            if (_pattern[p] == (byte)'%')
            {
                p++;
                if (InClass(c, _pattern[p])) return !not;
            }
            else if (p + 2 < close && _pattern[p + 1] == (byte)'-')
            {
                if (_pattern[p] <= c && c <= _pattern[p + 2]) return !not;
                p += 2;
            }
            else if (_pattern[p] == c)
            {
                return !not;
            }
        }
        return not;
    }

    private static bool InClass(byte c, byte name)
    {
        bool within;
        switch (name | 0x20)
        {
            case 'a': within = (c | 0x20) is >= 'a' and <= 'z'; break;
            case 'c': within = c is < 32 or 127; break;
            case 'd': within = c is >= (byte)'0' and <= (byte)'9'; break;
            case 'g': within = c is > 32 and < 127; break;
            case 'l': within = c is >= (byte)'a' and <= (byte)'z'; break;
            case 'p': within = c is > 32 and < 127 && !IsWord(c); break;
            case 's': within = LuaNumbers.IsSpace(c); break;
            case 'u': within = c is >= (byte)'A' and <= (byte)'Z'; break;
            case 'w': within = IsWord(c); break;
            case 'x': within = LuaNumbers.Digit(c) < 16; break;
            case 'z': within = c == 0; break;
            default: return name == c;
        }
        // Only letters name classes.
        if ((name | 0x20) is not (>= 'a' and <= 'z')) return name == c;
        return (name & 0x20) != 0 == within;
    }

    private static bool IsWord(byte c) => c is (>= (byte)'0' and <= (byte)'9') || (c | 0x20) is >= 'a' and <= 'z';
}
