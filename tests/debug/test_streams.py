"""What a program that is debugged reads and writes, and when."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import chiwawa
from chiwawa.debug.streams import Input, Output
from tests.debug.debug_helpers import Debug
from tests.path_helpers import each_path

#: Copies its input to its output, at most 4 bytes at a time, after two random bytes as hex digits.
CAT = """
(module $cat
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $out (param $at i32) (param $count i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $count))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "_start")
    (drop (call $random (i32.const 64) (i32.const 1)))
    (i32.store8 (i32.const 64)
      (i32.add (i32.const 65) (i32.and (i32.load8_u (i32.const 64)) (i32.const 15))))
    (call $out (i32.const 64) (i32.const 1))
    (loop $more
      (i32.store (i32.const 0) (i32.const 16))
      (i32.store (i32.const 4) (i32.const 4))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8))
        (then
          (call $out (i32.const 16) (i32.load (i32.const 8)))
          (br $more))))))
"""


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    (tmp_path / "cat.wat").write_text(CAT)
    return tmp_path / "cat.wat"


def written(lines: list[str]) -> str:
    """What the program wrote: what is before the debugger's lines, or lines of its own."""
    return "".join(
        line.replace("the program has ended", "") for line in lines if "at 0x" not in line
    )


@each_path
def test_what_was_written_is_not_written_again(debug: Debug, cat: Path, path: str) -> None:
    Path("in").write_text("one two three")
    script = "c\nback 60\nc\nback 1000\ns 30\nc\n"
    outcome = debug(script, cat, "--stdin", "in", "--path", path)
    assert outcome.status == 0
    text = written(outcome.lines).replace("this is the beginning", "")
    assert text[1:] == "one two three"
    # A new start writes anew, and the same.
    again = debug("c\nrun\nc\n", cat, "--stdin", "in", "--path", path)
    assert written(again.lines) == text * 2


def test_without_a_file_a_script_is_not_what_the_program_reads(debug: Debug, cat: Path) -> None:
    outcome = debug("c\nback\nc\n", cat)
    assert len(written(outcome.lines)) == 1


def test_what_was_read_is_read_again(debug: Debug, cat: Path) -> None:
    Path("in").write_text("one two three")
    script = "b out\nc\nc\nc\nx 16 4\nback 20\nc\nx 16 4\nrc\nrc\nc\nc\nx 16 4\n"
    outcome = debug(script, cat, "--stdin", "in")
    dumps = [line for line in outcome.lines if line.startswith("0x")]
    assert dumps == ["0x00000010  74 77 6f 20                                      two "] * 3


def test_a_checkpoint_knows_how_much_was_read(debug: Debug, cat: Path) -> None:
    Path("in").write_text("one two three")
    debug("b out\nc\nc\nc\ncheckpoint two.bin\n", cat, "--stdin", "in")
    outcome = debug("c\nback 1000\nc\n", cat, "--restore", "two.bin", "--stdin", "in")
    assert written(outcome.lines[1:]).replace("this is the beginning", "") == "two three"


def test_clocks_and_randomness_of_a_checkpoint_are_made_virtual(debug: Debug, cat: Path) -> None:
    source, target = os.pipe()
    os.close(target)
    wasi = chiwawa.Wasi(["cat"], stdin=source)
    run = chiwawa.start(chiwawa.load(cat), "_start", (), wasi.imports(), wasi=wasi, count=1)
    assert not run.go()
    Path("host.bin").write_bytes(run.checkpoint())
    wasi.close()
    os.close(source)
    first = debug("c\nrun\nc\n", cat, "--restore", "host.bin")
    assert sum("the host's" in line for line in first.lines) == 2
    letters = {line[0] for line in first.lines if "the program has ended" in line}
    assert len(letters) == 1


def test_input_is_kept_with_how_much_each_reading_got() -> None:
    source, target = os.pipe()
    given = Input(source)
    os.write(target, b"first")
    assert given.read1(100) == b"first"
    os.write(target, b"second")
    assert given.read1(3) == b"sec"
    os.close(target)
    assert (given.read1(9), given.read1(9)) == (b"ond", b"")
    given.seek(0)
    assert [given.read1(100) for _ in range(5)] == [b"first", b"sec", b"ond", b"", b""]
    given.seek(2)
    assert given.read1(100) == b"rstsecond"
    assert given.tell() == 11
    # Another program starts where it says that it was.
    given.forget()
    given.seek(7)
    assert (given.read1(1), given.tell()) == (b"", 7)
    os.close(source)


def test_a_file_is_read_from_where_a_checkpoint_says(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"0123456789")
    with (tmp_path / "in").open("rb") as file:
        given = Input(file.fileno())
        given.seek(4)
        assert given.read1(3) == b"456"
        given.forget()
        given.seek(1)
        assert given.read1(3) == b"123"
        given.seek(99)
        assert given.read1(3) == b""


def test_output_shows_each_byte_once(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        output = Output(file.fileno())
        assert output.write(b"hello ") == 6
        output.place = 3
        assert output.write(b"lo wor") == 6
        output.place = 0
        assert output.write(b"hello") == 5
        output.write(b" world")
        output.forget()
        output.write(b"!")
    assert (tmp_path / "out").read_bytes() == b"hello world!"
