"""Frames read from an exception: small functions of two owners, as generated code is built."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from chiwawa_runtime.engine.segments import SEGMENT, Chain, Segments, deeper
from chiwawa_runtime.engine.unwinding import Unwound, unwound
from chiwawa_runtime.errors import Exhaustion, Interrupted

#: Calls what it is given at the bottom, beneath ``n`` calls of itself; plain, and as a generator.
PLAIN = """
def down(n, bottom):
    twice = 2 * n
    if not n:
        return bottom()
    return 1 + down(
        n - 1, bottom)
"""
GENERATOR = """
def down(n, bottom, depth):
    if depth >= SEGMENT:
        return (yield from deeper(down, depth, n, bottom))
    twice = 2 * n
    if not n:
        return bottom()
    return 1 + (yield from down(n - 1, bottom, depth + 1))
"""
#: The lines of the calls, and of the call of ``bottom``.
PLAIN_CALL, PLAIN_BOTTOM, GENERATOR_CALL, GENERATOR_BOTTOM = 6, 5, 8, 7


def made(source: str, owner: str, **names: Any) -> Callable[..., Any]:
    """The function ``down`` of ``source``, as ``owner`` has it."""
    namespace = {"owner": owner, "SEGMENT": SEGMENT, "deeper": deeper, **names}
    exec(compile(source, f"<{owner}>", "exec"), namespace)
    return namespace["down"]  # type: ignore[no-any-return]


def owner_of(frame: FrameType) -> str | None:
    return frame.f_globals.get("owner") if frame.f_code.co_name == "down" else None


def raising(error: BaseException) -> Callable[[], Any]:
    def bottom() -> Any:
        raise error

    return bottom


def frames_of(function: Callable[[], Any], error: type[BaseException]) -> list[Unwound[str]]:
    with pytest.raises(error) as caught:
        function()
    return unwound(caught.value.__traceback__, owner_of)


def seen(frames: list[Unwound[str]]) -> list[tuple[str, int, int]]:
    """Of each frame its owner, its ``n``, and its line."""
    return [(f.owner, f.frame.f_locals["n"], f.line) for f in frames]


@pytest.mark.parametrize("calls", [0, 1, 5])
def test_frames_of_plain_functions_come_with_their_lines_the_youngest_first(calls: int) -> None:
    down = made(PLAIN, "one")
    frames = frames_of(lambda: down(calls, raising(Interrupted())), Interrupted)
    expected = [("one", n, PLAIN_CALL if n else PLAIN_BOTTOM) for n in range(calls + 1)]
    assert seen(frames) == expected
    assert [f.frame.f_locals["twice"] for f in frames] == [2 * n for n in range(calls + 1)]


@pytest.mark.parametrize("calls", [0, 1, 5, SEGMENT - 1])
def test_generators_that_have_ended_are_read_alike(calls: int) -> None:
    segments = Segments.of_call(made(GENERATOR, "one"), (calls, raising(Interrupted())), 0)
    frames = frames_of(segments.advance, Interrupted)
    expected = [("one", n, GENERATOR_CALL if n else GENERATOR_BOTTOM) for n in range(calls + 1)]
    assert seen(frames) == expected


@pytest.mark.parametrize("calls", [SEGMENT, SEGMENT + 1, 5 * SEGMENT + 7])
def test_who_called_itself_again_in_the_next_segment_is_there_once(calls: int) -> None:
    segments = Segments.of_call(made(GENERATOR, "one"), (calls, raising(KeyError())), 0)
    frames = frames_of(segments.advance, KeyError)
    assert [n for _, n, _ in seen(frames)] == list(range(calls + 1))
    assert {line for _, n, line in seen(frames) if n} == {GENERATOR_CALL}


def test_an_interruption_leaves_the_older_segments_out() -> None:
    segments = Segments.of_call(made(GENERATOR, "one"), (SEGMENT + 3, raising(Interrupted())), 0)
    frames = frames_of(segments.advance, Interrupted)
    assert [n for _, n, _ in seen(frames)] == [0, 1, 2, 3]


def test_where_there_was_no_room_for_the_call_the_frame_that_asked_is_there() -> None:
    def no_room(*_: object) -> Chain:
        raise Exhaustion
        yield

    down = made(GENERATOR, "one", deeper=no_room)
    chain = down(SEGMENT + 2, raising(KeyError()), 0)
    frames = frames_of(lambda: next(chain), Exhaustion)
    assert [n for _, n, _ in seen(frames)] == list(range(2, SEGMENT + 3))


def test_a_call_that_no_segment_has_room_for_is_not_taken_for_one_that_went_on() -> None:
    """``deeper`` itself raises: nobody has called the function again."""
    chain = made(GENERATOR, "one")(SEGMENT, raising(KeyError()), 0)
    next(chain)
    frames = frames_of(lambda: chain.throw(Exhaustion()), Exhaustion)
    assert [n for _, n, _ in seen(frames)] == list(range(SEGMENT + 1))


def test_each_frame_has_its_owner_and_others_are_left_out() -> None:
    """Between the two a function that is nobody's, and a plain one of the second."""
    leaf = made(PLAIN, "two")
    second = made(GENERATOR, "two")
    first = made(GENERATOR, "one")

    def nobodys() -> Any:
        return leaf(1, raising(ZeroDivisionError()))

    def across() -> Any:
        return Segments.of_call(second, (1, nobodys), 0).advance()

    segments = Segments.of_call(first, (2, across), 0)
    frames = frames_of(segments.advance, ZeroDivisionError)
    assert [(owner, n) for owner, n, _ in seen(frames)] == [
        ("two", 0),
        ("two", 1),
        ("two", 0),
        ("two", 1),
        ("one", 0),
        ("one", 1),
        ("one", 2),
    ]
    assert [f.frame.f_code.co_flags & 0x20 != 0 for f in frames] == [False] * 2 + [True] * 5


def test_an_error_that_went_through_no_frame_of_theirs_has_none() -> None:
    assert frames_of(raising(KeyError()), KeyError) == []
    assert unwound(KeyError().__traceback__, owner_of) == []


def test_only_what_lies_above_the_catcher_is_seen() -> None:
    caught: list[list[Unwound[str]]] = []

    def catching() -> int:
        try:
            return inner(2, raising(Interrupted()))  # type: ignore[no-any-return]
        except Interrupted as error:
            caught.append(unwound(error.__traceback__, owner_of))
            return 0

    inner, outer = made(PLAIN, "two"), made(PLAIN, "one")
    assert outer(3, catching) == 3
    assert [(owner, n) for owner, n, _ in seen(caught[0])] == [("two", 0), ("two", 1), ("two", 2)]
