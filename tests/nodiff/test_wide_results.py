"""Calls with so many results that translated code leaves them together, stopped anywhere."""

from __future__ import annotations

import pytest

from chiwawa.source import load
from tests.nodiff.harness_helpers import Call, check

MANY = 40
TYPES = "i32 " * MANY
SUBTRACT = "i32.sub " * (MANY - 1)
VALUES = " ".join(f"(i32.add (local.get 0) (i32.const {i}))" for i in range(MANY))
PASS_ON = f"""(func $t (param {TYPES}) (result {TYPES}) (loop)
  {" ".join(f"(local.get {i})" for i in reversed(range(MANY)))})"""
#: What makes them can be suspended, or cannot.
MAKERS = {
    "plain": f"(func $w (param i32) (result {TYPES}) {VALUES})",
    "loop": f"(func $w (param i32) (result {TYPES}) (loop) {VALUES})",
}
USES = {
    "summed": f"(result i32) (call $w (local.get 0)) {SUBTRACT}",
    "over an operand": f"""(result i32) (i32.mul (local.get 0) (i32.const 3))
      (call $w (local.get 0)) {SUBTRACT} i32.sub""",
    "passed on": f"(result i32) (call $w (local.get 0)) (call $t) (call $t) {SUBTRACT}",
    "a loop between": f"(result i32) (call $w (local.get 0)) (loop) {SUBTRACT}",
    "taken in part": f"""(result i32) (call $w (local.get 0)) drop i32.mul
      (call $w (local.get 0)) {"i32.sub " * (2 * MANY - 3)}""",
    "returned": f"(result {TYPES}) (call $w (local.get 0))",
    "carried out of a block": f"""(result i32) (block (result {TYPES}) (i32.const 9)
      (call $w (local.get 0)) (br_if 0 (local.get 0)) (br 0)) {SUBTRACT}""",
    "a trap after": f"""(result i32) (call $w (local.get 0)) (i32.div_u (i32.const 0))
      {SUBTRACT}""",
    "set and stored": f"""(result i32) (call $w (local.get 0)) local.set 0
      (i32.store (i32.const 0) (local.get 0)) {"i32.sub " * (MANY - 2)}
      (i32.add (i32.load (i32.const 0)))""",
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("use", USES)
def test_many_results_are_the_same_on_both_paths(maker: str, use: str) -> None:
    text = (
        f'(module (memory 1) {MAKERS[maker]} {PASS_ON} (func (export "f") (param i32) {USES[use]}))'
    )
    module = load(text)
    for arg in (0, 7):
        check(
            Call(module, "f", (arg,)),
            stops=10,
            crossings=4,
            instruction_stops=20,
            instruction_crossings=4,
        )
