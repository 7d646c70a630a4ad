"""References and typed values of a running program as those of a snapshot, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.run.numbering import home_of
from chiwawa_runtime.run.objects import Objects, other_types
from chiwawa_runtime.state.heap import External, Internal, described, internalize
from chiwawa_runtime.state.snapshot import I31, Carried, FuncIdx, ObjIdx, Ref, Value
from chiwawa_runtime.state.store import holds
from chiwawa_runtime.state.subtyping import stated, top
from chiwawa_runtime.state.types import FUNCREF, I32, I64, NumType, RefType, ValType

#: Values of a snapshot, with their types.
Typed = tuple[tuple[ValType, Value], ...]


class References:
    """References of a running program as those of a snapshot. ``instances`` are the program's, by
    number, ``carried`` host values by the name that the embedder carries them under."""

    def __init__(
        self,
        instances: Sequence[ModuleInstance],
        carried: Mapping[str, object],
    ) -> None:
        self.instances = instances
        self.objects = Objects(instances, self)
        self.numbers = {id(instance): number for number, instance in enumerate(instances)}
        self.names = {id(value): name for name, value in carried.items()}
        self.carried = carried

    def out(self, value: Any, valtype: RefType) -> Ref:
        if value is None:
            return None
        kind = top(valtype).heap
        if kind == "any":
            return self.named(value.value) if type(value) is Internal else self.internal(value)
        if kind == "exn":
            return self.objects.number(value)
        # To an externref a function is as opaque as anything.
        if kind == "func":
            number = self.numbers.get(id(home_of(value)))
            if number is None:
                raise CheckpointError(
                    f"a reference to {value!r} cannot be written: no instance imports it"
                )
            return FuncIdx(value.index, number)
        return self.internal(value.value) if type(value) is External else self.named(value)

    def internal(self, value: Any) -> Ref:
        """A reference to what a program makes: a structure, an array, or an unboxed integer."""
        return self.objects.number(value) if type(value) is list else I31(value & 0x7FFFFFFF)

    def named(self, value: Any) -> Ref:
        """A reference to a value of the host's."""
        name = self.names.get(id(value))
        if name is None:
            raise CheckpointError(
                f"a reference to a host value ({described(value)}) cannot be written unless it "
                "is carried"
            )
        return Carried(name)

    def held_all(self, valtype: ValType, values: Sequence[Value], where: str) -> list[Any]:
        """The same of several in places of one type: a large program's table has thousands."""
        if valtype != FUNCREF:
            return [self.held(valtype, each, where) for each in values]
        functions = self.instances[0].functions
        return [
            functions[each.index]
            if type(each) is FuncIdx and not each.instance and each.index < len(functions)
            else self.held(valtype, each, where)
            for each in values
        ]

    def held(self, valtype: ValType, value: Value, where: str) -> Any:
        """A value of a snapshot as a program holds it in a place of that type. Raises
        CheckpointError."""
        if not isinstance(valtype, RefType):
            return value
        found = self.back(value, where)
        kind = top(valtype).heap
        # Each of the two hierarchies has what is of the other in a wrapper of its own.
        if isinstance(value, Carried):
            if kind == "any":
                found = internalize(found)
        elif kind == "extern" and (type(found) is list or type(found) is int):
            found = External(found)
        elif kind == "extern" and found is not None:
            raise wrong(valtype, where)
        if not holds(valtype, found):
            raise wrong(valtype, where)
        return found

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
            made = self.objects.made
            if ref.index >= len(made):
                raise CheckpointError(f"{where} refers to object {ref.index}, which is not there")
            return made[ref.index]
        return ref.value if isinstance(ref, I31) else ref

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


def wrong(valtype: ValType, where: str) -> CheckpointError:
    return CheckpointError(f"{where} holds a value that is no {valtype}")


def typed_values(
    types: Sequence[ValType],
    values: Sequence[tuple[ValType, Value]],
    refs: References,
    where: str,
) -> list[Any]:
    """Values of a snapshot, which are to be of ``types``, as a program holds them. Raises
    CheckpointError."""
    if [*map(stated, types)] != [t for t, _ in values]:
        raise other_types(where)
    result = []
    for valtype, (_, value) in zip(types, values, strict=True):
        raw = refs.held(valtype, value, where)
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
