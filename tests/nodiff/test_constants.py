"""Extended constant expressions: arithmetic, and globals that are made of others."""

from __future__ import annotations

import pytest

import chiwawa
from chiwawa import api
from chiwawa.source import load
from chiwawa_runtime.errors import InvalidError, Trap
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.types import I32, GlobalType
from tests.nodiff.harness_helpers import Call, Log, check
from tests.path_helpers import IN_PYTHON, PATHS

#: Globals made of an import and of each other; segments placed by them; elements that are globals.
CHAIN = """
(import "env" "base" (global $base i32))
(global $first i32 (i32.add (global.get $base) (i32.const 3)))
(global $second i32 (i32.mul (global.get $first) (i32.sub (global.get $first) (i32.const 1))))
(global $wide i64 (i64.mul (i64.const -3) (i64.sub (i64.const 5) (i64.const 7))))
(global $wider (mut i64) (i64.add (global.get $wide) (global.get $wide)))
(global $itself funcref (ref.func $f))
(global $again funcref (global.get $itself))
(memory 1)
(table 50 funcref)
(data (i32.add (global.get $first) (global.get $base)) "\\2a")
(elem (i32.sub (global.get $second) (global.get $first)) funcref (global.get $again))
(func $f (export "f") (result i32 i64 i32 i32)
  (global.set $wider (i64.add (global.get $wider) (i64.const 1)))
  (global.get $second) (global.get $wider) (i32.load8_u (i32.const 7))
  (ref.is_null (table.get (i32.const 15))))
"""


def base(value: int) -> api.Imports:
    source = f'(module (global (export "base") i32 (i32.const {value})))'
    return {"env": api.instantiate(load(source)).exports}


def test_globals_made_of_each_other_are_the_same_on_all_paths() -> None:
    def imports(log: Log) -> api.Imports:
        return base(2)

    ending = check(Call(load(CHAIN), "f", (), imports))
    values = [value for value, _ in ending.detail]
    assert values == [20, 13, 42, 0]


#: Places that are unsigned, as whatever a program holds is.
FAR = """
(import "env" "base" (global $base i32))
(global $far i32 (global.get $base))
(global (export "found") i32 (global.get $far))
"""


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ('(memory 1) (data (global.get $far) "abcde")', "out of bounds memory access"),
        ("(table 5 funcref) (elem (global.get $far) func $f) (func $f)", "out of bounds table"),
    ],
)
@pytest.mark.parametrize("given", [-5, 0xFFFFFFFB])
def test_a_place_before_the_first_is_far_behind_the_last(
    path: str, segment: str, message: str, given: int
) -> None:
    imports = {"env": {"base": chiwawa.Global(GlobalType(I32, False), given)}}
    with pytest.raises(Trap, match=message):
        api.instantiate(load(FAR + segment), imports, path=path)


@pytest.mark.parametrize("path", PATHS)
def test_a_global_made_of_another_is_signed_for_the_host_alone(path: str) -> None:
    instance = api.instantiate(load(FAR), base(-5), path=path)
    assert instance.global_("found").value == -5
    assert instance.checkpoint() == api.instantiate(load(FAR), base(-5)).checkpoint()
    assert instance.global_("found").value == -5


@pytest.mark.parametrize("path", IN_PYTHON)
def test_a_field_made_of_a_global_is_unsigned_for_the_program(path: str) -> None:
    module = load(
        """(type $s (struct (field i32) (field i64)))
        (global $narrow i32 (i32.const -1)) (global $wide i64 (i64.const -2))
        (global $s (ref $s) (struct.new $s (global.get $narrow) (global.get $wide)))
        (func (export "f") (result i32 i64)
          (i32.div_u (struct.get $s 0 (global.get $s)) (i32.const 2))
          (i64.shr_u (struct.get $s 1 (global.get $s)) (i64.const 60)))"""
    )
    assert api.instantiate(module, path=path).invoke("f") == [0x7FFFFFFF, 15]


@pytest.mark.parametrize("path", PATHS)
def test_an_expression_may_be_nested_deeper_than_python_reads(path: str) -> None:
    text, value = "(i32.const 1)", 1
    for _ in range(1000):
        text = f"(i32.mul (i32.add (i32.const 3) {text}) (global.get $base))"
        value = (3 + value) * 7 & 0xFFFFFFFF
    module = f'(import "env" "base" (global $base i32)) (global (export "g") i32 {text})'
    assert api.instantiate(load(module), base(7), path=path).exports["g"].value == plain(value, I32)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("(global i32 (global.get 0))", "unknown global 0"),
        ("(global i32 (global.get 1)) (global i32 (i32.const 0))", "unknown global 1"),
        (
            "(global (mut i32) (i32.const 0)) (global i32 (global.get 0))",
            "constant expression required",
        ),
        ("(global i32 (i32.and (i32.const 1) (i32.const 1)))", "constant expression required"),
        ("(global i32 (i32.add (i32.const 1) (i64.const 1)))", "type mismatch"),
    ],
)
def test_what_is_not_constant_is_refused(source: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        load(source)
