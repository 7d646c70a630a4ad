"""Whole inner forms, small, as statements."""

from __future__ import annotations

import pytest

from chiwawa.aot.structure import structure
from tests.unit.aot.form_helpers import form, written

#: What it is; a module's fields, of which the last is the function; its statements.
FORMS = [
    (
        "a block is nothing, and a jump over the rest of it falls to its end",
        "(func (param i32) (block (br_if 0 (local.get 0)) (local.set 0 (i32.const 1))))",
        """\
if not l0:
    l0 = 1
return""",
    ),
    (
        "a loop whose safepoint is the only one is entered there with pc 0",
        "(func (param i32) (loop (br_if 0 (local.get 0))))",
        """\
pc = 0
while True:
    if poll:
        yield
    if not l0:
        break
return""",
    ),
    (
        "a branch out of a loop past what follows it sets pc, and a guard skips",
        """(func (param i32)
             (block
               (loop (br_if 1 (local.get 0)) (br_if 0 (i32.eqz (local.get 0))))
               (local.set 0 (i32.const 1)))
             (local.set 0 (i32.const 2)))""",
        """\
if pc <= 1:
    pc = 0
    if poll:
        yield
pc = 0
while True:
    if poll:
        yield
    if l0:
        pc = 19
        break
    if not not l0:
        break
if not pc:
    l0 = 1
pc = 0
l0 = 2
return""",
    ),
    (
        "an arm is chosen by where a frame was, and a call in progress is gone on with",
        """(func $f (param i32)
             (if (local.get 0)
               (then (call $f (i32.const 1))) (else (call $f (i32.const 2)))))""",
        """\
if pc <= 1:
    pc = 0
    if poll:
        yield
    t = l0
else:
    t = pc < 9
if t:
    if not pc:
        yield from f0_f(1, depth + 1)
    else:
        pc = 0
        yield from callee
elif not pc:
    yield from f0_f(2, depth + 1)
else:
    pc = 0
    yield from callee
return""",
    ),
    (
        "the places of a table and of safepoints are entered alike",
        """(import "h" "h" (func $h))
           (func (param i32)
             (block (block (br_table 0 1 (local.get 0))) (call $h))
             (call $h))""",
        """\
if pc <= 1:
    pc = 0
    if poll:
        yield
    if l0 >= 1:
        pc = 14
if pc <= 12:
    pc = 0
    if poll:
        yield
    yield from f0_h(depth + 1)
elif pc == 13:
    pc = 0
    yield from callee
if pc <= 14:
    pc = 0
if pc <= 15:
    pc = 0
    if poll:
        yield
    yield from f0_h(depth + 1)
else:
    pc = 0
    yield from callee
return""",
    ),
]


@pytest.mark.parametrize(("fields", "source"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_a_form_becomes_these_statements(fields: str, source: str) -> None:
    steps, lowered = form(fields)
    statements, uses_pc = structure(lowered, steps)
    assert written(statements) == source
    assert uses_pc == ("pc" in source)


def test_loops_that_nest_too_deep_become_one_that_starts_again_from_the_top() -> None:
    loops = "(loop " * 20 + "(br_if 3 (local.get 0))" + ")" * 20
    steps, lowered = form(f"(func (param i32) {loops})")
    statements, uses_pc = structure(lowered, steps)
    source = written(statements)
    assert source.count("while True") == 1
    head = lowered.body[16].offset
    assert f"pc = {head}\n" in source
    assert "continue" in source
    assert uses_pc
