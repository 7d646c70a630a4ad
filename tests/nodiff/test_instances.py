"""Programs of several instances: calls across them, on one path or on both."""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import pytest

from chiwawa import Instruments, api
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.errors import Interrupted, Trap
from chiwawa_runtime.run.instance import Instance
from tests.nodiff.harness_helpers import bits, state_of
from tests.nodiff.linked_helpers import ABOVE, BELOW
from tests.path_helpers import PATHS, SHARING, WATCHED

#: Machine code that shares state cannot begin to count when it has begun, and these do.
COUNTING = [(below, above) for below, above in SHARING if below != "native"]
CALLS = [
    ("leaf", 5),
    ("loops", 4),
    ("mine", 6),
    ("mine", 1000),
    pytest.param("mine", 1_000_000, marks=pytest.mark.slow),
    ("traps", 0),
    ("traps", 1),
    ("again", 3),
]


@pytest.fixture(scope="module")
def modules() -> tuple[Module, Module]:
    return load(BELOW), load(ABOVE)


def linked(modules: tuple[Module, Module], below: str, above: str) -> Instance:
    first = api.instantiate(modules[0], path=below)
    return api.instantiate(modules[1], {"below": first.exports}, path=above)


def outcome(instance: Instance, name: str, arg: int) -> Any:
    try:
        results = instance.invoke(name, (arg,))
    except Trap as trap:
        return ("trap", trap.message), state_of(instance)
    index, _ = instance.prepared(name, (arg,))
    types = instance.functions[index].type.results
    return [bits(v, t) for v, t in zip(results, types, strict=True)], state_of(instance)


@pytest.mark.parametrize(("name", "arg"), CALLS)
def test_calls_across_instances_end_the_same_however_they_are_mixed(
    modules: tuple[Module, Module], name: str, arg: int
) -> None:
    endings = {
        (below, above): outcome(linked(modules, below, above), name, arg)
        for below, above in SHARING
        # Machine code that shares state stays on one stack, beneath which Python's is.
        if (below, above) != ("native", "native") or arg < 100
        if arg <= 1000 or below == above
    }
    assert len({repr(ending) for ending in endings.values()}) == 1, endings


def test_calls_that_go_through_more_instances_than_one_stack_holds_end_as_they_should(
    modules: tuple[Module, Module],
) -> None:
    first = load("""(module (func (export "f") (param i32) (result i32) (local.get 0)))""")
    module = load("""(module (import "l" "f" (func $f (param i32) (result i32)))
      (func (export "f") (param i32) (result i32)
        (i32.add (i32.const 1) (call $f (local.get 0)))))""")
    for path in PATHS:
        last = api.instantiate(first, path=path)
        for _ in range(300):
            last = api.instantiate(module, {"l": last.exports}, path=path)
        assert last.invoke("f", (7,)) == [307]
    if "native" in PATHS:
        instance = linked(modules, "native", "native")
        # PyPy has a larger stack.
        if sys.implementation.name != "pypy":
            with pytest.raises(Trap, match="call stack exhausted"):
                instance.invoke("mine", (1000,))
        assert instance.invoke("mine", (6,)) == linked(modules, "aot", "aot").invoke("mine", (6,))


@pytest.mark.parametrize(("below", "above"), COUNTING)
def test_a_stop_among_another_instances_frames_can_be_written_and_goes_on(
    modules: tuple[Module, Module], below: str, above: str
) -> None:
    first = api.instantiate(modules[0], path=below)
    run = api.start(modules[1], "mine", (6,), {"below": first.exports}, path=above)
    expected = linked(modules, below, above).invoke("mine", (6,))
    run.requests.count_from(0, 4)
    several = 0
    while not run.go():
        run.requests.take()
        snapshot = run.snapshot()
        several += len({frame.instance for frame in snapshot.frames}) > 1
        again = api.restore(modules[1], snapshot, path="interp", modules=modules[:1])
        assert again.go()
        assert again.results == expected
        assert run.requests.passed is not None
        run.requests.stop_at(run.requests.passed + 1)
    assert run.results == expected
    assert several


def test_a_trap_in_another_instance_is_told_and_counted_alike() -> None:
    """The function that traps has an index that stands for something else in the caller."""
    library = load("""(module (func nop) (func nop)
      (func (export "divide") (param i32) (result i32)
        nop nop (i32.div_u (i32.const 1) (local.get 0)) nop nop))""")
    module = load("""(module
      (import "library" "divide" (func $divide (param i32) (result i32)))
      (func nop nop)
      (func $other nop nop nop nop nop nop nop nop nop nop)
      (func (export "main") (param i32) (result i32)
        (call $other) nop (call $divide (local.get 0)) nop nop))""")
    seen = []
    for path in WATCHED:
        exports = api.instantiate(library, path=path).exports
        instruments = Instruments(module, monitors=["icount", "profile"])
        imports = {"library": {"divide": exports["divide"]}}
        instance = api.instantiate(module, imports, path=path, instruments=instruments)
        assert instance.invoke("main", [1]) == [1]
        with pytest.raises(Trap, match="divide by zero") as caught:
            instance.invoke("main", [0])
        observed = instruments.observed()
        assert observed.counts[2] == [2] * 10 + [0]
        assert sum(observed.counts[3]) == 2 * 4 + 2
        tree = [(n.function, n.calls, n.instructions) for n in observed.tree.walk()]
        seen.append(([str(place) for place in caught.value.backtrace], tree))
    assert seen[0] == seen[1]
    assert len(seen[0][0]) == 2


