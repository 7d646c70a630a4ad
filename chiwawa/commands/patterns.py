"""What a script of the test suite says of results: whether a value is meant, and both in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from chiwawa.wat.script import Const, Either, Lanes, NanPattern, Pattern, RefNull
from chiwawa_runtime.state.heap import Internal, ref_test
from chiwawa_runtime.state.numerics import f32_bits, f32_from_bits, f64_bits, f64_from_bits


@dataclass(frozen=True, slots=True)
class HostRef:
    """What ``ref.extern N`` stands for: a reference of the host, equal to others of its number."""

    number: int


def matches(pattern: Pattern | None, value: object) -> bool:
    """Whether ``value`` is one that ``pattern`` means."""
    match pattern:
        case Either():
            return any(matches(option, value) for option in pattern.options)
        case RefNull():
            return value is None
        case NanPattern():
            return isinstance(value, float) and _is_nan(pattern, value)
        case Lanes():
            return isinstance(value, bytes) and all(
                map(matches, pattern.lanes, _floats(pattern, value))
            )
        case Const(type="v128"):
            return isinstance(value, bytes) and int.from_bytes(value, "little") == pattern.value
        case Const(type="f32"):
            return isinstance(value, float) and f32_bits(value) == pattern.value
        case Const(type="f64"):
            return isinstance(value, float) and f64_bits(value) == pattern.value
        case Const(type="extern"):
            known = HostRef(pattern.value) if pattern.value is not None else None
            return value is not None if known is None else value == known
        case Const(type="func" | "exn"):
            return value is not None
        case Const(type="host"):
            return isinstance(value, Internal) and value.value == HostRef(pattern.value or 0)
        case Const(type="any" | "eq" | "i31" | "struct" | "array"):
            return ref_test(value, pattern.type)
        case Const():
            return isinstance(value, int) and unsigned(value, pattern.type) == pattern.value
    return False


def unsigned(value: int, type_: str) -> int:
    """An integer as scripts have it."""
    return value & (0xFFFFFFFF if type_ == "i32" else 0xFFFFFFFFFFFFFFFF)


def _floats(pattern: Lanes, value: bytes) -> Iterator[float]:
    """The lanes of a vector, every bit of a NaN kept."""
    size = 16 // len(pattern.lanes)
    from_bits = f32_from_bits if size == 4 else f64_from_bits
    for at in range(0, 16, size):
        yield from_bits(int.from_bytes(value[at : at + size], "little"))


def _is_nan(pattern: NanPattern, value: float) -> bool:
    """Spec 4.3.3: canonical but for the sign, or any with the top bit of the payload."""
    if pattern.type == "f32":
        bits, canonical = f32_bits(value) & 0x7FFFFFFF, 0x7FC00000
    else:
        bits, canonical = f64_bits(value) & 0x7FFFFFFFFFFFFFFF, 0x7FF8000000000000
    return bits == canonical if pattern.kind == "canonical" else bits & canonical == canonical


def describe_pattern(pattern: Pattern) -> str:
    match pattern:
        case Either():
            return f"(either {' '.join(map(describe_pattern, pattern.options))})"
        case RefNull():
            return f"(ref.null {pattern.heap or ''})".replace(" )", ")")
        case NanPattern():
            return f"({pattern.type}.const nan:{pattern.kind})"
        case Lanes():
            lanes = (
                f"nan:{x.kind}" if isinstance(x, NanPattern) else f"{x.value:#x}"
                for x in pattern.lanes
            )
            return f"(v128.const {pattern.shape} {' '.join(lanes)})"
        case Const(type=kind) if kind[0] not in "ifv" or kind in ("func", "i31"):
            number = "" if pattern.value is None else f" {pattern.value}"
            return f"(ref.{pattern.type}{number})"
        case Const(type="f32"):
            return f"(f32.const {pattern.value:#010x} = {f32_from_bits(pattern.value or 0)!r})"
        case Const(type="f64"):
            return f"(f64.const {pattern.value:#018x} = {f64_from_bits(pattern.value or 0)!r})"
        case Const():
            return f"({pattern.type}.const {pattern.value:#x})"


def describe_value(pattern: Pattern | None, value: object) -> str:
    """A result, in the form of the pattern that it was held against."""
    kind = pattern.type if isinstance(pattern, Const | NanPattern) else None
    if isinstance(value, float):
        bits = f32_bits(value) if kind == "f32" else f64_bits(value)
        return describe_pattern(Const("f32" if kind == "f32" else "f64", bits))
    if isinstance(value, int) and kind in ("i32", "i64"):
        return describe_pattern(Const(kind, unsigned(value, kind)))
    if isinstance(value, bytes):
        return describe_pattern(Const("v128", int.from_bytes(value, "little")))
    return repr(value)
