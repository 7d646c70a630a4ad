"""A module instance: its index spaces filled, its segments placed, its exports named (spec 4.5.4).

An engine runs its functions; the instance itself knows only the contract of one. What an instance
holds between two boundaries, with the frames of its activation, is the whole state of a program.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from chiwawa_runtime.engine.budget import Budget
from chiwawa_runtime.engine.calls import StartedFunction, host_function
from chiwawa_runtime.engine.contract import Engine
from chiwawa_runtime.engine.exports import Exports
from chiwawa_runtime.engine.observer import Observer
from chiwawa_runtime.engine.requests import Requests
from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.engine.turns import Turn
from chiwawa_runtime.errors import ResourceError, UnlinkableError, UnsupportedError
from chiwawa_runtime.state import host_limits
from chiwawa_runtime.state.allowance import Allowance
from chiwawa_runtime.state.arithmetic import require_single_rounding
from chiwawa_runtime.state.exceptions import Tag
from chiwawa_runtime.state.holders import Holders
from chiwawa_runtime.state.interface import AnyGlobal, AnyMemory, AnyTable
from chiwawa_runtime.state.program import ElemSpec, ImportSpec, Program
from chiwawa_runtime.state.store import Function, HostFunction, put
from chiwawa_runtime.state.subtyping import global_matches, top
from chiwawa_runtime.state.table import ElemSegment
from chiwawa_runtime.state.types import (
    FUNCREF,
    DefType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
    TagType,
    ValType,
)

#: What ``imports`` maps a module's name and then a name to. A Python callable is taken as a host
#: function of the type that the import asks for.
Importable = HostFunction | Function | AnyMemory | AnyTable | AnyGlobal | Tag | Callable[..., Any]
Imports = Mapping[str, Mapping[str, Importable]]
Extern = Function | AnyMemory | AnyTable | AnyGlobal | Tag
Kind = TypeVar("Kind", Function, AnyMemory, AnyTable, AnyGlobal, Tag)
#: What messages call them.
WORDS: dict[type, str] = {
    Function: "function",
    AnyMemory: "memory",
    AnyTable: "table",
    AnyGlobal: "global",
    Tag: "tag",
}


class ModuleInstance:
    """An instance of ``program``, as an engine sees it. Raises UnlinkableError where ``imports``
    do not fit, and Trap where an active segment lies out of bounds. The start function is not run
    here. ``limits`` are what the host allows it."""

    def __init__(
        self,
        program: Program,
        imports: Imports,
        engine: Engine,
        limits: host_limits.Limits = host_limits.UNLIMITED,
    ) -> None:
        require_single_rounding()
        #: The depth of the call stack that is too much where it is run.
        self.most = MAX_DEPTH if limits.depth is None else min(limits.depth, MAX_DEPTH)
        self.program = program
        self.engine = engine
        self.requests = Requests(engine.safepoints)
        # Before the engine begins: it may count.
        self.budget = Budget(self.requests, limits)
        self.budget.prepare()
        #: The budgets of all whose runs are going on and may be in it.
        self.bounds: list[Budget] = []
        self.functions: list[Function] = []
        self.tables: list[AnyTable] = []
        self.memories: list[AnyMemory] = []
        self.globals: list[AnyGlobal] = []
        self.tags: list[Tag] = []
        #: How many calls from host functions are in progress on top of each other.
        self.nesting = 0
        #: The depth of the call stack at which a host function, while one runs, was called.
        self.depth = 0
        #: How many runs of it are going on, on top of each other.
        self.running = 0
        #: It, and those whose functions it imports.
        self.linked: tuple[ModuleInstance, ...] = (self,)
        #: Those that import its functions.
        self.importers = Holders()
        #: What it has in which there may be functions that others put there.
        self.referring: tuple[AnyTable | AnyGlobal, ...] = ()
        #: Whom its runs may come into, but itself and ``linked``, and the turns of all these: as
        #: they were when instances had met so often. It keeps none of them alive.
        self.beside_linked = Holders()
        self.all_turns: tuple[Turn, ...] = ()
        self.met = -1
        self.requests.beneath_of = self.requests_beneath
        self.turn = Turn()
        #: What a thread must have to run it, besides the turns of all that it may come into.
        self.common_turns: tuple[Turn, ...] = ()
        #: Instruments, where there are any.
        self.observer: Observer | None = None
        #: Makes instruments for this instance; set by the toolchain, which they belong to.
        self.equip: Callable[[], Observer] | None = None
        #: What the toolchain has made it of, where that has.
        self.source: object = None
        #: What it may have of memories and tables.
        self.allowances: list[Allowance] = []
        for spec in program.imports:
            self.link(spec, imports)
        self.budget.prepare()
        memories = *self.memories, *program.memories[len(self.memories) :]
        check_declared(memories, byte_length, limits.memory, "memory")
        tables = *self.tables, *program.tables[len(self.tables) :]
        check_declared(tables, length, limits.table, "table")
        make = Function if engine.sets_enter else StartedFunction
        for index in range(len(self.functions), len(program.functions)):
            name = program.function_names.get(index)
            functype = program.functions[index]
            self.functions.append(make(functype, instance=self, index=index, name=name))
        self.tables += engine.state.new_tables(program.tables[len(self.tables) :])
        self.memories += engine.state.new_memories(program.memories[len(self.memories) :])
        self.limit(self.memories, byte_length, limits.memory)
        self.limit(self.tables, length, limits.table)
        for index, full_of in program.tables_init.items():
            self.tables[index].begin(full_of(self))
        for index in range(len(self.tags), len(program.tags)):
            exported = (name for name, kind, i in program.exports if (kind, i) == ("tag", index))
            self.tags.append(Tag(program.tags[index], next(exported, None)))
        defined = program.globals[len(self.globals) :]
        for globaltype, init in zip(defined, program.globals_init, strict=True):
            self.globals.append(engine.state.new_global(globaltype, init(self)))
        self.elems = [ElemSegment(self.references(spec)) for spec in program.elems]
        self.datas = engine.state.new_datas(program.datas.contents)
        self.exports = Exports(
            {name: self.space(kind)[index] for name, kind, index in program.exports}
        )
        self.share()
        engine.attach(self)

    @property
    def reached(self) -> tuple[ModuleInstance, ...]:
        """All whose functions a run of it may be in, itself first."""
        if self.met != meetings.number:
            self.look_around()
        return (*self.linked, *self.beside_linked) if self.beside_linked.known else self.linked

    @property
    def turns(self) -> tuple[Turn, ...]:
        """What a thread must have to run it: the turns of all that it may come into, its own
        first."""
        if self.met != meetings.number:
            self.look_around()
        return self.all_turns

    def requests_beneath(self) -> Iterator[Requests]:
        for each in self.reached:
            if each is not self:
                yield each.requests

    @property
    def types(self) -> Sequence[DefType]:
        return self.program.types

    @property
    def generation(self) -> int:
        """Grows whenever functions are prepared anew that it may run (see ``contract.Engine``)."""
        reached = self.reached
        if len(reached) == 1:
            return self.engine.generation
        return sum(each.engine.generation for each in reached)

    def begin_budget(self) -> None:
        """It is run from now on, where there is a limit to fuel or time."""
        self.budget.begin()
        for each in self.reached:
            each.bounds.append(self.budget)

    def end_budget(self) -> None:
        """It is not, any more."""
        for each in self.reached:
            if self.budget in each.bounds:
                each.bounds.remove(self.budget)
        self.budget.end()

    def link(self, spec: ImportSpec, imports: Imports) -> None:
        try:
            given = imports[spec.module][spec.name]
        except KeyError:
            raise UnlinkableError(f'unknown import "{spec.module}" "{spec.name}"') from None
        if callable(given) and not isinstance(given, Function | HostFunction):
            if not isinstance(spec.type, DefType):
                raise incompatible(spec, "a function")
            given = HostFunction(spec.type.functype, given, f"{spec.module}.{spec.name}")
        if isinstance(given, HostFunction):
            given = host_function(given, self, len(self.functions))
            given.importer = self
        if isinstance(given, Function) and isinstance(spec.type, DefType):
            if spec.type not in given.deftype.supers:
                raise incompatible(spec, str(given.type))
            self.functions.append(given)
            if given.instance is not None:
                self.add_linked([given.instance])
        elif isinstance(given, AnyTable) and isinstance(spec.type, TableType):
            size = replace(given.type.limits, min=given.size())
            if given.type.element != spec.type.element or not fits(size, spec.type.limits):
                raise incompatible(spec, f"{size} {given.type.element}")
            self.tables.append(given)
        elif isinstance(given, AnyMemory) and isinstance(spec.type, MemoryType):
            type_ = replace(given.type, limits=replace(given.type.limits, min=given.size()))
            alike = replace(type_, limits=spec.type.limits) == spec.type
            if not alike or not fits(type_.limits, spec.type.limits):
                raise incompatible(spec, str(type_))
            self.memories.append(given)
        elif isinstance(given, AnyGlobal) and isinstance(spec.type, GlobalType):
            if not global_matches(given.type, spec.type):
                raise incompatible(spec, str(given.type))
            self.globals.append(given)
            if holds_functions(given.type.type):
                put(given.get(), given.type.type, given)
        elif isinstance(given, Tag) and isinstance(spec.type, TagType):
            if given.type != spec.type:
                raise incompatible(spec, str(given.type))
            self.tags.append(given)
        else:
            raise incompatible(spec, kind_of(given))
        if not isinstance(given, Function | Tag) and not self.engine.state.accepts(given):
            raise UnsupportedError(
                f'"{spec.module}" "{spec.name}": '
                f"a {kind_of(given)} that another engine owns is not supported"
            )

    def link_with(self, others: Sequence[ModuleInstance]) -> None:
        """Have what is asked of it be asked of these as well, and of all that they are linked
        with: their functions may be called where it is run."""
        self.add_linked(others)
        self.share()

    def add_linked(self, others: Sequence[ModuleInstance]) -> None:
        linked = (each for other in others for each in other.linked)
        self.linked = tuple(dict.fromkeys((*self.linked, *linked)))
        for other in others:
            other.importers.add(self)

    def share(self) -> None:
        """Have it known to those whose runs may come into it from now on, and whom its own may come
        into."""
        if not self.referring:
            self.referring = (
                *(each for each in self.tables if holds_functions(each.type.element)),
                *(each for each in self.globals if holds_functions(each.type.type)),
            )
        for thing in self.referring:
            thing.holders.add(self)
        self.meet()

    def meet(self) -> None:
        """Have it, and all that may come into it, know that they may come into others by now."""
        self.met = -1
        found = closure(self, lambda each: each.importers)
        before = [(each, {*each.reached}) for each in found if each.budget.limited]
        # Nobody else has anything to do with most.
        meetings.number += len(found) > 1
        for each, known in before:
            each.budget.prepare()
            if each.budget.begun:
                for other in each.reached:
                    if other not in known:
                        other.bounds.append(each.budget)
                each.budget.extend()

    def be_held(self, thing: AnyTable | AnyGlobal) -> None:
        """Have it reached by those that have ``thing``: Python puts a function of it there."""
        if all(each is not self for each in thing.holders):
            thing.holders.add(self)
            for each in [*thing.holders]:
                each.meet()

    def share_turn(self, turn: Turn) -> None:
        """Who runs it has this one, too."""
        self.common_turns = turn, *self.common_turns
        self.met = -1

    def look_around(self) -> None:
        """Find out whom its runs may come into."""
        self.met = meetings.number
        found = closure(self, lambda each: each.linked)
        linked = {*self.linked}
        self.beside_linked = Holders(each for each in found if each not in linked)
        turns = dict.fromkeys(each.turn for each in (*self.linked, *self.beside_linked))
        self.all_turns = tuple(dict.fromkeys((*turns, *self.common_turns)))

    def limit(
        self,
        things: Sequence[AnyMemory] | Sequence[AnyTable],
        size: Callable[[Any], int],
        most: int | None,
    ) -> None:
        """Have memories, or tables, grow as far as the host allows."""
        if most is not None and most != host_limits.ANY_SIZE:
            allowance = Allowance(most, things, size)
            self.allowances.append(allowance)
            self.engine.state.limit(things, allowance)

    def references(self, spec: ElemSpec) -> list[Any]:
        result: list[Any] = []
        for init in spec.init:
            if isinstance(init, int):
                result.append(self.functions[init])
            else:
                result.append(None if init is None else init(self))
        return result

    def initialise(self) -> None:
        """Place the active segments, and drop those that are spent (spec 4.5.4, steps 12 to 16)."""
        for spec, elem in zip(self.program.elems, self.elems, strict=True):
            if spec.offset is not None:
                offset = spec.offset(self)
                self.tables[spec.tableidx].place(offset, elem.elements)
            if spec.mode != "passive":
                elem.drop()
        placed = [False] * len(self.datas)

        def pieces(segments: Iterable[tuple[int, int, int, bytes]]) -> Iterator[tuple[int, bytes]]:
            for index, _, address, content in segments:
                yield address, content
                placed[index] = True

        try:
            for memidx, segments in groupby(self.program.datas.active(self), itemgetter(1)):
                self.memories[memidx].scatter(pieces(segments))
        finally:
            self.datas.drop(placed)

    def space(self, kind: str) -> Sequence[Extern]:
        """The index space of an export's kind."""
        spaces: dict[str, Sequence[Extern]] = {
            "func": self.functions,
            "table": self.tables,
            "memory": self.memories,
            "global": self.globals,
            "tag": self.tags,
        }
        return spaces[kind]

    def observe(self, observer: Observer) -> None:
        """Have instruments look at this instance. Its engine knows what they run."""
        self.observer = observer
        observer.attach(self)

    def prepared(self, name: str, args: Sequence[Any]) -> tuple[int, list[Any]]:
        """The index of the exported function ``name``, and ``args`` as the program holds them."""
        for export, kind, index in self.program.exports:
            if export == name and kind == "func":
                return index, self.functions[index].taken(args, name)
        raise KeyError(f'no exported function "{name}"')

    def memory(self, which: int | str = 0) -> AnyMemory:
        """A memory, by index or by the name of an export. Raises IndexError or KeyError where there
        is none."""
        if isinstance(which, str):
            return self.exported(which, AnyMemory)  # type: ignore[type-abstract]
        return self.memories[which]

    def exported(self, name: str, kind: type[Kind]) -> Kind:
        """An export that is of ``kind``. Raises KeyError where there is none."""
        found = self.exports.get(name)
        if not isinstance(found, kind):
            raise KeyError(f'no exported {WORDS[kind]} "{name}"')
        return found


