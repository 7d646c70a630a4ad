"""A real program run whole, and stopped half-way and continued on each other path.

Each leg is a process of its own, as a user would run it. What it took is printed, which
``pytest -rP`` shows.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import chiwawa
from chiwawa import paths
from chiwawa.execution import Source
from tests.need_helpers import need
from tests.path_helpers import PATHS, next_path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
#: The megabytes that compiling a large program natively may take.
TO_COMPILE = 2560


@dataclass(frozen=True, slots=True)
class Leg:
    """How a process ended, and what it took: seconds, and megabytes at most."""

    status: int
    out: bytes
    err: str
    seconds: float
    peak: int


def leg(
    title: str, folder: Path, *command: object, stdin: bytes = b"", seconds: float = 3600
) -> Leg:
    """Python with these arguments, run in ``folder`` to its end."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "runtime")])
    streams = [folder / name for name in ("stdin", "stdout", "stderr")]
    streams[0].write_bytes(stdin)
    begun = time.monotonic()
    with (
        open(streams[0], "rb") as source,
        open(streams[1], "wb") as out,
        open(streams[2], "wb") as err,
    ):
        process = subprocess.Popen(
            ["timeout", str(seconds), sys.executable, *map(str, command)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "CHIWAWA_DEBUG": "1"},
            stdin=source,
            stdout=out,
            stderr=err,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # Linux says kilobytes, macOS bytes.
    peak = usage.ru_maxrss // (1 << (20 if sys.platform == "darwin" else 10))
    took = Leg(
        process.returncode,
        streams[1].read_bytes(),
        streams[2].read_text(errors="replace"),
        time.monotonic() - begun,
        peak,
    )
    print(f"{title}: {took.seconds:.1f} s, {took.peak} MB, status {took.status}")
    return took


def digest(*paths: Path) -> str:
    made = hashlib.sha256()
    for path in paths:
        made.update(path.read_bytes())
    return made.hexdigest()[:16]


def translator() -> str:
    """Of all that decides what a translation looks like."""
    return digest(*sorted((ROOT / "chiwawa").rglob("*.py")))


class Programs:
    """Translations, made once for each state of the translator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def translated(self, wasm: Path) -> Path:
        stem = wasm.stem.replace("-", "_")
        target = self.folder / f"{stem}_{digest(wasm)}_{translator()}.py"
        if not target.exists():
            for old in self.folder.glob(f"{stem}_*.py"):
                old.unlink()
            done = leg("translate", self.folder, "-m", "chiwawa", "compile", wasm, "-o", target)
            assert done.status == 0, done.err[-2000:]
        print(f"{wasm.name}: {wasm.stat().st_size} bytes; translated {target.stat().st_size}")
        return target


@dataclass(frozen=True)
class Job:
    """What a program is asked to do. ``files`` are in the only directory it is given, as ``/``.
    ``moves`` is how often it is moved in one more run; ``expected`` is part of what it prints;
    ``most_memory`` are the megabytes that a process may take."""

    wasm: Path
    args: Sequence[str]
    stdin: bytes = b""
    files: tuple[tuple[str, bytes], ...] = ()
    moves: int = 20
    expected: bytes = b""
    most_memory: int = 600
    status: int = 0

    def folder(self, below: Path, name: str) -> tuple[Path, list[str]]:
        """A place to run it in, and the directories that it gets."""
        place = below / name
        given = place / "files"
        given.mkdir(parents=True)
        for file, data in self.files:
            (given / file).write_bytes(data)
        return place, [f"{given}::/"]


def files_in(place: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((place / "files").iterdir())}


def running(wasm: Path) -> list[str]:
    """The paths that run a module; others refuse it by name."""
    source = Source(chiwawa.load(wasm))
    return [name for name in PATHS if paths.path(name).refusal(source, "safepoint") is None]


def travels(job: Job, programs: Programs, tmp_path: Path) -> None:
    """The program prints and writes the same with wasmtime, run whole on the AOT path, moved
    half-way from each path to the next one, and moved often. At the half, all paths write the same
    checkpoint and have written the same files, so from each to each is the same."""
    argv = [job.wasm.stem, *job.args]
    translated = programs.translated(job.wasm)

    def options(dirs: Sequence[str]) -> list[str]:
        return [part for given in dirs for part in ("--dir", given)]

    def run(title: str, folder: Path, file: Path, *given: object) -> Leg:
        command = ("-m", "chiwawa", "run", file, "--deterministic", "--argv0", job.wasm.stem)
        return leg(title, folder, *command, *given, "--", *job.args, stdin=job.stdin)

    def checked(took: Leg, status: int = job.status, most: int = job.most_memory) -> Leg:
        assert took.status == status, took.err[-2000:]
        assert took.peak <= most, f"{took.peak} MB"
        return took

    place, dirs = job.folder(tmp_path, "whole")
    report = place / "count"
    whole = checked(
        leg(
            "aot, whole",
            place,
            *(HERE / "count_safepoints.py", translated, report, *dirs, "--", *argv),
            stdin=job.stdin,
        )
    )
    safepoints = int(report.read_text())
    print(f"{safepoints} safepoints")
    files = files_in(place)
    assert job.expected in whole.out, whole.out

    need("wasmtime")
    there, dirs = job.folder(tmp_path, "wasmtime")
    command = (HERE / "run_in_wasmtime.py", job.wasm, *dirs, "--", *argv)
    oracle = leg("wasmtime", there, *command, stdin=job.stdin)
    assert (oracle.status, oracle.out) == (whole.status, whole.out), oracle.err
    assert files_in(there) == files

    among = running(job.wasm)
    sides: dict[str, tuple[object, ...]] = {
        name: (translated if name == "aot" else job.wasm, "--path", name) for name in among
    }
    most = {name: TO_COMPILE if name == "native" else job.most_memory for name in among}
    saved = []
    for first in among:
        second = next_path(first, among)
        there, dirs = job.folder(tmp_path, first)
        half = ("--cr-at", safepoints // 2)
        took = run(f"{first}, to the half", there, *sides[first], *half, *options(dirs))
        begun = checked(took, 0, most[first])
        assert "checkpoint written" in begun.err
        saved.append(((there / "checkpoint.bin").read_bytes(), files_in(there)))
        print(f"checkpoint: {len(saved[-1][0])} bytes")
        rest = (*sides[second], "--restore", there / "checkpoint.bin", *options(dirs))
        took = leg(f"{second}, the rest", there, "-m", "chiwawa", "run", *rest, stdin=job.stdin)
        ended = checked(took, most=most[second])
        assert begun.out + ended.out == whole.out
        assert files_in(there) == files
    assert saved.count(saved[0]) == len(among)

    if job.moves:
        there, dirs = job.folder(tmp_path, "hopping")
        command = (HERE / "run_moved.py", job.wasm, translated, safepoints, job.moves, *dirs)
        took = leg(f"{job.moves} moves", there, *command, "--", *argv, stdin=job.stdin)
        hopped = checked(took, most=max(most.values()))
        assert hopped.out == whole.out
        assert files_in(there) == files
