"""References and typed values of a running program as those of a snapshot, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.run.numbering import home_of
from chiwawa_runtime.state.exceptions import ExceptionInstance, Tag
from chiwawa_runtime.state.snapshot import (
    Carried,
    ExceptionImage,
    FuncIdx,
    ObjectImage,
    ObjIdx,
    Ref,
    Value,
)
from chiwawa_runtime.state.store import Function, holds
from chiwawa_runtime.state.subtyping import stated, top
from chiwawa_runtime.state.types import (
    EXNREF,
    FUNCREF,
    I32,
    I64,
    NumType,
    RefType,
    ValType,
)

#: Values of a snapshot, with their types.
Typed = tuple[tuple[ValType, Value], ...]


class References:
    """References of a running program as those of a snapshot. ``instances`` are the program's, by
    number, ``carried`` host values by the name that the embedder carries them under."""

    def __init__(
        self,
        instances: Sequence[ModuleInstance],
        carried: Mapping[str, object],
        tags: Sequence[Tag] = (),
    ) -> None:
        """``tags`` are the program's, by address."""
        self.instances = instances
        self.addresses = {id(tag): address for address, tag in enumerate(tags)}
        #: What is referred to by number, so far; and the numbers.
        self.objects: list[ExceptionInstance] = []
        self.met: dict[int, int] = {}
        self.numbers = {id(instance): number for number, instance in enumerate(instances)}
        self.names = {id(value): name for name, value in carried.items()}
        self.carried = carried

    def out(self, value: Any, valtype: RefType) -> Ref:
        if value is None:
            return None
        if top(valtype).heap == "any":
            raise CheckpointError(f"a value of type {valtype} cannot be written yet")
        # To an externref a function is as opaque as anything.
        if top(valtype) == FUNCREF:
            number = self.numbers.get(id(home_of(value)))
            if number is None:
                raise CheckpointError(
                    f"a reference to {value!r} cannot be written: no instance imports it"
                )
            return FuncIdx(value.index, number)
        if isinstance(value, ExceptionInstance) and top(valtype) == EXNREF:
            if id(value) not in self.met:
                self.met[id(value)] = len(self.objects)
                self.objects.append(value)
            return ObjIdx(self.met[id(value)])
        name = self.names.get(id(value))
        if name is None:
            raise CheckpointError(
                f"a reference to a host value ({type(value).__name__}) cannot be written unless it "
                "is carried"
            )
        return Carried(name)

    def back(self, ref: Value, where: str) -> Any:
        if isinstance(ref, FuncIdx):
            functions = (
                self.instances[ref.instance].functions if ref.instance < len(self.instances) else ()
            )
            if ref.index >= len(functions):
                raise CheckpointError(f"{where} refers to function {ref.index}, which is not there")
            return functions[ref.index]
        if isinstance(ref, Carried):
            if ref.name not in self.carried:
                raise CheckpointError(
                    f'{where} refers to the carried value "{ref.name}", which was not given: '
                    "it comes with the checkpoint's host state where that is trusted"
                )
            return self.carried[ref.name]
        if isinstance(ref, ObjIdx):
            if ref.index >= len(self.objects):
                raise CheckpointError(f"{where} refers to object {ref.index}, which is not there")
            return self.objects[ref.index]
        return ref

    def images(self) -> Iterator[ObjectImage]:
        """Of all objects met, by number; what one refers to comes behind it, if it was not met."""
        for exception in self.objects:
            address = self.addresses.get(id(exception.tag))
            if address is None:
                raise CheckpointError(f"{exception!r} cannot be written: no instance has its tag")
            params = exception.tag.type.type.params
            yield ExceptionImage(address, self.typed(params, exception.values))

    def take(self, images: Sequence[ObjectImage], tags: Mapping[int, Tag]) -> None:
        """Have references to ``images`` lead to new objects. Raises CheckpointError."""
        for image in images:
            if image.tag not in tags:
                raise CheckpointError("an exception has a tag that no instance has")
            self.objects.append(ExceptionInstance(tags[image.tag], ()))
        for number, (image, exception) in enumerate(zip(images, self.objects, strict=True)):
            params = exception.tag.type.type.params
            values = typed_values(params, image.fields, self, f"exception {number}")
            exception.values = tuple(values)

    def typed(self, types: Sequence[ValType], values: Sequence[Any]) -> Typed:
        return self.typing(types)(values)

    def typing(self, types: Sequence[ValType]) -> Callable[[Sequence[Any]], Typed]:
        """What gives values of ``types`` as those of a snapshot: found once for all frames at a
        place, of which a deep program has many."""
        if not types:
            return lambda values: ()
        if all(t is I32 or t is I64 for t in types):
            # A comparison's result may still be a bool.
            return lambda values: tuple(zip(types, map(int, values), strict=True))
        kept = tuple(map(stated, types))
        return lambda values: tuple(
            [(t, self.value(t, v)) for t, v in zip(kept, values, strict=True)]
        )

    def value(self, valtype: ValType, value: Any) -> Value:
        if isinstance(valtype, RefType):
            return self.out(value, valtype)
        # A comparison's result may still be a bool.
        return int(value) if valtype is I32 or valtype is I64 else value


def check_reference(valtype: ValType, value: Any, where: str) -> None:
    if isinstance(valtype, RefType) and not (
        holds(valtype, value) and (top(valtype) == FUNCREF or not isinstance(value, Function))
    ):
        raise CheckpointError(f"{where} holds a value that is no {valtype}")


def typed_values(
    types: Sequence[ValType],
    values: Sequence[tuple[ValType, Value]],
    refs: References,
    where: str,
) -> list[Any]:
    """Values of a snapshot, which are to be of ``types``, as a program holds them. Raises
    CheckpointError."""
    if [*map(stated, types)] != [t for t, _ in values]:
        raise CheckpointError(f"{where} has values of other types than the module says")
    result = []
    for valtype, (_, value) in zip(types, values, strict=True):
        raw = refs.back(value, where)
        check_reference(valtype, raw, where)
        if isinstance(valtype, NumType) and valtype in (I32, I64):
            raw &= (1 << valtype.bits) - 1
        result.append(raw)
    return result


def untyping(types: Sequence[ValType]) -> Callable[[Typed], list[Any] | None]:
    """``typed_values`` for many that are to be of ``types``; what it has to look at closer is
    None."""
    if not types:
        return lambda values: None if values else []
    if not all(t is I32 or t is I64 for t in types):
        return lambda values: None
    wanted = list(types)
    masks = [(1 << t.bits) - 1 for t in wanted]  # type: ignore[union-attr]

    def untyped(values: Typed) -> list[Any] | None:
        if [t for t, _ in values] != wanted:
            return None
        return [v & mask for (_, v), mask in zip(values, masks, strict=True)]  # type: ignore[operator]

    return untyped
