"""The programs of examples/ print what they should, and pass mypy --strict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_helpers import HANGS, ROOT, environment
from tests.site.example_helpers import EXAMPLES, PROGRAMS


def test_each_program_is_here_and_in_the_table() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PROGRAMS)
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in PROGRAMS if f"[{name}.py]({name}.py)" not in table] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_what_it_should(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=HANGS,
    )
    assert (done.stdout, done.stderr, done.returncode) == (PROGRAMS[name], "", 0)


@pytest.mark.needs("mypy")
def test_the_programs_pass_mypy_strict(tmp_path: Path) -> None:
    packages = [ROOT, ROOT / "runtime"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent",
         "--scripts-are-modules", *map(str, sorted(EXAMPLES.glob("*.py")))],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, packages))},
        capture_output=True,
        encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
