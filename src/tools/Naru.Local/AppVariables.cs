// By which variables a program learns its port, without a change to it. Each is one that a framework or a host documents; whoever set one
// himself means it, and keeps it. What none of them reaches is found where it listens.
using System.Globalization;

namespace Naru.Local;

/// <summary>The names, and what to write into them.
/// <list type="table">
/// <item><term>PORT</term><description>the custom of hosts (Heroku, Cloud Run), which Express samples, Next.js, Rails and Puma, Phoenix,
/// gunicorn (docs.gunicorn.org/en/stable/settings.html, <c>bind</c>), Bun and Nitro read</description></item>
/// <item><term>ASPNETCORE_URLS</term><description>ASP.NET Core of any version
/// (learn.microsoft.com/aspnet/core/fundamentals/servers/kestrel/endpoints). Its younger sister ASPNETCORE_HTTP_PORTS opens the port on
/// every address of the machine, past the sidecar, and with both set each start warns; so this one alone is set, with
/// 127.0.0.1</description></item>
/// <item><term>SERVER_PORT</term><description>Spring Boot (docs.spring.io/spring-boot/how-to/webserver.html, <c>server.port</c>), Helidon,
/// Laravel's <c>artisan serve</c></description></item>
/// <item><term>FLASK_RUN_PORT</term><description><c>flask run</c> (flask.palletsprojects.com/cli, "Setting Command
/// Options")</description></item>
/// <item><term>UVICORN_PORT</term><description>uvicorn (uvicorn.org/settings)</description></item>
/// <item><term>NITRO_PORT, NUXT_PORT</term><description>Nitro's node server and <c>nuxt dev</c>, which ask them before PORT
/// (nitro.build/deploy/runtimes/node, nuxt.com/docs/api/commands/dev)</description></item>
/// <item><term>QUARKUS_HTTP_PORT, MICRONAUT_SERVER_PORT</term><description>Quarkus (quarkus.io/guides/config-reference) and Micronaut
/// (docs.micronaut.io, "Running Server on a Specific Port")</description></item>
/// <item><term>ROCKET_PORT, STREAMLIT_SERVER_PORT, GRADIO_SERVER_PORT</term><description>Rocket (rocket.rs/guide, "Configuration"),
/// Streamlit (docs.streamlit.io, <c>server.port</c>), Gradio (gradio.app/guides/environment-variables)</description></item>
/// <item><term>HTTP_PORT</term><description>no framework's own; what servers written by hand often ask for beside PORT</description></item>
/// </list></summary>
public static class AppVariables
{
    /// <summary>Variables whose value is the number.</summary>
    public static IReadOnlyList<string> Numbers { get; } =
    [
        "PORT", "SERVER_PORT", "FLASK_RUN_PORT", "UVICORN_PORT", "NITRO_PORT", "NUXT_PORT", "QUARKUS_HTTP_PORT", "MICRONAUT_SERVER_PORT",
        "ROCKET_PORT", "STREAMLIT_SERVER_PORT", "GRADIO_SERVER_PORT", "HTTP_PORT",
    ];

    private const string Urls = "ASPNETCORE_URLS";

    // Any of them decides about ASP.NET Core's addresses; ours would beat some and lose to others.
    private static readonly string[] s_aspNet =
    [
        Urls, "ASPNETCORE_HTTP_PORTS", "ASPNETCORE_HTTPS_PORTS", "DOTNET_URLS", "DOTNET_HTTP_PORTS", "DOTNET_HTTPS_PORTS",
        "URLS", "HTTP_PORTS", "HTTPS_PORTS",
    ];

    // Of these the first that is set is taken; none of ours may stand before one of the user's.
    private static readonly string[] s_nuxt = ["NUXT_PORT", "NITRO_PORT", "PORT"];

    /// <summary>What to set for a port of 127.0.0.1.</summary>
    /// <param name="port">1 to 65535.</param>
    /// <param name="isSet">Whether the user has set a variable himself.</param>
    public static IEnumerable<KeyValuePair<string, string>> For(int port, Func<string, bool> isSet)
    {
        string number = port.ToString(CultureInfo.InvariantCulture);
        foreach (string name in Numbers.Where(n => !isSet(n) && !Hides(n, isSet))) yield return KeyValuePair.Create(name, number);
        if (!s_aspNet.Any(isSet)) yield return KeyValuePair.Create(Urls, $"http://127.0.0.1:{number}");
    }

    /// <summary>Whether a name is one that <see cref="For"/> may set.</summary>
    public static bool IsOne(string name) => name == Urls || Numbers.Contains(name);

    /// <summary>Whether a name decides where a program listens, be it one that we set or one that we leave alone.</summary>
    public static bool Concerns(string name) => IsOne(name) || s_aspNet.Contains(name);

    /// <summary>What a manifest says of a port inside of a container, as it is on this machine: a number, or the ports of URLs, that are a
    /// container's port become the port that stands for it here. Anything else stays as it was written.</summary>
    /// <param name="name">The variable.</param>
    /// <param name="value">Its value in the manifest.</param>
    /// <param name="local">Container port to the port on 127.0.0.1.</param>
    public static string Translate(string name, string value, IReadOnlyDictionary<int, int> local)
    {
        if (Numbers.Contains(name) || name is "ASPNETCORE_HTTP_PORTS" or "DOTNET_HTTP_PORTS" or "HTTP_PORTS")
        {
            return string.Join(';', value.Split(';').Select(v => Here(v, local)?.ToString(CultureInfo.InvariantCulture) ?? v));
        }
        return name is Urls or "DOTNET_URLS" or "URLS" ? string.Join(';', value.Split(';').Select(u => TranslateUrl(u, local))) : value;
    }

    private static bool Hides(string name, Func<string, bool> isSet) =>
        Array.IndexOf(s_nuxt, name) is >= 0 and var at && s_nuxt.Skip(at + 1).Any(isSet);

    private static string TranslateUrl(string url, IReadOnlyDictionary<int, int> local)
    {
        int colon = url.LastIndexOf(':');
        if (colon < 0) return url;
        return Here(url[(colon + 1)..].TrimEnd('/'), local) is { } here ? $"{url[..(colon + 1)]}{here}" : url;
    }

    private static int? Here(string port, IReadOnlyDictionary<int, int> local) =>
        int.TryParse(port, CultureInfo.InvariantCulture, out int number) && local.TryGetValue(number, out int here) ? here : null;
}
