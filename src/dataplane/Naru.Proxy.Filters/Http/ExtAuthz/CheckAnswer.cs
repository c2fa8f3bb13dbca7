// What a service said about a request, whichever way it was asked, and the changes that it wants made. Nothing is changed before all of it was
// looked at: an answer that is no good changes nothing.
using System.Text;
using Naru.Http.Http1;
using Naru.Proxy.Config;
using Naru.Proxy.Config.Reading;
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.ExtAuthz;

internal enum CheckOutcome : byte
{
    /// <summary>There was no answer, or one that cannot be understood.</summary>
    Error,
    Ok,
    Denied,
}

/// <summary>How a field is changed.</summary>
internal enum FieldChange : byte
{
    Set,

    /// <summary>One more line.</summary>
    Add,

    /// <summary>One more value on the line that there is.</summary>
    Join,

    /// <summary>Only where there is none.</summary>
    AddIfAbsent,

    /// <summary>Only where there is one.</summary>
    SetIfThere,
}

/// <summary>A field that a service wants changed.</summary>
internal readonly record struct FieldEdit(string Name, byte[] Value, FieldChange Change);

internal sealed class CheckAnswer
{
    public CheckOutcome Outcome { get; set; }

    /// <summary>Of a denial.</summary>
    public int Status { get; set; } = 403;
    public byte[] Body { get; set; } = [];

    /// <summary>Of the request; of a denial, of the answer.</summary>
    public List<FieldEdit> Fields { get; } = [];
    public List<string> Removed { get; } = [];

    /// <summary>Of the answer, where the request goes on.</summary>
    public List<FieldEdit> AnswerFields { get; } = [];
    public List<(string Name, string Value)> QuerySet { get; } = [];
    public List<string> QueryRemoved { get; } = [];
    public MetaValue? Metadata { get; set; }

    /// <summary>Whether all names and values may stand in a head.</summary>
    public bool IsValid() => Fields.Concat(AnswerFields).All(f => IsName(f.Name) && Http1Head.IsFieldValue(f.Value)) && Removed.All(IsName)
        && QuerySet.All(q => q.Name.Length > 0);

    /// <summary>Whether all values can be written into a head. A field whose value cannot is not the client's own either.</summary>
    public bool CanBeWritten() => Fields.TrueForAll(IsWritable) && AnswerFields.TrueForAll(IsWritable);

    private static bool IsWritable(FieldEdit field) => field.Name is ":path" or ":authority" or "host"
        ? RequestHeaders.MayBe(Encoding.UTF8.GetBytes(field.Name), field.Value) : Http1Head.IsFieldValue(field.Value);

    private static bool IsName(string name) => Http1Head.IsToken(Encoding.UTF8.GetBytes(name.StartsWith(':') ? name[1..] : name));

    /// <summary>Takes out what may not be changed; false where that is an error.</summary>
    public bool Restrict(MutationRulesConfig rules)
    {
        int taken = Fields.RemoveAll(f => !rules.Allows(f.Name)) + Removed.RemoveAll(n => n.Length == 0 || !rules.Allows(n));
        return taken == 0 || !rules.IsError;
    }

    /// <summary>Changes a request; whether anything was.</summary>
    public bool Change(Exchange x)
    {
        RequestHeaders head = x.RequestHeaders;
        bool changed = false;
        foreach (string name in Removed) if (name is not ("host" or "") && name[0] != ':') changed |= head.Remove(Encoding.UTF8.GetBytes(name)) > 0;
        foreach (FieldEdit field in Fields)
        {
            Apply(head, field);
            changed = true;
        }
        if (QuerySet.Count + QueryRemoved.Count == 0) return changed;
        ChangeQuery(x);
        return true;
    }

    /// <summary>Makes one change.</summary>
    public static void Apply(HeadEdits head, in FieldEdit field)
    {
        byte[] name = Encoding.UTF8.GetBytes(field.Name);
        if (name.Length == 0) return;
        bool pseudo = name[0] == ':' || field.Name == "host";
        switch (field.Change)
        {
            case FieldChange.Add when !pseudo: head.Add(name, field.Value); break;
            case FieldChange.Join when !pseudo: head.Join(name, field.Value, ","u8); break;
            case FieldChange.AddIfAbsent when head.Has(name): break;
            case FieldChange.SetIfThere when !head.Has(name): break;
            default: head.Set(name, field.Value); break;
        }
    }

    // Sorted by name, as Envoy has it; what is not changed stays letter by letter.
    private void ChangeQuery(Exchange x)
    {
        string path = Encoding.Latin1.GetString(x.Path);
        var parameters = new List<(string Name, string Written)>();
        foreach (string pair in Encoding.Latin1.GetString(x.Query).Split('&', StringSplitOptions.RemoveEmptyEntries))
            parameters.Add((Uri.UnescapeDataString(pair.Split('=')[0]), pair));
        parameters.RemoveAll(p => QueryRemoved.Contains(p.Name) || QuerySet.Any(s => s.Name == p.Name));
        foreach ((string name, string value) in QuerySet)
        {
            if (QueryRemoved.Contains(name)) continue;
            parameters.RemoveAll(p => p.Name == name);
            parameters.Add((name, $"{Uri.EscapeDataString(name)}={Uri.EscapeDataString(value)}"));
        }
        string query = string.Join('&', parameters.OrderBy(p => p.Name, StringComparer.Ordinal).Select(p => p.Written));
        x.RequestHeaders.SetPath(Encoding.Latin1.GetBytes(query.Length > 0 ? $"{path}?{query}" : path));
    }
}
