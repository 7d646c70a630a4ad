"""Text modules: what each form and abbreviation means."""

import re

import pytest

from chiwawa.module import BrTable, Data, Export, Import, MemArg, Module, TypeUse
from chiwawa.wat import parse_module, parse_source
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F64,
    FUNCREF,
    I32,
    I64,
    REF_FUNC,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)


def code(module: Module, function: int = 0) -> list[tuple[object, ...]]:
    return [(instr.op.name, *instr.imm) for instr in module.funcs[function].body]


def body(text: str) -> list[tuple[object, ...]]:
    """The code of a function with two i32 locals, without its final end."""
    whole = code(parse_module(f"(func (local $x i32) (local $y i32) {text})"))
    assert whole[-1] == ("end",)
    return whole[:-1]


@pytest.mark.parametrize(
    ("folded", "flat"),
    [
        ("(i32.add (local.get $x) (i32.const -1))", "local.get 0 i32.const 0xffff_ffff i32.add"),
        (
            "(block $l (result i32) (br $l (i32.const 1)))",
            "block (result i32) i32.const 1 br 0 end",
        ),
        ("(loop (nop) nop)", "loop nop nop end"),
        ("(if (i32.const 1) (then nop) (else drop))", "i32.const 1 if nop else drop end"),
        ("(if $l (local.get 0) (then (br $l)))", "local.get 0 if $l br $l end $l"),
        ("(if (i32.eqz (i32.const 1)) (then) (else))", "i32.const 1 i32.eqz if else end"),
        ("(select (result i32) (i32.const 1))", "i32.const 1 select (result i32)"),
        ("(br_table 0 1 2 (i32.const 1))", "i32.const 1 br_table 0 1 2"),
        ("(block (if (i32.const 0) (then (block))))", "block i32.const 0 if block end end end"),
    ],
)
def test_folded_and_flat_instructions_are_the_same(folded: str, flat: str) -> None:
    assert body(folded) == body(flat)


def test_immediates_are_read_by_the_table() -> None:
    assert body("i32.load8_u") == [("i32.load8_u", MemArg(0, 0))]
    assert body("i64.load offset=0x10 align=4") == [("i64.load", MemArg(2, 16))]
    assert body("f64.store align=8") == [("f64.store", MemArg(3, 0))]
    assert body("br_table 3 2 1") == [("br_table", BrTable((3, 2), 1))]
    assert body("ref.null extern") == [("ref.null", EXTERNREF)]
    assert body("f32.const nan:0x1") == [("f32.const", 0x7F800001)]
    assert body("f64.const -1") == [("f64.const", 0xBFF0000000000000)]
    assert body("memory.copy memory.fill memory.size") == [
        ("memory.copy", 0, 0),
        ("memory.fill", 0),
        ("memory.size", 0),
    ]


def test_the_text_format_names_the_destination_first() -> None:
    module = parse_module(
        """(module (table $a 1 funcref) (table $b 1 funcref) (elem $e func) (data $d "")
          (func table.init $b $e table.init $e table.copy $b $a table.copy table.get $b
                table.size memory.init $d call_indirect $b (param i32)))"""
    )
    assert code(module)[:-1] == [
        ("table.init", 0, 1),
        ("table.init", 0, 0),
        ("table.copy", 1, 0),
        ("table.copy", 0, 0),
        ("table.get", 1),
        ("table.size", 0),
        ("memory.init", 0, 0),
        ("call_indirect", 1, 1),
    ]


def test_blocks_take_types_without_an_index_where_they_can() -> None:
    module = parse_module(
        """(type $t (func)) (func
           block (type $t) end
           block end
           block (result i64) end
           block (param i32) (result i32) end
           block (result i32 i32) end)"""
    )
    assert [imm[0] for op, *imm in code(module) if op == "block"] == [0, None, I64, 1, 2]


def test_types_written_inline_are_found_or_added_in_order() -> None:
    module = parse_module(
        """(func (result f64) (f64.const 0))
           (func (param i32) (call_indirect (param i64)))
           (func (type $t) (param i32))
           (func (type $t) (local $x i64) (drop (local.get $x)))
           (type $t (func (param i32)))"""
    )
    assert module.types == [FuncType((I32,), ()), FuncType((), (F64,)), FuncType((I64,), ())]
    assert [func.typeidx for func in module.funcs] == [1, 0, 0, 0]
    assert code(module, 3)[0] == ("local.get", 1)


