"""The recipe "add an instruction" of CONTRIBUTING.md, followed to the letter for two that there are
not: one with a meaning and one without, both of a type that depends on the context.

The files that the recipe names are changed in a copy; that copy's formats, validator, paths,
checkpoints and instruments then know the instruction.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("run_new_instruction.py")


@dataclass(frozen=True)
class Change:
    """``text`` goes into ``file``, before the line ``before``."""

    file: str
    before: str
    text: str


ROWS = "chiwawa/opcodes.py"
TYPING = "chiwawa/validate/rules.py"
TRANSLATING = "chiwawa/aot/value_rules.py"
EXECUTING = "chiwawa/interp/handlers.py"

#: One of two operands of any type, as a condition and a global say.
PICK = (
    Change(
        ROWS,
        ")\n# fmt: on",
        '    Op("fictitious.pick", (0xFC, 0x40), ("globalidx",), None,'
        ' "a if (c ^ glob.raw) & 1 else b", "r"),\n',
    ),
    Change(
        TYPING,
        "RULES: dict[str, Rule] = {",
        '''def fictitious_pick(v: Body, imm: Imm) -> None:
    """Of what ``select`` is of, by a global of i32."""
    if v.context.globaltype(imm[0]).type != I32:
        raise InvalidError(f"type mismatch: global {imm[0]} is no i32")
    select(v, imm)


''',
    ),
    Change(TYPING, '    "drop": drop,', '    "fictitious.pick": fictitious_pick,\n'),
)
#: What a local has for an operand, and the other way round.
EXCHANGE = (
    Change(
        ROWS,
        ")\n# fmt: on",
        '    Op("fictitious.exchange", (0xC5,), ("localidx",), None, None, "l"),\n',
    ),
    Change(TYPING, '    "drop": drop,', '    "fictitious.exchange": local_tee,\n'),
    Change(
        TRANSLATING,
        "#: What has no meaning in the instruction table, and neither",
        """def exchange(builder: Builder, position: int, instr: Instr) -> None:
    operands = builder.operands
    operands.spill_all()
    local, top = f"l{instr.imm[0]}", f"s{len(operands.stack) - 1}"
    builder.emit(fold.verbatim(f"{local}, {top} = {top}, {local}"))
    operands.widen()


""",
    ),
    Change(TRANSLATING, '    "nop": nop,', '    "fictitious.exchange": exchange,\n'),
    Change(
        EXECUTING,
        "#: What has no meaning in the instruction table and does not change control",
        """def exchange(instr: Instr, instance: ModuleInstance) -> Handler:
    index: int = instr.imm[0]

    def handler(stack: list[Any], locals: list[Any]) -> None:
        locals[index], stack[-1] = stack[-1], locals[index]

    return handler


""",
    ),
    Change(EXECUTING, '    "nop": nop,', '    "fictitious.exchange": exchange,\n'),
)

MODULE = """(module
  (global $flip (mut i32) (i32.const 0)) (global $wide i64 (i64.const 0))
  (func (export "pick") (param i32) (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum)
        (fictitious.pick $flip (i32.const 5) (i32.mul (local.get $n) (i32.const 3)) (local.get 0))))
      (global.set $flip (i32.xor (global.get $flip) (i32.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)
    (i32.trunc_f64_s
      (fictitious.pick $flip (f64.const 40) (f64.const 70) (i32.const 1)))
    (i32.add))
  (func (export "exchange") (param i32) (param $n i32) (result i32) (local $wide i64)
    (drop (fictitious.exchange $wide (i64.const 7)))
    (local.get 0) (fictitious.exchange $n (i32.const 100))
    (i32.sub)
    (i32.wrap_i64 (local.get $wide)) (i32.add)
    (local.get $n) (i32.add)))
"""
PICKED = (ROWS, TYPING)
EXCHANGED = (ROWS, TYPING, TRANSLATING, EXECUTING)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A chiwawa with both instructions."""
    place = tmp_path_factory.mktemp("recipe")
    for package in ("chiwawa", "runtime"):
        shutil.copytree(ROOT / package, place / package, ignore=shutil.ignore_patterns("*.pyc"))
    for change in (*PICK, *EXCHANGE):
        file = place / change.file
        source = file.read_text(encoding="utf-8")
        assert source.count(change.before) == 1, change
        source = source.replace(change.before, change.text + change.before)
        file.write_text(source, encoding="utf-8")
    yield place
    shutil.rmtree(place)


def run(place: Path, text: str, *calls: str) -> Any:
    path = os.pathsep.join((str(place), str(place / "runtime"), str(ROOT)))
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *calls],
        input=text,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def picked(condition: int, n: int) -> int:
    total, flip = 0, 0
    while True:
        total += 5 if (condition ^ flip) & 1 else n * 3
        flip ^= 1
        n -= 1
        if not n:
            return total + (40 if (1 ^ flip) & 1 else 70)


def test_no_more_than_five_places_change_and_the_recipe_names_them() -> None:
    recipe = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    start = recipe.index("## Recipe: add an instruction")
    recipe = recipe[start : recipe.index("\n## ", start)]
    assert {change.file for change in PICK} == set(PICKED)
    assert {change.file for change in EXCHANGE} == set(EXCHANGED)
    tests = ("tests/unit/test_coverage_of_the_table.py",)
    assert len({*EXCHANGED, *tests}) <= 5
    for file in (*EXCHANGED, *tests):
        assert re.search(rf"`{re.escape(file)}`", recipe), f"the recipe does not name {file}"


def test_both_instructions_work_everywhere(changed: Path) -> None:
    calls = ("pick:0,4", "pick:1,3", "exchange:3,20")
    results = run(changed, MODULE, *calls)
    assert [values[0][0] for values in results] == [picked(0, 4), picked(1, 3), 3 - 20 + 7 + 100]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("(fictitious.pick 0 (i32.const 1) (i64.const 1) (i32.const 1))", "select of i32 and i64"),
        ("(fictitious.pick 1 (i32.const 1) (i32.const 1) (i32.const 1))", "global 1 is no i32"),
        ("(fictitious.pick 0 (i32.const 1) (i32.const 1) (i64.const 1))", "expected i32"),
        ("(fictitious.exchange 0 (i64.const 1))", "expected i32"),
        ("(fictitious.exchange 9 (i64.const 1))", "unknown local"),
    ],
)
def test_the_context_decides_on_their_types(changed: Path, body: str, message: str) -> None:
    text = f"""(module (global i32 (i32.const 0)) (global i64 (i64.const 0))
      (func (param i32) (drop {body})))"""
    assert message in run(changed, text)


def test_without_the_change_nobody_knows_them() -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        input=MODULE,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "runtime")))},
        check=False,
    )
    assert "unknown operator" in done.stderr
