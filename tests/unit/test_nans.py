"""Arithmetic NaNs, as the instruction table has them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chiwawa.opcodes import TABLE, canonical
from chiwawa_runtime.state.numerics import f64_bits, f64_from_bits, float_canonical


def test_the_table_says_it_of_the_operations_that_the_specification_does() -> None:
    operations = [
        "ceil",
        "floor",
        "trunc",
        "nearest",
        "sqrt",
        "add",
        "sub",
        "mul",
        "div",
        "min",
        "max",
    ]
    wanted = {f"{t}.{operation}" for t in ("f32", "f64") for operation in operations}
    wanted |= {"f32.demote_f64", "f64.promote_f32"}
    # Vectors have the same by lanes, and the relaxed ones that are made of these.
    operations += ["relaxed_madd", "relaxed_nmadd", "relaxed_min", "relaxed_max"]
    wanted |= {f"{t}.{operation}" for t in ("f32x4", "f64x2") for operation in operations}
    wanted |= {"f32x4.demote_f64x2_zero", "f64x2.promote_low_f32x4"}
    assert {op.name for op in TABLE if "n" in op.effects} == wanted


def test_other_rows_stay_themselves() -> None:
    for op in TABLE:
        assert (canonical(op) is op) == ("n" not in op.effects)


@given(st.integers(0, (1 << 64) - 1))
def test_the_canonical_form_of_a_number_is_itself(bits: int) -> None:
    value = f64_from_bits(bits)
    wanted = bits if value == value else 0x7FF8000000000000
    assert f64_bits(float_canonical(value)) == wanted
