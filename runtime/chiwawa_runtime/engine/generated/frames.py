"""Frames of generated code: read from outside, and made again.

A suspended frame is read from outside: its variables are the Wasm locals and operands, and the line
that it stands on says at which instruction. A frame is made again by starting its function with
``resume``: where to go on, its variables, and its callee.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import FrameType
from typing import TYPE_CHECKING, Any

from chiwawa_runtime.engine.code_rows import REPLACED
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.engine.segments import (
    SEGMENT,
    Chain,
    Segment,
    Segments,
    from_segment,
    rise,
    tails,
    waiting,
)
from chiwawa_runtime.engine.unwinding import Unwound, unwound
from chiwawa_runtime.errors import CheckpointError, Interrupted, Location

if TYPE_CHECKING:
    from chiwawa_runtime.engine.generated.engine import GeneratedEngine
    from chiwawa_runtime.engine.generated.functions import GeneratedFunctions

#: The name in a namespace of the engine whose functions look there; no function may be called so.
ENGINE = "chiwawa_engine"


def engine_of(frame: FrameType) -> GeneratedEngine | None:
    """The engine whose function a Python frame is of, if it is of one."""
    engine: GeneratedEngine | None = frame.f_globals.get(ENGINE)
    return engine if engine is not None and frame.f_code in engine.functions.known else None


def unwound_frames(error: BaseException) -> list[Unwound[GeneratedEngine]]:
    """The frames of generated functions, of whichever instance, that ``error`` went through, the
    youngest first."""
    return unwound(error.__traceback__, engine_of)


# Reading.


def location_of(functions: GeneratedFunctions, frame: FrameType, line: int) -> Location | None:
    """The Wasm location of a Python frame at ``line``, where it is one of this instance, and is one
    that the program still has."""
    found = functions.known.get(frame.f_code)
    if found is None:
        return None
    index, code = found
    offset = code.lines.get(line - frame.f_code.co_firstlineno, 0)
    if offset == REPLACED:
        return None
    return functions.bundle.program.located(index, offset)


#: Takes values out of a frame's variables.
Getter = Callable[[Mapping[str, Any]], Sequence[Any]]
#: Where a frame stands: the instance, its function, the offset, and what reads locals and operands.
Place = tuple[ModuleInstance, int, int, Getter, Getter]


class FrameReader:
    """Reads frames of a suspended call. Of a deep one many stand at one place, of which all is
    found once."""

    def __init__(self) -> None:
        #: What is known of a code object (which the frames keep, so by its identity: to hash it is
        #: to hash all that it holds) at an instruction of Python's.
        self.known: dict[tuple[int, int], Place] = {}

    def read(self, frame: FrameType, youngest: bool) -> RawFrame:
        """As ``read_frame``, of a frame that stands still."""
        if youngest:
            return read_frame(frame, frame.f_lineno, youngest)
        key = id(frame.f_code), frame.f_lasti
        place = self.known.get(key)
        if place is None:
            place = self.known[key] = place_of(frame, frame.f_lineno, youngest)
        instance, function, offset, locals_, stack = place
        values = frame.f_locals
        return RawFrame(instance, function, offset, locals_(values), stack(values))


def read_frame(frame: FrameType, line: int, youngest: bool) -> RawFrame:
    """The Wasm frame that a Python frame at ``line`` is. Raises CheckpointError where it is none
    that could be made again."""
    instance, function, offset, locals_, stack = place_of(frame, line, youngest)
    values = frame.f_locals
    return RawFrame(instance, function, offset, locals_(values), stack(values))


def place_of(frame: FrameType, line: int, youngest: bool) -> Place:
    engine = engine_of(frame)
    location = None if engine is None else location_of(engine.functions, frame, line)
    stack = None
    if engine is not None and location is not None:
        points = engine.functions.code(location.function).points
        if youngest:
            stack = points.operands(location.offset)
        elif location.offset in points.calls:
            stack = points.calls[location.offset].stack
    if engine is None or location is None or stack is None:
        raise CheckpointError("a frame waits for something that is none of the program's")
    return (
        engine.instance,
        location.function,
        location.offset,
        getter([f"l{i}" for i in range(len(points.locals))]),
        getter([f"s{i}" for i in range(len(stack))]),
    )


def getter(names: Sequence[str]) -> Getter:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: [values[name] for name in names]


# Making again.


@dataclass(frozen=True, slots=True)
class Remaker:
    """Makes the frames again that stand at one place: the ``function``, how many of its locals are
    ``params``, the ``place`` where it is to go on, and the stack variables that it leaves empty;
    and whether it may end in a tail call."""

    function: Callable[..., Chain]
    params: int
    place: int
    missing: tuple[None, ...]
    ends_in_calls: bool

    def make(self, frame: RawFrame, depth: int, callee: Chain | None) -> Chain:
        """The function of ``frame``, which goes on from there when it begins, ``depth`` deep in its
        segment. ``callee`` is what it waits for."""
        resume = (self.place, *frame.locals, *frame.stack, *self.missing, callee)
        chain = self.function(*frame.locals[: self.params], depth, resume)
        return tails(chain, depth) if self.ends_in_calls else chain


def functions_of(frame: RawFrame) -> GeneratedFunctions:
    functions: GeneratedFunctions = frame.instance.engine.functions
    return functions


def remaker(frame: RawFrame, youngest: bool) -> Remaker:
    functions = functions_of(frame)
    code = functions.code(frame.function)
    return Remaker(
        functions.callable(frame.function),
        len(functions.bundle.program.functions[frame.function].params),
        # One that waits goes on behind its call.
        frame.offset if youngest else frame.offset + 1,
        (None,) * (code.slots - len(frame.stack)),
        frame.function in functions.bundle.program.tail_calls,
    )


def make_segments(frames: Sequence[RawFrame], most: int) -> Segments:
    """``frames`` (the youngest first), as a call that is suspended in them; ``most`` is the depth
    that is too much."""
    places = segment_places(frames, most)
    segments: list[Segment] = []
    callee: Chain | None = None
    made: list[Chain] = []
    first = 0
    # Many frames of a deep program stand at one place.
    known: dict[tuple[ModuleInstance, int, int], Remaker] = {}
    for position, (frame, (base, depth)) in enumerate(zip(frames, places, strict=True)):
        key = frame.instance, frame.function, frame.offset
        again = known.get(key) if position else None
        if again is None:
            again = remaker(frame, position == 0)
            if position:
                known[key] = again
        callee = again.make(frame, depth, callee)
        made.append(callee)
        oldest = position + 1 == len(frames)
        if oldest or places[position + 1][0] != base:
            segments.append(Segment(callee, base, made, frames[first : position + 1]))
            callee, made, first = waiting(), [], position + 1
    return Segments(segments[::-1], most)


def segment_places(frames: Sequence[RawFrame], most: int) -> list[tuple[int, int]]:
    """Of each frame, the base of the segment that it would be in had it been called, and its depth
    from there."""
    depth = 0
    base, _ = from_segment(depth, most)
    places = []
    known: dict[tuple[ModuleInstance, int, int], int] = {}
    for frame in reversed(frames):
        if depth - base >= SEGMENT:
            base, _ = from_segment(depth, most)
        places.append((base, depth - base))
        key = frame.instance, frame.function, frame.offset
        rise_ = known.get(key)
        if rise_ is None:
            rise_ = known[key] = rise_to_callee(frame)
        depth += rise_
    return places[::-1]


def rise_to_callee(frame: RawFrame) -> int:
    """How much deeper than ``frame`` its callee starts."""
    functions = functions_of(frame)
    recursive = frame.function in functions.bundle.program.recursive
    call = None if recursive else functions.code(frame.function).points.calls.get(frame.offset)
    crossing = call is not None and call.may_leave(functions.imported)
    return rise(len(frame.locals) + len(frame.stack), recursive, crossing)


# Taking back.


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Frames that an interruption went through, made again, at the boundary before the call that
    was interrupted. ``generators`` and ``frames`` begin with the youngest."""

    generators: list[Chain]
    frames: list[RawFrame]

    @property
    def engine(self) -> GeneratedEngine:
        """That of the youngest frame, which comes to its safepoint once more."""
        engine: GeneratedEngine = self.frames[0].instance.engine
        return engine

    def segment(self, base: int) -> Segment:
        """As the segment with that ``base``."""
        return Segment(self.generators[-1], base, self.generators, self.frames)


def take_back(interrupted: Interrupted) -> TakenBack | None:
    """The frames that ``interrupted`` went through: their generators are gone, but the frames are
    not. None where there are none."""
    result = TakenBack([], [])
    callee: Chain | None = None
    for place in unwound_frames(interrupted):
        youngest = callee is None
        frame = read_frame(place.frame, place.line, youngest)
        again = remaker(frame, youngest)
        callee = again.make(frame, place.frame.f_locals["depth"], callee)
        result.generators.append(callee)
        result.frames.append(frame)
    return result if result.generators else None
