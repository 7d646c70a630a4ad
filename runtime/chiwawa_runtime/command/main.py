"""``python OUT.py …``: a generated file that has nothing but itself and this package."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from chiwawa_runtime.command.beginning import preloaded
from chiwawa_runtime.command.execution import execute
from chiwawa_runtime.command.options import Parser, UsageError, add_options, options_of, split
from chiwawa_runtime.command.reporting import reported
from chiwawa_runtime.engine.generated import GeneratedEngine
from chiwawa_runtime.engine.instance import Imports
from chiwawa_runtime.engine.translation import Bundle, bundle_of
from chiwawa_runtime.errors import BadInput, CheckpointError
from chiwawa_runtime.run import starting, uptake
from chiwawa_runtime.run.flight import BeforeEnd, at_last_safepoint
from chiwawa_runtime.run.host_calls import HostCalls
from chiwawa_runtime.run.instance import Instance, Run
from chiwawa_runtime.run.starting import Setup
from chiwawa_runtime.standard_streams import occupy
from chiwawa_runtime.state.program import Program
from chiwawa_runtime.state.snapshot import Snapshot


class FileRunner:
    """The ``Runner`` of a generated file. ``preloads`` are others, of which a new run has an
    instance each, under a name that the program imports them by."""

    paths = ("aot",)

    def __init__(self, bundle: Bundle, preloads: Sequence[tuple[str, Bundle]] = ()) -> None:
        self.bundle = bundle
        self.program = bundle.program
        self.preloads = preloads
        for name, each in preloads:
            if each.granularity != bundle.granularity:
                raise UsageError(
                    f"--preload {name}: it was compiled with --granularity {each.granularity}, and "
                    f"this file with {bundle.granularity}"
                )

    def check(self, granularity: str | None) -> None:
        compiled = self.bundle.granularity
        if granularity not in (None, compiled):
            raise UsageError(
                f"this file was compiled with --granularity {compiled}: "
                f"another takes chiwawa run FILE"
            )

    @property
    def others(self) -> Sequence[Program]:
        return [each.program for _, each in self.preloads]

    def preload(
        self, setup: Setup, making: contextlib.ExitStack
    ) -> tuple[Imports, Sequence[Instance]]:
        made = []
        for name, each in self.preloads:
            check_nans(each, setup.canonical_nans, f"--preload {name}: this file")
            engine = GeneratedEngine(each)
            made.append((name, each.program, partial(starting.instantiate, each.program, engine)))
        return preloaded(made, setup)

    def start(self, name: str | None, args: Sequence[Any], setup: Setup) -> Run:
        self.check(setup.granularity)
        check_nans(self.bundle, setup.canonical_nans, "this file")
        return starting.start(self.program, GeneratedEngine(self.bundle), name, args, setup)

    def check_modules(self, snapshot: Snapshot) -> None:
        uptake.check_module(snapshot, self.program.hash)
        self.bundles_of(snapshot)

    def bundles_of(self, snapshot: Snapshot) -> list[Bundle]:
        """The files of its instances, by number. Raises CheckpointError."""
        known = {each.program.hash: each for _, each in self.preloads}
        known[self.program.hash] = self.bundle
        for image in snapshot.others:
            if image.module_hash not in known:
                raise uptake.not_given(image)
        return [self.bundle, *(known[image.module_hash] for image in snapshot.others)]

    def restore(self, snapshot: Snapshot, setup: Setup) -> Run:
        self.check(setup.granularity)
        bundles = self.bundles_of(snapshot)
        for bundle, image in zip(bundles, snapshot.instances, strict=True):
            compiled = bundle.canonical_nans
            if image.canonical_nans != compiled:
                was, is_ = ("with", "without") if image.canonical_nans else ("without", "with")
                raise CheckpointError(
                    f"the program was run {was} --deterministic, and this file was compiled {is_} "
                    "it: chiwawa run FILE --restore can take it on from there"
                )
        engines = [GeneratedEngine(each) for each in bundles]
        youngest = snapshot.frames[0] if snapshot.frames else None
        if youngest is not None and youngest.instance < len(bundles):
            bundle, engine = bundles[youngest.instance], engines[youngest.instance]
            stopped = snapshot.instances[youngest.instance].granularity
            functions = len(bundle.program.functions)
            known = functions - len(bundle.codes) <= youngest.function < functions
            if (
                stopped != bundle.granularity
                and known
                and engine.boundary(youngest.function, youngest.offset) is None
            ):
                raise CheckpointError(
                    "the program was stopped between two safepoints of this file: "
                    "chiwawa run FILE --restore can take it on from there"
                )
        others = [
            (bundle.program, engine)
            for bundle, engine in zip(bundles[1:], engines[1:], strict=True)
        ]
        return starting.restore(self.program, engines[0], snapshot, setup, None, others)

    def before_end(
        self, snapshot: Snapshot, calls: HostCalls, setup: Setup, more: int, at_safepoint: bool
    ) -> BeforeEnd:
        """See ``flight.Returning``. What it stands at are its safepoints alone."""
        exact = at_safepoint or self.bundle.granularity == "instruction"
        found, standing = at_last_safepoint(self.restore, snapshot, calls, setup, more)
        return BeforeEnd(found, standing, exact)


def check_nans(bundle: Bundle, canonical_nans: bool | None, what: str) -> None:
    if canonical_nans not in (None, bundle.canonical_nans):
        raise UsageError(
            f"{what} was compiled without --deterministic: "
            "chiwawa run FILE --deterministic, or chiwawa compile --deterministic"
        )


def loaded(name: str, file: str) -> tuple[str, Bundle]:
    """What ``--preload`` names. Raises BadInput."""
    try:
        with open(file, encoding="utf-8") as source:
            return name, bundle_of(source.read(), file)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or error}") from error
    except (BadInput, UnicodeError):
        raise BadInput(
            f"--preload {name}: {file} is no file that this version of chiwawa compiled; "
            "chiwawa run FILE takes modules"
        ) from None


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
    preloads = [loaded(*each) for each in options.preloads]
    return execute(FileRunner(bundle, preloads), options)
