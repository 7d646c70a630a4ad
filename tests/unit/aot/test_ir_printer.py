"""The inner form as text."""

from __future__ import annotations

import re
from pathlib import Path

from chiwawa.aot.ir import Block, Br, Loop
from chiwawa.aot.ir_printer import show
from chiwawa.aot.structure import structure
from tests.unit.aot.form_helpers import form, label, written

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"

FIELDS = """
    (import "h" "next" (func $next (param i32) (result i32)))
    (table 1 funcref)
    (func $f (param i32) (result i32) (local i32)
      (loop $again
        (local.set 1 (call $next (local.get 0)))
        (br_if $again (call_indirect (param i32) (result i32) (local.get 1) (i32.const 0))))
      (i32.div_u (local.get 0) (local.get 1)))"""

SHOWN = """\
loop L0:
    poll  @3
    s0 = l0
    poll  @7
    call l1 = f0_next(s0, depth + 1)  @7
    s0 = l1
    s1 = 0
    poll  @15
    call target = indirect(table0, s1, type0); s0 = target.enter(s0, depth + 1) or target.direct(s0)  @15
    if s0:  @19, 19
        br L0
s0 = l0 // l1  @25
return s0
"""  # noqa: E501


def test_each_step_is_a_line() -> None:
    assert show(form(FIELDS)[0]) == SHOWN


def test_constructs_are_numbered_and_tables_name_them() -> None:
    steps, _ = form("(func (param i32) (block (block (br_table 0 1 0 (local.get 0)))))")
    assert show(steps) == ("block L0:\n    block L1:\n        br_table l0: L1 L0 else L1\nreturn\n")


def test_a_choice_of_branches_has_no_place() -> None:
    steps, _ = form(
        """(func (param i32) (result i32)
             (block (result i32) (br_table 0 1 (i32.const 1) (local.get 0))))"""
    )
    assert "if l0 < 1:\n" in show(steps)


def test_what_a_branch_does_to_a_loop_and_a_label_that_is_not_around_are_told_apart() -> None:
    loop = label("loop", 1, 8)
    assert show([Loop(loop, [Br(loop, exits=True)])]) == "loop L0:\n    br L0 at its end\n"
    assert show([Block(label("block", 1, 8), [Br(loop)])]) == "block L0:\n    br L?\n"


def test_the_architecture_shows_a_function_its_form_and_its_statements_as_they_are() -> None:
    document = ARCHITECTURE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(wat|text)\n(.*?)^```$", document, re.DOTALL | re.MULTILINE)
    assert [language for language, _ in blocks] == ["wat", "text", "text"]
    fields, shown, statements = (block for _, block in blocks)
    steps, lowered = form(fields)
    assert show(steps) == shown
    assert written(structure(lowered, steps)[0]) + "\n" == statements
