"""The trace: a line for each matching instruction, before it executes.

::

    [PC:3+0007 | Instr:i32.add | Stack:[I32(1), I32(2)] | Locals:[I32(1)] | Globals:[I32(1048576)]]

PC is the function's index and the code offset in hexadecimal. The operands are the deepest first.
Of very many values only the first, or of operands the last, are shown, and how many there are more.
``Memory`` is the address of what a load reads or a store replaces, and its bytes; of a bulk
instruction, what it writes, and of memory.copy what it reads as well. As JSON, a line is an object.
Each line is made by one expression of its own, so it costs little more than its text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from chiwawa.instrument.blocks import partition
from chiwawa.instrument.extents import touched
from chiwawa.instrument.labels import clipped
from chiwawa.instrument.tracing.value_texts import Texts
from chiwawa.lower.lowered import Lowered, Spaces
from chiwawa.lower.sites import Site
from chiwawa.module import Instr, Module
from chiwawa.opcodes import GROUPS, groups_of
from chiwawa.wat import format_instr
from chiwawa_runtime.engine.instance import ModuleInstance
from chiwawa_runtime.names import printable
from chiwawa_runtime.state.interface import AnyMemory
from chiwawa_runtime.state.snapshot import FuncIdx
from chiwawa_runtime.state.subtyping import top
from chiwawa_runtime.state.types import (
    ANYREF,
    EXNREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    RefType,
    ValType,
)
from chiwawa_runtime.state.values import f32_text, f64_text, format_value

#: What a line can hold, in its order; the first four unless something else is asked for.
RESOURCES = ("pc", "stack", "locals", "globals", "memory")
DEFAULT = RESOURCES[:4]
#: Which instructions can be asked for.
EVENTS = ("all", *GROUPS)
FORMATS = ("text", "jsonl")
#: So many lines are written together.
MOST_HELD = 512
#: So many texts of floats are kept.
MOST_KNOWN = 4096
#: Of a bulk instruction's bytes, so many are shown.
MOST_BYTES = 16
#: Of the operands, so many at the top are shown, and of locals and globals the first.
MOST_OPERANDS, MOST_VALUES = 64, 1000
#: Of an instruction's own text, which has names and labels.
LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Tracing:
    """What to trace: groups of instructions, what of the state, in which functions (indices; None:
    all), and in which format.

    >>> tracing = chiwawa.Tracing(frozenset({"call", "branch"}), functions=frozenset({0}))
    """

    events: frozenset[str] = frozenset(("all",))
    resources: frozenset[str] = frozenset(DEFAULT)
    functions: frozenset[int] | None = None
    format: str = "text"


class Out(Protocol):
    """Where a trace goes."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class Tracer:
    """Writes the trace to ``out``. A line is held back until the next one: its instruction may have
    to be taken back.

    >>> import io
    >>> module = chiwawa.load('''(module (func (export "f") (param i32) (result i32)
    ...   (i32.add (local.get 0) (i32.const 1))))''')
    >>> out = io.StringIO()
    >>> tracer = chiwawa.Tracer(module, chiwawa.Tracing(frozenset({"arithmetic"})), out)
    >>> instruments = chiwawa.Instruments(module, tracer=tracer)
    >>> chiwawa.instantiate(module, instruments=instruments).invoke("f", [41])
    [42]
    >>> instruments.finish()
    >>> print(out.getvalue(), end="")
    [PC:0+0005 | Instr:i32.add | Stack:[I32(41), I32(1)] | Locals:[I32(41)] | Globals:[]]
    """

    def __init__(self, module: Module, tracing: Tracing, out: Out) -> None:
        self.module = module
        self.tracing = tracing
        self.out = out
        self.held: list[str] = []
        self.globals = Spaces.of(module).context.globals
        self.imported = len(module.func_typeidxs()) - len(module.funcs)
        self.functions: dict[int, FuncIdx] = {}
        #: The text of the locals in the line before, for lines with the same.
        self.locals = [""]
        self.names: dict[str, Any] = {
            "trace": self.trace,
            "trace_host": self.trace_host,
            "untrace": self.held.pop,
            "trace_f32": FloatTexts("F32", f32_text),
            "trace_f64": FloatTexts("F64", f64_text),
            "trace_v128": partial(format_value, V128),
            "trace_bytes": trace_bytes,
            "trace_locals": self.locals,
        }
        for valtype in (FUNCREF, EXTERNREF, ANYREF, EXNREF):
            self.names[f"trace_{valtype.heap}"] = self.referring(valtype)
        self.texts = Texts(piece, self.names)
        self.names["trace_many"] = self.texts.functions

    def attach(self, instance: ModuleInstance) -> None:
        functions = list(enumerate(instance.functions))
        self.functions = {id(f): FuncIdx(i) for i, f in reversed(functions)}

    def referring(self, valtype: ValType) -> Callable[[Any], str]:
        def refer(value: Any) -> str:
            return format_value(valtype, self.functions.get(id(value), value))

        return refer

    # What runs.

    def trace(self, line: str) -> None:
        held = self.held
        held.append(line)
        if len(held) > MOST_HELD:
            self.write()

    def trace_host(self, line: str) -> None:
        """A line before a call of the host, which may take long or write something itself."""
        self.held.append(line)
        self.write()
        self.out.flush()

    def write(self, keep: int = 1) -> None:
        held = self.held
        ready = held[: len(held) - keep]
        del held[: len(ready)]
        self.out.write("".join(ready))

    def finish(self) -> None:
        """Write what is held back: the run stands still."""
        self.write(0)
        self.out.flush()

    # What is to run.

    def sites(self, lowered: Lowered, changing: bool = False) -> Iterator[tuple[int, Site]]:
        """The sites of a function. ``changing``: there are probes that may change its locals.

        Within a basic block nothing else writes lines, and locals change by few instructions; so
        their text is made for the first line, and after such an instruction."""
        wanted = self.tracing.functions
        if wanted is not None and lowered.index not in wanted:
            return
        events = self.tracing.events
        leaders = {block[0] for block in partition(lowered)}
        known = False
        for position, reached in enumerate(lowered.reached):
            if not reached:
                continue
            instr = lowered.body[position]
            known = known and position not in leaders
            if "all" in events or not events.isdisjoint(groups_of(instr.op)):
                yield position, self.site(lowered, position, instr, known)
                known = not changing
            if instr.op.sets_local:
                known = False

    def enter(self, lowered: Lowered, locals_: Sequence[Any]) -> None:
        """A function goes on with these locals, perhaps within a block."""
        if "locals" in self.tracing.resources:
            values = {f"l{i}": value for i, value in enumerate(locals_)}
            source = self.locals_source(lowered)
            self.locals[0] = eval(source, {**self.names, **values})

    @property
    def separator(self) -> str:
        return ", " if self.tracing.format == "text" else '", "'

    def locals_source(self, lowered: Lowered) -> str:
        pieces = self.texts.pieces(lowered.locals, "l", self.separator, MOST_VALUES)
        return f"f{quoted(pieces)}"

    def site(self, lowered: Lowered, position: int, instr: Instr, known: bool) -> Site:
        """``known``: the text of the locals is that of the line before."""
        text = clipped(format_instr(self.module, instr, lowered.index), LONGEST)
        fields = dict(self.fields(lowered, position, instr))
        if self.tracing.format == "text":
            line = self.text_line(lowered.index, instr.offset, text, fields)
        else:
            line = self.json_line(lowered.index, instr.offset, text, fields)
        op = instr.op
        host = op.calls and not op.indirect and instr.imm[0] < self.imported
        source = f"{'trace_host' if host else 'trace'}({line})"
        if "Locals" in fields and lowered.locals and not known:
            source = f"trace_locals[0] = {self.locals_source(lowered)}; {source}"
        return Site(source, reads=bool(fields), undo="untrace()")

    def fields(self, lowered: Lowered, position: int, instr: Instr) -> Iterator[tuple[str, str]]:
        """What a line holds besides where it is: pieces of an f-string that give values."""
        wanted = self.tracing.resources
        texts, separator = self.texts, self.separator
        if "stack" in wanted:
            types = lowered.types_at(position)
            yield "Stack", texts.pieces(types, "s", separator, MOST_OPERANDS, last=True)
        if "locals" in wanted:
            yield "Locals", "{trace_locals[0]}" if lowered.locals else ""
        if "globals" in wanted:
            types = tuple(g.type for g in self.globals)
            yield "Globals", texts.pieces(types, "g", separator, MOST_VALUES, attribute=".get()")
        if "memory" in wanted:
            pieces = (
                f"{{trace_bytes(mem{each.memory}, {each.address}, {each.size})}}"
                for each in touched(instr, lowered.heights[position])
            )
            yield "Memory", separator.join(pieces)

    def text_line(self, function: int, offset: int, text: str, fields: dict[str, str]) -> str:
        parts = []
        if "pc" in self.tracing.resources:
            parts.append(f"PC:{function}+{offset:04x}")
        parts.append(f"Instr:{escaped(text)}")
        for name, pieces in fields.items():
            if name != "Memory" or pieces:
                parts.append(f"{name}:[{pieces}]")
        return f"f{quoted('[' + ' | '.join(parts) + ']', newline=True)}"

    def json_line(self, function: int, offset: int, text: str, fields: dict[str, str]) -> str:
        parts = []
        if "pc" in self.tracing.resources:
            parts.append(f'"func": {function}, "offset": {offset}')
        parts.append(f'"instr": {escaped(json.dumps(text))}')
        for name, pieces in fields.items():
            if name != "Memory" or pieces:
                values = f'"{pieces}"' if pieces else ""
                parts.append(f'"{name.lower()}": [{values}]')
        return f"f{quoted('{{' + ', '.join(parts) + '}}', newline=True)}"


