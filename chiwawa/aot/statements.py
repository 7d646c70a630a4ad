"""The Python statements that control is made of: guards on ``pc``, safepoints, calls."""

from __future__ import annotations

import ast

from chiwawa.aot.items import Call
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, const, name

#: Guards in a row that are tested one by one.
ROW = 6


def located(node: ast.stmt, offset: int | None) -> ast.stmt:
    """``node``, whose line in the generated file stands for the instruction at ``offset``."""
    if offset is not None:
        node.wasm = offset  # type: ignore[attr-defined]
    return node


def set_pc(code: int) -> ast.stmt:
    return ast.Assign([ast.Name("pc", fold.STORE)], const(code))


def pc_is(op: ast.cmpop, code: int) -> Node:
    return fold.bounded(ast.Compare(name("pc"), [op], [const(code)]), 0, 1)


def not_pc() -> Node:
    return fold.bounded(ast.UnaryOp(fold.NOT, name("pc")), 0, 1)


def poll_statement(offset: int) -> ast.stmt:
    """Suspend here where a request is pending."""
    pause = located(ast.Expr(ast.Yield(None)), offset)
    return ast.If(name("poll"), [pause], [])


def call_statements(item: Call) -> list[ast.stmt]:
    """A call, from its start."""
    enter = result_statement(item, ast.YieldFrom(item.value))
    if item.target is None:
        return [enter]
    find = ast.Assign([ast.Name("target", fold.STORE)], item.target)
    direct = fold.attribute(name("target"), "direct")
    call = ast.If(direct, [result_statement(item, item.direct)], [enter])
    return [located(find, item.offset), call]


def result_statement(item: Call, value: Node) -> ast.stmt:
    """Take what a call gives."""
    targets: list[ast.expr] = [ast.Name(target, fold.STORE) for target in item.targets]
    if not targets:
        return located(ast.Expr(value), item.offset)
    target = targets[0] if len(targets) == 1 else ast.Tuple(targets, fold.STORE)
    return located(ast.Assign([target], value), item.offset)


def nested(body: list[ast.stmt]) -> list[ast.stmt]:
    """``body`` with long rows of guards put under guards, so that few are tested to find one."""
    while True:
        result: list[ast.stmt] = []
        row: list[ast.stmt] = []
        changed = False
        for statement in [*body, None]:
            if statement is not None and hasattr(statement, "upto"):
                row.append(statement)
                continue
            if len(row) > ROW * 2:
                changed = True
                for start in range(0, len(row), ROW):
                    chunk = row[start : start + ROW]
                    code = max(s.upto for s in chunk)  # type: ignore[attr-defined]
                    outer = ast.If(pc_is(ast.LtE(), code), chunk, [])
                    outer.upto = code  # type: ignore[attr-defined]
                    result.append(outer)
            else:
                result += row
            row = []
            if statement is not None:
                result.append(statement)
        body = result
        if not changed:
            return body
