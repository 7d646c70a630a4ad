"""Rules for constructs and branches.

What a branch or a fall takes along is in the variables of the stack positions where the construct's
end, or the loop's head, expects it.
"""

from __future__ import annotations

import ast

from chiwawa.aot.builder import Builder, Rule, return_results
from chiwawa.aot.ir import Block, Br, BrTable, If, Loop, Plain, Step, jumps_away
from chiwawa.aot.operands import FEW, Operand
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, const, is_atom, name
from chiwawa.meanings.rows import heap_node
from chiwawa.module import Instr
from chiwawa.validate import Label

NONE = fold.bounded(ast.Constant(None), None, None)


def unreachable(builder: Builder, position: int, instr: Instr) -> None:
    builder.operands.spill_where(trap=True)
    builder.emit(ast.Expr(fold.call("unreachable")), instr.offset)


def throw(builder: Builder, position: int, instr: Instr) -> None:
    index: int = instr.imm[0]
    operands = builder.operands
    operands.spill_where(trap=True)
    count = len(builder.options.spaces.context.tags[index].params)
    values = operands.nodes(len(operands.stack) - count)
    thrown = fold.call("throw", name(f"tag{index}"), *values)
    builder.emit(ast.Expr(thrown), instr.offset, builder.catches(position))


def throw_ref(builder: Builder, position: int, instr: Instr) -> None:
    builder.operands.spill_where(trap=True)
    thrown = fold.call("throw_ref", builder.operands.pop().node)
    builder.emit(ast.Expr(thrown), instr.offset, builder.catches(position))


def rethrow(builder: Builder, position: int, instr: Instr) -> None:
    builder.operands.spill_where(trap=True)
    thrown = fold.call("throw_ref", name(f"s{builder.lowered.rethrown[position].height}"))
    builder.emit(ast.Expr(thrown), instr.offset, builder.catches(position))


# Constructs.


def block(builder: Builder, position: int, instr: Instr) -> None:
    builder.operands.spill_all()
    builder.open(position)


def within_loop(builder: Builder, position: int, instr: Instr) -> None:
    """Of a loop, after the boundary at its head: ``loop`` opened it before that."""


def loop(builder: Builder, position: int, instr: Instr) -> None:
    operands = builder.operands
    operands.spill_all()
    label = builder.lowered.labels[position]
    builder.open(position)
    # A loop's parameters may have changed when it comes around.
    operands.cut(label.height)
    operands.push_typed(len(label.params))


def if_(builder: Builder, position: int, instr: Instr) -> None:
    builder.operands.spill_beneath(1)
    builder.open(position, builder.operands.pop().node)


def try_(builder: Builder, position: int, instr: Instr) -> None:
    """Its arms that catch are what follows the ends of blocks, to which exceptions branch."""
    block(builder, position, instr)
    for arm in reversed(builder.lowered.labels[position].arms):
        builder.begin(builder.arms[arm])


def catch(builder: Builder, position: int, instr: Instr) -> None:
    arm = builder.arms.get(position)
    if arm is None:
        return
    opened = builder.opened.pop()
    assert opened.label is arm
    label = builder.lowered.labels[arm.start]
    if not jumps_away(builder.steps):
        fall(builder, label)
        builder.steps.append(Br(label))
    builder.steps = [*opened.outer, Block(arm, builder.steps)]
    builder.operands.cut(label.height)
    carried = 0
    if instr.imm:
        carried = len(builder.options.spaces.context.tags[instr.imm[0]].params)
    builder.operands.push_typed(1 + carried)


def else_(builder: Builder, position: int, instr: Instr) -> None:
    if not builder.opened or builder.opened[-1].label.else_ != position:
        return
    opened = builder.opened[-1]
    if not jumps_away(builder.steps):
        fall(builder, opened.label)
    opened.then, builder.steps = builder.steps, []
    builder.operands.cut(opened.label.height)
    builder.operands.push_typed(len(opened.label.params))


def end(builder: Builder, position: int, instr: Instr) -> None:
    lowered = builder.lowered
    if position == lowered.function.end:
        if not jumps_away(builder.steps):
            return_results(builder)
        return
    if not builder.opened or builder.opened[-1].label.end != position:
        return
    opened = builder.opened[-1]
    label = opened.label
    if not jumps_away(builder.steps):
        fall(builder, label)
    builder.opened.pop()
    inner, builder.steps = builder.steps, opened.outer
    step: Step
    if label.loops:
        step = Loop(label, inner)
    elif label.forks:
        then, orelse = (inner, []) if label.else_ is None else (opened.then, inner)
        assert opened.test is not None
        middle = label.end if label.else_ is None else label.else_
        else_offset, end_offset = lowered.body[middle].offset, lowered.body[label.end].offset
        step = If(opened.test, then, orelse, else_offset, end_offset)
        if label.targeted:
            step = Block(label, [step])
    else:
        step = Block(label, inner)
    builder.steps.append(step)
    builder.operands.cut(label.height)
    builder.operands.push_typed(len(label.results))


def fall(builder: Builder, label: Label) -> None:
    """Fall into the end of ``label``, or of its first arm."""
    builder.operands.spill_where(trap=True)
    builder.operands.spill_top(len(label.results))
    if label.arms:
        # In an arm the exception lies beneath.
        builder.steps += moves(builder, label)


# Branches.


def br(builder: Builder, position: int, instr: Instr) -> None:
    (label,) = builder.lowered.targets[position]
    if not label.outermost:
        builder.operands.spill_where(trap=True)
        builder.operands.spill_top(label.arity)
    branch(builder, label)


