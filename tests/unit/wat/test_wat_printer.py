"""Printed modules: readable, and the same module again when parsed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa.binary import decode, encode
from chiwawa.module import (
    BrTable,
    Cast,
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
from chiwawa.opcodes import BY_NAME, TABLE, Op
from chiwawa.wat import format_instr, parse_module, print_module
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
)

END = Instr(BY_NAME["end"], (), 0)
ELSE = Instr(BY_NAME["else"], (), 0)

index = st.integers(0, 3) | st.integers(0, (1 << 32) - 1)
valtypes = st.sampled_from([I32, I64, F32, F64, V128, FUNCREF, EXTERNREF])
reftypes = st.sampled_from([FUNCREF, EXTERNREF])
heaps = st.sampled_from(["any", "i31", "struct", "none", "extern"]) | index
any_references = st.builds(RefType, heaps, st.booleans())
IMMEDIATES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        ["localidx", "globalidx", "funcidx", "tableidx", "typeidx", "memidx", "elemidx", "tagidx"],
        index,
    ),
    "dataidx": index,
    "labelidx": index,
    "memarg": st.builds(MemArg, st.integers(0, 6), index, st.just(0)),
    "labels": st.builds(BrTable, st.lists(index, max_size=4).map(tuple), index),
    "i32": st.integers(0, (1 << 32) - 1),
    "i64": st.integers(0, (1 << 64) - 1),
    "f32": st.integers(0, (1 << 32) - 1),
    "f64": st.integers(0, (1 << 64) - 1),
    "v128": st.binary(min_size=16, max_size=16),
    "laneidx": st.integers(0, 255),
    "lanes": st.binary(min_size=16, max_size=16),
    "reftype": reftypes,
    "fieldidx": index,
    "heaptype": heaps,
    "cast": st.builds(Cast, index, any_references, any_references),
    "count": index,
    "ordering": st.just(0),
    "valtypes": st.lists(valtypes, max_size=3).map(tuple),
}
blocktypes = st.none() | valtypes | st.integers(0, 1)
plain_ops = [op for op in TABLE if not op.opens and not op.delimits]


def instrs(op: Op) -> st.SearchStrategy[Expr]:
    return st.tuples(*(IMMEDIATES[kind] for kind in op.immediates)).map(
        lambda imm: [Instr(op, imm, 0)]
    )


def blocks(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    def block(name: str, blocktype: Any, body: Expr, other: Expr | None) -> Expr:
        arms = body if other is None or name != "if" else [*body, ELSE, *other]
        return [Instr(BY_NAME[name], (blocktype,), 0), *arms, END]

    sequences = st.lists(inner, max_size=4).map(lambda parts: [i for part in parts for i in part])
    names = st.sampled_from(["block", "loop", "if"])
    return st.builds(block, names, blocktypes, sequences, st.none() | sequences)


exprs = st.lists(
    st.recursive(st.sampled_from(plain_ops).flatmap(instrs), blocks, max_leaves=12), max_size=6
).map(lambda parts: [*(i for part in parts for i in part), END])
constants = st.sampled_from(
    ["i32.const", "f64.const", "global.get", "ref.func", "ref.null"]
).flatmap(lambda name: instrs(BY_NAME[name]).map(lambda instr: [*instr, END]))
limits = st.builds(Limits, index, st.none() | index)
identifiers = st.text(max_size=6) | st.sampled_from(["a", "b", "$", "a b"])
name_maps = st.dictionaries(st.integers(0, 3), identifiers, max_size=4)
modules = st.builds(
    Module,
    types=st.lists(
        st.builds(
            FuncType,
            st.lists(valtypes, max_size=3).map(tuple),
            st.lists(valtypes, max_size=3).map(tuple),
        ),
        min_size=2,
        max_size=4,
    ),
    import_section=st.lists(
        st.builds(
            Import,
            st.text(max_size=5),
            st.text(max_size=5),
            st.builds(TypeUse, st.integers(0, 1))
            | st.builds(TableType, limits, reftypes)
            | st.builds(MemoryType, limits)
            | st.builds(GlobalType, valtypes, st.booleans()),
        ),
        max_size=3,
    ),
    funcs=st.lists(
        st.builds(Func, st.integers(0, 1), st.lists(valtypes, max_size=4).map(tuple), exprs),
        max_size=2,
    ),
    tables=st.lists(st.builds(TableType, limits, reftypes), max_size=2),
    mems=st.lists(st.builds(MemoryType, limits), max_size=2),
    globals=st.lists(
        st.builds(Global, st.builds(GlobalType, valtypes, st.booleans()), constants), max_size=2
    ),
    export_section=st.lists(
        st.builds(
            Export,
            st.text(max_size=5),
            st.sampled_from(["func", "table", "memory", "global"]),
            index,
        ),
        max_size=2,
    ),
    start=st.none() | index,
    elems=st.lists(
        st.builds(
            Elem,
            reftypes,
            st.lists(constants, max_size=3),
            st.sampled_from(["passive", "declarative"]),
        )
        | st.builds(Elem, reftypes, st.lists(constants), st.just("active"), index, constants),
        max_size=2,
    ),
    datas=st.lists(
        st.builds(Data, st.binary(max_size=100), st.just("passive"))
        | st.builds(Data, st.binary(), st.just("active"), index, constants),
        max_size=2,
    ),
    names=st.builds(
        Names,
        module=st.none() | identifiers,
        funcs=name_maps,
        locals=st.dictionaries(st.integers(0, 2), name_maps, max_size=2),
        labels=st.dictionaries(st.integers(0, 2), name_maps, max_size=2),
        types=name_maps,
        tables=name_maps,
        mems=name_maps,
        globals=name_maps,
        elems=name_maps,
        datas=name_maps,
    ),
)


def bare(module: Module) -> bytes:
    """The binary without names, which the text format may not be able to say."""
    names, module.names = module.names, Names()
    data = encode(module)
    module.names = names
    return data


@given(modules)
def test_a_printed_module_parses_to_the_same_binary(module: Module) -> None:
    text = print_module(module)
    again = parse_module(text)
    assert bare(again) == bare(module)
    assert print_module(again) == text


@pytest.mark.parametrize("op", [op for op in TABLE if op in plain_ops], ids=lambda op: op.name)
def test_every_instruction_prints_as_one_line_that_parses(op: Op) -> None:
    values: dict[str, object] = {
        "memarg": MemArg(1, 5),
        "labels": BrTable((1, 0), 2),
        "reftype": FUNCREF,
        "valtypes": (I64,),
        "v128": bytes(range(16)),
        "lanes": bytes(range(16)),
        "cast": Cast(1, RefType("any"), RefType("i31", False)),
        "ordering": 0,
    }
    instr = Instr(op, tuple(values.get(kind, 1) for kind in op.immediates), 0)
    text = format_instr(Module(), instr)
    assert "\n" not in text
    module = parse_module(f"(type (func)) (type (func)) (func {text})")
    assert module.funcs[0].body == [instr, END]


def test_names_are_identifiers_where_they_can_be_and_annotations_elsewhere() -> None:
    names = Names(
        module="demo",
        funcs={0: "main", 1: "main", 2: "has space"},
        locals={0: {0: "n", 1: "n"}},
        labels={0: {0: "out", 1: "out"}},
    )
    body = (
        parse_module(
            "(func (param i32 i32) block block br 0 br 1 br 2 end end call 1 call 0 local.get 1 "
            "local.get 0)"
        )
        .funcs[0]
        .body
    )
    module = Module(types=[FuncType((I32, I32), ())], funcs=[Func(0, (), body)] * 3, names=names)
    text = print_module(module)
    assert text.startswith(
        """(module $demo
  (type (;0;) (func (param i32 i32)))
  (func $main (;0;) (type 0) (param $n i32) (param (@name "n") i32)
    block $out
      block $out
        br $out
        br 1
        br 2
      end
    end
    call 1
    call $main
    local.get 1
    local.get $n)
  (func (@name "main") (;1;) (type 0) (param i32 i32)
"""
    )
    assert '(func (@name "has space") (;2;)' in text
    assert parse_module(text).names == names
    assert format_instr(module, body[10], 0) == "local.get $n"
    assert format_instr(module, body[10]) == "local.get 0"


def test_a_constant_expression_that_is_none_is_printed_all_the_same() -> None:
    """It is decoded, and printing does not judge."""
    module = parse_module("(module (global i32 (local.get 0)) (global i32 (call 7)))")
    text = print_module(module)
    assert "(local.get 0)" in text
    assert encode(parse_module(text)) == encode(module)


def test_a_text_module_reads_the_same_after_a_round_trip_through_binary() -> None:
    text = """(module $m
  (type $t (;0;) (func (param i32) (result f32)))
  (import "env" "f" (func $f (;0;) (type $t) (param i32) (result f32)))
  (func $g (;1;) (type $t) (param $x i32) (result f32)
    (local $y i64) (local f32 f32)
    block $l (result i32)
      i32.const -1
      br_if $l
      i64.const -9223372036854775808
      i32.wrap_i64
    end
    call $f
    f32.const nan:0x200000
    f32.add
    f32.const 0.1
    f32.min)
  (table $tab (;0;) 1 funcref)
  (memory (;0;) 1 2)
  (global $glob (;0;) (mut f64) (f64.const -inf))
  (export "g\\"" (func $g))
  (start $g)
  (elem $e (;0;) (i32.const 0) func $g)
  (elem (;1;) funcref (ref.null func) (ref.func $f))
  (data $d (;0;) (i32.const 16) "\\00a\\ff\\22")
  (data (;1;) "passive"))
"""
    assert print_module(decode(encode(parse_module(text)))) == text
