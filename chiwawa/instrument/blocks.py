"""Basic blocks: instructions in a row of which all are begun if the first is, but for traps."""

from __future__ import annotations

from bisect import bisect_right

from chiwawa.lower.lowered import Lowered
from chiwawa.validate import Label

#: The positions of a block's instructions in its function's body, ascending.
Block = tuple[int, ...]


def partition(lowered: Lowered) -> list[Block]:
    """The blocks of a function, ascending; only boundaries that are reached.

    A block begins at the function's first instruction, at a loop, at a safepoint, after an
    instruction that control may leave by, after what begins another arm, and after an ``end`` that
    can be come to otherwise than by falling into it. So whenever the program stands still, each
    block has run to its end or has not begun.
    """
    ends = {label.end: label for label in lowered.labels.values()}
    arms = {label.else_ for label in lowered.labels.values()}
    arms.update(arm for label in lowered.labels.values() for arm in label.arms)
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
    return label.forks or bool(label.arms) or (label.targeted and not label.loops)


class Blocks:
    """The blocks of the functions that have been looked at, by function index."""

    def __init__(self) -> None:
        self.known: dict[int, list[Block]] = {}

    def of(self, lowered: Lowered) -> list[Block]:
        if lowered.index not in self.known:
            self.known[lowered.index] = partition(lowered)
        return self.known[lowered.index]

    def around(self, function: int, position: int) -> Block:
        """The block that ``position`` is in; empty where there is none."""
        blocks = self.known.get(function, [])
        found = bisect_right(blocks, position, key=lambda block: block[0]) - 1
        return blocks[found] if found >= 0 and position in blocks[found] else ()
