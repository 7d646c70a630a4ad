"""Programs that import of other modules, which ``run --preload`` makes instances of before."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiwawa.source import load
from tests.cli.cli_helpers import Cli, Outcome, one_line, python
from tests.path_helpers import PATHS, each_path, next_path

#: Counts in a global; is set up by _initialize, and says a line at each call where WASI does so.
LIBRARY = r"""(module $library
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "env" "unused" (func $unused))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00" "12345678")
  (table (export "table") 2 funcref)
  (global $n (export "n") (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $n (i32.const 10)))
  (func (export "next") (result i32) (local $i i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.store8 (i32.const 16) (i32.add (i32.const 87) (global.get $n)))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (loop $on
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $i) (i32.const 5))))
    (global.get $n)))"""
#: Has nothing but state, and what it makes of the library's.
STATE = """(module $state
  (import "library" "n" (global $n (mut i32)))
  (import "library" "next" (func $next (result i32)))
  (memory (export "own") 1)
  (func (export "both") (result i32)
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (call $next)))
    (i32.add (i32.load (i32.const 0)) (global.get $n))))"""
ALONE = '(module $alone (memory (export "memory") 1) (data (i32.const 0) "\\07"))'
PROGRAM = """(module $program
  (import "library" "next" (func $next (result i32)))
  (import "state" "both" (func $both (result i32)))
  (import "alone" "memory" (memory 1))
  (import "library" "table" (table 2 funcref))
  (elem (table 0) (i32.const 1) func $next)
  (func (export "main") (result i32)
    (i32.store (i32.const 4) (call $next))
    (i32.store (i32.const 8) (call $both))
    (i32.store (i32.const 12) (call_indirect (result i32) (i32.const 1)))
    (i32.add (i32.load (i32.const 0))
      (i32.add (i32.load (i32.const 4))
        (i32.add (i32.load (i32.const 8)) (i32.load (i32.const 12)))))))"""
#: 7, 11, 12 + 12, and 13.
RESULT = "bcdI32(55)\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    texts = {"library": LIBRARY, "state": STATE, "alone": ALONE, "program": PROGRAM}
    for name, text in texts.items():
        (tmp_path / f"{name}.wasm").write_bytes(load(text).binary)
    return tmp_path


def preloads(folder: Path, *names: str) -> list[str]:
    return [word for name in names for word in ("--preload", f"{name}={folder / name}.wasm")]


NAMES = ("library", "state", "alone")
MAIN = ("--invoke", "main", "--stub", "env.unused")


@each_path
def test_a_program_imports_of_what_was_there_before(files: Path, cli: Cli, path: str) -> None:
    given = ("run", files / "program.wasm", "--path", path, *MAIN)
    outcome = cli(*given, *preloads(files, *NAMES))
    assert (outcome.status, outcome.out, outcome.err) == (0, RESULT, "")


@each_path
def test_preloaded_instances_move_with_the_program(files: Path, cli: Cli, path: str) -> None:
    """Each path stops in the library and in the program with the same bytes."""
    given = preloads(files, *NAMES)
    for count in range(1, 5):
        checkpoints, said = set(), ""
        for each in PATHS:
            stop = ("--cr-at", str(count), "--cr-file", files / "checkpoint.bin")
            run = ("run", files / "program.wasm", "--path", each, *MAIN, *stop)
            outcome = cli(*run, *given)
            assert outcome.status == 0, outcome
            assert "checkpoint written" in outcome.err
            said = outcome.out
            checkpoints.add((files / "checkpoint.bin").read_bytes())
        assert len(checkpoints) == 1
        restore = ("--restore", files / "checkpoint.bin", "--stub", "*")
        outcome = cli("run", files / "program.wasm", "--path", next_path(path), *restore, *given)
        assert (outcome.status, said + outcome.out, outcome.err) == (0, RESULT, ""), count


@each_path
def test_programs_of_several_modules_are_recorded_and_replayed(
    files: Path, cli: Cli, path: str
) -> None:
    given = preloads(files, *NAMES)
    run = ("run", files / "program.wasm", "--path", path, *MAIN, *given)
    stop = ("--cr-at", "3", "--cr-keep-running", "--cr-file", files / "checkpoint.bin")
    assert cli(*run, *stop, "--record-calls", files / "calls.rec").out == RESULT
    for other in PATHS:
        again = ("run", files / "program.wasm", "--path", other, "--replay", files / "calls.rec")
        outcome = cli(*again, "--invoke", "main", *given)
        assert (outcome.status, outcome.out, outcome.err) == (0, RESULT, "")
        rest = cli(*again, "--restore", files / "checkpoint.bin", *given)
        assert rest.status == 0, rest.err
        assert RESULT.endswith(rest.out)
        assert rest.out != RESULT


def test_generated_files_import_of_generated_files(files: Path, cli: Cli) -> None:
    for name in (*NAMES, "program"):
        cli("compile", files / f"{name}.wasm", "-o", files / f"{name}.py")
    given = [word for name in NAMES for word in ("--preload", f"{name}={name}.py")]
    modules = preloads(files, *NAMES)
    outcome = python(files, "program.py", *MAIN, *given)
    assert (outcome.status, outcome.out, outcome.err) == (0, RESULT, "")
    for count in (2, 3):
        stop = ("--cr-at", str(count), "--cr-file", files / "mine.bin")
        stopped = python(files, "program.py", *MAIN, *given, *stop)
        cli("run", files / "program.wasm", *MAIN, *modules, *stop[:-1], files / "ours.bin")
        assert (files / "mine.bin").read_bytes() == (files / "ours.bin").read_bytes()
        restore = ("--restore", files / "mine.bin", "--stub", "*")
        for rest in (
            python(files, "program.py", *restore, *given),
            cli("run", files / "program.wasm", *restore, *modules),
        ):
            assert (rest.status, stopped.out + rest.out, rest.err) == (0, RESULT, "")
    said = one_line(python(files, "program.py", *MAIN, *modules))
    assert said.startswith("--preload library: ")
    assert "is no file that this version of chiwawa compiled" in said
    said = one_line(python(files, "program.py", "--restore", files / "mine.bin"))
    assert said.startswith('the module "library" of a linked instance is not given')
    cli("compile", files / "alone.wasm", "-o", files / "alone.py", "--granularity", "instruction")
    said = one_line(python(files, "program.py", *MAIN, *given))
    assert said.startswith("--preload alone: it was compiled with --granularity instruction")


def test_auto_takes_a_path_that_all_can_take(files: Path, cli: Cli) -> None:
    given = preloads(files, *NAMES)
    outcome = cli("run", files / "program.wasm", "--path", "auto", *MAIN, *given)
    assert (outcome.status, outcome.out) == (0, RESULT)
    assert f"running on the path {PATHS[-1]}" in outcome.err


def test_what_does_not_fit_is_said_in_a_line(files: Path, cli: Cli) -> None:
    run = ("run", files / "program.wasm", *MAIN)
    said = one_line(cli(*run, *preloads(files, "state")))
    assert said == '--preload state: unknown imports "library" "n", "library" "next"'
    assert '"state" "both"' in one_line(cli(*run, *preloads(files, "library")))
    assert "NAME=MODULE expected, not 'x'" in one_line(cli(*run, "--preload", "x"))
    (files / "alone.wasm").write_bytes(load('(module $alone (func (export "memory")))').binary)
    said = one_line(cli(*run, *preloads(files, *NAMES)))
    assert said.startswith('incompatible import type for "alone" "memory": wanted ')
    restore = ("run", files / "program.wasm", "--restore", files / "no.bin")
    assert "no.bin" in one_line(cli(*restore, *preloads(files, "library")))


#: Its start function passes a safepoint where it begins, and one each round.
BUSY = """(module (func $rounds (param i32)
    (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $start (call $rounds (i32.const 20)))
  (start $start)
  (func (export "one") (result i32) (i32.const 1)))"""
USING = """(module (import "busy" "one" (func $one (result i32)))
  (func (export "main") (result i32) (local $n i32)
    (loop $on
      (local.set $n (i32.add (local.get $n) (call $one)))
      (br_if $on (i32.lt_u (local.get $n) (i32.const 30))))
    (local.get $n)))"""


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    for name, text in (("busy", BUSY), ("using", USING)):
        (tmp_path / f"{name}.wasm").write_bytes(load(text).binary)
    return tmp_path


def ran_out(outcome: Outcome, said: str) -> None:
    assert (outcome.status, outcome.out) == (124, "")
    assert outcome.err == f"chiwawa: stopped: {said}\n"


@each_path
def test_what_is_preloaded_spends_of_the_same_fuel_and_time(
    busy: Path, cli: Cli, path: str
) -> None:
    run = ("run", busy / "using.wasm", "--invoke", "main", "--path", path, *preloads(busy, "busy"))
    for fuel in (1, 20):
        ran_out(
            cli(*run, "--fuel", fuel),
            f"--preload busy: out of fuel, at safepoint {fuel}, before the program has begun",
        )
    # It passes 21, and all else 60: two at each round.
    for fuel, passed in ((22, 1), (23, 2), (40, 19), (81, 60)):
        ran_out(cli(*run, "--fuel", fuel), f"out of fuel, at safepoint {passed}")
    assert cli(*run, "--fuel", 82).out == "I32(30)\n"
    (busy / "busy.wasm").write_bytes(load(BUSY.replace("(i32.const 20)", "(i32.const 0)")).binary)
    ran_out(
        cli(*run, "--timeout", "0.05", "--cr"),
        "--preload busy: out of time, after 0.05 seconds, before the program has begun",
    )


def test_generated_files_spend_of_the_same_fuel(busy: Path, cli: Cli) -> None:
    for name in ("busy", "using"):
        cli("compile", busy / f"{name}.wasm", "-o", busy / f"{name}.py")
    run = ("using.py", "--invoke", "main", "--preload", "busy=busy.py", "--fuel")
    ran_out(
        python(busy, *run, 20),
        "--preload busy: out of fuel, at safepoint 20, before the program has begun",
    )
    assert python(busy, *run, 40).status == 124
    assert python(busy, *run, 10_000).out == "I32(30)\n"
