"""Core dumps: what is written where a program traps, from what a flight recorder has kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace

from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.following import follow
from chiwawa_runtime.command.options import Options
from chiwawa_runtime.command.reporting import say
from chiwawa_runtime.engine.budget import MESSAGES
from chiwawa_runtime.errors import (
    Abrupt,
    BadInput,
    CheckpointError,
    HostError,
    Interrupted,
    Location,
)
from chiwawa_runtime.run.call_record import record_bytes
from chiwawa_runtime.run.flight import EVERY, Flight
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.run.triggers import Watcher
from chiwawa_runtime.state.host_limits import ANY_SIZE
from chiwawa_runtime.state.snapshot import Snapshot

#: Gives the state before the end of the run that a checkpoint is of: of the checkpoint, the calls
#: since, how it ran, the safepoints passed since, and whether it ended at the last of them.
BeforeEnd = Callable[[Snapshot, HostCalls, Setup, int, bool], Snapshot]


class Dump:
    """What ``options`` ask for where the program, which runs on ``path``, traps."""

    def __init__(self, options: Options, path: str, before_end: BeforeEnd) -> None:
        assert options.coredump is not None
        self.file = options.coredump
        self.most, self.every = options.record or (1, EVERY)
        self.records = options.record is not None
        root, end = os.path.splitext(self.file)
        #: The checkpoint before the end, and the calls since.
        self.before = f"{root}.before{end}"
        self.calls = f"{root}.calls"
        self.path = path
        self.before_end = before_end

    def files(self) -> Iterator[str]:
        yield self.file
        if self.records:
            yield self.before
            yield self.calls

    def attend(self, run: Run, options: Options, watcher: Watcher) -> int:
        """Run on, as ``following.follow``."""
        assert run.calls is not None
        flight = Flight(run, run.calls, self.most, self.every, new=options.restore is None)
        try:
            return follow(run, options, watcher, flight.go)
        except (Abrupt, HostError) as error:
            if isinstance(error.__cause__, Interrupted) or not run.failed:
                raise
            try:
                self.write(run, options, flight, error)
            except BadInput as failure:
                say(f"no core dump written: {failure}")
            raise

    def write(self, run: Run, options: Options, flight: Flight, error: BaseException) -> None:
        passed = run.requests.passed
        assert passed is not None
        limits = replace(options.limits, fuel=None, time=None)
        if limits.memory is None:
            limits = replace(limits, memory=ANY_SIZE)
        setup = Setup(
            path=self.path,
            granularity=run.instance.engine.granularity,
            canonical_nans=run.instance.engine.canonical_nans,
            limits=limits,
        )
        snapshot, calls = flight.last()
        spent = isinstance(error, Abrupt) and error.message in MESSAGES.values()
        more = passed - flight.kept[-1].passed
        dump = self.before_end(snapshot, calls, setup, more, spent)
        if isinstance(error, Abrupt) and error.cut:
            names = run.instance.program.function_names
            error.backtrace = tuple(
                Location(f.function, f.offset, names.get(f.function)) for f in dump.frames
            )
            error.cut = False
        note = ""
        wasi = None
        try:
            wasi = None if run.wasi is None else run.wasi.save()
        except CheckpointError as failure:
            note = f", without the state of WASI: {failure}"
        counted = snapshot.safepoints is not None and dump.granularity == snapshot.granularity
        number = passed if counted else None
        checkpoint.save(
            self.file,
            replace(dump, wasi=wasi, safepoints=number, monitors=None, host=snapshot.host),
        )
        if self.records:
            data, entries = flight.record()
            checkpoint.write_file(self.before, data)
            checkpoint.write_file(self.calls, record_bytes(entries))
            note += f"; --restore {self.before} --replay {self.calls} comes there"
        say(f"core dump written to {self.file}{note}")
