"""The bytes of a memory, as Python holds them: how they are reserved, and how they grow.

Small ones are a ``bytearray``. From ``LAZY`` bytes on, CPython on Linux gets an anonymous map,
which takes memory where it is written to and nowhere else. Both behave alike as far as generated
code and handlers go: an index out of bounds is an IndexError, ``struct`` raises its own error, and
a slice is assigned one of the same length. They differ in what nobody may rely on: a map's slices
are ``bytes``, it has no ``startswith``, compares by identity, and cannot be pickled.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

from chiwawa_runtime.state.types import PAGE

if TYPE_CHECKING:
    from mmap import mmap

#: The bytes of a memory.
Raw: TypeAlias = "bytearray | mmap"

#: From so many bytes on a memory is reserved lazily: to zero fewer takes a tenth of a second at
#: most, and each access of a byte is a tenth faster without.
LAZY = 64 << 20
#: PyPy reads maps three to fifty times more slowly than a bytearray; elsewhere they cannot grow.
CAN_MAP = sys.platform == "linux" and sys.implementation.name == "cpython"
#: Whether a class written in Python can be a buffer.
HAS_BUFFER_CLASSES = sys.version_info >= (3, 12) or sys.implementation.name == "pypy"
# Zeros are added to a bytearray in pieces, so that it is not there twice.
_PIECE = 16 << 20
_ZERO_PAGE = bytes(PAGE)


class _Structured:
    """What ``MemoryData`` has beside what a ``bytearray`` has."""

    __slots__ = ()

    def unpack_from(self, format: str, address: int = 0) -> tuple[Any, ...]:
        return struct.unpack_from(format, self, address)  # type: ignore[arg-type]

    def pack_into(self, format: str, address: int, *values: Any) -> None:
        struct.pack_into(format, self, address, *values)  # type: ignore[arg-type]


class _Bytes(bytearray, _Structured):
    __slots__ = ()


def reserve(size: int, *, lazy: bool = False) -> Raw:
    """``size`` zeros. ``lazy`` where they are part of what is large together. Raises MemoryError
    where the machine has not so much memory."""
    if CAN_MAP and size and (lazy or size >= LAZY):
        return _map(size)
    if size > machine_bytes():
        raise MemoryError
    return bytearray(size) if HAS_BUFFER_CLASSES else _Bytes(size)


def grow(raw: Raw, size: int) -> Raw:
    """``raw`` with zeros behind it, ``size`` bytes in all: ``raw`` itself wherever that can be, or
    its successor, and ``raw`` is then empty, so that whoever still has it finds nothing there
    rather than what is no longer true.

    Raises MemoryError where the machine has not so much memory, and BufferError where something
    holds a view of it; it stays as it was then.
    """
    if not isinstance(raw, bytearray):
        try:
            raw.resize(size)
        except (OSError, OverflowError) as error:
            raise MemoryError from error
        return raw
    old = len(raw)
    if CAN_MAP and size >= LAZY:
        successor = _map(size)
        for start in range(0, old, PAGE):
            if not raw.startswith(_ZERO_PAGE, start):
                end = min(start + PAGE, old)
                successor[start:end] = raw[start:end]
        raw.clear()
        return successor
    if size > machine_bytes():
        raise MemoryError
    try:
        while len(raw) < size:
            # Bytes, not a bytearray: `extend` copies through an iterator on some Pythons.
            raw += bytes(min(size - len(raw), _PIECE))
    except MemoryError:
        del raw[old:]
        raise
    return raw


def _map(size: int) -> mmap:
    import mmap

    # Private: a process that is forked off gets a copy, as of a bytearray. And not MAP_NORESERVE:
    # the system says now that it has not so much, rather than kill this process later.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    made: type[mmap.mmap] = mmap.mmap
    if not HAS_BUFFER_CLASSES:
        made = type("Map", (mmap.mmap, _Structured), {"__slots__": ()})
    try:
        return made(-1, size, flags=flags)
    except (OSError, OverflowError, ValueError) as error:
        raise MemoryError from error


def machine_bytes() -> int:
    """How much memory the machine has, or more than anything takes where it does not say."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        found = 0
    return found if found > 0 else sys.maxsize
