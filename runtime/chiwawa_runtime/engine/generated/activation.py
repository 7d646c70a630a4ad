"""A call of a generated function, in segments of generators."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from chiwawa_runtime.engine.calls import StartedFunction
from chiwawa_runtime.engine.contract import RawFrame
from chiwawa_runtime.engine.generated.frames import (
    FrameReader,
    engine_of,
    location_of,
    take_back,
)
from chiwawa_runtime.engine.segments import Segments
from chiwawa_runtime.engine.traps import abrupt_of
from chiwawa_runtime.engine.unwinding import unwound
from chiwawa_runtime.errors import Abrupt, Exhaustion, Interrupted
from chiwawa_runtime.state.types import DefType

if TYPE_CHECKING:
    from chiwawa_runtime.engine.generated.engine import GeneratedEngine

#: Of the generators by which functions are called that no generated code is of.
STARTED = vars(StartedFunction)["enter"].__code__


class GeneratedActivation:
    """``segments`` as a call of a function of type ``type_`` of the instance that ``engine``
    runs."""

    def __init__(self, engine: GeneratedEngine, segments: Segments, type_: DefType) -> None:
        self.engine = engine
        self.segments = segments
        self.type = type_
        self.results: list[Any] = []
        self.interrupted = False
        #: The engine that has counted the safepoint to which it comes again when it goes on.
        self.has_counted: GeneratedEngine | None = None
        self._interrupted_frame: RawFrame | None = None

    def advance(self) -> bool:
        if self.has_counted is not None:
            self.has_counted.safepoints.repeat()
        self.has_counted = self._interrupted_frame = None
        self.interrupted = False
        segments = self.segments
        try:
            returned = segments.advance()
        except Interrupted as interrupted:
            if not self._take_back(interrupted):
                raise
            return False
        self.interrupted = not returned and segments.interrupted
        if returned:
            self._take_results(segments.value)
        return returned

    def _take_results(self, value: Any) -> None:
        count = len(self.type.results)
        self.results = [] if count == 0 else [value] if count == 1 else list(value)

    def _take_back(self, interrupted: Interrupted) -> bool:
        """Have the youngest segment wait at the boundary before the call of a host function that
        was interrupted; False where no function of ours has called it."""
        taken_back = take_back(interrupted)
        if taken_back is None:
            return False
        youngest = self.segments.segments[-1]
        self.segments.segments[-1] = taken_back.segment(youngest.base)
        self.interrupted = True
        self.has_counted = taken_back.engine
        if taken_back.engine is self.engine:
            self._interrupted_frame = taken_back.frames[0]
        return True

    def __del__(self) -> None:
        self.segments.close()

    def interrupted_frame(self) -> RawFrame | None:
        return self._interrupted_frame

    def frames(self) -> list[RawFrame]:
        reader = FrameReader()
        result: list[RawFrame] = []
        for segment in reversed(self.segments.segments):
            if segment.made is not None:
                result += segment.frames
                continue
            for place in reversed(segment.places()):
                if place.f_code is STARTED:
                    result += place.f_locals["activation"].frames()
                else:
                    result.append(reader.read(place, not result))
        return result

    def explain(self, error: BaseException) -> BaseException:
        """The trap or the exception thrown that ``error`` is, where it is one, with where the
        frames are: those of generated code, of this and of other instances, and those of what
        other engines run that these have called."""
        if isinstance(error, Abrupt) and error.backtrace:
            # A trap beneath a host function.
            return error
        entry, started = self.own(error)
        places = unwound(entry, engine_of, started)
        if started is not None:
            error = started.tb_frame.f_locals["activation"].explain(error)
        trap = abrupt_of(error)
        if trap is None:
            if not isinstance(error, RecursionError | MemoryError) or not places:
                return error
            trap = Exhaustion()
        locations = (location_of(p.owner.functions, p.frame, p.line) for p in places)
        trap.backtrace += tuple(location for location in locations if location is not None)
        if trap.origin is None and places:
            trap.origin = places[0].owner.instance
        return trap

    def own(self, error: BaseException) -> tuple[TracebackType | None, TracebackType | None]:
        """Where the traceback of ``error`` comes into this, and where it leaves it for a function
        that another engine runs."""
        entry = first = error.__traceback__
        while entry is not None:
            frame = entry.tb_frame
            if frame.f_code is ADVANCE and frame.f_locals["self"] is self:
                first = entry
                break
            entry = entry.tb_next
        entry = first
        while entry is not None:
            frame = entry.tb_frame
            if frame.f_code is STARTED and "activation" in frame.f_locals:
                return first, entry
            entry = entry.tb_next
        return first, None


ADVANCE = GeneratedActivation.advance.__code__
