"""``chiwawa demo``: one program stopped in the middle and continued on other paths, each way.

It does with subprocesses and files what a user would do by hand, and prints the commands.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from chiwawa import paths
from chiwawa.inspect import describe, render
from chiwawa.source import load
from chiwawa_runtime import checkpoint
from chiwawa_runtime.errors import ChiwawaError, UnsupportedError
from chiwawa_runtime.run.triggers import TRIGGER

MODULE, TRANSLATED = "demo.wat", "demo_aot.py"
#: A program is stopped when it has printed so many lines; where that came too late, earlier.
AFTER_LINES = (3, 1, 0)
#: The safepoint at which the two paths' files are compared.
SAFEPOINT = 1000
#: Where a program is stopped that goes from path to path, by the safepoint: each stops at one, and
#: the last goes on to the end.
STOPS = (120_000, 240_000, 360_000)


class DemoError(ChiwawaError):
    """Something did not go as it should."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The temporary folder that everything happens in."""

    path: Path

    def start(self, command: Sequence[str], stdout: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.path,
            stdout=stdout,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(self, command: Sequence[str]) -> str:
        """What a command prints. Raises DemoError where it fails."""
        with self.start(command, subprocess.PIPE) as process:
            out, errors = process.communicate()
        if process.returncode:
            raise DemoError(f"{shown(command)}: exit status {process.returncode}: {errors}")
        return out

    def stop(self, command: Sequence[str], file: str) -> str:
        """What a command prints until it is stopped, and has written ``file``."""
        for lines in AFTER_LINES:
            trigger = self.path / TRIGGER
            if not lines:
                trigger.touch()
            with self.start(command, subprocess.PIPE) as process:
                assert process.stdout is not None
                printed = ""
                for number, line in enumerate(process.stdout, 1):
                    printed += line
                    if number == lines:
                        trigger.touch()
                process.wait()
            trigger.unlink(missing_ok=True)
            if process.returncode:
                raise DemoError(f"{shown(command)}: exit status {process.returncode}")
            if (self.path / file).exists():
                return printed
        raise DemoError("the program was never stopped: it had always ended already")


def aot(*arguments: str) -> list[str]:
    return [sys.executable, TRANSLATED, *arguments]


def chiwawa(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "chiwawa", *arguments]


def shown(command: Sequence[str]) -> str:
    """A command as one would type it."""
    words = [word.replace(sys.executable, "python") for word in command]
    if words[1:3] == ["-m", "chiwawa"]:
        words = ["chiwawa", *words[3:]]
    return shlex.join(words)


def say(text: str = "") -> None:
    print(text, flush=True)


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines()).rstrip("\n")


def show() -> int:
    """Show everything; the exit status. Raises UnsupportedError where it cannot be shown."""
    if sys.platform in ("emscripten", "wasi") or not sys.executable:
        raise UnsupportedError("the demo starts other processes, which this host has not")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chiwawa-demo-") as name:
        folder = Folder(Path(name))
        try:
            play(folder)
        except DemoError as error:
            say(f"\nThis should not happen: {error}")
            return 1
    say(f"\nAll of this took {time.monotonic() - began:.0f} seconds.")
    return 0


def play(folder: Folder) -> None:
    source = resources.files("chiwawa.commands").joinpath(MODULE).read_text(encoding="utf-8")
    (folder.path / MODULE).write_text(source, encoding="utf-8")
    say("A WebAssembly program counts the ways to place eleven queens. Compile it to Python:")
    command = chiwawa("compile", MODULE, "-o", TRANSLATED)
    say(f"\n  $ {shown(command)}")
    folder.run(command)
    size = os.stat(folder.path / TRANSLATED).st_size
    say(f"    ({size} bytes, which need only chiwawa_runtime)")
    command = aot()
    say(f"\nRun it undisturbed:\n\n  $ {shown(command)}")
    whole = folder.run(command)
    say(indented(whole))

    say("\n1. Stop the compiled program in the middle, and go on in the interpreter.")
    first = moved(folder, "a.bin", whole, aot(), chiwawa("run", MODULE))
    say("\n2. The other way round: stop the interpreter, and go on with the compiled program.")
    second = moved(folder, "b.bin", whole, chiwawa("run", MODULE), aot())

    say(f"\n3. Stop both at their {SAFEPOINT}th safepoint, and compare the checkpoints.")
    files = []
    for file, command in (("c.bin", aot()), ("d.bin", chiwawa("run", MODULE))):
        command += ["--cr-at", str(SAFEPOINT), "--cr-file", file]
        say(f"\n  $ {shown(command)}")
        folder.run(command)
        files.append((folder.path / file).read_bytes())
    if files[0] != files[1]:
        raise DemoError("the two checkpoints differ")
    say(f"    The same {len(files[0])} bytes.")
    results = [first, second]
    if paths.path("native").lacks() is None:
        say("\n4. Start it at native speed; go on in the interpreter, in Python, natively again.")
        results.append(carried(folder, whole))
    say(f"\nThe results agree: {', '.join(results)}, and undisturbed {last_line(whole)}.")


def last_line(text: str) -> str:
    return text.splitlines()[-1]


def moved(
    folder: Folder, file: str, whole: str, before: Sequence[str], after: Sequence[str]
) -> str:
    """Stop one command, continue with the other; what came out in the end."""
    before = [*before, "--cr", "--cr-file", file]
    say(f"\n  $ {shown(before)} &\n  $ touch {TRIGGER}")
    printed = folder.stop(before, file)
    say(indented(printed))
    data = checkpoint.read_file(folder.path / file)
    say(f"    (stopped: {file} has {len(data)} bytes)")
    say(f"\n  $ chiwawa inspect {file} {MODULE}")
    module = load(folder.path / MODULE)
    say(indented(stack(render(describe(checkpoint.decode(data), module, data)))))
    after = [*after, "--restore", file]
    say(f"\n  $ {shown(after)}")
    rest = folder.run(after)
    say(indented(rest))
    if printed + rest != whole:
        raise DemoError("the two halves together are not what the undisturbed program printed")
    say("    (with the lines before: the same as undisturbed)")
    return last_line(rest)


def carried(folder: Folder, whole: str) -> str:
    """Go from path to path; what came out in the end."""
    native = chiwawa("run", MODULE, "--path", "native")
    commands = [native, chiwawa("run", MODULE), aot(), native]
    printed, before = "", None
    for number, command in enumerate(commands):
        command = list(command)
        if before is not None:
            command += ["--restore", before]
        if number < len(STOPS):
            before = f"{'efg'[number]}.bin"
            command += ["--cr-at", str(STOPS[number]), "--cr-file", before]
        say(f"\n  $ {shown(command)}")
        out = folder.run(command)
        say(indented(out))
        printed += out
    if printed != whole:
        raise DemoError("the parts together are not what the undisturbed program printed")
    say("    (all lines together: the same as undisturbed)")
    return last_line(printed)


def stack(rendered: str) -> str:
    """Of a rendered checkpoint, the part about frames."""
    parts = rendered.split("\n\n")
    return next(part for part in parts if part.startswith("frames:"))
