// Tables: an array for the keys 1, 2, 3 … and nodes for all others, in the order in which they came. What they grow by is charged to
// their state.
namespace Naru.Proxy.Filters.Scripting;

internal sealed class LuaTable
{
    private readonly LuaState _state;
    private LuaValue[] _array = [];
    private int _count;
    private int[] _buckets = [];
    private Node[] _nodes = [];
    private int _used;

    private struct Node
    {
        public LuaValue Key, Value;
        public int Hash, Next;
    }

    /// <summary>An empty one.</summary>
    public LuaTable(LuaState state)
    {
        _state = state;
        state.Charge(96);
    }

    public LuaTable? Metatable { get; set; }

    /// <summary>Bytes that it takes up, about.</summary>
    public long Size => 96 + (long)_array.Length * 16 + (long)_nodes.Length * 44;

    /// <summary>All that it refers to.</summary>
    public void Visit(LuaMarker marker)
    {
        if (Metatable is { } metatable) marker.Add(metatable);
        for (int i = 0; i < _count; i++) marker.Add(_array[i].Ref);
        for (int i = 0; i < _used; i++)
        {
            if (_nodes[i].Value.IsNil) continue;
            marker.Add(_nodes[i].Key.Ref);
            marker.Add(_nodes[i].Value.Ref);
        }
    }

    public LuaValue Get(in LuaValue key)
    {
        if (key.IsNumber)
        {
            int index = (int)key.Num;
            if (index == key.Num && (uint)(index - 1) < (uint)_count) return _array[index - 1];
        }
        else if (key.Ref is LuaString text)
        {
            return Get(text);
        }
        if (_used == 0) return LuaValue.Nil;
        int node = Find(key);
        return node < 0 ? LuaValue.Nil : _nodes[node].Value;
    }

    public LuaValue Get(LuaString key)
    {
        if (_used == 0) return LuaValue.Nil;
        int hash = key.Hash;
        for (int i = _buckets[hash & (_buckets.Length - 1)] - 1; i >= 0; i = _nodes[i].Next)
            if (_nodes[i].Hash == hash && _nodes[i].Key.Ref is LuaString text && _state.RawEquals(text, key)) return _nodes[i].Value;
        return LuaValue.Nil;
    }

    public LuaValue Get(int index) => (uint)(index - 1) < (uint)_count ? _array[index - 1] : Get(LuaValue.Of(index));

    public void Set(int index, in LuaValue value) => Set(LuaValue.Of(index), value);

    public void Set(string key, in LuaValue value) => Set(LuaValue.Of(key), value);

    /// <summary>Sets it; neither nil nor NaN is a key.</summary>
    public void Set(in LuaValue key, in LuaValue value)
    {
        if (key.IsNumber)
        {
            int index = (int)key.Num;
            if (index == key.Num)
            {
                if ((uint)(index - 1) < (uint)_count)
                {
                    _array[index - 1] = value;
                    return;
                }
                if (index == _count + 1)
                {
                    if (!value.IsNil) Push(value);
                    else if (_used > 0 && Find(key) is >= 0 and int at) _nodes[at].Value = LuaValue.Nil;
                    return;
                }
            }
            else if (double.IsNaN(key.Num))
            {
                throw new LuaException("table index is NaN");
            }
        }
        else if (key.IsNil)
        {
            throw new LuaException("table index is nil");
        }
        int node = _used == 0 ? -1 : Find(key);
        if (node >= 0) _nodes[node].Value = value;
        else if (!value.IsNil) Insert(key, value);
    }

    private void Push(in LuaValue value)
    {
        Grow();
        _array[_count++] = value;
        // What stood behind it in a node belongs into the array now.
        while (_used > 0 && Find(LuaValue.Of((double)_count + 1)) is >= 0 and int next && !_nodes[next].Value.IsNil)
        {
            Grow();
            _array[_count++] = _nodes[next].Value;
            _nodes[next].Value = LuaValue.Nil;
        }
    }

    private void Grow()
    {
        if (_count < _array.Length) return;
        int larger = Math.Max(4, _array.Length * 2);
        _state.Charge((long)(larger - _array.Length) * 16);
        Array.Resize(ref _array, larger);
    }

    private static int HashOf(in LuaValue key) => key.Ref is LuaString text ? text.Hash
        : key.IsNumber ? HashCode.Combine(key.Num)
        : System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(key.Ref);

    private int Find(in LuaValue key)
    {
        int hash = HashOf(key);
        for (int i = _buckets[hash & (_buckets.Length - 1)] - 1; i >= 0; i = _nodes[i].Next)
            if (_nodes[i].Hash == hash && _state.RawEquals(_nodes[i].Key, key)) return i;
        return -1;
    }

    private void Insert(in LuaValue key, in LuaValue value)
    {
        if (_used == _nodes.Length) Rehash();
        int hash = HashOf(key);
        ref int bucket = ref _buckets[hash & (_buckets.Length - 1)];
        _nodes[_used] = new Node { Key = key, Value = value, Hash = hash, Next = bucket - 1 };
        bucket = ++_used;
    }

    // Nodes whose value went stay until then, so that a walk can take fields out.
    private void Rehash()
    {
        int live = 0;
        for (int i = 0; i < _used; i++) if (!_nodes[i].Value.IsNil) live++;
        int size = 4;
        while (size < live + 1 + live / 2) size *= 2;
        if (size > _nodes.Length) _state.Charge((long)(size - _nodes.Length) * 44);
        Node[] old = _nodes;
        int used = _used;
        (_nodes, _buckets, _used) = (new Node[size], new int[size], 0);
        _state.Spend(used);
        for (int i = 0; i < used; i++)
        {
            if (old[i].Value.IsNil) continue;
            ref int bucket = ref _buckets[old[i].Hash & (size - 1)];
            _nodes[_used] = old[i] with { Next = bucket - 1 };
            bucket = ++_used;
        }
    }

    /// <summary>A border (reference manual 2.5.5).</summary>
    public int Length
    {
        get
        {
            if (_count == 0) return 0;
            if (!_array[_count - 1].IsNil) return _count;
            // A border is where something ends: low holds a value, or is 0, and high holds none.
            int low = 0, high = _count;
            while (high - low > 1)
            {
                int middle = low + (high - low) / 2;
                if (_array[middle - 1].IsNil) high = middle;
                else low = middle;
            }
            return low;
        }
    }

    /// <summary>The field behind a key; nil begins. False where there is none.</summary>
    /// <exception cref="LuaException">The key is none of this table.</exception>
    public bool Next(in LuaValue key, out LuaValue next, out LuaValue value)
    {
        int at = 0;
        if (!key.IsNil)
        {
            int index = key.IsNumber ? (int)key.Num : 0;
            if (key.IsNumber && index == key.Num && (uint)(index - 1) < (uint)_count) at = index;
            else if (_used > 0 && Find(key) is >= 0 and int node) at = _count + node + 1;
            else throw new LuaException("invalid key to 'next'");
        }
        for (; at < _count; at++)
        {
            _state.Left--;
            if (_array[at].IsNil) continue;
            (next, value) = (LuaValue.Of((double)at + 1), _array[at]);
            return true;
        }
        for (int i = at - _count; i < _used; i++)
        {
            _state.Left--;
            if (_nodes[i].Value.IsNil) continue;
            (next, value) = (_nodes[i].Key, _nodes[i].Value);
            return true;
        }
        next = value = LuaValue.Nil;
        return false;
    }
}
