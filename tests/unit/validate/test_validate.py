"""Validation: the table is covered, the suite's words are used, and the place is told."""

from pathlib import Path

import pytest

from chiwawa.binary import decode
from chiwawa.module import (
    BrTable,
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
    TypeUse,
)
from chiwawa.opcodes import BY_NAME, TABLE
from chiwawa.validate import validate
from chiwawa.validate.aggregates import AGGREGATES
from chiwawa.validate.checks import CHECKS
from chiwawa.validate.control import CONTROL
from chiwawa.validate.rules import RULES
from chiwawa_runtime.errors import InvalidError, UnsupportedError
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
    ValType,
)

SAMPLES = sorted((Path(__file__).parents[3] / "samples").glob("*.wasm"))
LOAD = ("i32.load", MemArg(2, 0))
ZERO = ("i32.const", 0)
#: Constants need no check; these kinds of immediate do.
UNCHECKED = {(), ("i32",), ("i64",), ("f32",), ("f64",), ("v128",), ("ordering",)}


def expr(*instructions: tuple[object, ...]) -> Expr:
    """Instructions, each a name and its immediates, with the last ``end``. The code offsets are
    their numbers."""
    body = [Instr(BY_NAME[str(n)], tuple(imm), i) for i, (n, *imm) in enumerate(instructions)]
    return [*body, Instr(BY_NAME["end"], (), len(body))]


def module(
    *instructions: tuple[object, ...],
    params: tuple[ValType, ...] = (),
    results: tuple[ValType, ...] = (),
    **parts: object,
) -> Module:
    """A module of one of everything, and a function of ``instructions``; ``parts`` replace."""
    made = Module(
        types=[
            FuncType(params, results),
            FuncType((), ()),
            FuncType((I32,), (I64,)),
            FuncType((I64, I64), (I64, I64)),
        ],
        import_section=[Import("m", "g", GlobalType(I32, False)), Import("m", "f", TypeUse(1))],
        funcs=[Func(0, (I64,), expr(*instructions))],
        tables=[TableType(Limits(1), FUNCREF), TableType(Limits(1), EXTERNREF)],
        mems=[MemoryType(Limits(1))],
        globals=[Global(GlobalType(I64, True), expr(("i64.const", 0)))],
        elems=[Elem(FUNCREF, [expr(("ref.func", 0))], "passive")],
        datas=[Data(b"", "passive")],
    )
    for name, value in parts.items():
        setattr(made, name, value)
    return made


def test_an_instruction_has_a_signature_or_exactly_one_rule() -> None:
    wanted = [op.name for op in TABLE if op.signature is None]
    assert sorted(RULES) == sorted(wanted)
    for rules in (CONTROL, AGGREGATES):
        assert list(rules) == [name for name in wanted if name in rules]
    shared: dict[object, list[str]] = {}
    for name in wanted:
        shared.setdefault(RULES[name], []).append(name)
    # What is different about these, their rows say.
    assert [names for names in shared.values() if len(names) > 1] == [
        ["block", "loop"],
        ["struct.get", "struct.get_s", "struct.get_u"],
        ["array.get", "array.get_s", "array.get_u"],
        ["ref.test", "ref.test null"],
        ["ref.cast", "ref.cast null"],
        ["i31.get_s", "i31.get_u"],
    ]


def test_what_an_instruction_with_a_signature_names_is_checked() -> None:
    named = {op.immediates for op in TABLE if op.signature is not None}
    assert named - UNCHECKED == set(CHECKS)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_valid(path: Path) -> None:
    validate(decode(path.read_bytes()))


