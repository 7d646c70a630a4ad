"""Translated modules whose functions are plain Python functions: what being stoppable is measured
against.

The translation is taken as it is and undone: a function that is a generator becomes one
that is called and returns; the tests for a request, what counts depth and what goes on from a
checkpoint are left out. Such a program cannot be stopped, and overflows Python's own stack.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from chiwawa.aot import translate_on_demand
from chiwawa.module import Module
from chiwawa.program import program_of
from chiwawa_runtime.engine.deferred import Deferred
from chiwawa_runtime.engine.translation import Bundle, Code
from chiwawa_runtime.state.program import SuspensionPoints

#: The parameters that only being stoppable needs.
OWN = {"depth", "resume"}


def plain_bundle(module: Module) -> Bundle:
    bundle = translate_on_demand(module, program_of(module), polls=False)
    return replace(bundle, codes=[PlainCode(code) for code in bundle.codes])


class PlainCode:
    """A function without a place to be suspended at."""

    generator = False
    slots = 0
    lines: Mapping[int, int] = {}
    points = SuspensionPoints((), {}, {})

    def __init__(self, code: Code) -> None:
        source = code.function
        self.function = Deferred(
            source.name, source.filename, source.first_line, lambda: plain(source.text())
        )


def plain(source: str) -> str:
    return ast.unparse(ast.fix_missing_locations(Plain().visit(ast.parse(source))))


class Plain(ast.NodeTransformer):
    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        parameters = [argument.arg for argument in node.args.args]
        if "resume" in parameters:
            node.args.args = [a for a in node.args.args if a.arg not in OWN]
            node.args.defaults = []
            # The test of the depth and of what to go on from, neither of which is there any more,
            # and the ``if 0: yield`` that makes a generator of what has no safepoint.
            node.body = [s for s in node.body if not (tests(s, *OWN) or is_never(s))]
            self.generic_visit(node)
            if not jumps(node):
                node.body = Straight().body(node.body)
            assert not any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(node))
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.expr:
        value: ast.expr = self.visit(node.value)
        return value

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        node.args = [a for a in node.args if not names_in(a) or not names_in(a) <= OWN]
        return node


class Straight:
    """The body of a function in which ``pc`` is always 0, without ``pc``."""

    def body(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        result: list[ast.stmt] = []
        for statement in statements:
            match statement:
                case ast.If(test=test) if names_in(test) == {"pc"}:
                    known = eval(compile(ast.Expression(test), "<pc>", "eval"), {"pc": 0})
                    result += self.body(statement.body if known else statement.orelse)
                case ast.If() | ast.While() | ast.For():
                    statement.body = self.body(statement.body) or [ast.Pass()]
                    statement.orelse = self.body(statement.orelse)
                    result.append(statement)
                case ast.Assign(targets=[*targets], value=ast.Constant()):
                    statement.targets = [t for t in targets if names_in(t) != {"pc"}]
                    result += [statement] if statement.targets else []
                case _:
                    result.append(statement)
        return result


def jumps(node: ast.FunctionDef) -> bool:
    """Whether ``pc`` is ever another number than 0: where a branch leads far."""
    return any(
        isinstance(n, ast.Assign)
        and any("pc" in names_in(t) for t in n.targets)
        and not (isinstance(n.value, ast.Constant) and n.value.value == 0)
        for n in ast.walk(node)
    )


def tests(statement: ast.stmt, *names: str) -> bool:
    return isinstance(statement, ast.If) and bool(names_in(statement.test) & {*names})


def is_never(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) == "0"


def names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
