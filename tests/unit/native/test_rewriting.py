"""Rewritten modules, run by a host that knows of them what their specification says: they stop in
frames that are the interpreter's, and go on from them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from chiwawa.module import Module
from chiwawa.native import layout
from chiwawa.native.control import MOST_ROUNDS
from chiwawa.native.module import rewrite
from chiwawa.native_file import write_native
from chiwawa.source import load
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.types import F32, F64
from tests.nodiff.generator_helpers import Generator, seeded

wasmtime = pytest.importorskip("wasmtime")

from tests.unit.native.standalone_host_helpers import (  # noqa: E402
    EXHAUSTED,
    FIRST,
    INTERRUPTED,
    MAX_DEPTH,
    TRAPPED,
    UNWINDING,
    Frame,
    Host,
    make_engine,
)

SAMPLES = Path(__file__).parents[3] / "samples"
ENGINE = make_engine()
CALLS = [
    ("recursion.wasm", "fib", (7,)),
    ("recursion.wasm", "depth", (20,)),
    ("nesting.wasm", "choose", (6,)),
    ("nesting.wasm", "ruler", (12,)),
    ("indirect.wasm", "steps", (6,)),
    ("pi.wasm", "leibniz", (12,)),
    ("nan.wasm", "payloads", (3,)),
    ("quicksort.wasm", "sorts", (2,)),
]
VARIANTS = [False, True]
#: What can be counted.
ALL = (layout.NOTHING, layout.SAFEPOINTS, layout.BOUNDARIES)


def file_of(module: Module, counting: bool) -> bytes:
    made = rewrite(module, counting)
    return write_native(made.binary, made.tables.data, None, canonical_nans=False)


def host_of(module: Module, counting: bool, imports: Any = (), new: bool = True) -> Host:
    return Host(ENGINE, file_of(module, counting), imports, new)


def by_bits(valtype: Any, value: Any) -> int:
    if valtype is F32 or valtype is F64:
        form = "f" if valtype is F32 else "d"
        return int.from_bytes(struct.pack("<" + form, value), "little")
    assert isinstance(value, int)
    return value


def interpreted(module: Module, name: str, args: Any, count: int) -> list[Frame] | None:
    """The frames of the interpreter's at a safepoint; None: it has returned before."""
    run = chiwawa.start(module, name, args, path="interp", count=count)
    if run.go():
        return None
    return [
        Frame(
            each.function,
            each.offset,
            "",
            tuple(by_bits(*one) for one in each.locals),
            tuple(by_bits(*one) for one in each.stack),
        )
        for each in run.snapshot().frames
    ]


def without_kinds(frames: list[Frame]) -> list[Frame]:
    return [Frame(f.function, f.offset, "", f.locals, f.stack) for f in frames]


@pytest.mark.parametrize(("sample", "name", "args"), CALLS)
def test_it_stops_in_the_interpreters_frames_and_goes_on(
    sample: str, name: str, args: tuple[int, ...]
) -> None:
    module = load(str(SAMPLES / sample))
    counting, plain = file_of(module, True), file_of(module, False)
    whole = Host(ENGINE, counting).run(name, *args)
    assert Host(ENGINE, plain).run(name, *args) == whole
    for count in (*range(1, 8), 11, 17, 30, 61, 200):
        expected = interpreted(module, name, args, count)
        host = Host(ENGINE, counting)
        host.stop_at(count)
        result = host.run(name, *args)
        mode, frames = host.take()
        if expected is None:
            assert (mode, result) == (0, whole)
            break
        assert mode == UNWINDING
        assert host.count == count
        assert without_kinds(frames) == expected
        # In an instance of the other variant, from the interpreter's frames.
        other = Host(ENGINE, plain)
        host.move_to(other)
        assert other.go_on(expected) == whole
        assert other.register("mode") == 0
        # And in the same, which is stopped once more.
        host.stop_at(count + 1)
        result = host.go_on(frames)
        mode, frames = host.take()
        after = interpreted(module, name, args, count + 1)
        if after is None:
            assert (mode, result) == (0, whole)
        else:
            assert without_kinds(frames) == after
            host.stop_at((1 << 55) - 1)
            assert host.go_on(frames) == whole


