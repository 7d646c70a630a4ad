"""Probes: Python functions that are called at boundaries, and may look, change, and stop.

Probes at one boundary fire in the order in which they were added, after monitors and trace, before
the instruction. One that is added while the program runs fires from the program's next safepoint
on; one that is removed fires no more.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from chiwawa.instrument.labels import function_labels
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site
from chiwawa.module import Func, Instr, Module
from chiwawa.opcodes import BY_NAME, GROUPS, groups_of
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.requests import BY_PROBE, BY_STOP
from chiwawa_runtime.errors import BadInput, HostError, Interrupted, Trap
from chiwawa_runtime.state.interface import AnyMemory
from chiwawa_runtime.state.memory_data import octets
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.store import PASSING, coerce
from chiwawa_runtime.state.types import ValType


@dataclass(frozen=True, slots=True)
class Match:
    """Which boundaries a probe is at: those that all that is given agrees on.

    ``op`` is an instruction's name, ``group`` a kind of instructions (``chiwawa.opcodes.GROUPS``),
    ``function`` an index or a pattern of names (``fib*``), ``at`` a function index and a code
    offset. ``where`` is asked each time, with what the action would get.

    >>> module = chiwawa.load('''(module (func $f (export "f") (param i32) (result i32)
    ...   (i32.mul (i32.add (local.get 0) (i32.const 1)) (i32.const 2))))''')
    >>> instance = chiwawa.instantiate(module)
    >>> match = chiwawa.Match(group="arithmetic", function="f*")
    >>> probe = instance.probe(match, lambda at: print(at.op, at.operands))
    >>> instance.invoke("f", [20])
    i32.add (20, 1)
    i32.mul (21, 2)
    [42]
    """

    op: str | None = None
    group: str | None = None
    function: str | int | None = None
    at: tuple[int, int] | None = None
    where: Callable[[At], bool] | None = None

    def check(self, module: Module) -> None:
        """Raise BadInput where this can match nothing in any program, or a place is none."""
        if self.op is not None:
            if self.op not in BY_NAME:
                raise BadInput(f"unknown instruction {self.op!r}")
            if BY_NAME[self.op].delimits:
                raise BadInput(f"there is no boundary before {self.op}")
        if self.group is not None and self.group not in GROUPS:
            raise BadInput(f"unknown group {self.group!r}: there are {', '.join(GROUPS)}")
        if isinstance(self.function, int):
            defined(module, self.function)
        if self.at is not None:
            function, offset = self.at
            body = defined(module, function).body
            if not any(i.offset == offset and not i.op.delimits for i in body):
                raise BadInput(f"function {function} has no boundary at {offset:#06x}")

    def accepts(self, names: Sequence[str], function: int, instr: Instr) -> bool:
        """Whether a boundary in ``function``, which goes by ``names``, is meant."""
        if self.at is not None and self.at != (function, instr.offset):
            return False
        if self.op is not None and self.op != instr.op.name:
            return False
        if self.group is not None and self.group not in groups_of(instr.op):
            return False
        if isinstance(self.function, int):
            return self.function == function
        pattern = self.function
        # Brackets mean something in a pattern, and stand in names.
        return pattern is None or any(n == pattern or fnmatchcase(n, pattern) for n in names)


def defined(module: Module, function: int) -> Func:
    """The function of that index. Raises BadInput where it is imported, or there is none."""
    place = function - (len(module.func_typeidxs()) - len(module.funcs))
    if not 0 <= place < len(module.funcs):
        raise BadInput(f"function {function} is not defined in this module")
    return module.funcs[place]


class Linear:
    """A memory, for an action. Addresses and sizes are in bytes."""

    __slots__ = ("_memory", "_writes")

    def __init__(self, memory: AnyMemory, writes: bool) -> None:
        self._memory = memory
        self._writes = writes

    def __len__(self) -> int:
        return self._memory.byte_length()

    def read(self, address: int, size: int) -> bytes:
        """Raises IndexError where that is not all in the memory."""
        return self._memory.read(self._checked(address, size), size)

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Raises IndexError where that is not all in the memory, and TypeError where the probe did
        not ask to write, and for what is not bytes."""
        check_writes(self._writes)
        data = octets(data)
        self._memory.write(self._checked(address, len(data)), data)

    def _checked(self, address: int, size: int) -> int:
        if address < 0:
            address = self._memory.unsigned(address)
        if address < 0 or size < 0 or address + size > self._memory.byte_length():
            raise IndexError(f"{size} bytes at 0x{address:x} are not in the memory")
        return address


def check_writes(writes: bool) -> None:
    if not writes:
        raise TypeError("this probe only reads: add it with writes=True")


