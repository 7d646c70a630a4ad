"""The modules that programs import WASI's functions from."""

PREVIEW1 = "wasi_snapshot_preview1"
#: What came before.
UNSTABLE = "wasi_unstable"
MODULES = (PREVIEW1, UNSTABLE)
