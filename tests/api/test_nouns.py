"""What embedders use: exports, values, runs and linkers, alike on every path."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from chiwawa import F64, I32, I64, FuncType, GlobalType, MemoryType, TableType
from tests.path_helpers import PATHS, each_path

TEXT = """(module $nouns
  (import "h" "seen" (func $seen (param i32 i64) (result i64)))
  (memory (export "memory") 1 2)
  (table (export "table") 2 funcref)
  (elem (i32.const 0) $add)
  (tag (export "tag") (param i32))
  (global (export "total") (mut i64) (i64.const -3))
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "both") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
  (func (export "nothing"))
  (func (export "itself") (result funcref) (ref.func $add))
  (func (export "show") (param i32 i64) (result i64) (call $seen (local.get 0) (local.get 1)))
  (func (export "raise") (throw 0 (i32.const -1)))
  (func (export "forever") (param i32)
    (loop $on (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br $on)))
  (func (export "count") (param i32) (result i32)
    (loop $on (br_if $on (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.const -7)))"""


def seen(number: int, other: int) -> int:
    return number + other


def instance_of(path: str, host: Any = seen) -> chiwawa.Instance:
    return chiwawa.instantiate(chiwawa.load(TEXT), {"h": {"seen": host}}, path=path)


@each_path
def test_functions_are_called_wherever_they_come_from(path: str) -> None:
    instance = instance_of(path)
    adds = (
        instance.exports["add"],
        instance.exports.add,
        instance.func("add"),
        instance.table("table").get(0),
        instance.exports.itself(),
        instance.call("itself"),
    )
    for add in adds:
        assert add(2, 3) == 5
        assert add(2, -3) == add(2, 0xFFFF_FFFD) == -1
    assert {id(add) for add in adds} == {id(adds[0])}


@each_path
def test_a_call_gives_one_value_or_several_or_none(path: str) -> None:
    exports = instance_of(path).exports
    assert exports.nothing() is None
    assert exports.both(-1, -2) == (-2, -1)
    assert exports.both(0xFFFF_FFFF, (1 << 64) - 2) == (-2, -1)


@each_path
def test_integers_that_come_out_are_signed_wherever_they_do(path: str) -> None:
    given: list[tuple[int, int]] = []

    def look(number: int, other: int) -> int:
        given.append((number, other))
        return (1 << 64) - 5

    instance = instance_of(path, look)
    assert instance.exports.show(-1, -2) == -5
    assert instance.exports.show(0x8000_0000, 1 << 63) == -5
    assert instance.exports.show(0x7FFF_FFFF, (1 << 63) - 1) == -5
    assert given == [
        (-1, -2),
        (-0x8000_0000, -(1 << 63)),
        (0x7FFF_FFFF, (1 << 63) - 1),
    ]
    total = instance.global_("total")
    assert total.value == -3
    total.value = (1 << 64) - 4
    assert total.value == -4
    with pytest.raises(chiwawa.Thrown) as thrown:
        instance.exports["raise"]()
    assert thrown.value.values == [-1]
    assert thrown.value.tag is instance.tag("tag")
    run = instance.start("count", 3)
    assert run.resume()
    assert (run.result, run.results) == (-7, [-7])
    assert instance.invoke("count", [3]) == [-7]


@each_path
def test_a_host_function_may_have_integers_as_the_program_does(path: str) -> None:
    given: list[tuple[int, int]] = []
    functype = FuncType((I32, I64), (I64,))

    def look(number: int, other: int) -> int:
        given.append((number, other))
        return 0

    host = chiwawa.HostFunction(functype, look, unsigned=True)
    instance_of(path, host).exports.show(-1, -2)
    assert given == [(0xFFFF_FFFF, (1 << 64) - 2)]


@each_path
def test_a_host_function_that_an_instance_exports_is_called_too(path: str) -> None:
    module = chiwawa.load(
        """(module (import "h" "f" (func (param i32 f64) (result f64 i32)))
          (export "f" (func 0)))"""
    )
    given: list[Any] = []

    def f(number: int, other: float) -> tuple[float, int]:
        given.append((number, other))
        return other, number

    exports = chiwawa.instantiate(module, {"h": {"f": f}}, path=path).exports
    assert exports.f(0xFFFF_FFFE, 2) == (2.0, -2)
    assert given == [(-2, 2.0)]
    with pytest.raises(TypeError, match="takes 2 arguments, not 1"):
        exports.f(1)


@each_path
def test_memories_take_addresses_in_either_form(path: str) -> None:
    memory = instance_of(path).memory("memory")
    memory.write(65532, b"last")
    assert memory.read(65532 - (1 << 32), 4) == b"last"
    memory.write(65532 - (1 << 32), b"end.")
    assert memory.read(65532, 4) == b"end."
    with pytest.raises(chiwawa.Trap, match="out of bounds memory access"):
        memory.read(-4, 4)


@each_path
def test_what_is_not_exported_is_said(path: str) -> None:
    instance = instance_of(path)
    with pytest.raises(KeyError, match=r"no exported function .*memory"):
        instance.func("memory")
    with pytest.raises(KeyError):
        instance.memory("add")
    with pytest.raises(KeyError):
        instance.exports["none"]
    with pytest.raises(AttributeError, match='no export "none"'):
        instance.exports.none  # noqa: B018
    with pytest.raises(TypeError, match="add takes 2 arguments, not 1"):
        instance.exports.add(1)
    with pytest.raises(ValueError, match="out of range for i32"):
        instance.exports.add(1, 1 << 32)
    assert set(instance.exports) <= {*dir(instance.exports)}


@each_path
def test_everything_shows_what_it_is(path: str) -> None:
    instance = instance_of(path)
    exports = instance.exports
    assert repr(exports.memory) == "<memory of 65536 bytes>"
    assert repr(exports.table) == "<table of 2 funcref>"
    assert repr(exports.total) == "<global (mut i64) -3>"
    assert repr(exports.tag) == "<tag tag [i32] -> []>"
    assert repr(exports.add) == "<function add [i32 i32] -> [i32]>"
    assert repr(exports).startswith("<exports: memory, table, tag, total, add, both,")
    assert repr(instance).startswith("<instance nouns of memory, table,")
    run = instance.start("count", 1)
    assert repr(run).endswith(": stopped>")


def test_types_are_there_without_an_instance(tmp_path: Path) -> None:
    module = chiwawa.load(TEXT)
    chiwawa.compile_file(module, tmp_path / "nouns.py")
    chiwawa.compile_native(module, tmp_path / "nouns.wasm")
    generated = chiwawa.load_generated(tmp_path / "nouns.py")
    native = chiwawa.load_native(tmp_path / "nouns.wasm")
    for each in (module, generated, native):
        (wanted,) = each.imports
        assert (wanted.module, wanted.name) == ("h", "seen")
        assert wanted.type == FuncType((I32, I64), (I64,))
        types = {export.name: export.type for export in each.exports}
        assert types["memory"] == MemoryType.of(1, 2)
        assert types["table"] == TableType.of(chiwawa.FUNCREF, 2)
        assert types["total"] == GlobalType(I64, True)
        assert types["both"] == FuncType((I32, I64), (I64, I32))
        tag = types["tag"]
        assert isinstance(tag, chiwawa.TagType)
        assert tag.type.params == (I32,)
    assert repr(module) == f"<module nouns: 1 imports, {len(module.exports)} exports>"
    assert F64 not in types.values()


@each_path
def test_a_run_stands_in_frames_and_is_forked(path: str) -> None:
    module = chiwawa.load(TEXT)
    instance = instance_of(path)
    run = instance.start("count", 5)
    assert run.frames == ()
    instance.stop()
    assert not run.resume()
    assert run.reasons == ["stopped"]
    (frame,) = run.frames
    assert (frame.name, frame.locals, frame.operands) == ("count", (5,), ())
    assert frame.local_types == (I32,)
    data = run.checkpoint()
    imports = {"h": {"seen": seen}}
    forks = [chiwawa.restore(module, data, imports, path=other) for other in PATHS for _ in "ab"]
    for fork in forks:
        assert fork.frames[0].locals == (5,)
        assert fork.resume()
        assert fork.result == -7
    assert run.resume()
    assert run.frames == ()


@each_path
def test_another_thread_stops_a_call(path: str) -> None:
    """And what it has stopped can go on."""
    instance = instance_of(path)
    began = threading.Event()

    def stop() -> None:
        began.wait()
        instance.stop()

    def look(number: int, other: int) -> int:
        began.set()
        return 0

    module = chiwawa.load(
        """(module (import "h" "began" (func $began (param i32 i64) (result i64)))
          (func (export "f") (param i32)
            (drop (call $began (i32.const 0) (i64.const 0)))
            (loop $on (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br $on))))"""
    )
    instance = chiwawa.instantiate(module, {"h": {"began": look}}, path=path)
    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(chiwawa.Stopped) as stopped:
        instance.exports.f(5)
    thread.join()
    assert stopped.value.reasons == ["stopped"]
    run = stopped.value.run
    data = run.checkpoint()
    assert chiwawa.restore(module, data, {"h": {"began": look}}, path="interp").frames[0].name
    instance.requests.ask("again")
    assert not run.resume()
    # The instance is free for other calls.
    instance.stop()
    with pytest.raises(chiwawa.Stopped):
        instance.call("f", 1)


@each_path
def test_a_call_back_is_not_stopped_in_the_middle(path: str) -> None:
    got: list[int] = []

    def look(number: int, other: int) -> int:
        instance.stop()
        got.append(instance.exports.count(3))
        return 0

    instance = instance_of(path, look)
    asked = instance.start("show", 1, 2)
    assert asked.resume()
    with pytest.raises(chiwawa.Stopped):
        instance.exports.count(3)
    assert got == [-7]


@each_path
def test_a_linker_gives_instances_what_those_before_them_have(path: str) -> None:
    linker = chiwawa.Linker({"h": {"seen": seen}})
    linker.define_instance("nouns", chiwawa.instantiate(chiwawa.load(TEXT), linker, path=path))
    linker.define("env", "none", lambda: None)
    assert repr(linker).startswith("<linker: h.seen, nouns.memory,")
    user = chiwawa.load(
        """(module (import "nouns" "add" (func $add (param i32 i32) (result i32)))
          (import "env" "none" (func $none))
          (func (export "f") (result i32) (call $none)
            (call $add (i32.const -3) (i32.const 1))))"""
    )
    run = chiwawa.start(user, "f", (), linker, path=path)
    assert run.resume()
    assert run.result == -2
