"""Types as text, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.state import type_text
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    CompType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    SubType,
    TableType,
    ValType,
    zero,
)
from tests.unit.type_helpers import (
    functypes,
    globaltypes,
    memorytypes,
    subtypes,
    tabletypes,
    valtypes,
)


@given(valtypes)
def test_a_value_type_is_read_as_it_was_written(type: ValType) -> None:
    assert type_text.valtype(str(type)) == type


@given(functypes)
def test_a_function_type_is_read_as_it_was_written(type: FuncType) -> None:
    assert type_text.functype(str(type)) == type


@given(subtypes)
def test_a_subtype_is_read_as_it_was_written(type: CompType | SubType) -> None:
    assert type_text.subtype(str(type)) == type


@given(tabletypes)
def test_a_table_type_is_read_as_it_was_written(type: TableType) -> None:
    assert type_text.tabletype(str(type)) == type


@given(memorytypes)
def test_a_memory_type_is_read_as_it_was_written(type: MemoryType) -> None:
    assert type_text.memorytype(str(type)) == type


@given(globaltypes)
def test_a_global_type_is_read_as_it_was_written(type: GlobalType) -> None:
    assert type_text.globaltype(str(type)) == type


@pytest.mark.parametrize(
    ("type", "text"),
    [
        (RefType(3), "(ref null 3)"),
        (RefType("func", nullable=False), "(ref func)"),
        (FuncType((I32, I64), (F64,)), "[i32 i64] -> [f64]"),
        (FuncType((), ()), "[] -> []"),
        (MemoryType(Limits(1)), "1"),
        (MemoryType(Limits(1, 2, I64)), "i64 1 2"),
        (TableType(Limits(0, None, I64), FUNCREF), "i64 0 funcref"),
        (GlobalType(RefType(1, False), True), "(mut (ref 1))"),
        (GlobalType(RefType(1, False), False), "(ref 1)"),
    ],
)
def test_types_are_written_in_the_words_of_the_specification(type: object, text: str) -> None:
    assert str(type) == text


def test_the_type_of_an_address_may_be_said_where_it_is_the_usual_one() -> None:
    assert type_text.memorytype("i32 1") == MemoryType(Limits(1))


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (type_text.valtype, ""),
        (type_text.valtype, "i33"),
        (type_text.valtype, "i32 i32"),
        (type_text.valtype, "(ref null)"),
        (type_text.valtype, "(ref 1"),
        (type_text.valtype, "(ref ->)"),
        (type_text.valtype, "i32!"),
        (type_text.functype, "[i32] [i32]"),
        (type_text.functype, "[i32 -> i32]"),
        (type_text.functype, "[] -> [] i32"),
        (type_text.memorytype, "one"),
        (type_text.memorytype, "f32 1"),
        (type_text.memorytype, "1 2 3"),
        (type_text.tabletype, "1 2"),
        (type_text.tabletype, "1 i32"),
        (type_text.globaltype, "(mut i32"),
        (type_text.globaltype, "mut i32"),
    ],
)
def test_what_is_no_type_is_refused(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(BadInput, match="not the text of a type"):
        read(text)


def test_every_value_type_has_a_default_that_is_its_own_source() -> None:
    sources = {str(t): repr(zero(t)) for t in (I32, I64, F32, F64, FUNCREF, EXTERNREF, RefType(0))}
    assert sources == {
        "i32": "0",
        "i64": "0",
        "f32": "0.0",
        "f64": "0.0",
        "funcref": "None",
        "externref": "None",
        "(ref null 0)": "None",
    }
