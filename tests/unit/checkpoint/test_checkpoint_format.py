"""What the bytes of a checkpoint are, and that they are read back."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings

from chiwawa_runtime.checkpoint import decode, encode, sections
from chiwawa_runtime.checkpoint.layout import segments
from chiwawa_runtime.checkpoint.leb import encode_s
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.state.memory_image import MemoryImage
from chiwawa_runtime.state.numerics import f32_from_bits
from chiwawa_runtime.state.snapshot import Frame, GlobalImage, Snapshot, TableImage
from chiwawa_runtime.state.types import (
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    PAGE,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    TableType,
)
from tests.need_helpers import lacking, need
from tests.unit.checkpoint.snapshot_helpers import everything, linked, patched, snapshots

EMPTY = Snapshot("", bytes(32), "safepoint", None, (), (), (), (), (), (), ())


@settings(max_examples=150)
@given(snapshots())
def test_a_snapshot_is_read_back_and_has_one_encoding(snapshot: Snapshot) -> None:
    data = encode(snapshot)
    read = decode(data)
    # By text and not by ==, for a NaN is not equal to itself.
    assert _comparable(read) == _comparable(snapshot)
    assert encode(read) == data


def _comparable(snapshot: Snapshot) -> str:
    """NaN payloads are compared by the bytes of the encoding."""
    memories = tuple(MemoryImage.of(m.type, m.read(0, m.size)) for m in snapshot.memories)
    return repr(dataclasses.replace(snapshot, memories=memories))


def test_linked_instances_are_read_back_and_have_one_encoding() -> None:
    data = encode(linked())
    assert _comparable(decode(data)) == _comparable(linked())
    assert encode(decode(data)) == data


@pytest.mark.parametrize(("snapshot", "version"), [(everything(), 1), (linked(), 2)])
def test_a_file_has_the_least_version_that_can_hold_its_state(
    snapshot: Snapshot, version: int
) -> None:
    assert b"\x07chiwawa" + bytes((version,)) in encode(snapshot)


def test_the_sections_stand_in_the_documented_order_and_add_up() -> None:
    data = encode(everything())
    found = sections(data)
    assert [name for name, _ in found] == [
        "core",
        "coremodules",
        "coreinstances",
        "memory",
        "global",
        "data",
        "corestack",
        "chiwawa",
        "chiwawa.wasi",
        "chiwawa.host",
        "chiwawa.digest",
    ]
    assert 8 + sum(size for _, size in found) == len(data)


def test_an_empty_state_is_these_bytes() -> None:
    data = encode(EMPTY)
    chiwawa = b"\x01" + bytes(32) + b"\0\0" + b"\0\0" + b"\0\0\0" + b"\0\0"
    assert data[:-49] == (
        b"\0asm\1\0\0\0"
        b"\x00\x07\x04core\0\0"
        b"\x00\x0f\x0bcoremodules\1\0\0"
        b"\x00\x13\x0dcoreinstances\1\0\0\0\0"
        b"\x00\x11\x09corestack\0\4main\0"
        b"\x00" + bytes((8 + len(chiwawa),)) + b"\x07chiwawa" + chiwawa
    )


def test_frames_are_written_as_the_convention_says() -> None:
    frame = Frame(2, 300, ((I32, 0xFFFFFFFF), (I64, 64), (F32, 1.0)), ((FUNCREF, None),))
    data = encode(dataclasses.replace(EMPTY, frames=(frame,)))
    assert b"\x01\x00\x00\x02\xac\x02\x03\x7f\x7f\x7e\xc0\x00\x7d\0\0\x80\x3f\x01\x01" in data


def test_conditions_are_written_as_integers() -> None:
    def state(one: int, zero: int) -> Snapshot:
        return dataclasses.replace(EMPTY, frames=(Frame(0, 0, ((I32, one),), ((I32, zero),)),))

    assert encode(state(True, False)) == encode(state(1, 0))


def test_nan_payloads_keep_every_bit() -> None:
    for bits in (0x7F800001, 0xFFC00000, 0x7FC00000, 0xFFFFFFFF):
        image = GlobalImage(GlobalType(F32, True), f32_from_bits(bits))
        data = encode(dataclasses.replace(EMPTY, globals=(image,)))
        assert b"\x7d\0\x43" + bits.to_bytes(4, "little") + b"\x0b" in data
        assert encode(decode(data)) == data


def used(memory: bytearray) -> list[tuple[int, int]]:
    return MemoryImage.of(MemoryType(Limits(0)), memory).used()


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ({}, []),
        ({0: b"a"}, [(0, 1)]),
        ({4095: b"ab"}, [(4095, 4097)]),
        # Zeros within a run are kept; a block of zeros parts two runs.
        ({0: b"a", 4100: b"b"}, [(0, 4101)]),
        ({1: b"a", 8192: b"b"}, [(1, 2), (8192, 8193)]),
        ({2 * PAGE - 1: b"z"}, [(2 * PAGE - 1, 2 * PAGE)]),
        ({100: b"\0x\0"}, [(101, 102)]),
    ],
)
def test_segments_are_trimmed_runs_of_blocks(
    writes: dict[int, bytes], expected: list[tuple[int, int]]
) -> None:
    assert segments([used(patched(2, writes))]) == [(0, *run) for run in expected]


def test_many_runs_are_cut_by_coarser_blocks() -> None:
    memory = patched(65536 // 16, {})
    memory[:: 2 * 4096] = b"\1" * (len(memory) // 8192)
    few = segments([used(memory)])
    assert len(few) == len(memory) // 8192
    # Four such memories have too many runs, so they are cut by blocks of 8192 bytes.
    assert segments([used(memory)] * 4) == [(i, 0, len(memory) - 8191) for i in range(4)]


@pytest.mark.slow
def test_an_offset_in_the_upper_half_is_written_negative() -> None:
    memory = bytearray(65536 * PAGE // 2 + PAGE)
    memory[-1] = 1
    data = encode(
        dataclasses.replace(EMPTY, memories=(MemoryImage.of(MemoryType(Limits(1)), memory),))
    )
    assert dict(sections(data))["data"] < 20
    assert decode(data).memories[0].read(0, len(memory)) == memory


@pytest.mark.parametrize("bits", range(32))
def test_integers_of_each_length_in_a_frame_are_written_shortest(bits: int) -> None:
    """Those that deep stacks are full of are written and read in ways of their own."""
    for value in {(1 << bits) - 1, 1 << bits, (1 << bits) + 1, (1 << 32) - (1 << bits)}:
        value &= 0xFFFFFFFF
        # Enough behind them that the end of the section is far.
        frame = Frame(1, 2, ((I32, value), (I64, value), *((F64, 0.5),) * 2), ())
        data = encode(dataclasses.replace(EMPTY, frames=(frame,)))
        signed = encode_s(value - (value >> 31 << 32))
        assert b"\0\0\1\2\4\x7f" + signed + b"\x7e" + encode_s(value) + b"\x7c" in data
        assert decode(data).frames == (frame,)


def test_a_hundred_thousand_frames_are_read_back() -> None:
    frames = tuple(Frame(3, 300, ((I32, i), (I64, 5)), ((I32, 70000),)) for i in range(100_000))
    snapshot = dataclasses.replace(EMPTY, frames=frames)
    assert decode(encode(snapshot)) == snapshot


def test_no_view_of_a_memory_is_left() -> None:
    memory = patched(1, {0: b"a"})
    image = MemoryImage.of(MemoryType(Limits(1)), memory)
    encode(dataclasses.replace(EMPTY, memories=(image,)))
    wrong = dataclasses.replace(EMPTY, memories=(image,), frames=(Frame(0, -1, (), ()),))
    with pytest.raises(CheckpointError):
        encode(wrong)
    memory.extend(bytes(PAGE))


@pytest.mark.parametrize(
    ("granularity", "canonical_nans", "mode"),
    [
        ("safepoint", False, 0),
        ("instruction", False, 1),
        ("safepoint", True, 2),
        ("instruction", True, 3),
    ],
)
def test_granularity_and_nans_share_a_byte(
    granularity: str, canonical_nans: bool, mode: int
) -> None:
    snapshot = dataclasses.replace(EMPTY, granularity=granularity, canonical_nans=canonical_nans)
    data = encode(snapshot)
    assert b"\x07chiwawa\1" + bytes(32) + bytes((mode,)) in data
    assert decode(data) == snapshot


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module_hash": b"short"}, "hash"),
        ({"module_name": "\ud800"}, "UTF-8"),
        ({"granularity": "line"}, "granularity"),
        ({"safepoints": -1}, "safepoints"),
        ({"frames": (Frame(0, 0, ((I32, 1 << 32),), ()),)}, "i32"),
        ({"frames": (Frame(0, 0, ((I32, -1),), ()),)}, "i32"),
        ({"frames": (Frame(0, 0, ((I32, None),), ()),)}, "not of its type"),
        ({"frames": (Frame(0, 0, ((FUNCREF, object()),), ()),)}, "not carried"),
        ({"frames": (Frame(1 << 32, 0, (), ()),)}, "function index"),
        ({"globals": (GlobalImage(GlobalType(F32, True), 1e300),)}, "f32"),
        ({"memories": (MemoryImage.of(MemoryType(Limits(0)), bytes(5)),)}, "page"),
        ({"memories": (MemoryImage.of(MemoryType(Limits(1)), b""),)}, "minimum"),
        ({"memories": (MemoryImage.of(MemoryType(Limits(0, 0)), bytes(PAGE)),)}, "maximum"),
        ({"tables": (TableImage(TableType(Limits(2, 1), FUNCREF), ()),)}, "minimum"),
    ],
)
def test_a_state_that_no_file_can_hold_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        encode(dataclasses.replace(EMPTY, **change))  # type: ignore[arg-type]


def test_a_type_that_is_not_built_yet_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"\(ref 3\)"):
        encode(
            dataclasses.replace(
                EMPTY, globals=(GlobalImage(GlobalType(RefType(3, False), True), None),)
            )
        )


@pytest.mark.parametrize(
    "command",
    [
        ["wasm-validate", "--enable-all", "FILE"],
        ["wasm-objdump", "-x", "FILE"],
        ["wasm-tools", "dump", "FILE"],
        ["node", "-e", "new WebAssembly.Module(require('fs').readFileSync('FILE'))"],
    ],
    ids=lambda command: command[0],
)
@pytest.mark.parametrize("what", ["one memory", "several memories", "several instances"])
def test_other_tools_open_it(command: list[str], what: str, tmp_path: Path) -> None:
    tool = need(command[0])
    snapshot = linked() if what == "several instances" else everything()
    if what == "one memory":
        snapshot = dataclasses.replace(snapshot, memories=snapshot.memories[:1])
    elif command[0] == "node":
        probe = "process.exit(Number(process.versions.node.split('.')[0]) >= 22 ? 0 : 1)"
        if subprocess.run([tool, "-e", probe], check=False).returncode:
            lacking("Node 22 or newer, which has several memories, is missing")
    path = tmp_path / "checkpoint.bin"
    path.write_bytes(encode(snapshot))
    arguments = [tool, *(part.replace("FILE", str(path)) for part in command[1:])]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if command[0] == "wasm-objdump":
        assert '"corestack"' in done.stdout
        assert "Data[" in done.stdout
    if command[0] == "wasm-tools":
        assert done.stdout.count("CoreDumpStackFrame {") == len(snapshot.frames)
        assert done.stdout.count("CoreDumpInstance {") == len(snapshot.instances)
