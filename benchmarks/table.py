"""The measurements as text: a header that says where, and for each topic times and ratios."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import statistics
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks import asyncify
from benchmarks.costs import Cost
from benchmarks.engines import PACKAGES
from benchmarks.measure import Cell, Column
from benchmarks.native_costs import Figure


@dataclass(frozen=True, slots=True)
class Topic:
    """What is compared with each other. ``ratios`` are pairs of engines: the column that is divided
    and the one that it is divided by, so how many times longer it takes."""

    title: str
    engines: tuple[str, ...]
    ratios: tuple[tuple[str, str], ...]


TOPICS = {
    "python": Topic(
        "In Python",
        (
            *("handwritten", "aot", "unpolled", "plain", "counted", "interp"),
            *("pywasm", "ppci", "wasmtime"),
        ),
        (
            ("aot", "handwritten"),
            ("interp", "aot"),
            ("pywasm", "aot"),
            ("ppci", "aot"),
            ("pywasm", "interp"),
            ("aot", "unpolled"),
            ("aot", "plain"),
            ("counted", "aot"),
        ),
    ),
    "native": Topic(
        "As machine code",
        ("wasmtime", "native", "counting", "asyncify", "epochs", "fuel", "aot"),
        (
            ("native", "wasmtime"),
            ("counting", "wasmtime"),
            ("asyncify", "wasmtime"),
            ("epochs", "wasmtime"),
            ("fuel", "wasmtime"),
            ("aot", "native"),
        ),
    ),
}
Row = dict[str, Cell]


def header(columns: list[Column]) -> list[str]:
    """The machine, and for each column its Python and the version of its package."""
    lines = [f"{processor()}, {os.cpu_count()} logical processors, {platform.platform()}"]
    for python in dict.fromkeys(column.python for column in columns):
        titles = [c for c in columns if c.python == python]
        lines.append(f"{version_of(python)}: {', '.join(map(described, titles))}")
    return lines


def described(column: Column) -> str:
    package = PACKAGES[column.engine]
    if package is None or package == "chiwawa":
        return column.title
    if package == "binaryen":
        return f"{column.title} ({asyncify.version() or 'binaryen is not installed'})"
    try:
        return f"{column.title} ({package} {importlib.metadata.version(package)})"
    except importlib.metadata.PackageNotFoundError:
        return f"{column.title} (not installed)"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(x.split(":", 1)[1].strip() for x in lines if x.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def version_of(python: str) -> str:
    code = (
        "import platform, sys; v = getattr(sys, 'pypy_version_info', None); "
        "print(platform.python_implementation(), platform.python_version(), "
        "'(%d.%d.%d)' % v[:3] if v else '')"
    )
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def ratio(row: Row, above: str, below: str) -> float | None:
    """How many times longer a unit of work takes in one column than in another: the median of the
    rounds' own ratios, because what slows the machine down slows a whole round."""
    if above not in row or below not in row:
        return None
    a, b = row[above], row[below]
    if a.unit is None or b.unit is None:
        return None
    return statistics.median(
        (x / a.size) / (y / b.size) for x, y in zip(a.seconds, b.seconds, strict=True)
    )


def geometric_mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.exp(sum(map(math.log, known)) / len(known)) if known else None


def ratios_of(topic: Topic, columns: list[Column]) -> list[tuple[str, str, str]]:
    """The ratios that these columns allow, for each Python that has them: their titles, and those
    of the two columns."""
    titles = {column.title for column in columns}
    own = [(f"{a} / {b}", a, b) for a, b in topic.ratios]
    pypy = [(f"pypy: {t}", f"pypy {a}", f"pypy {b}") for t, a, b in own]
    return [r for r in (*own, *pypy) if r[1] in titles and r[2] in titles]


def render(
    topics: list[Topic],
    columns: list[Column],
    rows: dict[str, Row],
    costs: list[Cost],
    figures: list[Figure],
) -> str:
    """The tables and the failures, as Markdown."""
    failures = [
        f"- {name}, {title} fails: {cell.failure}"
        for name, row in rows.items()
        for title, cell in row.items()
        if cell.failure is not None
    ]
    lines = [f"{line}  " for line in header(columns)]
    for topic in topics:
        lines += ["", *compared(topic, columns, rows)]
    lines += ["", *failures] if failures else []
    lines += ["", "Other costs:", "", *grid(cost_rows(costs))] if costs else []
    lines += ["", "The native path beside running:", "", *grid(figure_rows(figures))] * bool(
        figures
    )
    return "\n".join(lines)


def compared(topic: Topic, columns: list[Column], rows: dict[str, Row]) -> list[str]:
    """The times and the ratios of a topic."""
    columns = [
        column
        for python in dict.fromkeys(column.python for column in columns)
        for engine in topic.engines
        for column in columns
        if column.engine == engine and column.python == python
    ]
    titles = [column.title for column in columns]
    ratios = ratios_of(topic, columns)
    times = [
        ["sample", *titles],
        *([name, *(time_text(row[t].unit) for t in titles)] for name, row in rows.items()),
    ]
    quotients = [["sample", *(title for title, _, _ in ratios)]]
    for name, row in rows.items():
        quotients.append([name, *(ratio_text(ratio(row, a, b)) for _, a, b in ratios)])
    means = [geometric_mean([ratio(row, a, b) for row in rows.values()]) for _, a, b in ratios]
    quotients.append(["geometric mean", *map(ratio_text, means)])
    return [
        f"{topic.title}: time for one unit of work (median):",
        "",
        *grid(times),
        "",
        f"{topic.title}: ratios:",
        "",
        *grid(quotients),
    ]


def cost_rows(costs: list[Cost]) -> list[list[str]]:
    return [
        ["job", "time", "rate"],
        *(
            [f"{c.job}, {c.amount:,} {c.unit}", time_text(c.seconds), f"{c.rate:,.0f} {c.unit}/s"]
            for c in costs
        ),
    ]


def figure_rows(figures: list[Figure]) -> list[list[str]]:
    return [["what", "median"], *([f.what, f"{number_text(f.value)} {f.unit}"] for f in figures)]


def grid(rows: list[list[str]]) -> list[str]:
    """A Markdown table, its columns aligned; the first is left, the others are right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(cells: list[str]) -> str:
        first = cells[0].ljust(widths[0])
        rest = [c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)]
        return f"| {' | '.join([first, *rest])} |"

    rule = [":" + "-" * (widths[0] - 1), *("-" * (w - 1) + ":" for w in widths[1:])]
    return [line(rows[0]), line(rule), *map(line, rows[1:])]


def time_text(seconds: float | None) -> str:
    if seconds is None:
        return "fails"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def number_text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def ratio_text(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.0f}"
