"""Branches, and tables of them, as Python statements: by whichever way ``targets`` finds."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from chiwawa.aot.guards import pc_is, set_pc
from chiwawa.aot.ir import Br, BrTable
from chiwawa.aot.statements import Suite, joined
from chiwawa.aot.targets import Context, Reach, Targets, Way
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, const
from chiwawa.validate import Label

#: Arms of a br_table that are chosen by comparisons.
FEW_ARMS = 4


class Branches:
    """Makes the branches of one function. ``set_pc`` says whether any of them has set ``pc``."""

    def __init__(self, targets: Targets) -> None:
        self.targets = targets
        self.set_pc = False

    def branch(self, step: Br, context: Context, tail: Reach) -> Suite:
        """A branch where falling off the end reaches ``tail``."""
        way = self.targets.way(step, context, tail)
        loop = context.loop
        if way is Way.FALL:
            return Suite([], True)
        if way is Way.RETURN:
            return Suite([ast.Return(step.value)], False)
        if way is Way.CONTINUE:
            return Suite([ast.Continue()], False)
        if way is Way.BREAK:
            loop.broken = True
            return Suite([ast.Break()], False)
        self.set_pc = True
        pc = self.targets.pc_of(step.label)
        if way is Way.SKIP:
            return Suite([set_pc(pc)], True, {pc})
        if way is Way.RESTART:
            return Suite([set_pc(pc), ast.Continue()], False)
        loop.escapes.add(step.label)
        return Suite([set_pc(pc), ast.Break()], False)

    def table(self, step: BrTable, context: Context, tail: Reach) -> Suite:
        """A ``br_table``: few arms by comparisons, many by a tuple that ``pc`` is taken from."""
        arms: list[tuple[int, Label]] = []
        for index, label in enumerate(step.labels):
            if not arms or arms[-1][1] is not label:
                arms.append((index, label))
        if len(arms) <= FEW_ARMS:
            return self.compared(step.index, arms, context, tail)
        self.set_pc = True
        targets = self.targets
        pcs = [targets.pc_of(label) for label in step.labels]
        picked = ast.Subscript(
            ast.Tuple([const(pc) for pc in pcs[:-1]], fold.LOAD), step.index, fold.LOAD
        )
        inside = fold.compare(ast.Lt(), step.index, const(len(pcs) - 1))
        value = ast.IfExp(inside, picked, const(pcs[-1]))
        body: list[ast.stmt] = [ast.Assign([ast.Name("pc", fold.STORE)], value)]
        if targets.flat:
            heads = [targets.pc_of(label) for label in step.labels if label.loops]
            if heads:
                # The top of the one loop finds what lies behind.
                body.append(ast.If(pc_is(ast.LtE(), max(heads)), [ast.Continue()], []))
            return Suite(body, True, set(pcs) - set(heads))
        labels = set(step.labels)
        here = {label for label in labels if targets.is_near(label, context.loop)}
        body += self.leave(labels - here, context)
        return Suite(body, bool(here), set(map(targets.pc_of, here)))

    def compared(
        self,
        index: Node,
        arms: Sequence[tuple[int, Label]],
        context: Context,
        tail: Reach,
    ) -> Suite:
        """The branch to one of ``arms``, each with the lowest index that chooses it, by halving."""
        if len(arms) == 1:
            return self.branch(Br(arms[0][1]), context, tail)
        middle = len(arms) // 2
        low = self.compared(index, arms[:middle], context, tail)
        high = self.compared(index, arms[middle:], context, tail)
        test = fold.compare(ast.Lt(), index, const(arms[middle][0]))
        return joined(test, low, high)

    def leave(self, labels: set[Label], context: Context) -> list[ast.stmt]:
        """Where ``pc`` may be that of one of ``labels``, which lie outside this Python loop or are
        its own: go there."""
        body: list[ast.stmt] = []
        loop = context.loop
        outside = labels
        if loop.label in labels:
            outside = labels - {loop.label}
            test = pc_is(ast.Eq(), loop.end)
            body.append(ast.If(test, [set_pc(0), ast.Continue()], []))
        if outside:
            loop.escapes |= outside
            # Within the loop every other ``pc`` is smaller than that of its end.
            body.append(ast.If(pc_is(ast.Gt(), loop.end), [ast.Break()], []))
        return body
