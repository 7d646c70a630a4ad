"""What the running side knows of instructions is what their table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa.binary.encode import write_expr
from chiwawa.module import BrTable, Instr, MemArg
from chiwawa.opcodes import TABLE, Op, canonical
from chiwawa.source import load
from chiwawa_runtime import nans
from chiwawa_runtime.nans import makes_nans
from chiwawa_runtime.numerics import f64_bits, f64_from_bits, float_canonical
from chiwawa_runtime.types import F64, FUNCREF

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

#: Immediates of each kind, of several lengths where there are several.
IMMEDIATES: dict[str, list[object]] = {
    "blocktype": [None, F64, 3, 300],
    "labelidx": [0, 200],
    "labels": [BrTable((), 0), BrTable((1, 200, 3), 300)],
    "funcidx": [0, 200],
    "typeidx": [0, 200],
    "tableidx": [0, 200],
    "valtypes": [(F64,)],
    "localidx": [0, 200],
    "globalidx": [0, 200],
    "memidx": [0, 200],
    "elemidx": [0, 200],
    "dataidx": [0, 200],
    "memarg": [MemArg(0, 0, 0), MemArg(3, 1 << 31, 0), MemArg(1, 200, 5)],
    "i32": [0, 0xFFFFFFFF, 0x8D8D8D8D],
    "i64": [0, 0x8D8D8D8D8D8D8D8D],
    "f32": [0x8D8D8D8D],
    "f64": [0x8D8D8D8D8D8D8D8D],
    "reftype": [FUNCREF],
}


def encoded(op: Op) -> list[bytes]:
    """Instructions of this row."""
    longest = max((len(IMMEDIATES[kind]) for kind in op.immediates), default=1)
    choices = [
        tuple(IMMEDIATES[kind][i % len(IMMEDIATES[kind])] for kind in op.immediates)
        for i in range(longest)
    ]
    return [write_expr([Instr(op, immediates, 0)]) for immediates in choices]


@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_the_length_of_every_instruction_is_known(op: Op) -> None:
    for data in encoded(op):
        assert nans.after(data, 0) == len(data)


@pytest.mark.parametrize("op", TABLE, ids=lambda op: op.name)
def test_what_makes_nans_is_what_the_table_says(op: Op) -> None:
    for data in encoded(op):
        assert nans.body_makes_nans(b"\0" + data, 0, len(data) + 1) == ("n" in op.effects)
    if "n" not in op.effects:
        assert canonical(op) is op


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
    assert {op.name for op in TABLE if "n" in op.effects} == wanted


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*.wasm")), ids=lambda file: file.name)
def test_a_module_makes_nans_if_one_of_its_instructions_does(file: Path) -> None:
    module = load(file)
    wanted = any("n" in instr.op.effects for func in module.funcs for instr in func.body)
    assert makes_nans(module.binary) == wanted


def test_a_module_without_code_makes_none() -> None:
    assert not makes_nans(load("(module)").binary)
    assert not makes_nans(load('(module (memory 1) (data (i32.const 0) "\\92\\a0"))').binary)
    assert makes_nans(
        load("(module (func (local i32 f64) (drop (f64.add (local.get 1) (local.get 1)))))").binary
    )


@given(st.integers(0, (1 << 64) - 1))
def test_the_canonical_form_of_a_number_is_itself(bits: int) -> None:
    value = f64_from_bits(bits)
    wanted = bits if value == value else 0x7FF8000000000000
    assert f64_bits(float_canonical(value)) == wanted
