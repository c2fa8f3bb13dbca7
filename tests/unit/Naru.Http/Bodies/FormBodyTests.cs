// Forms of strangers: fields as browsers write them, and what is said of those that are there twice or are no text.
using System.Text;
using Naru.Http.Bodies;
using Xunit;

namespace Naru.UnitTests.HttpCodecs.Bodies;

public sealed class FormBodyTests
{
    private static string Find(string text, string name)
    {
        var found = new BodyFindings();
        found.Begin(1);
        FormBody.Read(Encoding.UTF8.GetBytes(text), [Encoding.UTF8.GetBytes(name)], found);
        return JsonBodyTests.Show(found[0]);
    }

    [Theory]
    [InlineData("a=1&b=2", "b", "Text 2")]
    [InlineData("a=1&b=2", "c", "Missing")]
    [InlineData("a", "a", "Text ")]
    [InlineData("a=", "a", "Text ")]
    [InlineData("=x", "a", "Missing")]
    [InlineData("&&a=1&", "a", "Text 1")]
    [InlineData("a=b=c", "a", "Text b=c")]
    [InlineData("a=x+y%20z", "a", "Text x y z")]
    [InlineData("a%20b=1", "a b", "Text 1")]
    [InlineData("a+b=1", "a b", "Text 1")]
    [InlineData("a%3Db=1", "a=b", "Text 1")]
    [InlineData("a=%C3%A9", "a", "Text é")]
    [InlineData("a=100%", "a", "Text 100%")]
    [InlineData("a=%4", "a", "Text %4")]
    [InlineData("a=%zz%41", "a", "Text %zzA")]
    [InlineData("a=%%41", "a", "Text %A")]
    [InlineData("a=%26b=2", "b", "Missing")]
    [InlineData("a=1&a=2", "a", "Unclear")]
    [InlineData("a=1&%61=2", "a", "Unclear")]
    [InlineData("a=%C3", "a", "Unclear")]
    [InlineData("a=%ED%A0%80", "a", "Unclear")]
    [InlineData("A=1", "a", "Missing")]
    [InlineData("", "a", "Missing")]
    public void A_field_is_read_as_a_browser_wrote_it(string text, string name, string found) => Assert.Equal(found, Find(text, name));

    [Fact]
    public void Long_values_and_names_are_bounded()
    {
        Assert.Equal("TooLong", Find($"a={new string('x', BodyFinding.Longest + 1)}", "a"));
        Assert.Equal("Text 1", Find($"{string.Concat(Enumerable.Repeat("%61", 10_000))}=2&a=1", "a"));
    }
}
