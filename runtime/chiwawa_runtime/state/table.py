"""A table whose elements Python holds, and the element segments that fill it (spec 4.2.7, 4.4.6).

References are whatever the store uses for them; None is null. This module knows nothing of
instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from chiwawa_runtime.errors import Trap, UnsupportedError
from chiwawa_runtime.state.allowance import Allowances
from chiwawa_runtime.state.holders import Holders
from chiwawa_runtime.state.interface import AnyTable, refused
from chiwawa_runtime.state.store import Function, coerce, put
from chiwawa_runtime.state.subtyping import matches
from chiwawa_runtime.state.types import I64, DefType, TableType

#: So many elements may a table have, as engines agree, and all tables that an instance defines
#: together. Beyond it table.grow refuses, as the spec allows a host to.
HOST_LIMIT = 10_000_000


def out_of_bounds() -> Trap:
    return Trap("out of bounds table access")


class Room:
    """How many elements some tables may still take together."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = HOST_LIMIT


class ElemSegment:
    """An element instance (spec 4.2.10). Dropping it leaves it empty."""

    __slots__ = ("dropped", "elements")

    def __init__(self, elements: Sequence[object]) -> None:
        self.elements = list(elements)
        self.dropped = False

    def takes(self, elements: Sequence[object]) -> bool:
        """Whether it can hold these instead of as many."""
        return True

    def drop(self) -> None:
        self.elements = []
        self.dropped = True


