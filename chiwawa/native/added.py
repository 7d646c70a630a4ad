"""The functions that the rewriter adds to a module: what all frames have in common where they are
saved or entered again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chiwawa.binary.types import write_valtype
from chiwawa.native import code
from chiwawa.native.layout import (
    ASK,
    CEILING,
    DEPTH,
    EXHAUSTED,
    MEMORY_LIMIT,
    MODE,
    RECORD_ENTRY,
    RECORD_FUNCTION,
    RECORD_SIZE,
    RECORD_VALUES,
    REFERENCE_COUNTS,
    RP,
    SLOT,
    SP,
    TELL,
    TRAPPED,
    UNWINDING,
    WHERE,
)
from chiwawa.native.unit import DEEP, Cells
from chiwawa_runtime.state.types import I32, I64, PAGE, FuncType, NumType, RefType, ValType

PLAIN = FuncType((), ())
SAVED = FuncType((I32, I32), ())


#: Of what grows: the type of its addresses, the operands of what makes it larger, and that.
Given = tuple[NumType, tuple[ValType, ...], bytes]


@dataclass(frozen=True, slots=True)
class Added:
    """``locals`` are those beside the parameters."""

    type: FuncType
    locals: Sequence[ValType]
    body: bytes

    def coded(self) -> bytes:
        """As it stands in the code section behind its size."""
        return code.declared(self.locals) + self.body + code.END


def told(cells: Cells, tell: bytes) -> bytes:
    """``tell``, where the host wants to be told."""
    return cells.cell(TELL) + code.IF + tell + code.END


def saved(cells: Cells, room: int, tell: bytes) -> Added:
    """``(size, function)``, as complements: the head of a record whose values there are, and the
    mode that says that frames are saved. No record of the module takes more than ``room``, and
    there is that again for the next. ``tell`` tells the host."""
    size, function = map(code.local_get, range(2))
    body = b"".join(_complement(each) + code.local_set(each) for each in range(2))
    for address, value in (
        (RECORD_SIZE, size),
        (RECORD_FUNCTION, function),
        (RECORD_ENTRY, cells.get(WHERE)),
    ):
        body += cells.get(SP) + value + code.store(I32, cells.records, address)
    body += cells.set(SP, cells.get(SP) + size + code.ADD)
    kept = cells.get(MODE) + code.i32(EXHAUSTED | TRAPPED) + code.AND
    body += cells.set(MODE, kept + code.i32(UNWINDING) + code.OR)
    body += cells.get(SP) + code.i32(room) + code.ADD
    body += code.BYTE["memory.size"] + code.u(cells.records)
    body += code.i32(16) + code.BYTE["i32.shl"] + code.BYTE["i32.gt_u"] + code.IF
    body += code.i32(room // PAGE + 16) + code.BYTE["memory.grow"] + code.u(cells.records)
    return Added(SAVED, (), body + _or_fail() + code.END + told(cells, tell))


def saved_if_deep(cells: Cells, kind: int, save: bytes) -> Added:
    """The same for functions that recur, which end where they begin too deep. ``kind`` is theirs;
    ``save`` calls what is made by ``saved``."""
    starts = cells.get(WHERE) + code.EQZ
    # Nothing is entered again here, but a request may be pending.
    ceiling = cells.cell(CEILING) + code.i32(0xFFFFFF) + code.AND
    deep = cells.get(DEPTH) + ceiling + code.BYTE["i32.ge_s"]
    body = starts + deep + code.AND + code.IF + cells.set(MODE, code.i32(EXHAUSTED))
    if kind == DEEP:
        # It does not come to its first safepoint.
        body += cells.uncounted()
    body += code.END + b"".join(map(code.local_get, range(2)))
    return Added(SAVED, (), body + save)


def next_(cells: Cells, tell: bytes) -> Added:
    """Go to the next record, while rewinding."""
    body = cells.set(RP, cells.next_record())
    entry = cells.get(RP) + code.load(I32, cells.records, RECORD_ENTRY)
    return Added(PLAIN, (), body + cells.set(WHERE, entry) + told(cells, tell))


def resumed(cells: Cells) -> Added:
    return Added(PLAIN, (), cells.resumed())


def keep(cells: Cells, valtype: NumType) -> Added:
    """``(place, value)``: store a value of the record that is being written."""
    stored = code.store(valtype, cells.records, RECORD_VALUES)
    return Added(FuncType((I32, valtype), ()), (), _at(cells.get(SP)) + code.local_get(1) + stored)


def take(cells: Cells, valtype: NumType) -> Added:
    """``(place) -> value``: the opposite."""
    body = _at(cells.get(RP)) + code.load(valtype, cells.records, RECORD_VALUES)
    return Added(FuncType((I32,), (valtype,)), (), body)


def keep_reference(cells: Cells, valtype: RefType, table: int) -> Added:
    """As ``keep``, by putting the reference into a table of its own: what stands for it in a record
    is 0 for null, else its place there and one."""
    count = REFERENCE_COUNTS[str(valtype.heap)]
    value, place = code.local_get(1), code.local_get(2)
    size = code.prefixed("table.size") + code.u(table)
    grow = code.prefixed("table.grow") + code.u(table)
    body = value + code.BYTE["ref.is_null"] + code.BYTE["if"] + write_valtype(I32)
    body += code.i32(0) + code.ELSE
    body += cells.cell(count) + code.local_tee(2) + size + code.BYTE["i32.ge_u"] + code.IF
    body += code.zero(valtype) + place + code.i32(16) + code.ADD + grow + _or_fail() + code.END
    body += place + value + code.BYTE["table.set"] + code.u(table)
    more = place + code.i32(1) + code.ADD
    body += code.i32(0) + more + code.store(I32, cells.shadow, count) + more + code.END
    stored = code.store(I32, cells.records, RECORD_VALUES)
    return Added(FuncType((I32, valtype), ()), (I32,), _at(cells.get(SP)) + body + stored)


def take_reference(cells: Cells, valtype: RefType, table: int) -> Added:
    """As ``take``."""
    number = _at(cells.get(RP)) + code.load(I32, cells.records, RECORD_VALUES)
    body = number + code.local_tee(0) + code.EQZ + code.IF
    body += code.zero(valtype) + code.RETURN + code.END
    body += code.local_get(0) + code.i32(1) + code.SUB + code.BYTE["table.get"] + code.u(table)
    return Added(FuncType((I32,), (valtype,)), (), body)


#: Is given what is to grow, a memory by its index I, a table as -1 - I, and by how many pages or
#: elements; returns whether it may.
ASKED = FuncType((I32, I64), (I32,))


def growing(
    cells: Cells,
    limit: int,
    taken: Sequence[tuple[bytes, bool, int]],
    index: int,
    given: Given,
    ask: bytes,
) -> Added:
    """What makes a memory or a table larger, as ``given`` says, if all of a kind take no more than
    ``limit`` says then, or the host says so: ``ask`` calls what is ``ASKED``. ``taken`` are what
    pushes the size of each, whether that is an i64, and how many bytes it is in; ``index`` is that
    of the one that grows."""
    address, operands, grow = given
    pages = len(operands) - 1
    most = len(operands)

    def widened(size: bytes, wide: bool, unit: int) -> bytes:
        out = size + (b"" if wide else code.BYTE["i64.extend_i32_u"])
        return out + (code.i64(unit) + code.BYTE["i64.mul"] if unit > 1 else b"")

    refuse = code.IF + (code.i32(-1) if address is I32 else code.i64(-1)) + code.RETURN + code.END
    more = widened(code.local_get(pages), *taken[index][1:])
    above = code.local_get(most) + code.BYTE["i64.gt_u"]
    body = code.i32(0) + code.load(I64, cells.shadow, limit) + code.local_tee(most)
    body += code.BYTE["i64.eqz"] + code.EQZ + code.IF
    body += code.local_get(most) + code.i64(ASK) + code.BYTE["i64.eq"] + code.IF
    body += code.i32(index if limit == MEMORY_LIMIT else -1 - index)
    body += widened(code.local_get(pages), taken[index][1], 1) + ask + code.EQZ + refuse + code.ELSE
    # First, so that what follows is no more than 64 bits have room for.
    body += widened(code.local_get(pages), taken[index][1], 1) + above + refuse
    # A limit is one more than what may be taken.
    body += code.i64(1) + more + code.ADD64
    body += b"".join(widened(*each) + code.ADD64 for each in taken) + above + refuse
    body += code.END + code.END + b"".join(map(code.local_get, range(len(operands)))) + grow
    return Added(FuncType(operands, (address,)), (I64,), body)


def _at(record: bytes) -> bytes:
    """Push the address of a value, less RECORD_VALUES; the first parameter is its place's
    complement."""
    shift = code.i32(SLOT.bit_length() - 1) + code.BYTE["i32.shl"]
    return record + _complement(0) + shift + code.ADD


def _complement(parameter: int) -> bytes:
    """A parameter that callers pass as its complement. Cranelift has one value for a constant that
    a function has several times, and may keep it in a register for code that is hardly ever run:
    small numbers are also the program's, and their complements hardly ever."""
    return code.local_get(parameter) + code.i32(-1) + code.BYTE["i32.xor"]


def _or_fail() -> bytes:
    """Trap where what has been tried to grow has not."""
    return code.i32(0) + code.BYTE["i32.lt_s"] + code.IF + code.UNREACHABLE + code.END
