// The laws of changes over a head: what is taken out is gone for everybody, what is added is seen by the next, lists do not see themselves,
// framing is nobody's to change. The same head is asked for its fields and copied out.
using System.Text;
using Naru.Http.Headers;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Xunit;

namespace Naru.UnitTests.Proxy.Http;

public sealed class HeadEditsTests
{
    private sealed class TestHead : HeadEdits
    {
        private readonly Http1Head _head = new();
        private readonly byte[] _bytes;

        public TestHead(params string[] lines)
        {
            _bytes = Encoding.Latin1.GetBytes($"GET / HTTP/1.1\r\n{string.Concat(lines.Select(l => l + "\r\n"))}\r\n");
            _head.StartRequest();
            Assert.Equal(HeadStatus.Complete, _head.Parse(_bytes, 1 << 20, 10_000));
        }

        protected override Http1Head Head => _head;

        protected override ReadOnlySpan<byte> Bytes => _bytes;

        protected override bool Joins(ReadOnlySpan<byte> name) => InlineHeaders.OfRequest(name);

        protected override bool TryGetPseudo(ReadOnlySpan<byte> name, out ReadOnlySpan<byte> value)
        {
            value = default;
            return false;
        }

        protected override bool SetPseudo(ReadOnlySpan<byte> name, scoped ReadOnlySpan<byte> value) => false;

        public string[] All()
        {
            var all = new List<string>();
            for (int i = Next(); i >= 0; i = Next(i + 1)) all.Add($"{Encoding.Latin1.GetString(Name(i))}: {Encoding.Latin1.GetString(Value(i))}");
            return [.. all];
        }

        public string Added()
        {
            IoBuffer o = new BufferPool().RentLarge();
            CopyAdded(o);
            return Encoding.Latin1.GetString(o.Filled);
        }

        public void Stage(string name, string value, HeaderAppendAction action) => Stage(B(name), B(value), action);
    }

    private static byte[] B(string text) => Encoding.Latin1.GetBytes(text);

    [Fact]
    public void A_removed_name_is_gone_in_any_letter_case_and_however_often_it_came()
    {
        var head = new TestHead("A: 1", "b: 2", "X-Gone: 1", "c: 3", "x-GONE: 2");
        head.Add("x-gone"u8, "3"u8);
        Assert.Equal(3, head.Remove("x-gone"u8));
        Assert.Equal(["A: 1", "b: 2", "c: 3"], head.All());
        Assert.False(head.Has("x-gone"u8));
        Assert.Equal(0, head.Remove("x-gone"u8));
        Assert.Equal("", head.Added());
    }

    [Fact]
    public void Setting_leaves_one_of_however_many()
    {
        var head = new TestHead("x-a: 1", "x-b: 2", "x-a: 3");
        head.Add("x-a"u8, "4"u8);
        Assert.True(head.Set("x-a"u8, "5"u8));
        Assert.Equal(["x-b: 2", "x-a: 5"], head.All());
        Assert.True(head.Set("x-a"u8, "6"u8));
        Assert.Equal(["x-b: 2", "x-a: 6"], head.All());
        Assert.Equal("x-a: 6\r\n", head.Added());
    }

    [Fact]
    public void A_field_can_be_set_from_its_own_value_while_the_lines_grow()
    {
        var head = new TestHead("x-a: 1");
        string expected = "1";
        for (int i = 0; i < 12; i++)
        {
            Assert.True(head.TryGet("x-a"u8, out ReadOnlySpan<byte> value));
            head.Set("x-a"u8, [.. value, .. value]);
            expected += expected;
        }
        Assert.Equal([$"x-a: {expected}"], head.All());
    }

    [Theory]
    [InlineData("accept", ",")]
    [InlineData("x-forwarded-for", ",")]
    [InlineData("cookie", "; ")]
    public void Known_names_are_one_line_and_others_are_not(string name, string separator)
    {
        var head = new TestHead($"{name}: 1", "x-other: 1", $"{name}: 2");
        head.Append(B(name), "3"u8);
        head.Append("x-other"u8, "2"u8);
        Assert.Equal(["x-other: 1", $"{name}: 1{separator}2{separator}3", "x-other: 2"], head.All());
    }

