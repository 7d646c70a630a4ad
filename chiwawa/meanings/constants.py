"""Constant expressions (spec 3.3.10) as Python source, from the instructions' own meanings."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from chiwawa.immediates import INDICES
from chiwawa.meanings import fold
from chiwawa.meanings.environment import Things, environment
from chiwawa.meanings.expressions import text
from chiwawa.meanings.fold import Node, const, name
from chiwawa.meanings.rows import VARIABLES
from chiwawa.module import INTEGERS, Expr, Instr, referred
from chiwawa_runtime.state.heap import fields_of
from chiwawa_runtime.state.types import DefType

#: Operations in each other that Python reads as one expression.
_DEEPEST = 40


def constant(expr: Expr, types: Sequence[DefType] = ()) -> str:
    """The source of the value of ``expr`` in an instance, ``x``
    (``chiwawa_runtime.state.program.Constant``), of a module that has ``types``."""
    if len(expr) == 2 and expr[0].op.immediates in INTEGERS:
        # So are the places of nearly all segments, of which there can be tens of thousands.
        return str(expr[0].imm[0])
    before: list[str] = []
    result = text(value(expr, before, types))
    return f"({', '.join([*before, result])})[-1]" if before else result


def value(expr: Expr, before: list[str], types: Sequence[DefType]) -> Node:
    """The value of ``expr``, in terms of an instance ``x``, and of what is to be worked out before
    it, where ``expr`` is nested deeper than Python can read."""
    stack: list[Node] = []
    depths: list[int] = []
    for instr in expr:
        if instr.op.ends:
            break
        if "globalidx" in instr.op.immediates:
            # As any engine gives it: whose the global is, is the engine's business.
            (found,) = OF_INSTANCE["globalidx"](None, instr.imm[0])
            stack.append(fold.apply(fold.attribute(found, "get"), []))
            depths.append(0)
            continue
        env = environment(instr, OF_INSTANCE, None)
        meaning = instr.op.meaning
        arity = made_of(instr, types)
        first = len(stack) - arity
        operands = stack[first:]
        depth = max(depths[first:], default=0) + 1
        del stack[first:], depths[first:]
        node: Node
        if meaning is None:
            node = fold.bounded(ast.List([env["type"], *operands], fold.LOAD), None, None)
        else:
            node = fold.template(instr.op)(operands, env)
        if depth > _DEEPEST:
            variable = f"t{len(before)}"
            before.append(f"{variable} := {text(node)}")
            node, depth = name(variable), 0
        stack.append(node)
        depths.append(depth)
    (result,) = stack
    return result


def made_of(instr: Instr, types: Sequence[DefType]) -> int:
    """How many operands the instruction takes."""
    if instr.op.meaning is not None:
        return sum(1 for count in fold.uses(instr.op) if count)
    if "count" in instr.op.immediates:
        count: int = instr.imm[1]
        return count
    return len(fields_of(types[instr.imm[0]]))


def item(space: str) -> Callable[[None, int], tuple[Node]]:
    return lambda _, index: (fold.subscript(fold.attribute(name("x"), space), const(index)),)


#: What the immediates of a constant instruction name: what is no value is the instance's.
OF_INSTANCE: Things[None, Node] = {
    **VARIABLES,
    **{kind.name: item(kind.things) for kind in INDICES},
}


def reference(expr: Expr, types: Sequence[DefType]) -> int | str | None:
    """An element of a segment: a function index, None, or the source of its value."""
    index = referred(expr)
    if index is not None:
        return index
    if len(expr) == 2 and expr[0].op.meaning == "None":
        return None
    return constant(expr, types)
