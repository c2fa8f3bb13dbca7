// Tokens and sets of keys as strangers send them: whatever the bytes are, a reader says what they are and never throws.
using System.Text;
using Naru.Proxy.Filters.Http.JwtAuthn;
using Naru.Telemetry;
using Xunit;

namespace Naru.UnitTests.Proxy.Filters;

public sealed class JwtReaderTests
{
    private const string Key = """{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a"}]}""";

    // RFC 8037 A.4, with claims: the example of a signed text.
    private const string Token = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJtZSIsImF1ZCI6WyJhIiwiYiJdLCJleHAiOjQxMDI0NDQ4MDB9.AAAA";

    private static string B64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text)).TrimEnd('=').Replace('+', '-').Replace('/', '_');

    [Fact]
    public void Any_cut_and_any_byte_of_a_token_leads_to_a_status()
    {
        byte[] whole = Encoding.ASCII.GetBytes(Token);
        Assert.Equal(JwtStatus.Ok, JwtToken.Read(whole, out _));
        for (int i = 0; i < whole.Length; i++)
        {
            Assert.NotNull(JwtToken.Read(whole[..i], out _));
            foreach (byte b in (byte[])[0, (byte)'.', (byte)'"', (byte)'e', (byte)'_', 0xff])
            {
                byte[] changed = [.. whole];
                changed[i] = b;
                Assert.NotNull(JwtToken.Read(changed, out _));
            }
        }
    }

    [Fact]
    public void Any_cut_and_any_byte_of_a_set_of_keys_is_a_set_or_none()
    {
        byte[] whole = Encoding.ASCII.GetBytes(Key);
        Assert.Equal(1, Jwks.Read(whole)!.Count);
        for (int i = 0; i < whole.Length; i++)
        {
            Assert.Null(Jwks.Read(whole.AsSpan(0, i)));
            foreach (byte b in (byte[])[0, (byte)'{', (byte)'"', (byte)'\\', 0xff])
            {
                byte[] changed = [.. whole];
                changed[i] = b;
                _ = Jwks.Read(changed);
            }
        }
    }

    // A set is its good keys; what else is in it is told.
    [Theory]
    [InlineData("""{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "weak"}""", "\"weak\"")]
    [InlineData("""{"kty": "RSA", "n": "AA", "e": "AQAB"}""", "keys[0]")]
    [InlineData("""{"kty": "OKP", "kty": "RSA", "kid": "twice"}""", "keys[0]")]
    [InlineData("""{"kid": "twice", "more": [{"a": 1, "a": {"b": [1]}}], "kty": "OKP"}""", "keys[0]")]
    [InlineData("7", "keys[0]")]
    [InlineData("""{"kty": "OKP", "crv": "Ed25519", "use": "enc"}""", null)]
    public void A_key_that_is_of_no_use_leaves_the_others_of_its_set(string key, string? told)
    {
        Jwks? read = Jwks.Read(Encoding.UTF8.GetBytes($"{Key[..10]}{key}, {Key[10..]}"));
        Assert.Equal(1, read!.Count);
        Assert.Equal(told is null ? [] : [told], read.LeftOut);
    }

    [Theory]
    [InlineData("""{"a": 1, "a": 1}""")]
    [InlineData("""{"a": {"b": 1, "b": 2}}""")]
    [InlineData("""{"a": "\ud800"}""")]
    [InlineData("""{"a": 1,}""")]
    [InlineData("""{"a": 01}""")]
    [InlineData("""{"a": NaN}""")]
    [InlineData("[1]")]
    [InlineData("")]
    [InlineData("{} {}")]
    [InlineData("""{"a":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}""")]
    public void What_is_read_in_two_ways_or_not_at_all_is_nothing(string json) => Assert.Null(JwtJson.Read(Encoding.UTF8.GetBytes(json), 100));

    [Fact]
    public void More_values_than_there_may_be_are_nothing() =>
        Assert.Null(JwtJson.Read(Encoding.ASCII.GetBytes($"{{\"a\": [{string.Join(',', Enumerable.Repeat("1", 200))}]}}"), 100));

    [Theory]
    [InlineData("""{"a": {"b": "c"}}""", "a.b", "c")]
    [InlineData("""{"a": 9007199254740993}""", "a", "9007199254740993")]
    [InlineData("""{"a": 1.50}""", "a", "1.50")]
    [InlineData("""{"a": false}""", "a", "false")]
    [InlineData("""{"a": null}""", "a", null)]
    [InlineData("""{"a": "b"}""", "a.b", null)]
    [InlineData("""{"b": {"a": 1}}""", "a", null)]
    [InlineData("""{"a": ["x", 1]}""", "a", "WyJ4IiwxXQ==")]
    public void A_claim_is_passed_on_as_it_was_written(string json, string path, string? value)
    {
        byte[]? claim = JwtJson.Claim(Encoding.UTF8.GetBytes(json), path.Split('.'));
        Assert.Equal(value, claim is null ? null : Encoding.UTF8.GetString(claim));
    }

    [Fact]
    public void A_key_is_for_its_own_kind_of_algorithm_alone()
    {
        foreach (string jwk in (string[])
        [
            """{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "alg": "RS256"}""",
            """{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "enc"}""",
            """{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "AAAA"}""",
            """{"kty": "OKP", "crv": "X25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}""",
            """{"kty": "EC", "crv": "P-256", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "y": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}""",
            """{"kty": "RSA", "n": "AQAB", "e": "AQAB"}""", """{"kty": "oct", "k": ""}""", "{}", "1",
        ]) Assert.Equal(0, Jwks.Read(Encoding.ASCII.GetBytes($"{{\"keys\": [{jwk}]}}"))!.Count);
    }

    [Fact]
    public void A_header_tells_what_its_token_is()
    {
        Assert.Equal(JwtStatus.Ok, JwtToken.Read(Encoding.ASCII.GetBytes(Token), out JwtToken? token));
        Assert.Equal(("me", "EdDSA", 2), (token!.Issuer, token.Algorithm.Name, token.Audiences.Length));
        Assert.Equal(MetaKind.Map, token.Payload.Kind);
        Assert.Equal(JwtStatus.UnknownAlgorithm, JwtToken.Read(Encoding.ASCII.GetBytes($"{B64("""{"alg": "none"}""")}.{B64("{}")}.AA"), out _));
        Assert.Equal(JwtStatus.Critical, JwtToken.Read(Encoding.ASCII.GetBytes($"{B64("""{"alg": "RS256", "crit": []}""")}.{B64("{}")}.AA"), out _));
    }
}
