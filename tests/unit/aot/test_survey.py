"""Surveys: places to resume at, branches, loops, of small inner forms."""

from __future__ import annotations

from chiwawa.aot.ir import Block, Br, BrTable, Call, If, Loop, Poll, Step
from chiwawa.aot.survey import Survey, last_resumption
from chiwawa.meanings.fold import name
from tests.unit.aot.form_helpers import label, plain


def test_each_step_has_the_resumptions_in_it() -> None:
    first = Call(40, name("f0"), [])
    second = Call(50, name("f1"), [])
    choice = If(name("l0"), [Poll(30)], [first, second], 35, 60)
    loop = Loop(label("loop", 2, 7), [Poll(20), choice])
    steps: list[Step] = [Poll(10), plain("l0 = 1"), loop]
    Survey(steps)
    assert [(step.resumptions, step.last_resumption) for step in steps] == [
        (1, 10),
        (0, 0),
        (4, 51),
    ]
    assert (choice.resumptions, choice.last_resumption) == (3, 51)
    assert (first.last_resumption, second.last_resumption) == (41, 51)
    assert last_resumption(steps) == 51
    assert last_resumption([]) == 0


def test_the_branches_of_a_step_are_those_in_it() -> None:
    outer, inner = label("block", 0, 9), label("block", 1, 5)
    table = BrTable(name("l0"), (inner, outer, inner))
    first = Block(inner, [plain("l1 = 2"), table])
    second = Br(outer)
    survey = Survey([Block(outer, [first, second])])
    assert list(survey.branches_of(first)) == [inner, outer]
    assert list(survey.branches_of(table)) == [inner, outer]
    assert list(survey.branches_of(second)) == [outer]
    assert list(survey.branches_of(first.body[0])) == []


def test_loops_are_counted_as_deep_as_they_nest() -> None:
    inner = Loop(label("loop", 2, 3), [])
    choice = If(name("l0"), [inner], [], 40, 40)
    beside = Loop(label("loop", 5, 6), [])
    survey = Survey([Loop(label("loop", 1, 4), [choice]), beside])
    assert survey.loops == 2
    assert choice.loops
    assert not If(name("l0"), [], [], 70, 70).loops
