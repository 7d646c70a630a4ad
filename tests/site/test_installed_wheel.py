"""What a wheel brings, in an environment of its own with no source tree about: the programs of
examples/ run and pass ``mypy --strict``, and a newcomer gets as far as the site says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.cli.cli_helpers import HANGS, ROOT, environment
from tests.need_helpers import lacking, need
from tests.site.built_helpers import shown_blocks
from tests.site.example_helpers import EXAMPLES, PROGRAMS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="the site's lines are for a POSIX shell"),
]

#: The line of the first page for which the wheel is put in.
INSTALL = "pip install ."


def done(command: list[object], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """What a command does that finds no source tree."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "MYPYPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    return subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        env={**inherited, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=HANGS,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = done([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", ROOT], folder)
    if built.returncode:
        lacking(f"no wheel can be built here: {built.stdout}")
    (found,) = folder.glob("chiwawa-*.whl")
    return found


def fresh(folder: Path) -> Path:
    """The scripts of a new environment, which has nothing but pip."""
    venv.create(folder, with_pip=True)
    return folder / "bin"


def install(scripts: Path, wheel: Path) -> None:
    got = done([scripts / "python", "-m", "pip", "install", "-q", wheel], scripts)
    if got.returncode:
        lacking(f"what the wheel needs cannot be had here: {got.stdout}")


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    scripts = fresh(tmp_path_factory.mktemp("environment"))
    install(scripts, wheel)
    return scripts / "python"


def test_it_is_the_wheel_that_is_imported(python: Path, tmp_path: Path) -> None:
    code = "import chiwawa, chiwawa_runtime; print(chiwawa.__file__, chiwawa_runtime.__file__)"
    said = done([python, "-c", code], tmp_path).stdout.split()
    assert len(said) == 2
    assert all(Path(each).is_relative_to(python.parents[1]) for each in said), said


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_the_examples_prints_what_it_should(
    python: Path, tmp_path: Path, name: str
) -> None:
    shutil.copy(EXAMPLES / f"{name}.py", tmp_path)
    outcome = done([python, f"{name}.py"], tmp_path)
    assert (outcome.stdout, outcome.returncode) == (PROGRAMS[name], 0)


@pytest.mark.needs("mypy")
def test_the_programs_pass_mypy_strict(python: Path, tmp_path: Path) -> None:
    for name in PROGRAMS:
        shutil.copy(EXAMPLES / f"{name}.py", tmp_path)
    checked = done(
        [sys.executable, "-m", "mypy", "--strict", "--scripts-are-modules",
         "--python-executable", python, "--cache-dir", tmp_path / "cache",
         *(f"{name}.py" for name in PROGRAMS)],
        tmp_path,
    )  # fmt: skip
    assert checked.stdout == f"Success: no issues found in {len(PROGRAMS)} source files\n"


def test_a_newcomer_gets_as_far_as_the_built_site_says(wheel: Path, tmp_path: Path) -> None:
    site, folder = tmp_path / "site", tmp_path / "empty"
    built = subprocess.run(
        [need("mkdocs"), "build", "--quiet", "--strict", "--site-dir", site],
        cwd=ROOT,
        env={**environment(), "NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert built.returncode == 0, built.stdout
    scripts = fresh(tmp_path / "environment")
    folder.mkdir()
    path = f"{scripts}{os.pathsep}/usr/bin{os.pathsep}/bin"
    typed_lines = []
    for block in shown_blocks((site / "start.html").read_text(encoding="utf-8")):
        if block.title is not None:
            (folder / block.title).write_text(block.text, encoding="utf-8")
            continue
        for typed, printed in block.commands:
            typed_lines.append(typed)
            if typed == INSTALL:
                install(scripts, wheel)
                continue
            outcome = done(["sh", "-c", typed], folder, PATH=path)
            assert outcome.returncode == 0, outcome.stdout
            # What is not shown whole is shown not at all.
            assert outcome.stdout == printed if printed else outcome.stdout, typed
    assert typed_lines[0] == INSTALL
    assert [line.split()[1] for line in typed_lines[1:]] == ["run", "run", "inspect", "run"]