@pytest.mark.parametrize(
    ("body", "results"),
    [
        ([], ()),
        ([ZERO, ZERO, ("i32.add",)], (I32,)),
        ([("unreachable",), ("i32.add",)], (I32,)),
        ([("unreachable",), ("select",)], (F64,)),
        ([("unreachable",), ("select",), ("i32.eqz",)], (I32,)),
        ([ZERO, ("br", 0), ("drop",)], (I32,)),
        ([("block", I32), ZERO, ("end",)], (I32,)),
        ([("loop", I32), ("br", 0), ("end",)], (I32,)),
        ([ZERO, ("if", I32), ZERO, ("else",), ZERO, ("end",)], (I32,)),
        ([ZERO, ("loop", 2), ("drop",), ("i64.const", 1), ("end",)], (I64,)),
        ([("i64.const", 1), ("i64.const", 1), ZERO, ("if", 3), ("end",)], (I64, I64)),
        ([("block", I32), ZERO, ZERO, ("br_table", BrTable((0, 1), 1)), ("end",)], (I32,)),
        ([("block", F32), ("block", I64), ("unreachable",), ("br_table", BrTable((0, 1), 0)),
          ("end",), ("drop",), ("f32.const", 0), ("end",), ("drop",)], ()),
        ([ZERO, ("local.get", 0), ("drop",), ("return",), ("drop",)], (I32,)),
        ([("call", 0)], ()),
        ([ZERO, ZERO, ("call_indirect", 2, 0)], (I64,)),
        ([("global.get", 1), ("global.set", 1)], ()),
        ([ZERO, LOAD, ("memory.grow", 0)], (I32,)),
        ([ZERO, ZERO, ZERO, ("memory.init", 0, 0), ("data.drop", 0)], ()),
        ([ZERO, ZERO, ZERO, ("memory.copy", 0, 0)], ()),
        ([ZERO, ZERO, ZERO, ("memory.fill", 0)], ()),
        ([ZERO, ZERO, ZERO, ("table.init", 0, 0), ("elem.drop", 0)], ()),
        ([ZERO, ("ref.null", EXTERNREF), ("table.set", 1)], ()),
        ([ZERO, ("table.get", 1)], (EXTERNREF,)),
        ([("ref.null", FUNCREF), ZERO, ("table.grow", 0)], (I32,)),
        ([ZERO, ("ref.func", 0), ZERO, ("table.fill", 0)], ()),
        ([("ref.func", 0), ("ref.is_null",)], (I32,)),
        ([("ref.func", 0), ("ref.null", FUNCREF), ZERO, ("select t*", (FUNCREF,))], (FUNCREF,)),
    ],
)  # fmt: skip
def test_valid_code_is_accepted(
    body: list[tuple[object, ...]], results: tuple[ValType, ...]
) -> None:
    validate(module(*body, results=results))