def test_inline_imports_and_exports() -> None:
    module = parse_module(
        """(func $f (export "a") (export "b") (import "m" "f") (param i32))
           (memory (import "m" "m") 1 2)
           (table $t (export "t") 1 funcref)
           (global $g (export "g") (mut i64) (i64.const 1))
           (export "late" (func $f))"""
    )
    assert module.import_section == [
        Import("m", "f", TypeUse(0)),
        Import("m", "m", MemoryType(Limits(1, 2))),
    ]
    assert module.export_section == [
        Export("a", "func", 0),
        Export("b", "func", 0),
        Export("t", "table", 0),
        Export("g", "global", 0),
        Export("late", "func", 0),
    ]
    assert module.globals[0].type == GlobalType(I64, mutable=True)


def test_inline_segments() -> None:
    module = parse_module(
        """(memory (data "a\\00" "\\u{e9}")) (data "passive")
           (table $t funcref (elem $f 0)) (table externref (elem (ref.null extern)))
           (func $f) (data (memory 0) (offset i32.const 7) "x") (data $d (i32.const 8))
           (elem (table $t) (i32.const 0) funcref (item ref.func $f) (ref.null func))
           (elem (i32.const 0) $f) (elem declare func $f) (elem externref)"""
    )
    assert module.mems == [MemoryType(Limits(1, 1))]
    assert module.datas[0] == Data(b"a\0\xc3\xa9", "active", 0, module.datas[0].offset)
    assert [(d.mode, d.init) for d in module.datas[1:]] == [
        ("passive", b"passive"),
        ("active", b"x"),
        ("active", b""),
    ]
    assert module.tables == [TableType(Limits(2, 2), FUNCREF), TableType(Limits(1, 1), EXTERNREF)]
    assert [(e.mode, e.tableidx, e.type, len(e.init)) for e in module.elems] == [
        ("active", 0, REF_FUNC, 2),
        ("active", 1, EXTERNREF, 1),
        ("active", 0, FUNCREF, 2),
        ("active", 0, REF_FUNC, 1),
        ("declarative", 0, REF_FUNC, 1),
        ("passive", 0, EXTERNREF, 0),
    ]


def test_names_are_kept() -> None:
    names = parse_module(
        """(module $m (type $t (func)) (func $f (param $p i32) (local i32) (local $l i32)
             block $a end loop end (if $b (i32.const 0) (then)))
           (memory $mem 1) (global $g i32 (i32.const 0)) (data $d "") (func $"with space"))"""
    ).names
    assert names.module == "m"
    assert names.funcs == {0: "f", 1: "with space"}
    assert names.locals == {0: {0: "p", 2: "l"}}
    assert names.labels == {0: {0: "a", 2: "b"}}
    assert (names.types, names.mems, names.globals, names.datas) == (
        {0: "t"},
        {0: "mem"},
        {0: "g"},
        {0: "d"},
    )


def test_comments_nest_and_annotations_are_skipped() -> None:
    text = '(module (; a (; b ;) ;; c ;) (@x (@y) "(" ; ,) ;; end\n (func (;;)(@"z")))'
    assert len(parse_module(text).funcs) == 1


def test_quoted_and_binary_modules() -> None:
    assert parse_source('(module $m binary "\\00asm" "\\01\\00")') == b"\0asm\1\0"
    assert len(parse_module('(module quote "(func)" "(func (nop))")').funcs) == 2


def test_nesting_is_limited_by_memory_alone() -> None:
    depth = 20_000
    module = parse_module(f"(func {'(block ' * depth}{')' * depth})")
    assert len(module.funcs[0].body) == 2 * depth + 1
    module = parse_module(f"(func (drop {'(i32.eqz ' * depth}(i32.const 0){')' * depth}))")
    assert len(module.funcs[0].body) == depth + 3
    module = parse_module(f"(func {'block ' * depth}{'end ' * depth})")
    assert len(module.funcs[0].body) == 2 * depth + 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("(type (cont 0))", "stack switching"),
        ("(func (cont.new 0))", "stack switching"),
        ("(component)", "component (component model)"),
        ("(component $c (core module))", "component (component model)"),
    ],
)
def test_later_wasm_is_named(text: str, named: str) -> None:
    with pytest.raises(UnsupportedError, match=re.escape(named)) as caught:
        parse_module(text)
    assert "not supported" in caught.value.message