class At:
    """A boundary at which a program is, for an action; of no use after it has returned.

    Values are as everywhere (see ``chiwawa.Instance``). The operands are the deepest first, the
    locals the parameters first, the globals by index.

    >>> module = chiwawa.load('''(module (global i64 (i64.const 7))
    ...   (func $f (export "f") (param i32) (result i32)
    ...     (i32.add (local.get 0) (i32.const 1))))''')
    >>> def look(at: chiwawa.At) -> None:
    ...     print(at.function, at.name, hex(at.offset), at.op)
    ...     print(at.operands, *at.operand_types, at.locals, *at.local_types, at.globals)
    >>> instance = chiwawa.instantiate(module)
    >>> probe = instance.probe(chiwawa.Match(op="i32.add"), look)
    >>> instance.exports.f(20)
    0 f 0x5 i32.add
    (20, 1) i32 i32 (20,) i32 (7,)
    21
    >>> def double(at: chiwawa.At) -> None:
    ...     at.set_operand(0, 2 * at.operands[0])
    >>> probe.remove()
    >>> probe = instance.probe(chiwawa.Match(op="i32.add"), double, writes=True)
    >>> instance.exports.f(20)
    41
    """

    __slots__ = (
        "_locals", "_operands", "_place", "instance", "reasons", "writes",
    )  # fmt: skip

    def __init__(
        self,
        place: Place,
        instance: ModuleInstance,
        operands: list[Any],
        locals_: list[Any],
    ) -> None:
        self._place = place
        self.instance = instance
        self._operands = operands
        self._locals = locals_
        self.writes = False
        self.reasons: list[str] = []

    @property
    def function(self) -> int:
        """The function's index."""
        return self._place.function

    @property
    def name(self) -> str:
        """The function's name, or ``func[3]``."""
        return self._place.names[0]

    @property
    def offset(self) -> int:
        """The code offset of the instruction."""
        return self._place.instr.offset

    @property
    def instr(self) -> Instr:
        """The instruction that comes next."""
        return self._place.instr

    @property
    def op(self) -> str:
        """Its name."""
        return self._place.instr.op.name

    @property
    def operands(self) -> tuple[Any, ...]:
        return tuple(map(plain, self._operands, self.operand_types))

    @property
    def operand_types(self) -> tuple[ValType, ...]:
        return self._place.operand_types

    @property
    def locals(self) -> tuple[Any, ...]:
        return tuple(map(plain, self._locals, self.local_types))

    @property
    def local_types(self) -> tuple[ValType, ...]:
        return self._place.local_types

    @property
    def globals(self) -> tuple[Any, ...]:
        return tuple(g.value for g in self.instance.globals)

    def memory(self, index: int = 0) -> Linear:
        """The memory of that index, which has ``len``, ``read(address, size)``, and with ``writes``
        ``write(address, data)``.

        >>> module = chiwawa.load('''(module (global $g (mut i32) (i32.const 5)) (memory 1)
        ...   (func $f (export "f") (param i32) (result i32)
        ...     (i32.add (local.get 0) (i32.const 1))))''')
        >>> instance = chiwawa.instantiate(module)
        >>> match = chiwawa.Match(op="i32.add")
        >>> probe = instance.probe(match, lambda at: print(at.memory().read(0, 1)))
        >>> instance.exports.f(20)
        b'\\x00'
        21
        """
        return Linear(self.instance.memories[index], self.writes)

    def set_operand(self, index: int, value: Any) -> None:
        """Raises TypeError and ValueError where it is no value of the operand's type."""
        check_writes(self.writes)
        self._operands[index] = coerce(value, self.operand_types[index])

    def set_local(self, index: int, value: Any) -> None:
        """The local's value from here on; its operands are there already. Raises as
        ``set_operand``.

        >>> module = chiwawa.load('''(module (global $g (mut i32) (i32.const 5)) (memory 1)
        ...   (func $f (export "f") (param i32) (result i32)
        ...     (i32.add (local.get 0) (i32.const 1))))''')
        >>> instance = chiwawa.instantiate(module)
        >>> def change(at: chiwawa.At) -> None:
        ...     at.set_local(0, 7)
        >>> probe = instance.probe(chiwawa.Match(op="i32.add"), change, writes=True)
        >>> instance.exports.f(20)
        21
        """
        check_writes(self.writes)
        self._locals[index] = coerce(value, self.local_types[index])

    def set_global(self, index: int, value: Any) -> None:
        """Raises TypeError where it is immutable, too.

        >>> module = chiwawa.load('''(module (global $g (mut i32) (i32.const 5)) (memory 1)
        ...   (func $f (export "f") (param i32) (result i32)
        ...     (i32.add (local.get 0) (i32.const 1))))''')
        >>> instance = chiwawa.instantiate(module)
        >>> def change(at: chiwawa.At) -> None:
        ...     at.set_global(0, at.globals[0] + 1)
        >>> probe = instance.probe(chiwawa.Match(op="i32.add"), change, writes=True)
        >>> instance.exports.f(20)
        21
        """
        check_writes(self.writes)
        self.instance.globals[index].value = value

    def stop(self) -> None:
        """Have the run, or the call, stop with the reason "stop": here, before the instruction,
        where this is a safepoint (with instruction granularity it always is), else at the next one;
        at the next one too where functions of other instances may be in progress.

        >>> module = chiwawa.load('(module (func (export "forever") (loop $on (br $on))))')
        >>> instance = chiwawa.instantiate(module)
        >>> probe = instance.probe(chiwawa.Match(op="br"), chiwawa.At.stop)
        >>> run = instance.start("forever")
        >>> run.resume(), run.reasons
        (False, ['stop'])
        """
        self.reasons.append(BY_STOP)

    def checkpoint(self) -> None:
        """Like ``stop``, with the reason "probe", for a checkpoint.

        >>> module = chiwawa.load('(module (func (export "forever") (loop $on (br $on))))')
        >>> instance = chiwawa.instantiate(module)
        >>> probe = instance.probe(chiwawa.Match(op="br"), chiwawa.At.checkpoint)
        >>> run = instance.start("forever")
        >>> run.resume(), run.reasons
        (False, ['probe'])
        """
        self.reasons.append(BY_PROBE)

    def trap(self, message: str) -> None:
        """Have the program trap here. Does not return.

        >>> module = chiwawa.load('''(module (global $g (mut i32) (i32.const 5)) (memory 1)
        ...   (func $f (export "f") (param i32) (result i32)
        ...     (i32.add (local.get 0) (i32.const 1))))''')
        >>> instance = chiwawa.instantiate(module)
        >>> match = chiwawa.Match(op="i32.add", where=lambda at: at.operands[0] < 0)
        >>> probe = instance.probe(match, lambda at: at.trap("no negative numbers"))
        >>> instance.exports.f(1)
        2
        >>> try:
        ...     instance.exports.f(-1)
        ... except chiwawa.Trap as trap:
        ...     print(trap.message)
        no negative numbers
        """
        raise Trap(message)


