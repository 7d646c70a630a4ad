"""How a translation is written to a file, whatever the module and its names are."""

from __future__ import annotations

import ast
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa.aot import translate
from chiwawa.aot.file import WIDTH, literal, raw
from chiwawa.aot.options import function_names, options_for, suspendable
from chiwawa.api import bundle_of
from chiwawa.kinds import is_generated
from chiwawa.lower.lowered import Spaces
from chiwawa.module import Module
from chiwawa.program import program_of
from chiwawa.source import load_bytes
from chiwawa_runtime.engine.generated import BUILTINS
from chiwawa_runtime.engine.translation import pack, unpack

#: Names that would end a string, a comment or a line, or are no identifiers.
AWKWARD = r"""
(module $"'''\"\"\"\n\\{name}"
  (import "'''\\" "\"\"\"\n\u{2028}" (func $"a b" (param i32)))
  (func $"'''" (export "\00'\"") (param i64) (local f64 externref)
    (loop (call $"a b" (i32.const 1)) (br_if 0 (i32.wrap_i64 (local.get 0)))))
  (func $"\\" unreachable)
  (func $"--") (func $"class") (func $"dé\u{1F600}"))
"""


def module(text: str) -> Module:
    return load_bytes(text.encode())


def written(source: Module) -> str:
    out = io.StringIO()
    translate(source, out)
    return out.getvalue()


@pytest.mark.parametrize("text", [AWKWARD, "(module)", "(module (func))"])
def test_a_file_says_of_its_module_what_the_module_says(text: str) -> None:
    source = module(text)
    file = written(source)
    assert file.isascii()
    assert is_generated(file.encode())
    bundle = bundle_of(file, "file.py")
    assert bundle.program == program_of(source)
    assert bundle.module == source.binary
    for code in bundle.codes:
        assert code.function.made().__name__ == code.function.name


def test_each_number_of_functions_that_are_done_is_said_once() -> None:
    said: list[tuple[int, int]] = []
    translate(
        module("(module (func) (func) (func))"),
        io.StringIO(),
        progress=lambda done, total: said.append((done, total)),
    )
    assert said == [(0, 3), (1, 3), (2, 3), (3, 3)]


plain = st.none() | st.booleans() | st.integers() | st.text()
rows = st.lists(plain | st.tuples(plain, plain)).map(tuple)
ints = st.lists(st.integers()).map(tuple)


@given(st.dictionaries(st.text(), plain | rows | ints | st.dictionaries(st.text(), rows)))
def test_literals_are_their_own_source(value: dict[str, Any]) -> None:
    assert ast.literal_eval("".join(literal(value, 1))) == value


def test_a_row_has_a_line_and_ints_share_theirs() -> None:
    source = "".join(literal({"rows": ((1, "a"), (2, "b")), "ints": tuple(range(1000))}, 0))
    lines = source.splitlines()
    assert lines[:4] == ["{", "    'rows': (", "        (1, 'a'),", "        (2, 'b'),"]
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) < 80


@given(st.binary(max_size=2000))
def test_a_module_is_unpacked_as_it_was_packed(binary: bytes) -> None:
    packed = ast.literal_eval("".join(raw(pack(binary))))
    assert unpack(packed) == binary
    assert max(map(len, packed.splitlines())) <= WIDTH


def test_functions_that_loop_or_call_can_be_suspended() -> None:
    source = module("""
        (module (import "a" "b" (func)) (table 1 funcref)
          (func (nop))
          (func (loop))
          (func (call 0))
          (func (call_indirect (i32.const 0)))
          (func))
    """)
    spaces = Spaces.of(source)
    assert suspendable(spaces, everywhere=False) == {2, 3, 4}
    assert suspendable(spaces, everywhere=True) == {1, 2, 3, 4}
    assert options_for(source, everywhere=True).suspendable == {1, 2, 3, 4}


def test_functions_are_called_by_index_and_name_and_as_nothing_else_is() -> None:
    named = "".join(f"(func $fun{i})" for i in range(32)) + "(func $round)"
    names = function_names(module(f"(module {named})"), 33)
    assert names[3] == "f3_fun3"
    assert "f32_round" in BUILTINS
    assert names[32] == "f32_round_"
    awkward = function_names(module(AWKWARD), 6)
    assert awkward == {0: "f0_a_b", 1: "f1", 2: "f2", 3: "f3", 4: "f4_class", 5: "f5_d"}
