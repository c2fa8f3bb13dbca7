// Requests that show tokens: which are good, what forged ones meet, and what a key server that is dead, late or lying comes to.
using System.Security.Cryptography;
using System.Text;
using Naru.Kit;
using Xunit;

namespace Naru.WireTests.Filters;

public sealed class JwtTests : IDisposable
{
    private const string Kind = "jwt_authn.v3.JwtAuthentication";
    private const string All = "rules: [{ match: { prefix: / }, requires: { provider_name: one } }]";
    private readonly RSA _rsa = RSA.Create(2048);
    private readonly ECDsa _ec = ECDsa.Create(ECCurve.NamedCurves.nistP384);

    public void Dispose()
    {
        _rsa.Dispose();
        _ec.Dispose();
    }

    private static string B64(byte[] bytes) => Convert.ToBase64String(bytes).TrimEnd('=').Replace('+', '-').Replace('/', '_');

    private static string B64(string text) => B64(Encoding.UTF8.GetBytes(text));

    private string RsaKey(string more = "\"kid\": \"k1\"")
    {
        RSAParameters key = _rsa.ExportParameters(false);
        return $"{{\"kty\": \"RSA\", \"n\": \"{B64(key.Modulus!)}\", \"e\": \"{B64(key.Exponent!)}\"{(more.Length > 0 ? ", " : "")}{more}}}";
    }

    private string EcKey()
    {
        ECParameters key = _ec.ExportParameters(false);
        return $"{{\"kty\": \"EC\", \"crv\": \"P-384\", \"x\": \"{B64(key.Q.X!)}\", \"y\": \"{B64(key.Q.Y!)}\", \"kid\": \"e1\"}}";
    }

    private static string Set(params string[] keys) => $"{{\"keys\": [{string.Join(", ", keys)}]}}";

    private const string Claims = """{"iss": "me", "sub": "ann", "exp": 4102444800}""";

    private string Token(string payload = Claims, string header = """{"alg": "RS256", "kid": "k1"}""", string signed = "RS256")
    {
        string text = $"{B64(header)}.{B64(payload)}";
        byte[] bytes = Encoding.ASCII.GetBytes(text);
        byte[] signature = signed switch
        {
            "RS256" => _rsa.SignData(bytes, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1),
            "RS512" => _rsa.SignData(bytes, HashAlgorithmName.SHA512, RSASignaturePadding.Pkcs1),
            "PS384" => _rsa.SignData(bytes, HashAlgorithmName.SHA384, RSASignaturePadding.Pss),
            "ES384" => _ec.SignData(bytes, HashAlgorithmName.SHA384),
            "HS256" => HMACSHA256.HashData(_rsa.ExportSubjectPublicKeyInfo(), bytes),
            _ => [1],
        };
        return $"{text}.{B64(signature)}";
    }

    private static Task<ProxyProcess> StartAsync(int backend, string provider, string rules = All, string keys = "", int keyServer = 0)
    {
        string source = keys.Length > 0 ? $", local_jwks: {{ inline_string: '{keys}' }}" : "";
        List<TestCluster> clusters = [new("backend", [backend])];
        if (keyServer > 0) clusters.Add(new TestCluster("keys", [keyServer]));
        return ProxyProcess.StartAsync(Bootstraps.Many(
            "- { match: { prefix: / }, route: { cluster: backend } }", clusters,
            manager: "normalize_path: true\nmerge_slashes: true",
            filters: Yaml.Filter("j", Kind, $"providers: {{ one: {{ issuer: me{source}{(provider.Length > 0 ? ", " : "")}{provider} }} }}, {rules}")));
    }

    private static async Task<HttpMessage> AskAsync(ProxyProcess proxy, string headers, string target = "/x")
    {
        using RawClient client = await proxy.ConnectAsync();
        return await client.ExchangeAsync($"GET {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    }

    [Fact]
    public async Task Every_algorithm_of_public_keys_is_checked_by_its_own_key()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend.Port, "", keys: Set(EcKey(), RsaKey()));
        foreach ((string algorithm, string key) in new[] { ("RS256", "k1"), ("RS512", "k1"), ("PS384", "k1"), ("ES384", "e1") })
        {
            string token = Token(header: $"{{\"alg\": \"{algorithm}\", \"kid\": \"{key}\"}}", signed: algorithm);
            Assert.Equal(200, (await AskAsync(proxy, $"Authorization: Bearer {token}\r\n")).Status);
            // One bit of it is another token's.
            char last = token[^3] == 'A' ? 'B' : 'A';
            HttpMessage forged = await AskAsync(proxy, $"Authorization: Bearer {token[..^3]}{last}{token[^2..]}\r\n");
            Assert.Equal((401, "Jwt verification fails"), (forged.Status, forged.Text));
        }
    }

