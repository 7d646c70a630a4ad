"""What scripts of the spec's test suite say of each path, as pages of Markdown."""

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
`chiwawa wast --path all --table FILE…` writes this page; with `--torture-stops N` as well, how many
hold where scripts are moved to other paths at so many places in their middle.
"""


TORTURE_HEAD = """# Conformance under torture

How many of the assertions of each script of the specification's test suite hold where all that the
script has made is stopped again and again, written to a checkpoint, thrown away, and goes on on
another path: from the one that is named on, over all others and back. There are as many stops as
boundaries, or so many spread evenly over those; where a path has fewer boundaries, fewer.
`chiwawa wast --torture-stops N --table FILE…` writes this page.
"""


def by_path(reports: Sequence[Report]) -> tuple[list[str], dict[str, dict[str, Report]]]:
    """The paths that they are of, and by file, by path, each."""
    paths = list(dict.fromkeys(report.execution for report in reports))
    by_file: dict[str, dict[str, Report]] = {}
    for report in reports:
        by_file.setdefault(os.path.basename(report.file), {})[report.execution] = report
    return paths, dict(sorted(by_file.items()))


def format_torture(reports: Sequence[Report]) -> str:
    """A page on ``reports``, of each file on the same paths, all under torture. It ends in a
    newline."""
    paths, by_file = by_path(reports)
    heads = [f"{path}: boundaries | stops | hold" for path in paths]
    lines = [
        TORTURE_HEAD,
        f"| script | assertions | {' | '.join(heads)} |",
        f"|---|--:|{'--:|' * 3 * len(paths)}",
    ]
    totals = [0] * (1 + 3 * len(paths))
    for file, each in by_file.items():
        counts = [max(map(assertions, each.values()))]
        for path in paths:
            counts += [each[path].boundaries or 0, each[path].stops or 0, each[path].passed]
        totals = [total + count for total, count in zip(totals, counts, strict=True)]
        lines.append(torture_row(file, counts))
    lines.append(torture_row(f"**{len(by_file)} scripts**", totals))
    for path in paths:
        lines += ["", *failures(path, [report for report in reports if report.execution == path])]
    return "\n".join(lines) + "\n"


def torture_row(name: str, counts: Sequence[int]) -> str:
    """After the number of assertions come three numbers for each path, the last of which is left
    to that."""
    texts = [f"{count:,}" for count in counts]
    for place in range(3, len(counts), 3):
        if counts[place] == counts[0]:
            texts[place] = "all"
    return f"| {name} | {' | '.join(texts)} |"


def format_table(reports: Sequence[Report]) -> str:
    """A page on ``reports``, of each file on the same paths. It ends in a newline."""
    paths, by_file = by_path(reports)
    lines = [
        HEAD,
        f"| script | assertions | {' | '.join(paths)} |",
        f"|---|--:|{'--:|' * len(paths)}",
    ]
    totals = [0] * (1 + len(paths))
    for file, each in by_file.items():
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
