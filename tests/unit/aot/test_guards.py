"""Guards: which statements run for which ``pc``, tried by running them."""

from __future__ import annotations

import ast

import pytest

from chiwawa.aot.guards import ROW, Guards, nested, set_pc
from chiwawa.aot.statements import Suite
from chiwawa.meanings import fold
from chiwawa.meanings.fold import const, name
from tests.unit.aot.form_helpers import written


def note(word: str) -> ast.stmt:
    return fold.verbatim(f"ran.append({word!r})")


def ran(statements: list[ast.stmt], pc: int, **variables: object) -> list[str]:
    """What the statements note where they are entered with ``pc``."""
    result: list[str] = []
    exec(written(statements), {"pc": pc, "ran": result, **variables})
    return result


def test_where_pc_is_0_for_certain_there_are_no_guards() -> None:
    guards = Guards(0, False)
    guards.running().append(note("a"))
    guards.running().append(note("b"))
    assert written(guards.statements) == "ran.append('a')\nran.append('b')"


def test_a_resumption_skips_what_lies_before_it_and_what_follows_runs_for_certain() -> None:
    guards = Guards(20, False)
    guards.running().append(note("before"))
    guards.entered_at(20).append(note("poll"))
    guards.running().append(note("after"))
    assert ran(guards.statements, 0) == ["before", "poll", "after"]
    assert ran(guards.statements, 20) == ["poll", "after"]
    assert guards.certain()


def test_of_two_resumptions_the_first_is_passed_by_the_second() -> None:
    guards = Guards(40, False)
    for pc in (20, 40):
        guards.running().append(note(f"before {pc}"))
        guards.entered_at(pc).append(note(f"at {pc}"))
    assert ran(guards.statements, 20) == ["at 20", "before 40", "at 40"]
    assert ran(guards.statements, 40) == ["at 40"]


def test_what_pc_is_set_to_skips_to_its_place() -> None:
    guards = Guards(0, False)
    body = guards.running()
    body.append(ast.If(name("far"), [set_pc(50)], []))
    assert guards.grouped(Suite([], True, {50}))
    guards.running().append(note("between"))
    assert guards.skips_to(50)
    assert guards.skips_up_to(60)
    assert not guards.skips_up_to(49)
    guards.entered_at(50).append(note("there"))
    assert not guards.skips_to(50)
    assert not guards.skips_up_to(60)
    assert ran(guards.statements, 0, far=True) == ["there"]
    assert ran(guards.statements, 0, far=False) == ["between", "there"]


@pytest.mark.parametrize("passed", [False, True])
def test_nothing_runs_for_a_place_behind_the_suite(passed: bool) -> None:
    guards = Guards(0, passed)
    guards.running().append(note("here"))
    assert ran(guards.statements, 0) == ["here"]
    assert ran(guards.statements, 70) == ([] if passed else ["here"])


def test_resumptions_inside_find_pc_as_it_is() -> None:
    guards = Guards(60, False)
    guards.running().append(note("before"))
    guards.entered_up_to(40).append(fold.verbatim("ran.append(pc)"))
    guards.running().append(note("between"))
    guards.entered_at(60).append(note("there"))
    assert ran(guards.statements, 0) == ["before", 0, "between", "there"]
    assert ran(guards.statements, 30)[0] == 30
    assert ran(guards.statements, 60) == ["there"]


def test_a_call_in_progress_is_gone_on_with_instead_of_being_made() -> None:
    guards = Guards(60, False)
    guards.running().append(note("call"))
    guards.instead_at(31, [set_pc(0), note("go on")])
    guards.entered_at(60).append(note("there"))
    assert ran(guards.statements, 0) == ["call", "there"]
    assert ran(guards.statements, 31) == ["go on", "there"]
    assert ran(guards.statements, 60) == ["there"]


def test_the_arm_of_an_if_is_chosen_by_the_place_where_there_is_one() -> None:
    for test, pc, chosen in ((1, 0, 1), (0, 0, 0), (0, 30, True), (1, 50, False)):
        guards = Guards(60, False)
        guards.chosen(const(test), 50)
        namespace: dict[str, object] = {"pc": pc}
        exec(written(guards.statements), namespace)
        assert namespace["t"] == chosen


def test_control_gets_behind_a_branch_where_something_may_skip_past_it() -> None:
    away = Suite([ast.Return(None)], False)
    assert not Guards(0, False).grouped(away)
    assert Guards(0, True).grouped(away)
    skipping = Guards(0, False)
    skipping.skip_to({50})
    assert skipping.grouped(away)
    guarded = Guards(20, False)
    guarded.running()
    assert guarded.grouped(away)


def test_many_guards_in_a_row_are_put_under_guards_and_lead_to_the_same_places() -> None:
    places = range(10, 10 * (ROW**2 + ROW), 10)
    guards = Guards(places[-1], False)
    for pc in places:
        guards.running().append(note(f"before {pc}"))
        guards.entered_at(pc).append(note(f"at {pc}"))
    flat, deep = guards.statements, nested(guards.statements)
    assert len(deep) <= ROW * 2 < len(flat)
    for pc in (0, *places):
        assert ran(deep, pc) == ran(flat, pc)
