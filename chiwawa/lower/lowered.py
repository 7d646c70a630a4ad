"""Control flow, worked out once for both paths (spec 3.3.8, 4.4.8).

For each function, as validation finds it out: where each branch leads, how high the operand stack
is and of which types at each boundary, and which boundaries are reached at all; and which of them
are safepoints. The interpreter and the translator read this and never look at a label index again.

A boundary lies before each instruction that can be reached; ``else`` and ``end`` only delimit. A
safepoint is a boundary at a function's first instruction, at a ``loop`` (each arrival, a branch
back to it included), and before a call that may reach the host: an imported function, or any call
through a table. A function with neither loops nor calls has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from chiwawa.module import Func, Instr, Module
from chiwawa.validate import Context, Handler, Label, Settled, build_context, type_body
from chiwawa_runtime.engine.segments import UNCOUNTED
from chiwawa_runtime.state.stacks import Stack, unrolled
from chiwawa_runtime.state.types import DefType, FuncType, ValType


@dataclass(slots=True, eq=False)
class Lowered:
    """A function as both paths see it. The lists and dicts are by position in ``body``."""

    index: int
    type: FuncType
    #: Parameters first.
    locals: tuple[ValType, ...]
    body: list[Instr]
    function: Label
    labels: dict[int, Label]
    #: Of br, br_if, return: one label. Of br_table: the vector, then the default.
    targets: dict[int, tuple[Label, ...]]
    stacks: list[Stack]
    heights: list[int]
    #: Whether the boundary at that position can be reached (always False at else and end).
    reached: list[bool]
    #: How many constructs are in each other at most, in code that can be reached.
    nesting: int
    #: The type of the function called there, and the operands while the call is in progress.
    calls: dict[int, FuncType]
    below: dict[int, Stack]
    #: Of what may throw, or let through, an exception that is handled in this function: the
    #: innermost construct that handles any. Of rethrow: that whose arm has caught what it throws.
    guards: dict[int, Label]
    rethrown: dict[int, Label]
    #: The locals that have no value at first, and which of them have one at a boundary.
    unsettled: frozenset[int]
    settled: dict[int, Settled]
    safepoints: set[int] = field(default_factory=set)

    def types_at(self, position: int) -> tuple[ValType, ...]:
        """The operand types at a boundary, the deepest first."""
        return unrolled(self.stacks[position])

    def stack_at(self, position: int) -> Stack:
        """The operand types at a boundary, whichever way it is reached: at a loop, those of the
        operands that it takes are as it says, wherever they come from."""
        return self.stacks[position + self.body[position].op.loops]

    def unset_at(self, position: int) -> frozenset[int]:
        """The locals that may not be read at a boundary: they have no value yet."""
        if not self.unsettled:
            return self.unsettled
        settled = []
        some = self.settled[position]
        while some is not None:
            index, some = some
            settled.append(index)
        return self.unsettled.difference(settled)

    def handlers(self, position: int) -> list[Handler]:
        """The handlers that an exception is held against, one after the other, which the
        instruction at ``position`` throws or lets through."""
        guard = self.guards.get(position)
        return [] if guard is None else guard.all_handlers()

    def height_in_call(self, position: int) -> int:
        """How many operands there are while the call at ``position`` is in progress."""
        popped = len(self.calls[position].params)
        if self.body[position].op.indirect:
            # The index of the callee.
            popped += 1
        return self.heights[position] - popped


@dataclass(frozen=True, slots=True)
class Spaces:
    """A module and its index spaces, one for each module that is lowered."""

    module: Module
    context: Context
    imported_funcs: int

    @classmethod
    def of(cls, module: Module) -> Spaces:
        def make() -> Spaces:
            context = build_context(module)
            return cls(module, context, len(context.funcs) - len(module.funcs))

        return module.once("spaces", make)

    @property
    def types(self) -> Sequence[DefType]:
        return self.context.types

    @property
    def funcs(self) -> Sequence[DefType]:
        return self.context.funcs


def lower(spaces: Spaces, index: int, *, everywhere: bool = False) -> Lowered:
    """Lower the function ``index`` (which is defined here, not imported). With ``everywhere``,
    each boundary is a safepoint."""
    func: Func = spaces.module.funcs[index - spaces.imported_funcs]
    instrs = func.body
    body, boundaries = type_body(spaces.context, func, instrs)
    result = Lowered(
        index=index,
        type=spaces.funcs[index].functype,
        locals=tuple(body.locals),
        body=instrs,
        function=body.block,
        labels=body.labels,
        targets=body.targets,
        stacks=boundaries.stacks,
        heights=boundaries.heights,
        reached=boundaries.reached,
        nesting=body.nesting,
        calls=body.calls,
        below=body.below,
        guards=body.guards,
        rethrown=body.rethrown,
        unsettled=body.unsettled,
        settled=boundaries.settled,
    )
    result.safepoints = safepoints_of(result, spaces.imported_funcs, everywhere)
    return result


def safepoints_of(lowered: Lowered, imported: int, everywhere: bool) -> set[int]:
    """The positions of a function's safepoints, where ``imported`` functions are."""
    if everywhere:
        return {p for p, reached in enumerate(lowered.reached) if reached}
    loops = [label.start for label in lowered.labels.values() if label.loops]
    if not loops and not lowered.calls:
        return set()
    result = {0, *loops}
    for position in lowered.calls:
        instr = lowered.body[position]
        if instr.op.indirect or instr.imm[0] < imported:
            result.add(position)
    return result


