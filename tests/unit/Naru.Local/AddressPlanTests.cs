// Who gets which address (decision 0004), and who gives it back.
using Naru.Local;
using Xunit;

namespace Naru.UnitTests.Local;

public sealed class AddressPlanTests
{
    [Fact]
    public void Every_address_of_a_mesh_lies_in_its_slot()
    {
        var plan = new AddressPlan(7);
        int service = plan.TakeService("default/reviews")!.Value;
        int pod = plan.TakePod()!.Value;
        Assert.Equal($"127.7.0.{service}", plan.ClusterAddress(service));
        Assert.Equal($"127.7.{pod}.1", plan.PodAddress(pod));
        Assert.Equal($"127.7.{pod}.{service}", plan.ServiceAddress(pod, service));
        Assert.Equal("127.7.0.1", AddressPlan.ControlPlane(7).ToString());
    }

    [Fact]
    public void No_service_has_the_number_of_a_pods_own_address()
    {
        var plan = new AddressPlan(1);
        for (int i = 0; i < 253; i++) Assert.InRange(plan.TakeService($"default/s{i}")!.Value, 2, 254);
        Assert.Equal(253, plan.Services.Values.Distinct().Count());
        Assert.Null(plan.TakeService("default/one-too-many"));
        Assert.NotNull(plan.TakeService("default/s7"));
    }

    [Fact]
    public void A_pods_address_rests_before_another_pod_gets_it()
    {
        var plan = new AddressPlan(1);
        int first = plan.TakePod()!.Value;
        plan.ReleasePod(first);
        for (int i = 0; i < 253; i++) Assert.NotEqual(first, plan.TakePod());
        Assert.Equal(first, plan.TakePod());
        Assert.Null(plan.TakePod());
    }

    [Fact]
    public void Two_meshes_never_share_a_slot_and_a_slot_comes_back()
    {
        using Slot one = Slot.Take()!;
        Slot two = Slot.Take()!;
        Assert.NotEqual(one.Number, two.Number);
        two.Dispose();
        using Slot again = Slot.Take()!;
        Assert.NotEqual(one.Number, again.Number);
    }

    [Fact]
    public void Ports_for_applications_lie_outside_of_those_of_outgoing_connections()
    {
        var ports = new AppPorts();
        int a = ports.Take(), b = ports.Take();
        Assert.NotEqual(a, b);
        Assert.All([a, b], p => Assert.InRange(p, 20_000, 31_999));
    }
}
