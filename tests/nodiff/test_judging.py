"""What a differential test may overlook: the bits of NaNs that arithmetic makes, and only those."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from chiwawa.source import load
from chiwawa_runtime.state.numerics import (
    f32_bits,
    f32_from_bits,
    f32_round,
    float_copysign,
    i32_div_s,
)
from tests.nodiff.harness_helpers import Call, check
from tests.nodiff.judging_helpers import check_but_for_nans, interpreting

#: Of which of two NaNs a product is made, and its sign, is for the processor and for Python to
#: choose. ``product`` looks at that, and it decides how often a loop goes round; ``copied`` has a
#: NaN that no arithmetic made; ``divided`` has a product beside a division of integers.
MODULE = load("""
(module
  (memory (export "memory") 1)
  (func (export "product") (param $a f32) (param $b f32) (result i32) (local $n i32)
    (f32.store (i32.const 8) (f32.mul (local.get $a) (local.get $b)))
    (local.set $n (i32.shr_u (i32.load (i32.const 8)) (i32.const 29)))
    (loop $again
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (i32.gt_s (local.get $n) (i32.const 0))))
    (i32.load (i32.const 8)))
  (func (export "copied") (param $a f32) (param $b f32) (result f32)
    (f32.copysign (local.get $a) (local.get $b)))
  (func (export "divided") (param $a f32) (param $b f32) (result i32)
    (f32.store (i32.const 8) (f32.mul (local.get $a) (local.get $b)))
    (i32.div_s (i32.const 7) (i32.const 2))))
""")
NANS = (f32_from_bits(0xFFFDFFFF), f32_from_bits(0xFFFFF000))
NUMBERS = (1.5, 2.0)


def other_nan(value: float) -> float:
    rounded = f32_round(value)
    return f32_from_bits(f32_bits(rounded) ^ 0x80000001) if math.isnan(rounded) else rounded


def other_number(value: float) -> float:
    rounded = f32_round(value)
    return rounded if math.isnan(rounded) else rounded + 1.0


def other_copy(a: float, b: float) -> float:
    copied = float_copysign(a, b)
    return f32_from_bits(f32_bits(copied) ^ 1) if math.isnan(copied) else copied


def other_quotient(a: int, b: int) -> int:
    return i32_div_s(a, b) + 1


@pytest.mark.parametrize("name", ["product", "copied", "divided"])
@pytest.mark.parametrize("args", [NANS, NUMBERS], ids=["NaNs", "numbers"])
def test_without_a_fault_only_nans_are_excused(name: str, args: tuple[float, float]) -> None:
    ending, excused = check_but_for_nans(Call(MODULE, name, args))
    assert ending.kind == "returned"
    assert not excused or (args == NANS and name != "copied")


def test_the_bits_of_a_nan_that_arithmetic_makes_are_excused() -> None:
    call = Call(MODULE, "product", NANS)
    with interpreting(f32_round=other_nan):
        with pytest.raises(AssertionError):
            check(call)
        ending, excused = check_but_for_nans(call)
    assert (ending.kind, excused) == ("returned", True)


DIFFERENCES: list[tuple[str, tuple[float, float], dict[str, Callable[..., Any]]]] = [
    ("copied", NANS, {"float_copysign": other_copy}),
    ("product", NUMBERS, {"f32_round": other_number}),
    ("divided", NUMBERS, {"i32_div_s": other_quotient}),
    # Beside a NaN whose bits differ too.
    ("divided", NANS, {"i32_div_s": other_quotient, "f32_round": other_nan}),
]


@pytest.mark.parametrize(("name", "args", "functions"), DIFFERENCES)
def test_no_other_difference_is_excused(
    name: str, args: tuple[float, float], functions: dict[str, Callable[..., Any]]
) -> None:
    with interpreting(**functions), pytest.raises(AssertionError):
        check_but_for_nans(Call(MODULE, name, args))


def test_with_canonical_nans_nothing_is_excused() -> None:
    with (
        interpreting(float_canonical=lambda value: f32_from_bits(0x7FE00000)),
        pytest.raises(AssertionError),
    ):
        check_but_for_nans(Call(MODULE, "product", NANS, canonical_nans=True))