def recursive_functions(spaces: Spaces) -> frozenset[int]:
    """The functions whose frames count towards the depth at which the call stack is exhausted:
    those that can be entered again while they run, being on a cycle of the call graph, where a call
    through a table may reach any function whose reference the module takes or exports; and those
    from which there are more than ``UNCOUNTED`` others to be on top of each other.

    So a call of a function that cannot recur costs nothing.
    """
    return _once(spaces, "recursive")


def tailing_functions(spaces: Spaces) -> frozenset[int]:
    """The functions that may end in a tail call."""
    return _once(spaces, "tailing")


def suspendable_functions(spaces: Spaces) -> frozenset[int]:
    """The functions that have a safepoint (see the top of this file), where not every boundary is
    one."""
    return _once(spaces, "suspendable")


def _once(spaces: Spaces, name: str) -> frozenset[int]:
    return spaces.module.once(name, lambda: SETS[name](spaces))


def _tailing_functions(spaces: Spaces) -> frozenset[int]:
    funcs = enumerate(spaces.module.funcs, spaces.imported_funcs)
    return frozenset(index for index, func in funcs if func.summary.ends_in_calls)


def _suspendable_functions(spaces: Spaces) -> frozenset[int]:
    funcs = enumerate(spaces.module.funcs, spaces.imported_funcs)
    return frozenset(index for index, func in funcs if may_suspend(func))


def may_suspend(func: Func) -> bool:
    """Whether it has what loops or calls, which may be in code that is never reached."""
    summary = func.summary
    return bool(summary.loops or summary.indirect or summary.calls)


def _recursive_functions(spaces: Spaces) -> frozenset[int]:
    module, imported = spaces.module, spaces.imported_funcs
    # A node for each function, and one for any function that there is a reference to.
    anything = len(spaces.funcs)
    reachable: set[int] = set()
    reachable.update(e.index for e in module.export_section if e.kind == "func")
    for expr in module.constants():
        reachable.update(i.imm[0] for i in expr if i.op.refers)
    # What calls back from outside this instance is counted where it crosses.
    graph: list[Sequence[int]] = [()] * imported
    for func in module.funcs:
        summary = func.summary
        edges = summary.calls
        if edges and min(edges) < imported:
            edges = tuple(callee for callee in edges if callee >= imported)
        graph.append((*edges, anything) if summary.indirect else edges)
        reachable.update(summary.refers)
    graph.append(tuple(reachable.difference(range(imported))))
    result: set[int] = set()
    #: How many functions that do not count may be on top of each other from a node on.
    uncounted = [0] * len(graph)
    for component in _components(graph):
        beneath = max((uncounted[s] for node in component for s in graph[node]), default=0)
        node = component[0]
        if len(component) > 1 or node in graph[node]:
            result.update(component)
        elif beneath >= UNCOUNTED:
            result.add(node)
        elif node >= imported and node != anything:
            beneath += 1
        for node in component:
            uncounted[node] = beneath
    result.discard(anything)
    return frozenset(result)


def _components(graph: list[Sequence[int]]) -> Iterator[list[int]]:
    """The strongly connected components, each after those that it leads to: Tarjan's, without
    recursion."""
    unseen = -1
    count = 0
    order = [unseen] * len(graph)
    low = [unseen] * len(graph)
    on_stack: set[int] = set()
    stack: list[int] = []
    for root in range(len(graph)):
        if order[root] != unseen:
            continue
        work = [(root, iter(graph[root]))]
        order[root] = low[root] = count
        count += 1
        stack.append(root)
        on_stack.add(root)
        while work:
            node, edges = work[-1]
            for successor in edges:
                if order[successor] == unseen:
                    order[successor] = low[successor] = count
                    count += 1
                    stack.append(successor)
                    on_stack.add(successor)
                    work.append((successor, iter(graph[successor])))
                    break
                if successor in on_stack:
                    low[node] = min(low[node], order[successor])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    component = [stack.pop()]
                    while component[-1] != node:
                        component.append(stack.pop())
                    on_stack.difference_update(component)
                    yield component


#: Sets of functions that only reading all of a module's functions can tell, under which names it
#: keeps them.
SETS: dict[str, Callable[[Spaces], frozenset[int]]] = {
    "recursive": _recursive_functions,
    "tailing": _tailing_functions,
    "suspendable": _suspendable_functions,
}
