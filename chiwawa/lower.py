"""Control flow, worked out once for both paths (spec 3.3.8, 4.4.8).

For each function: where each branch leads, how high the operand stack is and of which types at
each boundary, which boundaries are reached at all, and which of them are safepoints. The module is
valid, so nothing here judges it. The interpreter and the translator read this and never look at a
label index again.

A boundary lies before each instruction that can be reached; ``else`` and ``end`` only delimit. A
safepoint is a boundary at a function's first instruction, at a ``loop`` (each arrival, a branch
back to it included), and before a call that may reach the host: an imported function, or any call
through a table. A function with neither loops nor calls has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from chiwawa.module import BlockType, BrTable, Func, Instr, Module
from chiwawa.opcodes import ADDR
from chiwawa_runtime.segments import UNCOUNTED
from chiwawa_runtime.types import FUNCREF, I32, FuncType, ValType

#: Operand types as a linked list, the top first: boundaries share their tails.
Stack = tuple[ValType, "Stack"] | None


@dataclass(slots=True, eq=False)
class Label:
    """A construct that can be branched to. Positions are indices into the function's body; the
    function itself has ``start`` -1. ``height`` is that of the stack beneath its parameters."""

    kind: str
    start: int
    params: tuple[ValType, ...]
    results: tuple[ValType, ...]
    stack: Stack
    height: int
    else_: int | None = None
    end: int = 0
    #: Whether some branch that can be reached leads here.
    targeted: bool = False
    #: Whether the end is reached, by falling into it or by a branch.
    leaves: bool = False

    @property
    def arity(self) -> int:
        """How many operands a branch here carries."""
        return len(self.params if self.kind == "loop" else self.results)


@dataclass(slots=True, eq=False)
class Lowered:
    """A function as both paths see it. The lists and dicts are by position in ``body``."""

    index: int
    type: FuncType
    #: Parameters first.
    locals: tuple[ValType, ...]
    body: list[Instr]
    function: Label
    labels: dict[int, Label] = field(default_factory=dict)
    #: Of br, br_if, return: one label. Of br_table: the vector, then the default.
    targets: dict[int, tuple[Label, ...]] = field(default_factory=dict)
    stacks: list[Stack] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    #: Whether the boundary at that position can be reached (always False at else and end).
    reached: list[bool] = field(default_factory=list)
    safepoints: set[int] = field(default_factory=set)
    #: How many constructs are in each other at most, in code that can be reached.
    nesting: int = 0
    #: The type of the function called there.
    calls: dict[int, FuncType] = field(default_factory=dict)

    def types_at(self, position: int) -> tuple[ValType, ...]:
        """The operand types at a boundary, the deepest first."""
        return unroll(self.stacks[position])

    def height_in_call(self, position: int) -> int:
        """How many operands there are while the call at ``position`` is in progress."""
        popped = len(self.calls[position].params)
        if self.body[position].op.name == "call_indirect":
            popped += 1
        return self.heights[position] - popped

    def types_in_call(self, position: int) -> tuple[ValType, ...]:
        """The operand types while the call at ``position`` is in progress."""
        return self.types_at(position)[: self.height_in_call(position)]


def unroll(stack: Stack) -> tuple[ValType, ...]:
    types = []
    while stack is not None:
        top, stack = stack
        types.append(top)
    return tuple(reversed(types))


def pushed(stack: Stack, types: Iterable[ValType]) -> Stack:
    for valtype in types:
        stack = (valtype, stack)
    return stack


def popped(stack: Stack, count: int) -> Stack:
    for _ in range(count):
        assert stack is not None
        stack = stack[1]
    return stack


@dataclass(frozen=True, slots=True)
class Spaces:
    """A module's index spaces, which lowering looks types up in. One for each module."""

    module: Module
    types: list[FuncType]
    funcs: list[FuncType]
    globals: list[ValType]
    tables: list[ValType]
    addresses: list[ValType]
    table_addresses: list[ValType]
    imported_funcs: int

    @classmethod
    def of(cls, module: Module) -> Spaces:
        funcs = module.func_types()
        return cls(
            module,
            module.types,
            funcs,
            [g.type for g in module.global_types()],
            [t.element for t in module.table_types()],
            [m.limits.address for m in module.memory_types()],
            [t.limits.address for t in module.table_types()],
            len(funcs) - len(module.funcs),
        )

    def blocktype(self, blocktype: BlockType) -> tuple[tuple[ValType, ...], tuple[ValType, ...]]:
        if blocktype is None:
            return (), ()
        if isinstance(blocktype, int):
            functype = self.types[blocktype]
            return functype.params, functype.results
        return (), (blocktype,)


