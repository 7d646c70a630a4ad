"""Every numeric meaning, compared with wasmtime over bit patterns that matter."""

from __future__ import annotations

import ast
import itertools
import math
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa.immediates import MEANT
from chiwawa.opcodes import OPERANDS, TABLE, Op
from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state import heap, numerics, vectors
from chiwawa_runtime.state.types import F32, F64, I32, I64, NumType
from tests.need_helpers import need

NUMERIC = [
    op
    for op in TABLE
    if op.signature is not None
    and op.meaning is not None
    and not op.immediates
    and op.params
    and all(isinstance(t, NumType) for t in (*op.params, *op.results))
]
#: Operations that only move sign bits: the payload and quietness of a NaN stay.
BITWISE = {"abs", "neg", "copysign", "reinterpret"}

INTEGERS = {
    32: [
        0,
        1,
        2,
        3,
        7,
        31,
        32,
        33,
        0x7F,
        0x80,
        0xFF,
        0x7FFF,
        0x8000,
        0xFFFF,
        0x12345678,
        0x7FFFFFFF,
        0x80000000,
        0x80000001,
        0xFFFFFFFE,
        0xFFFFFFFF,
        0xFFFFFF7F,
        0x01000001,
    ],
    64: [
        0,
        1,
        2,
        3,
        31,
        63,
        64,
        65,
        0xFF,
        0x8000,
        0x7FFFFFFF,
        0x80000000,
        0xFFFFFFFF,
        0x0123456789ABCDEF,
        (1 << 63) - 1,
        1 << 63,
        (1 << 63) + 1,
        (1 << 64) - 2,
        (1 << 64) - 1,
        # Ints that rounding through f64 on the way to f32 would get wrong.
        0x7FFFFF4000000001,
        0x8000004000000001,
        0x8000008000000000,
        0x20000020000001,
        0x7FFFFFBFFFFFFFFF,
        0xFFFFFF7FFFFFFFFF,
        0xFFFFFF8000000000,
        0x1FFFFFFFFFFFFF,
    ],
}
FLOATS = {
    32: [
        0x00000000,
        0x00000001,
        0x007FFFFF,
        0x00800000,
        0x3F000000,
        0x3F800000,
        0x3F800001,
        0x3FC00000,
        0x40200000,
        0x4B000001,
        0x4EFFFFFF,
        0x4F000000,
        0x4F800000,
        0x5EFFFFFF,
        0x5F000000,
        0x5F800000,
        0x7F7FFFFF,
        0x7F800000,
        0x7FC00000,
        0x7FA00001,
        0x7F800001,
    ],
    64: [
        0x0,
        0x1,
        0x000FFFFFFFFFFFFF,
        0x0010000000000000,
        0x3FE0000000000000,
        0x3FF0000000000000,
        0x3FF8000000000000,
        0x4004000000000000,
        0x432FFFFFFFFFFFFF,
        0x4330000000000001,
        0x41DFFFFFFFC00000,
        0x41E0000000000000,
        0x41EFFFFFFFE00000,
        0x41F0000000000000,
        0x41DFFFFFFFFFFFFF,
        0x43DFFFFFFFFFFFFF,
        0x43E0000000000000,
        0x43EFFFFFFFFFFFFF,
        0x43F0000000000000,
        0x47EFFFFFE0000000,
        0x47EFFFFFF0000000,
        0x36A0000000000000,
        0x3690000000000000,
        0x7FEFFFFFFFFFFFFF,
        0x7FF0000000000000,
        0x7FF8000000000000,
        0x7FF4000000000000,
        0x7FF0000000000001,
    ],
}
SIGN = {32: 1 << 31, 64: 1 << 63}


def patterns(valtype: NumType) -> list[int]:
    if valtype in (I32, I64):
        return INTEGERS[valtype.bits]
    return [b | s for b in FLOATS[valtype.bits] for s in (0, SIGN[valtype.bits])]


def from_bits(bits: int, valtype: NumType) -> Any:
    if valtype is F32:
        return numerics.f32_from_bits(bits)
    return numerics.f64_from_bits(bits) if valtype is F64 else bits


def to_bits(value: Any, valtype: NumType) -> int:
    if valtype is F32:
        return numerics.f32_bits(value)
    return numerics.f64_bits(value) if valtype is F64 else int(value)


def is_nan(bits: int, valtype: NumType) -> bool:
    return valtype in (F32, F64) and math.isnan(from_bits(bits, valtype))


def is_quiet(bits: int, valtype: NumType) -> bool:
    return bool(bits & (1 << 22 if valtype is F32 else 1 << 51))


def as_int(valtype: NumType) -> str:
    return f"i{valtype.bits}"


def reference_module() -> str:
    """One exported function an operation, floats passed and returned as bits."""
    lines = ["(module"]
    for op in NUMERIC:
        args = " ".join(
            f"(local.get {i})"
            if t in (I32, I64)
            else f"({t}.reinterpret_{as_int(t)} (local.get {i}))"
            for i, t in enumerate(op.params)
        )
        params = " ".join(as_int(t) for t in op.params)
        result = op.results[0]
        body = f"({op.name} {args})"
        if result in (F32, F64):
            body = f"({as_int(result)}.reinterpret_{result} {body})"
        lines.append(
            f'(func (export "{op.name}") (param {params}) (result {as_int(result)}) {body})'
        )
    return "\n".join([*lines, ")"])