def test_equal_types_need_not_be_identical() -> None:
    validate(module(("ref.null", RefType("func")), results=(RefType("func"),)))
    validate(module(("ref.null", RefType("func")), ("drop",), ZERO, ("table.get", 0),
                    results=(RefType("func"),)))  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message", "offset"),
    [
        ([("i32.eqz",)], "type mismatch", 0),
        ([("i64.const", 0), ("i32.eqz",)], "type mismatch", 1),
        ([ZERO], "type mismatch", 1),
        ([("block", I32), ("end",)], "type mismatch", 1),
        ([ZERO, ("block", None), ("drop",), ("end",)], "type mismatch", 2),
        ([ZERO, ("if", I32), ZERO, ("end",), ("drop",)], "type mismatch", 3),
        ([ZERO, ("if", I32), ZERO, ("else",), ("end",)], "type mismatch", 4),
        ([("unreachable",), ("i32.add",), ("i64.eqz",)], "type mismatch", 2),
        ([("br", 1)], "unknown label", 0),
        ([ZERO, ("br_if", 1)], "unknown label", 1),
        ([ZERO, ("br_table", BrTable((1,), 0))], "unknown label", 1),
        ([ZERO, ("br_table", BrTable((0,), 1))], "unknown label", 1),
        ([("block", I32), ZERO, ZERO, ("br_table", BrTable((1,), 0)), ("end",), ("drop",)],
         "type mismatch", 3),
        ([("block", 9), ("end",)], "unknown type", 0),
        ([("call", 2)], "unknown function 2", 0),
        ([ZERO, ("call_indirect", 9, 0)], "unknown type", 1),
        ([ZERO, ("call_indirect", 1, 2)], "unknown table", 1),
        ([ZERO, ("call_indirect", 1, 1)], "type mismatch", 1),
        ([("drop",)], "type mismatch", 0),
        ([("ref.null", FUNCREF), ("ref.null", FUNCREF), ZERO, ("select",)], "type mismatch", 3),
        ([ZERO, ("i64.const", 0), ZERO, ("select",)], "type mismatch", 3),
        ([ZERO, ZERO, ZERO, ("select t*", ())], "invalid result arity", 3),
        ([ZERO, ZERO, ZERO, ("select t*", (I32, I32))], "invalid result arity", 3),
        ([("local.get", 1)], "unknown local", 0),
        ([ZERO, ("local.set", 0)], "type mismatch", 1),
        ([("global.get", 2)], "unknown global", 0),
        ([ZERO, ("global.set", 0)], "immutable global", 1),
        ([ZERO, ("table.get", 2)], "unknown table 2", 1),
        ([ZERO, ("ref.func", 0), ("table.set", 1)], "type mismatch", 2),
        ([ZERO, ("i32.load", MemArg(3, 0))], "alignment must not be larger than natural", 1),
        ([ZERO, ("i32.load", MemArg(0, 2**32))], "offset out of range", 1),
        ([ZERO, ("i32.load", MemArg(0, 0, 1))], "unknown memory 1", 1),
        ([("memory.size", 1)], "unknown memory 1", 0),
        ([ZERO, ZERO, ZERO, ("memory.init", 1, 0)], "unknown data segment 1", 3),
        ([("data.drop", 1)], "unknown data segment 1", 0),
        ([("elem.drop", 1)], "unknown elem segment 1", 0),
        ([ZERO, ZERO, ZERO, ("table.init", 0, 1)], "type mismatch", 3),
        ([ZERO, ZERO, ZERO, ("table.copy", 0, 1)], "type mismatch", 3),
        ([ZERO, ("ref.is_null",)], "type mismatch", 1),
        ([("ref.func", 1), ("drop",)], "undeclared function reference", 0),
        ([("ref.func", 2), ("drop",)], "unknown function 2", 0),
    ],
)  # fmt: skip
def test_invalid_code_is_refused_where_it_is(
    body: list[tuple[object, ...]], message: str, offset: int
) -> None:
    with pytest.raises(InvalidError) as caught:
        validate(module(*body))
    assert caught.value.message.startswith(message)
    assert (caught.value.function, caught.value.offset) == (1, offset)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"funcs": [Func(9, (), expr())]}, "unknown type"),
        ({"mems": [MemoryType(Limits(65537))]}, "memory size must be at most 65536 pages (4GiB)"),
        ({"mems": [MemoryType(Limits(2, 1))]}, "size minimum must not be greater than maximum"),
        ({"tables": [TableType(Limits(2**32), FUNCREF)]}, "table size"),
        ({"tables": [TableType(Limits(2, 1), FUNCREF)]}, "size minimum must not be greater"),
        ({"export_section": [Export("a", "func", 2)]}, "unknown function"),
        ({"export_section": [Export("a", "memory", 1)]}, "unknown memory"),
        ({"export_section": [Export("a", "table", 2)]}, "unknown table"),
        ({"export_section": [Export("a", "global", 2)]}, "unknown global"),
        (
            {"export_section": [Export("a", "func", 0), Export("a", "memory", 0)]},
            "duplicate export name",
        ),
        ({"start": 2}, "unknown function 2"),
        ({"start": 0, "import_section": [Import("m", "f", TypeUse(2))]}, "start function"),
        ({"globals": [Global(GlobalType(I32, False), expr(("i64.const", 0)))]}, "type mismatch"),
        ({"globals": [Global(GlobalType(I32, False), expr())]}, "type mismatch"),
        (
            {"globals": [Global(GlobalType(I32, False), expr(ZERO, ("nop",)))]},
            "constant expression required",
        ),
        ({"globals": [Global(GlobalType(I32, False), expr(("global.get", 1)))]}, "unknown global"),
        ({"datas": [Data(b"", "active", 1, expr(ZERO))]}, "unknown memory 1"),
        ({"datas": [Data(b"", "active", 0, expr(("i64.const", 0)))]}, "type mismatch"),
        ({"elems": [Elem(FUNCREF, [], "active", 2, expr(ZERO))]}, "unknown table 2"),
        ({"elems": [Elem(FUNCREF, [], "active", 1, expr(ZERO))]}, "type mismatch"),
        ({"elems": [Elem(FUNCREF, [expr(ZERO)], "passive")]}, "type mismatch"),
        ({"elems": [Elem(FUNCREF, [expr(("ref.func", 7))], "passive")]}, "unknown function 7"),
    ],
)
def test_an_invalid_module_is_refused(parts: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        validate(module(**parts))
    assert caught.value.message.startswith(message)
    assert caught.value.function == (1 if "funcs" in parts else None)
    assert caught.value.field is not None
    assert f"({caught.value.field.kind}" in str(caught.value) or "funcs" in parts


def test_a_constant_expression_reads_immutable_globals_only() -> None:
    read = [Global(GlobalType(I32, False), expr(("global.get", 0)))]
    validate(module(globals=read))
    mutable = [Import("m", "g", GlobalType(I32, True))]
    with pytest.raises(InvalidError, match="constant expression required"):
        validate(module(globals=read, import_section=mutable, export_section=[], elems=[]))


def test_hostile_code_cannot_pile_up_operands() -> None:
    wide = FuncType((), (I32,) * 1000)
    many = module(*[("call", 2)] * 5000)
    many.types.append(wide)
    many.funcs.append(Func(4, (), expr(("unreachable",))))
    with pytest.raises(UnsupportedError, match="operands"):
        validate(many)
    with pytest.raises(UnsupportedError, match="parameters or results"):
        validate(Module(types=[FuncType((I32,) * 1001, ())]))


def test_deep_nesting_is_no_recursion() -> None:
    depth = 100_000
    validate(module(*[("block", None)] * depth, *[("end",)] * depth))
