"""Going back and on again comes to the same states, on the samples."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from collections.abc import Iterator
from functools import partial

import pytest

import chiwawa
from chiwawa.debug.listing import Code
from chiwawa.debug.machine import Machine
from chiwawa.debug.session import Session
from chiwawa.debug.streams import Input, Output
from chiwawa.debug.swift import Swift, stepping_path
from chiwawa.execution import Source
from chiwawa.instrument import Instruments
from chiwawa.toolchain import Toolchain
from chiwawa_runtime.command.options import Parser, add_options, options_of
from tests.cli.cli_helpers import ROOT
from tests.path_helpers import each_path

SAMPLES = {s["name"]: s for s in json.loads((ROOT / "samples" / "samples.json").read_text())}


class Sessions:
    """Makes sessions with samples, whose output goes nowhere."""

    def __init__(self, nowhere: int) -> None:
        self.nowhere = nowhere

    def open(self, name: str, path: str) -> Session:
        sample = SAMPLES[name]
        parser = Parser()
        add_options(parser)
        params = ",".join(f"I32({value})" for value in sample["args"])
        parsed = parser.parse_args(["--invoke", sample["export"], "--params", params])
        options = dataclasses.replace(
            options_of(parsed, []), deterministic=True, granularity="instruction"
        )
        module = chiwawa.load(ROOT / "samples" / sample["file"])
        outputs = (Output(self.nowhere), Output(self.nowhere))
        source = Source(module)
        runner = Toolchain(source, partial(Instruments, module), canonical_nans=True)
        stepped = stepping_path(path)
        swift = None if stepped == path else Swift(source, path)
        code = Code(module)
        machine = Machine(runner, code, options, stepped, Input(None), outputs, swift)
        session = Session(machine)
        session.begin()
        return session


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    yield Sessions(nowhere)
    os.close(nowhere)


@each_path
@pytest.mark.parametrize("name", ["fib", "indirect"])
def test_wherever_one_goes_it_is_as_if_one_had_never_been_elsewhere(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, name: str, path: str
) -> None:
    # Many checkpoints, and replays that keep some of their own.
    monkeypatch.setattr("chiwawa.debug.machine._DISTANCE", 500)
    monkeypatch.setattr("chiwawa.debug.machine._NEAR", 100)
    session = sessions.open(name, path)
    stop = session.proceed()
    assert stop.end is not None
    assert stop.end.error is None
    total = session.machine.count
    choose = random.Random(7)
    for _ in range(4):
        count = choose.randint(2, total)
        session.go_to(count)
        other = sessions.open(name, "interp")
        other.travel(count)
        assert session.machine.count == other.machine.count == count
        assert session.machine.checkpoint() == other.machine.checkpoint()
        # next and finish come to where single steps come to.
        depth = len(other.machine.frames())
        for goes, deep in ((session.next, depth), (session.finish, depth - 1)):
            session.go_to(count)
            goes()
            other.go_to(count)
            machine = other.machine
            machine.forward(machine.count + 1)
            while machine.end is None and len(machine.frames()) > deep:
                machine.forward(machine.count + 1)
            assert session.machine.now == machine.now


@each_path
def test_the_stops_backwards_are_those_forwards(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("chiwawa.debug.machine._DISTANCE", 1000)
    session = sessions.open("indirect", path)
    entry = session.code[0].entry(session.code[0].function("2"))
    assert entry is not None
    session.add_breakpoint(entry, False)
    forwards = []
    while len(forwards) < 40 and session.proceed().end is None:
        forwards.append(session.machine.count)
    assert len(forwards) > 5
    backwards = [forwards[-1]]
    while not session.reverse().beginning:
        backwards.append(session.machine.count)
    assert backwards == forwards[::-1]
