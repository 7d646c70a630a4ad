"""Folding: what is simplified has the value that the table's meaning has, within its bounds."""

from __future__ import annotations

import ast
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chiwawa.meanings import fold
from chiwawa.meanings.expressions import text
from chiwawa.meanings.rows import high, traits_of
from chiwawa.opcodes import TABLE, Op
from chiwawa_runtime.state.numerics import NAMESPACE
from chiwawa_runtime.state.types import I32, I64, NumType, ValType

INTEGERS = (I32, I64)


def of_integers(op: Op) -> bool:
    if op.meaning is None or op.signature is None or op.immediates or "t" in op.effects:
        return False
    return bool(op.params) and all(t in INTEGERS for t in (*op.params, *op.results))


OPS = [op for op in TABLE if of_integers(op)]


def values(valtype: ValType) -> st.SearchStrategy[int]:
    assert isinstance(valtype, NumType)
    bits = valtype.bits
    edges = [0, 1, 2, 31, 32, 63, 64, 255, 256, (1 << bits) - 1, 1 << (bits - 1)]
    edges += [(1 << (bits - 1)) - 1, (1 << (bits - 1)) + 1, (1 << bits) - 2]
    return st.sampled_from([e for e in edges if e < 1 << bits]) | st.integers(0, (1 << bits) - 1)


@st.composite
def expressions(
    draw: st.DrawFn, valtype: ValType, depth: int = 3, place: str = "v"
) -> tuple[Any, int, dict[str, int]]:
    """A node, its value by the meanings alone, and the variables in it."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        value = draw(values(valtype))
        if draw(st.booleans()):
            return fold.const(value), value, {}
        # What a global has, say, is bounded by nothing that this knows.
        bound = None if draw(st.integers(0, 7)) == 0 else high(valtype)
        return fold.name(place, bound), value, {place: value}
    op = draw(st.sampled_from([op for op in OPS if op.results == (valtype,)]))
    operands = [draw(expressions(t, depth - 1, f"{place}_{i}")) for i, t in enumerate(op.params)]
    plain = dict(zip("abc", (value for _, value, _ in operands), strict=False))
    assert op.meaning is not None
    value = int(eval(op.meaning, {**NAMESPACE, **plain}))
    variables = {k: v for _, _, more in operands for k, v in more.items()}
    nodes = []
    for (node, its_value, _), count in zip(operands, traits_of(op).counts, strict=False):
        if count > 1 and not fold.is_atom(node):
            # The translator puts such an operand into a variable.
            variable = f"{place}_s{len(nodes)}"
            variables[variable] = its_value
            node = fold.name(variable, high(valtype))
        nodes.append(node)
    node = traits_of(op).template(nodes, {})
    top = traits_of(op).high
    if node.lo is None:
        node.lo, node.hi = 0, top
    elif top is not None and node.hi > top:
        node.hi = top
    return node, value, variables


@given(st.sampled_from(INTEGERS).flatmap(expressions))
def test_a_simplified_expression_has_the_value_of_its_meaning_within_its_bounds(
    case: tuple[Any, int, dict[str, int]],
) -> None:
    node, value, variables = case
    source = text(node)
    assert int(eval(source, {**NAMESPACE, **variables})) == value, source
    assert node.lo is None or node.lo <= value <= node.hi, source


@given(st.sampled_from(INTEGERS).flatmap(expressions))
def test_source_has_the_parentheses_that_its_tree_needs(
    case: tuple[Any, int, dict[str, int]],
) -> None:
    node, _, variables = case
    tree = ast.fix_missing_locations(ast.Expression(node))
    by_tree = eval(compile(tree, "tree", "eval"), {**NAMESPACE, **variables})
    assert eval(text(node), {**NAMESPACE, **variables}) == by_tree
