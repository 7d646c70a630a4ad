"""Guards: the ``if``s on ``pc`` that skip what lies before the place that it leads to.

``pc`` is 0 in a program that simply runs. Otherwise it is the place to go to: ``if not pc`` stands
before what is only run, ``if pc <= X`` before what can also be entered at X. The ``pc`` of places
grows along the code, so a guard lets in 0 and its own X and nothing later. This module knows no
labels and no steps.
"""

from __future__ import annotations

import ast
from heapq import heappop, heappush

from chiwawa.aot.statements import Suite
from chiwawa.meanings import fold
from chiwawa.meanings.fold import Node, const, name

#: Guards in a row that are tested one by one.
ROW = 6


def set_pc(pc: int) -> ast.stmt:
    return ast.Assign([ast.Name("pc", fold.STORE)], const(pc))


def pc_is(op: ast.cmpop, pc: int) -> Node:
    return fold.bounded(ast.Compare(name("pc"), [op], [const(pc)]), 0, 1)


def not_pc() -> Node:
    return fold.bounded(ast.UnaryOp(fold.NOT, name("pc")), 0, 1)


class Guards:
    """The statements of one suite, under guards where they need some.

    On entry of the suite ``pc`` may be that of any resumption up to ``resumes_up_to`` (0: of none)
    and, where ``passed`` is True, that of something behind the suite.
    """

    __slots__ = (
        "_group",
        "_guard",
        "_nearest",
        "ahead",
        "passed",
        "resumes_up_to",
        "statements",
    )

    def __init__(self, resumes_up_to: int, passed: bool) -> None:
        self.resumes_up_to = resumes_up_to
        self.passed = passed
        self.statements: list[ast.stmt] = []
        #: What ``pc`` may have been set to in this suite, of places further on.
        self.ahead: set[int] = set()
        #: A heap of them, and of some that are no longer among them.
        self._nearest: list[int] = []
        #: The list where statements go that run when ``pc`` is 0, and the ``if`` that holds it,
        #: where there is one.
        self._group: list[ast.stmt] | None = None
        self._guard: ast.If | None = None

    def certain(self) -> bool:
        """Whether ``pc`` is 0 here for certain."""
        return not self.resumes_up_to and not self.passed and not self.ahead

    def running(self) -> list[ast.stmt]:
        """The list for statements that run when ``pc`` is 0."""
        if self._group is None:
            if self.certain():
                self._group, self._guard = self.statements, None
            else:
                self._open(not_pc(), 0, [])
        assert self._group is not None
        return self._group

    def entered_at(self, pc: int) -> list[ast.stmt]:
        """The list for statements that run when ``pc`` is 0 or ``pc``, which is that of no place
        behind: they find it 0."""
        self.close()
        self.ahead.discard(pc)
        self._arrive(pc)
        if self.certain():
            self._group = self.statements
            self.statements.append(set_pc(0))
        else:
            self._open(pc_is(ast.LtE(), pc), pc, [set_pc(0)])
        assert self._group is not None
        return self._group

    def entered_up_to(self, pc: int) -> list[ast.stmt]:
        """The list for statements that run whenever ``pc`` is at most ``pc``, and that find it as
        it is: there are resumptions in them."""
        self.close()
        self._arrive(pc)
        if self.certain():
            self._group = self.statements
        else:
            self._open(pc_is(ast.LtE(), pc), pc, [])
        assert self._group is not None
        return self._group

    def instead_at(self, pc: int, statements: list[ast.stmt]) -> None:
        """Where ``pc`` is ``pc``, ``statements`` run instead of those of the list that ``running``
        gave. That is closed now."""
        assert self._guard is not None
        self._arrive(pc)
        if self.certain():
            self._guard.orelse = statements
        else:
            self._guard.orelse = [ast.If(pc_is(ast.Eq(), pc), statements, [])]
        self._guard.upto = pc  # type: ignore[attr-defined]
        self.close()

    def chosen(self, test: Node, else_pc: int) -> None:
        """Assign to ``t`` which arm of an ``if`` runs: by ``test`` where ``pc`` is 0, otherwise the
        first for places before ``else_pc``, the second for all others."""
        group = self.running()
        assert self._guard is not None
        target = ast.Name("t", fold.STORE)
        group.append(ast.Assign([target], test))
        self._guard.orelse = [ast.Assign([target], pc_is(ast.Lt(), else_pc))]
        # Its second arm runs for every place further on, so no guard around it may skip it.
        del self._guard.upto  # type: ignore[attr-defined]
        self.close()

    def ungrouped(self, suite: Suite, last: int) -> bool:
        """Append the statements of ``suite``, which have guards of their own, and in which the last
        resumption is at ``last``. Give whether control can get behind it."""
        self.statements += suite.body
        self._arrive(last)
        self.skip_to(suite.skips_to)
        return suite.falls or not self.certain()

    def grouped(self, suite: Suite) -> bool:
        """The statements of ``suite`` are the last of the list that was asked for. Give whether
        control can get behind it."""
        if suite.falls and not suite.skips_to:
            return True
        guarded = self._guard is not None
        self.skip_to(suite.skips_to)
        self.close()
        return suite.falls or guarded or self.passed or bool(self.ahead)

    def skip_to(self, pcs: set[int]) -> None:
        """``pc`` may have been set to one of ``pcs``."""
        for pc in pcs - self.ahead:
            self.ahead.add(pc)
            heappush(self._nearest, pc)

    def skips_to(self, pc: int) -> bool:
        """Whether ``pc`` may have been set to ``pc`` in this suite."""
        return pc in self.ahead

    def skips_up_to(self, pc: int) -> bool:
        """Whether ``pc`` may have been set to ``pc`` or that of a place before it."""
        nearest = self._nearest
        while nearest and nearest[0] not in self.ahead:
            heappop(nearest)
        return bool(nearest) and nearest[0] <= pc

    def may_pass(self) -> bool:
        """Whether ``pc`` may lead to a place further on that is no resumption."""
        return self.passed or bool(self.ahead)

    def close(self) -> None:
        """What comes next stands under another guard."""
        self._group = self._guard = None

    def _open(self, test: Node, upto: int, body: list[ast.stmt]) -> None:
        self._guard = ast.If(test, body, [])
        #: The highest ``pc`` that it lets in: ``nested`` asks for it.
        self._guard.upto = upto  # type: ignore[attr-defined]
        self._group = body
        self.statements.append(self._guard)

    def _arrive(self, pc: int) -> None:
        """No resumption that lies before ``pc`` comes any more."""
        if self.resumes_up_to <= pc:
            self.resumes_up_to = 0


def nested(body: list[ast.stmt]) -> list[ast.stmt]:
    """``body`` with long rows of guards put under guards, so that few are tested to find one."""
    while True:
        result: list[ast.stmt] = []
        row: list[ast.stmt] = []
        changed = False
        for statement in [*body, None]:
            if statement is not None and hasattr(statement, "upto"):
                row.append(statement)
                continue
            if len(row) > ROW * 2:
                changed = True
                for start in range(0, len(row), ROW):
                    chunk = row[start : start + ROW]
                    upto = max(guard.upto for guard in chunk)  # type: ignore[attr-defined]
                    outer = ast.If(pc_is(ast.LtE(), upto), chunk, [])
                    outer.upto = upto  # type: ignore[attr-defined]
                    result.append(outer)
            else:
                result += row
            row = []
            if statement is not None:
                result.append(statement)
        body = result
        if not changed:
            return body
