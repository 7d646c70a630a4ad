"""A linear memory whose bytes Python holds (spec 4.2.8, 4.4.7).

How its bytes are held is ``reserve``'s business. This module knows nothing of instances or of how
code is run: an engine that holds on to ``raw`` is told when it has a successor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakSet

from chiwawa_runtime.errors import CheckpointError, ResourceError, Trap
from chiwawa_runtime.state.allowance import Allowances
from chiwawa_runtime.state.data_segments import DataSegment
from chiwawa_runtime.state.interface import AnyMemory, refused
from chiwawa_runtime.state.memory_data import MemoryData, octets
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.reserve import HAS_BUFFER_CLASSES, LAZY, Raw, grow, reserve
from chiwawa_runtime.state.types import PAGE, MemoryType

# A fill or a copy is done in pieces, so that a large one does not hold the memory twice.
_PIECE = 1 << 20
_ZERO_PAGE = bytes(PAGE)


def out_of_bounds() -> Trap:
    return Trap("out of bounds memory access")


def most_pages(type: MemoryType) -> int:
    """As many pages may a memory have."""
    return type.most_pages if type.limits.max is None else type.limits.max


def too_large(type: MemoryType, size: int) -> ResourceError:
    pages = size // type.page
    return ResourceError(f"not enough memory: a memory of {pages} pages takes {size} bytes")


class Holder(Protocol):
    """What holds the ``raw`` of memories."""

    def take_memories(self) -> None:
        """Look at ``Memory.raw`` anew."""


class Memory(AnyMemory):
    """A memory instance. ``type`` is as declared; the size is that of its bytes.

    Hosts use ``data``, ``read``, ``write`` and ``view``. ``raw`` is for the engines whose functions
    run over it: as it has a successor where a memory becomes large, they ``follow``.

    >>> from chiwawa_runtime.state.types import Limits, MemoryType
    >>> memory = chiwawa.Memory(MemoryType(Limits(1, 2)))
    >>> memory.write(0, b"abc")
    >>> memory.grow(1), memory.read(0, 3), memory.size()
    (1, b'abc', 2)
    """

    __slots__ = ("_guard", "_holders", "allowances", "raw", "type")

    def __init__(
        self,
        type: MemoryType,
        data: bytes | bytearray | memoryview | None = None,
        *,
        lazy: bool = False,
    ) -> None:
        """A memory of the minimal size, zeroed, or one with a copy of ``data``, whose length is a
        multiple of the page. ``lazy`` where it is one of several that are large together. Raises
        ResourceError where the machine has not so much memory, and ValueError where ``data`` has
        a size that the memory cannot have."""
        self.type = type
        if data is not None:
            data = octets(data)
        size = type.limits.min * type.page if data is None else len(data)
        pages, rest = divmod(size, type.page)
        if rest or not type.limits.min <= pages <= most_pages(type):
            raise ValueError(f"{size} bytes are no pages within the limits {type}")
        try:
            self.raw: Raw = reserve(size, lazy=lazy)
        except MemoryError:
            raise too_large(type, size) from None
        if data is not None:
            self.raw[:] = data
        self._guard: memoryview | None = None
        self._keep_size()
        self._holders: WeakSet[Holder] = WeakSet()
        self.allowances = Allowances()

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, (self.type, bytearray(self.raw))

    @property
    def data(self) -> MemoryData:
        """Its bytes, for hosts, also after the memory has grown.

        CPython 3.11 has no buffers that are classes. There it is the very buffer, which can do the
        same, but for this: it raises BufferError where its size would change, and it is empty once
        the memory has grown beyond 64 MiB, and is to be taken anew.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> memory.data[8:11] = b"abc"
        >>> bytes(memory.data[7:12]), memory.data[8]
        (b'\\x00abc\\x00', 97)
        """
        if HAS_BUFFER_CLASSES:
            return MemoryData(self)
        return self.raw  # type: ignore[return-value]

    def _keep_size(self) -> None:
        """Have nobody but this change the size of what ``data`` gives."""
        if not HAS_BUFFER_CLASSES:
            self._guard = memoryview(self.raw)

    def view(self) -> memoryview:
        """Its bytes without a copy, for ``numpy.frombuffer`` and the like. While the view lives, or
        what was made of it, the memory cannot grow: ``memory.grow`` gives the program -1. (PyPy
        has no such bond: there the memory grows, and the view goes on being of it.)

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> with memory.view() as view:
        ...     view[0] = 7
        ...     halves = view.cast("H")
        ...     halves[0]
        ...     halves.release()
        7
        """
        return memoryview(self.raw)

    def follow(self, holder: Holder) -> None:
        """Have ``holder`` told when ``raw`` is another object. This keeps no holder alive."""
        self._holders.add(holder)

    def size(self) -> int:
        """In pages.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> memory.size()
        1
        """
        return len(self.raw) // self.type.page

    def byte_length(self) -> int:
        """In bytes.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> memory.byte_length()
        65536
        """
        return len(self.raw)

    def try_grow(self, pages: int) -> int:
        """Spec 4.4.7, memory.grow: the old size in pages, or what ``refused`` gives, also while
        somebody holds a ``view``.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> memory.grow(2), memory.size()
        (1, 3)
        """
        if pages < 0:
            raise ValueError("a memory cannot shrink")
        old = self.size()
        limits = self.type.limits
        if old + pages > most_pages(self.type):
            return refused(limits)
        if not pages:
            return old
        if not self.allowances.allow(pages * self.type.page):
            return refused(limits)
        try:
            self._grow_to((old + pages) * self.type.page)
        except (MemoryError, BufferError):
            return refused(limits)
        return old

    def _grow_to(self, size: int) -> None:
        if self._guard is not None:
            self._guard.release()
        try:
            self._take(grow(self.raw, size))
        finally:
            self._keep_size()

    def image(self) -> MemoryImage:
        """All its bytes as they are now, not copied."""
        return MemoryImage.of(self.type, self.raw)

    def reset(self, size: int, *, fresh: bool) -> None:
        """For a restore: make it ``size`` bytes, all zero, which they are already as far as they
        are there if it is ``fresh``. Raises ResourceError, and CheckpointError where somebody
        holds a view of what would have to move."""
        raw = self.raw
        if not fresh:
            for start in range(0, len(raw), PAGE):
                if raw[start : start + PAGE] != _ZERO_PAGE:
                    end = min(start + PAGE, len(raw))
                    raw[start:end] = bytes(end - start)
        try:
            if size > len(raw):
                self._grow_to(size)
            elif size < len(raw):
                self._take(reserve(size))
                self._keep_size()
        except MemoryError:
            raise too_large(self.type, size) from None
        except BufferError:
            raise CheckpointError("somebody holds a view of a memory that has to grow") from None

    def _take(self, raw: Raw) -> None:
        if raw is not self.raw:
            self.raw = raw
            for holder in list(self._holders):
                holder.take_memories()

    def fill(self, dst: int, value: int, n: int) -> None:
        """Spec 4.4.7, memory.fill: ``n`` bytes at ``dst`` become the low byte of ``value``.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> memory.fill(4, ord("x"), 3)
        >>> memory.read(3, 5)
        b'\\x00xxx\\x00'
        """
        raw = self.raw
        end = dst + n
        if not 0 <= dst <= end <= len(raw):
            raise out_of_bounds()
        byte = bytes((value & 0xFF,))
        if n <= _PIECE:
            raw[dst:end] = byte * n
            return
        piece = byte * _PIECE
        while end - dst >= _PIECE:
            raw[dst : dst + _PIECE] = piece
            dst += _PIECE
        raw[dst:end] = byte * (end - dst)

    def copy(self, source: AnyMemory, dst: int, src: int, n: int) -> None:
        """Spec 4.4.7, memory.copy: from ``source`` at ``src`` to this one at ``dst``, as if
        through a buffer. Both ranges are checked before any byte is written.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> memory.write(0, b"abc")
        >>> memory.copy(memory, 1, 0, 3)
        >>> memory.read(0, 4)
        b'aabc'
        """
        raw = self.raw
        given = source.raw if isinstance(source, Memory) else source.view()
        if not (0 <= dst <= dst + n <= len(raw) and src >= 0 and src + n <= len(given)):
            raise out_of_bounds()
        if n <= _PIECE:
            raw[dst : dst + n] = given[src : src + n]
            return
        # From the end, where what is still to be read would be written over.
        starts = range(0, n, _PIECE)
        for at in starts if dst <= src else reversed(starts):
            size = min(_PIECE, n - at)
            raw[dst + at : dst + at + size] = given[src + at : src + at + size]

    def init(self, segment: DataSegment, dst: int, src: int, n: int) -> None:
        """Spec 4.4.7, memory.init: ``n`` bytes of ``segment`` from ``src`` go to ``dst``."""
        raw, given = self.raw, segment.data
        if not (0 <= dst <= dst + n <= len(raw) and src >= 0 and src + n <= len(given)):
            raise out_of_bounds()
        raw[dst : dst + n] = given[src : src + n]

    def read(self, address: int, n: int) -> bytes:
        """For hosts: a copy of ``n`` bytes. Traps out of bounds.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> memory.read(65535, 1)
        b'\\x00'
        >>> memory.read(65535, 2)
        Traceback (most recent call last):
        chiwawa_runtime.errors.Trap: out of bounds memory access
        """
        raw = self.raw
        if address < 0:
            address = self.unsigned(address)
        end = address + n
        if address < 0 or n < 0 or end > len(raw):
            raise out_of_bounds()
        return bytes(raw[address:end])

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """For hosts: put ``data`` at ``address``. Traps out of bounds.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 3))')
        >>> memory = chiwawa.instantiate(module).memory("memory")
        >>> memory.write(0, bytearray(b"abc"))
        >>> memory.read(0, 3)
        b'abc'
        """
        # Nearly everyone gives bytes.
        if type(data) is not bytes:
            data = octets(data)
        raw = self.raw
        if address < 0:
            address = self.unsigned(address)
        end = address + len(data)
        if address < 0 or end > len(raw):
            raise out_of_bounds()
        raw[address:end] = data

    def gather(self, ranges: Sequence[tuple[int, int]]) -> bytes:
        if len(ranges) == 1:
            return self.read(*ranges[0])
        raw = self.raw
        size = len(raw)
        for address, n in ranges:
            if address < 0 or n < 0 or address + n > size:
                raise out_of_bounds()
        return b"".join([raw[address : address + n] for address, n in ranges])


def new_memories(types: Sequence[MemoryType]) -> list[Memory]:
    """Memories of their minimal sizes, lazy where they are large together. Raises ResourceError."""
    lazy = sum(t.limits.min * t.page for t in types) >= LAZY
    return [Memory(t, lazy=lazy) for t in types]
