"""The generated source of some samples, read as a diff when it changes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from chiwawa.aot import translate
from chiwawa.source import load

SAMPLES = Path(__file__).parents[3] / "samples"


def translated(name: str) -> str:
    out = io.StringIO()
    translate(load(SAMPLES / name), out)
    return out.getvalue()


@pytest.mark.parametrize("name", ["recursion", "pi", "indirect", "mandelbrot", "quicksort", "vm"])
def test_the_functions_of_a_sample_are_as_they_were(
    name: str, golden: Callable[[str, str], None]
) -> None:
    functions, _, _ = translated(f"{name}.wasm").partition("\n'''\n\nBUNDLE = ")
    golden(f"{name}_aot.py.txt", functions)


def test_the_tables_of_a_sample_are_as_they_were(golden: Callable[[str, str], None]) -> None:
    file = translated("indirect.wasm")
    # The module itself is compressed by whatever zlib there is.
    tables, _, _ = file[file.index("\nBUNDLE = ") + 1 :].partition("    module=")
    golden("indirect_aot_tables.py.txt", tables)


def test_the_same_module_gives_the_same_bytes() -> None:
    assert translated("vm.wasm") == translated("vm.wasm")
