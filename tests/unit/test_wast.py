"""The runner of scripts: what passes, what fails, and how failures read, on both paths."""

from itertools import pairwise, permutations
from pathlib import Path

import pytest

from chiwawa.commands.conformance import format_table, format_torture
from chiwawa.commands.moving import run_spread
from chiwawa.commands.torture import NOWHERE, Move, Stops, Torture, at, every, tour
from chiwawa.commands.wast import Culprit, Report, format_report, run_commands, run_script
from chiwawa.wat import parse_script
from chiwawa_runtime.run.instance import Run
from tests.path_helpers import IN_PYTHON, PATHS, each_path

MODULE = r"""
(module $m
  (import "spectest" "global_i32" (global $imported i32))
  (import "spectest" "print_i32" (func $print (param i32)))
  (memory 1)
  (global (export "answer") (mut f64) (f64.const 42))
  (func (export "add") (param i32 i32) (result i32)
    (call $print (local.get 0))
    (i32.add (local.get 0) (local.get 1)))
  (func (export "imported") (result i32) (global.get $imported))
  (func (export "echo") (param externref) (result externref) (local.get 0))
  (func (export "nan") (result f32) (f32.const nan:0x600000))
  (func (export "two") (result i64 f64) (i64.const -1) (f64.const -0))
  (func (export "div") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func $deep (export "deep") (call $deep))
  (func (export "load") (param i32) (result f32) (f32.load (local.get 0))))
"""


@pytest.fixture(params=PATHS)
def execution(request: pytest.FixtureRequest) -> str:
    path: str = request.param
    return path


def run(text: str, execution: str) -> Report:
    return run_commands(parse_script(text), "script.wast", execution)


def test_what_a_script_says_holds(execution: str) -> None:
    report = run(
        MODULE
        + r"""
        (assert_return (invoke "add" (i32.const -1) (i32.const 3)) (i32.const 2))
        (assert_return (invoke $m "imported") (i32.const 666))
        (assert_return (get "answer") (f64.const 42))
        (assert_return (invoke "echo" (ref.extern 7)) (ref.extern 7))
        (assert_return (invoke "echo" (ref.null extern)) (ref.null extern))
        (assert_return (invoke "nan") (f32.const nan:arithmetic))
        (assert_return (invoke "nan") (f32.const nan:0x600000))
        (assert_return (invoke "two") (i64.const 0xffff_ffff_ffff_ffff) (f64.const -0))
        (assert_return (invoke "two") (either (i64.const 0) (i64.const -1)) (f64.const -0))
        (assert_trap (invoke "div" (i32.const 0)) "integer divide by zero")
        (assert_trap (invoke "load" (i32.const -1)) "out of bounds memory access")
        (assert_exhaustion (invoke "deep") "call stack exhausted")
        (assert_trap (module (func $f unreachable) (start $f)) "unreachable")
        (assert_malformed (module quote "(func") "unexpected token")
        (assert_malformed (module binary "") "unexpected end")
        (assert_invalid (module (func (result i32))) "type mismatch")
        (assert_unlinkable (module (import "m" "x" (func))) "unknown import")
        (register "lib" $m)
        (module (import "lib" "add" (func $add (param i32 i32) (result i32)))
          (func (export "inc") (param i32) (result i32)
            (call $add (local.get 0) (i32.const 1))))
        (assert_return (invoke "inc" (i32.const 5)) (i32.const 6))
        (invoke $m "add" (i32.const 1) (i32.const 2))
        (module definition $d (global (export "g") i32 (i32.const 9)))
        (module instance $one $d)
        (assert_return (get $one "g") (i32.const 9))
        """,
        execution,
    )
    assert report.failures == []
    assert report.wordings == []
    assert report.passed == 19


@pytest.mark.parametrize(
    ("command", "got"),
    [
        ('(assert_return (invoke "add" (i32.const 1) (i32.const 1)) (i32.const 3))', "0x2"),
        ('(assert_return (invoke "nan") (f32.const nan:canonical))', "0x7fe00000"),
        ('(assert_return (invoke "two") (i64.const -1) (f64.const 0))', "0x8000000000000000"),
        ('(assert_return (invoke "two") (i64.const -1))', "0xffffffffffffffff"),
        ('(assert_return (invoke "missing"))', "none"),
        ('(assert_return (invoke "div" (i32.const 0)) (i32.const 0))', "Trap: integer divide"),
        ('(assert_trap (invoke "div" (i32.const 1)) "integer divide by zero")', "1"),
        ('(assert_trap (invoke "div" (i32.const 0)) "unreachable")', "integer divide by zero"),
        ('(assert_exhaustion (invoke "div" (i32.const 0)) "call stack exhausted")', "Trap: "),
        ('(assert_malformed (module quote "(func)") "unexpected token")', "no error"),
        ('(assert_malformed (module (func (result i32))) "")', "InvalidError: type mismatch"),
        ('(assert_invalid (module quote "(func") "")', "MalformedError: unexpected token"),
        ('(assert_unlinkable (module (import "m" "x" (func))) "incompatible")', "unknown import"),
        (
            '(assert_return (invoke "f") (v128.const i64x2 0))',
            "MalformedError: wrong number of lane",
        ),
        ('(register "a" $nothing)', "none"),
        ('(invoke "div" (i32.const 0))', "Trap: integer divide by zero"),
    ],
)
def test_what_does_not_hold_is_a_failure(command: str, got: str, execution: str) -> None:
    report = run(f"{MODULE} {command}", execution)
    (failure,) = report.failures
    assert report.passed == 0
    assert got in failure.got
    assert failure.line == MODULE.count("\n") + 1


