"""Where the native path counts boundaries, they are those of the other paths: where it stops, it
writes the checkpoint that they write at that number, and it goes on from theirs."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

import chiwawa
from chiwawa.debug.swift import Swift
from chiwawa.execution import Source
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.checkpoint import decode
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.run.starting import Setup
from tests.cli.cli_helpers import ROOT
from tests.nodiff.generator_helpers import Choose, Generator, seeded
from tests.nodiff.handler_helpers import DELEGATED, NESTED, NEVER_NULL
from tests.nodiff.harness_helpers import Call
from tests.nodiff.judging_helpers import calls_of
from tests.path_helpers import running

pytestmark = pytest.mark.needs("wasmtime")

SAMPLES = json.loads((ROOT / "samples" / "samples.json").read_text())
#: How many modules the slow test makes, and where a run is broken off.
MANY = int(os.environ.get("CHIWAWA_GENERATED", "1000")) // 10
LIMIT = 20_000


def stepped(call: Call, count: int) -> chiwawa.Run:
    return chiwawa.start(
        call.module,
        call.name,
        call.args,
        call.make_imports([]),
        granularity="instruction",
        canonical_nans=True,
        count=count,
    )


def ended(run: chiwawa.Run) -> tuple[bool, str]:
    """Go on: whether it has ended, and with which trap."""
    try:
        return run.go(), ""
    except Trap as trap:
        return True, trap.message


def check(call: Call, choose: Choose, stops: int) -> int:
    """At how many stops they were the same."""
    assert isinstance(call.module, Module)
    swift = Swift(Source(call.module), "native")
    other = stepped(call, LIMIT)
    end = ended(other)
    total = other.requests.passed
    assert total is not None
    found = 0
    for _ in range(stops):
        setup = Setup(imports=call.make_imports([]), count=1 + choose(total + 1))
        run = swift.start(call.name, call.args, setup)
        reached = ended(run)
        if reached[0]:
            assert reached == end
            # What ends it may be in the middle of what is counted at once.
            assert run.requests.passed == total or end[1]
            continue
        count = run.requests.passed
        assert count is not None
        other = stepped(call, count)
        assert ended(other) == (False, "")
        data = other.checkpoint()
        assert run.checkpoint() == data
        # On to the next safepoint, from the other's checkpoint, too.
        again = swift.restore(decode(data), Setup(imports=call.make_imports([])))
        for each in (again, run):
            each.requests.take()
            each.requests.stop_at(count + 1)
        assert ended(again) == ended(run)
        assert again.requests.passed == run.requests.passed
        found += 1
    return found


def module_of(sample: dict[str, Any]) -> Module:
    return load(str(ROOT / "samples" / sample["file"]))


NATIVE = [sample for sample in SAMPLES if "native" in running(module_of(sample))]


@pytest.mark.parametrize("sample", NATIVE, ids=lambda sample: str(sample["name"]))
def test_in_a_sample(sample: dict[str, Any]) -> None:
    module = module_of(sample)
    check(Call(module, sample["export"], tuple(sample["args"])), seeded(sample["name"]), 3)


@pytest.mark.parametrize("text", [NESTED, DELEGATED, NEVER_NULL])
def test_through_handlers_of_exceptions(text: str) -> None:
    call = Call(load(text), "f", (3,), lambda log: {})
    assert check(call, seeded("handlers"), 12) > 6


def checked(seed: int, size: int) -> int:
    choose = seeded(f"boundaries {seed}")
    module = load(Generator(choose, size).module())
    return sum(check(call, choose, 3) for call, _ in calls_of(module, choose, 4))


def test_in_generated_modules() -> None:
    assert sum(checked(seed, 60) for seed in range(4)) > 4


@pytest.mark.slow
def test_in_many_generated_modules() -> None:
    assert sum(checked(seed, (30, 60, 120)[seed % 3]) for seed in range(MANY)) > MANY
