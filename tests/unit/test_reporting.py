"""Lines of errors: one line each, of bounded length, with nothing that steers a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from chiwawa_runtime.command import reporting
from chiwawa_runtime.command.reporting import LONGEST, MARGIN, reported, single_line
from chiwawa_runtime.errors import BadInput, Location, MalformedError, Trap, WasiExit

#: A megabyte, of characters that take one place, and of such as are spelled out.
LONG = ["x" * (1 << 20), "\x1b" * (1 << 20), "\U000e0001" * (1 << 20)]


def said(capsys: pytest.CaptureFixture[str], error: Exception) -> list[str]:
    def action() -> int:
        raise error

    reported(action)
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("long", LONG, ids=["plain", "control", "language tag"])
def test_whatever_is_raised_the_line_is_short_and_has_both_ends(
    capsys: pytest.CaptureFixture[str], long: str
) -> None:
    trap = Trap("unreachable")
    trap.backtrace = (Location(0, 0, long),)
    for error, start, end in (
        (BadInput(f"first {long} last"), "chiwawa: error: first ", " last"),
        (OSError(2, "No such file", long), "chiwawa: error: ", ": No such file"),
        (KeyError(f"first {long} last"), "chiwawa: error: this is a bug", " last'"),
        (trap, "trap: unreachable", " (function 0, code offset 0x0)"),
    ):
        lines = said(capsys, error)
        assert len(lines) == (2 if error is trap else 1)
        assert all(len(line) < 2 * LONGEST and line.isprintable() for line in lines)
        assert lines[0].startswith(start)
        assert lines[-1].endswith(end)
        assert " … " in lines[-1]


def test_what_is_short_is_left_as_it_is() -> None:
    assert single_line("é" * LONGEST) == "é" * LONGEST
    assert single_line("a\nb\u202ec") == "a\\nb\\u202ec"


@pytest.mark.parametrize("before", [0, 1, 5, 2 * MARGIN, 1000, 1 << 20])
@pytest.mark.parametrize("after", [1, 30, 1 << 20])
@pytest.mark.parametrize("filling", [" ", "a", "\t", "\x1b"])
def test_the_caret_of_a_long_line_stands_under_its_place(
    capsys: pytest.CaptureFixture[str], before: int, after: int, filling: str
) -> None:
    source = filling * before + "!" + "b" * after
    error = MalformedError("unexpected token", line=1, column=before + 1, excerpt=source)
    first, excerpt, caret = said(capsys, error)
    assert first == f"chiwawa: error: unexpected token (line 1, column {before + 1})"
    assert caret.index("^") == excerpt.index("!")
    assert caret[:-1].isspace()
    assert caret.count("\t") == excerpt.count("\t")
    assert len(excerpt) < 20 * MARGIN
    if before + after < MARGIN and filling != "\x1b":
        assert excerpt == f"  {source}"
    assert ("…" in excerpt) == (before > 2 * MARGIN - 2 or after > 2 * MARGIN)


def test_a_status_that_the_host_does_not_take_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on WASI, where a trap's 134 would be refused."""
    monkeypatch.setattr(reporting, "HIGHEST", 125)

    def exit_with(status: int) -> int:
        raise WasiExit(status)

    assert reported(lambda: exit_with(125)) == 125
    assert capsys.readouterr().err == ""
    assert reported(lambda: exit_with(200)) == 125
    assert capsys.readouterr().err == (
        "chiwawa: the exit status would be 200; this host takes none above 125\n"
    )


def test_a_closed_stdout_is_quiet_where_descriptors_cannot_be_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Closed(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    with monkeypatch.context() as patch:
        # Whatever captures output moves descriptors, and must find that again.
        patch.delattr("os.dup2")
        patch.setattr("sys.stdout", Closed())
        assert reported(lambda: 0) == reporting.BROKEN_PIPE
        sys.stdout.write("nothing")
        sys.stdout.flush()
