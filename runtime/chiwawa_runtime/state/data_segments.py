"""Data segments, and all those of an instance (spec 4.2.11).

A large program may have tens of thousands, of which nearly all are dropped before it begins, so
whoever restores or captures an instance says so, or asks, of all at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from operator import or_
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
    """Those whose bytes Python holds. Each is made when it is first asked for, and then is the same
    object."""

    __slots__ = ("contents", "flags", "held")

    def __init__(self, contents: Sequence[bytes]) -> None:
        self.contents = contents
        #: Of each that has not been made, whether it has been dropped.
        self.flags = bytearray(len(contents))
        self.held: dict[int, DataSegment] = {}

    def __len__(self) -> int:
        return len(self.contents)

    @overload
    def __getitem__(self, index: int) -> DataSegment: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DataSegment]: ...
    def __getitem__(self, index: int | slice) -> DataSegment | Sequence[DataSegment]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        place = range(len(self))[index]
        found = self.held.get(place)
        if found is None:
            found = self.held[place] = DataSegment(self.contents[place])
            if self.flags[place]:
                found.drop()
        return found

    def dropped(self) -> Sequence[bool]:
        flags = [*map(bool, self.flags)]
        for place, each in self.held.items():
            flags[place] = each.dropped
        return flags

    def drop(self, which: Sequence[bool]) -> None:
        self.flags = bytearray(map(or_, self.flags, which))
        for place, each in self.held.items():
            if which[place]:
                each.drop()
