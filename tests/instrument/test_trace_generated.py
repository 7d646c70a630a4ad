"""Generated modules, and host functions, traced and counted: traps, waits and calls back too."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.lower.lowered import Spaces
from chiwawa.module import Module, TypeUse
from chiwawa.source import load
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.errors import Interrupted, Trap
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import I32, I64, FuncType
from tests.instrument.watching_helpers import EVERYTHING, Watched, same_text, started, watched
from tests.nodiff.generator_helpers import Generator, arguments, seeded
from tests.nodiff.harness_helpers import Call, Log, spread
from tests.path_helpers import WATCHED, each_watched_path, next_path

#: Each is run many times over, so they are fewer than where only results are compared.
MANY = int(os.environ.get("CHIWAWA_GENERATED", "1000")) // 5
#: Safepoints, or boundaries, after which a run is broken off.
LIMIT = {"safepoint": 250, "instruction": 2500}


def instructions(run: Watched) -> int:
    return sum(sum(counts) for counts in run.instruments.observed().counts.values())


def agreed(call: Call, granularity: str) -> Watched:
    """The run, which both paths say the same of."""
    runs = [
        watched(call, path, EVERYTHING, MONITORS, granularity, LIMIT[granularity])
        for path in WATCHED
    ]
    what = f"{call.name}{call.args}, {granularity}"
    same_text(runs[0].text, runs[1].text, what)
    same_text(runs[0].documents(), runs[1].documents(), what)
    assert runs[0].ending == runs[1].ending, what
    assert runs[0].passed == runs[1].passed, what
    assert runs[0].log == runs[1].log, what
    return runs[0]


def moved_about(call: Call, granularity: str, whole: Watched, stops: int) -> None:
    """Have the run change paths at some places, once each, and then at all of them."""
    total = whole.passed - (whole.ending is None)
    numbers = spread(total, stops)
    for first in WATCHED:
        run = started(call, first, EVERYTHING, MONITORS, granularity)
        chained = started(call, first, EVERYTHING, MONITORS, granularity)
        for number in numbers:
            assert not run.go(number)
            compare_ends(
                run.moved(next_path(first, WATCHED)),
                whole,
                granularity,
                f"from {first} at {number}",
            )
            assert not chained.go(number)
            chained = chained.moved(next_path(chained.path, WATCHED))
        compare_ends(chained, whole, granularity, f"on and on, first on {first}")


def compare_ends(run: Watched, whole: Watched, granularity: str, how: str) -> None:
    run.go(LIMIT[granularity])
    what = f"{run.call.name}{run.call.args}, {granularity}, {how}"
    same_text(run.text, whole.text, what)
    same_text(run.documents(), whole.documents(), what)
    assert run.ending == whole.ending, what
    assert run.passed == whole.passed, what
    assert run.log == whole.log, what


def examined(call: Call, stops: int = 2) -> tuple[Any, ...] | None:
    """Everything above, at both granularities; how the run ended."""
    coarse, fine = (agreed(call, granularity) for granularity in LIMIT)
    if coarse.ending is not None and fine.ending is not None:
        what = f"{call.name}{call.args}, of both granularities"
        same_text(coarse.text, fine.text, what)
        same_text(coarse.documents(), fine.documents(), what)
    assert instructions(fine) == fine.passed - (fine.ending is None)
    assert len(fine.text.splitlines()) == instructions(fine)
    moved_about(call, "safepoint", coarse, stops)
    moved_about(call, "instruction", fine, stops)
    return coarse.ending


# Generated modules.


def host(functype: FuncType, log: Log) -> Callable[..., Any]:
    """Logs what it is called with and answers from that."""

    def call(*args: Any) -> Any:
        log.append(args)
        total = sum(args)
        values = [(total * 31 + i) & 0x7FFF for i, t in enumerate(functype.results)]
        return values[0] if len(values) == 1 else values or None

    return call


def hosts(module: Module) -> Callable[[Log], Imports]:
    def make(log: Log) -> Imports:
        result: dict[str, dict[str, Any]] = {}
        for wanted in module.import_section:
            assert isinstance(wanted.desc, TypeUse)
            functype = module.types[wanted.desc.typeidx]
            assert {*functype.params, *functype.results} <= {I32, I64}
            result.setdefault(wanted.module, {})[wanted.name] = host(functype, log)
        return result

    return make


def endings_of(seed: int | str, size: int, most: int) -> list[str]:
    """How calls of a generated module ended, each examined."""
    choose = seeded(seed)
    text = Generator(choose, size).module()
    try:
        module = load(text)
        funcs = Spaces.of(module).funcs
        endings = []
        for export in [e for e in module.export_section if e.kind == "func"][:most]:
            _, values = arguments(choose, [str(t) for t in funcs[export.index].functype.params])
            ending = examined(Call(module, export.name, tuple(values), hosts(module)))
            endings.append("stopped" if ending is None else ending[0])
    except BaseException as error:
        error.add_note(f"seed {seed}\n{text}")
        raise
    return endings


@pytest.mark.parametrize("seed", range(8))
def test_a_generated_module_is_watched_alike(seed: int) -> None:
    endings_of(f"watched {seed}", 40, 2)


def test_traps_in_the_middle_are_watched_alike() -> None:
    endings = [e for seed in (3, 5, 8, 13) for e in endings_of(f"trapping {seed}", 25, 2)]
    assert "trap" in endings


@pytest.mark.slow
def test_many_generated_modules_are_watched_alike() -> None:
    endings = [e for seed in range(MANY) for e in endings_of(seed, (25, 50, 90)[seed % 3], 3)]
    assert endings.count("trap") > MANY // 8
    assert endings.count("returned") > MANY // 2


# Traps of each sort, where all that a block does not get to is known.

TRAPPING = """(module
  (memory (export "mem") 1)
  (table 4 funcref)
  (elem (i32.const 0) $divide $wrong)
  (func $wrong (param f32))
  (func $divide (export "divide") (param i32) (result i32)
    (i32.store (i32.const 4) (i32.const 7))
    (i32.add (i32.const 1) (i32.div_s (i32.const 12) (local.get 0))))
  (func (export "stores") (param i32) (result i32)
    (i32.store (i32.const 4) (i32.const 7))
    (i32.store (local.get 0) (i32.load (i32.const 4)))
    (i32.load (i32.const 4)))
  (func (export "fills") (param i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 7) (local.get 0))
    (memory.copy (i32.const 100) (i32.const 0) (local.get 0))
    (memory.size))
  (func (export "unreachable") (param i32) (result i32)
    (loop (result i32)
      (if (i32.eqz (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))) (then unreachable))
      (br 0)))
  (func (export "indirect") (param i32) (result i32)
    (i32.add (i32.const 3)
      (call_indirect (param i32) (result i32) (local.get 0) (local.get 0))))
  (func $down (export "down") (param i32) (result i32)
    (i32.add (i32.const 1)
      (if (result i32) (local.get 0)
        (then (call $down (i32.sub (local.get 0) (i32.const 1))))
        (else (call $divide (i32.const 0)))))))
