"""What must be known of the inner form as a whole before Python is made of it: where frames can be
resumed, where branches lead, how deep loops nest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from chiwawa.aot.ir import Block, Br, BrTable, Call, If, Loop, Plain, Poll, Step, Surveyed
from chiwawa.validate import Label


class Survey:
    """A survey of ``steps``: how deep ``loops`` nest, and where each branch leads (``labels``), by
    its number. It notes at each step what ``Surveyed`` has.

    A frame is resumed at the offset of a safepoint, or one behind the offset of a call in progress.

    A set at each step of the labels that branches in it lead to would say the same, at a cost that
    grows with the square of the nesting.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self.loops = 0
        self.labels: list[Label] = []
        depth = 0
        work: list[tuple[If | Loop | Block | None, Iterator[Step]]] = [(None, iter(steps))]
        while work:
            outer, rest = work[-1]
            for step in rest:
                if isinstance(step, Plain) and not step.catches:
                    # Nothing is in it, as its fields say from the start.
                    continue
                step.branches_from = len(self.labels)
                if isinstance(step, If):
                    work.append((step, chain(step.then, step.orelse)))
                    break
                if isinstance(step, Loop | Block):
                    depth += isinstance(step, Loop)
                    self.loops = max(self.loops, depth)
                    work.append((step, iter(step.body)))
                    break
                self.leaf(step)
            else:
                work.pop()
                if outer is not None:
                    depth -= isinstance(outer, Loop)
                    summarise(outer)
                    outer.branches_to = len(self.labels)

    def leaf(self, step: Plain | Poll | Call | Br | BrTable) -> None:
        if isinstance(step, Plain | Call):
            for catch in step.catches:
                self.labels += [s.label for s in catch.steps if isinstance(s, Br)]
        match step:
            case Poll(offset=offset):
                step.resumptions, step.last_resumption = 1, offset
            case Call(offset=offset):
                step.resumptions, step.last_resumption = 1, offset + 1
            case Br(label=label):
                self.labels.append(label)
            case BrTable(labels=labels):
                self.labels += dict.fromkeys(labels)
        step.branches_to = len(self.labels)

    def branches_of(self, step: Surveyed) -> Iterator[Label]:
        """The labels that branches in ``step`` lead to."""
        return islice(self.labels, step.branches_from, step.branches_to)


def summarise(step: If | Loop | Block) -> None:
    """Note of ``step`` what follows from the steps in it, which have been surveyed."""
    count = last = 0
    loops = isinstance(step, Loop)
    for inner in chain(step.then, step.orelse) if isinstance(step, If) else step.body:
        count += inner.resumptions
        last = max(last, inner.last_resumption)
        loops |= inner.loops
    step.resumptions, step.last_resumption, step.loops = count, last, loops


def last_resumption(steps: Sequence[Surveyed]) -> int:
    """The highest ``pc`` at which a frame can be resumed in ``steps``, or 0."""
    return max((step.last_resumption for step in steps), default=0)
