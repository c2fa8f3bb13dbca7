// What to do next so that the pods of a Deployment become those that are wanted. Pure: one look in, one step out; whoever asks takes the
// step and looks again, so a wish that changes meanwhile is simply the next look's.
namespace Naru.Local;

/// <summary>One pod as a plan sees it.</summary>
/// <param name="Newest">Whether it is of the newest wish.</param>
/// <param name="Ready">Whether it gets requests.</param>
internal readonly record struct PlannedPod(bool Newest, bool Ready);

/// <summary>One step.</summary>
/// <param name="Retire">Which pods to take out, as places in the list that was looked at.</param>
/// <param name="Add">How many new ones to start.</param>
internal sealed record RolloutStep(IReadOnlyList<int> Retire, int Add)
{
    /// <summary>Plans as Kubernetes' Deployments do with maxSurge 1 and maxUnavailable 0: a new pod is ready before an old one that serves
    /// goes; what serves nothing gives its place at once.</summary>
    /// <param name="pods">Pods that are not on their way out, the oldest first.</param>
    /// <param name="leaving">How many are on their way out.</param>
    /// <param name="wanted">How many are wanted.</param>
    public static RolloutStep Next(IReadOnlyList<PlannedPod> pods, int leaving, int wanted)
    {
        List<int> newest = [.. Enumerable.Range(0, pods.Count).Where(i => pods[i].Newest)];
        List<int> old = [.. Enumerable.Range(0, pods.Count).Where(i => pods[i] is { Newest: false, Ready: true })];
        var retire = new List<int>(Enumerable.Range(0, pods.Count).Where(i => pods[i] is { Newest: false, Ready: false }));
        // Of too many those go first that serve nothing, then the youngest.
        foreach (int i in newest.OrderBy(i => pods[i].Ready).ThenByDescending(i => i).Take(newest.Count - wanted).ToList())
        {
            retire.Add(i);
            newest.Remove(i);
        }
        int stays = Math.Max(0, wanted - newest.Count(i => pods[i].Ready));
        retire.AddRange(old.Take(old.Count - stays));
        int serving = Math.Min(old.Count, stays);
        int missing = wanted - newest.Count;
        int room = serving == 0 ? missing : wanted + 1 - newest.Count - serving - leaving - retire.Count;
        return new RolloutStep([.. retire.Order()], Math.Max(0, Math.Min(missing, room)));
    }
}
