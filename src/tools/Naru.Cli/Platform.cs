// The runner stands on /proc, epoll-era signals and loopback networks of Linux; see docs/decisions/0004-local-addresses.md.
[assembly: System.Runtime.Versioning.SupportedOSPlatform("linux")]
