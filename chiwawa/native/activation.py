"""A call in progress of a rewritten module's function."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from chiwawa.native import layout
from chiwawa.native.guest import Guest
from chiwawa.native.machine import Machine
from chiwawa.native.records import function_of, reversed_records
from chiwawa.native.room import call_in_thread, is_in_room
from chiwawa.native.traps import Placed, Trapped, trap_from
from chiwawa_runtime.engine.contract import Activation, RawFrame
from chiwawa_runtime.engine.deep import call_with_room
from chiwawa_runtime.engine.traps import abrupt_of
from chiwawa_runtime.errors import (
    Abrupt,
    Exhaustion,
    Interrupted,
    RunError,
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
        #: How deep a host function is called by the youngest frame, while this goes on.
        self.called_at: ctypes.c_uint32 = ctypes.c_uint32()
        #: The count of safepoints, while the machine's says something else.
        self.count: int | None = None

    # Going on.

    def restored(self, frames: Sequence[RawFrame], other: Activation | None) -> None:
        """Stand in ``frames``, the youngest of which has called ``other``, if there is one."""
        self.standing = list(frames)
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
            if engine.safepoints.arrive():
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
        safepoints = engine.safepoints
        functype = engine.spaces.funcs[self.function]
        size = max(len(functype.params), len(functype.results))
        values = (ctypes.c_uint64 * (2 * size))()
        vault = machine.vault
        beneath: Guest | None = vault.going[-1].engine if vault.going else None
        self.called_at = machine.depth
        most = machine.most
        machine.set_most(self.most)
        fp = machine.register(layout.FP) if machine.frames else 0
        vault.going.append(self)
        engine.going.append(self)
        if vault.shared:
            if beneath is not None:
                beneath.safepoints.enable(False)
            safepoints.enable(True)
        try:
            while True:
                if self.begun:
                    oldest = self.rewind(machine)
                    if oldest != self.function:
                        # The function has ended in a tail call.
                        self.function = oldest
                        size = max(len(engine.spaces.funcs[oldest].params), size)
                        values = (ctypes.c_uint64 * (2 * size))()
                    for i in range(2 * size):
                        values[i] = 0
                else:
                    self.begun = True
                    machine.set_register(layout.DEPTH, self.depth)
                    for i, (valtype, value) in enumerate(
                        zip(functype.params, self.args, strict=True)
                    ):
                        vault.put(values, i, valtype, value)
                try:
                    trap = machine.call(machine.function(self.function), values, size)
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
                if mode & layout.EXHAUSTED:
                    raise Exhaustion
                if mode & layout.TRAPPED:
                    raise Trap("unreachable")
                if self.failure is not None:
                    if isinstance(self.failure, Interrupted):
                        self.interrupted = True
                        return False
                    raise self.failure
                if self.other is not None or safepoints.arrive():
                    return False
        finally:
            vault.going.pop()
            engine.going.pop()
            machine.set_most(most)
            if machine.frames:
                # What ended in a trap has not given it back.
                machine.set_register(layout.FP, fp)
            if vault.shared:
                safepoints.enable(False)
                if beneath is not None:
                    beneath.safepoints.enable(True)
            if beneath is engine:
                # What called back finds its cells as they were.
                machine.forget_records()

    def suspend(self, machine: Machine) -> None:
        """Take the frames out of the machine."""
        records = machine.records()
        machine.set_register(layout.MODE, 0)
        machine.forget_records()
        if any(machine.cell(each) for each in layout.REFERENCE_COUNTS.values()):
            self.standing = self.engine.records.read(records, self.engine.reference)
            for each in layout.REFERENCE_COUNTS.values():
                machine.set(each, 0)
            self.saved = None
        else:
            self.saved, self.standing = records, None

    def rewind(self, machine: Machine) -> int:
        """Have the machine enter the frames again: give the function of the oldest, which is to be
        called."""
        engine = self.engine
        if self.saved is not None:
            records = reversed_records(self.saved)
        else:
            assert self.standing is not None
            records = engine.records.write(self.standing, engine.keep_reference)
        machine.put_records(records)
        machine.set_register(layout.DEPTH, self.depth)
        machine.set_register(layout.MODE, layout.REWINDING)
        for i in range(3):
            machine.set_byte(layout.CEILING + i, 0)
        if machine.count is not None:
            count = machine.read_count()
            ctypes.c_uint64.from_address(machine.base + layout.RESUMED_COUNT).value = count
            machine.set_count(layout.REWINDING_COUNT)
        machine.set_byte(layout.POLL + 3, 1)
        self.saved = self.standing = None
        return function_of(records)

    # The host.

    def call_instance(self, function: Function, args: Sequence[Any], inner: bool) -> Any:
        """Call a function of another instance's, from a frame; ``inner``: from one that is another
        instance's as well, and cannot be suspended."""
        other = self.other
        if other is None:
            engine = function.instance.engine
            depth = self.called_at.value % layout.TAIL_CALLED
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

    def failed(self, error: BaseException) -> None:
        """A host function has ended otherwise than by returning."""
        if not isinstance(error, Suspended):
            self.failure = error
        self.engine.machine.set_register(layout.MODE, layout.INTERRUPTED)

    def failed_inside(self, error: BaseException) -> None:
        """A host function that another instance's function has called has ended so. That function
        has been called without an activation of its own, and has no frames that could be kept."""
        if isinstance(error, Interrupted):
            error = RunError(
                "a host function cannot be interrupted here: the native path has called it from "
                "a function that is in another instance's table"
            )
        self.failure = error

    # What it looks like from outside.

    def frames(self) -> list[RawFrame]:
        own = self.own_frames()
        if self.other is None:
            return own
        return [*self.other.frames(), *self.waiting(own[0]), *own[1:]]

    def waiting(self, frame: RawFrame) -> list[RawFrame]:
        """The youngest frame, which waits for ``other``: the guest has it at the boundary before
        the call, with the arguments, since it makes the call again. After a tail call none does."""
        call = self.engine.suspension_points(frame.function).calls.get(frame.offset)
        if call is None:
            return []
        stack = frame.stack[: len(call.stack)]
        return [RawFrame(frame.instance, frame.function, frame.offset, frame.locals, stack)]

    def calling_again(self, frame: RawFrame) -> RawFrame:
        """The opposite: nobody looks at the arguments. Raises UnsupportedError."""
        call = self.engine.suspension_points(frame.function).calls[frame.offset]
        if call.function is None:
            # Which element of the table leads out of here, nobody can say.
            raise UnsupportedError(
                "the native path cannot go on in a function that was called through a table and "
                "is another instance's (interp and aot can)"
            )
        if call.function >= self.engine.spaces.imported_funcs:
            # What it has called has ended in a tail call, and nothing is left to call it from.
            raise UnsupportedError(
                "the native path cannot go on in a function of another instance that was called by "
                "a tail call (interp and aot can)"
            )
        stack = [*frame.stack, *(zero(each) for each in call.type.params)]
        return RawFrame(frame.instance, frame.function, frame.offset, frame.locals, stack)

    def own_frames(self) -> list[RawFrame]:
        """Those of this instance."""
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
        machine.set_register(layout.MODE, 0)
        machine.forget_records()
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
            places = [Placed(self.engine, each.function, each.offset) for each in frames]
        trap.backtrace += tuple(
            place.engine.instance.program.located(place.function, place.offset) for place in places
        )
        trap.cut = trap.cut or self.cut
        if trap.origin is None and places:
            trap.origin = places[0].engine.instance
        return trap


class Suspended(Exception):
    """Another instance's function, which was called, stands still."""
