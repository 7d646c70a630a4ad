"""``python -m benchmarks [TOPIC…] [--only NAME…] [--runs N] [--quick] [--pypy PATH] [--json]``.

The topics are ``python`` and ``native``; without any it is both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from benchmarks import table
from benchmarks.costs import Cost
from benchmarks.engines import ENGINES, PACKAGES
from benchmarks.measure import ROOT, Cell, Column, environment, measure
from benchmarks.native_costs import Figure
from benchmarks.samples import compute_samples

#: How long one run is to take, in seconds. The slow peers get longer: a size must be large enough
#: that what does not grow with it vanishes.
SECONDS = {
    "handwritten": 0.3,
    "aot": 0.3,
    "unpolled": 0.3,
    "plain": 0.3,
    "counted": 0.3,
    "interp": 0.3,
    "pywasm": 1.0,
    "ppci": 0.5,
    "wasmtime": 0.1,
    "native": 0.1,
    "counting": 0.1,
    "asyncify": 0.1,
    "epochs": 0.1,
    "fuel": 0.1,
}


def main() -> None:
    options = parse()
    samples = compute_samples()
    if unknown := [name for name in options.only if name not in samples]:
        raise SystemExit(f"no such sample: {', '.join(unknown)} (there are {', '.join(samples)})")
    chosen = [samples[name] for name in options.only or samples]
    columns = columns_for(options)
    rows = {}
    for number, sample in enumerate(chosen, 1):
        progress(f"[{number}/{len(chosen)}] {sample.name}")
        rows[sample.name] = measure(sample, columns, options.runs)
    costs, figures = [], []
    if not options.only and "python" in options.topics:
        progress("translation, checkpoints, traces")
        sizes = ("1", "16") if options.quick else ("1", "16", "256")
        costs = [Cost(**each) for each in lines_of("costs", str(options.runs), *sizes)]
    if not options.only and "native" in options.topics:
        progress("rewriting, stops, calls of the host")
        figures = [Figure(**each) for each in lines_of("native_costs", str(options.runs))]
        progress("large memories and deep stacks, written and restored")
        mebibytes = "16" if options.quick else "256"
        figures += [Figure(**each) for each in lines_of("saving", str(options.runs), mebibytes)]
    progress("")
    topics = [table.TOPICS[name] for name in options.topics]
    if options.json:
        print(json.dumps(as_json(topics, columns, rows, costs, figures), indent=1))
    else:
        print(table.render(topics, columns, rows, costs, figures))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=" or ".join(table.TOPICS))
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these samples alone")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), help="these engines alone")
    parser.add_argument("--runs", type=int, default=5, help="how many medians are taken of")
    parser.add_argument("--quick", action="store_true", help="a quarter of the time, one run")
    parser.add_argument("--pypy", metavar="PATH", help="measure this PyPy too")
    parser.add_argument("--json", action="store_true", help="everything measured, as JSON")
    options = parser.parse_args()
    options.topics = options.topics or list(table.TOPICS)
    if unknown := [name for name in options.topics if name not in table.TOPICS]:
        raise SystemExit(
            f"no such topic: {', '.join(unknown)} (there are {', '.join(table.TOPICS)})"
        )
    wanted = [engine for name in options.topics for engine in table.TOPICS[name].engines]
    options.engines = [e for e in ENGINES if e in (options.engines or wanted)]
    if options.quick:
        options.runs = 1
    return options


def columns_for(options: argparse.Namespace) -> list[Column]:
    share = 0.25 if options.quick else 1.0
    columns = [
        Column(engine, engine, sys.executable, SECONDS[engine] * share)
        for engine in options.engines
    ]
    if options.pypy:
        columns += [
            Column(f"pypy {engine}", engine, options.pypy, SECONDS[engine] * share)
            for engine in options.engines
            if PACKAGES[engine] not in ("wasmtime", "binaryen")
        ]
    return columns


def lines_of(module: str, *arguments: str) -> list[dict[str, Any]]:
    """What a module of this package measures, in a process of its own: it takes much memory."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    lines = subprocess.run(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True
    ).stdout.splitlines()
    return [json.loads(line) for line in lines]


def progress(text: str) -> None:
    """A line that the next one overwrites, where someone is watching."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def as_json(
    topics: list[table.Topic],
    columns: list[Column],
    rows: dict[str, dict[str, Cell]],
    costs: list[Cost],
    figures: list[Figure],
) -> dict[str, object]:
    return {
        "costs": [asdict(cost) for cost in costs],
        "native": [asdict(figure) for figure in figures],
        "header": table.header(columns),
        "samples": {
            name: {
                title: {
                    "failure": cell.failure,
                    "prepare_seconds": cell.prepare,
                    "size": cell.size,
                    "seconds": cell.seconds,
                    "seconds_per_unit": cell.unit,
                }
                for title, cell in row.items()
            }
            for name, row in rows.items()
        },
        "geometric_means": {
            title: table.geometric_mean([table.ratio(row, a, b) for row in rows.values()])
            for topic in topics
            for title, a, b in table.ratios_of(topic, columns)
        },
    }


if __name__ == "__main__":
    main()
