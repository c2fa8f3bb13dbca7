// Manifests that the control plane's tests share: a service of two versions, and rules for it.
using System.Net;

namespace Naru.SystemTests.ControlPlane;

internal static class Manifests
{
    public static string Service(string name, int port, int targetPort, string portName = "grpc") => $$$"""
        apiVersion: v1
        kind: Service
        metadata: {name: {{{name}}}, namespace: default}
        spec:
          clusterIP: 127.250.0.9
          selector: {app: {{{name}}}}
          ports:
          - {name: {{{portName}}}, port: {{{port}}}, targetPort: {{{targetPort}}}}
        ---

        """;

    public static string Pod(string app, string version, IPAddress address, int port) => $$$"""
        apiVersion: v1
        kind: Pod
        metadata:
          name: {{{app}}}-{{{version}}}
          namespace: default
          labels: {app: {{{app}}}, version: {{{version}}}}
        spec:
          serviceAccountName: default
          containers:
          - name: app
            ports:
            - {containerPort: {{{port}}}}
        status:
          podIP: {{{address}}}
          phase: Running
          conditions:
          - {type: Ready, status: "True"}
        ---

        """;

    public static string Subsets(string host) => $$$"""
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: {{{host}}}, namespace: default}
        spec:
          host: {{{host}}}
          subsets:
          - {name: v1, labels: {version: v1}}
          - {name: v2, labels: {version: v2}}
        ---

        """;

    public static string Split(string host, int v1, int v2) => $$$"""
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: {{{host}}}, namespace: default}
        spec:
          hosts: [{{{host}}}]
          http:
          - match:
            - headers: {end-user: {exact: jason}}
            route:
            - destination: {host: {{{host}}}, subset: v2}
          - route:
            - destination: {host: {{{host}}}, subset: v1}
              weight: {{{v1}}}
            - destination: {host: {{{host}}}, subset: v2}
              weight: {{{v2}}}
        ---

        """;
}
