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

from collections.abc import Callable, Generator, Mapping, Sequence
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from chiwawa_runtime.bundle import Bundle, Code
from chiwawa_runtime.deferred import Deferred
from chiwawa_runtime.errors import BadInput, CheckpointError, Exhaustion, Location, Trap
from chiwawa_runtime.instance import (
    DEEPEST,
    Instance,
    RawFrame,
    crossing,
    exhausted,
    indirect_target,
    weight,
)
from chiwawa_runtime.numerics import NAMESPACE, make_f32_cell, make_f32_round
from chiwawa_runtime.program import Points
from chiwawa_runtime.requests import Interrupted
from chiwawa_runtime.traps import GENERATED, trap_of
from chiwawa_runtime.types import ValType

#: The name in a namespace of the engine that it is of; no function may be called so.
ENGINE = "chiwawa_engine"
#: So many functions, none of which can recur, need no more of the stack than Python ever has.
SHALLOW = 100


def unreachable() -> None:
    raise Trap("unreachable")


#: What generated code names, beside what belongs to its instance: no function may be called so.
BUILTINS: dict[str, object] = {
    **NAMESPACE,
    "inf": float("inf"),
    "unreachable": unreachable,
    "exhausted": exhausted,
    "indirect": indirect_target,
    "DEEPEST": DEEPEST,
    "f32_cell": None,
}


class GeneratedEngine:
    """Runs one instance of a bundle."""

    def __init__(self, bundle: Bundle, names: Mapping[str, Any] | None = None) -> None:
        """``names`` are what the sites of instruments name (see ``chiwawa.sites``)."""
        self.bundle = bundle
        # Few functions that cannot recur fit on any stack, and need no thread for each call.
        self.deep = bool(bundle.program.recursive) or len(bundle.codes) > SHALLOW
        self.granularity = bundle.granularity
        self.canonical_nans = bundle.canonical_nans
        # A module's dict rather than a plain one: PyPy looks globals up in it without hashing.
        self.namespace: dict[str, Any] = ModuleType(GENERATED).__dict__
        self.namespace.update(BUILTINS)
        self.namespace.update(names or {})
        self.namespace[ENGINE] = self
        self.imported = len(bundle.program.functions) - len(bundle.codes)
        self.codes: dict[CodeType, tuple[int, Code]] = {}
        self.functions: list[Callable[..., Any]] = []
        self.generation = 0
        self.instance: Instance

    def attach(self, instance: Instance) -> None:
        self.instance = instance
        names = self.namespace
        names["f32_round"] = make_f32_round()
        names["f32_cell"] = make_f32_cell()
        for index, memory in enumerate(instance.memories):
            names[f"mem{index}"], names[f"m{index}"] = memory, memory.data
        for prefix, things in (
            ("table", instance.tables),
            ("g", instance.globals),
            ("elem", instance.elems),
            ("data", instance.datas),
            ("ref", instance.functions),
            ("type", self.bundle.types),
        ):
            names.update((f"{prefix}{i}", thing) for i, thing in enumerate(things))
        for index, function in enumerate(instance.functions[: self.imported]):
            names[self.bundle.imported_names[index]] = crossing(function)
        self.take_functions()

    def refit(self, bundle: Bundle) -> None:
        """Go on with the functions of another translation of the same program, of the same
        granularity and with the same NaNs. Frames of the present one stay what they are until they
        are revived."""
        self.bundle = bundle
        self.generation += 1
        self.take_functions()

    def take_functions(self) -> None:
        self.functions = []
        for index, code in enumerate(self.bundle.codes, self.imported):
            check_unedited(code)
            source = code.function
            if isinstance(source, Deferred):
                own = self.at_first(index, code, source)
                name = source.name
            else:
                own = self.own(index, code, source)
                name = source.__name__
            self.functions.append(own)
            self.place(index, name, own)

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

    def at_first(self, index: int, code: Code, source: Deferred) -> Callable[..., Any]:
        """What stands for a function until it has been called."""
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

    def points(self, function: int) -> Points:
        return self.bundle.codes[function - self.imported].points

    def boundary(self, function: int, offset: int) -> tuple[ValType, ...] | None:
        return self.points(function).safepoints.get(offset)

    def start(self, function: int, args: Sequence[Any], depth: int) -> GeneratedActivation:
        if function < self.imported:
            enter = self.namespace[self.bundle.imported_names[function]]
            return GeneratedActivation(self, enter(*args, depth), function)
        code = self.bundle.codes[function - self.imported]
        own = self.functions[function - self.imported]
        if code.generator:
            return GeneratedActivation(self, own(*args, depth), function)
        return GeneratedActivation(self, entering(own)(*args, depth), function)

    def revive(self, frames: Sequence[RawFrame]) -> GeneratedActivation:
        recursive = self.bundle.program.recursive
        depths = []
        depth = 0
        for frame in reversed(frames):
            depths.append(depth)
            depth += self.deeper(frame, frame.function in recursive)
        callee: Any = None
        chain: list[Generator[None, None, Any]] = []
        youngest = frames[0]
        for frame, depth in zip(frames, reversed(depths), strict=True):
            code = self.bundle.codes[frame.function - self.imported]
            params = len(self.bundle.program.functions[frame.function].params)
            own = self.functions[frame.function - self.imported]
            missing = [None] * (code.slots - len(frame.stack))
            place = frame.offset if frame is youngest else frame.offset + 1
            resume = (place, *frame.locals, *frame.stack, *missing, callee)
            callee = own(*frame.locals[:params], depth, resume)
            chain.append(callee)
        activation = GeneratedActivation(self, callee, frames[-1].function)
        activation.waiting, activation.chain = list(frames), chain
        activation.repeats = True
        return activation

    def deeper(self, frame: RawFrame, recursive: bool) -> int:
        """How much deeper than ``frame`` its callee starts."""
        if recursive:
            return weight(len(frame.locals) + len(frame.stack))
        call = self.points(frame.function).calls.get(frame.offset)
        return int(call is not None and call.function is None)

    def location(self, frame: FrameType, line: int) -> Location | None:
        """The Wasm location of a Python frame at ``line``, where it is one of this instance."""
        found = self.codes.get(frame.f_code)
        if found is None:
            return None
        index, code = found
        offset = code.lines.get(line - frame.f_code.co_firstlineno, 0)
        return Location(index, offset, self.bundle.program.function_names.get(index))


