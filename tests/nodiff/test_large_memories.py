"""Memories that are an anonymous map, or become one as they grow: both paths see no difference."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import chiwawa
from chiwawa import api
from chiwawa.commands.diff import compare
from chiwawa.inspect import describe
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import BadInput, CheckpointError, ResourceError, Trap
from chiwawa_runtime.run.instance import Instance
from chiwawa_runtime.state import reserve
from chiwawa_runtime.state.memory import Memory
from chiwawa_runtime.state.types import PAGE, Limits, MemoryType
from tests.path_helpers import IN_PYTHON, PATHS, SHARING, each_path

MODULE = load("""(module
  (memory (export "m") 1)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "load8") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "store8") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "loadf") (param i32) (result f32) (f32.load (local.get 0)))
  (func (export "storef") (param i32 f32) (f32.store (local.get 0) (local.get 1)))
  (func (export "fill") (param i32 i32 i32)
    (memory.fill (local.get 0) (local.get 1) (local.get 2)))
  (func (export "copy") (param i32 i32 i32)
    (memory.copy (local.get 0) (local.get 1) (local.get 2)))
  (func (export "grown") (result i32)
    ;; The address is worked out before the memory is another object.
    (i32.store (i32.const 131072) (i32.add (memory.grow (i32.const 7)) (i32.const 5)))
    (i32.load (i32.const 131072)))
  (func (export "work") (param i32) (result i32) (local i32)
    (loop
      (i32.store (i32.mul (local.get 1) (i32.const 4096)) (local.get 1))
      (if (i32.eq (local.get 1) (i32.const 8)) (then (drop (memory.grow (i32.const 7)))))
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get 1) (local.get 0))))
    (i32.load (i32.const 32768))))""")

USER = load("""(module
  (import "m" "m" (memory 1))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1))))""")


@pytest.fixture(params=["bytes", "map", "growing"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """How memories of up to eight pages are held: as bytes, as a map, or as a map from the second
    page on."""
    least = {"bytes": 1 << 40, "map": 1, "growing": 2 * PAGE}[request.param]
    monkeypatch.setattr(reserve, "LAZY", least)
    return request.param


def both(path: str, other: str) -> tuple[Instance, Instance]:
    """An instance, and one on another path that has the same memory."""
    owner = api.instantiate(MODULE, path=path)
    return owner, api.instantiate(USER, {"m": owner.exports}, path=other)  # type: ignore[dict-item]


@pytest.mark.parametrize(("path", "other"), SHARING)
def test_all_who_have_a_memory_see_it_grow(kind: str, path: str, other: str) -> None:
    owner, sharing = both(path, other)
    data = owner.memory().data
    sharing.invoke("store", [8, 77])
    assert owner.invoke("grow", [7]) == [1]
    if not reserve.HAS_BUFFER_CLASSES:
        data = owner.memory().data
    assert len(data) == 8 * PAGE
    sharing.invoke("store", [8 * PAGE - 4, 99])
    owner.invoke("store", [4 * PAGE, 55])
    for instance in (owner, sharing):
        assert instance.invoke("load", [8]) == [77]
        assert instance.invoke("load", [8 * PAGE - 4]) == [99]
        assert instance.invoke("load", [4 * PAGE]) == [55]
    assert data[8] == 77
    assert data[4 * PAGE] == 55
    assert not any(data[PAGE : 4 * PAGE])


@each_path
def test_an_operand_that_makes_a_memory_grow_comes_before_its_bytes(kind: str, path: str) -> None:
    assert api.instantiate(MODULE, path=path).invoke("grown") == [6]


@each_path
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("load", [PAGE - 3]),
        ("load", [0xFFFFFFFF]),
        ("load8", [PAGE]),
        ("load8", [0xFFFFFFFF]),
        ("loadf", [PAGE - 3]),
        ("store", [PAGE - 3, 1]),
        ("store8", [PAGE, 1]),
        ("storef", [PAGE - 3, 1.0]),
        ("fill", [PAGE - 1, 1, 2]),
        ("copy", [0, PAGE - 1, 2]),
        ("copy", [PAGE - 1, 0, 2]),
    ],
)
def test_out_of_bounds_traps_and_writes_nothing(
    kind: str, path: str, name: str, args: list[Any]
) -> None:
    instance = api.instantiate(MODULE, path=path)
    with pytest.raises(Trap, match=r"^out of bounds memory access"):
        instance.invoke(name, args)
    assert not any(instance.memory().data)


@pytest.mark.parametrize("path", IN_PYTHON)
def test_while_somebody_holds_a_view_a_memory_does_not_grow(kind: str, path: str) -> None:
    instance = api.instantiate(MODULE, path=path)
    view = instance.memory().view()
    view[5] = 9
    if sys.implementation.name == "cpython":
        assert instance.invoke("grow", [7]) == [-1]
        assert instance.invoke("grow", [0]) == [1]
    assert instance.memory().size() == 1
    assert instance.invoke("load8", [5]) == [9]
    view.release()
    assert instance.invoke("grow", [7]) == [1]
    assert instance.invoke("load8", [5]) == [9]


def test_stopped_anywhere_the_bytes_are_the_same_and_go_on_anywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for stop in (3, 8, 9, 10, 11, 20):
        files = set()
        for least in (1, 2 * PAGE, 1 << 40):
            monkeypatch.setattr(reserve, "LAZY", least)
            for path in PATHS:
                run = api.start(MODULE, "work", [60], path=path, count=stop)
                assert not run.go()
                files.add(run.checkpoint())
        (data,) = files
        for least in (1, 2 * PAGE, 1 << 40):
            monkeypatch.setattr(reserve, "LAZY", least)
            for path in PATHS:
                run = api.restore(MODULE, data, path=path)
                assert run.checkpoint() == data
                assert run.go()
                assert run.results == [8]


def test_a_checkpoint_replaces_all_of_a_memory_that_was_imported(kind: str) -> None:
    module = load("""(module (import "m" "m" (memory 1))
      (func (export "f") (local i32)
        (loop
          (i32.store (i32.const 70000) (local.get 0))
          (local.set 0 (i32.add (local.get 0) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get 0) (i32.const 6))))))""")
    for path in IN_PYTHON:
        first = Memory(MemoryType(Limits(1)))
        first.grow(2)
        run = api.start(module, "f", (), {"m": {"m": first}}, path=path, count=5)
        assert not run.go()
        data = run.checkpoint()
        for pages in (1, 3, 5):
            other = Memory(MemoryType(Limits(1)))
            other.grow(pages - 1)
            other.fill(0, 1, pages * PAGE)
            run = api.restore(module, data, {"m": {"m": other}}, path=path)
            assert run.checkpoint() == data
            assert other.size() == 3
            run.go()
            assert other.data.unpack_from("<I", 70000) == (5,)


def test_a_memory_can_be_copied_and_pickled_whole(kind: str) -> None:
    memory = Memory(MemoryType(Limits(1)))
    memory.grow(2)
    memory.write(PAGE + 3, b"abc")
    again = copy.deepcopy(memory)
    assert again.type == memory.type
    assert again.data[:] == memory.data[:]
    again.write(0, b"x")
    assert memory.data[0] == 0


# What is too large.


@pytest.mark.parametrize("path", IN_PYTHON)
@pytest.mark.parametrize("can_map", [False, True])
def test_more_than_the_machine_has_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, path: str, can_map: bool
) -> None:
    def none(_size: int) -> Any:
        raise MemoryError

    monkeypatch.setattr(reserve, "CAN_MAP", can_map)
    monkeypatch.setattr(reserve, "_map", none)
    monkeypatch.setattr(reserve, "machine_bytes", lambda: 1 << 20)
    module = load('(module (memory 1024) (func (export "f") (drop (memory.grow (i32.const 1)))))')
    with pytest.raises(ResourceError, match="not enough memory: a memory of 1024 pages") as caught:
        api.instantiate(module, path=path)
    assert isinstance(caught.value, BadInput)
    small = api.instantiate(MODULE, path=path)
    assert small.invoke("grow", [1024]) == [-1]
    assert small.memory().size() == 1


def stopped_with(pages: int) -> bytes:
    """A checkpoint of a program whose memory has grown by so many pages of zeros."""
    module = growing(pages)
    run = api.start(module, "f", (), path="interp", count=3)
    assert not run.go()
    return run.checkpoint()


def growing(pages: int) -> Any:
    return load(f"""(module (memory 1)
      (func (export "f") (local i32)
        (drop (memory.grow (i32.const {pages})))
        (loop
          (local.set 0 (i32.add (local.get 0) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get 0) (i32.const 3))))))""")


@each_path
def test_a_restore_builds_no_more_than_is_allowed(path: str) -> None:
    few, data = growing(10), stopped_with(10)
    with pytest.raises(CheckpointError, match=rf"--max-memory {11 * PAGE} ") as caught:
        api.restore(few, data, path=path, limits=chiwawa.Limits(memory=11 * PAGE - 1))
    assert "\n" not in str(caught.value)
    assert api.restore(few, data, path=path, limits=chiwawa.Limits(memory=11 * PAGE)).go()
    assert api.restore(few, data, path=path).go()


@each_path
def test_four_gigabytes_of_zeros_in_a_small_file_are_refused_before_they_are_built(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, data = growing(10), stopped_with(10)
    snapshot = checkpoint.decode(data)
    (image,) = snapshot.memories
    large = type(image)(image.type, 65536 * PAGE, image.source, image.runs)
    object.__setattr__(snapshot, "memories", (large,))
    data = checkpoint.encode(snapshot)
    assert len(data) < 1000

    def unwanted(*_args: object, **_kwargs: object) -> Any:
        raise AssertionError("something was built")

    monkeypatch.setattr("chiwawa_runtime.run.instance.Instance", unwanted)
    with pytest.raises(CheckpointError, match="its memories take 4294967296 bytes"):
        api.restore(module, data, path=path)
    described = describe(checkpoint.decode(data), module, data)
    assert described["memories"][0]["bytes"] == 4 << 30
    assert described["memories"][0]["nonzero_bytes"] == 0
    assert compare(checkpoint.decode(data), snapshot)["equal"]


def test_a_memory_that_the_module_cannot_have_is_refused_before_it_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = stopped_with(10)
    snapshot = checkpoint.decode(data)
    (image,) = snapshot.memories
    wider = MemoryType(Limits(1, 65536))
    other = type(image)(wider, image.size, image.source, image.runs)
    object.__setattr__(snapshot, "memories", (other,))
    monkeypatch.setattr("chiwawa_runtime.run.instance.Instance", None)
    with pytest.raises(CheckpointError, match="its memories are not those of the module"):
        api.restore(growing(10), snapshot)


MEASURED = """
import resource, sys
sys.path[:0] = sys.argv[1:]
from chiwawa import api, paths
from chiwawa.commands.diff import compare
from chiwawa.inspect import describe
from chiwawa.source import load
from chiwawa_runtime import checkpoint
module = load('''(module (memory 16384)
  (func (export "f") (param i32) (result i32)
    (loop (i32.store (i32.const 0x3ffffffc) (local.get 0))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if 0 (local.get 0)))
    (drop (memory.grow (i32.const 8192)))
    (i32.load (i32.const 0x3ffffffc))))''')
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
before = peak()
for path in paths.names():
    run = api.start(module, "f", [9], path=path, count=5)
    assert not run.go()
    data = run.checkpoint()
    checkpoint.save("large.bin", run.snapshot())
    assert checkpoint.read_file("large.bin") == data
    run = api.restore(module, data, path=path)
    assert run.go() and run.results == [1]
    assert run.instance.memory().size() == 24576
    snapshot = checkpoint.decode(data)
    describe(snapshot, module, data)
    assert compare(snapshot, checkpoint.decode(data))["equal"]
