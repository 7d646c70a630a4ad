"""Valid modules, drawn choice by choice, as text.

``choose(n)`` gives a number in [0, n): from a hypothesis strategy, which then shrinks modules by
shrinking choices (0 is always the plainest), or from a seeded generator, which is faster. Programs
end: a branch back and a call that may recur spend fuel. Floats whose bits can be seen as an integer
are canonicalised first, since an engine is free in the bits of an arithmetic NaN.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from chiwawa.opcodes import TABLE
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits

Choose = Callable[[int], int]

#: Types of the locals that the generator keeps for itself, at the end of each function's.
SPARE = ("i32", "i64", "f32", "f64")
TYPES = ("i32", "i64", "f64", "f32")
INTS = {
    "i32": [0, 1, 2, 3, 7, 8, 16, 31, 32, 33, 255, 256, 65535, 65536, 1 << 30, (1 << 31) - 1,
            1 << 31, (1 << 31) + 1, (1 << 32) - 1, (1 << 32) - 2, 0x89ABCDEF, 0xFFFF0000],
    "i64": [0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 255, 65535, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
            1 << 32, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1, (1 << 64) - 2,
            0x0123456789ABCDEF, 0xFFFFFFFF00000000, 0xFFFFFFFF80000000],
}  # fmt: skip
FLOATS = {
    "f32": ["0", "-0", "1", "-1", "0.5", "2", "1.5", "-2.5", "0x1p-149", "0x1.fffffep127", "inf",
            "-inf", "nan", "-nan", "nan:0x200000", "-nan:0x1", "2147483648", "-2147483648",
            "4294967296", "9223372036854775808", "16777217", "0x1p-126", "-0.9", "3.4e38"],
    "f64": ["0", "-0", "1", "-1", "0.5", "2", "1.5", "-2.5", "0x1p-1074", "0x1.fffffffffffffp1023",
            "inf", "-inf", "nan", "-nan", "nan:0x4000000000000", "-nan:0x1", "2147483647",
            "-2147483649", "4294967296", "9223372036854775808", "-9223372036854775808",
            "18446744073709551615", "0x1p-1022", "-0.9", "1e308", "0x1.000001p0"],
}  # fmt: skip
FLOAT_BITS = {
    "f32": [0, 0x80000000, 0x3F800000, 0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0x7FA00000,
            0xFFC00001, 1, 0x7F7FFFFF, 0x4F000000, 0x5F000000, 0x3FC00000],
    "f64": [0, 1 << 63, 0x3FF0000000000000, 0xBFF0000000000000, 0x7FF0000000000000,
            0xFFF0000000000000, 0x7FF8000000000000, 0x7FF4000000000000, 0xFFF8000000000001, 1,
            0x7FEFFFFFFFFFFFFF, 0x41E0000000000000, 0x43E0000000000000, 0x3FF8000000000000],
}  # fmt: skip
#: Instructions that take and give numbers alone.
NUMERIC = [
    op
    for op in TABLE
    if op.signature is not None
    and not op.immediates
    and op.meaning is not None
    and "addr" not in op.signature
    and all(t in TYPES for t in op.signature.replace("->", " ").split())
]
BY_PARAMS: dict[tuple[str, ...], list[str]] = {}
for _op in NUMERIC:
    BY_PARAMS.setdefault(tuple(map(str, _op.params)), []).append(_op.name)
RESULT = {op.name: str(op.results[0]) for op in NUMERIC}
PRODUCERS = {t: [op.name for op in NUMERIC if RESULT[op.name] == t] for t in TYPES}
PARAMS = {op.name: tuple(map(str, op.params)) for op in NUMERIC}
#: What traps often, and what is like it and does not.
TAME = {
    op.name: op.name.replace(".trunc_f", ".trunc_sat_f") for op in NUMERIC if ".trunc_f" in op.name
}
LOADS = {
    t: [op.name for op in TABLE if ".load" in op.name and op.name.startswith(t)] for t in TYPES
}
STORES = {t: [o.name for o in TABLE if ".store" in o.name and o.name.startswith(t)] for t in TYPES}
#: Which constructs a module has, by how often. Those that nest deep are of one sort or another:
#: Python nests few loops, and not so many more indents.
KINDS = (("block", "loop", "if", "loop"), ("if", "if", "if", "if", "block"), ("block", "if"))
#: Functions that can be imported: the worker of the oracle answers them in the same way.
HOSTS = (
    ("h0", ("i32",), ("i32",)),
    ("h1", ("i64", "i32"), ()),
    ("h2", (), ("i32", "i64")),
)


class Function:
    def __init__(self, index: int, params: tuple[str, ...], results: tuple[str, ...]) -> None:
        self.index = index
        self.params = params
        self.results = results


class Label:
    """What a branch carries there; ``loop`` labels may only be reached by spending fuel."""

    def __init__(self, types: tuple[str, ...], loop: bool) -> None:
        self.types = types
        self.loop = loop


class Generator:
    """One module. ``size`` bounds a body's instructions, roughly; ``deepest`` how constructs nest:
    where that is more than some, there is little in them but others."""

    def __init__(self, choose: Choose, size: int = 40, deepest: int = 6) -> None:
        self.choose = choose
        self.size = size
        self.deepest = deepest
        self.kinds = KINDS[choose(len(KINDS)) if deepest > 6 else 0]
        self.functions: list[Function] = []
        self.globals: list[tuple[str, bool]] = []
        self.locals: list[str] = []
        self.params = 0
        self.labels: list[Label] = []
        self.lines: list[str] = []
        self.stack: list[str] = []
        self.left = 0
        self.index = 0
        self.imported = 0
        self.types: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.choose(len(options))]

    def chance(self, of: int) -> bool:
        """True once in ``of`` times; False is the plainer."""
        return self.choose(of) == of - 1

    def some(self, most: int) -> tuple[str, ...]:
        return tuple(self.pick(TYPES) for _ in range(self.choose(most + 1)))

    # A module.

    def module(self) -> str:
        out = ["(module"]
        hosts = HOSTS if self.chance(2) else ()
        self.imported = len(hosts)
        for index, (name, params, results) in enumerate(hosts):
            self.functions.append(Function(index, params, results))
            out.append(f'  (import "env" "{name}" (func {signature(params, results)}))')
        count = 1 + self.choose(5 if self.deepest <= 6 else 2)
        for index in range(count):
            function = Function(self.imported + index, self.some(3), self.some(2))
            self.functions.append(function)
        self.types = sorted({(f.params, f.results) for f in self.functions})
        out += [f"  (type (func {signature(*t)}))" for t in self.types]
        self.globals = [("i32", True)]
        for _ in range(self.choose(4)):
            self.globals.append((self.pick(TYPES), not self.chance(4)))
        out.append(f'  (global $fuel (export "g0") (mut i32) (i32.const {5 + self.choose(60)}))')
        for index, (valtype, mutable) in enumerate(self.globals[1:], 1):
            shown = f"(mut {valtype})" if mutable else valtype
            out.append(f'  (global (export "g{index}") {shown} ({self.constant(valtype)}))')
        out.append(f'  (memory (export "mem") {0 if self.chance(12) else 1} {1 + self.choose(3)})')
        members = " ".join(str(self.choose(len(self.functions))) for _ in range(self.choose(10)))
        out.append(f'  (table (export "tab") {12 + self.choose(3)} 16 funcref)')
        out.append(f"  (elem (i32.const {self.choose(3)}) func {members})")
        out.append(f"  (elem $e func {members})")
        out.append(f"  (elem declare func {' '.join(str(f.index) for f in self.functions)})")
        out.append('  (data $d "\\01\\80\\ff\\00\\7f\\aa\\55\\fe rest of it")')
        for function in self.functions[self.imported :]:
            out += self.function(function)
        out.append(")")
        return "\n".join(out)

    def function(self, function: Function) -> list[str]:
        extra = self.some(4)
        self.index = function.index
        self.params = len(function.params)
        # The last ones are for what the generator needs in between.
        self.locals = [*function.params, *extra, *SPARE]
        self.labels = [Label(function.results, False)]
        self.lines = []
        self.left = self.size
        self.body((), function.results)
        head = (
            f'  (func (export "f{function.index}") {signature(function.params, function.results)}'
        )
        return [
            head,
            f"    (local {' '.join([*extra, *SPARE])})",
            *(f"    {line}" for line in self.lines),
            "  )",
        ]

    # Bodies. ``stack`` has the operands of the innermost block.

    def emit(self, line: str) -> None:
        self.lines.append("  " * (len(self.labels) - 1) + line)
        self.left -= 1

    def body(self, params: tuple[str, ...], results: tuple[str, ...]) -> None:
        """Instructions that take ``params`` to ``results``, in a block that has been opened."""
        outer, self.stack = self.stack, list(params)
        steps = self.choose(8 + self.size // 4)
        live = True
        if self.deepest > 6:
            steps = self.choose(4)
            if self.left > 0 and not self.chance(30):
                self.construct()
        while steps and live and self.left > 0:
            steps -= 1
            live = self.step()
        if live:
            self.shape(results)
        self.stack = outer

    def shape(self, results: tuple[str, ...]) -> None:
        """Make the stack exactly ``results``."""
        keep = 0
        while keep < min(len(self.stack), len(results)) and self.stack[keep] == results[keep]:
            keep += 1
        while len(self.stack) > keep:
            self.put_away()
        for valtype in results[keep:]:
            self.value(valtype, 2)

    def put_away(self) -> None:
        """Pop the top, where it may still be seen."""
        valtype = self.stack[-1]
        places = [i for i, t in enumerate(self.locals[: -len(SPARE)]) if t == valtype]
        shown = [i for i, (t, m) in enumerate(self.globals) if t == valtype and m and i]
        way = self.choose(4)
        if way == 1 and places:
            self.emit(f"local.set {self.pick(places)}")
        elif way == 2 and shown:
            self.emit(f"global.set {self.pick(shown)}")
        elif way == 3 and not self.chance(3):
            self.canonical(valtype)
            self.emit(f"local.set {self.spare(valtype)}")
            self.emit(f"i32.const {self.choose(64)}")
            self.emit(f"local.get {self.spare(valtype)}")
            self.emit(f"{valtype}.store offset={self.choose(1000)}")
        else:
            self.emit("drop")
        self.stack.pop()

    def spare(self, valtype: str) -> int:
        """A local of the type, one that does not count."""
        return len(self.locals) - len(SPARE) + SPARE.index(valtype)

    def constant(self, valtype: str) -> str:
        values = INTS[valtype] if valtype in INTS else FLOATS[valtype]
        return f"{valtype}.const {self.pick(values)}"

    def value(self, valtype: str, depth: int) -> None:
        """Push a value of the type."""
        places = [i for i, t in enumerate(self.locals) if t == valtype]
        way = self.choose(6) if depth else self.choose(3)
        if way == 0 or (way == 1 and not places):
            self.emit(self.constant(valtype))
            self.stack.append(valtype)
        elif way == 1:
            self.emit(f"local.get {self.pick(places)}")
            self.stack.append(valtype)
        elif way == 2:
            known = [i for i, (t, _) in enumerate(self.globals) if t == valtype]
            if known:
                self.emit(f"global.get {self.pick(known)}")
            else:
                self.emit(self.constant(valtype))
            self.stack.append(valtype)
        elif way == 3:
            self.address(depth - 1)
            self.emit(f"{self.pick(LOADS[valtype])} offset={self.choose(40)}")
            self.stack[-1] = valtype
        else:
            name = self.tamed(self.pick(PRODUCERS[valtype]))
            for param in PARAMS[name]:
                self.value(param, depth - 1)
            self.numeric(name)

    def address(self, depth: int) -> None:
        self.value("i32", depth)
        if not self.chance(24):
            masks = (0xFF, 0x3FF, 0xFFF, 0xFFFF) if self.chance(8) else (0xFF, 0x3FF)
            self.emit(f"i32.const {self.pick(masks)}")
            self.emit("i32.and")

    def canonical(self, valtype: str, instead: str = "nan") -> None:
        """The top, with ``instead`` for every NaN."""
        if valtype in ("f32", "f64"):
            spare = self.spare(valtype)
            self.emit(f"local.tee {spare}")
            self.emit(f"{valtype}.const {instead}")
            self.emit(f"local.get {spare}")
            self.emit(f"local.get {spare}")
            self.emit(f"{valtype}.eq")
            self.emit("select")

    def tamed(self, name: str) -> str:
        """``name``, or in its place something that does not trap, mostly."""
        if name in TAME and not self.chance(6):
            return TAME[name]
        return name

    def numeric(self, name: str) -> None:
        params = PARAMS[name]
        if ("div_" in name or "rem_" in name) and not self.chance(6):
            self.emit(f"{params[0]}.const 1")
            self.emit(f"{params[0]}.or")
        if "reinterpret_f" in name or "copysign" in name:
            # A sign, too, is a bit of a NaN.
            self.canonical(params[-1])
        elif params[0][0] == "f" and name[4:] in ("add", "mul", "min", "max"):
            # Of two NaNs, which one comes through is up to the compiler of Python itself.
            self.canonical(params[-1], "0")
        del self.stack[len(self.stack) - len(params) :]
        self.emit(name)
        self.stack.append(RESULT[name])

    def ensure(self, types: tuple[str, ...]) -> None:
        """Have ``types`` on top."""
        if not types or tuple(self.stack[-len(types) :]) == types:
            return
        for valtype in types:
            self.value(valtype, 1)

    def step(self) -> bool:
        """One instruction or more; whether what follows is reached."""
        way = self.choose(24)
        if way < 4:
            self.value(self.pick(TYPES), 2)
        elif way < 9:
            for count in (2, 1):
                params = tuple(self.stack[len(self.stack) - count :])
                if params in BY_PARAMS and len(params) == count:
                    self.numeric(self.tamed(self.pick(BY_PARAMS[params])))
                    return True
            self.value(self.pick(TYPES), 2)
        elif way == 9:
            if self.stack:
                self.put_away()
        elif way == 10:
            places = [
                i for i, t in enumerate(self.locals[: -len(SPARE)]) if t == (self.stack or [""])[-1]
            ]
            if places:
                self.emit(f"local.tee {self.pick(places)}")
        elif way == 11:
            valtype = self.pick(TYPES)
            self.value(valtype, 1)
            self.value(valtype, 1)
            self.value("i32", 1)
            self.emit("select" if self.choose(2) else f"select (result {valtype})")
            del self.stack[-2:]
        elif way == 12:
            valtype = self.pick(TYPES)
            self.address(1)
            self.value(valtype, 2)
            self.canonical(valtype)
            self.emit(f"{self.pick(STORES[valtype])} offset={self.choose(40)}")
            del self.stack[-2:]
        elif way < 16:
            self.construct()
        elif way < 19:
            return self.branch()
        elif way < 22:
            self.call()
        else:
            self.rare()
        return True

    # Control.

    def construct(self) -> None:
        if len(self.labels) > self.deepest:
            return
        kind = self.pick(self.kinds)
        if kind == "if":
            if self.deepest > 6 and not self.chance(12):
                # The way down is taken, or what is down there never runs.
                self.emit("global.get $fuel")
            else:
                self.value("i32", 2)
                self.stack.pop()
        taken = self.choose(min(len(self.stack), 2) + 1)
        params = tuple(self.stack[len(self.stack) - taken :])
        results = self.some(2)
        if kind == "if" and self.choose(3) == 1:
            results = params
            alone = True
        else:
            alone = False
        del self.stack[len(self.stack) - taken :]
        self.emit(f"{kind} {signature(params, results)}")
        self.labels.append(Label(params if kind == "loop" else results, kind == "loop"))
        self.body(params, results)
        if kind == "if" and not alone:
            self.labels.pop()
            self.emit("else")
            self.labels.append(Label(results, False))
            self.body(params, results)
        self.labels.pop()
        self.emit("end")
        self.stack += results

    def spend(self) -> None:
        """Push whether there is fuel left, and take some."""
        self.emit("global.get $fuel")
        self.emit("i32.const 1")
        self.emit("i32.sub")
        self.emit("global.set $fuel")
        self.emit("global.get $fuel")
        self.emit("i32.const 0")
        self.emit("i32.gt_s")
        self.stack.append("i32")

    def branch(self) -> bool:
        depth = self.choose(len(self.labels))
        label = self.labels[-1 - depth]
        way = self.choose(8)
        if way == 0 and not label.loop:
            self.ensure(label.types)
            self.emit(f"br {depth}")
            return self.dead()
        if way == 1:
            self.ensure(self.labels[0].types)
            self.emit("return")
            return self.dead()
        if way == 2 and not label.loop:
            alike = [
                i
                for i in range(len(self.labels))
                if not self.labels[-1 - i].loop and self.labels[-1 - i].types == label.types
            ]
            self.ensure(label.types)
            self.value("i32", 1)
            if not self.chance(4):
                self.emit(f"i32.const {self.pick((3, 7, 15))}")
                self.emit("i32.and")
            self.stack.pop()
            targets = [self.pick(alike) for _ in range(self.choose(9))]
            self.emit(f"br_table {' '.join(map(str, [*targets, depth]))}")
            return self.dead()
        if way == 3 and self.choose(3) == 2:
            self.emit("unreachable")
            return self.dead()
        if way == 4:
            self.away(label)
            return True
        self.ensure(label.types)
        if label.loop:
            self.spend()
            if way > 5:
                self.value("i32", 2)
                self.emit("i32.and")
                self.stack.pop()
        else:
            self.value("i32", 2)
        self.emit(f"br_if {depth}")
        self.stack.pop()
        return True

    def away(self, label: Label) -> None:
        """A branch under a condition, without one of its own or by a table: back, too."""
        self.spend()
        self.emit("if")
        self.stack.pop()
        self.labels.append(Label((), False))
        outer, self.stack = self.stack, []
        self.ensure(label.types)
        alike = [i for i in range(len(self.labels)) if self.labels[-1 - i].types == label.types]
        if self.choose(2):
            self.value("i32", 1)
            self.emit(f"i32.const {self.pick((3, 7, 15))}")
            self.emit("i32.and")
            targets = [self.pick(alike) for _ in range(1 + self.choose(8))]
            self.emit(f"br_table {' '.join(map(str, targets))}")
        else:
            self.emit(f"br {self.pick(alike)}")
        self.stack = outer
        self.labels.pop()
        self.emit("end")

    def dead(self) -> bool:
        """Code that is never reached, now and then."""
        for _ in range(self.choose(3)):
            self.emit(
                self.pick(("nop", "i32.add drop", "drop", "f32.neg drop", "local.get 0 drop"))
            )
        self.emit("unreachable")
        return False

    # Calls, and what is rare.

    def call(self) -> None:
        function = self.pick(self.functions)
        guarded = self.imported <= function.index <= self.index
        indirect = self.chance(3)
        if guarded or indirect:
            self.spend()
            self.emit("if")
            self.stack.pop()
            self.labels.append(Label((), False))
            outer, self.stack = self.stack, []
            self.called(function, indirect)
            while self.stack:
                self.put_away()
            self.stack = outer
            self.labels.pop()
            self.emit("end")
            return
        self.called(function, False)

    def called(self, function: Function, indirect: bool) -> None:
        self.ensure(function.params)
        if indirect:
            self.value("i32", 1)
            if not self.chance(4):
                self.emit("i32.const 7")
                self.emit("i32.and")
            self.stack.pop()
            self.emit(f"call_indirect {signature(function.params, function.results)}")
        else:
            self.emit(f"call {function.index}")
        del self.stack[len(self.stack) - len(function.params) :]
        self.stack += function.results

    def rare(self) -> None:
        way = self.choose(14)
        if way == 0:
            self.emit("nop")
        elif way == 1:
            self.emit("memory.size")
            self.stack.append("i32")
        elif way == 2:
            self.value("i32", 1)
            self.emit("memory.grow")
        elif way in (3, 4, 5):
            for _ in range(3):
                self.value("i32", 0)
                if not self.chance(8):
                    self.emit(f"i32.const {self.pick((7, 31, 255))}")
                    self.emit("i32.and")
            self.emit(("memory.fill", "memory.copy", "memory.init $d")[way - 3])
            del self.stack[-3:]
        elif way == 6:
            self.emit("data.drop $d")
        elif way == 7:
            self.emit(f"ref.func {self.pick(self.functions).index}")
            self.emit("ref.is_null")
            self.stack.append("i32")
        elif way == 8:
            self.value("i32", 1)
            self.emit("i32.const 7")
            self.emit("i32.and")
            self.emit(
                f"ref.func {self.pick(self.functions).index}" if self.choose(3) else "ref.null func"
            )
            self.emit("table.set 0")
            self.stack.pop()
        elif way == 9:
            self.value("i32", 1)
            self.emit("table.get 0")
            self.emit("ref.is_null")
        elif way == 10:
            self.emit("table.size 0")
            self.stack.append("i32")
        elif way == 11:
            self.emit("ref.null func")
            self.value("i32", 0)
            self.emit("table.grow 0")
        elif way == 12:
            for _ in range(3):
                self.value("i32", 0)
                self.emit("i32.const 3")
                self.emit("i32.and")
            self.emit(self.pick(("table.init $e", "table.copy 0 0")))
            del self.stack[-3:]
        else:
            self.emit("elem.drop $e")


def expressions(choose: Choose, count: int = 12, depth: int = 5) -> str:
    """A module of functions that only compute: deep expressions over locals, loads and narrow
    values, where what is known of a value's range is put to use."""
    generator = Generator(choose)
    generator.globals = [("i32", True)]
    out = ['(module (memory (export "mem") 1) (global $fuel (mut i32) (i32.const 77))']
    out.append('  (data (i32.const 0) "\\01\\80\\ff\\00\\7f\\aa\\55\\fe\\80\\00\\00\\80")')
    for index in range(count):
        params = tuple(generator.pick(("i32", "i64")) for _ in range(1 + choose(4)))
        result = generator.pick(("i32", "i64"))
        generator.index = index
        generator.locals = [*params, *SPARE]
        generator.labels = [Label((result,), False)]
        generator.lines = []
        generator.stack = []
        for _ in range(choose(4)):
            place = choose(len(params))
            generator.value(params[place], depth - 1)
            generator.emit(f"local.{generator.pick(('set', 'tee'))} {place}")
            generator.stack.pop()
            if generator.lines[-1].strip().startswith("local.tee"):
                generator.emit("drop")
        generator.value(result, depth)
        head = f'  (func (export "f{index}") {signature(params, (result,))}'
        out += [head, f"    (local {' '.join(SPARE)})", *generator.lines, "  )"]
    return "\n".join([*out, ")"])


def signature(params: Sequence[str], results: Sequence[str]) -> str:
    text = f"(param {' '.join(params)})" if params else ""
    return text + (f" (result {' '.join(results)})" if results else "")


def arguments(choose: Choose, params: Sequence[str]) -> tuple[list[int], list[Any]]:
    """Arguments by bits, and as Python values."""
    bits, values = [], []
    for kind in params:
        if kind == "v128":
            options = [INTS["i64"][choose(len(INTS["i64"]))] for _ in range(2)]
            bits.append(options[0] | options[1] << 64)
            values.append(bits[-1].to_bytes(16, "little"))
            continue
        if kind not in TYPES:
            bits.append(0)
            values.append(None)
            continue
        options = INTS.get(kind) or FLOAT_BITS[kind]
        number = options[choose(len(options))]
        bits.append(number)
        if kind == "f32":
            values.append(f32_from_bits(number))
        elif kind == "f64":
            values.append(f64_from_bits(number))
        else:
            values.append(number)
    return bits, values


def seeded(seed: int | str) -> Choose:
    return random.Random(seed).randrange
