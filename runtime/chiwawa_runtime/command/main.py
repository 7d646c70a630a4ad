"""``python OUT.py …``: a generated file that has nothing but itself and this package."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from chiwawa_runtime.command.execution import execute
from chiwawa_runtime.command.options import Parser, UsageError, add_options, options_of, split
from chiwawa_runtime.command.reporting import reported
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.errors import CheckpointError
from chiwawa_runtime.run import starting, uptake
from chiwawa_runtime.run.flight import BeforeEnd, at_last_safepoint
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.standard_streams import occupy
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot


class FileRunner:
    """The ``Runner`` of a generated file."""

    paths = ("aot",)

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.program = bundle.program

    def check(self, granularity: str | None) -> None:
        compiled = self.bundle.granularity
        if granularity not in (None, compiled):
            raise UsageError(
                f"this file was compiled with --granularity {compiled}: "
                f"another takes chiwawa run FILE"
            )

    @property
    def others(self) -> Sequence[Program]:
        return ()

    def preload(
        self, setup: Setup, making: contextlib.ExitStack
    ) -> tuple[Imports, Sequence[Instance]]:
        return setup.imports, ()

    def start(self, name: str | None, args: Sequence[Any], setup: Setup) -> Run:
        self.check(setup.granularity)
        if setup.canonical_nans not in (None, self.bundle.canonical_nans):
            raise UsageError(
                "this file was compiled without --deterministic: "
                "chiwawa run FILE --deterministic, or chiwawa compile --deterministic"
            )
        return starting.start(self.program, GeneratedEngine(self.bundle), name, args, setup)

    def check_modules(self, snapshot: Snapshot) -> None:
        uptake.check_modules(snapshot, [self.program])

    def restore(self, snapshot: Snapshot, setup: Setup) -> Run:
        self.check(setup.granularity)
        compiled = self.bundle.canonical_nans
        if snapshot.canonical_nans != compiled:
            was, is_ = ("with", "without") if snapshot.canonical_nans else ("without", "with")
            raise CheckpointError(
                f"the program was run {was} --deterministic, and this file was compiled {is_} it: "
                "chiwawa run FILE --restore can take it on from there"
            )
        engine = GeneratedEngine(self.bundle)
        youngest = snapshot.frames[0] if snapshot.frames else None
        if youngest is not None and snapshot.granularity != self.bundle.granularity:
            imported = len(self.program.functions) - len(self.bundle.codes)
            known = imported <= youngest.function < len(self.program.functions)
            if known and engine.boundary(youngest.function, youngest.offset) is None:
                raise CheckpointError(
                    "the program was stopped between two safepoints of this file: "
                    "chiwawa run FILE --restore can take it on from there"
                )
        return starting.restore(self.program, engine, snapshot, setup)

    def before_end(
        self, snapshot: Snapshot, calls: HostCalls, setup: Setup, more: int, at_safepoint: bool
    ) -> BeforeEnd:
        """See ``flight.Returning``. What it stands at are its safepoints alone."""
        exact = at_safepoint or self.bundle.granularity == "instruction"
        found = at_last_safepoint(self.restore, snapshot, calls, setup, more)
        return BeforeEnd(found, calls.position, exact)


def main(bundle: Bundle, argv: Sequence[str]) -> int:
    """``python FILE argv``: the exit status."""
    occupy()
    return reported(lambda: run_file(bundle, argv))


def run_file(bundle: Bundle, argv: Sequence[str]) -> int:
    parser = Parser(
        prog=f"python {os.path.basename(sys.argv[0])}",
        description="A WebAssembly program, translated to Python by chiwawa.",
        allow_abbrev=False,
    )
    add_options(parser)
    arguments, rest = split(argv)
    options = options_of(parser.parse(arguments), rest)
    if options.instruments.asks():
        raise UsageError("traces and monitors take chiwawa run FILE")
    return execute(FileRunner(bundle), options)
