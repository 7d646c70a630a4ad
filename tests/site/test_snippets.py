"""What the documentation's pages show is what happens, from an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_helpers import HANGS, ROOT, environment
from tests.site.snippet_helpers import PAGES, Block, blocks, folder_of

sys.path.insert(0, str(ROOT / "samples" / "self-hosted"))

import hosts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the pages' lines are for a POSIX shell")


#: What it takes to follow a page, beside chiwawa.
MARKS = {
    "guides/native.md": [pytest.mark.needs("wasmtime")],
    # PyPy compiles what it runs, and begins slowly.
    "guides/pypy.md": [pytest.mark.needs("pypy"), pytest.mark.slow],
}


#: The pages that show what the checkout's samples do.
OF_SAMPLES = ("instruments.md",)


@pytest.mark.parametrize("page", [pytest.param(page, marks=MARKS.get(page, ())) for page in PAGES])
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    make_program(programs / "chiwawa", f'exec "{sys.executable}" -m chiwawa "$@"')
    if pypy := os.environ.get("CHIWAWA_PYPY"):
        imports = os.pathsep.join(map(str, hosts.import_path()))
        make_program(programs / "pypy3.11", f'PYTHONPATH="{imports}" exec "{pypy}" "$@"')
    folder = folder_of(tmp_path)
    if page in OF_SAMPLES:
        (folder / "samples").symlink_to(ROOT / "samples")
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


def make_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


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
