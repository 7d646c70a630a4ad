"""What the documents say of instruments is so: names, lines, commands."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from chiwawa.commands.cli import main
from chiwawa.instrument.monitors.monitors import MONITORS
from chiwawa.instrument.tracing.tracer import EVENTS, RESOURCES
from chiwawa_runtime.command.options import Parser, add_options
from tests.path_helpers import each_watched_path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "instruments.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def first_cells(heading: str) -> list[str]:
    """The words in the first column of the table after ``heading``."""
    table = PAGE[PAGE.index(heading) :].split("\n\n")
    rows = next(part for part in table if part.lstrip().startswith("|")).strip().splitlines()
    return [word for row in rows[2:] for word in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_the_page_names_every_monitor() -> None:
    assert first_cells("## Monitors") == list(MONITORS)
    for name, monitor in MONITORS.items():
        assert monitor.name == name


def test_the_page_names_every_kind_of_instruction_and_resource() -> None:
    assert sorted(first_cells("`--trace-events` chooses")) == sorted(EVENTS)
    assert f"among `{' '.join(RESOURCES)}`" in PAGE


def test_the_help_names_them_too() -> None:
    parser = Parser()
    add_options(parser)
    text = " ".join(parser.format_help().split())
    assert f"{', '.join(MONITORS)}, or all" in text
    for name in RESOURCES:
        assert name in text


def run(command: str) -> str:
    """What a command of the documents prints, stderr first."""
    words = shlex.split(command, comments=True)
    if words[0] == "cat":
        return "".join(Path(name).read_text("utf-8") for name in words[1:])
    assert words[0] == "chiwawa"
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(words[1:]) == 0, err.getvalue()
    return err.getvalue() + out.getvalue()


def consoles(text: str) -> list[list[tuple[str, str]]]:
    """The commands in each of a document's consoles, and what is said to come out."""
    found = []
    for console in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        parts = [part.partition("\n") for part in console.split("$ ")[1:]]
        found.append([(command, output) for command, _, output in parts])
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands are given: it has the samples."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@each_watched_path
@pytest.mark.parametrize("console", consoles(PAGE), ids=lambda console: console[0][0])
def test_the_page_s_commands_print_what_it_says(
    console: list[tuple[str, str]], path: str, folder: Path
) -> None:
    for command, output in console:
        where = "" if command.startswith("cat ") else f" --path {path}"
        assert run(command + where) == output


def test_the_readme_s_commands_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = README[README.index("## Look inside") : README.index("## Running")]
    monkeypatch.setattr("sys.stdin", io.StringIO("quit\n"))
    for console in consoles(part):
        for command, _ in console:
            run(command)
    assert (folder / "report.html").stat().st_size > 10_000


def test_the_page_s_python_works(folder: Path) -> None:
    names: dict[str, object] = {}
    for source in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(source, names)
    assert names["seen"]
    assert (folder / "trace").read_text("utf-8").count("call $fib") > 10
