"""What the README has one type, line by line as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.cli_helpers import HANGS, ROOT, environment, until

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="the README's lines are for a POSIX shell"
)
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r" *([0-9]+): ")


def console(section: str) -> list[str]:
    """The lines of the first console in a section."""
    after = README.partition(f"## {section}\n")[2].partition("```console\n")[2]
    return after.partition("```")[0].splitlines()


def typed(lines: list[str]) -> list[str]:
    return [re.sub(r"\s+#.*", "", line[2:]) for line in lines if line.startswith("$ ")]


@dataclass(frozen=True, slots=True)
class Shell:
    """A folder with the samples, in which ``chiwawa`` is a command."""

    folder: Path

    @property
    def errors(self) -> Path:
        return self.folder / "errors"

    def start(self, line: str) -> subprocess.Popen[str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        with self.errors.open("a") as stderr:
            return subprocess.Popen(
                ["sh", "-c", f"exec {line}"],
                cwd=self.folder,
                env={**environment(), "PATH": path},
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
            )

    def done(self, line: str) -> str:
        with self.start(line) as process:
            out, _ = process.communicate(timeout=HANGS)
        assert process.returncode == 0, (line, self.errors.read_text())
        return out

    def stopped(self, running: str, asking: str) -> None:
        """Run it in the background until it is asked to stop, and has."""
        assert running.endswith(" > first.txt &")
        first = self.folder / "first.txt"
        with self.start(running.removesuffix(" &")) as background:
            try:
                # As slow as somebody types: it has begun.
                until(lambda: first.exists() and "\n" in first.read_text(), HANGS)
                assert self.done(asking) == ""
                assert background.wait(HANGS) == 0
            finally:
                background.kill()
        assert self.errors.read_text() == "chiwawa: checkpoint written to checkpoint.bin\n"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    command = tmp_path / "bin" / "chiwawa"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chiwawa "$@"\n')
    command.chmod(0o755)
    return Shell(tmp_path)


@pytest.mark.needs("wasmtime")
def test_what_is_painted_is_what_the_readme_shows(shell: Shell) -> None:
    lines = console("Seconds, and a stop in the middle")
    installing, running, asking, looking, restoring = typed(lines)
    assert installing == 'pip install ".[native]"'
    shell.stopped(running, asking)
    painted = shell.done(looking) + shell.done(restoring)
    shown = [x for x in lines if not x.startswith(("$ ", "chiwawa: "))]
    assert painted.splitlines() == shown


def test_what_is_typed_works(shell: Shell) -> None:
    compiling, running, asking, tail, inspecting, restoring = typed(console("Try it"))
    assert shell.done(compiling) == ""
    # It would go on for very much longer.
    shell.stopped(running, asking)
    last = NUMBER.match(shell.done(tail))
    assert last is not None
    shown = shell.done(inspecting)
    assert "frames:" in shown
    assert "$__main_void" in shown
    with shell.start(restoring) as interpreter:
        assert interpreter.stdout is not None
        following = NUMBER.match(interpreter.stdout.readline())
        interpreter.send_signal(signal.SIGINT)
        assert interpreter.wait(HANGS) == 130
    assert following is not None
    assert int(following[1]) == int(last[1]) + 1
