"""Standard streams with the manners of a Unix program, through the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cli_helpers import HANGS
from tests.wasi.c_program_helpers import Compile

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(compiled: Compile, tmp_path: Path) -> Iterator[Start]:
    """Starts ``chiwawa run`` in an empty directory."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(program: str, *options: str, **streams: Any) -> subprocess.Popen[bytes]:
        file = tmp_path / f"{program}.wasm"
        file.write_bytes(compiled(program))
        command = [sys.executable, "-m", "chiwawa", "run", str(file), *options]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        process = subprocess.Popen(command, cwd=tmp_path, env=environment, **streams)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


def test_lines_come_out_as_they_go_in(start: Start) -> None:
    process = start("cat", **PIPES)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in (b"one\n", b"two\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    out, err = process.communicate(b"three")
    assert (out, err, process.returncode) == (b"three", b"3 lines\n", 0)


def test_a_closed_pipe_ends_a_program_quietly(start: Start) -> None:
    process = start("yes", **PIPES)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"y\n"
    process.stdout.close()
    assert process.wait(HANGS) == 141
    assert process.stderr.read() == b""


def wait_until_it_reads(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"ready\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"


def test_an_interrupt_ends_a_program_that_waits_for_input(start: Start) -> None:
    process = start("cat", **PIPES)
    wait_until_it_reads(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANGS)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err


def test_a_program_that_waits_for_input_is_stopped_at_once_and_goes_on(
    start: Start, tmp_path: Path
) -> None:
    process = start("cat", "--cr", **PIPES)
    wait_until_it_reads(process)
    (tmp_path / "checkpoint.trigger").touch()
    # Nobody writes to it, so that only the request can end its wait.
    assert process.wait(HANGS) == 0
    assert (tmp_path / "checkpoint.bin").exists()
    again = start("cat", "--restore", "checkpoint.bin", "--path", "interp", **PIPES)
    out, err = again.communicate(b"more\n", timeout=HANGS)
    assert (out, err, again.returncode) == (b"more\n", b"2 lines\n", 0)


def test_a_terminal_is_read_line_by_line(start: Start) -> None:
    ours, theirs = os.openpty()
    try:
        process = start("cat", stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.write(ours, b"typed\n")
        assert process.stdout is not None
        assert process.stdout.readline() == b"typed\n"
        os.write(ours, b"\x04")
        _, err = process.communicate(timeout=HANGS)
        assert (err, process.returncode) == (b"1 lines\n", 0)
    finally:
        os.close(ours)
        os.close(theirs)
