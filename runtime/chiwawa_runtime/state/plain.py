"""How values come out of a program, for its host. How they go in is ``store``'s ``coerce``."""

from __future__ import annotations

from typing import Any

from chiwawa_runtime.state.types import I32, I64, ValType


def plain(value: Any, valtype: ValType) -> Any:
    """``value``, as a program holds it, for the host. This is the one way out: for results,
    arguments of host functions, values of globals and exceptions, and what probes see. An i32 or
    i64, which a program holds unsigned (and as a bool, where a comparison has made it), is a signed
    int."""
    if valtype is I32 or valtype is I64:
        number = int(value)
        return number - (1 << valtype.bits) if number >> valtype.bits - 1 else number
    return value
