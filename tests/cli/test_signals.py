"""SIGTERM and SIGHUP: a run that can be saved is, and then ends as the signal says."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from chiwawa_runtime import checkpoint
from tests.cli.cli_helpers import Programs, ended, programs, python, spawn
from tests.path_helpers import each_path

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals that can be sent take POSIX")

NUMBERS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
WRITTEN = "chiwawa: checkpoint written to checkpoint.bin\n"

#: Says "ready", then loops ("spin") or waits for a byte ("_start") and says "done".
PROGRAM = r"""
(module $waiting
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "ready\ndone!\n")
  (func $say (param $text i32)
    (i32.store (i32.const 0) (local.get $text))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16))))
  (func (export "spin") (call $say (i32.const 64)) (loop $for_ever (br $for_ever)))
  (func (export "_start")
    (call $say (i32.const 64))
    (i32.store (i32.const 0) (i32.const 128))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (call $say (i32.const 70))))
"""


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs(tmp_path_factory.mktemp("waiting"), "waiting", PROGRAM)


stdins: list[IO[str]] = []


@pytest.fixture(autouse=True)
def closed_stdins() -> Iterator[None]:
    yield
    while stdins:
        with contextlib.suppress(OSError):
            stdins.pop().close()


def started(folder: Path, *command: object) -> subprocess.Popen[str]:
    """A process whose program has said that it is ready."""
    process = spawn(folder, *command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    # What it reads stays open until it has ended: an end of input would be a race.
    stdins.append(process.stdin)
    process.stdin = None
    assert process.stdout.readline() == "ready\n"
    return process


def commands(waiting: Programs) -> list[tuple[object, ...]]:
    return [("-m", "chiwawa", waiting.wasm), ("-m", "chiwawa", waiting.py), (waiting.py,)]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
@pytest.mark.parametrize("what", ["waits", "loops"])
@pytest.mark.parametrize("how", range(3))
def test_a_program_is_saved_and_dies_by_the_signal(
    waiting: Programs, tmp_path: Path, number: signal.Signals, what: str, how: int
) -> None:
    options = ("--cr",) if what == "waits" else ("--invoke", "spin", "--cr")
    process = started(tmp_path, *commands(waiting)[how], *options)
    process.send_signal(number)
    outcome = ended(process)
    assert (outcome.status, outcome.out, outcome.err) == (-number, "", WRITTEN)
    assert os.listdir(tmp_path) == ["checkpoint.bin"]
    data = (tmp_path / "checkpoint.bin").read_bytes()
    assert checkpoint.decode(data).frames
    if what == "waits":
        restored = python(tmp_path, "-m", "chiwawa", waiting.wasm, "--restore", "checkpoint.bin")
        assert (restored.status, restored.out) == (0, "done!\n")


@pytest.mark.parametrize("options", [["--cr-every", "1000"], ["--cr", "--cr-keep-running"]])
def test_a_run_that_goes_on_after_others_ends_after_this_one(
    waiting: Programs, tmp_path: Path, options: list[str]
) -> None:
    process = started(tmp_path, "-m", "chiwawa", waiting.wasm, *options)
    process.send_signal(signal.SIGTERM)
    outcome = ended(process)
    assert (outcome.status, outcome.out, outcome.err) == (-signal.SIGTERM, "", WRITTEN)


@each_path
def test_two_signals_are_one(waiting: Programs, tmp_path: Path, path: str) -> None:
    process = started(tmp_path, "-m", "chiwawa", waiting.for_path(path), "--invoke", "spin", "--cr")
    # As timeout(1) and supervisors of groups do it.
    for number in (*NUMBERS, signal.SIGTERM, signal.SIGTERM):
        process.send_signal(number)
    outcome = ended(process)
    assert -outcome.status in NUMBERS
    assert (outcome.out, outcome.err) == ("", WRITTEN)
    checkpoint.decode((tmp_path / "checkpoint.bin").read_bytes())


@each_path
def test_a_checkpoint_that_cannot_be_written_keeps_nobody_alive(
    waiting: Programs, tmp_path: Path, path: str
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    options = ("--cr", "--cr-file", "folder/c.bin")
    process = started(tmp_path, "-m", "chiwawa", waiting.for_path(path), *options)
    folder.rmdir()
    process.send_signal(signal.SIGTERM)
    outcome = ended(process)
    assert outcome.status == -signal.SIGTERM
    assert outcome.err == (
        "chiwawa: no checkpoint written: cannot write folder/c.bin: No such file or directory\n"
    )


@pytest.mark.parametrize("options", [[], ["--cr-at", "1000000000"]])
def test_without_cr_it_is_as_it_always_was(
    waiting: Programs, tmp_path: Path, options: list[str]
) -> None:
    process = started(tmp_path, "-m", "chiwawa", waiting.wasm, *options)
    process.send_signal(signal.SIGTERM)
    outcome = ended(process)
    assert (outcome.status, outcome.out, outcome.err) == (-signal.SIGTERM, "", "")
    assert os.listdir(tmp_path) == []


def test_what_is_ignored_stays_so(waiting: Programs, tmp_path: Path) -> None:
    hangup = NUMBERS[-1]
    before = signal.signal(hangup, signal.SIG_IGN)
    try:
        process = started(tmp_path, "-m", "chiwawa", waiting.wasm, "--cr")
    finally:
        signal.signal(hangup, before)
    process.send_signal(hangup)
    stdins[-1].write("*")
    stdins[-1].flush()
    outcome = ended(process)
    assert (outcome.status, outcome.out) == (0, "done!\n")


def test_monitors_are_shown_before_the_end(waiting: Programs, tmp_path: Path) -> None:
    options = ("--cr", "--monitor", "calls", "--monitor-output", "calls.txt")
    process = started(tmp_path, "-m", "chiwawa", waiting.wasm, *options)
    process.send_signal(signal.SIGTERM)
    assert ended(process).status == -signal.SIGTERM
    assert "say" in (tmp_path / "calls.txt").read_text()
