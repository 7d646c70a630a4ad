"""The values that an instance holds, in a form that two runs can be compared by: floats by their
bits, functions by their index, and what has an identity by a number and its contents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.state.exceptions import ExceptionInstance
from chiwawa_runtime.state.heap import External, Internal
from chiwawa_runtime.state.numerics import f32_bits, f64_bits
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.types import (
    F32,
    F64,
    I32,
    I64,
    ArrayType,
    FieldType,
    PackedType,
    StructType,
    ValType,
)


class ValueGraph:
    """Numbers structures, arrays and exceptions as they are met, the walk beginning at what
    ``show`` is given, in turn."""

    def __init__(self, instance: Instance | None = None) -> None:
        functions = () if instance is None else instance.functions
        self.indices = {id(f): i for i, f in reversed(list(enumerate(functions)))}
        self.numbers: dict[int, int] = {}
        self.objects: list[Any] = []

    def show(self, value: Any, valtype: ValType | None) -> Any:
        if isinstance(value, Function):
            return ("function", self.indices.get(id(value), value.name))
        if valtype is F32:
            return f32_bits(value)
        if valtype is F64:
            return f64_bits(value)
        if valtype is I32 or valtype is I64:
            # True and 1 are equal here, but a program must not hand out the former.
            return (value, type(value).__name__)
        if isinstance(value, Internal | External):
            return (type(value).__name__, self.show(value.value, None))
        if isinstance(value, list | ExceptionInstance):
            number = self.numbers.setdefault(id(value), len(self.objects))
            if number == len(self.objects):
                self.objects.append(value)
            return ("object", number)
        return value

    def contents(self) -> tuple[Any, ...]:
        """What is in each object that can be reached from what has been shown."""
        shown = []
        # The list grows as it is walked.
        for each in self.objects:
            if isinstance(each, ExceptionInstance):
                params = each.tag.type.type.params
                values = zip(each.held, params, strict=True)
                shown.append((each.tag.name, *(self.show(v, t) for v, t in values)))
            else:
                shown.append(tuple(self._members(each)))
        return tuple(shown)

    def _members(self, each: list[Any]) -> Iterable[Any]:
        deftype, *members = each
        yield str(deftype)
        comp = deftype.comp
        assert isinstance(comp, StructType | ArrayType)
        fields = comp.fields if isinstance(comp, StructType) else (comp.field,) * len(members)
        for value, field in zip(members, fields, strict=True):
            yield self._field(value, field)

    def _field(self, value: Any, field: FieldType) -> Any:
        if isinstance(field.storage, PackedType):
            # The upper bits are whatever was put there.
            value &= (1 << field.storage.bits) - 1
        return self.show(value, field.unpacked)
