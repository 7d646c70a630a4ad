"""Translated modules whose functions are plain Python functions: what being stoppable is measured
against.

The translation is taken as it is written and undone: a function that is a generator becomes one
that is called and returns; the tests for a request, what counts depth and what goes on from a
checkpoint are left out. Such a program cannot be stopped, and overflows Python's own stack.
"""

from __future__ import annotations

import ast
import io
from typing import Any

from chiwawa.aot import translate
from chiwawa.module import Module
from chiwawa_runtime.engine.translation import Bundle

#: The parameters that only being stoppable needs.
OWN = {"depth", "resume"}


def plain_bundle(module: Module) -> Bundle:
    source = io.StringIO()
    translate(module, source, polls=False)
    # Changed as a tree, so that its lines stay those that the file names.
    tree = Plain().visit(ast.parse(source.getvalue()))
    ast.fix_missing_locations(tree)
    names: dict[str, Any] = {"__name__": "plain"}
    exec(compile(tree, "<plain>", "exec"), names)
    bundle = names["BUNDLE"]
    assert isinstance(bundle, Bundle)
    return bundle


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

    def visit_Tuple(self, node: ast.Tuple) -> ast.Tuple:
        """A row of the table of functions says whether it is a generator."""
        self.generic_visit(node)
        match node.elts:
            case [ast.Name(), ast.Constant(value=True), ast.Constant(value=int()), *_]:
                node.elts[1] = ast.copy_location(ast.Constant(False), node.elts[1])
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
