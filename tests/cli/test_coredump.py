"""``run --coredump`` and ``run --record``: the state at a trap, the same on every path."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from chiwawa.source import load
from chiwawa_runtime import checkpoint
from tests.cli.cli_helpers import Cli, one_line, python
from tests.need_helpers import need
from tests.path_helpers import PATHS, each_path

CRASHES = {
    "divide": (
        """(module (memory 1)
        (func $deep (param i32) (result i32) (local i64)
          (local.set 1 (i64.const 5))
          (i32.store (local.get 0) (i32.const 77))
          (if (result i32) (i32.eqz (local.get 0))
            (then (i32.const 9) (i32.const 8) (i32.div_u (i32.const 7) (local.get 0))
              drop drop)
            (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
        (func (export "_start") (drop (call $deep (i32.const 40)))))""",
        42,
    ),
    "unreachable": (
        '(module (func $f (param i32) unreachable) (func (export "_start") (local i32)\n'
        "(loop (local.set 0 (i32.add (local.get 0) (i32.const 1)))\n"
        "(br_if 0 (i32.lt_u (local.get 0) (i32.const 50)))) (call $f (local.get 0))))",
        2,
    ),
    "leaf": (
        """(module (memory 1) (func $leaf (param i32) (result i32) (i32.load (local.get 0)))
        (func (export "_start") (drop (call $leaf (i32.const 70000)))))""",
        2,
    ),
    "indirect": (
        """(module (table 1 funcref) (type $t (func))
        (func (export "_start") (call_indirect (type $t) (i32.const 0))))""",
        1,
    ),
    "wasi": (
        """(module (import "wasi_snapshot_preview1" "clock_time_get"
          (func $clock (param i32 i64 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local i32)
          (loop $on
            (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 8)))
            (br_if $on (i32.lt_u
              (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100))))
          (i64.store (i32.const 65530) (i64.load (i32.const 8)))))""",
        1,
    ),
    "exhausted": (
        '(module (func $f (export "_start") (param) (local i64 i64) (call $f)))',
        2000,
    ),
    "throw": (
        '(module (tag $e (param i32)) (func (export "_start") (throw $e (i32.const 5))))',
        1,
    ),
    "segment": (
        """(module (memory 1) (data $d "abc") (func (export "_start")
          (data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 2))))""",
        1,
    ),
}


@pytest.mark.parametrize("name", CRASHES)
def test_a_dump_has_all_frames_before_the_instruction_and_is_the_same_on_each_path(
    name: str, tmp_path: Path, cli: Cli
) -> None:
    text, frames = CRASHES[name]
    (tmp_path / "crash.wat").write_text(text)
    dumps = {}
    for path in PATHS:
        # The host's clocks are not the same twice.
        outcome = cli(
            *("run", "crash.wat", "--deterministic", "--path", path, "--coredump", "core.bin"),
            *("--max-depth", "2000"),
        )
        assert outcome.status == 134, outcome.err
        assert outcome.err.splitlines()[0] == "chiwawa: core dump written to core.bin"
        data = (tmp_path / "core.bin").read_bytes()
        snapshot = checkpoint.decode(data)
        assert len(snapshot.frames) == frames
        dumps[path] = data
    assert len(set(dumps.values())) == 1


@each_path
@pytest.mark.parametrize("name", CRASHES)
def test_whoever_goes_on_from_a_dump_comes_to_the_trap_at_once(
    name: str, path: str, tmp_path: Path, cli: Cli
) -> None:
    text, _ = CRASHES[name]
    (tmp_path / "crash.wat").write_text(text)
    on_path = ("run", "crash.wat", "--path", path, "--max-depth", "2000")
    first = cli(*on_path, "--coredump", "core.bin")
    again = cli(*on_path, "--restore", "core.bin")
    assert again.status == 134
    assert again.err.splitlines()[0] == first.err.splitlines()[1]
    assert again.err.splitlines()[1:] == first.err.splitlines()[2:]


@each_path
def test_the_flight_recorder_writes_a_checkpoint_before_the_trap_and_the_calls_since(
    path: str, tmp_path: Path, cli: Cli
) -> None:
    text = CRASHES["wasi"][0].replace("(i32.const 100)", "(i32.const 1000)")
    (tmp_path / "crash.wat").write_text(text)
    outcome = cli("run", "crash.wat", "--path", path, "--record", "3:100")
    assert outcome.status == 134
    assert outcome.err.splitlines()[0] == (
        "chiwawa: core dump written to core.bin; --restore core.before.bin --replay core.calls "
        "comes there"
    )
    before = checkpoint.decode((tmp_path / "core.before.bin").read_bytes())
    assert before.safepoints == 1800
    for other in PATHS:
        again = cli(
            *("run", "crash.wat", "--path", other, "--restore", "core.before.bin"),
            *("--replay", "core.calls", "--coredump", "again.bin"),
        )
        assert again.status == 134
        # But for the state of WASI, which a replay has not got.
        dump, found = (
            checkpoint.encode(replace(checkpoint.decode((tmp_path / name).read_bytes()), wasi=None))
            for name in ("core.bin", "again.bin")
        )
        assert found == dump


@pytest.mark.parametrize("name", CRASHES)
def test_a_generated_file_by_itself_writes_where_its_last_safepoint_was(
    name: str, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "crash.wat").write_text(CRASHES[name][0])
    depth = ("--max-depth", "2000")
    run = ("run", "crash.wat", *depth, "--coredump", "exact.bin")
    for granularity in ("safepoint", "instruction"):
        cli("compile", "crash.wat", "--deterministic", "--granularity", granularity)
        mine = ("crash_aot.py", "--deterministic", *depth, "--record", "2:50")
        outcome = python(tmp_path, *mine, "--coredump", "core.bin")
        assert outcome.status == 134
        first, *rest = outcome.err.splitlines()
        assert ("of the last safepoint before that" in first) == (granularity == "safepoint")
        # But for the state of WASI, which a replay has not got.
        again = cli(
            *("run", "crash.wat", *depth, "--restore", "core.bin", "--replay", "core.calls"),
            *("--coredump", "again.bin"),
        )
        assert again.status == 134
        assert again.err.splitlines()[1] == rest[0]
        cli(*run, "--deterministic", "--granularity", granularity)
        exact, found = (
            replace(checkpoint.decode((tmp_path / file).read_bytes()), wasi=None, safepoints=None)
            for file in ("exact.bin", "again.bin")
        )
        assert checkpoint.encode(found) == checkpoint.encode(exact)
        if granularity == "instruction":
            assert (tmp_path / "core.bin").read_bytes() == (tmp_path / "exact.bin").read_bytes()


@each_path
def test_the_dump_itself_is_gone_on_from_with_the_calls_since(
    path: str, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "crash.wat").write_text(CRASHES["wasi"][0])
    first = cli("run", "crash.wat", "--path", path, "--record", "3:50")
    restore = ("--restore", "core.bin", "--replay", "core.calls")
    for other in PATHS:
        again = cli("run", "crash.wat", "--path", other, *restore)
        assert again.err.splitlines() == first.err.splitlines()[1:]


@each_path
def test_a_host_function_that_fails_leaves_the_state_before_its_call(
    path: str, tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "crash.wat").write_text(
        """(module
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (func (export "_start") (drop (call $close (i32.const 3)))))"""
    )
    outcome = cli("run", "crash.wat", "--path", path, "--coredump", "core.bin")
    assert outcome.status == 134
    assert len(checkpoint.decode((tmp_path / "core.bin").read_bytes()).frames) == 1


def test_what_does_not_trap_leaves_no_dump_and_bad_places_are_a_line(
    tmp_path: Path, cli: Cli
) -> None:
    (tmp_path / "fine.wat").write_text('(module (func (export "_start")))')
    assert cli("run", "fine.wat", "--coredump", "core.bin").status == 0
    assert not (tmp_path / "core.bin").exists()
    assert "there is no directory" in one_line(cli("run", "fine.wat", "--coredump", "no/core.bin"))
    assert "--record" in one_line(cli("run", "fine.wat", "--record", "none"))


#: Adds up numbers that WASI gives, and divides by zero, in a loop of its own, once there are 60.
LIBRARY = """(module $library
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $calls (i32.const 1)))
  (func $divide (param $by i32) (result i32)
    (i32.div_u (i32.const 1000) (local.get $by)))
  (func (export "next") (result i32)
    (drop (call $random (i32.const 0) (i32.const 1)))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (drop (call $divide (i32.lt_u (global.get $calls) (i32.const 60))))
    (i32.load8_u (i32.const 0))))"""
PROGRAM = """(module $program
  (import "library" "next" (func $next (result i32)))
  (import "library" "memory" (memory 1))
  (func (export "_start") (local $sum i32)
    (loop $on
      (local.set $sum (i32.add (local.get $sum) (call $next)))
      (i32.store (i32.const 16) (local.get $sum))
      (br $on))))"""
LINKED = ("--preload", "library=library.wasm")


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    for name, text in (("library", LIBRARY), ("program", PROGRAM)):
        (tmp_path / f"{name}.wasm").write_bytes(load(text).binary)
    return tmp_path


def without_state(data: bytes) -> bytes:
    """But for the state of WASI, which a replay has not got."""
    return checkpoint.encode(replace(checkpoint.decode(data), wasi=None))


@each_path
def test_a_program_with_preloaded_modules_has_its_dump_and_record(
    path: str, linked: Path, cli: Cli
) -> None:
    run = ("run", "program.wasm", *LINKED)
    dumps = set()
    for each in ("interp", path):
        outcome = cli(*run, "--deterministic", "--path", each, "--record", "2:20")
        assert outcome.status == 134
        assert outcome.err.splitlines() == [
            "chiwawa: core dump written to core.bin; --restore core.before.bin --replay "
            "core.calls comes there",
            "trap: integer divide by zero",
            "  at $divide (function 2, code offset 0x6)",
            "  at $next (function 3, code offset 0x14)",
            "  at $_start (function 1, code offset 0x7)",
        ]
        dumps.add((linked / "core.bin").read_bytes())
    (dump,) = dumps
    snapshot = checkpoint.decode(dump)
    assert [frame.instance for frame in snapshot.frames] == [1, 1, 0]
    assert snapshot.wasi is not None
    given = (*run, "--restore", "core.before.bin", "--replay", "core.calls")
    for other in PATHS:
        again = cli(*given, "--path", other, "--coredump", "again.bin")
        assert again.status == 134
        assert without_state((linked / "again.bin").read_bytes()) == without_state(dump)
    # Whoever goes on from the dump comes to the trap at once.
    outcome = cli(*run, "--restore", "core.bin", "--path", path)
    assert (outcome.status, outcome.err.splitlines()[0]) == (134, "trap: integer divide by zero")


def test_a_generated_file_dumps_what_is_linked_with_it(linked: Path, cli: Cli) -> None:
    given = ("--preload", "library=library.py", "--deterministic", "--record", "2:20")
    for granularity in ("safepoint", "instruction"):
        for name in ("program", "library"):
            compile_ = ("compile", f"{name}.wasm", "-o", f"{name}.py", "--deterministic")
            cli(*compile_, "--granularity", granularity)
        outcome = python(linked, "program.py", *given)
        assert outcome.status == 134
        assert outcome.err.splitlines()[1] == "trap: integer divide by zero"
        mine = (linked / "core.bin").read_bytes()
        again = cli(
            *("run", "program.wasm", *LINKED, "--restore", "core.before.bin"),
            *("--replay", "core.calls", "--coredump", "exact.bin"),
        )
        assert again.status == 134
        theirs = checkpoint.decode((linked / "exact.bin").read_bytes())
        assert theirs.frames[0].instance == 1
        if granularity == "instruction":
            # But for what has been counted.
            found = replace(checkpoint.decode(mine), wasi=None, safepoints=None)
            assert replace(theirs, safepoints=None) == found
        else:
            assert "of the last safepoint before that" in outcome.err


@pytest.mark.needs("wasm-tools")
def test_other_readers_open_a_dump_of_linked_instances(linked: Path, cli: Cli) -> None:
    cli("run", "program.wasm", *LINKED, "--coredump", "core.bin")
    command = [need("wasm-tools"), "dump", str(linked / "core.bin")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.count("CoreDumpInstance {") == 2
    assert re.findall(r"instanceidx: (\d+)", said) == ["1", "1", "0"]
    assert '"library"' in said


def test_inspect_names_the_functions_of_linked_instances(linked: Path, cli: Cli) -> None:
    cli("run", "program.wasm", *LINKED, "--coredump", "core.bin")
    outcome = cli("inspect", "core.bin", "program.wasm", "--linked", "library.wasm")
    assert "  #0  $divide (function 2) at 0x0006 of instance 1: i32.div_u\n" in outcome.out
    assert "$by=I32(0)" in outcome.out
    assert "  #2  $_start (function 1) at 0x0007: call $next\n" in outcome.out
    plain = cli("inspect", "core.bin", "program.wasm").out
    assert "  #0  func[2] at 0x0006 of instance 1\n" in plain
