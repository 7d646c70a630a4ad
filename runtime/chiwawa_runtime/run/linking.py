"""The instances of a snapshot, made and linked with each other as they were.

All are new, and each is made after those that it imports from. What a file says of them is verified
before it is used, and memories get their contents at once, since an instance may import one only in
its present size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from chiwawa_runtime.engine.contract import Engine
from chiwawa_runtime.engine.instance import Importable, Imports, ModuleInstance
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.exceptions import Tag
from chiwawa_runtime.state.host_limits import UNLIMITED, Limits
from chiwawa_runtime.state.interface import AnyGlobal, AnyMemory, AnyTable
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import IndexSpaces, InstanceImage, Snapshot
from chiwawa_runtime.state.types import DefType, GlobalType, MemoryType, TableType, TagType

#: A module's index spaces of state, by what imports and images call their types.
SPACES: tuple[tuple[type, str], ...] = (
    (MemoryType, "memories"),
    (GlobalType, "globals"),
    (TableType, "tables"),
    (TagType, "tags"),
)
Made = TypeVar("Made", bound=ModuleInstance)


@dataclass(frozen=True, slots=True)
class Part:
    """A program, and the engine that is to run one instance of it. ``imports`` is what the embedder
    gives, and ``limits`` what it allows."""

    program: Program
    engine: Engine
    imports: Imports
    limits: Limits = UNLIMITED


@dataclass(slots=True)
class Linking(Generic[Made]):
    """The making of the instances that ``snapshot`` is of, of which ``parts`` are what its
    instances, by number, are made of. ``make`` makes one."""

    snapshot: Snapshot
    parts: Sequence[Part]
    make: Callable[[Program, Imports, Engine, Limits], Made]
    images: tuple[InstanceImage, ...] = ()
    made: dict[int, Made] = field(default_factory=dict)
    #: What has an address, once it is there.
    held: dict[tuple[type, int], Any] = field(default_factory=dict)
    #: Which instance defines it; what none does is the host's.
    definers: dict[tuple[type, int], int] = field(default_factory=dict)

    def instances(self) -> list[Made]:
        """All, by number. Raises CheckpointError, UnlinkableError, ResourceError."""
        self.images = self.snapshot.instances
        if self.snapshot.spaces is None:
            # Nothing is said of the tags where nothing needs them.
            alone, tags = self.images[0], range(len(self.parts[0].program.tags))
            spaces = replace(alone.spaces, tags=tuple(tags))
            self.images = (replace(alone, spaces=spaces), *self.images[1:])
        for number, (image, part) in enumerate(zip(self.images, self.parts, strict=True)):
            self.check_spaces(number, image.spaces, part.program)
        for number in self.order():
            image, part = self.images[number], self.parts[number]
            instance = self.make(part.program, self.imports(number), part.engine, part.limits)
            self.made[number] = instance
            if image.safepoints is not None and image.granularity == part.engine.granularity:
                instance.requests.count_from(image.safepoints, None)
            self.hold(number, instance)
        return [self.made[number] for number in range(len(self.parts))]

    def order(self) -> list[int]:
        """The instances, each behind those that it imports from."""
        needs = [self.needs(number) for number in range(len(self.parts))]
        needed_by: list[list[int]] = [[] for _ in needs]
        for number, others in enumerate(needs):
            for other in others:
                needed_by[other].append(number)
        left = list(map(len, needs))
        order = [number for number, count in enumerate(left) if not count]
        for number in order:
            for other in needed_by[number]:
                left[other] -= 1
                if not left[other]:
                    order.append(other)
        if len(order) < len(needs):
            raise CheckpointError("its instances import from each other in a circle")
        return order

    def needs(self, number: int) -> set[int]:
        """The instances that an instance imports from."""
        spaces, program = self.images[number].spaces, self.parts[number].program
        found = {function.instance for _, function in spaces.links}
        for kind, name in SPACES:
            for address in getattr(spaces, name)[: program.imported(kind)]:
                definer = self.definers.get((kind, address))
                if definer is not None:
                    found.add(definer)
        return found

    def check_spaces(self, number: int, spaces: IndexSpaces, program: Program) -> None:
        """That an instance has as many things as its module says, and who defines them."""
        for kind, name in SPACES:
            addresses: tuple[int, ...] = getattr(spaces, name)
            if len(addresses) != len(getattr(program, name)):
                raise wrong_shape(name)
            for address in addresses[program.imported(kind) :]:
                if (kind, address) in self.definers:
                    raise CheckpointError(f"one of its {name} is defined twice")
                self.definers[kind, address] = number
        imported = program.imported(DefType)
        for index, _ in spaces.links:
            if index >= imported:
                raise CheckpointError(f"instance {number} does not import function {index}")

    def imports(self, number: int) -> Imports:
        """What an instance imports: of the others what it has in common with them, and all else of
        what the embedder gives."""
        part = self.parts[number]
        given = part.imports
        linked: dict[tuple[str, str], Importable] = {}
        for spec, other in zip(part.program.imports, self.linked(number), strict=True):
            if other is None:
                continue
            if linked.setdefault((spec.module, spec.name), other) is not other:
                raise CheckpointError(f'two imports "{spec.module}" "{spec.name}" differ')
        result = {module: dict(names) for module, names in given.items()}
        for (module, name), other in linked.items():
            result.setdefault(module, {})[name] = other
        return result

    def linked(self, number: int) -> list[Importable | None]:
        """Of each import what another instance has, None where that is nothing."""
        spaces, program = self.images[number].spaces, self.parts[number].program
        links = dict(spaces.links)
        counts: dict[type, int] = {}
        found: list[Importable | None] = []
        for spec in program.imports:
            kind = type(spec.type)
            index = counts[kind] = counts.get(kind, -1) + 1
            if kind is DefType:
                link = links.get(index)
                if link is None:
                    found.append(None)
                    continue
                functions = self.made[link.instance].functions
                if link.index >= len(functions):
                    raise CheckpointError(f"it is linked with function {link.index}, not there")
                found.append(functions[link.index])
                continue
            address = getattr(spaces, dict(SPACES)[kind])[index]
            found.append(self.held.get((kind, address)))
        return found

    def hold(self, number: int, instance: Made) -> None:
        """Note what has which address now, and give what is new its size, and memories their
        contents."""
        image, program = self.images[number], self.parts[number].program
        for kind, name in SPACES:
            things: Sequence[Any] = getattr(instance, name)
            for position, address in enumerate(getattr(image.spaces, name)):
                before = self.held.setdefault((kind, address), things[position])
                if before is not things[position] and self.snapshot.others:
                    raise CheckpointError(f"what its instances share of their {name} differs")
                if position >= program.imported(kind):
                    self.resize(kind, address, things[position])

    def resize(self, kind: type, address: int, thing: Any) -> None:
        if kind is MemoryType:
            fill(thing, self.snapshot.memories[address], fresh=True)
        elif kind is TableType and self.snapshot.others:
            table = self.snapshot.tables[address]
            check_table_size(table.type.limits, len(table.elements))
            thing.reset([None] * len(table.elements))

    def of_the_host(self, kind: type) -> list[int]:
        """The addresses of what none of the instances defines."""
        count = len(getattr(self.snapshot, dict(SPACES)[kind]))
        return [each for each in range(count) if (kind, each) not in self.definers]

    def memories(self) -> list[AnyMemory]:
        return self.all_of(MemoryType)

    def globals(self) -> list[AnyGlobal]:
        return self.all_of(GlobalType)

    def tables(self) -> list[AnyTable]:
        return self.all_of(TableType)

    def tags(self) -> dict[int, Tag]:
        """By address."""
        return {address: tag for (kind, address), tag in self.held.items() if kind is TagType}

    def all_of(self, kind: type) -> list[Any]:
        """By address."""
        count = len(getattr(self.snapshot, dict(SPACES)[kind]))
        return [self.held[kind, address] for address in range(count)]


def fill(memory: AnyMemory, image: MemoryImage, *, fresh: bool) -> None:
    """Have ``memory`` hold what the image says."""
    memory.reset(image.size, fresh=fresh)
    for address, piece in image.pieces(image.used()):
        memory.write(address, piece)


def wrong_shape(what: str) -> CheckpointError:
    return CheckpointError(f"its {what} are not those of the module")


def check_table_size(limits: Any, size: int) -> None:
    if size < limits.min or (limits.max is not None and size > limits.max):
        raise CheckpointError(f"a table of {size} elements is outside its limits {limits}")
