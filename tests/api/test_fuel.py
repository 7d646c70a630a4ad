"""Fuel and time: a run is suspended where they are spent, at the same safepoint on every path."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from chiwawa import Limits, Stopped, Trap
from chiwawa_runtime import checkpoint
from chiwawa_runtime.engine import budget
from chiwawa_runtime.engine.alarms import Alarms
from tests.path_helpers import (
    IN_PYTHON,
    PATHS,
    each_path,
    each_path_and_granularity,
    next_path,
    running,
    stopping_at,
)

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
FOREVER = chiwawa.load("""(module
  (import "host" "back" (func $back))
  (global $rounds (export "rounds") (mut i64) (i64.const 0))
  (func $forever (export "forever")
    (loop $on
      (global.set $rounds (i64.add (global.get $rounds) (i64.const 1)))
      (br $on)))
  (func (export "through") (call $back))
  (func $back_forever (export "back_forever") (call $back) (call $forever))
  (func (export "twice") (call $one) (call $one))
  (func $one (export "one") (local i32)
    (loop $on
      (br_if $on (i32.lt_u
        (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 10))))))""")
IMPORTS: Any = {"host": {"back": lambda: None}}
ROWS: list[dict[str, Any]] = json.loads((SAMPLES / "samples.json").read_text("utf-8"))


def started(name: str, args: Any = (), **given: Any) -> chiwawa.Run:
    return chiwawa.start(FOREVER, name, args, IMPORTS, **given)


RUNS = [(row, path) for row in ROWS for path in running(chiwawa.load(SAMPLES / row["file"]))]


@pytest.mark.parametrize(("row", "path"), RUNS, ids=[f"{r['name']}-{p}" for r, p in RUNS])
def test_a_sample_that_is_stopped_each_thousand_units_comes_to_the_same_end(
    row: dict[str, Any], path: str
) -> None:
    module = chiwawa.load(SAMPLES / row["file"])
    given = module, row["export"], row["args"]
    whole = chiwawa.start(*given, path="interp", count=10**12)
    assert whole.go()
    total = whole.requests.passed
    assert total is not None
    run = chiwawa.start(*given, path=path, limits=Limits(fuel=1000))
    spent = 0
    while not run.go():
        assert run.requests.take() == ["fuel"]
        spent += 1000
        assert run.requests.passed == spent
        if spent % 3000 == 0:
            # Elsewhere, too: what it may spend is not in the checkpoint.
            path = next_path(path, running(module))
            run = chiwawa.restore(module, run.checkpoint(), path=path, limits=Limits(fuel=1000))
        else:
            run.allow(fuel=1000)
    assert spent == total // 1000 * 1000
    assert (run.results, run.requests.passed) == (whole.results, total)


@pytest.mark.parametrize("path", stopping_at("instruction"))
def test_fuel_is_instructions_where_each_can_be_stopped_at(path: str) -> None:
    module = chiwawa.load(SAMPLES / "recursion.wasm")
    run = chiwawa.start(
        module, "fib", [6], path=path, granularity="instruction", limits=Limits(fuel=10)
    )
    stops = 0
    while not run.go():
        stops += 1
        assert run.requests.passed == 10 * stops
        run.allow(fuel=10)
    assert run.results == [8]


@each_path_and_granularity
def test_what_is_left_of_fuel_is_left_after_another_stop(path: str, granularity: str) -> None:
    run = started("forever", path=path, granularity=granularity, count=30, limits=Limits(fuel=100))
    assert not run.go()
    assert (run.requests.take(), run.requests.passed) == (["count"], 30)
    run.requests.stop_at(90)
    assert not run.go()
    assert (run.requests.take(), run.requests.passed) == (["count"], 90)
    assert not run.go()
    assert (run.requests.take(), run.requests.passed) == (["fuel"], 100)
    # Nothing more is passed without any.
    for _ in range(2):
        assert not run.go()
        assert (run.requests.take(), run.requests.passed) == (["fuel"], 100)
    run.allow(fuel=1)
    assert not run.go()
    assert (run.requests.take(), run.requests.passed) == (["fuel"], 101)


@each_path
def test_two_reasons_at_one_safepoint_are_both_given(path: str) -> None:
    run = started("forever", path=path, count=50, limits=Limits(fuel=50))
    assert not run.go()
    assert sorted(run.requests.take()) == ["count", "fuel"]


@each_path
def test_without_fuel_a_run_does_not_begin(path: str) -> None:
    run = started("forever", path=path, limits=Limits(fuel=0))
    assert not run.go()
    assert run.requests.take() == ["fuel"]
    rounds: Any = run.instance.exports["rounds"]
    assert rounds.value == 0
    data = run.checkpoint()
    again = chiwawa.restore(FOREVER, data, IMPORTS, path=path, limits=Limits(fuel=3))
    assert not again.go()
    assert again.requests.passed == 3


@each_path
def test_fuel_that_is_spent_is_a_trap_where_that_is_wanted(path: str) -> None:
    run = started("forever", path=path, limits=Limits(fuel=10, trap=True))
    with pytest.raises(Trap, match="out of fuel") as caught:
        run.go()
    (frame,) = caught.value.backtrace
    assert (frame.function, frame.name) == (1, "forever")
    assert not run.requests.pending


@each_path
def test_fuel_can_be_given_to_a_run_that_had_no_limit(path: str) -> None:
    run = started("forever", path=path)
    run.allow(fuel=1000)
    assert not run.go()
    assert run.requests.passed == 1000
    assert run.requests.take() == ["fuel"]


@each_path
def test_calls_from_python_spend_the_fuel_of_their_instance(path: str) -> None:
    instance = chiwawa.instantiate(FOREVER, IMPORTS, path=path, limits=Limits(fuel=95))
    for _ in range(9):
        instance.invoke("one")
    assert instance.fuel == 5
    begun = []
    for _ in range(2):
        with pytest.raises(Stopped, match=r"stopped \(fuel\)") as caught:
            instance.invoke("one")
        assert caught.value.reasons == ["fuel"]
        assert not caught.value.run.resume()
        assert caught.value.run.reasons == ["fuel"]
        begun.append(caught.value.run)
    assert instance.fuel == 0
    instance.allow(fuel=26)
    instance.invoke("one")
    assert begun[0].resume()
    assert begun[1].resume()
    # The first had passed five of its ten, the second none.
    assert instance.fuel == 26 - 10 - 5 - 10


@each_path
def test_a_call_without_fuel_goes_on_as_a_run(path: str) -> None:
    instance = chiwawa.instantiate(FOREVER, IMPORTS, path=path, limits=Limits(fuel=14))
    instance.invoke("one")
    with pytest.raises(Stopped) as caught:
        instance.call("one")
    run = caught.value.run
    assert [frame.name for frame in run.frames] == ["one"]
    data = run.checkpoint()
    for other in PATHS:
        again = chiwawa.restore(FOREVER, data, IMPORTS, path=other, limits=Limits(fuel=7))
        assert again.go()
        assert again.instance.fuel == 1
    assert not run.resume(fuel=1)
    assert run.resume(fuel=10)
    assert run.instance.fuel == 5


@each_path
def test_a_call_traps_without_fuel_where_that_is_wanted(path: str) -> None:
    limits = Limits(fuel=5, trap=True)
    instance = chiwawa.instantiate(FOREVER, IMPORTS, path=path, limits=limits)
    for _ in range(2):
        with pytest.raises(Trap, match="out of fuel"):
            instance.invoke("one")
    instance.allow(fuel=11)
    instance.invoke("one")


@each_path
def test_a_start_function_without_fuel_goes_on(path: str) -> None:
    module = chiwawa.load("""(module (global $n (export "n") (mut i32) (i32.const 0))
      (func $begin (local i32)
        (loop $on (global.set $n (i32.add (global.get $n) (i32.const 1)))
          (br_if $on (i32.lt_u (global.get $n) (i32.const 10)))))
      (start $begin))""")
    with pytest.raises(Stopped) as caught:
        chiwawa.instantiate(module, path=path, limits=Limits(fuel=4))
    run = caught.value.run
    assert run.instance.global_("n").value == 3
    assert run.resume(fuel=100)
    assert run.instance.global_("n").value == 10


@each_path
def test_what_a_host_function_calls_back_traps_without_fuel(path: str) -> None:
    imports: Any = {"host": {"back": lambda: run.instance.invoke("forever")}}
    run = chiwawa.start(FOREVER, "through", (), imports, path=path, limits=Limits(fuel=100))
    with pytest.raises(Trap, match="out of fuel"):
        run.go()
    with pytest.raises(chiwawa.RunError):
        run.go()


@pytest.mark.parametrize(("what", "reason"), [("fuel", "fuel"), ("time", "timeout")])
@each_path
def test_a_host_function_that_hears_of_the_trap_is_the_last_thing_that_runs(
    path: str, what: str, reason: str
) -> None:
    said: list[str] = []

    def back() -> None:
        run.allow(**({"fuel": 100} if what == "fuel" else {"fuel": 10**12, "time": 0.001}))
        for _ in range(2):
            try:
                run.instance.invoke("forever")
            except Trap as trap:
                said.append(trap.message)

    imports: Any = {"host": {"back": back}}
    limits = Limits(fuel=100, time=1000)
    run = chiwawa.start(FOREVER, "back_forever", (), imports, path=path, limits=limits)
    assert not run.go()
    assert set(run.requests.take()) == {reason}
    assert said == [f"out of {what}"] * 2
    passed = run.requests.passed
    assert not run.go()
    assert run.requests.passed == passed


@each_path
def test_a_run_that_a_host_function_has_go_on_spends_what_is_there(path: str) -> None:
    inner: list[chiwawa.Run] = []

    def back() -> None:
        run = instance.start("forever")
        assert not run.resume()
        inner.append(run)

    instance = chiwawa.instantiate(
        FOREVER, {"host": {"back": back}}, path=path, limits=Limits(fuel=50)
    )
    with pytest.raises(Stopped) as caught:
        instance.invoke("back_forever")
    assert inner[0].reasons == caught.value.reasons == ["fuel"]
    instance.allow(fuel=7)
    assert not inner[0].resume()
    assert instance.fuel == 0


@each_path
def test_fuel_given_by_a_host_function_counts_from_there(path: str) -> None:
    def back() -> None:
        instance.allow(fuel=30)

    instance = chiwawa.instantiate(
        FOREVER, {"host": {"back": back}}, path=path, limits=Limits(fuel=50)
    )
    with pytest.raises(Stopped) as caught:
        instance.invoke("back_forever")
    assert instance.global_("rounds").value == 29
    assert caught.value.reasons == ["fuel"]


@pytest.mark.parametrize("path", IN_PYTHON)
def test_an_instance_without_limits_can_be_given_some_while_it_runs(path: str) -> None:
    def back() -> None:
        instance.allow(fuel=30)

    instance = chiwawa.instantiate(FOREVER, {"host": {"back": back}}, path=path)
    with pytest.raises(Stopped):
        instance.invoke("back_forever")
    assert instance.global_("rounds").value == 29


@pytest.mark.needs("wasmtime")
def test_the_native_path_begins_to_count_only_where_nothing_runs() -> None:
    def back() -> None:
        instance.allow(fuel=30)

    instance = chiwawa.instantiate(FOREVER, {"host": {"back": back}}, path="native")
    with pytest.raises(chiwawa.HostError, match="cannot begin to count safepoints in an instance"):
        instance.invoke("through")
    assert instance.fuel is None
    instance.allow(fuel=30)
    with pytest.raises(Stopped):
        instance.invoke("forever")


@each_path
def test_a_run_is_suspended_when_its_time_is_over(path: str) -> None:
    run = started("forever", path=path, limits=Limits(time=0.01))
    assert not run.go()
    assert run.requests.take() == ["timeout"]
    assert not run.go()
    assert run.requests.take() == ["timeout"]
    for other in PATHS:
        again = chiwawa.restore(
            FOREVER, run.checkpoint(), IMPORTS, path=other, limits=Limits(time=0.01)
        )
        assert not again.go()
        assert again.requests.take() == ["timeout"]
    run.allow(time=1000)
    run.requests.ask()
    assert not run.go()
    assert run.requests.take() == ["api"]


@each_path
def test_a_call_whose_time_is_over_goes_on_as_a_run(path: str) -> None:
    instance = chiwawa.instantiate(FOREVER, IMPORTS, path=path, limits=Limits(time=0.01))
    with pytest.raises(Stopped) as caught:
        instance.invoke("forever")
    assert caught.value.reasons == ["timeout"]
    assert not caught.value.run.resume(time=0.01)
    assert caught.value.run.reasons == ["timeout"]
    with pytest.raises(Stopped):
        instance.invoke("one")


@each_path
def test_time_that_is_over_is_a_trap_where_that_is_wanted(path: str) -> None:
    run = started("forever", path=path, limits=Limits(time=0.01, trap=True))
    with pytest.raises(Trap, match="out of time"):
        run.go()


@each_path
def test_what_waits_is_interrupted_when_time_is_over(path: str) -> None:
    def wait() -> None:
        while not run.requests.pending:
            threading.Event().wait(0.001)
        raise chiwawa.Interrupted

    imports: Any = {"host": {"back": wait}}
    run = chiwawa.start(FOREVER, "through", (), imports, path=path, limits=Limits(time=0.01))
    assert not run.go()
    assert run.requests.take() == ["timeout"]
    imports["host"]["back"] = lambda: None
    again = chiwawa.restore(FOREVER, run.checkpoint(), imports, path=path)
    assert again.go()


@each_path
def test_no_thread_is_needed_to_notice_that_time_is_over(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "chiwawa alarms":
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(budget, "alarms", Alarms())
    run = started("forever", path=path, limits=Limits(time=0.001))
    for _ in range(2):
        assert not run.go()
        assert run.requests.take() == ["timeout"]
        run.allow(time=0.001)


@each_path
def test_a_limit_changes_nothing_of_a_checkpoint_but_that_safepoints_are_counted(path: str) -> None:
    counted = started("forever", path=path, count=77)
    limited = started("forever", path=path, limits=Limits(fuel=77, time=1000, depth=50))
    assert not counted.go()
    assert not limited.go()
    assert checkpoint.encode(counted.snapshot()) == checkpoint.encode(limited.snapshot())


@each_path
def test_many_instances_have_their_times_at_once(path: str) -> None:
    long = [started("forever", path=path, limits=Limits(time=1000)) for _ in range(3)]
    for run in long:
        run.requests.ask()
        assert not run.go()
        assert run.requests.take() == ["api"]
    short = [started("forever", path=path, limits=Limits(time=0.01)) for _ in range(3)]
    for run in short:
        assert not run.go()
        assert run.requests.take() == ["timeout"]
    for run in short:
        run.allow(time=0.01)
        assert not run.go()
        assert run.requests.take() == ["timeout"]


@each_path
def test_time_is_that_of_all_runs_together(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: clock[0])
    imports: Any = {"host": {"back": lambda: clock.__setitem__(0, clock[0] + 3)}}
    instance = chiwawa.instantiate(FOREVER, imports, path=path, limits=Limits(time=10))
    for left in (7, 4, 1, 0):
        instance.invoke("through")
        assert instance.budget.seconds == left
        # Nothing runs meanwhile.
        clock[0] += 100
    with pytest.raises(Stopped):
        instance.invoke("through")


@each_path
def test_a_call_in_an_event_loop_is_suspended_without_fuel(path: str) -> None:
    instance = chiwawa.instantiate(FOREVER, IMPORTS, path=path, limits=Limits(fuel=1000))
    with pytest.raises(Stopped) as caught:
        asyncio.run(instance.call_async("forever"))
    assert caught.value.reasons == ["fuel"]
    assert instance.global_("rounds").value in (999, 1000)
    run = caught.value.run
    run.allow(fuel=500)
    assert not asyncio.run(run.go_async())
    assert run.requests.take() == ["fuel"]
    assert instance.fuel == 0
    limits = Limits(fuel=1000, trap=True)
    instance = chiwawa.instantiate(FOREVER, IMPORTS, path=path, limits=limits)
    with pytest.raises(Trap, match="out of fuel"):
        asyncio.run(instance.call_async("forever"))


@each_path
def test_a_run_in_an_event_loop_is_suspended_without_fuel(path: str) -> None:
    run = started("forever", path=path, limits=Limits(fuel=1000))
    for total in (1000, 2000):
        assert not asyncio.run(run.go_async())
        assert (run.requests.take(), run.requests.passed) == (["fuel"], total)
        run.allow(fuel=1000)
