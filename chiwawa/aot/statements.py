"""The Python statements that steps are made of: safepoints, calls, choices of two suites."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from chiwawa.aot.ir import Call
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, name


@dataclass(slots=True)
class Suite:
    """Statements; whether control can fall off their end; the ``pc`` that it may have then, which
    are those of places further on in the Python loop where it stands."""

    body: list[ast.stmt]
    falls: bool
    skips_to: set[int] = field(default_factory=set)


def located(node: ast.stmt, offset: int | None) -> ast.stmt:
    """``node``, whose line in the generated file stands for the instruction at ``offset``."""
    if offset is not None:
        node.wasm = offset  # type: ignore[attr-defined]
    return node


def poll_statement(offset: int) -> ast.stmt:
    """Suspend here where a request is pending."""
    pause = located(ast.Expr(ast.Yield(None)), offset)
    return ast.If(name("poll"), [pause], [])


def call_statements(call: Call) -> list[ast.stmt]:
    """A call, from its start."""
    enter = result_statement(call, ast.YieldFrom(call.value))
    if call.target is None:
        return [enter]
    find = ast.Assign([ast.Name("target", fold.STORE)], call.target)
    direct = fold.attribute(name("target"), "direct")
    choice = ast.If(direct, [result_statement(call, call.direct)], [enter])
    return [located(find, call.offset), choice]


def result_statement(call: Call, value: Node) -> ast.stmt:
    """Take what a call gives."""
    targets: list[ast.expr] = [ast.Name(target, fold.STORE) for target in call.targets]
    if not targets:
        return located(ast.Expr(value), call.offset)
    target = targets[0] if len(targets) == 1 else ast.Tuple(targets, fold.STORE)
    return located(ast.Assign([target], value), call.offset)


def joined(test: Node, then: Suite, orelse: Suite) -> Suite:
    """An ``if`` of two suites, in its simplest form."""
    skips_to = then.skips_to | orelse.skips_to
    falls = then.falls or orelse.falls
    if not then.body and not orelse.body:
        return Suite([], True, skips_to)
    if not then.body:
        test, then, orelse = fold.invert(test), orelse, then
    body: list[ast.stmt] = [ast.If(test, then.body, orelse.body)]
    if not then.falls and orelse.body:
        body = [ast.If(test, then.body, []), *orelse.body]
    return Suite(body, falls, skips_to)


def catching(suite: Suite, arms: Sequence[tuple[int | None, Suite]]) -> Suite:
    """``suite`` in a ``try``, and the suites that run where an exception comes out of it, each of a
    tag (None: any). What none of them is for goes on."""
    chosen: list[ast.stmt] = [ast.Raise(None, None)]
    for tagidx, arm in reversed(arms):
        body = arm.body or [ast.Pass()]
        if tagidx is None:
            chosen = body
            continue
        test = ast.Compare(name("thrown.exception.tag"), [ast.Is()], [name(f"tag{tagidx}")])
        chosen = [ast.If(test, body, chosen)]
    handler = ast.ExceptHandler(name("Thrown"), "thrown", chosen)
    falls = suite.falls or any(arm.falls for _, arm in arms)
    skips_to = suite.skips_to.union(*(arm.skips_to for _, arm in arms))
    return Suite([ast.Try(suite.body, [handler], [], [])], falls, skips_to)
