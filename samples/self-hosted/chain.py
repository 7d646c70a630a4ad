"""One program on four Pythons in turn: ``python samples/self-hosted/chain.py``.

Two of them are themselves WebAssembly. Each runs the program up to a safepoint and writes a
checkpoint, and the next one goes on from it, on the other path. What all of them print, put
together, is what one prints that is left undisturbed; and each checkpoint has the very bytes that
this Python, having run the program from its start, writes at that safepoint.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hosts
from hosts import Host, Missing

import chiwawa

PROGRAM = Path(__file__).parents[1] / "primes.wasm"
ARGUMENTS = ("16", "200")
PATHS = ("aot", "interp")
CHECKPOINT = "checkpoint.bin"


class Failed(Exception):
    """Something did not go as it should."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the way. ``checkpoint`` is None at the end."""

    host: Host
    path: str
    stop: int | None
    printed: str
    checkpoint: bytes | None
    seconds: float


def run(
    host: Host, folder: Path, path: str, *, stop: int | None = None, resume: bool = False
) -> Leg:
    """``host`` runs the program in ``folder``, from the start or from the checkpoint there, to its
    end or to the safepoint ``stop``. Raises Failed."""
    options = ["--path", path]
    options += ["--cr-at", str(stop)] if stop is not None else []
    options += ["--restore", CHECKPOINT] if resume else ["--deterministic", "--", *ARGUMENTS]
    began = time.monotonic()
    done = host.run(folder, "chiwawa", "run", PROGRAM.name, *options)
    took = time.monotonic() - began
    if done.returncode:
        raise Failed(f"{host.name} ({path}): exit status {done.returncode}: {done.stderr}")
    written = (folder / CHECKPOINT).read_bytes() if stop is not None else None
    return Leg(host, path, stop, done.stdout, written, took)


def safepoints() -> int:
    """How many the program passes."""
    with tempfile.TemporaryFile() as nowhere:
        wasi = chiwawa.Wasi(["primes", *ARGUMENTS], stdout=nowhere, deterministic=True)
        module = chiwawa.load(PROGRAM)
        whole = chiwawa.start(module, "_start", [], wasi.imports(), wasi=wasi, count=sys.maxsize)
        with contextlib.suppress(chiwawa.WasiExit):
            whole.go()
        wasi.close()
    assert whole.requests.passed is not None
    return whole.requests.passed


def legs(folder: Path, among: Sequence[Host], paths: Sequence[str]) -> Iterator[Leg]:
    """The program carried through ``among``; ``paths`` are taken in turn. Raises Failed."""
    (folder / PROGRAM.name).write_bytes(PROGRAM.read_bytes())
    total = safepoints()
    for number, host in enumerate(among):
        last = number == len(among) - 1
        stop = None if last else total * (number + 1) // len(among)
        path = paths[number % len(paths)]
        yield run(host, folder, path, stop=stop, resume=number > 0)


def whole(folder: Path, path: str, stop: int | None = None) -> Leg:
    """This Python runs the program from its start."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        (Path(name) / PROGRAM.name).write_bytes(PROGRAM.read_bytes())
        return run(hosts.this_python(), Path(name), path, stop=stop)


def available(cache: Path) -> list[Host]:
    """The hosts that there are; says what is missing."""
    found = [hosts.this_python()]
    kinds: list[Callable[[], Host]] = [
        lambda: hosts.wasi(cache),
        lambda: hosts.pyodide(cache),
        hosts.pypy,
    ]
    for kind in kinds:
        try:
            found.append(kind())
        except Missing as missing:
            print(f"left out: {missing}")
    return found


def show(cache: Path) -> None:
    among = available(cache)
    print(f"{PROGRAM.name} {' '.join(ARGUMENTS)}, carried through {len(among)} Pythons:\n")
    printed = ""
    with tempfile.TemporaryDirectory(prefix="chiwawa-chain-") as name:
        folder = Path(name)
        for leg in legs(folder, among, PATHS):
            print(f"{leg.host.name}, {leg.path} ({leg.seconds:.1f} s):")
            print("".join(f"    {line}\n" for line in leg.printed.splitlines()), end="")
            printed += leg.printed
            if leg.stop is not None:
                if whole(folder, leg.path, leg.stop).checkpoint != leg.checkpoint:
                    raise Failed(f"the checkpoint at safepoint {leg.stop} has other bytes here")
                assert leg.checkpoint is not None
                print(f"    -- safepoint {leg.stop}: a checkpoint of {len(leg.checkpoint)} bytes,")
                print("       the same as this Python writes there")
        if whole(folder, PATHS[0]).printed != printed:
            raise Failed("together they print something else than a run that is left undisturbed")
    print("\nTogether: what a run prints that is left undisturbed.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--hosts",
        type=Path,
        default=hosts.default_cache(),
        metavar="DIR",
        help="where what npm fetches is kept (default: %(default)s)",
    )
    parser.add_argument("--fetch", action="store_true", help="fetch only")
    options = parser.parse_args()
    try:
        if options.fetch:
            hosts.fetch(options.hosts)
        else:
            show(options.hosts)
    except (Failed, Missing, OSError) as error:
        print(f"chain: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
