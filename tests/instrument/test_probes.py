"""Probes: which boundaries they are at, and what they see and change there."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

import pytest

from chiwawa import At, BadInput, HostError, Match, Module, UnsupportedError, api, instantiate
from chiwawa.source import load
from chiwawa_runtime.state.numerics import f32_from_bits, f64_from_bits
from chiwawa_runtime.state.types import EXTERNREF, F32, F64, FUNCREF, I32, I64
from tests.instrument.probe_helpers import (
    NAN32,
    NAN64,
    TEXT,
    VALUES,
    comparable,
    fired,
    offsets,
    place,
)
from tests.path_helpers import each_path, each_path_and_granularity

PLAIN, SUM, FIB = 0, 1, 3


@cache
def module() -> Module:
    return load(TEXT)


def at(function: int, op: str, number: int = 0) -> tuple[int, int]:
    return function, offsets(module(), function, op)[number]


# Which boundaries.


@each_path_and_granularity
def test_a_probe_by_instruction_fires_at_each_of_that_name(path: str, granularity: str) -> None:
    log = fired(module(), "sum", (3,), Match(op="i32.add"), path, granularity, place)
    # n is 3, 2 and 1: odd numbers are added by $plain, even ones to the global.
    assert log == [at(PLAIN, "i32.add"), at(SUM, "i32.add"), at(PLAIN, "i32.add")]


@each_path_and_granularity
def test_a_probe_by_group_fires_at_each_instruction_of_it(path: str, granularity: str) -> None:
    log = fired(module(), "sum", (1,), Match(group="store"), path, granularity, place)
    assert log == [at(PLAIN, "i32.store")]
    log = fired(module(), "sum", (1,), Match(group="call"), path, granularity, place)
    assert log == [at(SUM, "call")]


@each_path_and_granularity
@pytest.mark.parametrize(
    "function", ["fib*", "fibonacci", "*nacc?", FIB, "[f]ib"], ids=lambda f: f"{f}"
)
def test_a_probe_by_function_goes_by_its_name_exports_and_index(
    path: str, granularity: str, function: str | int
) -> None:
    match = Match(function=function, op="call")
    log = fired(module(), "fib", (2,), match, path, granularity, place)
    assert log == [at(FIB, "call", 0), at(FIB, "call", 1)]
    assert fired(module(), "sum", (3,), match, path, granularity, place) == []


@each_path
def test_a_function_without_a_name_goes_by_its_index_in_brackets(path: str) -> None:
    # Read as a pattern, the brackets would mean one of the characters in them.
    module = load('(module (func (nop)) (func (export "func0") (call 0)))')
    log = fired(module, "func0", (), Match(function="func[0]"), path, what=lambda at: at.name)
    assert log == ["func0", "func[0]"]
    log = fired(module, "func0", (), Match(function=0), path, what=lambda at: (at.name, at.op))
    assert log == [("func[0]", "nop")]


@each_path_and_granularity
@pytest.mark.parametrize("op", ["block", "loop", "if", "br_if", "br", "local.get"])
def test_a_probe_at_a_place_fires_whenever_the_program_is_there(
    path: str, granularity: str, op: str
) -> None:
    where = at(SUM, op)
    log = fired(module(), "sum", (4,), Match(at=where), path, granularity, place)
    times = {"block": 1, "loop": 5, "if": 4, "br_if": 5, "br": 4, "local.get": 5}
    assert log == [where] * times[op]


@each_path_and_granularity
def test_a_probe_at_the_first_boundary_sees_the_arguments(path: str, granularity: str) -> None:
    first = module().funcs[SUM].body[0].offset
    globals_ = ((100, int), (-1, int))
    log = fired(module(), "sum", (4,), Match(at=(SUM, first)), path, granularity)
    assert log == [(SUM, first, "block", (), ((4, int), (0, int)), globals_)]
    log = fired(module(), "plain", (5, 6), Match(at=(PLAIN, 1)), path, granularity)
    assert log == [(PLAIN, 1, "i32.const", (), ((5, int), (6, int)), globals_)]


@each_path_and_granularity
def test_a_probe_of_everything_fires_at_each_boundary(path: str, granularity: str) -> None:
    log = fired(module(), "plain", (5, 6), Match(), path, granularity, lambda at: at.op)
    assert log == ["i32.const", "local.get", "i32.store", "local.get", "local.get", "i32.add"]


@each_path_and_granularity
def test_code_that_nothing_reaches_fires_no_probe(path: str, granularity: str) -> None:
    for match in (Match(at=at(SUM, "drop")), Match(op="i32.store8"), Match(op="f64.add")):
        assert fired(module(), "sum", (3,), match, path, granularity) == []


@each_path_and_granularity
def test_all_that_a_match_gives_has_to_hold(path: str, granularity: str) -> None:
    where = at(PLAIN, "i32.add")

    def odd(at: At) -> bool:
        return at.locals[1] == 3

    for match, times in (
        (Match(op="i32.add", group="arithmetic", function="plain", at=where, where=odd), 1),
        (Match(op="i32.add", function=PLAIN, where=odd), 1),
        (Match(op="i32.add", group="arithmetic", function="plain", at=where), 2),
        (Match(op="i32.sub", at=where), 0),
        (Match(group="load", at=where), 0),
        (Match(function="sum", at=where), 0),
        (Match(function=SUM, at=where), 0),
        (Match(at=where, where=lambda at: False), 0),
    ):
        log = fired(module(), "sum", (3,), match, path, granularity, place)
        assert log == [where] * times, match


@pytest.mark.parametrize(
    ("match", "message"),
    [
        (Match(op="i32.ad"), "unknown instruction 'i32.ad'"),
        (Match(op="i32.add\n\x1b[31m"), r"unknown instruction 'i32.add\n\x1b[31m'"),
        (Match(op="end"), "there is no boundary before end"),
        (Match(op="else"), "there is no boundary before else"),
        (Match(group="stores"), "unknown group 'stores': there are load, store, call, "),
        (Match(at=(9, 0)), "function 9 is not defined in this module"),
        (Match(at=(-1, 0)), "function -1 is not defined in this module"),
        (Match(function=9), "function 9 is not defined in this module"),
        (Match(at=(1, 0x7777)), "function 1 has no boundary at 0x7777"),
        (Match(at=(1, -1)), "function 1 has no boundary at -0x001"),
    ],
)
@each_path
def test_what_can_match_nothing_is_refused(path: str, match: Match, message: str) -> None:
    instance = instantiate(module(), path=path)
    with pytest.raises(BadInput) as refused:
        instance.probe(match, print)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert instance.invoke("plain", (1, 2)) == [3]


def test_an_end_is_no_place() -> None:
    instance = instantiate(module())
    with pytest.raises(BadInput, match="has no boundary"):
        instance.probe(Match(at=at(SUM, "end")), print)


def test_an_imported_function_has_no_boundaries() -> None:
    instance = instantiate(load('(module (import "a" "b" (func)))'), {"a": {"b": lambda: None}})
    for match in (Match(at=(0, 0)), Match(function=0)):
        with pytest.raises(BadInput, match="function 0 is not defined in this module"):
            instance.probe(match, print)


# What they see.


@cache
def values() -> Module:
    return load(VALUES)


TYPES = (I32, I64, F32, F64, FUNCREF, EXTERNREF)


@each_path_and_granularity
def test_values_of_all_types_are_as_they_are(path: str, granularity: str) -> None:
    instance = instantiate(values(), path=path, granularity=granularity)
    function, thing = instance.functions[0], object()
    given = (-1, -2, f32_from_bits(NAN32), f64_from_bits(NAN64), function, thing)
    seen: list[At] = []
    log: list[Any] = []

    def look(at: At) -> None:
        seen.append(at)
        log.append((at.operands, at.operand_types, at.locals, at.local_types, at.globals))

    instance.probe(Match(op="nop", function="all"), look)
    instance.invoke("all", given)
    ((operands, operand_types, locals_, local_types, globals_),) = log
    assert operand_types == TYPES
    assert local_types == TYPES * 2
    expected = (-1, -2, NAN32, NAN64, function, thing)

    def by_bits(values: Any) -> tuple[Any, ...]:
        texts = map(comparable, values[:4], TYPES)
        return (*(t[0] if isinstance(t, tuple) else t for t in texts), *values[4:])

    assert by_bits(operands) == by_bits(locals_[:6]) == expected
    assert locals_[6:] == (0, 0, 0.0, 0.0, None, None)
    assert by_bits(globals_[:6]) == (
        -1,
        -2,
        0xFFA0_0001,
        0x7FF4_0000_0000_0001,
        function,
        None,
    )
    (at,) = seen
    assert (at.instance, at.name, at.instr.op.name) == (instance, "all", "nop")


@each_path_and_granularity
def test_results_of_comparisons_are_ints(path: str, granularity: str) -> None:
    log: list[Any] = []
    instance = instantiate(values(), path=path, granularity=granularity)

    def look(at: At) -> None:
        log.append([*at.operands, *at.locals, *at.globals[:1]])

    instance.probe(Match(op="nop", function="bools"), look)
    instance.invoke("bools", (0,))
    assert log == [[1, 0, 1, 1]]
    assert {type(v) for v in log[0]} == {int}


@each_path_and_granularity
def test_memory_is_what_the_program_has_stored_so_far(path: str, granularity: str) -> None:
    log: list[Any] = []
    instance = instantiate(values(), path=path, granularity=granularity)
    for op in ("i32.store", "nop", "i32.add"):
        instance.probe(
            Match(op=op, function="store"),
            lambda at: log.append((at.op, at.memory().read(16, 4), len(at.memory(0)))),
        )
    instance.invoke("store", (0x01020304,))
    stored = struct.pack("<I", 0x01020304)
    assert log == [
        ("i32.store", bytes(4), 65536),
        ("nop", stored, 65536),
        ("i32.add", stored, 65536),
    ]


@each_path
@pytest.mark.parametrize(
    "action",
    [
        lambda at: at.memory().read(65533, 4),
        lambda at: at.memory().read(-1, 1),
        lambda at: at.memory().read(0, -1),
        lambda at: at.memory().write(65536, b"x"),
        lambda at: at.memory(1),
        lambda at: at.set_local(9, 1),
        lambda at: at.set_operand(1, 1),
        lambda at: at.set_global(77, 1),
    ],
)
def test_what_is_not_there_is_an_index_error(path: str, action: Any) -> None:
    instance = instantiate(values(), path=path)
    instance.probe(Match(op="nop", function="store"), action, writes=True)
    with pytest.raises(HostError, match="a probe: IndexError: ") as raised:
        instance.invoke("store", (1,))
    assert isinstance(raised.value.__cause__, IndexError)


# On what they work.


@each_path_and_granularity
def test_probes_work_on_what_a_generated_file_offers(
    path: str, granularity: str, tmp_path: Any
) -> None:
    api.compile_file(module(), tmp_path / "out.py")
    bundle = api.load_generated(tmp_path / "out.py")
    instance = instantiate(bundle, path=path, granularity=granularity)
    log: list[Any] = []
    instance.probe(Match(op="i32.add"), lambda at: log.append(place(at)))
    assert instance.invoke("sum", (3,)) == [4]
    assert log == [at(PLAIN, "i32.add"), at(SUM, "i32.add"), at(PLAIN, "i32.add")]


def test_a_generated_file_alone_has_no_probes(tmp_path: Any) -> None:
    api.compile_file(module(), tmp_path / "out.py")
    instance = api.load_generated(tmp_path / "out.py").instantiate()
    with pytest.raises(
        UnsupportedError, match=r"probes take chiwawa\.instantiate, start or restore"
    ):
        instance.probe(Match(), print)
    assert instance.invoke("sum", (3,)) == [4]
