"""Stops at random moments, and ends of the process at random moments: nothing is lost.

None of this waits for a clock, and what is asserted holds wherever the program happened to be. The
environment says how many stops and kills there are (``CHIWAWA_STOPS``, ``CHIWAWA_KILLS``).
"""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest

from chiwawa import Module, api, load
from chiwawa_runtime.checkpoint import read_file
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.state.interface import AnyMemory
from tests.cli.cli_helpers import HANGS, ended, spawn
from tests.nodiff.harness_helpers import Call, Ending, Session, again, begin, both
from tests.nodiff.harness_helpers import ended as ending_of
from tests.path_helpers import PATHS

pytestmark = pytest.mark.slow


#: How many there are of each when this is run by hand.
STOPS = int(os.environ.get("CHIWAWA_STOPS", "300"))
KILLS = int(os.environ.get("CHIWAWA_KILLS", "100"))
SAMPLES = Path(__file__).resolve().parents[2] / "samples"

#: Calls its host now and then, directly and through a table, and keeps a sum of what it says.
ASKS = """
(module $asks
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (type $asked (func (param i32) (result i32)))
  (memory 1)
  (table funcref (elem $ask $twice))
  (func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "asks") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (local.get $n)))
      (if (i32.eqz (i32.and (local.get $n) (i32.const 63)))
        (then (local.set $sum (i32.xor (local.get $sum)
          (call_indirect (type $asked) (local.get $n)
            (i32.and (i32.shr_u (local.get $n) (i32.const 6)) (i32.const 1)))))))
      (if (i32.eqz (i32.and (local.get $n) (i32.const 127)))
        (then (local.set $sum (i32.add (local.get $sum) (call $ask (local.get $n))))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.add (local.get $sum) (i32.load (i32.const 8)))))
"""


def asking(module: Module, count: int) -> Call:
    def imports(log: list[tuple[object, ...]]) -> dict[str, dict[str, object]]:
        def ask(number: int) -> int:
            log.append((number,))
            return number ^ len(log)

        return {"env": {"ask": ask}}

    return Call(module, "asks", (count,), imports)  # type: ignore[arg-type]


CALLS = {
    "sieve": Call(load(SAMPLES / "sieve.wasm"), "sieves", (12,)),
    "recursion": Call(load(SAMPLES / "recursion.wasm"), "fibs", (60,)),
    "indirect": Call(load(SAMPLES / "indirect.wasm"), "steps", (15000,)),
    "asks": asking(load(ASKS), 20000),
}


def begin_uncounted(call: Call, path: str) -> Session:
    log: list[tuple[object, ...]] = []
    run = api.start(call.module, call.name, call.args, call.make_imports(log), path=path)
    return Session(run, log)


class Asker:
    """Another thread, which asks a run to stop some moments after it was told to."""

    def __init__(self) -> None:
        self.told = threading.Semaphore(0)
        self.order: tuple[Run, int] | None = None
        self.done = threading.Semaphore(0)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            self.told.acquire()
            if self.order is None:
                return
            run, moments = self.order
            for _ in range(moments):
                pass
            run.requests.ask("thread")
            self.done.release()

    def ask(self, run: Run, moments: int) -> None:
        self.order = run, moments
        self.told.release()

    def end(self) -> None:
        self.order = None
        self.told.release()


