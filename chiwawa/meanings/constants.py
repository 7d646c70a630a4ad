"""Constant expressions (spec 3.3.10) as Python source, from the instructions' own meanings."""

from __future__ import annotations

import ast
from collections.abc import Callable

from chiwawa.immediates import INDICES
from chiwawa.meanings import fold
from chiwawa.meanings.environment import Things, environment
from chiwawa.meanings.expressions import text
from chiwawa.meanings.fold import Node, const, name
from chiwawa.meanings.rows import VARIABLES
from chiwawa.module import Expr, referred


def constant(expr: Expr) -> str:
    """The source of the value of ``expr`` in an instance, ``x``
    (``chiwawa_runtime.state.program.Constant``)."""
    return text(value(expr))


def value(expr: Expr) -> Node:
    """The value of ``expr``, in terms of an instance ``x``."""
    stack: list[Node] = []
    for instr in expr:
        if instr.op.ends:
            break
        if "globalidx" in instr.op.immediates:
            # By what everybody sees of a global: whose it is, is the engine's business.
            (found,) = OF_INSTANCE["globalidx"](None, instr.imm[0])
            stack.append(fold.attribute(found, "value"))
            continue
        env = environment(instr, OF_INSTANCE, None)
        arity = sum(1 for count in fold.uses(instr.op) if count)
        first = len(stack) - arity
        operands = stack[first:]
        del stack[first:]
        stack.append(fold.template(instr.op)(operands, env))
    (result,) = stack
    return result


def item(space: str) -> Callable[[None, int], tuple[Node]]:
    return lambda _, index: (fold.subscript(fold.attribute(name("x"), space), const(index)),)


#: What the immediates of a constant instruction name: what is no value is the instance's.
OF_INSTANCE: Things[None, Node] = {
    **VARIABLES,
    **{kind.name: item(kind.things) for kind in INDICES},
}


def reference(expr: Expr) -> int | str | None:
    """An element of a segment: a function index, None, or the source of its value."""
    index = referred(expr)
    if index is not None:
        return index
    node = value(expr)
    return None if isinstance(node, ast.Constant) else text(node)
