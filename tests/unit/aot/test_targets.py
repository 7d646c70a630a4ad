"""Targets: which way a branch takes, by what stands around it."""

from __future__ import annotations

import pytest

from chiwawa.aot.ir import Br
from chiwawa.aot.targets import (
    NOWHERE,
    Context,
    Mark,
    PythonLoop,
    Reach,
    Targets,
    Way,
    tail_after,
)
from tests.unit.aot.form_helpers import BODY, function_label, label, plain

FUNCTION = function_label()
LOOP = label("loop", 1, 8)
BLOCK = label("block", 2, 5)
BEHIND = label("block", 0, 9)


def context(loop: PythonLoop) -> Context:
    return Context(loop, NOWHERE, 1)


@pytest.mark.parametrize(
    ("branch", "tail", "way"),
    [
        (Br(FUNCTION), NOWHERE, Way.RETURN),
        (Br(LOOP), NOWHERE, Way.CONTINUE),
        (Br(LOOP), Reach({(LOOP, False)}), Way.FALL),
        (Br(LOOP, exits=True), NOWHERE, Way.BREAK),
        (Br(LOOP, exits=True), Reach({(LOOP, False)}), Way.BREAK),
        (Br(BLOCK), NOWHERE, Way.SKIP),
        (Br(BLOCK), Reach({(BLOCK, False)}), Way.FALL),
        (Br(BEHIND), NOWHERE, Way.ESCAPE),
    ],
)
def test_a_branch_in_a_loop_takes_the_cheapest_way(branch: Br, tail: Reach, way: Way) -> None:
    outside = PythonLoop(None, 0, NOWHERE)
    inside = PythonLoop(LOOP, 80, Reach({(LOOP, True)}))
    targets = Targets(BODY, flat=False)
    targets.begin([Mark(BEHIND, 90)], outside)
    targets.begin([plain("l0 = 1"), Mark(BLOCK, 50)], inside)
    assert targets.way(branch, context(inside), tail) is way


def test_what_is_laid_flat_starts_again_for_the_head_of_a_loop() -> None:
    everything = PythonLoop(None, 0, NOWHERE)
    targets = Targets(BODY, flat=True)
    targets.begin([Mark(LOOP, 10)], everything)
    assert targets.way(Br(LOOP), context(everything), NOWHERE) is Way.RESTART


def test_a_label_has_the_place_where_its_construct_ends_and_laid_flat_a_loop_where_it_starts() -> (
    None
):
    for flat, of_loop in ((False, 80), (True, 10)):
        targets = Targets(BODY, flat)
        added = targets.add(33)
        assert [targets.pc_of(x) for x in (BLOCK, LOOP, added)] == [50, of_loop, 33]


def test_falling_reaches_the_marks_that_follow_and_past_the_last_what_falling_off_does() -> None:
    block, behind = (BLOCK, False), (BEHIND, False)
    outer = Reach({(LOOP, False)})
    marks = [plain("l0 = 1"), Mark(BLOCK, 50), Mark(BEHIND, 90)]
    reached = tail_after(marks, 0, outer)
    assert block in reached
    assert behind in reached
    assert (LOOP, False) in reached
    stopped = tail_after([*marks[:2], plain("l1 = 1"), marks[2]], 0, outer)
    assert block in stopped
    assert behind not in stopped
    assert (LOOP, False) not in stopped
    assert tail_after(marks[:1], 0, outer) is outer
    # The head of a loop that is laid flat is not reached by a branch to it in falling.
    assert (LOOP, False) not in tail_after([plain("l0 = 1"), Mark(LOOP, 10)], 0, NOWHERE)
