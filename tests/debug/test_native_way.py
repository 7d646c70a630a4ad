"""``--path native``: on where nobody looks, and stepping near the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.debug.debug_helpers import Debug
from tests.path_helpers import EVERY

pytestmark = pytest.mark.skipif("native" not in EVERY, reason="needs wasmtime")

NATIVE = ("--path", "native")
FIB = ("--invoke", "fib", "--params", "I32(15)")
ANEW = "not counted on the way: this is numbered from the last safepoint before on"
TRAPPING = """(module (memory 1) (func $f (export "f") (param $n i32)
  (loop $on
    (i32.store (i32.const 8) (local.get $n))
    (local.set $n (i32.add (local.get $n) (i32.const 7)))
    (drop (i32.load (i32.mul (local.get $n) (i32.const 4))))
    (br $on))))"""
WRITING = """(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "a\\n")
  (func (export "_start") (local $n i32)
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 2))
    (loop $on
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store8 (i32.const 16) (i32.add (i32.load8_u (i32.const 16)) (i32.const 1)))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $n) (i32.const 3))))))"""


def test_it_comes_to_the_end_and_can_be_stepped_before_it(debug: Debug, demo: Path) -> None:
    outcome = debug("continue\nback\nback\nback 100\ninfo\n", demo, *FIB, *NATIVE)
    assert (outcome.status, outcome.err) == (0, "")
    slowly = debug("continue\nback\nback\n", demo, *FIB)
    assert (
        outcome.lines[1:3] == [ANEW, "the program has ended: I32(610)"] == [ANEW, slowly.lines[1]]
    )
    # The same places, with numbers of their own.
    for line, other in zip(outcome.lines[3:5], slowly.lines[2:4], strict=True):
        assert line.partition(": ")[2] == other.partition(": ")[2]
    assert outcome.lines[5] == "this is the beginning"
    assert "the boundaries before the first were not counted" in outcome.lines


def test_a_trap_is_stood_before_with_its_operands(debug: Debug, tmp_path: Path) -> None:
    (tmp_path / "trapping.wat").write_text(TRAPPING)
    invoke = ("trapping.wat", "--invoke", "f", "--params", "I32(1)")
    script = "continue\nprint\nx 8 4\n"
    outcome = debug(script, *invoke, *NATIVE)
    slowly = debug(script, *invoke)
    assert outcome.lines[1] == ANEW
    said = [line.partition(": $f")[2] or line for line in outcome.lines[2:]]
    assert said == [line.partition(": $f")[2] or line for line in slowly.lines[1:]]
    assert any("out of bounds memory access" in line for line in said)


def test_what_is_watched_or_near_is_stepped_with_its_numbers(debug: Debug, demo: Path) -> None:
    fill = ("--invoke", "fill", "--params", "I32(3)")
    script = "watch g0\nstep 3\ncontinue\ndelete 1\nback\n"
    assert debug(script, demo, *fill, *NATIVE).lines == debug(script, demo, *fill).lines
    # There is no safepoint before its end.
    short = ("--invoke", "divide")
    assert debug("c\nback\n", demo, *short, *NATIVE).lines == debug("c\nback\n", demo, *short).lines


def test_output_is_shown_once(debug: Debug, tmp_path: Path) -> None:
    (tmp_path / "writing.wat").write_text(WRITING)
    outcome = debug("continue\nback 9\ncontinue\n", "writing.wat", *NATIVE)
    assert [line for line in outcome.lines if len(line) == 1] == ["a", "b", "c"]
