"""``run --record-calls`` and ``run --replay``: a program runs again without what it ran on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from chiwawa_runtime.run.call_record import FRAME, MAGIC
from tests.cli.cli_helpers import Cli, Outcome, ended, one_line, spawn
from tests.cli.replay_helpers import WORLDLY
from tests.path_helpers import PATHS, WATCHED, each_path, next_path


def recorded(folder: Path, path: str, *more: object) -> Outcome:
    """The program's run on ``path`` with its files, which are gone then; recorded."""
    (folder / "worldly.wat").write_text(WORLDLY)
    (folder / "given").mkdir(exist_ok=True)
    (folder / "given" / "in.txt").write_text("what is in the file")
    (folder / "input").write_text("what is read")
    with open(folder / "input", encoding="utf-8") as given:
        command = ("run", "worldly.wat", "--path", path, "--dir", "given", *more)
        outcome = ended(
            spawn(
                folder,
                "-m",
                "chiwawa",
                *command,
                "--record-calls",
                "calls.rec",
                stdin=given.fileno(),
            )
        )
    if (folder / "given" / "out.txt").exists():
        shutil.rmtree(folder / "given")
    return outcome


@each_path
def test_a_replayed_run_ends_as_the_recorded_one_and_writes_the_same(
    path: str, tmp_path: Path, cli: Cli
) -> None:
    first = recorded(tmp_path, path)
    assert len(first.out) == 18
    assert len(first.err) == 9
    assert not (tmp_path / "given").exists()
    for other in PATHS:
        assert cli("run", "worldly.wat", "--path", other, "--replay", "calls.rec") == first
    assert not (tmp_path / "given").exists()


@pytest.mark.parametrize("path", WATCHED)
def test_a_replayed_run_on_another_path_has_the_same_trace(
    path: str, tmp_path: Path, cli: Cli
) -> None:
    recorded(tmp_path, path, "--trace-output", "first.txt", "--trace-resource", "pc,stack,memory")
    cli(
        *("run", "worldly.wat", "--path", next_path(path, WATCHED), "--replay", "calls.rec"),
        *("--trace-output", "again.txt", "--trace-resource", "pc,stack,memory"),
    )
    first = (tmp_path / "first.txt").read_text()
    assert first.count("\n") > 1000
    assert (tmp_path / "again.txt").read_text() == first


@each_path
def test_a_replay_goes_on_from_a_checkpoint_in_the_middle(
    path: str, tmp_path: Path, cli: Cli
) -> None:
    first = recorded(tmp_path, path, "--cr-at", "90", "--cr-keep-running")
    assert "checkpoint written" in first.err
    again = cli("run", "worldly.wat", "--replay", "calls.rec")
    for other in PATHS:
        rest = cli(
            *("run", "worldly.wat", "--path", other),
            *("--restore", "checkpoint.bin", "--replay", "calls.rec"),
        )
        assert rest.status == first.status
        assert again.out.endswith(rest.out)
        assert rest.out != again.out


@each_path
def test_a_run_that_was_stopped_and_restored_goes_on_with_its_record(
    path: str, tmp_path: Path, cli: Cli
) -> None:
    stopped = recorded(tmp_path, path, "--cr-at", "90")
    assert stopped.status == 0
    with open(tmp_path / "input", encoding="utf-8") as given:
        rest = ended(
            spawn(
                tmp_path,
                *("-m", "chiwawa", "run", "worldly.wat", "--path", next_path(path)),
                *("--restore", "checkpoint.bin", "--dir", "given", "--record-calls", "calls.rec"),
                stdin=given.fileno(),
            )
        )
    whole = cli("run", "worldly.wat", "--path", path, "--replay", "calls.rec")
    assert whole.out == stopped.out + rest.out
    assert (whole.status, whole.err) == (rest.status, rest.err)


def test_states_of_a_replay_are_those_of_every_path(tmp_path: Path, cli: Cli) -> None:
    recorded(tmp_path, PATHS[0])
    states = set()
    for path in PATHS:
        cli("run", "worldly.wat", "--path", path, "--replay", "calls.rec", "--cr-at", "120")
        states.add((tmp_path / "checkpoint.bin").read_bytes())
    assert len(states) == 1


def test_another_program_or_another_call_is_a_line(tmp_path: Path, cli: Cli) -> None:
    recorded(tmp_path, "interp")
    (tmp_path / "other.wat").write_text(WORLDLY.replace("in.txt", "if.txt"))
    assert "of another module" in one_line(cli("run", "other.wat", "--replay", "calls.rec"))
    # As if it had been recorded with this module.
    other = WORLDLY.replace("(i32.const 40)))\n    (call $mix", "(i32.const 44)))\n    (call $mix")
    (tmp_path / "other.wat").write_text(other)
    import hashlib
    import zlib

    import chiwawa

    digest = hashlib.sha256(chiwawa.load(other).binary).digest()
    data = (tmp_path / "calls.rec").read_bytes()
    at, total, changed = len(MAGIC), 0, bytearray(MAGIC)
    while at < len(data):
        size, _ = FRAME.unpack_from(data, at)
        content = data[at + 8 : at + 8 + size]
        if at == len(MAGIC):
            content = content[:2] + digest
        total = zlib.crc32(content, total)
        changed += FRAME.pack(size, total) + content
        at += 8 + size
    (tmp_path / "calls.rec").write_bytes(changed)
    said = one_line(cli("run", "other.wat", "--replay", "calls.rec"))
    assert said == (
        "replayed, the program does something else: call 2 of wasi_snapshot_preview1.fd_read has "
        "the arguments (4, 32, 1, 44), and had (4, 32, 1, 40)"
    )


def test_a_damaged_record_is_a_line(tmp_path: Path, cli: Cli) -> None:
    recorded(tmp_path, "interp")
    data = (tmp_path / "calls.rec").read_bytes()
    broken = tmp_path / "broken.rec"
    # All but the end, without which a record is one that was cut off.
    for at in range(0, len(data) - 9, 23):
        broken.write_bytes(data[:at] + bytes((data[at] ^ 0x41,)) + data[at + 1 :])
        outcome = cli("run", "worldly.wat", "--replay", "broken.rec")
        assert outcome.status == 2
        assert outcome.err.splitlines()[-1].startswith("chiwawa: error: ")
        assert "bug" not in outcome.err
    # The end of a record that was cut off is that of its last whole entry.
    for end in range(0, len(data) - 9, 41):
        broken.write_bytes(data[:end])
        outcome = cli("run", "worldly.wat", "--replay", "broken.rec")
        assert outcome.status == 2
        assert "bug" not in outcome.err


def test_what_is_no_record_or_does_not_fit_is_a_line(tmp_path: Path, cli: Cli) -> None:
    recorded(tmp_path, "interp", "--cr-at", "90", "--cr-keep-running")
    (tmp_path / "none").write_text("none")
    replay = ("run", "worldly.wat", "--replay")
    assert one_line(cli(*replay, "none")) == "none: it is no record of calls"
    assert "No such file" in one_line(cli(*replay, "gone"))
    assert "--dir cannot be given" in one_line(cli(*replay, "calls.rec", "--dir", "."))
    assert "cannot be given with --replay" in one_line(
        cli(*replay, "calls.rec", "--record-calls", "b.rec")
    )
    recorded(tmp_path, "interp")
    said = one_line(cli(*replay, "calls.rec", "--restore", "checkpoint.bin"))
    assert said.startswith("this checkpoint is none of those")
    assert "cannot write" in one_line(
        cli("run", "worldly.wat", "--dir", ".", "--record-calls", "none/there.rec")
    )
