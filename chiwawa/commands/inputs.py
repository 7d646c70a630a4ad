"""What the command line is given to read, and writes: files or the standard streams, ``-``.

Something of another kind than is wanted here, of which there are some that look much alike, is
named as what it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO, TextIO

from chiwawa.kinds import is_checkpoint, is_generated, is_native

if TYPE_CHECKING:
    from chiwawa.cache import Cache
    from chiwawa.execution import Runnable, Source
    from chiwawa.module import Module
    from chiwawa.native_file import NativeFile
    from chiwawa_runtime.state.snapshot import Snapshot

#: What stands for standard input, or output, where a file is wanted.
STANDARD = "-"
_MODULE = b"\0asm\1\0\0\0"


def shown(file: str) -> str:
    return "standard input" if file == STANDARD else file


def suffix_of(file: str) -> str:
    return os.path.splitext(file)[1]


@contextlib.contextmanager
def naming(file: str) -> Iterator[None]:
    """Have what is wrong with a file begin with its name."""
    from chiwawa_runtime.errors import BadInput

    try:
        yield
    except BadInput as error:
        raise BadInput(f"{shown(file)}: {error}") from error


def content(file: str) -> bytes:
    """The bytes of a file, or of standard input. Raises OSError."""
    if file == STANDARD:
        return sys.stdin.buffer.read()
    with open(file, "rb") as source:
        return source.read()


# Reading.


def load_module(file: str) -> Module:
    """The module in a file, whatever it is: a core dump is one, too. It is read and checked even if
    that has been done before."""
    from chiwawa.cache import NO_CACHE

    return module_in(content(file), file, NO_CACHE)


def module_in(data: bytes, file: str, cache: Cache) -> Module:
    from chiwawa.source import load_bytes
    from chiwawa_runtime.errors import BadInput

    with naming(file):
        try:
            return load_bytes(data, cache)
        except BadInput as error:
            if suffix_of(file) != ".wast":
                raise
            message = "it is a script, of which chiwawa wast runs all, and no one module"
            raise BadInput(message) from error


def load_program(file: str, cache: Cache) -> Module:
    """A module that is to be run or translated. A checkpoint is none."""
    data = content(file)
    refuse_checkpoint(data, file)
    if is_native(data):
        data = native_in(data, file).original
    return module_in(data, file, cache)


def native_in(data: bytes, file: str) -> NativeFile:
    from chiwawa.native_file import read_native

    with naming(file):
        return read_native(data)


def refuse_checkpoint(data: bytes, file: str) -> None:
    from chiwawa_runtime.errors import BadInput

    if is_checkpoint(data):
        raise BadInput(
            f"{shown(file)}: it is a checkpoint (a core dump), not a program: "
            "chiwawa run PROGRAM --restore CHECKPOINT goes on from one"
        )


def load_runnable(file: str, cache: Cache) -> Runnable:
    """A module, or a generated file, of Python, which this runs, or of rewritten Wasm."""
    from chiwawa_runtime.errors import BadInput

    data = content(file)
    if is_native(data):
        return native_in(data, file)
    if suffix_of(file) != ".py" and not is_generated(data):
        refuse_checkpoint(data, file)
        return module_in(data, file, cache)
    with naming(file):
        from chiwawa_runtime.engine.translation import bundle_of

        try:
            source = data.decode().replace("\r\n", "\n")
            # A file may be larger than all that runs it.
            del data
            return bundle_of(source, "<stdin>" if file == STANDARD else file)
        except (BadInput, OSError, UnicodeError):
            raise
        except Exception as error:
            raise BadInput(f"it cannot be imported: {type(error).__name__}: {error}") from error


def users_cache(used: bool) -> Cache:
    from chiwawa.cache import NO_CACHE, Cache

    return Cache.of_user() if used else NO_CACHE


def load_source(file: str, *, cached: bool = True) -> Source:
    """A module or a generated file, and what can be made of it. Unless ``cached``, nothing of that
    is taken from the user's cache, or kept there."""
    from chiwawa.execution import Source

    cache = users_cache(cached)
    return Source(load_runnable(file, cache), cache)


def load_either(file: str) -> Module:
    """A module, or the one that a generated file embeds."""
    return load_source(file).module


def checkpoint_bytes(file: str) -> bytes:
    """What is in a checkpoint file. Raises BadInput where that cannot be read, or is something else
    that we know."""
    from chiwawa_runtime import checkpoint
    from chiwawa_runtime.errors import BadInput

    data = content(file) if file == STANDARD else checkpoint.read_file(file)
    if is_generated(data):
        raise BadInput(f"{shown(file)}: it is a generated file, not a checkpoint")
    return data


def load_checkpoint(file: str) -> Snapshot:
    from chiwawa_runtime import checkpoint

    data = checkpoint_bytes(file)
    with naming(file):
        return checkpoint.decode(data)


def refuse_module(file: str) -> None:
    """Raise BadInput where a script is wanted, and a module in the binary format is there."""
    from chiwawa_runtime.errors import BadInput

    with open(file, "rb") as source:
        if source.read(4) == _MODULE[:4]:
            raise BadInput(f"{file}: it is a module in the binary format, not a script")


# Writing.


def default_output(file: str, suffix: str, ours: Callable[[bytes], bool] | None = None) -> str:
    """Where to write what is made of ``file``, where nobody has said it: into this directory, under
    the same name, with ``suffix`` for its own; of standard input, on standard output. Raises
    BadInput where something is there that is not ``ours`` to replace."""
    from chiwawa_runtime.errors import BadInput

    if file == STANDARD:
        return STANDARD
    made = f"{os.path.splitext(os.path.basename(file))[0]}{suffix}"
    if os.path.lexists(made):
        try:
            replaceable = ours is not None and ours(content(made))
        except OSError:
            replaceable = False
        if not replaceable:
            raise BadInput(f"{made} is there already: -o {made} replaces it")
    return made


def standard_text() -> TextIO:
    """Standard output, for a file's text: the same bytes everywhere."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    return sys.stdout


def standard_bytes() -> BinaryIO:
    """Standard output, for bytes. Raises BadInput for a terminal."""
    from chiwawa_runtime.errors import BadInput

    if sys.stdout.isatty():
        raise BadInput("the binary format is not for a terminal: give -o FILE")
    sys.stdout.flush()
    return sys.stdout.buffer


def write_text(file: str, text: str) -> None:
    """``text`` into a file, or on standard output."""
    from chiwawa.files import replacing

    if file == STANDARD:
        standard_text().write(text)
        return
    with replacing(file) as out:
        out.write(text)


def write_binary(file: str, data: bytes) -> None:
    from chiwawa.files import write_bytes

    if file == STANDARD:
        standard_bytes().write(data)
    else:
        write_bytes(file, data)
