"""WASI preview 1 for a guest whose state can be saved and loaded elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chiwawa_runtime.wasi.context import Wasi as Wasi

__all__ = ["Wasi"]


def __getattr__(name: str) -> Any:
    # Most of it is loaded by programs alone that have any use for it.
    if name != "Wasi":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from chiwawa_runtime.wasi.context import Wasi

    globals()["Wasi"] = Wasi
    return Wasi
