// Finds the values of a stream of JSON as it comes: the elements of one list, or values one behind the other (NDJSON). Only tells where each
// of them begins and ends; whether it is JSON is seen by whoever reads it.
namespace Naru.Http.Transcoding;

/// <summary>What was found.</summary>
public enum SplitResult : byte
{
    /// <summary>A value.</summary>
    Value,

    /// <summary>More has to come.</summary>
    More,

    /// <summary>The stream cannot go on like this.</summary>
    Broken,
}

/// <summary>Goes on where it stopped. It is given what was not taken, from its first byte on, with what came since.</summary>
public struct JsonSplitter
{
    private enum Place : byte
    {
        Start,
        First,
        Element,
        Between,
        Lines,
        Ended,
    }

    private Place _place;
    private bool _isList, _inValue, _inString, _escaped, _isScalar;
    private int _depth, _scanned;

    /// <summary>It may end here.</summary>
    public readonly bool MayEnd => !_inValue && _place is Place.Start or Place.Lines or Place.Ended;

    /// <summary>The next value.</summary>
    /// <param name="text">Bytes that were not taken.</param>
    /// <param name="ended">Nothing follows them.</param>
    /// <param name="start">Where the value begins.</param>
    /// <param name="length">Its length, bytes.</param>
    /// <param name="taken">So many bytes are done with; of a value also after it was read.</param>
    public SplitResult Next(ReadOnlySpan<byte> text, bool ended, out int start, out int length, out int taken)
    {
        start = length = 0;
        int at = taken = 0;
        while (!_inValue)
        {
            while (at < text.Length && text[at] is (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t') at++;
            taken = at;
            if (at == text.Length) return SplitResult.More;
            switch (_place)
            {
                case Place.Start when text[at] == '[':
                    (_isList, _place) = (true, Place.First);
                    at++;
                    continue;
                case Place.First when text[at] == ']':
                case Place.Between when text[at] == ']':
                    _place = Place.Ended;
                    at++;
                    continue;
                case Place.Between when text[at] == ',':
                    _place = Place.Element;
                    at++;
                    continue;
                case Place.Between or Place.Ended:
                    return SplitResult.Broken;
            }
            if (text[at] is (byte)',' or (byte)']' or (byte)'}' or (byte)':') return SplitResult.Broken;
            _inValue = true;
            _scanned = _depth = 0;
            _inString = _escaped = false;
            _isScalar = text[at] is not ((byte)'{' or (byte)'[' or (byte)'"');
        }
        int end = End(text[taken..], ended);
        if (end < 0) return SplitResult.More;
        (start, length) = (taken, end);
        taken += end;
        _inValue = false;
        _place = _isList ? Place.Between : Place.Lines;
        return SplitResult.Value;
    }

    // Where the value ends whose first byte is the text's; -1 where that is not here.
    private int End(ReadOnlySpan<byte> text, bool ended)
    {
        for (; _scanned < text.Length; _scanned++)
        {
            byte b = text[_scanned];
            if (_inString)
            {
                if (_escaped) _escaped = false;
                else if (b == '\\') _escaped = true;
                else if (b == '"')
                {
                    _inString = false;
                    if (_depth == 0) return _scanned + 1;
                }
                continue;
            }
            if (_isScalar)
            {
                if (b is (byte)',' or (byte)']' or (byte)'}' or (byte)' ' or (byte)'\n' or (byte)'\r' or (byte)'\t') return _scanned;
                continue;
            }
            switch (b)
            {
                case (byte)'"':
                    _inString = true;
                    break;
                case (byte)'{' or (byte)'[':
                    _depth++;
                    break;
                case (byte)'}' or (byte)']':
                    if (--_depth <= 0) return _scanned + 1;
                    break;
            }
        }
        return ended && _isScalar ? text.Length : -1;
    }
}
