// One function of a script over one message: its thread, and what of the message it may still see and change. What it was given of the
// message is good until it waits for something (Envoy docs: Lua, stream handle API).
using Naru.Core;
using Naru.Http.Headers;
using Naru.Proxy.Filters.Scripting;
using Naru.Proxy.Http;
using Naru.Telemetry;

namespace Naru.Proxy.Filters.Http.Lua;

/// <summary>Waits for all of the body.</summary>
internal sealed record LuaWaitBody(bool Always);

/// <summary>Waits for the next piece of the body.</summary>
internal sealed record LuaWaitChunk;

/// <summary>Waits for the end of the body.</summary>
internal sealed record LuaWaitTrailers;

/// <summary>Answered the request: waits for nothing any more.</summary>
internal sealed record LuaWaitRespond;

internal sealed class LuaRun
{
    // Metadata that one run may set.
    private const int MostMetadata = 256 * 1024;
    private readonly LuaFilter _filter;
    private LuaThread? _thread;
    private byte[]? _body, _taken;

    /// <summary>Bytes that whoever holds an object of it holds with it.</summary>
    public long Held => 512 + (_body?.Length ?? 0) + (_taken?.Length ?? 0) + (IsOver ? _thread?.Size ?? 0 : 0);
    private int _metadata;
    private List<(bool Adds, byte[] Name, byte[]? Value)>? _trailerChanges;
    public BodyChange Change;

    public LuaRun(LuaFilter filter, LuaProgram program, LuaWorld world, FilterCall call, bool isRequest, MetaValue? context)
    {
        (_filter, Program, World, Call, IsRequest, FilterContext) = (filter, program, world, call, isRequest, context);
    }

    public LuaProgram Program { get; }

    public LuaWorld World { get; }

    public FilterCall Call { get; }

    public Exchange Exchange => Call.Exchange;

    public FilterContext Context => _filter.Context;

    public bool IsRequest { get; }

    public MetaValue? FilterContext { get; }

    /// <summary>Grows with each wait: what was given before is out of date.</summary>
    public int Generation { get; private set; }

    /// <summary>Its script runs right now.</summary>
    public bool IsRunning { get; private set; }

    public bool IsOver { get; private set; }

    /// <summary>What it waits for; null where it is over.</summary>
    public object? Waits => IsOver ? null : _thread?.Waits;

    /// <summary>Services were asked so often.</summary>
    public int Calls { get; set; }

    /// <summary>The head has not gone on.</summary>
    public bool HeadWaits { get; private set; } = true;

    /// <summary>The message has a body that is to come, or was taken in.</summary>
    public bool HasBody { get; private set; }

    /// <summary>All of the body was taken in.</summary>
    public bool IsBuffered { get; private set; }

    /// <summary>Its pieces are looked at, or were.</summary>
    public bool IsStreamed { get; set; }

    /// <summary>Nothing of the body follows.</summary>
    public bool Ended { get; private set; }

    /// <summary>Trailers came, and have not gone on.</summary>
    public bool TrailersHere { get; private set; }

    public bool HeadChanged { get; set; }

    public bool ClearsRoute { get; set; }

    /// <summary>The length of the body need not be what was told.</summary>
    public bool LengthMayChange { get; set; }

    private bool _lengthOpen;

    public FilterAnswer? Answer { get; set; }

    public LuaHeaders? Headers { get; set; }

    public LuaHeaders? Trailers { get; set; }

    /// <summary>The piece that the script has.</summary>
    public BodyPiece? Piece { get; private set; }

    private long Bytes { get; set; }

    /// <summary>Begins.</summary>
    public void Start(bool hasBody)
    {
        HasBody = hasBody;
        Ended = !hasBody;
        _filter.Stats.Shard(Call.Worker.Index)[LuaStats.Executions]++;
        Step(thread => thread.Give(LuaValue.Of(new LuaHandle(this) { Metatable = World.Tables.Handle })));
    }