#: What a probe does.
Action = Callable[[At], object]


class Probe:
    """A probe that was added.

    >>> module = chiwawa.load('(module (func $f (export "f") (nop)))')
    >>> instance = chiwawa.instantiate(module)
    >>> probe = instance.probe(chiwawa.Match(op="nop"), lambda at: print(at.name, at.offset))
    >>> instance.invoke("f")
    f 1
    []
    >>> probe.remove()
    >>> instance.invoke("f")
    []
    """

    __slots__ = ("_changed", "_probes", "action", "match", "removed", "since", "writes")

    def __init__(
        self,
        match: Match,
        action: Action,
        writes: bool,
        probes: list[Probe],
        changed: Callable[[], None],
    ) -> None:
        self.match = match
        self.action = action
        self.writes = writes
        self.removed = False
        #: The generation of prepared functions that first has it; 0 for none yet.
        self.since = 0
        self._probes = probes
        self._changed = changed

    def remove(self) -> None:
        """It fires no more. Removing it again does nothing."""
        if not self.removed:
            self.removed = True
            self._probes.remove(self)
            self._changed()


@dataclass(frozen=True, slots=True)
class Place:
    """A boundary with probes."""

    function: int
    names: tuple[str, ...]
    instr: Instr
    operand_types: tuple[ValType, ...]
    local_types: tuple[ValType, ...]
    safepoint: bool
    probes: tuple[Probe, ...]


#: A boundary, and the probes that have fired there.
Fired = tuple[tuple[int, int] | None, tuple[Probe, ...]]
#: No boundary, and no probes.
NOTHING: Fired = (None, ())


