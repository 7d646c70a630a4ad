"""A checkpoint that is not whole and canonical is refused in one line, whatever is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Sequence

import pytest

from chiwawa_runtime.checkpoint import decode, encode
from chiwawa_runtime.checkpoint.leb import encode_s
from chiwawa_runtime.checkpoint.write import _corestack
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.snapshot import (
    ArrayImage,
    ExceptionImage,
    Frame,
    FuncIdx,
    SegmentImage,
    Snapshot,
    TypeIdx,
    Value,
)
from chiwawa_runtime.state.types import (
    ANYREF,
    F64,
    I8,
    I32,
    I64,
    Limits,
    MemoryType,
    NumType,
    ValType,
)
from tests.unit.checkpoint.snapshot_helpers import everything, linked, patched, with_digest

EMPTY = Snapshot("", bytes(32), "safepoint", None, (), (), (), (), (), (), ())


def refused(data: bytes) -> str:
    """The one line that refuses ``data``."""
    with pytest.raises(CheckpointError) as caught:
        decode(data)
    line = str(caught.value)
    assert line
    assert "\n" not in line
    return line


def accepted_or_refused(data: bytes) -> bool:
    """Whether ``data`` is read; then it is canonical."""
    try:
        snapshot = decode(data)
    except CheckpointError:
        return False
    assert encode(snapshot) == data
    return True


def test_a_file_cut_anywhere_is_refused() -> None:
    data = encode(everything())
    for size in range(len(data)):
        refused(data[:size])


def test_a_file_cut_anywhere_is_refused_with_its_digest_made_anew() -> None:
    body = encode(everything())[:-49]
    for size in range(len(body)):
        # The last two sections are optional: without them it is whole.
        assert accepted_or_refused(with_digest(body[:size])) == (
            body[:size] in (body[: -len(b"\x00\x0d\x0cchiwawa.host")], body[:-40])
        )


def test_a_file_with_any_bit_flipped_is_refused() -> None:
    data = bytearray(encode(everything()))
    rng = random.Random(1)
    for _ in range(2000):
        at, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        data[at] ^= bit
        refused(bytes(data))
        data[at] ^= bit


@pytest.mark.parametrize("snapshot", [everything(), linked()], ids=["alone", "linked"])
def test_a_flipped_bit_under_a_right_digest_is_canonical_or_refused(snapshot: Snapshot) -> None:
    body = bytearray(encode(snapshot)[:-49])
    rng = random.Random(2)
    read = 0
    for _ in range(2000):
        flips = [
            (rng.randrange(len(body)), 1 << rng.randrange(8)) for _ in range(rng.randint(1, 3))
        ]
        for at, bit in flips:
            body[at] ^= bit
        read += accepted_or_refused(with_digest(bytes(body)))
        for at, bit in flips:
            body[at] ^= bit
    # Most bits are bits of values.
    assert read > 100


@pytest.mark.parametrize("snapshot", [everything(), linked()], ids=["alone", "linked"])
def test_replaced_bytes_under_a_right_digest_are_canonical_or_refused(snapshot: Snapshot) -> None:
    body = encode(snapshot)[:-49]
    rng = random.Random(3)
    for _ in range(2000):
        start = rng.randrange(len(body))
        end = min(len(body), start + rng.randrange(4))
        new = bytes(rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256))) for _ in range(3))
        accepted_or_refused(with_digest(body[:start] + new[: rng.randrange(4)] + body[end:]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a checkpoint"),
        (b"\x7fELF", "not a checkpoint: magic header not detected"),
        (b"\0asm\2\0\0\0", "not a checkpoint: unknown binary version"),
        (b"\0asm\1\0\0\0", "not a checkpoint but a module: it does not end"),
        (encode(EMPTY)[:-1], "damaged checkpoint"),
        (encode(EMPTY)[:-1] + b"\0", "damaged checkpoint: its digest does not match"),
        (encode(EMPTY) + b"\0", "damaged checkpoint"),
        (with_digest(b"\0asm\1\0\0\0"), "section core expected"),
        (with_digest(encode(EMPTY)), "unexpected content after last section"),
    ],
)
def test_the_line_says_what_is_wrong(data: bytes, message: str) -> None:
    assert message in refused(data)


def _changed(old: bytes, new: bytes, snapshot: Snapshot = EMPTY) -> bytes:
    """The file of ``snapshot`` with ``old``, which it has once, replaced."""
    body = encode(snapshot)[:-49]
    assert body.count(old) == 1
    return with_digest(body.replace(old, new))


@pytest.mark.parametrize(
    ("value", "padded"),
    [(64, b"\xbf\0"), (64, b"\x80\0"), (8192, b"\xff\xbf\0"), (8192, b"\x80\x80\0")],
)
@pytest.mark.parametrize("valtype", [I32, I64])
def test_an_integer_of_a_frame_that_is_not_shortest_is_refused(
    valtype: NumType, value: int, padded: bytes
) -> None:
    # Once with enough behind it that the end of the section is far, and once without.
    for behind in (((F64, 0.5),) * 2, ()):
        frame = Frame(1, 2, ((valtype, value), *behind), ())
        before = b"\0\0\1\2" + bytes((1 + len(behind), valtype.code))
        snapshot = dataclasses.replace(EMPTY, frames=(frame,))
        data = _changed(before + encode_s(value), before + padded, snapshot)
        assert "representation too long" in refused(data)


#: The version and the module's hash, which the byte of the mode comes after.
MODE = b"\x07chiwawa\1" + bytes(32)
MEMORY = dataclasses.replace(
    EMPTY,
    memories=(MemoryImage.of(MemoryType(Limits(1, 3)), patched(2, {200: b"abc", 8192: b"xyz"})),),
)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_changed(b"\x07chiwawa\1", b"\x07chiwawa\3"), "format version is 3"),
        (_changed(MODE + b"\0", MODE + b"\4"), "unknown mode 0x04"),
        (_changed(MODE + b"\0", MODE + b"\x83"), "unknown mode 0x83"),
        (_changed(b"\x07\x04core\0\0", b"\x08\x04core\0\x80\0"), "representation too long"),
        (_changed(b"\x07\x04core\0\0", b"\x08\x04core\0\1\xff"), "malformed UTF-8"),
        (_changed(b"\x07\x04core\0\0", b"\x08\x04core\0\1a"), "not the process's"),
        (_changed(b"\4main\0", b"\4main\x01"), "length out of bounds"),
        (_changed(b"\x11\x09corestack\0\4main\0", b"\x10\x09corestack\0\3may\0"), "main"),
        (_changed(b"\x0bcoremodules\1", b"\x0bcoremodules\2"), "one module"),
        # Counts far beyond the file.
        (
            _changed(
                b"\x11\x09corestack\0\4main\0", b"\x15\x09corestack\0\4main" + b"\xff" * 4 + b"\7"
            ),
            "length out of bounds",
        ),
        # Data segments other than the canonical: in pieces, with zeros, out of order, beyond.
        (_changed(b"\x0b\x03abc", b"\x0b\x03ab\0", MEMORY), "canonical"),
        (_changed(b"\x41\xc8\x01", b"\x41\x84\x20", MEMORY), "canonical"),
        (_changed(b"\x41\xc8\x01", b"\x41\xff\x3f", MEMORY), "its order"),
        (_changed(b"\x41\x80\xc0\x00", b"\x41\x81\x80\x08", MEMORY), "outside of its memory"),
        (_changed(b"\x05\x04\x01\x01\x02\x03", b"\x05\x04\x01\x01\x02\x01", MEMORY), "maximum"),
    ],
)
def test_a_broken_rule_under_a_right_digest_is_refused(data: bytes, message: str) -> None:
    assert message in refused(data)


def test_the_section_of_the_digest_holds_a_digest_alone() -> None:
    body = encode(EMPTY)[:-49] + b"\x00" + bytes((15 + 49,)) + b"\x0echiwawa.digest"
    assert "chiwawa.digest" in refused(with_digest(body))


def test_the_digest_is_of_all_bytes_before_its_section() -> None:
    data = encode(everything())
    assert data[-32:] == hashlib.sha256(data[:-49]).digest()


def _linked(**changes: object) -> Snapshot:
    return dataclasses.replace(linked(), **changes)  # type: ignore[arg-type]


def _spaces(**changes: object) -> Snapshot:
    """With other index spaces of the first instance."""
    spaces = linked().spaces
    assert spaces is not None
    return _linked(spaces=dataclasses.replace(spaces, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        (_spaces(memories=(1,)), "the memories of its instances are not numbered in order"),
        (_spaces(globals=(0, 1, 3, 1)), "the globals of its instances are not numbered in order"),
        (_spaces(tags=(1,)), "the tags of its instances are not numbered in order"),
        (
            _linked(others=linked().others[:1], frames=(), objects=()),
            "it has globals that no instance has",
        ),
        (_linked(tables=linked().tables * 2), "it has tables that no instance has"),
        (_spaces(links=((1, FuncIdx(2, 3)),)), "the links of instance 0 are not in order"),
        (_spaces(links=((1, FuncIdx(2, 1)),) * 2), "the links of instance 0 are not in order"),
        (_spaces(links=((1, FuncIdx(2, 0)),)), "instance 0 is linked with itself"),
        (
            _linked(frames=(*linked().frames, Frame(0, 0, (), (), 3))),
            "a frame is of an instance that is not there",
        ),
        (_linked(objects=linked().objects[:1]), "refers to no object"),
        (_linked(objects=linked().objects * 2), "it has objects that nothing refers to"),
        (_linked(objects=linked().objects[::-1], frames=()), "it has objects that nothing"),
        (_linked(objects=(ExceptionImage(2, ()), *linked().objects[1:])), "a tag that no instance"),
        (
            _linked(
                objects=(
                    *linked().objects[:5],
                    ArrayImage(TypeIdx(0, 3), I8, b""),
                )
            ),
            "an object has a type of an instance that is not there",
        ),
        (_linked(segments=linked().segments[::-1]), "its element segments are not in order"),
        (_linked(segments=linked().segments[:1] * 2), "its element segments are not in order"),
        (_linked(segments=(SegmentImage(0, 0, ANYREF, ()),)), "element segment 0, dropped or"),
        (_linked(segments=(SegmentImage(1, 0, ANYREF, ()),)), "element segment 0, dropped or"),
        (_linked(segments=(SegmentImage(3, 0, ANYREF, ()),)), "its element segments are not in"),
    ],
)
def test_what_does_not_fit_together_is_neither_written_nor_read(
    snapshot: Snapshot, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match=message):
        encode(snapshot)
    with monkeypatch.context() as patch:
        patch.setattr("chiwawa_runtime.checkpoint.write.check_shape", lambda snapshot: None)
        patch.setattr("chiwawa_runtime.checkpoint.write._corestack", _unchecked_corestack)
        data = encode(snapshot)
    assert message in refused(data)


def _unchecked_corestack(
    frames: Sequence[Frame], instances: int, unformed: list[tuple[ValType, Value]]
) -> bytearray:
    return _corestack(frames, max(instances, 4), unformed)


def test_what_could_be_written_in_the_first_version_is_refused_in_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("chiwawa_runtime.checkpoint.write.version_of", lambda snapshot: 2)
        data = encode(EMPTY)
    assert "its state takes no such version of the format" in refused(data)