print(peak() - before)
"""


@pytest.mark.skipif(not reserve.CAN_MAP, reason="only CPython on Linux reserves memory lazily")
def test_a_gigabyte_that_is_hardly_touched_takes_next_to_nothing(tmp_path: Any) -> None:
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, *sys.path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) < 100 << 20


# What hosts write.


@pytest.mark.parametrize(
    "write",
    [
        lambda data: data.__setitem__(slice(0, 4), b"12345678"),
        lambda data: data.__setitem__(slice(0, 4), b"123"),
        lambda data: data.__setitem__(slice(4, 4), b"1"),
        lambda data: data.__setitem__(slice(PAGE, PAGE + 4), b"1234"),
        lambda data: data.__setitem__(slice(0, 8, 2), b"123"),
        lambda data: data.__setitem__(slice(0, 4), "1234"),
        lambda data: data.__setitem__(0, 256),
        lambda data: data.__setitem__(0, -1),
        lambda data: data.__setitem__(0, "a"),
        lambda data: data.__setitem__(PAGE, 1),
        lambda data: data.pack_into("<I", PAGE - 3, 1),
        lambda data: data.__delitem__(0),
        lambda data: data.append(1),
        lambda data: data.extend(b"1"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    kind: str, write: Callable[[Any], None]
) -> None:
    import struct

    memory = Memory(MemoryType(Limits(1)))
    refusals = (ValueError, TypeError, IndexError, AttributeError, BufferError, struct.error)
    with pytest.raises(refusals):
        write(memory.data)
    assert memory.data[:] == bytes(PAGE)


def test_the_bytes_of_a_memory_are_what_a_bytearray_is(kind: str) -> None:
    memory = Memory(MemoryType(Limits(1)))
    memory.grow(1)
    data, model = memory.data, bytearray(2 * PAGE)
    for target in (data, model):
        target[0:4] = b"abcd"  # type: ignore[index]
        target[10:18:2] = memoryview(b"wxyz")  # type: ignore[index]
        target[-1] = 7  # type: ignore[index]
    data.pack_into("<Hd", 100, 65535, 0.5)
    model[100:110] = bytes.fromhex("ffff000000000000e03f")
    assert data.unpack_from("<Hd", 100) == (65535, 0.5)
    assert len(data) == len(model)
    assert bytes(data) == data[:] == model
    assert bytes(memoryview(data)) == model  # type: ignore[arg-type]
    assert list(data) == list(model)
    assert (data[3], data[-1], data[0:12:3]) == (model[3], model[-1], bytes(model[0:12:3]))
    assert 0x61 in data
    for index in (2 * PAGE, -2 * PAGE - 1):
        with pytest.raises(IndexError):
            data[index]


def test_a_memory_takes_a_copy_of_what_it_is_given() -> None:
    given = bytearray(PAGE)
    memory = Memory(MemoryType(Limits(1)), given)
    given[0] = 1
    given += b"more"
    assert memory.data[0] == 0
    assert memory.size() == 1
    for wrong in (b"", bytes(PAGE + 1), bytes(2 * PAGE)):
        with pytest.raises(ValueError, match="pages"):
            Memory(MemoryType(Limits(1, 1)), wrong)
    with pytest.raises(ValueError, match="shrink"):
        memory.grow(-1)
    for act in (
        lambda: memory.fill(-1, 0, 1),
        lambda: memory.fill(1, 0, -1),
        lambda: memory.copy(memory, -1, 0, 1),
        lambda: memory.copy(memory, 0, -1, 1),
        lambda: memory.copy(memory, 5, 5, -1),
    ):
        with pytest.raises(Trap):
            act()
    assert memory.size() == 1