def test_assertions_do_not_run_on_an_older_module() -> None:
    report = run(f'{MODULE} (module (func) (export "f" (func 1))) (invoke "imported")', "interp")
    assert [failure.got for failure in report.failures] == [
        "InvalidError: unknown function 1 (line 17, column 17)",
        "none: its module failed",
    ]


def test_a_refusal_in_other_words_passes_but_is_noted() -> None:
    report = run('(assert_malformed (module quote "(func") "something else")', "interp")
    assert (report.passed, report.failed) == (1, 0)
    assert "unexpected token" in report.wordings[0].got


LINKED = """
(module $m (memory (export "mem") 1 3) (table (export "tab") 3 funcref)
  (global $g (export "g") (mut externref) (ref.null extern))
  (func (export "set") (param externref) (global.set $g (local.get 0)))
  (func (export "grow") (result i32) (i32.store (i32.const 8) (i32.const 77))
    (memory.grow (i32.const 1))))
(register "m" $m)
(module $n (import "m" "mem" (memory 1)) (import "m" "tab" (table 3 funcref))
  (import "m" "grow" (func $grow (result i32)))
  (func $load (result i32) (drop (call $grow)) (i32.load (i32.const 8)))
  (elem (i32.const 1) $load $grow)
  (func (export "run") (result i32) (call_indirect (result i32) (i32.const 1)))
  (start $run) (func $run (drop (memory.size))))
(invoke $m "set" (ref.extern 5))
(assert_return (invoke $n "run") (i32.const 77))
(module (import "m" "tab" (table 3 funcref)) (import "m" "mem" (memory 2))
  (func (export "again") (result i32) (call_indirect (result i32) (i32.const 2))))
(assert_return (invoke "again") (i32.const 2))
(assert_return (get $m "g") (ref.extern 5))
(assert_trap (invoke $n "absent") "")
"""


@pytest.mark.parametrize("execution", PATHS)
def test_a_script_under_torture_gives_what_it_gives_and_is_moved(execution: str) -> None:
    commands = parse_script(LINKED)
    plain = run_commands(commands, "script.wast", execution)
    assert (plain.passed, plain.stops) == (3, None)
    for number in (1, 2, 7):
        report = run_commands(commands, "script.wast", execution, every(number))
        assert report.passed == plain.passed
        assert [f.got for f in report.failures] == [f.got for f in plain.failures]
        assert report.stops or number == 7
        assert report.boundaries is not None
        if number == 1 and execution in IN_PYTHON:
            assert report.stops == report.boundaries > 10
            line = f", moved at {report.stops} of {report.boundaries} boundaries"
            assert format_report(report).splitlines()[0].endswith(line)


TAIL_CALLS = """
(module $even (table (export "t") 1 funcref) (type $f (func (param i32) (result i32)))
  (func (export "is") (type $f) (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
    (else (return_call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))))))
(register "even" $even)
(module $odd (import "even" "t" (table 1 funcref)) (type $f (func (param i32) (result i32)))
  (import "even" "is" (func $even (type $f))) (elem (i32.const 0) $is)
  (func $is (export "is") (type $f) (if (result i32) (i32.eqz (local.get 0))
    (then (i32.const 0)) (else (return_call $even (i32.sub (local.get 0) (i32.const 1)))))))
(assert_return (invoke $even "is" (i32.const 6)) (i32.const 1))
(assert_return (invoke $odd "is" (i32.const 6)) (i32.const 0))
"""


@pytest.mark.parametrize("execution", PATHS)
def test_tail_calls_between_instances_go_on_wherever_they_are_moved(execution: str) -> None:
    commands = parse_script(TAIL_CALLS)
    report = run_commands(commands, "script.wast", execution, every(1))
    assert (report.passed, report.failures) == (2, [])
    assert report.stops


@pytest.mark.parametrize(
    ("stops", "boundaries"),
    [
        (Stops(3, 10), [4, 7, 10, 14, 17, 20]),
        (Stops(5, 5), [1, 2, 3, 4, 5, 6]),
        (Stops(2, 3, 3), [2, 3, 5, None, None, None]),
        (every(4), [4, 8, 12, 16, 20, 24]),
        (at(9), [9, None, None, None, None, None]),
        (NOWHERE, [None] * 6),
    ],
)
def test_stops_are_spread_evenly(stops: Stops, boundaries: list[int | None]) -> None:
    assert [stops.boundary(stop) for stop in range(1, 7)] == boundaries


