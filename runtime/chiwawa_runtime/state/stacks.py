"""The types of an operand stack, such that many places of a function share what is beneath them.

A high stack then does not cost its height at each place, nor many operands that are pushed at once
theirs: a single byte of Wasm can push a thousand. This module knows no places and no instructions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from chiwawa_runtime.state.types import ValType

#: More types than these are pushed as a ``Pile``.
FEW = 16


class Pile:
    """``types[:count]`` on top of ``base``, as a linked list: a pair of the topmost type and what
    is beneath it."""

    __slots__ = ("_beneath", "base", "count", "types")

    def __init__(self, types: tuple[ValType, ...], count: int, base: Stack) -> None:
        self.types = types
        self.count = count
        self.base = base
        self._beneath: Stack = None

    def __getitem__(self, item: int) -> Any:
        return self.beneath() if item else self.types[self.count - 1]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.types[self.count - 1], self.beneath()))

    def beneath(self) -> Stack:
        """The same one each time, so that places can be seen to share it."""
        if self.count == 1:
            return self.base
        if self._beneath is None:
            self._beneath = Pile(self.types, self.count - 1, self.base)
        return self._beneath

    def without(self, count: int) -> Stack:
        """What is beneath the topmost ``count``."""
        if count == self.count:
            return self.base
        return Pile(self.types, self.count - count, self.base)


#: The types as a linked list, the top first. A type that only unreachable code would have made is
#: None.
Stack = tuple[ValType | None, "Stack"] | Pile | None


def unrolled(stack: Stack) -> tuple[ValType, ...]:
    """The types, the deepest first; all are known."""
    types: list[ValType] = []
    while stack is not None:
        if isinstance(stack, Pile):
            types += reversed(stack.types[: stack.count])
            stack = stack.base
            continue
        top, stack = stack
        assert top is not None
        types.append(top)
    types.reverse()
    return tuple(types)


def pushed(stack: Stack, types: Iterable[ValType]) -> Stack:
    for valtype in types:
        stack = (valtype, stack)
    return stack


def popped(stack: Stack, count: int) -> Stack:
    for _ in range(count):
        assert stack is not None
        stack = stack[1]
    return stack
