"""THE table: every instruction, one row, in the order of the spec's index of instructions.

Decoder, encoder, text parser, printer, validator, interpreter and translator all read it. What has no
signature has a rule of its own in ``validate.rules`` besides, and what has no meaning one on each path
(``interp.handlers`` or ``interp.prepare``, ``aot.tree``): ``tests/unit/test_coverage_of_the_table.py``
holds those lists against this one. Otherwise instructions are named one by one only where one alone is
meant. A row says:

- ``name``: the spec's. Where one word is two instructions, the second carries its immediate
  (``select t*``); ``mnemonic`` is the word of the text format.
- ``code``: its bytes. After a prefix, 0xFC or 0xFD, the second number is an unsigned LEB128.
- ``immediates``: their kinds, in the binary's order (see ``chiwawa.immediates``).
- ``signature``: what it pops and pushes, or None where that depends on immediates or context, and
  a rule of the validator's says it. ``addr`` is the address type of the memory or table that it
  names, ``addr2`` that of the second one, and ``size`` the narrower of the two.
- ``meaning``: one Python expression or assignment, or None for what both paths do by a rule of
  their own. Both compile this very text.
- ``effects``: letters. ``r`` reads state that something else can write (memory, tables, globals),
  ``w`` writes such state, ``t`` can trap. None of these: the result depends on the operands alone.
  ``n`` can make a NaN by arithmetic (spec 4.3.3, nans), whose bits the processor chooses; see
  ``canonical``. ``k`` may stand in a constant expression (spec 3.3.9), ``l`` sets the local that it
  names, ``p`` pauses until another thread wakes it, ``h`` is of typed references or the heap.
- ``control``: letters. ``o`` opens a construct, ``l`` one whose label is its start, ``d`` only
  delimits, ``e`` closes one, ``b`` may go on elsewhere, ``c`` calls, ``s`` never goes on with what follows it.
  ``h`` opens or delimits a construct that handles exceptions, ``x`` throws one itself.
- ``width``: the bytes that a load or store touches. ``high``: a bound that the result never passes,
  where the type's own is not the tightest.
- ``bulk``: what it does with a memory at once, see ``Extent``.
- ``plain``: of a relaxed one, instructions that do what it does here, with its operands between.

The names in a meaning
    ``a b c``       operands, the deepest first
    ``value``       the immediate constant, as a value
    ``offset``      of the memarg
    ``memory``      the bytes of the memory named (a ``Raw``);  ``mem``, ``mem2``  the ``Memory``
    ``table``, ``table2``, ``glob``, ``elem``, ``data``, ``func``   what the immediate names
    ``lane``        the lane that it names;  ``lanes``  those, as bytes
    anything else   a name of ``numerics``, ``vectors`` or ``lanes`` (``chiwawa_runtime.state``), or a builtin

Integers are unsigned; f32 is a float that f32 can hold; v128 is its 16 bytes, as memory has them. A condition may be a bool: it is normalised
where a value leaves the program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property

from chiwawa.immediates import meant_by
from chiwawa_runtime.state.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, V128, ValType

#: What a meaning calls the operands, the deepest first.
OPERANDS = "abcde"
#: In a signature, the address types of the memories or tables that the instruction names.
ADDR, ADDR2, SIZE = ADDRESSES = ("addr", "addr2", "size")
_TYPES: dict[str, ValType | str] = {
    "i32": I32,
    "i64": I64,
    "f32": F32,
    "f64": F64,
    "v128": V128,
    "funcref": FUNCREF,
    "externref": EXTERNREF,
    **{word: word for word in ADDRESSES},
}


@dataclass(frozen=True, slots=True)
class Extent:
    """What an instruction does with many bytes of a memory, in a row ``read mem2 b c`` (it reads
    ``c`` bytes of ``mem2`` from ``b`` on), ``write mem a c`` or ``grow mem a`` (by ``a`` pages).

    ``memory`` is a place among its immediates. ``address`` and ``size`` are places among its
    operands, counted from the top of the stack, which is 0; who grows a memory has no ``address``.
    """

    verb: str
    memory: int
    address: int | None
    size: int


@dataclass(frozen=True, eq=False)
class Op:
    """A row. Compared and hashed by identity: there is one object for each instruction."""

    name: str
    code: tuple[int, ...]
    immediates: tuple[str, ...]
    signature: str | None
    meaning: str | None
    effects: str = ""
    width: int = 0
    high: int | None = None
    control: str = ""
    bulk: str = ""
    plain: str = ""

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """The operands that its meaning names."""
        return tuple(o for o in OPERANDS if re.search(rf"\b{o}\b", self.meaning or ""))

    @cached_property
    def meant(self) -> tuple[tuple[str, ...], ...]:
        """For each immediate, what its meaning calls what that names."""
        return tuple(meant_by(self.immediates))

    @cached_property
    def opens(self) -> bool:
        """Whether it opens a construct."""
        return "o" in self.control

    @cached_property
    def loops(self) -> bool:
        """Whether it opens a construct that is branched to at its start."""
        return "l" in self.control

    @cached_property
    def hinted(self) -> bool:
        """Whether a branch hint can be about it: it branches, or does not, by a number."""
        return "b" in self.control and "s" not in self.control and "h" not in self.effects

    @cached_property
    def delimits(self) -> bool:
        """Whether it does nothing but delimit: no boundary lies before it."""
        return "d" in self.control

    @cached_property
    def handles(self) -> bool:
        """Whether it opens a construct that handles exceptions thrown in it."""
        return self.opens and self.concerns_handling

    @cached_property
    def concerns_handling(self) -> bool:
        """Whether it opens or delimits such a construct."""
        return "h" in self.control

    @cached_property
    def catches_in_arms(self) -> bool:
        """Whether exceptions thrown in its first arm are caught by its other arms, of which there
        may be any number, or where its end delegates them to."""
        return self.handles and "catches" not in self.immediates

    @cached_property
    def throws(self) -> bool:
        """Whether it throws an exception, itself."""
        return "x" in self.control

    @cached_property
    def ends(self) -> bool:
        """Whether it closes a construct."""
        return "e" in self.control

    @cached_property
    def calls(self) -> bool:
        """Whether it calls a function."""
        return "c" in self.control

    @cached_property
    def indirect(self) -> bool:
        """Whether it calls what an operand refers to, in a table or by itself."""
        return self.calls and "funcidx" not in self.immediates

    @cached_property
    def tail(self) -> bool:
        """Whether it calls a function instead of the rest of its own, whose results are its own."""
        return self.calls and self.stops

    @cached_property
    def branches(self) -> bool:
        """Whether it may go on elsewhere than with what follows it, in the same function."""
        return "b" in self.control

    @cached_property
    def stops(self) -> bool:
        """Whether it never goes on with what follows it."""
        return "s" in self.control

    @cached_property
    def forks(self) -> bool:
        """Whether it opens a construct that may have two arms."""
        return self.opens and self.branches

    @cached_property
    def divides(self) -> bool:
        """Whether it stands between two arms of a construct."""
        return self.delimits and not self.ends

    @cached_property
    def conditional(self) -> bool:
        """Whether it branches if the operand on top is not zero, and else goes on."""
        return self.branches and not self.opens and not self.stops

    @cached_property
    def switches(self) -> bool:
        """Whether it branches to the label that the operand on top is the index of."""
        return "labels" in self.immediates

    @cached_property
    def parts(self) -> bool:
        """Whether control may be elsewhere after it: a basic block ends here."""
        return self.branches or self.calls or self.stops

    @cached_property
    def refers(self) -> bool:
        """Whether it makes a reference to the function that it names."""
        return "funcidx" in self.immediates and not self.calls

    @cached_property
    def grows(self) -> bool:
        """Whether it makes a memory or a table larger, if it may."""
        return "grow(" in (self.meaning or "")

    @cached_property
    def reads(self) -> bool:
        """Whether it reads state that something else can write."""
        return "r" in self.effects

    @cached_property
    def writes(self) -> bool:
        """Whether it writes such state."""
        return "w" in self.effects

    @cached_property
    def traps(self) -> bool:
        """Whether it can trap."""
        return "t" in self.effects

    @cached_property
    def heaped(self) -> bool:
        """Whether it is of typed references or the heap."""
        return "h" in self.effects

    @cached_property
    def makes(self) -> bool:
        """Whether it makes a structure or an array."""
        return self.name.startswith(("struct.new", "array.new"))

    @cached_property
    def sets_local(self) -> bool:
        """Whether it changes the local that it names."""
        return "l" in self.effects

    @cached_property
    def pauses(self) -> bool:
        """Whether it waits for another thread."""
        return "p" in self.effects

    @cached_property
    def atomic(self) -> bool:
        """Whether it accesses memory atomically, at addresses that are multiples of its width."""
        return self.code[0] == 0xFE and self.width > 0

    @cached_property
    def constant(self) -> bool:
        """Whether it may stand in a constant expression."""
        return "k" in self.effects

    @cached_property
    def extents(self) -> tuple[Extent, ...]:
        """What ``bulk`` says, in its order."""
        return tuple(self._extent(each) for each in self.bulk.split("; ") if each)

    def _extent(self, text: str) -> Extent:
        verb, memory, *operands = text.split()
        memories = [place for place, kind in enumerate(self.immediates) if kind == "memidx"]
        last = len(self.params) - 1
        places = [last - OPERANDS.index(operand) for operand in operands]
        address = places[0] if len(places) > 1 else None
        return Extent(verb, memories[("mem", "mem2").index(memory)], address, places[-1])

    @cached_property
    def lanes(self) -> int:
        """Among how many lanes one of ``laneidx`` or ``lanes`` is: of a vector of its shape, of
        what it touches in memory, or of both operands of a shuffle."""
        if "lanes" in self.immediates:
            return 32
        return 16 // self.width if self.width else int(self.name.partition(".")[0].split("x")[1])

    @cached_property
    def mnemonic(self) -> str:
        return self.name.split()[0]

    @cached_property
    def params(self) -> tuple[ValType | str, ...]:
        """The types that it pops, the deepest first. Only where there is a signature."""
        assert self.signature is not None
        return tuple(_TYPES[t] for t in self.signature.partition("->")[0].split())

    @cached_property
    def results(self) -> tuple[ValType | str, ...]:
        """The types that it pushes. Only where there is a signature."""
        assert self.signature is not None
        return tuple(_TYPES[t] for t in self.signature.partition("->")[2].split())


_ALL_BITS = (1 << 128) - 1


def _bits(meaning: str) -> str:
    """A meaning that gives the bits of a vector as an int, as one that gives the vector."""
    return f"({meaning}).to_bytes(16, 'little')"


def _vectors(
    signature: str,
    codes: dict[str, int],
    effects: str = "",
    high: int | None = None,
    meaning: str | None = None,
) -> Iterator[Op]:
    """The rows of vector instructions, by name, after the prefix 0xFD. Unless it is said otherwise,
    what one does is what the function of its name does (``chiwawa_runtime.state.lanes``)."""
    operands = ", ".join(OPERANDS[: len(signature.partition("->")[0].split())])
    for name, code in codes.items():
        does = meaning or f"{name.replace('.', '_')}({operands})"
        yield Op(name, (0xFD, code), (), signature, does, effects, high=high)


# fmt: off
_STRICT: tuple[Op, ...] = (
    # Control instructions (spec 2.4.8). None has a meaning: `lower` works out where they lead.
    Op("unreachable", (0x00,), (), None, None, "t", control="s"),
    Op("nop", (0x01,), (), "->", None),
    Op("block", (0x02,), ("blocktype",), None, None, control="o"),
    Op("loop", (0x03,), ("blocktype",), None, None, control="ol"),
    Op("if", (0x04,), ("blocktype",), None, None, control="ob"),
    Op("else", (0x05,), (), None, None, control="d"),
    # Those of exception handling, and (``try`` to ``rethrow``, ``delegate``, ``catch_all``) of the
    # proposal as it was before ``exnref``, which older toolchains write.
    Op("try", (0x06,), ("blocktype",), None, None, control="oh"),
    Op("catch", (0x07,), ("tagidx",), None, None, control="dh"),
    Op("throw", (0x08,), ("tagidx",), None, None, "t", control="sx"),
    Op("rethrow", (0x09,), ("labelidx",), None, None, "t", control="sx"),
    Op("throw_ref", (0x0A,), (), None, None, "t", control="sx"),
    Op("end", (0x0B,), (), None, None, "k", control="de"),
    Op("br", (0x0C,), ("labelidx",), None, None, control="bs"),
    Op("br_if", (0x0D,), ("labelidx",), None, None, control="b"),
    Op("br_table", (0x0E,), ("labels",), None, None, control="bs"),
    Op("return", (0x0F,), (), None, None, control="bs"),
    Op("call", (0x10,), ("funcidx",), None, None, "rwt", control="c"),
    Op("call_indirect", (0x11,), ("typeidx", "tableidx"), None, None, "rwt", control="c"),
    Op("return_call", (0x12,), ("funcidx",), None, None, "rwt", control="cs"),
    Op("return_call_indirect", (0x13,), ("typeidx", "tableidx"), None, None, "rwt", control="cs"),
    Op("delegate", (0x18,), ("labelidx",), None, None, control="deh"),
    Op("catch_all", (0x19,), (), None, None, control="dh"),
    Op("try_table", (0x1F,), ("blocktype", "catches"), None, None, control="oh"),
    Op("call_ref", (0x14,), ("typeidx",), None, None, "rwth", control="c"),
    Op("return_call_ref", (0x15,), ("typeidx",), None, None, "rwth", control="cs"),
    # Parametric instructions (spec 2.4.4).
    Op("drop", (0x1A,), (), None, None),
    Op("select", (0x1B,), (), None, "a if c else b"),
    Op("select t*", (0x1C,), ("valtypes",), None, "a if c else b"),
    # Variable instructions (spec 2.4.5). Locals belong to a frame, which each path has in its way.
    Op("local.get", (0x20,), ("localidx",), None, None),
    Op("local.set", (0x21,), ("localidx",), None, None, "l"),
    Op("local.tee", (0x22,), ("localidx",), None, None, "l"),
    Op("global.get", (0x23,), ("globalidx",), None, "glob.raw", "rk"),
    Op("global.set", (0x24,), ("globalidx",), None, "glob.raw = a", "w"),
    # Table instructions (spec 2.4.6).
    Op("table.get", (0x25,), ("tableidx",), None, "table.raw_get(a)", "rt"),
    Op("table.set", (0x26,), ("tableidx",), None, "table.raw_set(a, b)", "wt"),
    # Memory instructions (spec 2.4.7).
    Op("i32.load", (0x28,), ("memarg",), "addr -> i32", "load_u32(memory, a + offset)[0]", "rt", 4),
    Op("i64.load", (0x29,), ("memarg",), "addr -> i64", "load_u64(memory, a + offset)[0]", "rt", 8),
    Op("f32.load", (0x2A,), ("memarg",), "addr -> f32", "f32_load(memory, a + offset)", "rt", 4),
    Op("f64.load", (0x2B,), ("memarg",), "addr -> f64", "f64_load(memory, a + offset)[0]", "rt", 8),
    Op("i32.load8_s", (0x2C,), ("memarg",), "addr -> i32", "load_s8(memory, a + offset)[0] & 0xFFFFFFFF", "rt", 1),
    Op("i32.load8_u", (0x2D,), ("memarg",), "addr -> i32", "memory[a + offset]", "rt", 1, 0xFF),
    Op("i32.load16_s", (0x2E,), ("memarg",), "addr -> i32", "load_s16(memory, a + offset)[0] & 0xFFFFFFFF", "rt", 2),
    Op("i32.load16_u", (0x2F,), ("memarg",), "addr -> i32", "load_u16(memory, a + offset)[0]", "rt", 2, 0xFFFF),
    Op("i64.load8_s", (0x30,), ("memarg",), "addr -> i64", "load_s8(memory, a + offset)[0] & 0xFFFFFFFFFFFFFFFF", "rt", 1),
    Op("i64.load8_u", (0x31,), ("memarg",), "addr -> i64", "memory[a + offset]", "rt", 1, 0xFF),
    Op("i64.load16_s", (0x32,), ("memarg",), "addr -> i64", "load_s16(memory, a + offset)[0] & 0xFFFFFFFFFFFFFFFF", "rt", 2),
    Op("i64.load16_u", (0x33,), ("memarg",), "addr -> i64", "load_u16(memory, a + offset)[0]", "rt", 2, 0xFFFF),
    Op("i64.load32_s", (0x34,), ("memarg",), "addr -> i64", "load_s32(memory, a + offset)[0] & 0xFFFFFFFFFFFFFFFF", "rt", 4),
    Op("i64.load32_u", (0x35,), ("memarg",), "addr -> i64", "load_u32(memory, a + offset)[0]", "rt", 4, 0xFFFFFFFF),
    Op("i32.store", (0x36,), ("memarg",), "addr i32 ->", "store_u32(memory, a + offset, b)", "wt", 4),
    Op("i64.store", (0x37,), ("memarg",), "addr i64 ->", "store_u64(memory, a + offset, b)", "wt", 8),
    Op("f32.store", (0x38,), ("memarg",), "addr f32 ->", "f32_store(memory, a + offset, b)", "wt", 4),
    Op("f64.store", (0x39,), ("memarg",), "addr f64 ->", "f64_store(memory, a + offset, b)", "wt", 8),
    Op("i32.store8", (0x3A,), ("memarg",), "addr i32 ->", "memory[a + offset] = b & 0xFF", "wt", 1),
    Op("i32.store16", (0x3B,), ("memarg",), "addr i32 ->", "store_u16(memory, a + offset, b & 0xFFFF)", "wt", 2),
    Op("i64.store8", (0x3C,), ("memarg",), "addr i64 ->", "memory[a + offset] = b & 0xFF", "wt", 1),
    Op("i64.store16", (0x3D,), ("memarg",), "addr i64 ->", "store_u16(memory, a + offset, b & 0xFFFF)", "wt", 2),
    Op("i64.store32", (0x3E,), ("memarg",), "addr i64 ->", "store_u32(memory, a + offset, b & 0xFFFFFFFF)", "wt", 4),
    Op("memory.size", (0x3F,), ("memidx",), "-> addr", "mem.size()", "r"),
    Op("memory.grow", (0x40,), ("memidx",), "addr -> addr", "mem.try_grow(a)", "rw", bulk="grow mem a"),
    # Numeric instructions (spec 2.4.1): constants.
    Op("i32.const", (0x41,), ("i32",), "-> i32", "value", "k"),
    Op("i64.const", (0x42,), ("i64",), "-> i64", "value", "k"),
    Op("f32.const", (0x43,), ("f32",), "-> f32", "value", "k"),
    Op("f64.const", (0x44,), ("f64",), "-> f64", "value", "k"),
    # Comparisons.
    Op("i32.eqz", (0x45,), (), "i32 -> i32", "not a", high=1),
    Op("i32.eq", (0x46,), (), "i32 i32 -> i32", "a == b", high=1),
    Op("i32.ne", (0x47,), (), "i32 i32 -> i32", "a != b", high=1),
    Op("i32.lt_s", (0x48,), (), "i32 i32 -> i32", "(a ^ 0x80000000) < (b ^ 0x80000000)", high=1),
    Op("i32.lt_u", (0x49,), (), "i32 i32 -> i32", "a < b", high=1),
    Op("i32.gt_s", (0x4A,), (), "i32 i32 -> i32", "(a ^ 0x80000000) > (b ^ 0x80000000)", high=1),
    Op("i32.gt_u", (0x4B,), (), "i32 i32 -> i32", "a > b", high=1),
    Op("i32.le_s", (0x4C,), (), "i32 i32 -> i32", "(a ^ 0x80000000) <= (b ^ 0x80000000)", high=1),
    Op("i32.le_u", (0x4D,), (), "i32 i32 -> i32", "a <= b", high=1),
    Op("i32.ge_s", (0x4E,), (), "i32 i32 -> i32", "(a ^ 0x80000000) >= (b ^ 0x80000000)", high=1),
    Op("i32.ge_u", (0x4F,), (), "i32 i32 -> i32", "a >= b", high=1),
    Op("i64.eqz", (0x50,), (), "i64 -> i32", "not a", high=1),
    Op("i64.eq", (0x51,), (), "i64 i64 -> i32", "a == b", high=1),
    Op("i64.ne", (0x52,), (), "i64 i64 -> i32", "a != b", high=1),
    Op("i64.lt_s", (0x53,), (), "i64 i64 -> i32", "(a ^ 0x8000000000000000) < (b ^ 0x8000000000000000)", high=1),
    Op("i64.lt_u", (0x54,), (), "i64 i64 -> i32", "a < b", high=1),
    Op("i64.gt_s", (0x55,), (), "i64 i64 -> i32", "(a ^ 0x8000000000000000) > (b ^ 0x8000000000000000)", high=1),
    Op("i64.gt_u", (0x56,), (), "i64 i64 -> i32", "a > b", high=1),
    Op("i64.le_s", (0x57,), (), "i64 i64 -> i32", "(a ^ 0x8000000000000000) <= (b ^ 0x8000000000000000)", high=1),
    Op("i64.le_u", (0x58,), (), "i64 i64 -> i32", "a <= b", high=1),
    Op("i64.ge_s", (0x59,), (), "i64 i64 -> i32", "(a ^ 0x8000000000000000) >= (b ^ 0x8000000000000000)", high=1),
    Op("i64.ge_u", (0x5A,), (), "i64 i64 -> i32", "a >= b", high=1),
    Op("f32.eq", (0x5B,), (), "f32 f32 -> i32", "a == b", high=1),
    Op("f32.ne", (0x5C,), (), "f32 f32 -> i32", "a != b", high=1),
    Op("f32.lt", (0x5D,), (), "f32 f32 -> i32", "a < b", high=1),
    Op("f32.gt", (0x5E,), (), "f32 f32 -> i32", "a > b", high=1),
    Op("f32.le", (0x5F,), (), "f32 f32 -> i32", "a <= b", high=1),
    Op("f32.ge", (0x60,), (), "f32 f32 -> i32", "a >= b", high=1),
    Op("f64.eq", (0x61,), (), "f64 f64 -> i32", "a == b", high=1),
    Op("f64.ne", (0x62,), (), "f64 f64 -> i32", "a != b", high=1),
    Op("f64.lt", (0x63,), (), "f64 f64 -> i32", "a < b", high=1),
    Op("f64.gt", (0x64,), (), "f64 f64 -> i32", "a > b", high=1),
    Op("f64.le", (0x65,), (), "f64 f64 -> i32", "a <= b", high=1),
    Op("f64.ge", (0x66,), (), "f64 f64 -> i32", "a >= b", high=1),
    # Integer arithmetic.
    Op("i32.clz", (0x67,), (), "i32 -> i32", "32 - a.bit_length()", high=32),
    Op("i32.ctz", (0x68,), (), "i32 -> i32", "(a & -a).bit_length() - 1 if a else 32", high=32),
    Op("i32.popcnt", (0x69,), (), "i32 -> i32", "a.bit_count()", high=32),
    Op("i32.add", (0x6A,), (), "i32 i32 -> i32", "(a + b) & 0xFFFFFFFF", "k"),
    Op("i32.sub", (0x6B,), (), "i32 i32 -> i32", "(a - b) & 0xFFFFFFFF", "k"),
    Op("i32.mul", (0x6C,), (), "i32 i32 -> i32", "(a * b) & 0xFFFFFFFF", "k"),
    Op("i32.div_s", (0x6D,), (), "i32 i32 -> i32", "i32_div_s(a, b)", "t"),
    Op("i32.div_u", (0x6E,), (), "i32 i32 -> i32", "a // b", "t"),
    Op("i32.rem_s", (0x6F,), (), "i32 i32 -> i32", "i32_rem_s(a, b)", "t"),
    Op("i32.rem_u", (0x70,), (), "i32 i32 -> i32", "a % b", "t"),
    Op("i32.and", (0x71,), (), "i32 i32 -> i32", "a & b"),
    Op("i32.or", (0x72,), (), "i32 i32 -> i32", "a | b"),
    Op("i32.xor", (0x73,), (), "i32 i32 -> i32", "a ^ b"),
    Op("i32.shl", (0x74,), (), "i32 i32 -> i32", "(a << (b & 31)) & 0xFFFFFFFF"),
    Op("i32.shr_s", (0x75,), (), "i32 i32 -> i32", "(((a ^ 0x80000000) - 0x80000000) >> (b & 31)) & 0xFFFFFFFF"),
    Op("i32.shr_u", (0x76,), (), "i32 i32 -> i32", "a >> (b & 31)"),
    Op("i32.rotl", (0x77,), (), "i32 i32 -> i32", "((a << (b & 31)) | (a >> (32 - (b & 31)))) & 0xFFFFFFFF"),
    Op("i32.rotr", (0x78,), (), "i32 i32 -> i32", "((a >> (b & 31)) | (a << (32 - (b & 31)))) & 0xFFFFFFFF"),
    Op("i64.clz", (0x79,), (), "i64 -> i64", "64 - a.bit_length()", high=64),
    Op("i64.ctz", (0x7A,), (), "i64 -> i64", "(a & -a).bit_length() - 1 if a else 64", high=64),
    Op("i64.popcnt", (0x7B,), (), "i64 -> i64", "a.bit_count()", high=64),
    Op("i64.add", (0x7C,), (), "i64 i64 -> i64", "(a + b) & 0xFFFFFFFFFFFFFFFF", "k"),
    Op("i64.sub", (0x7D,), (), "i64 i64 -> i64", "(a - b) & 0xFFFFFFFFFFFFFFFF", "k"),
    Op("i64.mul", (0x7E,), (), "i64 i64 -> i64", "(a * b) & 0xFFFFFFFFFFFFFFFF", "k"),
    Op("i64.div_s", (0x7F,), (), "i64 i64 -> i64", "i64_div_s(a, b)", "t"),
    Op("i64.div_u", (0x80,), (), "i64 i64 -> i64", "a // b", "t"),
    Op("i64.rem_s", (0x81,), (), "i64 i64 -> i64", "i64_rem_s(a, b)", "t"),
    Op("i64.rem_u", (0x82,), (), "i64 i64 -> i64", "a % b", "t"),
    Op("i64.and", (0x83,), (), "i64 i64 -> i64", "a & b"),
    Op("i64.or", (0x84,), (), "i64 i64 -> i64", "a | b"),
    Op("i64.xor", (0x85,), (), "i64 i64 -> i64", "a ^ b"),
    Op("i64.shl", (0x86,), (), "i64 i64 -> i64", "(a << (b & 63)) & 0xFFFFFFFFFFFFFFFF"),
    Op("i64.shr_s", (0x87,), (), "i64 i64 -> i64", "(((a ^ 0x8000000000000000) - 0x8000000000000000) >> (b & 63)) & 0xFFFFFFFFFFFFFFFF"),
    Op("i64.shr_u", (0x88,), (), "i64 i64 -> i64", "a >> (b & 63)"),
    Op("i64.rotl", (0x89,), (), "i64 i64 -> i64", "((a << (b & 63)) | (a >> (64 - (b & 63)))) & 0xFFFFFFFFFFFFFFFF"),
    Op("i64.rotr", (0x8A,), (), "i64 i64 -> i64", "((a >> (b & 63)) | (a << (64 - (b & 63)))) & 0xFFFFFFFFFFFFFFFF"),
    # Floating-point arithmetic.
    Op("f32.abs", (0x8B,), (), "f32 -> f32", "abs(a)"),
    Op("f32.neg", (0x8C,), (), "f32 -> f32", "-a"),
    Op("f32.ceil", (0x8D,), (), "f32 -> f32", "float_ceil(a)", "n"),
    Op("f32.floor", (0x8E,), (), "f32 -> f32", "float_floor(a)", "n"),
    Op("f32.trunc", (0x8F,), (), "f32 -> f32", "float_trunc(a)", "n"),
    Op("f32.nearest", (0x90,), (), "f32 -> f32", "float_nearest(a)", "n"),
    Op("f32.sqrt", (0x91,), (), "f32 -> f32", "f32_round(float_sqrt(a))", "n"),
    Op("f32.add", (0x92,), (), "f32 f32 -> f32", "f32_round(a + b)", "n"),
    Op("f32.sub", (0x93,), (), "f32 f32 -> f32", "f32_round(a - b)", "n"),
    Op("f32.mul", (0x94,), (), "f32 f32 -> f32", "f32_round(a * b)", "n"),
    Op("f32.div", (0x95,), (), "f32 f32 -> f32", "f32_round(float_div(a, b))", "n"),
    Op("f32.min", (0x96,), (), "f32 f32 -> f32", "float_min(a, b)", "n"),
    Op("f32.max", (0x97,), (), "f32 f32 -> f32", "float_max(a, b)", "n"),
    Op("f32.copysign", (0x98,), (), "f32 f32 -> f32", "float_copysign(a, b)"),
    Op("f64.abs", (0x99,), (), "f64 -> f64", "abs(a)"),
    Op("f64.neg", (0x9A,), (), "f64 -> f64", "-a"),
    Op("f64.ceil", (0x9B,), (), "f64 -> f64", "float_ceil(a)", "n"),
    Op("f64.floor", (0x9C,), (), "f64 -> f64", "float_floor(a)", "n"),
    Op("f64.trunc", (0x9D,), (), "f64 -> f64", "float_trunc(a)", "n"),
    Op("f64.nearest", (0x9E,), (), "f64 -> f64", "float_nearest(a)", "n"),
    Op("f64.sqrt", (0x9F,), (), "f64 -> f64", "float_sqrt(a)", "n"),
    Op("f64.add", (0xA0,), (), "f64 f64 -> f64", "a + b", "n"),
    Op("f64.sub", (0xA1,), (), "f64 f64 -> f64", "a - b", "n"),
    Op("f64.mul", (0xA2,), (), "f64 f64 -> f64", "a * b", "n"),
    Op("f64.div", (0xA3,), (), "f64 f64 -> f64", "float_div(a, b)", "n"),
    Op("f64.min", (0xA4,), (), "f64 f64 -> f64", "float_min(a, b)", "n"),
    Op("f64.max", (0xA5,), (), "f64 f64 -> f64", "float_max(a, b)", "n"),
    Op("f64.copysign", (0xA6,), (), "f64 f64 -> f64", "float_copysign(a, b)"),
    # Conversions.
    Op("i32.wrap_i64", (0xA7,), (), "i64 -> i32", "a & 0xFFFFFFFF"),
    Op("i32.trunc_f32_s", (0xA8,), (), "f32 -> i32", "i32_trunc_s(a)", "t"),
    Op("i32.trunc_f32_u", (0xA9,), (), "f32 -> i32", "i32_trunc_u(a)", "t"),
    Op("i32.trunc_f64_s", (0xAA,), (), "f64 -> i32", "i32_trunc_s(a)", "t"),
    Op("i32.trunc_f64_u", (0xAB,), (), "f64 -> i32", "i32_trunc_u(a)", "t"),
    Op("i64.extend_i32_s", (0xAC,), (), "i32 -> i64", "((a ^ 0x80000000) - 0x80000000) & 0xFFFFFFFFFFFFFFFF"),
    Op("i64.extend_i32_u", (0xAD,), (), "i32 -> i64", "a", high=0xFFFFFFFF),
    Op("i64.trunc_f32_s", (0xAE,), (), "f32 -> i64", "i64_trunc_s(a)", "t"),
    Op("i64.trunc_f32_u", (0xAF,), (), "f32 -> i64", "i64_trunc_u(a)", "t"),
    Op("i64.trunc_f64_s", (0xB0,), (), "f64 -> i64", "i64_trunc_s(a)", "t"),
    Op("i64.trunc_f64_u", (0xB1,), (), "f64 -> i64", "i64_trunc_u(a)", "t"),
    Op("f32.convert_i32_s", (0xB2,), (), "i32 -> f32", "f32_round((a ^ 0x80000000) - 0x80000000)"),
    Op("f32.convert_i32_u", (0xB3,), (), "i32 -> f32", "f32_round(a)"),
    Op("f32.convert_i64_s", (0xB4,), (), "i64 -> f32", "f32_convert((a ^ 0x8000000000000000) - 0x8000000000000000)"),
    Op("f32.convert_i64_u", (0xB5,), (), "i64 -> f32", "f32_convert(a)"),
    Op("f32.demote_f64", (0xB6,), (), "f64 -> f32", "f32_round(a)", "n"),
    Op("f64.convert_i32_s", (0xB7,), (), "i32 -> f64", "float((a ^ 0x80000000) - 0x80000000)"),
    Op("f64.convert_i32_u", (0xB8,), (), "i32 -> f64", "float(a)"),
    Op("f64.convert_i64_s", (0xB9,), (), "i64 -> f64", "float((a ^ 0x8000000000000000) - 0x8000000000000000)"),
    Op("f64.convert_i64_u", (0xBA,), (), "i64 -> f64", "float(a)"),
    # The addition quiets a signalling NaN and changes nothing else. A product by one does so too,
    # but PyPy's compiler takes it away.
    Op("f64.promote_f32", (0xBB,), (), "f32 -> f64", "a + -0.0", "n"),
    Op("i32.reinterpret_f32", (0xBC,), (), "f32 -> i32", "f32_bits(a)"),
    Op("i64.reinterpret_f64", (0xBD,), (), "f64 -> i64", "f64_bits(a)"),
    Op("f32.reinterpret_i32", (0xBE,), (), "i32 -> f32", "f32_from_bits(a)"),
    Op("f64.reinterpret_i64", (0xBF,), (), "i64 -> f64", "f64_from_bits(a)"),
    Op("i32.extend8_s", (0xC0,), (), "i32 -> i32", "(((a & 0xFF) ^ 0x80) - 0x80) & 0xFFFFFFFF"),
    Op("i32.extend16_s", (0xC1,), (), "i32 -> i32", "(((a & 0xFFFF) ^ 0x8000) - 0x8000) & 0xFFFFFFFF"),
    Op("i64.extend8_s", (0xC2,), (), "i64 -> i64", "(((a & 0xFF) ^ 0x80) - 0x80) & 0xFFFFFFFFFFFFFFFF"),
    Op("i64.extend16_s", (0xC3,), (), "i64 -> i64", "(((a & 0xFFFF) ^ 0x8000) - 0x8000) & 0xFFFFFFFFFFFFFFFF"),
    Op("i64.extend32_s", (0xC4,), (), "i64 -> i64", "(((a & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000) & 0xFFFFFFFFFFFFFFFF"),
    # Reference instructions (spec 2.4.3).
    Op("ref.null", (0xD0,), ("reftype",), None, "None", "k"),
    Op("ref.is_null", (0xD1,), (), None, "a is None", high=1),
    Op("ref.func", (0xD2,), ("funcidx",), None, "func", "k"),
    Op("ref.eq", (0xD3,), (), None, "ref_eq(a, b)", "h", high=1),
    Op("ref.as_non_null", (0xD4,), (), None, "non_null(a)", "th"),
    Op("br_on_null", (0xD5,), ("labelidx",), None, None, "h", control="b"),
    Op("br_on_non_null", (0xD6,), ("labelidx",), None, None, "h", control="b"),
    # Aggregates (spec 2.4.6).
    Op("struct.new", (0xFB, 0), ("typeidx",), None, None, "kh"),
    Op("struct.new_default", (0xFB, 1), ("typeidx",), None, "struct_new_default(type)", "wkh"),
    Op("struct.get", (0xFB, 2), ("typeidx", "fieldidx"), None, "(a or null_structure())[field]", "rth"),
    Op("struct.get_s", (0xFB, 3), ("typeidx", "fieldidx"), None, "struct_get_s(a, field)", "rth"),
    Op("struct.get_u", (0xFB, 4), ("typeidx", "fieldidx"), None, "struct_get_u(a, field)", "rth"),
    Op("struct.set", (0xFB, 5), ("typeidx", "fieldidx"), None, "(a or null_structure())[field] = b", "wth"),
    Op("array.new", (0xFB, 6), ("typeidx",), None, "array_new(type, a, b)", "wtkh"),
    Op("array.new_default", (0xFB, 7), ("typeidx",), None, "array_new_default(type, a)", "wtkh"),
    Op("array.new_fixed", (0xFB, 8), ("typeidx", "count"), None, None, "kh"),
    Op("array.new_data", (0xFB, 9), ("typeidx", "dataidx"), None, "array_new_data(type, data, a, b)", "rwth"),
    Op("array.new_elem", (0xFB, 10), ("typeidx", "elemidx"), None, "array_new_elem(type, elem, a, b)", "rwth"),
    Op("array.get", (0xFB, 11), ("typeidx",), None, "(a or null_array())[b + 1]", "rth"),
    Op("array.get_s", (0xFB, 12), ("typeidx",), None, "array_get_s(a, b)", "rth"),
    Op("array.get_u", (0xFB, 13), ("typeidx",), None, "array_get_u(a, b)", "rth"),
    Op("array.set", (0xFB, 14), ("typeidx",), None, "(a or null_array())[b + 1] = c", "wth"),
    Op("array.len", (0xFB, 15), (), None, "array_len(a)", "th"),
    Op("array.fill", (0xFB, 16), ("typeidx",), None, "array_fill(a, b, c, d)", "wth"),
    Op("array.copy", (0xFB, 17), ("typeidx", "typeidx"), None, "array_copy(a, b, c, d, e)", "rwth"),
    Op("array.init_data", (0xFB, 18), ("typeidx", "dataidx"), None, "array_init_data(a, b, c, d, data)", "rwth"),
    Op("array.init_elem", (0xFB, 19), ("typeidx", "elemidx"), None, "array_init_elem(a, b, c, d, elem)", "rwth"),
    Op("ref.test", (0xFB, 20), ("heaptype",), None, "ref_test(a, heap)", "h", high=1),
    Op("ref.test null", (0xFB, 21), ("heaptype",), None, "ref_test_null(a, heap)", "h", high=1),
    Op("ref.cast", (0xFB, 22), ("heaptype",), None, "ref_cast(a, heap)", "th"),
    Op("ref.cast null", (0xFB, 23), ("heaptype",), None, "ref_cast_null(a, heap)", "th"),
    Op("br_on_cast", (0xFB, 24), ("cast",), None, None, "h", control="b"),
    Op("br_on_cast_fail", (0xFB, 25), ("cast",), None, None, "h", control="b"),
    Op("any.convert_extern", (0xFB, 26), (), None, "internalize(a)", "kh"),
    Op("extern.convert_any", (0xFB, 27), (), None, "externalize(a)", "kh"),
    Op("ref.i31", (0xFB, 28), (), None, "a & 0x7FFFFFFF", "kh"),
    Op("i31.get_s", (0xFB, 29), (), None, "i31_get_s(a)", "th"),
    Op("i31.get_u", (0xFB, 30), (), None, "i31_get_u(a)", "th"),
    # Saturating truncations.
    Op("i32.trunc_sat_f32_s", (0xFC, 0), (), "f32 -> i32", "i32_trunc_sat_s(a)"),
    Op("i32.trunc_sat_f32_u", (0xFC, 1), (), "f32 -> i32", "i32_trunc_sat_u(a)"),
    Op("i32.trunc_sat_f64_s", (0xFC, 2), (), "f64 -> i32", "i32_trunc_sat_s(a)"),
    Op("i32.trunc_sat_f64_u", (0xFC, 3), (), "f64 -> i32", "i32_trunc_sat_u(a)"),
    Op("i64.trunc_sat_f32_s", (0xFC, 4), (), "f32 -> i64", "i64_trunc_sat_s(a)"),
    Op("i64.trunc_sat_f32_u", (0xFC, 5), (), "f32 -> i64", "i64_trunc_sat_u(a)"),
    Op("i64.trunc_sat_f64_s", (0xFC, 6), (), "f64 -> i64", "i64_trunc_sat_s(a)"),
    Op("i64.trunc_sat_f64_u", (0xFC, 7), (), "f64 -> i64", "i64_trunc_sat_u(a)"),
    # Bulk memory and tables.
    Op("memory.init", (0xFC, 8), ("dataidx", "memidx"), "addr i32 i32 ->", "mem.init(data, a, b, c)", "rwt", bulk="write mem a c"),
    Op("data.drop", (0xFC, 9), ("dataidx",), "->", "data.drop()", "w"),
    Op("memory.copy", (0xFC, 10), ("memidx", "memidx"), "addr addr2 size ->", "mem.copy(mem2, a, b, c)", "rwt", bulk="read mem2 b c; write mem a c"),
    Op("memory.fill", (0xFC, 11), ("memidx",), "addr i32 addr ->", "mem.fill(a, b, c)", "wt", bulk="write mem a c"),
    Op("table.init", (0xFC, 12), ("elemidx", "tableidx"), "addr i32 i32 ->", "table.raw_init(elem, a, b, c)", "rwt"),
    Op("elem.drop", (0xFC, 13), ("elemidx",), "->", "elem.drop()", "w"),
    Op("table.copy", (0xFC, 14), ("tableidx", "tableidx"), "addr addr2 size ->", "table.raw_copy(table2, a, b, c)", "rwt"),
    Op("table.grow", (0xFC, 15), ("tableidx",), None, "table.try_grow(b, a)", "rw"),
    Op("table.size", (0xFC, 16), ("tableidx",), "-> addr", "table.size()", "r"),
    Op("table.fill", (0xFC, 17), ("tableidx",), None, "table.raw_fill(a, b, c)", "wt"),
    # Wide arithmetic (a proposal). They give two results, each path by its rule.
    Op("i64.add128", (0xFC, 19), (), "i64 i64 i64 i64 -> i64 i64", None),
    Op("i64.sub128", (0xFC, 20), (), "i64 i64 i64 i64 -> i64 i64", None),
    Op("i64.mul_wide_s", (0xFC, 21), (), "i64 i64 -> i64 i64", None),
    Op("i64.mul_wide_u", (0xFC, 22), (), "i64 i64 -> i64 i64", None),
    # Vector instructions (spec 2.4.2): loads and stores.
    Op("v128.load", (0xFD, 0), ("memarg",), "addr -> v128", "load_bytes16(memory, a + offset)[0]", "rt", 16),
    Op("v128.load8x8_s", (0xFD, 1), ("memarg",), "addr -> v128", "i16x8_extend_low_i8x16_s(load_bytes8(memory, a + offset)[0])", "rt", 8),
    Op("v128.load8x8_u", (0xFD, 2), ("memarg",), "addr -> v128", "i16x8_extend_low_i8x16_u(load_bytes8(memory, a + offset)[0])", "rt", 8),
    Op("v128.load16x4_s", (0xFD, 3), ("memarg",), "addr -> v128", "i32x4_extend_low_i16x8_s(load_bytes8(memory, a + offset)[0])", "rt", 8),
    Op("v128.load16x4_u", (0xFD, 4), ("memarg",), "addr -> v128", "i32x4_extend_low_i16x8_u(load_bytes8(memory, a + offset)[0])", "rt", 8),
    Op("v128.load32x2_s", (0xFD, 5), ("memarg",), "addr -> v128", "i64x2_extend_low_i32x4_s(load_bytes8(memory, a + offset)[0])", "rt", 8),
    Op("v128.load32x2_u", (0xFD, 6), ("memarg",), "addr -> v128", "i64x2_extend_low_i32x4_u(load_bytes8(memory, a + offset)[0])", "rt", 8),
    Op("v128.load8_splat", (0xFD, 7), ("memarg",), "addr -> v128", "load_bytes1(memory, a + offset)[0] * 16", "rt", 1),
    Op("v128.load16_splat", (0xFD, 8), ("memarg",), "addr -> v128", "load_bytes2(memory, a + offset)[0] * 8", "rt", 2),
    Op("v128.load32_splat", (0xFD, 9), ("memarg",), "addr -> v128", "load_bytes4(memory, a + offset)[0] * 4", "rt", 4),
    Op("v128.load64_splat", (0xFD, 10), ("memarg",), "addr -> v128", "load_bytes8(memory, a + offset)[0] * 2", "rt", 8),
    Op("v128.store", (0xFD, 11), ("memarg",), "addr v128 ->", "store_bytes16(memory, a + offset, b)", "wt", 16),
    Op("v128.const", (0xFD, 12), ("v128",), "-> v128", "value", "k"),
    # Lanes.
    Op("i8x16.shuffle", (0xFD, 13), ("lanes",), "v128 v128 -> v128", "lanes.translate(a + b + SHUFFLED)"),
    Op("i8x16.swizzle", (0xFD, 14), (), "v128 v128 -> v128", "b.translate(a + SWIZZLED)"),
    Op("i8x16.splat", (0xFD, 15), (), "i32 -> v128", "pack_u8(a & 0xFF) * 16"),
    Op("i16x8.splat", (0xFD, 16), (), "i32 -> v128", "pack_u16(a & 0xFFFF) * 8"),
    Op("i32x4.splat", (0xFD, 17), (), "i32 -> v128", "pack_u32(a) * 4"),
    Op("i64x2.splat", (0xFD, 18), (), "i64 -> v128", "pack_u64(a) * 2"),
    Op("f32x4.splat", (0xFD, 19), (), "f32 -> v128", "pack_f32(a) * 4"),
    Op("f64x2.splat", (0xFD, 20), (), "f64 -> v128", "pack_f64(a) * 2"),
    Op("i8x16.extract_lane_s", (0xFD, 21), ("laneidx",), "v128 -> i32", "lane_s8(a, lane)[0] & 0xFFFFFFFF"),
    Op("i8x16.extract_lane_u", (0xFD, 22), ("laneidx",), "v128 -> i32", "a[lane]", high=0xFF),
    Op("i8x16.replace_lane", (0xFD, 23), ("laneidx",), "v128 i32 -> v128", "replace_bytes(a, lane, pack_u8(b & 0xFF))"),
    Op("i16x8.extract_lane_s", (0xFD, 24), ("laneidx",), "v128 -> i32", "lane_s16(a, lane * 2)[0] & 0xFFFFFFFF"),
    Op("i16x8.extract_lane_u", (0xFD, 25), ("laneidx",), "v128 -> i32", "lane_u16(a, lane * 2)[0]", high=0xFFFF),
    Op("i16x8.replace_lane", (0xFD, 26), ("laneidx",), "v128 i32 -> v128", "replace_bytes(a, lane * 2, pack_u16(b & 0xFFFF))"),
    Op("i32x4.extract_lane", (0xFD, 27), ("laneidx",), "v128 -> i32", "lane_u32(a, lane * 4)[0]"),
    Op("i32x4.replace_lane", (0xFD, 28), ("laneidx",), "v128 i32 -> v128", "replace_bytes(a, lane * 4, pack_u32(b))"),
    Op("i64x2.extract_lane", (0xFD, 29), ("laneidx",), "v128 -> i64", "lane_u64(a, lane * 8)[0]"),
    Op("i64x2.replace_lane", (0xFD, 30), ("laneidx",), "v128 i64 -> v128", "replace_bytes(a, lane * 8, pack_u64(b))"),
    Op("f32x4.extract_lane", (0xFD, 31), ("laneidx",), "v128 -> f32", "lane_f32(a, lane * 4)"),
    Op("f32x4.replace_lane", (0xFD, 32), ("laneidx",), "v128 f32 -> v128", "replace_bytes(a, lane * 4, pack_f32(b))"),
    Op("f64x2.extract_lane", (0xFD, 33), ("laneidx",), "v128 -> f64", "lane_f64(a, lane * 8)[0]"),
    Op("f64x2.replace_lane", (0xFD, 34), ("laneidx",), "v128 f64 -> v128", "replace_bytes(a, lane * 8, pack_f64(b))"),
    # Comparisons, lane by lane: all bits of a lane, or none.
    *_vectors("v128 v128 -> v128", {
        "i8x16.eq": 35, "i8x16.ne": 36, "i8x16.lt_s": 37, "i8x16.lt_u": 38, "i8x16.gt_s": 39,
        "i8x16.gt_u": 40, "i8x16.le_s": 41, "i8x16.le_u": 42, "i8x16.ge_s": 43, "i8x16.ge_u": 44,
        "i16x8.eq": 45, "i16x8.ne": 46, "i16x8.lt_s": 47, "i16x8.lt_u": 48, "i16x8.gt_s": 49,
        "i16x8.gt_u": 50, "i16x8.le_s": 51, "i16x8.le_u": 52, "i16x8.ge_s": 53, "i16x8.ge_u": 54,
        "i32x4.eq": 55, "i32x4.ne": 56, "i32x4.lt_s": 57, "i32x4.lt_u": 58, "i32x4.gt_s": 59,
        "i32x4.gt_u": 60, "i32x4.le_s": 61, "i32x4.le_u": 62, "i32x4.ge_s": 63, "i32x4.ge_u": 64,
        "f32x4.eq": 65, "f32x4.ne": 66, "f32x4.lt": 67, "f32x4.gt": 68, "f32x4.le": 69, "f32x4.ge": 70,
        "f64x2.eq": 71, "f64x2.ne": 72, "f64x2.lt": 73, "f64x2.gt": 74, "f64x2.le": 75, "f64x2.ge": 76,
    }),
    # Bits.
    Op("v128.not", (0xFD, 77), (), "v128 -> v128", _bits(f"v128_bits(a, 'little') ^ {_ALL_BITS:#x}")),
    Op("v128.and", (0xFD, 78), (), "v128 v128 -> v128", _bits("v128_bits(a, 'little') & v128_bits(b, 'little')")),
    Op("v128.andnot", (0xFD, 79), (), "v128 v128 -> v128", _bits(f"v128_bits(a, 'little') & (v128_bits(b, 'little') ^ {_ALL_BITS:#x})")),
    Op("v128.or", (0xFD, 80), (), "v128 v128 -> v128", _bits("v128_bits(a, 'little') | v128_bits(b, 'little')")),
    Op("v128.xor", (0xFD, 81), (), "v128 v128 -> v128", _bits("v128_bits(a, 'little') ^ v128_bits(b, 'little')")),
    *_vectors("v128 v128 v128 -> v128", {"v128.bitselect": 82}),
    Op("v128.any_true", (0xFD, 83), (), "v128 -> i32", "a != ZEROS", high=1),
    # Loads and stores of one lane.
    Op("v128.load8_lane", (0xFD, 84), ("memarg", "laneidx"), "addr v128 -> v128", "replace_bytes(b, lane, load_bytes1(memory, a + offset)[0])", "rt", 1),
    Op("v128.load16_lane", (0xFD, 85), ("memarg", "laneidx"), "addr v128 -> v128", "replace_bytes(b, lane * 2, load_bytes2(memory, a + offset)[0])", "rt", 2),
    Op("v128.load32_lane", (0xFD, 86), ("memarg", "laneidx"), "addr v128 -> v128", "replace_bytes(b, lane * 4, load_bytes4(memory, a + offset)[0])", "rt", 4),
    Op("v128.load64_lane", (0xFD, 87), ("memarg", "laneidx"), "addr v128 -> v128", "replace_bytes(b, lane * 8, load_bytes8(memory, a + offset)[0])", "rt", 8),
    Op("v128.store8_lane", (0xFD, 88), ("memarg", "laneidx"), "addr v128 ->", "memory[a + offset] = b[lane]", "wt", 1),
    Op("v128.store16_lane", (0xFD, 89), ("memarg", "laneidx"), "addr v128 ->", "store_u16(memory, a + offset, lane_u16(b, lane * 2)[0])", "wt", 2),
    Op("v128.store32_lane", (0xFD, 90), ("memarg", "laneidx"), "addr v128 ->", "store_u32(memory, a + offset, lane_u32(b, lane * 4)[0])", "wt", 4),
    Op("v128.store64_lane", (0xFD, 91), ("memarg", "laneidx"), "addr v128 ->", "store_u64(memory, a + offset, lane_u64(b, lane * 8)[0])", "wt", 8),
    Op("v128.load32_zero", (0xFD, 92), ("memarg",), "addr -> v128", "load_bytes4(memory, a + offset)[0] + ZEROS12", "rt", 4),
    Op("v128.load64_zero", (0xFD, 93), ("memarg",), "addr -> v128", "load_bytes8(memory, a + offset)[0] + ZEROS8", "rt", 8),
    # Lane by lane, of one operand.
    *_vectors("v128 -> v128", {
        "i8x16.abs": 96, "i8x16.neg": 97, "i8x16.popcnt": 98,
        "i16x8.abs": 128, "i16x8.neg": 129, "i32x4.abs": 160, "i32x4.neg": 161, "i64x2.abs": 192, "i64x2.neg": 193,
        "f32x4.abs": 224, "f32x4.neg": 225, "f64x2.abs": 236, "f64x2.neg": 237,
        "i16x8.extadd_pairwise_i8x16_s": 124, "i16x8.extadd_pairwise_i8x16_u": 125,
        "i32x4.extadd_pairwise_i16x8_s": 126, "i32x4.extadd_pairwise_i16x8_u": 127,
        "i16x8.extend_low_i8x16_s": 135, "i16x8.extend_high_i8x16_s": 136,
        "i16x8.extend_low_i8x16_u": 137, "i16x8.extend_high_i8x16_u": 138,
        "i32x4.extend_low_i16x8_s": 167, "i32x4.extend_high_i16x8_s": 168,
        "i32x4.extend_low_i16x8_u": 169, "i32x4.extend_high_i16x8_u": 170,
        "i64x2.extend_low_i32x4_s": 199, "i64x2.extend_high_i32x4_s": 200,
        "i64x2.extend_low_i32x4_u": 201, "i64x2.extend_high_i32x4_u": 202,
        "i32x4.trunc_sat_f32x4_s": 248, "i32x4.trunc_sat_f32x4_u": 249,
        "i32x4.trunc_sat_f64x2_s_zero": 252, "i32x4.trunc_sat_f64x2_u_zero": 253,
        "f32x4.convert_i32x4_s": 250, "f32x4.convert_i32x4_u": 251,
        "f64x2.convert_low_i32x4_s": 254, "f64x2.convert_low_i32x4_u": 255,
    }),
    *_vectors("v128 -> v128", {
        "f32x4.ceil": 103, "f32x4.floor": 104, "f32x4.trunc": 105, "f32x4.nearest": 106, "f32x4.sqrt": 227,
        "f64x2.ceil": 116, "f64x2.floor": 117, "f64x2.trunc": 122, "f64x2.nearest": 148, "f64x2.sqrt": 239,
        "f32x4.demote_f64x2_zero": 94, "f64x2.promote_low_f32x4": 95,
    }, "n"),
    # Whether all lanes are something, and the top bit of each.
    *_vectors("v128 -> i32", {"i8x16.all_true": 99, "i16x8.all_true": 131, "i32x4.all_true": 163, "i64x2.all_true": 195}, high=1),
    *_vectors("v128 -> i32", {"i8x16.bitmask": 100}, high=0xFFFF),
    *_vectors("v128 -> i32", {"i16x8.bitmask": 132, "i32x4.bitmask": 164, "i64x2.bitmask": 196}, high=0xFF),
    # Shifts: by the second operand, modulo the bits of a lane.
    *_vectors("v128 i32 -> v128", {
        "i8x16.shl": 107, "i8x16.shr_s": 108, "i8x16.shr_u": 109, "i16x8.shl": 139, "i16x8.shr_s": 140, "i16x8.shr_u": 141,
        "i32x4.shl": 171, "i32x4.shr_s": 172, "i32x4.shr_u": 173, "i64x2.shl": 203, "i64x2.shr_s": 204, "i64x2.shr_u": 205,
    }),
    # Lane by lane, of two operands.
    *_vectors("v128 v128 -> v128", {
        "i8x16.narrow_i16x8_s": 101, "i8x16.narrow_i16x8_u": 102, "i16x8.narrow_i32x4_s": 133, "i16x8.narrow_i32x4_u": 134,
        "i8x16.add": 110, "i8x16.add_sat_s": 111, "i8x16.add_sat_u": 112,
        "i8x16.sub": 113, "i8x16.sub_sat_s": 114, "i8x16.sub_sat_u": 115,
        "i8x16.min_s": 118, "i8x16.min_u": 119, "i8x16.max_s": 120, "i8x16.max_u": 121, "i8x16.avgr_u": 123,
        "i16x8.q15mulr_sat_s": 130, "i16x8.add": 142, "i16x8.add_sat_s": 143, "i16x8.add_sat_u": 144,
        "i16x8.sub": 145, "i16x8.sub_sat_s": 146, "i16x8.sub_sat_u": 147, "i16x8.mul": 149,
        "i16x8.min_s": 150, "i16x8.min_u": 151, "i16x8.max_s": 152, "i16x8.max_u": 153, "i16x8.avgr_u": 155,
        "i16x8.extmul_low_i8x16_s": 156, "i16x8.extmul_high_i8x16_s": 157,
        "i16x8.extmul_low_i8x16_u": 158, "i16x8.extmul_high_i8x16_u": 159,
        "i32x4.add": 174, "i32x4.sub": 177, "i32x4.mul": 181,
        "i32x4.min_s": 182, "i32x4.min_u": 183, "i32x4.max_s": 184, "i32x4.max_u": 185, "i32x4.dot_i16x8_s": 186,
        "i32x4.extmul_low_i16x8_s": 188, "i32x4.extmul_high_i16x8_s": 189,
        "i32x4.extmul_low_i16x8_u": 190, "i32x4.extmul_high_i16x8_u": 191,
        "i64x2.add": 206, "i64x2.sub": 209, "i64x2.mul": 213,
        "i64x2.eq": 214, "i64x2.ne": 215, "i64x2.lt_s": 216, "i64x2.gt_s": 217, "i64x2.le_s": 218, "i64x2.ge_s": 219,
        "i64x2.extmul_low_i32x4_s": 220, "i64x2.extmul_high_i32x4_s": 221,
        "i64x2.extmul_low_i32x4_u": 222, "i64x2.extmul_high_i32x4_u": 223,
        "f32x4.pmin": 234, "f32x4.pmax": 235, "f64x2.pmin": 246, "f64x2.pmax": 247,
    }),
    *_vectors("v128 v128 -> v128", {
        "f32x4.add": 228, "f32x4.sub": 229, "f32x4.mul": 230, "f32x4.div": 231, "f32x4.min": 232, "f32x4.max": 233,
        "f64x2.add": 240, "f64x2.sub": 241, "f64x2.mul": 242, "f64x2.div": 243, "f64x2.min": 244, "f64x2.max": 245,
    }, "n"),
    # Atomic instructions (the proposal for threads).
    Op("memory.atomic.notify", (0xFE, 0x00), ("memarg",), "addr i32 -> i32", "atomic_notify(mem, a + offset, b)", "rt", 4),
    Op("memory.atomic.wait32", (0xFE, 0x01), ("memarg",), "addr i32 i64 -> i32", "atomic_wait(mem, a + offset, 4, b, c)", "rtp", 4),
    Op("memory.atomic.wait64", (0xFE, 0x02), ("memarg",), "addr i64 i64 -> i32", "atomic_wait(mem, a + offset, 8, b, c)", "rtp", 8),
    Op("atomic.fence", (0xFE, 0x03), ("ordering",), "->", "atomic_fence()", "rw"),
    Op("i32.atomic.load", (0xFE, 0x10), ("memarg",), "addr -> i32", "atomic_load(memory, a + offset, 4)", "rt", 4),
    Op("i64.atomic.load", (0xFE, 0x11), ("memarg",), "addr -> i64", "atomic_load(memory, a + offset, 8)", "rt", 8),
    Op("i32.atomic.load8_u", (0xFE, 0x12), ("memarg",), "addr -> i32", "atomic_load(memory, a + offset, 1)", "rt", 1, 0xFF),
    Op("i32.atomic.load16_u", (0xFE, 0x13), ("memarg",), "addr -> i32", "atomic_load(memory, a + offset, 2)", "rt", 2, 0xFFFF),
    Op("i64.atomic.load8_u", (0xFE, 0x14), ("memarg",), "addr -> i64", "atomic_load(memory, a + offset, 1)", "rt", 1, 0xFF),
    Op("i64.atomic.load16_u", (0xFE, 0x15), ("memarg",), "addr -> i64", "atomic_load(memory, a + offset, 2)", "rt", 2, 0xFFFF),
    Op("i64.atomic.load32_u", (0xFE, 0x16), ("memarg",), "addr -> i64", "atomic_load(memory, a + offset, 4)", "rt", 4, 0xFFFFFFFF),
    Op("i32.atomic.store", (0xFE, 0x17), ("memarg",), "addr i32 ->", "atomic_store(memory, a + offset, 4, b)", "wt", 4),
    Op("i64.atomic.store", (0xFE, 0x18), ("memarg",), "addr i64 ->", "atomic_store(memory, a + offset, 8, b)", "wt", 8),
    Op("i32.atomic.store8", (0xFE, 0x19), ("memarg",), "addr i32 ->", "atomic_store(memory, a + offset, 1, b)", "wt", 1),
    Op("i32.atomic.store16", (0xFE, 0x1A), ("memarg",), "addr i32 ->", "atomic_store(memory, a + offset, 2, b)", "wt", 2),
    Op("i64.atomic.store8", (0xFE, 0x1B), ("memarg",), "addr i64 ->", "atomic_store(memory, a + offset, 1, b)", "wt", 1),
    Op("i64.atomic.store16", (0xFE, 0x1C), ("memarg",), "addr i64 ->", "atomic_store(memory, a + offset, 2, b)", "wt", 2),
    Op("i64.atomic.store32", (0xFE, 0x1D), ("memarg",), "addr i64 ->", "atomic_store(memory, a + offset, 4, b)", "wt", 4),
    Op("i32.atomic.rmw.add", (0xFE, 0x1E), ("memarg",), "addr i32 -> i32", "atomic_add(memory, a + offset, 4, b)", "rwt", 4),
    Op("i64.atomic.rmw.add", (0xFE, 0x1F), ("memarg",), "addr i64 -> i64", "atomic_add(memory, a + offset, 8, b)", "rwt", 8),
    Op("i32.atomic.rmw8.add_u", (0xFE, 0x20), ("memarg",), "addr i32 -> i32", "atomic_add(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i32.atomic.rmw16.add_u", (0xFE, 0x21), ("memarg",), "addr i32 -> i32", "atomic_add(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw8.add_u", (0xFE, 0x22), ("memarg",), "addr i64 -> i64", "atomic_add(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i64.atomic.rmw16.add_u", (0xFE, 0x23), ("memarg",), "addr i64 -> i64", "atomic_add(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw32.add_u", (0xFE, 0x24), ("memarg",), "addr i64 -> i64", "atomic_add(memory, a + offset, 4, b)", "rwt", 4, 0xFFFFFFFF),
    Op("i32.atomic.rmw.sub", (0xFE, 0x25), ("memarg",), "addr i32 -> i32", "atomic_sub(memory, a + offset, 4, b)", "rwt", 4),
    Op("i64.atomic.rmw.sub", (0xFE, 0x26), ("memarg",), "addr i64 -> i64", "atomic_sub(memory, a + offset, 8, b)", "rwt", 8),
    Op("i32.atomic.rmw8.sub_u", (0xFE, 0x27), ("memarg",), "addr i32 -> i32", "atomic_sub(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i32.atomic.rmw16.sub_u", (0xFE, 0x28), ("memarg",), "addr i32 -> i32", "atomic_sub(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw8.sub_u", (0xFE, 0x29), ("memarg",), "addr i64 -> i64", "atomic_sub(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i64.atomic.rmw16.sub_u", (0xFE, 0x2A), ("memarg",), "addr i64 -> i64", "atomic_sub(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw32.sub_u", (0xFE, 0x2B), ("memarg",), "addr i64 -> i64", "atomic_sub(memory, a + offset, 4, b)", "rwt", 4, 0xFFFFFFFF),
    Op("i32.atomic.rmw.and", (0xFE, 0x2C), ("memarg",), "addr i32 -> i32", "atomic_and(memory, a + offset, 4, b)", "rwt", 4),
    Op("i64.atomic.rmw.and", (0xFE, 0x2D), ("memarg",), "addr i64 -> i64", "atomic_and(memory, a + offset, 8, b)", "rwt", 8),
    Op("i32.atomic.rmw8.and_u", (0xFE, 0x2E), ("memarg",), "addr i32 -> i32", "atomic_and(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i32.atomic.rmw16.and_u", (0xFE, 0x2F), ("memarg",), "addr i32 -> i32", "atomic_and(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw8.and_u", (0xFE, 0x30), ("memarg",), "addr i64 -> i64", "atomic_and(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i64.atomic.rmw16.and_u", (0xFE, 0x31), ("memarg",), "addr i64 -> i64", "atomic_and(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw32.and_u", (0xFE, 0x32), ("memarg",), "addr i64 -> i64", "atomic_and(memory, a + offset, 4, b)", "rwt", 4, 0xFFFFFFFF),
    Op("i32.atomic.rmw.or", (0xFE, 0x33), ("memarg",), "addr i32 -> i32", "atomic_or(memory, a + offset, 4, b)", "rwt", 4),
    Op("i64.atomic.rmw.or", (0xFE, 0x34), ("memarg",), "addr i64 -> i64", "atomic_or(memory, a + offset, 8, b)", "rwt", 8),
    Op("i32.atomic.rmw8.or_u", (0xFE, 0x35), ("memarg",), "addr i32 -> i32", "atomic_or(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i32.atomic.rmw16.or_u", (0xFE, 0x36), ("memarg",), "addr i32 -> i32", "atomic_or(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw8.or_u", (0xFE, 0x37), ("memarg",), "addr i64 -> i64", "atomic_or(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i64.atomic.rmw16.or_u", (0xFE, 0x38), ("memarg",), "addr i64 -> i64", "atomic_or(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw32.or_u", (0xFE, 0x39), ("memarg",), "addr i64 -> i64", "atomic_or(memory, a + offset, 4, b)", "rwt", 4, 0xFFFFFFFF),
    Op("i32.atomic.rmw.xor", (0xFE, 0x3A), ("memarg",), "addr i32 -> i32", "atomic_xor(memory, a + offset, 4, b)", "rwt", 4),
    Op("i64.atomic.rmw.xor", (0xFE, 0x3B), ("memarg",), "addr i64 -> i64", "atomic_xor(memory, a + offset, 8, b)", "rwt", 8),
    Op("i32.atomic.rmw8.xor_u", (0xFE, 0x3C), ("memarg",), "addr i32 -> i32", "atomic_xor(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i32.atomic.rmw16.xor_u", (0xFE, 0x3D), ("memarg",), "addr i32 -> i32", "atomic_xor(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw8.xor_u", (0xFE, 0x3E), ("memarg",), "addr i64 -> i64", "atomic_xor(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i64.atomic.rmw16.xor_u", (0xFE, 0x3F), ("memarg",), "addr i64 -> i64", "atomic_xor(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw32.xor_u", (0xFE, 0x40), ("memarg",), "addr i64 -> i64", "atomic_xor(memory, a + offset, 4, b)", "rwt", 4, 0xFFFFFFFF),
    Op("i32.atomic.rmw.xchg", (0xFE, 0x41), ("memarg",), "addr i32 -> i32", "atomic_xchg(memory, a + offset, 4, b)", "rwt", 4),
    Op("i64.atomic.rmw.xchg", (0xFE, 0x42), ("memarg",), "addr i64 -> i64", "atomic_xchg(memory, a + offset, 8, b)", "rwt", 8),
    Op("i32.atomic.rmw8.xchg_u", (0xFE, 0x43), ("memarg",), "addr i32 -> i32", "atomic_xchg(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i32.atomic.rmw16.xchg_u", (0xFE, 0x44), ("memarg",), "addr i32 -> i32", "atomic_xchg(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw8.xchg_u", (0xFE, 0x45), ("memarg",), "addr i64 -> i64", "atomic_xchg(memory, a + offset, 1, b)", "rwt", 1, 0xFF),
    Op("i64.atomic.rmw16.xchg_u", (0xFE, 0x46), ("memarg",), "addr i64 -> i64", "atomic_xchg(memory, a + offset, 2, b)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw32.xchg_u", (0xFE, 0x47), ("memarg",), "addr i64 -> i64", "atomic_xchg(memory, a + offset, 4, b)", "rwt", 4, 0xFFFFFFFF),
    Op("i32.atomic.rmw.cmpxchg", (0xFE, 0x48), ("memarg",), "addr i32 i32 -> i32", "atomic_cmpxchg(memory, a + offset, 4, b, c)", "rwt", 4),
    Op("i64.atomic.rmw.cmpxchg", (0xFE, 0x49), ("memarg",), "addr i64 i64 -> i64", "atomic_cmpxchg(memory, a + offset, 8, b, c)", "rwt", 8),
    Op("i32.atomic.rmw8.cmpxchg_u", (0xFE, 0x4A), ("memarg",), "addr i32 i32 -> i32", "atomic_cmpxchg(memory, a + offset, 1, b, c)", "rwt", 1, 0xFF),
    Op("i32.atomic.rmw16.cmpxchg_u", (0xFE, 0x4B), ("memarg",), "addr i32 i32 -> i32", "atomic_cmpxchg(memory, a + offset, 2, b, c)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw8.cmpxchg_u", (0xFE, 0x4C), ("memarg",), "addr i64 i64 -> i64", "atomic_cmpxchg(memory, a + offset, 1, b, c)", "rwt", 1, 0xFF),
    Op("i64.atomic.rmw16.cmpxchg_u", (0xFE, 0x4D), ("memarg",), "addr i64 i64 -> i64", "atomic_cmpxchg(memory, a + offset, 2, b, c)", "rwt", 2, 0xFFFF),
    Op("i64.atomic.rmw32.cmpxchg_u", (0xFE, 0x4E), ("memarg",), "addr i64 i64 -> i64", "atomic_cmpxchg(memory, a + offset, 4, b, c)", "rwt", 4, 0xFFFFFFFF),
)

#: Both halves of a product of bytes, each as exact sums of two.
_DOT = (
    "a i16x8.extend_low_i8x16_s b i16x8.extend_low_i8x16_s i32x4.dot_i16x8_s "
    "a i16x8.extend_high_i8x16_s b i16x8.extend_high_i8x16_s i32x4.dot_i16x8_s "
    "i16x8.narrow_i32x4_s"
)


def _relaxed() -> Iterator[Op]:
    """The rows of relaxed vector instructions, which do here what the deterministic profile says,
    in terms of others."""
    strict = {op.name: op for op in _STRICT}
    for code, (name, plain) in enumerate({
        "i8x16.relaxed_swizzle": "a b i8x16.swizzle",
        "i32x4.relaxed_trunc_f32x4_s": "a i32x4.trunc_sat_f32x4_s",
        "i32x4.relaxed_trunc_f32x4_u": "a i32x4.trunc_sat_f32x4_u",
        "i32x4.relaxed_trunc_f64x2_s_zero": "a i32x4.trunc_sat_f64x2_s_zero",
        "i32x4.relaxed_trunc_f64x2_u_zero": "a i32x4.trunc_sat_f64x2_u_zero",
        "f32x4.relaxed_madd": "a b f32x4.mul c f32x4.add",
        "f32x4.relaxed_nmadd": "a f32x4.neg b f32x4.mul c f32x4.add",
        "f64x2.relaxed_madd": "a b f64x2.mul c f64x2.add",
        "f64x2.relaxed_nmadd": "a f64x2.neg b f64x2.mul c f64x2.add",
        "i8x16.relaxed_laneselect": "a b c v128.bitselect",
        "i16x8.relaxed_laneselect": "a b c v128.bitselect",
        "i32x4.relaxed_laneselect": "a b c v128.bitselect",
        "i64x2.relaxed_laneselect": "a b c v128.bitselect",
        "f32x4.relaxed_min": "a b f32x4.min",
        "f32x4.relaxed_max": "a b f32x4.max",
        "f64x2.relaxed_min": "a b f64x2.min",
        "f64x2.relaxed_max": "a b f64x2.max",
        "i16x8.relaxed_q15mulr_s": "a b i16x8.q15mulr_sat_s",
        "i16x8.relaxed_dot_i8x16_i7x16_s": _DOT,
        "i32x4.relaxed_dot_i8x16_i7x16_add_s": f"{_DOT} i32x4.extadd_pairwise_i16x8_s c i32x4.add",
    }.items(), 0x100):
        stack: list[str] = []
        effects = ""
        for word in plain.split():
            if word in OPERANDS:
                stack.append(word)
                continue
            op = strict[word]
            first = len(stack) - len(op.params)
            parts = re.split(r"\b([abc])\b", op.meaning or "")
            # Every second part is an operand.
            parts[1::2] = [stack[first + OPERANDS.index(each)] for each in parts[1::2]]
            meaning = "".join(parts)
            stack[first:] = [meaning]
            effects = max(effects, op.effects)
        (meaning,) = stack
        params = sum(operand in plain.split() for operand in OPERANDS)
        signature = f"{' '.join(['v128'] * params)} -> v128"
        yield Op(name, (0xFD, code), (), signature, meaning, effects, plain=plain)


TABLE: tuple[Op, ...] = (
    *_STRICT,
    *_relaxed(),
)
# fmt: on

#: Kinds of instructions, for whoever wants to select some: a table of words and what belongs there.
#: An instruction may be of several kinds.
GROUPS: dict[str, str] = {
    "load": "reads memory at an address",
    "store": "writes memory at an address",
    "call": "call, call_indirect, call_ref, and the same with return_ before it",
    "branch": "br, br_if, br_table, if, return",
    "control": "everything that changes or delimits control, calls and branches included",
    "const": "constants",
    "compare": "tests and comparisons",
    "arithmetic": "what computes a number from numbers of the same type",
    "convert": "what makes a number of one type from one of another",
    "local": "local.get, .set, .tee",
    "global": "global.get, .set",
    "table": "tables and their segments",
    "memory": "memory.size, .grow, .init, .copy, .fill, data.drop",
    "reference": "ref.…, i31.…, conversions of references",
    "aggregate": "structures and arrays",
    "parametric": "drop and select",
    "vector": "what computes with vectors, or a vector from a number",
}
_BY_PREFIX = {
    "local": "local",
    "global": "global",
    "table": "table",
    "elem": "table",
    "memory": "memory",
    "atomic": "memory",
    "data": "memory",
    "ref": "reference",
    "i31": "reference",
    "any": "reference",
    "extern": "reference",
    "struct": "aggregate",
    "array": "aggregate",
}


@cache
def groups_of(op: Op) -> frozenset[str]:
    """The groups that an instruction belongs to."""
    prefix, _, verb = op.mnemonic.partition(".")
    if op.width:
        return frozenset(("store" if op.writes else "load",))
    if prefix in _BY_PREFIX and verb:
        return frozenset((_BY_PREFIX[prefix],))
    if op.mnemonic in ("drop", "select"):
        return frozenset(("parametric",))
    if not verb or op.throws:
        kinds = {"control"}
        if op.calls:
            kinds.add("call")
        if op.branches:
            kinds.add("branch")
        return frozenset(kinds)
    if verb == "const":
        return frozenset(("const",))
    if op.high == 1 and V128 not in op.params:
        return frozenset(("compare",))
    if V128 in (*op.params, *op.results):
        return frozenset(("vector",))
    # Of one operand of another type: what the signature says first and last.
    return frozenset(("convert" if op.params[0] != op.results[0] else "arithmetic",))


@cache
def canonical(op: Op) -> Op:
    """``op`` as it is where every arithmetic NaN is the canonical one, the positive (the standard's
    deterministic profile): the same row with another meaning, or itself."""
    if "n" not in op.effects:
        return op
    shape = op.name.partition(".")[0] if V128 in op.results else "float"
    return replace(op, meaning=f"{shape}_canonical({op.meaning})")


BY_CODE: dict[tuple[int, ...], Op] = {op.code: op for op in TABLE}
BY_NAME: dict[str, Op] = {op.name: op for op in TABLE}
