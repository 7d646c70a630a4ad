"""The interpreter's engine: frames, and the loop that steps them (spec 4.4.8).

Wasm calls push a frame here and never a Python one, so depth costs only memory. What a frame holds
between two segments is exactly what a checkpoint says of it.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chiwawa.interp.prepare import (
    BR,
    BR_IF,
    BR_ON,
    BR_TABLE,
    CALL,
    CALL_INDIRECT,
    CALL_REF,
    IF,
    NEXT,
    ON_JUMP,
    ON_NEXT,
    RETURN,
    RETURN_CALL,
    RETURN_CALL_INDIRECT,
    RETURN_CALL_REF,
    THROW,
    THROW_REF,
    UNREACHABLE,
    PreparedFunction,
    Segment,
    prepare,
)
from chiwawa.interp.site_handlers import SITES, SiteHandlers
from chiwawa.lower.lowered import Lowered, Spaces, lower, recursive_functions
from chiwawa.lower.points import UnsetAt, points_of
from chiwawa.lower.sites import SitesOf
from chiwawa_runtime.engine.contract import SEVERAL_ENGINES, Activation, RawFrame
from chiwawa_runtime.engine.deep import call_with_room
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.polling import Polling
from chiwawa_runtime.engine.segments import MAX_DEPTH
from chiwawa_runtime.engine.traps import HANDLERS, abrupt_of
from chiwawa_runtime.errors import Abrupt, CheckpointError, Exhaustion, Interrupted, Trap
from chiwawa_runtime.state.exceptions import ExceptionInstance
from chiwawa_runtime.state.heap import callable_reference
from chiwawa_runtime.state.interface import StateOwner
from chiwawa_runtime.state.program import SuspensionPoints
from chiwawa_runtime.state.python_state import PythonState
from chiwawa_runtime.state.stacks import unrolled
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.table import indirect_target
from chiwawa_runtime.state.throwing import Thrown, throw, throw_ref
from chiwawa_runtime.state.types import ValType

#: What ``run_segments`` says where no segment has ended, beside the endings of segments.
SUSPENDED = -1


class Frame:
    """A function being run. ``segment`` is the one to run, or the one that ended in the call in
    progress. ``depth`` counts the frames beneath that can recur."""

    __slots__ = ("code", "depth", "engine", "locals", "segment", "stack")

    def __init__(
        self, engine: InterpreterEngine, code: PreparedFunction, locals_: list[Any], depth: int
    ) -> None:
        self.engine = engine
        self.code = code
        self.locals = locals_
        self.stack: list[Any] = []
        self.segment: Segment = code.entry
        self.depth = depth


class InterpreterEngine:
    """Runs one instance of a module."""

    sets_enter = False
    parallel = False

    def __init__(
        self,
        spaces: Spaces,
        *,
        everywhere: bool = False,
        canonical_nans: bool = False,
        sites_of: SitesOf | None = None,
        names: Mapping[str, Any] | None = None,
    ) -> None:
        """``sites_of`` and ``names`` are instruments' (see ``chiwawa.lower.sites``)."""
        self.spaces = spaces
        self.sites_of = sites_of
        self.names = names or {}
        self.everywhere = everywhere
        self.granularity = "instruction" if everywhere else "safepoint"
        self.canonical_nans = canonical_nans
        self.recursive = recursive_functions(spaces)
        self.instance: ModuleInstance
        self.prepared: dict[int, PreparedFunction] = {}
        self.known_points: dict[int, SuspensionPoints] = {}
        self.generation = 0
        self.state: StateOwner = PythonState()
        self.names_polled: dict[str, Any] = {}
        self.safepoints = Polling(self.names_polled)

    def attach(self, instance: ModuleInstance) -> None:
        self.instance = instance

    def replace_code(self) -> None:
        """Prepare functions anew, for calls from now on. Frames stay as they are until restored."""
        self.generation += 1
        self.prepared = {}

    def prepare(self, lowered: Lowered, split: int | None = None) -> PreparedFunction:
        sites = None if self.sites_of is None else self.sites_of(lowered)
        site_handlers = (
            None if sites is None else SiteHandlers(lowered, sites, self.instance, self.names)
        )
        recursive = lowered.index in self.recursive
        return prepare(lowered, self.instance, recursive, split=split, site_handlers=site_handlers)

    def code(self, function: int) -> PreparedFunction:
        code = self.prepared.get(function)
        if code is None:
            lowered = lower(self.spaces, function, everywhere=self.everywhere)
            code = self.prepared[function] = self.prepare(lowered)
        return code

    def suspension_points(self, function: int) -> SuspensionPoints:
        points = self.known_points.get(function)
        if points is None:
            code = self.code(function)
            points = points_of(code.lowered)
            if code.lowered.unsettled:
                # Frames that have been saved elsewhere may stand at any boundary.
                points = replace(points, unset=UnsetAt(code.lowered, code.positions))
            self.known_points[function] = points
        return points

    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        code = self.code(function)
        position = code.positions.get(offset)
        return None if position is None else unrolled(code.lowered.stack_at(position))

    def unset(self, function: int, offset: int) -> Collection[int]:
        code = self.code(function)
        return code.lowered.unset_at(code.positions[offset])

    def start(
        self, function: int, args: Sequence[Any], depth: int, most: int = MAX_DEPTH
    ) -> Interpretation:
        activation = Interpretation(self, most)
        activation.enter(self.instance.functions[function], list(args), depth, None)
        return activation

    def restore(self, frames: Sequence[RawFrame], most: int = MAX_DEPTH) -> Interpretation:
        activation = Interpretation(self, most)
        depth = 0
        for raw in reversed(frames):
            youngest = raw is frames[0]
            engine = raw.instance.engine
            if not isinstance(engine, InterpreterEngine):
                raise CheckpointError(SEVERAL_ENGINES)
            code = engine.code(raw.function)
            position = code.positions[raw.offset]
            if youngest and position not in code.at:
                code = engine.prepare(code.lowered, split=position)
            frame = Frame(engine, code, list(raw.locals), depth)
            frame.stack = list(raw.stack)
            frame.segment = code.at[position] if youngest else code.calls[position]
            activation.stack.append(frame)
            depth += frame.segment.deeper
        activation.counted = True
        return activation