def lower(spaces: Spaces, index: int, *, everywhere: bool = False) -> Lowered:
    """Lower the function ``index`` (which is defined here, not imported). With ``everywhere``,
    each boundary is a safepoint."""
    func: Func = spaces.module.funcs[index - spaces.imported_funcs]
    functype = spaces.funcs[index]
    function = Label("func", -1, functype.params, functype.results, None, 0)
    result = Lowered(index, functype, functype.params + func.locals, func.body, function)
    _Lowering(spaces, result, everywhere).run()
    return result


class _Lowering:
    """One pass over a body. ``live`` is False in code that cannot be reached."""

    def __init__(self, spaces: Spaces, result: Lowered, everywhere: bool) -> None:
        self.spaces = spaces
        self.result = result
        self.everywhere = everywhere
        self.control: list[Label] = [result.function]
        self.stack: Stack = None
        self.height = 0
        self.live = True
        #: How many constructs have been opened in code that cannot be reached.
        self.dead_depth = 0

    def run(self) -> None:
        result = self.result
        body = result.body
        result.function.end = len(body) - 1
        for position, instr in enumerate(body):
            name = instr.op.name
            delimits = name == "end" or name == "else"
            result.stacks.append(self.stack)
            result.heights.append(self.height)
            result.reached.append(self.live and not delimits)
            if delimits:
                self.delimit(name, position)
            elif not self.live:
                if name in ("block", "loop", "if"):
                    self.dead_depth += 1
            else:
                self.step(position, instr)
        self.mark_safepoints()

    def mark_safepoints(self) -> None:
        result = self.result
        if self.everywhere:
            result.safepoints = {p for p, reached in enumerate(result.reached) if reached}
            return
        loops = [label for label in result.labels.values() if label.kind == "loop"]
        if not loops and not result.calls:
            return
        result.safepoints = {0, *(label.start for label in loops)}
        for position in result.calls:
            instr = result.body[position]
            if instr.op.name == "call_indirect" or instr.imm[0] < self.spaces.imported_funcs:
                result.safepoints.add(position)

    def push(self, types: Iterable[ValType]) -> None:
        for valtype in types:
            self.stack = (valtype, self.stack)
            self.height += 1

    def pop(self, count: int) -> None:
        self.stack = popped(self.stack, count)
        self.height -= count

    def delimit(self, name: str, position: int) -> None:
        if self.dead_depth:
            self.dead_depth -= name == "end"
            return
        label = self.control[-1]
        label.leaves |= self.live
        if name == "else":
            label.else_ = position
            self.stack, self.height = pushed(label.stack, label.params), label.height
            self.height += len(label.params)
            self.live = True
            return
        self.control.pop()
        label.end = position
        # Without an else, the condition's being false falls to the end.
        label.leaves |= label.kind == "if" and label.else_ is None
        self.live = label.leaves
        self.stack = pushed(label.stack, label.results)
        self.height = label.height + len(label.results)

    def branch(self, position: int, labels: tuple[Label, ...]) -> None:
        self.result.targets[position] = labels
        for label in labels:
            label.targeted = True
            label.leaves |= label.kind != "loop"

    def step(self, position: int, instr: Instr) -> None:
        op = instr.op
        if op.signature is not None:
            params, results = op.params, op.results
            stack = self.stack
            for _ in params:
                stack = stack[1]  # type: ignore[index]
            for valtype in results:
                stack = (self.address(instr) if valtype == ADDR else valtype, stack)  # type: ignore[assignment]
            self.stack = stack
            self.height += len(results) - len(params)
            return
        getattr(self, "step_" + op.name.replace(".", "_").replace(" t*", "_t"))(position, instr)

    def address(self, instr: Instr) -> ValType:
        imm = instr.imm[0]
        return self.spaces.addresses[imm if isinstance(imm, int) else imm.memidx]

    def open(self, kind: str, position: int, instr: Instr) -> None:
        params, results = self.spaces.blocktype(instr.imm[0])
        below = popped(self.stack, len(params))
        label = Label(kind, position, params, results, below, self.height - len(params))
        self.result.labels[position] = label
        self.control.append(label)
        self.result.nesting = max(self.result.nesting, len(self.control) - 1)

    def step_unreachable(self, position: int, instr: Instr) -> None:
        self.live = False

    def step_block(self, position: int, instr: Instr) -> None:
        self.open("block", position, instr)

    def step_loop(self, position: int, instr: Instr) -> None:
        self.open("loop", position, instr)

    def step_if(self, position: int, instr: Instr) -> None:
        self.pop(1)
        self.open("if", position, instr)

    def step_br(self, position: int, instr: Instr) -> None:
        self.branch(position, (self.control[-1 - instr.imm[0]],))
        self.live = False

    def step_br_if(self, position: int, instr: Instr) -> None:
        self.pop(1)
        self.branch(position, (self.control[-1 - instr.imm[0]],))

    def step_br_table(self, position: int, instr: Instr) -> None:
        table = instr.imm[0]
        assert isinstance(table, BrTable)
        self.branch(
            position, tuple(self.control[-1 - depth] for depth in (*table.labels, table.default))
        )
        self.live = False

    def step_return(self, position: int, instr: Instr) -> None:
        self.branch(position, (self.control[0],))
        self.live = False

    def step_call(self, position: int, instr: Instr) -> None:
        self.call(position, self.spaces.funcs[instr.imm[0]])

    def step_call_indirect(self, position: int, instr: Instr) -> None:
        self.pop(1)
        self.call(position, self.spaces.types[instr.imm[0]])

    def call(self, position: int, functype: FuncType) -> None:
        self.result.calls[position] = functype
        self.pop(len(functype.params))
        self.push(functype.results)

    def step_drop(self, position: int, instr: Instr) -> None:
        self.pop(1)

    def step_select(self, position: int, instr: Instr) -> None:
        self.pop(2)

    def step_select_t(self, position: int, instr: Instr) -> None:
        self.pop(2)

    def step_local_get(self, position: int, instr: Instr) -> None:
        self.push((self.result.locals[instr.imm[0]],))

    def step_local_set(self, position: int, instr: Instr) -> None:
        self.pop(1)

    def step_local_tee(self, position: int, instr: Instr) -> None:
        pass

    def step_global_get(self, position: int, instr: Instr) -> None:
        self.push((self.spaces.globals[instr.imm[0]],))

    def step_global_set(self, position: int, instr: Instr) -> None:
        self.pop(1)

    def step_table_get(self, position: int, instr: Instr) -> None:
        self.pop(1)
        self.push((self.spaces.tables[instr.imm[0]],))

    def step_table_set(self, position: int, instr: Instr) -> None:
        self.pop(2)

    def step_table_grow(self, position: int, instr: Instr) -> None:
        self.pop(2)
        self.push((self.spaces.table_addresses[instr.imm[0]],))

    def step_table_fill(self, position: int, instr: Instr) -> None:
        self.pop(3)

    def step_ref_null(self, position: int, instr: Instr) -> None:
        self.push((instr.imm[0],))

    def step_ref_is_null(self, position: int, instr: Instr) -> None:
        self.pop(1)
        self.push((I32,))

    def step_ref_func(self, position: int, instr: Instr) -> None:
        self.push((FUNCREF,))


