"""The command line. Each command is one function, and imports what it needs when it is called, so
that ``chiwawa --version`` does not wait for a grammar.

Errors leave as ``chiwawa_runtime.errors`` and become a line and an exit status in one place,
``chiwawa_runtime.reporting.reported``.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chiwawa.aot import Progress
    from chiwawa.api import Runnable
    from chiwawa.module import Module
    from chiwawa_runtime.options import Parser
    from chiwawa_runtime.snapshot import Snapshot

COMMANDS = {
    "run": "run a module (.wasm, .wat) or a generated file (.py); the word run may be left out",
    "compile": "translate a module to a Python file",
    "validate": "check modules",
    "wat2wasm": "a module in the text format to the binary format",
    "wasm2wat": "a module in the binary format to the text format",
    "wast": "run scripts of the specification's test suite",
    "inspect": "show what a checkpoint holds",
    "report": "one page of HTML from what a run's monitors counted",
    "debug": "run a module at a prompt: stop, look, step, and go back",
    "diff": "show where two checkpoints differ; the status is 0 if they do not, 1 if they do",
    "demo": "compile a program, stop it, and continue it elsewhere: see it happen",
}
#: Modules from this many bytes on take long enough to translate for a progress bar.
LARGE = 1 << 17


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    from chiwawa_runtime.standard_streams import occupy

    occupy()
    from chiwawa_runtime.reporting import reported

    return reported(lambda: command(list(sys.argv[1:] if argv is None else argv)))


def command(argv: list[str]) -> int:
    from chiwawa_runtime.options import split

    if argv and argv[0] not in COMMANDS and argv[0] not in ("-h", "--help", "--version"):
        argv.insert(0, "run")
    rest: list[str] = []
    if argv[:1] in (["run"], ["debug"]):
        argv, rest = split(argv)
    parsed = make_parser().parse_args(argv)
    return {
        "run": run,
        "compile": compile_,
        "validate": validate,
        "wat2wasm": wat2wasm,
        "wasm2wat": wasm2wat,
        "wast": wast,
        "inspect": inspect,
        "report": report,
        "debug": debug,
        "diff": diff,
        "demo": demo,
    }[parsed.command](parsed, rest)


def make_parser() -> Parser:
    from chiwawa import __version__
    from chiwawa_runtime.options import Parser, add_options

    parser = Parser(
        prog="chiwawa",
        description="WebAssembly programs that can be stopped, carried elsewhere and continued.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"chiwawa {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    made = {
        name: commands.add_parser(name, help=text, description=f"{text}.", allow_abbrev=False)
        for name, text in COMMANDS.items()
    }
    made["run"].add_argument("file", metavar="FILE")
    add_options(made["run"])
    made["compile"].add_argument("file", metavar="IN")
    made["compile"].add_argument("-o", "--output", metavar="OUT.py", required=True)
    made["compile"].add_argument(
        "--granularity",
        choices=("safepoint", "instruction"),
        default="safepoint",
        help="where it will be possible to stop: at loops and calls, or everywhere (slow)",
    )
    made["compile"].add_argument(
        "--deterministic",
        action="store_true",
        help="have arithmetic make the canonical NaN alone, on every processor (slower)",
    )
    made["validate"].add_argument("files", metavar="FILE", nargs="+")
    made["wat2wasm"].add_argument("file", metavar="IN")
    made["wat2wasm"].add_argument("-o", "--output", metavar="OUT.wasm", required=True)
    made["wasm2wat"].add_argument("file", metavar="IN")
    made["wasm2wat"].add_argument("-o", "--output", metavar="OUT.wat", help="default: stdout")
    made["wast"].add_argument("files", metavar="FILE", nargs="+")
    made["wast"].add_argument(
        "--path", choices=("interp", "aot", "both"), default="both", help="default: both"
    )
    made["wast"].add_argument("--json", action="store_true", help="print JSON")
    made["inspect"].add_argument("checkpoint", metavar="CHECKPOINT")
    made["inspect"].add_argument("module", metavar="MODULE", nargs="?")
    made["inspect"].add_argument("--json", action="store_true", help="print JSON")
    made["debug"].add_argument("file", metavar="FILE")
    made["debug"].add_argument(
        "--stdin",
        metavar="PATH",
        help="what the program reads (default: the terminal; nothing where that has no commands)",
    )
    add_options(made["debug"])
    made["diff"].add_argument("a", metavar="A")
    made["diff"].add_argument("b", metavar="B")
    made["diff"].add_argument("module", metavar="MODULE", nargs="?")
    made["diff"].add_argument("--json", action="store_true", help="print JSON")
    made["report"].add_argument("run", metavar="RUN.json")
    made["report"].add_argument("-o", "--output", metavar="OUT.html", help="default: stdout")
    return parser


# Files.


@contextlib.contextmanager
def naming(file: str) -> Iterator[None]:
    """Have what is wrong with a file begin with its name."""
    from chiwawa_runtime.errors import BadInput

    try:
        yield
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error


def load_module(file: str) -> Module:
    from chiwawa.source import load_bytes

    with naming(file):
        return load_bytes(Path(file).read_bytes())


def load_runnable(file: str) -> Runnable:
    """A module, or a generated file, which this runs."""
    from chiwawa.api import load_generated

    if Path(file).suffix != ".py":
        return load_module(file)
    from chiwawa_runtime.errors import BadInput

    with naming(file):
        try:
            return load_generated(file)
        except (BadInput, OSError, UnicodeError):
            raise
        except Exception as error:
            raise BadInput(f"it cannot be imported: {type(error).__name__}: {error}") from error


def load_either(file: str) -> Module:
    """A module, or the one that a generated file embeds."""
    from chiwawa.api import module_of

    return module_of(load_runnable(file))


def load_checkpoint(file: str) -> Snapshot:
    from chiwawa_runtime import checkpoint

    with naming(file):
        return checkpoint.decode(checkpoint.read_file(file))


def output(file: str | None, text: str) -> None:
    """``text`` into a file, or on stdout."""
    from chiwawa.files import replacing

    if file is None:
        sys.stdout.write(text)
        return
    with replacing(file) as out:
        out.write(text)


# Commands.


def run(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.toolchain import Toolchain
    from chiwawa_runtime.errors import Trap
    from chiwawa_runtime.main import execute
    from chiwawa_runtime.options import options_of

    options = options_of(parsed, rest)
    source = load_runnable(parsed.file)
    try:
        if not options.look.asks():
            return execute(Toolchain(source), options)
        from chiwawa.api import module_of
        from chiwawa.instrument.equipment import looking

        with looking(module_of(source), options.look, Path(parsed.file).name) as instruments:
            return execute(Toolchain(source, lambda: instruments), options)
    except Trap as trap:
        from chiwawa.api import module_of
        from chiwawa.instrument.lines import with_sources

        trap.backtrace = with_sources(module_of(source), trap.backtrace)
        raise


def compile_(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.api import compile_file

    module = load_module(parsed.file)
    with naming(parsed.file), progress_bar(len(module.binary)) as progress:
        compile_file(
            module,
            parsed.output,
            granularity=parsed.granularity,
            canonical_nans=parsed.deterministic,
            progress=progress,
        )
    return 0


@contextlib.contextmanager
def progress_bar(size: int) -> Iterator[Progress | None]:
    """What shows progress on a terminal, where a module of ``size`` bytes makes one wait."""
    if size < LARGE or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(unit=" functions", leave=False, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def validate(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa_runtime.reporting import reported

    def one(file: str) -> int:
        load_module(file)
        print(f"{file}: valid")
        return 0

    return max([reported(lambda file=file: one(file)) for file in parsed.files])  # type: ignore[misc]


def wat2wasm(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.files import write_bytes

    write_bytes(parsed.output, load_module(parsed.file).binary)
    return 0


def wasm2wat(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.wat import print_module

    output(parsed.output, print_module(load_module(parsed.file)))
    return 0


def wast(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    import dataclasses
    import json

    from chiwawa.wast import format_report, run_script

    failed = 0
    reports = []
    for file in parsed.files:
        for path in ("interp", "aot"):
            if parsed.path not in (path, "both"):
                continue
            with naming(file):
                report = run_script(file, path)
            failed += report.failed
            if parsed.json:
                reports.append(dataclasses.asdict(report))
            else:
                print(format_report(report), flush=True)
    if parsed.json:
        print(json.dumps(reports, indent=2))
    return 1 if failed else 0


def inspect(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    import json

    from chiwawa.inspect import describe, render
    from chiwawa_runtime import checkpoint

    module = None if parsed.module is None else load_either(parsed.module)
    data = checkpoint.read_file(parsed.checkpoint)
    with naming(parsed.checkpoint):
        description = describe(checkpoint.decode(data), module, data)
    if parsed.json:
        print(json.dumps(description, indent=2))
    else:
        sys.stdout.write(render(description))
    return 0


def diff(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    import json

    from chiwawa.diff import compare, render

    module = None if parsed.module is None else load_either(parsed.module)
    difference = compare(load_checkpoint(parsed.a), load_checkpoint(parsed.b), module)
    if parsed.json:
        print(json.dumps(difference, indent=2))
    else:
        sys.stdout.write(render(difference, parsed.a, parsed.b))
    return 0 if difference["equal"] else 1


def report(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.report import page, read

    content = Path(parsed.run).read_bytes()
    with naming(parsed.run):
        text = page(read(content))
    output(parsed.output, text)
    return 0


def debug(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.debug import debug
    from chiwawa_runtime.options import options_of

    return debug(load_either(parsed.file), options_of(parsed, rest), parsed.stdin)


def demo(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.demo import show

    return show()
