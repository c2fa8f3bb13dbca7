// envoy.filters.http.grpc_json_transcoder: how its configuration is read, in the chain and at routes. Descriptors, rules and templates are
// compiled here: what cannot be is refused with the method that it is of.
using Google.Api;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Naru.Http.Transcoding;
using Naru.Proxy.Config.Extensions;
using Naru.Proxy.Config.Reading;
using Transcoder = Envoy.Extensions.Filters.Http.GrpcJsonTranscoder.V3.GrpcJsonTranscoder;

namespace Naru.Proxy.Filters.Http.GrpcJsonTranscoder;

/// <summary>Clients speak JSON, services gRPC (Envoy docs: gRPC-JSON transcoder).</summary>
public sealed class GrpcJsonTranscoderExtension : HttpFilterExtension, IHttpFilterKind
{
    private const int MostAdditional = 64;

    /// <inheritdoc/>
    public override string Name => "envoy.filters.http.grpc_json_transcoder";

    /// <inheritdoc/>
    public override MessageDescriptor Message => Envoy.Extensions.Filters.Http.GrpcJsonTranscoder.V3.GrpcJsonTranscoder.Descriptor;

    /// <inheritdoc/>
    public override MessageDescriptor RouteMessage => Message;

    /// <inheritdoc/>
    public override string OldMessage => "envoy.config.filter.http.transcoder.v2.GrpcJsonTranscoder";

    /// <inheritdoc/>
    public override string Fields => """
        envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder
          + proto_descriptor proto_descriptor_bin services print_options match_incoming_request_route ignored_query_parameters
          + auto_mapping ignore_unknown_query_parameters convert_grpc_status url_unescape_spec request_validation_options
          + query_param_unescape_plus match_unregistered_custom_verb case_insensitive_enum_parsing max_request_body_size
          + max_response_body_size capture_unknown_query_parameters
        envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder.PrintOptions
          + add_whitespace always_print_primitive_fields always_print_enums_as_ints preserve_proto_field_names
          + stream_newline_delimited stream_sse_style_delimited
        envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder.RequestValidationOptions
          + reject_unknown_method reject_unknown_query_parameters reject_binding_body_field_collisions

        """;

    internal override object ReadRoute(Scope scope, IMessage message) => Read(scope, message);

    internal override object Read(Scope scope, IMessage message)
    {
        var filter = (Transcoder)message;
        var methods = new PathMatcher<TranscodedMethod>(filter.MatchUnregisteredCustomVerb);
        DescriptorReader? declared = filter.Services.Count > 0 ? Descriptors(scope, filter) : null;
        if (declared is not null) Services(scope, filter, declared, methods);
        if (!Enum.IsDefined(filter.UrlUnescapeSpec))
            scope.Error("url_unescape_spec", "NARU-C102", $"{(int)filter.UrlUnescapeSpec} is no rule of unescaping");
        if (filter.MaxRequestBodySize == 0) scope.Error("max_request_body_size", "NARU-C102", "0 lets no body in", "write 1 or more");
        if (filter.MaxResponseBodySize == 0) scope.Error("max_response_body_size", "NARU-C102", "0 lets no answer out", "write 1 or more");
        Transcoder.Types.PrintOptions print = filter.PrintOptions ?? new Transcoder.Types.PrintOptions();
        Transcoder.Types.RequestValidationOptions strict = filter.RequestValidationOptions ?? new Transcoder.Types.RequestValidationOptions();
        if (print.StreamNewlineDelimited && print.StreamSseStyleDelimited)
            scope.Error("print_options", "NARU-C113", "\"stream_newline_delimited\" and \"stream_sse_style_delimited\" exclude each other",
                "keep one of them");
        ProtoShapes shapes = declared?.Shapes ?? new ProtoShapes();
        return new TranscoderRules
        {
            IsOff = filter.Services.Count == 0,
            Methods = methods,
            Json = new JsonRules(shapes, filter.CaseInsensitiveEnumParsing, strict.RejectBindingBodyFieldCollisions),
            Print = new JsonPrint(
                shapes, print.AddWhitespace, print.AlwaysPrintPrimitiveFields, print.AlwaysPrintEnumsAsInts, print.PreserveProtoFieldNames),
            Stream = print.StreamSseStyleDelimited ? StreamForm.Events : print.StreamNewlineDelimited ? StreamForm.Lines : StreamForm.List,
            KeepsRoute = filter.MatchIncomingRequestRoute,
            IgnoredParameters = filter.IgnoredQueryParameters.ToHashSet(StringComparer.Ordinal),
            IgnoresUnknown = filter.IgnoreUnknownQueryParameters,
            CapturesUnknown = filter.CaptureUnknownQueryParameters,
            ConvertsStatus = filter.ConvertGrpcStatus,
            Unescape = (UrlUnescape)filter.UrlUnescapeSpec,
            PlusIsBlank = filter.QueryParamUnescapePlus,
            RejectsMethods = strict.RejectUnknownMethod,
            RejectsParameters = strict.RejectUnknownQueryParameters,
            MostRequest = filter.MaxRequestBodySize,
            MostResponse = filter.MaxResponseBodySize,
            Status = shapes.Find("google.rpc.Status"),
        };
    }

