"""Adding a path is one folder and one row: with those, the list of tests that hold the paths
against each other holds a third one against them, and the command line has it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from chiwawa import paths
from chiwawa.commands.cli import main
from chiwawa.source import load
from tests.nodiff.harness_helpers import Call, begin, ended, stopped_at

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "tests.nodiff.toy.toy_plugin_helpers"


def with_the_toy(*arguments: str) -> str:
    """What pytest says of these tests where there is the third path. Asserts that all pass."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_small_runs_are_the_same_at_every_boundary() -> None:
    said = with_the_toy(
        "tests/nodiff/test_nodiff_samples.py",
        "-k",
        "(boundary and (leibniz or rules)) or (carried and toy)",
        "-vv",
    )
    assert "-toy]" in said or "[toy-" in said


#: All but this one, and what is slow as a whole.
LIST = sorted(
    each.name
    for each in (ROOT / "tests/nodiff").glob("test_*.py")
    if each != Path(__file__) and "pytestmark = pytest.mark.slow" not in each.read_text("utf-8")
)


#: CI takes one of so many.
OF = int(os.environ.get("CHIWAWA_TOY", "1"))


@pytest.mark.slow
@pytest.mark.parametrize("file", LIST[::OF])
def test_the_whole_list_holds(file: str) -> None:
    assert re.search(r"\d+ passed", with_the_toy(f"tests/nodiff/{file}", "-m", "not slow"))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(paths.HOMES, "toy", "tests.nodiff.toy.toy_path_helpers")
    return "toy"


def test_the_command_line_has_it(toy: str, capfd: pytest.CaptureFixture[str]) -> None:
    sample = str(ROOT / "samples/recursion.wasm")
    fib = ["--invoke", "fib", "--params", "I32(10)"]
    assert main([sample, *fib, "--path", "toy"]) == 0
    assert capfd.readouterr().out == "I32(55)\n"
    assert main([sample, *fib, "--path", "top"]) == 2
    assert "'toy'" in capfd.readouterr().err


def test_it_is_used(toy: str) -> None:
    """The engine that runs is the toy's: it cannot be entered between safepoints."""
    call = Call(load(ROOT / "samples/recursion.wasm"), "fib", (6,))
    session = begin(call, toy)
    engine = session.run.instance.engine
    assert type(engine).__module__ == paths.HOMES[toy]
    assert stopped_at(session, 5).data == stopped_at(begin(call, "aot"), 5).data
    assert ended(session, call).detail == ((8, "int"),)
