"""Which locals of a rewritten function have their home in memory."""

from __future__ import annotations

from chiwawa.lower.lowered import Lowered, Spaces, lower
from chiwawa.native import homes
from chiwawa.native.module import rewrite
from chiwawa.source import load

USED = 5
TEXT = """(module (func $callee) (func $f (param i32) (result i32) (local externref) {locals}
    {calls}
    (loop (local.set {used} (i32.add (local.get {used}) (i32.const 1))))
    (local.get 7)))"""


def text(locals: int, calls: int) -> str:
    return TEXT.format(locals="(local i32)" * locals, calls="(call $callee)" * calls, used=USED)


def lowered(locals: int, calls: int) -> Lowered:
    return lower(Spaces.of(load(text(locals, calls))), 1)


def test_small_functions_have_none() -> None:
    assert not homes.homed(lowered(98, 5))


def test_what_is_used_most_stays_with_references_and_the_rest_goes() -> None:
    # The safepoints: where it begins, and the loop.
    places = 300 + 2
    function = lowered(98, 300)
    found = homes.homed(function)
    assert len(found) == 100 - max(homes.MOST // places, homes.LEAST)
    kept = set(range(100)) - found
    assert {1, USED, 7} <= kept
    assert homes.homed(function) == found


def test_only_what_has_such_functions_has_memory_for_them() -> None:
    for calls, expected in ((5, False), (300, True)):
        made = rewrite(load(text(98, calls)), 0)
        assert (b"chiwawa:frames" in made.binary) == expected
        assert (b"chiwawa:fp" in made.binary) == expected