    [Theory]
    [InlineData("content-length")]
    [InlineData("transfer-encoding")]
    [InlineData("connection")]
    [InlineData("keep-alive")]
    [InlineData("proxy-connection")]
    [InlineData("upgrade")]
    [InlineData("host")]
    public void What_frames_a_message_is_neither_added_nor_taken_out(string name)
    {
        var head = new TestHead($"{name}: 1");
        Assert.False(head.Add(B(name), "2"u8));
        Assert.False(head.Append(B(name), "2"u8));
        Assert.False(head.Set(B(name), "2"u8));
        head.Stage(name, "2", HeaderAppendAction.OverwriteIfExistsOrAdd);
        head.Commit();
        head.Remove(B(name));
        Assert.Equal([$"{name}: 1"], head.All());
    }

    [Theory]
    [InlineData("x-a", "a\r\nx-b: 1")]
    [InlineData("x-a", "a\nb")]
    [InlineData("x-a", "a\0")]
    [InlineData("x a", "1")]
    [InlineData("x-a\r\n", "1")]
    [InlineData("", "1")]
    public void What_no_field_may_be_is_not_added(string name, string value)
    {
        var head = new TestHead("x-c: 1");
        Assert.False(head.Add(B(name), B(value)));
        head.Stage(name, value, HeaderAppendAction.AppendIfExistsOrAdd);
        head.Commit();
        Assert.Equal(["x-c: 1"], head.All());
    }

    [Theory]
    [InlineData(HeaderAppendAction.AppendIfExistsOrAdd, "", "x-a: new")]
    [InlineData(HeaderAppendAction.AppendIfExistsOrAdd, "x-a: 1,x-a: 2", "x-a: 1,x-a: 2,x-a: new")]
    [InlineData(HeaderAppendAction.AddIfAbsent, "", "x-a: new")]
    [InlineData(HeaderAppendAction.AddIfAbsent, "x-a: 1,x-a: 2", "x-a: 1,x-a: 2")]
    [InlineData(HeaderAppendAction.OverwriteIfExistsOrAdd, "", "x-a: new")]
    [InlineData(HeaderAppendAction.OverwriteIfExistsOrAdd, "x-a: 1,x-a: 2", "x-a: new")]
    [InlineData(HeaderAppendAction.OverwriteIfExists, "", "")]
    [InlineData(HeaderAppendAction.OverwriteIfExists, "x-a: 1,x-a: 2", "x-a: new")]
    public void Actions_do_what_their_names_say(HeaderAppendAction action, string before, string after)
    {
        var head = new TestHead(before.Split(',', StringSplitOptions.RemoveEmptyEntries));
        head.Stage("x-a", "new", action);
        head.Commit();
        Assert.Equal(after, string.Join(',', head.All()));
    }

    [Fact]
    public void What_overwrites_comes_before_what_adds_and_the_last_of_those_wins()
    {
        var head = new TestHead("x-a: old", "accept: old");
        head.Stage("x-a", "added", HeaderAppendAction.AppendIfExistsOrAdd);
        head.Stage("accept", "added", HeaderAppendAction.AppendIfExistsOrAdd);
        head.Stage("x-a", "one", HeaderAppendAction.OverwriteIfExistsOrAdd);
        head.Stage("accept", "set", HeaderAppendAction.OverwriteIfExistsOrAdd);
        head.Stage("x-a", "two", HeaderAppendAction.OverwriteIfExists);
        Assert.Equal(["x-a: old", "accept: old"], head.All());
        head.Commit();
        Assert.Equal(["x-a: two", "x-a: added", "accept: set,added"], head.All());
        Assert.Equal(string.Concat(head.All().Select(l => l + "\r\n")), head.Added());
    }

    [Fact]
    public void Members_of_a_list_do_not_see_each_other()
    {
        var head = new TestHead();
        head.Stage("x-a", "1", HeaderAppendAction.AddIfAbsent);
        head.Stage("x-a", "2", HeaderAppendAction.AddIfAbsent);
        head.Stage("x-a", "3", HeaderAppendAction.OverwriteIfExists);
        head.Commit();
        Assert.Equal(["x-a: 1", "x-a: 2"], head.All());
    }

    [Fact]
    public void A_list_sees_what_the_one_before_it_left()
    {
        var head = new TestHead("x-a: 1");
        head.Stage("x-a", "2", HeaderAppendAction.OverwriteIfExists);
        head.Commit();
        head.Remove("x-a"u8);
        head.Stage("x-a", "3", HeaderAppendAction.OverwriteIfExists);
        head.Stage("x-b", "3", HeaderAppendAction.AddIfAbsent);
        head.Commit();
        head.Stage("x-b", "4", HeaderAppendAction.AddIfAbsent);
        head.Commit();
        Assert.Equal(["x-b: 3"], head.All());
    }

