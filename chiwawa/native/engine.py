"""The engine: functions of a rewritten module, run by wasmtime."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Sequence
from typing import Any

import wasmtime

from chiwawa.cache import NO_CACHE, Cache
from chiwawa.lower.lowered import Lowered, Spaces, lower
from chiwawa.lower.points import points_of
from chiwawa.native import capi, layout
from chiwawa.native.activation import ForeignActivation, HostActivation, NativeActivation
from chiwawa.native.compiled import compiled
from chiwawa.native.engine_types import constant_type
from chiwawa.native.guest import Guest
from chiwawa.native.hosts import asked_function, entering_function, host_function, told_function
from chiwawa.native.kept_points import KeptPoints
from chiwawa.native.machine import Machine
from chiwawa.native.records import Records
from chiwawa.native.safepoints import NativeSafepoints
from chiwawa.native.segments import NativeDatas, NativeElem
from chiwawa.native.state import Bound, NativeGlobal, NativeMemory, NativeTable
from chiwawa.native.vault import Vault, common_vault
from chiwawa_runtime.engine.contract import Activation, Engine, RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.allowance import Allowance
from chiwawa_runtime.state.data_segments import DataSegments
from chiwawa_runtime.state.deftypes import of_functype
from chiwawa_runtime.state.exceptions import Tag
from chiwawa_runtime.state.interface import AnyGlobal, AnyMemory, AnyTable, StateOwner
from chiwawa_runtime.state.program import SuspensionPoints
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.subtyping import top
from chiwawa_runtime.state.table import HOST_LIMIT
from chiwawa_runtime.state.types import (
    DefType,
    FuncType,
    GlobalType,
    MemoryType,
    RefType,
    TableType,
    TagType,
    ValType,
)


class NativeState:
    """The owner of state that wasmtime holds (see ``chiwawa_runtime.state.interface``)."""

    def __init__(self, engine: NativeEngine) -> None:
        self.engine = engine

    def finder(self, name: str) -> Callable[[], Bound]:
        engine = self.engine
        known: list[tuple[Machine, Bound]] = []

        def find() -> Bound:
            machine = engine.machine
            if not known or known[0][0] is not machine:
                known[:] = [(machine, machine.bound(name))]
            return known[0][1]

        return find

    def new_memories(self, types: Sequence[MemoryType]) -> Sequence[AnyMemory]:
        first = len(self.engine.spaces.module.memory_types()) - len(types)
        return [
            NativeMemory(t, self.finder(f"{layout.MEMORY}{i}")) for i, t in enumerate(types, first)
        ]

    def new_tables(self, types: Sequence[TableType]) -> Sequence[AnyTable]:
        if sum(t.limits.min for t in types) > HOST_LIMIT:
            raise UnsupportedError(f"more than {HOST_LIMIT:,} elements of tables is not supported")
        first = len(self.engine.spaces.module.table_types()) - len(types)
        return [
            NativeTable(t, self.finder(f"{layout.TABLE}{i}")) for i, t in enumerate(types, first)
        ]

    def new_datas(self, contents: Sequence[bytes]) -> DataSegments:
        return NativeDatas(self.engine, contents)

    def new_global(self, type: GlobalType, value: object) -> AnyGlobal:
        index = self.engine.next_global
        self.engine.next_global += 1
        find = self.finder(f"{layout.GLOBAL}{index}")
        return NativeGlobal(type, find, value, self.engine.is_made)

    def limit(self, things: Sequence[AnyMemory] | Sequence[AnyTable], allowance: Allowance) -> None:
        for each in things:
            each.allowances.add(allowance)
        vault = self.engine.vault
        for owner in () if vault is None else vault.owners:
            owner.place_limits()

    def accepts(self, given: AnyMemory | AnyTable | AnyGlobal) -> bool:
        if isinstance(given, NativeMemory | NativeTable | NativeGlobal):
            return self.engine.share(given.find().vault)
        # What cannot change is as good as its value.
        return isinstance(given, AnyGlobal) and not given.type.mutable


class NativeEngine:
    """Runs one instance of a module, by a machine that is made when it is first needed: by then it
    is known whether safepoints are to be counted."""

    sets_enter = False
    parallel = True

    def __init__(
        self,
        spaces: Spaces,
        *,
        canonical_nans: bool = False,
        sparse: bool = False,
        watched: bool = False,
        cache: Cache = NO_CACHE,
    ) -> None:
        self.granularity = "instruction" if sparse else "safepoint"
        self.spaces = spaces
        self.cache = cache
        self.canonical_nans = canonical_nans
        self.generation = 0
        self.instance: ModuleInstance
        self.next_global = sum(1 for _ in spaces.module.imported(GlobalType))
        self.state: StateOwner = NativeState(self)
        self.vault: Vault | None = None
        self._machine: Machine | None = None
        self.records: Records
        # Of the module, so that who restores it often works them out once.
        self.lowered: dict[int, Lowered] = spaces.module.once("lowered natively", dict)
        self.known_points: dict[int, SuspensionPoints] = spaces.module.once(
            "suspension points natively", dict
        )
        #: The activations that are going on, on top of each other.
        self.going: list[NativeActivation] = []
        countable = layout.BOUNDARIES if sparse else layout.SAFEPOINTS
        self.safepoints = NativeSafepoints(self.change_machine, self.going, countable)
        if watched:
            self.safepoints.counts = countable
        #: Whether segments are marked that have to be dropped.
        self.dropping = False
        #: What is asked before something grows, where somebody is.
        self.asked: capi.Func | None = None
        #: Where functions of other engines are that frames of this one have called.
        self.places: dict[tuple[Guest, int, DefType | None], int] = {}
        self.common = common_vault()
        if self.common:
            self.share(self.common[0])

    # The machine.

    def share(self, vault: Vault) -> bool:
        """Use the vault of an import; whether that can be."""
        if self.vault is None:
            self.vault = vault
            vault.share()
        return self.vault is vault

    def attach(self, instance: ModuleInstance) -> None:
        self.instance = instance
        if self.common and self.vault is None:
            # It was not there yet when this engine was made.
            self.share(self.common[0])
        if self.vault is not None:
            instance.share_turn(self.vault.turn)
        for tag in instance.tags[instance.program.imported(TagType) :]:
            tag.maker = self
        flags = layout.DROPPED + len(instance.datas)
        instance.elems = [NativeElem(self, i, e) for i, e in enumerate(instance.elems, flags)]
        if self.common == []:
            self.common.append(self.machine.vault)

    def drop(self, flag: int, which: bytes = b"\1") -> None:
        """Have a segment dropped before anything runs, or those of several in a row that ``which``
        has a 1 for."""
        self.machine.drop(flag, which)
        self.dropping = True

    @property
    def machine(self) -> Machine:
        if self._machine is None:
            self._machine = self.make_machine()
        return self._machine

    def is_made(self) -> bool:
        return self._machine is not None

    def make_machine(self) -> Machine:
        safepoints = self.safepoints
        code = compiled(self.spaces.module, self.cache, safepoints.counts, self.canonical_nans)
        if self.vault is None:
            self.vault = Vault(code.engine, host_function, self.instance.turn)
        imports = [self.import_(i, spec) for i, spec in enumerate(self.instance.program.imports)]
        try:
            machine = Machine(code, self.vault, imports)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            said = " ".join(str(error).split())
            raise UnsupportedError(f"wasmtime cannot make an instance: {said}") from None
        self.records = Records(code.tables, self.instance)
        for index, tag in enumerate(self.instance.tags):
            self.vault.exceptions.add_tag(tag, machine.item(f"{layout.TAG}{index}"))
        self._machine = machine
        self.asked = None
        self.places.clear()
        self.place_limits()
        safepoints.begin(machine)
        self.vault.add(self)
        return machine

    def import_(self, position: int, spec: Any) -> Any:
        """wasmtime's extern for an import."""
        instance, vault = self.instance, self.vault
        assert vault is not None
        kind = type(spec.type)
        before = self.instance.program.imports[:position]
        index = sum(1 for each in before if type(each.type) is kind)
        if kind is DefType:
            function = instance.functions[index]
            func = host_function(vault, function)
            vault.addresses[id(function)] = address = vault.address_of_func(func)
            vault.functions[address] = function
            return wasmtime.Func._from_raw(as_bytes(func, wasmtime._ffi.wasmtime_func_t))
        if kind is GlobalType:
            given = instance.globals[index]
            if not isinstance(given, NativeGlobal):
                return constant(vault, given)
            item: Any = given.find().item
            return wasmtime.Global._from_raw(item)
        if kind is TableType:
            table: Any = instance.tables[index]
            return wasmtime.Table._from_raw(table.find().item)
        if kind is TagType:
            return self.import_tag(instance.tags[index])
        memory: Any = instance.memories[index]
        return wasmtime.Memory._from_raw(memory.find().item)

    def import_tag(self, tag: Tag) -> Any:
        """wasmtime's extern for a tag: where another engine in the same vault has made it, that."""
        vault = self.vault
        assert vault is not None
        maker = tag.maker
        if isinstance(maker, NativeEngine) and maker.vault is vault:
            # It tells the vault.
            _ = maker.machine
        item = vault.exceptions.tag_item(tag)
        return wasmtime.Tag._from_raw(as_bytes(item, wasmtime._ffi.wasmtime_tag_t))

    def place_limits(self) -> None:
        """Have memories and tables grow as far as is allowed. The machine sees to what is allowed
        this instance, for all that it has; what others are allowed that have some of it too, they
        are asked."""
        machine, vault = self.machine, self.vault
        assert vault is not None
        for limit, things in (
            (layout.MEMORY_LIMIT, self.instance.memories),
            (layout.TABLE_LIMIT, self.instance.tables),
        ):
            found = {allowance for each in things for allowance in each.allowances.found()}
            if found <= set(self.instance.allowances):
                machine.set_most_of(limit, min((each.most for each in found), default=None))
                continue
            if self.asked is None:
                self.asked = asked_function(vault, self.allows)
            machine.have_asked(limit, self.asked)

    def allows(self, thing: int, more: int) -> bool:
        """Whether something may grow (see ``added.ASKED``)."""
        if thing >= 0:
            memory = self.instance.memories[thing]
            return memory.allowances.allow(more * memory.type.page)
        return self.instance.tables[-1 - thing].allowances.allow(more)

    # Who shares its store.

    @property
    def tailing(self) -> bool:
        module = self.spaces.module
        return module.once(
            "tail calls", lambda: any(func.summary.ends_in_calls for func in module.funcs)
        )

    def meet(self) -> None:
        machine = self.machine
        going = machine.vault.going
        machine.have_told(
            told_function(machine.vault, lambda: going[-1].saved_by(self)),
            told_function(machine.vault, lambda: going[-1].entered_by(self)),
        )

    # References to functions.

    def native_functions(self) -> list[tuple[int, Function]]:
        machine = self.machine
        found = []
        for index in range(len(self.spaces.funcs)):
            function = machine.function(index)
            if function.store:
                found.append(
                    (machine.vault.address_of_func(function), self.instance.functions[index])
                )
        return found

    def native_function(self, function: Function) -> int | None:
        if function.instance is not self.instance:
            return None
        func = self.machine.function(function.index)
        if not func.store:
            return None
        return self.machine.vault.address_of_func(func)

    def finder(self, instance: object, val: capi.Val) -> Callable[[int], bool] | None:
        return self.machine.finder(val) if instance is self.instance else None

    # The contract.

    def lower(self, function: int) -> Lowered:
        found = self.lowered.get(function)
        if found is None:
            found = self.lowered[function] = lower(self.spaces, function)
        return found

    def keep_points(self) -> KeptPoints:
        return KeptPoints(self.spaces, self.cache)

    def suspension_points(self, function: int) -> SuspensionPoints:
        points = self.known_points.get(function)
        if points is None:
            kept = self.spaces.module.once("kept points", self.keep_points)
            points = kept.get(function)
            if points is None:
                points = points_of(self.lower(function))
                kept.add(function, points)
            self.known_points[function] = points
        return points

    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        return self.suspension_points(function).operands(offset)

    def unset(self, function: int, offset: int) -> Collection[int]:
        return self.suspension_points(function).unset.get(offset, ())

    def start(
        self, function: int, args: Sequence[Any], depth: int, most: int = MAX_DEPTH
    ) -> Activation:
        called = self.instance.functions[function]
        if called.instance is self.instance:
            return NativeActivation(self, function, args, depth, most)
        if called.instance is not None:
            engine = called.instance.engine
            return ForeignActivation(engine.start(called.index, args, depth, most))
        return HostActivation(called, args, depth)

    def hand_over(self, successor: Engine) -> None:
        """Have ``successor`` run the instance, over its state as it is."""
        instance, mine = self.instance, self.safepoints
        other = successor.safepoints
        successor.generation = self.generation + 1
        if mine.passed is not None:
            other.count_from(mine.passed, mine.stop_at, mine.reached)
        if mine.look is not None:
            other.watch(mine.look, mine.every)
        other.request(mine.pending)
        successor.attach(instance)
        instance.engine = successor
        instance.requests.safepoints = other
        # Who runs here now comes to the next safepoint, and goes on there.
        mine.request(len(self.going) > 0)

    def interrupt(self) -> None:
        """What runs is to stop soon."""
        self.instance.requests.ask("interrupt")

    def reference(self, valtype: RefType, place: int) -> Any:
        """The reference that a saved frame has, which the guest has put into a table."""
        if not place:
            return None
        table = self.machine.references(str(valtype.heap))
        val = capi.Val()
        capi.table_get(self.machine.context, ctypes.byref(table), place - 1, ctypes.byref(val))
        return self.machine.vault.value(valtype, val)

    def keep_reference(self, valtype: RefType, value: Any) -> int:
        """The opposite, for a frame that is to be entered again."""
        if value is None:
            return 0
        machine = self.machine
        count = layout.REFERENCE_COUNTS[str(valtype.heap)]
        place = machine.cell(count)
        machine.put_reference(valtype, place, value)
        machine.set(count, place + 1)
        return place + 1

    def change_machine(self) -> None:
        """Have another machine, which counts, with the state of this one."""
        if self._machine is None:
            return
        assert self.vault is not None
        if self.going:
            raise UnsupportedError(
                "the native path cannot begin to count safepoints in an instance that is running: "
                "have them counted before (by any limit of fuel)"
            )
        if any(owner is not self for owner in self.vault.owners):
            raise UnsupportedError(
                "the native path cannot begin to count safepoints in an instance that shares "
                "state with others: have them counted from its start (by any limit of fuel)"
            )
        before = self._machine
        memories = [bytes(m.view()) for m in self.instance.memories]
        tables = [t.elements for t in self.instance.tables]
        values = [g.get() for g in self.instance.globals]
        flags = before.flags()
        self.vault.owners.remove(self)
        self.vault.forget(self.instance.functions)
        if self.instance.tags:
            self.vault.exceptions.forget()
        self._machine = None
        machine = self.machine
        machine.set_flags(flags)
        machine.drop_segments()
        program = self.instance.program
        for index, data in enumerate(memories[program.imported(MemoryType) :]):
            memory = self.instance.memories[index + program.imported(MemoryType)]
            memory.reset(len(data), fresh=True)
            memory.write(0, data)
        for table, elements in zip(self.instance.tables, tables, strict=True):
            table.reset(elements)
        for each, value in zip(self.instance.globals, values, strict=True):
            if each.type.mutable or isinstance(each, NativeGlobal):
                each.reset(value)

    def restore(self, frames: Sequence[RawFrame], most: int = MAX_DEPTH) -> Activation:
        count = self.own_frames(frames)
        others, own = frames[: len(frames) - count], frames[len(frames) - count :]
        other = others[-1].instance.engine.restore(others, most) if others else None
        if not own:
            assert other is not None
            return ForeignActivation(other)
        activation = NativeActivation(self, own[-1].function, (), 0, most)
        activation.restored(own, other)
        return activation

    def own_frames(self, frames: Sequence[RawFrame]) -> int:
        """How many of these, the oldest, are of one activation."""
        if not frames or frames[-1].instance is not self.instance:
            return 0
        for count in range(1, len(frames)):
            caller, frame = frames[-count], frames[-count - 1]
            engine = caller.instance.engine
            call = engine.suspension_points(caller.function).calls[caller.offset]
            if call.function is not None and call.function < engine.spaces.imported_funcs:
                return count
            if frame.instance is not caller.instance and not self.reaches(frame.instance.engine):
                return count
        return len(frames)

    def reaches(self, engine: Engine) -> bool:
        """Whether its functions call those of ``engine`` without anybody's noticing, and can be
        suspended in them."""
        vault = self.machine.vault
        return isinstance(engine, NativeEngine) and engine.vault is vault

    def place_of(self, caller: RawFrame, engine: Guest, function: int) -> int:
        """Where ``caller`` finds a function of another engine's that shares the store. Raises
        UnsupportedError where there is no reference to that."""
        machine = self.machine
        func = engine.machine.function(function)
        if not func.store:
            raise UnsupportedError("the native path cannot go on in what no table can have")
        deftype = None
        if self.tailing:
            # It calls what takes nothing, and gives what records keep.
            results = engine.spaces.funcs[function].results
            kept = (top(each) if isinstance(each, RefType) else each for each in results)
            deftype = of_functype(FuncType((), tuple(kept)))
        elif machine.vault.tailing:
            # The function that it has called may have ended in a call of one of another type.
            body = self.lower(caller.function).body
            instr = next(each for each in body if each.offset == caller.offset)
            deftype = self.spaces.types[instr.imm[0]]
        key = engine, function, deftype
        place = self.places.get(key)
        if place is None:
            if deftype is not None:
                func = entering_function(machine.vault, deftype, engine, function)
            place = self.places[key] = machine.append_function(func)
        return place


def as_bytes(structure: ctypes.Structure, wanted: Any) -> Any:
    """A structure as the package's own of the same shape."""
    return wanted.from_buffer_copy(bytes(structure))


def constant(vault: Vault, given: AnyGlobal) -> wasmtime.Global:
    """An immutable global of somebody else's, by its value."""
    globaltype = constant_type(vault.engine, given.type.type)
    val = vault.val(given.type.type, given.get())
    made = wasmtime._ffi.wasmtime_global_t()
    error = capi.global_new(
        vault.context,
        capi.address(globaltype.ptr()),
        ctypes.byref(val),
        ctypes.byref(made),
    )
    vault.release(val)
    if error:
        raise UnsupportedError(f"wasmtime: {capi.message(error)}")
    return wasmtime.Global._from_raw(made)
