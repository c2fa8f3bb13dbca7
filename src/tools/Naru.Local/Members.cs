// All processes that their users started with `naru run`: who they are, and who shares a service with whom. One of them is in Member.cs.
using System.Collections.Concurrent;
using Naru.Core;
using Naru.Inspect;

namespace Naru.Local;

internal sealed class Members(MeshContext mesh, MeshState state, Proxies proxies)
{
    private readonly ConcurrentDictionary<string, Member> _all = new(StringComparer.Ordinal);

    /// <summary>Manifests may have named, changed or dropped a service that members belong to.</summary>
    public void ServicesChanged()
    {
        foreach (Member member in _all.Values) member.ServicesChanged();
    }

    public IEnumerable<PodStatus> Statuses() => _all.Values.Select(m => m.Status()).ToList();

    public Member? Find(string pod) => _all.GetValueOrDefault(pod);

    /// <summary>Gives a new process its place. It is in the mesh once it listens.</summary>
    public Member Join(MemberRequest request)
    {
        if (!MemberRequest.IsName(request.Name))
            throw new MeshException(new Diagnostic("NARU-L031", Severity.Error, $"\"{request.Name}\" is no name for a service",
            Remedy: "small letters, digits and dashes, at most 63"));
        if (request.Port is < 0 or > 65535)
        {
            string remedy = "--port takes 1 to 65535, and need not be given";
            throw new MeshException(new Diagnostic("NARU-L031", Severity.Error, $"{Math.Max(request.Port, 0)} is no port", Remedy: remedy));
        }
        int number = state.TakePod() ?? throw new MeshException(new Diagnostic("NARU-L012", Severity.Error, "no address is left: a local mesh has 254 pods at most"));
        var member = new Member(mesh, state, proxies, request, number) { Shares = Shares };
        _all[member.Name] = member;
        return member;
    }

    public async Task LeaveAsync(Member member)
    {
        await member.LeaveAsync().ConfigureAwait(false);
        _all.TryRemove(member.Name, out _);
    }

    /// <summary>The mesh ends: wrappers are told, and end their processes.</summary>
    public async Task StopAsync()
    {
        foreach (Member member in _all.Values) member.Say(new RunnerEvent { Event = "stopping", Message = "the mesh ends" });
        await Task.WhenAll(_all.Values.Select(LeaveAsync)).ConfigureAwait(false);
    }

    // Who was alone until now hears that it is not any more.
    private void Shares(Member one)
    {
        foreach (Member other in _all.Values.Where(m => m != one && m.ServiceKey == one.ServiceKey)) other.SaySharing(one.Name);
    }
}
