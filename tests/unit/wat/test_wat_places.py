"""What does not validate in a text is shown there, instruction by instruction."""

from pathlib import Path

import pytest

from chiwawa.binary import decode, encode
from chiwawa.module import Expr, Module
from chiwawa.source import load
from chiwawa.wat import parse_module, print_module
from chiwawa_runtime.errors import BadInput, Field, InvalidError, MalformedError, UnsupportedError

INVALID = [
    # text, message, line, column
    ("(func\n (result i64)\n (i64.add (i64.const 1)\n (local.get 3)))", "unknown local 3", 4, 3),
    ("(func (i32.const 0))", "type mismatch", 1, 20),
    ("(func i32.const 0 block\nend drop drop)", "type mismatch", 2, 10),
    ("(func (block (result i32)\n(nop)))", "type mismatch", 2, 6),
    ("(func (if (i32.const 0) (then)\n(else i32.const 1)))", "type mismatch", 2, 19),
    ("(func (if (result i32) (i32.const 0) (then i32.const 1\n)) drop)", "type mismatch", 2, 2),
    ("(func\n(if\n(then)))", "type mismatch", 2, 2),
    ("(func (loop (br 0)) (br_table 0 7 (i32.const 0)))", "unknown label 7", 1, 22),
    ("(func) (func) (start 2)", "unknown function 2", 1, 15),
    ("(func (param i32))\n(start 0)", "start function", 2, 1),
    ('(func (export "a") (export "b"))\n(memory (export "c") (export "a") 1)', "duplicate", 2, 22),
    ('(import "" "" (func)) (export "a" (func 0)) (export "a" (func 0))', "duplicate", 1, 45),
    ('(export "a" (memory 0))', "unknown memory 0", 1, 1),
    ('(memory 1)\n (data (memory 1) (i32.const 0) "")', "unknown memory 1", 2, 2),
    ('(memory 1) (data "") (data (i32.const\n 0) "") (data (i64.const 0) "")', "type", 2, 27),
    ('(data (offset (nop) (i32.const 0)) "") (memory 1)', "constant expression", 1, 16),
    ("(memory 1 70000)", "memory size", 1, 1),
    ("(memory 5000000000)", "memory size", 1, 1),
    ("(table 0x1_0000_0000 funcref)", "table size", 1, 1),
    ("(memory 1)\n(func i32.const 0 i32.load8_s align=2 drop)", "alignment", 2, 19),
    ("(memory 1) (func (i32.load offset=0x1_0000_0000 (i32.const 0)))", "offset out", 1, 19),
    ("(table 3 2 funcref)", "size minimum", 1, 1),
    ("(table 1 funcref) (func) (table funcref (elem 0 3))", "unknown function 3", 1, 49),
    ("(table funcref (elem (ref.null func) (item ref.func\n7)))", "unknown function 7", 1, 44),
    ("(table 1 funcref) (elem (i32.const 0) func 0 9) (func)", "unknown function 9", 1, 46),
    ("(table 1 funcref)\n(elem (i32.const 0) funcref (ref.null extern))", "type mism", 2, 45),
    ("(table 1 funcref) (elem (f32.const 0) func)", "type mismatch", 1, 37),
    ("(elem func) (table 1 externref) (elem (table 0) (i32.const 0) func)", "type mism", 1, 33),
    ("(global i32 (i32.const 0)) (global f32 (f32.add))", "constant expression", 1, 41),
    ("(global $g (mut i32) (i32.const 0))\n(global i32\n(global.get $g))", "constant", 3, 2),
    ("(func (type 4))", "unknown type 4", 1, 1),
    ('(func (import "a" "b"))\n(import "a" "c" (func (type 4)))', "unknown type 4", 2, 1),
    ("(func $f)\n(func (drop (ref.func $f)))", "undeclared function reference", 2, 14),
    # Types are added as they come, and named before they are there.
    ("(func (type 1)) (func\n(param i64)) (func (param i32) nop)\n(func drop)", "type mis", 3, 7),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), INVALID)
def test_what_does_not_validate_is_shown_in_the_text(
    text: str, message: str, line: int, column: int
) -> None:
    for source in (text, f"(module {text})", f"(;{text[:2]};)\n{text}"):
        with pytest.raises(InvalidError) as caught:
            load(source.encode())
        error = caught.value
        assert error.message.startswith(message)
        before = source.index(text)
        expected = (
            line + source.count("\n", 0, before),
            column + (8 if source.startswith("(module") and line == 1 else 0),
        )
        assert (error.line, error.column) == expected
        assert error.excerpt == source.split("\n")[expected[0] - 1]
        assert "^" in str(error)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("(func)\n (func (param" + " i32" * 1001 + "))", UnsupportedError, "more than 1,000"),
        ("(func)\n (func (local" + " i32" * 50001 + "))", MalformedError, "too many locals"),
        ("(func)\n (func (cont.new 0))", UnsupportedError, "stack switching"),
    ],
)
def test_what_cannot_be_held_is_shown_in_the_text(
    text: str, kind: type[BadInput], message: str
) -> None:
    with pytest.raises(kind) as caught:
        load(text)
    assert message in caught.value.message
    assert caught.value.line == 2
    assert "byte" not in str(caught.value)


def test_the_place_of_a_quoted_module_is_in_the_quotation() -> None:
    with pytest.raises(InvalidError) as caught:
        load('(module\n quote "(func" "\\n i32.const 0)")')
    assert (caught.value.line, caught.value.column) == (2, 13)
    assert caught.value.excerpt == " i32.const 0)"


SAMPLES = sorted((Path(__file__).parents[3] / "samples").glob("*.w*"))


@pytest.mark.parametrize("path", [p for p in SAMPLES if p.suffix in (".wat", ".wasm")], ids=str)
def test_each_instruction_is_found_where_it_stands(path: Path) -> None:
    text = path.read_text() if path.suffix == ".wat" else print_module(load(path))
    parsed = parse_module(text)
    assert parsed.places is not None
    module = decode(encode(parsed))
    found = 0
    for kind, fields in expressions(module).items():
        for index, exprs in enumerate(fields):
            code = [instr for expr in exprs for instr in expr]
            for position, instr in enumerate(code):
                at = parsed.places.find(Field(kind, index), position)
                assert at is not None
                assert text.startswith(spelled(instr.op.mnemonic, kind), at), (kind, text[at:])
                found += 1
    assert found > 10


def expressions(module: Module) -> dict[str, list[list[Expr]]]:
    return {
        "func": [[func.body] for func in module.funcs],
        "global": [[glob.init] for glob in module.globals],
        "data": [[data.offset] for data in module.datas],
        "elem": [[elem.offset, *elem.init] for elem in module.elems],
    }


def spelled(word: str, kind: str) -> tuple[str, ...]:
    """What stands where an instruction does: itself, or a parenthesis or an index in short."""
    if word == "end":
        return ("end", ")", "$", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "(data", "(elem")
    return (word, "$", *"0123456789", "(elem") if kind == "elem" else (word, "(data")
