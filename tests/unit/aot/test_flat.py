"""What Python cannot nest, laid flat."""

from __future__ import annotations

from chiwawa.aot import flat
from chiwawa.aot.ir import Block, Br, If, Loop, Step
from chiwawa.aot.survey import Survey
from chiwawa.aot.targets import FlatStep, Mark, Targets
from chiwawa.meanings.fold import name
from tests.unit.aot.form_helpers import BODY, label, plain

OUTER, INNER = label("block", 1, 8), label("block", 2, 5)


def shown(steps: list[FlatStep]) -> list[object]:
    """Steps by their types, marks by their places."""
    return [step.pc if isinstance(step, Mark) else type(step).__name__ for step in steps]


def test_blocks_become_their_marks() -> None:
    steps: list[Step] = [Block(OUTER, [plain("l0 = 1"), Block(INNER, [Br(OUTER)])]), Br(OUTER)]
    in_line = flat.in_line(steps, Targets(BODY, flat=False), 1)
    assert shown(in_line) == ["Plain", "Br", 50, 80, "Br"]


def test_a_loop_stays_one_but_where_loops_are_laid_flat() -> None:
    loop = Loop(label("loop", 3, 6), [plain("l0 = 1"), Br(OUTER)])
    assert flat.in_line([loop], Targets(BODY, flat=False), 1) == [loop]
    assert shown(flat.in_line([loop], Targets(BODY, flat=True), 1)) == [30, "Plain", "Br"]


def test_more_loops_than_python_takes_need_a_dispatch() -> None:
    steps: list[Step] = []
    for depth in range(1, flat.MOST_LOOPS + 2):
        steps = [Loop(label("loop", 1, 8), steps)]
        assert flat.needs_dispatch(Survey(steps)) == (depth > flat.MOST_LOOPS)


def choice(then: list[Step], orelse: list[Step]) -> If:
    step = If(name("l0"), then, orelse, 40, 70)
    Survey([step])
    return step


def test_an_if_that_is_too_deep_becomes_branches_around_its_arms() -> None:
    inner = choice([plain("l1 = 1")], [])
    step = choice([plain("l2 = 2"), inner], [plain("l3 = 3")])
    targets = Targets(BODY, flat=False)
    assert flat.in_line([step], targets, flat.MOST_INDENTS - 1) == [step]
    skip, *rest = flat.in_line([step], targets, flat.MOST_INDENTS)
    assert shown(rest) == ["Plain", "If", "Br", 40, "Plain", 70]
    assert isinstance(skip, If)
    (to_second,) = skip.then
    away = rest[2]
    assert isinstance(to_second, Br)
    assert isinstance(away, Br)
    assert [targets.pc_of(branch.label) for branch in (to_second, away)] == [40, 70]
    # The innermost needs one indent more, which there is.
    assert rest[1] is inner


def test_an_if_around_a_loop_is_laid_flat_with_it() -> None:
    around = choice([Loop(label("loop", 3, 6), [])], [])
    beside = choice([plain("l0 = 1")], [])
    in_line = flat.in_line([around, beside], Targets(BODY, flat=True), 1)
    assert shown(in_line) == ["If", 30, 40, 70, "If"]


def test_a_choice_of_branches_stays_one_however_deep_it_is() -> None:
    inner = If(name("l0"), [Br(OUTER)], [Br(INNER)], 0, 0)
    step = If(name("l1"), [Br(OUTER)], [inner], 0, 0)
    Survey([step])
    assert flat.in_line([step], Targets(BODY, flat=False), flat.MOST_INDENTS) == [step]
