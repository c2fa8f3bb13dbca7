// One program, two uses: `fuzz …` searches (tests/fuzz/run), anything else runs the tests that replay what is known.
using Naru.FuzzTests.Engine;
using Xunit.Runner.InProc.SystemConsole;

return args is ["fuzz", .. string[] rest] ? FuzzCommand.Run(rest) : await ConsoleRunner.Run(args);
