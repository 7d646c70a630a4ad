"""Annotations that mean something: names, custom sections, hints; to the binary and back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chiwawa.binary import decode, encode
from chiwawa.branch_hints import NAME, hints_of, read_hints
from chiwawa.module import Custom, Module
from chiwawa.source import load
from chiwawa.wat import parse_module, print_module
from chiwawa_runtime.errors import InvalidError, MalformedError
from tests.need_helpers import need

CUSTOMS = """(module
  (type $t (func))
  (@custom "one" "first")
  (@custom "two" (before global) "before globals")
  (@custom "two" (after func) "after " "functions")
  (@custom "two" (before global) "the same")
  (@custom "two" (after table) "nowhere else to be")
  (@custom "three" (before first))
  (func)
  (global $g i32 (i32.const 0))
  (@custom "four" (after last) "" "1" "" "\\00\\ff")
  (@custom ""))"""

NAMES = """(module $m (@name "Modül")
  (type $t (@name "a type") (func (param (@name "none") i32)))
  (type $s (struct (field $x (@name "a field") i32) (field (@name "another") i64)))
  (import "a" "b" (func $imported (@name "λ") (type $t)))
  (func $f (@name "λ") (param $p (@name "a parameter") i32)
    (local (@name "") f32) (local $l i64)
    (block $b (@name "a label") (br $b))
    loop (@name "the loop") end
    (if (local.get $p) (then (block $in)))
    (local.set $l (i64.const 0)))
  (table $tab (@name "tab le") 1 funcref)
  (memory (@name "mem") 1)
  (global $g (@name "g l") i32 (i32.const 0))
  (tag $theta (@name "θ") (type $t))
  (elem $e (@name "e l") func $f)
  (data (@name "da ta") "x"))"""

HINTS = """(module
  (import "a" "b" (func))
  (func)
  (func (param i32) (result i32) (local f32 f32 i64)
    (block $out
      (@metadata.code.branch_hint "\\01") (br_if $out (i64.eqz (i64.const 0x123456789abcdef)))
      local.get 0
      (@metadata.code.branch_hint "\\00")
      if nop end
      (@metadata.code.branch_hint "\\01")
      (if (if (result i32) (local.get 0)
            (then (@metadata.code.branch_hint "\\00") (br_if 1 (local.get 0)) (i32.const 2))
            (else (i32.const 3)))
        (then nop)))
    (i32.const 1)))"""


def test_custom_sections_stand_where_they_are_placed() -> None:
    module = load(CUSTOMS)
    assert module.customs == [
        Custom("three", b"", 0),
        Custom("two", b"after functions", 3),
        Custom("two", b"nowhere else to be", 3),
        Custom("two", b"before globals", 3),
        Custom("two", b"the same", 3),
        Custom("one", b"first", 10),
        Custom("four", b"1\0\xff", 10),
        Custom("", b"", 10),
        module.customs[-1],
    ]
    assert module.customs[-1].name == "name"


@pytest.mark.parametrize("text", [CUSTOMS, NAMES, HINTS], ids=["custom", "name", "hint"])
def test_what_annotations_say_is_the_same_after_a_round_trip(text: str) -> None:
    binary = load(text).binary
    printed = print_module(decode(binary))
    assert load(printed).binary == binary
    assert print_module(load(printed)) == printed


@pytest.mark.needs("wasm-tools")
@pytest.mark.parametrize("text", [CUSTOMS, HINTS], ids=["custom", "hint"])
def test_another_tool_makes_the_same_of_them(text: str, tmp_path: Path) -> None:
    out = tmp_path / "out.wasm"
    command = [need("wasm-tools"), "parse", "-o", str(out)]
    subprocess.run(command, input=text.encode(), check=True, timeout=300)
    assert load(text).binary == out.read_bytes()


def test_names_go_into_the_name_section() -> None:
    names = load(NAMES).names
    assert names.module == "Modül"
    assert names.types == {0: "a type", 1: "s"}
    assert names.fields == {1: {0: "a field", 1: "another"}}
    assert names.funcs == {0: "λ", 1: "λ"}
    assert names.locals == {1: {0: "a parameter", 1: "", 2: "l"}}
    assert names.labels == {1: {0: "a label", 1: "the loop", 3: "in"}}
    assert (names.tables, names.mems) == ({0: "tab le"}, {0: "mem"})
    assert (names.globals, names.tags) == ({0: "g l"}, {0: "θ"})
    assert (names.elems, names.datas) == ({0: "e l"}, {0: "da ta"})


def test_hints_go_into_their_section_before_the_code() -> None:
    module = load(HINTS)
    custom, _names = module.customs
    assert (custom.name, custom.after) == (NAME, 3)
    body = module.funcs[1].body
    found = hints_of(module)
    assert found is not None
    assert list(found) == [2]
    hinted = {body[place].op.name: likely for place, likely in found[2].items()}
    assert hinted == {"br_if": False, "if": True}
    assert list(found[2].values()) == [True, False, False, True]
    by_offset = {body[place].offset: likely for place, likely in found[2].items()}
    assert read_hints(custom.data) == {2: by_offset}


def test_hints_follow_code_that_is_written_anew() -> None:
    """The number takes five bytes where one is enough."""
    code = b"\0\x41\x81\x80\x80\x80\x00\x04\x40\x0b\x0b"
    sections = [
        b"\1\4\1\x60\0\0",
        b"\3\2\1\0",
        b"\0\x20\x19" + NAME.encode() + b"\1\0\1\7\1\1",
        b"\x0a" + bytes((len(code) + 2, 1, len(code))) + code,
    ]
    module = decode(b"\0asm\1\0\0\0" + b"".join(sections))
    assert hints_of(module) == {0: {1: True}}
    again = decode(encode(module))
    assert read_hints(again.customs[0].data) == {0: {3: True}}
    assert hints_of(again) == {0: {1: True}}


@pytest.mark.parametrize(
    "data",
    [b"", b"\1\0\1\1\1\1", b"\1\0\1\0\1\2", b"\1\5\0", b"\1\0\2\3\1\1\3\1\0", b"\0x", b"\xff"],
)
def test_a_section_that_hints_at_nothing_is_kept_as_it_is(data: bytes) -> None:
    module = parse_module("(func (if (i32.const 1) (then)))")
    module.customs.append(Custom(NAME, data, 3))
    binary = load(encode(module)).binary
    read = decode(binary)
    assert hints_of(read) is None
    assert read.customs[0].data == data
    assert load(print_module(read)).binary == binary
    # It is nobody's business.
    load(binary)


#: In the words of the proposals' tests, where these have some.
REFUSED = [
    ("(@custom)", "@custom annotation: missing section name"),
    ("(@custom 4)", "@custom annotation: missing section name"),
    ("(@custom bla)", "@custom annotation: missing section name"),
    ('(@custom "\\df")', "@custom annotation: malformed UTF-8 encoding"),
    ('(@custom "bla" here)', "@custom annotation: unexpected token"),
    ('(@custom "bla" after)', "@custom annotation: unexpected token"),
    ('(@custom "bla" (after))', "@custom annotation: malformed section kind"),
    ('(@custom "bla" (type))', "@custom annotation: malformed placement"),
    ('(@custom "bla" ())', "@custom annotation: malformed placement"),
    ('(@custom "bla" (aft type))', "@custom annotation: malformed placement"),
    ('(@custom "bla" (before type func))', "@custom annotation: malformed placement"),
    ('(@custom "bla" (before types))', "@custom annotation: malformed section kind"),
    ('(@custom "bla" (after first))', "@custom annotation: malformed section kind"),
    ('(type (@custom "bla") $t (func))', "misplaced @custom annotation"),
    ('(func (@custom "bla"))', "misplaced @custom annotation"),
    ('(func (block (@custom "bla")))', "misplaced @custom annotation"),
    ('(func (nop (@custom "bla")))', "misplaced @custom annotation"),
    ('(@custom "bla") (module)', "misplaced @custom annotation"),
    ('(module (@name "M1") (@name "M2"))', "@name annotation: multiple module names"),
    ('(module (func) (@name "M"))', "misplaced @name annotation"),
    ('(module (start $f (@name "M")) (func $f))', "misplaced @name annotation"),
    ('(func (@name "a") (@name "b"))', "@name annotation: multiple function names"),
    ("(func (@name))", "@name annotation: string expected"),
    ("(func (@name x))", "@name annotation: string expected"),
    ('(func (@name "a" "b"))', "@name annotation: unexpected token"),
    ('(func (@name "\\ff"))', "@name annotation: malformed UTF-8 encoding"),
    ('(func (param i32 (@name "a") i32))', "misplaced @name annotation"),
    ('(func (param (@name "a") i32 i32))', "unexpected token"),
    (
        '(func i32.const 1 (@metadata.code.branch_hint "\\01")'
        ' (@metadata.code.branch_hint "\\01") if end)',
        "@metadata.code.branch_hint annotation: duplicate annotation",
    ),
    (
        '(module (@metadata.code.branch_hint "\\01") (func))',
        "@metadata.code.branch_hint annotation: not in a function",
    ),
    (
        '(func i32.const 1 (@metadata.code.branch_hint "\\02") if end)',
        "@metadata.code.branch_hint annotation: invalid hint value",
    ),
    (
        "(func i32.const 1 (@metadata.code.branch_hint) if end)",
        "@metadata.code.branch_hint annotation: invalid hint value",
    ),
    (
        "(func i32.const 1 (@metadata.code.branch_hint 1) if end)",
        "@metadata.code.branch_hint annotation: unexpected token",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_malformed_or_misplaced_one_is_refused(text: str, message: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_module(text)
    assert caught.value.message == message
    assert caught.value.line == 1


@pytest.mark.parametrize(
    "code",
    ['i32.const 1 (@metadata.code.branch_hint "\\01") i32.eqz drop',
     '(param i32) (@metadata.code.branch_hint "\\01")',
     '(@metadata.code.branch_hint "\\01") (block)'],
)  # fmt: skip
def test_a_hint_at_what_is_no_branch_is_invalid(code: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_module(f"(func {code})")
    assert caught.value.message == "@metadata.code.branch_hint annotation: invalid target"
    assert (caught.value.line, caught.value.column) == (1, 7 + code.index("(@"))


def test_others_are_comments_whatever_they_hold() -> None:
    module = parse_module('(module (@a (@custom) (@name 1)) (@names "x") (func (@"custom2" (x))))')
    assert module == Module(
        types=module.types, funcs=module.funcs, names=module.names, places=module.places
    )


def test_strings_of_a_hint_are_one() -> None:
    hint = '(@metadata.code.branch_hint "" "\\01")'
    assert parse_module(f"(func i32.const 1 {hint} if end)").hints == {0: {1: True}}


def test_a_name_in_quotes_is_the_same_annotation() -> None:
    assert parse_module('(module (@"name" "M") (func))').names.module == "M"
