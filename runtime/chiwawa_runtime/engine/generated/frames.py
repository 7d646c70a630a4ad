"""Frames of generated code: read from outside, and made again.

A suspended frame is read from outside: its variables are the Wasm locals and operands, and the line
that it stands on says at which instruction. A frame is made again by starting its function with
``resume``: where to go on, its variables, and its callee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from chiwawa_runtime.engine.contract import SEVERAL, RawFrame
from chiwawa_runtime.engine.segments import (
    SEGMENT,
    Chain,
    Segment,
    Segments,
    from_segment,
    rise,
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
    return unwound(error, engine_of)


# Reading.


def location_of(functions: GeneratedFunctions, frame: FrameType, line: int) -> Location | None:
    """The Wasm location of a Python frame at ``line``, where it is one of this instance."""
    found = functions.known.get(frame.f_code)
    if found is None:
        return None
    index, code = found
    offset = code.lines.get(line - frame.f_code.co_firstlineno, 0)
    return Location(index, offset, functions.bundle.program.function_names.get(index))


def read_frame(
    functions: GeneratedFunctions, frame: FrameType, line: int, youngest: bool
) -> RawFrame:
    """The Wasm frame that a Python frame at ``line`` is. Raises CheckpointError where it is
    another instance's, or waits for another instance."""
    location = location_of(functions, frame, line)
    stack = None
    if location is not None:
        points = functions.code(location.function).points
        if youngest:
            stack = points.operands(location.offset)
        elif location.offset in points.calls:
            stack = points.calls[location.offset].stack
    if location is None or stack is None:
        raise CheckpointError(SEVERAL)
    values = frame.f_locals
    return RawFrame(
        location.function,
        location.offset,
        [values[f"l{i}"] for i in range(len(points.locals))],
        [values[f"s{i}"] for i in range(len(stack))],
    )


# Making again.


def make_generator(
    functions: GeneratedFunctions, frame: RawFrame, depth: int, callee: Chain | None, youngest: bool
) -> Chain:
    """The function of ``frame``, which goes on from there when it begins, ``depth`` deep in its
    segment. ``callee`` is what it waits for."""
    code = functions.code(frame.function)
    params = len(functions.bundle.program.functions[frame.function].params)
    missing = [None] * (code.slots - len(frame.stack))
    # One that waits goes on behind its call.
    place = frame.offset if youngest else frame.offset + 1
    resume = (place, *frame.locals, *frame.stack, *missing, callee)
    function = functions.callable(frame.function)
    return function(*frame.locals[:params], depth, resume)  # type: ignore[no-any-return]


def make_segments(functions: GeneratedFunctions, frames: Sequence[RawFrame]) -> Segments:
    """``frames`` (the youngest first), as a call that is suspended in them."""
    places = segment_places(functions, frames)
    segments: list[Segment] = []
    callee: Chain | None = None
    made: list[Chain] = []
    first = 0
    for position, (frame, (base, depth)) in enumerate(zip(frames, places, strict=True)):
        callee = make_generator(functions, frame, depth, callee, position == 0)
        made.append(callee)
        oldest = position + 1 == len(frames)
        if oldest or places[position + 1][0] != base:
            segments.append(Segment(callee, base, made, frames[first : position + 1]))
            callee, made, first = waiting(), [], position + 1
    return Segments(segments[::-1])


def segment_places(
    functions: GeneratedFunctions, frames: Sequence[RawFrame]
) -> list[tuple[int, int]]:
    """Of each frame, the base of the segment that it would be in had it been called, and its depth
    from there."""
    depth = base = 0
    places = []
    for frame in reversed(frames):
        if depth - base >= SEGMENT:
            base, _ = from_segment(depth)
        places.append((base, depth - base))
        depth += rise_to_callee(functions, frame)
    return places[::-1]


def rise_to_callee(functions: GeneratedFunctions, frame: RawFrame) -> int:
    """How much deeper than ``frame`` its callee starts."""
    recursive = frame.function in functions.bundle.program.recursive
    call = None if recursive else functions.code(frame.function).points.calls.get(frame.offset)
    indirect = call is not None and call.function is None
    return rise(len(frame.locals) + len(frame.stack), recursive, indirect)


# Taking back.


@dataclass(frozen=True, slots=True)
class TakenBack:
    """Frames that an interruption went through, made again, at the boundary before the call that
    was interrupted. ``generators`` and ``frames`` begin with the youngest; ``owners`` has the
    engines of the frames' instances."""

    generators: list[Chain]
    frames: list[RawFrame]
    owners: list[GeneratedEngine]

    @property
    def engine(self) -> GeneratedEngine:
        """That of the youngest frame, which comes to its safepoint once more."""
        return self.owners[0]

    def segment(self, base: int, engine: GeneratedEngine) -> Segment:
        """As the segment with that ``base`` of an activation of ``engine``."""
        own = all(owner is engine for owner in self.owners)
        return Segment(self.generators[-1], base, self.generators, self.frames if own else None)


def take_back(interrupted: Interrupted) -> TakenBack | None:
    """The frames that ``interrupted`` went through: their generators are gone, but the frames are
    not. None where there are none."""
    result = TakenBack([], [], [])
    callee: Chain | None = None
    for place in unwound_frames(interrupted):
        functions = place.owner.functions
        youngest = callee is None
        frame = read_frame(functions, place.frame, place.line, youngest)
        callee = make_generator(functions, frame, place.frame.f_locals["depth"], callee, youngest)
        result.generators.append(callee)
        result.frames.append(frame)
        result.owners.append(place.owner)
    return result if result.generators else None
