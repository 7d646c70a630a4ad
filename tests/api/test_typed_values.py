"""What Python may put into a program is checked, in one way, wherever it goes in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chiwawa import (
    Function,
    Global,
    HostError,
    HostFunction,
    Instance,
    Match,
    Module,
    Table,
    Trap,
    instantiate,
    load,
    start,
)
from chiwawa_runtime.state.numerics import f32_bits, f32_from_bits, f64_bits, f64_from_bits
from chiwawa_runtime.state.plain import plain
from chiwawa_runtime.state.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    FuncType,
    GlobalType,
    Limits,
    TableType,
    ValType,
)
from tests.path_helpers import each_path

#: Signalling.
NAN32, NAN64 = 0xFFA0_0001, 0x7FF4_0000_0000_0001

TEXT = """(module
  (import "h" "i32" (func $i32 (result i32)))
  (import "h" "i64" (func $i64 (result i64)))
  (import "h" "f32" (func $f32 (result f32)))
  (import "h" "f64" (func $f64 (result f64)))
  (import "h" "funcref" (func $funcref (result funcref)))
  (import "h" "externref" (func $externref (result externref)))
  (global $gi32 (export "i32") (mut i32) (i32.const 0))
  (global $gi64 (export "i64") (mut i64) (i64.const 0))
  (global $gf32 (export "f32") (mut f32) (f32.const 0))
  (global $gf64 (export "f64") (mut f64) (f64.const 0))
  (global $gfuncref (export "funcref") (mut funcref) (ref.null func))
  (global $gexternref (export "externref") (mut externref) (ref.null extern))
  (global (export "fixed") i32 (i32.const 5))
  (table (export "functions") 2 4 funcref)
  (table (export "things") 2 4 externref)
  (func (export "get i32") (result i32) (global.get $gi32))
  (func (export "get i64") (result i64) (global.get $gi64))
  (func (export "get f32") (result i32) (i32.reinterpret_f32 (global.get $gf32)))
  (func (export "get f64") (result i64) (i64.reinterpret_f64 (global.get $gf64)))
  (func (export "get funcref") (result funcref) (global.get $gfuncref))
  (func (export "get externref") (result externref) (global.get $gexternref))
  (func (export "give i32") (param i32) (global.set $gi32 (local.get 0)))
  (func (export "give i64") (param i64) (global.set $gi64 (local.get 0)))
  (func (export "give f32") (param f32) (global.set $gf32 (local.get 0)))
  (func (export "give f64") (param f64) (global.set $gf64 (local.get 0)))
  (func (export "give funcref") (param funcref) (global.set $gfuncref (local.get 0)))
  (func (export "give externref") (param externref) (global.set $gexternref (local.get 0)))
  (func (export "call i32") (global.set $gi32 (call $i32)))
  (func (export "call i64") (global.set $gi64 (call $i64)))
  (func (export "call f32") (global.set $gf32 (call $f32)))
  (func (export "call f64") (global.set $gf64 (call $f64)))
  (func (export "call funcref") (global.set $gfuncref (call $funcref)))
  (func (export "call externref") (global.set $gexternref (call $externref)))
  (func (export "nop") nop)
  (func (export "less") (result i32) (i32.lt_u (global.get $gi32) (i32.const 10)))
  (func (export "compare") (global.set $gi32 (i32.eqz (global.get $gi32))))
  (func (export "at") (param i32) (result i32)
    (call_indirect 0 (type 0) (local.get 0)))
  (func $seven (export "seven") (result i32) (i32.const 7)))
