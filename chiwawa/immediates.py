"""The kinds of immediates, one row each: what a meaning calls what one of that kind names, and
where an index leads. Values that an immediate has are in ``chiwawa.module.Instr``.

Both formats read and write every index by its row. What is no index has a reader and a writer in
each of them, and each path says how it has what the immediate names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A row.

    - ``meant``: the names in a meaning (see ``chiwawa.opcodes``) for the first immediate of the
      kind that an instruction has, for the second, and so on.
    - ``space``: the text format's word for the index space, where it is an index.
    - ``optional``: whether the text format may leave it out, to mean 0.
    - ``things``: the attribute of an ``Instance`` that has what the index leads to.
    - ``variable``: what generated code calls it, with the index behind.
    - ``names``: the attribute of ``chiwawa.module.Names`` that has its names.
    """

    name: str
    meant: tuple[tuple[str, ...], ...] = ()
    space: str = ""
    optional: bool = False
    things: str = ""
    variable: str = ""
    names: str = ""


# fmt: off
_ROWS = (
    Kind("localidx", space="local"),
    Kind("labelidx", space="label"),
    Kind("typeidx", (("type",), ("type2",)), "type", False, "types", "type", "types"),
    Kind("fieldidx", (("field",),), "field"),
    Kind("heaptype", (("heap",),)),
    Kind("cast"),
    Kind("count"),
    Kind("funcidx", (("func",),), "func", False, "functions", "ref", "funcs"),
    Kind("tableidx", (("table",), ("table2",)), "table", True, "tables", "table", "tables"),
    Kind("memidx", (("mem",), ("mem2",)), "memory", True, "memories", "mem", "mems"),
    Kind("globalidx", (("glob",),), "global", False, "globals", "g", "globals"),
    Kind("tagidx", (), "tag", False, "tags", "tag", "tags"),
    Kind("elemidx", (("elem",),), "elem", False, "elems", "elem", "elems"),
    Kind("dataidx", (("data",),), "data", False, "datas", "data", "datas"),
    Kind("memarg", (("memory", "offset", "mem"),)),
    Kind("ordering"),
    Kind("i32", (("value",),)),
    Kind("i64", (("value",),)),
    Kind("f32", (("value",),)),
    Kind("f64", (("value",),)),
    Kind("v128", (("value",),)),
    Kind("laneidx", (("lane",),)),
    Kind("lanes", (("lanes",),)),
    Kind("blocktype"),
    Kind("labels"),
    Kind("catches"),
    Kind("reftype"),
    Kind("valtypes"),
)
# fmt: on

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ROWS}
#: Every name in a meaning that stands for what an immediate names.
MEANT = frozenset(name for kind in _ROWS for names in kind.meant for name in names)
#: The kinds that are an index into a space of the module's.
INDICES = tuple(kind for kind in _ROWS if kind.names)


def meant_by(immediates: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """For each of the immediates of an instruction, what a meaning calls what it names."""
    for place, kind in enumerate(immediates):
        meant = KINDS[kind].meant
        yield meant[immediates[:place].count(kind)] if meant else ()


def text_order(immediates: Sequence[str]) -> list[int]:
    """The places of indices in the order of the text format. The binary has the source first where
    text has the memory or table first (``table.init $table $elem``)."""
    order = [*range(len(immediates))]
    if KINDS[immediates[-1]].optional and not KINDS[immediates[0]].optional:
        order.reverse()
    return order
