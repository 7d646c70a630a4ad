"""References below ``any`` as wasmtime has them, in 32 bits, and as a program holds them here (see
``chiwawa_runtime.state.heap``).

An unboxed integer is in the bits themselves. What the host has made a reference to has the same
bits in both hierarchies. There is nothing else, since no module here makes structures or arrays.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from chiwawa.native import capi
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.heap import External, Internal, ref_eq

#: Set where the bits are an integer's, which are above it.
_IS_I31 = 1


def i31_of(raw: int) -> int | None:
    """The integer that a reference is, if it is one."""
    return (raw & 0xFFFFFFFF) >> 1 if raw & _IS_I31 else None


def raw_of_i31(value: int) -> int:
    return value << 1 | _IS_I31


def raw_of(value: Any, of_host: Callable[[Any], int]) -> int:
    """The bits of a reference below ``any``; ``of_host`` gives those of one of the host's."""
    if value is None:
        return 0
    if type(value) is Internal:
        return of_host(value.value)
    if type(value) is not int:
        raise UnsupportedError("the native path holds no structures and arrays of another path's")
    return raw_of_i31(value)


def value_of(raw: int, to_host: Callable[[int], Any]) -> Any:
    """The opposite."""
    if not raw & 0xFFFFFFFF:
        return None
    number = i31_of(raw)
    return Internal(to_host(raw)) if number is None else number


def reference(context: int, raw: int) -> capi.Anyref:
    """What wasmtime's tables and globals take for it, to be unrooted."""
    made = capi.Anyref()
    if raw:
        capi.anyref_from_raw(context, raw, ctypes.byref(made))
    return made


def taken(context: int, given: capi.Anyref) -> int:
    """The opposite: the bits. It is unrooted."""
    if not given.store:
        return 0
    raw: int = capi.anyref_to_raw(context, ctypes.byref(given))
    capi.anyref_unroot(ctypes.byref(given))
    return raw


def same(left: Any, right: Any) -> bool:
    """Whether two references are the same, as far as a program can see."""
    if type(left) is type(right) and isinstance(left, Internal | External):
        return same(left.value, right.value)
    return ref_eq(left, right)