def check_unedited(code: Code) -> None:
    function = code.function
    if isinstance(function, Deferred):
        line = function.first_line
    else:
        line = function.__code__.co_firstlineno
    if line != code.first_line:
        raise BadInput("a generated file was edited: its lines no longer name instructions")


def entering(function: Callable[..., Any]) -> Callable[..., Generator[None, None, Any]]:
    """A generator function around a plain one, for callers that cannot know which it is."""

    def enter(*args: Any) -> Generator[None, None, Any]:
        return function(*args[:-1])
        yield

    return enter


class GeneratedActivation:
    """A generator, and those that it has delegated to."""

    def __init__(
        self, engine: GeneratedEngine, generator: Generator[None, None, Any], function: int
    ) -> None:
        self.engine = engine
        #: The oldest; None only where another activation took it over.
        self.generator: Any = generator
        self.function = function
        self.results: list[Any] = []
        #: Generators that have not started yet, the youngest first, and the frames that they are.
        self.chain: list[Generator[None, None, Any]] = []
        self.waiting: list[RawFrame] | None = None
        self.repeats = False

    def advance(self) -> bool:
        self.waiting = None
        self.chain = []
        self.repeats = False
        try:
            next(self.generator)
        except StopIteration as stop:
            value = stop.value
            count = len(self.engine.bundle.program.functions[self.function].results)
            self.results = [] if count == 0 else [value] if count == 1 else list(value)
            return True
        except Interrupted as interrupted:
            # The generators are gone, but their frames are not.
            frames = self.frames_of_traceback(interrupted)
            if not frames:
                raise
            again = self.engine.revive(frames)
            self.generator = again.generator
            self.waiting, self.chain, self.repeats = again.waiting, again.chain, True
            again.generator, again.chain = None, []
        return False

    def __del__(self) -> None:
        # Left to itself, Python would close a deep chain by recursion, on whatever stack it is.
        chain = self.chain
        if not chain:
            generator = self.generator
            while generator is not None:
                chain.append(generator)
                generator = getattr(generator, "gi_yieldfrom", None)
            chain.reverse()
        for generator in chain:
            generator.close()

    def frames(self) -> list[RawFrame]:
        if self.waiting is not None:
            return self.waiting
        result = []
        generator = self.generator
        while generator is not None:
            frame = generator.gi_frame
            result.append(self.read(frame, frame.f_lineno, generator.gi_yieldfrom is None))
            generator = generator.gi_yieldfrom
        result.reverse()
        return result

    def frames_of_traceback(self, error: BaseException) -> list[RawFrame]:
        """The frames of generators that an exception went through, which keep their variables."""
        places = []
        traceback = error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code in self.engine.codes:
                places.append((traceback.tb_frame, traceback.tb_lineno))
            traceback = traceback.tb_next
        last = len(places) - 1
        result = [self.read(f, line, i == last) for i, (f, line) in enumerate(places)]
        result.reverse()
        return result

    def read(self, frame: FrameType, line: int, youngest: bool) -> RawFrame:
        engine = self.engine
        location = engine.location(frame, line)
        stack: tuple[ValType, ...] | None = None
        if location is not None:
            points = engine.points(location.function)
            if youngest:
                stack = points.safepoints.get(location.offset)
            elif location.offset in points.calls:
                stack = points.calls[location.offset].stack
        if location is None or stack is None:
            # Another instance's, or one that waits for another instance.
            raise CheckpointError("frames of several instances cannot be written to one checkpoint")
        values = frame.f_locals
        return RawFrame(
            location.function,
            location.offset,
            [values[f"l{i}"] for i in range(len(points.locals))],
            [values[f"s{i}"] for i in range(len(stack))],
        )

    def explain(self, error: BaseException) -> BaseException:
        """The trap that ``error`` is, where it is one, with where the frames of generated code are,
        of this and of other instances."""
        locations: list[Location] = []
        origin = None
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            engine: GeneratedEngine | None = frame.f_globals.get(ENGINE)
            if engine is not None:
                location = engine.location(frame, traceback.tb_lineno)
                if location is not None:
                    locations.append(location)
                    origin = engine.instance
            traceback = traceback.tb_next
        trap = trap_of(error)
        if trap is None:
            if not isinstance(error, RecursionError | MemoryError) or not locations:
                return error
            trap = Exhaustion()
        if trap.backtrace:
            return trap
        trap.backtrace, trap.origin = tuple(reversed(locations)), origin
        return trap
