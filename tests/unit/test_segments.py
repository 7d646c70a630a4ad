"""Chains of generators in segments, apart from any program."""

from __future__ import annotations

import contextvars
import sys
import threading

import pytest

from chiwawa_runtime.engine.deep import NEEDED, call_with_room, has_room
from chiwawa_runtime.engine.segments import (
    MAX_DEPTH,
    SEGMENT,
    Chain,
    Segment,
    Segments,
    deeper,
    from_segment,
    here,
    waiting,
)
from chiwawa_runtime.errors import Exhaustion, Interrupted


def down(n: int, depth: int, pause: bool = False, weight: int = 1) -> Chain:
    """``n`` calls on top of each other: how many there were, and how deep Python's stack was."""
    if depth >= SEGMENT:
        return (
            yield from deeper(
                lambda *args: down(*args[:1], args[3], *args[1:3]), depth, n, pause, weight
            )
        )
    if not n:
        if pause:
            yield None
        return (0, here.base + depth)
    calls, deepest = yield from down(n - 1, depth + weight, pause, weight)
    return (calls + 1, deepest)


def of(n: int, depth: int = 0, pause: bool = False, weight: int = 1) -> Segments:
    return Segments.of_call(lambda start: down(n, start, pause, weight), (), depth)


@pytest.mark.parametrize("weight", [1, 7, SEGMENT, 3 * SEGMENT + 1])
@pytest.mark.parametrize("calls", [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 700, 5000])
def test_any_depth_returns_and_counts_what_it_weighs(calls: int, weight: int) -> None:
    if calls * weight >= MAX_DEPTH:
        calls = (MAX_DEPTH - 1) // weight
    segments = of(calls, weight=weight)
    assert segments.advance()
    assert segments.value == (calls, calls * weight)
    assert not segments.segments


def test_no_more_than_a_segment_is_on_the_stack() -> None:
    heights = []

    def height() -> int:
        frame, count = sys._getframe(), 0
        while frame is not None:
            frame, count = frame.f_back, count + 1  # type: ignore[assignment]
        return count

    def chain(n: int, depth: int) -> Chain:
        if depth >= SEGMENT:
            return (yield from deeper(chain, depth, n))
        heights.append(height())
        if n:
            yield from chain(n - 1, depth + 1)
        return None

    assert Segments.of_call(chain, (10 * SEGMENT,), 0).advance()
    assert len(heights) == 10 * SEGMENT + 1
    assert max(heights) - min(heights) < SEGMENT


@pytest.mark.parametrize("start", [0, 1, 90, MAX_DEPTH - SEGMENT - 1, MAX_DEPTH - 3, MAX_DEPTH - 1])
def test_the_call_stack_is_exhausted_at_the_same_depth_wherever_a_call_begins(start: int) -> None:
    room = MAX_DEPTH - 1 - start
    calls, weight = (room, 1) if room < 1000 else (room // 64, 64)
    segments = of(calls, start, weight=weight)
    assert segments.advance()
    assert segments.value == (calls, start + calls * weight)
    with pytest.raises(Exhaustion):
        of(calls + 1, start, weight=weight).advance()
    assert here.base == 0


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, MAX_DEPTH + 1000])
def test_a_call_that_begins_too_deep_is_exhausted_at_once(depth: int) -> None:
    base, start = from_segment(depth)
    assert base + start == depth
    with pytest.raises(Exhaustion):
        of(0, depth).advance()


def test_a_pause_suspends_all_segments_and_goes_on_in_the_youngest() -> None:
    segments = of(10 * SEGMENT, pause=True)
    assert not segments.advance()
    assert len(segments.segments) == 11
    assert sum(len(segment.places()) for segment in segments.segments) == 10 * SEGMENT + 1
    assert segments.advance()
    assert segments.value == (10 * SEGMENT, 10 * SEGMENT)


def test_a_failure_goes_through_the_frames_of_all_segments() -> None:
    ended: list[int] = []

    def chain(n: int, depth: int) -> Chain:
        if depth >= SEGMENT:
            return (yield from deeper(chain, depth, n))
        try:
            if not n:
                raise KeyError("here")
            yield from chain(n - 1, depth + 1)
        finally:
            ended.append(n)
        return None

    with pytest.raises(KeyError, match="here") as caught:
        Segments.of_call(chain, (500,), 0).advance()
    assert ended == list(range(501))
    frames = [entry.frame.code.name for entry in caught.traceback]
    # Those that were called again in a new segment are there twice.
    assert frames.count("chain") == 501 + 5


def test_an_interruption_leaves_the_older_segments_as_they_are() -> None:
    def chain(n: int, depth: int) -> Chain:
        if depth >= SEGMENT:
            return (yield from deeper(chain, depth, n))
        if not n:
            raise Interrupted
        return 1 + (yield from chain(n - 1, depth + 1))

    def again() -> Chain:
        return 1000
        yield

    segments = Segments.of_call(chain, (3 * SEGMENT,), 0)
    with pytest.raises(Interrupted):
        segments.advance()
    assert len(segments.segments) == 4
    segments.segments[-1] = Segment(again(), segments.segments[-1].base)
    assert segments.advance()
    assert segments.value == 3 * SEGMENT + 1000


def test_restored_segments_take_what_the_ones_after_them_return() -> None:
    def restored(name: str, callee: Chain | None) -> Chain:
        if callee is None:
            return name
        return name + (yield from callee)

    oldest, middle = restored("a", waiting()), restored("b", waiting())
    youngest = restored("c", None)
    segments = Segments([Segment(g, 0, [g]) for g in (oldest, middle, youngest)])
    assert segments.advance()
    assert segments.value == "abc"


def test_closing_what_is_left_closes_the_youngest_first() -> None:
    closed: list[int] = []

    def chain(n: int, depth: int) -> Chain:
        if depth >= SEGMENT:
            return (yield from deeper(chain, depth, n))
        try:
            if n:
                yield from chain(n - 1, depth + 1)
            else:
                yield None
        finally:
            closed.append(n)
        return None

    segments = Segments.of_call(chain, (1000,), 0)
    assert not segments.advance()
    segments.close()
    assert closed == list(range(1001))


def in_depth(frames: int, action):  # type: ignore[no-untyped-def]
    return action() if not frames else in_depth(frames - 1, action)


def test_where_the_stack_is_short_a_call_has_a_thread_and_the_callers_context() -> None:
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(7)

    def called() -> tuple[int, str, bool]:
        return variable.get(), threading.current_thread().name, has_room()

    name = threading.current_thread().name
    assert call_with_room(called) == (7, name, True)
    limit = sys.getrecursionlimit()
    frame, used = sys._getframe(), 0
    while frame is not None:
        frame, used = frame.f_back, used + 1  # type: ignore[assignment]
    value, elsewhere, room = in_depth(limit - used - NEEDED // 2, lambda: call_with_room(called))
    assert (value, room) == (7, True)
    assert elsewhere != name
    assert sys.getrecursionlimit() == limit


def test_without_threads_a_call_is_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr("chiwawa_runtime.engine.deep.has_room", lambda: False)
    assert (
        call_with_room(lambda: threading.current_thread().name) == threading.current_thread().name
    )


def test_what_fails_in_another_thread_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chiwawa_runtime.engine.deep.has_room", lambda: False)
    with pytest.raises(ZeroDivisionError):
        call_with_room(lambda: 1 // 0)
