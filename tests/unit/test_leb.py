"""LEB128 integers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiwawa_runtime.checkpoint.leb import decode_s, decode_u, encode_s, encode_u
from chiwawa_runtime.errors import MalformedError


@given(st.integers(0, 2**64 - 1))
def test_what_is_written_unsigned_is_read_back(value: int) -> None:
    written = encode_u(value)
    assert decode_u(b"\xff" + written + b"\xff", 1, 64) == (value, 1 + len(written))
    assert len(written) == max(1, -(-value.bit_length() // 7))


@given(st.integers(-(2**63), 2**63 - 1))
def test_what_is_written_signed_is_read_back(value: int) -> None:
    written = encode_s(value)
    assert decode_s(b"\xff" + written + b"\xff", 1, 64) == (value, 1 + len(written))


@pytest.mark.parametrize(
    ("data", "bits", "value"),
    [
        ("80 80 80 80 00", 32, 0),
        ("ff ff ff ff 0f", 32, 2**32 - 1),
        ("82 80 00", 32, 2),
    ],
)
def test_an_unsigned_integer_may_be_padded_to_its_width(data: str, bits: int, value: int) -> None:
    raw = bytes.fromhex(data)
    assert decode_u(raw, 0, bits) == (value, len(raw))


@pytest.mark.parametrize(
    ("data", "bits", "value"),
    [
        ("ff 7f", 32, -1),
        ("ff ff ff ff 7f", 32, -1),
        ("80 80 80 80 78", 32, -(2**31)),
        ("ff ff ff ff 07", 32, 2**31 - 1),
        ("80 80 80 80 80 80 80 80 80 7f", 64, -(2**63)),
        ("40", 33, -64),
        ("ff ff ff ff 0f", 33, 2**32 - 1),
    ],
)
def test_a_signed_integer_extends_its_sign(data: str, bits: int, value: int) -> None:
    raw = bytes.fromhex(data)
    assert decode_s(raw, 0, bits) == (value, len(raw))


@pytest.mark.parametrize("decode", [decode_u, decode_s])
@pytest.mark.parametrize(
    ("data", "message", "offset"),
    [
        ("", "unexpected end", 0),
        ("80 80", "unexpected end", 2),
        ("80 80 80 80 80 00", "integer representation too long", 0),
        ("80 80 80 80 10", "integer too large", 0),
        ("ff ff ff ff 4f", "integer too large", 0),
    ],
)
def test_a_malformed_integer_is_refused(decode, data: str, message: str, offset: int) -> None:
    with pytest.raises(MalformedError, match=message) as caught:
        decode(bytes.fromhex(data), 0, 32)
    assert caught.value.offset == offset
