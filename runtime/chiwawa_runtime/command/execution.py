"""A program from its start, or a checkpoint, to its end, or one that stops it.

``python OUT.py …`` and ``chiwawa run …`` are both this; they differ in the ``Runner`` that they
bring. A generated file alone can run its own code; the toolchain can also interpret it, or
translate it anew.
"""

from __future__ import annotations

import contextlib
import os

from chiwawa_runtime import checkpoint
from chiwawa_runtime.command.beginning import restored, started
from chiwawa_runtime.command.dumping import Dumping
from chiwawa_runtime.command.following import follow
from chiwawa_runtime.command.options import Options, UsageError
from chiwawa_runtime.command.reporting import say
from chiwawa_runtime.command.runner import CommandRunner
from chiwawa_runtime.errors import BadInput
from chiwawa_runtime.run.triggers import TRIGGER, Signals, Watcher


def execute(runner: CommandRunner, options: Options) -> int:
    """Run, until the end or a checkpoint that stops it: the exit status. Raises what the program
    raises, and BadInput."""
    path = options.path or runner.paths[0]
    if path not in runner.paths:
        raise UsageError(f"--path {path} takes chiwawa run FILE")
    dump = None
    if options.coredump is not None:
        dump = Dumping(options, path, runner.before_end)
        for file in dump.files():
            check_place("--coredump", file)
    if options.saves():
        check_place("--cr-file", options.file)
        checkpoint.check_file(options.file)
    if options.save is not None:
        check_place("--save", options.save)
        checkpoint.check_file(options.save)
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
        if dump is None:
            return follow(run, options, watcher)
        return dump.attend(run, options, watcher)


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
