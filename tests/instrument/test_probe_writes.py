"""Probes: what they change, and what is refused them."""

from __future__ import annotations

import io
import struct
from functools import cache
from typing import Any

import pytest

from chiwawa import At, HostError, Instruments, Match, Module, Tracer, Tracing, instantiate
from chiwawa.source import load
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.types import F32, F64, I32, I64
from tests.instrument.probe_helpers import (
    NAN32,
    NAN64,
    TEXT,
    VALUES,
    comparable,
    ended,
    offsets,
    start,
)
from tests.path_helpers import each_path, each_path_and_granularity

TYPES = (I32, I64, F32, F64)


@cache
def module() -> Module:
    return load(TEXT)


@cache
def values() -> Module:
    return load(VALUES)


@each_path
@pytest.mark.parametrize(
    "action",
    [
        lambda at: at.set_local(0, 1),
        lambda at: at.set_operand(0, 1),
        lambda at: at.set_global(0, 1),
        lambda at: at.memory().write(0, b"x"),
    ],
)
def test_a_probe_that_only_reads_may_not_write(path: str, action: Any) -> None:
    instance = instantiate(values(), path=path)
    # A probe beside it that may write gives it no leave to.
    instance.probe(Match(op="nop", function="store"), lambda at: None, writes=True)
    instance.probe(Match(op="nop", function="store"), action)
    with pytest.raises(HostError, match="a probe: TypeError: this probe only reads") as raised:
        instance.invoke("store", (1,))
    assert isinstance(raised.value.__cause__, TypeError)
    assert instance.memory().data[0] == 0


@each_path
@pytest.mark.parametrize(
    ("index", "value", "error"),
    [
        (0, 1.0, TypeError),
        (0, "1", TypeError),
        (0, 1 << 32, ValueError),
        (0, -(1 << 31) - 1, ValueError),
        (1, 1 << 64, ValueError),
        (1, None, TypeError),
        (2, "1", TypeError),
        (3, None, TypeError),
        (4, 1, TypeError),
    ],
)
@pytest.mark.parametrize("what", ["operand", "local", "global"])
def test_values_of_other_types_are_refused(
    path: str, what: str, index: int, value: Any, error: type[Exception]
) -> None:
    instance = instantiate(values(), path=path)

    def write(at: At) -> None:
        getattr(at, f"set_{what}")(index, value)

    instance.probe(Match(op="nop", function="all"), write, writes=True)
    with pytest.raises(HostError) as raised:
        instance.invoke("all", (1, 2, 3.0, 4.0, None, None))
    assert type(raised.value.__cause__) is error


@each_path_and_granularity
@pytest.mark.parametrize("what", ["operand", "local"])
def test_values_of_all_types_can_be_set(path: str, granularity: str, what: str) -> None:
    instance = instantiate(values(), path=path, granularity=granularity)
    function, thing = instance.functions[1], object()
    new = (-5, -6, f32_from_bits(NAN32), f64_from_bits(NAN64), function, thing)
    # Locals before they are read, operands when they are all there.
    op = "nop" if what == "operand" else "local.get"

    def write(at: At) -> None:
        for index, value in enumerate(new):
            getattr(at, f"set_{what}")(index, value)
        if what == "local":
            at.set_local(8, 0.1)
            assert at.locals[8] == struct.unpack("<f", struct.pack("<f", 0.1))[0]

    instance.probe(Match(at=(0, offsets(values(), 0, op)[0])), write, writes=True)
    results = instance.invoke("all", (1, 2, 3.0, 4.0, None, None))
    bits = [comparable(v, t) for v, t in zip(results[:4], TYPES, strict=False)]
    assert bits == [(-5, int), (-6, int), NAN32, NAN64]
    assert results[4:] == [function, thing]


@each_path_and_granularity
def test_memory_and_globals_can_be_set(path: str, granularity: str) -> None:
    instance = instantiate(values(), path=path, granularity=granularity)
    instance.probe(
        Match(op="i32.load", function="store"),
        lambda at: at.memory().write(16, memoryview(struct.pack("<I", 0x0506))),
        writes=True,
    )
    assert instance.invoke("store", (1,)) == [0x0506 + 0x05]
    nan = f32_from_bits(NAN32)
    instance.probe(
        Match(at=(3, offsets(values(), 3, "global.get")[0])),
        lambda at: (at.set_global(2, nan), at.set_global(3, 1.5)),
        writes=True,
    )
    assert instance.invoke("bits") == [plain(NAN32, I32), 0x3FF8_0000_0000_0000]
    instance.probe(Match(function="fixed"), lambda at: at.set_global(6, 41), writes=True)
    with pytest.raises(HostError, match="the global is immutable"):
        instance.invoke("fixed")


@each_path
@pytest.mark.parametrize(
    "data", ["text", 5, [1, 2], memoryview(struct.pack("<II", 1, 2)).cast("I"), None]
)
def test_only_bytes_can_be_written_and_memory_keeps_its_size(path: str, data: Any) -> None:
    instance = instantiate(values(), path=path)
    match = Match(op="nop", function="store")
    instance.probe(match, lambda at: at.memory().write(32, data), writes=True)
    if isinstance(data, memoryview):
        instance.invoke("store", (1,))
        assert instance.memory().data[32:40] == struct.pack("<II", 1, 2)
    else:
        with pytest.raises(HostError, match="a probe: TypeError"):
            instance.invoke("store", (1,))
    assert len(instance.memory().data) == 65536


