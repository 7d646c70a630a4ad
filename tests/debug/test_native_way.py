"""``--path native``: where nobody looks it runs natively, and nobody sees a difference."""

from __future__ import annotations

import random
from collections.abc import Collection
from pathlib import Path

import pytest

from chiwawa.debug import session
from chiwawa.debug.history import Moment
from chiwawa.debug.listing import Place
from chiwawa.debug.machine import Machine
from tests.debug.debug_helpers import Debug

pytestmark = pytest.mark.needs("wasmtime")

NATIVE = ("--path", "native")
FIB = ("--invoke", "fib", "--params", "I32(15)")
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

RARE = """(module
  (func $leaf (param i32) (result i32) (i32.add (local.get 0) (i32.const 3)))
  (func $rare (param i32) (result i32) (call $leaf (call $leaf (local.get 0))))
  (func (export "f") (param $n i32) (result i32) (local $s i32)
    (loop $on
      (local.set $s (call $leaf (local.get $s)))
      (if (i32.eqz (i32.rem_u (local.get $n) (i32.const 1000)))
        (then (local.set $s (call $rare (local.get $s)))))
      (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s)))"""


@pytest.fixture
def flights(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Short stretches are run natively, too, with checkpoints on the way: how long each was."""
    made = []
    flown = Machine.flown

    def noted(
        self: Machine, moment: Moment, aim: int | None, places: Collection[Place]
    ) -> tuple[str, int, Moment | None]:
        result = flown(self, moment, aim, places)
        made.append(result[1] - moment.count)
        return result

    monkeypatch.setattr(Machine, "flown", noted)
    monkeypatch.setattr("chiwawa.debug.machine._NEAR", 20)
    monkeypatch.setattr("chiwawa.debug.machine._STRIDE", 2000)
    monkeypatch.setattr(session, "_SPAN", 200)
    monkeypatch.setattr(session, "_LOOKED", 10)
    return made


def same(debug: Debug, script: str, *arguments: object) -> list[str]:
    """What a session shows, natively as on the interpreter."""
    outcome = debug(script, *arguments, *NATIVE)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.lines == debug(script, *arguments).lines
    return outcome.lines


def test_it_comes_to_the_end_and_goes_back_with_the_same_numbers(
    debug: Debug, demo: Path, flights: list[int]
) -> None:
    script = "c\nback\nback\nback 3000\np\nbt\nback 1\ngoto 9\nstep 15000\np\nback 25000\nc\n"
    lines = same(debug, script, demo, *FIB)
    assert lines[1] == "the program has ended: I32(610)"
    # To the end and near it, back, and on: each natively.
    assert len(flights) > 5
    assert max(flights) > 17_000


def test_wherever_one_goes_the_checkpoint_is_that_of_the_interpreter(
    debug: Debug, demo: Path, flights: list[int]
) -> None:
    choose = random.Random(3)
    places = [choose.randint(1, 17_700) for _ in range(8)]
    script = "c\n" + "".join(f"goto {n}\ncheckpoint {n}.bin\n" for n in places)
    debug(script, demo, *FIB, *NATIVE)
    natively = [Path(f"{n}.bin").read_bytes() for n in places]
    debug(script, demo, *FIB)
    assert natively == [Path(f"{n}.bin").read_bytes() for n in places]
    assert len(flights) > 5


def test_a_trap_is_stood_before_with_its_operands(
    debug: Debug, tmp_path: Path, flights: list[int]
) -> None:
    (tmp_path / "trapping.wat").write_text(TRAPPING)
    invoke = ("trapping.wat", "--invoke", "f", "--params", "I32(1)")
    lines = same(debug, "c\nprint\nx 8 4\nback 1000\np\nc\n", *invoke)
    assert lines[1] == "trap: out of bounds memory access"
    assert max(flights) > 20_000


def test_going_back_to_a_breakpoint_looks_through_what_is_near_first(
    debug: Debug, demo: Path, flights: list[int]
) -> None:
    script = "c\nb fib+0x19\nrc\nrc\nd 1\nwatch g0\nrc\n"
    assert same(debug, script, demo, *FIB)[-2] == "this is the beginning"
    fill = ("--invoke", "fill", "--params", "I32(900)")
    assert "watch 1: $total: I32(899) -> I32(900)" in same(debug, "c\nwatch g0\nrc\n", demo, *fill)


def test_a_breakpoint_where_a_function_begins_is_come_to_natively(
    debug: Debug, tmp_path: Path, flights: list[int]
) -> None:
    (tmp_path / "rare.wat").write_text(RARE)
    invoke = ("rare.wat", "--invoke", "f", "--params", "I32(3500)")
    script = "b $rare\nc\np\nc\nback 20000\nc\ntb $rare\nc\nc\nback\nrc\nrc\nrc\nd 1\nc\n"
    lines = same(debug, script, *invoke)
    assert sum(line == "breakpoint 1" for line in lines) == 7
    assert len([each for each in flights if each > 5000]) > 4
    same(debug, "b $rare\ngoto 8000\nc\nstep 40000\ngoto 60000\nc\nc\n", *invoke)


def test_what_else_is_armed_is_stepped(debug: Debug, demo: Path, flights: list[int]) -> None:
    fill = ("--invoke", "fill", "--params", "I32(300)")
    same(debug, "watch g0\nstep 900\nc\nd 1\nb store\nc\nd 2\nback\n", demo, *fill)
    # Nothing is, and there is no safepoint on the way.
    same(debug, "c\nback\n", demo, "--invoke", "divide")


def test_output_is_shown_once(debug: Debug, tmp_path: Path, flights: list[int]) -> None:
    (tmp_path / "writing.wat").write_text(WRITING)
    lines = same(debug, "c\nback 9\nback 40\nc\nrun\nc\n", "writing.wat")
    assert [line for line in lines if len(line) == 1] == [*"abc", *"abc"]
    assert flights


def test_a_program_with_a_directory_to_write_to_runs_natively_too(
    debug: Debug, demo: Path, tmp_path: Path, flights: list[int]
) -> None:
    lines = same(debug, "c\n", demo, *FIB, "--dir", tmp_path)
    assert lines[-1] == "the program has ended: I32(610)"
    assert flights


def test_what_the_path_refuses_is_said_at_the_start(debug: Debug, tmp_path: Path) -> None:
    (tmp_path / "named.wat").write_text('(module (func (export "chiwawa:x")))')
    outcome = debug("c\n", "named.wat", "--invoke", "chiwawa:x", *NATIVE)
    assert outcome.status == 2
    assert outcome.lines == []
    assert "has a name of its own (interp and aot can run it)" in outcome.err
