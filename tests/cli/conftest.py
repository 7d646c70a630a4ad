"""Running the command line in this process, where that does."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chiwawa.commands.cli import main
from tests.cli.cli_helpers import ECHO, PROGRAM, Cli, Outcome, Programs, programs


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs(tmp_path_factory.mktemp("program"), "program", PROGRAM)


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs(tmp_path_factory.mktemp("echo"), "echo", ECHO)


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """``cli(arguments…)``: run ``chiwawa`` in this process, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        status = main([str(a) for a in arguments])
        sys.stdout.flush()
        return Outcome(status, *capfd.readouterr())

    return call