"""
CALLS = [
    *(("divide", n, "trap" if n == 0 else "returned") for n in (0, 3)),
    *(("stores", n, "trap" if n > 65532 else "returned") for n in (8, 65532, 65533, 0xFFFFFFFF)),
    *(("fills", n, "trap" if n > 65436 else "returned") for n in (0, 100, 65436, 65500, 70000)),
    ("unreachable", 5, "trap"),
    *(("indirect", n, "trap") for n in (0, 1, 2, 4)),
    ("down", 6, "trap"),
]


@pytest.mark.parametrize(("name", "arg", "kind"), CALLS)
def test_a_trap_is_watched_alike(name: str, arg: int, kind: str) -> None:
    ending = examined(Call(load(TRAPPING), name, (arg,)), 4)
    assert ending is not None
    assert ending[0] == kind


@each_watched_path
def test_endless_recursion_is_counted_to_its_end(path: str) -> None:
    module = load('(module (func $f (export "f") (result i32) (i32.add (i32.const 1) (call $f))))')
    run = watched(Call(module, "f"), path, None, MONITORS)
    assert run.ending is not None
    assert run.ending[:2] == ("trap", "call stack exhausted")
    (counts,) = run.instruments.observed().counts.values()
    assert counts[2] == counts[3] == 0
    assert abs(counts[0] - len(run.ending[2])) <= 1
    assert counts[0] == counts[1]


# Host functions.

ASKING = """(module
  (import "env" "ask" (func $ask (param i32 i32) (result i32)))
  (table (export "tab") 2 funcref)
  (elem (i32.const 0) func $ask $twice)
  (memory (export "mem") 1)
  (global $g (mut i32) (i32.const 3))
  (func $twice (export "twice") (param i32 i32) (result i32)
    (global.set $g (i32.add (global.get $g) (local.get 0)))
    (i32.mul (local.get 0) (i32.const 2)))
  (func (export "direct") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (i32.store (i32.const 8) (local.get $n))
      (local.set $sum
        (i32.add (local.get $sum) (call $ask (local.get $n) (i32.load (i32.const 8)))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))
  (func (export "indirect") (param $n i32) (param $at i32) (result i32)
    (i32.const 7)
    (call_indirect (param i32 i32) (result i32)
      (i32.add (local.get $n) (i32.const 1)) (i32.sub (local.get $n) (i32.const 1))
      (i32.and (local.get $at) (i32.const 1)))
    i32.add
    (i32.add (global.get $g)))
  (func $deep (export "deep") (param $n i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get $n) (i32.const 1)))))
      (else (call $ask (i32.const 5) (i32.const 6)))))
  (export "ask" (func $ask)))
