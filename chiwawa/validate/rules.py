"""The rules of the instructions that have no signature (spec 3.3). Those that change control, and
those of structures and arrays, have files of their own.

A rule pops and pushes on a ``Body``; what it raises gets its place from ``check_expr``.
"""

from __future__ import annotations

from dataclasses import replace

from chiwawa.validate.aggregates import AGGREGATES
from chiwawa.validate.body import Body, Imm, Rule, build_typings
from chiwawa.validate.checks import CHECKS
from chiwawa.validate.control import CONTROL
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.subtyping import matches, top
from chiwawa_runtime.state.types import I32, RefType, ValType

EQREF = RefType("eq")


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
    index = imm[0]
    if index >= len(v.locals):
        raise InvalidError(f"unknown local {index}")
    if v.unset and index in v.unset:
        raise InvalidError(f"uninitialized local {index}")
    # Nothing is more frequent.
    v.stack = (v.locals[index], v.stack)
    v.height += 1


def local_set(v: Body, imm: Imm) -> None:
    """Spec 3.3.5."""
    v.pop(_local(v, imm[0]))
    if v.unset:
        v.settle(imm[0])


def local_tee(v: Body, imm: Imm) -> None:
    """Spec 3.3.5."""
    valtype = _local(v, imm[0])
    v.pop(valtype)
    if v.unset:
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


def ref_as_non_null(v: Body, imm: Imm) -> None:
    """Spec 3.4.3."""
    v.push(replace(v.pop_ref(), nullable=False))


def ref_eq(v: Body, imm: Imm) -> None:
    """Spec 3.4.3."""
    v.pop(EQREF)
    v.pop(EQREF)
    v.push(I32)


def ref_test(v: Body, imm: Imm) -> None:
    """Spec 3.4.3."""
    _tested(v, imm)
    v.push(I32)


def ref_cast(v: Body, imm: Imm) -> None:
    """Spec 3.4.3."""
    v.push(_tested(v, imm))


def _tested(v: Body, imm: Imm) -> RefType:
    """The type that the topmost reference is tested for."""
    target = v.context.closed(RefType(imm[0], v.op.name.endswith(" null")))
    v.pop(top(target))
    return target


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
    **CONTROL,
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
    "ref.eq": ref_eq,
    "ref.as_non_null": ref_as_non_null,
    "ref.test": ref_test,
    "ref.test null": ref_test,
    "ref.cast": ref_cast,
    "ref.cast null": ref_cast,
    "table.grow": table_grow,
    "table.fill": table_fill,
    **AGGREGATES,
}

TYPINGS = build_typings(RULES, CHECKS)
