"""Modules of our own strategies: the two paths and wasmtime see the same in them."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from chiwawa.source import load
from tests.nodiff.generator_helpers import Choose, Generator, seeded
from tests.nodiff.judging_helpers import judge
from tests.nodiff.oracle_helpers import Oracle

#: How many modules the slow test makes.
MANY = int(os.environ.get("CHIWAWA_GENERATED", "1000"))


@st.composite
def choices(draw: st.DrawFn) -> Choose:
    """A source of choices that hypothesis records and shrinks."""

    def choose(count: int) -> int:
        return draw(st.integers(0, count - 1))

    return choose


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(choices())
def test_a_drawn_module_does_the_same_everywhere(oracle: Oracle, choose: Choose) -> None:
    text = Generator(choose, 25).module()
    note(text)
    judge(load(text), choose, oracle, most=3, instruction_stops=5)


@pytest.mark.parametrize("seed", range(6))
def test_a_larger_module_does_the_same_everywhere(oracle: Oracle, seed: int) -> None:
    choose = seeded(seed)
    judge(load(Generator(choose, 150).module()), choose, oracle)


@pytest.mark.slow
def test_many_modules_do_the_same_everywhere(oracle: Oracle) -> None:
    asked = 0
    for seed in range(MANY):
        choose = seeded(f"own {seed}")
        text = Generator(choose, (30, 60, 120)[seed % 3]).module()
        try:
            asked += judge(load(text), choose, oracle)["oracle"]
        except BaseException as error:
            error.add_note(f"seed {seed}\n{text}")
            raise
    assert asked > MANY
