"""Modules of wasm-smith's: the two paths and wasmtime see the same in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chiwawa.source import load
from tests.nodiff.generator_helpers import seeded
from tests.nodiff.judging_helpers import judge
from tests.nodiff.module_maker_helpers import smith
from tests.nodiff.oracle_helpers import Oracle

#: How many seeds the slow test tries.
MANY = int(os.environ.get("CHIWAWA_SMITH", "1000"))
FEW = 50
#: What the ordinary run looks at of each.
FEW_STOPS = {
    "most": 3,
    "stops": 3,
    "crossings": 1,
    "instruction_stops": 3,
    "instruction_crossings": 1,
}

pytestmark = pytest.mark.needs("wasm-tools", "wasmtime")


def check_seeds(start: int, count: int, oracle: Oracle, folder: Path, **depth: int) -> None:
    made = 0
    for seed in range(start, start + count):
        module = smith(seed, folder)
        if module is None:
            continue
        made += 1
        try:
            judge(load(module), seeded(seed), oracle, **depth)
        except BaseException as error:
            error.add_note(f"smith's seed {seed}: {module.hex()}")
            raise
    assert made > count // 2


def test_some_modules_of_smiths_do_the_same_everywhere(oracle: Oracle, tmp_path: Path) -> None:
    check_seeds(0, FEW, oracle, tmp_path, **FEW_STOPS)


@pytest.mark.slow
def test_many_modules_of_smiths_do_the_same_everywhere(oracle: Oracle, tmp_path: Path) -> None:
    check_seeds(FEW, MANY, oracle, tmp_path)