class Probes:
    """The probes of one run, in the order in which they fire."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.probes: list[Probe] = []
        #: Those of them that functions are prepared with.
        self.active: tuple[Probe, ...] = ()
        self.generation = 0
        self.places: dict[tuple[int, int], Place] = {}
        self.instance: ModuleInstance | None = None
        #: The boundary that is going to be arrived at again, and the probes that fired there.
        self.fired = NOTHING
        #: Whether the run is to stop at the boundary that fires now.
        self.halting = False
        self.names: dict[str, Any] = {
            "fire": self.fire,
            "fire_changing": self.fire_changing,
            "halt": self.halt,
            "unfire": self.unfire,
        }
        self.labels = function_labels(module)
        self.exports: dict[int, list[str]] = {}
        for export in module.export_section:
            if export.kind == "func":
                self.exports.setdefault(export.index, []).append(export.name)

    def attach(self, instance: ModuleInstance) -> None:
        self.instance = instance
        self.fired = NOTHING
        self.activate()

    def changed(self) -> bool:
        """Whether functions were prepared with other probes than there are now."""
        return self.active != tuple(self.probes)

    def writing(self) -> bool:
        """Whether some probe may change what the program has."""
        return any(probe.writes for probe in self.active)

    def activate(self) -> None:
        """The probes that there are now fire, in functions that are prepared from now on."""
        self.active = tuple(self.probes)
        self.generation += 1
        for probe in self.active:
            probe.since = probe.since or self.generation

    def add(self, match: Match, action: Action, writes: bool, changed: Callable[[], None]) -> Probe:
        match.check(self.module)
        probe = Probe(match, action, writes, self.probes, changed)
        self.probes.append(probe)
        return probe

    def sites(self, lowered: Lowered) -> Iterator[tuple[int, Site]]:
        if not self.active:
            return
        index = lowered.index
        names = (self.labels[index], *self.exports.get(index, ()))
        for position, reached in enumerate(lowered.reached):
            if not reached:
                continue
            instr = lowered.body[position]
            probes = tuple(p for p in self.active if p.match.accepts(names, index, instr))
            if not probes:
                continue
            self.places[index, position] = Place(
                index,
                names,
                instr,
                lowered.types_at(position),
                lowered.locals,
                position in lowered.safepoints,
                probes,
            )
            writes = any(p.writes for p in probes)
            where = f"{index}, {position}, {self.generation}"
            yield from ((position, site) for site in firing(lowered, position, where, writes))

    # What runs.

    def fire(
        self,
        function: int,
        position: int,
        generation: int,
        operands: Sequence[Any],
        locals_: Sequence[Any],
    ) -> None:
        self.fire_changing(function, position, generation, operands, locals_)
        self.halt()

    def fire_changing(
        self,
        function: int,
        position: int,
        generation: int,
        operands: Sequence[Any],
        locals_: Sequence[Any],
    ) -> tuple[Sequence[Any], Sequence[Any]]:
        """The operands and locals as the probes leave them. ``generation`` is that of the function
        as it was prepared: what fires in one frame is not changed by what others have."""
        key = function, position
        (before, done), self.fired = self.fired, NOTHING
        skipped = done if before == key else ()
        place = self.places[key]
        assert self.instance is not None
        at = At(place, self.instance, list(operands), list(locals_))
        for probe in place.probes:
            if probe.since <= generation and not probe.removed and probe not in skipped:
                self.act(probe, at)
        if at.reasons:
            for reason in at.reasons:
                self.instance.requests.ask(reason)
            self.halting = place.safepoint and is_alone(self.instance)
        return at._operands, at._locals

    def halt(self) -> None:
        """Stop here, where a probe wants to. What it changed is in the frame by now."""
        if self.halting:
            self.halting = False
            raise Interrupted

    def act(self, probe: Probe, at: At) -> None:
        at.writes = probe.writes
        try:
            if probe.match.where is None or probe.match.where(at):
                probe.action(at)
        except PASSING:
            raise
        except Exception as error:
            raise HostError(f"a probe: {type(error).__name__}: {error}") from error

    def unfire(self, function: int, position: int) -> None:
        # One that was added meanwhile does not belong to that firing either.
        self.fired = (function, position), tuple(self.probes)


def is_alone(instance: ModuleInstance) -> bool:
    """Whether no frames of other instances can be on the stack: nobody could take them up again
    where a run has been broken off in the middle."""
    functions = itertools.chain(instance.functions, *(t.elements for t in instance.tables))
    return instance.running > 0 and all(
        getattr(function, "instance", None) in (None, instance) for function in functions
    )


def firing(lowered: Lowered, position: int, where: str, writes: bool) -> Iterator[Site]:
    operands = "".join(f"s{i}, " for i in range(lowered.heights[position]))
    locals_ = "".join(f"l{i}, " for i in range(len(lowered.locals)))
    undo = f"unfire({lowered.index}, {position})"
    arguments = f"({where}, ({operands}), ({locals_}))"
    if not writes:
        yield Site(f"fire{arguments}", reads=True, undo=undo)
        return
    source = f"(({operands}), ({locals_})) = fire_changing{arguments}"
    yield Site(source, reads=True, writes=True, undo=undo)
    yield Site("halt()", reads=True)