def test_a_round_trip_goes_from_each_path_to_each_other_one() -> None:
    for others in (["b"], ["b", "c"]):
        trip = tour("a", others)
        moves = list(pairwise([*trip, trip[0]]))
        assert sorted(moves) == sorted(permutations(["a", *others], 2))


@pytest.mark.parametrize("alone", [True, False])
def test_the_move_is_found_with_which_a_script_begins_to_fail(
    alone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "breaking.wast"
    script.write_text(
        '(module (global $g (mut i32) (i32.const 0)) (func (export "f") (result i32)'
        "  (global.set $g (i32.add (global.get $g) (i32.const 1))) (nop) (nop) (global.get $g)))\n"
        '(assert_return (invoke "f") (i32.const 1))\n'
        '(assert_return (invoke "f") (i32.const 2))\n'
    )
    begin, write = Torture.__post_init__, Run.checkpoint
    tortures: list[Torture] = []

    def beginning(torture: Torture) -> None:
        tortures.append(torture)
        begin(torture)

    def wrong(run: Run) -> bytes:
        """AOT code writes another number instead of 1: always, or where all was moved before."""
        (counter,) = run.instance.globals
        torture = tortures[-1]
        if torture.path == "aot" and counter.get() == 1 and (alone or torture.stops > 1):
            counter.value = 7
        return write(run)

    monkeypatch.setattr(Torture, "__post_init__", beginning)
    monkeypatch.setattr(Run, "checkpoint", wrong)
    (report,) = run_spread(script, ["interp"], 1000)
    assert [(f.line, f.got) for f in report.failures] == [
        (2, "(i32.const 0x7)"),
        (3, "(i32.const 0x8)"),
    ]
    assert report.culprit == Culprit(Move(6, 6, "aot", "interp"), alone)
    shown = "shows it" if alone else "alone does not show it"
    assert format_report(report).endswith(
        "  it begins to fail with stop 6, at boundary 6, from aot to interp: "
        f"--path aot --torture-at 6:interp {shown}"
    )


def test_a_report_names_file_line_and_command(tmp_path: Path) -> None:
    script = tmp_path / "demo.wast"
    script.write_text(
        '(module (func (export "f") (result i32) (i32.const 1)))\n'
        '(assert_return (invoke "f") (i32.const 1))\n'
        '(assert_return (invoke "f") (i32.const 2))\n'
    )
    report = run_script(script, "interp")
    assert format_report(report).split("\n") == [
        f"{script} (interp): 1 passed, 1 failed",
        '  demo.wast:3: assert_return (invoke "f"): expected (i32.const 0x2), got (i32.const 0x1)',
    ]


def test_a_table_counts_assertions_and_says_what_is_refused(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.wast", tmp_path / "part.wast"
    whole.write_text('(module (func (export "f")))\n(assert_return (invoke "f"))\n')
    part.write_text(
        '(module (func (export "f")))\n(assert_return (invoke "f"))\n'
        '(module (type (cont 0)))\n(assert_return (invoke "f"))\n'
    )
    reports = [run_script(file, path) for file in (part, whole) for path in ("interp", "aot")]
    lines = format_table(reports).splitlines()
    assert "| script | assertions | interp | aot |" in lines
    assert "| part.wast | 2 | 1 | 1 |" in lines
    assert "| whole.wast | 1 | all | all |" in lines
    assert "| **2 scripts** | 3 | 2 | 2 |" in lines
    assert "- cont (stack switching) is not supported: part.wast" in lines
    assert "everything holds" in format_table(reports[2:])


@pytest.mark.parametrize("to", PATHS)
@each_path
def test_a_script_goes_on_where_no_boundary_comes_any_more_that_a_path_can_enter(
    path: str, to: str
) -> None:
    """A program may trap, or end, before it comes to one."""
    commands = parse_script(
        '(module $m (table (export "t") 1 funcref) (func (export "f") (param i32) (result i32)'
        "  (nop) (nop) (i32.div_u (i32.const 6) (local.get 0))))"
        '(register "m" $m)'
        '(assert_return (invoke "f" (i32.const 2)) (i32.const 3))'
        '(assert_trap (invoke "f" (i32.const 0)) "integer divide by zero")'
        '(module (import "m" "t" (table 1 funcref)) (func (export "g") (nop)))'
        '(assert_return (invoke "g"))'
    )
    for boundary in range(1, 13):
        report = run_commands(commands, "script.wast", path, at(boundary), to)
        assert (report.passed, report.failures) == (3, [])


def test_a_table_counts_boundaries_and_stops_under_torture(tmp_path: Path) -> None:
    script = tmp_path / "some.wast"
    script.write_text(
        '(module (func (export "f") (nop) (nop) (nop) (nop)))\n(assert_return (invoke "f"))\n'
        '(assert_malformed (module quote "(func") "")\n'
    )
    lines = format_torture(list(run_spread(script, ["interp", "aot"], 3))).splitlines()
    assert "| some.wast | 2 | 4 | 3 | all | 4 | 3 | all |" in lines
    assert "On the path `aot` everything holds." in lines
