"""A Wasm function as a tree of Python statements and control, before control becomes Python.

One pass over the lowered body. Operands stay pending as expressions until something consumes them;
what has an effect becomes a statement, and what that effect could change is first spilled into the
variable of its stack position, ``s0`` for the deepest. Before a safepoint or a call everything is
spilled, because a suspended frame is read from its variables.

A statement holds at most one instruction that can trap, and remembers its code offset: a line of
the generated file then names the instruction that a trap came from.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache

from chiwawa.aot import fold
from chiwawa.aot.fold import Node, const, is_atom, is_const, name
from chiwawa.lower import Label, Lowered, Spaces
from chiwawa.module import Instr, MemArg
from chiwawa.opcodes import Op
from chiwawa_runtime.instance import weight
from chiwawa_runtime.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.types import F32, F64, NumType, ValType, VecType

#: Python's compiler and astor recurse into expressions: deeper ones go through a variable.
DEEPEST = 24


class Surveyed:
    """What is known of an item once its tree has been surveyed: how many places in it can be
    resumed at and the last of them, the labels that branches in it lead to, whether loops are in
    it."""

    __slots__ = ("aims", "count", "last", "loops")
    count: int
    last: int
    aims: frozenset[Label]
    loops: bool


@dataclass(slots=True, eq=False)
class Plain(Surveyed):
    """A statement without control. ``offset`` is that of the instruction in it that may trap."""

    node: ast.stmt
    offset: int | None = None


@dataclass(slots=True, eq=False)
class Poll(Surveyed):
    """A safepoint: all operands are in their variables."""

    offset: int


@dataclass(slots=True, eq=False)
class Call(Surveyed):
    """A call that may be suspended: ``value`` makes the callee's generator. ``resumes`` is False
    where the callee is the host's, which cannot be captured."""

    offset: int
    value: Node
    targets: list[str]
    resumes: bool


@dataclass(slots=True, eq=False)
class If(Surveyed):
    test: Node
    then: list[Item]
    orelse: list[Item]
    #: The code offset at which the second arm begins, and at which the construct ends.
    else_offset: int
    end_offset: int


@dataclass(slots=True, eq=False)
class Loop(Surveyed):
    label: Label
    body: list[Item]


@dataclass(slots=True, eq=False)
class Block(Surveyed):
    """Items, and a label at their end that branches lead to."""

    label: Label
    body: list[Item]


@dataclass(slots=True, eq=False)
class Br(Surveyed):
    """To the head of a loop, or the end of anything else. What it carries is in place. A return
    has its value with it."""

    label: Label
    value: Node | None = None
    #: Whether this leaves a loop at its end, instead of going to its head.
    exits: bool = False


@dataclass(slots=True, eq=False)
class BrTable(Surveyed):
    """``index`` is an atom; the last label is the default."""

    index: Node
    labels: tuple[Label, ...]


Item = Plain | Poll | Call | If | Loop | Block | Br | BrTable


def leaves(items: list[Item]) -> bool:
    """Whether nothing falls off the end of ``items``."""
    if not items:
        return False
    match items[-1]:
        case Br() | BrTable():
            return True
        case Plain(node=ast.Expr(value=ast.Call(func=ast.Name(id="unreachable")))):
            return True
        case If(then=then, orelse=orelse):
            return leaves(then) and leaves(orelse)
        case Loop(label=label) | Block(label=label):
            return not label.leaves
    return False


class Operand:
    """A pending operand: an expression, which variables it reads (bits), whether it reads state,
    whether it may trap (the offset), how deep it is nested, whether it reads the rounding cell."""

    __slots__ = ("cell", "depth", "locals", "node", "slots", "state", "trap")

    def __init__(
        self,
        node: Node,
        locals_: int = 0,
        slots: int = 0,
        state: bool = False,
        trap: int | None = None,
        depth: int = 0,
        cell: bool = False,
    ) -> None:
        self.node = node
        self.locals = locals_
        self.slots = slots
        self.state = state
        self.trap = trap
        self.depth = depth
        self.cell = cell


@dataclass(slots=True)
class Options:
    """``polls`` False leaves the safepoints out: only to measure what they cost.
    ``suspendable`` says of a function index whether it is a generator."""

    spaces: Spaces
    suspendable: frozenset[int]
    recursive: frozenset[int]
    names: dict[int, str]
    everywhere: bool = False
    polls: bool = True


