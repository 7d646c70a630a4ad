"""The rules of structures, arrays and i31, and of what makes them something else (spec 3.4)."""

from __future__ import annotations

from dataclasses import replace

from chiwawa.validate.body import Body, Imm, Rule
from chiwawa_runtime.errors import InvalidError
from chiwawa_runtime.state.subtyping import matches
from chiwawa_runtime.state.types import EXTERNREF, I32, FieldType, PackedType, RefType, defaultable

ANYREF, ARRAYREF = RefType("any"), RefType("array")


def struct_new(v: Body, imm: Imm) -> None:
    """Spec 3.4.4."""
    struct = v.context.struct(imm[0])
    v.pop_all(tuple(field.unpacked for field in struct.fields))
    _made(v, imm)


def _made(v: Body, imm: Imm) -> None:
    v.push(RefType(v.context.type(imm[0]), False))


def struct_new_default(v: Body, imm: Imm) -> None:
    """Spec 3.4.4."""
    _defaultable(*v.context.struct(imm[0]).fields)
    _made(v, imm)


def _defaultable(*fields: FieldType) -> None:
    for field in fields:
        if not defaultable(field.unpacked):
            raise InvalidError(f"type mismatch: a field of {field} has no default value")


def _field(v: Body, imm: Imm) -> FieldType:
    fields = v.context.struct(imm[0]).fields
    if imm[1] >= len(fields):
        raise InvalidError(f"unknown field {imm[1]}")
    return fields[imm[1]]


def struct_get(v: Body, imm: Imm) -> None:
    """Spec 3.4.4: struct.get, struct.get_s and struct.get_u."""
    field = _field(v, imm)
    _read(v, field)
    v.pop(RefType(v.context.type(imm[0])))
    v.push(field.unpacked)


def _read(v: Body, field: FieldType) -> None:
    """That the field is packed if the instruction says how to unpack it, and only then."""
    if isinstance(field.storage, PackedType) == (v.op.name[-2:] not in ("_s", "_u")):
        raise InvalidError(f"type mismatch: {v.op.name} of a field of {field}")


def _write(field: FieldType) -> None:
    if not field.mutable:
        raise InvalidError("immutable field")


def struct_set(v: Body, imm: Imm) -> None:
    """Spec 3.4.4."""
    field = _field(v, imm)
    _write(field)
    v.pop(field.unpacked)
    v.pop(RefType(v.context.type(imm[0])))


def _element(v: Body, imm: Imm) -> FieldType:
    return v.context.array(imm[0]).field


def array_new(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    field = _element(v, imm)
    v.pop(I32)
    v.pop(field.unpacked)
    _made(v, imm)


def array_new_default(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _defaultable(_element(v, imm))
    v.pop(I32)
    _made(v, imm)


def array_new_fixed(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    field = _element(v, imm)
    v.pop_all((field.unpacked,) * imm[1])
    _made(v, imm)


def _of_numbers(field: FieldType) -> None:
    if isinstance(field.unpacked, RefType):
        raise InvalidError("array type is not numeric or vector")


def array_new_data(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _of_numbers(_element(v, imm))
    v.context.data(imm[1])
    v.pop(I32)
    v.pop(I32)
    _made(v, imm)


def _of_elements(v: Body, imm: Imm) -> None:
    field, elem = _element(v, imm), v.context.elem(imm[1])
    if not matches(elem, field.unpacked):
        raise InvalidError(f"type mismatch: elements of {elem} for an array of {field}")


def array_new_elem(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _of_elements(v, imm)
    v.pop(I32)
    v.pop(I32)
    _made(v, imm)


def array_get(v: Body, imm: Imm) -> None:
    """Spec 3.4.5: array.get, array.get_s and array.get_u."""
    field = _element(v, imm)
    _read(v, field)
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))
    v.push(field.unpacked)


def array_set(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    field = _writable(v, imm)
    v.pop(field.unpacked)
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))


def _writable(v: Body, imm: Imm) -> FieldType:
    field = _element(v, imm)
    if not field.mutable:
        raise InvalidError("immutable array")
    return field


def array_len(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    v.pop(ARRAYREF)
    v.push(I32)


def array_fill(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    field = _writable(v, imm)
    v.pop(I32)
    v.pop(field.unpacked)
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))


def array_copy(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    target, source = _writable(v, imm), v.context.array(imm[1]).field
    packed = isinstance(target.storage, PackedType) or isinstance(source.storage, PackedType)
    if target.storage != source.storage and (
        packed or not matches(source.unpacked, target.unpacked)
    ):
        raise InvalidError("array types do not match")
    v.pop(I32)
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[1])))
    v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))


def array_init_data(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _of_numbers(_writable(v, imm))
    v.context.data(imm[1])
    _initialised(v, imm)


def array_init_elem(v: Body, imm: Imm) -> None:
    """Spec 3.4.5."""
    _writable(v, imm)
    _of_elements(v, imm)
    _initialised(v, imm)


def _initialised(v: Body, imm: Imm) -> None:
    for _ in range(3):
        v.pop(I32)
    v.pop(RefType(v.context.type(imm[0])))


def any_convert_extern(v: Body, imm: Imm) -> None:
    """Spec 3.4.6."""
    _converted(v, EXTERNREF, ANYREF)


def extern_convert_any(v: Body, imm: Imm) -> None:
    """Spec 3.4.6."""
    _converted(v, ANYREF, EXTERNREF)


def _converted(v: Body, source: RefType, target: RefType) -> None:
    operand = v.pop(source)
    nullable = isinstance(operand, RefType) and operand.nullable
    v.push(replace(target, nullable=nullable))


def ref_i31(v: Body, imm: Imm) -> None:
    """Spec 3.4.6."""
    v.pop(I32)
    v.push(RefType("i31", False))


def i31_get(v: Body, imm: Imm) -> None:
    """Spec 3.4.6: i31.get_s and i31.get_u."""
    v.pop(RefType("i31"))
    v.push(I32)


AGGREGATES: dict[str, Rule] = {
    "struct.new": struct_new,
    "struct.new_default": struct_new_default,
    "struct.get": struct_get,
    "struct.get_s": struct_get,
    "struct.get_u": struct_get,
    "struct.set": struct_set,
    "array.new": array_new,
    "array.new_default": array_new_default,
    "array.new_fixed": array_new_fixed,
    "array.new_data": array_new_data,
    "array.new_elem": array_new_elem,
    "array.get": array_get,
    "array.get_s": array_get,
    "array.get_u": array_get,
    "array.set": array_set,
    "array.len": array_len,
    "array.fill": array_fill,
    "array.copy": array_copy,
    "array.init_data": array_init_data,
    "array.init_elem": array_init_elem,
    "any.convert_extern": any_convert_extern,
    "extern.convert_any": extern_convert_any,
    "ref.i31": ref_i31,
    "i31.get_s": i31_get,
    "i31.get_u": i31_get,
}
