"""The memory of the program that calls, and what of its instance a blocking call watches.

Everything that a program passes by address is read and written through here, and an address out of
bounds is EFAULT. What a function will write is checked before it has any effect. However much a
program asks for, what is held for it at once is bounded by the constants here.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Any

from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state.interface import AnyMemory
from chiwawa_runtime.state.types import I32
from chiwawa_runtime.wasi.abi import (
    FAULT,
    ILSEQ,
    INVAL,
    IOVEC,
    NAMETOOLONG,
    NOENT,
    Layout,
    WasiError,
)

_U32 = Struct("<I")
_U64 = Struct("<Q")
#: Bytes in a path, with the zero that ends it on the host.
PATH_MAX = 4096
#: Buffers that one call looks at, as Linux's IOV_MAX; what is beyond makes the count short.
MAX_VECTORS = 1024
#: Bytes of the program's buffers that are held, or asked of the host, at once.
PIECE = 1 << 20


class Guest:
    """A program as one of its imports sees it. ``memory`` is its memory 0, ``pending`` the list of
    requests to stop, ``layout`` the version of WASI that it calls."""

    __slots__ = ("layout", "memory", "pending")

    def __init__(self, instance: Any, layout: Layout) -> None:
        try:
            self.memory: AnyMemory = instance.memory(0)
        except (IndexError, KeyError, AttributeError):
            raise Trap("the program calls WASI, but has no memory") from None
        if self.memory.type.limits.address is not I32:
            raise Trap("the program calls WASI, but its memory has 64-bit addresses")
        self.pending: list[str] = instance.requests.pending
        self.layout = layout

    def check(self, address: int, n: int) -> None:
        if address + n > self.memory.byte_length():
            raise WasiError(FAULT)

    def read(self, address: int, n: int) -> bytes:
        try:
            return self.memory.read(address, n)
        except Trap:
            raise WasiError(FAULT) from None

    def write(self, address: int, data: bytes) -> None:
        try:
            self.memory.write(address, data)
        except Trap:
            raise WasiError(FAULT) from None

    def unpack(self, structure: Struct, address: int) -> tuple[Any, ...]:
        return structure.unpack(self.read(address, structure.size))

    def put_u32(self, address: int, value: int) -> None:
        # Not by ``write``: most calls end with this.
        try:
            self.memory.write(address, _U32.pack(value))
        except Trap:
            raise WasiError(FAULT) from None

    def put_u64(self, address: int, value: int) -> None:
        self.write(address, _U64.pack(value))

    def iovecs(self, address: int, n: int) -> list[tuple[int, int]]:
        """Buffers as addresses and lengths, all in bounds and none empty.

        Those beyond the first MAX_VECTORS are left out, and so is what would make them longer
        together than the memory, which only overlapping buffers are: the call has a short count
        then. EINVAL where nothing is left though there are more, since 0 would mean the end."""
        end = self.memory.byte_length()
        if address + n * IOVEC.size > end:
            raise WasiError(FAULT)
        left = min(end, 0xFFFFFFFF)
        vectors = []
        given = self.memory.read(address, min(n, MAX_VECTORS) * IOVEC.size)
        for buffer, length in IOVEC.iter_unpack(given):
            if buffer + length > end:
                raise WasiError(FAULT)
            length = min(length, left)
            left -= length
            if length:
                vectors.append((buffer, length))
        if n > MAX_VECTORS and not vectors:
            raise WasiError(INVAL)
        return vectors

    def batches(self, vectors: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        """The buffers cut into groups of PIECE bytes, the last of fewer."""
        batch: list[tuple[int, int]] = []
        room = PIECE
        for address, length in vectors:
            while length >= room:
                yield [*batch, (address, room)]
                address, length = address + room, length - room
                batch, room = [], PIECE
            if length:
                batch.append((address, length))
                room -= length
        if batch:
            yield batch

    def gather(self, vectors: list[tuple[int, int]]) -> bytes:
        """What the buffers hold, in order."""
        return self.memory.gather(vectors)

    def scatter(self, vectors: list[tuple[int, int]], content: bytes) -> None:
        """Fill the buffers in order, as far as ``content`` goes."""
        at = 0
        for address, length in vectors:
            self.memory.write(address, content[at : at + length])
            at += length
            if at >= len(content):
                break

    def path(self, address: int, n: int) -> bytes:
        """A path: ENAMETOOLONG where it is longer than a host's may be, EILSEQ unless it is UTF-8,
        EINVAL with a zero in it, ENOENT if empty."""
        self.check(address, n)
        if n >= PATH_MAX:
            raise WasiError(NAMETOOLONG)
        path = self.read(address, n)
        try:
            path.decode()
        except UnicodeDecodeError:
            raise WasiError(ILSEQ) from None
        if b"\0" in path:
            raise WasiError(INVAL)
        if not path:
            raise WasiError(NOENT)
        return path
