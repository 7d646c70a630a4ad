"""Basic blocks: instructions in a row of which all are begun if the first is, but for traps."""

from __future__ import annotations

from chiwawa.lower.lowered import Lowered
from chiwawa.validate import Label


def partition(lowered: Lowered) -> list[tuple[int, ...]]:
    """The blocks of a function, as positions in its body, ascending; only boundaries that are
    reached.

    A block begins at the function's first instruction, at a loop, at a safepoint, after an
    instruction that control may leave by, after an ``else``, and after an ``end`` that can be come
    to otherwise than by falling into it. So whenever the program stands still, each block has run
    to its end or has not begun.
    """
    ends = {label.end: label for label in lowered.labels.values()}
    arms = {label.else_ for label in lowered.labels.values()}
    blocks: list[list[int]] = []
    begins = True
    for position, instr in enumerate(lowered.body):
        op = instr.op
        if op.delimits:
            label = ends.get(position)
            begins |= position in arms or (label is not None and _joins(label))
        elif lowered.reached[position]:
            if begins or op.loops or position in lowered.safepoints:
                blocks.append([])
            blocks[-1].append(position)
            begins = op.parts
    return [tuple(block) for block in blocks]


def _joins(label: Label) -> bool:
    """Whether the construct's end can be come to from more than the instruction before it."""
    return label.forks or (label.targeted and not label.loops)
