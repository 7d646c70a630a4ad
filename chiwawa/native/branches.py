"""Branches that depend on a reference: on whether it is null, or of a type (spec 3.4.13)."""

from __future__ import annotations

from dataclasses import replace

from chiwawa.binary.encode import write_expr
from chiwawa.binary.types import write_valtype
from chiwawa.module import Cast, Instr
from chiwawa.native import code
from chiwawa.native.control import Control
from chiwawa.native.scopes import Branch, Close, Label, Open
from chiwawa_runtime.state.types import RefType, ValType


def branch_on(control: Control, position: int, instr: Instr) -> None:
    """It branches out of a block, which gives the reference if that is taken along, so that it gets
    to where the label expects it."""
    operands = control.operands
    target = control.lowered.targets[position][0]
    types, staying = control.types(position), control.types(position + 1)
    height = len(types) - 1
    taken = _taken(instr, types[-1])
    control.emit(operands.spill(types))
    # What else the label takes is of the types that it says behind the branch, too.
    others = target.types[: len(target.types) - len(taken)]
    beneath = control.carry(types[:-1], others)
    branched, after = Label(b"".join(map(write_valtype, taken)) or code.EMPTY), Label()
    control.emit(Open(after), Open(branched), operands.get(types, height), _out_of_block(instr))
    control.emit(operands.set(staying, height), Branch(after), Close(branched))
    operands.pending = len(taken)
    control.go_to(target, beneath + taken)
    control.emit(Close(after))
    operands.pending = 0


def _taken(instr: Instr, valtype: ValType) -> tuple[ValType, ...]:
    """What a reference of the type is where it is taken along."""
    assert isinstance(valtype, RefType)
    if instr.op.name == "br_on_null":
        return ()
    if instr.op.name == "br_on_non_null":
        return (replace(valtype, nullable=False),)
    cast: Cast = instr.imm[0]
    if instr.op.name == "br_on_cast":
        return (cast.target,)
    return (replace(cast.source, nullable=cast.source.nullable and not cast.target.nullable),)


def _out_of_block(instr: Instr) -> bytes:
    """The instruction, as a branch out of the innermost block."""
    imm = instr.imm[0]
    label = replace(imm, labelidx=0) if isinstance(imm, Cast) else 0
    return write_expr([Instr(instr.op, (label,), 0)])
