"""State saved after a call, called again from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiwawa_runtime.checkpoint import decode
from tests.cli.cli_helpers import one_line, python
from tests.path_helpers import PATHS, next_path

COUNTER = """(module $counter (global $n (mut i32) (i32.const 0))
  (func (export "add") (param i32) (result i32)
    (loop $once
      (global.set $n (i32.add (global.get $n) (local.get 0)))
      (br_if $once (i32.const 0)))
    (global.get $n))
  (func (export "fail") unreachable))"""


@pytest.fixture
def counter(tmp_path: Path) -> str:
    (tmp_path / "counter.wat").write_text(COUNTER)
    return str(tmp_path / "counter.wat")


@pytest.mark.parametrize("path", PATHS)
def test_a_state_is_saved_and_called_again(counter: str, path: str, tmp_path: Path) -> None:
    call = ("run", counter, "--invoke", "add", "--params", "I32(5)")
    done = python(tmp_path, "-m", "chiwawa", *call, "--path", path, "--save", "a.bin")
    assert (done.status, done.out, done.err) == (0, "I32(5)\n", "")
    onward = ("--restore", "a.bin", "--path", next_path(path))
    for _ in range(2):
        # Each is a child of the one file.
        done = python(tmp_path, "-m", "chiwawa", *call, *onward, "--save", "b.bin")
        assert (done.status, done.out, done.err) == (0, "I32(10)\n", "")
    assert decode((tmp_path / "b.bin").read_bytes()).idle
    done = python(tmp_path, "-m", "chiwawa", *call, "--restore", "b.bin", "--save", "b.bin")
    assert done.out == "I32(15)\n"


def test_what_cannot_be_is_said_in_a_line(counter: str, tmp_path: Path) -> None:
    def chiwawa(*args: str) -> str:
        return one_line(python(tmp_path, "-m", "chiwawa", "run", counter, *args))

    add = ("--invoke", "add", "--params", "I32(5)")
    python(tmp_path, "-m", "chiwawa", "run", counter, *add, "--save", "idle.bin")
    assert "no call is in progress in it: give --invoke; the module exports add, fail" in chiwawa(
        "--restore", "idle.bin"
    )
    assert 'no exported function "sub"' in chiwawa("--restore", "idle.bin", "--invoke", "sub")
    assert 'wrong --params for "add"' in chiwawa("--restore", "idle.bin", "--invoke", "add")
    python(tmp_path, "-m", "chiwawa", "run", counter, *add, "--cr-at", "1")
    assert "--invoke: a call is in progress in this checkpoint" in chiwawa(
        "--restore", "checkpoint.bin", *add
    )
    assert "--save no/where: there is no directory" in chiwawa(*add, "--save", "no/where")


@pytest.mark.parametrize("path", PATHS)
def test_a_call_that_does_not_return_leaves_nothing(
    counter: str, path: str, tmp_path: Path
) -> None:
    given = ("run", counter, "--path", path, "--save", "s.bin", "--invoke")
    done = python(tmp_path, "-m", "chiwawa", *given, "fail")
    assert done.status == 134
    assert "nothing saved to s.bin: the call has failed" in done.err
    done = python(tmp_path, "-m", "chiwawa", *given, "add", "--params", "I32(1)", "--cr-at", "1")
    assert "nothing saved to s.bin: the call has not returned" in done.err
    assert not (tmp_path / "s.bin").exists()
