"""What is larger than engines allow is refused in a line that names the limit, and soon."""

from __future__ import annotations

import pytest

import chiwawa
from chiwawa import limits
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import UnsupportedError
from chiwawa_runtime.state.table import HOST_LIMIT
from tests.path_helpers import IN_PYTHON, each_path

HEAD = b"\0asm\1\0\0\0"
FUNCTION = b"\1\4\1\x60\0\0\3\2\1\0"


def section(number: int, contents: bytes) -> bytes:
    return bytes((number,)) + encode_u(len(contents)) + contents


def body(code: bytes) -> bytes:
    return HEAD + FUNCTION + section(10, b"\1" + encode_u(len(code) + 2) + b"\0" + code + b"\x0b")


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (1, "types"),
        (2, "imports"),
        (3, "functions"),
        (4, "tables"),
        (5, "memories"),
        (6, "globals"),
        (7, "exports"),
        (9, "element segments"),
        (11, "data segments"),
    ],
)
def test_too_many_items_are_refused(number: int, what: str) -> None:
    limit = limits.ITEMS[what]
    with pytest.raises(UnsupportedError, match=f"more than {limit:,} {what}, the limit that eng"):
        chiwawa.load(HEAD + section(number, encode_u(limit + 1) + b"\0" * (limit + 1)))


def test_as_many_data_segments_as_engines_allow_are_read() -> None:
    segments = b"\0\x41\0\x0b\0" * limits.ITEMS["data segments"]
    count = encode_u(limits.ITEMS["data segments"])
    module = chiwawa.load(HEAD + section(5, b"\1\0\1") + section(11, count + segments))
    assert len(module.datas) == limits.ITEMS["data segments"]


def test_a_body_has_a_limit() -> None:
    with pytest.raises(UnsupportedError, match="more than 7,654,321 bytes of a body"):
        chiwawa.load(body(b"\1" * limits.BODY))


def test_a_br_table_has_a_limit() -> None:
    table = b"\x41\0\x0e" + encode_u(limits.LABELS + 1) + b"\0" * (limits.LABELS + 2)
    with pytest.raises(UnsupportedError, match="more than 65,520 labels of a br_table"):
        chiwawa.load(body(table))


def test_an_element_segment_has_a_limit() -> None:
    many = b"\0" * (limits.ELEMENTS + 1)
    with pytest.raises(UnsupportedError, match="more than 10,000,000 elements of a segment"):
        chiwawa.load(HEAD + section(9, b"\1\1\0" + encode_u(limits.ELEMENTS + 1) + many))


def test_parameters_have_a_limit() -> None:
    many = b"\x7f" * (limits.ARITY + 1)
    contents = b"\1\x60" + encode_u(len(many)) + many + b"\0"
    with pytest.raises(UnsupportedError, match="more than 1,000 parameters or results"):
        chiwawa.load(HEAD + section(1, contents))


@each_path
def test_the_tables_of_an_instance_have_a_limit_together(path: str) -> None:
    large = chiwawa.load(f"(module {'(table 10_000_000 funcref)' * 200})")
    with pytest.raises(UnsupportedError, match="more than 10,000,000 elements of tables"):
        chiwawa.instantiate(large, path=path)


@pytest.mark.parametrize("path", IN_PYTHON)
def test_the_tables_of_an_instance_grow_to_a_limit_together(path: str) -> None:
    """wasmtime has one for each."""
    module = chiwawa.load(f"""(module
      (table $t 10 funcref) (table $u {HOST_LIMIT - 30} 99999999 funcref)
      (func (export "t") (param i32) (result i32)
        (table.grow $t (ref.null func) (local.get 0)))
      (func (export "u") (param i32) (result i32)
        (table.grow $u (ref.null func) (local.get 0))))""")
    instance = chiwawa.instantiate(module, path=path)
    assert instance.invoke("t", [21]) == [-1]
    assert instance.invoke("t", [15]) == [10]
    assert instance.invoke("u", [6]) == [-1]
    assert instance.invoke("u", [5]) == [HOST_LIMIT - 30]
    assert instance.invoke("t", [1]) == [-1]
