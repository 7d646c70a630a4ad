"""Which bytes of a memory an instruction is about to read or write, in terms of a site's names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chiwawa.module import Instr, MemArg


@dataclass(frozen=True, slots=True)
class Touched:
    """``memory`` is an index; ``address`` and ``size`` (in bytes) are source over the operands as
    sites name them (``chiwawa.lower.sites``), an address without parentheses around a sum."""

    writes: bool
    memory: int
    address: str
    size: str


@dataclass(frozen=True, slots=True)
class Asked:
    """How much an instruction asks of a memory at once: ``amount`` is source, in pages where it is
    to grow, else in bytes."""

    memory: int
    amount: str


def touched(instr: Instr, height: int) -> Iterator[Touched]:
    """What ``instr`` touches, where there are ``height`` operands."""
    op = instr.op
    if op.width:
        memarg: MemArg = instr.imm[0]
        address = f"s{height - len(op.params)}"
        if memarg.offset:
            address += f" + {memarg.offset}"
        yield Touched(op.writes, memarg.memidx, address, str(op.width))
    for extent in op.extents:
        if extent.address is not None:
            address, size = (f"s{height - 1 - at}" for at in (extent.address, extent.size))
            yield Touched(extent.verb == "write", instr.imm[extent.memory], address, size)


def asked(instr: Instr, height: int) -> Iterator[Asked]:
    """What ``instr`` asks of the memory that it changes, if it is one that changes many bytes."""
    for extent in instr.op.extents:
        if extent.verb != "read":
            yield Asked(instr.imm[extent.memory], f"s{height - 1 - extent.size}")
