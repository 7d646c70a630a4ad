"""A program run to a point, from where many go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.cli_helpers import Outcome, ended, one_line, python, spawn
from tests.path_helpers import PATHS, next_path

#: Says that it has begun, and then what it reads, twice; reading, as programs do, in a loop.
READER = r"""(module $reader
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\40\00\00\00\01\00\00\00") (data (i32.const 64) "*")
  (func $say (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $hear (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start") (local $n i32)
    (call $say)
    (loop $again
      (call $hear) (call $say)
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $n) (i32.const 2))))))"""


@pytest.fixture
def reader(tmp_path: Path) -> str:
    (tmp_path / "reader.wat").write_text(READER)
    return "reader.wat"


def reading(text: str, folder: Path, *command: object) -> Outcome:
    """Python with these arguments and something to read, run to its end."""
    (folder / "in").write_text(text)
    with (folder / "in").open() as source:
        return ended(spawn(folder, *command, stdin=source.fileno()))


@pytest.mark.parametrize("path", PATHS)
def test_many_go_on_from_before_the_first_read(reader: str, path: str, tmp_path: Path) -> None:
    run = ("-m", "chiwawa", "run", reader, "--path", path)
    done = reading("", tmp_path, *run, "--cr-at", "stdin", "--cr-file", "warm.bin")
    assert (done.status, done.out) == (0, "*")
    run = ("-m", "chiwawa", "run", reader, "--path", next_path(path), "--restore", "warm.bin")
    for text in ("ab", "cd"):
        child = reading(text, tmp_path, *run)
        assert (child.status, child.out, child.err) == (0, text, "")


#: Waits for a clock and then, before it reads, for input.
WAITER = READER.replace(
    "(memory",
    r"""(import "MODULE" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (data (i32.const 136) "\01") (memory""",
).replace(
    "(loop $again",
    """(drop (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 12)))
    (call $say)
    (drop (call $poll (i32.const 128) (i32.const 512) (i32.const 1) (i32.const 12)))
    (call $say)
    (loop $again""",
)


@pytest.mark.parametrize("module", ["wasi_snapshot_preview1", "wasi_unstable"])
@pytest.mark.parametrize("path", PATHS)
def test_waiting_for_input_is_reading_it(path: str, module: str, tmp_path: Path) -> None:
    text = WAITER.replace("wasi_snapshot_preview1", module).replace("MODULE", module)
    (tmp_path / "waiter.wat").write_text(text)
    run = ("-m", "chiwawa", "run", "waiter.wat", "--path", path)
    done = reading("", tmp_path, *run, "--cr-at", "stdin", "--cr-file", "warm.bin")
    assert (done.status, done.out) == (0, "**")
    done = reading("ab", tmp_path, *run, "--restore", "warm.bin")
    assert (done.status, done.out, done.err) == (0, "*ab", "")


@pytest.mark.parametrize("path", PATHS)
def test_a_stop_before_an_import_is_called(reader: str, path: str, tmp_path: Path) -> None:
    run = ("-m", "chiwawa", "run", reader, "--path", path)
    before = ("--cr-at", "call:wasi_snapshot_preview1.fd_write", "--cr-file", "warm.bin")
    done = reading("ab", tmp_path, *run, *before)
    assert (done.status, done.out) == (0, "")
    done = reading("ab", tmp_path, *run, "--restore", "warm.bin")
    assert (done.status, done.out) == (0, "*ab")
    # Once it has stopped there, it goes on through.
    done = reading("ab", tmp_path, *run, *before, "--cr-keep-running")
    assert (done.status, done.out) == (0, "*ab")


def test_where_it_cannot_stop_is_said_in_a_line(reader: str, tmp_path: Path) -> None:
    run = ("-m", "chiwawa", "run", reader, "--cr-at")
    assert "--cr-at call:env.f: the program imports no function of that name" in one_line(
        python(tmp_path, *run, "call:env.f")
    )
    assert "a whole number from 1 on expected, not 'call:f'" in one_line(
        python(tmp_path, *run, "call:f")
    )
    (tmp_path / "plain.wat").write_text('(module (func (export "_start")))')
    done = python(tmp_path, "-m", "chiwawa", "run", "plain.wat", "--cr-at", "stdin")
    assert "--cr-at stdin: the program imports no function that reads it" in one_line(done)
