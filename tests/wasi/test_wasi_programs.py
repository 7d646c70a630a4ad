"""A C program for each function and its errnos: the same output on both paths and on wasmtime."""

from __future__ import annotations

import socket
import threading
from functools import cache
from pathlib import Path

import pytest

from chiwawa.module import Module
from chiwawa.source import load_bytes
from chiwawa_runtime.wasi.functions import FUNCTIONS
from tests.path_helpers import each_path
from tests.wasi.c_program_helpers import Compile, Outcome, run_ours, run_wasmtime

#: What wasmtime does not offer, and what we say.
BEYOND = {
    "+clock_res_get": "ok: 0\n1\nok: 0\n1\ninval: 28\n",
    "+clock_time_get": "ok: 0\nok: 0\ninval: 28\n",
    "+fd_advise": "inval: 28\n",
    "+fd_allocate": "ok: 0\ninval: 28\nreader: 8\nread 20 'hello world'\n",
    "+fd_fdstat_set_flags": "ok: 0\n18\ninval: 28\n",
    "+fd_fdstat_set_rights": (
        "ok: 0\nnotcapable: 76\nread 5 'hello'\nok: 0\nnotcapable: 76\nnotcapable: 76\n"
    ),
    "+fd_pwrite": "ok: 0\nwrote 1\nread 12 'HELLO world!'\n",
    "+fd_seek": "inval: 28\n",
    "+path_link": "followed: 0\nread 11 'hello world'\n",
    "+path_open": "inherited: 0\nnotcapable: 76\nnotcapable: 76\nsync: 0\n",
    "+path_remove_directory": "slash: 0\n",
    "+poll_oneoff": "ok: 0\n1 8\n",
    "+proc_raise": "ignored: 0\nstops: 58\ninval: 28\n",
}


@cache
def loaded(binary: bytes) -> Module:
    return load_bytes(binary)


def given(world: Path) -> list[tuple[Path, str, bool]]:
    return [(world / "work", "/data", False), (world / "fixed", "/fixed", True)]


def ours(binary: bytes, path: str, name: str, world: Path, **options: object) -> Outcome:
    return run_ours(
        loaded(binary),
        path,
        ["functions", name],
        dirs=given(world),
        env={"HOME": "/data"},
        stdin=world / "outside" / "secret",
        scratch=world,
        **options,
    )


@each_path
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_answers_as_wasmtime_s_does(
    compiled: Compile, world_of: dict[str, Path], name: str, path: str
) -> None:
    binary = compiled("functions")
    theirs = run_wasmtime(
        binary,
        ["functions", name],
        dirs=given(world_of["theirs"]),
        env={"HOME": "/data"},
        stdin=world_of["theirs"] / "outside" / "secret",
        scratch=world_of["theirs"],
    )
    mine = ours(binary, path, name, world_of["ours"])
    assert mine.output.decode() == theirs.output.decode()
    assert mine.status == theirs.status
    # wasmtime has proc_raise in name only: what ours does is told below.
    assert mine.output or name in ("proc_exit", "proc_raise")


@each_path
@pytest.mark.parametrize("name", BEYOND)
def test_a_function_does_what_wasmtime_leaves_out(
    compiled: Compile, world: Path, name: str, path: str
) -> None:
    mine = ours(compiled("functions"), path, name, world)
    assert mine.output.decode() == BEYOND[name]
    assert mine.status == (143 if name == "+proc_raise" else 0)


@each_path
def test_a_program_serves_a_connection(compiled: Compile, world: Path, path: str) -> None:
    binary = compiled("functions")
    answers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def ask() -> None:
            with socket.create_connection(server.getsockname()) as client:
                client.sendall(b"question")
                answers.append(client.recv(100))

        client = threading.Thread(target=ask)
        client.start()
        mine = ours(binary, path, "+sock_accept", world, sockets=[server.fileno()])
        client.join()
    assert answers == [b"answer"]
    assert mine.output.decode() == (
        "ok: 0\npeek: 0\nrecv: 0\n8 question\nsend: 0\nshutdown: 0\ninval: 28\n"
    )
