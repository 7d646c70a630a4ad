"""``chiwawa compile -o OUT.wasm``, and what the commands do with such files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.cli_helpers import Cli, Programs, one_line

NAME = "x_native.wasm"
native = pytest.mark.needs("wasmtime")


@pytest.fixture
def compiled(cli: Cli, program: Programs) -> str:
    assert cli("compile", program.wasm, "-o", NAME).status == 0
    return NAME


@native
def test_it_runs_natively_and_goes_on_on_every_path(
    cli: Cli, compiled: str, program: Programs
) -> None:
    call = ("--invoke", "sum", "--params", "I32(100)")
    whole = cli("run", program.wasm, *call)
    assert whole.status == 0
    assert cli("run", compiled, *call) == whole
    assert cli("run", compiled, *call, "--cr-at", 50).status == 0
    for more in ([], ["--path", "aot"], ["--path", "interp"], ["--path", "native"]):
        assert cli("run", compiled, *more, "--restore", "checkpoint.bin") == whole
    # The same checkpoint as the original's, each way.
    assert cli("run", program.py, "--restore", "checkpoint.bin") == whole
    assert cli("run", program.wasm, *call, "--cr-at", 50, "--cr-file", "other.bin").status == 0
    assert Path("other.bin").read_bytes() == Path("checkpoint.bin").read_bytes()


def test_the_original_in_it_is_what_others_see(cli: Cli, compiled: str, program: Programs) -> None:
    call = ("--invoke", "sum", "--params", "I32(3)", "--path", "interp")
    assert cli("run", compiled, *call, "--stats") == cli("run", program.wasm, *call, "--stats")
    assert cli("run", compiled, *call, "--cr-at", 2).status == 0
    shown = [cli("inspect", "checkpoint.bin", file) for file in (compiled, program.wasm)]
    assert shown[0] == shown[1]
    assert cli("compile", compiled, "-o", "again.wasm").status == 0
    assert Path("again.wasm").read_bytes() == Path(compiled).read_bytes()


def test_it_is_a_valid_module(cli: Cli, compiled: str) -> None:
    assert cli("validate", compiled).out == f"{compiled}: valid\n"


def test_a_damaged_one_is_refused_in_a_line(cli: Cli, compiled: str) -> None:
    data = Path(compiled).read_bytes()
    for changed in (data[:-1], data[:300] + bytes([data[300] ^ 1]) + data[301:]):
        Path(compiled).write_bytes(changed)
        said = one_line(cli("run", compiled))
        assert said.endswith(
            f"{compiled}: it has been changed, or cut off, since chiwawa compile wrote it"
        )


@pytest.mark.parametrize("command", ["run", "debug", "compile"])
def test_one_without_its_original_is_refused_in_a_line(
    cli: Cli, program: Programs, command: str
) -> None:
    assert cli("compile", program.wasm, "-o", NAME, "--no-original").status == 0
    assert "it was compiled without its original (--no-original)" in one_line(cli(command, NAME))


def test_what_makes_no_sense_is_said_in_a_line(cli: Cli, program: Programs) -> None:
    for option in ("--counting", "--no-original"):
        said = one_line(cli("compile", program.wasm, option))
        assert f"{option} is of rewritten modules: give -o OUT.wasm" in said
    everywhere = ("--granularity", "instruction")
    said = one_line(cli("compile", program.wasm, "-o", NAME, *everywhere))
    assert "a rewritten module stops at safepoints alone" in said