class Interpretation:
    """A call in progress: frames, the oldest first. Of functions that count, none may start
    ``most`` deep."""

    def __init__(self, engine: InterpreterEngine, most: int) -> None:
        self.engine = engine
        self.most = most
        self.stack: list[Frame] = []
        self.results: list[Any] = []
        #: A call of another engine's function, on top of all frames.
        self.other: Activation | None = None
        #: Whether it goes on behind the test for requests at a safepoint: it was suspended there.
        self.tested = False
        #: Whether the safepoint that it goes on at has been counted, but is to be tested again.
        self.counted = False
        self.interrupted = False
        #: Where the youngest frame trapped, once it has.
        self.trapped: int | None = None

    def advance(self) -> bool:
        if self.counted:
            engine = self.stack[-1].engine if self.stack else self.engine
            engine.safepoints.repeat()
        self.counted = self.interrupted = False
        try:
            return self.run()
        except Interrupted:
            # The youngest frame is at the boundary before the call, whose operands it has again.
            self.counted = self.interrupted = True
            return False
        except BaseException:
            if self.trapped is None and self.stack:
                self.trapped = self.stack[-1].segment.offsets[-1]
            raise

    def run(self) -> bool:
        """Run until there is no frame (True) or the call is suspended (False). Exceptions that are
        thrown go to whatever handles them, if anything does."""
        while True:
            try:
                return self.advance_other() and self.run_frames()
            except Thrown as thrown:
                if not self.catch(thrown.exception):
                    raise

    def catch(self, exception: ExceptionInstance) -> bool:
        """Go on with the youngest handler for ``exception``; False where there is none, and all
        frames are left as they are."""
        stack = self.stack
        for position in range(len(stack) - 1, -1, -1):
            frame = stack[position]
            for catch in frame.segment.catches:
                if catch.tag is not None and catch.tag is not exception.tag:
                    continue
                for gone in reversed(stack[position + 1 :]):
                    if gone.code.unwound is not None:
                        gone.code.unwound(gone.stack, gone.locals)
                del stack[position + 1 :]
                operands = frame.stack
                del operands[catch.height :]
                if catch.beneath:
                    operands.append(exception)
                if catch.tag is not None:
                    operands += exception.held
                if catch.above:
                    operands.append(exception)
                frame.segment = catch.segment
                self.other = self.trapped = None
                return True
        return False

    def run_frames(self) -> bool:
        """Run the youngest frame, and what it calls and returns to, until there is no frame (True)
        or the call is suspended (False)."""
        stack = self.stack
        while stack:
            frame = stack[-1]
            ending = self.run_segments(frame)
            if ending == RETURN:
                self.return_(frame)
                continue
            if ending == CALL:
                self.call(frame, frame.segment.argument, frame.engine.instance)
            elif ending in (CALL_INDIRECT, RETURN_CALL_INDIRECT):
                self.call_indirect(frame, ending == RETURN_CALL_INDIRECT)
            elif ending == RETURN_CALL:
                self.call(frame, frame.segment.argument, frame.engine.instance, True)
            elif ending in (CALL_REF, RETURN_CALL_REF):
                self.call_ref(frame, ending == RETURN_CALL_REF)
            elif ending == UNREACHABLE:
                raise Trap("unreachable")
            elif ending == THROW:
                tag = frame.segment.argument
                operands = frame.stack
                throw(tag, *operands[len(operands) - len(tag.type.type.params) :])
            elif ending == THROW_REF:
                throw_ref(frame.stack[frame.segment.argument])
            else:
                assert ending == SUSPENDED
                return False
            if self.other is not None and not self.advance_other():
                return False
        return True

    def run_segments(self, frame: Frame) -> int:
        """Run segments of one function, from that of ``frame`` to one that ends in a call or leaves
        the function: how that one ends. Or SUSPENDED, where a request is pending at a segment's
        start. ``frame`` has that segment then, and where something is raised."""
        operands, locals_ = frame.stack, frame.locals
        segment = frame.segment
        # Of whichever instance the function is: it is that one which counts, and is asked.
        names = frame.engine.names_polled
        handlers: Any = None
        try:
            while True:
                if segment.safepoint:
                    if self.tested:
                        self.tested = False
                    elif names["poll"]:
                        self.tested = True
                        return SUSPENDED
                handlers = iter(segment.handlers)
                for handler in handlers:
                    handler(operands, locals_)
                ending = segment.ending
                if ending == BR_IF:
                    if not operands.pop():
                        segment = segment.next  # type: ignore[assignment]
                        continue
                    jump = segment.argument
                elif ending == BR:
                    jump = segment.argument
                elif ending == NEXT:
                    segment = segment.next  # type: ignore[assignment]
                    continue
                elif ending == IF:
                    taken = operands.pop()
                    segment = segment.next if taken else segment.argument.segment  # type: ignore[assignment]
                    continue
                elif ending == BR_TABLE:
                    index = operands.pop()
                    jumps = segment.argument
                    jump = jumps[index] if index < len(jumps) else jumps[-1]
                elif ending == BR_ON:
                    test, jump, drops = segment.argument
                    if not test(operands[-1]):
                        if drops == ON_NEXT:
                            operands.pop()
                        segment = segment.next  # type: ignore[assignment]
                        continue
                    if drops == ON_JUMP:
                        operands.pop()
                else:
                    return ending
                if jump.drop:
                    height = jump.height
                    del operands[height : height + jump.drop]
                segment = jump.segment
        except BaseException as error:
            if not isinstance(error, Interrupted):
                self.trapped = offset_of(error, segment, handlers)
            raise
        finally:
            frame.segment = segment

    def return_(self, frame: Frame) -> None:
        """Give what the youngest frame returns to its caller, which goes on behind its call."""
        arity = frame.code.arity
        values = frame.stack[len(frame.stack) - arity :] if arity else []
        self.stack.pop()
        if not self.stack:
            self.results = values
            return
        caller = self.stack[-1]
        caller.stack += values
        caller.segment = caller.segment.next  # type: ignore[assignment]

    def call_indirect(self, frame: Frame, tail: bool) -> None:
        """Call the function whose index in a table is the topmost operand."""
        table, functype = frame.segment.argument
        index = frame.stack.pop()
        try:
            self.call(frame, indirect_target(table, index, functype), None, tail)
        except Interrupted:
            frame.stack.append(index)
            raise

    def call_ref(self, frame: Frame, tail: bool) -> None:
        """Call the function that the topmost operand refers to."""
        function = frame.stack.pop()
        try:
            self.call(frame, callable_reference(function), None, tail)
        except Interrupted:
            frame.stack.append(function)
            raise

    def call(
        self,
        frame: Frame,
        function: Function,
        named_by: ModuleInstance | None,
        tail: bool = False,
    ) -> None:
        """Call ``function`` with arguments from the operands of ``frame``, which is the youngest.
        An interrupted call has taken none. Where it is a ``tail`` call, the frame is gone before
        the function begins, unless that is the host's."""
        operands = frame.stack
        count = len(function.type.params)
        if count:
            args = operands[-count:]
            del operands[-count:]
        else:
            args = []
        if tail and function.instance is not None:
            self.stack.pop()
            if frame.code.exit is not None:
                frame.code.exit(operands, frame.locals)
            self.enter(function, args, frame.depth, None)
            return
        try:
            self.enter(function, args, frame.depth + frame.segment.deeper, named_by)
        except Interrupted:
            operands += args
            raise

    def enter(
        self, function: Function, args: list[Any], depth: int, named_by: ModuleInstance | None
    ) -> None:
        """Begin a call of ``function``: push its frame, where an interpreter runs it; have its
        engine begin the call, where another does; and else call the host to its end. ``named_by``
        is the instance whose code names the function, if it does: it may be one that is imported,
        which counts towards the depth whatever it is."""
        instance = function.instance
        engine = None if instance is None else instance.engine
        if isinstance(engine, InterpreterEngine):
            # Inline what ``code`` begins with: calls are frequent.
            code = engine.prepared.get(function.index) or engine.code(function.index)
            frame = Frame(engine, code, args + code.zeros, depth)
            if depth >= self.most:
                self.check_depth(frame, named_by is not None and named_by is not instance)
            self.stack.append(frame)
        elif engine is not None:
            self.other = engine.start(function.index, args, depth, self.most)
        else:
            assert function.call_at is not None
            value = function.call_at(depth, args)
            count = len(function.type.results)
            self.take_results([value] if count == 1 else value if count else ())

    def check_depth(self, frame: Frame, imported: bool) -> None:
        """Raises Exhaustion where there is no room for ``frame``, so deep as it would be: in the
        caller, where that imports the function, and else at its own beginning."""
        if not imported and frame.code.recursive:
            self.stack.append(frame)
            self.trapped = frame.code.lowered.body[0].offset
        if imported or frame.code.recursive:
            raise Exhaustion

    def advance_other(self) -> bool:
        """Go on with the call of another engine's function, if there is one in progress; whether
        there is none any more."""
        other = self.other
        if other is None:
            return True
        if not call_with_room(other.advance):
            self.interrupted = other.interrupted
            return False
        self.other = None
        self.take_results(other.results)
        return True

    def take_results(self, results: Iterable[Any]) -> None:
        """Give what a call returned that has no frame here to the youngest frame, which has made
        it; to whoever has made this call, where there is none."""
        if not self.stack:
            self.results.extend(results)
            return
        frame = self.stack[-1]
        frame.stack.extend(results)
        assert frame.segment.next is not None
        frame.segment = frame.segment.next

    def interrupted_frame(self) -> RawFrame | None:
        if not (self.counted and self.interrupted) or self.stack[-1].engine is not self.engine:
            return None
        frame = self.stack[-1]
        instance = self.engine.instance
        return RawFrame(instance, frame.code.index, frame.segment.offset, frame.locals, frame.stack)

    def frames(self) -> list[RawFrame]:
        result = [] if self.other is None else list(self.other.frames())
        for frame in reversed(self.stack):
            segment = frame.segment
            # A caller waits in the call that ends its segment; the youngest is at its start.
            offset = segment.offsets[-1] if result else segment.offset
            instance = frame.engine.instance
            result.append(RawFrame(instance, frame.code.index, offset, frame.locals, frame.stack))
        return result

    def explain(self, error: BaseException) -> BaseException:
        """The trap that ``error`` is, where it is one, with the places of all frames."""
        # A trap beneath a host function has its backtrace already.
        explained = isinstance(error, Abrupt) and bool(error.backtrace)
        if self.other is not None and not explained:
            error = self.other.explain(error)
        trap = abrupt_of(error)
        if trap is None:
            return error
        if not explained:
            locations = list(trap.backtrace)
            for frame in reversed(self.stack):
                youngest = frame is self.stack[-1]
                offset = self.trapped if youngest else frame.segment.offsets[-1]
                index = frame.code.index
                locations.append(frame.engine.instance.program.located(index, offset or 0))
            trap.backtrace = tuple(locations)
            if trap.origin is None and self.stack:
                trap.origin = self.stack[-1].engine.instance
        return trap


def offset_of(error: BaseException, segment: Segment, handlers: Any) -> int:
    """The code offset of the instruction that raised ``error``. ``handlers`` is the iterator over
    those of ``segment``."""
    beneath = error.__traceback__.tb_next if error.__traceback__ is not None else None
    if beneath is None or beneath.tb_frame.f_code.co_filename not in (HANDLERS, SITES):
        return segment.offsets[-1]
    # The iterator stands behind the handler that it gave last.
    return segment.offsets[len(segment.handlers) - operator.length_hint(handlers) - 1]
