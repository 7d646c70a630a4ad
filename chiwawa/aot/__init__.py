"""The translator: a Wasm module to resumable generators, in a Python file or in memory.

Names are imported when they are first used: the interpreter shares the constant expressions, and
takes no astor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chiwawa.aot.file import Progress as Progress
    from chiwawa.aot.file import translate as translate
    from chiwawa.aot.ondemand import translate_on_demand as translate_on_demand

_HOME = {"Progress": "file", "translate": "file", "translate_on_demand": "ondemand"}

__all__ = ["Progress", "translate", "translate_on_demand"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