class Table(AnyTable):
    """A table instance. ``type`` is as declared.

    What is called raw is for the engines whose functions run over it, and trusts references,
    indices and numbers of elements; the rest is for hosts, and takes them as arguments of a call
    are taken: TypeError and ValueError where they are not of the table's type, or no i32. ``raw``
    is never replaced, so aliases of it stay valid when the table grows.

    >>> from chiwawa_runtime.state.types import EXTERNREF, Limits, TableType
    >>> table = chiwawa.Table(TableType(Limits(2), EXTERNREF), "something of the host's")
    >>> table.size(), table.get(1)
    (2, "something of the host's")
    """

    __slots__ = ("allowances", "holders", "raw", "room", "type")

    def __init__(
        self,
        type: TableType,
        ref: object = None,
        elements: Iterable[object] | None = None,
        room: Room | None = None,
    ) -> None:
        """A table of the minimal size, full of ``ref``, or one with a copy of ``elements``, as many
        as ``type`` allows. It shares ``room`` with others. Raises TypeError and ValueError, and
        UnsupportedError where there is no room."""
        self.type = type
        limits = type.limits
        self.room = Room() if room is None else room
        self.allowances = Allowances()
        self.holders = Holders()
        self.raw: list[Any] = []
        if elements is None:
            self.take(limits.min)
            self.raw = [self.reference(ref)] * limits.min
            return
        self.raw = [self.reference(element) for element in elements]
        if not limits.min <= len(self.raw) <= (HOST_LIMIT if limits.max is None else limits.max):
            raise ValueError(f"{len(self.raw)} elements are outside the table's limits {limits}")
        self.take(len(self.raw))

    def take(self, n: int) -> None:
        """Take room for ``n`` elements. Raises UnsupportedError."""
        if n > self.room.left:
            raise UnsupportedError(f"more than {HOST_LIMIT:,} elements of tables is not supported")
        self.room.left -= n

    def reset(self, elements: Sequence[object]) -> None:
        """Have ``elements``, which are checked, instead of those that are there."""
        self.room.left += len(self.raw) - len(elements)
        self.raw[:] = elements

    def place(self, index: int, refs: Sequence[object]) -> None:
        """Put ``refs``, which are checked, at ``index`` and after. Traps out of bounds."""
        end = index + len(refs)
        if end > len(self.raw):
            raise out_of_bounds()
        self.raw[index:end] = refs

    @property
    def elements(self) -> tuple[Any, ...]:
        """A copy of all.

        >>> module = chiwawa.load('(module (table (export "table") 2 4 externref))')
        >>> table = chiwawa.instantiate(module).table("table")
        >>> table.set(1, "b")
        >>> table.elements
        (None, 'b')
        """
        return tuple(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def reference(self, ref: object) -> Any:
        """``ref``, where the table may hold it. Raises TypeError."""
        return put(ref, self.type.element, self)

    def size(self) -> int:
        """Spec 4.4.6, table.size: in elements.

        >>> module = chiwawa.load('(module (table (export "table") 2 4 externref))')
        >>> table = chiwawa.instantiate(module).table("table")
        >>> table.size()
        2
        """
        return len(self.raw)

    def get(self, index: int) -> Any:
        """An element. Traps out of bounds.

        >>> module = chiwawa.load('(module (table (export "table") 2 4 externref))')
        >>> table = chiwawa.instantiate(module).table("table")
        >>> table.get(1) is None
        True
        >>> table.get(2)
        Traceback (most recent call last):
        chiwawa_runtime.errors.Trap: out of bounds table access
        """
        return self.raw_get(coerce(index, self.type.limits.address))

    def set(self, index: int, ref: object) -> None:
        """Put ``ref`` at ``index``. Traps out of bounds.

        >>> module = chiwawa.load('(module (table (export "table") 2 funcref) (func (export "f")))')
        >>> instance = chiwawa.instantiate(module)
        >>> table = instance.table("table")
        >>> table.set(0, instance.func("f"))
        >>> table.set(1, "no function")
        Traceback (most recent call last):
        TypeError: funcref wants a Function or None, not str
        """
        self.raw_set(coerce(index, self.type.limits.address), self.reference(ref))

    def grow(self, n: int, ref: object = None) -> int:
        n = coerce(n, self.type.limits.address)
        return self.grown(self.try_grow(n, self.reference(ref)), n)

    def fill(self, index: int, ref: object, n: int) -> None:
        """Put ``ref`` at ``index`` and after, ``n`` times. Traps out of bounds.

        >>> module = chiwawa.load('(module (table (export "table") 2 4 externref))')
        >>> table = chiwawa.instantiate(module).table("table")
        >>> table.fill(0, "x", 2)
        >>> table.elements
        ('x', 'x')
        """
        self.raw_fill(
            coerce(index, self.type.limits.address),
            self.reference(ref),
            coerce(n, self.type.limits.address),
        )

    def copy(self, source: AnyTable, dst: int, src: int, n: int) -> None:
        """Copy ``n`` elements of ``source``, from ``src`` on, to ``dst``. Traps out of bounds.

        >>> module = chiwawa.load('(module (table (export "table") 2 4 externref))')
        >>> table = chiwawa.instantiate(module).table("table")
        >>> table.set(0, "a")
        >>> table.copy(table, 1, 0, 1)
        >>> table.elements
        ('a', 'a')
        """
        if not matches(source.type.element, self.type.element):
            raise TypeError(f"a table of {self.type.element} takes no {source.type.element}")
        dst = coerce(dst, self.type.limits.address)
        src = coerce(src, source.type.limits.address)
        n = coerce(n, I64)
        if isinstance(source, Table):
            self.raw_copy(source, dst, src, n)
        elif src + n > source.size():
            raise out_of_bounds()
        else:
            self.place(dst, source.elements[src : src + n])

    def raw_get(self, index: int) -> Any:
        """Spec 4.4.6, table.get."""
        try:
            return self.raw[index]
        except IndexError:
            raise out_of_bounds() from None

    def raw_set(self, index: int, ref: object) -> None:
        """Spec 4.4.6, table.set."""
        try:
            self.raw[index] = ref
        except IndexError:
            raise out_of_bounds() from None

    def try_grow(self, n: int, ref: object) -> int:
        """Spec 4.4.6, table.grow: the old size, or what ``refused`` gives."""
        old = len(self.raw)
        limit = self.type.limits.max
        if n > self.room.left or (limit is not None and old + n > limit):
            return refused(self.type.limits)
        if not self.allowances.allow(n):
            return refused(self.type.limits)
        try:
            self.raw += [ref] * n
        except MemoryError:
            return refused(self.type.limits)
        self.room.left -= n
        return old

    def raw_fill(self, index: int, ref: object, n: int) -> None:
        """Spec 4.4.6, table.fill."""
        if index + n > len(self.raw):
            raise out_of_bounds()
        self.raw[index : index + n] = [ref] * n

    def raw_copy(self, source: Table, dst: int, src: int, n: int) -> None:
        """Spec 4.4.6, table.copy: from ``source`` to this one, as if through a buffer."""
        if dst + n > len(self.raw) or src + n > len(source.raw):
            raise out_of_bounds()
        self.raw[dst : dst + n] = source.raw[src : src + n]

    def raw_init(self, segment: ElemSegment, dst: int, src: int, n: int) -> None:
        """Spec 4.4.6, table.init."""
        if dst + n > len(self.raw) or src + n > len(segment.elements):
            raise out_of_bounds()
        self.raw[dst : dst + n] = segment.elements[src : src + n]


def unfilled(type: TableType, room: Room) -> Table:
    """A table of the minimal size, full of null, even where its type has an initialiser fill it."""
    element = type.element
    table = Table(replace(type, element=replace(element, nullable=True)), room=room)
    table.type = type
    return table


def indirect_target(table: Table, index: int, deftype: DefType) -> Function:
    """Spec 4.4.8, call_indirect: the function to call."""
    elements = table.raw
    if index >= len(elements):
        raise Trap("undefined element")
    function: Function | None = elements[index]
    if function is None:
        # A comparison's result may still be a bool.
        raise Trap(f"uninitialized element {int(index)}")
    if function.deftype is not deftype and deftype not in function.deftype.supers:
        raise Trap("indirect call type mismatch")
    return function
