"""Sequences of what is made when it is asked for: a large module has tens of thousands of things,
nearly all of which nobody looks at."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class OnDemand(Sequence[T]):
    """Each of its things is made of its index, anew each time."""

    __slots__ = ()

    @abstractmethod
    def made(self, index: int) -> T:
        """That at ``index``, of 0 to less than its length."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        places = range(len(self))
        if isinstance(index, slice):
            return [*map(self.made, places[index])]
        return self.made(places[index])

    def __iter__(self) -> Iterator[T]:
        return map(self.made, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))
