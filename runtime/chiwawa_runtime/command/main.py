"""``run``: a program from the command line, its checkpoints, its results, and its end.

``python OUT.py …`` and ``chiwawa run …`` are both this; they differ in the ``Runner`` that they
bring. A generated file alone can run its own code; the toolchain can also interpret it, or
translate it anew.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.beginning import restored, started
from chiwawa_runtime.command.following import follow
from chiwawa_runtime.command.options import (
    Options,
    Parser,
    UsageError,
    add_options,
    options_of,
    split,
)
from chiwawa_runtime.command.reporting import reported, say
from chiwawa_runtime.command.runner import FileRunner, Runner
from chiwawa_runtime.engine.translation import Bundle
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.run.triggers import TRIGGER, Signals, Watcher
from chiwawa_runtime.wasi.standard_streams import occupy


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


def execute(runner: Runner, options: Options) -> int:
    """Run, until the end or a checkpoint that stops it: the exit status. Raises what the program
    raises, and BadInput."""
    path = options.path or runner.paths[0]
    if path not in runner.paths:
        raise UsageError(f"--path {path} takes chiwawa run FILE")
    if options.saves():
        check_place("--cr-file", options.file)
        checkpoint.check_file(options.file)
    with contextlib.ExitStack() as stack:
        # Before anything that takes time: a signal that comes too early would end this process.
        signals = stack.enter_context(Signals(saving=options.trigger or options.every is not None))
        if options.restore is None:
            run = started(runner, options, path, stack)
        else:
            run = restored(runner, options, path, stack)
        signals.attach(run.requests)
        trigger = TRIGGER if options.trigger else None
        watcher = stack.enter_context(Watcher(run.requests, trigger, options.every, say))
        return follow(run, options, watcher)


def check_place(option: str, file: str) -> None:
    """Hours later would be too late to hear that a file cannot be written."""
    folder = os.path.dirname(os.path.realpath(file))
    if not os.path.isdir(folder):
        raise BadInput(f"{option} {file}: there is no directory {folder}")
    if os.path.isdir(file):
        raise BadInput(f"{option} {file}: it is a directory")
    if not os.access(folder, os.W_OK):
        raise BadInput(f"{option} {file}: the directory {folder} cannot be written to")
    try:
        os.lstat(file)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise BadInput(f"{option} {file}: {error.strerror}") from error
