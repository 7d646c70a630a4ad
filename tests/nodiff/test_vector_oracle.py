"""Vector instructions against wasmtime, lane by lane, on values at the edges of what lanes hold.

Each function goes over operands in memory, so no vector is in a signature (at which wasmtime's
package ends the process), and NaNs are the canonical one.
"""

from __future__ import annotations

import random
from functools import cache

import pytest
import wasmtime

from chiwawa import api
from chiwawa.opcodes import TABLE, Op
from chiwawa.source import load
from tests.path_helpers import each_path

pytestmark = pytest.mark.needs("wasmtime")

COUNT = 600
#: Where operands are, one after the other, and the results.
PLACES = (0, 1 << 14, 1 << 15, 3 << 14)
#: Bits of lanes, by width in bytes.
EDGES = {
    1: (0, 1, 2, 0x7E, 0x7F, 0x80, 0x81, 0xFF, 0x10, 0x0F, 0x55),
    2: (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x5555),
    4: (0, 1, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00800000, 0x3EFFFFFF, 0x3F000000,
        0x3F800000, 0xBF800000, 0x3FC00000, 0xC0200000, 0x4B000001, 0x4EFFFFFF, 0x4F000000,
        0xCF000000, 0x4F7FFFFF, 0x4F800000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x7FC00000,
        0x7FA00000, 0xFFC00001),
    8: (0, 1, 1 << 63, (1 << 63) - 1, (1 << 64) - 1, 1 << 52, 0x3FE0000000000000,
        0x3FF0000000000000, 0xBFF8000000000000, 0x4004000000000000, 0x4330000000000001,
        0x41DFFFFFFFC00000, 0x41E0000000000000, 0xC1E0000000200000, 0x41F0000000000000,
        0x47EFFFFFEFFFFFFF, 0x47EFFFFFF0000000, 0x36A0000000000000, 0x7FEFFFFFFFFFFFFF,
        0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x7FF4000000000000,
        0xFFF8000000000001),
}  # fmt: skip
#: What takes and gives numbers and vectors alone.
VECTOR_OPS = [
    op for op in TABLE if op.code[0] == 0xFD and not op.width and not op.name.endswith(".const")
]
SHAPES = sorted({op.name.partition(".")[0] for op in VECTOR_OPS})


def ops_of(shape: str) -> list[Op]:
    return [op for op in VECTOR_OPS if op.name.startswith(shape)]


def function_of(op: Op) -> str:
    last = op.lanes - 1 if op.immediates == ("laneidx",) else 0
    immediates = {"laneidx": f"{last}", "lanes": "31 0 16 15 1 30 7 7 8 24 2 29 3 28 4 27"}
    operands = [
        f"({valtype}.load offset={place} (local.get $at))"
        for valtype, place in zip(op.params, PLACES, strict=False)
    ]
    immediate = "".join(f" {immediates[kind]}" for kind in op.immediates)
    return f"""(func (export "{op.name}") (local $at i32)
      (loop $again
        ({op.results[0]}.store offset={PLACES[3]} (local.get $at)
          ({op.name}{immediate} {" ".join(operands)}))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $again (i32.lt_u (local.get $at) (i32.const {16 * COUNT})))))"""


@cache
def binary_of(shape: str) -> bytes:
    functions = "".join(map(function_of, ops_of(shape)))
    return load(f'(module (memory (export "m") 1) {functions})'.encode()).binary


@cache
def operands() -> bytes:
    """A page of vectors whose lanes, of a width each, are edges."""
    choose = random.Random("edges").choice
    vectors = []
    for _ in range(PLACES[3] // 16):
        size = choose(tuple(EDGES))
        lanes = [choose(EDGES[size]).to_bytes(size, "little") for _ in range(16 // size)]
        vectors.append(b"".join(lanes))
    return b"".join(vectors).ljust(1 << 16, b"\0")


@cache
def expected(shape: str) -> dict[str, bytes]:
    """What wasmtime gives; of relaxed instructions, which there may do otherwise, what the
    interpreter does."""
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    store = wasmtime.Store(wasmtime.Engine(config))
    exports = wasmtime.Instance(store, wasmtime.Module(store.engine, binary_of(shape)), []).exports(
        store
    )
    memory = exports["m"]
    assert isinstance(memory, wasmtime.Memory)
    results = {}
    for op in ops_of(shape):
        memory.write(store, operands(), 0)
        function = exports[op.name]
        assert isinstance(function, wasmtime.Func)
        function(store)
        results[op.name] = bytes(memory.read(store, PLACES[3], PLACES[3] + 16 * COUNT))
    relaxed = [op.name for op in ops_of(shape) if op.plain]
    return results | {name: ours(shape, "interp", [name])[name] for name in relaxed}


def ours(shape: str, path: str, names: list[str]) -> dict[str, bytes]:
    instance = api.instantiate(load(binary_of(shape)), path=path, canonical_nans=True)
    results = {}
    for name in names:
        instance.memories[0].write(0, operands())
        instance.invoke(name)
        results[name] = instance.memories[0].read(PLACES[3], 16 * COUNT)
    return results


@pytest.mark.parametrize("shape", SHAPES)
@each_path
def test_lanes_are_what_they_are_elsewhere(shape: str, path: str) -> None:
    wanted = expected(shape)
    for name, got in ours(shape, path, [op.name for op in ops_of(shape)]).items():
        for at in range(0, 16 * COUNT, 16):
            given = " ".join(operands()[place + at :][:16].hex() for place in PLACES[:3])
            lanes, right = got[at : at + 16].hex(), wanted[name][at : at + 16].hex()
            assert lanes == right, f"{name} of {given}: {lanes}, elsewhere {right}"
