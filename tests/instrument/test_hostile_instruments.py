"""Modules made to break instruments: their names, and functions with very much of something."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from chiwawa.instrument.monitors.document import csv_text, text
from chiwawa.instrument.monitors.flamegraphs import collapsed, speedscope
from chiwawa.instrument.monitors.monitors import MONITORS, table
from chiwawa.instrument.tracing.tracer import RESOURCES, Tracing
from chiwawa.module import Module
from chiwawa.source import load
from tests.instrument.watching_helpers import EVERYTHING, Watched, same_text, watched
from tests.nodiff.harness_helpers import Call
from tests.path_helpers import WATCHED

JSONL = Tracing(resources=frozenset(RESOURCES), format="jsonl")


def agreed(
    call: Call,
    tracing: Tracing | None = EVERYTHING,
    monitors: Sequence[str] = tuple(MONITORS),
    to: int | None = None,
    paths: Sequence[str] = WATCHED,
) -> Watched:
    """The run, of which both paths say the same."""
    runs = [watched(call, path, tracing, monitors, to=to) for path in paths]
    for run in runs[1:]:
        same_text(runs[0].text, run.text, str(call.name))
        same_text(runs[0].documents(), run.documents(), str(call.name))
        assert runs[0].ending == run.ending
    return runs[0]


# Names.


NAMES = [
    "a\nb",
    "tab\tbed",
    "\r",
    "\0",
    "\x1b[31m",
    "\x85",
    "\u2028",
    "\u202e",
    "é",
    "\U0001f600",
    "{x}",
    "}{",
    "{s0!r}",
    "{{",
    "a'b",
    "'''",
    'q"q',
    '"""',
    "back\\slash",
    "\\",
    "\\N{DIGIT ONE}",
    "' + str(1) + '",
    "#",
    "%s",
    "|",
    "]",
    "s0",
    "l1",
    "g0",
    "m0",
    "trace",
    "profile",
    "None",
    "__import__",
    "x" * 10_000,
    "ab{'\n" * 1000,
]
#: Every name in it is NAME.
NAMED = """(module $NAME
  (type $NAME (func (param i32) (result i32)))
  (import "env" "tell" (func $hostNAME (param i32) (result i32)))
  (memory $NAME 1)
  (table $NAME 1 funcref)
  (elem $NAME (i32.const 0) $NAME)
  (global $NAME (export "NAME") (mut i32) (i32.const 1))
  (func $NAME (param $NAME i32) (result i32) (local $otherNAME i32)
    (local.set $otherNAME (local.get $NAME))
    (block $NAME (br_if $NAME (local.get $NAME)))
    (i32.store $NAME (i32.const 0) (call $hostNAME (local.get $otherNAME)))
    (global.set $NAME (i32.load $NAME (i32.const 0)))
    (i32.div_u (local.get $otherNAME) (global.get $NAME)))
  (func (export "runNAME") (param i32) (result i32)
    (drop (call_indirect $NAME (type $NAME) (local.get 0) (i32.const 0)))
    (call $NAME (local.get 0))))
"""


def named(name: str) -> Module:
    def replaced(prefix: str) -> str:
        escaped = "".join(f"\\u{{{ord(c):x}}}" for c in name)
        return f'${prefix and prefix}"{escaped}"'

    source = NAMED
    literal = "".join(f"\\u{{{ord(c):x}}}" for c in name)
    for prefix in ("host", "other", ""):
        source = source.replace(f"${prefix}NAME", f'$"{prefix}{literal}"')
    return load(source.replace("NAME", literal))


def instructions(run: Watched) -> int:
    return sum(sum(counts) for counts in run.instruments.observed().counts.values())


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
@pytest.mark.parametrize("divisor", [1, 0])
def test_no_name_breaks_a_line_or_the_source(name: str, divisor: int) -> None:
    module = named(name)
    call = Call(module, f"run{name}", (3,), lambda log: {"env": {"tell": lambda value: divisor}})
    for tracing in (EVERYTHING, JSONL):
        run = agreed(call, tracing)
        assert run.ending is not None
        assert run.ending[0] == ("returned" if divisor else "trap")
        lines = run.text.removesuffix("\n").split("\n")
        assert len(lines) == len(run.text.splitlines()) == instructions(run)
        assert all(line.isprintable() for line in lines)
        assert max(map(len, lines)) < 3000
        if tracing is JSONL:
            rows = [json.loads(line) for line in lines]
            assert rows[0]["instr"].startswith("local.get ")
    observed = run.instruments.observed()
    tables = [table(each, observed) for each in MONITORS]
    shown = text(tables)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert all(line.isprintable() for line in csv_text(tables).split("\n"))
    assert all(line.isprintable() for line in collapsed(observed).split("\n"))
    json.loads(speedscope(observed, name))


# Very much of something.


@pytest.mark.parametrize("tracing", [EVERYTHING, JSONL], ids=["text", "jsonl"])
@pytest.mark.parametrize("count", [31, 32, 33, 200, 1000, 1001, 50_000])
def test_very_many_locals(count: int, tracing: Tracing) -> None:
    kinds = ["i64", "f32", "i32", "funcref"]
    locals_ = " ".join(kinds[i % 4] for i in range(count))
    source = f"""(module (func (export "run") (result i64) (local {locals_})
      (local.set 0 (i64.const -5)) (local.set 1 (f32.const 0.5)) (local.get 0)))"""
    run = agreed(Call(load(source), "run"), tracing=tracing)
    last = run.text.splitlines()[-1]
    values = ["I64(-5)", "F32(0.5)", "I32(0)", "REF(null)"] + [
        ("I64(0)", "F32(0.0)", "I32(0)", "REF(null)")[i % 4] for i in range(4, min(count, 1000))
    ]
    if count > 1000:
        values.append(f"… {count - 1000} more")
    if tracing is JSONL:
        assert json.loads(last)["locals"] == values
    else:
        assert f"Locals:[{', '.join(values)}]" in last