    [Fact]
    public void A_name_added_three_times_in_one_list_is_one_line_where_it_is_known()
    {
        var head = new TestHead("x-c: 1");
        foreach (string value in (string[])["1", "2", "3"])
        {
            head.Stage("origin", value, HeaderAppendAction.AppendIfExistsOrAdd);
            head.Stage("x-c", value, HeaderAppendAction.AppendIfExistsOrAdd);
        }
        head.Commit();
        Assert.Equal(["origin: 1,2,3", "x-c: 1", "x-c: 1", "x-c: 2", "x-c: 3"], head.All().Order());
    }

    [Fact]
    public void Clearing_brings_the_head_back_as_it_came()
    {
        string[] lines = [.. Enumerable.Range(0, 300).Select(i => $"x-{i}: {i}")];
        var head = new TestHead(lines);
        for (int i = 0; i < 300; i++) Assert.Equal(1, head.Remove(B($"X-{i}")));
        for (int i = 0; i < 100; i++) head.Add("y"u8, B(new string('v', 500)));
        Assert.Equal(100, head.All().Length);
        head.Clear();
        Assert.Equal(lines, head.All());
        Assert.Equal("", head.Added());
        Assert.False(head.AnyDropped);
    }

    [Fact]
    public void Fields_are_found_by_what_they_mean_too()
    {
        var head = new TestHead("Server: a", "x: 1");
        Assert.True(head.Has(KnownHeader.Server));
        head.Remove("server"u8);
        Assert.False(head.Has(KnownHeader.Server));
        head.Add("server"u8, "b"u8);
        Assert.True(head.Has(KnownHeader.Server));
        Assert.Equal(KnownHeader.Server, head.Id(head.Next(KnownHeader.Server)));
    }

    // Any run of changes against a list that is changed the slow way.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Any_run_of_changes_leaves_what_a_plain_list_would_have(int seed)
    {
        var random = new Random(seed);
        string[] names = ["x-a", "x-b", "accept", "x-c"];
        for (int round = 0; round < 300; round++)
        {
            var model = new List<(string Name, string Value)>();
            for (int i = random.Next(6); i > 0; i--) model.Add((names[random.Next(4)], "o" + i));
            var head = new TestHead([.. model.Select(m => $"{m.Name}: {m.Value}")]);
            for (int step = 0; step < 12; step++)
            {
                string name = names[random.Next(4)], value = $"{round}.{step}";
                switch (random.Next(4))
                {
                    case 0:
                        Assert.Equal(model.RemoveAll(m => m.Name == name), head.Remove(B(name)));
                        break;
                    case 1:
                        model.RemoveAll(m => m.Name == name);
                        model.Add((name, value));
                        head.Set(B(name), B(value));
                        break;
                    case 2:
                        model.Add((name, value));
                        head.Add(B(name), B(value));
                        break;
                    default:
                        if (name == "accept" && model.Any(m => m.Name == name))
                        {
                            value = string.Join(',', [.. model.Where(m => m.Name == name).Select(m => m.Value), value]);
                            model.RemoveAll(m => m.Name == name);
                            head.Append("accept"u8, B(value[(value.LastIndexOf(',') + 1)..]));
                        }
                        else
                        {
                            head.Append(B(name), B(value));
                        }
                        model.Add((name, value));
                        break;
                }
                Assert.Equal(model.Select(m => $"{m.Name}: {m.Value}"), head.All());
            }
        }
    }

    // What a client said must not stand for what somebody else was to say.
    [Theory]
    [InlineData("bob\n")]
    [InlineData("bob\0")]
    [InlineData("a\rb")]
    public void A_value_that_may_not_stand_in_a_head_leaves_none_of_its_name(string value)
    {
        var head = new TestHead("x-user: admin", "a: 1", "X-USER: root");
        Assert.False(head.Set(B("x-user"), B(value)));
        Assert.Equal(["a: 1"], head.All());
        head = new TestHead("x-user: admin", "a: 1");
        head.Apply(B("x-user"), B(value), HeaderAppendAction.OverwriteIfExists);
        Assert.Equal(["a: 1"], head.All());
        head = new TestHead("x-user: admin", "a: 1");
        head.Stage("x-user", value, HeaderAppendAction.OverwriteIfExistsOrAdd);
        head.Commit();
        Assert.Equal(["a: 1"], head.All());
        // Framing is nobody's to change.
        head = new TestHead("content-length: 0");
        Assert.False(head.Set(B("content-length"), B("7")));
        Assert.Equal(["content-length: 0"], head.All());
    }
}