class FloatTexts(dict[float, str]):
    """The texts of floats seen lately: working one out takes much longer than finding it, and from
    one line to the next few change."""

    def __init__(self, name: str, text: Callable[[float], str]) -> None:
        super().__init__()
        self.text = text
        self.name = name

    def __missing__(self, value: float) -> str:
        text = f"{self.name}({self.text(value)})"
        # Zeros of both signs are the same key, and a NaN is none.
        if value and value == value:
            if len(self) >= MOST_KNOWN:
                self.clear()
            self[value] = text
        return text


def escaped(text: str) -> str:
    """``text`` as it stands in an f-string."""
    return text.replace("{", "{{").replace("}", "}}")


def quoted(text: str, newline: bool = False) -> str:
    """``text``, in which braces mean what they mean in an f-string, as the literal's rest."""
    end = "\\n'" if newline else "'"
    body = printable(text.replace("\\", "\\\\").replace("'", "\\'"))
    return f"'{body}{end}"


def piece(valtype: ValType, source: str) -> str:
    """A piece of an f-string that is the typed text of the value that ``source`` gives, as
    ``format_value`` makes it."""
    if valtype is I32 or valtype is I64:
        sign = hex(1 << valtype.bits - 1)
        return f"{valtype.name.upper()}({{({source} ^ {sign}) - {sign}}})"
    if valtype is F32 or valtype is F64:
        return f"{{trace_{valtype}[{source}]}}"
    if valtype is V128:
        return f"{{trace_v128({source})}}"
    assert isinstance(valtype, RefType)
    return f"{{trace_{top(valtype).heap}({source})}}"


def trace_bytes(memory: AnyMemory, address: int, size: int) -> str:
    """``0x00001000: 78 56 34 12``; as many bytes as there are, and of many only the first."""
    there = max(0, memory.byte_length() - address)
    shown = memory.read(address, min(size, MOST_BYTES, there)) if there else b""
    more = f" … {size} bytes" if size > MOST_BYTES else ""
    return f"0x{address:08x}: {shown.hex(' ')}{more}"
