// One line a log record: time, level, message with key=value pairs. What strangers sent (names, reasons) is escaped, so that
// it can neither forge a line nor speak to a terminal. Knows nothing of what is logged; secrets are never given to it.
using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging;

namespace Naru.Control.Host;

/// <summary>Writes log lines to a text writer.</summary>
/// <param name="writer">Where to.</param>
/// <param name="time">The clock.</param>
internal sealed class LogLines(TextWriter writer, TimeProvider time) : ILoggerProvider
{
    private const int LongestLine = 4096;
    private readonly TextWriter _writer = TextWriter.Synchronized(writer);

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => new Logger(this);

    /// <inheritdoc/>
    public void Dispose() => _writer.Flush();

    private void Write(LogLevel level, string message, Exception? exception)
    {
        var line = new StringBuilder(128);
        line.Append(time.GetUtcNow().ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture)).Append(' ').Append(NameOf(level)).Append(' ');
        Escape(line, message);
        if (exception is not null) Escape(line.Append(" error="), $"{exception.GetType().Name}: {exception.Message}");
        if (line.Length > LongestLine) line.Length = LongestLine;
        _writer.WriteLine(line.ToString());
    }

    /// <summary>Control, format and separator characters become <c>\uXXXX</c>.</summary>
    internal static void Escape(StringBuilder line, string text)
    {
        foreach (char c in text)
        {
            UnicodeCategory category = char.GetUnicodeCategory(c);
            if (category is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.Surrogate)
            {
                line.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
            }
            else line.Append(c);
        }
    }

    private static string NameOf(LogLevel level) => level switch
    {
        LogLevel.Trace or LogLevel.Debug => "debug",
        LogLevel.Information => "info",
        LogLevel.Warning => "warn",
        _ => "error",
    };

    private sealed class Logger(LogLines lines) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            lines.Write(logLevel, formatter(state, exception), exception);
    }
}
