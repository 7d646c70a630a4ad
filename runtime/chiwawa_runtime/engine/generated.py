"""The engine of generated code: generators that are started, suspended, read and resumed.

A generated file has its functions at top level, and they name what belongs to an instance
(memories, globals, other functions) as if it were global. Each instance gets functions of its own
that share the file's code and have a namespace of their own, so nothing is looked up through an
instance while a program runs.

A suspended frame is read from outside: its variables are the Wasm locals and operands, and the line
that it stands on says at which instruction. A frame is restored by starting a generator with
``resume``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, cast

from chiwawa_runtime.engine.contract import SEVERAL, RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.polling import Polling
from chiwawa_runtime.engine.segments import (
    DEEPER,
    INTERRUPTED,
    SEGMENT,
    Chain,
    Segment,
    Segments,
    deeper,
    from_segment,
    rise,
    waiting,
)
from chiwawa_runtime.engine.translation import Bundle, Code
from chiwawa_runtime.engine.traps import GENERATED, trap_of
from chiwawa_runtime.errors import (
    CheckpointError,
    Exhaustion,
    Interrupted,
    Location,
    Trap,
)
from chiwawa_runtime.state.interface import StateOwner
from chiwawa_runtime.state.memory import Memory
from chiwawa_runtime.state.numerics import NAMESPACE, make_f32_cell, make_f32_round
from chiwawa_runtime.state.program import SuspensionPoints
from chiwawa_runtime.state.python_state import PythonState
from chiwawa_runtime.state.store import Function
from chiwawa_runtime.state.table import indirect_target
from chiwawa_runtime.state.types import ValType

#: The name in a namespace of the engine that it is of; no function may be called so.
ENGINE = "chiwawa_engine"


def unreachable() -> None:
    raise Trap("unreachable")


#: What generated code names, beside what belongs to its instance: no function may be called so.
BUILTINS: dict[str, object] = {
    **NAMESPACE,
    "inf": float("inf"),
    "unreachable": unreachable,
    "deeper": deeper,
    "indirect": indirect_target,
    "f32_cell": None,
}


class GeneratedEngine:
    """Runs one instance of a bundle."""

    sets_enter = True

    def __init__(self, bundle: Bundle, names: Mapping[str, Any] | None = None) -> None:
        """``names`` are what the sites of instruments name (see ``chiwawa.lower.sites``)."""
        self.bundle = bundle
        self.granularity = bundle.granularity
        self.canonical_nans = bundle.canonical_nans
        # A module's dict rather than a plain one: PyPy looks globals up in it without hashing.
        self.namespace: dict[str, Any] = ModuleType(GENERATED).__dict__
        self.namespace.update(BUILTINS)
        self.namespace.update(names or {})
        self.namespace[ENGINE] = self
        self.safepoints = Polling(self.namespace)
        self.imported = len(bundle.program.functions) - len(bundle.codes)
        self.codes: dict[CodeType, tuple[int, Code]] = {}
        self.functions: list[Callable[..., Any]] = []
        self.generation = 0
        self.state: StateOwner = PythonState()
        self.instance: ModuleInstance
        #: The instance's, with their own side: ``state`` has made or accepted them.
        self.memories: Sequence[Memory] = ()

    def attach(self, instance: ModuleInstance) -> None:
        self.instance = instance
        names = self.namespace
        names["f32_round"] = make_f32_round()
        names["f32_cell"] = make_f32_cell()
        self.memories = cast(Sequence[Memory], instance.memories)
        for index, memory in enumerate(self.memories):
            names[f"mem{index}"] = memory
            memory.follow(self)
        self.take_memories()
        for prefix, things in (
            ("table", instance.tables),
            ("g", instance.globals),
            ("elem", instance.elems),
            ("data", instance.datas),
            ("ref", instance.functions),
            ("type", self.bundle.program.types),
        ):
            names.update((f"{prefix}{i}", thing) for i, thing in enumerate(things))
        for index, function in enumerate(instance.functions[: self.imported]):
            names[self.bundle.imported_names[index]] = crossing(function)
        self.take_functions()

    def take_memories(self) -> None:
        """Have the names of the instance's memories stand for their bytes."""
        for index, memory in enumerate(self.memories):
            self.namespace[f"m{index}"] = memory.raw

    def replace_code(self, bundle: Bundle) -> None:
        """Go on with the functions of another translation of the same program, of the same
        granularity and with the same NaNs. Frames of the present one stay what they are until they
        are restored."""
        self.bundle = bundle
        self.generation += 1
        self.take_functions()

    def take_functions(self) -> None:
        self.functions = []
        for index, code in enumerate(self.bundle.codes, self.imported):
            first = self.at_first(index, code)
            self.functions.append(first)
            self.place(index, code.function.name, first)

    def own(self, index: int, code: Code, source: FunctionType) -> FunctionType:
        """A function of this instance with the code of ``source``."""
        # PyPy speeds up lookups in the one namespace that a code object was made with.
        copy = source.__code__.replace()
        self.codes[copy] = (index, code)
        return FunctionType(copy, self.namespace, source.__name__, source.__defaults__)

    def place(self, index: int, name: str, own: Callable[..., Any]) -> None:
        """Have ``own`` called as the function ``index``, from wherever."""
        self.namespace[name] = own
        function = self.instance.functions[index]
        if self.bundle.codes[index - self.imported].generator:
            function.enter = own
        else:
            function.direct = own
            function.enter = entering(own)

    def at_first(self, index: int, code: Code) -> Callable[..., Any]:
        """What stands for a function until it has been called."""
        source = code.function
        made: list[FunctionType] = []
        generation = self.generation

        def first(*args: Any) -> Any:
            if not made:
                own = self.own(index, code, source.made())
                made.append(own)
                if self.generation == generation:
                    self.functions[index - self.imported] = own
                    # A name that was never bound twice is a constant to PyPy.
                    del self.namespace[source.name]
                    self.place(index, source.name, own)
            return made[0](*args)

        return first

    def suspension_points(self, function: int) -> SuspensionPoints:
        return self.bundle.codes[function - self.imported].points

    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        return self.suspension_points(function).operands(offset)

    def start(self, function: int, args: Sequence[Any], depth: int) -> GeneratedActivation:
        enter = self.instance.functions[function].enter
        if function < self.imported:
            enter = self.namespace[self.bundle.imported_names[function]]
        assert enter is not None
        return GeneratedActivation(self, Segments.of_call(enter, args, depth), function)

    def restore(self, frames: Sequence[RawFrame]) -> GeneratedActivation:
        recursive = self.bundle.program.recursive
        depth = base = 0
        #: Of each frame, the oldest first: the base of its segment, and its depth from there.
        places = []
        for frame in reversed(frames):
            if depth - base >= SEGMENT:
                base, _ = from_segment(depth)
            places.append((base, depth - base))
            depth += self.deeper(frame, frame.function in recursive)
        segments: list[Segment] = []
        callee: Chain | None = None
        made: list[Chain] = []
        first = 0
        for position, (frame, (base, depth)) in enumerate(
            zip(frames, reversed(places), strict=True)
        ):
            callee = self.again(frame, depth, callee, position == 0)
            made.append(callee)
            older = len(places) - position - 2
            if older < 0 or places[older][0] != base:
                segments.append(Segment(callee, base, made, frames[first : position + 1]))
                callee, made, first = waiting(), [], position + 1
        activation = GeneratedActivation(self, Segments(segments[::-1]), frames[-1].function)
        activation.counted = True
        return activation

    def again(self, frame: RawFrame, depth: int, callee: Chain | None, youngest: bool) -> Chain:
        """The function of ``frame``, which goes on from there when it begins, as deep as that in
        its segment. ``callee`` is what it waits for."""
        code = self.bundle.codes[frame.function - self.imported]
        params = len(self.bundle.program.functions[frame.function].params)
        missing = [None] * (code.slots - len(frame.stack))
        place = frame.offset if youngest else frame.offset + 1
        resume = (place, *frame.locals, *frame.stack, *missing, callee)
        own = self.functions[frame.function - self.imported]
        return own(*frame.locals[:params], depth, resume)  # type: ignore[no-any-return]

    def deeper(self, frame: RawFrame, recursive: bool) -> int:
        """How much deeper than ``frame`` its callee starts."""
        call = None if recursive else self.suspension_points(frame.function).calls.get(frame.offset)
        indirect = call is not None and call.function is None
        return rise(len(frame.locals) + len(frame.stack), recursive, indirect)

    def location(self, frame: FrameType, line: int) -> Location | None:
        """The Wasm location of a Python frame at ``line``, where it is one of this instance."""
        found = self.codes.get(frame.f_code)
        if found is None:
            return None
        index, code = found
        offset = code.lines.get(line - frame.f_code.co_firstlineno, 0)
        return Location(index, offset, self.bundle.program.function_names.get(index))

    def read(self, frame: FrameType, line: int, youngest: bool) -> RawFrame:
        """The Wasm frame that a Python frame at ``line`` is. Raises CheckpointError where it is
        another instance's."""
        location = self.location(frame, line)
        stack: tuple[ValType, ...] | None = None
        if location is not None:
            points = self.suspension_points(location.function)
            if youngest:
                stack = points.operands(location.offset)
            elif location.offset in points.calls:
                stack = points.calls[location.offset].stack
        if location is None or stack is None:
            # Another instance's, or one that waits for another instance.
            raise CheckpointError(SEVERAL)
        values = frame.f_locals
        return RawFrame(
            location.function,
            location.offset,
            [values[f"l{i}"] for i in range(len(points.locals))],
            [values[f"s{i}"] for i in range(len(stack))],
        )


