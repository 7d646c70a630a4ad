"""A checkpoint of linked instances, gone on with from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from chiwawa import api
from chiwawa.source import load
from tests.cli.cli_helpers import one_line, python
from tests.path_helpers import PATHS

LIBRARY = """(module $library (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (loop $on (br_if $on (i32.const 0)))
    (global.get $n)))"""
PROGRAM = """(module $program (import "l" "next" (func $next (result i32)))
  (func (export "main") (result i32)
    (i32.add (i32.add (call $next) (call $next)) (call $next))))"""


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The program's, the library's, and a checkpoint's."""
    for name, text in (("library.wat", LIBRARY), ("program.wat", PROGRAM)):
        (tmp_path / name).write_text(text)
    first = api.instantiate(load(LIBRARY), path="interp")
    run = api.start(load(PROGRAM), "main", (), {"l": first.exports}, path="interp", count=3)
    assert not run.go()
    (tmp_path / "checkpoint.bin").write_bytes(run.checkpoint())
    return [str(tmp_path / name) for name in ("program.wat", "library.wat", "checkpoint.bin")]


@pytest.mark.parametrize("path", PATHS)
def test_a_program_goes_on_with_what_it_is_linked_with(
    files: list[str], path: str, tmp_path: Path
) -> None:
    program, library, data = files
    given = ("run", program, "--path", path, "--restore", data, "--linked", library)
    done = python(tmp_path, "-m", "chiwawa", *given)
    assert (done.status, done.out, done.err) == (0, "I32(6)\n", "")


def test_what_is_missing_is_said_in_a_line(files: list[str], tmp_path: Path) -> None:
    program, library, data = files
    done = python(tmp_path, "-m", "chiwawa", "run", program, "--restore", data)
    assert 'module "library" of a linked instance is not given' in one_line(done)
    done = python(tmp_path, "-m", "chiwawa", "run", program, "--linked", library)
    assert "--linked takes --restore" in one_line(done)
