"""The rules of the instructions that have no signature, in the table's order (spec 3.3), and the
checks of what the immediates of the others name.

A rule pops and pushes on a ``Body``; what it raises gets its place from ``check_expr``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from chiwawa.module import BlockType, Cast, Catch, MemArg
from chiwawa.opcodes import Op
from chiwawa.validate.body import Addresses, Body, Check, Handler, Rule, build_typings
from chiwawa.validate.context import Context
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.subtyping import BOTTOM, all_match, matches, top
from chiwawa_runtime.state.types import (
    EXNREF,
    EXTERNREF,
    FUNCREF,
    I32,
    REF_EXN,
    FieldType,
    FuncType,
    PackedType,
    RefType,
    ValType,
    defaultable,
)

Imm = tuple[Any, ...]

ANYREF, EQREF, ARRAYREF = RefType("any"), RefType("eq"), RefType("array")


_NOTHING = FuncType((), ())


@lru_cache(maxsize=64)
def _giving(result: ValType) -> FuncType:
    return FuncType((), (result,))


def _blocktype(v: Body, blocktype: BlockType) -> FuncType:
    """Spec 3.2.2."""
    if blocktype is None:
        return _NOTHING
    if isinstance(blocktype, int):
        return v.context.functype(blocktype)
    return _giving(v.context.closed(blocktype) if isinstance(blocktype, RefType) else blocktype)


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


def call_ref(v: Body, imm: Imm) -> None:
    """Spec 3.4.13."""
    deftype = v.context.type(imm[0])
    functype = v.context.functype(imm[0])
    v.pop(RefType(deftype))
    v.call(functype)


def return_call_ref(v: Body, imm: Imm) -> None:
    """Spec 3.4.13."""
    v.pop(RefType(v.context.type(imm[0])))
    v.tail_call(v.context.functype(imm[0]))


def br_on_null(v: Body, imm: Imm) -> None:
    """Spec 3.4.13."""
    label = v.label(imm[0])
    operand = _pop_ref(v)
    v.pop_all(label.types)
    v.push_all(label.types)
    v.branch(label)
    v.push(replace(operand, nullable=False))


def br_on_non_null(v: Body, imm: Imm) -> None:
    """Spec 3.4.13."""
    label = v.label(imm[0])
    if not label.types:
        raise InvalidError("type mismatch: the label takes no reference")
    operand = _pop_ref(v)
    v.push(replace(operand, nullable=False))
    v.pop_all(label.types)
    v.push_all(label.types[:-1])
    v.branch(label)


def br_on_cast(v: Body, imm: Imm) -> None:
    """Spec 3.4.13."""
    source, target = _cast_types(v, imm[0])
    _branch_on(v, imm[0], source, target, _without(source, target))


def br_on_cast_fail(v: Body, imm: Imm) -> None:
    """Spec 3.4.13."""
    source, target = _cast_types(v, imm[0])
    _branch_on(v, imm[0], source, _without(source, target), target)


def _cast_types(v: Body, cast: Cast) -> tuple[RefType, RefType]:
    source, target = v.context.closed(cast.source), v.context.closed(cast.target)
    if not matches(target, source):
        raise InvalidError(f"type mismatch: {target} is no sub type of {source}")
    return source, target


def _without(source: RefType, target: RefType) -> RefType:
    """Spec 3.3.4: what a reference is that is no ``target``."""
    return replace(source, nullable=source.nullable and not target.nullable)


def _branch_on(v: Body, cast: Cast, source: RefType, taken: RefType, stays: RefType) -> None:
    """A branch that takes along a ``taken``, and otherwise leaves a ``stays``."""
    label = v.label(cast.labelidx)
    if not label.types:
        raise InvalidError("type mismatch: the label takes no reference")
    v.pop(source)
    v.push(taken)
    v.pop_all(label.types)
    v.push_all(label.types[:-1])
    v.branch(label)
    v.push(stays)


def _pop_ref(v: Body) -> RefType:
    operand = v.pop_any("a reference")
    if operand is None:
        return BOTTOM
    if not isinstance(operand, RefType):
        raise InvalidError(f"type mismatch: expected a reference, found {operand}")
    return operand


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
    v.push(replace(_pop_ref(v), nullable=False))


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


# Aggregates.


def struct_new(v: Body, imm: Imm) -> None:
    """Spec 3.4.4."""
    struct = v.context.struct(imm[0])
    v.pop_all(tuple(field.unpacked for field in struct.fields))
    _made(v, imm)


def _made(v: Body, imm: Imm) -> None:
    v.push(RefType(v.context.type(imm[0]), False))


def struct_new_default(v: Body, imm: Imm) -> None:
    """Spec 3.4.4."""
    _defaultable(*v.context.struct(imm[0]).fields)
    _made(v, imm)


def _defaultable(*fields: FieldType) -> None:
    for field in fields:
        if not defaultable(field.unpacked):
            raise InvalidError(f"type mismatch: a field of {field} has no default value")


def _field(v: Body, imm: Imm) -> FieldType:
    fields = v.context.struct(imm[0]).fields
    if imm[1] >= len(fields):
        raise InvalidError(f"unknown field {imm[1]}")
    return fields[imm[1]]


def struct_get(v: Body, imm: Imm) -> None:
    """Spec 3.4.4: struct.get, struct.get_s and struct.get_u."""
    field = _field(v, imm)
    _read(v, field)
    v.pop(RefType(v.context.type(imm[0])))
    v.push(field.unpacked)


def _read(v: Body, field: FieldType) -> None:
    """That the field is packed if the instruction says how to unpack it, and only then."""
    if isinstance(field.storage, PackedType) == (v.op.name[-2:] not in ("_s", "_u")):
        raise InvalidError(f"type mismatch: {v.op.name} of a field of {field}")


def _write(field: FieldType) -> None:
    if not field.mutable:
        raise InvalidError("immutable field")


def struct_set(v: Body, imm: Imm) -> None:
    """Spec 3.4.4."""
    field = _field(v, imm)
    _write(field)
    v.pop(field.unpacked)
    v.pop(RefType(v.context.type(imm[0])))


def _element(v: Body, imm: Imm) -> FieldType:
    return v.context.array(imm[0]).field


def array_new(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    field = _element(v, imm)
    v.pop(I32)
    v.pop(field.unpacked)
    _made(v, imm)


def array_new_default(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _defaultable(_element(v, imm))
    v.pop(I32)
    _made(v, imm)


def array_new_fixed(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    field = _element(v, imm)
    v.pop_all((field.unpacked,) * imm[1])
    _made(v, imm)


def _of_numbers(field: FieldType) -> None:
    if isinstance(field.unpacked, RefType):
        raise InvalidError("array type is not numeric or vector")


def array_new_data(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _of_numbers(_element(v, imm))
    v.context.data(imm[1])
    v.pop(I32)
    v.pop(I32)
    _made(v, imm)


def _of_elements(v: Body, imm: Imm) -> None:
    field, elem = _element(v, imm), v.context.elem(imm[1])
    if not matches(elem, field.unpacked):
        raise InvalidError(f"type mismatch: elements of {elem} for an array of {field}")


def array_new_elem(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _of_elements(v, imm)
    v.pop(I32)
    v.pop(I32)
    _made(v, imm)


def array_get(v: Body, imm: Imm) -> None:
    """Spec 3.4.5: array.get, array.get_s and array.get_u."""
    field = _element(v, imm)
    _read(v, field)
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))
    v.push(field.unpacked)


def array_set(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    field = _writable(v, imm)
    v.pop(field.unpacked)
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))


def _writable(v: Body, imm: Imm) -> FieldType:
    field = _element(v, imm)
    if not field.mutable:
        raise InvalidError("immutable array")
    return field


def array_len(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    v.pop(ARRAYREF)
    v.push(I32)


def array_fill(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    field = _writable(v, imm)
    v.pop(I32)
    v.pop(field.unpacked)
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))


def array_copy(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    target, source = _writable(v, imm), v.context.array(imm[1]).field
    packed = isinstance(target.storage, PackedType) or isinstance(source.storage, PackedType)
    if target.storage != source.storage and (
        packed or not matches(source.unpacked, target.unpacked)
    ):
        raise InvalidError("array types do not match")
    v.pop(I32)
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[1])))
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))


def array_init_data(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _of_numbers(_writable(v, imm))
    v.context.data(imm[1])
    _initialised(v, imm)


def array_init_elem(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _writable(v, imm)
    _of_elements(v, imm)
    _initialised(v, imm)


def _initialised(v: Body, imm: Imm) -> None:
    for _ in range(3):
        v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))


def any_convert_extern(v: Body, imm: Imm) -> None:
    """Spec 3.4.6."""
    _converted(v, EXTERNREF, ANYREF)


def extern_convert_any(v: Body, imm: Imm) -> None:
    """Spec 3.4.6."""
    _converted(v, ANYREF, EXTERNREF)


def _converted(v: Body, source: RefType, target: RefType) -> None:
    operand = v.pop(source)
    nullable = isinstance(operand, RefType) and operand.nullable
    v.push(replace(target, nullable=nullable))


def ref_i31(v: Body, imm: Imm) -> None:
    """Spec 3.4.6."""
    v.pop(I32)
    v.push(RefType("i31", False))


def i31_get(v: Body, imm: Imm) -> None:
    """Spec 3.4.6: i31.get_s and i31.get_u."""
    v.pop(RefType("i31"))
    v.push(I32)


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
    "call_ref": call_ref,
    "return_call_ref": return_call_ref,
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
    "br_on_null": br_on_null,
    "br_on_non_null": br_on_non_null,
    "struct.new": struct_new,
    "struct.new_default": struct_new_default,
    "struct.get": struct_get,
    "struct.get_s": struct_get,
    "struct.get_u": struct_get,
    "struct.set": struct_set,
    "array.new": array_new,
    "array.new_default": array_new_default,
    "array.new_fixed": array_new_fixed,
    "array.new_data": array_new_data,
    "array.new_elem": array_new_elem,
    "array.get": array_get,
    "array.get_s": array_get,
    "array.get_u": array_get,
    "array.set": array_set,
    "array.len": array_len,
    "array.fill": array_fill,
    "array.copy": array_copy,
    "array.init_data": array_init_data,
    "array.init_elem": array_init_elem,
    "ref.test": ref_test,
    "ref.test null": ref_test,
    "ref.cast": ref_cast,
    "ref.cast null": ref_cast,
    "br_on_cast": br_on_cast,
    "br_on_cast_fail": br_on_cast_fail,
    "any.convert_extern": any_convert_extern,
    "extern.convert_any": extern_convert_any,
    "ref.i31": ref_i31,
    "i31.get_s": i31_get,
    "i31.get_u": i31_get,
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
