"""Which type will do for which (spec 3.3): on closed types, of whichever module."""

from __future__ import annotations

from collections.abc import Sequence

from chiwawa_runtime.state.types import (
    ABOVE,
    ArrayType,
    CompType,
    DefType,
    FieldType,
    FuncType,
    GlobalType,
    PackedType,
    RefType,
    StructType,
    ValType,
)

#: The types below all others, by their kinds.
_BOTTOMS = {"func": ("nofunc", "bot"), "struct": ("none", "bot"), "array": ("none", "bot")}
#: Of a reference that unreachable code would have made: of any heap type.
BOTTOM = RefType("bot", False)


def matches(actual: ValType, expected: ValType) -> bool:
    """Whether a value of type ``actual`` will do for ``expected`` (spec 3.3.4)."""
    if actual is expected or actual == expected:
        return True
    if not isinstance(actual, RefType) or not isinstance(expected, RefType):
        return False
    if actual.nullable and not expected.nullable:
        return False
    return heap_matches(actual.heap, expected.heap)


def heap_matches(actual: str | int | DefType, expected: str | int | DefType) -> bool:
    """Spec 3.3.3."""
    if actual is expected:
        return True
    if isinstance(expected, DefType):
        if isinstance(actual, DefType):
            return expected in actual.supers
        return actual in _BOTTOMS[expected.kind]
    assert isinstance(expected, str)
    if isinstance(actual, DefType):
        return expected in ABOVE[actual.kind]
    assert isinstance(actual, str)
    return expected in ABOVE[actual]


def all_match(actual: Sequence[ValType], expected: Sequence[ValType]) -> bool:
    """Spec 3.3.5: of results, or of operands."""
    return actual is expected or (
        len(actual) == len(expected) and all(map(matches, actual, expected))
    )


def top(reftype: RefType) -> RefType:
    """The nullable reference to the heap type above all others that have values in common with it:
    func, extern, any or exn."""
    return _TOPS[reftype.heap.kind if isinstance(reftype.heap, DefType) else reftype.heap]  # type: ignore[index]


def null_of(reftype: RefType) -> RefType:
    """The type that null alone is of, in the hierarchy of a reference type."""
    heap = top(reftype).heap
    return RefType("none" if heap == "any" else f"no{heap}")


def stated(valtype: ValType) -> ValType:
    """``valtype`` as checkpoints state it, to which the module says the rest."""
    return top(valtype) if isinstance(valtype, RefType) else valtype


_TOPS: dict[str, RefType] = {
    heap: RefType(next(t for t in ("any", "func", "extern", "exn") if t in above))
    for heap, above in ABOVE.items()
}


def comp_matches(actual: CompType, expected: CompType) -> bool:
    """Whether the composite type of a subtype will do below that of its supertype (spec 3.3.8)."""
    if isinstance(actual, FuncType) and isinstance(expected, FuncType):
        params = all_match(expected.params, actual.params)
        return params and all_match(actual.results, expected.results)
    if isinstance(actual, StructType) and isinstance(expected, StructType):
        return len(actual.fields) >= len(expected.fields) and all(
            map(_field_matches, actual.fields, expected.fields)
        )
    if isinstance(actual, ArrayType) and isinstance(expected, ArrayType):
        return _field_matches(actual.field, expected.field)
    return False


def _field_matches(actual: FieldType, expected: FieldType) -> bool:
    if actual.mutable != expected.mutable:
        return False
    one, other = actual.storage, expected.storage
    if actual.mutable or isinstance(one, PackedType) or isinstance(other, PackedType):
        return one == other
    return matches(one, other)


def global_matches(actual: GlobalType, expected: GlobalType) -> bool:
    """Whether a global may be imported as another (spec 3.3.13)."""
    if actual.mutable or expected.mutable:
        return actual == expected
    return matches(actual.type, expected.type)