    private static DescriptorReader? Descriptors(Scope scope, Transcoder filter)
    {
        const string Make = "make one with protoc --include_imports --descriptor_set_out=FILE";
        string field = filter.DescriptorSetCase == Transcoder.DescriptorSetOneofCase.ProtoDescriptor ? "proto_descriptor" : "proto_descriptor_bin";
        ByteString bytes = filter.ProtoDescriptorBin;
        switch (filter.DescriptorSetCase)
        {
            case Transcoder.DescriptorSetOneofCase.ProtoDescriptor:
                try
                {
                    using FileStream file = File.OpenRead(filter.ProtoDescriptor);
                    bytes = ByteString.FromStream(file);
                }
                catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or ArgumentException)
                {
                    scope.Error(field, "NARU-C104", $"cannot read \"{filter.ProtoDescriptor}\": {fault.Message}", Make);
                    return null;
                }
                break;
            case Transcoder.DescriptorSetOneofCase.None:
                scope.Error("", "NARU-C101", "services need their descriptors", "add proto_descriptor or proto_descriptor_bin");
                return null;
        }
        DescriptorReader read = DescriptorReader.Read(bytes);
        if (read.Fault is null) return read;
        scope.Error(field, "NARU-C102", read.Fault, Make);
        return null;
    }

    private static void Services(Scope scope, Transcoder filter, DescriptorReader declared, PathMatcher<TranscodedMethod> into)
    {
        for (int i = 0; i < filter.Services.Count; i++)
        {
            string field = $"services[{i}]";
            if (filter.Services.Take(i).Contains(filter.Services[i]))
            {
                scope.Error(field, "NARU-C103", $"\"{filter.Services[i]}\" is there twice", "remove one of them");
                continue;
            }
            if (declared.Methods(filter.Services[i]) is not { } methods)
            {
                string known = string.Join(", ", declared.Services.Take(8));
                scope.Error(field, "NARU-C104", $"the descriptors declare no service \"{filter.Services[i]}\"",
                    known.Length > 0 ? $"they have: {known}" : "they declare none: make them with protoc from the service's file");
                continue;
            }
            foreach (DeclaredMethod method in methods)
            {
                HttpRule? rule = method.Rule;
                if (rule is null && filter.AutoMapping) rule = new HttpRule { Post = $"/{method.Service}/{method.Name}", Body = "*" };
                if (rule is null || rule.PatternCase == HttpRule.PatternOneofCase.None) continue;
                if (Foreign(method.Input, []) is { } foreign || (foreign = Foreign(method.Output, [])!) is not null)
                {
                    scope.Error(field, "NARU-C113", $"{method.Name} cannot be transcoded: {foreign}",
                        "leave the method without google.api.http, or change the message");
                    continue;
                }
                Rule(scope, field, method, rule, into);
                if (rule.AdditionalBindings.Count > MostAdditional)
                    scope.Error(field, "NARU-C102", $"{method.Name} has {rule.AdditionalBindings.Count} additional bindings",
                        $"write at most {MostAdditional}");
                else foreach (HttpRule more in rule.AdditionalBindings) Rule(scope, field, method, more, into);
            }
        }
    }

    // What in a message, or in one that it holds, has no JSON.
    private static string? Foreign(MessageShape shape, HashSet<MessageShape> seen)
    {
        var open = new Stack<MessageShape>([shape]);
        while (open.TryPop(out MessageShape? next))
        {
            if (!seen.Add(next)) continue;
            if (next.Foreign is { } foreign) return foreign;
            foreach (FieldShape field in next.Fields) if (field.Message is { } inner) open.Push(inner);
        }
        return null;
    }

    private static void Rule(Scope scope, string field, DeclaredMethod method, HttpRule rule, PathMatcher<TranscodedMethod> into)
    {
        (string verb, string path) = rule.PatternCase switch
        {
            HttpRule.PatternOneofCase.Get => ("GET", rule.Get),
            HttpRule.PatternOneofCase.Put => ("PUT", rule.Put),
            HttpRule.PatternOneofCase.Post => ("POST", rule.Post),
            HttpRule.PatternOneofCase.Delete => ("DELETE", rule.Delete),
            HttpRule.PatternOneofCase.Patch => ("PATCH", rule.Patch),
            HttpRule.PatternOneofCase.Custom => (rule.Custom.Kind, rule.Custom.Path),
            _ => ("", ""),
        };
        string of = $"{method.Service}.{method.Name}";
        if (verb.Length == 0)
        {
            scope.Error(field, "NARU-C101", $"{of} has a binding without method and path", "write get, put, post, delete, patch or custom");
            return;
        }
        if (verb is "HEAD" or "CONNECT")
        {
            scope.Error(field, "NARU-C113", $"{of} is called by {verb}, whose answers have no body", "use another method");
            return;
        }
        if (PathTemplate.Parse(path, out string fault) is not { } template)
        {
            scope.Error(field, "NARU-C102", $"\"{path}\" of {of} is no path template: {fault}",
                "write it as google.api.http describes, such as /v1/{name=shelves/*}:open");
            return;
        }
        bool good = true;
        var variables = new FieldShape[template.Variables.Count][];
        for (int i = 0; i < variables.Length; i++)
        {
            string name = string.Join('.', template.Variables[i].Field);
            variables[i] = FieldPath.Find(method.Input, template.Variables[i].Field, out string why)!;
            if (variables[i] is null) good = Refuse($"the variable {name} of {of} {why}", "name a field of the request message");
            else if (variables[i][^1].IsRepeated)
                good = Refuse($"the variable {name} of {of} is a repeated field", "a path has one value for it: name another field");
            else if (!FieldPath.IsText(variables[i][^1])) good = Refuse($"the variable {name} of {of} is a message", "name one of its fields");
            else if (variables.Take(i).Any(v => v is not null && v.SequenceEqual(variables[i])))
                good = Refuse($"the variable {name} of {of} is there twice", "a field has one value: name another");
        }
        FieldShape? body = One(method.Input, rule.Body, "body"), answer = One(method.Output, rule.ResponseBody, "response_body");
        if (body is { } held && variables.Any(v => v is { Length: > 0 } && v[0] == held && (v.Length == 1 || held.Message is { IsHttpBody: true })))
            good = Refuse($"the body of {of} is a field that its path names, too", "a field has one value: name another");
        if (!good) return;
        var made = new TranscodedMethod(method, template) { HasBody = rule.Body.Length > 0, Body = body, Answer = answer, Variables = variables };
        if (!into.Add(verb, template, made)) Refuse($"{verb} {path} of {of} leads to another method, or to this one, already",
            "give each method its own path");

        FieldShape? One(MessageShape shape, string name, string what)
        {
            if (name.Length == 0 || (name == "*" && what == "body")) return null;
            FieldShape? found = shape.Find(System.Text.Encoding.UTF8.GetBytes(name));
            if (found is null)
                good = Refuse($"the {what} of {of} is \"{name}\", which is no field of {shape.FullName}", "name a field of the message, without a path");
            return found;
        }

        bool Refuse(string cause, string remedy)
        {
            scope.Error(field, "NARU-C102", cause, remedy);
            return false;
        }
    }

    HttpFilter IHttpFilterKind.Compile(object settings, FilterContext context) => new GrpcJsonTranscoderFilter((TranscoderRules)settings);
}

