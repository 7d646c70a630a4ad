"""The checks of what the immediates of an instruction with a signature name."""

from __future__ import annotations

from chiwawa.module import MemArg
from chiwawa.opcodes import Op
from chiwawa.validate.body import Addresses, Check, Imm
from chiwawa.validate.context import Context
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.subtyping import matches
from chiwawa_runtime.state.types import I32


def memarg(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.7: loads and stores."""
    arg: MemArg = imm[0]
    address = c.memory(arg.memidx).limits.address
    if 1 << arg.align > op.width:
        raise InvalidError("alignment must not be larger than natural")
    if op.atomic and 1 << arg.align < op.width:
        raise InvalidError("atomic alignment must be natural")
    if arg.offset >> address.bits:
        raise InvalidError("offset out of range")
    return address, address


def laneidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.2: one lane, the last immediate."""
    if imm[-1] >= op.lanes:
        raise InvalidError("invalid lane index")
    return I32, I32


def memarg_laneidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.7: loads and stores of a lane."""
    laneidx(c, op, imm)
    return memarg(c, op, imm)


def lanes(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.2: i8x16.shuffle."""
    if max(imm[0]) >= op.lanes:
        raise InvalidError("invalid lane index")
    return I32, I32


def memidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.7: memory.size, memory.grow, memory.fill."""
    address = c.memory(imm[0]).limits.address
    return address, address


def memidx_memidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.7: memory.copy."""
    return c.memory(imm[0]).limits.address, c.memory(imm[1]).limits.address


def dataidx_memidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.7: memory.init."""
    address = c.memory(imm[1]).limits.address
    c.data(imm[0])
    return address, address


def dataidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.7: data.drop."""
    c.data(imm[0])
    return I32, I32


def elemidx_tableidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.6: table.init."""
    table = c.table(imm[1])
    elem = c.elem(imm[0])
    if not matches(elem, table.element):
        raise InvalidError(f"type mismatch: elements of {elem} for a table of {table.element}")
    return table.limits.address, table.limits.address


def elemidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.6: elem.drop."""
    c.elem(imm[0])
    return I32, I32


def tableidx_tableidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.6: table.copy."""
    target = c.table(imm[0])
    source = c.table(imm[1])
    if not matches(source.element, target.element):
        raise InvalidError(
            f"type mismatch: a table of {source.element} into one of {target.element}"
        )
    return target.limits.address, source.limits.address


def tableidx(c: Context, op: Op, imm: Imm) -> Addresses:
    """Spec 3.3.6: table.size."""
    address = c.table(imm[0]).limits.address
    return address, address


#: By immediates. A constant's needs no check.
CHECKS: dict[tuple[str, ...], Check] = {
    ("memarg",): memarg,
    ("memarg", "laneidx"): memarg_laneidx,
    ("laneidx",): laneidx,
    ("lanes",): lanes,
    ("memidx",): memidx,
    ("dataidx", "memidx"): dataidx_memidx,
    ("dataidx",): dataidx,
    ("memidx", "memidx"): memidx_memidx,
    ("elemidx", "tableidx"): elemidx_tableidx,
    ("elemidx",): elemidx,
    ("tableidx", "tableidx"): tableidx_tableidx,
    ("tableidx",): tableidx,
}
