"""The README's "Try it", line by line as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_helpers import ROOT, environment, until

SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Try it")[2]
TYPED = [
    re.sub(r"\s+#.*", "", line[2:])
    for line in SECTION.partition("```console\n")[2].partition("```")[0].splitlines()
    if line.startswith("$ ")
]
NUMBER = re.compile(r" *([0-9]+): ")


@pytest.mark.skipif(os.name != "posix", reason="the README's lines are for a POSIX shell")
def test_what_is_typed_works(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    command = tmp_path / "bin" / "chiwawa"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chiwawa "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    errors = tmp_path / "errors"

    def shell(line: str) -> subprocess.Popen[str]:
        with errors.open("a") as stderr:
            return subprocess.Popen(
                ["sh", "-c", f"exec {line}"],
                cwd=tmp_path,
                env={**environment(), "PATH": path},
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
            )

    def done(line: str) -> str:
        with shell(line) as process:
            out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, (line, errors.read_text())
        return out

    compiling, running, asking, tail, inspecting, restoring = TYPED
    assert done(compiling) == ""
    assert running.endswith(" > first.txt &")
    first = tmp_path / "first.txt"
    with shell(running.removesuffix(" &")) as background:
        try:
            # As slow as somebody types: it has begun. It would go on for very much longer.
            until(lambda: first.exists() and "\n" in first.read_text(), 60)
            assert done(asking) == ""
            assert background.wait(60) == 0
        finally:
            background.kill()
    assert errors.read_text() == "chiwawa: checkpoint written to checkpoint.bin\n"
    last = NUMBER.match(done(tail))
    assert last is not None
    shown = done(inspecting)
    assert "frames:" in shown
    assert "$__main_void" in shown
    with shell(restoring) as interpreter:
        assert interpreter.stdout is not None
        following = NUMBER.match(interpreter.stdout.readline())
        interpreter.send_signal(signal.SIGINT)
        assert interpreter.wait(60) == 130
    assert following is not None
    assert int(following[1]) == int(last[1]) + 1
