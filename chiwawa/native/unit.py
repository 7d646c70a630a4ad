"""What the rewriting of one function knows of the module: indices, and which functions matter."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chiwawa.binary.types import write_valtype
from chiwawa.lower.lowered import Spaces, recursive_functions
from chiwawa.module import Instr
from chiwawa.native import code
from chiwawa.native.layout import (
    BACK,
    BACK_VALUE,
    BOUNDARIES,
    DEPTH,
    DETAIL,
    DROPPED,
    HOST_DEPTH,
    LIMIT,
    MODE,
    POLL,
    RECORD_FUNCTION,
    RECORD_SIZE,
    REGISTERS,
    RESUMED_COUNT,
    RP,
    TAIL_CALLED,
)
from chiwawa.native.references import References
from chiwawa_runtime.checkpoint.leb import encode_s
from chiwawa_runtime.state.types import ANYREF, EXNREF, EXTERNREF, FUNCREF, I32, I64, ValType

#: The types of references that saved frames hold. What is for each is added in this order.
REFERENCES = (FUNCREF, EXTERNREF, EXNREF, ANYREF)
#: Whoever has any has what is for so many of them.
FEWEST = 2
#: How many of these a module needs that has one.
NEEDED: dict[ValType, int] = {FUNCREF: FEWEST, EXTERNREF: FEWEST, EXNREF: 3, ANYREF: 4}
#: Kinds of functions, by what is looked at where one has saved its frame: nothing more; whether it
#: may not begin because it is too deep; the same, where its first safepoint is not at its start.
SHALLOW, DEEP, LATE = range(3)


@dataclass(frozen=True, slots=True)
class Cells:
    """Where a rewritten module has what it and its host say to each other by. ``registers`` is the
    index of the first of these globals, ``count`` that of the one that counts what ``counts`` says
    (see ``layout``)."""

    shadow: int
    records: int
    registers: int
    count: int
    counts: int

    def get(self, register: str) -> bytes:
        """Push a register."""
        return code.global_get(self.registers + REGISTERS.index(register))

    def set(self, register: str, value: bytes) -> bytes:
        return value + code.global_set(self.registers + REGISTERS.index(register))

    def cell(self, address: int) -> bytes:
        """Push an i32 cell."""
        return code.i32(0) + code.load(I32, self.shadow, address)

    def resumed(self) -> bytes:
        """What happens where the youngest frame goes on. Requests are left alone."""
        out = self.set(MODE, code.i32(0))
        back = code.i32(0) + self.cell(BACK_VALUE)
        out += back + code.access("i32.store", self.shadow, BACK)
        if self.counts:
            count = code.i32(0) + code.load(I64, self.shadow, RESUMED_COUNT)
            out += count + code.global_set(self.count)
        return out

    def uncounted(self) -> bytes:
        """Count one less, where something is counted."""
        return self.count_more(-1) if self.counts else b""

    def count_more(self, number: int) -> bytes:
        more = code.global_get(self.count) + code.i64(number) + code.ADD64
        return more + code.global_set(self.count)

    def next_record(self) -> bytes:
        """Push the address of the record behind the one that is being entered again."""
        size = self.get(RP) + code.load(I32, self.records, RECORD_SIZE)
        return self.get(RP) + size + code.ADD


@dataclass(frozen=True, slots=True)
class Counter:
    """A local that has the count; with ``known``, at each safepoint but a function's first. It is
    read from the global otherwise."""

    local: int
    known: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """Indices are those of the rewritten module.

    ``suspends`` are the functions that have safepoints, ``recursive`` those whose frames count
    towards the depth of the call stack, ``deep`` those that call what counts or may lead to what
    does: they say how deep it starts. ``saved`` (by kind), ``next``, ``resumed`` are functions that
    the rewriter adds; ``keep`` and ``take`` such by type. ``giving`` are types of functions that
    only give several values, by those. ``armed`` is where the functions' bytes are. ``frames`` is
    the memory in which some functions have locals, and ``fp`` the global with how much is used.
    ``grow`` are what makes memories and tables larger, where the host allows it.
    ``tailing`` are the functions that make tail calls; where there are any, ``resumers`` is a
    table with a function for each that suspends, at its index, which calls that with whatever
    arguments.
    """

    spaces: Spaces
    cells: Cells
    references: References
    functions: int
    suspends: frozenset[int]
    recursive: frozenset[int]
    deep: frozenset[int]
    saved: tuple[int, ...]
    next: int
    resumed: int
    keep: dict[ValType, int]
    take: dict[ValType, int]
    giving: dict[tuple[ValType, ...], int]
    flags_of_elems: int
    armed: int
    frames: int
    fp: int
    grow: dict[tuple[str, int], int]
    tailing: frozenset[int] = frozenset()
    resumers: int = 0

    @property
    def counts(self) -> int:
        """What is counted (see ``layout``)."""
        return self.cells.counts

    @property
    def shadow(self) -> int:
        return self.cells.shadow

    @property
    def count(self) -> int:
        """The global that counts."""
        return self.cells.count

    def cell(self, address: int) -> bytes:
        return self.cells.cell(address)

    def get(self, register: str) -> bytes:
        return self.cells.get(register)

    def set(self, register: str, value: bytes) -> bytes:
        return self.cells.set(register, value)

    def mode(self) -> bytes:
        return self.get(MODE)

    def block_type(self, results: tuple[ValType, ...]) -> bytes:
        """Of a block that has no parameters."""
        if len(results) > 1:
            return encode_s(self.giving[results])
        return write_valtype(results[0]) if results else code.EMPTY

    def is_to_go_on(self, counter: Counter | None) -> bytes:
        """Push whether nothing wants a frame saved or entered again at the safepoint here, which is
        counted where that is done: there is a ``counter`` then."""
        if counter is None:
            return self.cell(POLL) + code.EQZ
        return self.counted(counter) + self.limit() + code.BYTE["i64.lt_s"]

    def is_to_begin(self, counter: Counter | None, function: int) -> bytes:
        """``is_to_go_on`` where a function begins, where it may be armed."""
        test = self.is_to_go_on(counter and replace(counter, known=False))
        if self.counts != BOUNDARIES:
            return test
        armed = code.i32(0) + code.access("i32.load8_u", self.shadow, self.armed + function)
        return test + armed + code.EQZ + code.AND

    def is_to_stop(self, counter: Counter | None) -> bytes:
        """The opposite."""
        if counter is None:
            return self.cell(POLL)
        return self.counted(counter) + self.limit() + code.BYTE["i64.ge_s"]

    def passed(self, boundaries: int) -> bytes:
        """Count boundaries that are no safepoints, where boundaries are counted."""
        counts = boundaries and self.counts == BOUNDARIES
        return self.cells.count_more(boundaries) if counts else b""

    def counted(self, counter: Counter) -> bytes:
        """Count a safepoint; push the count. Nobody waits for what has just been stored."""
        local = counter.local
        before = code.local_get(local) if counter.known else code.global_get(self.count)
        more = before + code.i64(1) + code.ADD64 + code.local_tee(local)
        return more + code.global_set(self.count) + code.local_get(local)

    def limit(self) -> bytes:
        """Push the count from which on it is to be stopped."""
        return code.i32(0) + code.load(I64, self.shadow, LIMIT)

    def know(self, counter: Counter | None) -> bytes:
        """Have the count in the counter's local, where that is wanted."""
        if counter is None or not counter.known:
            return b""
        return code.global_get(self.count) + code.local_set(counter.local)

    def set_depth(self, depth: int, deeper: int) -> bytes:
        """Say that the function called next starts ``deeper`` than the local ``depth`` says."""
        return self.set(DEPTH, _plus(depth, deeper))

    def set_host_depth(self, depth: int, deeper: int, tail: bool = False) -> bytes:
        """The same of a function of the host's, and whether the call is a tail call."""
        deeper -= tail * TAIL_CALLED
        return code.i32(0) + _plus(depth, deeper) + code.store(I32, self.shadow, HOST_DEPTH)

    def set_callee(self, index: int, address: ValType) -> bytes:
        """Say which element is called, which is the local ``index``. Only where it is in the table
        does anybody ask."""
        narrowed = code.BYTE["i32.wrap_i64"] if address == I64 else b""
        return self.set(DETAIL, code.local_get(index) + narrowed)

    def unreached(self, instr: Instr) -> bytes:
        """Note where a function traps."""
        return self.set(DETAIL, code.i32(instr.offset))

    def dropped(self, instr: Instr) -> bytes:
        """Note that a segment has been dropped."""
        index = instr.imm[0]
        if instr.op.immediates == ("elemidx",):
            index += self.flags_of_elems
        return code.i32(0) + code.i32(1) + code.access("i32.store8", self.shadow, DROPPED + index)

    def growing(self, instr: Instr) -> bytes | None:
        """What is called instead of an instruction that makes something larger; None where that
        stays as it is."""
        function = self.grow.get((instr.op.immediates[0], instr.imm[0]))
        return None if function is None else code.call(function)

    def next_function(self) -> bytes:
        """Push the function of the next record."""
        return self.cells.next_record() + code.load(I32, self.cells.records, RECORD_FUNCTION)


def _plus(local: int, more: int) -> bytes:
    return code.local_get(local) + (code.i32(more) + code.ADD if more else b"")


def deep_functions(spaces: Spaces) -> frozenset[int]:
    """The functions that count, call what may be anything, or call one of these."""
    imported = spaces.imported_funcs
    deep = set(recursive_functions(spaces))
    callers: dict[int, list[int]] = {}
    for index, func in enumerate(spaces.module.funcs, imported):
        summary = func.summary
        if summary.indirect or any(callee < imported for callee in summary.calls):
            deep.add(index)
        for callee in summary.calls:
            callers.setdefault(callee, []).append(index)
    work = list(deep)
    while work:
        for caller in callers.get(work.pop(), ()):
            if caller not in deep:
                deep.add(caller)
                work.append(caller)
    return frozenset(deep)
