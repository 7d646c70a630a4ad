"""Requests that come at any time, from other threads and as signals."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest
from harness import PATHS, Call, again, begin, both, ended

from chiwawa.source import load
from chiwawa_runtime.requests import Requests

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
RUNS = [
    ("sieve.wasm", "sieves", (12,)),
    ("recursion.wasm", "fibs", (60,)),
    ("indirect.wasm", "steps", (15000,)),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("file", "export", "args"), RUNS)
def test_requests_from_another_thread_at_random_times_change_nothing(
    file: str, export: str, args: tuple[int, ...], path: str
) -> None:
    call = Call(load(SAMPLES / file), export, args)
    expected = both(call)
    rng = random.Random(f"{file} {path}")
    session = begin(call, path)
    stops = 0
    while True:
        timer = threading.Timer(rng.uniform(0.0, 0.02), session.run.requests.ask, ("timer",))
        timer.start()
        finished = session.run.go()
        timer.cancel()
        timer.join()
        if finished:
            break
        assert session.run.requests.take() == ["timer"]
        stops += 1
        if stops % 2:
            path = rng.choice(PATHS)
            session = again(call, session.run.checkpoint(), path)
    assert ended(session, call) == expected


@pytest.mark.parametrize("path", PATHS)
def test_requests_that_are_not_counted_stop_a_run_too(path: str) -> None:
    """Without a count the test at a safepoint is of another object."""
    from chiwawa import api

    file, export, args = RUNS[0]
    call = Call(load(SAMPLES / file), export, args)
    expected = both(call)
    run = api.start(call.module, export, args, path=path)
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.003):
            run.requests.ask("thread")

    thread = threading.Thread(target=ask)
    thread.start()
    stops = 0
    try:
        while not run.go():
            assert set(run.requests.take()) == {"thread"}
            stops += 1
    finally:
        stop.set()
        thread.join()
    assert stops
    assert run.results == [value for value, _ in expected.detail]


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there are no such signals here")
@pytest.mark.parametrize("path", PATHS)
def test_a_signal_stops_a_run_where_it_can_go_on_on_either_path(path: str) -> None:
    file, export, args = RUNS[1]
    call = Call(load(SAMPLES / file), export, args)
    expected = both(call)
    asked: list[Requests] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: [r.ask("signal") for r in asked])
    try:
        session = begin(call, path)
        asked.append(session.run.requests)
        timer = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        finished = session.run.go()
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    if not finished:
        assert session.run.requests.take() == ["signal"]
        data = session.run.checkpoint()
        for other in PATHS:
            assert ended(again(call, data, other), call) == expected
    assert ended(session, call) == expected
