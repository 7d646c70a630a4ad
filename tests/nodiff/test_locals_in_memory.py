"""Native code whose locals have their home in memory, as those of the largest functions have: the
same states at all safepoints as on the other paths."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wasmtime")

from chiwawa import api
from chiwawa.module import Module
from chiwawa.native import capi, homes, layout
from chiwawa.source import load
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.state.store import HostFunction
from chiwawa_runtime.state.types import PAGE, FuncType
from tests.nodiff.generator_helpers import Generator, seeded
from tests.nodiff.harness_helpers import Call, both, compare_bytes, cross, spread
from tests.nodiff.judging_helpers import judge
from tests.nodiff.oracle_helpers import Oracle

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
COMPUTE: list[dict[str, Any]] = [
    row for row in json.loads((SAMPLES / "samples.json").read_text("utf-8")) if row["compute"]
]
PLACES = 10


@pytest.fixture(autouse=True)
def all_locals_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(homes, "MOST", 0)
    monkeypatch.setattr(homes, "LEAST", 0)


@pytest.mark.parametrize("row", COMPUTE, ids=lambda row: row["name"])
def test_the_samples_write_the_same_bytes(row: dict[str, Any]) -> None:
    call = Call(load(SAMPLES / row["file"]), row["export"], tuple(row["args"]))
    expected = both(call)
    numbers = spread(expected.safepoints or 0, PLACES)
    for place, stop in enumerate(compare_bytes(call, numbers), 1):
        if place == PLACES // 2:
            cross(call, stop, expected)


@pytest.mark.parametrize("seed", range(6))
def test_generated_modules_do_the_same_everywhere(oracle: Oracle, seed: int) -> None:
    choose = seeded(f"homes {seed}")
    judge(load(Generator(choose, 60).module()), choose, oracle)


TRAPPING = load("""(module
  (import "env" "back" (func $back))
  (func $divide (export "divide") (param i32 i32) (result i32) (local i64 f64)
    (loop)
    (i32.div_u (local.get 0) (local.get 1)))
  (func (export "f") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (call $back)
      (local.set $sum (i32.add (local.get $sum) (call $divide (i32.const 8) (i32.const 2))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))""")


def used(instance: Instance) -> int:
    """How much memory frames have."""
    found: int = instance.engine.machine.register(layout.FP)  # type: ignore[attr-defined]
    return found


def test_what_a_frame_had_is_given_back_by_a_trap() -> None:
    seen = []

    def back(instance: Instance) -> None:
        before = used(instance)
        with pytest.raises(Trap, match="divide by zero"):
            instance.invoke("divide", (1, 0))
        seen.append((before, used(instance)))

    imports = {"env": {"back": HostFunction(FuncType((), ()), back, "back", True)}}
    instance = api.instantiate(TRAPPING, imports, path="native")
    assert instance.invoke("f", (3,)) == [12]
    assert len(set(seen)) == 1
    before, after = seen[0]
    assert before == after > 0
    assert used(instance) == 0
    with pytest.raises(Trap, match="divide by zero"):
        instance.invoke("divide", (1, 0))
    assert used(instance) == 0


DEEP = """(module (func $f (export "f") (param i32) (result i32) (local $r i32) {locals}
    (if (local.get 0)
      (then (local.set $r (call $f (i32.sub (local.get 0) (i32.const 1))))))
    (i32.add (local.get $r) (i32.const 1))))"""


def test_it_is_as_deep_as_any_and_has_memory_for_it() -> None:
    module: Module = load(DEEP.format(locals="(local i64 i64 i64 i64)"))
    assert api.instantiate(module, path="native").invoke("f", (50_000,)) == [50_001]
    deeper = api.instantiate(load(DEEP.format(locals="(local i64)" * 30)), path="native")
    with pytest.raises(Trap, match="call stack exhausted"):
        deeper.invoke("f", (200_000,))
    assert used(deeper) == 0


TAIL = """(module (func $f (export "f") (param i32 i32) (result i32) (local i64)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (i32.sub (local.get 0) (i32.const 1))
    (return_call $f (i32.add (local.get 1) (i32.const 2)))))"""


def test_tail_calls_have_no_memory_each() -> None:
    instance = api.instantiate(load(TAIL), path="native")
    assert instance.invoke("f", (20_000, 0)) == [40_000]
    machine = instance.engine.machine  # type: ignore[attr-defined]
    memory = machine.item(layout.FRAMES)
    assert capi.memory_data_size(machine.context, ctypes.byref(memory)) == PAGE
