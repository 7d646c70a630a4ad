"""The numeric functions that the meanings of instructions call (spec 4.3).

Both execution paths evaluate the same expressions over these functions, so what an instruction
does is written once. i32 and i64 are unsigned ints (a bool stands for 0 or 1), f64 is a float, and
f32 is a float that f32 can hold; an f32 NaN is the f64 NaN with the same sign and the payload
shifted left by 29, signalling ones included. This module knows nothing of memories as objects,
instances or code: loads and stores take the bytes and an address, and report an address out of
bounds by ``IndexError`` or ``struct.error``, which the driver turns into the trap.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from math import ceil, copysign, floor, inf, nan, sqrt, trunc
from struct import Struct
from typing import TYPE_CHECKING

from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state import atomics

if TYPE_CHECKING:
    from chiwawa_runtime.state.reserve import Raw

_f32 = Struct("<f")
_f64 = Struct("<d")
_u32 = Struct("<I")
_u64 = Struct("<Q")

# Loads and stores (spec 4.4.7): each load returns a tuple of one.

load_s8 = Struct("<b").unpack_from
load_u8 = Struct("<B").unpack_from
load_s16 = Struct("<h").unpack_from
load_u16 = Struct("<H").unpack_from
load_s32 = Struct("<i").unpack_from
load_u32 = _u32.unpack_from
load_s64 = Struct("<q").unpack_from
load_u64 = _u64.unpack_from
f64_load = _f64.unpack_from

store_u8 = Struct("<B").pack_into
store_u16 = Struct("<H").pack_into
store_u32 = _u32.pack_into
store_u64 = _u64.pack_into
f64_store = _f64.pack_into

_f32_unpack_from = _f32.unpack_from
_f32_pack_into = _f32.pack_into


def f32_load(memory: bytes | Raw, address: int) -> float:
    """The f32 at ``address``, every bit of a NaN kept."""
    value: float = _f32_unpack_from(memory, address)[0]
    if value == value:
        return value
    return f32_from_bits(load_u32(memory, address)[0])


def f32_store(memory: Raw, address: int, value: float) -> None:
    """Store an f32, every bit of a NaN kept."""
    if value == value:
        _f32_pack_into(memory, address, value)
    else:
        store_u32(memory, address, f32_bits(value))


# Reinterpretations (spec 4.3.4).


def f64_bits(value: float) -> int:
    """The IEEE bits of an f64, unsigned."""
    bits: int = _u64.unpack(_f64.pack(value))[0]
    return bits


def f64_from_bits(bits: int) -> float:
    """The f64 with these IEEE bits (unsigned)."""
    value: float = _f64.unpack(_u64.pack(bits))[0]
    return value


def f32_bits(value: float) -> int:
    """The IEEE bits of a float that f32 can hold, unsigned."""
    bits: int
    if value == value:
        bits = _u32.unpack(_f32.pack(value))[0]
        return bits
    bits = f64_bits(value)
    payload = (bits >> 29) & 0x7FFFFF
    # A payload that lies wholly below f32's can only come from a host: it stays a NaN.
    return (bits >> 32) & 0x80000000 | 0x7F800000 | (payload or 0x400000)


def f32_from_bits(bits: int) -> float:
    """The f32 with these IEEE bits (unsigned)."""
    if bits & 0x7F800000 == 0x7F800000 and bits & 0x7FFFFF:
        return f64_from_bits((bits & 0x80000000) << 32 | 0x7FF << 52 | (bits & 0x7FFFFF) << 29)
    value: float = _f32.unpack(_u32.pack(bits))[0]
    return value


# Rounding to f32 (spec 4.3.3).


def make_f32_cell() -> memoryview[float] | array[float]:
    """Four bytes that a float is rounded to f32 by storing it at index 0 and reading it again.
    CPython is quicker with a memoryview, PyPy with an array."""
    cell = array("f", [0.0])
    return memoryview(cell) if sys.implementation.name == "cpython" else cell


def make_f32_round() -> Callable[[float], float]:
    """An ``f32_round`` with a buffer of its own: the fastest, for one thread only."""
    buffer = array("f", [0.0])

    def f32_round(value: float) -> float:
        buffer[0] = value
        return buffer[0]

    return f32_round


def f32_round(value: float) -> float:
    """The f32 nearest to ``value`` (a float, or an int below 2**53 in magnitude), ties to even;
    infinite where it overflows; a NaN is quieted. Safe among threads."""
    if value == value:
        try:
            result: float = _f32.unpack(_f32.pack(value))[0]
            return result
        except OverflowError:
            return copysign(inf, value)
    return f32_from_bits(f32_bits(value + 0.0))


def f32_convert(value: int) -> float:
    """The f32 nearest to an int below 2**64 in magnitude, ties to even."""
    if -0x20000000000000 < value < 0x20000000000000:
        return f32_round(value)
    # A float holds 53 bits. The low 11 of 64 are folded into one sticky bit, far below those that
    # f32 keeps, so that what is rounded to f32 was not rounded before.
    magnitude = abs(value)
    magnitude = magnitude & ~0x7FF | (0x800 if magnitude & 0x7FF else 0)
    return f32_round(float(magnitude if value > 0 else -magnitude))


# Floating-point operations (spec 4.3.3), for f32 and f64 alike. Adding zero quiets a NaN.


def float_div(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        if a != a:
            return a + 0.0
        if a == 0.0:
            return nan
        return copysign(inf, a) * copysign(1.0, b)


def float_sqrt(a: float) -> float:
    if a >= 0.0:
        return sqrt(a)
    return a + 0.0 if a != a else nan


def float_min(a: float, b: float) -> float:
    if a < b:
        return a
    if b < a:
        return b
    if a == b:
        # Only zeros are equal and differ: the negative one is the smaller.
        return a if copysign(1.0, a) < 0.0 else b
    return a + b


def float_max(a: float, b: float) -> float:
    if a > b:
        return a
    if b > a:
        return b
    if a == b:
        return b if copysign(1.0, a) < 0.0 else a
    return a + b


# From 2**52 on every float is integral; the comparison fails for NaN and infinities too.


def float_ceil(a: float) -> float:
    if -4503599627370496.0 < a < 4503599627370496.0:
        return copysign(float(ceil(a)), a)
    return a + 0.0


def float_floor(a: float) -> float:
    if -4503599627370496.0 < a < 4503599627370496.0:
        return copysign(float(floor(a)), a)
    return a + 0.0


def float_trunc(a: float) -> float:
    if -4503599627370496.0 < a < 4503599627370496.0:
        return copysign(float(trunc(a)), a)
    return a + 0.0


def float_nearest(a: float) -> float:
    """Round to an integer, ties to even."""
    if -4503599627370496.0 < a < 4503599627370496.0:
        return copysign(float(round(a)), a)
    return a + 0.0


float_copysign = copysign

#: The positive one. An f32 NaN is kept as an f64, so it is that of both.
_CANONICAL_NAN = f64_from_bits(0x7FF8000000000000)


def float_canonical(a: float) -> float:
    """``a``, and the canonical NaN for any NaN (the deterministic profile)."""
    return a if a == a else _CANONICAL_NAN


# Integer division (spec 4.3.2): towards zero; the remainder has the dividend's sign.


def i32_div_s(a: int, b: int) -> int:
    a = (a ^ 0x80000000) - 0x80000000
    b = (b ^ 0x80000000) - 0x80000000
    if b > 0:
        return a // b if a >= 0 else -(-a // b) & 0xFFFFFFFF
    if not b:
        raise Trap("integer divide by zero")
    if a >= 0:
        return -(a // -b) & 0xFFFFFFFF
    quotient = -a // -b
    if quotient == 0x80000000:
        raise Trap("integer overflow")
    return quotient


def i32_rem_s(a: int, b: int) -> int:
    a = (a ^ 0x80000000) - 0x80000000
    b = abs((b ^ 0x80000000) - 0x80000000)
    if not b:
        raise Trap("integer divide by zero")
    return a % b if a >= 0 else -(-a % b) & 0xFFFFFFFF


def i64_div_s(a: int, b: int) -> int:
    a = (a ^ 0x8000000000000000) - 0x8000000000000000
    b = (b ^ 0x8000000000000000) - 0x8000000000000000
    if b > 0:
        return a // b if a >= 0 else -(-a // b) & 0xFFFFFFFFFFFFFFFF
    if not b:
        raise Trap("integer divide by zero")
    if a >= 0:
        return -(a // -b) & 0xFFFFFFFFFFFFFFFF
    quotient = -a // -b
    if quotient == 0x8000000000000000:
        raise Trap("integer overflow")
    return quotient


def i64_rem_s(a: int, b: int) -> int:
    a = (a ^ 0x8000000000000000) - 0x8000000000000000
    b = abs((b ^ 0x8000000000000000) - 0x8000000000000000)
    if not b:
        raise Trap("integer divide by zero")
    return a % b if a >= 0 else -(-a % b) & 0xFFFFFFFFFFFFFFFF


# Truncations (spec 4.3.4).


def _no_integer(a: float) -> Trap:
    return Trap("invalid conversion to integer" if a != a else "integer overflow")


def i32_trunc_s(a: float) -> int:
    if -2147483649.0 < a < 2147483648.0:
        return int(a) & 0xFFFFFFFF
    raise _no_integer(a)


def i32_trunc_u(a: float) -> int:
    if -1.0 < a < 4294967296.0:
        return int(a)
    raise _no_integer(a)


def i64_trunc_s(a: float) -> int:
    if -9223372036854775808.0 <= a < 9223372036854775808.0:
        return int(a) & 0xFFFFFFFFFFFFFFFF
    raise _no_integer(a)


def i64_trunc_u(a: float) -> int:
    if -1.0 < a < 18446744073709551616.0:
        return int(a)
    raise _no_integer(a)


def i32_trunc_sat_s(a: float) -> int:
    if -2147483649.0 < a < 2147483648.0:
        return int(a) & 0xFFFFFFFF
    return 0x80000000 if a < 0.0 else 0x7FFFFFFF if a > 0.0 else 0


def i32_trunc_sat_u(a: float) -> int:
    if -1.0 < a < 4294967296.0:
        return int(a)
    return 0xFFFFFFFF if a > 0.0 else 0


def i64_trunc_sat_s(a: float) -> int:
    if -9223372036854775808.0 <= a < 9223372036854775808.0:
        return int(a) & 0xFFFFFFFFFFFFFFFF
    return 0x8000000000000000 if a < 0.0 else 0x7FFFFFFFFFFFFFFF if a > 0.0 else 0


def i64_trunc_sat_u(a: float) -> int:
    if -1.0 < a < 18446744073709551616.0:
        return int(a)
    return 0xFFFFFFFFFFFFFFFF if a > 0.0 else 0


#: Every name that a meaning may use, builtins apart. Whoever runs code in one thread replaces
# Wide arithmetic: an integer of 128 bits is two of 64, the lower half first.


def _halves(value: int) -> tuple[int, int]:
    return value & 0xFFFFFFFFFFFFFFFF, value >> 64 & 0xFFFFFFFFFFFFFFFF


def i64_add128(a: int, a_high: int, b: int, b_high: int) -> tuple[int, int]:
    return _halves((a_high << 64 | a) + (b_high << 64 | b))


def i64_sub128(a: int, a_high: int, b: int, b_high: int) -> tuple[int, int]:
    return _halves((a_high << 64 | a) - (b_high << 64 | b))


def i64_mul_wide_s(a: int, b: int) -> tuple[int, int]:
    return _halves((a - (a >> 63 << 64)) * (b - (b >> 63 << 64)))


def i64_mul_wide_u(a: int, b: int) -> tuple[int, int]:
    return _halves(a * b)


#: ``f32_round`` by one of ``make_f32_round``.
NAMESPACE: dict[str, object] = {
    "i64_add128": i64_add128,
    "i64_sub128": i64_sub128,
    "i64_mul_wide_s": i64_mul_wide_s,
    "i64_mul_wide_u": i64_mul_wide_u,
    **atomics.NAMESPACE,
    "load_s8": load_s8,
    "load_u8": load_u8,
    "load_s16": load_s16,
    "load_u16": load_u16,
    "load_s32": load_s32,
    "load_u32": load_u32,
    "load_s64": load_s64,
    "load_u64": load_u64,
    "f32_load": f32_load,
    "f64_load": f64_load,
    "store_u8": store_u8,
    "store_u16": store_u16,
    "store_u32": store_u32,
    "store_u64": store_u64,
    "f32_store": f32_store,
    "f64_store": f64_store,
    "f32_bits": f32_bits,
    "f64_bits": f64_bits,
    "f32_from_bits": f32_from_bits,
    "f64_from_bits": f64_from_bits,
    "f32_round": f32_round,
    "f32_convert": f32_convert,
    "float_div": float_div,
    "float_sqrt": float_sqrt,
    "float_min": float_min,
    "float_max": float_max,
    "float_ceil": float_ceil,
    "float_floor": float_floor,
    "float_trunc": float_trunc,
    "float_nearest": float_nearest,
    "float_copysign": float_copysign,
    "float_canonical": float_canonical,
    "i32_div_s": i32_div_s,
    "i32_rem_s": i32_rem_s,
    "i64_div_s": i64_div_s,
    "i64_rem_s": i64_rem_s,
    "i32_trunc_s": i32_trunc_s,
    "i32_trunc_u": i32_trunc_u,
    "i64_trunc_s": i64_trunc_s,
    "i64_trunc_u": i64_trunc_u,
    "i32_trunc_sat_s": i32_trunc_sat_s,
    "i32_trunc_sat_u": i32_trunc_sat_u,
    "i64_trunc_sat_s": i64_trunc_sat_s,
    "i64_trunc_sat_u": i64_trunc_sat_u,
}
