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
    ``end`` is in ``source`` from ``at`` on. All else is zero. ``known`` is what ``used`` finds,
    where that has been found and the source cannot change. Two are equal if their types and all
    bytes are.
    """

    type: MemoryType
    size: int
    source: bytes | Raw
    runs: tuple[tuple[int, int, int], ...]
    known: tuple[Range, ...] | None = None

    @classmethod
    def of(cls, type: MemoryType, data: bytes | Raw) -> MemoryImage:
        """An image of all of ``data``, which is not copied."""
        return cls(type, len(data), data, ((0, len(data), 0),) if data else ())

    def read(self, start: int, end: int) -> bytes:
        """A copy of the bytes from ``start`` to ``end``, as far as there are so many."""
        end = min(end, self.size)
        parts: list[bytes | bytearray] = []
        for low, high, at in self.between(start, end):
            if low > start:
                parts.append(bytes(low - start))
            parts.append(self.source[at : at + high - low])
            start = high
        if start < end:
            parts.append(bytes(end - start))
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
        if self.known is not None:
            return list(self.known)
        found: list[Range] = []
        start = end = after = -1
        for low, high, at in self._used_parts():
            if end >= 0 and low // BLOCK > (end - 1) // BLOCK + 1:
                found.append((start, end - self._zeros_before(after)))
                end = -1
            if end < 0:
                start = low + self._zeros_from(at)
            end, after = high, at + high - low
        if end >= 0:
            found.append((start, end - self._zeros_before(after)))
        return found

    def _used_parts(self) -> Iterator[tuple[int, int, int]]:
        """The parts that have no block that is all zero, as runs: in order, but two that touch may
        be one, and those of two runs may be of one block."""
        for low, high, at in self.runs:
            yield from used_parts(self.source, low, high, at)

    def _zeros_from(self, at: int) -> int:
        """How many zeros the source has from ``at`` on, in a block that is not all zero."""
        block = self.source[at : at + BLOCK]
        return len(block) - len(block.lstrip(b"\0"))

    def _zeros_before(self, at: int) -> int:
        """How many zeros the source has before ``at``, in a block that is not all zero."""
        block = self.source[max(0, at - BLOCK) : at]
        return len(block) - len(block.rstrip(b"\0"))

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


def used_parts(
    source: bytes | Raw, start: int, end: int, at: int
) -> Iterator[tuple[int, int, int]]:
    """Of a memory whose part from ``start`` to ``end`` is in ``source`` from ``at`` on, the parts
    that have no block that is all zero, as runs. Long ones come in several."""
    shift = at - start
    while start < end:
        stop = min((start // _WINDOW + 1) * _WINDOW, end)
        window = source[start + shift : stop + shift]
        if window != _ZERO_WINDOW[: stop - start]:
            for low, high in _used_within(window, start % BLOCK):
                yield start + low, start + high, start + shift + low
        start = stop


def _used_within(window: bytes | bytearray, offset: int) -> Iterator[Range]:
    """Where the parts of ``window`` are that have no block that is all zero. The first byte is at
    ``offset`` in its block."""
    size = len(window)
    first = -1
    low, high = 0, min(BLOCK - offset, size)
    while low < size:
        # A byte says it of most blocks that are not.
        if window[low] or window[low:high] != _ZERO_BLOCK[: high - low]:
            if first < 0:
                first = low
        elif first >= 0:
            yield first, low
            first = -1
        low, high = high, min(high + BLOCK, size)
    if first >= 0:
        yield first, size
