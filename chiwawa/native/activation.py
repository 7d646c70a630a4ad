"""A call in progress of a rewritten module's function."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from chiwawa.native import layout
from chiwawa.native.guest import Guest
from chiwawa.native.machine import Machine
from chiwawa.native.records import function_of, reversed_records, with_functions
from chiwawa.native.room import call_in_thread, is_in_room
from chiwawa.native.traps import Placed, Trapped, trap_from
from chiwawa_runtime.engine.contract import Activation, RawFrame
from chiwawa_runtime.engine.deep import call_with_room
from chiwawa_runtime.engine.segments import rise
from chiwawa_runtime.engine.traps import abrupt_of
from chiwawa_runtime.errors import (
    Abrupt,
    Exhaustion,
    Interrupted,
    Trap,
    UnsupportedError,
)
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.throwing import Thrown
from chiwawa_runtime.state.types import zero


class HostActivation:
    """A call of a function of the host's, from no frame."""

    interrupted = False

    def __init__(self, function: Function, args: Sequence[Any], depth: int) -> None:
        self.function = function
        self.args = args
        self.depth = depth
        self.results: list[Any] = []

    def advance(self) -> bool:
        assert self.function.call_at is not None
        value = self.function.call_at(self.depth, self.args)
        count = len(self.function.type.results)
        self.results = [value] if count == 1 else list(value) if count else []
        return True

    def interrupted_frame(self) -> RawFrame | None:
        return None

    def frames(self) -> list[RawFrame]:
        return []

    def explain(self, error: BaseException) -> BaseException:
        return abrupt_of(error) or error


class ForeignActivation:
    """A call of another instance's function, from no frame. ``given`` is that instance's."""

    def __init__(self, given: Activation) -> None:
        self.given = given
        self.interrupted = False

    @property
    def results(self) -> list[Any]:
        return self.given.results

    def advance(self) -> bool:
        returned = self.given.advance()
        self.interrupted = self.given.interrupted
        return returned

    def interrupted_frame(self) -> RawFrame | None:
        return None

    def frames(self) -> list[RawFrame]:
        return self.given.frames()

    def explain(self, error: BaseException) -> BaseException:
        return self.given.explain(error)


