"""What the documentation's pages show is what happens, from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_helpers import HANGS, environment
from tests.site.snippet_helpers import PAGES, Block, blocks, folder_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the pages' lines are for a POSIX shell")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "chiwawa"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m chiwawa "$@"\n')
    command.chmod(0o755)
    folder = folder_of(tmp_path)
    ran = 0
    for block in blocks(page):
        if block.mark == "not run":
            continue
        if block.title is not None:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            assert done([sys.executable, "-c", block.text], folder, programs) == ""
            ran += 1
        else:
            assert block.language == "console", f"nobody runs {block.language or 'plain'} blocks"
            follow(block, folder, programs)
            ran += 1
    assert ran, "nothing was run"


def follow(block: Block, folder: Path, programs: Path) -> None:
    for typed, printed in block.commands:
        said = done(["sh", "-c", typed], folder, programs)
        if block.mark == "output":
            assert said
        else:
            assert said == printed, typed


def done(command: list[str], folder: Path, programs: Path) -> str:
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    outcome = subprocess.run(
        command,
        cwd=folder,
        env={**environment(), "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=HANGS,
    )
    assert outcome.returncode == 0, (command, outcome.stdout)
    return outcome.stdout