"""
ASKS: list[tuple[str, tuple[int, ...]]] = [
    ("direct", (3,)),
    ("indirect", (4, 0)),
    ("deep", (5,)),
]


def importing(function: Callable[..., Any]) -> Callable[[Log], Imports]:
    """Imports whose one function is ``function``, which gets the log and the instance first."""

    def make(log: Log) -> Imports:
        def ask(*args: Any) -> Any:
            return function(log, *args)

        return {"env": {"ask": HostFunction(FuncType((I32, I32), (I32,)), ask, "ask", True)}}

    return make


def answers(log: Log, instance: Instance, a: int, b: int) -> int:
    log.append((a, b))
    return a * 100 + b


@pytest.mark.parametrize(("name", "args"), [*ASKS, ("indirect", (4, 1))])
def test_calls_of_the_host_are_watched_alike(name: str, args: tuple[int, ...]) -> None:
    ending = examined(Call(load(ASKING), name, args, importing(answers)), 10)
    assert ending is not None
    assert ending[0] == "returned"


class Waits:
    """A host function that is interrupted so many times when it is called with each argument."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.seen: dict[int, int] = {}

    def __call__(self, log: Log, instance: Instance, a: int, b: int) -> int:
        if self.seen.setdefault(a, 0) < self.times:
            self.seen[a] += 1
            instance.requests.ask("wait")
            raise Interrupted
        return answers(log, instance, a, b)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("granularity", LIMIT)
@each_watched_path
@pytest.mark.parametrize(("name", "args"), [*ASKS, ("ask", (3, 4))])
def test_a_call_that_was_interrupted_is_watched_once(
    name: str, args: tuple[int, ...], path: str, granularity: str, times: int
) -> None:
    module = load(ASKING)
    calm = agreed(Call(module, name, args, importing(answers)), granularity)
    call = Call(module, name, args, importing(Waits(times)))
    run = started(call, path, EVERYTHING, MONITORS, granularity)
    waited = 0
    while not run.run.go():
        assert run.run.requests.take() == ["wait"]
        waited += 1
        run.instruments.finish()
        # Whoever asks again now has an answer at once.
        for onto in WATCHED:
            compare_ends(calmed(run, onto), calm, granularity, f"interrupted, on {onto}")
    run.instruments.finish()
    assert waited
    same_text(run.text, calm.text, f"{name}{args}, interrupted, on {path}")
    same_text(run.documents(), calm.documents(), f"{name}{args}, interrupted, on {path}")
    assert run.run.results == calm.run.results


def calmed(run: Watched, path: str) -> Watched:
    """The run from its checkpoint on, where the host answers at once."""
    waiting = run.call
    assert isinstance(waiting.module, Module)
    run.call = Call(waiting.module, waiting.name, waiting.args, importing(answers))
    moved = run.moved(path)
    run.call = waiting
    return moved


@pytest.mark.parametrize("granularity", LIMIT)
@pytest.mark.parametrize(("name", "args"), [*ASKS, ("indirect", (4, 1)), ("ask", (7, 7))])
def test_calls_back_from_the_host_are_watched_alike(
    name: str, args: tuple[int, ...], granularity: str
) -> None:
    def calls_back(log: Log, instance: Instance, a: int, b: int) -> int:
        log.append((a, b))
        if a <= 1:
            return b
        (result,) = instance.invoke("indirect", (a - 2, a))
        (more,) = instance.invoke("twice", (result, 0))
        return int(more) & 0xFFFF

    whole = agreed(Call(load(ASKING), name, args, importing(calls_back)), granularity)
    assert whole.ending is not None
    assert whole.ending[0] == "returned"


@pytest.mark.parametrize("granularity", LIMIT)
def test_a_trap_that_the_host_catches_is_watched_alike(granularity: str) -> None:
    def catches(log: Log, instance: Instance, a: int, b: int) -> int:
        log.append((a, b))
        try:
            instance.invoke("indirect", (a, b)) if a < 3 else instance.invoke("trap", ())
        except Trap:
            return 1
        return 2

    text = ASKING.rstrip()[:-1] + '(func (export "trap") (drop (i32.const 1)) unreachable))'
    whole = agreed(Call(load(text), "direct", (4,), importing(catches)), granularity)
    assert whole.ending is not None
    assert whole.ending[0] == "returned"