@dataclass(slots=True)
class Open:
    """A construct being read: its label, what encloses it, and its arms."""

    label: Label
    outer: list[Item]
    test: Node | None = None
    then: list[Item] = field(default_factory=list)


def high(valtype: ValType) -> int | None:
    """The bound of an integer type; None for the others."""
    if isinstance(valtype, NumType) and valtype is not F32 and valtype is not F64:
        return (1 << valtype.bits) - 1
    return None


def float_const(bits: int, valtype: ValType) -> Node:
    """A float as Python can write it exactly: by bits where its repr would lose them."""
    value = f32_from_bits(bits) if valtype is F32 else f64_from_bits(bits)
    if value != value:
        function = "f32_from_bits" if valtype is F32 else "f64_from_bits"
        return fold.call(function, const(bits))
    if value in (float("inf"), float("-inf")):
        return name("inf") if value > 0 else fold.negate(name("inf"))
    if str(value).startswith("-"):
        return fold.negate(fold.bounded(ast.Constant(-value), None, None))
    return fold.bounded(ast.Constant(value), None, None)


def environment(instr: Instr) -> dict[str, Node]:
    """What the names of a meaning stand for in generated code (see ``chiwawa.opcodes``)."""
    env: dict[str, Node] = {}
    for kind, imm in zip(instr.op.immediates, instr.imm, strict=True):
        match kind:
            case "memarg":
                assert isinstance(imm, MemArg)
                env["memory"] = name(f"m{imm.memidx}")
                env["offset"] = const(imm.offset)
            case "i32" | "i64":
                env["value"] = const(imm)
            case "f32" | "f64":
                assert isinstance(imm, int)
                env["value"] = float_const(imm, F32 if kind == "f32" else F64)
            case "memidx":
                env["mem2" if "mem" in env else "mem"] = name(f"mem{imm}")
            case "tableidx":
                env["table2" if "table" in env else "table"] = name(f"table{imm}")
            case "globalidx":
                env["glob"] = name(f"g{imm}")
            case "elemidx":
                env["elem"] = name(f"elem{imm}")
            case "dataidx":
                env["data"] = name(f"data{imm}")
            case "funcidx":
                env["func"] = name(f"ref{imm}")
    return env


NO_IMMEDIATES: dict[str, Node] = {}


@dataclass(frozen=True, slots=True)
class Usage:
    """What the translator asks of a row of the instruction table, worked out once. ``counts`` is how
    often each operand is named; ``lazy`` says that one may go unevaluated; ``rounds`` that the
    meaning is ``f32_round`` of something; ``typed`` that ``high`` bounds the result (None: it is no
    integer)."""

    template: fold.Template
    counts: tuple[int, ...]
    arity: int
    pushes: bool
    reads: bool
    writes: bool
    traps: bool
    lazy: bool
    rounds: bool
    typed: bool
    high: int | None


@cache
def usage(op: Op) -> Usage:
    assert op.meaning is not None
    counts = fold.uses(op)
    result = op.results[0] if op.signature is not None and op.results else None
    typed = isinstance(result, NumType | VecType)
    top = high(result) if isinstance(result, NumType) else None
    return Usage(
        template=fold.template(op),
        counts=counts,
        arity=sum(1 for count in counts if count),
        pushes=bool(result) if op.signature is not None else op.name not in STATEMENTS,
        reads="r" in op.effects,
        writes="w" in op.effects,
        traps="t" in op.effects,
        lazy=op.mnemonic == "select",
        rounds=op.meaning.startswith("f32_round("),
        typed=typed,
        high=top if op.high is None else op.high,
    )


#: What has a meaning and no signature, and pushes nothing.
STATEMENTS = ("global.set", "table.set", "table.fill")


def build(lowered: Lowered, options: Options) -> list[Item]:
    """The tree of a function."""
    return _Builder(lowered, options).run()


