"""Data segments, and all those of an instance (spec 4.2.11).

A large program may have tens of thousands, of which nearly all are dropped before it begins, so
whoever restores or captures an instance says so, or asks, of all at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import overload


class DataSegment:
    """A data instance (spec 4.2.11). Dropping it leaves it empty."""

    __slots__ = ("data", "dropped")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.dropped = False

    def drop(self) -> None:
        self.data = b""
        self.dropped = True


class DataSegments(Sequence[DataSegment]):
    """Those of an instance, by index, whoever holds them."""

    __slots__ = ()

    @abstractmethod
    def dropped(self) -> Sequence[bool]:
        """Of each, whether it has been dropped."""

    @abstractmethod
    def drop(self, which: Sequence[bool]) -> None:
        """Drop those of which ``which``, as long as this is, says so."""


class HeldSegments(DataSegments):
    """Those whose bytes Python holds."""

    __slots__ = ("held",)

    def __init__(self, contents: Iterable[bytes]) -> None:
        self.held = [*map(DataSegment, contents)]

    def __len__(self) -> int:
        return len(self.held)

    @overload
    def __getitem__(self, index: int) -> DataSegment: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DataSegment]: ...
    def __getitem__(self, index: int | slice) -> DataSegment | Sequence[DataSegment]:
        return self.held[index]

    def dropped(self) -> Sequence[bool]:
        return [each.dropped for each in self.held]

    def drop(self, which: Sequence[bool]) -> None:
        for each, dropped in zip(self.held, which, strict=True):
            if dropped:
                each.drop()
