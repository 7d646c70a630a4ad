"""What somebody types who does not know the command line yet, and what is given for something
else: each is one clear line, or works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chiwawa.commands.cli import COMMANDS
from chiwawa_runtime import checkpoint
from tests.cli.cli_helpers import Cli, Outcome, Programs, environment, one_line, python

SUM = ("--invoke", "sum", "--params", "I32(100)")


def fed(folder: Path, content: bytes, *arguments: object) -> tuple[int, bytes, str]:
    """Status, output and errors of ``chiwawa``, which can read ``content``."""
    done = subprocess.run(
        [sys.executable, "-m", "chiwawa", *map(str, arguments)],
        cwd=folder,
        env=environment(),
        input=content,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr.decode()


# Words that are mistyped.


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["complie", "x.wasm"], "no file 'complie': did you mean compile? (see chiwawa --help)"),
        (["hepl"], "did you mean help? (see chiwawa --help)"),
        (["frobnicate"], "there is no command and no file 'frobnicate' (see chiwawa --help)"),
        (["help", "inspekt"], "did you mean inspect? (see chiwawa --help)"),
        (["run", "x.wasm", "--invok", "f"], "--invok: did you mean --invoke? (see chiwawa run "),
        (["x.wasm", "--cr-fiel=a"], "--cr-fiel: did you mean --cr-file? (see chiwawa run --help)"),
        (["--restroe", "a"], "--restroe: did you mean --restore? (see chiwawa run --help)"),
        (["run", "--invok", "f", "x.wasm"], "--invok: did you mean --invoke?"),
        (["compile", "x.wasm", "--output-file=y"], "--output-file: did you mean --output? (see "),
        (["wast", "--jsno", "x"], "did you mean --json? (see chiwawa wast --help)"),
        (["validate", "x", "--zzz"], "unknown option --zzz (see chiwawa validate --help)"),
        (["validate"], "required: FILE (see chiwawa validate --help)"),
        (["compile", "x.wasm", "y.py"], "unexpected argument 'y.py' (see chiwawa compile --help)"),
        (["debug", "x.wasm", "--braek"], "(see chiwawa debug --help)"),
        (["debug", "-"], "debug reads its commands from standard input: give it a file"),
        (["validate", "-", "-"], "standard input (-) can be read only once"),
        (["diff", "-", "-"], "standard input (-) can be read only once"),
    ],
)
def test_the_nearest_word_and_the_right_help_are_named(
    cli: Cli, typed: list[str], said: str
) -> None:
    assert said in one_line(cli(*typed))


@pytest.mark.parametrize("place", ["before", "after"])
def test_arguments_after_the_file_are_told_where_they_go(
    cli: Cli, program: Programs, tmp_path: Path, place: str
) -> None:
    said = "'40': the program's own arguments go after --, those of an exported function into "
    options = () if place == "before" else SUM
    assert said in one_line(cli(program.wasm, "40", *options))
    assert said in one_line(cli("run", program.wasm, *options, "40", "50"))
    assert said in one_line(python(tmp_path, program.py, *options, "40"))


def test_a_generated_file_suggests_too(program: Programs, tmp_path: Path) -> None:
    assert "did you mean --invoke? (see python program.py --help)" in one_line(
        python(tmp_path, program.py, "--invoek", "sum")
    )


def test_help_is_a_command(cli: Cli) -> None:
    assert cli("help") == cli("--help")
    for name in COMMANDS:
        assert cli("help", name) == cli(name, "--help")
    assert cli("help", "run").out.startswith("usage: chiwawa run ")


def test_nothing_at_all_is_the_help_and_a_failure(cli: Cli) -> None:
    outcome = cli()
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == cli("--help").out


def test_the_version_has_a_short_option(cli: Cli) -> None:
    assert cli("-V") == cli("--version")


# Standard input and output.


def test_every_command_reads_standard_input(program: Programs, tmp_path: Path) -> None:
    binary, text, made = (f.read_bytes() for f in (program.wasm, program.wat, program.py))
    for module in (binary, text):
        for arguments, out in (
            (("validate", "-"), b"standard input: valid\n"),
            (("wat2wasm", "-"), binary),
            (("compile", "-"), made),
            (("run", "-", *SUM), b"I64(5050)\n"),
            (("-", *SUM, "--path", "aot"), b"I64(5050)\n"),
        ):
            assert fed(tmp_path, module, *arguments) == (0, out, "")
    assert fed(tmp_path, made, "run", "-", *SUM) == (0, b"I64(5050)\n", "")
    _, printed, _ = fed(tmp_path, binary, "wasm2wat", "-")
    assert fed(tmp_path, printed, "wat2wasm", "-", "-o", "-") == (0, binary, "")
    status, out, error = fed(tmp_path, b"(module", "validate", "-")
    assert (status, out) == (2, b"")
    assert error.startswith("chiwawa: error: standard input: unexpected token (line 1, column 8)")
    assert os.listdir(tmp_path) == []


def test_checkpoints_are_read_from_standard_input(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    cli(program.wasm, *SUM, "--cr-at", 10)
    data = (tmp_path / "checkpoint.bin").read_bytes()
    shown = cli("inspect", "checkpoint.bin", program.wasm).out.encode()
    assert fed(tmp_path, data, "inspect", "-", program.wasm) == (0, shown, "")
    assert fed(tmp_path, data, "diff", "-", "checkpoint.bin")[0] == 0
    module = program.wat.read_bytes()
    assert fed(tmp_path, module, "inspect", "checkpoint.bin", "-") == (0, shown, "")


# Where results go by themselves.


def test_what_is_made_has_a_name_of_its_own(cli: Cli, program: Programs, tmp_path: Path) -> None:
    assert cli("compile", program.wasm) == Outcome(0, "", "chiwawa: written to program_aot.py\n")
    assert cli("wat2wasm", program.wat) == Outcome(0, "", "chiwawa: written to program.wasm\n")
    assert (tmp_path / "program_aot.py").read_bytes() == program.py.read_bytes()
    assert (tmp_path / "program.wasm").read_bytes() == program.wasm.read_bytes()


def test_only_what_chiwawa_made_is_replaced_unasked(
    cli: Cli, program: Programs, tmp_path: Path
) -> None:
    file = tmp_path / "program_aot.py"
    cli("compile", program.wasm, "--granularity", "instruction")
    assert cli("compile", program.wasm).status == 0
    assert file.read_bytes() == program.py.read_bytes()
    file.write_text("print('my own')\n")
    assert one_line(cli("compile", program.wasm)) == (
        "program_aot.py is there already: -o program_aot.py replaces it"
    )
    assert file.read_text() == "print('my own')\n"
    (tmp_path / "program.wasm").write_bytes(b"mine")
    assert "-o program.wasm replaces it" in one_line(cli("wat2wasm", program.wat))
    assert (tmp_path / "program.wasm").read_bytes() == b"mine"
    (tmp_path / "other_aot.py").symlink_to("nowhere")
    (tmp_path / "other.wasm").write_bytes(program.wasm.read_bytes())
    assert "other_aot.py is there already" in one_line(cli("compile", "other.wasm"))
    for command, name in (("compile", file.name), ("wat2wasm", "program.wasm")):
        assert cli(command, program.wat, "-o", name) == Outcome(0, "", "")


# Things that are something else.


@pytest.fixture
def zoo(cli: Cli, program: Programs, tmp_path: Path) -> Path:
    """A folder with one of each kind."""
    cli(program.wasm, *SUM, "--cr-at", 10)
    data = (tmp_path / "checkpoint.bin").read_bytes()
    assert checkpoint.decode(data)
    (tmp_path / "cut.bin").write_bytes(data[:-10])
    (tmp_path / "component.wasm").write_bytes(b"\0asm\x0d\0\1\0")
    (tmp_path / "component.wat").write_text("(component)")
    (tmp_path / "native").write_bytes(b"\x7fELF\2\1\1\0")
    (tmp_path / "gzipped.wasm").write_bytes(b"\x1f\x8b\x08\0")
    (tmp_path / "module.wasm").write_bytes(program.wasm.read_bytes())
    (tmp_path / "made.py").write_bytes(program.py.read_bytes())
    (tmp_path / "script.wast").write_text('(module) (assert_return (invoke "f"))')
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["run", "checkpoint.bin"], "checkpoint.bin: it is a checkpoint (a core dump), not a prog"),
        (["compile", "cut.bin"], "cut.bin: it is a checkpoint (a core dump), not a program: "),
        (["debug", "checkpoint.bin"], "chiwawa run PROGRAM --restore CHECKPOINT goes on from one"),
        (["inspect", "checkpoint.bin", "checkpoint.bin"], "it is a checkpoint (a core dump), not"),
        (["run", "component.wasm"], "a component is not supported"),
        (["validate", "component.wasm"], "a component is not supported"),
        (["validate", "component.wat"], "component (component model) is not supported"),
        (["run", "native"], "native: it is no module: it is a program of this machine (ELF)"),
        (["validate", "gzipped.wasm"], "it is no module: it is compressed (gzip)"),
        (["validate", "made.py"], "made.py: it is a generated file, and a module (.wasm, .wat) is"),
        (["compile", "made.py"], "made.py: it is a generated file, and a module"),
        (["wasm2wat", "made.py"], "made.py: it is a generated file, and a module"),
        (["wat2wasm", "made.py", "-o", "x"], "made.py: it is a generated file, and a module"),
        (["inspect", "made.py"], "made.py: it is a generated file, not a checkpoint"),
        (["inspect", "module.wasm"], "module.wasm: not a checkpoint but a module"),
        (["diff", "checkpoint.bin", "module.wasm"], "module.wasm: not a checkpoint but a module"),
        (["run", "module.wasm", "--restore", "module.wasm"], "module.wasm: not a checkpoint but a"),
        (["inspect", "cut.bin"], "cut.bin: damaged checkpoint"),
        (["run", "script.wast"], "script.wast: it is a script, of which chiwawa wast runs all"),
        (["validate", "script.wast"], "script.wast: it is a script, of which chiwawa wast runs"),
        (["run", ""], "No such file or directory"),
        (["run", "module.wasm", "--invoke", "sum", "--params", "1"], "--params: a value such as"),
        (["run", "module.wasm", "--invoke", "sum", "--params", "I32(1"], "--params: a closing par"),
        (["wast", "module.wasm"], "module.wasm: it is a module in the binary format, not a script"),
    ],
)
def test_what_is_given_for_something_else_is_named(
    cli: Cli, zoo: Path, typed: list[str], said: str
) -> None:
    outcome = cli(*typed)
    if any(name.endswith(".wat") for name in typed):
        # Beneath the line, the text is shown.
        first, _, caret = outcome.err.splitlines()
        assert caret.strip() == "^"
        outcome = Outcome(outcome.status, outcome.out, f"{first}\n")
    assert said in one_line(outcome)


def test_a_checkpoint_is_a_module_where_it_may_be_one(cli: Cli, zoo: Path) -> None:
    assert cli("validate", "checkpoint.bin").status == 0
    assert cli("wasm2wat", "checkpoint.bin").status == 0


def test_a_script_of_one_module_is_a_module(cli: Cli, program: Programs, tmp_path: Path) -> None:
    (tmp_path / "one.wast").write_bytes(program.wat.read_bytes())
    assert cli("run", "one.wast", *SUM).out == "I64(5050)\n"


def test_names_in_reports_of_scripts_are_short_and_printable(cli: Cli, tmp_path: Path) -> None:
    name = r"\1b[31m" + "x" * 100_000
    (tmp_path / "s.wast").write_text(f'(module) (assert_return (invoke "{name}"))')
    outcome = cli("wast", "s.wast")
    assert outcome.status == 1
    assert all(line.isprintable() and len(line) < 1100 for line in outcome.out.splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text on this system")
def test_a_name_that_is_no_text_is_spelled_out(program: Programs, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.wasm")
    (tmp_path / name).write_bytes(program.wasm.read_bytes())
    outcome = python(tmp_path, "-m", "chiwawa", "validate", name)
    assert outcome == Outcome(0, "\\udcff.wasm: valid\n", "")


def test_a_generated_file_may_have_any_name(cli: Cli, zoo: Path) -> None:
    (zoo / "made").write_bytes((zoo / "made.py").read_bytes())
    assert cli("run", "made", *SUM).out == "I64(5050)\n"
