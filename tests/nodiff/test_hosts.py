"""Host functions and the two paths: calls back, errors of their own, waits that are interrupted."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from chiwawa import api, paths
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.errors import HostError, Interrupted, Trap
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import I32, FuncType
from tests.nodiff.harness_helpers import (
    Call,
    Log,
    again,
    begin,
    both,
    chain,
    check,
    compare_bytes,
    cross,
    ended,
    spread,
    whole,
)
from tests.path_helpers import IN_PYTHON, PATHS, each_path, stopping_at

TEXT = """(module
  (import "env" "ask" (func $ask (param i32 i32) (result i32)))
  (table (export "tab") 2 funcref)
  (elem (i32.const 0) func $ask $twice)
  (memory (export "mem") 1)
  (global $g (mut i32) (i32.const 3))
  (func $twice (export "twice") (param i32 i32) (result i32)
    (global.set $g (i32.add (global.get $g) (local.get 0)))
    (i32.mul (local.get 0) (i32.const 2)))
  (func (export "direct") (param $n i32) (result i32) (local $sum i32)
    (loop $again (result i32)
      (i32.store (i32.const 8) (local.get $n))
      (i32.add (i32.const 1000) (local.get $sum))
      (call $ask (local.get $n) (i32.load (i32.const 8)))
      (local.set $sum (i32.add))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))
      drop
      (local.get $sum)))
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
""".replace(
    """      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))
      drop
      (local.get $sum)))""",
    """      (drop (i32.const 0))
      (local.get $sum)
      (br_if 1 (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (drop)
      (br $again)))""",
)

CALLS: list[tuple[str, tuple[int, ...]]] = [
    ("direct", (3,)),
    ("indirect", (4, 0)),
    ("indirect", (4, 1)),
    ("deep", (5,)),
]


@pytest.fixture(scope="module")
def module() -> Module:
    return load(TEXT)


def importing(
    function: Callable[..., Any], *, with_instance: bool = False
) -> Callable[[Log], Imports]:
    """Imports whose one function is ``function``, which gets the log first."""

    def make(log: Log) -> Imports:
        def ask(*args: Any) -> Any:
            return function(log, *args)

        functype = FuncType((I32, I32), (I32,))
        return {"env": {"ask": HostFunction(functype, ask, "ask", with_instance)}}

    return make


def answers(log: Log, a: int, b: int) -> int:
    log.append((a, b))
    return a * 100 + b


@pytest.mark.parametrize(("name", "args"), CALLS)
def test_calls_of_the_host_are_the_same_on_both_paths(
    module: Module, name: str, args: tuple[int, ...]
) -> None:
    ending = check(Call(module, name, args, importing(answers)), stops=20, crossings=20)
    assert ending.kind == "returned"


def calls_back(log: Log, instance: Instance, a: int, b: int) -> int:
    log.append((a, b))
    if a <= 1:
        return b
    (result,) = instance.invoke("indirect", (a - 2, a))
    (more,) = instance.invoke("twice", (result, 0))
    return int(more) & 0xFFFF


@pytest.mark.parametrize(("name", "args"), [*CALLS, ("direct", (9,)), ("ask", (7, 7))])
def test_a_host_function_may_call_an_export_back(
    module: Module, name: str, args: tuple[int, ...]
) -> None:
    call = Call(module, name, args, importing(calls_back, with_instance=True))
    expected = both(call)
    assert expected.kind == "returned"
    if name != "ask":
        # A stop that is asked for in a call back is made after it: the numbers seen are others.
        for path in PATHS:
            for number in spread(expected.safepoints or 0, 10):
                assert carried_at(call, path, number) == expected
    assert both(call, "instruction").kind == "returned"


def carried_at(call: Call, path: str, number: int) -> Any:
    """The ending of a run that is stopped at ``number`` or soon after, and goes on on each path."""
    endings = []
    for other in PATHS:
        session = begin(call, path, count=number)
        if session.run.go():
            return ended(session, call)
        data, log = session.run.checkpoint(), tuple(session.log)
        endings.append(ended(again(call, data, other, None, log), call))
    assert endings.count(endings[0]) == len(PATHS)
    return endings[0]


def calls_back_for_ever(log: Log, instance: Instance, a: int, b: int) -> int:
    log.append((a, b))
    return int(instance.invoke("deep", (2,))[0])


def test_calling_back_without_end_exhausts_the_call_stack(module: Module) -> None:
    call = Call(module, "deep", (1,), importing(calls_back_for_ever, with_instance=True))
    endings = {path: whole(call, path) for path in PATHS}
    # There, calls back are as many as Python's stack has room for.
    native = endings.pop("native", None)
    assert native is None or native.detail[0] == "call stack exhausted"
    ending, *others = endings.values()
    assert others == [ending] * len(others)
    assert ending.kind == "trap"
    assert ending.detail[0] == "call stack exhausted"


def test_depth_is_counted_through_the_host(module: Module) -> None:
    def goes_deeper(log: Log, instance: Instance, a: int, b: int) -> int:
        log.append((a, b))
        return int(instance.invoke("deep", (70_000,))[0])

    call = Call(module, "deep", (70_000,), importing(goes_deeper, with_instance=True))
    ending = both(call)
    assert ending.kind == "trap"
    assert ending.detail[0] == "call stack exhausted"
    assert both(Call(module, "deep", (100,), importing(calls_back, with_instance=True))).kind == (
        "returned"
    )


@pytest.mark.parametrize("path", IN_PYTHON)
def test_calling_back_often_needs_no_large_stack(path: str) -> None:
    """In a process of its own: Python's limit on recursion is as it starts with."""
    program = CALLING_BACK.format(sys_path=sys.path, homes=paths.HOMES, path=path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.stdout == "call stack exhausted 100\n", done.stderr[-2000:]


CALLING_BACK = """
import sys
sys.path[:] = {sys_path!r}
from chiwawa import api, paths
from chiwawa.source import load
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import FuncType
paths.HOMES.update({homes!r})
module = load('(module (import "e" "back" (func)) (func (export "f") (call 0)))')
count = 0
def back(instance):
    global count
    count += 1
    instance.invoke("f")
imports = {{"e": {{"back": HostFunction(FuncType((), ()), back, "back", True)}}}}
try:
    api.instantiate(module, imports, path={path!r}).invoke("f")
except Trap as trap:
    print(trap.message, count)
"""


def raising(error: Exception) -> Callable[..., int]:
    def ask(log: Log, a: int, b: int) -> int:
        raise error

    return ask


@pytest.mark.parametrize(
    "error",
    [
        IndexError("of the host"),
        struct.error("of the host"),
        ZeroDivisionError("of the host"),
        OverflowError("of the host"),
        StopIteration("of the host"),
        GeneratorExit("of the host"),
        RecursionError("of the host"),
        MemoryError("of the host"),
        RuntimeError("of the host"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(("name", "args"), [*CALLS, ("ask", (1, 2))])
def test_what_a_host_function_raises_is_no_trap(
    module: Module, name: str, args: tuple[int, ...], error: BaseException
) -> None:
    if name == "indirect" and args[1] == 1:
        return
    for path in PATHS:
        run = api.start(module, name, args, importing(raising(error))([]), path=path)  # type: ignore[arg-type]
        if isinstance(error, Exception):
            with pytest.raises(HostError) as caught:
                run.go()
            assert caught.value.__cause__ is error
        else:
            with pytest.raises(type(error)) as raised:
                run.go()
            assert raised.value is error


def test_a_trap_of_a_host_function_is_a_trap_where_it_was_called(module: Module) -> None:
    ending = both(Call(module, "deep", (2,), importing(raising(Trap("of the host")))))
    assert ending.kind == "trap"
    message, backtrace = ending.detail
    assert message == "of the host"
    assert len(backtrace) == 3


class Waits:
    """A host function that is interrupted the first time it is called with each argument."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def __call__(self, log: Log, instance: Instance, a: int, b: int) -> int:
        if a not in self.seen:
            self.seen.add(a)
            instance.requests.ask("wait")
            raise Interrupted
        return answers(log, a, b)


@pytest.mark.parametrize("granularity", ["safepoint", "instruction"])
@pytest.mark.parametrize(("name", "args"), [c for c in CALLS if c != ("indirect", (4, 1))])
def test_an_interrupted_wait_leaves_the_program_before_the_call(
    module: Module, name: str, args: tuple[int, ...], granularity: str
) -> None:
    calm = Call(module, name, args, importing(answers))
    expected = both(calm, granularity)
    stops: list[list[bytes]] = []
    possible = stopping_at(granularity)
    for path in possible:
        call = Call(module, name, args, importing(Waits(), with_instance=True))
        session = begin(call, path, granularity)
        files = []
        while not session.run.go():
            assert session.run.requests.take() == ["wait"]
            data = session.run.checkpoint()
            files.append(data)
            for other in possible:
                carried_on = again(calm, data, other, None, session.log)
                assert carried_on.run.checkpoint() == data
                assert ended(carried_on, calm) == expected
        assert files
        assert ended(session, call) == expected
        stops.append(files)
    assert stops.count(stops[0]) == len(possible)


@each_path
def test_an_export_that_is_the_hosts_may_be_interrupted_too(module: Module, path: str) -> None:
    call = Call(module, "ask", (3, 4), importing(Waits(), with_instance=True))
    session = begin(call, path)
    assert not session.run.go()
    assert session.run.requests.take() == ["wait"]
    data = session.run.checkpoint()
    calm = Call(module, "ask", (3, 4), importing(answers))
    for other in PATHS:
        assert ended(again(calm, data, other), calm).detail == both(calm).detail
    assert session.run.go()
    assert session.run.results == [304]


@each_path
def test_a_request_made_by_the_host_stops_the_program_at_its_next_safepoint(
    module: Module, path: str
) -> None:
    def asks(log: Log, instance: Instance, a: int, b: int) -> int:
        instance.requests.ask("host")
        return answers(log, a, b)

    call = Call(module, "direct", (3,), importing(asks, with_instance=True))
    expected = both(Call(module, "direct", (3,), importing(answers)))
    session = begin(call, path)
    stopped = 0
    while not session.run.go():
        assert session.run.requests.take() == ["host"]
        stopped += 1
    assert stopped == 2
    assert ended(session, call) == expected


def test_a_chain_through_host_calls_ends_the_same(module: Module) -> None:
    call = Call(module, "direct", (6,), importing(answers))
    expected = both(call)
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    chain(call, expected, range(1, (expected.safepoints or 0) + 1))
