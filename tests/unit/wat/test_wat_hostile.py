"""Damaged text: an error of ours or a module, never anything else."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from chiwawa.source import load_bytes
from chiwawa.wat import parse_script
from chiwawa.wat.script import AssertRefused, Command, DefineModule
from chiwawa_runtime.errors import BadInput, MalformedError

TEXT = r"""
(module $m (; a comment ;) (@note (x "y"))
  (type $t (func (param i32 i64) (result f32)))
  (import "env" "f" (func $f (type $t)))
  (func $g (export "g") (param $x i32) (result i32) (local f64)
    (block $l (result i32)
      (if (local.get $x) (then (br $l (i32.const 0x7fff_ffff))) (else nop))
      loop $k (type 1) br_if $k end i32.const -1)
    i64.load offset=8 align=4 f32.const nan:0x7f_ffff f64.const -0x1.8p-3 drop
    (select (result i32)) (call_indirect $tab (param i32)) br_table 0 $g 1)
  (table $tab 1 2 funcref) (memory (data "a\u{1F600}\00")) (global $z (mut i32) (i32.const 1))
  (elem (table $tab) (offset (i32.const 0)) funcref (ref.func $g)) (data "\n" "b") (start $g))
(assert_return (invoke $m "g" (i32.const 1) (ref.extern 2)) (either (f32.const nan:canonical)))
(assert_trap (module quote "(func)") "unreachable") (register "m" $m) (get $m "z")
"""
PIECES = ["(", ")", '"', "$", ";;", "(;", ";)", "(@", "\\", " ", "\n", "0x", "_", "-", "\0", "é"]
WORDS = sorted(set(TEXT.replace("(", " ( ").replace(")", " ) ").split()))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    text = TEXT
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        piece = draw(st.sampled_from(["", *PIECES, *WORDS]) | st.text(max_size=3))
        text = text[:start] + piece + text[end:]
    return text


@settings(max_examples=300)
@given(damaged())
def test_a_damaged_module_is_refused_or_read(text: str) -> None:
    module = text[: text.find("(assert_return")]
    with suppress(BadInput):
        load_bytes(module.encode("utf-8", "surrogatepass"))


@settings(max_examples=300)
@given(damaged())
def test_a_damaged_script_is_refused_or_read(text: str) -> None:
    commands: list[Command] = []
    with suppress(MalformedError):
        commands = parse_script(text)
    for command in commands:
        if isinstance(command, DefineModule | AssertRefused):
            with suppress(BadInput):
                command.source.parse()
