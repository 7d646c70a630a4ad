"""Completion by the shell, which argcomplete asks the command line for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.cli_helpers import ROOT, environment
from tests.need_helpers import need


def completions(folder: Path, line: str) -> set[str]:
    """What could come at the end of ``line``, as a shell would ask."""
    need("argcomplete")
    answer = folder / "answer"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line.encode())),
    }
    done = subprocess.run(
        [sys.executable, "-m", "chiwawa"],
        cwd=folder,
        env={**environment(), **asked},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return {word.strip() for word in answer.read_text().split("\n")} - {""}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("chiwawa comp", {"compile"}),
        ("chiwawa wa", {"wasm2wat", "wast", "wat2wasm"}),
        ("chiwawa run --cr-", {f"--cr-{name}" for name in ("file", "at", "every", "keep-running")}),
        ("chiwawa run x.wasm --path ", {"auto", "interp", "aot", "native"}),
        ("chiwawa inspect --js", {"--json"}),
    ],
)
def test_words_are_completed(tmp_path: Path, line: str, expected: set[str]) -> None:
    assert completions(tmp_path, line) == expected


def test_files_are_completed(tmp_path: Path) -> None:
    (tmp_path / "program.wasm").touch()
    assert completions(tmp_path, "chiwawa run pro") == {"program.wasm"}


def test_without_argcomplete_a_question_is_not_answered(tmp_path: Path) -> None:
    hide = (
        "import sys; sys.modules['argcomplete'] = None; "
        "from chiwawa.commands.cli import main; main(['-V'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide],
        cwd=tmp_path,
        env={**environment(), "_ARGCOMPLETE": "1", "COMP_LINE": "chiwawa ", "COMP_POINT": "8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("chiwawa ")


def test_the_global_completion_finds_its_mark() -> None:
    # argcomplete looks for it in the first 1024 bytes of the module of the entry point.
    assert b"PYTHON_ARGCOMPLETE_OK" in (ROOT / "chiwawa/commands/cli.py").read_bytes()[:1024]
