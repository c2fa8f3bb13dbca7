// Puts a credential of this workload into requests: a secret's text, or a token. Where there is none the request is refused, unless it
// may go on without (Envoy docs: credential injector). It is not told who sends the request.
using System.Runtime.CompilerServices;
using System.Text;
using Naru.Proxy.Http;
using Naru.Proxy.Io;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.CredentialInjector;

internal sealed class CredentialInjectorFilter : HttpFilter
{
    private readonly CredentialInjectorConfig _config;
    private readonly StatBlock _stats;
    private readonly FilterSecret? _secret;
    private readonly GrantedToken? _token;
    private readonly byte[] _header;

    public CredentialInjectorFilter(CredentialInjectorConfig config, FilterContext context)
    {
        _config = config;
        _stats = context.Block("credential_injector", InjectorStats.Schema);
        _secret = config.Secret is { } secret ? context.Node.Secrets.Of(secret.Name) : null;
        _token = config.Grant is { } grant ? new GrantedToken(grant, context) : null;
        _header = Encoding.ASCII.GetBytes(config.Header);
    }

    public override FilterStages Stages => FilterStages.RequestHead;

    public override ValueTask<FilterVerdict> OnRequestAsync(FilterCall call)
    {
        if (!_config.Overwrites && call.Request.Has(_header))
        {
            _stats.Shard(call.Worker.Index)[InjectorStats.AlreadyExists]++;
            return new ValueTask<FilterVerdict>(FilterVerdict.Go);
        }
        if (_token is null) return new ValueTask<FilterVerdict>(Inject(call, _secret?.Value));
        return _token.IsFresh(call.Worker) is { } token ? new ValueTask<FilterVerdict>(Inject(call, token)) : WaitAsync(call, _token);
    }

    [AsyncMethodBuilder(typeof(WorkerMethodBuilder<>))]
    private async ValueTask<FilterVerdict> WaitAsync(FilterCall call, GrantedToken token)
    {
        byte[]? bytes = await token.GetAsync(call);
        return call.Exchange.Abort != AbortReason.None ? FilterVerdict.Go : Inject(call, bytes);
    }

    private FilterVerdict Inject(FilterCall call, ReadOnlySpan<byte> credential)
    {
        long[] stats = _stats.Shard(call.Worker.Index);
        // Files end with a line.
        credential = credential.TrimEnd("\r\n"u8);
        if (!credential.IsEmpty && call.Request.Set(_header, credential))
        {
            stats[InjectorStats.Injected]++;
            return FilterVerdict.Go;
        }
        stats[InjectorStats.Failed]++;
        return _config.AllowsNone ? FilterVerdict.Go : call.Answer(FilterReasons.CredentialMissing, FilterReasons.CredentialMissing.Body!);
    }
}

internal static class InjectorStats
{
    public static readonly StatSchema Schema = new();
    public static readonly int AlreadyExists = Schema.Counter("already_exists");
    public static readonly int Failed = Schema.Counter("failed");
    public static readonly int Injected = Schema.Counter("injected");
}
