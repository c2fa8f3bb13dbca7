// JSON and Protobuf, each as the other: rows of the standard (protobuf.dev, ProtoJSON), and whatever messages there are, as Protobuf's own
// reader and writer of JSON see them.
using System.Collections;
using System.Text;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Google.Protobuf.WellKnownTypes;
using Naru.Http.Transcoding;
using Naru.Proxy.Filters.Http.GrpcJsonTranscoder;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class TranscodingTests
{
    [Theory]
    [InlineData("{}", "")]
    [InlineData(" \t\r\n{ } ", "")]
    [InlineData("""{"aInt32":-1}""", "28ffffffffffffffffff01")]
    [InlineData("""{"a_int32":7}""", "2807")]
    [InlineData("""{"aInt64":"9223372036854775807","aUint64":"18446744073709551615"}""", "18ffffffffffffffff7f20ffffffffffffffffff01")]
    [InlineData("""{"aSint32":-1,"aSint64":"-2"}""", "800101880103")]
    [InlineData("""{"aFixed64":"1","aFixed32":2,"aSfixed32":-1,"aSfixed64":"-1"}""", "3101000000000000003d0200000075ffffffff79ffffffffffffffff")]
    [InlineData("""{"aDouble":1.5,"aFloat":0.5}""", "09000000000000f83f150000003f")]
    [InlineData("""{"aDouble":"NaN"}""", "09000000000000f87f")]
    [InlineData("""{"aDouble":"-Infinity","aFloat":"Infinity"}""", "09000000000000f0ff150000807f")]
    [InlineData("""{"aBool":true,"aString":"é\"<","aBytes":"/+8="}""", "40014a04c3a9223c5a02ffef")]
    [InlineData("""{"aEnum":"ONE_MORE"}""", "6801")]
    [InlineData("""{"aEnum":"UNDER"}""", "68ffffffffffffffffff01")]
    [InlineData("""{"aEnum":99}""", "6863")]
    [InlineData("""{"list":[1,-1,300],"words":["",  "x"]}""", "92010d01ffffffffffffffffff01ac029a01009a010178")]
    [InlineData("""{"aMessage":{"aMessage":{}},"parts":[{},{"aBool":true}]}""", "52025200a20100a201024001")]
    [InlineData("""{"map":{"-1":true,"2":false}}""", "aa010d08ffffffffffffffffff011001aa010408021000")]
    [InlineData("""{"maybe":0}""", "b00100")]
    [InlineData("""{"left":""}""", "ba0100")]
    [InlineData("""{"right":0}""", "c00100")]
    [InlineData("""{"value":null}""", "d201020800")]
    [InlineData("""{"value":[1,"x",{"a":null}]}""", "d2011f321d0a0911000000000000f03f0a031a01780a0b2a090a070a016112020800")]
    [InlineData("""{"any":{"@type":"type.googleapis.com/t.All","aBool":true}}""", "da011f0a19747970652e676f6f676c65617069732e636f6d2f742e416c6c12024001")]
    [InlineData("""{"any":{"@type":"x/google.protobuf.Duration","value":"1s"}}""", "da01200a1a782f676f6f676c652e70726f746f6275662e4475726174696f6e12020801")]
    [InlineData("""{"time":"1970-01-01T00:00:01.500Z"}""", "e2010808011080cab5ee01")]
    [InlineData("""{"time":"0001-01-01T00:00:00Z"}""", "e2010b088092b8c398feffffff01")]
    [InlineData("""{"span":"-1.000000001s"}""", "ea011608ffffffffffffffffff0110ffffffffffffffffff01")]
    [InlineData("""{"mask":"fooBar,a.bC"}""", "f201100a07666f6f5f6261720a05612e625f63")]
    [InlineData("""{"wrapped":"5","object":{"k":true},"empty":{}}""", "fa010208058202090a070a016b120220018a0200")]
    [InlineData("""{"enums":["ONE_MORE",99]}""", "9202020163")]
    public void A_text_is_a_message_and_the_message_that_text(string json, string hex)
    {
        Assert.Equal(hex, Grove.ToHex(json, "t.All", out string fault));
        Assert.Equal("", fault);
        string back = Grove.ToJson(hex, "t.All", out fault)!;
        Assert.Equal("", fault);
        Assert.Equal(hex, Grove.ToHex(back, "t.All", out _));
    }

    [Theory]
    [InlineData("""{"aInt32":"7"}""", "2807")]
    [InlineData("""{"aInt32":7.0}""", "2807")]
    [InlineData("""{"aInt32":7e0}""", "2807")]
    [InlineData("""{"aInt32":70e-1}""", "2807")]
    [InlineData("""{"aInt32":0.7E1}""", "2807")]
    [InlineData("""{"aInt32":0e99999999999999999999}""", "2800")]
    [InlineData("""{"aDouble":"1.5"}""", "09000000000000f83f")]
    [InlineData("""{"aBytes":"_-8"}""", "5a02ffef")]
    [InlineData("""{"aString":"\ud83d\ude00\u00e9\/\b\f\n\r\t\\\""}""", "4a0ef09f9880c3a92f080c0a0d095c22")]
    [InlineData("""{"aInt32":null,"list":null,"aMessage":null,"map":null,"time":null}""", "")]
    [InlineData("""{"nosuch":{"a":[1,"}",{"b":null}]},"aBool":true}""", "4001")]
    [InlineData("""{"aEnum":"1"}""", "6801")]
    [InlineData("""{"time":"1970-01-01T01:00:00+01:00"}""", "e20100")]
    [InlineData("""{"any":{"aBool":true,"@type":"a/t.All"}}""", "da010d0a07612f742e416c6c12024001")]
    [InlineData("""{"any":{}}""", "da0100")]
    [InlineData("""{"list":[]}""", "")]
    [InlineData("""{"\u0061Bool":true}""", "4001")]
    public void What_may_be_written_in_several_ways_is_understood(string json, string hex) => Assert.Equal(hex, Grove.ToHex(json, "t.All", out _));

    [Theory]
    [InlineData("{\"aInt32\":", "Unexpected end of string. Expected a value.\n\n^", true)]
    [InlineData("{\"aInt32\":1", "Unexpected end of string. Expected , or } after key:value pair.", true)]
    [InlineData("{\"aInt32\":1,}", "Expected an object key or }.", true)]
    [InlineData("{\"aInt32\" 1}", "Expected : between key:value pair.", true)]
    [InlineData("{\"aInt32\":1}{}", "Parsing terminated before end of input.", true)]
    [InlineData("{\"aInt32\":01}", "Expected a value.", true)]
    [InlineData("{\"aInt32\":+1}", "Expected a value.", true)]
    [InlineData("{\"aInt32\":1.}", "Expected a value.", true)]
    [InlineData("{\"aInt32\":.5}", "Expected a value.", true)]
    [InlineData("{\"aInt32\":1.5}", "a_int32: invalid value 1.5 for type TYPE_INT32", true)]
    [InlineData("{\"aInt32\":2147483648}", "a_int32: invalid value 2147483648 for type TYPE_INT32", true)]
    [InlineData("{\"aUint32\":-1}", "a_uint32: invalid value -1 for type TYPE_UINT32", true)]
    [InlineData("{\"aInt32\":1e400}", "a_int32: invalid value 1e400 for type TYPE_INT32", true)]
    [InlineData("{\"aDouble\":1e400}", "a_double: invalid value 1e400 for type TYPE_DOUBLE", true)]
    [InlineData("{\"aFloat\":1e39}", "a_float: invalid value 1e39 for type TYPE_FLOAT", true)]
    [InlineData("{\"aInt32\":\" 1\"}", "a_int32: invalid value \" 1\" for type TYPE_INT32", true)]
    [InlineData("{\"aInt32\":\"\"}", "a_int32: invalid value \"\" for type TYPE_INT32", true)]
    [InlineData("{\"aInt32\":true}", "a_int32: invalid value true for type TYPE_INT32", true)]
    [InlineData("{\"aInt32\":{}}", "a_int32: invalid value { for type TYPE_INT32", true)]
    [InlineData("{\"aString\":1}", "a_string: invalid value 1 for type TYPE_STRING", true)]
    [InlineData("{\"aBool\":\"yes\"}", "a_bool: invalid value \"yes\" for type TYPE_BOOL", true)]
    [InlineData("{\"aBytes\":\"a\"}", "a_bytes: invalid value \"a\" for type TYPE_BYTES", true)]
    [InlineData("{\"aBytes\":\"a===\"}", "a_bytes: invalid value \"a===\" for type TYPE_BYTES", true)]
    [InlineData("{\"aBytes\":\"aa=\"}", "a_bytes: invalid value \"aa=\" for type TYPE_BYTES", true)]
    [InlineData("{\"aEnum\":\"one_more\"}", "a_enum: invalid value \"one_more\" for type type.googleapis.com/t.E", true)]
    [InlineData("{\"aMessage\":[]}", "a_message: invalid value [] for type type.googleapis.com/t.All", true)]
    [InlineData("{\"list\":1}", "list: invalid value 1 for type TYPE_INT32", true)]
    [InlineData("{\"list\":[1,null]}", "list[1]: invalid value null for type TYPE_INT32", true)]
    [InlineData("{\"parts\":[{},{\"aInt32\":\"x\"}]}", "parts[1].a_int32: invalid value \"x\" for type TYPE_INT32", true)]
    [InlineData("{\"map\":{\"x\":true}}", "map: invalid value \"x\" for type TYPE_INT64", false)]
    [InlineData("{\"aInt32\":1,\"a_int32\":1}", "a_int32: a field", true)]
    [InlineData("{\"left\":\"\",\"right\":1}", "right: a field, or a choice", true)]
    [InlineData("{\"aString\":\"\\ud800\"}", "Missing low surrogate.", true)]
    [InlineData("{\"aString\":\"\\udc00\"}", "Invalid unicode code point.", true)]
    [InlineData("{\"aString\":\"\\x\"}", "Invalid escape sequence.", true)]
    [InlineData("{\"aString\":\"\\u12\"}", "Illegal hex string.", true)]
    [InlineData("{\"aString\":\"\n\"}", "Control characters", true)]
    [InlineData("{\"aString\":\"", "Unexpected end of string. Closing quote expected in string.", true)]
    [InlineData("{\"nosuch\":tru}", "Expected a value.", true)]
    [InlineData("[]", "invalid value", false)]
    [InlineData("{\"time\":\"2020-02-30T00:00:00Z\"}", "time: invalid value", true)]
    [InlineData("{\"time\":\"2020-01-01 00:00:00Z\"}", "time: invalid value", true)]
    [InlineData("{\"time\":\"2020-01-01T00:00:00\"}", "time: invalid value", true)]
    [InlineData("{\"span\":\"1\"}", "span: invalid value", true)]
    [InlineData("{\"span\":\"315576000001s\"}", "span: invalid value", true)]
    [InlineData("{\"mask\":\"foo_bar\"}", "mask: invalid value", true)]
    [InlineData("{\"any\":{\"a\":1}}", "any: an Any says its type", true)]
    [InlineData("{\"any\":{\"@type\":\"a/no.Such\"}}", "any: invalid value \"a/no.Such\"", true)]
    [InlineData("{\"value\":1e999}", "value: invalid value 1e999", true)]
    public void What_is_no_such_message_is_said_with_its_place(string json, string fault, bool starts)
    {
        Assert.Null(Grove.ToHex(json, "t.All", out string said));
        if (starts) Assert.StartsWith(fault, said, StringComparison.Ordinal);
        else Assert.Contains(fault, said, StringComparison.Ordinal);
    }

    [Fact]
    public void Texts_nest_as_deep_as_may_be_and_no_deeper()
    {
        static string Deep(string open, string close, int depth) => string.Concat(Enumerable.Repeat(open, depth)) + string.Concat(Enumerable.Repeat(close, depth));
        Assert.NotNull(Grove.ToHex(Deep("{\"aMessage\":", "}", 90).Replace(":}", ":{}}", StringComparison.Ordinal), "t.All", out _));
        foreach ((string open, string close, string around) in new[] { ("{\"aMessage\":", "}", "{0}"), ("[", "]", "{{\"value\":{0}}}"), ("{\"x\":", "}", "{{\"object\":{0}}}"), ("[", "]", "{{\"nosuch\":{0}}}") })
        {
            Assert.Null(Grove.ToHex(string.Format(null, around, Deep(open, close, 200_000)), "t.All", out string fault));
            Assert.StartsWith("Message too deep.", fault, StringComparison.Ordinal);
        }
        string any = string.Concat(Enumerable.Repeat("{\"any\":{\"x\":1,\"@type\":\"a/t.All\",\"any\":", 50));
        Assert.Null(Grove.ToHex(any, "t.All", out _));
        // Bytes, likewise.
        string hex = "";
        for (int i = 0; i < 120; i++)
        {
            int length = hex.Length / 2;
            hex = "52" + (length < 128 ? $"{length:x2}" : $"{(length & 127) | 128:x2}{length >> 7:x2}") + hex;
        }
        Assert.Null(Grove.ToJson(hex, "t.All", out string deep));
        Assert.Equal("The answer nests too deep.", deep);
    }

    [Theory]
    [InlineData("", "{}")]
    [InlineData("2800400018004a005a006800", "{}")]
    [InlineData("28012802", """{"aInt32":2}""")]
    [InlineData("5202280152024001", """{"aMessage":{"aInt32":1,"aBool":true}}""")]
    [InlineData("900101900102", """{"list":[1,2]}""")]
    [InlineData("ba010178c00101", """{"right":1}""")]
    [InlineData("b80601c23e0161", "{}")]
    [InlineData("4a03c3a93c", """{"aString":"é\u003c"}""")]
    [InlineData("aa010408011001aa010408011000", """{"map":{"1":false}}""")]
    [InlineData("aa0100", """{"map":{"0":false}}""")]
    [InlineData("8202070a050a01611200", """{"object":{"a":null}}""")]
    [InlineData("fa0100", """{"wrapped":"0"}""")]
    [InlineData("4003", """{"aBool":true}""")]
    [InlineData("09333333333333d33f", """{"aDouble":0.3}""")]
    [InlineData("09000000a2941a6d42", """{"aDouble":1000000000000}""")]
    [InlineData("150000004b", """{"aFloat":8388608}""")]
    public void Bytes_are_read_as_Protobuf_means_them(string hex, string json)
    {
        Assert.Equal(json, Grove.ToJson(hex, "t.All", out string fault));
        Assert.Equal("", fault);
    }

    [Theory]
    [InlineData("08")]
    [InlineData("2880")]
    [InlineData("00")]
    [InlineData("52ff")]
    [InlineData("5201")]
    [InlineData("0f")]
    [InlineData("2bff2c")]
    [InlineData("4a01ff")]
    [InlineData("28ffffffffffffffffffff01")]
    [InlineData("e2010b0800")]
    [InlineData("e2010608ffffffffff7f")]
    [InlineData("ea0104080110ffffffffffffffffff01")]
    [InlineData("da01050a03612f62")]
    [InlineData("f201040a025f5f")]
    [InlineData("f201030a0122")]
    [InlineData("d2010911000000000000f07f")]
    [InlineData("920101ff")]
    public void Bytes_that_are_no_such_message_are_refused(string hex)
    {
        Assert.Null(Grove.ToJson(hex, "t.All", out string fault));
        Assert.NotEmpty(fault);
    }

    [Fact]
    public void Answers_are_printed_as_they_are_asked_for()
    {
        ProtoShapes shapes = Grove.Read.Shapes;
        Assert.Equal("{\n \"aInt32\": 1,\n \"list\": [\n  1,\n  2\n ],\n \"parts\": [\n  {}\n ]\n}\n", Grove.ToJson("28019201020102a20100", "t.All", out _, new JsonPrint(shapes, Indents: true)));
        Assert.Equal("""{"a_int32":1,"a_enum":1}""", Grove.ToJson("28016801", "t.All", out _, new JsonPrint(shapes, EnumsAsNumbers: true, DeclaredNames: true)));
        string all = Grove.ToJson("", "t.All", out _, new JsonPrint(shapes, PrintsDefaults: true))!;
        Assert.Equal("""{"aDouble":0,"aFloat":0,"aInt64":"0","aUint64":"0","aInt32":0,"aFixed64":"0","aFixed32":0,"aBool":false,"aString":"","aBytes":"","aUint32":0,"aEnum":"ZERO","aSfixed32":0,"aSfixed64":"0","aSint32":0,"aSint64":"0","list":[],"words":[],"parts":[],"map":{},"nothing":null,"enums":[]}""", all);
        MessageShape shape = shapes.Find("t.All")!;
        Assert.Equal("[\"x\"]", Grove.ToJson("9a010178", "t.All", out _, field: shape.Find(19)));
        Assert.Equal("[]", Grove.ToJson("", "t.All", out _, field: shape.Find(19)));
        Assert.Equal("{}", Grove.ToJson("", "t.All", out _, field: shape.Find(10)));
        // A byte of the wire may be many of a name.
        Assert.Null(Grove.ToJson("9202" + "ffff03" + string.Concat(Enumerable.Repeat("01", 65535)), "t.All", out string fault));
        Assert.Equal("The answer is too long.", fault);
    }

    [Fact]
    public void What_proto2_requires_has_to_be_there_and_its_lists_are_not_packed()
    {
        Assert.Equal("0800", Grove.ToHex("{\"must\":0}", "t.Old", out _));
        Assert.Null(Grove.ToHex("{\"may\":1}", "t.Old", out string fault));
        Assert.Equal("missing field must", fault);
        Assert.Equal("""{"must":0,"list":[1]}""", Grove.ToJson("08001801", "t.Old", out _));
        Assert.Equal("080118011802", Grove.ToHex("{\"must\":1,\"list\":[1,2]}", "t.Old", out _));
        Assert.Null(Grove.ToHex("{}", "t.Grouped", out fault));
        Assert.Contains("group", fault, StringComparison.Ordinal);
    }

    private static FieldBinding Bind(string path, string text) =>
        new(FieldPath.Find(Grove.Read.Shapes.Find("t.All")!, path.Split('.'), out _)!, Encoding.UTF8.GetBytes(text));

    [Fact]
    public void What_path_and_query_say_stands_behind_the_text_its_own_fields_first()
    {
        FieldShape body = Grove.Read.Shapes.Find("t.All")!.Find(10)!;
        Assert.Equal("280152034a0178", Grove.ToHex("", "t.All", out _, null, null, Bind("a_message.a_string", "x"), Bind("aInt32", "1")));
        Assert.Equal("4001520528014a0178", Grove.ToHex("{\"aBool\":true,\"aMessage\":{\"aInt32\":1}}", "t.All", out _, null, null, Bind("a_message.a_string", "x")));
        Assert.Equal("520228014001", Grove.ToHex("{\"aInt32\":1}", "t.All", out _, null, body, Bind("a_bool", "true")));
        Assert.Equal("9a0101619a010162", Grove.ToHex("", "t.All", out _, null, null, Bind("words", "a"), Bind("words", "b")));
        Assert.Equal("68016801", Grove.ToHex("{\"aEnum\":1}", "t.All", out _) + Grove.ToHex("", "t.All", out _, null, null, Bind("a_enum", "1")));
        Assert.Equal("e201020801fa01020807", Grove.ToHex("", "t.All", out _, null, null, Bind("time", "1970-01-01T00:00:01Z"), Bind("wrapped", "7")));
        // The text counts, unless that is refused.
        Assert.Equal("2802", Grove.ToHex("{\"aInt32\":2}", "t.All", out _, null, null, Bind("aInt32", "1")));
        var strict = new JsonRules(Grove.Read.Shapes, RefusesCollisions: true);
        Assert.Equal("2802", Grove.ToHex("{\"aInt32\":2}", "t.All", out _, strict, null, Bind("aInt32", "2")));
        Assert.Null(Grove.ToHex("{\"aInt32\":2}", "t.All", out string fault, strict, null, Bind("aInt32", "1")));
        Assert.Contains("conflicting", fault, StringComparison.Ordinal);
        // Nobody says a field twice, nor two of a choice.
        Assert.Null(Grove.ToHex("", "t.All", out _, null, null, Bind("aInt32", "1"), Bind("aInt32", "1")));
        Assert.Null(Grove.ToHex("{\"left\":\"\"}", "t.All", out _, null, null, Bind("right", "1")));
        Assert.Null(Grove.ToHex("", "t.All", out fault, null, null, Bind("a_message.a_int32", "x")));
        Assert.Equal("a_message.a_int32: invalid value \"x\" for type TYPE_INT32", fault);
        Assert.Null(Grove.ToHex("", "t.All", out _, null, null, Bind("a_message", "x")));
        Assert.Null(Grove.ToHex("", "t.All", out _, null, null, new FieldBinding([Grove.Read.Shapes.Find("t.All")!.Find(9)!], [0xff])));
        Assert.Equal("6801", Grove.ToHex("", "t.All", out _, new JsonRules(Grove.Read.Shapes, AnyCaseEnums: true), null, Bind("aEnum", "one-more")));
    }

    [Theory]
    [InlineData("[{\"a\":1},{\"b\":\"]\"} , 3]", "{\"a\":1}|{\"b\":\"]\"}|3")]
    [InlineData("[]", "")]
    [InlineData(" [ ] ", "")]
    [InlineData("", "")]
    [InlineData("{\"a\":1}\n{\"b\":[2]}\n", "{\"a\":1}|{\"b\":[2]}")]
    [InlineData("1 2", "1|2")]
    [InlineData("[[1],\"\\\"]\",null]", "[1]|\"\\\"]\"|null")]
    [InlineData("[1,]", "1|!")]
    [InlineData("[1 2]", "1|!")]
    [InlineData("[1]]", "1|!")]
    [InlineData("[{\"a\":", "!")]
    [InlineData("[1,", "1|!")]
    [InlineData(",", "!")]
    public void A_stream_has_the_same_values_however_it_is_cut(string text, string values)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        for (int cut = 1; cut <= Math.Max(1, bytes.Length); cut++)
        {
            var split = new JsonSplitter();
            var found = new List<string>();
            var held = new List<byte>();
            bool broken = false;
            for (int at = 0; at <= bytes.Length && !broken; at += cut)
            {
                held.AddRange(bytes.Skip(at).Take(cut));
                bool ended = at + cut > bytes.Length;
                while (true)
                {
                    SplitResult result = split.Next(held.ToArray(), ended, out int start, out int length, out int taken);
                    if (result == SplitResult.Value) found.Add(Encoding.UTF8.GetString(held.ToArray().AsSpan(start, length)));
                    broken = result == SplitResult.Broken;
                    held.RemoveRange(0, taken);
                    if (result != SplitResult.Value) break;
                }
            }
            if (broken || !split.MayEnd || held.Count > 0) found.Add("!");
            Assert.Equal(values, string.Join('|', found));
        }
    }

    public static TheoryData<string> Types => ["route", "cluster", "status", "struct", "listener"];

    [Theory]
    [MemberData(nameof(Types))]
    public void Whatever_message_it_is_Protobufs_own_JSON_is_ours(string type)
    {
        MessageDescriptor descriptor = type switch
        {
            "route" => Envoy.Config.Route.V3.RouteConfiguration.Descriptor,
            "cluster" => Envoy.Config.Cluster.V3.Cluster.Descriptor,
            "status" => Google.Rpc.Status.Descriptor,
            "struct" => Struct.Descriptor,
            _ => Envoy.Config.Listener.V3.Listener.Descriptor,
        };
        DescriptorReader read = DescriptorReader.Read(Grove.Set(descriptor, Duration.Descriptor, StringValue.Descriptor, Google.Rpc.Status.Descriptor).ToByteString());
        Assert.Null(read.Fault);
        MessageShape shape = read.Shapes.Find(descriptor.FullName)!;
        var registry = TypeRegistry.FromMessages(descriptor, Duration.Descriptor, StringValue.Descriptor, Google.Rpc.Status.Descriptor);
        var formatter = new JsonFormatter(JsonFormatter.Settings.Default.WithTypeRegistry(registry));
        var parser = new JsonParser(new JsonParser.Settings(100, registry));
        var random = new Random(22);
        for (int round = 0; round < 100; round++)
        {
            IMessage message = Make(descriptor, random, 3);
            string theirs = formatter.Format(message);
            var sink = new ByteSink();
            Assert.True(JsonToProto.Write(Encoding.UTF8.GetBytes(theirs), shape, null, [], new JsonRules(read.Shapes), sink, new ByteSink(), out string fault), $"{fault}: {theirs}");
            byte[] bytes = new byte[sink.Total];
            sink.CopyTo(bytes);
            Assert.Equal(message, descriptor.Parser.ParseFrom(bytes));
            var json = new ByteSink();
            Assert.True(ProtoToJson.Write(message.ToByteArray(), shape, null, new JsonPrint(read.Shapes, Indents: round % 2 == 0), json, 1 << 24, out fault), fault);
            Assert.Equal(message, parser.Parse(Encoding.UTF8.GetString(json.Written), descriptor));
        }
    }

    private static IMessage Make(MessageDescriptor type, Random random, int depth)
    {
        switch (type.FullName)
        {
            case "google.protobuf.Timestamp":
                return new Timestamp { Seconds = random.NextInt64(-62135596800, 253402300800), Nanos = Nanos(random) };
            case "google.protobuf.Duration":
                long seconds = random.NextInt64(-315576000000, 315576000000);
                return new Duration { Seconds = seconds, Nanos = seconds < 0 ? -Nanos(random) : Nanos(random) };
            case "google.protobuf.FieldMask":
                return new FieldMask { Paths = { "a_b.c", "d" } };
            case "google.protobuf.Any":
                return Any.Pack(random.Next(3) switch { 0 => new Duration { Seconds = 3 }, 1 => new StringValue { Value = "x" }, _ => new Google.Rpc.Status { Code = 5 } });
            case "google.protobuf.Value" when depth <= 0:
                return Value.ForNumber(1.5);
        }
        IMessage message = type.Parser.ParseFrom([]);
        bool isValue = type.FullName == "google.protobuf.Value";
        int chosen = isValue ? random.Next(6) : -1;
        foreach (FieldDescriptor field in type.Fields.InFieldNumberOrder())
        {
            if (isValue ? field.Index != chosen : random.Next(3) != 0) continue;
            if (field.FieldType == FieldType.Message && depth <= 0) continue;
            if (field.IsMap)
            {
                var map = (IDictionary)field.Accessor.GetValue(message);
                for (int i = random.Next(3); i > 0; i--)
                    map[Scalar(field.MessageType.Fields[1], random, depth - 1) is var key && key is "" ? "k" : key] = Scalar(field.MessageType.Fields[2], random, depth - 1);
            }
            else if (field.IsRepeated)
            {
                var list = (IList)field.Accessor.GetValue(message);
                for (int i = random.Next(3); i > 0; i--) list.Add(Scalar(field, random, depth - 1));
            }
            else
            {
                field.Accessor.SetValue(message, Scalar(field, random, depth - 1));
            }
        }
        return message;
    }

    private static int Nanos(Random random) => random.Next(4) switch { 0 => 0, 1 => random.Next(1000) * 1_000_000, 2 => random.Next(1_000_000) * 1000, _ => random.Next(1_000_000_000) };

    private static object Scalar(FieldDescriptor field, Random random, int depth)
    {
        switch (field.FieldType)
        {
            case FieldType.Message when field.MessageType.File.Name == "google/protobuf/wrappers.proto":
                return Scalar(field.MessageType.Fields[1], random, depth);
            case FieldType.Message: return Make(field.MessageType, random, depth);
            case FieldType.Enum: return field.EnumType.Values[random.Next(field.EnumType.Values.Count)].Number;
            case FieldType.Bool: return random.Next(2) == 0;
            case FieldType.String: return new[] { "", "a", "é\"\\/\b\n<>", "\u2028😀\u007f", "x y", "{}[]:,", "null" }[random.Next(7)];
            case FieldType.Bytes:
                byte[] bytes = new byte[random.Next(9)];
                random.NextBytes(bytes);
                return ByteString.CopyFrom(bytes);
            case FieldType.Double: return new[] { 1.5, double.MaxValue, double.Epsilon, 1e-7, 123456789.125, -1.0 / 3, 1e21 }[random.Next(7)];
            case FieldType.Float: return new[] { 1.5f, 1e30f, 1e-7f, 0.1f, -3f }[random.Next(5)];
            case FieldType.Int32 or FieldType.SInt32 or FieldType.SFixed32: return random.Next(3) switch { 0 => int.MinValue, 1 => int.MaxValue, _ => random.Next(-9, 9) };
            case FieldType.UInt32 or FieldType.Fixed32: return random.Next(2) == 0 ? uint.MaxValue : (uint)random.Next(9);
            case FieldType.Int64 or FieldType.SInt64 or FieldType.SFixed64: return random.Next(3) switch { 0 => long.MinValue, 1 => long.MaxValue, _ => random.NextInt64(-9, 9) };
            default: return random.Next(2) == 0 ? ulong.MaxValue : (ulong)random.Next(9);
        }
    }
}
