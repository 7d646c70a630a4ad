"""The samples, on both paths: endings, checkpoint bytes over the whole run, crossings, chains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chiwawa.source import load
from tests.nodiff.harness_helpers import (
    Call,
    both,
    chain,
    coarse,
    compare_bytes,
    cross,
    paths_of,
    same,
    spread,
    without_count,
)
from tests.path_helpers import PATHS

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
ROWS: list[dict[str, Any]] = json.loads((SAMPLES / "samples.json").read_text("utf-8"))
COMPUTE = [row for row in ROWS if row["compute"]]
PLACES = 100

#: Small runs: with each boundary a safepoint, some thousands of them.
SMALL: list[tuple[str, str, tuple[Any, ...]]] = [
    ("pi.wasm", "leibniz", (12,)),
    ("recursion.wasm", "fib", (7,)),
    ("recursion.wasm", "evens", (6,)),
    ("recursion.wasm", "depth", (30,)),
    ("nesting.wasm", "ruler", (12,)),
    ("nesting.wasm", "choose", (6,)),
    ("indirect.wasm", "steps", (6,)),
    ("indirect.wasm", "apply", (4, 3735928559, 12)),
    ("bits.wasm", "mix", (2,)),
    ("bits.wasm", "mul_high", (18364758544493064720, 17357386176853808775)),
    ("nan.wasm", "copy32", (4288750405,)),
    ("nan.wasm", "copy64", (9219994337145507311,)),
    ("nan.wasm", "payloads", (3,)),
    ("nan.wasm", "rules", ()),
    ("vectors.wasm", "mix", (4,)),
    ("vectors.wasm", "sums", (4,)),
    ("vectors.wasm", "parts", (1027,)),
    ("trees.wasm", "sorted", (5,)),
    ("trees.wasm", "last_of", (7,)),
]


def call_of(row: dict[str, Any]) -> Call:
    return Call(load(SAMPLES / row["file"]), row["export"], tuple(row["args"]))


@pytest.mark.parametrize("row", COMPUTE, ids=lambda row: row["name"])
def test_both_paths_write_the_same_bytes_at_100_places(row: dict[str, Any]) -> None:
    call = call_of(row)
    expected = both(call)
    total = expected.safepoints or 0
    assert total >= PLACES
    crossed = {1, PLACES // 2, PLACES}
    for place, stop in enumerate(compare_bytes(call, spread(total, PLACES)), 1):
        if place in crossed:
            cross(call, stop, expected)


@pytest.mark.slow
@pytest.mark.parametrize("row", COMPUTE, ids=lambda row: row["name"])
def test_each_of_100_places_is_crossed_from_and_to_either_path(row: dict[str, Any]) -> None:
    call = call_of(row)
    expected = both(call)
    for stop in compare_bytes(call, spread(expected.safepoints or 0, PLACES)):
        cross(call, stop, expected)


@pytest.mark.parametrize("first", PATHS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_a_run_carried_on_and_on_across_paths_ends_the_same(
    row: dict[str, Any], first: str
) -> None:
    call = call_of(row)
    expected = both(call)
    if first in paths_of(call):
        chain(call, expected, spread(expected.safepoints or 0, 6), first)


@pytest.mark.parametrize(("file", "export", "args"), SMALL, ids=lambda v: str(v))
def test_both_paths_write_the_same_bytes_at_every_boundary(
    file: str, export: str, args: tuple[Any, ...]
) -> None:
    call = Call(load(SAMPLES / file), export, args)
    expected, fine = both(call), both(call, "instruction")
    same(without_count(expected), without_count(fine), f"{export}, safepoint and instruction")
    total = fine.safepoints or 0
    crossed = set(spread(total, 300 if total <= 300 else 40))
    for stop in compare_bytes(call, range(1, total + 1), "instruction"):
        if stop.number in crossed:
            cross(call, stop, fine)
            coarse(call, stop, expected)


@pytest.mark.parametrize(("file", "export", "args"), SMALL, ids=lambda v: str(v))
def test_a_safepoints_checkpoint_goes_on_with_every_boundary_a_safepoint(
    file: str, export: str, args: tuple[Any, ...]
) -> None:
    call = Call(load(SAMPLES / file), export, args)
    expected = both(call)
    for stop in compare_bytes(call, spread(expected.safepoints or 0, 8)):
        cross(call, stop, expected, granularity="instruction")
