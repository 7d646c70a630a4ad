"""Who has something, as long as anybody has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from weakref import ref


class Holders:
    """Keeps none of them alive. Each is there once."""

    __slots__ = ("known",)

    def __init__(self, holders: Iterable[Any] = ()) -> None:
        self.known: tuple[ref[Any], ...] = tuple(map(ref, holders))

    def add(self, holder: Any) -> None:
        if all(each is not holder for each in self):
            self.known = (*(each for each in self.known if each() is not None), ref(holder))

    def __iter__(self) -> Iterator[Any]:
        for each in self.known:
            holder = each()
            if holder is not None:
                yield holder
