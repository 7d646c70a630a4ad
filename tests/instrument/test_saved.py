"""The monitors' section of a checkpoint: counts come back from it; what is damaged is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chiwawa.instrument.counting import saved
from chiwawa.instrument.counting.observed import KINDS, Node, Observed
from chiwawa.instrument.counting.saved import decode, encode
from chiwawa.instrument.monitors.document import csv_text, document, stats_text, text
from chiwawa.instrument.monitors.flamegraphs import collapsed, speedscope
from chiwawa.instrument.monitors.monitors import MONITORS, table
from chiwawa.module import Module
from chiwawa.source import load
from chiwawa_runtime.checkpoint.leb import encode_u
from chiwawa_runtime.errors import CheckpointError
from tests.instrument.watching_helpers import raw, started
from tests.nodiff.harness_helpers import Call

EVERYTHING = frozenset(KINDS)
MOST = 2**64 - 1

#: A bit of everything that is counted. Function 0 is the host's.
BUSY = """(module $busy
  (import "env" "tell" (func $tell (param i32)))
  (memory 2)
  (memory $other 1)
  (table 3 funcref)
  (elem (i32.const 0) $tell $small $large)
  (type $one (func (param i32)))
  (func $small (param i32) (i32.store (i32.const 65536) (local.get 0)))
  (func $large (param $n i32)
    (block $two (block $one (block $zero
      (br_table $zero $one $two (i32.rem_u (local.get $n) (i32.const 4))))
      (memory.fill (i32.const 0) (i32.const 7) (local.get $n)))
      (memory.copy $other 0 (i32.const 0) (i32.const 0) (local.get $n))
      (drop (memory.grow $other (i32.const 0))))
    (if (i32.gt_u (local.get $n) (i32.const 40)) (then (call $small (i32.const 2)))))
  (func $empty)
  (func (export "main") (param $n i32)
    (loop $again
      (call_indirect (type $one) (local.get $n) (i32.rem_u (local.get $n) (i32.const 3)))
      (call $empty)
      (drop (i32.load $other (i32.const 8)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
"""


@cache
def busy() -> Module:
    return load(BUSY)


@cache
def counted() -> tuple[Observed, bytes]:
    """What is counted of a run, and its section."""
    call = Call(busy(), "main", (50,), lambda log: {"env": {"tell": lambda value: None}})
    run = started(call, "interp", None, MONITORS)
    assert run.go()
    observed = run.instruments.observed()
    data = run.instruments.save()
    assert data is not None
    return observed, data


def plain(observed: Observed) -> object:
    """An Observed, comparable: rows of all its parts."""
    numbers: dict[Node, int] = {}
    tree = []
    for number, node in enumerate(observed.tree.walk()):
        numbers[node] = number
        parent = -1 if node.parent is None else numbers[node.parent]
        tree.append((parent, node.function, node.calls, node.instructions))
    return raw(observed), tree


@contextmanager
def small(size: int = 30_000_000) -> Iterator[None]:
    """What takes little memory, where Python can tell."""
    try:
        import tracemalloc
    except ImportError:
        tracemalloc = None  # type: ignore[assignment]
    if tracemalloc is not None:
        tracemalloc.start()
    try:
        yield
        if tracemalloc is not None:
            assert tracemalloc.get_traced_memory()[1] < size
    finally:
        if tracemalloc is not None:
            tracemalloc.stop()


def read(observed: Observed) -> None:
    """Have everything that reads counts read these."""
    tables = [table(name, observed) for name in MONITORS]
    assert text(tables)
    assert csv_text(tables)
    assert document(observed, list(MONITORS))
    assert stats_text(observed)
    collapsed(observed)
    speedscope(observed, "title")


def refused(data: bytes, module: Module | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        decode(data, module or busy())
    message = str(caught.value)
    assert message.startswith("the monitors' counts in the checkpoint: ")
    assert "\n" not in message
    return message


# There and back.


def test_what_a_run_counted_comes_back() -> None:
    observed, data = counted()
    kinds, again = decode(data, busy())
    assert kinds == EVERYTHING
    assert plain(again) == plain(observed)
    assert encode(again, kinds) == data
    assert observed.targets
    assert observed.bulk
    assert len(observed.arms) == 2
    assert observed.pages.keys() == {0, 1}
    read(again)


numbers = st.integers(1, 3) | st.integers(1, MOST)


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    """Counts of the busy module, as far as a section can say them."""
    module = busy()
    found = Observed(module, gaps=draw(st.integers(0, 255)))
    for index, function in enumerate(module.funcs, 1):
        size = len(function.body)
        counts = draw(st.lists(st.sampled_from([0, 1, 7, MOST]), min_size=size, max_size=size))
        if any(counts):
            found.counts[index] = counts
        for instr in function.body:
            place = index, instr.offset
            if instr.op.name in ("br_if", "br_table") and draw(st.booleans()):
                arms = 2 if instr.op.name == "br_if" else len(instr.imm[0].labels) + 1
                found.arms[place] = draw(st.lists(numbers, min_size=arms, max_size=arms))
            elif instr.op.name == "call_indirect":
                callee = st.none() | st.integers(0, 4)
                targets = draw(st.dictionaries(callee, numbers, max_size=4))
                if targets:
                    found.targets[place] = targets
    pages = st.dictionaries(
        st.integers(0, 2**49), st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=4
    )
    found.pages = draw(st.dictionaries(st.integers(0, 1), pages))
    asked = st.tuples(st.integers(0, 1), st.sampled_from(saved.BULK))
    found.bulk = draw(st.dictionaries(asked, st.lists(numbers, min_size=2, max_size=2)))
    nodes = [found.tree]
    for _ in range(draw(st.integers(0, 12))):
        node = draw(st.sampled_from(nodes)).child(draw(st.integers(0, 4)))
        node.calls, node.instructions = draw(numbers), draw(numbers)
        nodes.append(node)
    return found


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(observations())
def test_whatever_was_counted_comes_back(observed: Observed) -> None:
    data = encode(observed, KINDS)
    kinds, again = decode(data, busy())
    assert kinds == EVERYTHING
    assert plain(again) == plain(observed)
    assert encode(again, kinds) == data
    read(again)


def test_a_count_beyond_what_the_section_holds_stays_at_the_most() -> None:
    observed = Observed(busy(), gaps=1000)
    observed.tree.child(1).calls = MOST + 1
    _, again = decode(encode(observed, KINDS), busy())
    assert again.gaps == 255
    assert again.tree.child(1).calls == MOST


# Damage.


def test_flipped_bits_are_refused_or_are_other_counts() -> None:
    _, data = counted()
    accepted = 0
    messages = set()
    with small():
        for bit in range(len(data) * 8):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            try:
                kinds, observed = decode(bytes(changed), busy())
            except CheckpointError as error:
                messages.add(str(error))
            else:
                accepted += 1
                assert encode(observed, kinds) == changed
                if accepted % 40 == 0:
                    read(observed)
    assert not any("\n" in message for message in messages)
    assert accepted > 100


def test_a_section_cut_short_or_with_more_is_refused() -> None:
    _, data = counted()
    for size in range(len(data)):
        refused(data[:size])
    refused(data + b"\0")


def test_random_damage_is_refused_or_read() -> None:
    _, data = counted()
    chance = random.Random(3)
    with small():
        for _ in range(2000):
            changed = bytearray(data)
            for _ in range(chance.choice((1, 2, 5, 20))):
                at = chance.randrange(len(changed))
                kind = chance.randrange(3)
                if kind == 0:
                    changed[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
                elif kind == 1:
                    del changed[at : at + chance.randrange(4)]
                else:
                    changed[at:at] = changed[at : at + chance.randrange(9)]
            # Whatever else it raises is a failure.
            with suppress(CheckpointError):
                decode(bytes(changed), busy())


def vec(*items: bytes) -> bytes:
    return encode_u(len(items)) + b"".join(items)


def u(*values: int) -> bytes:
    return b"".join(map(encode_u, values))


def section(
    counts: bytes = b"\0",
    arms: bytes = b"\0",
    targets: bytes = b"\0",
    pages: bytes = b"\0",
    bulk: bytes = b"\0",
    tree: bytes = b"\0",
    *,
    head: bytes = b"\0\x01\x1f",
) -> bytes:
    return head + counts + arms + targets + pages + bulk + tree


def offset_of(name: str, function: int) -> int:
    body = busy().funcs[function - 1].body
    return next(i.offset for i in body if i.op.name == name)


def test_an_empty_section_is_one() -> None:
    kinds, observed = decode(section(), busy())
    assert (kinds, plain(observed)) == (EVERYTHING, plain(Observed(busy())))


BR_IF, CALL = u(4, offset_of("br_if", 4)), u(4, offset_of("call_indirect", 4))
NODE = u(0, 4, 1, 1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "unexpected end"),
        (section(head=b"\0\x02\x1f"), "version 2, and this chiwawa reads 1"),
        (section(head=b"\0\x81\x00\x1f"), "too long"),
        (section(head=b"\0\x01\x3f"), "canonical"),
        (section(counts=b"\xff\xff\xff\xff\x0f"), "length out of bounds"),
        (section(counts=b"\xff\xff\xff\xff\x1f"), "integer"),
        (section(counts=vec(u(9, 0))), "unknown function 9"),
        (section(counts=vec(u(0, 0))), "function 0 is imported"),
        (section(counts=vec(u(1, 1, 1000, 1))), "unknown instruction 1000"),
        (section(counts=vec(u(1, 2, 1, 1, 0, 2))), "canonical"),
        (section(counts=vec(u(1, 2, 0, 1, 1, 1))), "canonical"),
        (section(counts=vec(u(1, 1, 0, 0))), "canonical"),
        (section(counts=vec(u(1, 0))), "canonical"),
        (section(counts=vec(u(1, 1, 0, 1), u(1, 1, 0, 1))), "not in order"),
        (section(counts=vec(u(2, 1, 0, 1), u(1, 1, 0, 1))), "not in order"),
        (section(arms=vec(u(4, 999) + vec(u(1), u(1)))), "br_on_cast_fail at 0x03e7"),
        (section(arms=vec(CALL + vec(u(1), u(1)))), "no br_if or br_table"),
        (section(arms=vec(BR_IF + vec(u(1)))), "wrong number of arms"),
        (section(arms=vec(BR_IF + b"\xff\xff\x03")), "length out of bounds"),
        (section(arms=vec(*[BR_IF + vec(u(1), u(1))] * 2)), "not in order"),
        (section(targets=vec(BR_IF + vec())), "no call_indirect"),
        (section(targets=vec(CALL + vec(b"\x02" + u(1)))), "a flag"),
        (section(targets=vec(CALL + vec(b"\x01" + u(5, 1)))), "unknown function 5"),
        (section(targets=vec(CALL + vec(*[b"\x01" + u(1, 1)] * 2))), "canonical"),
        (section(targets=vec(CALL + vec(b"\x01" + u(1, 1), b"\0" + u(1)))), "canonical"),
        (section(pages=vec(u(2, 0))), "unknown memory 2"),
        (section(pages=vec(u(0, 2, 1, 1, 1, 1, 1, 1))), "canonical"),
        (section(pages=vec(u(0, 0), u(0, 0))), "not in order"),
        (section(bulk=vec(u(0, 4) + b"name" + u(1, 1))), "unknown instruction of a memory"),
        (section(bulk=vec(u(0, 2) + b"\xff\xfe" + u(1, 1))), "UTF-8"),
        (section(bulk=vec(u(0, 99) + b"memory.fill" + u(1, 1))), "unexpected end"),
        (section(bulk=vec(*[u(0, 11) + b"memory.fill" + u(1, 1)] * 2)), "not in order"),
        (section(tree=vec(u(1, 4, 1, 1))), "unknown node 1"),
        (section(tree=vec(u(0, 5, 1, 1))), "unknown function 5"),
        (section(tree=vec(NODE, NODE)), "canonical"),
        (section(tree=vec(u(0, 4, 1, 1), u(0, 1, 1, 1))), "canonical"),
        (section(tree=vec(u(0, 1, 1, 1), u(0, 2, 1, 1), u(1, 1, 1, 1))), "canonical"),
        (section(tree=vec(NODE), head=b"\0\x01\x0f"), "tree, which were not counted"),
        (section(counts=vec(u(1, 1, 0, 1)), head=b"\0\x01\x1e"), "counts, which were not"),
        (section(bulk=vec(u(0, 11) + b"memory.fill" + u(1, 1)), head=b"\0\x01\x17"), "pages"),
        (section() + b"\0", "section size mismatch"),
    ],
)
def test_what_no_run_can_have_written_is_refused(data: bytes, message: str) -> None:
    with small():
        assert message in refused(data)


def test_a_function_repeated_without_end_takes_no_memory() -> None:
    body = "nop " * 20_000
    module = load(f"(module (func {body}) (func {body}))")
    with small():
        refused(section(counts=vec(*[u(0, 0), u(1, 0)] * 50_000)), module)
        refused(section(arms=vec(*[u(0, 1, 0)] * 50_000)), module)


def test_each_of_very_many_branches_is_found() -> None:
    count = 20_000
    module = load(f"(module (func {'(br_if 0 (i32.const 0)) ' * count}))")
    offsets = [i.offset for i in module.funcs[0].body if i.op.name == "br_if"]
    data = section(arms=vec(*[u(0, offset, 2, 1, 0) for offset in offsets]))
    _, observed = decode(data, module)
    assert len(observed.arms) == count


@pytest.mark.parametrize("deep", [True, False])
def test_a_tree_of_very_many_nodes_is_read(deep: bool) -> None:
    count = 100_000
    module = load(f"(module {'(func)' * (1 if deep else count)})")
    rows = [u(n, 0, 1, 1) if deep else u(0, n, 1, 1) for n in range(count)]
    kinds, observed = decode(section(tree=vec(*rows)), module)
    assert sum(node.calls for node in observed.tree.walk()) == count
    assert encode(observed, kinds) == section(tree=vec(*rows))
    if deep:
        collapsed(observed)
        speedscope(observed, "deep")


def test_a_number_is_no_promise_of_memory() -> None:
    with small(size=1_000_000):
        for at in range(6):
            parts = [b"\0"] * at + [b"\xff\xff\xff\xff\x0f"]
            refused(section(*parts))
        # As many bytes as that promises elements, all wrong.
        refused(section(tree=encode_u(100_000) + b"\xff" * 100_000))
