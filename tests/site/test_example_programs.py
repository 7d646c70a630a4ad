"""The programs of examples/ print what they should, and pass mypy --strict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_helpers import HANGS, ROOT, environment

PROGRAMS = {
    "call": "-1\n(3, 2)\n",
    "describe": "needs env clock True\n"
    "has memory MemoryType\nhas version GlobalType\nhas scale FuncType\n",
    "event_loop": "[100, 200, 300, 400, 500]\n",
    "fork": "101\n102\n103\n",
    "host_function": "good morning\n",
    "limits": "['fuel'] ['forever']\n" * 3,
    "memory": "A QUIET WORD\n",
    "move": "[500500]\n",
    "traps": "250\nthe program: integer divide by zero\n"
    "the host: IndexError('list index out of range')\n",
    "wasi": "0 b'buy milk' b''\n",
}
EXAMPLES = ROOT / "examples"


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
