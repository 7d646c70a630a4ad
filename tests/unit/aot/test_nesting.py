"""Constructs and operands in each other, however deep: no stack of Python's is taken for them, and
what is written of them grows with them alone."""

from __future__ import annotations

import io
import sys
import threading

import pytest

import chiwawa
from chiwawa.aot import translate
from tests.path_helpers import IN_PYTHON

NESTED = {
    "if": ("(if (local.get 0) (then ", "))"),
    "if else": ("(if (local.get 0) (then (nop)) (else (local.set 0 (i32.const 1)) ", "))"),
    "block": ("(block ", ")"),
    "loop": ("(loop ", ")"),
    "block and branch": ("(block (br_if 0 (i32.eqz (local.get 0))) ", ")"),
    "operand": ("(i32.add (i32.const 1) ", ")"),
}


def nested(kind: str, depth: int) -> chiwawa.Module:
    start, end = NESTED[kind]
    inner = "(local.get 0)" if kind == "operand" else "(local.set 0 (i32.const 7))"
    text = start * depth + inner + end * depth
    value = "" if kind == "operand" else "(local.get 0)"
    return chiwawa.load(f'(module (func (export "f") (param i32) (result i32) {text} {value}))')


def written(module: chiwawa.Module) -> int:
    out = io.StringIO()
    translate(module, out)
    return len(out.getvalue())


@pytest.mark.parametrize("kind", NESTED)
def test_ten_thousand_are_translated_on_any_stack(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there are no threads, as under WASI and in Pyodide."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    module = nested(kind, 10_000)
    monkeypatch.setattr(threading.Thread, "start", start)
    limit = sys.getrecursionlimit()
    results = [chiwawa.instantiate(module, path=path).invoke("f", [1]) for path in IN_PYTHON]
    assert results[0] == results[1]
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("kind", NESTED)
def test_what_is_written_grows_with_the_nesting_alone(kind: str) -> None:
    once, twice = written(nested(kind, 1000)), written(nested(kind, 2000))
    # A logarithm more: the places to resume at are found by halving.
    assert twice < 2.5 * once


#: A table that carries an operand to three heights of the stack.
TABLE = """
    (block $a (result i32) (i32.const 100)
      (block $b (result i32) (i32.const 200) (i32.const 300)
        (block $c (result i32) (i32.const 7) (br_table $a $b $c $a $c $b (local.get 1)))
        i32.add i32.add)
      i32.add)
    (local.set 0)"""


@pytest.mark.parametrize("depth", [1, 57, 58, 59, 80])
def test_a_table_that_moves_operands_leads_to_the_same_places_however_deep_it_stands(
    depth: int,
) -> None:
    start, end = NESTED["if"]
    text = start * depth + TABLE + end * depth
    module = chiwawa.load(
        f'(module (func (export "f") (param i32 i32) (result i32) {text} (local.get 0)))'
    )
    instance = chiwawa.instantiate(module, path="aot")
    results = [instance.invoke("f", [1, index]) for index in range(7)]
    assert results == [[7], [107], [607], [7], [607], [107], [107]]
