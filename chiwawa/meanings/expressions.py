"""The few kinds of expression that the translator makes, as source.

A module has millions of them, which this writes as astor would, several times faster; and constant
expressions, which both paths have, need no more. Integers that are masks or flags are written in
hexadecimal, since that is how one reads them.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

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
    ast.IsNot: " is not ",
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


def _list(node: ast.List, parent: int) -> str:
    return f"[{', '.join(map(text, node.elts))}]"


def _or(node: ast.BoolOp, parent: int) -> str:
    result = " or ".join([text(each, NOT) for each in node.values])
    return f"({result})" if parent > IF_EXP else result


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
    ast.List: _list,
    ast.BoolOp: _or,
}
