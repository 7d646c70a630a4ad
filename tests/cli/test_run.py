"""``run``: parameters, results, exit statuses and what is said of errors."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from chiwawa_runtime.engine.deferred import FORMAT, OWN_TABLES, TABLES
from chiwawa_runtime.errors import BadInput
from tests.cli.cli_helpers import Cli, Programs, environment, one_line, python
from tests.path_helpers import PATHS, PATHS_AND_GRANULARITIES, each_path, stopping_at


@each_path
@pytest.mark.parametrize(
    "values",
    [
        "I32(1),I64(2),F32(0.5),F64(2.5)",
        "I32(-1),I64(-9223372036854775808),F32(inf),F64(-inf)",
        "I32(0),I64(0),F32(nan),F64(-nan)",
        "I32(2147483647),I64(-1),F32(nan:0x1),F64(nan:0x4)",
        "I32(0),I64(0),F32(-0.0),F64(-0.0)",
        "I32(0),I64(0),F32(0.1),F64(0.1)",
    ],
)
def test_results_have_the_form_of_parameters(
    cli: Cli, program: Programs, path: str, values: str
) -> None:
    file = program.for_path(path)
    outcome = cli("run", file, "--invoke", "same", "--params", values)
    assert (outcome.status, outcome.out, outcome.err) == (0, values + "\n", "")


def test_parameters_may_be_hexadecimal_unsigned_and_begin_with_a_space(
    cli: Cli, program: Programs
) -> None:
    params = " I32(0xffffffff), I64(18446744073709551615) ,F32(0x1p-1),F64(1e1)"
    outcome = cli("run", program.wat, "--invoke", "same", "--params", params)
    assert outcome.out == "I32(-1),I64(-1),F32(0.5),F64(10.0)\n"


@each_path
def test_references_are_null_or_functions_by_index(cli: Cli, program: Programs, path: str) -> None:
    file = program.for_path(path)
    assert cli(file, "--invoke", "null", "--params", "REF(null)").out == "REF(null)\n"
    assert cli(file, "--invoke", "function").out == "REF(func 0)\n"
    refused = cli(file, "--invoke", "null", "--params", "REF(func 0)")
    assert one_line(refused) == "only null can be given for a reference"


def test_no_result_prints_nothing(cli: Cli, program: Programs) -> None:
    outcome = cli(program.wasm, "--invoke", "nothing")
    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")


def test_every_form_of_a_program_runs_on_every_path(cli: Cli, program: Programs) -> None:
    files = {program.wat, program.wasm, program.py, *map(program.for_path, PATHS)}
    for file in sorted(files):
        for path, granularity in PATHS_AND_GRANULARITIES:
            outcome = cli(
                *("run", file, "--invoke", "sum", "--params", "I32(10)"),
                *("--path", path, "--granularity", granularity),
            )
            assert outcome.out == "I64(55)\n", (file, path, granularity)


def test_a_generated_file_runs_by_itself(program: Programs, tmp_path: Path) -> None:
    outcome = python(tmp_path, program.py, "--invoke", "sum", "--params", "I32(100)")
    assert (outcome.status, outcome.out, outcome.err) == (0, "I64(5050)\n", "")
    helped = python(tmp_path, program.py, "--help")
    assert helped.status == 0
    assert "--restore" in helped.out


def test_a_generated_file_needs_only_the_runtime(program: Programs, tmp_path: Path) -> None:
    check = (
        "import runpy, sys; sys.argv[1:] = ['--invoke', 'nothing']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end\n"
        "assert not any(m.partition('.')[0] in ('chiwawa', 'lark', 'astor', 'dill', 'tqdm')"
        " for m in sys.modules)"
    )
    outcome = python(tmp_path, "-c", f"import sys; sys.argv = [{str(program.py)!r}]\n{check}")
    assert (outcome.status, outcome.err) == (0, "")


def test_a_generated_file_says_what_takes_the_toolchain(program: Programs, tmp_path: Path) -> None:
    for options in (["--path", "interp"], ["--granularity", "instruction"]):
        outcome = python(tmp_path, program.py, "--invoke", "nothing", *options)
        assert "takes chiwawa run FILE" in one_line(outcome) or "choice" in outcome.err


# WASI.


@each_path
def test_a_wasi_program_gets_its_arguments_and_its_status_becomes_ours(
    cli: Cli, echo: Programs, path: str
) -> None:
    file = echo.for_path(path)
    outcome = cli(file, "--app-args", "--version 'a b'", "--", "--cr", "--", "é")
    assert outcome.out == "echo\n--version\na b\n--cr\n--\né\n"
    assert (outcome.status, outcome.err) == (6, "")
    assert cli(file, "--argv0", "-other").out == "-other\n"


def test_a_status_that_does_not_fit_stays_a_failure(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "exit.wat"
    file.write_text(
        '(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
        '(memory 1) (func (export "_start") (call $exit (i32.const 512))))'
    )
    assert cli(file).status == 1


def test_the_environment_is_only_what_is_given(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "count.wat"
    file.write_text(
        '(module (import "wasi_snapshot_preview1" "environ_sizes_get"'
        " (func $sizes (param i32 i32) (result i32))) (memory 1)"
        ' (func (export "count") (result i32 i32) (drop (call $sizes (i32.const 0) (i32.const 4)))'
        " (i32.load (i32.const 0)) (i32.load (i32.const 4))))"
    )
    monkeypatch.setenv("CHIWAWA_TEST", "12345")
    monkeypatch.delenv("CHIWAWA_ABSENT", raising=False)
    assert cli(file, "--invoke", "count").out == "I32(0),I32(0)\n"
    given = ["--env", "A=1", "--env", "CHIWAWA_TEST", "--env", "CHIWAWA_ABSENT"]
    assert cli(file, "--invoke", "count", *given).out == "I32(2),I32(23)\n"


def test_a_reactor_is_initialised_before_its_export_is_called(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "reactor.wat"
    file.write_text(
        '(module (global $g (mut i32) (i32.const 0)) (func (export "_initialize")'
        ' (global.set $g (i32.const 7))) (func (export "get") (result i32) (global.get $g)))'
    )
    assert cli(file, "--invoke", "get").out == "I32(7)\n"
    assert cli(file).status == 0


def test_a_reader_that_goes_away_is_no_error(program: Programs, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    outcome = subprocess.run(
        [sys.executable, "-m", "chiwawa", program.wasm, "--invoke", "function"],
        cwd=tmp_path,
        env=environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (outcome.returncode, outcome.stderr) == (141, b"")


# Traps.


@pytest.mark.parametrize("granularity", ["safepoint", "instruction"])
def test_a_trap_has_the_same_backtrace_on_both_paths(
    cli: Cli, program: Programs, granularity: str
) -> None:
    options = ("--invoke", "divide", "--params", "I32(5)", "--granularity", granularity)
    possible = stopping_at(granularity)
    outcomes = [cli("run", program.wasm, *options, "--path", path) for path in possible]
    assert outcomes.count(outcomes[0]) == len(outcomes)
    assert outcomes[0].status == 134
    assert outcomes[0].out == ""
    assert outcomes[0].err.splitlines() == [
        "trap: integer divide by zero",
        "  at $divide (function 5, code offset 0x5)",
        "  at $middle (function 6, code offset 0x5)",
        "  at $divide (function 7, code offset 0x3)",
    ]


@each_path
def test_endless_recursion_is_a_trap_with_a_short_backtrace(
    cli: Cli, program: Programs, path: str
) -> None:
    outcome = cli(program.for_path(path), "--invoke", "deep", "--params", "I32(1)")
    assert outcome.status == 134
    lines = outcome.err.splitlines()
    assert lines[0] == "trap: call stack exhausted"
    assert len(lines) == 32
    assert "left out" in lines[21]


# Errors.


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--invoke", "none"], 'no exported function "none"; the module exports sum, same, '),
        ([], "there is no function _start to run: give --invoke; the module exports sum, same"),
        (["--invoke", "sum"], 'wrong --params for "sum", which is [i32] -> [i64]: [] given'),
        (["--invoke", "sum", "--params", "I64(1)"], "[i32] -> [i64]: [i64] given"),
        (["--invoke", "sum", "--params", "I32(1),I32(2)"], ": [i32 i32] given"),
        (["--invoke", "sum", "--params", "I32(4294967296)"], "constant out of range"),
        (["--invoke", "sum", "--params", "I32(x)"], "an integer expected"),
        (["--invoke", "sum", "--params", "1"], "a value such as I32(1) expected at '1'"),
        (["--invoke", "sum", "--params", "-1"], "a value such as I32(1) expected at '-1'"),
        (["--params", "I32(1)"], "--params needs --invoke"),
        (["--invoke"], "argument --invoke: expected one argument (see chiwawa run --help)"),
        (["--nonsense"], "unknown option --nonsense (see chiwawa run --help)"),
        (["--path", "jit"], "invalid choice: 'jit'"),
        (["--cr-at", "0"], "a whole number from 1 on expected, not '0'"),
        (["--cr-at", "-5"], "argument --cr-at"),
        (["--cr-every", "soon"], "a number of seconds expected, not 'soon'"),
        (["--cr-every", "nan"], "a number of seconds expected, not 'nan'"),
        (["--cr-every", "-1"], "argument --cr-every"),
        (["--cr-file", "no/where.bin"], "--cr-file no/where.bin: there is no directory "),
        (["--cr-file", "."], "--cr-file .: it is a directory"),
        (["--env", "=1"], "--env '=1' has no name"),
        (["--dir", "::x"], "--dir '::x' names no directory"),
        (["--app-args", "'"], "--app-args: No closing quotation"),
        (["--restore", "none.bin"], "cannot read none.bin: No such file or directory"),
        (["--restore", "."], "cannot read .: "),
        (["--restore", "x", "--", "a"], "--app-args cannot be given with --restore"),
        (["--trace-events="], "--trace-events names nothing"),
        (["--json"], "--json, --csv and --monitor-output need --monitor"),
    ],
)
def test_bad_usage_is_said_in_one_line(
    cli: Cli, program: Programs, arguments: list[str], said: str
) -> None:
    assert said in one_line(cli("run", program.wasm, *arguments))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\0asm\1\0\0", "unexpected end"),
        (b"\0asm\2\0\0\0", "unknown binary version"),
        (b"\0asm\1\0\0\0\x0c", "unexpected end"),
        (bytes.fromhex("0061736d 01000000 010401600000 03020100 0a05010300 1a0b"), "type mismatch"),
        (b"", "it is no module: it is empty"),
        (b"\xff\xfe", "malformed UTF-8 encoding"),
        (b'(module (import "a" "b" (func)) (import "c\\1b" "d" (func)) (func (export "_start")))',
         'unknown imports "a" "b", "c\\x1b" "d"'),
        (b'(module (import "wasi_snapshot_preview1" "nonesuch" (func)) (func (export "_start")))',
         'unknown import "wasi_snapshot_preview1" "nonesuch"'),
        (b'(module (import "wasi_snapshot_preview1" "fd_close" (func)) (func (export "_start")))',
         "incompatible import type"),
    ],
)  # fmt: skip
def test_bad_modules_are_said_in_one_line(
    cli: Cli, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "bad.wasm"
    file.write_bytes(content)
    assert said in one_line(cli(file, "--invoke", "_start") if b"_start" in content else cli(file))


def test_an_error_in_text_has_its_line_and_a_caret(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.wat").write_text("(module\n  (func i32.bad))\n")
    outcome = cli("bad.wat")
    assert outcome.status == 2
    first, source, caret = outcome.err.splitlines()
    assert first.startswith("chiwawa: error: bad.wat: ")
    assert first.endswith("(line 2, column 9)")
    assert source.strip() == "(func i32.bad))"
    assert caret.index("^") == source.index("i32.bad")


def test_files_that_cannot_be_read_are_said_in_one_line(cli: Cli, tmp_path: Path) -> None:
    assert one_line(cli("none.wasm")) == "none.wasm: No such file or directory"
    assert one_line(cli("none.py")) == "none.py: No such file or directory"
    assert "Is a directory" in one_line(cli("run", tmp_path))
    (tmp_path / "other.py").write_text("print(1)\n")
    assert "no file that chiwawa compiled" in one_line(cli("other.py"))
    (tmp_path / "broken.py").write_text(OWN_TABLES)
    assert one_line(cli("broken.py")).startswith("broken.py: it cannot be imported: SyntaxError")
    (tmp_path / "latin.py").write_bytes(b"\xff")
    assert "cannot be read" in one_line(cli("latin.py"))


def test_a_generated_file_that_was_edited_is_refused(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    edited = program.py.read_text().replace("def f0", "\ndef f0", 1)
    (tmp_path / "edited.py").write_text(edited)
    assert "was edited" in one_line(cli("edited.py", "--invoke", "nothing"))


#: How files of the first format began and ended.
FIRST_FORMAT = """\
\"""WebAssembly module 'old', translated to Python by chiwawa: do not edit.\"""

from chiwawa_runtime.bundle import bundle, run_file


def f0_nothing():
    return


BUNDLE = bundle(
    name='old',
    types=(':',),
    codes=((f0_nothing, False, 6, 0, '', '', '', ''),),
)

instantiate = BUNDLE.instantiate

if __name__ == "__main__":
    run_file(BUNDLE)
"""


@pytest.mark.parametrize("other", ["the first", "a later one"])
def test_a_file_of_another_format_is_to_be_compiled_again(
    other: str, cli: Cli, program: Programs, tmp_path: Path
) -> None:
    old = tmp_path / "old.py"
    if other == "the first":
        old.write_text(FIRST_FORMAT)
    else:
        later = OWN_TABLES.replace(f"={FORMAT}", f"={FORMAT + 1}")
        old.write_text(program.py.read_text().replace(OWN_TABLES, later))
    assert TABLES in old.read_text()
    said = "another version of chiwawa compiled this file: compile it again"
    assert one_line(cli("run", "old.py")) == f"old.py: {said}"
    # Python makes the name a whole path.
    assert one_line(python(tmp_path, "old.py")).endswith(f"old.py: {said}")
    with pytest.raises(BadInput, match="compile it again"):
        runpy.run_path(str(old))


def test_names_cannot_steer_the_terminal(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.wat").write_text(
        r'(module (import "\1b[31m" "\07" (func)) (func (export "_start")))'
    )
    assert r"\x1b[31m" in one_line(cli("bad.wat"))
