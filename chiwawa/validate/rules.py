"""The rules of the instructions that have no signature, in the table's order (spec 3.3), and the
checks of what the immediates of the others name.

A rule pops and pushes on a ``Body``; what it raises gets its place from ``check_expr``.
"""

from __future__ import annotations

from typing import Any

from chiwawa.module import BlockType, Catch, MemArg
from chiwawa.opcodes import Op
from chiwawa.validate.body import Addresses, Body, Check, Handler, Rule, build_typings
from chiwawa.validate.context import Context
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.subtyping import all_match, matches
from chiwawa_runtime.state.types import EXNREF, FUNCREF, I32, REF_EXN, FuncType, RefType, ValType

Imm = tuple[Any, ...]


def _blocktype(v: Body, blocktype: BlockType) -> FuncType:
    """Spec 3.2.2."""
    if blocktype is None:
        return FuncType((), ())
    if isinstance(blocktype, int):
        return v.context.functype(blocktype)
    return FuncType((), (v.context.closed(blocktype),))


# Control instructions.


def unreachable(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    v.stop()


def block(v: Body, imm: Imm) -> None:
    """Spec 3.3.8: ``block`` and ``loop``, whose rows say what is different."""
    blocktype = _blocktype(v, imm[0])
    v.pop_all(blocktype.params)
    v.open(blocktype)


def if_(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    blocktype = _blocktype(v, imm[0])
    v.pop(I32)
    v.pop_all(blocktype.params)
    v.open(blocktype)


def else_(v: Body, imm: Imm) -> None:
    """Spec 3.3.8: the second half of an ``if``."""
    assert v.block.forks
    assert v.block.else_ is None
    v.arrive()
    v.turn()


def try_(v: Body, imm: Imm) -> None:
    """The exception handling proposal before ``exnref``: its arms say what it handles."""
    block(v, imm)
    v.guarded(())


def catch(v: Body, imm: Imm) -> None:
    """As ``try``: the arm for a tag's exceptions."""
    functype = v.context.tag(imm[0])
    v.arrive()
    v.handle(imm[0], functype.params)


def catch_all(v: Body, imm: Imm) -> None:
    """As ``try``: the arm for all other exceptions."""
    v.arrive()
    v.handle(None, ())


def delegate(v: Body, imm: Imm) -> None:
    """As ``try``: its end, where it leaves exceptions to a construct around it."""
    depth: int = imm[0]
    # Labels are those outside of it.
    if depth + 1 >= len(v.blocks):
        raise InvalidError(f"unknown label {depth}")
    v.arrive()
    v.delegate(v.label(depth + 1))


def rethrow(v: Body, imm: Imm) -> None:
    """As ``try``: throw what the arm of the construct named has caught."""
    label = v.label(imm[0])
    if not label.catching:
        raise InvalidError(f"invalid rethrow label {imm[0]}")
    v.throw()
    if v.live:
        v.rethrown[v.position] = label
    v.stop()


def throw(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    v.pop_all(v.context.tag(imm[0]).params)
    v.throw()
    v.stop()


def throw_ref(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    v.pop(EXNREF)
    v.throw()
    v.stop()


def try_table(v: Body, imm: Imm) -> None:
    """Spec 3.3.8. The labels of its clauses are those outside of it."""
    blocktype = _blocktype(v, imm[0])
    handlers = [_handler(v, clause) for clause in imm[1]]
    v.pop_all(blocktype.params)
    v.open(blocktype)
    v.guarded(handlers)


def _handler(v: Body, clause: Catch) -> Handler:
    """Spec 3.3.8, catch clauses."""
    carried: tuple[ValType, ...] = ()
    if clause.tagidx is not None:
        carried = v.context.tag(clause.tagidx).params
    if clause.ref:
        carried += (REF_EXN,)
    label = v.label(clause.labelidx)
    if len(carried) != label.arity or not all(map(matches, carried, label.types)):
        given, taken = (" ".join(map(str, types)) for types in (carried, label.types))
        raise InvalidError(f"type mismatch: a clause gives [{given}] to a label of [{taken}]")
    return Handler(clause.tagidx, label, clause.ref)


def end(v: Body, imm: Imm) -> None:
    """Spec 3.3.8. An ``if`` without ``else`` has an empty one, which must fit its type."""
    closed = v.block
    v.arrive()
    if closed.forks and closed.else_ is None and not all_match(closed.params, closed.results):
        raise InvalidError(
            f"type mismatch: if without else has type {FuncType(closed.params, closed.results)}"
        )
    v.close()


def br(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    label = v.label(imm[0])
    v.pop_all(label.types)
    v.branch(label)
    v.stop()


def br_if(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    label = v.label(imm[0])
    v.pop(I32)
    v.pop_all(label.types)
    v.push_all(label.types)
    v.branch(label)


def br_table(v: Body, imm: Imm) -> None:
    """Spec 3.3.8. Labels of one type are checked once: a table can be long."""
    table = imm[0]
    v.pop(I32)
    default = v.label(table.default)
    known = {depth: v.label(depth) for depth in dict.fromkeys(table.labels)}
    operands = v.stack, v.height
    for types in {id(label.types): label.types for label in known.values()}.values():
        if len(types) != default.arity:
            raise InvalidError(
                f"type mismatch: a label takes {len(types)} operands, the default {default.arity}"
            )
        v.pop_all(types)
        # They are checked again for each: where unreachable, one may be of several types.
        v.stack, v.height = operands
    v.pop_all(default.types)
    v.branch(*(known[depth] for depth in table.labels), default)
    v.stop()


def return_(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    label = v.blocks[0]
    v.pop_all(label.types)
    v.branch(label)
    v.stop()


def call(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    v.call(v.context.func(imm[0]).functype)


def _pop_callee(v: Body, imm: Imm) -> FuncType:
    table = v.context.table(imm[1])
    if not matches(table.element, FUNCREF):
        raise InvalidError(f"type mismatch: a call through a table of {table.element}")
    functype = v.context.functype(imm[0])
    v.pop(table.limits.address)
    return functype


def call_indirect(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    v.call(_pop_callee(v, imm))


def return_call(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    v.tail_call(v.context.func(imm[0]).functype)


def return_call_indirect(v: Body, imm: Imm) -> None:
    """Spec 3.3.8."""
    v.tail_call(_pop_callee(v, imm))


# Parametric instructions.


def drop(v: Body, imm: Imm) -> None:
    """Spec 3.3.4."""
    v.pop_any()


def select(v: Body, imm: Imm) -> None:
    """Spec 3.3.4, without a type: of numbers and vectors only."""
    v.pop(I32)
    second = v.pop_any()
    first = v.pop_any(second or "an operand")
    for operand in (first, second):
        if isinstance(operand, RefType):
            raise InvalidError(f"type mismatch: select without a type of {operand}")
    if first is None:
        v.push(second)
    elif second is None or matches(second, first):
        v.push(first)
    else:
        raise InvalidError(f"type mismatch: select of {first} and {second}")


def select_t(v: Body, imm: Imm) -> None:
    """Spec 3.3.4, with a type."""
    valtypes: tuple[ValType, ...] = v.context.closed(imm[0])
    if len(valtypes) != 1:
        raise InvalidError("invalid result arity")
    v.pop(I32)
    v.pop(valtypes[0])
    v.pop(valtypes[0])
    v.push(valtypes[0])


# Variable instructions.


def _local(v: Body, index: int) -> ValType:
    if index >= len(v.locals):
        raise InvalidError(f"unknown local {index}")
    return v.locals[index]


def local_get(v: Body, imm: Imm) -> None:
    """Spec 3.3.5."""
    valtype = _local(v, imm[0])
    if v.unset and imm[0] in v.unset:
        raise InvalidError(f"uninitialized local {imm[0]}")
    v.push(valtype)


def local_set(v: Body, imm: Imm) -> None:
    """Spec 3.3.5."""
    v.pop(_local(v, imm[0]))
    v.settle(imm[0])


def local_tee(v: Body, imm: Imm) -> None:
    """Spec 3.3.5."""
    valtype = _local(v, imm[0])
    v.pop(valtype)
    v.settle(imm[0])
    v.push(valtype)


def global_get(v: Body, imm: Imm) -> None:
    """Spec 3.3.5."""
    v.push(v.context.globaltype(imm[0]).type)


def global_set(v: Body, imm: Imm) -> None:
    """Spec 3.3.5."""
    globaltype = v.context.globaltype(imm[0])
    if not globaltype.mutable:
        raise InvalidError(f"immutable global {imm[0]}")
    v.pop(globaltype.type)


# Table instructions.


def table_get(v: Body, imm: Imm) -> None:
    """Spec 3.3.6."""
    table = v.context.table(imm[0])
    v.pop(table.limits.address)
    v.push(table.element)


def table_set(v: Body, imm: Imm) -> None:
    """Spec 3.3.6."""
    table = v.context.table(imm[0])
    v.pop(table.element)
    v.pop(table.limits.address)


# Reference instructions.


def ref_null(v: Body, imm: Imm) -> None:
    """Spec 3.3.3."""
    v.push(v.context.closed(imm[0]))


def ref_is_null(v: Body, imm: Imm) -> None:
    """Spec 3.3.3."""
    operand = v.pop_any("a reference")
    if operand is not None and not isinstance(operand, RefType):
        raise InvalidError(f"type mismatch: expected a reference, found {operand}")
    v.push(I32)


def ref_func(v: Body, imm: Imm) -> None:
    """Spec 3.3.3."""
    deftype = v.context.func(imm[0])
    if imm[0] not in v.context.refs:
        raise InvalidError(f"undeclared function reference {imm[0]}")
    v.push(RefType(deftype, False))


# Bulk table instructions.


def table_grow(v: Body, imm: Imm) -> None:
    """Spec 3.3.6."""
    table = v.context.table(imm[0])
    v.pop(table.limits.address)
    v.pop(table.element)
    v.push(table.limits.address)


def table_fill(v: Body, imm: Imm) -> None:
    """Spec 3.3.6."""
    table = v.context.table(imm[0])
    v.pop(table.limits.address)
    v.pop(table.element)
    v.pop(table.limits.address)


RULES: dict[str, Rule] = {
    "unreachable": unreachable,
    "block": block,
    "loop": block,
    "if": if_,
    "else": else_,
    "try": try_,
    "catch": catch,
    "throw": throw,
    "rethrow": rethrow,
    "throw_ref": throw_ref,
    "end": end,
    "br": br,
    "br_if": br_if,
    "br_table": br_table,
    "return": return_,
    "call": call,
    "call_indirect": call_indirect,
    "return_call": return_call,
    "return_call_indirect": return_call_indirect,
    "delegate": delegate,
    "catch_all": catch_all,
    "try_table": try_table,
    "drop": drop,
    "select": select,
    "select t*": select_t,
    "local.get": local_get,
    "local.set": local_set,
    "local.tee": local_tee,
    "global.get": global_get,
    "global.set": global_set,
    "table.get": table_get,
    "table.set": table_set,
    "ref.null": ref_null,
    "ref.is_null": ref_is_null,
    "ref.func": ref_func,
    "table.grow": table_grow,
    "table.fill": table_fill,
}


# What the immediates of an instruction with a signature name.


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

TYPINGS = build_typings(RULES, CHECKS)
