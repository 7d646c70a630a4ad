"""The commands other than ``run``."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import tomllib
from pathlib import Path

import pytest

import chiwawa
from chiwawa.commands.cli import COMMANDS
from tests.cli.cli_helpers import ROOT, Cli, Outcome, Programs, one_line, python
from tests.path_helpers import PATHS

SCRIPT = """
(module (func (export "one") (result i32) (i32.const 1)))
(assert_return (invoke "one") (i32.const 1))
(assert_return (invoke "one") (i32.const 2))
(assert_invalid (module (func (result i32))) "type mismatch")
"""


def test_the_version_is_said(cli: Cli) -> None:
    assert cli("--version").out == f"chiwawa {chiwawa.__version__}\n"


def test_help_names_every_command(cli: Cli) -> None:
    helped = cli("--help")
    assert helped.status == 0
    for name in COMMANDS:
        assert f"\n    {name} " in helped.out
        assert cli(name, "--help").status == 0


@pytest.mark.parametrize("arguments", [["--no-such"], ["compile"], ["wast"], ["inspect"]])
def test_bad_usage_is_one_line(cli: Cli, arguments: list[str]) -> None:
    assert one_line(cli(*arguments))


def test_the_module_is_a_program(program: Programs, tmp_path: Path) -> None:
    outcome = python(tmp_path, "-m", "chiwawa", "validate", program.wasm)
    assert (outcome.status, outcome.out) == (0, f"{program.wasm}: valid\n")


def test_the_command_line_is_quick_to_import(tmp_path: Path) -> None:
    heavy = ("lark", "astor", "dill", "tqdm", "chiwawa.api", "chiwawa.opcodes", "chiwawa_runtime")
    check = f"import sys, chiwawa.commands.cli; print([m for m in {heavy} if m in sys.modules])"
    assert python(tmp_path, "-c", check).out == "[]\n"


def test_every_public_name_is_there() -> None:
    for name in chiwawa.__all__:
        assert getattr(chiwawa, name) is not None
    # Each once; the linter has them in order, constants first.
    assert sorted(set(chiwawa.__all__)) == sorted(chiwawa.__all__) == dir(chiwawa)
    with pytest.raises(AttributeError, match="no attribute 'nonesuch'"):
        _ = chiwawa.nonesuch


def test_the_script_is_the_command_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"chiwawa": "chiwawa.commands.cli:main"}


# compile.


def test_compiling_is_deterministic_and_prints_nothing(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    for source in (program.wat, program.wasm):
        outcome = cli("compile", source, "-o", "out.py")
        assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
        assert (tmp_path / "out.py").read_bytes() == program.py.read_bytes()
    assert os.listdir(tmp_path) == ["out.py"]


def test_compiling_for_every_instruction(cli: Cli, program: Programs) -> None:
    cli("compile", program.wasm, "-o", "out.py", "--granularity", "instruction")
    call = ("--invoke", "sum", "--params", "I32(100)", "--cr-at", 50)
    cli("out.py", *call)
    cli(program.wasm, *call, "--granularity", "instruction", "--cr-file", "other.bin")
    assert Path("checkpoint.bin").read_bytes() == Path("other.bin").read_bytes()
    assert cli("out.py", "--restore", "other.bin").out == "I64(5050)\n"


def test_a_compilation_that_fails_leaves_what_was_there(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.wat").write_text("(module (func (result i32)))")
    (tmp_path / "out.py").write_text("old")
    outcome = cli("compile", "bad.wat", "-o", "out.py")
    assert outcome.status == 2
    assert outcome.err.startswith("chiwawa: error: bad.wat: type mismatch")
    assert (tmp_path / "out.py").read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["bad.wat", "out.py"]


def test_what_is_written_has_the_usual_permissions(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    mask = os.umask(0o022)
    try:
        cli("compile", program.wasm, "-o", "out.py")
        cli("wat2wasm", program.wat, "-o", "out.wasm")
    finally:
        os.umask(mask)
    for name in ("out.py", "out.wasm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o644


def test_a_place_that_cannot_be_written_is_said(cli: Cli, program: Programs) -> None:
    for command in ("compile", "wat2wasm", "wasm2wat"):
        outcome = cli(command, program.wasm, "-o", "no/where")
        assert one_line(outcome) == "no/where: No such file or directory"


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="this system has no /dev/stdout")
def test_what_is_no_file_is_written_to(program: Programs, tmp_path: Path) -> None:
    outcome = python(tmp_path, "-m", "chiwawa", "compile", program.wasm, "-o", "/dev/stdout")
    assert (outcome.status, outcome.out) == (0, program.py.read_text())


def test_a_large_module_shows_progress_on_a_terminal(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("chiwawa.commands.cli.LARGE", 1)
    (tmp_path / "in.wat").write_text("(module (func) (func))")
    assert cli("compile", "in.wat", "-o", "out.py").err == ""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert cli("compile", "in.wat", "-o", "out.py").status == 0
    assert "functions" in terminal.getvalue()


# validate, wat2wasm, wasm2wat.


def test_each_module_is_validated(cli: Cli, program: Programs, tmp_path: Path) -> None:
    (tmp_path / "bad.wat").write_text("(module (func (result i32)))")
    outcome = cli("validate", program.wasm, "bad.wat", "none.wasm", program.wat)
    assert outcome.status == 2
    assert outcome.out == f"{program.wasm}: valid\n{program.wat}: valid\n"
    assert outcome.err.splitlines() == [
        "chiwawa: error: bad.wat: type mismatch: expected i32, but the stack is empty "
        "(line 1, column 27)",
        "  (module (func (result i32)))",
        "                            ^",
        "chiwawa: error: none.wasm: No such file or directory",
    ]


@pytest.mark.parametrize(
    "command",
    [("validate", "bad.wat"), ("run", "bad.wat"), ("bad.wat",), ("wasm2wat", "bad.wat")]
    + [(word, "bad.wat", "-o", "out") for word in ("wat2wasm", "compile")],
)
def test_a_type_error_in_a_text_is_shown_by_line_and_column(
    cli: Cli, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "bad.wat").write_text(
        '(module\n  (func (export "_start")\n\t(i32.add (i64.const 1)\n\t\t(i32.const 2)))\n)\n'
    )
    outcome = cli(*command)
    assert outcome == Outcome(
        2,
        "",
        "chiwawa: error: bad.wat: type mismatch: expected i32, found i64 (line 3, column 3)\n"
        "  \t(i32.add (i64.const 1)\n  \t ^\n",
    )
    assert not (tmp_path / "out").exists()


def test_a_function_of_a_binary_that_does_not_validate_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.wasm").write_bytes(
        b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\7\5\1\1f\0\0\x0a\5\1\3\0\x1a\x0b"
    )
    assert one_line(cli("validate", "bad.wasm")) == (
        "bad.wasm: type mismatch: expected an operand, but the stack is empty "
        "($f, function 0, code offset 0x1)"
    )


def test_text_and_binary_go_round(cli: Cli, program: Programs, tmp_path: Path) -> None:
    assert cli("wat2wasm", program.wat, "-o", "a.wasm").status == 0
    assert (tmp_path / "a.wasm").read_bytes() == program.wasm.read_bytes()
    printed = cli("wasm2wat", "a.wasm").out
    assert cli("wasm2wat", "a.wasm", "-o", "b.wat").out == ""
    assert (tmp_path / "b.wat").read_text() == printed
    cli("wat2wasm", "b.wat", "-o", "b.wasm")
    assert (tmp_path / "b.wasm").read_bytes() == program.wasm.read_bytes()


# wast.


def test_scripts_run_on_both_paths(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "script.wast").write_text(SCRIPT)
    outcome = cli("wast", "script.wast")
    assert outcome.status == 1
    lines = outcome.out.splitlines()
    assert lines[0] == "script.wast (interp): 2 passed, 1 failed"
    assert lines[1].startswith('  script.wast:4: assert_return (invoke "one"): expected ')
    assert lines[2] == "script.wast (aot): 2 passed, 1 failed"
    assert len(lines) == 4
    one = cli("wast", "script.wast", "--path", "aot", "--json")
    (report,) = json.loads(one.out)
    assert (report["execution"], report["passed"]) == ("aot", 2)
    assert [failure["line"] for failure in report["failures"]] == [4]


def test_a_script_that_passes_exits_0(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "good.wast").write_text(SCRIPT.replace("(i32.const 2)", "(i32.const 1)"))
    assert cli("wast", "good.wast").status == 0
    (tmp_path / "bad.wast").write_text("(module")
    outcome = cli("wast", "bad.wast", "--path", "interp")
    assert outcome.status == 2
    assert outcome.err.startswith("chiwawa: error: bad.wast: unexpected token (line 1, column 8)")


# inspect.


def test_a_checkpoint_is_shown(cli: Cli, program: Programs) -> None:
    cli(program.wasm, "--invoke", "sum", "--params", "I32(100)", "--cr-at", 10)
    named = [cli("inspect", "checkpoint.bin", f) for f in (program.wat, program.wasm, program.py)]
    assert named[0] == named[1] == named[2]
    assert "$sum (function 0) at 0x" in named[0].out
    assert "$n=I32(91)" in named[0].out
    assert "$n" not in cli("inspect", "checkpoint.bin").out
    described = json.loads(cli("inspect", "checkpoint.bin", program.wasm, "--json").out)
    assert described["frames"][0]["name"] == "sum"
    assert described["safepoints"] == 10


# demo.


def test_the_demo_agrees_with_itself(tmp_path: Path) -> None:
    outcome = python(tmp_path, "-m", "chiwawa", "demo")
    assert outcome.status == 0, outcome
    assert outcome.err == ""
    assert "$place (function 1) at 0x" in outcome.out
    assert "The results agree: in all: 2680 solutions, in all: 2680 solutions" in outcome.out
    assert ("--path native" in outcome.out) == ("native" in PATHS)
    assert os.listdir(tmp_path) == []
