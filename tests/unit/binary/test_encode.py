"""Encoding: what was decoded is written back, in the fewest bytes."""

from dataclasses import replace
from pathlib import Path

import pytest

from chiwawa.binary import decode, encode
from chiwawa.module import (
    BrTable,
    Cast,
    Catch,
    Custom,
    Data,
    Elem,
    Export,
    Expr,
    Func,
    Global,
    Import,
    Instr,
    MemArg,
    Module,
    Names,
    TypeUse,
)
from chiwawa.opcodes import BY_NAME, TABLE
from chiwawa_runtime.state.types import (
    EXTERNREF,
    FUNCREF,
    I32,
    I64,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
)

SAMPLES = sorted((Path(__file__).parents[3] / "samples").glob("*.wasm"))

#: An immediate of each kind, long enough to need more than a byte.
IMMEDIATES: dict[str, object] = {
    "localidx": 300,
    "globalidx": 300,
    "funcidx": 300,
    "tableidx": 300,
    "typeidx": 300,
    "memidx": 300,
    "elemidx": 300,
    "dataidx": 300,
    "tagidx": 300,
    "catches": (Catch(300, False, 300), Catch(0, True, 0), Catch(None, False, 1)),
    "labelidx": 300,
    "fieldidx": 300,
    "heaptype": 300,
    "cast": Cast(300, RefType("any"), RefType(300, False)),
    "count": 300,
    "ordering": 0,
    "memarg": MemArg(2, 2**40, 5),
    "blocktype": 300,
    "labels": BrTable((0, 300), 7),
    "i32": 2**31,
    "i64": 2**63 + 5,
    "f32": 0x7FA00001,
    "f64": 0x7FF4000000000001,
    "v128": bytes(range(16)),
    "laneidx": 255,
    "lanes": bytes(range(16, 32)),
    "reftype": EXTERNREF,
    "valtypes": (I64, FUNCREF),
}


def expr(*instructions: tuple[object, ...]) -> Expr:
    """Instructions, each a name and its immediates, with an ``end``; code offsets do not matter."""
    body = [Instr(BY_NAME[str(name)], tuple(imm), 0) for name, *imm in instructions]
    return [*body, Instr(BY_NAME["end"], (), 0)]


def without_offsets(module: Module) -> Module:
    """``module`` without what depends on how its integers were written."""

    def bare(body: Expr) -> Expr:
        return [instr._replace(offset=0) for instr in body]

    return replace(
        module,
        funcs=[Func(f.typeidx, f.locals, bare(f.body)) for f in module.funcs],
        globals=[replace(g, init=bare(g.init)) for g in module.globals],
        elems=[
            replace(e, offset=bare(e.offset), init=[bare(i) for i in e.init]) for e in module.elems
        ],
        datas=[replace(d, offset=bare(d.offset), at=None) for d in module.datas],
        binary=b"",
    )


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_the_same_module_when_written_and_read_again(path: Path) -> None:
    module = decode(path.read_bytes())
    written = encode(module)
    again = decode(written)
    assert without_offsets(again) == without_offsets(module)
    assert again.binary == written
    assert encode(again) == written


def test_every_instruction_is_written_and_read_back() -> None:
    body: Expr = []
    for op in TABLE:
        if not op.delimits:
            body.append(Instr(op, tuple(IMMEDIATES[kind] for kind in op.immediates), 0))
        if op.opens:
            if op.catches_in_arms:
                body.append(Instr(BY_NAME["catch"], (300,), 0))
                body.append(Instr(BY_NAME["catch_all"], (), 0))
            if op.name == "if":
                body.append(Instr(BY_NAME["else"], (), 0))
            body.append(Instr(BY_NAME["end"], (), 0))
    body.append(Instr(BY_NAME["end"], (), 0))
    module = Module(types=[FuncType((), ())], funcs=[Func(0, (), body)])
    again = decode(encode(module))
    assert again.data_count == 0
    assert without_offsets(again).funcs == module.funcs


def test_every_part_is_written_and_read_back() -> None:
    zero = expr(("i32.const", 0))
    module = Module(
        types=[FuncType((I32,), ()), FuncType((), (I64, EXTERNREF))],
        import_section=[
            Import("é", "f", TypeUse(1)),
            Import("m", "t", TableType(Limits(1, 2), EXTERNREF)),
            Import("m", "m", MemoryType(Limits(3))),
            Import("m", "g", GlobalType(I64, True)),
        ],
        funcs=[Func(0, (I32, I32, I64, I32), expr(("drop",)))],
        tables=[TableType(Limits(5), FUNCREF)],
        mems=[MemoryType(Limits(0, 65536))],
        globals=[Global(GlobalType(I32, False), zero)],
        export_section=[
            Export("", kind, i) for i, kind in enumerate(("func", "table", "memory", "global"))
        ],
        start=200,
        elems=[
            Elem(FUNCREF, [expr(("ref.func", 1))], "active", 0, zero),
            Elem(FUNCREF, [expr(("ref.func", 1))], "active", 1, zero),
            Elem(FUNCREF, [expr(("ref.func", 1))], "passive"),
            Elem(FUNCREF, [expr(("ref.func", 200))], "declarative"),
            Elem(FUNCREF, [expr(("ref.null", FUNCREF))], "active", 0, zero),
            Elem(EXTERNREF, [expr(("ref.null", EXTERNREF))], "active", 0, zero),
            Elem(EXTERNREF, [], "passive"),
            Elem(EXTERNREF, [expr(("global.get", 3))], "declarative"),
        ],
        datas=[
            Data(b"a", "active", 0, zero),
            Data(b"", "active", 1, zero),
            Data(b"xyz", "passive"),
        ],
        data_count=3,
        customs=[Custom("first", b"1", 0), Custom("mid", b"2", 3), Custom("last", b"3", 11)],
    )
    assert without_offsets(decode(encode(module))) == module


def test_integers_take_their_fewest_bytes() -> None:
    padded = bytes.fromhex("0061736d01000000 05 84 80 00 01 00 81 00")
    assert encode(decode(padded)) == bytes.fromhex("0061736d01000000 05 03 01 00 01")


def test_names_are_written_unless_there_is_a_section_of_them() -> None:
    names = Names(
        module="m",
        funcs={0: "f", 7: "g"},
        locals={0: {1: "x"}, 3: {0: "y"}},
        labels={0: {2: "l"}},
        types={0: "t"},
        tables={0: "tab"},
        mems={0: "mem"},
        globals={0: "glob"},
        elems={0: "e"},
        datas={0: "d"},
    )
    written = encode(Module(names=names))
    again = decode(written)
    assert again.names == names
    assert [custom.name for custom in again.customs] == ["name"]
    assert encode(again) == written
    assert encode(Module()) == bytes.fromhex("0061736d01000000")


def test_a_data_count_section_is_written_where_an_instruction_needs_it() -> None:
    module = Module(
        types=[FuncType((), ())],
        funcs=[Func(0, (), expr(("data.drop", 0)))],
        datas=[Data(b"a", "passive")],
    )
    assert decode(encode(module)).data_count == 1
