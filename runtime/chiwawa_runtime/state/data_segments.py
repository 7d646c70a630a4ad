"""Data segments, and all those of an instance (spec 4.2.11).

A large program may have tens of thousands, of which nearly all are dropped before it begins, so
whoever restores or captures an instance says so, or asks, of all at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from chiwawa_runtime.state.on_demand import OnDemand


class DataSegment:
    """A data instance (spec 4.2.11). Dropping it leaves it empty."""

    __slots__ = ("data", "dropped")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.dropped = False

    def drop(self) -> None:
        self.data = b""
        self.dropped = True


class Contents(OnDemand[bytes]):
    """What is in the data segments of a module whose bytes are ``binary``: in that, where each
    begins (``at``), and how long it is (``sizes``)."""

    __slots__ = ("at", "binary", "sizes")

    def __init__(self, binary: bytes, at: Sequence[int], sizes: Sequence[int]) -> None:
        self.binary = binary
        self.at = at
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.at)

    def __iter__(self) -> Iterator[bytes]:
        binary = self.binary
        return (binary[a : a + size] for a, size in zip(self.at, self.sizes, strict=True))

    def made(self, index: int) -> bytes:
        at = self.at[index]
        return self.binary[at : at + self.sizes[index]]


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