@pytest.mark.parametrize("tracing", [EVERYTHING, JSONL], ids=["text", "jsonl"])
@pytest.mark.parametrize("count", [32, 33, 64, 65, 500])
def test_very_many_operands(count: int, tracing: Tracing) -> None:
    source = f"""(module (func (export "run") (result i32)
      {" ".join(f"(i32.const {i})" for i in range(count))} {"i32.add " * (count - 1)}))"""
    run = agreed(Call(load(source), "run"), tracing=tracing)
    deepest = run.text.splitlines()[count]
    left_out = -(-(count - 64) // 32) * 32 if count > 64 else 0
    values = [f"… {left_out} more"] if left_out else []
    values += [f"I32({i})" for i in range(left_out, count)]
    assert count - left_out <= 64
    if tracing is JSONL:
        assert json.loads(deepest)["stack"] == values
    else:
        assert f"Stack:[{', '.join(values)}]" in deepest


def test_very_many_globals() -> None:
    globals_ = "(global f64 (f64.const 1.5))" * 2000
    run = agreed(Call(load(f'(module {globals_} (func (export "run") nop))'), "run"))
    assert run.text.rstrip().endswith(f"Globals:[{'F64(1.5), ' * 1000}… 1000 more]]")


@pytest.mark.parametrize(
    "body",
    [
        "(block (result i32) " * 300 + "(i32.const 1)" + ")" * 300,
        "(loop (result i32) " * 300 + "(i32.const 1)" + ")" * 300,
        "(i32.const 1) (if (result i32) (then " * 150
        + "(i32.const 1)"
        + ") (else (i32.const 2)))" * 150,
        "(br_if 0 (i32.const 3) (i32.const 0)) drop " * 500 + "(i32.const 1)",
        f"(block (br_table {'0 ' * 20_000} (i32.const 5))) (i32.const 1)",
        "(call $many) " + "drop " * 199,
        "(block (br 0) (i32.const 3) (drop) unreachable (br_if 0 (i32.const 1))) (i32.const 1)",
        "(return (i32.const 1)) " + "(drop (i32.load (i32.const 8))) " * 20 + "unreachable",
        "(block $out (result i32) (loop $in (br $out (i32.const 1)) (br $in)) unreachable)",
        "(i32.const 4) (loop (param i32) (result i32 i32) (i32.const 1) i32.sub (local.tee 0) "
        "(br_if 0 (local.get 0)) (i32.const 2)) i32.add",
        "(i32.const 4) (i64.const 5) (block (param i32 i64) (result i64 i32) (local.set 1) "
        "(local.set 0) (local.get 1) (local.get 0)) (local.set 0) (drop) (local.get 0)",
        "(i32.const 1) (i32.const 0) (if (param i32) (result i32 f32) (then (f32.const 1)) "
        "(else (f32.const 2))) drop",
        "(call $empty) (call $nothing (i32.const 1) (i64.const 2)) (i32.const 1)",
    ],
    ids=lambda body: body[:24],
)
def test_strange_bodies(body: str) -> None:
    results = "i32 " * 200
    source = f"""(module (memory 1)
      (func $empty) (func $nothing (param i32 i64))
      (func $many (result {results}) {"(i32.const 9) " * 200})
      (func (export "run") (result i32) (local i32 i64) {body}))"""
    call = Call(load(source), "run")
    for tracing in (EVERYTHING, JSONL):
        run = agreed(call, tracing=tracing)
        assert len(run.text.splitlines()) == instructions(run)


def test_several_memories() -> None:
    source = """(module (memory $a 1) (memory $b 1) (memory $c 2)
      (data $d "abcdef")
      (func (export "run") (result i32)
        (i32.store $c (i32.const 65536) (i32.const 0x01020304))
        (i64.store $b offset=8 (i32.const 65520) (i64.const -2))
        (i32.store8 $a (i32.const 3) (i32.load8_u $b (i32.const 65528)))
        (memory.fill $b (i32.const 0) (i32.const 7) (i32.const 20))
        (memory.copy $a $c (i32.const 0) (i32.const 65536) (i32.const 4))
        (memory.init $c $d (i32.const 1) (i32.const 2) (i32.const 3))
        (drop (memory.grow $b (i32.const 1)))
        (i32.load $b offset=0xffffffff (i32.const 0xffffffff))))"""
    run = agreed(Call(load(source), "run"))
    assert run.ending is not None
    assert run.ending[0] == "trap"
    memories = [line.split("Memory:")[1][:-1] for line in run.text.splitlines() if "Mem" in line]
    assert memories == [
        "[0x00010000: 00 00 00 00]",
        "[0x0000fff8: 00 00 00 00 00 00 00 00]",
        "[0x0000fff8: fe]",
        "[0x00000003: 00]",
        "[0x00000000: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 … 20 bytes]",
        "[0x00010000: 04 03 02 01, 0x00000000: 00 00 00 fe]",
        "[0x00000001: 00 00 00]",
        "[0x1fffffffe: ]",
    ]
    assert run.instruments.observed().pages == {
        0: {0: [0, 2]},
        1: {0: [1, 2], 0x1FFFF: [1, 0]},
        2: {0: [0, 1], 1: [1, 1]},
    }


def test_a_long_loop_is_cut_alike_on_both_paths() -> None:
    source = """(module (func (export "run") (param i32)
      (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""
    run = agreed(Call(load(source), "run", (1_000_000_000,)), to=2000)
    assert run.ending is None
    assert len(run.text.splitlines()) == instructions(run)
