// What a process of the mesh finds in its environment: its port, its peers as Kubernetes names them, its own identity, the host-routed
// proxy. Pure.
using System.Globalization;
using System.Text;
using Naru.Local.Manifests;

namespace Naru.Local;

/// <summary>Who a pod is, as far as its environment says.</summary>
public sealed record PodIdentity(string Name, string Namespace, string Address, int Number, string ServiceAccount, IReadOnlyDictionary<string, string> Labels);

/// <summary>Builds environments.</summary>
public static class PodEnvironment
{
    /// <summary>Variables of a pod's process, on top of <paramref name="inherited"/>.</summary>
    /// <param name="inherited">The runner's own environment.</param>
    /// <param name="pod">Who the pod is.</param>
    /// <param name="ports">Container port to the port on 127.0.0.1 that the process is to open; the first one is PORT, and what else
    /// frameworks read (<see cref="AppVariables"/>).</param>
    /// <param name="template">Variables of the container.</param>
    /// <param name="services">All services; those of the pod's namespace are announced.</param>
    /// <param name="plan">Their addresses.</param>
    /// <param name="isSet">Further variables that the user has set himself, and that are not ours to set.</param>
    /// <param name="names">Whether programs that heed <c>http_proxy</c> reach services by their names, through the sidecar.</param>
    public static Dictionary<string, string> Build(IReadOnlyDictionary<string, string> inherited, PodIdentity pod, IReadOnlyList<KeyValuePair<ContainerPort, int>> ports,
        IReadOnlyList<EnvironmentVariable> template, IEnumerable<ServiceManifest> services, AddressPlan plan,
        Func<string, bool>? isSet = null, bool names = true)
    {
        var all = new Dictionary<string, string>(inherited, StringComparer.Ordinal);
        foreach (ServiceManifest service in services.Where(s => s.Namespace == pod.Namespace))
        {
            if (!plan.Services.TryGetValue(service.Key, out int number)) continue;
            string prefix = VariableName(service.Name);
            all[$"{prefix}_SERVICE_HOST"] = plan.ServiceAddress(pod.Number, number);
            all[$"{prefix}_SERVICE_PORT"] = Text(service.Ports[0].Number);
            foreach (ServicePort port in service.Ports.Where(p => p.Name.Length > 0)) all[$"{prefix}_SERVICE_PORT_{VariableName(port.Name)}"] = Text(port.Number);
        }

        if (names)
        {
            string proxy = $"http://{pod.Address}:{AddressPlan.HttpProxyPort}";
            all["http_proxy"] = all["HTTP_PROXY"] = proxy;
            all["no_proxy"] = all["NO_PROXY"] = Beside(inherited.GetValueOrDefault("no_proxy") ?? inherited.GetValueOrDefault("NO_PROXY"));
        }
        all["POD_NAME"] = pod.Name;
        all["POD_NAMESPACE"] = pod.Namespace;
        all["POD_IP"] = pod.Address;

        // A container that says its port means the one inside; here another stands for it.
        Dictionary<int, int> locals = ports.ToDictionary(p => p.Key.Number, p => p.Value);
        foreach (EnvironmentVariable variable in template)
        {
            all[variable.Name] = variable.Field is { } field
                ? Field(field, pod)
                : AppVariables.Translate(variable.Name, variable.Literal ? variable.Value ?? "" : Expand(variable.Value ?? "", all),
                    locals);
        }
        for (int i = 0; i < ports.Count; i++)
        {
            (ContainerPort port, int local) = ports[i];
            if (i == 0)
            {
                bool IsSet(string name) => isSet?.Invoke(name) == true || template.Any(v => v.Name == name);
                foreach ((string name, string value) in AppVariables.For(local, IsSet)) all[name] = value;
            }
            all[$"PORT_{port.Number}"] = Text(local);
            if (port.Name.Length > 0) all[$"PORT_{VariableName(port.Name)}"] = Text(local);
        }
        return all;
    }

    /// <summary>What is not asked of the sidecar by name: this machine itself, and what the user has named before. Addresses of services
    /// are
    /// the sidecar's own and need no proxy.</summary>
    /// <param name="given">The user's <c>no_proxy</c>, or null.</param>
    public static string Beside(string? given)
    {
        const string Own = "localhost,.localhost,127.0.0.1,127.0.0.0/8,::1";
        return string.Join(',', Own.Split(',').Concat((given ?? "")
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)).Distinct());
    }

    /// <summary>Whether a <c>fieldRef.fieldPath</c> can be answered here.</summary>
    public static bool KnowsField(string path) => path is "metadata.name" or "metadata.namespace" or "status.podIP" or "status.hostIP" or "spec.nodeName" or "spec.serviceAccountName"
        || LabelOf(path) is not null;

    /// <summary>Kubernetes' spelling of a name in variables: upper case, underscores.</summary>
    public static string VariableName(string name)
    {
        var text = new StringBuilder(name.Length);
        foreach (char c in name) text.Append(char.IsAsciiLetterOrDigit(c) ? char.ToUpperInvariant(c) : '_');
        return text.ToString();
    }

    private static string Field(string path, PodIdentity pod) => path switch
    {
        "metadata.name" => pod.Name,
        "metadata.namespace" => pod.Namespace,
        "status.podIP" => pod.Address,
        "status.hostIP" => "127.0.0.1",
        "spec.nodeName" => Environment.MachineName,
        "spec.serviceAccountName" => pod.ServiceAccount,
        _ => LabelOf(path) is { } label && pod.Labels.TryGetValue(label, out string? value) ? value : "",
    };

    private static string? LabelOf(string path) =>
        path.StartsWith("metadata.labels['", StringComparison.Ordinal) && path.EndsWith("']", StringComparison.Ordinal) ? path[17..^2] : null;

    // $(NAME) is replaced where NAME is known, $$(NAME) is the text $(NAME), as in Kubernetes.
    private static string Expand(string value, Dictionary<string, string> known)
    {
        int at = value.IndexOf("$(", StringComparison.Ordinal);
        if (at < 0) return value;
        var text = new StringBuilder();
        int from = 0;
        while (at >= 0)
        {
            int end = value.IndexOf(')', at);
            if (end < 0) break;
            if (at > from && value[at - 1] == '$')
            {
                text.Append(value, from, at - 1 - from).Append(value, at, end + 1 - at);
            }
            else
            {
                string name = value[(at + 2)..end];
                text.Append(value, from, at - from).Append(known.TryGetValue(name, out string? found) ? found : value[at..(end + 1)]);
            }
            from = end + 1;
            at = value.IndexOf("$(", from, StringComparison.Ordinal);
        }
        return text.Append(value, from, value.Length - from).ToString();
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
