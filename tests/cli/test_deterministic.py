"""``--deterministic`` by command line: NaNs are the same on both paths, in files, and restored."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

import chiwawa
from chiwawa_runtime import checkpoint
from tests.cli.cli_helpers import Cli, Programs, one_line, programs, python
from tests.path_helpers import PATHS, each_path_and_granularity, stopping_at

#: Adds up the bits of NaNs of different signs and payloads that meet.
FLOATS = """
(module $floats
  (func (export "mix") (param $count i32) (result i64)
    (local $x f64) (local $sum i64)
    (loop $next
      (local.set $x
        (f64.mul
          (f64.add (local.get $x) (f64.const -nan:0x8000000000005))
          (f64.const nan:0x8000000000003)))
      (local.set $sum
        (i64.add (i64.rotl (local.get $sum) (i64.const 1)) (i64.reinterpret_f64 (local.get $x))))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (local.get $sum)))
"""
MIX = ("--invoke", "mix", "--params", "I32(20)")
SUM = ("--invoke", "sum", "--params", "I32(100)")
SUM_RESULT = "I64(5050)\n"


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return programs(tmp_path_factory.mktemp("floats"), "floats", FLOATS)


@pytest.fixture(scope="module")
def baked(floats: Programs) -> Path:
    """The generated file, compiled with it."""
    file = floats.py.with_name("baked.py")
    chiwawa.compile_file(chiwawa.load(floats.wasm), file, canonical_nans=True)
    return file


def expected() -> str:
    total = 0
    for _ in range(20):
        total = (total << 1 | total >> 63) & (2**64 - 1)
        total = (total + 0x7FF8000000000000) & (2**64 - 1)
    return f"I64({total - 2**64 if total >> 63 else total})\n"


@each_path_and_granularity
def test_every_kind_of_file_gives_the_same(
    cli: Cli, floats: Programs, baked: Path, path: str, granularity: str
) -> None:
    how = ("--path", path, "--granularity", granularity)
    for file in (floats.wat, floats.wasm, floats.py, baked):
        assert cli(file, *MIX, *how, "--deterministic").out == expected(), file
    assert cli(baked, *MIX, *how).out == expected()


def test_compile_bakes_it_in(cli: Cli, floats: Programs, baked: Path, tmp_path: Path) -> None:
    outcome = cli("compile", floats.wasm, "-o", "out.py", "--deterministic")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    assert Path("out.py").read_bytes() == baked.read_bytes()
    for options in ([], ["--deterministic"]):
        assert python(tmp_path, "out.py", *MIX, *options).out == expected()


def test_a_file_compiled_without_it_says_what_takes_it(floats: Programs, tmp_path: Path) -> None:
    line = one_line(python(tmp_path, floats.py, *MIX, "--deterministic"))
    assert "chiwawa run FILE --deterministic" in line
    assert "chiwawa compile --deterministic" in line


def test_who_restores_goes_on_with_it(
    cli: Cli, floats: Programs, baked: Path, tmp_path: Path
) -> None:
    files = (floats.wasm, floats.py, baked)
    written = []
    for path, file in itertools.product(PATHS, files):
        cli(file, *MIX, "--deterministic", "--cr-at", 5, "--path", path)
        written.append(Path("checkpoint.bin").read_bytes())
    assert len(set(written)) == 1
    hows = [("--path", path) for path in PATHS]
    hows += [
        ("--path", path, "--granularity", "instruction") for path in stopping_at("instruction")
    ]
    for how, file in itertools.product(hows, files):
        outcome = cli(file, "--restore", "checkpoint.bin", *how)
        assert (outcome.out, outcome.err) == (expected(), "")
    assert python(tmp_path, baked, "--restore", "checkpoint.bin").out == expected()
    line = one_line(python(tmp_path, floats.py, "--restore", "checkpoint.bin"))
    assert "was run with --deterministic" in line
    assert "chiwawa run FILE --restore" in line
    # The checkpoint says it.
    options = ("--restore", "checkpoint.bin", "--deterministic")
    assert "--deterministic cannot be given" in one_line(cli(floats.wasm, *options))


def test_what_was_run_without_it_goes_on_without_it(
    cli: Cli, floats: Programs, baked: Path, tmp_path: Path
) -> None:
    cli(floats.wasm, *MIX, "--cr-at", 5)
    line = one_line(python(tmp_path, baked, "--restore", "checkpoint.bin"))
    assert "was run without --deterministic" in line
    again = ("--cr-at", 9, "--cr-file", "again.bin")
    for path in PATHS:
        assert cli(baked, "--restore", "checkpoint.bin", "--path", path, *again).status == 0
        assert not checkpoint.decode(Path("again.bin").read_bytes()).canonical_nans


def test_inspect_and_diff_say_it(cli: Cli, floats: Programs) -> None:
    cli(floats.wasm, *MIX, "--cr-at", 1, "--cr-file", "a.bin")
    cli(floats.wasm, *MIX, "--cr-at", 1, "--cr-file", "b.bin", "--deterministic")
    assert "NaNs" not in cli("inspect", "a.bin").out
    assert "NaNs         canonical\n" in cli("inspect", "b.bin", floats.wasm).out
    assert json.loads(cli("inspect", "b.bin", "--json").out)["canonical_nans"] is True
    outcome = cli("diff", "a.bin", "b.bin")
    assert outcome.status == 1
    assert "canonical NaNs: no | yes\n" in outcome.out
