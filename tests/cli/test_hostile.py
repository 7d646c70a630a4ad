"""Damaged modules and checkpoints end in success or in one line: never in a traceback or a hang."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import CheckpointError
from tests.cli.cli_helpers import ECHO, PROGRAM, Cli, Outcome, Programs, python

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
COUNT = 2000
BATCH = 100


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """``whole`` cut short, or with some bits or bytes changed."""
    data = bytearray(whole)
    if chance.random() < 0.3:
        return bytes(data[: chance.randrange(len(data))])
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(data))
        if chance.random() < 0.7:
            data[at] ^= 1 << chance.randrange(8)
        else:
            data[at] = chance.choice((0, 1, 0x0B, 0x7F, 0x80, 0xFF))
    return bytes(data)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """A hang is an error, where the system can tell."""

    def late(*_: object) -> None:
        raise TimeoutError("it hangs")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(outcome: Outcome, files: int = 1) -> None:
    assert outcome.status in (0, 2), outcome
    lines = outcome.err.splitlines()
    if outcome.status == 0:
        assert lines == []
    else:
        assert 1 <= len(lines) <= files
        assert all(line.startswith("chiwawa: error: ") for line in lines)


@pytest.fixture(scope="module")
def modules(program: Programs, echo: Programs) -> list[bytes]:
    names = ("bits", "bulk", "indirect", "nan", "recursion", "sha256", "vm")
    samples = [(SAMPLES / f"{name}.wasm").read_bytes() for name in names]
    return [program.wasm.read_bytes(), echo.wasm.read_bytes(), *samples]


@pytest.mark.parametrize("seed", range(COUNT // BATCH))
def test_damaged_modules_are_valid_or_refused(
    cli: Cli, modules: list[bytes], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    names = []
    for number in range(BATCH):
        names.append(f"{number}.wasm")
        (tmp_path / names[-1]).write_bytes(damaged(chance.choice(modules), chance))
    with within(300):
        outcome = cli("validate", *names)
    check(outcome, BATCH)
    assert len(outcome.out.splitlines()) + len(outcome.err.splitlines()) == BATCH


def test_damaged_text_is_valid_or_refused(cli: Cli, tmp_path: Path) -> None:
    chance = random.Random(1)
    for number in range(60):
        whole = chance.choice((PROGRAM, ECHO)).encode()
        (tmp_path / f"{number}.wat").write_bytes(damaged(whole, chance))
        with within(300):
            outcome = cli("validate", f"{number}.wat")
        # The line, and the source with its caret.
        assert outcome.status in (0, 2), outcome
        assert len(outcome.err.splitlines()) in (0, 1, 3), outcome


@pytest.fixture(scope="module")
def checkpoints(
    program: Programs, echo: Programs, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Programs, bytes]]:
    folder = tmp_path_factory.mktemp("checkpoints")
    made = []
    for programs, options in (
        (program, ("--invoke", "sum", "--params", "I32(50)")),
        (echo, ("--", "some", "arguments")),
    ):
        file = folder / "whole.bin"
        # Only what runs for a moment: one that is accepted is run to its end.
        stop = ("--cr-at", "5", "--cr-file", file)
        at = options.index("--") if "--" in options else len(options)
        arguments = (*options[:at], *stop, *options[at:])
        outcome = python(folder, "-m", "chiwawa", programs.wasm, *arguments)
        assert outcome.status == 0, outcome
        made.append((programs, file.read_bytes()))
    return made


@pytest.mark.parametrize("seed", range(COUNT // BATCH))
def test_damaged_checkpoints_are_refused(
    cli: Cli, checkpoints: list[tuple[Programs, bytes]], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(BATCH):
        programs, whole = chance.choice(checkpoints)
        data = damaged(whole, chance)
        (tmp_path / "bad.bin").write_bytes(data)
        with within(300):
            outcome = cli(chance.choice((programs.wasm, programs.py)), "--restore", "bad.bin")
        if data != whole:
            # Every byte is under the digest.
            assert outcome.status == 2, outcome
            check(outcome)


def resealed(data: bytes) -> bytes:
    """``data`` with its digest made right, as somebody would who means harm."""
    import hashlib

    # The last section has the digest of all before it: two bytes of head, the name, 32 bytes.
    head = len(data) - 32 - len(b"\x0echiwawa.digest") - 2
    return data[:-32] + hashlib.sha256(data[:head]).digest()


def test_forged_checkpoints_are_refused_or_run(
    cli: Cli, checkpoints: list[tuple[Programs, bytes]], tmp_path: Path
) -> None:
    programs, whole = checkpoints[0]
    assert resealed(whole) == whole
    chance = random.Random(7)
    accepted = 0
    for _ in range(400):
        data = bytearray(whole)
        data[chance.randrange(len(data) - 50)] ^= 1 << chance.randrange(8)
        forged = resealed(bytes(data))
        try:
            snapshot = checkpoint.decode(forged)
        except CheckpointError:
            pass
        else:
            # A count that was forged may take the loop hours.
            if any(not 0 < frame.locals[0][1] < 10**5 for frame in snapshot.frames):  # type: ignore[operator]
                continue
            accepted += 1
        (tmp_path / "forged.bin").write_bytes(forged)
        with within(300):
            check(cli(programs.wasm, "--restore", "forged.bin"))
    assert accepted


def test_a_few_through_a_real_process(
    checkpoints: list[tuple[Programs, bytes]], modules: list[bytes], tmp_path: Path
) -> None:
    chance = random.Random(11)
    for number in range(12):
        programs, whole = chance.choice(checkpoints)
        (tmp_path / "bad.bin").write_bytes(damaged(whole, chance))
        (tmp_path / "bad.wasm").write_bytes(damaged(chance.choice(modules), chance))
        if number % 3 == 0:
            outcome = python(tmp_path, "-m", "chiwawa", "validate", "bad.wasm")
        elif number % 3 == 1:
            outcome = python(tmp_path, "-m", "chiwawa", programs.wasm, "--restore", "bad.bin")
        else:
            outcome = python(tmp_path, programs.py, "--restore", "bad.bin")
        check(outcome)