/// <summary>Fields by the names that paths and queries have for them.</summary>
internal static class FieldPath
{
    private const int MostSteps = 32;

    /// <summary>The fields from a message down; null where there are none, and why.</summary>
    public static FieldShape[]? Find(MessageShape root, ReadOnlySpan<string> names, out string why)
    {
        why = "names no field";
        if (names.Length is 0 or > MostSteps) return null;
        var fields = new FieldShape[names.Length];
        MessageShape? at = root;
        for (int i = 0; i < names.Length; i++)
        {
            if (at?.Find(System.Text.Encoding.UTF8.GetBytes(names[i])) is not { } field)
            {
                why = at is null ? "goes on behind a field that is no message" : $"names no field: {at.FullName} has no {names[i]}";
                return null;
            }
            if (i < names.Length - 1 && (field.IsRepeated || field.Message is { Known: not WellKnown.None }))
            {
                why = $"goes through {field.Name}, which is repeated or has no fields in JSON";
                return null;
            }
            fields[i] = field;
            at = field.Message;
        }
        return fields;
    }

    /// <summary>A text may be its value.</summary>
    public static bool IsText(FieldShape field) => field.Message is null || (!field.IsMap
        && field.Message.Known is WellKnown.Timestamp or WellKnown.Duration or WellKnown.FieldMask or WellKnown.Wrapper or WellKnown.Value);
}