#: A function that waits for the host beneath so many calls of itself, and who calls it.
WAITING = """(module (import "h" "wait" (func $wait (param i32) (result i32)))
  (global $count (export "count") (mut i32) (i32.const 0))
  (table (export "tab") 1 funcref) (elem (i32.const 0) $f)
  (func $f (export "f") (param i32) (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
      (else (call $wait (global.get $count))))))"""
WAITED_FOR = {
    "direct": """(module (import "l" "f" (func $f (param i32) (result i32)))
      (func (export "direct") (param i32) (result i32)
        (i32.add (i32.const 1000) (call $f (local.get 0)))))""",
    "indirect": """(module (import "l" "tab" (table 1 funcref))
      (func (export "indirect") (param i32) (result i32)
        (i32.add (i32.const 1000)
          (call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))))""",
}
#: How it is called, and on which paths.
THROUGH = [
    *(("direct", below, above) for below, above in product(PATHS, PATHS)),
    *(("indirect", below, above) for below, above in SHARING),
]


@pytest.mark.parametrize("depth", [0, 1, 99, 100, 101, 350])
@pytest.mark.parametrize(
    ("name", "path"), [(name, below) for name, below, above in THROUGH if below == above]
)
def test_a_host_call_that_another_instance_waits_in_is_taken_back_alone(
    path: str, depth: int, name: str
) -> None:
    """What that instance did before the call is not done again."""
    library, module = load(WAITING), load(WAITED_FOR[name])
    calls = []

    def wait(count: int) -> int:
        calls.append(count)
        if len(calls) < 3:
            run.requests.ask()
            raise Interrupted
        return 7

    first = api.instantiate(library, {"h": {"wait": wait}}, path=path)
    run = api.start(module, name, [depth], {"l": first.exports}, path=path)
    stops = 0
    while not run.go():
        stops += 1
        run.requests.take()
        assert len(run.snapshot().frames) == depth + 2
    assert (stops, run.results) == (2, [1007 + depth])
    assert calls == [depth + 1] * 3
    assert first.exports["count"].value == depth + 1  # type: ignore[union-attr]


def counts(path_below: str, path_above: str, name: str, times: int, asking: bool) -> Any:
    """What is counted where the host has the program wait so many times."""
    left = times

    def wait(count: int) -> int:
        nonlocal left
        if not left:
            return 7
        left -= 1
        if asking:
            run.requests.ask()
        raise Interrupted

    first = api.instantiate(load(WAITING), {"h": {"wait": wait}}, path=path_below)
    first.requests.count_from(0, None)
    module = load(WAITED_FOR[name])
    instruments = Instruments(module, monitors=["icount", "calls", "profile"])
    imports = {"l": first.exports}
    run = api.start(module, name, [3], imports, path=path_above, instruments=instruments)
    run.requests.count_from(0, None)
    stops = 0
    while not run.go():
        run.requests.take()
        stops += 1
    assert (stops, run.results) == (times, [1010])
    observed = instruments.observed()
    tree = [(n.function, n.calls, n.instructions) for n in observed.tree.walk()]
    return first.requests.passed, run.requests.passed, observed.counts, tree


@pytest.mark.parametrize("asking", [False, True])
@pytest.mark.parametrize(
    ("name", "below", "above"), [through for through in THROUGH if through[2] in WATCHED]
)
def test_a_call_that_another_instance_makes_again_is_counted_once(
    below: str, above: str, name: str, asking: bool
) -> None:
    """By the instruments of the caller, and among the safepoints of either instance."""
    calm = counts(below, above, name, 0, asking)
    assert counts(below, above, name, 2, asking) == calm


@pytest.mark.parametrize(("name", "arg"), [("leaf", 5), ("loops", 4), ("mine", 6)])
def test_each_instance_counts_the_safepoints_of_its_own_functions(
    modules: tuple[Module, Module], name: str, arg: int
) -> None:
    """As many on each path, whichever the other instance is on."""
    passed = set()
    for below, above in COUNTING:
        first = api.instantiate(modules[0], path=below)
        first.requests.count_from(0, None)
        run = api.start(modules[1], name, (arg,), {"below": first.exports}, path=above)
        run.requests.count_from(0, None)
        assert run.go()
        passed.add((first.requests.passed, run.requests.passed))
    assert len(passed) == 1, passed
    assert sum(count or 0 for count in passed.pop()) > 0


#: Goes round until the host says that it is enough.
ROUNDS = """(module (import "h" "enough" (func $enough (result i32)))
  (func (export "rounds") (result i32) (local i32)
    (loop $again
      (local.set 0 (i32.add (local.get 0) (i32.const 1)))
      (br_if $again (i32.eqz (call $enough))))
    (local.get 0)))"""
ASKED_ABOVE = """(module (import "l" "rounds" (func $rounds (result i32)))
  (func (export "main") (result i32) (call $rounds)))"""


@pytest.mark.parametrize(("below", "above"), list(product(PATHS, PATHS)))
def test_a_request_stops_a_run_in_another_instances_function(below: str, above: str) -> None:
    """At its next safepoint there, once for each request."""
    rounds = 0

    def enough() -> int:
        nonlocal rounds
        rounds += 1
        if rounds in (2, 5):
            run.requests.ask("host")
        return rounds >= 9

    first = api.instantiate(load(ROUNDS), {"h": {"enough": enough}}, path=below)
    run = api.start(load(ASKED_ABOVE), "main", (), {"l": first.exports}, path=above)
    stops = []
    while not run.go():
        assert run.requests.take() == ["host"]
        stops.append(rounds)
    assert (stops, run.results) == ([2, 5], [9])
