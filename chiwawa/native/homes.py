"""Which locals of a rewritten function have their home in memory.

Whoever enters a frame again brings all its locals with it. So at each place where that can be, an
engine has to bring two values of each local together: time, memory and code for it grow with the
places times the locals, to gigabytes for the largest functions that compilers make. Of a function
that has many of both, only the locals that are used most are locals of the rewritten one. The
others are in a memory: in a part of it that the frame has for itself, where each value has the
place that it has in a record.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from chiwawa.lower.lowered import Lowered
from chiwawa.native import code
from chiwawa.native.layout import RECORD_VALUES, SLOT
from chiwawa.native.operands import Operands
from chiwawa.native.unit import Unit
from chiwawa_runtime.state.types import I32, PAGE, NumType, ValType

#: So many locals of a function are locals of the rewritten one, times the places where it can be
#: entered.
MOST = 1_000
#: However many places there are, so many are, as long as that comes to no more than ``MANY``.
LEAST, MANY = 8, 16_000
#: How many times as often what is in a loop is taken to be run, and in how many at most.
TIMES, DEEPEST = 8, 5
#: Fewer locals than this are set to zero one by one.
FEW = 12


def most_used(lowered: Lowered, count: int, eligible: Collection[int]) -> set[int]:
    """``count`` of these locals."""
    uses = dict.fromkeys(eligible, 0)
    weight = 1
    inside: list[int] = []
    for instr in lowered.body:
        op = instr.op
        if op.immediates == ("localidx",):
            if instr.imm[0] in uses:
                uses[instr.imm[0]] += weight
        elif op.opens:
            inside.append(weight)
            if op.loops and weight < TIMES**DEEPEST:
                weight *= TIMES
        elif op.ends and inside:
            weight = inside.pop()
    return set(sorted(uses, key=lambda local: -uses[local])[:count])


def homed(lowered: Lowered) -> frozenset[int]:
    """The locals of a function that have their home in memory."""
    count = len(lowered.locals)
    places = len(lowered.safepoints) + len(lowered.calls)
    kept = max(MOST // places, min(LEAST, MANY // places)) if places else count
    if count <= kept:
        return frozenset()
    eligible = [i for i, t in enumerate(lowered.locals) if isinstance(t, NumType)]
    kept -= count - len(eligible)
    return frozenset(eligible) - most_used(lowered, max(kept, 0), eligible)


class Homes:
    """The homes of one function's locals, of which there are some; ``places`` are where a record
    has each, in slots, and how many there are. ``frame``: the local with the address of what the
    frame has for itself."""

    def __init__(
        self,
        unit: Unit,
        lowered: Lowered,
        operands: Operands,
        locals: frozenset[int],
        places: Sequence[int],
    ) -> None:
        self.unit = unit
        self.types = lowered.locals
        self.params = len(lowered.type.params)
        self.operands = operands
        self.locals = locals
        self.places = places
        self.frame = operands.new_local(I32)
        self.scratch: dict[ValType, int] = {}

    def read(self, local: int) -> bytes:
        """Push the value of a local."""
        valtype = self.types[local]
        assert isinstance(valtype, NumType)
        load = code.load(valtype, self.unit.frames, SLOT * self.places[local])
        return code.local_get(self.frame) + load

    def write(self, local: int, value: bytes) -> bytes:
        """Set it to what ``value`` pushes."""
        valtype = self.types[local]
        assert isinstance(valtype, NumType)
        store = code.store(valtype, self.unit.frames, SLOT * self.places[local])
        return code.local_get(self.frame) + value + store

    def set(self, local: int, *, tee: bool) -> bytes:
        """Set it to the operand on top, which stays there with ``tee``."""
        valtype = self.types[local]
        scratch = self.scratch.get(valtype)
        if scratch is None:
            scratch = self.scratch[valtype] = self.operands.new_local(valtype)
        value = code.local_get(scratch)
        out = code.local_set(scratch) + self.write(local, value)
        return out + value if tee else out

    def size(self) -> int:
        return SLOT * self.places[-1]

    def begin(self) -> bytes:
        """Have a part of the memory, with the locals as they are when the function is called."""
        memory, fp, size = self.unit.frames, self.unit.fp, self.size()
        out = code.global_get(fp) + code.local_tee(self.frame) + code.i32(size) + code.ADD
        out += code.global_set(fp)
        out += code.global_get(fp) + code.BYTE["memory.size"] + code.u(memory)
        out += code.i32(16) + code.BYTE["i32.shl"] + code.BYTE["i32.gt_u"] + code.IF
        out += code.i32(size // PAGE + 16) + code.BYTE["memory.grow"] + code.u(memory)
        out += code.i32(0) + code.BYTE["i32.lt_s"] + code.IF + code.UNREACHABLE + code.END
        out += code.END
        others = [local for local in sorted(self.locals) if local >= self.params]
        for local in sorted(self.locals):
            if local < self.params:
                out += self.write(local, code.local_get(local))
        if len(others) <= FEW:
            for local in others:
                out += self.write(local, code.zero(self.types[local]))
            return out
        first, last = (SLOT * self.places[local] for local in (others[0], others[-1] + 1))
        out += code.local_get(self.frame) + code.i32(first) + code.ADD + code.i32(0)
        out += code.i32(last - first)
        return out + code.prefixed("memory.fill") + code.u(memory)

    def reclaim(self) -> bytes:
        """Have what it was while the frame runs, where something that it called has not left."""
        top = code.local_get(self.frame) + code.i32(self.size()) + code.ADD
        return top + code.global_set(self.unit.fp)

    def leave(self) -> bytes:
        """Give it back."""
        return code.local_get(self.frame) + code.global_set(self.unit.fp)

    def save(self, record: bytes) -> bytes:
        """Put all numbers among the locals into the record whose address ``record`` pushes; what
        else is in it is to be put there afterwards."""
        out = b"".join(
            self.write(i, code.local_get(i))
            for i, valtype in enumerate(self.types)
            if i not in self.locals and isinstance(valtype, NumType)
        )
        out += record + code.i32(RECORD_VALUES) + code.ADD + code.local_get(self.frame)
        return out + self.copy(self.unit.cells.records, self.unit.frames)

    def restore(self, record: bytes) -> bytes:
        """The opposite."""
        out = code.local_get(self.frame) + record + code.i32(RECORD_VALUES) + code.ADD
        out += self.copy(self.unit.frames, self.unit.cells.records)
        return out + b"".join(
            self.read(i) + code.local_set(i)
            for i, valtype in enumerate(self.types)
            if i not in self.locals and isinstance(valtype, NumType)
        )

    def copy(self, to: int, source: int) -> bytes:
        """Between the memories, with the addresses on the stack."""
        size = code.i32(self.size())
        return size + code.prefixed("memory.copy") + code.u(to) + code.u(source)