def byte_length(memory: AnyMemory | MemoryType) -> int:
    """How many bytes it takes, or will take as soon as there is one of that type."""
    if isinstance(memory, MemoryType):
        return memory.limits.min * memory.page
    return memory.byte_length()


def length(table: AnyTable | TableType) -> int:
    """The same in elements."""
    return table.limits.min if isinstance(table, TableType) else table.size()


def check_declared(
    things: Sequence[Any], size: Callable[[Any], int], most: int | None, kind: str
) -> None:
    """Raises ResourceError where what an instance begins with is more than the host allows."""
    total = sum(map(size, things))
    if most is not None and total > most:
        raise ResourceError(exceeding(kind, total, most))


def exceeding(kind: str, total: int, most: int) -> str:
    """What to say of memories, or tables, that take more than is allowed."""
    plural, unit = {"memory": ("memories", "bytes"), "table": ("tables", "elements")}[kind]
    return (
        f"its {plural} take {total} {unit}, more than the {most} allowed: "
        f"--max-{kind} {total} (Limits({kind}={total}) in Python) allows them"
    )


def incompatible(spec: ImportSpec, given: str) -> UnlinkableError:
    return UnlinkableError(
        f'incompatible import type for "{spec.module}" "{spec.name}": '
        f"wanted {spec.type}, given {given}"
    )


