"""The native path: modules rewritten so that they can be stopped, and run by wasmtime."""
