"""An engine that knows nothing but the contract, called from both paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from chiwawa import api
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.engine.contract import LOOK_EVERY, Activation, Engine, RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.errors import CheckpointError, Trap
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.state.interface import StateOwner
from chiwawa_runtime.state.program import Program, SuspensionPoints
from chiwawa_runtime.state.python_state import PythonState
from chiwawa_runtime.state.types import I32, I64, FuncType, ValType
from tests.path_helpers import each_path

CALLER = """(module
  (import "third" "none" (func $none (param i32)))
  (import "third" "one" (func $one (param i32) (result i32)))
  (import "third" "two" (func $two (param i32) (result i32 i64)))
  (import "third" "fails" (func $fails (param i32)))
  (type $indirect (func (param i32) (result i32)))
  (table 1 funcref)
  (elem (i32.const 0) func $one)
  (func (export "none") (param i32) (result i32) (call $none (local.get 0)) (i32.const 5))
  (func (export "one") (param i32) (result i32) (i32.add (i32.const 1) (call $one (local.get 0))))
  (func (export "two") (param i32) (result i64) (local i64)
    (call $two (local.get 0))
    (local.set 1)
    (i64.add (i64.extend_i32_u) (local.get 1)))
  (func (export "indirect") (param i32) (result i32)
    (i32.add (i32.const 1) (call_indirect (type $indirect) (local.get 0) (i32.const 0))))
  (func (export "fails") (param i32) (call $fails (local.get 0))))
"""


@pytest.fixture(scope="module")
def caller() -> Module:
    return load(CALLER)


class Steps:
    """A call that is suspended so many times as its argument says."""

    interrupted = False

    def __init__(self, engine: Third, results: list[Any], left: int, trap: bool) -> None:
        self.engine = engine
        self.results = results
        self.left = left
        self.trap = trap

    def advance(self) -> bool:
        self.engine.advanced += 1
        if self.left:
            self.left -= 1
            self.interrupted = self.engine.interrupting
            return False
        if self.trap:
            raise Trap("of the third")
        return True

    def interrupted_frame(self) -> RawFrame | None:
        return None

    def frames(self) -> list[RawFrame]:
        raise CheckpointError("the third has no frames")

    def explain(self, error: BaseException) -> BaseException:
        return error


class NoSafepoints:
    passed = None

    def request(self, pending: bool) -> None: ...
    def count_from(self, passed: int, stop_at: int | None, reached: Callable[[], None]) -> None: ...
    def watch(self, look: Callable[[], None] | None, every: int = LOOK_EVERY) -> None: ...


class Third:
    """Its functions do nothing but be suspended; it has no generators, and makes no ``enter``."""

    sets_enter = False
    parallel = False
    granularity = "safepoint"
    canonical_nans = False
    generation = 0
    safepoints = NoSafepoints()

    def __init__(self) -> None:
        self.state: StateOwner = PythonState()
        self.advanced = 0
        self.interrupting = False
        self.depths: list[int] = []

    def attach(self, instance: ModuleInstance) -> None: ...

    def suspension_points(self, function: int) -> SuspensionPoints:
        raise NotImplementedError

    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        raise NotImplementedError

    def start(
        self, function: int, args: Sequence[Any], depth: int, most: int = MAX_DEPTH
    ) -> Activation:
        self.depths.append(depth)
        (steps,) = args
        results: list[list[Any]] = [[], [7], [7, 8], []]
        return Steps(self, results[function], steps, function == 3)

    def restore(self, frames: Sequence[RawFrame], most: int = MAX_DEPTH) -> Activation:
        raise NotImplementedError


TYPES = (
    FuncType((I32,), ()),
    FuncType((I32,), (I32,)),
    FuncType((I32,), (I32, I64)),
    FuncType((I32,), ()),
)
NAMES = ("none", "one", "two", "fails")


@pytest.fixture
def engine() -> Third:
    return Third()


@pytest.fixture
def third(engine: Third) -> Instance:
    exports = tuple((name, "func", index) for index, name in enumerate(NAMES))
    program = Program("third", bytes(32), TYPES, TYPES, exports=exports)
    checked: Engine = engine
    return Instance(program, {}, checked)


@each_path
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize(
    ("name", "result"), [("none", 5), ("one", 8), ("two", 15), ("indirect", 8)]
)
def test_its_functions_return_to_both_paths_however_often_they_are_suspended(
    caller: Module, engine: Third, third: Instance, path: str, name: str, result: int, steps: int
) -> None:
    run = api.start(caller, name, [steps], {"third": third.exports}, path=path)
    stops = 0
    while not run.go():
        stops += 1
    assert run.results == [result]
    assert engine.advanced == steps + 1
    # Nobody has asked the caller to stop, so it has gone on by itself.
    assert stops == 0


@each_path
def test_a_stop_of_the_caller_waits_among_its_frames(
    caller: Module, engine: Third, third: Instance, path: str
) -> None:
    run = api.start(caller, "one", [3], {"third": third.exports}, path=path)
    run.requests.ask()
    assert not run.go()
    assert run.requests.take() == ["api"]
    engine.interrupting = True
    for _ in range(3):
        assert not run.go()
        with pytest.raises(CheckpointError, match="the third has no frames"):
            run.checkpoint()
    assert run.go()
    assert run.results == [8]


@each_path
def test_its_traps_are_the_callers(caller: Module, third: Instance, path: str) -> None:
    instance = api.instantiate(caller, {"third": third.exports}, path=path)
    with pytest.raises(Trap, match="of the third") as caught:
        instance.invoke("fails", [2])
    assert [place.function for place in caught.value.backtrace] == [8]


@each_path
@pytest.mark.parametrize("calls", [0, 1, 250])
def test_it_learns_how_deep_it_is_called(
    engine: Third, third: Instance, path: str, calls: int
) -> None:
    module = load("""(module (import "third" "one" (func $one (param i32) (result i32)))
      (func $down (export "down") (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (call $down (i32.sub (local.get 0) (i32.const 1))))
          (else (call $one (i32.const 0))))))""")
    instance = api.instantiate(module, {"third": third.exports}, path=path)
    assert instance.invoke("down", [calls]) == [7]
    assert engine.depths == [calls + 1]