"""
TYPES: dict[str, ValType] = {
    "i32": I32,
    "i64": I64,
    "f32": F32,
    "f64": F64,
    "funcref": FUNCREF,
    "externref": EXTERNREF,
}
INDEX = {name: index for index, name in enumerate([*TYPES, "fixed"])}


@pytest.fixture(scope="module")
def module() -> Module:
    return load(TEXT)


class Program:
    """An instance whose host functions all return ``returned``."""

    def __init__(self, module: Module, path: str) -> None:
        self.returned: Any = None
        functions = {name: lambda: self.returned for name in TYPES}
        self.path = path
        self.module = module
        self.instance: Instance = instantiate(module, {"h": functions}, path=path)

    def thing(self, name: str) -> Any:
        return self.instance.exports[name]

    def got(self, name: str) -> Any:
        (value,) = self.instance.invoke(f"get {name}")
        return value


def by_global(program: Program, name: str, value: Any) -> None:
    program.thing(name).value = value


def by_construction(program: Program, name: str, value: Any) -> None:
    program.thing(name).raw = Global(GlobalType(TYPES[name], mutable=False), value).raw


def by_argument(program: Program, name: str, value: Any) -> None:
    program.instance.invoke(f"give {name}", [value])


def by_start(program: Program, name: str, value: Any) -> None:
    imports = {"h": dict.fromkeys(TYPES, lambda: None)}
    run = start(program.module, f"give {name}", [value], imports, path=program.path)
    run.go()
    program.thing(name).raw = run.instance.exports[name].raw  # type: ignore[union-attr]


def by_result(program: Program, name: str, value: Any) -> None:
    program.returned = value
    try:
        program.instance.invoke(f"call {name}")
    except HostError as error:
        raise error.__cause__ or error from None


def by_probe(program: Program, name: str, value: Any) -> None:
    probe = program.instance.probe(
        Match(op="nop"), lambda at: at.set_global(INDEX[name], value), writes=True
    )
    try:
        program.instance.invoke("nop")
    except HostError as error:
        raise error.__cause__ or error from None
    finally:
        probe.remove()


def by_table(program: Program, name: str, value: Any, put: Callable[[Table, Any], object]) -> None:
    table = program.thing({"funcref": "functions", "externref": "things"}[name])
    put(table, value)
    program.thing(name).raw = table.get(1)


def constructed(table: Table, value: Any) -> None:
    table.set(1, Table(table.type, value).get(1))


def constructed_of(table: Table, value: Any) -> None:
    table.set(1, Table(table.type, elements=[None, value]).get(1))


def grown(table: Table, value: Any) -> None:
    assert table.grow(1, value) == 2
    table.copy(table, 1, 2, 1)


WAYS = [by_global, by_construction, by_argument, by_start, by_result, by_probe]
TABLE_WAYS: list[Callable[[Table, Any], object]] = [
    lambda table, value: table.set(1, value),
    lambda table, value: table.fill(0, value, 2),
    grown,
    constructed,
    constructed_of,
]

#: What is given, and what a program then has (floats by their bits).
GOOD: list[tuple[str, Any, Any]] = [
    ("i32", -7, 0xFFFF_FFF9),
    ("i32", 0xFFFF_FFFF, 0xFFFF_FFFF),
    ("i32", True, 1),
    ("i64", -(1 << 63), 1 << 63),
    ("i64", (1 << 64) - 1, (1 << 64) - 1),
    ("f32", 0.1, 0x3DCC_CCCD),
    ("f32", 1, 0x3F80_0000),
    ("f32", 1e300, 0x7F80_0000),
    ("f32", f32_from_bits(NAN32), NAN32),
    ("f64", 0.1, 0x3FB9_9999_9999_999A),
    ("f64", -3, 0xC008_0000_0000_0000),
    ("f64", f64_from_bits(NAN64), NAN64),
]
BAD: list[tuple[str, Any, type[Exception]]] = [
    ("i32", 1 << 32, ValueError),
    ("i32", 1 << 40, ValueError),
    ("i32", -(1 << 31) - 1, ValueError),
    ("i32", 1.0, TypeError),
    ("i32", "1", TypeError),
    ("i32", None, TypeError),
    ("i64", 1 << 64, ValueError),
    ("i64", -(1 << 63) - 1, ValueError),
    ("i64", 0.5, TypeError),
    ("f32", "1", TypeError),
    ("f32", None, TypeError),
    ("f32", 10**400, ValueError),
    ("f64", b"1", TypeError),
    ("f64", 10**400, ValueError),
    ("f64", 1j, TypeError),
    ("funcref", "f", TypeError),
    ("funcref", 0, TypeError),
    ("funcref", print, TypeError),
    ("funcref", HostFunction(FuncType((), ()), print), TypeError),
]


@each_path
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "value", "wanted"), GOOD)
def test_a_value_of_its_type_is_what_the_program_has(
    module: Module, path: str, way: Any, name: str, value: Any, wanted: int
) -> None:
    program = Program(module, path)
    way(program, name, value)
    got = program.got(name)
    signed = plain(wanted, I32 if name.endswith("32") else I64)
    assert (got, type(got)) == (signed, int)
    seen = program.thing(name).value
    if name in ("f32", "f64"):
        assert type(seen) is float
        seen, signed = f32_bits(seen) if name == "f32" else f64_bits(seen), wanted
    assert (seen, type(seen)) == (signed, int)


@each_path
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "value", "error"), BAD)
def test_any_other_is_refused_and_changes_nothing(
    module: Module, path: str, way: Any, name: str, value: Any, error: type[Exception]
) -> None:
    program = Program(module, path)
    before = program.got(name)
    with pytest.raises(error) as caught:
        way(program, name, value)
    assert type(caught.value) is error
    assert program.got(name) == before


@each_path
@pytest.mark.parametrize("put", TABLE_WAYS)
def test_a_table_takes_what_its_element_type_says(module: Module, path: str, put: Any) -> None:
    program = Program(module, path)
    seven = program.thing("seven")
    assert isinstance(seven, Function)
    by_table(program, "funcref", seven, put)
    assert program.got("funcref") is seven
    assert program.instance.invoke("at", [1]) == [7]
    for thing in ("text", True, 0, [5], seven, print):
        by_table(Program(module, path), "externref", thing, put)
    for name, value, error in BAD:
        if name != "funcref":
            continue
        with pytest.raises(error):
            by_table(program, name, value, put)
        assert program.thing("functions").get(1) is seven
    by_table(program, "funcref", None, lambda table, value: table.set(1, value))
    with pytest.raises(Trap, match="uninitialized element 1"):
        program.instance.invoke("at", [1])


def test_a_table_has_a_size_and_elements_of_its_type() -> None:
    functype = TableType(Limits(2, 3), FUNCREF)
    for elements in ([None], [None] * 4):
        with pytest.raises(ValueError, match="outside the table's limits 2 3"):
            Table(functype, elements=elements)
    with pytest.raises(ValueError, match="outside the table's limits 0"):
        Table(TableType(Limits(0), EXTERNREF), elements=(None for _ in range(10_000_001)))
    given: list[Any] = [None, None]
    table = Table(functype, elements=given)
    given.append(5)
    assert table.elements == (None, None)
    things = Table(TableType(Limits(2, 3), EXTERNREF), elements=[1, 2])
    with pytest.raises(TypeError, match="a table of funcref takes no externref"):
        table.copy(things, 0, 0, 1)
    for act in (
        lambda: table.get("0"),
        lambda: table.set(0.0, None),
        lambda: table.grow(None),
        lambda: table.fill(0, None, 1.0),
    ):
        with pytest.raises(TypeError, match="i32 wants an int"):
            act()
    with pytest.raises(ValueError, match="out of range for i32"):
        table.get(1 << 32)


@each_path
@pytest.mark.parametrize("way", [by_global, by_probe])
def test_an_immutable_global_stays_as_it_is(module: Module, path: str, way: Any) -> None:
    program = Program(module, path)
    with pytest.raises(TypeError, match="the global is immutable"):
        way(program, "fixed", 6)
    assert program.thing("fixed").value == 5


@each_path
def test_what_is_written_means_the_same_to_every_instruction(module: Module, path: str) -> None:
    program = Program(module, path)
    program.thing("i32").value = -7
    assert program.instance.invoke("less") == [0]
    program.thing("i32").value = 0
    program.instance.invoke("compare")
    value = program.thing("i32").value
    assert (value, type(value)) == (1, int)


@each_path
def test_an_externref_is_handed_through_as_it_is(module: Module, path: str) -> None:
    """Whatever it is: a list of one, a truth value."""
    program = Program(module, path)
    for thing in ([1], (2,), True, False, 0, {}):
        for way in WAYS:
            way(program, "externref", thing)
            assert program.got("externref") is thing
            assert program.thing("externref").value is thing


@each_path
@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (5, "it has 2 results, but returned 5"),
        (None, "it has 2 results, but returned None"),
        ((1,), "it has 2 results, but returned 1"),
        ((1, 2, 3), "it has 2 results, but returned 3"),
        ((1, "2"), "i32 wants an int, not str"),
        ((1, 1 << 32), "4294967296 is out of range for i32"),
    ],
)
def test_several_results_are_checked_too(path: str, returned: Any, message: str) -> None:
    module = load(
        """(module (import "h" "two" (func $two (result i32 i32)))
          (func (export "add") (result i32) (i32.add (call $two))))"""
    )
    instance = instantiate(module, {"h": {"two": lambda: returned}}, path=path)
    with pytest.raises(HostError, match=f"host function h.two: .*{message}"):
        instance.invoke("add")
    instance = instantiate(module, {"h": {"two": lambda: iter((1, -2))}}, path=path)
    assert instance.invoke("add") == [-1]
