"""The bytes of a memory, as hosts see them.

``MemoryData`` holds no bytes: it asks for them whenever it is used, so it stays right when the
memory grows, whoever owns it and wherever its bytes have gone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Protocol, SupportsIndex, overload


class HasRaw(Protocol):
    """What knows where a memory's bytes are at present."""

    @property
    def raw(self) -> Any:
        """A ``bytearray``, a map, a writable ``memoryview`` of bytes: what a memory's owner has."""


class MemoryData:
    """The bytes of a memory, for hosts: what a ``bytearray`` is but for its length, which only
    ``memory.grow`` changes. It is right after that, too, since it looks at the memory whenever it
    is used::

        data = instance.memory().data
        data[16:20] = b"abcd"  # ValueError unless as many bytes as the slice has
        data[20] = 255
        data.pack_into("<Id", 24, 7, 0.5)
        number, half = data.unpack_from("<Id", 24)
        text = data[16:20].decode()  # a slice is ``bytes``, a copy

    Raises IndexError, TypeError, ValueError and struct.error as a ``bytearray`` does. A
    ``memoryview`` of it is one of the memory, as ``Memory.view`` is.
    """

    __slots__ = ("_memory",)

    def __init__(self, memory: HasRaw) -> None:
        self._memory = memory

    def __len__(self) -> int:
        return len(self._memory.raw)

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> bytes: ...
    def __getitem__(self, index: SupportsIndex | slice) -> int | bytes:
        if isinstance(index, slice):
            return bytes(self._memory.raw[index])
        return self._memory.raw[index]  # type: ignore[no-any-return]

    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        raw = self._memory.raw
        if not isinstance(index, slice):
            raw[index] = value
            return
        value = octets(value)
        size = len(range(*index.indices(len(raw))))
        if len(value) != size:
            raise ValueError(f"a memory keeps its size: {len(value)} bytes for a slice of {size}")
        raw[index] = value

    def __iter__(self) -> Iterator[int]:
        return (self[i] for i in range(len(self)))

    def __bytes__(self) -> bytes:
        return self[:]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MemoryData):
            return self._memory is other._memory or self[:] == other[:]
        if isinstance(other, bytes | bytearray | memoryview):
            return len(self) == len(other) and self[:] == other
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} bytes of memory>"

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self._memory.raw)

    def unpack_from(self, format: str, address: int = 0) -> tuple[Any, ...]:
        """What ``struct.unpack_from`` reads there; a memory's own order is ``"<"``."""
        return struct.unpack_from(format, self._memory.raw, address)

    def pack_into(self, format: str, address: int, *values: Any) -> None:
        """Have ``struct.pack_into`` write there."""
        struct.pack_into(format, self._memory.raw, address, *values)


def octets(value: Any) -> bytes:
    """The bytes of what has a buffer. Nothing else has as many items as bytes, and a slice that is
    given fewer or more changes the size of a ``bytearray``. Raises TypeError for what has none."""
    return value if type(value) is bytes else bytes(memoryview(value))