@pytest.mark.parametrize("counted", [False, True], ids=["uncounted", "counted"])
@pytest.mark.parametrize("name", CALLS)
def test_random_stops_from_another_thread_change_nothing(name: str, counted: bool) -> None:
    """Each stop's checkpoint goes on on a path chosen at random, until the program has ended; then
    it begins anew. A stop may find it anywhere, at its end, too."""
    call = CALLS[name]
    expected = both(call)
    if not counted:
        expected = Ending(expected.kind, expected.detail, expected.state, None, expected.log)
    start = begin if counted else begin_uncounted
    rng = random.Random(f"{name} {counted}")
    asker = Asker()
    session = start(call, rng.choice(PATHS))
    left = -(-STOPS // (2 * len(CALLS)))
    while left:
        # A program may end before it is asked; where that comes first, it cannot.
        moments = rng.choice((0, 1)) * int(2 ** rng.uniform(0, 17))
        asker.ask(session.run, moments)
        if not moments:
            asker.done.acquire()
        returned = session.run.go()
        if moments:
            asker.done.acquire()
        # It may have come between the end of ``go`` and here.
        assert session.run.requests.take() == ["thread"]
        if returned:
            assert ending_of(session, call) == expected
            session = start(call, rng.choice(PATHS))
            continue
        left -= 1
        data = session.run.checkpoint()
        session = again(call, data, rng.choice(PATHS), None, session.log)
        assert session.run.checkpoint() == data
    asker.end()
    assert ending_of(session, call) == expected


#: Goes on until a word of its memory is not 0 any more. Each round writes its number to the global,
#: to four words of the memory that are far from each other, and at the bottom of a recursion.
ROUNDS = """
(module $rounds
  (memory (export "memory") 64)
  (global $number (mut i32) (i32.const 0))
  (table funcref (elem $bottom))
  (func $bottom (param $n i32) (result i32)
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (local.get $n))
  (func $down (param $n i32) (param $depth i32) (result i32)
    (if (result i32) (local.get $depth)
      (then (i32.add (i32.const 1)
        (call $down (local.get $n) (i32.sub (local.get $depth) (i32.const 1)))))
      (else (call_indirect (param i32) (result i32) (local.get $n) (i32.const 0)))))
  (func $rounds (export "rounds") (result i32 i32) (local $n i32) (local $sum i32)
    (loop $on
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (global.set $number (local.get $n))
      (i32.store (i32.const 4) (local.get $n))
      (i32.store (i32.const 0x100004) (local.get $n))
      (i32.store (i32.const 0x200004) (local.get $n))
      (i32.store (i32.const 0x3ffff4) (local.get $n))
      (i32.store
        (i32.add (i32.const 0x1000)
          (i32.shl (i32.and (local.get $n) (i32.const 0xfff)) (i32.const 2)))
        (local.get $n))
      (local.set $sum
        (i32.sub (i32.add (local.get $sum) (call $down (local.get $n) (i32.const 9)))
          (local.get $n)))
      (br_if $on (i32.eqz (i32.load (i32.const 0)))))
    (global.get $number) (local.get $sum)))
"""


def word(memory: AnyMemory, address: int) -> int:
    return int.from_bytes(memory.read(address, 4), "little")


def check_to_the_end(module: Module, data: bytes, path: str) -> int:
    """Have the checkpoint's run end, and look at all that it has left; how many rounds there had
    been."""
    run = api.restore(module, data, path=path)
    assert run.checkpoint() == data
    memory = run.instance.memories[0]
    before = word(memory, 16)
    memory.write(0, b"\1")
    assert run.go()
    n, total = run.results
    assert n == word(memory, 16)
    assert n - before in (0, 1)
    assert total == 9 * n & 0xFFFFFFFF
    for address in (4, 0x100004, 0x200004, 0x3FFFF4):
        assert word(memory, address) == n
    found = [word(memory, 0x1000 + 4 * slot) for slot in range(0x1000)]
    last = [n - (n - slot & 0xFFF) for slot in range(0x1000)]
    assert found == [max(each, 0) for each in last]
    return before


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there are no such signals here")
def test_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """A process that writes checkpoints again and again is killed wherever it is; whatever file is
    there goes on on every path, and the next process goes on from it."""
    module = load(ROUNDS)
    program, file = tmp_path / "rounds.wasm", tmp_path / "checkpoint.bin"
    program.write_bytes(module.binary)
    rng = random.Random("kills")
    reached, written = 0, 0
    for number in range(KILLS):
        path = PATHS[number % len(PATHS)]
        command: list[object] = ["-m", "chiwawa", "run", program, "--path", path]
        command += ["--cr-file", file, "--cr-every", rng.choice(("0.001", "0.02"))]
        command += ["--restore", file] if file.exists() else ["--invoke", "rounds"]
        before = file.read_bytes() if file.exists() else None
        process = spawn(tmp_path, *command)
        # Before it has written anything, or after some files; the rest is chance.
        files = rng.choice((0, 1, 1, 2, 3))
        seen = identity(file)
        while files and process.poll() is None:
            if (now := identity(file)) != seen:
                seen = now
                files -= 1
        for _ in range(int(2 ** rng.uniform(0, 19))):
            pass
        process.kill()
        outcome = ended(process, HANGS)
        assert (outcome.status, outcome.out) == (-signal.SIGKILL, ""), outcome
        if not file.exists():
            continue
        data = read_file(file)
        rounds = {check_to_the_end(module, data, each) for each in PATHS}
        assert len(rounds) == 1
        assert min(rounds) >= reached
        reached = min(rounds)
        written += data != before
    assert written > KILLS // 4


def identity(file: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
