"""What engines ship beyond the standard: atomics, wide arithmetic, custom page sizes."""

from __future__ import annotations

import random

import pytest
import wasmtime

from chiwawa import api
from chiwawa.opcodes import TABLE
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.checkpoint.layout import DIGEST_SIZE
from chiwawa_runtime.errors import (
    CheckpointError,
    InvalidError,
    MalformedError,
    Trap,
    UnlinkableError,
    UnsupportedError,
)
from chiwawa_runtime.state.types import PAGE
from tests.nodiff.harness_helpers import Call, both, check, compare_bytes, cross, walk
from tests.path_helpers import IN_PYTHON, PATHS, each_path
from tests.unit.checkpoint.snapshot_helpers import with_digest

EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
EDGES_64 = (*EDGES, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def elsewhere(source: str) -> tuple[wasmtime.Store, wasmtime.Instance]:
    """An instance of wasmtime's own, of the module as it is."""
    config = wasmtime.Config()
    config.wasm_threads = True
    from chiwawa.native import capi

    capi.wide_arithmetic_set(capi.address(config.ptr()), True)
    store = wasmtime.Store(wasmtime.Engine(config))
    module = wasmtime.Module(store.engine, load(source).binary)
    return store, wasmtime.Instance(store, module, [])


def signed(value: int, bits: int) -> int:
    half: int = 1 << bits - 1
    return (value + half & 2 * half - 1) - half


#: Those that load or store, or both.
ACCESSES = [op for op in TABLE if op.atomic and not op.name.startswith("memory")]


def accesses() -> str:
    """A function for each atomic access, which gives what it gives and what memory has then."""
    functions = []
    for index, op in enumerate(ACCESSES):
        params = " ".join(map(str, op.params[1:]))
        args = "".join(f"(local.get {i})" for i in range(1, len(op.params)))
        given = f"({op.name} (local.get 0) {args})"
        results = " ".join(map(str, op.results))
        functions.append(
            f'(func (export "f{index}") (param i32 {params}) (result {results} i64) {given}'
            f" (i64.load (i32.const 8)))"
        )
    return (
        '(memory 1) (func (export "set") (param i64) (i64.store (i32.const 8) (local.get 0)))'
        + ("".join(functions))
    )


def test_atomic_accesses_do_what_they_do_elsewhere() -> None:
    source = accesses()
    store, theirs = elsewhere(source)
    ours = [api.instantiate(load(source), path=path) for path in PATHS]
    dice = random.Random(7)
    set_ = theirs.exports(store)["set"]
    for index, op in enumerate(ACCESSES):
        function = theirs.exports(store)[f"f{index}"]
        for _ in range(12):
            before = dice.choice(EDGES_64)
            args = [8, *(dice.choice(EDGES_64) & (1 << t.bits) - 1 for t in op.params[1:])]  # type: ignore[union-attr]
            if len(args) == 3 and dice.random() < 0.5:
                args[1] = before & (1 << 8 * op.width) - 1
            set_(store, before)
            expected = function(store, *args)
            expected = [expected] if isinstance(expected, int) else list(expected)
            bits = [*(t.bits for t in op.results), 64]  # type: ignore[union-attr]
            expected = [signed(v, b) for v, b in zip(expected, bits, strict=True)]
            for instance in ours:
                instance.invoke("set", [before])
                assert instance.invoke(f"f{index}", args) == expected, (op.name, before, args)


@pytest.mark.parametrize("op", ACCESSES, ids=lambda op: op.name)
def test_an_atomic_access_is_aligned_and_in_bounds(op: object) -> None:
    source = accesses()
    index = ACCESSES.index(op)  # type: ignore[arg-type]
    width = ACCESSES[index].width
    count = len(ACCESSES[index].params) - 1
    for path in PATHS:
        instance = api.instantiate(load(source), path=path)
        with pytest.raises(Trap, match="out of bounds memory access"):
            instance.invoke(f"f{index}", [PAGE, *[0] * count])
        if width > 1:
            with pytest.raises(Trap, match="unaligned atomic"):
                instance.invoke(f"f{index}", [8 + width // 2, *[0] * count])


SPIN = """
(memory 1 1 {shared}) (global $seed (mut i32) (i32.const 3))
(func (export "f") (param $n i32) (result i64)
  (loop $again
    (atomic.fence)
    (drop (i64.atomic.rmw.add (i32.const 16) (i64.extend_i32_u (local.get $n))))
    (drop (i32.atomic.rmw16.xchg_u (i32.const 20) (local.get $n)))
    (if (i32.eq (local.get $n)
          (i32.atomic.rmw.cmpxchg (i32.const 24) (i32.const 0) (local.get $n)))
      (then unreachable))
    (i32.atomic.store8 (i32.const 30) (memory.atomic.notify (i32.const 24) (i32.const 1)))
    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (i64.add (i64.atomic.load (i32.const 16)) (i64.atomic.load32_u (i32.const 24))))
"""


@pytest.mark.parametrize("shared", ["", "shared"])
def test_a_program_with_atomics_is_the_same_at_every_safepoint(shared: str) -> None:
    call = Call(load(SPIN.format(shared=shared)), "f", (9,))
    expected = both(call)
    assert expected.kind == "returned"
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    check(call)


WAITS = """
(memory 1 1 shared) (memory $own 1)
(func (export "wait") (param i32 i64) (result i32)
  (memory.atomic.wait32 0 (i32.const 8) (local.get 0) (local.get 1)))
(func (export "wide") (param i32 i64 i64) (result i32)
  (memory.atomic.wait64 0 (local.get 0) (local.get 1) (local.get 2)))
(func (export "unshared") (result i32)
  (memory.atomic.wait32 $own (i32.const 0) (i32.const 0) (i64.const 0)))
"""


@pytest.mark.parametrize("path", IN_PYTHON)
def test_nobody_waits_for_ever(path: str) -> None:
    instance = api.instantiate(load(WAITS), path=path)
    assert instance.invoke("wait", [1, -1]) == [1]
    assert instance.invoke("wait", [0, 10**12]) == [2]
    assert instance.invoke("wide", [16, 0, 0]) == [2]
    for name, args, message in (
        ("wait", [0, -1], "a wait that nothing can end"),
        ("wide", [12, 0, 0], "unaligned atomic"),
        ("wide", [PAGE, 0, 0], "out of bounds memory access"),
        ("unshared", [], "expected shared memory"),
    ):
        with pytest.raises(Trap, match=message):
            instance.invoke(name, args)


@pytest.mark.skipif("native" not in PATHS, reason="the native path cannot run here")
def test_the_native_path_refuses_to_wait_in_a_line() -> None:
    with pytest.raises(UnsupportedError, match="it waits in a shared memory"):
        api.instantiate(load(WAITS), path="native")


@pytest.mark.parametrize(
    "op", [op for op in TABLE if op.name.endswith(("128", "_wide_s", "_wide_u"))]
)
def test_wide_arithmetic_does_what_it_does_elsewhere(op: object) -> None:
    count = len(op.params)  # type: ignore[attr-defined]
    params = "i64 " * count
    args = "".join(f"(local.get {i})" for i in range(count))
    source = f'(func (export "f") (param {params}) (result i64 i64) ({op.name} {args}))'  # type: ignore[attr-defined]
    store, theirs = elsewhere(source)
    function = theirs.exports(store)["f"]
    ours = [api.instantiate(load(source), path=path) for path in PATHS]
    dice = random.Random(3)
    for _ in range(40):
        values = [dice.choice([*EDGES_64, dice.getrandbits(64)]) for _ in range(count)]
        expected = [signed(v, 64) for v in function(store, *values)]
        for instance in ours:
            assert instance.invoke("f", values) == expected, values


WIDE = """
(func (export "f") (param $n i32) (result i64 i64) (local $low i64) (local $high i64)
  (local.set $low (i64.const 3))
  (loop $again
    (i64.const 11)
    (local.get $low) (local.get $high)
    (i64.mul_wide_u (local.get $low) (i64.const 0x9E3779B97F4A7C15))
    (i64.add128)
    (local.set $high) (local.set $low)
    (i64.mul_wide_s (local.get $high) (local.get $low))
    (i64.sub128 (local.get $low) (local.get $high))
    (local.set $high) (local.set $low)
    (drop)
    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $low) (local.get $high))
"""
#: A memory of bytes, which grows, beside one of ordinary pages.
PAGES = """
(memory $bytes 5 40 (pagesize 1)) (memory $pages 1 3) (data (memory $bytes) (i32.const 1) "abc")
(func (export "f") (param $n i32) (result i32) (local $sum i32)
  (loop $again
    (i32.store8 $bytes (i32.sub (memory.size $bytes) (i32.const 1)) (local.get $n))
    (memory.copy $pages $bytes (local.get $n) (i32.const 1) (i32.const 3))
    (local.set $sum (i32.add (local.get $sum) (i32.add (memory.size $pages)
      (i32.mul (memory.grow $bytes (i32.const 3)) (i32.load $pages (local.get $n))))))
    (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $sum))
"""


@pytest.mark.parametrize(("source", "n"), [(WIDE, 6), (PAGES, 14)])
def test_it_is_the_same_at_every_safepoint(source: str, n: int) -> None:
    call = Call(load(source), "f", (n,))
    expected = both(call)
    assert expected.kind == "returned"
    for stop in compare_bytes(call, range(1, (expected.safepoints or 0) + 1)):
        cross(call, stop, expected)
    check(call)


@each_path
def test_a_byte_behind_a_memory_of_bytes_is_out_of_bounds(path: str) -> None:
    source = """(memory 5 (pagesize 1)) (func (export "f") (param i32) (result i32)
        (i32.load16_u (local.get 0)))"""
    instance = api.instantiate(load(source), path=path)
    assert instance.invoke("f", [3]) == [0]
    with pytest.raises(Trap, match="out of bounds memory access"):
        instance.invoke("f", [4])


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("(memory 1 shared)", InvalidError, "shared memory must have maximum"),
        ("(memory 1 2 (pagesize 2))", InvalidError, "invalid custom page size"),
        ("(memory 1 2 (pagesize 3))", MalformedError, "invalid custom page size"),
        (
            "(memory 1) (func (drop (i32.atomic.load align=2 (i32.const 0))))",
            InvalidError,
            "atomic alignment must be natural",
        ),
        (
            "(memory 1) (func (drop (i32.atomic.load align=8 (i32.const 0))))",
            InvalidError,
            "alignment must not be larger than natural",
        ),
    ],
)
def test_what_is_wrong_is_said(source: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        load(source)


@pytest.mark.parametrize("path", IN_PYTHON)
@pytest.mark.parametrize(
    ("given", "wanted"),
    [("1 2 shared", "1 2"), ("1 2", "1 2 shared"), ("1 2 (pagesize 1)", "1 2")],
)
def test_memories_of_other_kinds_are_not_linked(path: str, given: str, wanted: str) -> None:
    exports = api.instantiate(load(f'(memory (export "m") {given})'), path=path).exports
    with pytest.raises(UnlinkableError, match="incompatible import type"):
        api.instantiate(load(f'(import "a" "m" (memory {wanted}))'), {"a": exports}, path=path)


@pytest.mark.parametrize("kind", ["page", "shared"])
@each_path
def test_a_checkpoint_of_such_memories_is_read_and_tampered_ones_refused(
    path: str, kind: str
) -> None:
    module = load(PAGES if kind == "page" else SPIN.format(shared="shared"))
    (stop,) = walk(Call(module, "f", (9,)), path, [3])
    snapshot = checkpoint.decode(stop.data)
    type_ = snapshot.memories[0].type
    assert (type_.page, type_.shared) == ((1, False) if kind == "page" else (PAGE, True))
    data = stop.data[:-DIGEST_SIZE]
    size = snapshot.memories[0].size // type_.page
    old, new = {
        "page": (bytes((9, size, 40, 0)), bytes((9, size, 40, 1))),
        "shared": (b"\x03\x01\x01", b"\x01\x01\x01"),
    }[kind]
    assert data.count(old) == 1
    with pytest.raises(CheckpointError) as caught:
        api.restore(module, with_digest(data.replace(old, new)), path=path)
    assert "\n" not in str(caught.value)
