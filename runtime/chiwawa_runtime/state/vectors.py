"""What the meanings of vector instructions call (spec 4.3.5), beside what ``lanes`` has.

A vector (v128) is its 16 bytes, the first lane first, as they lie in memory. This module knows
nothing of memories or instructions.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from chiwawa_runtime.state import numerics

SIZE = 16
#: How the names of functions begin that ``lanes`` has.
_SHAPES = ("i8x16_", "i16x8_", "i32x4_", "i64x2_", "f32x4_", "f64x2_")


def replace_bytes(vector: bytes, at: int, part: bytes) -> bytes:
    """``vector`` with ``part`` from byte ``at`` on."""
    return vector[:at] + part + vector[at + len(part) :]


def v128_bitselect(a: bytes, b: bytes, c: bytes) -> bytes:
    """The bits of ``a`` where those of ``c`` are set, else those of ``b``."""
    other = int.from_bytes(b, "little")
    differing = (int.from_bytes(a, "little") ^ other) & int.from_bytes(c, "little")
    return (differing ^ other).to_bytes(SIZE, "little")


def pack_f32(value: float) -> bytes:
    """An f32, every bit of a NaN kept."""
    return _pack_u32(numerics.f32_bits(value))


_pack_u32 = Struct("<I").pack
#: What a meaning may name beside the functions of ``lanes``.
HELPERS: dict[str, object] = {
    **{f"load_bytes{size}": Struct(f"{size}s").unpack_from for size in (1, 2, 4, 8, 16)},
    "store_bytes16": Struct("16s").pack_into,
    "pack_u8": Struct("<B").pack,
    "pack_u16": Struct("<H").pack,
    "pack_u32": _pack_u32,
    "pack_u64": Struct("<Q").pack,
    "pack_f32": pack_f32,
    "pack_f64": Struct("<d").pack,
    "lane_s8": numerics.load_s8,
    "lane_s16": numerics.load_s16,
    "lane_u16": numerics.load_u16,
    "lane_u32": numerics.load_u32,
    "lane_u64": numerics.load_u64,
    "lane_f32": numerics.f32_load,
    "lane_f64": numerics.f64_load,
    "replace_bytes": replace_bytes,
    "v128_bits": int.from_bytes,
    "v128_bitselect": v128_bitselect,
    "ZEROS": bytes(SIZE),
    "ZEROS8": bytes(8),
    "ZEROS12": bytes(12),
    # Behind the bytes that an index may choose from, for all those that choose none.
    "SHUFFLED": bytes(256 - 2 * SIZE),
    "SWIZZLED": bytes(256 - SIZE),
}


_VECTOR = "v128_"


def vector_name(vector: bytes) -> str:
    """The name of a constant: the vector as a number in hexadecimal."""
    return _VECTOR + vector[::-1].hex()


def is_vector_name(name: str) -> bool:
    return len(name) == len(_VECTOR) + 2 * SIZE and name.startswith(_VECTOR)


def vector_of(name: str) -> bytes:
    """The constant of that name."""
    return bytes.fromhex(name.removeprefix(_VECTOR))[::-1]


def is_named(name: str) -> bool:
    """Whether a name in a meaning, or in what is made of it, stands for something of vectors'."""
    return name in HELPERS or name.startswith(_SHAPES) or is_vector_name(name)


def named(names: Iterable[str]) -> dict[str, object]:
    """What those of ``names`` stand for that are of vectors, by name."""
    return {name: _meant(name) for name in names if is_named(name)}


def _meant(name: str) -> object:
    if name in HELPERS:
        return HELPERS[name]
    if is_vector_name(name):
        return vector_of(name)
    from chiwawa_runtime.state import lanes

    return lanes.function(name)
