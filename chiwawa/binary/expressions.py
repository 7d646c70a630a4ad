"""Expressions in the binary format, read (spec 5.4): the one loop that must be fast.

An expression is read flat, with a list of the open blocks beside it, so that neither its nesting
nor its length can exhaust anything. Most instructions have no immediate or a single short one, and
never leave the loop; one tuple serves every instruction with the same short immediate.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

from chiwawa import limits
from chiwawa.arms import FORK, ONE, begun, divided
from chiwawa.binary.reader import Reader
from chiwawa.binary.types import read_heap, read_heaptype, read_valtype
from chiwawa.immediates import KINDS
from chiwawa.module import (
    CATCHES,
    BlockType,
    BrTable,
    Cast,
    Catch,
    Expr,
    Instr,
    MemArg,
    PlainExpr,
)
from chiwawa.opcodes import BY_CODE, TABLE, Op
from chiwawa_runtime.checkpoint.leb import decode_s, decode_u
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state.types import RefType

#: How the loop reads what follows an opcode.
_NONE, _INDEX, _MEMARG, _I32, _I64, _BLOCK, _END, _ELSE, _ARM, _OTHER, _PREFIX, _ILLEGAL = range(12)
_KINDS: dict[tuple[str, ...], int] = {
    (): _NONE,
    # But that of a data segment, whose first use is noted.
    **{(kind.name,): _INDEX for kind in KINDS.values() if kind.space and kind.name != "dataidx"},
    ("memarg",): _MEMARG,
    ("i32",): _I32,
    ("i64",): _I64,
    ("blocktype",): _BLOCK,
}
_SMALL = tuple((i,) for i in range(128))
_SMALL_I32 = tuple((i if i < 64 else i + 0xFFFFFF80,) for i in range(128))
_SMALL_I64 = tuple((i if i < 64 else i + 0xFFFFFFFFFFFFFF80,) for i in range(128))
_NO_IMMEDIATE: tuple[object, ...] = ()
#: Makes a named tuple of a tuple without a call of Python's for each.
_new_tuple = tuple.__new__


def _first_bytes() -> tuple[tuple[int, Op], ...]:
    """For each first byte: how to read on, and the instruction, where the byte says which."""
    first_bytes = [(_ILLEGAL, TABLE[0])] * 256
    for op in TABLE:
        if len(op.code) > 1:
            kind = _PREFIX
        elif op.delimits:
            kind = _ARM if op.concerns_handling else _END if op.ends else _ELSE
        else:
            kind = _KINDS.get(op.immediates, _OTHER)
        first_bytes[op.code[0]] = (kind, op)
    return tuple(first_bytes)


_FIRST_BYTES = _first_bytes()


def _read_labels(r: Reader) -> BrTable:
    """Spec 5.4.1, br_table."""
    count = r.count(limits.LABELS, "labels of a br_table")
    return BrTable(tuple([r.u32() for _ in range(count)]), r.u32())


def _read_catches(r: Reader) -> tuple[Catch, ...]:
    """Spec 5.4.1, try_table."""
    return tuple([_read_catch(r) for _ in range(r.count(limits.LABELS, "clauses of a try_table"))])


def _read_catch(r: Reader) -> Catch:
    start = r.pos
    kind = r.byte()
    if kind >= len(CATCHES):
        raise r.malformed("malformed catch clause", start)
    return Catch(None if kind & 2 else r.u32(), bool(kind & 1), r.u32())


def _read_arm(r: Reader, op: Op, blocks: list[int], at: int) -> tuple[object, ...]:
    """The rest of the ``catch``, ``catch_all`` or ``delegate`` at ``at``, of the innermost of
    ``blocks``."""
    state = divided(op, blocks.pop()) if blocks else None
    if state is None:
        raise r.malformed("END opcode expected", at)
    if not op.ends:
        blocks.append(state)
    return tuple([r.u32() for _ in op.immediates])


def _read_float(size: int) -> Callable[[Reader], int]:
    """Spec 5.2.3: the bits, as an unsigned int."""
    return lambda r: int.from_bytes(r.take(size), "little")


def _read_ordering(r: Reader) -> int:
    """A byte that is for orderings to come."""
    start = r.pos
    if r.byte():
        raise r.malformed("zero byte expected", start)
    return 0


def _read_cast(r: Reader) -> Cast:
    """Spec 5.4.3, br_on_cast."""
    start = r.pos
    flags = r.byte()
    if flags > 3:
        raise r.malformed("malformed cast flags", start)
    label = r.u32()
    source = RefType(read_heap(r), bool(flags & 1))
    return Cast(label, source, RefType(read_heap(r), bool(flags & 2)))


def _read_blocktype(r: Reader) -> BlockType:
    """Spec 5.4.1."""
    start = r.pos
    byte = r.peek()
    if byte == 0x40:
        r.pos += 1
        return None
    if 0x40 < byte < 0x80:
        return read_valtype(r)
    index = r.s33()
    if index < 0:
        raise r.malformed("malformed block type", start)
    return index


#: The immediates that the loop leaves to a function.
_IMMEDIATES: dict[str, Callable[[Reader], object]] = {
    **{kind.name: Reader.u32 for kind in KINDS.values() if kind.space},
    "labels": _read_labels,
    "ordering": _read_ordering,
    "blocktype": _read_blocktype,
    "catches": _read_catches,
    "valtypes": lambda r: tuple(r.vec(read_valtype)),
    "reftype": read_heaptype,
    "heaptype": read_heap,
    "cast": _read_cast,
    "count": lambda r: r.count(limits.OPERANDS, "elements of an array.new_fixed"),
    "f32": _read_float(4),
    "f64": _read_float(8),
    "v128": lambda r: r.take(16),
    "laneidx": Reader.byte,
    "lanes": lambda r: r.take(16),
}


class ExprReader:
    """Reads expressions of one module. ``data_use`` is the byte offset of the first instruction
    that names a data segment, which only a module with a data count section may have."""

    __slots__ = ("_blocktypes", "_memargs", "data_use")

    def __init__(self) -> None:
        self._memargs: dict[tuple[int, int, int], tuple[MemArg]] = {}
        self._blocktypes: dict[int, tuple[BlockType]] = {}
        self.data_use: int | None = None

    def read(self, r: Reader, base: int) -> Expr:
        """The expression at ``r``, up to and with its last ``end``; code offsets count from
        ``base``, a position."""
        return list(map(_new_tuple, repeat(Instr), self.read_plain(r, base)))

    def const(self, r: Reader) -> Expr:
        """A constant expression; its code offsets count from its start."""
        return self.read(r, r.pos)

    def read_plain(self, r: Reader, base: int) -> PlainExpr:
        """The same as plain tuples, which are made and let go several times faster."""
        data = r.data
        pos = r.pos
        body: PlainExpr = []
        append = body.append
        first_bytes = _FIRST_BYTES
        small = _SMALL
        imm: tuple[object, ...]
        #: For each open block, what may still come of it.
        blocks: list[int] = []
        try:
            while True:
                at = pos
                kind, op = first_bytes[data[pos]]
                pos += 1
                if kind == _NONE:
                    imm = _NO_IMMEDIATE
                elif kind == _INDEX:
                    value = data[pos]
                    if value < 0x80:
                        pos += 1
                        imm = small[value]
                    else:
                        value, pos = decode_u(data, pos, 32)
                        imm = (value,)
                elif kind == _I32:
                    value = data[pos]
                    if value < 0x80:
                        pos += 1
                        imm = _SMALL_I32[value]
                    else:
                        value, pos = decode_s(data, pos, 32)
                        imm = (value & 0xFFFFFFFF,)
                elif kind == _MEMARG:
                    imm, pos = self._memarg(data, pos)
                elif kind == _END:
                    append((op, _NO_IMMEDIATE, at - base))
                    if not blocks:
                        r.pos = pos
                        return body
                    blocks.pop()
                    continue
                elif kind == _BLOCK:
                    byte = data[pos]
                    cached = self._blocktypes.get(byte)
                    if cached is None:
                        r.pos = pos
                        imm = (_read_blocktype(r),)
                        if r.pos == pos + 1:
                            self._blocktypes[byte] = imm
                        pos = r.pos
                    else:
                        pos += 1
                        imm = cached
                    blocks.append(begun(op))
                elif kind == _I64:
                    value = data[pos]
                    if value < 0x80:
                        pos += 1
                        imm = _SMALL_I64[value]
                    else:
                        value, pos = decode_s(data, pos, 64)
                        imm = (value & 0xFFFFFFFFFFFFFFFF,)
                elif kind == _ELSE:
                    if not blocks or blocks[-1] != FORK:
                        raise r.malformed("END opcode expected", at)
                    blocks[-1] = ONE
                    imm = _NO_IMMEDIATE
                elif kind == _ARM:
                    r.pos = pos
                    imm = _read_arm(r, op, blocks, at)
                    pos = r.pos
                else:
                    r.pos = pos
                    op, imm = self._other(r, kind, op, at)
                    pos = r.pos
                    if op.opens:
                        blocks.append(begun(op))
                append((op, imm, at - base))
        except IndexError:
            raise r.malformed("unexpected end of section or function", len(data)) from None

    def _memarg(self, data: bytes, pos: int) -> tuple[tuple[MemArg], int]:
        """Spec 5.4.6, with the memory index of Wasm 3.0, which bit 6 of the alignment announces,
        and 64-bit offsets: validation bounds both."""
        start = pos
        flags = data[pos]
        if flags < 0x80:
            pos += 1
        else:
            flags, pos = decode_u(data, pos, 32)
            if flags >= 0x80:
                raise Reader(data).malformed("malformed memop flags", start)
        memidx = 0
        if flags & 0x40:
            memidx, pos = decode_u(data, pos, 32)
        offset = data[pos]
        if offset < 0x80:
            pos += 1
        else:
            offset, pos = decode_u(data, pos, 64)
        key = (flags & 0x3F, offset, memidx)
        imm = self._memargs.get(key)
        if imm is None:
            imm = self._memargs[key] = (MemArg(*key),)
        return imm, pos

    def _other(self, r: Reader, kind: int, op: Op, at: int) -> tuple[Op, tuple[object, ...]]:
        """The instruction at ``at``, whose first byte is read."""
        if kind == _ILLEGAL:
            raise _refusal(r, at)
        if kind == _PREFIX:
            number = r.u32()
            known = BY_CODE.get((r.data[at], number))
            if known is None:
                text = f"{r.data[at]:02x} {number:02x}"
                raise r.malformed(f"illegal opcode {text}", at)
            op = known
        if self.data_use is None and "dataidx" in op.immediates:
            self.data_use = at
        return op, tuple([self._immediate(r, k) for k in op.immediates])

    def _immediate(self, r: Reader, kind: str) -> object:
        if kind != "memarg":
            return _IMMEDIATES[kind](r)
        (memarg,), r.pos = self._memarg(r.data, r.pos)
        return memarg


def _refusal(r: Reader, at: int) -> BadInput:
    """The error for the opcode at ``at``, which no instruction of ours has. Beyond the
    end of its section or body, what looks like one is none."""
    if at >= r.end:
        return r.malformed("unexpected end of section or function", r.end)
    code = r.data[at]
    return r.malformed(f"illegal opcode {code:02x}", at)