def entering(function: Callable[..., Any]) -> Callable[..., Chain]:
    """A generator function around a plain one, for callers that cannot know which it is."""

    def enter(*args: Any) -> Chain:
        return function(*args[:-1])
        yield

    return enter


def traversed(error: BaseException) -> Iterator[tuple[GeneratedEngine, FrameType, int]]:
    """The frames of generated functions, of whichever instance, that an exception went through,
    with the lines that they were at, the oldest first. They keep their variables."""
    traceback = error.__traceback__
    while traceback is not None:
        frame, line = traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next
        engine: GeneratedEngine | None = frame.f_globals.get(ENGINE)
        if engine is None or frame.f_code not in engine.codes:
            continue
        if (
            traceback is not None
            and traceback.tb_frame.f_code is DEEPER
            and traceback.tb_next is not None
        ):
            # It has done nothing: it was called again in the next segment.
            continue
        yield engine, frame, line


def taken_back(interrupted: Interrupted, base: int, own: GeneratedEngine) -> Segment | None:
    """The segment that an interruption went through, at the boundary before the call that was
    interrupted: its generators are gone, but their frames are not. None where there is none."""
    callee: Chain | None = None
    made: list[Chain] = []
    frames: list[RawFrame] | None = []
    for engine, place, line in reversed(list(traversed(interrupted))):
        frame = engine.read(place, line, not made)
        callee = engine.again(frame, place.f_locals["depth"], callee, not made)
        made.append(callee)
        if engine is not own:
            frames = None
        if frames is not None:
            frames.append(frame)
    return None if callee is None else Segment(callee, base, made, frames)


