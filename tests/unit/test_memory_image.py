"""Memories as they stand in snapshots: what is in them, wherever it lies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chiwawa_runtime import checkpoint
from chiwawa_runtime.state import memory_image
from chiwawa_runtime.state.memory_image import BLOCK, MemoryImage
from chiwawa_runtime.state.snapshot import Snapshot
from chiwawa_runtime.state.types import PAGE, Limits, MemoryType

TYPE = MemoryType(Limits(0))
PAGES = 6
SIZE = PAGES * PAGE
#: What stands in a source beside the runs of an image.
REST = b"\xee"

#: Addresses near the edges of blocks and of what is compared at once, and any.
ADDRESSES = st.one_of(
    st.builds(
        lambda block, by: min(max(0, block * BLOCK + by), SIZE),
        st.integers(0, SIZE // BLOCK),
        st.integers(-2, 2),
    ),
    st.integers(0, SIZE),
)


@st.composite
def images(draw: st.DrawFn) -> tuple[MemoryImage, bytes]:
    """An image whose runs lie apart in its source, and all the bytes that it is of."""
    edges = sorted(draw(st.sets(ADDRESSES, max_size=12)))
    memory = bytearray(SIZE)
    source = bytearray(REST)
    runs = []
    for start, end in zip(edges[::2], edges[1::2], strict=False):
        kind = draw(st.sampled_from(["full", "zero", "few"]))
        if kind == "full":
            memory[start:end] = b"\1" * (end - start)
        elif kind == "few":
            for address in draw(st.sets(st.integers(start, end - 1), max_size=4)):
                memory[address] = 2
        runs.append((start, end, len(source)))
        source += memory[start:end] + REST
    image = MemoryImage(TYPE, SIZE, draw(st.sampled_from([bytes, bytearray]))(source), tuple(runs))
    return image, bytes(memory)


def used_blocks(memory: bytes) -> list[tuple[int, int]]:
    """What ``used`` is to find, told block by block."""
    found: list[list[int]] = []
    last = -2
    for block in range(len(memory) // BLOCK):
        content = memory[block * BLOCK : (block + 1) * BLOCK]
        if not any(content):
            continue
        if block > last + 1:
            found.append([(block + 1) * BLOCK - len(content.lstrip(b"\0")), 0])
        found[-1][1] = block * BLOCK + len(content.rstrip(b"\0"))
        last = block
    return [(start, end) for start, end in found]


@given(images())
def test_the_used_parts_are_those_of_the_memory_however_it_lies_in_its_source(
    given_: tuple[MemoryImage, bytes],
) -> None:
    image, memory = given_
    assert image.used() == used_blocks(memory)
    assert image == MemoryImage.of(TYPE, memory)


@given(images(), ADDRESSES, ADDRESSES)
def test_any_part_is_read(given_: tuple[MemoryImage, bytes], start: int, end: int) -> None:
    image, memory = given_
    assert image.read(start, end) == memory[start:end]
    for address, piece in image.pieces([(start, end)]):
        assert piece == memory[address : min(address + memory_image.PIECE, end)]


@given(images())
def test_what_a_checkpoint_holds_is_known_once_it_has_been_checked(
    given_: tuple[MemoryImage, bytes],
) -> None:
    image, memory = given_
    snapshot = Snapshot("", bytes(32), "safepoint", None, (), (), (image,), (), (), (), ())
    (read,) = checkpoint.decode(checkpoint.encode(snapshot)).memories
    assert read.known == tuple(used_blocks(memory))
    assert read == image
