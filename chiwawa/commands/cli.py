# PYTHON_ARGCOMPLETE_OK
"""The command line. Each command is one function, and imports what it needs when it is called, so
that ``chiwawa --version`` does not wait for a grammar.

Errors leave as ``chiwawa_runtime.errors`` and become a line and an exit status in one place,
``chiwawa_runtime.command.reporting.reported``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chiwawa.aot import Progress
    from chiwawa.commands.wast import Report
    from chiwawa.execution import Source
    from chiwawa_runtime.command.options import Options, Parser

COMMANDS = {
    "run": "run a module (.wasm, .wat) or a generated file (.py); the word run may be left out",
    "compile": "translate a module to a Python file, or rewrite it to one that can be stopped",
    "validate": "check modules",
    "wat2wasm": "a module in the text format to the binary format",
    "wasm2wat": "a module in the binary format to the text format",
    "wast": "run scripts of the specification's test suite",
    "bake": "a module whose initial state is that of a checkpoint between calls, for any engine",
    "inspect": "show what a checkpoint holds",
    "report": "one page of HTML from what a run's monitors counted",
    "debug": "run a module at a prompt: stop, look, step, and go back",
    "diff": "show where two checkpoints differ; the status is 0 if they do not, 1 if they do",
    "demo": "compile a program, stop it, and continue it elsewhere: see it happen",
    "help": "what there is, or the options of one command",
}
#: What stands for a module's file in the help of those that read standard input, too.
FILE_OR_STDIN = "a file, or - for standard input"
#: Modules from this many bytes on take long enough to translate for a progress bar.
LARGE = 1 << 17


#: What ``wast --path`` takes beside the name of one path, and what ``both`` are.
SEVERAL = ("both", "all")
BOTH = ("interp", "aot")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    from chiwawa_runtime.standard_streams import occupy

    occupy()
    from chiwawa_runtime.command.reporting import reported

    return reported(lambda: command(list(sys.argv[1:] if argv is None else argv)))


def command(argv: list[str]) -> int:
    from chiwawa_runtime.command.options import UsageError, nearest, split

    parser, verbs = make_parsers()
    if "_ARGCOMPLETE" in os.environ:
        complete(parser)
    if not argv:
        # It is the same text, but nothing was done.
        parser.print_help(sys.stderr)
        return 2
    if argv[0] in ("-h", "--help", "-V", "--version"):
        parser.parse(argv[:1])
    verb, arguments = argv[0], argv[1:]
    if verb not in COMMANDS:
        if not may_be_program(verb):
            raise UsageError(
                f"there is no command and no file {verb!r}{nearest(verb, COMMANDS)} "
                "(see chiwawa --help)"
            )
        verb, arguments = "run", argv
    rest: list[str] = []
    if verbs[verb].runs:
        arguments, rest = split(arguments)
    parsed = verbs[verb].parse(arguments)
    if verb == "help":
        return help_(parser, verbs, parsed.verb)
    return {
        "run": run,
        "compile": compile_,
        "validate": validate,
        "wat2wasm": wat2wasm,
        "wasm2wat": wasm2wat,
        "wast": wast,
        "bake": bake,
        "inspect": inspect,
        "report": report,
        "debug": debug,
        "diff": diff,
        "demo": demo,
    }[verb](parsed, rest)


def may_be_program(word: str) -> bool:
    """Whether ``word``, which is no command, may be what ``run`` is given: an option or a file."""
    from chiwawa_runtime.command.options import PROGRAMS

    return word.startswith("-") or word.endswith(PROGRAMS) or os.path.lexists(word)


def complete(parser: Parser) -> None:
    """A shell asks what could come next: that ends here, if there is anybody to answer."""
    with contextlib.suppress(ImportError):
        import argcomplete

        argcomplete.autocomplete(parser)


def make_parsers() -> tuple[Parser, Mapping[str, Parser]]:
    """That of everything, and that of each command."""
    from chiwawa import __version__
    from chiwawa.paths import AUTO, names
    from chiwawa_runtime.command.options import Parser, add_options, whole

    parser = Parser(
        prog="chiwawa",
        description="WebAssembly programs that can be stopped, carried elsewhere and continued.",
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"chiwawa {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    made: dict[str, Parser] = {
        name: commands.add_parser(name, help=text, description=f"{text}.", allow_abbrev=False)
        for name, text in COMMANDS.items()
    }
    made["run"].add_argument("file", metavar="FILE", help=FILE_OR_STDIN)
    add_options(made["run"], (*names(), AUTO))
    made["compile"].add_argument("file", metavar="IN", help=FILE_OR_STDIN)
    made["compile"].add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="OUT.py, or OUT.wasm for the native path (default: NAME_aot.py, here; - for stdout)",
    )
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
    made["compile"].add_argument(
        "--counting", action="store_true", help="of OUT.wasm: count safepoints (slower)"
    )
    made["compile"].add_argument(
        "--no-original",
        action="store_true",
        help="of OUT.wasm: leave the original out; the file is for other hosts then",
    )
    made["validate"].add_argument("files", metavar="FILE", nargs="+", help=FILE_OR_STDIN)
    made["wat2wasm"].add_argument("file", metavar="IN", help=FILE_OR_STDIN)
    made["wat2wasm"].add_argument(
        "-o", "--output", metavar="OUT.wasm", help="default: NAME.wasm, here; - for stdout"
    )
    made["wasm2wat"].add_argument("file", metavar="IN", help=FILE_OR_STDIN)
    made["wasm2wat"].add_argument("-o", "--output", metavar="OUT.wat", help="default: stdout")
    made["wast"].add_argument("files", metavar="FILE", nargs="+")
    made["wast"].add_argument(
        "--path",
        choices=(*names(), *SEVERAL),
        default="both",
        help="both (the default) are interp and aot, all are those that can run here",
    )
    made["wast"].add_argument("--json", action="store_true", help="print JSON")
    made["wast"].add_argument(
        "--table",
        action="store_true",
        help="print a page of Markdown: what holds, by file and path, and what is refused",
    )
    made["wast"].add_argument(
        "--max-depth",
        metavar="N",
        type=whole,
        help="how deep calls may be on top of each other (default: 131072)",
    )
    torture = made["wast"].add_mutually_exclusive_group()
    torture.add_argument(
        "--torture",
        metavar="K",
        type=whole,
        help="at every K-th boundary, write all instances to a checkpoint, throw them away, and "
        "go on on another path",
    )
    torture.add_argument(
        "--torture-stops",
        metavar="N",
        type=whole,
        help="the same at N boundaries of each file, spread evenly; at all, where it has no more",
    )
    torture.add_argument(
        "--torture-at",
        metavar="B:PATH",
        type=boundary_and_path,
        help="the same at the B-th boundary alone, and go on on PATH",
    )
    made["bake"].add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="what run --save, or instance.checkpoint(), has written",
    )
    made["bake"].add_argument("module", metavar="MODULE", help="its program")
    made["bake"].add_argument(
        "-o", "--output", metavar="OUT.wasm", help="default: MODULE_baked.wasm, here; - for stdout"
    )
    made["inspect"].add_argument("checkpoint", metavar="CHECKPOINT", help=FILE_OR_STDIN)
    made["inspect"].add_argument(
        "module", metavar="MODULE", nargs="?", help="the program: names come from it"
    )
    made["inspect"].add_argument("--json", action="store_true", help="print JSON")
    made["inspect"].add_argument(
        "--linked",
        metavar="FILE",
        action="append",
        default=[],
        help="the module of an instance that is linked with the program's: names come from it, too",
    )
    made["debug"].add_argument("file", metavar="FILE")
    made["debug"].add_argument(
        "--stdin",
        metavar="PATH",
        help="what the program reads (default: the terminal; nothing where that has no commands)",
    )
    add_options(made["debug"], names())
    for name in ("run", "debug"):
        made[name].add_argument(
            "--linked",
            metavar="FILE",
            action="append",
            default=[],
            help="with --restore: the module of an instance that is linked with the program's in "
            "the checkpoint",
        )
    for name in ("run", "compile", "debug"):
        made[name].add_argument(
            "--no-cache",
            action="store_true",
            help="neither use nor keep what the user's cache has of large programs",
        )
    made["diff"].add_argument("a", metavar="A", help="a checkpoint")
    made["diff"].add_argument("b", metavar="B", help="another")
    made["diff"].add_argument(
        "module", metavar="MODULE", nargs="?", help="their program: names come from it"
    )
    made["diff"].add_argument("--json", action="store_true", help="print JSON")
    made["report"].add_argument(
        "run", metavar="RUN.json", help="what run --monitor … --json has written"
    )
    made["report"].add_argument("-o", "--output", metavar="OUT.html", help="default: stdout")
    made["help"].add_argument("verb", metavar="COMMAND", nargs="?")
    return parser, made


def boundary_and_path(text: str) -> tuple[int, str]:
    from chiwawa.paths import names
    from chiwawa_runtime.command.options import whole

    boundary, colon, path = text.partition(":")
    if not colon or path not in names():
        raise argparse.ArgumentTypeError(
            f"a boundary and a path such as 1234:{names()[0]} expected, not {text!r}"
        )
    return whole(boundary), path


def once(files: Sequence[str | None]) -> None:
    """Standard input can be read once. Raises UsageError."""
    from chiwawa_runtime.command.options import UsageError

    if list(files).count("-") > 1:
        raise UsageError("standard input (-) can be read only once")


# Commands.


def help_(parser: Parser, verbs: Mapping[str, Parser], verb: str | None) -> int:
    from chiwawa_runtime.command.options import UsageError, nearest

    if verb is not None and verb not in verbs:
        raise UsageError(f"there is no command {verb!r}{nearest(verb, verbs)} (see chiwawa --help)")
    (parser if verb is None else verbs[verb]).print_help()
    return 0


def sources_of(
    parsed: argparse.Namespace, options: Options
) -> tuple[Source, Sequence[Source], Sequence[tuple[str, Source]]]:
    """A program, and what has instances beside its own: ``--linked`` and ``--preload``."""
    from chiwawa.commands.inputs import load_source
    from chiwawa_runtime.command.options import UsageError

    if parsed.linked and options.restore is None:
        raise UsageError("--linked takes --restore: there is nothing else that it is linked by")
    load = partial(load_source, cached=not parsed.no_cache)
    preloads = [(name, load(file)) for name, file in options.preloads]
    return load(parsed.file), [load(file) for file in parsed.linked], preloads


def run(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.commands.inputs import shown
    from chiwawa.toolchain import Toolchain
    from chiwawa_runtime.command.execution import execute
    from chiwawa_runtime.command.options import options_of
    from chiwawa_runtime.errors import Abrupt

    options = options_of(parsed, rest)
    source, linked, preloads = sources_of(parsed, options)
    made = partial(Toolchain, source, linked=linked, preloads=preloads)
    try:
        if not options.instruments.asks():
            return execute(made(), options)
        from chiwawa.instrument.from_options import instruments_for

        with instruments_for(
            source.module, options.instruments, os.path.basename(shown(parsed.file))
        ) as instruments:
            return execute(made(lambda: instruments), options)
    except Abrupt as trap:
        from chiwawa.instrument.source_lines import with_sources

        others = [each.module for each in (*linked, *(each for _, each in preloads))]
        trap.backtrace = with_sources(source.module, trap.backtrace, others)
        raise


def compile_(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.api import compile_file
    from chiwawa.commands.inputs import (
        STANDARD,
        default_output,
        load_program,
        naming,
        standard_text,
        users_cache,
    )
    from chiwawa.kinds import is_generated
    from chiwawa_runtime.command.options import UsageError

    if (parsed.output or "").endswith(".wasm"):
        return compile_to_native(parsed)
    for option, given in (("--counting", parsed.counting), ("--no-original", parsed.no_original)):
        if given:
            raise UsageError(f"{option} is of rewritten modules: give -o OUT.wasm")
    out = parsed.output or default_output(parsed.file, "_aot.py", is_generated)
    module = load_program(parsed.file, users_cache(not parsed.no_cache))
    with naming(parsed.file), progress_bar(len(module.binary)) as progress:
        compile_file(
            module,
            standard_text() if out == STANDARD else out,
            granularity=parsed.granularity,
            canonical_nans=parsed.deterministic,
            progress=progress,
        )
    say_where(parsed.output, out)
    return 0


def compile_to_native(parsed: argparse.Namespace) -> int:
    from chiwawa.api import compile_native
    from chiwawa.commands.inputs import load_program, naming, users_cache
    from chiwawa_runtime.command.options import UsageError

    if parsed.granularity != "safepoint":
        raise UsageError("--granularity instruction: a rewritten module stops at safepoints alone")
    module = load_program(parsed.file, users_cache(not parsed.no_cache))
    with naming(parsed.file):
        compile_native(
            module,
            parsed.output,
            counting=parsed.counting,
            canonical_nans=parsed.deterministic,
            original=not parsed.no_original,
        )
    return 0


def say_where(asked: str | None, file: str) -> None:
    """Where the user has not said where to write, say it."""
    from chiwawa.commands.inputs import STANDARD
    from chiwawa_runtime.command.reporting import say

    if asked is None and file != STANDARD:
        say(f"written to {file}")


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
    from chiwawa.commands.inputs import load_module, shown
    from chiwawa_runtime.command.reporting import reported
    from chiwawa_runtime.names import printable

    once(parsed.files)

    def one(file: str) -> int:
        load_module(file)
        print(f"{printable(shown(file))}: valid")
        return 0

    return max([reported(lambda file=file: one(file)) for file in parsed.files])  # type: ignore[misc]


def wat2wasm(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.commands.inputs import default_output, load_module, write_binary

    out = parsed.output or default_output(parsed.file, ".wasm")
    write_binary(out, load_module(parsed.file).binary)
    say_where(parsed.output, out)
    return 0


def wasm2wat(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.commands.inputs import STANDARD, load_module, write_text
    from chiwawa.wat import print_module

    write_text(parsed.output or STANDARD, print_module(load_module(parsed.file)))
    return 0


def wast(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    import dataclasses
    import json

    from chiwawa.commands.conformance import format_table, format_torture
    from chiwawa.commands.inputs import naming, refuse_module
    from chiwawa.commands.wast import format_report
    from chiwawa.paths import available

    chosen = {"both": BOTH, "all": available()}.get(parsed.path, (parsed.path,))
    failed = 0
    reports: list[Report] = []
    for file in parsed.files:
        refuse_module(file)
        with naming(file):
            for report in wast_reports(file, chosen, parsed):
                failed += report.failed
                reports.append(report)
                if not (parsed.json or parsed.table):
                    print(format_report(report), flush=True)
    if parsed.json:
        print(json.dumps([dataclasses.asdict(report) for report in reports], indent=2))
    elif parsed.table:
        moved = all(report.stops is not None for report in reports)
        sys.stdout.write((format_torture if moved else format_table)(reports))
    return 1 if failed else 0


def wast_reports(file: str, chosen: Sequence[str], parsed: argparse.Namespace) -> Iterator[Report]:
    """Of one script, on each path, under the torture that is asked for."""
    from chiwawa.commands.moving import run_moved, run_spread
    from chiwawa.commands.torture import at, every
    from chiwawa.commands.wast import run_script
    from chiwawa_runtime.state.host_limits import Limits

    limits = Limits(depth=parsed.max_depth)
    if parsed.torture_stops:
        yield from run_spread(file, chosen, parsed.torture_stops, limits)
        return
    for path in chosen:
        if parsed.torture:
            yield run_moved(file, path, every(parsed.torture), limits)
        elif parsed.torture_at:
            boundary, onto = parsed.torture_at
            yield run_script(file, path, at(boundary), onto, limits)
        else:
            yield run_script(file, path, limits=limits)


def bake(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.baking import bake
    from chiwawa.commands.inputs import (
        default_output,
        load_checkpoint,
        load_either,
        naming,
        write_binary,
    )

    once([parsed.checkpoint, parsed.module])
    out = parsed.output or default_output(parsed.module, "_baked.wasm")
    module = load_either(parsed.module)
    snapshot = load_checkpoint(parsed.checkpoint)
    with naming(parsed.checkpoint):
        binary = bake(module, snapshot)
    write_binary(out, binary)
    say_where(parsed.output, out)
    return 0


def inspect(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    import json

    from chiwawa.commands.inputs import checkpoint_bytes, load_either, naming
    from chiwawa.inspect import describe, render
    from chiwawa_runtime import checkpoint

    once([parsed.checkpoint, parsed.module, *parsed.linked])
    module = None if parsed.module is None else load_either(parsed.module)
    linked = [load_either(file) for file in parsed.linked]
    data = checkpoint_bytes(parsed.checkpoint)
    with naming(parsed.checkpoint):
        description = describe(checkpoint.decode(data), module, data, linked)
    if parsed.json:
        print(json.dumps(description, indent=2))
    else:
        sys.stdout.write(render(description))
    return 0


def diff(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    import json

    from chiwawa.commands.diff import compare, render
    from chiwawa.commands.inputs import load_checkpoint, load_either

    once([parsed.a, parsed.b, parsed.module])
    module = None if parsed.module is None else load_either(parsed.module)
    difference = compare(load_checkpoint(parsed.a), load_checkpoint(parsed.b), module)
    if parsed.json:
        print(json.dumps(difference, indent=2))
    else:
        sys.stdout.write(render(difference, parsed.a, parsed.b))
    return 0 if difference["equal"] else 1


def report(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.commands.inputs import STANDARD, content, naming, write_text
    from chiwawa.report import page, read

    data = content(parsed.run)
    with naming(parsed.run):
        text = page(read(data))
    write_text(parsed.output or STANDARD, text)
    return 0


def debug(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.commands.inputs import STANDARD
    from chiwawa.debug import debug
    from chiwawa_runtime.command.options import UsageError, options_of

    if parsed.file == STANDARD:
        raise UsageError("debug reads its commands from standard input: give it a file")
    options = options_of(parsed, rest)
    source, linked, preloads = sources_of(parsed, options)
    return debug(source, options, parsed.stdin, preloads, linked)


def demo(parsed: argparse.Namespace, rest: Sequence[str]) -> int:
    from chiwawa.commands.demo import show

    return show()