def crossing(function: Function) -> Callable[..., Chain]:
    """How an instance enters a function that it imports: recursion that runs through several
    instances is counted here, since none of them sees the cycle."""
    if function.host is not None:
        assert function.enter is not None
        return function.enter

    def enter(*args: Any) -> Chain:
        # Looked up each time: instruments may have had it prepared anew.
        return function.enter(*args)

    def enter_across(*args: Any) -> Chain:
        *values, depth = args
        if depth >= SEGMENT:
            return (yield from deeper(enter, depth, *values))
        callee = enter(*args)
        while True:
            try:
                return (yield from callee)
            except Interrupted as interrupted:
                # The caller's frame could not be made again: it waits for another instance.
                engine = function.instance.engine  # type: ignore[union-attr]
                again = taken_back(interrupted, 0, engine)  # type: ignore[arg-type]
                if again is None:
                    raise
                callee = again.generator
            yield INTERRUPTED

    return enter_across


class GeneratedActivation:
    """A call of a generated function, in segments of generators."""

    def __init__(self, engine: GeneratedEngine, segments: Segments, function: int) -> None:
        self.engine = engine
        self.segments = segments
        self.function = function
        self.results: list[Any] = []
        #: Whether the safepoint that it goes on at has been counted.
        self.counted = False
        self.interrupted = False

    def advance(self) -> bool:
        if self.counted:
            self.engine.safepoints.repeat()
        self.counted = self.interrupted = False
        segments = self.segments
        try:
            if not segments.advance():
                self.interrupted = segments.interrupted
                return False
        except Interrupted as interrupted:
            youngest = segments.segments[-1]
            again = taken_back(interrupted, youngest.base, self.engine)
            if again is None:
                raise
            segments.segments[-1] = again
            self.counted = self.interrupted = True
            return False
        value = segments.value
        count = len(self.engine.bundle.program.functions[self.function].results)
        self.results = [] if count == 0 else [value] if count == 1 else list(value)
        return True

    def __del__(self) -> None:
        self.segments.close()

    def interrupted_frame(self) -> RawFrame | None:
        frames = self.segments.segments[-1].frames if self.counted and self.interrupted else None
        return frames[0] if frames else None

    def frames(self) -> list[RawFrame]:
        result: list[RawFrame] = []
        for segment in reversed(self.segments.segments):
            if segment.made is not None:
                if segment.frames is None:
                    raise CheckpointError(SEVERAL)
                result += segment.frames
                continue
            for place in reversed(segment.places()):
                result.append(self.engine.read(place, place.f_lineno, not result))
        return result

    def explain(self, error: BaseException) -> BaseException:
        """The trap that ``error`` is, where it is one, with where the frames of generated code are,
        of this and of other instances."""
        locations: list[Location] = []
        origin = None
        for engine, frame, line in traversed(error):
            location = engine.location(frame, line)
            assert location is not None
            locations.append(location)
            origin = engine.instance
        trap = trap_of(error)
        if trap is None:
            if not isinstance(error, RecursionError | MemoryError) or not locations:
                return error
            trap = Exhaustion()
        if trap.backtrace:
            return trap
        trap.backtrace, trap.origin = tuple(reversed(locations)), origin
        return trap
