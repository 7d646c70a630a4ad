"""The samples, traced and counted: the same on both paths, whole or carried across them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.instrument.tracing.tracer import EVENTS, RESOURCES, Tracing
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.errors import CheckpointError
from tests.instrument.watching_helpers import (
    EVERYTHING,
    safepoint_after,
    same_text,
    started,
    watched,
)
from tests.nodiff.harness_helpers import Call, spread
from tests.path_helpers import WATCHED, each_watched_path, next_path

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
ROWS: list[dict[str, Any]] = json.loads((SAMPLES / "samples.json").read_text("utf-8"))
NAMES = [row["name"] for row in ROWS]
#: The first of each module's samples, and in the slow run the others.
FIRSTS = {row["file"]: row["name"] for row in reversed(ROWS)}.values()
MOSTLY_FIRSTS = [
    pytest.param(name, marks=() if name in FIRSTS else pytest.mark.slow) for name in NAMES
]
GRANULARITIES = ("safepoint", "instruction")
#: What the ordinary tests look at, in lines of a full trace.
LINES, FEWER = 3000, 1000

#: What can be asked for, each alone, and together. ``functions`` True: every other one.
SELECTIONS: dict[str, Tracing] = {
    **{name: replace(EVERYTHING, events=frozenset((name,))) for name in EVENTS},
    **{name: Tracing(resources=frozenset((name,))) for name in RESOURCES},
    "the defaults": Tracing(),
    "two groups": Tracing(events=frozenset(("load", "branch"))),
    "nothing of the state": Tracing(resources=frozenset()),
    "some functions": EVERYTHING,
}


@cache
def module_of(file: str) -> Module:
    return load(SAMPLES / file)


@cache
def call_of(name: str) -> Call:
    row = next(row for row in ROWS if row["name"] == name)
    return Call(module_of(row["file"]), row["export"], tuple(row["args"]))


@cache
def cut(name: str, lines: int = LINES) -> int | None:
    """The safepoint at which the ordinary tests leave off."""
    return safepoint_after(call_of(name), lines)


def cut_at(name: str, granularity: str, lines: int = LINES) -> int | None:
    """The same, or the boundary where each one is a safepoint."""
    to = cut(name, lines)
    return to if granularity == "safepoint" or to is None else lines


def selected(selection: str, format_: str, module: Module) -> Tracing:
    tracing = replace(SELECTIONS[selection], format=format_)
    if selection != "some functions":
        return tracing
    return replace(tracing, functions=frozenset(range(0, len(module.func_typeidxs()), 2)))


def compare(name: str, selection: str, format_: str, granularity: str, to: int | None) -> str:
    call = call_of(name)
    assert isinstance(call.module, Module)
    tracing = selected(selection, format_, call.module)
    interp, aot = (watched(call, path, tracing, (), granularity, to) for path in WATCHED)
    same_text(interp.text, aot.text, f"{name}, {selection}, {format_}, {granularity}")
    assert interp.ending == aot.ending
    assert interp.passed == aot.passed
    return interp.text


# Streams.


@pytest.mark.parametrize("format_", ["text", "jsonl"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", NAMES)
def test_the_full_streams_of_both_paths_are_equal(
    name: str, granularity: str, format_: str
) -> None:
    to = cut_at(name, granularity)
    text = compare(name, "all", format_, granularity, to)
    assert text
    if format_ == "jsonl":
        for line in text.splitlines()[:100]:
            json.loads(line)


#: In the ordinary run each sample has a quarter of the selections, which come round.
ORDINARY = [
    (name, selection)
    for number, name in enumerate(NAMES)
    for place, selection in enumerate(SELECTIONS)
    if (number + place) % 4 == 0
]


@pytest.mark.parametrize(("name", "selection"), ORDINARY)
def test_the_streams_of_what_is_selected_are_equal(name: str, selection: str) -> None:
    place = list(SELECTIONS).index(selection)
    compare(name, selection, ("text", "jsonl")[place % 2], "safepoint", cut(name, FEWER))


@pytest.mark.slow
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_whole_streams_of_every_selection_are_equal(name: str, selection: str) -> None:
    for format_ in ("text", "jsonl"):
        compare(name, selection, format_, "safepoint", None)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_whole_streams_are_equal_where_each_boundary_is_a_safepoint(name: str) -> None:
    coarse = compare(name, "all", "text", "safepoint", None)
    fine = compare(name, "all", "text", "instruction", None)
    same_text(coarse, fine, f"{name}, of both granularities")


@pytest.mark.parametrize("name", NAMES)
def test_what_is_selected_is_a_part_of_the_whole_stream(name: str) -> None:
    call, to = call_of(name), cut(name)
    whole = watched(call, "interp", EVERYTHING, to=to).text.splitlines()
    groups = frozenset(("load", "branch"))
    part = watched(call, "aot", replace(EVERYTHING, events=groups), to=to).text.splitlines()
    left = iter(whole)
    assert all(line in left for line in part)


# Across checkpoints.


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", MOSTLY_FIRSTS)
def test_a_stream_and_its_tables_are_the_same_when_the_run_changes_paths(
    name: str, granularity: str
) -> None:
    call, to = call_of(name), cut_at(name, granularity, FEWER)
    whole = [watched(call, path, EVERYTHING, MONITORS, granularity, to) for path in WATCHED]
    same_text(whole[0].text, whole[1].text, "streams of both paths")
    same_text(whole[0].documents(), whole[1].documents(), "tables of both paths")
    total = whole[0].passed
    for first in WATCHED:
        run = started(call, first, EVERYTHING, MONITORS, granularity)
        for number in spread(total - 1, 3):
            assert not run.go(number)
            moved = run.moved(next_path(first, WATCHED))
            moved.go(to)
            what = f"{name}, {granularity}, from {first} at {number}"
            same_text(moved.text, whole[0].text, what)
            same_text(moved.documents(), whole[0].documents(), what)
            assert moved.ending == whole[0].ending
            assert moved.passed == total


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("name", MOSTLY_FIRSTS)
def test_a_run_carried_on_and_on_leaves_one_stream(name: str, granularity: str) -> None:
    call, to = call_of(name), cut_at(name, granularity, FEWER)
    whole = watched(call, "interp", EVERYTHING, MONITORS, granularity, to)
    run = started(call, "aot", EVERYTHING, MONITORS, granularity)
    for number in spread(whole.passed - 1, 3):
        assert not run.go(number)
        run = run.moved(next_path(run.path, WATCHED))
    run.go(to)
    same_text(run.text, whole.text, f"{name}, {granularity}")
    same_text(run.documents(), whole.documents(), f"{name}, {granularity}")


#: Whole runs of some hundreds of lines: safepoints of another granularity are counted anew, so a
#: run that changes it has to go on to its end.
SMALL: list[tuple[str, str, tuple[Any, ...]]] = [
    ("pi.wasm", "leibniz", (12,)),
    ("recursion.wasm", "fib", (7,)),
    ("recursion.wasm", "evens", (6,)),
    ("recursion.wasm", "depth", (30,)),
    ("nesting.wasm", "ruler", (12,)),
    ("nesting.wasm", "choose", (2,)),
    ("indirect.wasm", "steps", (6,)),
    ("indirect.wasm", "apply", (4, 3735928559, 12)),
    ("bits.wasm", "mix", (2,)),
    ("nan.wasm", "payloads", (3,)),
    ("vectors.wasm", "mix", (2,)),
]


@pytest.mark.parametrize("first", WATCHED)
@pytest.mark.parametrize(("from_", "to"), [GRANULARITIES, GRANULARITIES[::-1]])
@pytest.mark.parametrize(("file", "export", "args"), SMALL, ids=lambda v: str(v))
def test_a_stream_is_the_same_when_the_run_changes_its_granularity(
    file: str, export: str, args: tuple[Any, ...], from_: str, to: str, first: str
) -> None:
    call = Call(module_of(file), export, args)
    whole = watched(call, "interp", EVERYTHING, MONITORS, to)
    total = watched(call, first, None, (), from_).passed
    run = started(call, first, EVERYTHING, MONITORS, from_)
    moves = 0
    for number in spread(total, 6):
        assert not run.go(number)
        for path in WATCHED:
            try:
                moved = run.moved(path, to)
            except CheckpointError as error:
                if "before the next safepoint" not in str(error):
                    raise
                # Generated code has nowhere to be entered then.
                continue
            moved.go()
            moves += 1
            what = f"{export}{args}, from {first} to {path} at {number}"
            same_text(moved.text, whole.text, what)
            same_text(moved.documents(), whole.documents(), what)
    assert moves


# Counts.


@each_watched_path
@pytest.mark.parametrize("name", NAMES)
def test_as_many_instructions_are_counted_as_boundaries_are_passed(name: str, path: str) -> None:
    call = call_of(name)
    counts = [
        watched(call, path, None, ("icount",), granularity, cut_at(name, granularity))
        for granularity in ("instruction", "safepoint")
    ]
    fine, coarse = counts
    passed = fine.passed
    if fine.ending is None:
        # It stands before the last one that was met.
        passed -= 1
    assert instructions(fine) == passed
    if coarse.ending is not None:
        assert instructions(coarse) == passed


def instructions(run: Any) -> int:
    observed = run.instruments.observed()
    return sum(sum(counts) for counts in observed.counts.values())


@pytest.mark.slow
@each_watched_path
@pytest.mark.parametrize("name", NAMES)
def test_as_many_instructions_are_counted_in_whole_runs(name: str, path: str) -> None:
    call = call_of(name)
    fine = watched(call, path, None, ("icount",), "instruction")
    coarse = watched(call, path, None, ("icount",))
    assert instructions(fine) == fine.passed == instructions(coarse)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_tables_of_whole_runs_are_the_same_on_both_paths_and_across_them(name: str) -> None:
    call = call_of(name)
    whole = [watched(call, path, None, MONITORS) for path in WATCHED]
    same_text(whole[0].documents(), whole[1].documents(), name)
    total = whole[0].passed
    for first in WATCHED:
        run = started(call, first, None, MONITORS)
        for number in spread(total - 1, 5):
            if not run.go(number):
                run = run.moved(next_path(run.path, WATCHED))
        run.go()
        same_text(run.documents(), whole[0].documents(), f"{name}, first on {first}")
        assert run.ending == whole[0].ending
