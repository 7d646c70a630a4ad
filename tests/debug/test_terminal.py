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

from tests.cli.running import environment

pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")

PROMPT = "(chiwawa) "
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

    def until(self, wanted: str, seconds: float = 60) -> str:
        """What comes up to ``wanted`` and with it."""
        end = time.monotonic() + seconds
        while wanted not in self.text:
            assert time.monotonic() < end, self.text
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    got = os.read(self.master, 4096).decode()
                except OSError:
                    got = ""
                assert got, self.text
                self.text = _ESCAPES.sub("", self.text + got).replace("\r\n", "\n")
        found, _, self.text = self.text.partition(wanted)
        return found + wanted

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
    assert terminal.process.wait(60) == 0


def test_ctrl_c_stops_the_program_and_not_the_debugger(open_terminal: Open, demo: Path) -> None:
    terminal = open_terminal(demo, "--invoke", "spin")
    for _ in range(2):
        terminal.type("c")
        terminal.until("c\n")
        time.sleep(0.3)
        terminal.process.send_signal(signal.SIGINT)
        lines = terminal.until(PROMPT).splitlines()
        assert lines[0] == "interrupted"
        found = re.fullmatch(r"(\d+): \$spin \(function 6\) at 0x000[13]: .*", lines[1])
        assert found is not None
        assert int(found[1]) > 1
    (line,) = terminal.command("back")
    assert line.startswith(f"{int(found[1]) - 1}: $spin")
    # At the prompt there is nothing to stop but what is typed. Python hears of a signal that comes
    # just before it waits for a key only when it is woken again.
    while PROMPT not in terminal.text:
        terminal.process.send_signal(signal.SIGINT)
        with contextlib.suppress(AssertionError):
            terminal.until("never said", seconds=2)
    terminal.until(PROMPT)
    assert terminal.command("p locals") == ["locals  none"]
    os.write(terminal.master, b"\x04")
    assert terminal.process.wait(60) == 0
