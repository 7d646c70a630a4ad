"""What rules make of an instruction, shown by the printer of the inner form."""

from __future__ import annotations

import pytest

from chiwawa.aot.ir_printer import show
from tests.unit.aot.form_helpers import form

#: What it is; a module's fields, of which the last is the function; its form.
FORMS = [
    (
        "an operand waits as an expression until a local that it reads is set",
        "(func (param i32) (result i32) (local.get 0) (local.set 0 (i32.const 1)))",
        """\
s0 = l0
l0 = 1
return s0
""",
    ),
    (
        "what reads memory, or may trap, is done before memory is written",
        """(memory 1)
           (func (param i32) (result i32)
             (i32.load (local.get 0)) (i32.store (local.get 0) (i32.const 7)))""",
        """\
s0 = load_u32(m0, l0)[0]  @3
store_u32(m0, l0, 7)  @10
return s0
""",
    ),
    (
        "what is dropped is done where it may trap, and not otherwise",
        "(memory 1) (func (param i32) (drop (local.get 0)) (drop (i32.load (local.get 0))))",
        """\
load_u32(m0, l0)[0]  @6
return
""",
    ),
    (
        "rounding is in line, by a cell",
        "(func (param f32) (result f32) (f32.add (local.get 0) (local.get 0)))",
        """\
f32_cell[0] = l0 + l0
return f32_cell[0]
""",
    ),
    (
        "before a call that may be suspended all is in variables; a local takes its result",
        """(func $f (result i32) (loop) (i32.const 1))
           (func (param i32) (result i32) (local.get 0) (local.set 0 (call $f)))""",
        """\
poll  @1
s0 = l0
call l0 = f0_f(depth)  @3
return s0
""",
    ),
    (
        "across a call that cannot be suspended operands stay pending",
        """(func $f (param i32) (result i32) (local.get 0))
           (func (param i32) (result i32) (i32.mul (local.get 0) (call $f (i32.const 3))))""",
        """\
poll  @1
s1 = f0_f(3)  @5
return (l0 * s1) & 0xffffffff
""",
    ),
    (
        "a branch moves what it takes along to where its target expects it",
        "(func (result i32) (block (result i32) (i32.const 7) (i32.const 8) (br 0)))",
        """\
block L0:
    s1 = 8
    s0 = s1
    br L0
return s0
""",
    ),
    (
        "both arms of an if put its result into the same variable",
        """(func (param i32) (result i32)
             (if (result i32) (local.get 0) (then (i32.const 7)) (else (i32.const 8))))""",
        """\
if l0:  @7, 10
    s0 = 7
else:
    s0 = 8
return s0
""",
    ),
    (
        "a loop's parameters are in their variables before it",
        """(func (param i32) (result i32)
             (i32.const 5) (loop (param i32) (result i32) (br_if 0 (local.get 0))))""",
        """\
poll  @1
s0 = 5
loop L0:
    poll  @3
    if l0:  @8, 8
        br L0
return s0
""",
    ),
    (
        "a table that takes operands to several places becomes a choice of branches",
        """(func (param i32) (result i32)
             (i32.const 9)
             (block (result i32)
               (i32.const 8) (br_table 0 1 (i32.const 7) (local.get 0)))
             i32.add)""",
        """\
s0 = 9
block L0:
    s2 = 7
    if l0 < 1:
        s1 = s2
        br L0
    else:
        return s2
return (s0 + s1) & 0xffffffff
""",
    ),
    (
        "what cannot be reached is left out",
        "(func (param i32) unreachable (local.set 0 (i32.const 1)))",
        "unreachable()  @1\n",
    ),
]


@pytest.mark.parametrize(("fields", "shown"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_a_function_becomes_this_form(fields: str, shown: str) -> None:
    assert show(form(fields)[0]) == shown
