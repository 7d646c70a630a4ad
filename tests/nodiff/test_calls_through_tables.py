"""Functions of another instance that are reached through a table, or a global, that both have: they
stop, trap, are counted, written and restored as all others are."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import chiwawa
from chiwawa import Exhaustion, Interrupted, Limits, RunError, Stopped, Trap
from tests.nodiff.in_turn_helpers import IN_TURN
from tests.path_helpers import IN_PYTHON, PATHS, each_path, next_path

#: What the first one calls is in its table, which the second one fills.
MAIN = """(module $main
  (import "h" "tick" (func $tick (param i32) (result i32)))
  (type $f (func (param i32) (result i32)))
  (table (export "t") 9 funcref)
  (global (export "rounds") (mut i32) (i32.const 0))
  (func (export "nothing"))
  (func $mine (export "mine") (param i32) (result i32) (local i64 f32 f64)
    (local.set 1 (i64.const -5)) (local.set 2 (f32.const 0.5)) (local.set 3 (f64.const -0.25))
    (if (i32.eqz (local.get 0)) (then (return (call $tick (i32.const 1)))))
    (i32.add
      (i32.add (i32.wrap_i64 (local.get 1)) (i32.trunc_f64_s (f64.mul (local.get 3) (f64.const 8))))
      (i32.mul (i32.const 3)
        (call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1)))))
  (func $own (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 2) (call_indirect (type $f)
        (i32.sub (local.get 0) (i32.const 1)) (i32.const 2))))
      (else (call_indirect (type $f) (i32.const 4) (i32.const 1)))))
  (elem (i32.const 0) $mine) (elem (i32.const 2) $own)
  (func (export "call") (param i32 i32) (result i32)
    (call_indirect (type $f) (local.get 1) (local.get 0)))
  (func (export "several") (param i32) (result i32 i64 f64) (local i64)
    (local.set 1 (i64.const 77))
    (call_indirect (param i32 i64 f64) (result i32 i64 f64)
      (local.get 0) (i64.add (local.get 1) (i64.const 1)) (f64.const 1.5) (i32.const 6))))"""
SIDE = """(module $side
  (import "h" "tick" (func $tick (param i32) (result i32)))
  (import "main" "nothing" (func))
  (import "main" "t" (table $t 9 funcref))
  (type $f (func (param i32) (result i32)))
  (global $rounds (export "rounds") (mut i32) (i32.const 0))
  (elem (i32.const 1) $theirs) (elem (i32.const 3) $spin $bad $deep $several $forever $depth)
  (func $theirs (param i32) (result i32) (local i64)
    (local.set 1 (i64.extend_i32_u (local.get 0)))
    (if (i32.eqz (local.get 0)) (then (return (call $tick (i32.const 2)))))
    (i32.sub
      (call_indirect $t (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0))
      (i32.wrap_i64 (local.get 1))))
  (func $spin (param i32) (result i32) (local i32)
    (loop $on
      (local.set 1 (i32.add (local.get 1) (i32.const 3)))
      (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (call $tick (local.get 1)))
  (func $bad (param i32) (result i32) (loop) (drop (call $theirs (i32.const 2))) (unreachable))
  (func $deep (param i32) (result i32) (i32.add (i32.const 1) (call $deep (local.get 0))))
  (func $several (param i32 i64 f64) (result i32 i64 f64) (local i32)
    (loop $on
      (local.set 1 (i64.mul (local.get 1) (i64.const 3)))
      (local.set 2 (f64.add (local.get 2) (f64.const 0.25)))
      (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0) (local.get 1) (local.get 2))
  (func $depth (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $depth (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
  (func (export "alone") (result i32) (i32.const 1))
  (func $forever (param i32) (result i32)
    (loop $on
      (global.set $rounds (i32.add (global.get $rounds) (i32.const 1)))
      (br $on))
    (unreachable)))"""
MODULES = chiwawa.load(MAIN), chiwawa.load(SIDE)
THEIRS, OWN, SPIN, BAD, DEEP, FOREVER, DEPTH_OF = 1, 2, 3, 4, 5, 7, 8
CALLS: list[tuple[str, list[int]]] = [
    ("mine", [0]),
    ("mine", [5]),
    ("mine", [6]),
    ("call", [OWN, 3]),
    ("call", [SPIN, 7]),
    ("call", [THEIRS, 4]),
    ("several", [4]),
]
#: So that safepoints are counted from the start, also where machine code shares something.
COUNTED = Limits(fuel=10**12)


def made(
    path: str, tick: Callable[[int], int] = lambda n: n, limits: Limits = COUNTED
) -> tuple[chiwawa.Instance, chiwawa.Instance]:
    host = {"h": {"tick": tick}}
    main = chiwawa.instantiate(MODULES[0], host, path=path, limits=limits)
    side = chiwawa.instantiate(MODULES[1], {**host, "main": main.exports}, path=path, limits=limits)
    return main, side


def standing(run: chiwawa.Run) -> list[Any]:
    """Where it stands: its frames, with all that is in them."""
    return [(f.name, f.offset, list(f.locals), list(f.operands)) for f in run.frames]


def places(path: str, name: str, args: Sequence[int], each: int = 1) -> list[Any]:
    """Where a run stands after so much fuel each time, and what it returns."""
    main, side = made(path)
    run = main.start(name, *args)
    found: list[Any] = []
    while not run.resume(fuel=each):
        assert run.reasons == ["fuel"]
        assert main.fuel == 0
        passed = main.requests.passed or 0, side.requests.passed or 0
        assert sum(passed) == each * (len(found) + 1)
        found.append((passed, standing(run)))
        assert len(found) < 1000
    return [*found, run.results, (main.requests.passed, side.requests.passed)]


@each_path
@pytest.mark.parametrize(("name", "args"), CALLS)
def test_it_stops_in_the_middle_at_the_same_places(path: str, name: str, args: list[int]) -> None:
    found = places(path, name, args)
    assert found == places("interp", name, args)
    assert found[-2:] == places(path, name, args, each=3)[-2:]
    main, _ = made(path, limits=Limits())
    assert main.invoke(name, args) == found[-2]


@each_path
@pytest.mark.parametrize(("name", "args"), CALLS)
def test_it_goes_on_on_any_path_from_wherever_it_stands(
    path: str, name: str, args: list[int]
) -> None:
    expected = places("interp", name, args)
    host = {"h": {"tick": lambda n: n}}
    main, _ = made(path)
    run = main.start(name, *args)
    to = path
    stops = 0
    while not run.resume(fuel=1):
        assert standing(run) == expected[stops][1]
        stops += 1
        to = next_path(to)
        run = chiwawa.restore(
            MODULES[0], run.checkpoint(), host, path=to, modules=MODULES[1:], limits=COUNTED
        )
    assert run.results == expected[-2]
    assert stops == len(expected) - 2


def backtrace(path: str, name: str, args: Sequence[int], **limits: Any) -> Any:
    main, _ = made(path, limits=Limits(**limits))
    with pytest.raises(Trap) as caught:
        main.invoke(name, args)
    assert main.invoke("mine", [5]) == made("interp")[0].invoke("mine", [5])
    return type(caught.value), caught.value.message, [f.name for f in caught.value.backtrace]


@each_path
def test_it_traps_as_all_others_do(path: str) -> None:
    error, message, names = backtrace(path, "call", [BAD, 0])
    assert (error, message, names) == (Trap, "unreachable", ["bad", "call"])
    error, message, names = backtrace(path, "call", [DEEP, 0])
    assert (error, message) == (Exhaustion, "call stack exhausted")
    assert {*names[1:-1]} == {"deep"}
    error, message, names = backtrace(path, "call", [DEEP, 0], depth=100)
    assert (error, message) == (Exhaustion, "call stack exhausted")
    assert len(names) <= 102


@each_path
def test_it_is_as_deep_as_its_caller_makes_it(path: str) -> None:
    """However deep it has been before."""
    main, side = made(path, limits=Limits(fuel=10**9, depth=200))
    for _ in range(3):
        with pytest.raises(Exhaustion):
            main.call("call", DEEP, 0)
        before = side.requests.passed
        assert main.call("call", DEPTH_OF, 80) == 80
        assert (side.requests.passed or 0) - (before or 0) == 81


@each_path
@pytest.mark.parametrize("what", ["main", "side"])
def test_a_request_stops_it_whichever_instance_is_asked(path: str, what: str) -> None:
    main, side = made(path, limits=Limits())
    asked = {"main": main, "side": side}[what]
    asked.stop()
    with pytest.raises(Stopped) as caught:
        main.call("call", FOREVER, 0)
    assert caught.value.reasons == ["stopped"]
    run = caught.value.run
    for _ in range(4):
        asked.stop()
        assert not run.resume()
        assert run.reasons == ["stopped"]
    assert [frame.name for frame in run.frames] == ["forever", "call"]
    assert not main.requests.pending
    assert not side.requests.pending


@each_path
def test_a_call_without_end_is_stopped_by_time_and_fuel(path: str) -> None:
    main, side = made(path, limits=Limits(fuel=100, time=1000))
    with pytest.raises(Stopped) as caught:
        main.call("call", FOREVER, 0)
    assert caught.value.reasons == ["fuel"]
    run = caught.value.run
    rounds = side.global_("rounds").value
    assert not run.resume(fuel=100)
    assert side.global_("rounds").value == rounds + 100
    assert not run.resume(fuel=10**12, time=0.01)
    assert run.reasons == ["timeout"]
    main, _ = made(path, limits=Limits(fuel=100, trap=True))
    with pytest.raises(Trap, match="out of fuel") as trapped:
        main.call("call", FOREVER, 0)
    assert [frame.name for frame in trapped.value.backtrace] == ["forever", "call"]


@each_path
@pytest.mark.parametrize(("name", "args"), CALLS[:-1])
def test_a_host_function_that_it_calls_can_be_interrupted(
    path: str, name: str, args: list[int]
) -> None:
    calls: list[int] = []

    def tick(n: int) -> int:
        calls.append(n)
        if len(calls) % 3:
            raise Interrupted
        return n

    main, _ = made(path, tick, Limits())
    run = main.start(name, *args)
    stops = 0
    while not run.resume():
        stops += 1
    assert run.results == made(path)[0].invoke(name, args)
    assert stops == 2
    assert len({*calls}) == 1


@each_path
def test_what_it_calls_back_may_be_stopped_in_between(path: str) -> None:
    """A run within a run, in the same instances."""
    inner: list[Any] = []

    def tick(n: int) -> int:
        if not inner:
            inner.append(None)
            inner.append(main.call("mine", 4))
        return n

    main, _ = made(path, tick)
    expected = made("interp")[0].call("mine", 4)
    run = main.start("mine", 5)
    while not run.resume(fuel=10**6):
        raise AssertionError
    assert inner[1] == expected
    assert run.results == made("interp")[0].invoke("mine", [5])


TURNS: list[tuple[str, list[Any]]] = [
    *(("go", ["x", n]) for n in (0, 1, 2, 3, 7)),
    *(("catches", [n]) for n in (1, 4)),
]


def in_turn(
    path: str, tick: Callable[[Any, int], Any], limits: Limits = COUNTED
) -> list[chiwawa.Instance]:
    host = {"h": {"t": tick}}
    first = chiwawa.instantiate(IN_TURN[0], host, path=path, limits=limits)
    given = {**host, "a": first.exports}
    others = (chiwawa.instantiate(m, given, path=path, limits=limits) for m in IN_TURN[1:])
    return [first, *others]


def turns(path: str, name: str, args: Sequence[Any], each: int) -> list[Any]:
    instances = in_turn(path, lambda ref, n: ref)
    run = instances[0].start(name, *args)
    found: list[Any] = []
    while not run.resume(fuel=each):
        found.append(repr(standing(run)))
    return [*found, run.results, [instance.requests.passed for instance in instances]]


@each_path
@pytest.mark.parametrize(("name", "args"), TURNS)
def test_all_that_frames_hold_is_there_again(path: str, name: str, args: list[Any]) -> None:
    for each in (1, 2, 5):
        assert turns(path, name, args, each) == turns("interp", name, args, each)


@pytest.mark.parametrize(("path", "to"), list(itertools.product(PATHS, repeat=2)))
@pytest.mark.parametrize(("name", "args"), [("go", [None, 7]), ("catches", [4])])
def test_all_that_frames_hold_travels(path: str, to: str, name: str, args: list[Any]) -> None:
    run = in_turn(path, lambda ref, n: ref)[0].start(name, *args)
    paths = itertools.cycle((to, path))
    host = {"h": {"t": lambda ref, n: ref}}
    while not run.resume(fuel=1):
        run = chiwawa.restore(
            IN_TURN[0],
            run.checkpoint(),
            host,
            path=next(paths),
            modules=IN_TURN[1:],
            limits=COUNTED,
        )
    assert run.results == turns("interp", name, args, 1)[-2]


@each_path
def test_host_functions_of_all_of_them_can_be_interrupted(path: str) -> None:
    left = 0

    def tick(ref: Any, n: int) -> Any:
        nonlocal left
        left += 1
        if left % 2:
            raise Interrupted
        return ref

    run = in_turn(path, tick, Limits())[0].start("go", "x", 7)
    stops = 0
    while not run.resume():
        stops += 1
    assert stops == 3
    assert run.results == turns("interp", "go", ["x", 7], 1)[-2]


#: Functions that end in calls of functions of the other one, of another type.
TAILS = (
    """(module $main
      (type $f (func (param i32) (result i32)))
      (type $wide (func (param i64 i32) (result i32)))
      (table (export "t") 9 funcref)
      (func (export "nothing"))
      (func $hop (export "hop") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 5))))
        (return_call_indirect (type $wide) (i64.const 7) (local.get 0) (i32.const 1)))
      (func $waits (export "waits") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 3))))
        (i32.add (i32.const 100) (call $hop (i32.sub (local.get 0) (i32.const 1)))))
      (elem (i32.const 0) $hop) (elem (i32.const 2) $waits)
      (func (export "call") (param i32 i32) (result i32)
        (call_indirect (type $f) (local.get 1) (local.get 0))))""",
    """(module $side
      (import "main" "nothing" (func))
      (import "main" "t" (table $t 9 funcref))
      (type $f (func (param i32) (result i32)))
      (func $wide (param i64 i32) (result i32)
        (loop $on (br_if $on (i64.ne (i64.const 0)
          (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
        (return_call_indirect $t (type $f) (i32.sub (local.get 1) (i32.const 1)) (i32.const 2)))
      (elem (i32.const 1) $wide))""",
    # One that makes no tail calls, and waits for what does.
    """(module $third
      (import "main" "nothing" (func))
      (import "main" "t" (table $t 9 funcref))
      (type $f (func (param i32) (result i32)))
      (func $plain (param i32) (result i32)
        (i32.mul (i32.const 2) (call_indirect (type $f) (local.get 0) (i32.const 0))))
      (elem (i32.const 3) $plain))""",
)
TAILING = [chiwawa.load(each) for each in TAILS]
TAIL_CALLS: list[tuple[str, list[int]]] = [
    ("hop", [4]),
    ("hop", [5]),
    ("waits", [6]),
    ("call", [3, 5]),
    ("call", [3, 6]),
]


def tailing(path: str) -> list[chiwawa.Instance]:
    main = chiwawa.instantiate(TAILING[0], path=path, limits=COUNTED)
    given = {"main": main.exports}
    return [main, *(chiwawa.instantiate(m, given, path=path, limits=COUNTED) for m in TAILING[1:])]


def tail_places(path: str, name: str, args: Sequence[int], each: int) -> list[Any]:
    instances = tailing(path)
    run = instances[0].start(name, *args)
    found: list[Any] = []
    while not run.resume(fuel=each):
        found.append(standing(run))
    return [*found, run.results, [instance.requests.passed for instance in instances]]


@each_path
@pytest.mark.parametrize(("name", "args"), TAIL_CALLS)
@pytest.mark.parametrize("each", [1, 4])
def test_it_stops_where_functions_end_in_calls_of_the_others(
    path: str, name: str, args: list[int], each: int
) -> None:
    found = tail_places(path, name, args, each)
    assert found == tail_places("interp", name, args, each)
    assert len(found) > 5


@pytest.mark.parametrize(("path", "to"), list(itertools.product(PATHS, repeat=2)))
@pytest.mark.parametrize(("name", "args"), TAIL_CALLS)
def test_it_goes_on_where_functions_have_ended_in_calls_of_the_others(
    path: str, to: str, name: str, args: list[int]
) -> None:
    expected = tail_places("interp", name, args, 1)
    run = tailing(path)[0].start(name, *args)
    paths = itertools.cycle((to, path))
    stops = 0
    while not run.resume(fuel=1):
        assert standing(run) == expected[stops]
        stops += 1
        run = chiwawa.restore(
            TAILING[0], run.checkpoint(), path=next(paths), modules=TAILING[1:], limits=COUNTED
        )
    assert run.results == expected[-2]


REFERRING = """(module $a
  (type $f (func (param i32) (result i32)))
  (global (export "g") (mut funcref) (ref.null func))
  (table $t 1 funcref)
  (func (export "call") (param i32) (result i32)
    (table.set $t (i32.const 0) (global.get 0))
    (call_indirect $t (type $f) (local.get 0) (i32.const 0))))"""
REFERRED = """(module $b
  (import "a" "g" (global $g (mut funcref)))
  (elem declare func $spin)
  (func $spin (param i32) (result i32)
    (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0))
  (func (export "put") (global.set $g (ref.func $spin))))"""


@each_path
def test_what_is_reached_by_a_global_is_counted_and_stopped_as_well(path: str) -> None:
    first = chiwawa.instantiate(chiwawa.load(REFERRING), path=path, limits=COUNTED)
    second = chiwawa.instantiate(
        chiwawa.load(REFERRED), {"a": first.exports}, path=path, limits=COUNTED
    )
    second.invoke("put")
    run = first.start("call", 30)
    stops = 0
    while not run.resume(fuel=5):
        stops += 1
        assert (first.requests.passed or 0) + (second.requests.passed or 0) == 5 * stops
    assert stops > 4
    assert run.results == [0]


PLUGIN = """(module $plugin
  (func (export "spin") (param i32) (result i32)
    (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0)))"""


@pytest.mark.parametrize(("path", "other"), list(itertools.product(PATHS, repeat=2)))
@pytest.mark.parametrize("by", ["set", "fill", "grow"])
def test_what_python_puts_into_a_table_is_counted_and_stopped_as_well(
    path: str, other: str, by: str
) -> None:
    main = chiwawa.instantiate(
        MODULES[0], {"h": {"tick": lambda n: n}}, path=path, limits=Limits(fuel=20)
    )
    plugin = chiwawa.instantiate(chiwawa.load(PLUGIN), path=other)
    table, spin = main.table("t"), plugin.func("spin")
    index = 5
    if by == "set":
        table.set(index, spin)
    elif by == "fill":
        table.fill(index, spin, 1)
    else:
        index = table.grow(1, spin)
    run = main.start("call", index, 100)
    stops = 0
    while not run.resume():
        stops += 1
        assert run.reasons == ["fuel"]
        assert (main.requests.passed or 0) + (plugin.requests.passed or 0) == 20 * stops
        assert [frame.name for frame in run.frames][-1] == "call"
        run.allow(fuel=20)
    assert run.results == [0]
    assert stops == 5


@each_path
def test_what_python_puts_into_a_global_is_counted_and_stopped_as_well(path: str) -> None:
    plugin = chiwawa.instantiate(chiwawa.load(PLUGIN), path=path)
    first = chiwawa.instantiate(chiwawa.load(REFERRING), path=path, limits=Limits(fuel=20))
    first.global_("g").value = plugin.func("spin")
    with pytest.raises(Stopped) as caught:
        first.call("call", 100)
    assert [frame.name for frame in caught.value.run.frames] == ["spin", "call"]


@each_path
def test_an_instance_that_comes_while_another_runs_is_counted_from_then_on(path: str) -> None:
    """As where a program loads a library."""
    side: list[chiwawa.Instance] = []

    def tick(n: int) -> int:
        if not side:
            side.append(
                chiwawa.instantiate(
                    MODULES[1], {"h": {"tick": tick}, "main": main.exports}, path=path
                )
            )
        return n

    module = chiwawa.load(
        MAIN.replace(
            '(func (export "nothing"))',
            """(func (export "nothing"))
        (func (export "load") (drop (call $tick (i32.const 0)))
          (drop (call_indirect (type $f) (i32.const 0) (i32.const 7))))""",
        )
    )
    main = chiwawa.instantiate(module, {"h": {"tick": tick}}, path=path, limits=Limits(fuel=500))
    run = main.start("load")
    assert not run.resume()
    assert run.reasons == ["fuel"]
    assert [frame.name for frame in run.frames] == ["forever", "load"]
    assert (main.requests.passed or 0) + (side[0].requests.passed or 0) == 500


def test_who_is_gone_is_reached_no_longer_where_python_runs_it() -> None:
    for path in IN_PYTHON:
        main, side = made(path)
        assert (main.reached, side.reached) == ((main, side), (side, main))
        assert main.turns[::-1] == side.turns
        # Nothing else leads to it.
        table = main.table("t")
        for index in range(table.size()):
            table.set(index, None)
        del side
        for _ in range(5):
            gc.collect()
        assert main.reached == (main,)


@each_path
def test_many_may_have_a_table_in_common(path: str) -> None:
    """Whoever comes later is reached by those that were there, and counted."""
    library = chiwawa.load('(module (table (export "t") 300 funcref))')
    module = chiwawa.load("""(module (import "l" "t" (table $t 300 funcref))
      (func $f (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func (export "put") (param i32) (table.set $t (local.get 0) (ref.func $f)))
      (elem declare func $f)
      (func (export "call") (param i32 i32)
        (call_indirect $t (param i32) (local.get 1) (local.get 0))))""")
    first = chiwawa.instantiate(library, path=path, limits=COUNTED)
    given = {"l": first.exports}
    instances = [
        chiwawa.instantiate(module, given, path=path, limits=Limits(fuel=50)) for _ in range(100)
    ]
    for index, instance in enumerate(instances):
        instance.invoke("put", [index])
        instance.allow(fuel=50)
    run = instances[3].start("call", 90, 1000)
    assert not run.resume()
    assert run.reasons == ["fuel"]
    assert {*instances[3].reached} == {first, *instances}


@each_path
def test_who_may_come_into_an_instance_takes_its_turn(path: str) -> None:
    """While one is run, no other thread runs the other."""

    def tick(n: int) -> int:
        with ThreadPoolExecutor(1) as pool, pytest.raises(RunError, match="in another thread"):
            pool.submit(side.invoke, "alone").result()
        return n

    main, side = made(path, tick, Limits())
    assert main.call("call", SPIN, 2) == 6
    assert side.call("alone") == 1
