"""The specification's test suite on both paths: every script of a checkout, found by rule.

``CHIWAWA_WASM_TESTSUITE`` names a checkout of WebAssembly/testsuite, or of WebAssembly/spec's
test/core, of any version. What it has of Wasm 3.0, which we refuse by name, is excused by
rule too (``excuse``); everything else must hold. For the scripts of June 2026, a golden
file has how much of each holds, so that nothing is excused that was not before.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

from chiwawa.binary import decode, encode
from chiwawa.commands.wast import Failure, Report, run_script
from chiwawa.module import Module, Names
from chiwawa.wat import parse_module, parse_script, print_module
from chiwawa.wat.script import AssertRefused, AssertTrap, DefineModule, ModuleSource
from chiwawa_runtime.errors import BadInput
from tests.path_helpers import PATHS
from tests.spec.suite_helpers import FILES, SUITE

KNOWN = Path(__file__).parents[1] / "golden" / "spec-suite.txt"

pytestmark = pytest.mark.needs("testsuite")


def excuse(failure: Failure, unregistered: set[str]) -> str | None:
    """Why a failure is none of ours, or None. ``unregistered`` are the names under which a script
    could not register an instance. A failure that follows from that of a module is excused here,
    because that of the module is judged for itself."""
    got = failure.got
    if got.startswith("UnsupportedError: "):
        return "refused by name"
    if got in ("none: its module failed", "no such definition"):
        return "follows"
    missing = re.match(r'UnlinkableError: unknown import "([^"]*)"', got)
    if missing and missing[1] in unregistered:
        return "follows"
    if failure.expected == "InvalidError: multiple memories" and got == "no error":
        # Of Wasm 3.0, and we have it.
        return "several memories"
    return None


def unexcused(report: Report) -> list[Failure]:
    unregistered = {
        failure.command.split('"')[1]
        for failure in report.failures
        if failure.command.startswith("register ")
    }
    return [f for f in report.failures if excuse(f, unregistered) is None]


def known() -> dict[str, str]:
    """The line on each script, by its name and what it contains."""
    lines = KNOWN.read_text(encoding="utf-8").splitlines() if KNOWN.exists() else []
    return {line.partition(":")[0]: line for line in lines}


@pytest.mark.parametrize("execution", PATHS)
@pytest.mark.parametrize("file", FILES)
def test_a_script_holds(file: str, execution: str, pytestconfig: pytest.Config) -> None:
    report = run_script(SUITE / file, execution)
    assert unexcused(report) == []
    digest = hashlib.sha256((SUITE / file).read_bytes()).hexdigest()[:16]
    name = f"{os.path.basename(file)} {digest}"
    held = f"{report.passed} hold, {report.failed} are not for us"
    lines = known()
    # A path that refuses by name what others run has lines of its own.
    own = f"{name} on {execution}"
    if pytestconfig.getoption("--refresh-golden"):
        if execution == PATHS[0]:
            lines[name] = f"{name}: {held}"
        elif lines.get(name) != f"{name}: {held}":
            lines[own] = f"{own}: {held}"
        else:
            lines.pop(own, None)
        KNOWN.write_text("".join(f"{lines[key]}\n" for key in sorted(lines)), encoding="utf-8")
    said = lines.get(own) or lines.get(name)
    assert said is None or said.endswith(f": {held}")


def modules(file: str) -> list[Module]:
    """Every well-formed module of a script, whether it is valid or not."""
    found = []
    for command in parse_script((SUITE / file).read_bytes().decode()):
        match command:
            case DefineModule(source=source) | AssertRefused(source=source):
                pass
            case AssertTrap(what=ModuleSource() as source):
                pass
            case _:
                continue
        try:
            module = source.parse()
            found.append(decode(module if isinstance(module, bytes) else encode(module)))
        except BadInput:
            continue
    return found


def bare(module: Module) -> bytes:
    """The binary of what the text format has words for."""
    module.names, module.customs, module.data_count = Names(), [], None
    return encode(module)


@pytest.mark.parametrize("file", FILES)
def test_a_module_printed_and_parsed_is_the_same(file: str) -> None:
    for module in modules(file):
        text = print_module(module)
        again = parse_module(text)
        if module.customs:
            # Where one stands is said by a section beside it, which may have been empty.
            text = print_module(decode(encode(again)))
            again = parse_module(text)
        assert print_module(decode(encode(again))) == text
        assert bare(again) == bare(module)
