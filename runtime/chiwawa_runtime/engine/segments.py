"""Deep recursion on any stack: a chain of generators in segments.

Generators that delegate to each other take Python's stack for each, and a program may be a hundred
thousand calls deep. So the depth that a function is given counts from the start of a *segment*:
where it comes to ``SEGMENT``, the function does not go on there, it delegates to ``deeper``, which
asks whoever drives the chain to call the function as the oldest of a segment of its own. Only the
youngest segment is on Python's stack; the others wait, suspended, each in the call that its
successor is.

Whether the call stack is exhausted is found out at the same places, since a segment never reaches
beyond the depth that is too much: ``MAX_DEPTH``, or what a host allows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from types import FrameType
from typing import Any, Final, Literal

from chiwawa_runtime.errors import Exhaustion, Interrupted

#: How much the frames of functions that count may weigh together. Both paths, on every Python, trap
#: at the same frame. A host may allow less, and not more.
MAX_DEPTH = 131_072
#: How much of that is on Python's stack at a time.
SEGMENT = 100
#: Functions whose frames do not count, at most, on top of each other.
UNCOUNTED = 50
#: What a generator yields: None where a request is pending, ``INTERRUPTED`` where a host function
#: that another instance called was interrupted, and through ``deeper`` a function, its
#: arguments, and their depth in the segment.
Asked = tuple[Callable[..., Any], tuple[Any, ...], int] | Literal["interrupted"] | None
INTERRUPTED: Final = "interrupted"
Chain = Generator[Asked, Any, Any]


class _Here(threading.local):
    """What this thread is running. ``base`` is how deep its youngest segment starts, ``most`` the
    depth that is too much."""

    base = 0
    most = MAX_DEPTH


here = _Here()


def weight(values: int) -> int:
    """What a frame that holds so many locals and operands counts towards ``MAX_DEPTH``: 1, and more
    where they would fill the memory before the frames are too many."""
    return 1 + values // 16


def rise(values: int, recursive: bool, crossing: bool) -> int:
    """How much deeper than a frame that holds so many ``values`` its callee starts: a frame of a
    function that is not ``recursive`` counts only where its call may leave the instance: through a
    table, or of an imported function."""
    return weight(values) if recursive else int(crossing)


def deeper(function: Callable[..., Any], depth: int, *args: Any) -> Chain:
    """What a function delegates to that has begun ``depth`` deep in its segment, which is at least
    ``SEGMENT``: its call again, as the start of a new segment."""
    return (yield function, args, depth)


def waiting() -> Chain:
    """What the youngest frame of a restored segment delegates to: the segment after it."""
    return (yield None)


class TailCall:
    """What a function returns that ends in a tail call: what is to be called instead of it."""

    __slots__ = ("args", "function")

    def __init__(self, function: Callable[..., Chain], args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args


def tails(chain: Chain, depth: int) -> Chain:
    """What is delegated to instead of ``chain``, a function's that may end in a tail call: the
    results, whichever function gives them. All of them start at ``depth`` (see ``tails``, the
    module)."""
    value = yield from chain
    while value.__class__ is TailCall:
        value = yield from value.function(*value.args, depth)
    return value


DEEPER, WAITING, TAILS = deeper.__code__, waiting.__code__, tails.__code__


def from_segment(depth: int, most: int = MAX_DEPTH) -> tuple[int, int]:
    """The base of a segment that starts so deep in the call stack, and how deep its oldest frame
    is from there: more than 0 where ``most``, the depth that is too much, is nearer than
    ``SEGMENT``."""
    start = max(0, SEGMENT - (most - depth))
    return depth - start, start


class Segment:
    """A chain of generators, ``generator`` the oldest. ``made`` are all of them, the youngest
    first, as long as none has begun; ``frames`` are then what they were made for."""

    __slots__ = ("base", "frames", "generator", "made")

    def __init__(
        self,
        generator: Chain,
        base: int,
        made: Sequence[Chain] | None = None,
        frames: Sequence[Any] = (),
    ) -> None:
        self.generator = generator
        self.base = base
        self.made = made
        self.frames = frames

    def begin(self) -> None:
        self.made, self.frames = None, ()

    def generators(self) -> Iterator[Any]:
        """Those that have begun, the oldest first."""
        generator: Any = self.generator
        while generator is not None:
            yield generator
            generator = getattr(generator, "gi_yieldfrom", None)

    def places(self) -> list[FrameType]:
        """The frames of those that have begun and do something, the oldest first."""
        result: list[FrameType] = []
        for generator in self.generators():
            if generator.gi_code is DEEPER:
                # The function before it has done nothing: it is called again in the next segment.
                result.pop()
            elif generator.gi_code is not WAITING and generator.gi_code is not TAILS:
                result.append(generator.gi_frame)
        return result

    def close(self) -> None:
        """Close each, from the youngest. Left to itself, Python would do it by recursion, on
        whatever stack it is."""
        generators = list(self.generators())[::-1] if self.made is None else self.made
        for generator in generators:
            generator.close()


class Segments:
    """A call in segments, the oldest first; none are left when it has ended. ``value`` is then what
    it returned. Of functions that count, none may start ``most`` deep."""

    __slots__ = ("interrupted", "most", "segments", "value")

    def __init__(self, segments: list[Segment], most: int = MAX_DEPTH) -> None:
        self.segments = segments
        self.most = most
        self.value: Any = None
        #: Whether it has yielded since a host function was interrupted.
        self.interrupted = False

    @classmethod
    def of_call(
        cls,
        function: Callable[..., Chain],
        args: Sequence[Any],
        depth: int,
        most: int = MAX_DEPTH,
    ) -> Segments:
        """The call, not begun, of a generator function, so deep in the call stack."""
        base, start = from_segment(depth, most)
        return cls([Segment(function(*args, start), base)], most)

    def advance(self) -> bool:
        """Run until the call has returned (True) or has yielded, since a request is pending
        (False). What is raised in it is raised here, through the frames of all segments; but
        ``Interrupted`` only through those of the youngest, while the others wait on."""
        segments = self.segments
        before, most_before = here.base, here.most
        here.most = most = self.most
        value: Any = None
        failure: BaseException | None = None
        ended = False
        try:
            while True:
                segment = segments[-1]
                here.base = segment.base
                generator = segment.generator
                try:
                    if segment.made is not None:
                        segment.begin()
                        if ended:
                            # First to where it waits for what has ended.
                            generator.send(None)
                    asked = generator.throw(failure) if failure else generator.send(value)
                except StopIteration as stop:
                    value, failure, ended = stop.value, None, True
                    segments.pop()
                    if segments:
                        continue
                    self.value = value
                    return True
                except Interrupted:
                    raise
                except BaseException as error:
                    segments.pop()
                    if not segments:
                        raise
                    value, failure, ended = None, error, True
                    continue
                if asked is None or asked == INTERRUPTED:
                    self.interrupted = asked == INTERRUPTED
                    return False
                value, failure, ended = None, None, False
                function, args, depth = asked
                depth += segment.base
                if depth >= most:
                    failure = Exhaustion()
                else:
                    base, start = from_segment(depth, most)
                    segments.append(Segment(function(*args, start), base))
        finally:
            here.base, here.most = before, most_before
            # Its traceback refers to this frame.
            del failure

    def close(self) -> None:
        """Let go of what has not ended."""
        while self.segments:
            self.segments.pop().close()