@pytest.mark.parametrize("counting", VARIANTS)
@pytest.mark.parametrize(("sample", "name", "args"), CALLS)
def test_a_request_that_is_pending_stops_it_again_and_again(
    sample: str, name: str, args: tuple[int, ...], counting: bool
) -> None:
    module = load(str(SAMPLES / sample))
    whole = host_of(module, counting).run(name, *args)
    host = host_of(module, counting)
    host.request()
    host.run(name, *args)
    mode, frames = host.take()
    count = 0
    while count < 25:
        assert mode == UNWINDING
        following = range(count + 1, count + 1 + (1 if counting else MOST_ROUNDS))
        stopped = without_kinds(frames)
        count = next(n for n in following if stopped == interpreted(module, name, args, n))
        result = host.go_on(frames)
        mode, frames = host.take()
        if mode == 0:
            assert counting is False or interpreted(module, name, args, count + 1) is None
            assert result == whole
            return
    host.withdraw()
    assert host.go_on(frames) == whole


@pytest.mark.parametrize("seed", range(25))
def test_generated_modules_validate_and_are_rewritten_the_same_each_time(seed: int) -> None:
    binary = load(Generator(seeded(f"rewriting {seed}"), (30, 80)[seed % 2]).module()).binary
    for counting in ALL:
        made = rewrite(load(binary), counting)
        wasmtime.Module.validate(ENGINE, made.binary)
        again = rewrite(load(binary), counting)
        assert (made.binary, made.tables.data) == (again.binary, again.tables.data)


@pytest.mark.parametrize("sample", sorted(path.name for path in SAMPLES.glob("*.wasm")))
def test_samples_validate(sample: str) -> None:
    for counting in ALL:
        wasmtime.Module.validate(ENGINE, rewrite(load(str(SAMPLES / sample)), counting).binary)


DEEP = """(module
  (func $down (export "down") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
  (func (export "trap") (param i32) (result i32) (local i64)
    (local.set 1 (i64.const -1))
    (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (unreachable)))"""


@pytest.mark.parametrize("counting", VARIANTS)
def test_where_the_call_stack_is_exhausted_the_records_say_where(counting: bool) -> None:
    host = host_of(load(DEEP), counting)
    host.set_register("depth", MAX_DEPTH - 3)
    assert host.run("down", 2) == 2
    host.set_register("depth", MAX_DEPTH - 3)
    host.run("down", 5)
    mode, frames = host.take()
    assert mode == EXHAUSTED | UNWINDING
    assert [(f.kind, f.locals) for f in frames] == [
        ("entry", (2,)),
        ("call", (3,)),
        ("call", (4,)),
        ("call", (5,)),
    ]
    # Nothing is left over.
    host.set_register("depth", 0)
    assert host.run("down", 10) == 10


@pytest.mark.parametrize("counting", VARIANTS)
def test_where_it_traps_by_itself_the_records_say_where(counting: bool) -> None:
    host = host_of(load(DEEP), counting)
    host.run("trap", 3)
    mode, frames = host.take()
    assert mode == TRAPPED | UNWINDING
    assert [(f.kind, f.function, f.locals) for f in frames] == [("trap", 1, (0, (1 << 64) - 1))]


CALLING = """(module
  (import "env" "ask" (func $ask (param i64 f64) (result i32)))
  (table 1 funcref) (elem (i32.const 0) $ask)
  (type $asks (func (param i64 f64) (result i32)))
  (func (export "f") (param i32) (result i32)
    (i32.const 100)
    (call $ask (i64.const 7) (f64.const 2.5))
    (i32.add (call_indirect (type $asks) (i64.const 8) (f64.const 0) (i32.const 0)))
    (i32.add)))"""


