"""Requests from other threads and as signals, wherever the program happens to be.

None of this waits for a clock: a request comes at a number of a safepoint, or once the program is
seen to run, and that program runs until it is told to end.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chiwawa import api
from chiwawa.source import load
from chiwawa_runtime.engine.polling import Polling
from chiwawa_runtime.run.instance import Run
from tests.nodiff.harness_helpers import Call, Session, again, begin, both, ended
from tests.path_helpers import IN_PYTHON, PATHS, each_path, next_path

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
RUNS = [
    ("sieve.wasm", "sieves", (12,)),
    ("recursion.wasm", "fibs", (60,)),
    ("indirect.wasm", "steps", (15000,)),
]
STOPS = 8


class Handshake(Polling):
    """Has another thread ask at the safepoints ``before``, so that it stops there, and at the
    safepoints ``after`` once these have been tested, so that it stops at the next."""

    __slots__ = ("after", "ask", "before")

    def __init__(self, run: Run, before: set[int], after: set[int]) -> None:
        assert isinstance(run.requests.safepoints, Polling)
        super().__init__(run.requests.safepoints.names)
        self.before = before
        self.after = after
        self.ask = run.requests.ask

    def __bool__(self) -> bool:
        # Once each: where it goes on after a stop, a safepoint may be tested again.
        assert self.passed is not None
        if self.passed + 1 in self.before:
            self.before.remove(self.passed + 1)
            in_a_thread(self.ask, "thread").join()
        answer = super().__bool__()
        if self.passed in self.after:
            self.after.remove(self.passed)
            in_a_thread(self.ask, "thread").join()
        return answer


def in_a_thread(function: Callable[..., object], *args: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def shaken(session: Session, before: set[int], after: set[int]) -> Session:
    run = session.run
    passed = run.requests.passed
    assert passed is not None
    engine: Any = run.instance.engine
    engine.safepoints = run.requests.safepoints = Handshake(run, before, after)
    run.requests.count_from(passed, None)
    return session


@pytest.mark.parametrize("path", IN_PYTHON)
@pytest.mark.parametrize(("file", "export", "args"), RUNS)
def test_requests_from_another_thread_change_nothing(
    file: str, export: str, args: tuple[int, ...], path: str
) -> None:
    call = Call(load(SAMPLES / file), export, args)
    expected = both(call)
    assert expected.safepoints is not None
    rng = random.Random(f"{file} {path}")
    # Ten apart, so that each is a stop of its own.
    places = [10 * n for n in rng.sample(range(1, expected.safepoints // 10), STOPS)]
    before, after = set(places[: STOPS // 2]), set(places[STOPS // 2 :])
    wanted = sorted(before | {n + 1 for n in after})
    session = shaken(begin(call, path), before, after)
    stops = []
    while not session.run.go():
        assert session.run.requests.take() == ["thread"]
        stops.append(session.run.requests.passed)
        if len(stops) % 2:
            path = rng.choice(IN_PYTHON)
            session = shaken(again(call, session.run.checkpoint(), path), before, after)
    assert stops == wanted
    assert ended(session, call) == expected


#: Counts its rounds at address 4 until somebody writes to address 0.
ENDLESS = """
(module $endless
  (memory (export "memory") 1)
  (func (export "rounds") (result i32) (local $n i32)
    (loop $on
      (i32.store (i32.const 4) (local.tee $n (i32.add (local.get $n) (i32.const 1))))
      (br_if $on (i32.eqz (i32.load (i32.const 0)))))
    (local.get $n)))
"""


def rounds(run: Run) -> bytes:
    return bytes(run.instance.memory().data[4:8])


def once_it_runs(run: Run, act: Callable[[], object]) -> threading.Thread:
    """``act``, in a thread, when the program has gone round again."""
    seen = rounds(run)

    def watch() -> None:
        while rounds(run) == seen:
            pass
        act()

    return in_a_thread(watch)


def tell_to_end(run: Run) -> list[int]:
    """What it returns in the end, and what it should."""
    run.instance.memory().data[0] = 1
    assert run.go()
    return [*run.results, int.from_bytes(rounds(run), "little")]


@each_path
def test_requests_that_are_not_counted_stop_a_run_too(path: str) -> None:
    """Without a count the test at a safepoint is of another object."""
    module = load(ENDLESS)
    run = api.start(module, "rounds", path=path)
    for turn in range(STOPS):
        asker = once_it_runs(run, lambda run=run: run.requests.ask("thread"))  # type: ignore[misc]
        assert not run.go()
        asker.join()
        assert run.requests.take() == ["thread"]
        if turn % 2:
            path = next_path(path)
            run = api.restore(module, run.checkpoint(), path=path)
    returned, counted = tell_to_end(run)
    assert returned == counted > STOPS


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there are no such signals here")
@each_path
def test_a_signal_stops_a_run_where_it_can_go_on_on_either_path(path: str) -> None:
    module = load(ENDLESS)
    run = api.start(module, "rounds", path=path)
    before = signal.signal(signal.SIGUSR1, lambda *_: run.requests.ask("signal"))
    try:
        sender = once_it_runs(run, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        assert not run.go()
        sender.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert run.requests.take() == ["signal"]
    data = run.checkpoint()
    for going_on in (run, *(api.restore(module, data, path=other) for other in PATHS)):
        returned, counted = tell_to_end(going_on)
        assert returned == counted > 1