class NativeActivation:
    """A call of ``function``. Where it is suspended, its frames are here and not in the machine:
    several calls can stand still at a time. Of functions that count, none may start ``most``
    deep."""

    def __init__(
        self, engine: Guest, function: int, args: Sequence[Any], depth: int, most: int
    ) -> None:
        self.engine = engine
        self.function = function
        self.args = args
        self.depth = depth
        self.most = most
        self.results: list[Any] = []
        self.interrupted = False
        #: Suspended: the frames as records, the youngest first, where they hold no references; or
        #: as frames.
        self.saved: bytes | None = None
        self.standing: list[RawFrame] | None = None
        #: Whether the safepoint that it goes on at is to be tested again.
        self.tested_again = False
        #: What ended it, or interrupted it, in a host function.
        self.failure: BaseException | None = None
        #: A call of another engine's function that is suspended, on top of all frames.
        self.other: Activation | None = None
        #: Where it trapped.
        self.places: list[Placed] = []
        self.cut = False
        self.begun = False
        #: How deep a host function is called by the youngest frame, while this goes on; where
        #: instances share a store, by the youngest of this instance's.
        self.called_at: ctypes.c_uint32 = ctypes.c_uint32()
        #: Where instances share a store: whose functions have saved their frames so far, the
        #: youngest first.
        self.frames_of: list[Guest] = []
        #: Whose ``standing`` are, where not all are of ``engine``; how many of them are still to be
        #: entered again.
        self.engines: list[Guest] = []
        self.left = 0
        #: The count of safepoints, while the machine's says something else.
        self.count: int | None = None

    # Going on.

    def restored(self, frames: Sequence[RawFrame], other: Activation | None) -> None:
        """Stand in ``frames``, the youngest of which has called ``other``, if there is one."""
        self.standing = list(frames)
        if any(frame.instance is not self.engine.instance for frame in frames):
            self.engines = [frame.instance.engine for frame in frames]
        self.other = other
        if other is not None:
            self.standing[0] = self.calling_again(frames[0])
        self.begun = True
        self.tested_again = other is None

    def advance(self) -> bool:
        engine = self.engine
        machine = engine.machine
        if self.tested_again:
            self.tested_again = False
            if self.youngest().safepoints.arrive():
                return False
        if machine.vault.going and not is_in_room():
            # wasmtime takes all that is beneath each other in a store to be on one stack, and
            # Python's is at its end there.
            raise Exhaustion
        self.interrupted = False
        self.failure = None
        if engine.dropping:
            engine.dropping = False
            machine.drop_segments()
        return bool(call_in_thread(lambda: self.run(machine), engine.interrupt))

    def run(self, machine: Machine) -> bool:
        engine = self.engine
        functype = engine.spaces.funcs[self.function]
        size = max(len(functype.params), len(functype.results))
        values = (ctypes.c_uint64 * (2 * size))()
        vault = machine.vault
        self.called_at = machine.depth
        going_on = [machine]
        if vault.shared:
            going_on += [each for o in vault.owners if (each := o.machine) is not machine]
        before = [
            (each, each.most, each.register(layout.FP) if each.frames else 0) for each in going_on
        ]
        for each in going_on:
            each.set_most(self.most)
        vault.going.append(self)
        engine.going.append(self)
        try:
            while True:
                if self.begun:
                    oldest, function = self.rewind(machine)
                    if (oldest, function) != (engine, self.function):
                        # The function has ended in a tail call.
                        size = max(len(oldest.spaces.funcs[function].params), size)
                        values = (ctypes.c_uint64 * (2 * size))()
                    for i in range(2 * size):
                        values[i] = 0
                else:
                    self.begun = True
                    oldest, function = engine, self.function
                    machine.set_register(layout.DEPTH, self.depth)
                    for i, (valtype, value) in enumerate(
                        zip(functype.params, self.args, strict=True)
                    ):
                        vault.put(values, i, valtype, value)
                try:
                    trap = oldest.machine.call(oldest.machine.function(function), values, size)
                except UnsupportedError:
                    if self.failure is None:
                        raise
                    # By a trap, which wasmtime says in an error.
                    raise self.failure from None
                if trap:
                    raise self.trapped(machine, trap)
                mode = machine.register(layout.MODE)
                if not mode:
                    self.results = [
                        vault.take(values, i, t) for i, t in enumerate(functype.results)
                    ]
                    return True
                self.suspend(machine)
                if mode & layout.EXHAUSTED and not self.has_room():
                    raise Exhaustion
                if mode & layout.TRAPPED:
                    raise Trap("unreachable")
                if self.failure is not None:
                    if isinstance(self.failure, Interrupted):
                        self.interrupted = True
                        return False
                    raise self.failure
                if self.other is not None or self.youngest().safepoints.arrive():
                    return False
        finally:
            vault.going.pop()
            engine.going.pop()
            for each, most, fp in before:
                each.set_most(most)
                if each.frames:
                    # What ended in a trap has not given it back.
                    each.set_register(layout.FP, fp)
                if vault.going:
                    # What called back finds its cells as they were.
                    each.forget_records()

    def suspend(self, machine: Machine) -> None:
        """Take the frames out of the machine, or of all that they are in."""
        engine = self.engine
        self.engines = []
        if any(each is not engine for each in self.frames_of):
            found = {each: iter(self.taken(each)) for each in {*self.frames_of}}
            self.saved, self.standing = None, [next(found[each]) for each in self.frames_of]
            self.engines = [*self.frames_of]
        elif any(machine.cell(each) for each in layout.REFERENCE_COUNTS.values()):
            self.saved, self.standing = None, self.taken(engine)
        else:
            self.saved, self.standing = machine.records(), None
        self.forget(machine)

    def taken(self, engine: Guest) -> list[RawFrame]:
        """The frames that its machine has saved."""
        machine = engine.machine
        frames = engine.records.read(machine.records(), engine.reference)
        for each in layout.REFERENCE_COUNTS.values():
            machine.set(each, 0)
        return frames

    def forget(self, machine: Machine) -> None:
        """Have nothing saved any more."""
        self.frames_of.clear()
        machines = [o.machine for o in machine.vault.owners] if machine.vault.shared else [machine]
        for each in machines:
            each.set_register(layout.MODE, 0)
            each.forget_records()

    def rewind(self, machine: Machine) -> tuple[Guest, int]:
        """Have the machine enter the frames again, or all that they are of: give the function of
        the oldest, which is to be called, and whose it is."""
        engine, standing = self.engine, self.standing
        self.left = 0
        if self.saved is not None:
            records = reversed_records(self.saved)
        else:
            assert standing is not None
            if self.engines:
                self.left = len(standing)
                # Of each, the last one is its oldest.
                starts = dict(zip(self.engines, self.depths(), strict=True))
                for each, depth in starts.items():
                    written = self.records_of(each, standing)
                    each.machine.begin_rewinding(written, depth)
                oldest, function = self.engines[-1], standing[-1].function
                self.saved = self.standing = None
                return oldest, function
            records = engine.records.write(standing, engine.keep_reference)
        machine.begin_rewinding(records, self.depth)
        self.saved = self.standing = None
        return engine, function_of(records)

    def records_of(self, engine: Guest, standing: Sequence[RawFrame]) -> bytes:
        """Of those frames that are of ``engine``. Where one of them has called a function of
        another instance's through a table, the record behind it says where in the table of
        functions that is."""
        functions: list[int | None] = [None]
        for position in range(len(standing) - 1, 0, -1):
            if self.engines[position] is engine:
                callee, function = self.engines[position - 1], standing[position - 1].function
                place = None
                if callee is not engine:
                    place = engine.place_of(standing[position], callee, function)
                functions.append(place)
        own = [each for each, of in zip(standing, self.engines, strict=True) if of is engine]
        waits = self.engines[0] is not engine
        written = engine.records.write(own, engine.keep_reference, all_wait=waits)
        return with_functions(written, functions)

    def depths(self) -> list[int]:
        """How deep each of the frames starts, where they are of several engines."""
        assert self.standing is not None
        depth, depths = self.depth, []
        for frame, engine in zip(reversed(self.standing), reversed(self.engines), strict=True):
            depths.append(depth)
            points = engine.suspension_points(frame.function)
            call = points.calls.get(frame.offset)
            recursive = frame.function in engine.instance.program.recursive
            crossing = call is not None and call.may_leave(engine.spaces.imported_funcs)
            depth += rise(len(points.locals) + len(frame.stack), recursive, crossing)
        return depths[::-1]

    def has_room(self) -> bool:
        """Whether a function that found the call stack exhausted does go on all the same: of one
        that another instance has called through a table, nobody has said how deep it starts."""
        if not self.engines or self.depths()[0] >= self.most:
            return False
        machine = self.engines[0].machine
        if machine.count is not None:
            # It has come to its first safepoint after all.
            machine.set_count(machine.read_count() + 1)
        return True

    # What machines say, where several share a store.

    def saved_by(self, engine: Guest) -> None:
        """A function of ``engine`` has saved its frame: whoever has called it, of whichever
        instance, is to save its own."""
        if not self.frames_of:
            mode = engine.machine.register(layout.MODE)
            for owner in engine.machine.vault.owners:
                owner.machine.set_register(layout.MODE, mode)
        self.frames_of.append(engine)

    def entered_by(self, engine: Guest) -> None:
        """A function of ``engine`` has its frame again. Where that was the last one, the others are
        to run on when it returns."""
        if self.left:
            self.left -= 1
            if not self.left:
                for each in {*self.engines} - {engine}:
                    each.machine.end_rewinding()
                self.engines = []

    # The host.

    def call_instance(
        self, function: Function, args: Sequence[Any], depth: int, inner: bool
    ) -> Any:
        """Call a function of another instance's, from a frame so deep; ``inner``: from one that is
        another instance's as well, and cannot be suspended."""
        other = self.other
        if other is None:
            engine = function.instance.engine
            other = engine.start(function.index, args, depth, self.most)
            self.other = other
        try:
            while not call_with_room(other.advance):
                if other.interrupted:
                    raise Interrupted
                if not inner:
                    raise Suspended
        except Thrown:
            # It may be caught here.
            self.other = None
            raise
        self.other = None
        results = other.results
        return results[0] if len(results) == 1 else results

    def failed(self, error: BaseException, caller: Guest) -> None:
        """A host function that a function of ``caller`` has called has ended otherwise than by
        returning."""
        if not isinstance(error, Suspended):
            self.failure = error
        caller.machine.set_register(layout.MODE, layout.INTERRUPTED)

    # What it looks like from outside.

    def frames(self) -> list[RawFrame]:
        own = self.own_frames()
        if self.other is None:
            return own
        return [*self.other.frames(), *self.waiting(own[0]), *own[1:]]

    def waiting(self, frame: RawFrame) -> list[RawFrame]:
        """The youngest frame, which waits for ``other``: the guest has it at the boundary before
        the call, with the arguments, since it makes the call again. After a tail call none does."""
        call = self.youngest().suspension_points(frame.function).calls.get(frame.offset)
        if call is None:
            return []
        stack = frame.stack[: len(call.stack)]
        return [RawFrame(frame.instance, frame.function, frame.offset, frame.locals, stack)]

    def calling_again(self, frame: RawFrame) -> RawFrame:
        """The opposite: nobody looks at the arguments. Raises UnsupportedError."""
        engine = self.youngest()
        call = engine.suspension_points(frame.function).calls[frame.offset]
        if call.function is None:
            # Which element of the table leads out of here, nobody can say.
            raise UnsupportedError(
                "the native path cannot go on in a function that was called through a table and "
                "is another instance's (interp and aot can)"
            )
        if call.function >= engine.spaces.imported_funcs:
            # What it has called has ended in a tail call, and nothing is left to call it from.
            raise UnsupportedError(
                "the native path cannot go on in a function of another instance that was called by "
                "a tail call (interp and aot can)"
            )
        stack = [*frame.stack, *(zero(each) for each in call.type.params)]
        return RawFrame(frame.instance, frame.function, frame.offset, frame.locals, stack)

    def youngest(self) -> Guest:
        """Whose function stands still."""
        return self.engines[0] if self.engines else self.engine

    def own_frames(self) -> list[RawFrame]:
        """Those in machines."""
        if self.standing is None:
            assert self.saved is not None
            self.standing = self.engine.records.read(self.saved, self.engine.reference)
        return self.standing

    def interrupted_frame(self) -> RawFrame | None:
        if not self.interrupted or self.other is not None:
            return None
        return self.frames()[0]

    def trapped(self, machine: Machine, trap: int) -> BaseException:
        """The trap, with the places of its frames."""
        self.forget(machine)
        found: Trapped = trap_from(self.engine, machine, trap)
        self.places, self.cut = found.places, found.cut
        return found.error

    def explain(self, error: BaseException) -> BaseException:
        # A trap beneath a host function has its backtrace already.
        explained = isinstance(error, Abrupt) and bool(error.backtrace)
        if self.other is not None and not explained:
            error = self.other.explain(error)
        trap = abrupt_of(error)
        if trap is None:
            return error
        if explained:
            return trap
        places = self.places
        if not places and (self.saved is not None or self.standing is not None):
            frames = self.own_frames()
            engines = self.engines or repeat(self.engine)
            places = [Placed(e, f.function, f.offset) for e, f in zip(engines, frames)]  # noqa: B905
        trap.backtrace += tuple(
            place.engine.instance.program.located(place.function, place.offset) for place in places
        )
        trap.cut = trap.cut or self.cut
        if trap.origin is None and places:
            trap.origin = places[0].engine.instance
        return trap


class Suspended(Exception):
    """Another instance's function, which was called, stands still."""
