"""Structures, arrays and exceptions of a running program as those of a snapshot, and back.

They are numbered as they are met, and one that another refers to comes behind it, if it was not
met before: neither way goes down by recursion, however long a list is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.exceptions import ExceptionInstance, Tag
from chiwawa_runtime.state.heap import External, Internal, element_of, fields_of, is_object
from chiwawa_runtime.state.snapshot import (
    ArrayImage,
    ExceptionImage,
    ObjectImage,
    ObjIdx,
    StructImage,
    TypeIdx,
    Value,
)
from chiwawa_runtime.state.subtyping import stated
from chiwawa_runtime.state.types import (
    I8,
    I32,
    I64,
    ArrayType,
    DefType,
    PackedType,
    RefType,
    StorageType,
    StructType,
    ValType,
)

#: What gives the image of an object of a type.
_Imaging = Callable[[Any], ObjectImage]


class Converting(Protocol):
    """What turns values into those of a snapshot, and back, in a place of some type."""

    def value(self, valtype: ValType, value: Any) -> Value: ...

    def held(self, valtype: ValType, value: Value, where: str) -> Any: ...


class AsHeld:
    """Leaves values as a program holds them."""

    def value(self, valtype: ValType, value: Any) -> Any:
        return value

    def held(self, valtype: ValType, value: Value, where: str) -> Any:
        return value


def looked_into(instance: ModuleInstance, thing: Any) -> ObjectImage | None:
    """What a reference that ``instance`` holds refers to, if it is a structure, array or exception
    of a type or tag that its module has: with values as a program holds them, but for numbers."""
    if isinstance(thing, External | Internal):
        thing = thing.value
    if not isinstance(thing, ExceptionInstance) and not is_object(thing):
        return None
    objects = Objects([instance], AsHeld())
    objects.number(thing)
    try:
        return next(objects.images(instance.tags))
    except CheckpointError:
        return None


class Objects:
    """The objects of a program, whose instances are ``instances``, by number. ``values`` says what
    is in them."""

    def __init__(self, instances: Sequence[ModuleInstance], values: Converting) -> None:
        self.instances = instances
        self.values = values
        self.made: list[Any] = []
        self.numbers: dict[int, int] = {}
        self._types: dict[DefType, TypeIdx] = {}
        self._imaging: dict[DefType, _Imaging] = {}

    def number(self, thing: Any) -> ObjIdx:
        """The number of an object, the next one where it has none."""
        number = self.numbers.get(id(thing))
        if number is None:
            number = self.numbers[id(thing)] = len(self.made)
            self.made.append(thing)
        return ObjIdx(number)

    # To a snapshot.

    def images(self, tags: Sequence[Tag]) -> Iterator[ObjectImage]:
        """Of all objects that have numbers, and of those that get one thereby. ``tags`` are the
        program's, by address."""
        addresses = {id(tag): address for address, tag in enumerate(tags)}
        for thing in self.made:
            if isinstance(thing, ExceptionInstance):
                yield self._exception(thing, addresses.get(id(thing.tag)))
                continue
            deftype = thing[0]
            imaging = self._imaging.get(deftype)
            if imaging is None:
                imaging = self._imaging[deftype] = self._imaging_of(deftype)
            yield imaging(thing)

    def _exception(self, exception: ExceptionInstance, address: int | None) -> ExceptionImage:
        if address is None:
            raise CheckpointError(f"{exception!r} cannot be written: no instance has its tag")
        params = map(stated, exception.tag.type.type.params)
        fields = zip(params, exception.held, strict=True)
        return ExceptionImage(address, tuple([(t, self.values.value(t, v)) for t, v in fields]))

    def _imaging_of(self, deftype: DefType) -> _Imaging:
        known = self.types.get(deftype)
        if known is None:
            raise CheckpointError(
                f"an object of type {deftype} cannot be written: no instance has its type"
            )
        if isinstance(deftype.comp, ArrayType):
            storage = deftype.comp.field.storage
            elements = self._elements(storage)
            told = told_as(storage)
            return lambda array: ArrayImage(known, told, elements(array[1:]))
        stored = [f.storage for f in fields_of(deftype)]
        told_types, stores = [*map(told_as, stored)], [*map(self._storing, stored)]
        return lambda struct: StructImage(
            known,
            tuple(
                [(t, store(v)) for t, store, v in zip(told_types, stores, struct[1:], strict=True)]
            ),
        )

    def _storing(self, storage: StorageType) -> Callable[[Any], Value]:
        """What gives what a field holds as a snapshot has it."""
        if isinstance(storage, PackedType):
            return partial(low, storage)
        if storage is I32 or storage is I64:
            # A comparison's result may still be a bool.
            return int
        return partial(self.values.value, stated(storage))

    def _elements(self, storage: StorageType) -> Callable[[list[Any]], tuple[Value, ...] | bytes]:
        """As ``_storing``, of all elements of an array."""
        if storage == I8:
            return lambda elements: bytes([each & 0xFF for each in elements])
        if isinstance(storage, PackedType | RefType) or storage in (I32, I64):
            store = self._storing(storage)
            return lambda elements: tuple(map(store, elements))
        return tuple

    @property
    def types(self) -> Mapping[DefType, TypeIdx]:
        """Of each type that an instance's module has, where it is found first."""
        if not self._types:
            for number, instance in enumerate(self.instances):
                for index, deftype in enumerate(instance.program.types):
                    self._types.setdefault(deftype, TypeIdx(index, number))
        return self._types

    # From a snapshot.

    def take(self, images: Sequence[ObjectImage], tags: Mapping[int, Tag]) -> None:
        """Make what ``images`` are of. ``tags`` are the program's, by address. Raises
        CheckpointError."""
        known: dict[TypeIdx, DefType] = {}
        # All are there before one is filled: they may refer to each other.
        for number, image in enumerate(images):
            if isinstance(image, ExceptionImage):
                if image.tag not in tags:
                    raise CheckpointError("an exception has a tag that no instance has")
                self.made.append(ExceptionInstance(tags[image.tag], ()))
                continue
            if image.type not in known:
                known[image.type] = self._deftype(image.type, number)
            self.made.append([known[image.type]])
        for number, (image, thing) in enumerate(zip(images, self.made, strict=True)):
            if isinstance(image, ExceptionImage):
                params = thing.tag.type.type.params
                thing.held = tuple(self._filled(params, image.fields, f"exception {number}"))
            elif isinstance(image, StructImage):
                thing += self._fields(thing[0], image, f"object {number}")
            else:
                thing += self._array(thing[0], image, f"object {number}")

    def _deftype(self, told: TypeIdx, number: int) -> DefType:
        instances = self.instances
        types = instances[told.instance].types if told.instance < len(instances) else ()
        if told.index >= len(types):
            raise CheckpointError(f"object {number} is of type {told.index}, which is not there")
        deftype = types[told.index]
        if self.types[deftype] != told:
            raise CheckpointError(
                f"object {number} is of type {told.index} of instance {told.instance}, which has "
                "a lower number elsewhere"
            )
        return deftype

    def _fields(self, deftype: DefType, image: StructImage, where: str) -> list[Any]:
        if not isinstance(deftype.comp, StructType):
            raise CheckpointError(f"{where} is a structure of type {deftype}")
        return self._filled([field.storage for field in fields_of(deftype)], image.fields, where)

    def _array(self, deftype: DefType, image: ArrayImage, where: str) -> Sequence[Any]:
        if not isinstance(deftype.comp, ArrayType):
            raise CheckpointError(f"{where} is an array of type {deftype}")
        storage = element_of(deftype).storage
        if told_as(storage) != image.storage:
            raise other_types(where)
        if isinstance(storage, RefType):
            return [self.values.held(storage, each, where) for each in image.elements]
        return image.elements

    def _filled(
        self,
        types: Sequence[StorageType],
        values: Sequence[tuple[StorageType, Value]],
        where: str,
    ) -> list[Any]:
        if [*map(told_as, types)] != [t for t, _ in values]:
            raise other_types(where)
        return [
            self.values.held(t, v, where) if isinstance(t, RefType) else v
            for t, (_, v) in zip(types, values, strict=True)
        ]


def other_types(where: str) -> CheckpointError:
    return CheckpointError(f"{where} has values of other types than the module says")


def told_as(storage: StorageType) -> StorageType:
    """The type of a field, as checkpoints state it."""
    return storage if isinstance(storage, PackedType) else stated(storage)


def low(storage: PackedType, value: int) -> int:
    return value & (1 << storage.bits) - 1
