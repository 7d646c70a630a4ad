"""Which instances a stopped program is made of, and the numbers of what they share.

Numbers are given as things are first met, in an order that follows from the state alone
(docs/checkpoint-format.md, ``chiwawa``): whoever stops the same program gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.state.exceptions import ExceptionInstance, Tag
from chiwawa_runtime.state.heap import External, fields_of
from chiwawa_runtime.state.interface import AnyGlobal, AnyMemory, AnyTable
from chiwawa_runtime.state.program import Constant
from chiwawa_runtime.state.snapshot import FuncIdx, IndexSpaces
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.table import ElemSegment
from chiwawa_runtime.state.types import ArrayType, DefType, RefType, ValType

#: What holds other values, by the classes that programs make.
_HOLDERS = frozenset((list, ExceptionInstance, External))


class Numbering:
    """The instances of a program, by number, that of the run first, then ``beside``, and those that
    these lead to; and the memories, globals, tables and tags that they have, by address."""

    def __init__(
        self,
        instance: ModuleInstance,
        beside: Sequence[ModuleInstance],
        frames: Sequence[RawFrame],
        plan: Iterable[Sequence[Any]],
    ) -> None:
        self.instances: list[ModuleInstance] = []
        self.numbers: dict[int, int] = {}
        #: How many instances have been looked through, and the tables that have.
        self._looked_through = 0
        self._tables: set[int] = set()
        #: The objects that have been looked into, by identity, and of each type of theirs the
        #: places in which there may be references.
        self._objects: dict[int, Any] = {}
        self._places: dict[DefType, Sequence[int] | None] = {}
        #: Whether a value that the program has made is one of the host's.
        self.externalized = False
        for each in (instance, *beside):
            self.meet(each)
        self._look_through()
        self._follow(frames)
        for values in plan:
            for value in values:
                self.meet_home(value)
        self._look_through()
        self.memories: list[AnyMemory] = unique(i.memories for i in self.instances)
        self.globals: list[AnyGlobal] = unique(i.globals for i in self.instances)
        self.tables: list[AnyTable] = unique(i.tables for i in self.instances)
        self.tags: list[Tag] = unique(i.tags for i in self.instances)

    def meet(self, instance: ModuleInstance) -> None:
        if id(instance) not in self.numbers:
            self.numbers[id(instance)] = len(self.instances)
            self.instances.append(instance)

    def meet_home(self, value: object) -> None:
        """The instance that a reference leads to, if it does, or those that an object does: of
        objects, one is looked into after the other, as they are met."""
        if isinstance(value, Function):
            home = home_of(value)
            if home is not None:
                self.meet(home)
        elif type(value) in _HOLDERS:
            work = [value]
            for holder in work:
                for each in self._held(holder):
                    if isinstance(each, Function):
                        self.meet_home(each)
                    elif type(each) in _HOLDERS:
                        work.append(each)

    def _held(self, holder: Any) -> Sequence[Any]:
        """What an object holds that may be references, once; and what an ``External`` does."""
        if type(holder) is External:
            self.externalized = True
            return (holder.value,)
        if id(holder) in self._objects:
            return ()
        self._objects[id(holder)] = holder
        if isinstance(holder, ExceptionInstance):
            return holder.held
        if not holder or not isinstance(holder[0], DefType):
            # A list of the host's.
            return ()
        deftype = holder[0]
        if deftype not in self._places:
            self._places[deftype] = referring(deftype)
        places = self._places[deftype]
        return holder[1:] if places is None else [holder[place] for place in places]

    def _look_through(self) -> None:
        """All that the instances lead to that have been met."""
        while self._looked_through < len(self.instances):
            instance = self.instances[self._looked_through]
            self._looked_through += 1
            for function in instance.functions[: instance.program.imported(DefType)]:
                self.meet_home(function)
            for table in instance.tables:
                if id(table) not in self._tables:
                    self._tables.add(id(table))
                    for element in table.elements:
                        self.meet_home(element)
            for each in instance.globals:
                if isinstance(each.type.type, RefType):
                    self.meet_home(each.get())
            for _, elem in kept(instance):
                for element in elem.elements:
                    self.meet_home(element)

    def _follow(self, frames: Sequence[RawFrame]) -> None:
        # Of a deep program many frames stand at one place, and most hold no references.
        refer: dict[tuple[ModuleInstance, int, int], bool] = {}
        for position in range(len(frames) - 1, -1, -1):
            frame = frames[position]
            key = frame.instance, frame.function, frame.offset
            known = refer.get(key) if position else None
            if known is None:
                self.meet(frame.instance)
                types, stack = types_of(frame, youngest=not position)
                known = refer[key] = any(isinstance(t, RefType) for t in (*types, *stack))
            if known:
                for value in (*frame.locals, *frame.stack):
                    self.meet_home(value)
        self._look_through()

    def spaces(self, instance: ModuleInstance) -> IndexSpaces:
        """Where in the program the things are that ``instance`` has."""
        links = []
        for index, function in enumerate(instance.functions[: instance.program.imported(DefType)]):
            home = home_of(function)
            if home is not None and home is not instance:
                links.append((index, FuncIdx(function.index, self.numbers[id(home)])))
        return IndexSpaces(
            memories=places(instance.memories, self.memories),
            globals=places(instance.globals, self.globals),
            tables=places(instance.tables, self.tables),
            tags=places(instance.tags, self.tags),
            links=tuple(links),
        )


def referring(deftype: DefType) -> Sequence[int] | None:
    """Where in a structure of that type there may be references; None: in all of an array."""
    if isinstance(deftype.comp, ArrayType):
        return None if isinstance(deftype.comp.field.storage, RefType) else ()
    fields = enumerate(fields_of(deftype), 1)
    return [place for place, field in fields if isinstance(field.storage, RefType)]


def kept(instance: ModuleInstance) -> Iterator[tuple[int, ElemSegment]]:
    """The element segments of an instance whose contents are state, by index: what has made them
    made objects, perhaps, or read what is given anew."""
    for index, (spec, elem) in enumerate(zip(instance.program.elems, instance.elems, strict=True)):
        if not elem.dropped and any(isinstance(init, Constant) for init in spec.init):
            yield index, elem


def home_of(function: Function) -> ModuleInstance | None:
    """The instance in whose index space a function has its index: which defines it or, of the
    host's, was given it. None for one of the host's that no instance was given."""
    home: ModuleInstance | None = function.instance or function.importer
    return home


def unique(spaces: Iterable[Sequence[Any]]) -> list[Any]:
    """All things in index spaces, each once, in their order."""
    return list({id(thing): thing for space in spaces for thing in space}.values())


def places(things: Sequence[object], among: Sequence[object]) -> tuple[int, ...]:
    """Where ``things`` are among those."""
    known = {id(thing): place for place, thing in enumerate(among)}
    return tuple(known[id(thing)] for thing in things)


def types_of(frame: RawFrame, *, youngest: bool) -> tuple[tuple[ValType, ...], tuple[ValType, ...]]:
    """The types of a frame's locals and operands."""
    engine = frame.instance.engine
    points = engine.suspension_points(frame.function)
    if not youngest:
        return points.locals, points.calls[frame.offset].stack
    stack = engine.boundary(frame.function, frame.offset)
    assert stack is not None
    return points.locals, stack
