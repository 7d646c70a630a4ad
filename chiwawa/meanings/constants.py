"""Constant expressions (spec 3.3.10) as Python source, from the instructions' own meanings."""

from __future__ import annotations

import ast

from chiwawa.meanings import fold
from chiwawa.meanings.expressions import text
from chiwawa.meanings.fold import Node, const, name
from chiwawa.meanings.rows import environment
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
        if instr.op.name == "global.get":
            # By what everybody sees of a global: whose it is, is the engine's business.
            stack.append(fold.attribute(item("globals", instr.imm[0]), "value"))
            continue
        env = environment(instr)
        for kind, imm in zip(instr.op.immediates, instr.imm, strict=True):
            if kind == "funcidx":
                env["func"] = item("functions", imm)
        arity = sum(1 for count in fold.uses(instr.op) if count)
        first = len(stack) - arity
        operands = stack[first:]
        del stack[first:]
        stack.append(fold.template(instr.op)(operands, env))
    (result,) = stack
    return result


def item(space: str, index: object) -> Node:
    return fold.subscript(fold.attribute(name("x"), space), const(index))


def reference(expr: Expr) -> int | str | None:
    """An element of a segment: a function index, None, or the source of its value."""
    index = referred(expr)
    if index is not None:
        return index
    node = value(expr)
    return None if isinstance(node, ast.Constant) else text(node)
