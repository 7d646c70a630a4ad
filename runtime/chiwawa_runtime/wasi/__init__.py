"""WASI preview 1 for a guest whose state can be saved and loaded elsewhere."""

from chiwawa_runtime.wasi.context import Wasi

__all__ = ["Wasi"]
