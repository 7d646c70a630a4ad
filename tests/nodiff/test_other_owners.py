"""State that another owner holds elsewhere, and that moves, makes no difference to anybody."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from chiwawa import At, Instruments, Match, Memory, Table, Tracer, Tracing, Wasi, api
from chiwawa.instrument.monitors.document import document
from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.instrument.tracing.tracer import RESOURCES
from chiwawa.source import load
from chiwawa_runtime.errors import Trap, UnsupportedError
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.interface import AnyGlobal, AnyMemory, AnyTable
from chiwawa_runtime.state.table import Room
from chiwawa_runtime.state.types import (
    EXTERNREF,
    FUNCREF,
    I32,
    PAGE,
    GlobalType,
    Limits,
    MemoryType,
    TableType,
)
from tests.nodiff.moving_state_helpers import (
    CountingGlobal,
    CountingTable,
    MovingMemory,
    MovingState,
    use_other_state,
)
from tests.path_helpers import PATHS, each_path, next_path

#: Writes, reads and grows in turn; calls through a table that grows too.
PROGRAM = load("""(module $busy
  (type $step (func (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get"
    (func $clock (param i32 i64 i32) (result i32)))
  (memory $ram (export "memory") 1 9)
  (table $steps (export "table") 2 8 funcref)
  (global $count (export "count") (mut i32) (i32.const 0))
  (global $half (export "half") (mut f32) (f32.const nan:0x200001))
  (global $fixed (export "fixed") i64 (i64.const -2))
  (global $last (mut funcref) (ref.null func))
  (data (i32.const 16) "\\20\\00\\00\\00\\04\\00\\00\\00\\40\\00\\00\\00\\03\\00\\00\\00")
  (data (i32.const 32) "abcd") (data (i32.const 64) "ef\\n")
  (data $more "ghijkl")
  (elem (i32.const 0) $add $twice)
  (elem $again func $twice $add)
  (func $add (type $step) (i32.add (local.get 0) (i32.const 3)))
  (func $twice (type $step) (i32.shl (local.get 0) (i32.const 1)))
  (func (export "run") (param $n i32) (result i32) (local $at i32)
    (loop $next
      (global.set $count (i32.add (global.get $count) (i32.const 1)))
      (drop (call $write (i32.const 1) (i32.const 16) (i32.const 2) (i32.const 8)))
      (drop (call $read (i32.const 0) (i32.const 16) (i32.const 2) (i32.const 12)))
      (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 80)))
      (local.set $at (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
      (if (i32.gt_s (local.get $at) (i32.const 0))
        (then
          (i32.store offset=65532 (local.get $at) (global.get $count))
          (i64.store8 offset=7 (local.get $at) (i64.const 255))
          (memory.init $more (i32.add (local.get $at) (i32.const 96)) (i32.const 0) (i32.const 6))
          (memory.copy (i32.const 128) (i32.add (local.get $at) (i32.const 96)) (i32.const 6))
          (memory.fill (i32.add (local.get $at) (i32.const 200)) (i32.const 7) (i32.const 9))))
      (drop (table.grow $steps (ref.func $add) (i32.const 1)))
      (table.init $steps $again (i32.const 1) (i32.const 0) (i32.const 1))
      (global.set $last (table.get $steps (i32.const 1)))
      (global.set $count
        (call_indirect $steps (type $step)
          (global.get $count) (i32.and (local.get $n) (i32.const 1))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (data.drop $more)
    (i32.add (global.get $count) (i32.load (i32.const 32)))))
""")


@dataclass
class Story:
    """All that can be seen of a run."""

    checkpoints: list[bytes] = field(default_factory=list)
    trace: str = ""
    probed: list[object] = field(default_factory=list)
    output: bytes = b""
    monitors: str = ""
    ending: list[object] = field(default_factory=list)


def look(story: Story, out: io.StringIO) -> Instruments:
    """What looks at each leg of a run: a trace, all monitors, and a probe that writes, and has the
    run stop in each round."""
    tracing = Tracing(resources=frozenset(RESOURCES))
    instruments = Instruments(
        PROGRAM, monitors=list(MONITORS), tracer=Tracer(PROGRAM, tracing, out)
    )

    def change(at: At) -> None:
        memory = at.memory()
        place = len(memory) - PAGE
        with pytest.raises(IndexError):
            memory.read(len(memory) - 1, 2)
        story.probed.append((at.offset, place, memory.read(0, 256), memory.read(place, 256)))
        memory.write(place + 1000, bytes(range(len(story.probed))))
        at.set_global(0, at.globals[0] + 1)
        at.checkpoint()

    instruments.probe(Match(op="call_indirect"), change, writes=True)
    return instruments


def tell(legs: Sequence[tuple[str, bool]]) -> Story:
    """The program run to its end, carried on in each round as the next leg says: on that path, and
    whether with state of another owner. The last leg goes on to the end."""
    story = Story()
    stdin, stdout = io.BytesIO(bytes(range(65, 91))), io.BytesIO()
    run: Run | None = None
    for number, (path, other) in enumerate(legs):
        with pytest.MonkeyPatch.context() as patch:
            if other:
                use_other_state(patch)
            out = io.StringIO()
            instruments = look(story, out)
            if run is None:
                wasi = Wasi([], {}, [], stdin, stdout, stdout, deterministic=True)
                run = api.start(PROGRAM, "run", [6], path=path, wasi=wasi, instruments=instruments)
            else:
                data = story.checkpoints[-1]
                wasi = Wasi.load(data, [], stdin, stdout, stdout)
                run = api.restore(PROGRAM, data, path=path, wasi=wasi, instruments=instruments)
            while not run.go():
                run.requests.take()
                story.checkpoints.append(run.checkpoint())
                if number + 1 < len(legs):
                    break
            instruments.finish()
            story.trace += out.getvalue()
            if other:
                assert isinstance(run.instance.memory(), MovingMemory)
                assert MovingState.moves > 0
                assert MovingState.looked > 20
    assert run is not None
    story.output = stdout.getvalue()
    story.monitors = json.dumps(document(instruments.observed(), list(MONITORS)))
    instance = run.instance
    tables, globals_ = instance.tables, instance.globals
    story.ending = [
        run.results,
        bytes(instance.memory().data[:]),
        [[getattr(f, "name", f) for f in table.elements] for table in tables],
        [struct.pack("<d", v) if isinstance(v := g.value, float) else str(v) for g in globals_],
    ]
    return story


@each_path
def test_a_run_is_the_same_whoever_owns_its_state(path: str) -> None:
    ours, theirs = tell([(path, False)]), tell([(path, True)])
    assert len(ours.checkpoints) == 6
    assert ours == theirs


@each_path
def test_a_run_goes_from_owner_to_owner(path: str) -> None:
    other = next_path(path)
    paths = [path, other, path, other, path]
    ours = tell([(path, False) for path in paths])
    turns = tell([(path, bool(turn % 2)) for turn, path in enumerate(paths)])
    theirs = tell([(path, True) for path in paths])
    assert ours == turns == theirs
    assert len(ours.checkpoints) >= len(paths)


def test_what_is_out_of_bounds_traps_whoever_owns_it(monkeypatch: pytest.MonkeyPatch) -> None:
    use_other_state(monkeypatch)
    for segment in ('(data (i32.const 65533) "abcd")', "(elem (i32.const 3) func $f $f)"):
        module = load(f"(module (memory 1) (table 4 funcref) (func $f) {segment})")
        for path in PATHS:
            with pytest.raises(Trap, match="out of bounds"):
                api.instantiate(module, path=path)


@each_path
def test_two_instances_share_state_of_another_owner(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves while another instance has it."""
    use_other_state(monkeypatch)
    library = api.instantiate(LIBRARY, path=path)
    user = api.instantiate(USER, {"library": library.exports}, path=path)
    assert user.invoke("grow_there_and_read") == [0xAB]
    assert library.invoke("read", [PAGE]) == [0xCD]
    assert user.exports["offset"].value == 8  # type: ignore[union-attr]
    assert library.memory().data[8:11] == b"xyz"


LIBRARY = load("""(module
  (memory (export "memory") 1 4)
  (table (export "table") 4 funcref)
  (global (export "base") i32 (i32.const 8))
  (func (export "grow") (drop (memory.grow (i32.const 1)))
    (i32.store8 (i32.const 65535) (i32.const 0xab)))
  (func (export "read") (param i32) (result i32) (i32.load8_u (local.get 0))))
""")
USER = load("""(module
  (import "library" "memory" (memory 1))
  (import "library" "table" (table 4 funcref))
  (import "library" "base" (global $base i32))
  (import "library" "grow" (func $grow))
  (global (export "offset") i32 (global.get $base))
  (data (offset (global.get $base)) "xyz")
  (elem (i32.const 3) func $grow)
  (func (export "grow_there_and_read") (result i32)
    (call_indirect (i32.const 3))
    (i32.store8 (i32.const 65536) (i32.const 0xcd))
    (i32.load8_u (i32.const 65535))))
""")


OTHERS: list[tuple[str, str, AnyMemory | AnyTable | AnyGlobal]] = [
    ("memory", "(memory 1)", MovingMemory(MemoryType(Limits(1)))),
    ("table", "(table 1 funcref)", CountingTable(TableType(Limits(1), FUNCREF), Room())),
    ("global", "(global i32)", CountingGlobal(GlobalType(I32, mutable=False), 1)),
]


@pytest.mark.parametrize(
    ("path", "kind", "wanted", "given"),
    # Of a global that does not change, machine code takes the value.
    [(p, *other) for p in PATHS for other in OTHERS if (p, other[0]) != ("native", "global")],
)
def test_an_engine_refuses_what_its_functions_cannot_run_over(
    path: str, kind: str, wanted: str, given: AnyMemory | AnyTable | AnyGlobal
) -> None:
    module = load(f'(module (import "a" "b" {wanted}))')
    with pytest.raises(UnsupportedError) as caught:
        api.instantiate(module, {"a": {"b": given}}, path=path)
    assert str(caught.value) == f'"a" "b": a {kind} that another engine owns is not supported'


def test_ours_takes_copies_from_other_owners() -> None:
    other = MovingMemory(MemoryType(Limits(1)))
    other.write(5, b"hello")
    memory = Memory(MemoryType(Limits(1)))
    memory.copy(other, 10, 5, 5)
    assert memory.data[9:16] == b"\0hello\0"
    with pytest.raises(Trap):
        memory.copy(other, 0, PAGE - 1, 2)
    table = Table(TableType(Limits(3), EXTERNREF))
    others = CountingTable(TableType(Limits(3), EXTERNREF), Room())
    others.set(1, "there")
    table.copy(others, 2, 1, 1)
    assert table.elements == (None, None, "there")
    for dst, src in ((3, 0), (0, 3)):
        with pytest.raises(Trap):
            table.copy(others, dst, src, 1)


def test_ranges_of_a_memory_are_gathered_within_its_bounds() -> None:
    ours, other = Memory(MemoryType(Limits(1))), MovingMemory(MemoryType(Limits(1)))
    for memory in (ours, other):
        memory.write(5, b"hello")
        assert memory.gather([(9, 2), (5, 2), (0, 0)]) == b"o\0he"
        assert memory.gather([(5, 5)]) == b"hello"
        assert memory.gather([]) == b""
        for ranges in ([(0, 1), (PAGE, 1)], [(PAGE - 1, 2)], [(-1, 1), (0, 1)], [(0, 1), (0, -1)]):
            with pytest.raises(Trap):
                memory.gather(ranges)


def test_the_raw_side_is_for_engines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard of these tests works."""
    use_other_state(monkeypatch)
    instance = api.instantiate(LIBRARY)
    for thing in (instance.memory(), instance.tables[0], instance.globals[0]):
        with pytest.raises(AssertionError, match="raw side"):
            thing.raw  # noqa: B018
