"""Going back over what cannot be undone: calls of the host are kept, and given back."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiwawa.commands.cli import main
from chiwawa_runtime import checkpoint
from tests.debug.debug_helpers import Debug
from tests.path_helpers import PATHS, each_path

#: Appends a letter to a file in each of many rounds, and says it.
APPENDING = r"""
(module $appending
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i64 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "out.txt")
  (data (i32.const 16) "\40\00\00\00\01\00\00\00")
  (func $spin (local i32)
    (loop $on (br_if $on (i32.lt_u
      (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 200)))))
  (func (export "_start") (local $n i32)
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 7) (i32.const 1)
      (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 1) (i32.const 32)))
    (loop $round
      (i32.store8 (i32.const 64) (i32.add (local.get $n) (i32.const 97)))
      (drop (call $write (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 24)))
      (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))
      (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 128)))
      (call $spin)
      (br_if $round (i32.lt_u
        (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 8))))
    (drop (i32.div_u (i32.const 1) (i32.const 0)))))
"""


@each_path
def test_a_program_goes_back_over_files_that_it_has_written(
    path: str, debug: Debug, tmp_path: Path
) -> None:
    (tmp_path / "appending.wat").write_text(APPENDING)
    (tmp_path / "data").mkdir()
    outcome = debug(
        "goto 5000\nx 64 1\nback 4000\nx 64 1\ngoto 7000\nx 64 1\nx 128 8\nback 2000\ngoto 7000\n"
        "x 128 8\nc\nback 3\nc\ngoto 100\nc\n",
        *("appending.wat", "--dir", "data", "--path", path),
    )
    assert (tmp_path / "data" / "out.txt").read_text() == "abcdefgh"
    bytes_seen = [line.split()[1:] for line in outcome.lines if line.startswith("0x000000")]
    assert [each[0] for each in bytes_seen[:3]] == ["64", "61", "65"]
    assert bytes_seen[3] == bytes_seen[4]
    assert sum("trap: integer divide by zero" in line for line in outcome.lines) == 3
    shown = "".join(outcome.lines)
    # What it said was shown once.
    assert [shown.count(f"{letter}") > 0 for letter in "abcdefgh"] == [True] * 8
    assert not any(line.startswith("error") for line in outcome.lines)


@each_path
def test_a_checkpoint_is_written_where_the_files_are_those_of_then(
    path: str, debug: Debug, tmp_path: Path
) -> None:
    (tmp_path / "appending.wat").write_text(APPENDING)
    (tmp_path / "data").mkdir()
    outcome = debug(
        "goto 3000\ncheckpoint now.bin\nback 2500\ncheckpoint then.bin\n",
        *("appending.wat", "--dir", "data", "--path", path),
    )
    assert "checkpoint written to now.bin" in outcome.lines
    assert outcome.lines[-1].startswith("error: the program's files are those of later on")
    assert not (tmp_path / "then.bin").exists()
    assert checkpoint.decode((tmp_path / "now.bin").read_bytes()).wasi is not None
    status = main(
        ["run", "appending.wat", "--dir", "data", "--restore", "now.bin", "--path", "interp"]
    )
    assert status == 134
    assert (tmp_path / "data" / "out.txt").read_text() == "abcdefgh"


@each_path
def test_a_recorded_program_is_debugged_without_its_files(
    path: str, debug: Debug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "appending.wat").write_text(APPENDING)
    (tmp_path / "data").mkdir()
    main(["run", "appending.wat", "--dir", "data", "--record-calls", "calls.rec"])
    (tmp_path / "data" / "out.txt").unlink()
    (tmp_path / "data").rmdir()
    script = "goto 5000\nx 128 8\nback 4000\ngoto 5000\nx 128 8\nc\nback 2\nbt\n"
    outcome = debug(script, "appending.wat", "--replay", "calls.rec", "--path", path)
    seen = [line for line in outcome.lines if line.startswith("0x00000080")]
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert any(line.endswith("trap: integer divide by zero") for line in outcome.lines)
    assert not any(line.startswith("error") for line in outcome.lines)


@each_path
def test_one_steps_into_the_crash_from_what_the_flight_recorder_wrote(
    path: str, debug: Debug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "appending.wat").write_text(APPENDING)
    (tmp_path / "data").mkdir()
    main(["run", "appending.wat", "--dir", "data", "--path", path, "--record", "2:300"])
    (tmp_path / "data" / "out.txt").unlink()
    for other in PATHS:
        outcome = debug(
            "bt\nc\nback\nrc\nc\n",
            *("appending.wat", "--restore", "core.before.bin", "--replay", "core.calls"),
            *("--path", other),
        )
        assert sum("trap: integer divide by zero" in line for line in outcome.lines) == 2
        assert not any(line.startswith("error") for line in outcome.lines)
    outcome = debug(
        "p\nc\n", "appending.wat", "--restore", "core.bin", "--restore-files", "lenient"
    )
    assert "i32.div_u" in outcome.lines[0]
    assert "trap: integer divide by zero" in outcome.lines
