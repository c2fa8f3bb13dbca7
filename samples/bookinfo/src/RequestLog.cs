// One line a request, for those who ask (BOOKINFO_LOG=requests): silent otherwise, a mesh under load writes enough.
using System.Diagnostics;

namespace Bookinfo;

internal static class RequestLog
{
    public static async Task WriteAsync(HttpContext context, RequestDelegate next)
    {
        long start = Stopwatch.GetTimestamp();
        await next(context);
        Console.WriteLine($"{context.Request.Method} {context.Request.Path} {context.Response.StatusCode} "
            + $"{Stopwatch.GetElapsedTime(start).TotalMilliseconds:0.0} ms {context.Request.Headers["x-request-id"]}");
    }
}