CONTROL = """(module
  (memory 1)
  (table funcref (elem $one $two))
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (func (export "if") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 10)) (else (i32.const 20))))
  (func (export "br_if") (param i32) (result i32)
    (block (br_if 0 (i32.lt_s (local.get 0) (i32.const 3))) (return (i32.const 10)))
    (i32.const 20))
  (func (export "br_table") (param i32) (result i32)
    (block (block (block (br_table 0 1 2 (local.get 0)))
      (return (i32.const 10))) (return (i32.const 20))) (i32.const 30))
  (func (export "call_indirect") (param i32) (result i32)
    (call_indirect (result i32) (i32.and (local.get 0) (i32.const 1))))
  (func (export "select") (param i32) (result i32)
    (select (i32.const 10) (i32.const 20) (i32.eqz (local.get 0))))
  (func (export "memory.grow") (param i32) (result i32)
    (drop (memory.grow (i32.and (local.get 0) (i32.const 0)))) (memory.size))
  (func (export "i32.load") (param i32) (result i32)
    (i32.store (i32.const 100) (i32.const 7))
    (i32.load (i32.and (local.get 0) (i32.const 0))))
  (func (export "i32.and") (param i32) (result i32)
    (i32.and (i32.eqz (local.get 0)) (i32.const 3)))
  (func (export "i32.shl") (param i32) (result i32)
    (i32.shl (i32.and (local.get 0) (i32.const 1)) (i32.const 1)))
  (func (export "i32.add") (param i32) (result i32)
    (i32.add (i32.and (local.get 0) (i32.const 1)) (i32.const 1)))
  (func (export "return") (param i32) (result i32)
    (return (i32.eqz (local.get 0))))
  (func (export "loop") (param i32) (result i32)
    (i32.eqz (local.get 0))
    (loop (param i32) (result i32)
      (i32.add (i32.const 1))
      (br_if 0 (i32.lt_u (local.tee 0) (i32.const 5)) (local.get 0))))
)
""".replace(
    "(br_if 0 (i32.lt_u (local.tee 0) (i32.const 5)) (local.get 0))",
    "(local.tee 0) (br_if 0 (i32.lt_u (local.get 0) (i32.const 5)))",
)


@each_path_and_granularity
@pytest.mark.parametrize(
    ("name", "operand", "value", "result"),
    [
        ("if", 0, 0, 20),
        ("if", 0, 0x8000_0000, 10),
        ("br_if", 0, 7, 20),
        ("br_if", 0, 0, 10),
        ("br_table", 0, 1, 20),
        ("br_table", 0, -1, 30),
        ("call_indirect", 0, 1, 2),
        ("select", 2, 0, 20),
        ("select", 0, 99, 99),
        ("memory.grow", 0, 2, 3),
        ("i32.load", 0, 100, 7),
        ("i32.and", 0, 0xFFFF_FFFE, 2),
        ("i32.shl", 0, 0xC000_0000, -0x8000_0000),
        ("i32.shl", 1, 33, 0),
        ("i32.add", 0, -1, 0),
        ("return", 0, -3, -3),
        ("loop", 0, -1, 5),
    ],
)
def test_what_comes_next_goes_by_what_was_set(
    path: str, granularity: str, name: str, operand: int, value: int, result: int
) -> None:
    module = load(CONTROL)
    instance = instantiate(module, path=path, granularity=granularity)
    once: list[int] = []

    def write(at: At) -> None:
        if not once:
            once.append(at.offset)
            at.set_operand(operand, value)

    argument = 2 if name == "i32.shl" else 0
    instance.probe(Match(op=name, function=name), write, writes=True)
    assert instance.invoke(name, (argument,)) == [result]
    assert once


@each_path_and_granularity
def test_a_probe_at_each_boundary_that_writes_what_is_there_changes_nothing(
    path: str, granularity: str
) -> None:
    def write(at: At) -> None:
        for index, value in enumerate(at.operands):
            at.set_operand(index, value)
        for index, value in enumerate(at.locals):
            at.set_local(index, value)

    plain = ended(start(module(), "sum", (9,), path, granularity))
    run = start(module(), "sum", (9,), path, granularity)
    run.instance.probe(Match(), write, writes=True)
    assert ended(run) == plain == ("returned", 25)


@each_path
def test_later_probes_see_what_earlier_ones_have_set(path: str) -> None:
    instance = instantiate(module(), path=path)
    log: list[Any] = []
    match = Match(op="i32.add", function="plain")
    instance.probe(match, lambda at: log.append(at.operands))
    instance.probe(match, lambda at: at.set_operand(0, 40), writes=True)
    instance.probe(match, lambda at: log.append(at.operands))
    assert instance.invoke("plain", (1, 2)) == [42]
    assert log == [(1, 2), (40, 2)]


@each_path_and_granularity
def test_the_trace_shows_the_locals_as_a_probe_leaves_them(path: str, granularity: str) -> None:
    """Lines of one block share the text of the locals, unless something may change them."""
    module = load("""(module (func (export "main") (param i32) (result i32)
      nop nop (local.set 0 (i32.const 5)) nop (local.get 0)))""")
    out = io.StringIO()
    tracing = Tracing(events=frozenset(("control", "local")), resources=frozenset(("locals",)))
    instruments = Instruments(module, tracer=Tracer(module, tracing, out))
    run = start(module, "main", [1], path=path, granularity=granularity, instruments=instruments)
    second = module.funcs[0].body[1].offset
    probe = run.instance.probe(
        Match(at=(0, second)), lambda at: at.set_local(0, at.locals[0] + 1), writes=True
    )
    assert run.go()
    probe.remove()
    instruments.finish()
    assert run.results == [5]
    lines = [line.partition("Locals:")[2] for line in out.getvalue().splitlines()]
    assert lines == ["[I32(1)]]", "[I32(1)]]", "[I32(2)]]", "[I32(5)]]", "[I32(5)]]"]
