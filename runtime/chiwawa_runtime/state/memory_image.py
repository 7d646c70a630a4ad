"""A memory of a snapshot: its size, and where in some bytes the parts are that may not be zero.

What a program never wrote to takes no room here, whether the bytes are a running program's memory
or a checkpoint's file. It knows neither instances nor the file's format.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from chiwawa_runtime.state.reserve import Raw
from chiwawa_runtime.state.types import MemoryType

#: Memories are divided into blocks of so many bytes to see which parts are zero.
BLOCK = 4096
#: So many bytes at most are copied or compared at once.
PIECE = 1 << 20
_WINDOW = 1 << 18
_ZERO_WINDOW = bytes(_WINDOW)
_ZERO_BLOCK = bytes(BLOCK)

#: Part of a memory: its first address, and the first after it.
Range = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class MemoryImage:
    """``type`` is as declared, ``size`` in bytes, a multiple of the page.

    ``runs`` are (start, end, at), in order and apart: what lies there from address ``start`` up to
    ``end`` is in ``source`` from ``at`` on. All else is zero. Two are equal if their types and all
    bytes are.
    """

    type: MemoryType
    size: int
    source: bytes | Raw
    runs: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, type: MemoryType, data: bytes | Raw) -> MemoryImage:
        """An image of all of ``data``, which is not copied."""
        return cls(type, len(data), data, ((0, len(data), 0),) if data else ())

    def read(self, start: int, end: int) -> bytes:
        """A copy of the bytes from ``start`` to ``end``, as far as there are so many."""
        end = min(end, self.size)
        parts = []
        for low, high, at in self.between(start, end):
            parts += [bytes(low - start), self.source[at : at + high - low]]
            start = high
        parts.append(bytes(max(0, end - start)))
        return b"".join(parts)

    def between(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """What of the runs lies from ``start`` to ``end``, as runs."""
        for index in range(bisect_right(self.runs, start, key=itemgetter(1)), len(self.runs)):
            low, high, at = self.runs[index]
            if low >= end:
                break
            within = max(low, start)
            yield within, min(high, end), at + within - low

    def pieces(self, ranges: Iterable[Range] | None = None) -> Iterator[tuple[int, bytes]]:
        """Addresses, and what is there in ``ranges``, or in the runs: a ``PIECE`` at most."""
        for start, end in [(a, b) for a, b, _ in self.runs] if ranges is None else ranges:
            for low in range(start, end, PIECE):
                yield low, self.read(low, min(low + PIECE, end))

    def used(self) -> list[Range]:
        """The maximal runs of blocks that are not all zero, less the zeros at both ends of each. A
        page that was never written to still takes no memory after this."""
        found: list[Range] = []
        first = last = -1
        start = end = 0
        for low, high, at in self.runs:
            for block in used_blocks(self.source, low, high, at):
                if first >= 0 and block > last + 1:
                    found.append((start, end))
                    first = -1
                here = max(block * BLOCK, low)
                stop = min((block + 1) * BLOCK, high)
                content = self.source[at + here - low : at + stop - low]
                if first < 0:
                    first = block
                    start = stop - len(content.lstrip(b"\0"))
                last = block
                end = here + len(content.rstrip(b"\0"))
        if first >= 0:
            found.append((start, end))
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MemoryImage):
            return NotImplemented
        if (self.type, self.size) != (other.type, other.size):
            return False
        return all(
            self.read(low, high) == other.read(low, high) for low, high in either(self, other)
        )

    def __hash__(self) -> int:
        return hash((self.type, self.size))

    def __repr__(self) -> str:
        return f"<image of {self.size} bytes>"


def either(a: MemoryImage, b: MemoryImage) -> Iterator[Range]:
    """The parts of a memory that may not be zero in one of the two, as far as both go: in order, a
    ``PIECE`` at most."""
    size = min(a.size, b.size)
    done = 0
    for start, end, _ in sorted((*a.runs, *b.runs)):
        for low in range(max(start, done), min(end, size), PIECE):
            yield low, min(low + PIECE, end, size)
        done = max(done, end)


def used_blocks(source: bytes | Raw, start: int, end: int, at: int) -> Iterator[int]:
    """The numbers of the blocks that are not all zero of a memory whose part from ``start`` to
    ``end`` is in ``source`` from ``at`` on, and the rest zero."""
    shift = at - start
    while start < end:
        stop = min((start // _WINDOW + 1) * _WINDOW, end)
        if source[start + shift : stop + shift] != _ZERO_WINDOW[: stop - start]:
            while start < stop:
                next_ = min((start // BLOCK + 1) * BLOCK, stop)
                if source[start + shift : next_ + shift] != _ZERO_BLOCK[: next_ - start]:
                    yield start // BLOCK
                start = next_
        start = stop