    // What it waited for came to what is given.
    private void Step(Action<LuaThread> give)
    {
        World.State.BeginStep();
        IsRunning = true;
        Generation++;
        try
        {
            if (_thread is null)
            {
                _thread = new LuaThread(World.State, IsRequest ? World.OnRequest : World.OnResponse);
                World.State.Register(_thread);
            }
            _thread.None();
            give(_thread);
            if (_thread.Resume() == LuaOutcome.Done) End();
        }
        catch (LuaException e)
        {
            Fail(e.Message);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            Exchange.Worker.Report("Lua script", e);
            Fail(e.Message);
        }
        finally
        {
            IsRunning = false;
            Generation++;
            Headers = Trailers = null;
        }
    }

    private void Fail(string message)
    {
        _filter.Stats.Shard(Call.Worker.Index)[LuaStats.Errors]++;
        World.Host.Log(LogLevel.Error, $"script log: {(message.Length > 4096 ? message[..4096] : message)}");
        End();
    }

    /// <summary>It is over, whatever it still wanted.</summary>
    public void End()
    {
        IsOver = true;
        if (_thread is { } thread) World.State.Unregister(thread);
    }

    /// <summary>The whole body is here.</summary>
    public void TakeBody(bool trailers)
    {
        (IsBuffered, Ended) = (true, true);
        using (PeekedBody peeked = Taken()) Bytes = peeked.Bytes.Length;
        TrailersHere = trailers;
        // The pipe that trailers go through takes the body from where it lies.
        if (trailers) _taken = Copy();
        if (trailers) Call.Want(Streamed);
        bool always = _thread!.Waits is LuaWaitBody { Always: true };
        Step(thread => thread.Give(Bytes > 0 || always ? LuaValue.Of(WholeBody()) : LuaValue.Nil));
    }

    /// <summary>Its body, piece by piece, and the end of it.</summary>
    public FilterStages Streamed => IsRequest
        ? FilterStages.RequestBody | FilterStages.RequestTrailers : FilterStages.ResponseBody | FilterStages.ResponseTrailers;

    private PeekedBody Taken() =>
        IsRequest ? Call.Peeked() : Call.Response.IsLocal ? new PeekedBody(Exchange.LocalBody.Span) : Call.BufferedResponse();

    private byte[] Copy()
    {
        using PeekedBody peeked = Taken();
        return peeked.Bytes.ToArray();
    }

    /// <summary>The body that was taken in, as an object.</summary>
    public LuaBody WholeBody() => new(this, null) { Metatable = World.Tables.Buffer };

    /// <summary>Its length.</summary>
    public long BodyLength => _body?.Length ?? Bytes;

    /// <summary>There is something of it.</summary>
    public bool HasBytes => _body is not null || Bytes > 0;

    /// <summary>A part of it, as the script left it.</summary>
    public LuaString BodyBytes(int from, int length)
    {
        byte[] bytes = _body ?? (Bytes == 0 ? [] : _taken ??= Copy());
        return World.State.String(bytes.AsSpan(from, length));
    }

    /// <summary>Other bytes in its place.</summary>
    public void SetBody(byte[] bytes)
    {
        if (bytes.Length > BodyPipe.MostHeld) throw new LuaException($"a body has {BodyPipe.MostHeld} bytes at most");
        Exchange x = Exchange;
        if (!HasBody && bytes.Length > 0)
        {
            // What came next on the connection would be taken for it.
            if (IsRequest) throw new LuaException("a request without a body cannot be given one");
            if (x.IsHead || Naru.Http.Http1.Http1Framing.IsContentless(x.Status)) throw new LuaException("this answer has no body");
            if (Call.Response.IsLocal) throw new LuaException("an answer of the proxy's own without a body cannot be given one");
        }
        _body = bytes;
    }

    /// <summary>A piece of the body is here.</summary>
    public void TakeChunk(BodyPiece piece, bool last)
    {
        Piece = piece;
        Ended |= last;
        Step(thread => thread.Give(LuaValue.Of(new LuaBody(this, piece) { Metatable = World.Tables.Buffer })));
    }

    /// <summary>The piece goes on.</summary>
    public void EndChunk() => Piece = null;

