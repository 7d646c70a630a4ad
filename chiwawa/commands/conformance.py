"""What scripts of the spec's test suite say of each path, as a page of Markdown."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from chiwawa.commands.wast import Failure, Report

#: Where in a module something stands: reasons are told without it.
_PLACE = re.compile(r" \((?:at byte|line) [^)]*\)| \([^()]*can run it\)")
_REFUSED = "UnsupportedError: "

HEAD = """# Conformance

How many of the assertions of each script of the specification's test suite hold, on each path.
`chiwawa wast --path all --table FILE…` writes this page.
"""


def format_table(reports: Sequence[Report]) -> str:
    """A page on ``reports``, of each file on the same paths. It ends in a newline."""
    paths = list(dict.fromkeys(report.execution for report in reports))
    by_file: dict[str, dict[str, Report]] = {}
    for report in reports:
        by_file.setdefault(os.path.basename(report.file), {})[report.execution] = report
    lines = [
        HEAD,
        f"| script | assertions | {' | '.join(paths)} |",
        f"|---|--:|{'--:|' * len(paths)}",
    ]
    totals = [0] * (1 + len(paths))
    for file, each in sorted(by_file.items()):
        of_paths = [each[path] for path in paths]
        counts = [max(map(assertions, of_paths)), *(report.passed for report in of_paths)]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        lines.append(row(file, counts))
    lines.append(row(f"**{len(by_file)} scripts**", totals))
    for path in paths:
        of_path = [report for report in reports if report.execution == path]
        lines += ["", *failures(path, of_path)]
    return "\n".join(lines) + "\n"


def row(name: str, counts: Sequence[int]) -> str:
    """A count that is the first one is left to that."""
    first, *others = counts
    texts = ["all" if count == first else f"{count:,}" for count in others]
    return f"| {name} | {first:,} | {' | '.join(texts)} |"


def is_assertion(failure: Failure) -> bool:
    return failure.command.startswith("assert_")


def assertions(report: Report) -> int:
    """How many the script has."""
    return report.passed + sum(map(is_assertion, report.failures))


def failures(path: str, reports: Sequence[Report]) -> list[str]:
    """What does not hold on a path: what is refused by name, with where; and all else, but for what
    follows from a module that was refused."""
    refused: dict[str, dict[str, None]] = {}
    others: list[str] = []
    for report in reports:
        file = os.path.basename(report.file)
        reasons = [f.got for f in report.failures if f.got.startswith(_REFUSED)]
        for reason in reasons:
            told = _PLACE.sub("", reason.removeprefix(_REFUSED))
            refused.setdefault(told, {})[file] = None
        if not reasons:
            others += [f"{file}:{f.line}: {f.command}: got {f.got}" for f in report.failures]
    if not refused and not others:
        return [f"On the path `{path}` everything holds."]
    lines = []
    if refused:
        lines += [f"What the path `{path}` refuses, and where:", ""]
        lines += [f"- {told}: {', '.join(refused[told])}" for told in sorted(refused)]
    if others:
        lines += ["", f"What fails on the path `{path}`:", ""] if lines else []
        lines += [f"- {each}" for each in others]
    return lines
