"""A table and the element segments that fill it (spec 4.2.7, 4.4.6).

References are whatever the store uses for them; None is null. This module knows nothing of
functions or instances.
"""

from __future__ import annotations

from collections.abc import Sequence

from chiwawa_runtime.errors import Trap
from chiwawa_runtime.types import TableType

#: What table.grow returns when it refuses: -1 as i32.
REFUSED = 0xFFFFFFFF
#: Beyond this many elements table.grow refuses, as the spec allows a host to.
HOST_LIMIT = 10_000_000


def out_of_bounds() -> Trap:
    return Trap("out of bounds table access")


class ElemSegment:
    """An element instance (spec 4.2.10). Dropping it leaves it empty."""

    __slots__ = ("dropped", "elements")

    def __init__(self, elements: Sequence[object]) -> None:
        self.elements = list(elements)
        self.dropped = False

    def drop(self) -> None:
        self.elements = []
        self.dropped = True


class Table:
    """A table instance. ``type`` is as declared; ``elements`` is never replaced, so aliases of it
    stay valid when it grows."""

    __slots__ = ("elements", "type")

    def __init__(
        self, type: TableType, ref: object = None, elements: list[object] | None = None
    ) -> None:
        """A table of the minimal size, full of ``ref``, or one that takes over ``elements``."""
        self.type = type
        self.elements = [ref] * type.limits.min if elements is None else elements

    def get(self, index: int) -> object:
        """Spec 4.4.6, table.get."""
        try:
            return self.elements[index]
        except IndexError:
            raise out_of_bounds() from None

    def set(self, index: int, ref: object) -> None:
        """Spec 4.4.6, table.set."""
        try:
            self.elements[index] = ref
        except IndexError:
            raise out_of_bounds() from None

    def size(self) -> int:
        """Spec 4.4.6, table.size: in elements."""
        return len(self.elements)

    def grow(self, n: int, ref: object) -> int:
        """Spec 4.4.6, table.grow: the old size, or ``REFUSED``."""
        old = len(self.elements)
        limit = self.type.limits.max
        if old + n > (HOST_LIMIT if limit is None else min(limit, HOST_LIMIT)):
            return REFUSED
        try:
            self.elements += [ref] * n
        except MemoryError:
            return REFUSED
        return old

    def fill(self, index: int, ref: object, n: int) -> None:
        """Spec 4.4.6, table.fill."""
        if index + n > len(self.elements):
            raise out_of_bounds()
        self.elements[index : index + n] = [ref] * n

    def copy(self, source: Table, dst: int, src: int, n: int) -> None:
        """Spec 4.4.6, table.copy: from ``source`` to this one, as if through a buffer."""
        if dst + n > len(self.elements) or src + n > len(source.elements):
            raise out_of_bounds()
        self.elements[dst : dst + n] = source.elements[src : src + n]

    def init(self, segment: ElemSegment, dst: int, src: int, n: int) -> None:
        """Spec 4.4.6, table.init."""
        if dst + n > len(self.elements) or src + n > len(segment.elements):
            raise out_of_bounds()
        self.elements[dst : dst + n] = segment.elements[src : src + n]
