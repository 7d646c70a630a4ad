"""Limits by command line: what is said where they are reached, and the exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiwawa_runtime import checkpoint
from tests.cli.cli_helpers import LONG, Cli, Programs, one_line, programs, python
from tests.path_helpers import each_path

OUT_OF_LIMITS = 124


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    from tests.cli.cli_helpers import PROGRAM

    return programs(tmp_path_factory.mktemp("limits"), "program", PROGRAM)


@each_path
def test_out_of_fuel_is_a_line_and_a_status(
    cli: Cli, program: Programs, tmp_path: Path, path: str
) -> None:
    file = program.for_path(path)
    outcome = cli("run", file, *LONG, "--fuel", 5000)
    assert outcome.status == OUT_OF_LIMITS
    assert outcome.err == "chiwawa: stopped: out of fuel, at safepoint 5000\n"
    assert not (tmp_path / "checkpoint.bin").exists()
    outcome = cli("run", file, *LONG, "--fuel", 5000, "--cr")
    assert outcome.status == OUT_OF_LIMITS
    assert outcome.err == (
        "chiwawa: stopped: out of fuel, at safepoint 5000\n"
        "chiwawa: checkpoint written to checkpoint.bin\n"
    )
    # Whoever goes on says again how far.
    restore = ("run", program.wasm, "--path", path, "--restore", "checkpoint.bin")
    outcome = cli(*restore, "--fuel", 10, "--cr-file", "later.bin")
    assert outcome.status == OUT_OF_LIMITS
    assert outcome.err.startswith("chiwawa: stopped: out of fuel, at safepoint 5010\n")
    assert checkpoint.decode((tmp_path / "later.bin").read_bytes()).safepoints == 5010


@each_path
def test_out_of_time_is_a_line_and_a_status(
    cli: Cli, program: Programs, tmp_path: Path, path: str
) -> None:
    outcome = cli("run", program.for_path(path), *LONG, "--timeout", "0.05", "--cr")
    assert outcome.status == OUT_OF_LIMITS
    assert outcome.err == (
        "chiwawa: stopped: out of time, after 0.05 seconds\n"
        "chiwawa: checkpoint written to checkpoint.bin\n"
    )


@each_path
def test_the_depth_can_be_less(cli: Cli, program: Programs, path: str) -> None:
    deep = ("--invoke", "deep", "--params", "I32(1)", "--max-depth", 7)
    outcome = cli("run", program.for_path(path), *deep)
    assert outcome.status == 134
    lines = outcome.err.splitlines()
    assert lines[0] == "trap: call stack exhausted"
    assert len(lines) == 1 + 8


def test_a_generated_file_has_them_by_itself(program: Programs, tmp_path: Path) -> None:
    outcome = python(tmp_path, program.py, *LONG, "--fuel", 100, "--cr")
    assert outcome.status == OUT_OF_LIMITS
    assert "out of fuel, at safepoint 100" in outcome.err
    outcome = python(tmp_path, program.py, "--restore", "checkpoint.bin", "--timeout", "0.05")
    assert outcome.status == OUT_OF_LIMITS


def test_they_are_whole_numbers_and_seconds(cli: Cli, program: Programs) -> None:
    for option, wrong in (("--fuel", "0"), ("--fuel", "1.5"), ("--timeout", "0")):
        assert option in one_line(cli("run", program.wasm, *LONG, option, wrong))
    for given in (("--fuel", "5"), ("--timeout", "5")):
        assert given[0] in one_line(cli("debug", program.wat, *LONG, *given))


GROWING = """
(module (memory 1) (table 2 funcref)
  (func (export "f") (param i32) (result i32 i32)
    (memory.grow (local.get 0)) (table.grow (ref.null func) (local.get 0))))
"""


@each_path
def test_memories_and_tables_are_limited(cli: Cli, tmp_path: Path, path: str) -> None:
    (tmp_path / "growing.wat").write_text(GROWING)
    run = ("run", "growing.wat", "--path", path, "--invoke", "f", "--params", "I32(9)")
    assert cli(*run).out == "I32(1),I32(2)\n"
    limited = cli(*run, "--max-memory", "640K", "--max-table", 10)
    assert limited.out in ("I32(1),I32(4294967295)\n", "I32(1),I32(-1)\n")
    for option, value, wanted in (("--max-memory", "63K", 65536), ("--max-table", 1, 2)):
        assert f"{option} {wanted}" in one_line(cli(*run, option, value))


WRITER = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\05\\00\\00\\00")
  (data (i32.const 16) "line\\n")
  (func (export "f") (result i32) (local $error i32)
    (loop $on
      (br_if $on (i32.eqz (local.tee $error
        (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))))
    (local.get $error)))
"""


@each_path
def test_output_is_limited(cli: Cli, tmp_path: Path, path: str) -> None:
    (tmp_path / "writer.wat").write_text(WRITER)
    outcome = cli("run", "writer.wat", "--path", path, "--invoke", "f", "--max-output", "1K")
    text, _, error = outcome.out.rpartition("I32(")
    assert (len(text), error) == (1024, "51)\n")