def kind_of(given: object) -> str:
    """What ``given`` is, in a word."""
    for kind, word in WORDS.items():
        if isinstance(given, kind):
            return word
    return type(given).__name__.lower()


class Meetings:
    """How often instances have come to have something in common."""

    number = 0


meetings = Meetings()


def closure(
    instance: ModuleInstance, others: Callable[[ModuleInstance], Iterable[ModuleInstance]]
) -> Collection[ModuleInstance]:
    """All that ``others`` and what they have in common lead to from ``instance``, itself first."""
    found = {instance: None}
    things: set[int] = set()
    for each in (work := [instance]):
        met = [*others(each)]
        for thing in each.referring:
            if id(thing) not in things:
                things.add(id(thing))
                met += thing.holders
        for other in met:
            if other not in found:
                found[other] = None
                work.append(other)
    return found


def holds_functions(valtype: ValType) -> bool:
    """Whether a value of the type may be a function."""
    return isinstance(valtype, RefType) and top(valtype) == FUNCREF


def fits(given: Limits, wanted: Limits) -> bool:
    """Spec 3.4.1: whether what is of size ``given`` may be imported as ``wanted``."""
    if given.min < wanted.min or given.address is not wanted.address:
        return False
    return wanted.max is None or (given.max is not None and given.max <= wanted.max)
