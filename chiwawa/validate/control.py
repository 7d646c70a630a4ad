"""The rules of the instructions that change control (spec 3.3.8 and 3.4.13)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from chiwawa.module import BlockType, Cast, Catch
from chiwawa.validate.body import Body, Handler, Imm, Rule
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.subtyping import all_match, matches
from chiwawa_runtime.state.types import EXNREF, FUNCREF, I32, REF_EXN, FuncType, RefType, ValType

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
    operand = v.pop_ref()
    v.pop_all(label.types)
    v.push_all(label.types)
    v.branch(label)
    v.push(replace(operand, nullable=False))


def br_on_non_null(v: Body, imm: Imm) -> None:
    """Spec 3.4.13."""
    label = v.label(imm[0])
    if not label.types:
        raise InvalidError("type mismatch: the label takes no reference")
    operand = v.pop_ref()
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


CONTROL: dict[str, Rule] = {
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
    "br_on_null": br_on_null,
    "br_on_non_null": br_on_non_null,
    "br_on_cast": br_on_cast,
    "br_on_cast_fail": br_on_cast_fail,
}