def recursive_functions(spaces: Spaces) -> frozenset[int]:
    """The functions whose frames count towards the depth at which the call stack is exhausted:
    those that can be entered again while they run, being on a cycle of the call graph, where a call
    through a table may reach any function whose reference the module takes or exports; and those
    from which there are more than ``UNCOUNTED`` others to be on top of each other.

    So a call of a function that cannot recur costs nothing.
    """
    module = spaces.module
    anything = -1
    graph: dict[int, set[int]] = {anything: set()}
    reachable = graph[anything]
    reachable.update(e.index for e in module.exports if e.kind == "func")
    constants = [expr for elem in module.elems for expr in elem.init]
    constants += [g.init for g in module.globals]
    for expr in constants:
        reachable.update(i.imm[0] for i in expr if i.op.name == "ref.func")
    for position, func in enumerate(module.funcs):
        edges = graph[spaces.imported_funcs + position] = set()
        for op, imm, _ in func.body:
            if op.name == "call":
                # What calls back from outside this instance is counted where it crosses.
                if imm[0] >= spaces.imported_funcs:
                    edges.add(imm[0])
            elif op.name == "call_indirect":
                edges.add(anything)
            elif op.name == "ref.func":
                reachable.add(imm[0])
    reachable.difference_update(range(spaces.imported_funcs))
    result: set[int] = set()
    #: How many functions that do not count may be on top of each other from a node on.
    uncounted: dict[int, int] = {}
    for component in _components(graph):
        beneath = max(
            (uncounted[s] for node in component for s in graph[node] if s in uncounted), default=0
        )
        node = component[0]
        if len(component) > 1 or node in graph[node]:
            result.update(component)
        elif beneath >= UNCOUNTED:
            result.add(node)
        elif node != anything:
            beneath += 1
        uncounted.update(dict.fromkeys(component, beneath))
    result.discard(anything)
    return frozenset(result)


def _components(graph: dict[int, set[int]]) -> Iterator[list[int]]:
    """The strongly connected components, each after those that it leads to: Tarjan's, without
    recursion."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    on_stack: set[int] = set()
    stack: list[int] = []
    for root in graph:
        if root in order:
            continue
        work = [(root, iter(graph[root]))]
        order[root] = low[root] = len(order)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, edges = work[-1]
            for successor in edges:
                if successor not in order:
                    order[successor] = low[successor] = len(order)
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
