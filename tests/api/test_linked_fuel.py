"""Fuel and time of a run that calls into other instances: one budget, that of the instance that is
run, whichever path each is on."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import chiwawa
from chiwawa import Limits, Stopped, Trap
from tests.path_helpers import IN_PYTHON, PATHS, each_path

BELOW = chiwawa.load("""(module $below
  (import "host" "back" (func $back))
  (global $rounds (export "rounds") (mut i32) (i32.const 0))
  (func (export "spin") (param i32)
    (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $forever (export "forever")
    (loop $on
      (global.set $rounds (i32.add (global.get $rounds) (i32.const 1)))
      (br $on)))
  (func (export "back") (call $back)))""")
ABOVE = chiwawa.load("""(module $above
  (import "below" "spin" (func $spin (param i32)))
  (import "below" "forever" (func $forever))
  (import "below" "back" (func $back))
  (func (export "spin") (param i32 i32) (result i32) (local $n i32)
    (loop $on
      (call $spin (local.get 0))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $n) (local.get 1))))
    (local.get $n))
  (func (export "forever") (call $forever))
  (func (export "back") (call $back)))""")
TOP = chiwawa.load("""(module $top
  (import "above" "spin" (func $spin (param i32 i32) (result i32)))
  (import "below" "spin" (func $below (param i32)))
  (func (export "f") (param i32) (result i32)
    (loop $on
      (drop (call $spin (i32.const 3) (i32.const 4)))
      (call $below (i32.const 5))
      (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0)))""")
#: Any path may call functions of any other.
CALLING = list(itertools.product(PATHS, repeat=2))


def two(
    below: str, above: str, limits: Limits, back: Any = lambda: None, granularity: str = "safepoint"
) -> tuple[chiwawa.Instance, chiwawa.Instance]:
    first = chiwawa.instantiate(
        BELOW, {"host": {"back": back}}, path=below, granularity=granularity
    )
    second = chiwawa.instantiate(
        ABOVE, {"below": first.exports}, path=above, limits=limits, granularity=granularity
    )
    return first, second


def stops(below: str, above: str, granularity: str = "safepoint", each: int = 37) -> list[Any]:
    """Where it is stopped each time, with the fuel that is spent for good."""
    first, second = two(below, above, Limits(fuel=each), granularity=granularity)
    run = second.start("spin", 7, 20)
    places = []
    while not run.resume():
        assert run.reasons == ["fuel"]
        assert second.fuel == 0
        places.append((second.requests.passed, first.requests.passed, run.frames[0].name))
        assert sum(place for place in places[-1] if isinstance(place, int)) == each * len(places)
        run.allow(fuel=each)
    assert run.results == [20]
    return places


@pytest.mark.parametrize(("below", "above"), CALLING)
def test_fuel_is_that_of_all_instances_together(below: str, above: str) -> None:
    assert stops(below, above) == stops("interp", "interp")
    assert len(stops(below, above, each=1)) > 100


@pytest.mark.parametrize(("below", "above"), list(itertools.product(IN_PYTHON, repeat=2)))
def test_fuel_is_instructions_in_all_instances(below: str, above: str) -> None:
    assert stops(below, above, "instruction") == stops("interp", "interp", "instruction")


@each_path
def test_three_instances_spend_one_budget(path: str) -> None:
    below = chiwawa.instantiate(BELOW, {"host": {"back": lambda: None}}, path=path)
    above = chiwawa.instantiate(ABOVE, {"below": below.exports}, path="interp")
    top = chiwawa.instantiate(
        TOP,
        {"above": above.exports, "below": below.exports},
        path=path,
        limits=Limits(fuel=10),
    )
    run = top.start("f", 5)
    spent = 0
    while not run.resume():
        spent += 10
        counts = [each.requests.passed or 0 for each in (below, above, top)]
        assert sum(counts) == spent
        run.allow(fuel=10)
    assert run.results == [0]
    assert spent > 100
    # What is called by itself spends nothing of it.
    left = top.fuel
    above.invoke("spin", [100, 1])
    assert top.fuel == left
    assert not any(each.requests.stops for each in (below, above, top))


@pytest.mark.parametrize(("below", "above"), CALLING)
def test_a_call_into_another_instance_without_end_is_stopped(below: str, above: str) -> None:
    first, second = two(below, above, Limits(fuel=100, time=1000))
    with pytest.raises(Stopped) as caught:
        second.invoke("forever")
    assert caught.value.reasons == ["fuel"]
    assert [frame.name for frame in caught.value.run.frames] == ["forever", "forever"]
    rounds = first.global_("rounds").value
    caught.value.run.allow(fuel=100)
    assert not caught.value.run.resume()
    assert first.global_("rounds").value == rounds + 100
    caught.value.run.allow(fuel=10**12, time=0.01)
    assert not caught.value.run.resume()
    assert caught.value.run.reasons == ["timeout"]


@pytest.mark.parametrize(("below", "above"), CALLING)
def test_it_is_a_trap_there_where_that_is_wanted(below: str, above: str) -> None:
    _, second = two(below, above, Limits(fuel=100, trap=True))
    with pytest.raises(Trap, match="out of fuel") as caught:
        second.invoke("forever")
    assert [frame.name for frame in caught.value.backtrace] == ["forever", "forever"]


@pytest.mark.parametrize(("what", "said"), [("fuel", "out of fuel"), ("time", "out of time")])
@pytest.mark.parametrize(("below", "above"), CALLING)
def test_what_is_called_back_of_another_instance_traps_without(
    below: str, above: str, what: str, said: str
) -> None:
    first: chiwawa.Instance
    given: dict[str, Any] = {"fuel": 50} if what == "fuel" else {"time": 0.001}

    def back() -> None:
        second.allow(**given)
        first.invoke("forever")

    first, second = two(below, above, Limits(fuel=10**12, time=1000), back)
    with pytest.raises(Trap, match=said):
        second.invoke("back")
    if what == "fuel":
        assert first.global_("rounds").value in (49, 50)


@each_path
def test_the_limits_of_an_instance_are_for_its_own_runs(path: str) -> None:
    first = chiwawa.instantiate(
        BELOW, {"host": {"back": lambda: None}}, path=path, limits=Limits(fuel=5)
    )
    second = chiwawa.instantiate(ABOVE, {"below": first.exports}, path=path)
    assert second.call("spin", 10, 10) == 10
    assert first.fuel == 5
    with pytest.raises(Stopped):
        first.call("spin", 10)


@each_path
def test_one_checkpoint_of_linked_instances_has_no_fuel(path: str) -> None:
    _, second = two(path, path, Limits(fuel=37))
    run = second.start("spin", 7, 20)
    spent = 37
    others = itertools.cycle(PATHS)
    while not run.resume():
        assert sum(each.requests.passed or 0 for each in run.instance.linked) == spent
        run = chiwawa.restore(
            ABOVE,
            run.checkpoint(),
            {"host": {"back": lambda: None}},
            path=next(others),
            modules=[BELOW],
            limits=Limits(fuel=37),
        )
        spent += 37
    assert run.results == [20]


@pytest.mark.parametrize(("below", "above"), CALLING)
@pytest.mark.parametrize("by", ["run", "call"])
def test_a_run_stops_where_an_instance_that_it_calls_is_to_stop(
    below: str, above: str, by: str
) -> None:
    first, second = two(below, above, Limits())
    first.stop()
    if by == "run":
        run = second.start("forever")
        assert not run.resume()
        assert run.reasons == ["stopped"]
    else:
        with pytest.raises(Stopped) as caught:
            second.invoke("forever")
        run = caught.value.run
        assert caught.value.reasons == ["stopped"]
    second.stop()
    assert not run.resume()
    assert run.reasons == ["stopped"]
    assert not first.requests.pending


@pytest.mark.needs("wasmtime")
def test_the_native_path_counts_what_shares_state_from_its_start() -> None:
    sharing = chiwawa.load("""(module (memory (export "memory") 1)
      (func (export "spin") (param i32)
        (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))""")
    shared = chiwawa.load("""(module (import "a" "memory" (memory 1)) (func (export "f")))""")
    user = chiwawa.load("""(module (import "a" "memory" (memory 1))
      (import "a" "spin" (func $spin (param i32)))
      (func (export "f") (call $spin (i32.const 100))))""")
    first = chiwawa.instantiate(sharing, path="native")
    second = chiwawa.instantiate(shared, {"a": first.exports}, path="native")
    second.invoke("f")
    with pytest.raises(chiwawa.UnsupportedError, match="cannot begin to count safepoints"):
        chiwawa.instantiate(user, {"a": first.exports}, path="native", limits=Limits(fuel=10))
    chiwawa.instantiate(user, {"a": first.exports}, path="native").invoke("f")
    counted = chiwawa.instantiate(sharing, path="native", limits=Limits(fuel=1000))
    instance = chiwawa.instantiate(
        user, {"a": counted.exports}, path="native", limits=Limits(fuel=10)
    )
    with pytest.raises(Stopped):
        instance.invoke("f")
    assert counted.fuel == 1000
