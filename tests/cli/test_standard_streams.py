"""Standard streams that whoever started the process has closed, or that take nothing more."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from tests.cli.cli_helpers import (
    ECHO,
    Outcome,
    Programs,
    environment,
    one_line,
    programs,
    python,
)

CLOSINGS = [closed for n in (1, 2, 3) for closed in combinations((0, 1, 2), n)]
#: What a child does before it becomes the command: close some of its first descriptors.
CLOSING = """
import os, sys
for descriptor in map(int, sys.argv[1].split(",")):
    os.close(descriptor)
os.execv(sys.argv[2], sys.argv[2:])
"""

#: Writes "written\n" on the standard output and error, then reads: the status is how many bytes it
#: read, and 100 more for each writing that did not work.
GREETER = r"""
(module $greeter
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "written\n")
  (func $try (param $fd i32) (result i32)
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 8))
    (select (i32.const 100) (i32.const 0)
      (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 16))))
  (func (export "_start") (local $status i32)
    (local.set $status (i32.add (call $try (i32.const 1)) (call $try (i32.const 2))))
    (i32.store (i32.const 0) (i32.const 128))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
    (call $exit (i32.add (local.get $status) (i32.load (i32.const 16))))))
"""


def closing(folder: Path, closed: tuple[int, ...], *command: object) -> Outcome:
    """How Python with these arguments ends, some of its first descriptors having been closed."""
    numbers = ",".join(map(str, closed))
    arguments = ["-c", CLOSING, numbers, sys.executable, *map(str, command)]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def greeter(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs(tmp_path_factory.mktemp("greeter"), "greeter", GREETER)


@pytest.mark.parametrize("closed", CLOSINGS, ids=str)
def test_a_program_ends_as_always_whatever_is_closed(
    greeter: Programs, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    for command in (("-m", "chiwawa", "run", greeter.wasm), (greeter.py,)):
        outcome = closing(tmp_path, closed, *command)
        # Nothing to read, and whatever is written to a closed stream is gone.
        assert outcome.status == 0, outcome
        assert outcome.out == ("" if 1 in closed else "written\n")
        assert outcome.err == ("" if 2 in closed else "written\n")


@pytest.mark.parametrize("closed", CLOSINGS, ids=str)
def test_files_are_not_opened_in_the_place_of_what_is_closed(
    greeter: Programs, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    command = ("-m", "chiwawa", "run", greeter.wasm, "--dir", tmp_path, "--trace-output", "trace")
    assert closing(tmp_path, closed, *command).status == 0
    lines = (tmp_path / "trace").read_text().splitlines()
    assert lines
    assert "written" not in lines
    assert closing(tmp_path, closed, "-m", "chiwawa", greeter.wasm, "--cr-at", 1).status == 0
    restored = closing(tmp_path, closed, greeter.py, "--restore", "checkpoint.bin")
    assert restored.status == 0


def test_a_guest_of_an_embedder_is_kept_apart_too(greeter: Programs, tmp_path: Path) -> None:
    (tmp_path / "embedder.py").write_text(
        "import os, sys, chiwawa\n"
        "for number in (0, 1): os.close(number)\n"
        "wasi = chiwawa.Wasi(dirs=[('.', '/', False)])\n"
        "opened = [os.open(f'opened{n}', os.O_RDWR | os.O_CREAT) for n in range(2)]\n"
        "assert min(opened) < 2, opened\n"
        "module = chiwawa.load(sys.argv[1])\n"
        "try: chiwawa.start(module, '_start', (), wasi.imports(), wasi=wasi).go()\n"
        "except chiwawa.WasiExit as end: os._exit(end.code)\n"
    )
    outcome = python(tmp_path, "embedder.py", greeter.wasm)
    assert (outcome.status, outcome.err) == (0, "written\n")
    assert [(tmp_path / f"opened{n}").read_bytes() for n in range(2)] == [b"", b""]


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=str)
def test_commands_end_as_always_whatever_is_closed(
    program: Programs, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    (tmp_path / "bad.wat").write_text("(module (func (result i32)))")
    made = ("--invoke", "sum", "--params", "I32(100)", "--cr-at", "10")
    for status, command in (
        (0, ("--version",)),
        (0, ("run", "--help")),
        (0, ("validate", program.wasm)),
        (2, ("validate", "bad.wat", program.wasm)),
        (2, ("run", "missing.wasm")),
        (2, ("--no-such",)),
        (134, ("run", program.wasm, "--invoke", "divide", "--params", "I32(1)")),
        (0, ("run", program.wasm, "--invoke", "sum", "--params", "I32(3)", "--monitor", "all")),
        (0, ("run", program.wasm, *made, "--cr-file", "a.bin")),
        (0, ("run", program.py, *made, "--cr-file", "b.bin")),
        (0, ("inspect", "a.bin", program.wasm)),
        (0, ("diff", "a.bin", "b.bin")),
        (0, ("wasm2wat", program.wasm)),
        (0, ("compile", program.wasm, "-o", "out.py")),
        (0, ("debug", program.wasm, "--invoke", "nothing")),
    ):
        assert closing(tmp_path, closed, "-m", "chiwawa", *command).status == status, command


def test_a_bug_is_70_whatever_is_closed(tmp_path: Path) -> None:
    (tmp_path / "bug.py").write_text(
        "import os, sys\n"
        "from chiwawa_runtime.command.reporting import reported\n"
        "from chiwawa_runtime.standard_streams import occupy\n"
        "occupy()\n"
        "sys.exit(reported(lambda: 1 // 0))\n"
    )
    for closed in ((1,), (2,), (0, 1, 2)):
        assert closing(tmp_path, closed, "bug.py").status == 70


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_stream_that_takes_nothing_more_is_an_error_of_one_line(
    program: Programs, tmp_path: Path
) -> None:
    def ended(out: str | None, err: str | None, *command: object) -> Outcome:
        with open(out or os.devnull, "w") as stdout, open(err or tmp_path / "err", "w") as stderr:
            done = subprocess.run(
                [sys.executable, "-m", "chiwawa", *map(str, command)],
                cwd=tmp_path,
                env=environment(),
                stdout=stdout,
                stderr=stderr,
                timeout=60,
                check=False,
            )
        return Outcome(done.returncode, "", (tmp_path / "err").read_text())

    outcome = ended("/dev/full", None, "validate", program.wasm)
    assert one_line(outcome) == "No space left on device"
    assert ended(None, "/dev/full", "run", "missing.wasm").status == 2
    trap = ("run", program.wasm, "--invoke", "divide", "--params", "I32(1)")
    assert ended(None, "/dev/full", *trap).status == 134


def test_the_program_reads_its_arguments_with_everything_closed(tmp_path: Path) -> None:
    (tmp_path / "echo.wat").write_text(ECHO)
    outcome = closing(tmp_path, (0, 1, 2), "-m", "chiwawa", "echo.wat", "--", "a", "b")
    assert outcome.status == 3
