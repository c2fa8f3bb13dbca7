// The value of a header that configuration adds: constant bytes, or command operators formatted for each request.
using System.Text;
using Naru.Core;
using Naru.Telemetry;

namespace Naru.Proxy.Routing;

internal sealed class HeaderValueFormat
{
    private readonly byte[]? _constant;
    private readonly AccessLogFormat? _format;

    public HeaderValueFormat(string value)
    {
        // What does not compile was refused when the configuration was read; left over, it stands for itself.
        _format = value.Contains('%') ? AccessLogFormat.Compile(value, new Diagnostics(), FormatUse.HeaderValue) : null;
        _constant = _format is null or { IsConstant: true } ? Encoding.UTF8.GetBytes(value.Replace("%%", "%")) : null;
    }

    /// <summary>The bytes for a request; <paramref name="scratch"/> may hold them until its next use.</summary>
    public ReadOnlySpan<byte> Value(IRequestInfo request, LineBuffer scratch)
    {
        if (_constant is not null) return _constant;
        scratch.Clear();
        _format!.Write(request, scratch);
        return scratch.Written;
    }
}
