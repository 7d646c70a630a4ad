"""What runs natively until somebody wants to look goes on where that is possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chiwawa import At, Match, instantiate, load
from chiwawa.commands.cli import main
from chiwawa.module import Module

pytestmark = pytest.mark.needs("wasmtime")

# $f counts down from 5 and tells its host each number; memory 0 has the sum so far.
WAT = """(module (import "host" "tell" (func $tell (param i32)))
  (memory (export "memory") 1)
  (func $f (export "f") (local $n i32)
    (local.set $n (i32.const 5))
    (loop $on
      (call $tell (local.get $n))
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (local.get $n)))
      (br_if $on (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
PLAIN = """(module (func (export "f") (param i32) (result i32)
  (i32.add (local.get 0) (i32.const 1))))"""
STORE = Match(op="i32.store")


def given(tell: Any) -> dict[str, dict[str, Any]]:
    return {"host": {"tell": tell}}


def test_a_probe_where_it_stands_is_over_the_same_memory() -> None:
    module: Module = load(WAT)
    instance = instantiate(module, given(lambda n: None), path="native")
    memory = instance.memories[0]
    instance.invoke("f")
    log: list[Any] = []

    def see(at: At) -> None:
        log.append(memory.read(0, 1)[0])

    instance.probe(STORE, see)
    instance.invoke("f")
    assert log == [15, 20, 24, 27, 29]
    assert memory.read(0, 1) == b"\x1e"


def test_a_probe_while_it_runs_fires_from_the_next_safepoint_on() -> None:
    log: list[int] = []

    def see(at: At) -> None:
        log.append(memory.read(0, 1)[0])

    def tell(n: int) -> None:
        if n == 3:
            instance.probe(STORE, see)

    instance = instantiate(load(WAT), given(tell), path="native")
    memory = instance.memories[0]
    instance.invoke("f")
    # The store after the call is before the next safepoint.
    assert log == [12, 14]
    assert memory.read(0, 1) == b"\x0f"


def test_instruments_of_the_command_line_say_which_path_they_take(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plain.wat").write_text(PLAIN)
    call = ["--path", "native", "--invoke", "f", "--params", "I32(1)"]
    assert main(["run", str(tmp_path / "plain.wat"), *call, "--monitor", "icount"]) == 0
    out, err = capfd.readouterr()
    told, table = err.split("\n", 1)
    assert out == "I32(2)\n"
    assert told == ("chiwawa: traces and monitors cannot look at the path native: it runs on aot")
    assert table.startswith("icount: ")
