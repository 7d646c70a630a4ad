"""Debugging in this process, from a script of commands."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from chiwawa.commands.cli import main
from tests.debug.debug_helpers import DEMO, Debug, Outcome


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    (tmp_path / "demo.wat").write_text(DEMO)
    return tmp_path / "demo.wat"


@pytest.fixture
def debug(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Debug:
    """``debug(commands, arguments…)``: what ``chiwawa debug`` prints, in a folder of the test's."""
    monkeypatch.chdir(tmp_path)

    def call(commands: str, *arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(commands))
        capfd.readouterr()
        status = main(["debug", *map(str, arguments)])
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return Outcome(status, out.splitlines(), err)

    return call
