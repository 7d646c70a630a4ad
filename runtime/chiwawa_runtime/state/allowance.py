"""How much of memories or tables an instance may have, all of them together.

Whoever owns them asks before one grows. This knows nothing of hosts' limits, or of instances.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import ref


class Allowance:
    """``things`` may take ``most`` together, of which each takes ``size``."""

    __slots__ = ("__weakref__", "most", "size", "things")

    def __init__(self, most: int, things: Sequence[Any], size: Callable[[Any], int]) -> None:
        self.most = most
        self.things = things
        self.size = size

    def allows(self, more: int) -> bool:
        return sum(map(self.size, self.things)) + more <= self.most


class Allowances:
    """Those that one memory, or one table, is among the things of. This keeps none of them, and so
    no instance, alive."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: tuple[ref[Allowance], ...] = ()

    def add(self, allowance: Allowance) -> None:
        self.known += (ref(allowance),)

    def found(self) -> Iterator[Allowance]:
        for each in self.known:
            allowance = each()
            if allowance is not None:
                yield allowance

    def allow(self, more: int) -> bool:
        return all(allowance.allows(more) for allowance in self.found())
