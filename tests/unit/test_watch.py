"""The watcher where it can start no thread, as under WASI and in Pyodide."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import chiwawa
from chiwawa_runtime.engine.contract import LOOK_EVERY
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.run.triggers import BY_TIMER, BY_TRIGGER, Watcher
from tests.path_helpers import IN_PYTHON

#: Goes round for ever; tells the host at the round that it is given.
PROGRAM = """
(module
  (import "host" "tell" (func $tell))
  (func (export "rounds") (param $at i32) (result i32) (local $n i32)
    (loop $again
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (if (i32.eq (local.get $n) (local.get $at)) (then (call $tell)))
      (br $again))
    (local.get $n)))
"""


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


@pytest.mark.usefixtures("without_threads")
@pytest.mark.parametrize("path", IN_PYTHON)
@pytest.mark.parametrize("count", [None, 1 << 60])
def test_a_trigger_file_is_found_by_the_program_itself(
    path: str, count: int | None, tmp_path: Path
) -> None:
    trigger = tmp_path / "trigger"
    module = chiwawa.load(PROGRAM)
    imports = {"host": {"tell": trigger.touch}}
    run = chiwawa.start(module, "rounds", [500], imports, path=path, count=count)
    with Watcher(run.requests, str(trigger), None, pytest.fail):
        assert not run.go()
    assert run.requests.take() == [BY_TRIGGER]
    assert not trigger.exists()
    data = run.checkpoint()
    # What was found is met once, and the run can go on, there and here.
    again = chiwawa.restore(module, data, imports, path=path)
    with Watcher(again.requests, str(trigger), None, pytest.fail):
        trigger.touch()
        assert not again.go()
    assert again.requests.take() == [BY_TRIGGER]


@pytest.mark.usefixtures("without_threads")
@pytest.mark.parametrize("path", IN_PYTHON)
def test_the_clock_is_looked_at_by_the_program_itself(path: str) -> None:
    run = chiwawa.start(
        chiwawa.load(PROGRAM), "rounds", [0], {"host": {"tell": lambda: None}}, path=path
    )
    with Watcher(run.requests, None, 0.001, pytest.fail):
        for _ in range(3):
            assert not run.go()
            assert run.requests.take() == [BY_TIMER]


@pytest.mark.usefixtures("without_threads")
@pytest.mark.parametrize("path", IN_PYTHON)
def test_looks_come_every_so_many_safepoints(path: str) -> None:
    looks = []
    module = chiwawa.load(PROGRAM)
    run = chiwawa.start(
        module, "rounds", [0], {"host": {"tell": lambda: None}}, path=path, count=1001
    )

    def look() -> None:
        assert run.requests.passed is not None
        looks.append(run.requests.passed)

    run.requests.watch(look)
    assert not run.go()
    assert looks == list(range(LOOK_EVERY, 1001, LOOK_EVERY))


def test_with_threads_a_safepoint_stays_the_test_of_false(tmp_path: Path) -> None:
    run = chiwawa.start(
        chiwawa.load(PROGRAM), "rounds", [0], {"host": {"tell": lambda: None}}, path="aot"
    )
    with Watcher(run.requests, str(tmp_path / "trigger"), None, pytest.fail):
        engine = run.instance.engine
        assert isinstance(engine, GeneratedEngine)
        assert engine.namespace["poll"] is False
