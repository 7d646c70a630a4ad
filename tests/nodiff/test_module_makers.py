"""Modules of other people's generators: the two paths and wasmtime see the same in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from chiwawa.source import load
from tests.nodiff.generator_helpers import seeded
from tests.nodiff.judging_helpers import judge
from tests.nodiff.module_maker_helpers import (
    FEATURES,
    TTF_FEATURES,
    smith,
    ttf,
    with_standard_exceptions,
)
from tests.nodiff.oracle_helpers import Oracle

#: Of a number, the module's bytes, or None where there is none of that number.
Make = Callable[[int, Path], bytes | None]

#: How many seeds the slow test tries of each, unless the environment says it (``CHIWAWA_SMITH``).
MANY = 1000
FEW = 50
#: The same for each feature (``CHIWAWA_FEATURES``).
MANY_WITH_FEATURES = int(os.environ.get("CHIWAWA_FEATURES", "40"))
FEW_WITH_FEATURES = 8
#: What the ordinary run looks at of each.
FEW_STOPS = {
    "most": 3,
    "stops": 3,
    "crossings": 1,
    "instruction_stops": 3,
    "instruction_crossings": 1,
}
pytestmark = pytest.mark.needs("wasmtime")


def of_smith(seed: int, folder: Path, *, feature: str) -> bytes | None:
    return smith(seed, folder, feature)


def of_ttf(seed: int, folder: Path, *, feature: str) -> bytes | None:
    return ttf(seed, folder, feature)


each_maker = pytest.mark.parametrize(
    "make",
    [
        pytest.param(smith, id="smith", marks=pytest.mark.needs("wasm-tools")),
        pytest.param(ttf, id="ttf", marks=pytest.mark.needs("wasm-opt")),
    ],
)
#: Those of modules that use what is newer than Wasm 2.0.
each_maker_of_features = pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            partial(maker, feature=feature),
            id=f"{maker.__name__[3:]}-{feature}",
            marks=pytest.mark.needs(program),
        )
        for maker, program, features in (
            (of_smith, "wasm-tools", FEATURES),
            (of_ttf, "wasm-opt", TTF_FEATURES),
        )
        for feature in features
    ],
)


def check_seeds(
    make: Make, start: int, count: int, oracle: Oracle, folder: Path, **depth: int
) -> None:
    made = 0
    for seed in range(start, start + count):
        module = make(seed, folder)
        if module is None:
            continue
        made += 1
        loaded, elsewhere = load(module), None
        if any(instr.op.catches_in_arms for func in loaded.funcs for instr in func.body):
            elsewhere = load(with_standard_exceptions(module, folder))
        try:
            judge(loaded, seeded(seed), oracle, elsewhere=elsewhere, **depth)
        except BaseException as error:
            error.add_note(f"the seed {seed}: {module.hex()}")
            raise
    assert made > count // 2


@each_maker
def test_some_modules_do_the_same_everywhere(make: Make, oracle: Oracle, tmp_path: Path) -> None:
    check_seeds(make, 0, FEW, oracle, tmp_path, **FEW_STOPS)


@each_maker_of_features
def test_some_modules_with_features_do_the_same_everywhere(
    make: Make, oracle: Oracle, tmp_path: Path
) -> None:
    check_seeds(make, 0, FEW_WITH_FEATURES, oracle, tmp_path, **FEW_STOPS)


@pytest.mark.slow
@each_maker_of_features
def test_many_modules_with_features_do_the_same_everywhere(
    make: Make, oracle: Oracle, tmp_path: Path
) -> None:
    check_seeds(make, FEW_WITH_FEATURES, MANY_WITH_FEATURES, oracle, tmp_path)


@pytest.mark.slow
@each_maker
def test_many_modules_do_the_same_everywhere(
    make: Make, request: pytest.FixtureRequest, oracle: Oracle, tmp_path: Path
) -> None:
    name = request.node.callspec.id
    many = int(os.environ.get(f"CHIWAWA_{name.upper()}", MANY))
    check_seeds(make, FEW, many, oracle, tmp_path)