    [Fact]
    public async Task A_key_and_a_signature_of_openssl_are_good()
    {
        using var folder = new TempFolder();
        string key = folder.At("ed.pem"), message = folder.At("m"), der = folder.At("p"), made = folder.At("s");
        string openssl = Tools.Path("openssl", "openssl");
        Assert.Equal(0, (await ChildProcess.RunAsync(openssl, ["genpkey", "-algorithm", "ed25519", "-out", key])).ExitCode);
        Assert.Equal(0, (await ChildProcess.RunAsync(openssl, ["pkey", "-in", key, "-pubout", "-outform", "DER", "-out", der])).ExitCode);
        string text = $"{B64("""{"alg": "EdDSA", "kid": "o"}""")}.{B64(Claims)}";
        await File.WriteAllTextAsync(message, text, TestContext.Current.CancellationToken);
        Assert.Equal(0, (await ChildProcess.RunAsync(openssl, ["pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", message, "-out", made])).ExitCode);
        string x = B64((await File.ReadAllBytesAsync(der, TestContext.Current.CancellationToken))[^32..]);
        string signature = B64(await File.ReadAllBytesAsync(made, TestContext.Current.CancellationToken));
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend.Port, "", keys: Set($"{{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"{x}\", \"kid\": \"o\"}}"));
        Assert.Equal(200, (await AskAsync(proxy, $"Authorization: Bearer {text}.{signature}\r\n")).Status);
    }

    // forward: false is the default (Envoy: of headers and parameters; cookies stay).
    [Theory]
    [InlineData("from_params: [tok]", "?tok={0}&x=%20", "?x=%20", true)]
    [InlineData("from_params: [tok]", "?x=1&t%6fk={0}", "?x=1", true)]
    [InlineData("from_params: [tok]", "?tok={0}", "", true)]
    [InlineData("from_params: [tok]", "?tok={0}&tok={0}&y", "?y", true)]
    [InlineData("", "?a=1&access_token={0}&b=2", "?a=1&b=2", true)]
    [InlineData("from_params: [tok], forward: true", "?tok={0}&x=1", "?tok={0}&x=1", true)]
    [InlineData("from_params: [tok]", "?access_token={0}&x=1", "", false)]
    public async Task A_token_that_is_not_to_go_on_is_taken_out_of_the_path(string provider, string query, string seen, bool good)
    {
        await using var backend = new Cases();
        string path = backend.Echo(), token = Token();
        await using ProxyProcess proxy = await StartAsync(backend.Port, provider, keys: Set(RsaKey()));
        Assert.Equal(good ? 200 : 401, (await AskAsync(proxy, "", path + query.Replace("{0}", token, StringComparison.Ordinal))).Status);
        if (good) Assert.Equal(path + seen.Replace("{0}", token, StringComparison.Ordinal), backend.Seen(path).Single().Target);
    }

    [Fact]
    public async Task A_key_that_says_something_twice_leaves_the_others_of_its_server()
    {
        await using var backend = new Cases();
        await using var server = new Cases();
        server.At("/keys", (connection, _) => connection.OkAsync(Set("{\"kty\": \"RSA\", \"kty\": \"EC\"}", RsaKey(), "{\"kty\": \"RSA\", \"n\": \"AA\", \"e\": \"AQAB\"}")));
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, "remote_jwks: { http_uri: { uri: 'http://k/keys', cluster: keys, timeout: 20s } }", keyServer: server.Port);
        Assert.Equal(200, (await AskAsync(proxy, $"Authorization: Bearer {Token()}\r\n")).Status);
    }

    [Fact]
    public async Task No_forged_token_comes_through()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(backend.Port, "", keys: Set(RsaKey(), EcKey()));
        string good = Token();
        string[] parts = good.Split('.');
        string[] forged =
        [
            $"{B64("""{"alg": "none"}""")}.{parts[1]}.", $"{B64("""{"alg": "none"}""")}.{parts[1]}.AA", $"{B64("""{"alg": "NoNe", "kid": "k1"}""")}.{parts[1]}.{parts[2]}",
            Token(header: """{"alg": "HS256", "kid": "k1"}""", signed: "HS256"), Token(header: """{"alg": "ES384", "kid": "k1"}"""),
            Token(header: """{"alg": "rs256", "kid": "k1"}"""), Token(header: """{"alg": "RS256", "kid": "../../k1"}"""), Token(header: """{"alg": "RS256", "kid": "e1"}"""),
            Token(header: """{"alg": "RS256", "kid": 1}"""), Token(header: """{"alg": "RS256", "alg": "none", "kid": "k1"}"""), Token(header: """{"kid": "k1"}"""),
            Token(header: """{"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": false}"""), Token(header: """{"alg": "PS256", "kid": "k1"}"""),
            Token("""{"iss": "me", "iss": "me", "exp": 4102444800}"""), Token("""{"iss": "you", "exp": 4102444800}"""), Token("""{"exp": 4102444800}"""),
            Token("""{"iss": "me", "exp": 1}"""), Token("""{"iss": "me", "exp": "4102444800"}"""), Token("""{"iss": "me", "exp": -1}"""), Token("""{"iss": ["me"]}"""),
            Token("""{"iss": "me", "nbf": 4102444800}"""), Token("[]"), Token("{"), Token("""{"iss": "me"} {}"""), Token("""{"iss": "me", "x": """ + new string('[', 500)),
            $"{parts[0]}.{parts[1]}", $"{good}.x", $".{good}", $"{parts[0]}.{parts[1]}.{parts[2]}=", $"{parts[0]}.{parts[1]}.{parts[2][..^4]}", $"{parts[0]}..{parts[2]}",
            $"{parts[0]}.{B64("""{"iss": "me", "sub": "root"}""")}.{parts[2]}", new string('a', 20_000), "", "..",
        ];
        foreach (string token in forged)
        {
            HttpMessage answer = await AskAsync(proxy, $"Authorization: Bearer {token}\r\n", path);
            Assert.True(answer.Status == 401, $"{answer.Status} for {(token.Length > 400 ? token[..40] : token)}");
        }
        Assert.Empty(backend.Seen(path));
        Assert.Equal(200, (await AskAsync(proxy, $"Authorization: Bearer {good}\r\n", path)).Status);
        Assert.Equal(forged.Length, await proxy.StatAsync("http.test.jwt_authn.denied"));
    }

    [Fact]
    public async Task A_second_token_must_be_as_good_as_the_first()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend.Port, "forward: true", keys: Set(RsaKey()));
        string good = Token(), bad = $"{good[..^4]}AAAA";
        foreach (string headers in (string[])
        [
            $"Authorization: Bearer {good}\r\nAuthorization: Bearer {bad}\r\n", $"Authorization: Bearer {bad}\r\nAuthorization: Bearer {good}\r\n",
            $"authorization: Bearer {good}\r\nAUTHORIZATION: Bearer {bad}\r\n", $"Authorization: Bearer {good}, Bearer {bad}\r\n",
            $"Authorization: Basic x, Bearer {bad}\r\n",
        ]) Assert.Equal(401, (await AskAsync(proxy, headers)).Status);
        foreach (string target in (string[])[$"/x?access_token={bad}", $"/x?access%5Ftoken={bad}", $"/x?access_token={good}&access_token={bad}"])
            Assert.Equal(401, (await AskAsync(proxy, $"Authorization: Bearer {good}\r\n", target)).Status);
        Assert.Equal(200, (await AskAsync(proxy, $"Authorization: Bearer {good}\r\n", $"/x?access_token={good}")).Status);
        Assert.Equal(401, (await AskAsync(proxy, string.Concat(Enumerable.Repeat($"Authorization: Bearer {good}\r\n", 9)))).Status);
    }

    [Theory]
    [InlineData("/secret/a")]
    [InlineData("/secret?x")]
    [InlineData("//secret/a")]
    [InlineData("/open/../secret/a")]
    [InlineData("/%73ecret/a")]
    [InlineData("/./secret/a")]
    [InlineData("http://h/secret/a")]
    public async Task A_path_is_judged_as_it_is_meant(string target)
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, "", "rules: [{ match: { prefix: /secret }, requires: { provider_name: one } }]", Set(RsaKey()));
        Assert.Equal(401, (await AskAsync(proxy, "", target)).Status);
        Assert.Equal(200, (await AskAsync(proxy, "", "/open")).Status);
    }

    [Fact]
    public async Task What_clients_say_in_headers_of_claims_is_taken_from_them_whether_they_show_a_token_or_not()
    {
        await using var backend = new Cases();
        string path = backend.Echo();
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, "forward_payload_header: x-payload, claim_to_headers: [{ header_name: x-user, claim_name: sub }, { header_name: x-id, claim_name: id }]",
            "rules: [{ match: { prefix: / }, requires: { requires_any: { requirements: [{ provider_name: one }, { allow_missing: {} }] } } }]", Set(RsaKey()));
        Assert.Equal(200, (await AskAsync(proxy, "X-User: root\r\nx-payload: e30\r\nX-ID: 1\r\n", path)).Status);
        HttpMessage seen = backend.Seen(path)[^1];
        Assert.Equal((false, false, false), (seen.Has("x-user"), seen.Has("x-payload"), seen.Has("x-id")));
        string token = Token("""{"iss": "me", "sub": "ann", "id": 9007199254740993}""");
        Assert.Equal(200, (await AskAsync(proxy, $"X-User: root\r\nAuthorization: Bearer {token}\r\n", path)).Status);
        seen = backend.Seen(path)[^1];
        // A number is passed on digit by digit.
        Assert.Equal(("ann", "9007199254740993", false), (seen.Header("x-user"), seen.Header("x-id"), seen.Has("authorization")));
        Assert.Equal(401, (await AskAsync(proxy, $"Authorization: Bearer {token[..^4]}AAAA\r\n", path)).Status);
        Assert.Equal(401, (await AskAsync(proxy, $"Authorization: Bearer {Token("""{"iss": "you"}""")}\r\n", path)).Status);
    }

    [Fact]
    public async Task A_key_that_comes_twice_by_name_is_tried_twice_and_a_key_of_another_kind_never()
    {
        using RSA other = RSA.Create(2048);
        RSAParameters key = other.ExportParameters(false);
        string first = $"{{\"kty\": \"RSA\", \"n\": \"{B64(key.Modulus!)}\", \"e\": \"AQAB\", \"kid\": \"k1\"}}";
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(backend.Port, "", keys: Set(first, EcKey().Replace("e1", "k1"), RsaKey()));
        Assert.Equal(200, (await AskAsync(proxy, $"Authorization: Bearer {Token()}\r\n")).Status);
    }

    [Fact]
    public async Task A_warm_token_is_found_again_and_ends_when_it_expires()
    {
        await using var backend = new Cases();
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, "jwt_cache_config: { jwt_cache_size: 2 }, clock_skew_seconds: 1", keys: Set(RsaKey()));
        string token = Token($"{{\"iss\": \"me\", \"exp\": {DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 2}}}");
        Assert.Equal(200, (await AskAsync(proxy, $"Authorization: Bearer {token}\r\n")).Status);
        Assert.Equal(200, (await AskAsync(proxy, $"Authorization: Bearer {token}\r\n")).Status);
        Assert.True(await proxy.StatAsync("http.test.jwt_authn.jwt_cache_hit") >= 1);
        await Waiting.UntilAsync(async () => (await AskAsync(proxy, $"Authorization: Bearer {token}\r\n")).Text == "Jwt is expired", "the token to expire");
    }

    public static TheoryData<string> Liars =>
    [
        "HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\0\u0001[}", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}", "HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n", "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + new string(' ', 2_000_000), "HTTP/1.1 200 OK\r\n\r\n", "",
    ];

    [Theory]
    [MemberData(nameof(Liars))]
    public async Task A_key_server_that_lies_lets_nobody_in_and_holds_nobody_up(string answer)
    {
        await using var backend = new Cases();
        await using var server = new Cases();
        server.At("/keys", async (connection, _) =>
        {
            await connection.SendAsync(answer);
            connection.Close();
        });
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, "remote_jwks: { http_uri: { uri: 'http://k/keys', cluster: keys, timeout: 2s } }", keyServer: server.Port);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        HttpMessage refused = await AskAsync(proxy, $"Authorization: Bearer {Token()}\r\n");
        Assert.Equal((401, "Jwks remote fetch is failed"), (refused.Status, refused.Text));
        Assert.True(await proxy.StatAsync("http.test.jwt_authn.jwks_fetch_failed") >= 1);
        await proxy.SettleAsync(before);
    }

    [Fact]
    public async Task A_key_server_that_is_silent_ends_in_time_for_all_who_wait_and_keys_come_when_it_speaks()
    {
        await using var backend = new Cases();
        await using var server = new Cases();
        int asked = 0;
        server.At("/keys", async (connection, _) =>
        {
            if (Interlocked.Increment(ref asked) > 1) await connection.OkAsync(Set(RsaKey()));
            else await connection.RequestAsync();
        });
        await using ProxyProcess proxy = await StartAsync(
            backend.Port, "remote_jwks: { http_uri: { uri: 'http://k/keys', cluster: keys, timeout: 0.5s } }", keyServer: server.Port);
        IReadOnlyDictionary<string, long> before = await proxy.LedgerAsync();
        using (RawClient gone = await proxy.ConnectAsync())
        {
            await gone.SendAsync($"GET /x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {Token()}\r\n\r\n");
            await Waiting.UntilAsync(() => Volatile.Read(ref asked) == 1, "the question");
        }
        HttpMessage[] waited = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => AskAsync(proxy, $"Authorization: Bearer {Token()}\r\n")));
        Assert.All(waited, w => Assert.Contains(w.Status, (int[])[200, 401]));
        await Waiting.UntilAsync(async () => (await AskAsync(proxy, $"Authorization: Bearer {Token()}\r\n")).Status == 200, "the keys");
        await proxy.SettleAsync(before);
    }
}
