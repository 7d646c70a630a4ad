"""The options of ``run``, which a generated file run by itself has too.

It knows how they are written, not what they do.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from chiwawa_runtime.errors import BadInput, UnsupportedError
from chiwawa_runtime.snapshot import Value
from chiwawa_runtime.types import ValType
from chiwawa_runtime.values import parse_values

#: Options whose value may start with a dash, which argparse takes for another option.
DASHED = ("--app-args", "--params", "--env", "--invoke", "--argv0")
_UNBUILT = re.compile(r"--(trace(-\w+)*|monitor|stats)(=|$)")


class UsageError(BadInput):
    """The command line makes no sense."""


class Parser(argparse.ArgumentParser):
    """argparse that raises UsageError, in one line, instead of printing its own two."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


@dataclass(frozen=True, slots=True)
class Directory:
    """``--dir``: a host directory, what the guest calls it, whether it may only read there."""

    host: str
    guest: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Options:
    """``run``'s options, each as it was given, or its default."""

    invoke: str | None
    params: Sequence[tuple[ValType, Value]] | None
    args: Sequence[str]
    argv0: str | None
    env: Sequence[str]
    dirs: Sequence[Directory]
    trigger: bool
    file: str
    at: int | None
    every: float | None
    keep_running: bool
    granularity: str | None
    restore: str | None
    trust_host_state: bool
    lenient_files: bool
    path: str | None
    deterministic: bool


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``run``'s options to a parser."""
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "--invoke",
        metavar="NAME",
        help="call this exported function (default: _start, as WASI commands have)",
    )
    what.add_argument(
        "--params", metavar="VALUES", help='its arguments, such as "I32(1),F64(2.5),I64(-3)"'
    )
    what.add_argument(
        "--path",
        choices=("interp", "aot"),
        help="how to run (default: interp for modules, aot for generated files)",
    )
    what.add_argument(
        "--granularity",
        choices=("safepoint", "instruction"),
        help="where the run can stop: at loops and calls, or before every instruction (slow)",
    )
    wasi = parser.add_argument_group("what a WASI program gets")
    wasi.add_argument(
        "--app-args", metavar="ARGS", help="its arguments, split like a shell; or put them after --"
    )
    wasi.add_argument("--argv0", metavar="NAME", help="what it is told that it is called")
    wasi.add_argument(
        "--env",
        metavar="NAME[=VALUE]",
        action="append",
        default=[],
        help="an environment variable; without =VALUE, as it is here",
    )
    wasi.add_argument(
        "--dir",
        metavar="HOST[::GUEST][:ro]",
        action="append",
        default=[],
        help="a directory that it may use, what it is called there, and whether only to read",
    )
    wasi.add_argument(
        "--deterministic",
        action="store_true",
        help="virtual clocks and repeatable randomness, so that two runs are the same",
    )
    stop = parser.add_argument_group(
        "checkpoints", "SIGUSR1 always asks for one, where the system has it."
    )
    stop.add_argument(
        "--cr",
        action="store_true",
        help="write one when ./checkpoint.trigger appears (which is then removed) and stop",
    )
    stop.add_argument(
        "--cr-file",
        metavar="PATH",
        default="checkpoint.bin",
        help="where to write it (default: checkpoint.bin)",
    )
    stop.add_argument(
        "--cr-at",
        metavar="N",
        type=_whole,
        help="stop at the N-th safepoint since the program's start",
    )
    stop.add_argument(
        "--cr-every",
        metavar="SECONDS",
        type=_seconds,
        help="write one every so often, and go on",
    )
    stop.add_argument(
        "--cr-keep-running", action="store_true", help="go on after each checkpoint, never stop"
    )
    stop.add_argument("--restore", metavar="FILE", help="go on from a checkpoint")
    stop.add_argument(
        "--restore-files",
        choices=("strict", "lenient"),
        default="strict",
        help="lenient: what the program has open but is not there any more is closed",
    )
    stop.add_argument(
        "--trust-host-state",
        action="store_true",
        help="read an embedder's Python state in the checkpoint, which runs code that it names",
    )


def _whole(text: str) -> int:
    number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on expected, not {text!r}")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"a number of seconds expected, not {text!r}")
    return seconds


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is before ``--``, ready for argparse, and what is after it. Raises UnsupportedError for
    options of instruments that are not built yet."""
    arguments = list(argv)
    rest: list[str] = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    joined: list[str] = []
    while arguments:
        word = arguments.pop(0)
        if word in DASHED and arguments:
            word += "=" + arguments.pop(0)
        elif unbuilt := _UNBUILT.match(word):
            raise UnsupportedError(f"--{unbuilt[1]} is not built yet")
        joined.append(word)
    return joined, rest


def options_of(parsed: argparse.Namespace, rest: Sequence[str]) -> Options:
    """The options that a parser with ``add_options`` found, and what came after ``--``."""
    try:
        app_args = shlex.split(parsed.app_args or "")
    except ValueError as error:
        raise UsageError(f"--app-args: {error}") from None
    if parsed.params is not None and parsed.invoke is None:
        raise UsageError("--params needs --invoke")
    if parsed.restore is not None:
        given = {
            "--invoke": parsed.invoke is not None,
            "--app-args": bool(app_args or rest),
            "--argv0": parsed.argv0 is not None,
            "--env": bool(parsed.env),
            "--deterministic": parsed.deterministic,
        }
        for option, there in given.items():
            if there:
                raise UsageError(f"{option} cannot be given with --restore: the checkpoint says it")
    return Options(
        invoke=parsed.invoke,
        params=None if parsed.params is None else parse_values(parsed.params),
        args=[*app_args, *rest],
        argv0=parsed.argv0,
        env=[entry for text in parsed.env for entry in _variable(text)],
        dirs=[_directory(text) for text in parsed.dir],
        trigger=parsed.cr,
        file=parsed.cr_file,
        at=parsed.cr_at,
        every=parsed.cr_every,
        keep_running=parsed.cr_keep_running,
        granularity=parsed.granularity,
        restore=parsed.restore,
        trust_host_state=parsed.trust_host_state,
        lenient_files=parsed.restore_files == "lenient",
        path=parsed.path,
        deterministic=parsed.deterministic,
    )


def _variable(text: str) -> list[str]:
    """``NAME=VALUE``, or ``NAME`` as it is here; nothing where it is not set here."""
    name, equals, _ = text.partition("=")
    if not name:
        raise UsageError(f"--env {text!r} has no name")
    if equals:
        return [text]
    value = os.environ.get(name)
    return [] if value is None else [f"{name}={value}"]


def _directory(text: str) -> Directory:
    path = text.removesuffix(":ro")
    host, _, guest = path.partition("::")
    if not host:
        raise UsageError(f"--dir {text!r} names no directory")
    return Directory(host, guest or host, read_only=path != text)
