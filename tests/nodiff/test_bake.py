"""Modules baked from idle checkpoints, on our paths, in wasmtime, and in Node."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import chiwawa
from tests.cli.cli_helpers import HANGS, one_line, python
from tests.need_helpers import need
from tests.path_helpers import PATHS, each_path

#: Changes all that a state has, and looks at it: what is memory, tables and globals, which were
#: grown and set; what is dropped, and what is not.
STATE = """(module $state
  (type $unary (func (param i32) (result i32)))
  (import "env" "twice" (func $twice (param i32) (result i32)))
  (memory $m (export "memory") 1 9) (memory $wide (export "wide") i64 1)
  (table $t (export "table") 2 20 funcref) (table $typed 2 (ref null $unary))
  (global $n (mut i32) (i32.const 0)) (global $long (mut i64) (i64.const 0))
  (global $single (mut f32) (f32.const 0)) (global $double (mut f64) (f64.const 0))
  (global $vector (mut v128) (v128.const i64x2 0 0))
  (global $function (mut funcref) (ref.null func))
  (global $external (mut externref) (ref.null extern))
  (data $active (i32.const 8) "active") (data $kept "kept") (data $dropped "dropped")
  (elem $placed (table $t) (i32.const 0) func $inc)
  (elem $spare func $inc $twice) (elem $gone func $inc) (elem declare func $dec)
  (func $begin (global.set $n (i32.add (global.get $n) (i32.const 100))))
  (start $begin)
  (func (export "_initialize") (global.set $n (i32.const -1)))
  (func $inc (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $dec (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
  (func (export "change")
    (global.set $n (i32.add (global.get $n) (i32.const 23)))
    (global.set $long (i64.const -2)) (global.set $single (f32.const -nan:0x200001))
    (global.set $double (f64.const nan:0x4000000000001))
    (global.set $vector (v128.const i32x4 1 -2 3 0x7fffffff))
    (global.set $function (ref.func $dec))
    (drop (memory.grow $m (i32.const 3))) (drop (memory.grow $wide (i64.const 1)))
    (memory.init $m $dropped (i32.const 0x30000) (i32.const 0) (i32.const 7)) (data.drop $dropped)
    (i64.store $wide (i64.const 0x1fff8) (i64.const 0x123456789abcdef))
    (drop (table.grow $t (ref.func $dec) (i32.const 4)))
    (table.set $t (i32.const 4) (ref.null func))
    (table.set $typed (i32.const 1) (ref.func $inc))
    (table.init $t $gone (i32.const 1) (i32.const 0) (i32.const 1)) (elem.drop $gone))
  (func (export "n") (result i32) (global.get $n))
  (func (export "long") (result i64) (global.get $long))
  (func (export "single") (result i32) (i32.reinterpret_f32 (global.get $single)))
  (func (export "double") (result i64) (i64.reinterpret_f64 (global.get $double)))
  (func (export "lane") (result i64) (i64x2.extract_lane 1 (global.get $vector)))
  (func (export "function") (param i32) (result i32)
    (table.set $t (i32.const 0) (global.get $function))
    (call_indirect $t (type $unary) (local.get 0) (i32.const 0)))
  (func (export "through") (param i32) (result i32)
    (call_indirect $t (type $unary) (i32.const 10) (local.get 0)))
  (func (export "typed") (param i32) (result i32)
    (call_indirect $typed (type $unary) (i32.const 10) (local.get 0)))
  (func (export "null") (param i32) (result i32) (ref.is_null (table.get $t (local.get 0))))
  (func (export "sizes") (result i32) (i32.add
    (i32.add (memory.size $m) (i32.mul (i32.const 10) (i32.wrap_i64 (memory.size $wide))))
    (i32.mul (i32.const 100) (table.size $t))))
  (func (export "byte") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "far") (result i64) (i64.load $wide (i64.const 0x1fff8)))
  (func (export "init_kept") (result i32)
    (memory.init $m $kept (i32.const 64) (i32.const 0) (i32.const 4))
    (i32.load (i32.const 64)))
  (func (export "init_dropped")
    (memory.init $m $dropped (i32.const 0) (i32.const 0) (i32.const 1)))
  (func (export "init_active")
    (memory.init $m $active (i32.const 0) (i32.const 0) (i32.const 1)))
  (func (export "init_gone") (table.init $t $gone (i32.const 0) (i32.const 0) (i32.const 1)))
  (func (export "init_placed") (table.init $t $placed (i32.const 0) (i32.const 0) (i32.const 1)))
  (func (export "init_spare") (result i32)
    (table.init $t $spare (i32.const 0) (i32.const 1) (i32.const 1))
    (call_indirect $t (type $unary) (i32.const 21) (i32.const 0))))"""
#: Calls in turn, and what each gives; None for a trap.
CALLS: list[tuple[str, list[int], int | None]] = [
    ("n", [], 123),
    ("long", [], -2),
    ("single", [], 0xFFA00001 - (1 << 32)),
    ("double", [], 0x7FF4000000000001),
    ("lane", [], 0x7FFFFFFF00000003),
    ("through", [0], 11),
    ("through", [1], 11),
    ("through", [2], 9),
    ("through", [4], None),
    ("through", [5], 9),
    ("typed", [0], None),
    ("typed", [1], 11),
    ("null", [4], 1),
    ("sizes", [], 4 + 20 + 600),
    ("byte", [8], ord("a")),
    ("byte", [0x30006], ord("d")),
    ("byte", [0x30007], 0),
    ("far", [], 0x123456789ABCDEF),
    ("init_kept", [], int.from_bytes(b"kept", "little")),
    ("init_dropped", [], None),
    ("init_active", [], None),
    ("init_gone", [], None),
    ("init_placed", [], None),
    ("function", [8], 7),
    ("init_spare", [], 42),
]
IMPORTS = {"env": {"twice": lambda n: 2 * n}}
IN_NODE = """
import fs from 'node:fs';
const { calls } = JSON.parse(fs.readFileSync(process.argv[3]));
const imports = { env: { twice: (n) => 2 * n } };
const { instance } = await WebAssembly.instantiate(fs.readFileSync(process.argv[2]), imports);
const shown = calls.map(([name, args]) => {
  try { return String(instance.exports[name](...args)); } catch (error) { return null; }
});
console.log(JSON.stringify(shown));
"""


def baked(path: str = "interp") -> bytes:
    module = chiwawa.load(STATE)
    instance = chiwawa.instantiate(module, IMPORTS, path=path)
    instance.invoke("change")
    return chiwawa.bake(module, instance.checkpoint())


def called(instance: chiwawa.Instance, name: str, args: list[int]) -> int | None:
    try:
        (result,) = instance.invoke(name, args) or [None]
    except chiwawa.Trap:
        return None
    return result  # type: ignore[no-any-return]


def test_each_path_bakes_the_same_module() -> None:
    assert len({baked(path) for path in PATHS}) == 1


@each_path
def test_a_baked_module_begins_in_that_state(path: str) -> None:
    module = chiwawa.load(baked())
    instance = chiwawa.instantiate(module, IMPORTS, path=path)
    assert [called(instance, name, args) for name, args, _ in CALLS] == [r for *_, r in CALLS]
    assert "_initialize" not in instance.exports
    assert module.names.funcs[module.start or 1] == "begin"


@pytest.mark.needs("wasmtime")
def test_a_baked_module_is_the_same_in_wasmtime() -> None:
    import wasmtime

    config = wasmtime.Config()
    config.wasm_memory64 = config.wasm_multi_memory = config.wasm_function_references = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    i32 = wasmtime.ValType.i32()
    twice = wasmtime.Func(store, wasmtime.FuncType([i32], [i32]), lambda n: 2 * n)
    instance = wasmtime.Instance(store, wasmtime.Module(engine, baked()), [twice])
    exports = instance.exports(store)
    found: list[Any] = []
    for name, args, _ in CALLS:
        function = exports[name]
        assert isinstance(function, wasmtime.Func)
        try:
            found.append(function(store, *args))
        except wasmtime.Trap:
            found.append(None)
    assert found == [result for *_, result in CALLS]


def test_a_baked_module_is_the_same_in_node(tmp_path: Path) -> None:
    node = need("node")
    (tmp_path / "baked.wasm").write_bytes(baked())
    (tmp_path / "calls.json").write_text(json.dumps({"calls": [call[:2] for call in CALLS]}))
    (tmp_path / "host.mjs").write_text(IN_NODE)
    shown = subprocess.run(
        [str(node), *(str(tmp_path / name) for name in ("host.mjs", "baked.wasm", "calls.json"))],
        stdout=subprocess.PIPE,
        timeout=HANGS,
        check=True,
    ).stdout
    assert json.loads(shown) == [None if result is None else str(result) for *_, result in CALLS]


def test_sections_that_stay_right_stay() -> None:
    module = chiwawa.load(
        """(module $named (@custom "first" (before first) "1") (@custom "reloc.CODE" "2")
          (@custom "target_features" "3") (memory 1) (func $f (export "f")
          (i32.store (i32.const 0) (i32.const 7))))"""
    )
    instance = chiwawa.instantiate(module)
    instance.invoke("f")
    again = chiwawa.load(chiwawa.bake(module, instance.checkpoint()))
    assert [custom.name for custom in again.customs] == ["first", "target_features", "name"]
    assert again.customs[0].after == 0
    assert again.customs[2].after == 11
    assert (again.names.module, again.names.funcs) == ("named", {0: "f"})


def test_unboxed_integers_and_what_expressions_have_made() -> None:
    module = chiwawa.load(
        """(module (global $g (mut anyref) (ref.null any))
          (global $e (mut externref) (ref.null extern))
          (table $t 1 i31ref) (elem $s anyref (ref.i31 (i32.const 5)))
          (func (export "change") (global.set $g (ref.i31 (i32.const -3)))
            (global.set $e (extern.convert_any (ref.i31 (i32.const 4))))
            (table.set $t (i32.const 0) (ref.i31 (i32.const 9))))
          (table $u 1 anyref)
          (func (export "sum") (result i32)
            (table.init $u $s (i32.const 0) (i32.const 0) (i32.const 1))
            (i32.add (i32.add (i31.get_s (ref.cast (ref i31) (global.get $g)))
              (i31.get_s (table.get $t (i32.const 0))))
              (i32.add (i31.get_s (ref.cast (ref i31) (any.convert_extern (global.get $e))))
              (i31.get_s (ref.cast (ref i31) (table.get $u (i32.const 0))))))))"""
    )
    instance = chiwawa.instantiate(module, path="interp")
    instance.invoke("change")
    again = chiwawa.load(chiwawa.bake(module, instance.checkpoint()))
    assert chiwawa.instantiate(again, path="interp").invoke("sum") == [-3 + 9 + 4 + 5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('(import "e" "m" (memory 1))', 'imports the memory "e" "m", whose state is its host'),
        ('(import "e" "t" (table 1 funcref))', 'imports the table "e" "t"'),
        ('(import "e" "g" (global (mut i32)))', 'imports the global "e" "g"'),
        (
            "(type $s (struct)) (global (mut (ref null $s)) (struct.new $s))",
            "global 0 holds a structure, an array or an exception",
        ),
    ],
)
def test_what_no_module_holds_is_refused_by_name(text: str, said: str) -> None:
    module = chiwawa.load(f"(module {text})")
    given = {
        "m": chiwawa.Memory(chiwawa.MemoryType.of(1)),
        "t": chiwawa.Table(chiwawa.TableType.of(chiwawa.FUNCREF, 1)),
        "g": chiwawa.Global(chiwawa.GlobalType(chiwawa.I32, True), 0),
    }
    data = chiwawa.instantiate(module, {"e": given}, path="interp").checkpoint()
    with pytest.raises(chiwawa.UnsupportedError, match=said):
        chiwawa.bake(module, data)


def test_a_value_of_the_host_is_refused_and_so_is_a_run() -> None:
    module = chiwawa.load(
        '(module (global (export "g") (mut externref) (ref.null extern))'
        ' (func (export "f") (loop $on (br_if $on (i32.const 0)))))'
    )
    thing = object
    instance = chiwawa.instantiate(module, carry={"thing": thing})
    instance.global_("g").value = thing
    with pytest.raises(
        chiwawa.UnsupportedError, match="global 0 holds a value of the host, 'thing'"
    ):
        chiwawa.bake(module, instance.checkpoint())
    run = chiwawa.start(module, "f", count=1)
    assert not run.go()
    with pytest.raises(chiwawa.CheckpointError, match="a call is in progress"):
        chiwawa.bake(module, run.checkpoint())


def test_what_wasi_gives_anew_is_no_obstacle_and_files_are() -> None:
    module = chiwawa.load(
        """(module (import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
          (memory (export "memory") 1))"""
    )
    data = chiwawa.instantiate(module, wasi=chiwawa.Wasi(["program"])).checkpoint()
    assert chiwawa.load(chiwawa.bake(module, data)).import_section == module.import_section
    files = chiwawa.MemoryFiles({"a": b"1"})
    wasi = chiwawa.Wasi(dirs=[(files, "/", False)])
    data = chiwawa.instantiate(module, wasi=wasi).checkpoint()
    with pytest.raises(chiwawa.UnsupportedError, match="files in memory"):
        chiwawa.bake(module, data)


def test_the_command_bakes(tmp_path: Path) -> None:
    (tmp_path / "p.wat").write_text(
        '(module (global $n (mut i32) (i32.const 0)) (func (export "next") (result i32)'
        " (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"
    )
    run = ("-m", "chiwawa", "run", "--invoke", "next")
    assert python(tmp_path, *run, "p.wat", "--save", "s.bin").out == "I32(1)\n"
    done = python(tmp_path, "-m", "chiwawa", "bake", "s.bin", "p.wat")
    assert (done.status, done.err) == (0, "chiwawa: written to p_baked.wasm\n")
    assert python(tmp_path, *run, "p_baked.wasm").out == "I32(2)\n"
    done = python(tmp_path, "-m", "chiwawa", "bake", "s.bin", "p_baked.wasm", "-o", "x.wasm")
    assert "s.bin: this checkpoint is of another module" in one_line(done)


def test_a_module_that_is_still_to_be_initialized_keeps_what_does_so() -> None:
    module = chiwawa.load(
        """(module (import "env" "log" (func $log)) (import "env" "seed" (global $seed i32))
        (global $n (mut i32) (i32.const 0)) (memory 1) (data (i32.const 8) "begun")
        (func (export "_initialize") (call $log) (global.set $n (global.get $seed)))
        (func (export "n") (result i32) (global.get $n)))"""
    )
    called = []
    seed = chiwawa.Global(chiwawa.GlobalType(chiwawa.I32, False), 9)
    imports = {"env": {"log": lambda: called.append(1), "seed": seed}}
    instance = chiwawa.instantiate(module, imports)
    new = chiwawa.instantiate(chiwawa.load(chiwawa.bake(module, instance.checkpoint())), imports)
    new.exports["_initialize"]()
    assert new.exports.n() == 9
    instance.exports["_initialize"]()
    baked = chiwawa.load(chiwawa.bake(module, instance.checkpoint()))
    assert [each.name for each in baked.exports] == ["n"]
    assert chiwawa.instantiate(baked, imports).exports.n() == 9
    assert len(called) == 2
    # What a start function does here, and would do elsewhere, nobody can know.
    starting = chiwawa.load(
        """(module (import "env" "log" (func $log)) (start $log)
        (func (export "_initialize")) (func (export "n")))"""
    )
    instance = chiwawa.instantiate(starting, imports)
    baked = chiwawa.load(chiwawa.bake(starting, instance.checkpoint()))
    assert [each.name for each in baked.exports] == ["n"]