@pytest.fixture(scope="module")
def reference() -> Callable[[str, tuple[int, ...]], int | str]:
    need("wasmtime")
    import wasmtime

    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, reference_module())
    exports = wasmtime.Instance(store, module, []).exports(store)

    def call(name: str, args: tuple[int, ...]) -> int | str:
        try:
            return int(exports[name](store, *args))
        except wasmtime.Trap as trap:
            return str(trap.message).split("wasm trap: ")[-1].splitlines()[0]

    return call


def evaluate(code: Any, op: Op, args: tuple[int, ...], namespace: dict[str, object]) -> int | str:
    values = (from_bits(b, t) for b, t in zip(args, op.params, strict=True))
    try:
        value = eval(code, namespace, dict(zip("abc", values, strict=False)))
    except Trap as trap:
        return trap.message
    except ZeroDivisionError:
        return "integer divide by zero"
    return to_bits(value, op.results[0])


CASES = [pytest.param(op, False, id=op.name) for op in NUMERIC] + [
    pytest.param(op, True, id=f"{op.name}-own_buffer")
    for op in NUMERIC
    if "f32_round" in op.meaning
]


@pytest.mark.parametrize(("op", "own_buffer"), CASES)
def test_a_meaning_computes_what_wasmtime_computes(
    op: Op, own_buffer: bool, reference: Callable[[str, tuple[int, ...]], int | str]
) -> None:
    namespace = dict(numerics.NAMESPACE)
    if own_buffer:
        namespace["f32_round"] = numerics.make_f32_round()
    code = compile(op.meaning, op.name, "eval")
    result_type = op.results[0]
    bitwise = any(word in op.name for word in BITWISE)
    for args in itertools.product(*(patterns(t) for t in op.params)):
        ours, theirs = evaluate(code, op, args, namespace), reference(op.name, args)
        if isinstance(theirs, int):
            theirs &= (1 << result_type.bits) - 1
        where = (op.name, [hex(a) for a in args], ours, theirs)
        if isinstance(theirs, str) or isinstance(ours, str):
            assert isinstance(ours, str), where
            assert ours in str(theirs), where
        elif is_nan(theirs, result_type) and not bitwise:
            assert is_nan(ours, result_type), where
            assert is_quiet(ours, result_type), where
        else:
            assert ours == theirs, where
            assert ours <= (op.high if op.high is not None else (1 << 64) - 1), where


def test_every_name_in_a_meaning_is_in_the_namespace() -> None:
    used = {
        node.id
        for op in TABLE
        if op.meaning is not None
        for node in ast.walk(ast.parse(op.meaning))
        if isinstance(node, ast.Name)
    }
    names = used - {*OPERANDS} - MEANT - {"abs", "float"}
    # Those of vectors are made where they are asked for.
    assert names - vectors.named(names).keys() <= numerics.NAMESPACE.keys() | heap.NAMES.keys()


@given(st.integers(0, (1 << 32) - 1))
def test_f32_bits_survive_being_a_value_and_being_stored(bits: int) -> None:
    value = numerics.f32_from_bits(bits)
    assert numerics.f32_bits(value) == bits
    memory = bytearray(8)
    numerics.f32_store(memory, 3, value)
    assert memory == b"\0" * 3 + bits.to_bytes(4, "little") + b"\0"
    assert numerics.f64_bits(numerics.f32_load(memory, 3)) == numerics.f64_bits(value)


@given(st.integers(0, (1 << 64) - 1))
def test_f64_bits_survive_being_a_value_and_being_stored(bits: int) -> None:
    value = numerics.f64_from_bits(bits)
    assert numerics.f64_bits(value) == bits
    memory = bytearray(8)
    numerics.f64_store(memory, 0, value)
    assert memory == bits.to_bytes(8, "little")


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_an_int_is_rounded_to_f32_once(value: int) -> None:
    # The nearest of the three f32 around a first guess, by exact arithmetic, ties to even.
    guess = numerics.f32_bits(numerics.f32_round(float(abs(value))))
    around = [max(guess - 1, 0), guess, guess + 1]
    best = min(around, key=lambda b: (abs(int(numerics.f32_from_bits(b)) - abs(value)), b & 1))
    assert numerics.f32_bits(numerics.f32_convert(abs(value))) == best
    assert numerics.f32_convert(value) == math.copysign(numerics.f32_from_bits(best), value)


@given(st.floats() | st.integers(0, (1 << 64) - 1).map(numerics.f64_from_bits))
def test_both_roundings_to_f32_agree_but_for_a_nan(value: float) -> None:
    first, second = numerics.f32_round(value), numerics.make_f32_round()(value)
    if math.isnan(value):
        assert math.isnan(first)
        assert math.isnan(second)
        assert numerics.f32_bits(first) & 0x400000
    else:
        assert numerics.f64_bits(first) == numerics.f64_bits(second)


def test_an_address_out_of_bounds_is_an_error_that_the_driver_knows() -> None:
    memory = bytearray(8)
    for address in (5, 8, 1 << 32, (1 << 33) - 1):
        with pytest.raises(struct.error):
            numerics.load_u32(memory, address)
        with pytest.raises(struct.error):
            numerics.store_u32(memory, address, 1)
        with pytest.raises(struct.error):
            numerics.f32_load(memory, address)


def test_a_bool_is_an_i32() -> None:
    memory = bytearray(4)
    numerics.store_u32(memory, 0, True)
    assert memory == b"\x01\0\0\0"
    assert numerics.f32_round(True) == 1.0
    assert numerics.i32_div_s(True, True) == 1
    assert numerics.f32_bits(numerics.f32_from_bits(True)) == 1
