"""Structures, arrays and unboxed integers as a program holds them (spec 4.2.12), and what the
meanings of their instructions call.

A structure is a list of its defined type and its fields, an array a list of its defined type and
its elements: nothing that Python makes is smaller or quicker. What is packed is stored as it comes,
and loses its upper bits where it is read. An ``i31`` is an int. So that these and values of the
host are told apart, each has a wrapper in the hierarchy of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from chiwawa_runtime.errors import Trap
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.state.types import (
    F32,
    F64,
    ArrayType,
    DefType,
    FieldType,
    PackedType,
    RefType,
    StructType,
    ValType,
    VecType,
    zero,
)

#: So many elements may an array have: what takes more does not fit into a machine's memory either.
MOST_ELEMENTS = 1 << 26
_I31 = 0x7FFFFFFF
#: The heap types that an i31 is of.
_OF_I31 = frozenset(("i31", "eq", "any"))
#: Those that whatever is not null is of that can have them.
_ALL = frozenset(("extern", "exn"))


class Internal:
    """A value of the host among those that are ``any`` (any.convert_extern)."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class External:
    """A structure, array or i31 among those of the host (extern.convert_any)."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def is_object(value: Any) -> bool:
    """Whether ``value``, as a program holds it, is a structure or an array."""
    return type(value) is list and bool(value) and isinstance(value[0], DefType)


def described(value: Any) -> str:
    """What ``value``, as a program holds it, is, in a few words and never more."""
    if is_object(value):
        size = len(value) - 1
        if isinstance(value[0].comp, ArrayType):
            return f"array of {size} {short(value[0].comp.field)}"
        return f"struct with {size} field{'s' if size != 1 else ''}"
    if type(value) is External or type(value) is Internal:
        return described(value.value)
    return type(value).__name__


def shown(value: Any) -> str:
    """``repr``, but of what a program makes, which may be as large as it likes."""
    words = described(value)
    return repr(value) if words == type(value).__name__ else f"<{words}>"


def short(field: FieldType) -> str:
    """The type of elements, by its abstract heap type where it is that of a reference."""
    storage = field.storage
    if isinstance(storage, RefType) and isinstance(storage.heap, DefType):
        return f"{storage.heap.kind}ref"
    return str(storage)


def null_structure() -> NoReturn:
    raise Trap("null structure reference")


def null_array() -> NoReturn:
    raise Trap("null array reference")


def non_null(value: Any) -> Any:
    if value is None:
        raise Trap("null reference")
    return value


def callable_reference(function: Any) -> Any:
    """Spec 4.6.10, call_ref: the function to call."""
    if function is None:
        raise Trap("null function reference")
    return function


def ref_eq(a: Any, b: Any) -> bool:
    return a is b or (type(a) is int and type(b) is int and a == b)


# Types.


def ref_test(value: Any, heap: str | DefType) -> bool:
    """Whether ``value``, which may be null, is of the heap type, and not null."""
    if value is None:
        return False
    if type(value) is list and heap not in _ALL:
        return heap in value[0].heaps
    if type(value) is int and heap not in _ALL:
        return heap in _OF_I31
    if type(value) is Internal:
        return heap == "any"
    deftype = getattr(value, "deftype", None)
    return heap in _ALL or (deftype is not None and heap in deftype.heaps)


def ref_test_null(value: Any, heap: str | DefType) -> bool:
    return value is None or ref_test(value, heap)


def ref_cast(value: Any, heap: str | DefType) -> Any:
    if not ref_test(value, heap):
        raise Trap("cast failure")
    return value


def ref_cast_null(value: Any, heap: str | DefType) -> Any:
    if value is not None and not ref_test(value, heap):
        raise Trap("cast failure")
    return value


def internalize(value: Any) -> Any:
    if value is None:
        return None
    return value.value if type(value) is External else Internal(value)


def externalize(value: Any) -> Any:
    if value is None:
        return None
    return value.value if type(value) is Internal else External(value)


def i31_get_s(value: Any) -> int:
    if value is None:
        raise Trap("null i31 reference")
    return int(((value ^ 0x40000000) - 0x40000000) & 0xFFFFFFFF)


def i31_get_u(value: Any) -> int:
    if value is None:
        raise Trap("null i31 reference")
    return int(value)


# Fields.


def default(field: FieldType) -> Any:
    """What a field holds that nothing else was put into."""
    return zero(field.unpacked)


def signed(value: int, field: FieldType) -> int:
    """What is in a packed field, extended by its sign."""
    assert isinstance(field.storage, PackedType)
    half = 1 << field.storage.bits - 1
    return (((value & 2 * half - 1) ^ half) - half) & 0xFFFFFFFF


def unsigned(value: int, field: FieldType) -> int:
    assert isinstance(field.storage, PackedType)
    return value & (1 << field.storage.bits) - 1


def fields_of(deftype: DefType) -> tuple[FieldType, ...]:
    assert isinstance(deftype.comp, StructType)
    return deftype.comp.fields


def element_of(deftype: DefType) -> FieldType:
    assert isinstance(deftype.comp, ArrayType)
    return deftype.comp.field


def struct_new_default(deftype: DefType) -> list[Any]:
    return [deftype, *map(default, fields_of(deftype))]


def struct_get_s(struct: Any, place: int) -> int:
    struct = struct or null_structure()
    return signed(struct[place], fields_of(struct[0])[place - 1])


def struct_get_u(struct: Any, place: int) -> int:
    struct = struct or null_structure()
    return unsigned(struct[place], fields_of(struct[0])[place - 1])


# Arrays.


def out_of_bounds() -> Trap:
    return Trap("out of bounds array access")


def _sized(n: int) -> int:
    if n > MOST_ELEMENTS:
        raise Trap("allocation size too large")
    return n


def array_new(deftype: DefType, value: Any, n: int) -> list[Any]:
    array: list[Any] = [deftype]
    array += [value] * _sized(n)
    return array


def array_new_default(deftype: DefType, n: int) -> list[Any]:
    return array_new(deftype, default(element_of(deftype)), n)


def array_len(array: Any) -> int:
    return len(array or null_array()) - 1


def array_get_s(array: Any, index: int) -> int:
    return signed(array[_range(array, index, 1)], element_of(array[0]))


def array_get_u(array: Any, index: int) -> int:
    return unsigned(array[_range(array, index, 1)], element_of(array[0]))


def array_fill(array: Any, index: int, value: Any, n: int) -> None:
    start = _range(array, index, n)
    array[start : start + n] = [value] * n


def array_copy(target: Any, to: int, source: Any, at: int, n: int) -> None:
    if source is None:
        null_array()
    start = _range(target, to, n)
    first = _range(source, at, n)
    target[start : start + n] = source[first : first + n]


def _range(array: Any, index: int, n: int) -> int:
    """Where in the list the elements from ``index`` on are, of which there must be ``n``."""
    if array is None:
        null_array()
    if index + n > len(array) - 1:
        raise out_of_bounds()
    return index + 1


def _bytes_of(field: FieldType) -> int:
    storage = field.storage
    return storage.bits // 8  # type: ignore[union-attr]


def _values(field: FieldType, data: bytes | bytearray) -> list[Any]:
    """The elements that ``data`` is."""
    size = _bytes_of(field)
    if size == 1:
        return list(data)
    convert = _FROM_BITS.get(field.unpacked) if not isinstance(field.storage, PackedType) else None
    pieces = (data[i : i + size] for i in range(0, len(data), size))
    if isinstance(field.storage, VecType):
        return [bytes(piece) for piece in pieces]
    bits = (int.from_bytes(piece, "little") for piece in pieces)
    return [*bits] if convert is None else [convert(each) for each in bits]


_FROM_BITS: dict[ValType, Any] = {F32: f32_from_bits, F64: f64_from_bits}


def _data(field: FieldType, segment: Any, offset: int, n: int) -> bytes:
    size = n * _bytes_of(field)
    if offset + size > len(segment.data):
        raise Trap("out of bounds memory access")
    return bytes(segment.data[offset : offset + size])


def _elements(segment: Any, offset: int, n: int) -> Sequence[Any]:
    if offset + n > len(segment.elements):
        raise Trap("out of bounds table access")
    elements: Sequence[Any] = segment.elements[offset : offset + n]
    return elements


def array_new_data(deftype: DefType, segment: Any, offset: int, n: int) -> list[Any]:
    field = element_of(deftype)
    return [deftype, *_values(field, _data(field, segment, offset, n))]


def array_new_elem(deftype: DefType, segment: Any, offset: int, n: int) -> list[Any]:
    return [deftype, *_elements(segment, offset, n)]


def array_init_data(array: Any, to: int, offset: int, n: int, segment: Any) -> None:
    start = _range(array, to, n)
    field = element_of(array[0])
    array[start : start + n] = _values(field, _data(field, segment, offset, n))


def array_init_elem(array: Any, to: int, offset: int, n: int, segment: Any) -> None:
    start = _range(array, to, n)
    array[start : start + n] = _elements(segment, offset, n)


#: What meanings name.
NAMES: dict[str, object] = {
    each.__name__: each
    for each in (
        null_structure, null_array, non_null, callable_reference, ref_eq, ref_test, ref_test_null,
        ref_cast, ref_cast_null, internalize, externalize, i31_get_s, i31_get_u,
        struct_new_default, struct_get_s, struct_get_u, array_new, array_new_default, array_len,
        array_get_s, array_get_u, array_fill, array_copy, array_new_data, array_new_elem,
        array_init_data, array_init_elem,
    )
}  # fmt: skip
