"""Where a rewritten function has its operands: the topmost ones on the machine's own stack, as in
the original, all others in locals of their own, one for each height and type.

Where frames may be saved or entered again, and where branches meet, all are in their locals.
"""

from __future__ import annotations

from collections.abc import Sequence

from chiwawa.native import code
from chiwawa_runtime.state.types import ValType


class Operands:
    """``pending`` is how many are on the machine's stack. ``added`` are the types of the locals
    that the rewritten function has beside its own, from ``first`` on."""

    __slots__ = ("added", "first", "pending", "slots")

    def __init__(self, first: int) -> None:
        self.first = first
        self.added: list[ValType] = []
        self.slots: dict[tuple[int, ValType], int] = {}
        self.pending = 0

    def new_local(self, valtype: ValType) -> int:
        self.added.append(valtype)
        return self.first + len(self.added) - 1

    def slot(self, height: int, valtype: ValType) -> int:
        """The local of the operand above ``height`` others."""
        key = (height, valtype)
        found = self.slots.get(key)
        if found is None:
            found = self.slots[key] = self.new_local(valtype)
        return found

    def spill(self, types: Sequence[ValType]) -> bytes:
        """Have all in their locals; ``types`` are those of all operands."""
        pending, self.pending = self.pending, 0
        return self.set(types, len(types) - pending)

    def set(self, types: Sequence[ValType], first: int, height: int | None = None) -> bytes:
        """Put what is on the machine's stack, which are ``types[first:]``, into the locals of
        ``height`` and above, which is ``first`` where none is given."""
        up = 0 if height is None else height - first
        slots = (self.slot(h + up, types[h]) for h in range(len(types) - 1, first - 1, -1))
        return b"".join(map(code.local_set, slots))

    def get(self, types: Sequence[ValType], first: int) -> bytes:
        """Push ``types[first:]`` from their locals."""
        slots = (self.slot(h, types[h]) for h in range(first, len(types)))
        return b"".join(map(code.local_get, slots))

    def need(self, types: Sequence[ValType], count: int) -> bytes:
        """Have at least the topmost ``count`` on the machine's stack."""
        if self.pending >= count:
            return b""
        spilled = self.spill(types)
        self.pending = count
        return spilled + self.get(types, len(types) - count)

    def need_alone(self, types: Sequence[ValType], count: int) -> bytes:
        """Have the topmost ``count`` on the machine's stack, and all others in their locals."""
        if self.pending == count:
            return b""
        spilled = self.spill(types)
        self.pending = count
        return spilled + self.get(types, len(types) - count)