class _Builder:
    def __init__(self, lowered: Lowered, options: Options) -> None:
        self.lowered = lowered
        self.options = options
        self.items: list[Item] = []
        self.stack: list[Operand] = []
        self.opened: list[Open] = []
        self.local_high = [high(t) for t in lowered.locals]
        self.rules = {
            "local.get": self.local_get,
            "local.set": self.local_set,
            "local.tee": self.local_tee,
            "drop": self.drop,
            "nop": self.nop,
            "unreachable": self.unreachable,
            "block": self.block,
            "loop": self.loop,
            "if": self.if_,
            "else": self.else_,
            "end": self.end,
            "br": self.br,
            "br_if": self.br_if,
            "br_table": self.br_table,
            "return": self.return_,
            "call": self.call,
            "call_indirect": self.call_indirect,
        }
        #: The position of an instruction that was translated with the one before it.
        self.skipped = -1

    def run(self) -> list[Item]:
        lowered = self.lowered
        rules, reached = self.rules, lowered.reached
        safepoints = lowered.safepoints if self.options.polls else ()
        for position, instr in enumerate(lowered.body):
            if reached[position]:
                if position == self.skipped:
                    continue
                if position in safepoints:
                    self.spill_all()
                    # A restored frame has whatever its checkpoint says.
                    self.widen(lowered.types_at(position))
                    self.items.append(Poll(instr.offset))
                rule = rules.get(instr.op.name)
                if rule is None:
                    self.apply(instr)
                else:
                    rule(position, instr)
            elif instr.op.name in ("end", "else"):
                rules[instr.op.name](position, instr)
        return self.items

    # Operands.

    def push(self, operand: Operand) -> None:
        self.stack.append(operand)

    def emit(self, node: ast.stmt, offset: int | None = None) -> None:
        self.items.append(Plain(node, offset))

    def assign(self, target: str, operand: Operand) -> None:
        node = operand.node
        if type(node) is ast.Name and node.id == target:
            return
        self.emit(ast.Assign([ast.Name(target, fold.STORE)], node), operand.trap)

    def spill(self, height: int) -> None:
        """Put the operand at ``height`` into its variable."""
        operand = self.stack[height]
        node = operand.node
        if type(node) is ast.Name and operand.slots == 1 << height:
            return
        bit = 1 << height
        for below in range(height):
            if self.stack[below].slots & bit:
                self.spill(below)
        target = f"s{height}"
        self.assign(target, operand)
        self.stack[height] = Operand(
            fold.bounded(ast.Name(target, fold.LOAD), node.lo, node.hi), slots=bit
        )

    def spill_all(self) -> None:
        for height in range(len(self.stack)):
            self.spill(height)

    def spill_where(self, *, trap: bool = False, state: bool = False, local: int = 0) -> None:
        for height, operand in enumerate(self.stack):
            if (
                (trap and operand.trap is not None)
                or (state and operand.state)
                or operand.locals & local
            ):
                self.spill(height)

    def widen(self, types: tuple[ValType, ...]) -> None:
        """The operands, which are in their variables, are bounded by their types alone."""
        self.stack.clear()
        self.typed(types, 0)

    def typed(self, types: tuple[ValType, ...], base: int) -> None:
        for height, valtype in enumerate(types, base):
            self.stack.append(Operand(name(f"s{height}", high(valtype)), slots=1 << height))

    # Instructions with a meaning.

    def apply(self, instr: Instr) -> None:
        op = instr.op
        how = usage(op)
        stack = self.stack
        traps = how.traps
        first = len(stack) - how.arity
        if traps or how.writes:
            for height, operand in enumerate(stack):
                if (traps and operand.trap is not None) or (
                    how.writes and height < first and (operand.state or operand.trap is not None)
                ):
                    self.spill(height)
        locals_ = slots = depth = 0
        state, cell = how.reads, False
        trap = instr.offset if traps else None
        nodes = []
        for height in range(first, len(stack)):
            operand = stack[height]
            node = operand.node
            if (
                operand.depth > DEEPEST
                or (how.counts[height - first] > 1 and not is_atom(node))
                or (how.lazy and operand.trap is not None)
            ):
                self.spill(height)
                operand = stack[height]
                node = operand.node
            nodes.append(node)
            locals_ |= operand.locals
            slots |= operand.slots
            state |= operand.state
            cell |= operand.cell
            if operand.depth > depth:
                depth = operand.depth
            if trap is None:
                trap = operand.trap
        env = environment(instr) if op.immediates else NO_IMMEDIATES
        node = how.template(nodes, env)
        del stack[first:]
        if isinstance(node, ast.stmt):
            self.emit(node, trap)
            return
        if not how.pushes:
            self.emit(ast.Expr(node), trap)
            return
        if how.rounds:
            self.round(node.args[0], trap)
            return
        top = how.high if how.typed else self.high_of_result(instr, nodes)
        if top is not None:
            if node.lo is None:
                node.lo, node.hi = 0, top
            elif node.hi > top:
                node.hi = top
        stack.append(Operand(node, locals_, slots, state, trap, depth + 1, cell))
        if how.writes:
            self.spill(len(stack) - 1)

    def round(self, node: Node, trap: int | None) -> None:
        """Round to f32 in line: storing to a cell of four bytes and reading it again is what
        ``f32_round`` does, at a third of the cost of a call."""
        for height, operand in enumerate(self.stack):
            if operand.cell:
                self.spill(height)
        cell = ast.Subscript(ast.Name("f32_cell", fold.LOAD), const(0), fold.STORE)
        self.emit(ast.Assign([cell], node), trap)
        read = fold.subscript(name("f32_cell"), const(0))
        self.stack.append(Operand(read, state=True, cell=True))

    def high_of_result(self, instr: Instr, nodes: list[Node]) -> int | None:
        """The bound of a result whose type depends on immediates or operands."""
        op, spaces = instr.op, self.options.spaces
        match op.mnemonic:
            case "global.get":
                return high(spaces.globals[instr.imm[0]])  # type: ignore[index]
            case "table.grow":
                return high(spaces.table_addresses[instr.imm[0]])  # type: ignore[index]
            case "memory.size" | "memory.grow":
                return high(spaces.addresses[instr.imm[0]])  # type: ignore[index]
            case "ref.is_null":
                return 1
            case "select":
                return None if nodes[0].lo is None else max(nodes[0].hi, nodes[1].hi)
        # References are no numbers.
        return None

    # Variables and operands.

    def nop(self, position: int, instr: Instr) -> None:
        pass

    def local_get(self, position: int, instr: Instr) -> None:
        index: int = instr.imm[0]  # type: ignore[assignment]
        self.push(Operand(name(f"l{index}", self.local_high[index]), locals_=1 << index))

    def local_set(self, position: int, instr: Instr) -> None:
        index: int = instr.imm[0]  # type: ignore[assignment]
        operand = self.stack.pop()
        self.spill_where(local=1 << index, trap=operand.trap is not None)
        self.assign(f"l{index}", operand)

    def local_tee(self, position: int, instr: Instr) -> None:
        index: int = instr.imm[0]  # type: ignore[assignment]
        operand = self.stack.pop()
        self.spill_where(local=1 << index, trap=operand.trap is not None)
        self.assign(f"l{index}", operand)
        node = operand.node
        if is_const(node):
            self.push(Operand(node))
        else:
            hi = self.local_high[index]
            read = name(f"l{index}", hi)
            if hi is not None and node.lo is not None and node.lo >= 0 and node.hi < hi:
                read.hi = node.hi
            self.push(Operand(read, locals_=1 << index))

    def drop(self, position: int, instr: Instr) -> None:
        operand = self.stack.pop()
        if operand.trap is not None:
            self.spill_where(trap=True)
            self.emit(ast.Expr(operand.node), operand.trap)

    # Control.

    def unreachable(self, position: int, instr: Instr) -> None:
        self.spill_where(trap=True)
        self.emit(ast.Expr(fold.call("unreachable")), instr.offset)

    def open(self, position: int, outer: list[Item], test: Node | None = None) -> None:
        self.opened.append(Open(self.lowered.labels[position], outer, test))
        self.items = []

    def block(self, position: int, instr: Instr) -> None:
        self.spill_all()
        self.open(position, self.items)

    def loop(self, position: int, instr: Instr) -> None:
        self.spill_all()
        label = self.lowered.labels[position]
        outer = self.items
        polled = []
        if outer and isinstance(outer[-1], Poll) and outer[-1].offset == instr.offset:
            polled = [outer.pop()]
        self.opened.append(Open(label, outer))
        self.items = polled
        # A loop's parameters may have changed when it comes around.
        del self.stack[label.height :]
        self.typed(label.params, label.height)

    def if_(self, position: int, instr: Instr) -> None:
        self.prepare(1)
        self.open(position, self.items, self.stack.pop().node)

    def settle(self, label: Label) -> None:
        """Put the results of ``label``, which are on the stack, into their variables."""
        self.spill_where(trap=True)
        for height in range(label.height, label.height + len(label.results)):
            self.spill(height)

    def else_(self, position: int, instr: Instr) -> None:
        if not self.opened or self.opened[-1].label.else_ != position:
            return
        opened = self.opened[-1]
        if not leaves(self.items):
            self.settle(opened.label)
        opened.then, self.items = self.items, []
        del self.stack[opened.label.height :]
        self.typed(opened.label.params, opened.label.height)

    def end(self, position: int, instr: Instr) -> None:
        if position == self.lowered.function.end:
            if not leaves(self.items):
                self.give_back()
            return
        if not self.opened or self.opened[-1].label.end != position:
            return
        opened = self.opened.pop()
        label, body = opened.label, self.lowered.body
        items, self.items = self.items, opened.outer
        if not leaves(items):
            self.items = items
            self.settle(label)
            self.items = opened.outer
        item: Item
        if label.kind == "loop":
            item = Loop(label, items)
        elif label.kind == "if":
            if label.else_ is None:
                then, orelse = items, []
            else:
                then, orelse = opened.then, items
            assert opened.test is not None
            middle = label.end if label.else_ is None else label.else_
            item = If(opened.test, then, orelse, body[middle].offset, body[label.end].offset)
            if label.targeted:
                item = Block(label, [item])
        else:
            item = Block(label, items)
        self.items.append(item)
        del self.stack[label.height :]
        self.typed(label.results, label.height)

    def carry(self, label: Label) -> list[Plain]:
        """Assignments that move what a branch carries to where its target expects it."""
        moves = []
        arity = label.arity
        source = len(self.stack) - arity
        for index in range(arity):
            if source != label.height:
                operand = self.stack[source + index]
                moves.append(
                    Plain(
                        ast.Assign([ast.Name(f"s{label.height + index}", fold.STORE)], operand.node)
                    )
                )
        return moves

    def give_back(self) -> None:
        """Return from the function, with the results on the stack."""
        self.spill_where(trap=True)
        count = len(self.lowered.type.results)
        values = [operand.node for operand in self.stack[len(self.stack) - count :]]
        if not values:
            node = None
        elif count == 1:
            node = values[0]
        else:
            node = fold.bounded(ast.Tuple(values, fold.LOAD), None, None)
        self.items.append(Br(self.lowered.function, node))

    def br(self, position: int, instr: Instr) -> None:
        (label,) = self.lowered.targets[position]
        if label.kind == "func":
            self.give_back()
            return
        self.spill_where(trap=True)
        for height in range(len(self.stack) - label.arity, len(self.stack)):
            self.spill(height)
        self.items += self.carry(label)
        self.items.append(Br(label))

    def return_(self, position: int, instr: Instr) -> None:
        self.give_back()

    def br_if(self, position: int, instr: Instr) -> None:
        (label,) = self.lowered.targets[position]
        test = self.condition(label.arity)
        outer, self.items = self.items, []
        if label.kind == "func":
            self.give_back()
        else:
            self.items += self.carry(label)
            self.items.append(Br(label))
        outer.append(If(test, self.items, [], instr.offset + 1, instr.offset + 1))
        self.items = outer

    def condition(self, arity: int) -> Node:
        """The condition or index on top; what a branch would carry is in its variables."""
        self.spill_where(trap=True)
        first = len(self.stack) - 1 - arity
        for height in range(first, first + arity):
            self.spill(height)
        return self.stack.pop().node

    def br_table(self, position: int, instr: Instr) -> None:
        labels = self.lowered.targets[position]
        if not is_atom(self.stack[-1].node):
            self.spill(len(self.stack) - 1)
        index = self.condition(labels[-1].arity)
        heights = {label.height for label in labels if label.kind != "func"}
        if any(label.kind == "func" for label in labels) or (
            labels[-1].arity and heights != {len(self.stack) - labels[-1].arity}
        ):
            self.items += self.chain(index, labels)
            return
        self.items.append(BrTable(index, labels))

    def chain(self, index: Node, labels: tuple[Label, ...]) -> list[Item]:
        """A table whose branches carry operands to different places, as a tree of tests."""

        def arm(label: Label) -> list[Item]:
            outer, self.items = self.items, []
            if label.kind == "func":
                self.give_back()
            else:
                self.items += self.carry(label)
                self.items.append(Br(label))
            result, self.items = self.items, outer
            return result

        def among(low: int, above: int) -> list[Item]:
            if len(set(labels[low:above])) == 1:
                return arm(labels[low])
            middle = (low + above) // 2
            test = fold.compare(ast.Lt(), index, const(middle))
            return [If(test, among(low, middle), among(middle, above), 0, 0)]

        return among(0, len(labels))

    # Calls.

    def call(self, position: int, instr: Instr) -> None:
        index: int = instr.imm[0]  # type: ignore[assignment]
        functype = self.options.spaces.funcs[index]
        callee = self.options.names[index]
        imported = index < self.options.spaces.imported_funcs
        if not imported and index not in self.options.suspendable:
            self.call_plain(position, instr, callee)
            return
        count = len(functype.params)
        self.prepare(count)
        first = len(self.stack) - count
        args = [operand.node for operand in self.stack[first:]]
        del self.stack[first:]
        value = fold.apply(name(callee), [*args, self.depth(imported)])
        self.suspend(position, instr, value, not imported)

    def call_indirect(self, position: int, instr: Instr) -> None:
        typeidx, tableidx = instr.imm
        functype = self.options.spaces.types[typeidx]  # type: ignore[index]
        count = len(functype.params) + 1
        self.prepare(count)
        first = len(self.stack) - count
        *args, index = (operand.node for operand in self.stack[first:])
        del self.stack[first:]
        callee = fold.call("indirect", name(f"table{tableidx}"), index, name(f"type{typeidx}"))
        value = fold.apply(callee, [*args, self.depth(True)])
        self.suspend(position, instr, value, True)

    def prepare(self, count: int) -> None:
        """Everything beneath a call's operands into variables; nothing that traps among them."""
        self.spill_where(trap=True)
        for height in range(len(self.stack) - count):
            self.spill(height)

    def depth(self, crossing: bool) -> Node:
        """The depth that a callee starts at (see ``chiwawa.lower.recursive_functions``)."""
        deeper = int(crossing)
        if self.lowered.index in self.options.recursive:
            deeper = weight(self.lowered.locals)
        if not deeper:
            return name("depth")
        return fold.bounded(ast.BinOp(name("depth"), fold.ADD, const(deeper)), None, None)

    def suspend(self, position: int, instr: Instr, value: Node, resumes: bool) -> None:
        results = self.lowered.calls[position].results
        base = len(self.stack)
        if base:
            self.widen(self.lowered.types_in_call(position))
        targets = [f"s{base + i}" for i in range(len(results))]
        following = self.lowered.body[position + 1]
        if (
            len(results) == 1
            and following.op.name == "local.set"
            and position + 1 not in self.lowered.safepoints
        ):
            self.skipped = position + 1
            targets = [f"l{following.imm[0]}"]
            results = ()
            # What is beneath was spilled, so nothing pending reads that local.
        self.items.append(Call(instr.offset, value, targets, resumes))
        self.typed(results, base)

    def call_plain(self, position: int, instr: Instr, callee: str) -> None:
        functype = self.lowered.calls[position]
        self.spill_where(trap=True, state=True)
        first = len(self.stack) - len(functype.params)
        args = [operand.node for operand in self.stack[first:]]
        del self.stack[first:]
        value = fold.apply(name(callee), args)
        base = len(self.stack)
        count = len(functype.results)
        if count == 0:
            self.emit(ast.Expr(value), instr.offset)
            return
        for height in range(base):
            if self.stack[height].slots >> base:
                self.spill(height)
        targets: list[ast.expr] = [ast.Name(f"s{base + i}", fold.STORE) for i in range(count)]
        target = targets[0] if count == 1 else ast.Tuple(targets, fold.STORE)
        self.emit(ast.Assign([target], value), instr.offset)
        self.typed(functype.results, base)
