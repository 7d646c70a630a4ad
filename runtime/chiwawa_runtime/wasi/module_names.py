"""The modules that programs import WASI's functions from, and functions that are known by name."""

PREVIEW1 = "wasi_snapshot_preview1"
#: What came before.
UNSTABLE = "wasi_unstable"
MODULES = (PREVIEW1, UNSTABLE)
#: What reads standard input, or waits for it, if the call is of that descriptor.
READS_INPUT = ("fd_read", "poll_oneoff")