    /// <summary>Other bytes in the place of a piece.</summary>
    public void SetPiece(BodyPiece piece, byte[] bytes)
    {
        if (bytes.Length > BodyPipe.MostHeld) throw new LuaException($"a body has {BodyPipe.MostHeld} bytes at most");
        if (!_lengthOpen && bytes.Length != piece.Bytes.Length) throw new LuaException("the length of this body was told already");
        World.State.Spend(bytes.Length / 16);
        Io.IoBuffer other = piece.Rent(bytes.Length);
        other.Append(bytes);
        piece.Become(other);
    }

    /// <summary>The body ended.</summary>
    public void TakeEnd(bool trailers)
    {
        (Ended, TrailersHere) = (true, trailers);
        bool wants = _thread!.Waits is LuaWaitTrailers && trailers;
        Step(thread => thread.Give(wants ? LuaValue.Of(TrailerObject()) : LuaValue.Nil));
    }

    /// <summary>A call came to what is given.</summary>
    public void GoOn(Action<LuaThread> give) => Step(give);

    /// <summary>Trailers came with the body; in their stage, or behind a body that was taken in.</summary>
    public bool HasTrailers => IsRequest ? Call.RequestTrailers.Next() >= 0 : !Call.Response.IsLocal && Call.ResponseTrailers.Next() >= 0;

    public LuaHeaders TrailerObject() => Trailers ??= new LuaHeaders(this, isTrailers: true) { Metatable = World.Tables.Headers };

    public LuaHeaders HeaderObject() => Headers ??= new LuaHeaders(this, isTrailers: false) { Metatable = World.Tables.Headers };

    public HeadEdits Head => IsRequest ? Call.Request : Call.Response;

    public HeadEdits TrailerEdits => IsRequest ? Call.RequestTrailers : Call.ResponseTrailers;

    /// <summary>Notes a change of trailers that have not come to their stage.</summary>
    public void NoteTrailers(bool adds, byte[] name, byte[]? value)
    {
        if (HeadWaits) (_trailerChanges ??= []).Add((adds, name, value));
    }

    /// <summary>Makes the changes in their stage, where they were lost on the way.</summary>
    public void ReplayTrailers()
    {
        if (_trailerChanges is not { } changes) return;
        _trailerChanges = null;
        TrailerEdits edits = IsRequest ? Call.RequestTrailers : Call.ResponseTrailers;
        if (edits.IsChanged) return;
        foreach ((bool adds, byte[] name, byte[]? value) in changes)
        {
            if (value is null) edits.Remove(name);
            else if (adds) edits.Add(name, value);
            else edits.Set(name, value);
        }
    }

    /// <summary>Nobody is told how long the body is.</summary>
    public void OpenLength()
    {
        if (_lengthOpen) return;
        _lengthOpen = true;
        if (IsRequest) Call.ChangesRequestLength();
        else if (HasBody || Exchange.IsHead) Call.ChangesResponseLength();
    }

    /// <summary>The head goes on, with what became of a body that was taken in.</summary>
    public void HeadGoes()
    {
        HeadWaits = false;
        if (_body is { } with)
        {
            if (HasBody)
            {
                Change = new BodyChange { With = with, Without = Bytes };
                if (IsRequest) Exchange.RequestLength = with.Length;
                else Call.ChangesResponseLength(with.Length);
                Call.Want(IsRequest ? FilterStages.RequestBody : FilterStages.ResponseBody);
            }
            else if (with.Length > 0)
            {
                Change = new BodyChange { With = with };
                Call.GivesResponseBody(with.Length);
                Call.Want(FilterStages.ResponseBody);
            }
        }
        else if (LengthMayChange && HasBody)
        {
            OpenLength();
        }
    }

    /// <summary>So many bytes of metadata more.</summary>
    public void CountMetadata(int bytes)
    {
        _metadata += bytes;
        if (_metadata > MostMetadata) throw new LuaException($"a script sets {MostMetadata} bytes of metadata at most for one message");
    }
}
