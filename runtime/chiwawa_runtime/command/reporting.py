"""What is said on stderr, and with which exit status: exceptions become lines here, and only here.

A line is one line, of bounded length, without what would steer a terminal: names and texts come
from modules and checkpoints.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from chiwawa_runtime.errors import (
    Abrupt,
    BadInput,
    HostError,
    Terminated,
    Unbegun,
    WasiExit,
    backtrace_lines,
)
from chiwawa_runtime.names import printable
from chiwawa_runtime.standard_streams import writer

#: Exit statuses. A guest's own is passed on.
BAD_INPUT, BUG, OUT_OF_LIMITS, INTERRUPTED, TRAPPED, BROKEN_PIPE = (
    2,
    70,
    124,
    128 + 2,
    128 + 6,
    128 + 13,
)
#: The highest that the host takes. WASI refuses those above, with which a shell says what ended a
#: program from outside.
HIGHEST = 125 if sys.platform == "wasi" else 255
#: Of a line with more characters than LONGEST, so many from its start and from its end.
LONGEST, HEAD, TAIL = 1000, 600, 300
#: Of a long line of source, so many characters before a place, and twice as many after it.
MARGIN = 60


def reported(action: Callable[[], int]) -> int:
    """The exit status of ``action``, with whatever it raises said on stderr: a line, and for a trap
    the Wasm backtrace too; a traceback only where CHIWAWA_DEBUG is set."""
    terminated = None
    try:
        status = status_of(action)
    except Terminated as error:
        terminated = error.number
        status = 128 + terminated
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)
    if terminated is not None:
        # So that whoever waits for this process sees what ended it.
        signal.raise_signal(terminated)
    if status > HIGHEST:
        say(f"the exit status would be {status}; this host takes none above {HIGHEST}")
        return HIGHEST
    return status


def silence(stream: TextIO) -> None:
    """Have what ``stream`` still holds go nowhere: Python would try again when it ends, complain,
    and change the exit status."""
    if hasattr(os, "dup2"):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    elif stream is sys.stdout:
        sys.stdout = writer()
    elif stream is sys.stderr:
        sys.stderr = writer()


def status_of(action: Callable[[], int]) -> int:
    try:
        try:
            status = action()
            sys.stdout.flush()
            return status
        except Exception:
            if os.environ.get("CHIWAWA_DEBUG"):
                traceback.print_exc()
            raise
    except Terminated:
        raise
    except SystemExit as exit_:
        # argparse, after --help or --version.
        return exit_.code if isinstance(exit_.code, int) else 0
    except WasiExit as exit_:
        # A status that the host would cut down to success stays a failure.
        return exit_.code if exit_.code < 256 else exit_.code & 0xFF or 1
    except Abrupt as trap:
        print_errors(map(single_line, trap_lines(trap)))
        return TRAPPED
    except Unbegun as error:
        say(f"stopped: {error}")
        return OUT_OF_LIMITS
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except (BadInput, HostError) as error:
        say(f"error: {error}", excerpt_lines(error))
    except OSError as error:
        reason = error.strerror or str(error)
        say(f"error: {reason if error.filename is None else f'{error.filename}: {reason}'}")
    except UnicodeError as error:
        say(f"error: text that cannot be read or written: {error}")
    except MemoryError:
        say("error: not enough memory")
    except Exception as error:
        say(f"error: this is a bug in chiwawa: {type(error).__name__}: {error}")
        return BUG
    return BAD_INPUT


def trap_lines(trap: Abrupt) -> Iterator[str]:
    yield trap.line
    yield from backtrace_lines(trap.backtrace, trap.cut)


def excerpt_lines(error: Exception) -> int:
    """How many lines of an error's text, the last, show a place in a source."""
    # Whoever knows the file's name may have put it before.
    origin = error.__cause__ if isinstance(error.__cause__, BadInput) else error
    if not isinstance(origin, BadInput) or origin.excerpt is None:
        return 0
    return 2 if str(error).endswith(str(origin)) else 0


def say(text: str, excerpt: int = 0) -> None:
    """A line on stderr, whether somebody listens or not. The last ``excerpt`` lines of ``text``, 0
    or 2, are a line of source and, beneath it, the caret that points into it."""
    first, *others = text.rsplit("\n", excerpt) if excerpt else [text]
    print_errors([f"chiwawa: {single_line(first)}", *(window(*others) if others else ())])


def print_errors(lines: Iterable[str]) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def single_line(text: str) -> str:
    """``text`` as ``printable`` has it, without its middle where it is longer than LONGEST."""
    # Twice: what is left out is not spelled out first, and spelling makes it longer.
    return shortened(printable(shortened(text)))


def shortened(text: str) -> str:
    # How a message begins says what was tried, how it ends says why it failed.
    return text if len(text) <= LONGEST else f"{text[:HEAD]} … {text[-TAIL:]}"


def window(source: str, caret: str) -> tuple[str, str]:
    """A line of source, or as much of it as a person can read, and the caret under the place that
    it points to."""
    at = len(caret) - 1
    start = max(0, at - MARGIN) if at > 2 * MARGIN else 0
    before, after = source[start:at], source[at : at + 2 * MARGIN]
    # A tab must stay a tab, in both lines, or the caret stands elsewhere.
    head = "".join(c if c == "\t" else printable(c) for c in before)
    blank = "".join(c if c == "\t" else " " * len(printable(c)) for c in before)
    rest = "".join(c if c == "\t" else printable(c) for c in after)
    left, right = "  … " * (start > 0), " …" * (at + 2 * MARGIN < len(source))
    return f"{left}{head}{rest}{right}", f"{' ' * len(left)}{blank}^"