def return_(builder: Builder, position: int, instr: Instr) -> None:
    return_results(builder)


def br_if(builder: Builder, position: int, instr: Instr) -> None:
    (label,) = builder.lowered.targets[position]
    test = pop_condition(builder, label.arity)
    after = instr.offset + 1
    builder.steps.append(If(test, arm(builder, label), [], after, after))


def br_on_null(builder: Builder, position: int, instr: Instr) -> None:
    (label,) = builder.lowered.targets[position]
    reference = reference_on_top(builder, label.arity, above=1)
    height = len(builder.operands.stack) - 1
    builder.operands.cut(height)
    branch_if(builder, instr, label, fold.compare(ast.Is(), reference, NONE))
    builder.operands.push(Operand(reference, slots=1))


def br_on_non_null(builder: Builder, position: int, instr: Instr) -> None:
    (label,) = builder.lowered.targets[position]
    reference = reference_on_top(builder, label.arity)
    branch_if(builder, instr, label, fold.compare(ast.IsNot(), reference, NONE))
    builder.operands.cut(len(builder.operands.stack) - 1)


def br_on_cast(builder: Builder, position: int, instr: Instr) -> None:
    (label,) = builder.lowered.targets[position]
    branch_if(builder, instr, label, cast_test(builder, label, instr))


def br_on_cast_fail(builder: Builder, position: int, instr: Instr) -> None:
    (label,) = builder.lowered.targets[position]
    branch_if(builder, instr, label, fold.invert(cast_test(builder, label, instr)))


def cast_test(builder: Builder, label: Label, instr: Instr) -> Node:
    target = instr.imm[0].target
    test = "ref_test_null" if target.nullable else "ref_test"
    return fold.call(test, reference_on_top(builder, label.arity), heap_node(target.heap))


def reference_on_top(builder: Builder, arity: int, above: int = 0) -> Node:
    """The reference on top, in its variable, as is what a branch would take along, beneath
    ``above`` more."""
    operands = builder.operands
    operands.spill_where(trap=True)
    operands.spill_top(arity, above)
    operands.spill(len(operands.stack) - 1)
    return operands.operand(len(operands.stack) - 1).node


def branch_if(builder: Builder, instr: Instr, label: Label, test: Node) -> None:
    after = instr.offset + 1
    builder.steps.append(If(test, arm(builder, label), [], after, after))


def br_table(builder: Builder, position: int, instr: Instr) -> None:
    labels = builder.lowered.targets[position]
    operands = builder.operands
    top = operands.stack[-1]
    if top is None or not is_atom(top.node):
        operands.spill(len(operands.stack) - 1)
    arity = labels[-1].arity
    index = pop_condition(builder, arity)
    heights = {label.height for label in labels if not label.outermost}
    if any(label.outermost for label in labels) or (
        arity and heights != {len(operands.stack) - arity}
    ):
        builder.steps += table_by_tests(builder, index, labels)
        return
    builder.steps.append(BrTable(index, labels))


def table_by_tests(builder: Builder, index: Node, labels: tuple[Label, ...]) -> list[Step]:
    """A table whose branches carry operands to different places, as a tree of tests."""

    def among(low: int, above: int) -> list[Step]:
        if len(set(labels[low:above])) == 1:
            return arm(builder, labels[low])
        middle = (low + above) // 2
        test = fold.compare(ast.Lt(), index, const(middle))
        return [If(test, among(low, middle), among(middle, above), 0, 0)]

    return among(0, len(labels))


def pop_condition(builder: Builder, arity: int) -> Node:
    """The condition or index on top; the ``arity`` operands beneath it, which a branch would take
    along, are put into their variables."""
    builder.operands.spill_where(trap=True)
    builder.operands.spill_top(arity, above=1)
    return builder.operands.pop().node


def arm(builder: Builder, label: Label) -> list[Step]:
    """A branch to ``label``, as an arm of an ``if``."""
    outer, builder.steps = builder.steps, []
    branch(builder, label)
    result, builder.steps = builder.steps, outer
    return result


def branch(builder: Builder, label: Label) -> None:
    """Branch to ``label``; what the branch takes along is on the stack, in its variables."""
    if label.outermost:
        return_results(builder)
        return
    builder.steps += moves(builder, label)
    builder.steps.append(Br(label))


def moves(builder: Builder, label: Label) -> list[Plain]:
    """Assignments that move what a branch takes along to where ``label`` expects it."""
    operands = builder.operands
    source = len(operands.stack) - label.arity
    if source == label.height:
        return []
    if label.arity > FEW:
        to = operands.span(label.height, label.height + label.arity)
        taken = operands.span(source, source + label.arity)
        return [Plain(fold.verbatim(f"{to} = {taken}"))]
    return [
        Plain(ast.Assign([ast.Name(f"s{height}", fold.STORE)], node))
        for height, node in enumerate(operands.nodes(source), label.height)
    ]


#: What changes control or delimits, in the table's order; but calls.
RULES: dict[str, Rule] = {
    "unreachable": unreachable,
    "block": block,
    "loop": within_loop,
    "if": if_,
    "else": else_,
    "try": try_,
    "catch": catch,
    "throw": throw,
    "rethrow": rethrow,
    "throw_ref": throw_ref,
    "end": end,
    "br": br,
    "br_if": br_if,
    "br_table": br_table,
    "return": return_,
    "delegate": end,
    "catch_all": catch,
    "try_table": block,
    "br_on_null": br_on_null,
    "br_on_non_null": br_on_non_null,
    "br_on_cast": br_on_cast,
    "br_on_cast_fail": br_on_cast_fail,
}
