"""Branches and tables as statements."""

from __future__ import annotations

from chiwawa.aot.branches import FEW_ARMS, Branches
from chiwawa.aot.ir import Br, BrTable
from chiwawa.aot.targets import NOWHERE, Context, Mark, PythonLoop, Reach, Targets
from chiwawa.meanings.fold import name
from chiwawa.validate import Label
from tests.unit.aot.form_helpers import BODY, label, written

LOOP = label("loop", 1, 8)
NEAR = [label("block", 2, end) for end in (3, 4, 5, 6, 7)]
BEHIND = label("block", 0, 9)


def branches(flat: bool = False) -> tuple[Branches, Context]:
    """In a loop, with marks of ``NEAR`` in it and that of ``BEHIND`` outside."""
    outside = PythonLoop(None, 0, NOWHERE)
    loop = outside if flat else PythonLoop(LOOP, 80, Reach({(LOOP, True)}))
    targets = Targets(BODY, flat)
    targets.begin([Mark(BEHIND, 90)], outside)
    targets.begin([Mark(near, targets.pc_of(near)) for near in NEAR], loop)
    return Branches(targets), Context(loop, NOWHERE, 2)


def table(*labels: Label) -> BrTable:
    return BrTable(name("l0", 255), labels)


def test_only_a_branch_that_sets_pc_says_so() -> None:
    made, context = branches()
    assert written(made.branch(Br(LOOP), context, NOWHERE).body) == "continue"
    assert written(made.branch(Br(LOOP, exits=True), context, NOWHERE).body) == "break"
    assert context.loop.broken
    assert not made.set_pc
    suite = made.branch(Br(NEAR[0]), context, NOWHERE)
    assert written(suite.body) == "pc = 30"
    assert suite.falls
    assert suite.skips_to == {30}
    assert made.set_pc


def test_a_branch_out_of_the_loop_is_noted_for_where_the_loop_stands() -> None:
    made, context = branches()
    suite = made.branch(Br(BEHIND), context, NOWHERE)
    assert written(suite.body) == "pc = 90\nbreak"
    assert not suite.falls
    assert context.loop.escapes == {BEHIND}
    assert not context.loop.broken


def test_a_table_of_few_arms_compares() -> None:
    made, context = branches()
    suite = made.table(table(NEAR[0], NEAR[0], LOOP), context, Reach({(NEAR[0], False)}))
    assert written(suite.body) == "if l0 >= 2:\n    continue"
    assert not made.set_pc


def test_a_table_of_many_arms_looks_pc_up() -> None:
    made, context = branches()
    labels = [*NEAR, BEHIND, LOOP]
    assert len(labels) > FEW_ARMS
    suite = made.table(table(*labels), context, NOWHERE)
    assert suite.skips_to == {30, 40, 50, 60, 70}
    assert context.loop.escapes == {BEHIND}
    assert written(suite.body) == (
        "pc = (30, 40, 50, 60, 70, 90)[l0] if l0 < 6 else 80\n"
        "if pc == 80:\n    pc = 0\n    continue\n"
        "if pc > 80:\n    break"
    )


def test_laid_flat_a_table_goes_back_to_the_top_for_heads_of_loops() -> None:
    made, context = branches(flat=True)
    suite = made.table(table(*NEAR, LOOP), context, NOWHERE)
    assert suite.skips_to == {30, 40, 50, 60, 70}
    assert written(suite.body) == (
        "pc = (30, 40, 50, 60, 70)[l0] if l0 < 5 else 10\nif pc <= 10:\n    continue"
    )
