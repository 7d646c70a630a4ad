"""The debugger on a terminal, which is a pseudo-terminal here."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.cli_helpers import HANGS, environment
from tests.path_helpers import each_path

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")

PROMPT = "(chiwawa) "
#: Says now and then that it runs.
BEATS = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00")
  (data (i32.const 16) "beat\n")
  (func $beats (export "_start") (local $n i32)
    (loop $again
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (i32.and (local.get $n) (i32.const 511)))
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $again))))
"""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]")


class Terminal:
    """``chiwawa debug`` on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chiwawa", "debug", *map(str, arguments)],
            cwd=folder,
            env={**environment(), "TERM": "dumb"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def read(self, seconds: float) -> bool:
        """Whether something came within ``seconds``."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            got = os.read(self.master, 4096).decode()
        except OSError:
            got = ""
        assert got, self.text
        self.text = _ESCAPES.sub("", self.text + got).replace("\r\n", "\n")
        return True

    def until(self, wanted: str, seconds: float = HANGS) -> str:
        """What comes up to ``wanted`` and with it."""
        end = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < end, self.text
            self.read(0.1)
        found, _, self.text = self.text.partition(wanted)
        return found + wanted

    def insist(self, act: Callable[[], object], wanted: str) -> None:
        """``act``, and again whenever all is silent, until ``wanted`` comes. Python hears of a
        signal that comes just before it waits for a key only when it is woken again, by a key or
        another signal; and an interrupt heard then takes what was typed with it."""
        end = time.monotonic() + HANGS
        while wanted not in self.text:
            assert time.monotonic() < end, self.text
            act()
            while wanted not in self.text and self.read(2):
                pass
        self.until(wanted)

    def leave(self) -> int:
        """Type the key that ends the input until it is heard: the status that follows. Only at a
        prompt does it end anything; typed a moment before, the terminal takes it for a character.
        """
        end = time.monotonic() + HANGS
        while self.process.poll() is None:
            assert time.monotonic() < end, self.text
            os.write(self.master, b"\x04")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(2)
        return self.process.returncode

    def type(self, line: str) -> None:
        os.write(self.master, f"{line}\n".encode())

    def command(self, line: str) -> list[str]:
        """The lines that a command answers with."""
        self.type(line)
        # The terminal shows what is typed.
        answer = self.until(PROMPT).removesuffix(PROMPT).splitlines()
        assert answer[0].strip() == line
        return answer[1:]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


Open = Callable[..., Terminal]


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Open]:
    opened: list[Terminal] = []

    def start(*arguments: object) -> Terminal:
        opened.append(Terminal(tmp_path, *arguments))
        opened[-1].until(PROMPT)
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_a_session_on_a_terminal(open_terminal: Open, demo: Path) -> None:
    terminal = open_terminal(demo, "--invoke", "fill", "--params", "I32(3)")
    here = "$store (function 0) at 0x0005: i32.store"
    after = "$store (function 0) at 0x0008: global.get $total"
    assert terminal.command("break $store+0x5") == [f"breakpoint 1: {here}"]
    assert terminal.command("continue") == ["breakpoint 1", f"9: {here}"]
    zeros = "0x0000000c  00 00 00 00                                      ...."
    three = "0x0000000c  03 00 00 00                                      ...."
    assert terminal.command("x 12 4") == [zeros]
    assert terminal.command("step") == [f"10: {after}"]
    assert terminal.command("x 12 4") == [three]
    assert terminal.command("checkpoint written.bin") == ["checkpoint written to written.bin"]
    # Back over the write: the old bytes are there again.
    assert terminal.command("back") == ["breakpoint 1", f"9: {here}"]
    assert terminal.command("x 12 4") == [zeros]
    assert terminal.command("c") == ["breakpoint 1", f"28: {here}"]
    assert terminal.command("delete 1") == []
    assert terminal.command("c") == ["the program has ended: I32(3)"]
    assert terminal.command("restore written.bin") == [f"10: {after}"]
    assert terminal.command("x 12 4") == [three]
    # An empty line does the last step again.
    assert terminal.command("s") == ["11: $store (function 0) at 0x000a: i32.const 1"]
    assert terminal.command("") == ["12: $store (function 0) at 0x000c: i32.add"]
    terminal.type("quit")
    assert terminal.process.wait(HANGS) == 0


@each_path
def test_ctrl_c_stops_the_program_and_not_the_debugger(
    open_terminal: Open, tmp_path: Path, path: str
) -> None:
    (tmp_path / "beats.wat").write_text(BEATS)
    terminal = open_terminal("beats.wat", "--path", path)
    for _ in range(2):
        terminal.type("c")
        terminal.until("beat\n")
        terminal.process.send_signal(signal.SIGINT)
        terminal.until("interrupted\n")
        stood = terminal.until(PROMPT)
        found = re.match(r"(\d+): \$beats \(function 1\) at 0x00[0-9a-f]{2}: ", stood)
        assert found is not None, stood
        assert int(found[1]) > 512
    (line,) = terminal.command("back")
    assert line.startswith(f"{int(found[1]) - 1}: $beats")
    # At the prompt there is nothing to stop but what is typed.
    terminal.insist(lambda: terminal.process.send_signal(signal.SIGINT), PROMPT)
    terminal.insist(lambda: terminal.type("p locals"), "locals  ")
    assert terminal.leave() == 0
