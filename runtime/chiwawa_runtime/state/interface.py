"""Memories, tables and globals as everybody sees them who is not the engine that owns them, and who
makes them (spec 4.2.7 to 4.2.9).

An engine owns the state that its functions run over. Where that is, and whether it moves when it
grows, is the owner's business alone: WASI, capture and restore, instruments, the debugger and hosts
use what is declared here, and keep no view of a memory for longer than they look at it. The state
of the interpreter and of generated code is in ``memory``, ``table`` and ``globals``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from chiwawa_runtime.errors import ResourceError
from chiwawa_runtime.state.allowance import Allowance, Allowances
from chiwawa_runtime.state.data_segments import DataSegments
from chiwawa_runtime.state.holders import Holders
from chiwawa_runtime.state.memory_data import MemoryData
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.types import GlobalType, Limits, MemoryType, TableType

#: What memory.grow and table.grow return when they refuse, where addresses are of type i32: -1.
REFUSED = 0xFFFFFFFF


def refused(limits: Limits) -> int:
    """The same for what has these limits: -1 as an address."""
    return (1 << limits.address.bits) - 1


class AnyMemory(ABC):
    """A memory instance, whoever owns its bytes. ``type`` is as declared, addresses and lengths are
    in bytes; an address is an i32 (or i64), so ``read`` and ``write`` take it in either form. Every
    method may be called at any time, and sees what the program has written.

    >>> instance = chiwawa.instantiate(chiwawa.load('(module (memory (export "memory") 1))'))
    >>> memory = instance.memory()
    >>> memory.write(16, b"abcd")
    >>> memory.read(16, 4)
    b'abcd'
    """

    __slots__ = ()

    type: MemoryType
    #: Whoever wants it to grow is to have these allow it, in bytes.
    allowances: Allowances

    @property
    @abstractmethod
    def data(self) -> MemoryData:
        """All its bytes, for hosts, also after it has grown."""

    @abstractmethod
    def size(self) -> int:
        """In pages."""

    @abstractmethod
    def byte_length(self) -> int:
        """In bytes."""

    def unsigned(self, address: int) -> int:
        """What a negative address means."""
        return address + (1 << self.type.limits.address.bits)

    def __repr__(self) -> str:
        return f"<memory of {self.byte_length()} bytes>"

    @abstractmethod
    def read(self, address: int, n: int) -> bytes:
        """A copy of ``n`` bytes. Traps out of bounds."""

    @abstractmethod
    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Put ``data`` at ``address``, all or nothing. Traps out of bounds."""

    def scatter(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Put each of ``pieces``, an address and bytes, in its place, one after the other; each is
        there before the next is asked for. Traps at the first that is out of bounds. An owner may
        have a faster way."""
        for address, data in pieces:
            self.write(address, data)

    def gather(self, ranges: Sequence[tuple[int, int]]) -> bytes:
        """A copy of what is in ``ranges``, addresses and lengths, one after the other. Traps out of
        bounds. An owner may have a faster way."""
        return b"".join([self.read(address, n) for address, n in ranges])

    @abstractmethod
    def view(self) -> memoryview:
        """Its bytes without a copy, writable. Nobody may use it any more once the memory has grown,
        which an owner prevents where it can."""

    def grow(self, pages: int) -> int:
        """Add ``pages``, zeroed: the old size in pages. Raises ResourceError where that is refused
        (beyond its type's maximum, or what the host allows; or the machine has not so much), as
        ``AnyTable.grow`` does, and ValueError for a negative number. A program gets -1 instead.

        >>> module = chiwawa.load('(module (memory (export "memory") 1 2))')
        >>> memory = chiwawa.instantiate(module).memory()
        >>> memory.grow(1), memory.size()
        (1, 2)
        >>> memory.grow(1)
        Traceback (most recent call last):
        chiwawa_runtime.errors.ResourceError: a memory of 2 pages cannot grow by 1
        """
        before = self.try_grow(pages)
        if pages and before == refused(self.type.limits):
            raise ResourceError(f"a memory of {self.size()} pages cannot grow by {pages}")
        return before

    @abstractmethod
    def try_grow(self, pages: int) -> int:
        """Spec 4.4.7, memory.grow: the old size in pages, or what ``refused`` gives."""

    @abstractmethod
    def fill(self, dst: int, value: int, n: int) -> None:
        """Spec 4.4.7, memory.fill: ``n`` bytes at ``dst`` become the low byte of ``value``."""

    @abstractmethod
    def copy(self, source: AnyMemory, dst: int, src: int, n: int) -> None:
        """Spec 4.4.7, memory.copy: from ``source``, which may be of another owner, at ``src`` to
        this one at ``dst``, as if through a buffer."""

    @abstractmethod
    def image(self) -> MemoryImage:
        """What it holds, for a checkpoint, which is not copied: the image is of no use when the
        program has gone on. No view of the memory outlives the use of it."""

    @abstractmethod
    def reset(self, size: int, *, fresh: bool) -> None:
        """For a restore: make it ``size`` bytes, all zero, which they are already as far as they
        are there if it is ``fresh``. Raises ResourceError where the machine has not so much memory,
        and CheckpointError where somebody holds a view of what would have to move."""


class AnyTable(ABC):
    """A table instance, whoever owns its elements. ``type`` is as declared. References are None,
    ``Function`` objects, or what the host put there, each the same object for as long as it is
    there. Indices and numbers of elements are given as an i32 is, or an i64 where its addresses are
    such; TypeError and ValueError are raised for what is none, and for references that the table
    cannot hold.

    >>> module = chiwawa.load('(module (table (export "table") 1 2 funcref))')
    >>> table = chiwawa.instantiate(module).exports["table"]
    >>> table.grow(1, None), table.size()
    (1, 2)
    """

    __slots__ = ()

    type: TableType
    #: Whoever wants it to grow is to have these allow it, in elements.
    allowances: Allowances
    #: The instances that have it.
    holders: Holders

    def __repr__(self) -> str:
        return f"<table of {self.size()} {self.type.element}>"

    @abstractmethod
    def size(self) -> int:
        """Spec 4.4.6, table.size: in elements."""

    @abstractmethod
    def get(self, index: int) -> Any:
        """An element. Traps out of bounds."""

    @abstractmethod
    def set(self, index: int, ref: object) -> None:
        """Put ``ref`` at ``index``. Traps out of bounds."""

    @abstractmethod
    def grow(self, n: int, ref: object = None) -> int:
        """Add ``n`` elements ``ref``: the old size. Raises ResourceError where that is refused.

        >>> module = chiwawa.load('(module (table (export "table") 2 4 externref))')
        >>> table = chiwawa.instantiate(module).table("table")
        >>> table.grow(2, "new"), table.elements
        (2, (None, None, 'new', 'new'))
        """

    def grown(self, before: int, n: int) -> int:
        """``before``, which ``try_grow`` has given for ``n``. Raises ResourceError where that is
        what ``refused`` gives."""
        if n and before == refused(self.type.limits):
            raise ResourceError(f"a table of {self.size()} elements cannot grow by {n}")
        return before

    @abstractmethod
    def try_grow(self, n: int, ref: object) -> int:
        """Spec 4.4.6, table.grow, of values as a program holds them: the old size, or what
        ``refused`` gives."""

    @abstractmethod
    def fill(self, index: int, ref: object, n: int) -> None:
        """Put ``ref`` at ``index`` and after, ``n`` times. Traps out of bounds."""

    @abstractmethod
    def copy(self, source: AnyTable, dst: int, src: int, n: int) -> None:
        """Copy ``n`` elements of ``source``, which may be of another owner, from ``src`` on, to
        ``dst``. Traps out of bounds."""

    @property
    @abstractmethod
    def elements(self) -> tuple[Any, ...]:
        """A copy of all."""

    @abstractmethod
    def place(self, index: int, refs: Sequence[object]) -> None:
        """Put ``refs``, which are of the table's type, at ``index`` and after, all or none. Traps
        out of bounds."""

    def begin(self, ref: object) -> None:
        """A new one is full of ``ref``, which is of its type."""
        self.place(0, [ref] * self.size())

    @abstractmethod
    def reset(self, elements: Sequence[object]) -> None:
        """For a restore: have ``elements`` instead of those that are there. They are of the table's
        type, and as many as it may have."""


class AnyGlobal(ABC):
    """A global instance, whoever owns its value.

    >>> module = chiwawa.load('(module (global (export "total") (mut i32) (i32.const 7)))')
    >>> total = chiwawa.instantiate(module).exports["total"]
    >>> total.value += 1
    >>> total.value
    8
    """

    __slots__ = ()

    type: GlobalType
    #: The instances that have it.
    holders: Holders

    def __repr__(self) -> str:
        return f"<global {self.type} {self.value!r}>"

    @property
    @abstractmethod
    def value(self) -> Any:
        """For hosts. i32 and i64 are ints, given in either form, and returned signed. To set
        it raises TypeError where the global is immutable or the value of another type, and
        ValueError where it is out of range."""

    @value.setter
    @abstractmethod
    def value(self, value: object) -> None: ...

    @abstractmethod
    def get(self) -> Any:
        """As a program holds it: an i32 or i64 is unsigned, and may be a bool."""

    @abstractmethod
    def reset(self, value: object) -> None:
        """For a restore: have ``value``, which is as ``get`` gives it and of the global's type,
        even where the global is immutable."""


class StateOwner(Protocol):
    """Makes what an instance of its engine defines, and says what the instance may import."""

    def new_memories(self, types: Sequence[MemoryType]) -> Sequence[AnyMemory]:
        """Memories of their minimal sizes, zeroed. Raises ResourceError."""

    def new_tables(self, types: Sequence[TableType]) -> Sequence[AnyTable]:
        """Tables of their minimal sizes, full of null. Raises UnsupportedError."""

    def new_datas(self, contents: Sequence[bytes]) -> DataSegments:
        """Data segments with these bytes, none of them dropped."""

    def new_global(self, type: GlobalType, value: object) -> AnyGlobal:
        """A global with ``value``, as a program holds it."""

    def accepts(self, given: AnyMemory | AnyTable | AnyGlobal) -> bool:
        """Whether functions of the engine can run over ``given``, which another owner may have
        made."""

    def limit(self, things: Sequence[AnyMemory] | Sequence[AnyTable], allowance: Allowance) -> None:
        """Have ``things``, the memories or the tables of its instance, grow as far as is allowed.
        Raises UnsupportedError."""
