"""Where a rewritten function has its operands: the topmost ones on the machine's own stack, as in
the original, all others in locals of their own, one for each height and type.

Where frames may be saved or entered again, and where branches meet, all are in their locals.
"""

from __future__ import annotations

from collections.abc import Sequence

from chiwawa.native import code
from chiwawa.native.references import References
from chiwawa_runtime.state.types import ValType


class Operands:
    """``pending`` is how many are on the machine's stack. ``added`` are the types of the locals
    that the rewritten function has beside its own, from ``first`` on."""

    __slots__ = ("added", "first", "pending", "references", "slots")

    def __init__(self, first: int, references: References) -> None:
        self.first = first
        #: None: each type is that of a local.
        self.references = references if references.exact else None
        self.added: list[ValType] = []
        self.slots: dict[tuple[int, ValType], int] = {}
        self.pending = 0

    def new_local(self, valtype: ValType) -> int:
        self.added.append(valtype)
        return self.first + len(self.added) - 1

    def slot(self, height: int, valtype: ValType) -> int:
        """The local of the operand above ``height`` others."""
        if self.references is not None:
            valtype = self.references.held(valtype)
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
        if first == len(types):
            return b""
        slot, local_set = self.slot, code.local_set
        return b"".join(
            [local_set(slot(h + up, types[h])) for h in range(len(types) - 1, first - 1, -1)]
        )

    def get(self, types: Sequence[ValType], first: int) -> bytes:
        """Push ``types[first:]`` from their locals."""
        references = self.references
        if references is not None:
            return b"".join(
                code.local_get(self.slot(h, types[h])) + references.got(types[h])
                for h in range(first, len(types))
            )
        if first == len(types):
            return b""
        slot, local_get = self.slot, code.local_get
        return b"".join([local_get(slot(h, types[h])) for h in range(first, len(types))])

    def settle(self, types: Sequence[ValType], wanted: Sequence[ValType]) -> bytes:
        """Have all in the locals that they would have if they were of the types ``wanted``, which
        are above theirs."""
        first, self.pending = len(types) - self.pending, 0
        return self.set(wanted, first) + self.moved(types[:first], wanted[:first])

    def moved(self, types: Sequence[ValType], wanted: Sequence[ValType]) -> bytes:
        """The same of operands that are in their locals."""
        out = b""
        if self.references is None or types is wanted:
            return out
        for height, (valtype, other) in enumerate(zip(types, wanted, strict=True)):
            source, target = self.slot(height, valtype), self.slot(height, other)
            if source != target:
                out += code.local_get(source) + code.local_set(target)
        return out

    def taken(self, types: Sequence[ValType], first: int, references: References) -> bytes:
        """``set``, of what is on the machine's stack as records keep it."""
        return b"".join(
            references.taken(references.held(types[h])) + code.local_set(self.slot(h, types[h]))
            for h in range(len(types) - 1, first - 1, -1)
        )

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
