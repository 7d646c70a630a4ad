"""Syntax trees to source, by astor, and which line stands for which Wasm instruction.

astor writes the statements. The few kinds of expression that the translator makes, of which a
module has millions, are put into text here, with the same result several times faster. Integers
that are masks or flags are written in hexadecimal, since that is how one reads them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import astor.code_gen

#: Python's precedence, the loosest first.
(
    IF_EXP,
    NOT,
    COMPARE,
    BIT_OR,
    BIT_XOR,
    BIT_AND,
    SHIFT,
    ARITH,
    TERM,
    UNARY,
    ATOM,
) = range(11)

OPERATORS: dict[type, tuple[str, int]] = {
    ast.BitOr: (" | ", BIT_OR),
    ast.BitXor: (" ^ ", BIT_XOR),
    ast.BitAnd: (" & ", BIT_AND),
    ast.LShift: (" << ", SHIFT),
    ast.RShift: (" >> ", SHIFT),
    ast.Add: (" + ", ARITH),
    ast.Sub: (" - ", ARITH),
    ast.Mult: (" * ", TERM),
    ast.FloorDiv: (" // ", TERM),
    ast.Mod: (" % ", TERM),
}
COMPARISONS: dict[type, str] = {
    ast.Eq: " == ",
    ast.NotEq: " != ",
    ast.Lt: " < ",
    ast.LtE: " <= ",
    ast.Gt: " > ",
    ast.GtE: " >= ",
    ast.Is: " is ",
}


def text(node: Any, parent: int = IF_EXP) -> str:
    """``node`` as source, in parentheses where ``parent`` binds tighter."""
    return TEXT[type(node)](node, parent)


def _name(node: ast.Name, parent: int) -> str:
    return node.id


def _constant(node: ast.Constant, parent: int) -> str:
    value = node.value
    if type(value) is int:
        if value >= 0x10000:
            return hex(value)
        return str(value) if value >= 0 or parent < UNARY else f"({value})"
    return repr(value)


def _binop(node: ast.BinOp, parent: int) -> str:
    symbol, own = OPERATORS[type(node.op)]
    right = text(node.right, UNARY if own == SHIFT else own + 1)
    result = text(node.left, own) + symbol + right
    # Mixed bitwise and arithmetic operators are easier to read in parentheses.
    return f"({result})" if own < parent or (parent < ARITH <= own and parent > COMPARE) else result


def _compare(node: ast.Compare, parent: int) -> str:
    # Bitwise operators bind tighter than a comparison, which few readers know.
    result = text(node.left, ARITH)
    for op, right in zip(node.ops, node.comparators, strict=True):
        result += COMPARISONS[type(op)] + text(right, ARITH)
    return f"({result})" if parent >= COMPARE else result


def _unary(node: ast.UnaryOp, parent: int) -> str:
    if type(node.op) is ast.Not:
        result = "not " + text(node.operand, NOT)
        return f"({result})" if parent > NOT else result
    result = "-" + text(node.operand, UNARY)
    return f"({result})" if parent > UNARY else result


def _if_exp(node: ast.IfExp, parent: int) -> str:
    result = f"{text(node.body, NOT)} if {text(node.test, NOT)} else {text(node.orelse)}"
    return f"({result})" if parent > IF_EXP else result


def _call(node: ast.Call, parent: int) -> str:
    return f"{text(node.func, ATOM)}({', '.join(map(text, node.args))})"


def _attribute(node: ast.Attribute, parent: int) -> str:
    return f"{text(node.value, ATOM)}.{node.attr}"


def _subscript(node: ast.Subscript, parent: int) -> str:
    return f"{text(node.value, ATOM)}[{text(node.slice)}]"


def _tuple(node: ast.Tuple, parent: int) -> str:
    inner = ", ".join(text(e) for e in node.elts)
    return f"({inner},)" if len(node.elts) == 1 else f"({inner})"


TEXT: dict[type, Callable[[Any, int], str]] = {
    ast.Name: _name,
    ast.Constant: _constant,
    ast.BinOp: _binop,
    ast.Compare: _compare,
    ast.UnaryOp: _unary,
    ast.IfExp: _if_exp,
    ast.Call: _call,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Tuple: _tuple,
}


class Writer(astor.code_gen.SourceGenerator):  # type: ignore[misc]
    """astor's generator, which also notes the lines of statements that are ``located``."""

    def __init__(self) -> None:
        super().__init__("    ")
        #: (line from the start of what is written, counted from 0; code offset).
        self.lines: list[tuple[int, int]] = []
        self.line = 0

    def begin(self, node: ast.stmt) -> str:
        """Start a line, and give its indent."""
        self.line += 1
        offset = getattr(node, "wasm", None)
        if offset is not None:
            self.lines.append((self.line, offset))
        indent: int = self.indentation
        return "\n" + "    " * indent

    def visit_Assign(self, node: ast.Assign) -> None:
        start = self.begin(node)
        lefts = []
        for target in node.targets:
            parts = target.elts if isinstance(target, ast.Tuple) else [target]
            lefts.append(", ".join(map(text, parts)))
        self.result.append(f"{start}{' = '.join(lefts)} = {self.value(node.value)}")

    def visit_Expr(self, node: ast.Expr) -> None:
        self.result.append(self.begin(node) + self.value(node.value))

    def value(self, node: ast.expr) -> str:
        if isinstance(node, ast.YieldFrom):
            return f"yield from {text(node.value)}"
        if isinstance(node, ast.Yield):
            return "yield"
        return text(node)

    def visit_Return(self, node: ast.Return) -> None:
        start = self.begin(node)
        if isinstance(node.value, ast.YieldFrom):
            self.result.append(f"{start}return ({self.value(node.value)})")
            return
        self.result.append(
            start + ("return" if node.value is None else f"return {text(node.value)}")
        )

    def visit_Break(self, node: ast.Break) -> None:
        self.result.append(self.begin(node) + "break")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.result.append(self.begin(node) + "continue")

    def visit_Pass(self, node: ast.Pass) -> None:
        self.result.append(self.begin(node) + "pass")

    def visit_While(self, node: ast.While) -> None:
        self.result.append(f"{self.begin(node)}while {text(node.test)}:")
        self.suite(node.body)

    def visit_If(self, node: ast.If, word: str = "if") -> None:
        self.result.append(f"{self.begin(node)}{word} {text(node.test)}:")
        self.suite(node.body)
        if not node.orelse:
            return
        if len(node.orelse) == 1 and type(node.orelse[0]) is ast.If:
            self.visit_If(node.orelse[0], "elif")
            return
        self.line += 1
        self.result.append("\n" + "    " * self.indentation + "else:")
        self.suite(node.orelse)

    def suite(self, body: list[ast.stmt]) -> None:
        self.indentation += 1
        for statement in body or [ast.Pass()]:
            self.visit(statement)
        self.indentation -= 1

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        params = [argument.arg for argument in node.args.args]
        defaults = [text(default) for default in node.args.defaults]
        bare = len(params) - len(defaults)
        shown = params[:bare] + [f"{p}={d}" for p, d in zip(params[bare:], defaults, strict=True)]
        self.result.append(f"def {node.name}({', '.join(shown)}):")
        self.suite(node.body)

    def write_function(self, function: ast.FunctionDef) -> tuple[str, list[tuple[int, int]]]:
        """A function's source without a final newline, and (line, code offset) of located
        statements; the ``def`` is line 0."""
        self.result.clear()
        self.lines = []
        self.line = 0
        self.visit(function)
        return "".join(self.result), self.lines
