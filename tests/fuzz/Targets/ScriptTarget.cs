// Scripts of Lua: whatever the text is, reading it ends in a script or in a cause with its line, and running it ends within its limits, in values
// or in an error of its own; the same text comes to the same.
using System.Text;
using Naru.FuzzTests.Engine;
using Naru.Proxy.Filters.Scripting;

namespace Naru.FuzzTests.Targets;

internal sealed class ScriptTarget : FuzzTarget
{
    private static readonly LuaLimits s_limits = new() { Instructions = 20_000, Memory = 512 * 1024, Calls = 500, Stack = 5_000 };

    public override string Name => "lua-script";

    public override int Replayed => 3000;

    public override IEnumerable<byte[]> Seeds { get; } =
    [
        .. new[]
        {
            "local t = {1, 2, x = 'a', [3] = {}} for k, v in pairs(t) do t[k] = nil end return #t, next(t)",
            "local function f(...) local a, b = ... return select('#', ...), a, b end return f(1, nil, 3)",
            "return pcall(function() error({code = 1}) end), xpcall(error, tostring, 'x')",
            "local c = coroutine.wrap(function(a) for i = 1, 3 do a = coroutine.yield(a .. i) end end) return c('x'), c('y')",
            "return ('key = value'):gsub('(%w+)%s*=%s*(%w+)', '%2=%1'), ('f(a(b))'):match('%b()'), ('x'):rep(3, ',')",
            "local m = {__index = function(t, k) return k end, __add = function(a, b) return 1 end, __lt = function() return true end, __concat = function() return 'c' end, __call = print} local t = setmetatable({}, m) return t.x, t + 1, t < t, t .. 1",
            "local r = {} for i = 10, 1, -3 do r[#r + 1] = function() i = i + 1 return i end end repeat local d = r[1]() until d > 12 return r[1](), r[2]()",
            "while true do local x = string.format('%5.2f %q %s %x', 1.5, 'a\\n', nil, 255) if #x > 3 then break end end goto_ = 1 return bit.bxor(1, 2), os.date('!%c', 0)",
            "table.sort({3, 1, 2}, function(a, b) return a < b end) return table.concat({1, 2}, '-'), unpack({1, 2, 3}, 2), tonumber('ff', 16)",
            "return [==[long]] ]==], 'a\\x41\\065\\z  b', 0x1F, 1e-3 --[[ c ]]",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override IReadOnlyList<byte[]> Words { get; } =
    [
        .. new[]
        {
            "local ", "function ", " end ", "if ", " then ", "else ", "elseif ", "for ", " in ", " do ", "while ", "repeat ", "until ", "return ", "break ",
            "not ", " and ", " or ", "nil", "true", "...", "..", "==", "~=", "<=", "#", "[[", "]]", "[=[", "--", "--[[", "'", "\"", "\\", "\\x", "\\z", "(", ")", "{", "}", "[", "]",
            ":", ";", ",", "=", "^", "%", "pcall(", "xpcall(", "error(", "setmetatable({}, {", "__index = ", "__newindex = ", "__call = ", "__eq = ", "__len = ", "__tostring = ",
            "coroutine.wrap(", "coroutine.yield(", "coroutine.resume(", "string.rep('x', ", "('x'):gsub(", "string.find(", "%b()", "%f[%w]", "(.-)", "[^%s]*", "string.format('%",
            "table.insert(", "table.concat(", "table.sort(", "unpack(", "select('#', ", "next(", "tostring(", "math.huge", "0/0", "1e308", "2^53",
        }.Select(Encoding.UTF8.GetBytes),
    ];

    public override int Run(byte[] input)
    {
        string first = Once(input), second = Once(input);
        // Objects have numbers that differ.
        Law(first.Length == second.Length || first.Contains("0x", StringComparison.Ordinal), $"a script comes to the same: {first} | {second}");
        return first.Length > 120 ? 1 : first.Contains("0x", StringComparison.Ordinal) ? 2 : first.GetHashCode(StringComparison.Ordinal);
    }

    private static string Once(byte[] input)
    {
        LuaScript script;
        try
        {
            script = LuaScript.Compile(input, "t");
        }
        catch (LuaSyntaxException e)
        {
            Law(e.Line >= 1 && e.Message.StartsWith($"t:{e.Line}: ", StringComparison.Ordinal), "what is no script says its line");
            return "syntax";
        }
        var state = new LuaState(s_limits) { Time = new Still() };
        try
        {
            LuaLibrary.Open(state);
            var thread = new LuaThread(state, LuaValue.Of(new LuaClosure(script.Main, [])));
            state.Register(thread);
            state.BeginStep();
            Law(thread.Resume() == LuaOutcome.Done, "no script waits for nothing");
            Law(state.Running is null && state.Nested == 0, "nothing runs behind it");
            return string.Join(' ', Enumerable.Range(0, Math.Min(thread.ResultCount, 20)).Select(i => thread.Results[i].ToString()));
        }
        catch (LuaException e)
        {
            Law(state.Running is null && state.Nested == 0, "nothing runs behind an error");
            return e is LuaLimitException ? "limit" : e.Message;
        }
    }

    private sealed class Still : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch;

        public override long GetTimestamp() => 0;
    }
}
