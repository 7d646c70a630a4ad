"""Runs in an event loop: they share it, and their host functions may be ``async def``."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest

from chiwawa import HostError, Run, Stopped, instantiate, load, restore, start
from chiwawa_runtime.run.asynchronous import FIRST, LEAST, MOST, SLICE, Slices
from tests.path_helpers import IN_PYTHON, PATHS, each_path

#: ``rounds`` calls ``f`` with each number below its argument, and gives the sum of the results.
ASKING = load("""(module
  (import "h" "f" (func $f (param i32) (result i32)))
  (func (export "rounds") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (loop $on
      (local.set $sum (i32.add (local.get $sum) (call $f (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $on (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $sum)))""")

COMPUTING = load("""(module
  (func (export "forever") (loop $on (br $on)))
  (func (export "down") (param i32) (result i32)
    (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.const 7)))""")

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def asking(f: Any, path: str, n: int) -> Run:
    return start(ASKING, "rounds", [n], {"h": {"f": f}}, path=path)


def finished(run: Run) -> list[Any]:
    assert run.finished
    return run.results


def in_a_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


@each_path
def test_a_program_waits_for_its_host_function_while_the_loop_goes_on(path: str) -> None:
    async def main() -> list[Any]:
        events = [asyncio.Event() for _ in range(3)]

        async def f(number: int) -> int:
            await events[number].wait()
            return 10 + number

        async def others() -> None:
            for event in events:
                await asyncio.sleep(0)
                event.set()

        run = asking(f, path, 3)
        done, _ = await asyncio.gather(run.go_async(), others())
        assert done
        return finished(run)

    assert in_a_loop(main()) == [33]


@each_path
def test_several_programs_wait_at_a_time(path: str) -> None:
    async def main() -> list[list[Any]]:
        barrier = asyncio.Barrier(5)

        async def f(number: int) -> int:
            # None goes on before all are here.
            await barrier.wait()
            return number

        runs = [asking(f, path, 4) for _ in range(5)]
        assert await asyncio.gather(*[run.go_async() for run in runs]) == [True] * 5
        return [finished(run) for run in runs]

    assert in_a_loop(main()) == [[6]] * 5


@each_path
def test_an_instance_is_called_in_a_loop(path: str) -> None:
    async def main() -> None:
        async def f(number: int) -> int:
            await asyncio.sleep(0)
            if number == 7:
                instance.requests.ask()
            return -number

        instance = instantiate(ASKING, {"h": {"f": f}}, path=path)
        assert await instance.call_async("rounds", 3) == -3
        with pytest.raises(Stopped) as stopped:
            await instance.call_async("rounds", 9)
        assert stopped.value.reasons == ["api"]
        assert await stopped.value.run.go_async()
        assert stopped.value.run.result == -36
        assert await instance.call_async("rounds", 2) == -1

    in_a_loop(main())


@pytest.mark.parametrize("path", IN_PYTHON)
def test_programs_give_way_to_each_other(path: str) -> None:
    turns: list[str] = []

    async def main() -> None:
        def f(name: str, number: int) -> int:
            turns.append(name)
            return number

        runs = [asking(partial(f, name), path, 20) for name in "abc"]
        await asyncio.gather(*[run.go_async(every=4) for run in runs])
        assert [finished(run) for run in runs] == [[190]] * 3

    in_a_loop(main())
    order = [a for a, b in zip(turns, [*turns[1:], ""], strict=True) if a != b]
    assert order == list("abc") * (len(order) // 3)
    assert len(order) >= 15


@each_path
def test_two_hundred_programs_share_a_loop(path: str) -> None:
    async def main() -> list[Any]:
        runs = [start(COMPUTING, "down", [200 + n], path=path) for n in range(200)]
        assert all(await asyncio.gather(*[run.go_async(every=50) for run in runs]))
        return [finished(run) for run in runs]

    assert in_a_loop(main()) == [[7]] * 200


@each_path
def test_what_waits_is_checkpointed_before_the_call(path: str) -> None:
    async def main() -> bytes:
        arrived = asyncio.Event()

        async def f(number: int) -> int:
            if number == 2:
                arrived.set()
                await asyncio.Event().wait()
            return number

        run = asking(f, path, 4)
        task = asyncio.create_task(run.go_async())
        await arrived.wait()
        data = run.checkpoint()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # It stands where it stood.
        assert run.checkpoint() == data
        return data

    data = in_a_loop(main())
    for other in PATHS:
        seen: list[int] = []

        def f(number: int, seen: list[int] = seen) -> int:
            seen.append(number)
            return number

        run = restore(ASKING, data, {"h": {"f": f}}, path=other)
        assert run.go()
        assert (run.results, seen) == ([6], [2, 3])

        async def g(number: int) -> int:
            await asyncio.sleep(0)
            return number

        run = restore(ASKING, data, {"h": {"f": g}}, path=other)
        assert in_a_loop(run.go_async())
        assert run.results == [6]


@each_path
def test_a_run_stops_behind_the_call_that_it_was_waiting_in(path: str) -> None:
    called: list[int] = []

    async def main() -> Run:
        async def f(number: int) -> int:
            called.append(number)
            if number == 1:
                run.requests.ask()
            await asyncio.sleep(0)
            return number

        run = asking(f, path, 4)
        assert not await run.go_async()
        assert run.requests.take() == ["api"]
        assert called == [0, 1]
        assert await run.go_async()
        return run

    assert in_a_loop(main()).results == [6]
    # Each once.
    assert called == [0, 1, 2, 3]


@each_path
def test_what_computes_is_cancelled_and_goes_on(path: str) -> None:
    async def main() -> None:
        run = start(COMPUTING, "forever", path=path)
        task = asyncio.create_task(run.go_async())
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert run.checkpoint()
        assert not run.requests.pending
        run.requests.ask()
        assert not await run.go_async()
        assert run.requests.take() == ["api"]

    in_a_loop(main())


@each_path
def test_what_a_coroutine_raises_ends_the_run(path: str) -> None:
    async def f(number: int) -> int:
        await asyncio.sleep(0)
        raise KeyError(number)

    run = asking(f, path, 4)
    with pytest.raises(HostError, match=r"^host function h.f: KeyError: 0$") as caught:
        in_a_loop(run.go_async())
    assert isinstance(caught.value.__cause__, KeyError)


@each_path
def test_calls_that_are_not_async_cannot_await(path: str) -> None:
    async def f(number: int) -> int:
        return number

    message = "h.f is async def, which only calls that are async themselves can await"
    instance = instantiate(ASKING, {"h": {"f": f}}, path=path)
    with pytest.raises(HostError, match=message):
        instance.invoke("rounds", [1])
    with pytest.raises(HostError, match=message):
        asking(f, path, 1).go()

    async def within() -> None:
        def calling(number: int) -> int:
            # Not even where what has called the host function is one.
            with pytest.raises(HostError, match=message):
                instance.invoke("rounds", [1])
            return number

        assert await asking(calling, path, 2).go_async()

    in_a_loop(within())


@each_path
def test_host_functions_see_and_set_context_variables(path: str) -> None:
    seen: list[str] = []

    async def main() -> None:
        def f(number: int) -> int:
            seen.append(variable.get())
            variable.set(f"round {number}")
            return number

        async def g(number: int) -> int:
            await asyncio.sleep(0)
            return f(number)

        for each in (f, g):
            variable.set("by the caller")
            assert await asking(each, path, 2).go_async()
            seen.append(variable.get())

    in_a_loop(main())
    assert seen == ["by the caller", "round 0", "round 1"] * 2


class Asked:
    """Callables of other kinds."""

    async def method(self, number: int) -> int:
        return number

    async def __call__(self, number: int) -> int:
        return number


@pytest.mark.parametrize("f", [Asked(), Asked().method, partial(Asked.method, Asked())])
def test_methods_and_partials_may_be_async(f: Any) -> None:
    run = asking(f, "aot", 3)
    assert in_a_loop(run.go_async())
    assert run.results == [3]


def test_what_runs_slowly_gives_way_after_fewer_safepoints() -> None:
    slices = Slices(None)
    assert slices.count == FIRST
    slices.took(SLICE)
    assert slices.count == FIRST
    slices.took(SLICE / 1.5)
    assert slices.count == 150
    slices.took(0)
    assert slices.count == 300
    for _ in range(20):
        slices.took(1.0)
    assert slices.count == LEAST
    for _ in range(40):
        slices.took(0)
    assert slices.count == MOST
    fixed = Slices(7)
    fixed.took(1.0)
    assert fixed.count == 7
