"""A global whose value Python holds (spec 4.2.9)."""

from __future__ import annotations

from typing import Any

from chiwawa_runtime.state.holders import Holders
from chiwawa_runtime.state.interface import AnyGlobal
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.store import coerce, put
from chiwawa_runtime.state.types import GlobalType


class Global(AnyGlobal):
    """A global instance. ``value`` is for hosts, and checked as arguments of a call are; engines
    whose functions run over it use ``raw``, which is as ``numerics`` says for numbers, and None for
    null.

    >>> from chiwawa_runtime.state.types import I32, GlobalType
    >>> total = chiwawa.Global(GlobalType(I32, True), 7)
    >>> module = chiwawa.load('''(module (import "host" "total" (global $total (mut i32)))
    ...   (func (export "reset") (global.set $total (i32.const 0))))''')
    >>> chiwawa.instantiate(module, {"host": {"total": total}}).invoke("reset")
    []
    >>> total.value
    0
    """

    __slots__ = ("holders", "raw", "type")

    def __init__(self, type: GlobalType, value: object) -> None:
        """Raises TypeError and ValueError where ``value`` is none of the global's type."""
        self.type = type
        self.holders = Holders()
        self.raw: Any = coerce(value, type.type)

    @property
    def value(self) -> Any:
        """i32 and i64 are ints, given in either form, and returned signed. To set it raises
        TypeError where the global is immutable or the value of another type, and ValueError where
        it is out of range.

        >>> module = chiwawa.load('(module (global (export "n") (mut i64) (i64.const -1)))')
        >>> n = chiwawa.instantiate(module).global_("n")
        >>> n.value
        -1
        >>> n.value = 2**64 - 2
        >>> n.value
        -2
        """
        return plain(self.raw, self.type.type)

    @value.setter
    def value(self, value: object) -> None:
        if not self.type.mutable:
            raise TypeError("the global is immutable")
        self.raw = put(value, self.type.type, self)

    def get(self) -> Any:
        return self.raw

    def reset(self, value: object) -> None:
        self.raw = value
