"""Nesting that Python cannot take, laid flat: constructs become marks in one sequence.

Blocks are always laid in line: a block is nothing in Python but the mark at its end. An ``if`` that
would be indented too far becomes branches around its arms. Where loops nest too deep, all loops of
the function are laid in line, too: one ``while True`` runs it (*flat dispatch*), in which a branch
back sets ``pc`` and starts again from the top, past guards that are nested in turn, so that finding
the place takes a logarithmic number of tests.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from chiwawa.aot.ir import Block, Br, If, Loop, jumps_away
from chiwawa.aot.survey import Survey
from chiwawa.aot.targets import FlatStep, Mark, Targets
from chiwawa.meanings import fold
from chiwawa.meanings.fold import const

#: Nested loops and indents that Python takes, less what the function itself needs.
MOST_LOOPS = 17
MOST_INDENTS = 60
#: More than any ``pc``: in flat dispatch, each place can be gone to from the top.
ANYWHERE = 1 << 32


def needs_dispatch(survey: Survey) -> bool:
    """Whether Python could not take the function's loops as loops."""
    return survey.loops > MOST_LOOPS


def dispatch(body: list[ast.stmt]) -> list[ast.stmt]:
    """The one loop that runs ``body``, in which all is in line."""
    return [ast.While(const(True), body, [])]


def in_line(steps: Sequence[FlatStep], targets: Targets, indent: int) -> list[FlatStep]:
    """``steps``, which are indented by ``indent``, with the constructs in line that are nothing in
    Python, and the marks of their labels among them."""
    result: list[FlatStep] = []
    work: list[FlatStep] = list(reversed(steps))
    while work:
        step = work.pop()
        if isinstance(step, Block):
            work.append(Mark(step.label, targets.pc_of(step.label)))
            work.extend(reversed(step.body))
        elif isinstance(step, Loop) and targets.flat:
            work.extend(reversed(step.body))
            work.append(Mark(step.label, targets.pc_of(step.label)))
        elif isinstance(step, If) and too_deep(step, targets, indent):
            work.extend(reversed(around_arms(step, targets)))
        else:
            result.append(step)
    return result


def too_deep(step: If, targets: Targets, indent: int) -> bool:
    """Whether Python could not take this ``if`` as one."""
    if targets.flat and step.loops:
        return True
    if indent < MOST_INDENTS or not step.end_offset:
        # A choice of branches is indented by the logarithm of how many there are, no more.
        return False
    return any(isinstance(inner, If | Loop | Block) for inner in (*step.then, *step.orelse))


def around_arms(step: If, targets: Targets) -> list[FlatStep]:
    """An ``if`` as branches around its arms."""
    end = targets.add(step.end_offset)
    other = targets.add(step.else_offset)
    away: list[FlatStep] = [] if jumps_away(step.then) or not step.orelse else [Br(end)]
    skip = If(fold.invert(step.test), [Br(other)], [], step.else_offset, step.end_offset)
    between = Mark(other, step.else_offset)
    return [skip, *step.then, *away, between, *step.orelse, Mark(end, step.end_offset)]