@pytest.mark.parametrize("counting", VARIANTS)
def test_a_host_function_that_is_interrupted_is_called_again(counting: bool) -> None:
    asked: list[tuple[int, float]] = []
    refuse = True

    def ask(number: int, real: float) -> int:
        asked.append((number, real))
        if refuse:
            host.set_register("mode", INTERRUPTED)
        return 0 if refuse else number

    host = host_of(load(CALLING), counting, [ask])
    host.run("f", 1)
    mode, frames = host.take()
    assert (mode, asked) == (UNWINDING, [(7, 2.5)])
    two_and_a_half = by_bits(F64, 2.5)
    assert [(f.kind, f.stack) for f in frames] == [("host", (100, 7, two_and_a_half))]
    refuse = False
    host.stop_at(2)
    result = host.go_on(frames)
    if counting:
        # The boundary before the call through the table is the second one.
        mode, frames = host.take()
        assert [(f.kind, f.stack) for f in frames] == [("host", (100, 7, 8, 0, 0))]
        host.stop_at((1 << 55) - 1)
        refuse = True
        host.go_on(frames)
        mode, again = host.take()
        assert (mode, again) == (UNWINDING, frames)
        refuse = False
        result = host.go_on(frames)
    assert result == 115
    assert asked[-1] == (8, 0.0)


STARTING = r"""(module
  (memory (export "m") 1) (table (export "t") 3 funcref) (global $g (mut i32) (i32.const 3))
  (data (i32.const 5) "abc") (data $kept "xyz") (elem (i32.const 1) $one) (elem $more func $one)
  (func $one (result i32) (i32.const 1))
  (func $start (global.set $g (i32.load8_u (i32.const 5))))
  (func (export "drop") (data.drop $kept) (elem.drop $more))
  (func (export "init") (memory.init $kept (i32.const 0) (i32.const 0) (i32.const 3)))
  (func (export "g") (result i32) (i32.add (global.get $g) (call_indirect (result i32)
    (i32.const 1))))
  (start $start))"""


def test_segments_are_placed_dropped_and_started_by_what_is_exported() -> None:
    module = load(STARTING)
    host = host_of(module, False)
    assert host.run("g") == ord("a") + 1
    assert [host.get(72 + i, "<B") for i in range(4)] == [1, 0, 1, 0]
    host.run("init")
    host.run("drop")
    assert [host.get(72 + i, "<B") for i in range(4)] == [1, 1, 1, 1]
    with pytest.raises(wasmtime.Trap, match="out of bounds memory access"):
        host.run("init")
    restored = host_of(module, False, new=False)
    host.move_to(restored)
    for i in range(4):
        restored.set(72 + i, 1, "<B")
    restored.run("chiwawa:drop")
    with pytest.raises(wasmtime.Trap, match="out of bounds memory access"):
        restored.run("init")


REFERENCES = """(module
  (func $one (result i32) (i32.const 1))
  (elem declare func $one)
  (func (export "f") (param externref) (result externref funcref) (local funcref externref)
    (local.set 1 (ref.func $one))
    (ref.func $one)
    (local.get 0)
    (loop (param funcref externref) (result funcref externref))
    (drop) (drop)
    (local.get 0) (local.get 1)))"""


def test_references_in_frames_are_in_tables() -> None:
    host = host_of(load(REFERENCES), False)
    host.request()
    host.run("f", "kept")
    mode, frames = host.take()
    assert without_kinds(frames) == [Frame(1, 5, "", (1, 0, 0), ())]
    funcrefs: Any = host.exports["chiwawa:funcrefs"]
    externrefs: Any = host.exports["chiwawa:externrefs"]
    assert externrefs.get(host.store, 0) == "kept"
    host.go_on(frames)
    mode, frames = host.take()
    assert mode == UNWINDING
    (frame,) = frames
    assert [each == 0 for each in (*frame.locals, *frame.stack)] == [False, False, True] + [
        False
    ] * 2
    assert funcrefs.get(host.store, frame.stack[0] - 1)(host.store) == 1
    host.withdraw()
    extern, function = host.go_on(frames)
    assert extern == "kept"
    assert function(host.store) == 1
    assert host.register("sp") == FIRST


@pytest.mark.parametrize(
    "text",
    [
        '(module (func (export "chiwawa:f")))',
        '(module (import "chiwawa:x" "f" (func)))',
    ],
)
def test_names_that_the_rewriter_gives_are_refused(text: str) -> None:
    with pytest.raises(UnsupportedError, match=r'the native path: the (ex|im)port "chiwawa:'):
        rewrite(load(text), False)
