"""Core dumps: what is written where a program traps, from what a flight recorder has kept."""

from __future__ import annotations

import os
from collections.abc import Iterator

from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.following import follow
from chiwawa_runtime.command.options import Options
from chiwawa_runtime.command.reporting import say
from chiwawa_runtime.errors import Abrupt, BadInput, HostError, Interrupted
from chiwawa_runtime.run.flight import EVERY, FlightRecorder, Returning
from chiwawa_runtime.run.instance import Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.run.triggers import Watcher


class Dumping:
    """What ``options`` ask for where the program, which runs on ``path``, traps."""

    def __init__(self, options: Options, path: str, returning: Returning) -> None:
        assert options.coredump is not None
        self.file = options.coredump
        self.recorder = FlightRecorder(*(options.record or (1, EVERY)))
        self.records = options.record is not None
        root, end = os.path.splitext(self.file)
        #: The checkpoint before the end, and the calls since.
        self.before = f"{root}.before{end}"
        self.calls = f"{root}.calls"
        self.path = path
        self.returning = returning

    def files(self) -> Iterator[str]:
        yield self.file
        if self.records:
            yield self.before
            yield self.calls

    def attend(self, run: Run, options: Options, watcher: Watcher) -> int:
        """Run on, as ``following.follow``."""
        self.recorder.through(run.calls)
        self.recorder.drops = True
        setup = Setup(path=self.path, limits=options.limits)
        self.recorder.attend(run, setup, self.returning, new=options.restore is None)
        try:
            return follow(run, options, watcher)
        except (Abrupt, HostError) as error:
            if isinstance(error.__cause__, Interrupted) or not run.failed:
                raise
            try:
                self.write(run, error)
            except BadInput as failure:
                say(f"no core dump written: {failure}")
            raise

    def write(self, run: Run, error: Abrupt | HostError) -> None:
        dump = self.recorder.dump()
        snapshot = dump.before.snapshot
        # Of machine code there are twenty frames at most, and not always all of linked instances.
        linked = dump.before.exact and len(snapshot.instances) > 1
        if isinstance(error, Abrupt) and (error.cut or linked):
            programs = {i.program.hash: i.program for i in (*run.instance.reached, *run.beside)}
            hashes = [each.module_hash for each in snapshot.instances]
            error.backtrace = tuple(
                programs[hashes[f.instance]].located(f.function, f.offset)
                for f in snapshot.frames
                if hashes[f.instance] in programs
            )
            error.cut = False
        note = ""
        if not dump.before.exact:
            note += ", of the last safepoint before that (chiwawa run FILE writes the instruction)"
        if dump.lacks is not None:
            note += f", without the state of WASI: {dump.lacks}"
        checkpoint.write_file(self.file, dump.data)
        if self.records:
            before, calls = self.recorder.record(dump)
            checkpoint.write_file(self.before, before)
            calls.save(self.calls)
            note += f"; --restore {self.before} --replay {self.calls} comes there"
        say(f"core dump written to {self.file}{note}")
