"""A linear memory and the data segments that fill it (spec 4.2.8, 4.4.7).

A memory is one ``bytearray`` that grows in place and is never replaced, so whoever holds it keeps
a live alias; it is never exported as a memoryview, because an export forbids growing. This module
knows nothing of instances or of how code is run.
"""

from __future__ import annotations

from chiwawa_runtime.errors import Trap
from chiwawa_runtime.types import PAGE, MemoryType

#: What memory.grow and table.grow return when they refuse: -1 as i32.
REFUSED = 0xFFFFFFFF
#: Pages of a 32-bit memory (spec 3.2.1).
MAX_PAGES = 65536
# A fill is done in pieces, so that filling a large memory does not hold it twice.
_PIECE = 1 << 20


def out_of_bounds() -> Trap:
    return Trap("out of bounds memory access")


class DataSegment:
    """A data instance (spec 4.2.11). Dropping it leaves it empty."""

    __slots__ = ("data", "dropped")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.dropped = False

    def drop(self) -> None:
        self.data = b""
        self.dropped = True


class Memory:
    """A memory instance. ``type`` is as declared; the size is that of ``data``."""

    __slots__ = ("data", "type")

    def __init__(self, type: MemoryType, data: bytearray | None = None) -> None:
        """A memory of the minimal size, zeroed, or one that takes over ``data``, whose length is a
        multiple of the page. Raises MemoryError where the host has not so much."""
        self.type = type
        self.data = bytearray(type.limits.min * PAGE) if data is None else data

    def size(self) -> int:
        """In pages."""
        return len(self.data) // PAGE

    def grow(self, pages: int) -> int:
        """Spec 4.4.7, memory.grow: the old size in pages, or ``REFUSED``."""
        old = len(self.data) // PAGE
        limit = self.type.limits.max
        if old + pages > (MAX_PAGES if limit is None else min(limit, MAX_PAGES)):
            return REFUSED
        try:
            # Bytes, not a bytearray: `extend` copies through an iterator on some Pythons.
            self.data += bytes(pages * PAGE)
        except MemoryError:
            return REFUSED
        return old

    def fill(self, dst: int, value: int, n: int) -> None:
        """Spec 4.4.7, memory.fill: ``n`` bytes at ``dst`` become the low byte of ``value``."""
        data = self.data
        end = dst + n
        if end > len(data):
            raise out_of_bounds()
        byte = bytes((value & 0xFF,))
        if n <= _PIECE:
            data[dst:end] = byte * n
            return
        piece = byte * _PIECE
        while end - dst >= _PIECE:
            data[dst : dst + _PIECE] = piece
            dst += _PIECE
        data[dst:end] = byte * (end - dst)

    def copy(self, source: Memory, dst: int, src: int, n: int) -> None:
        """Spec 4.4.7, memory.copy: from ``source`` at ``src`` to this one at ``dst``, as if
        through a buffer. Both ranges are checked before any byte is written."""
        if dst + n > len(self.data) or src + n > len(source.data):
            raise out_of_bounds()
        self.data[dst : dst + n] = source.data[src : src + n]

    def init(self, segment: DataSegment, dst: int, src: int, n: int) -> None:
        """Spec 4.4.7, memory.init: ``n`` bytes of ``segment`` from ``src`` go to ``dst``."""
        if dst + n > len(self.data) or src + n > len(segment.data):
            raise out_of_bounds()
        self.data[dst : dst + n] = segment.data[src : src + n]

    def read(self, address: int, n: int) -> bytes:
        """For hosts: a copy of ``n`` bytes. Traps out of bounds."""
        if address < 0 or n < 0 or address + n > len(self.data):
            raise out_of_bounds()
        return bytes(self.data[address : address + n])

    def write(self, address: int, data: bytes | bytearray) -> None:
        """For hosts: put ``data`` at ``address``. Traps out of bounds."""
        if address < 0 or address + len(data) > len(self.data):
            raise out_of_bounds()
        self.data[address : address + len(data)] = data
