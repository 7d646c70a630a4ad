"""A host with what Windows has: the same commands, less what needs POSIX, which is refused by name.

Simulated, in a process of its own: what Windows lacks is taken away from Python's modules.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.cli.cli_helpers import ROOT, environment
from tests.path_helpers import each_path

SAMPLES = ROOT / "samples"

#: What runs the command line there.
WINDOWS = """
import builtins, os, select, signal, sys, threading
for name in dir(os):
    if name.startswith(("O_", "posix_", "fork", "sched_", "register_at")) and name not in (
        "O_RDONLY", "O_WRONLY", "O_RDWR", "O_APPEND", "O_CREAT", "O_EXCL", "O_TRUNC"
    ):
        delattr(os, name)
for name in ("fchdir", "fdatasync", "getuid", "geteuid", "mkfifo", "pread", "pwrite", "preadv",
             "pwritev", "readv", "writev", "set_blocking", "get_blocking", "fchmod", "chown"):
    if hasattr(os, name):
        delattr(os, name)
os.supports_dir_fd = os.supports_fd = os.supports_follow_symlinks = set()
for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGALRM", "SIGPIPE", "setitimer"):
    delattr(signal, name)
for name in ("poll", "epoll"):
    if hasattr(select, name):
        delattr(select, name)

def select_sockets(reading, writing, broken, seconds=None):
    if reading or writing:
        raise OSError(10038, "An operation was attempted on something that is not a socket")
    return [], [], []

select.select = select_sockets
set_size = threading.stack_size

def stack_size(size=0):
    if size >= 1 << 28:
        raise ValueError(f"size not valid: {size} bytes")
    return set_size(size)

threading.stack_size = stack_size
for name in ("fcntl", "termios", "resource", "pwd", "grp", "readline"):
    sys.modules[name] = None
from chiwawa.commands.cli import main
sys.exit(main(sys.argv[1:]))
"""


def windows(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WINDOWS, *arguments],
        cwd=folder,
        env=environment(),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
    )


@each_path
def test_a_program_runs_stops_and_continues(tmp_path: Path, path: str) -> None:
    shutil.copy(SAMPLES / "primes.wasm", tmp_path)
    command = ("run", "primes.wasm", "--path", path)
    whole = windows(tmp_path, *command, "--deterministic", "--", "4", "200")
    assert (whole.returncode, whole.stderr) == (0, "")
    first = windows(tmp_path, *command, "--deterministic", "--cr-at", "2500", "--", "4", "200")
    assert (first.returncode, first.stderr) == (
        0,
        "chiwawa: checkpoint written to checkpoint.bin\n",
    )
    rest = windows(tmp_path, *command, "--restore", "checkpoint.bin")
    assert (rest.returncode, rest.stderr) == (0, "")
    assert first.stdout + rest.stdout == whole.stdout
    assert first.stdout
    assert rest.stdout


@each_path
def test_a_program_reads_its_input(tmp_path: Path, path: str) -> None:
    shutil.copy(SAMPLES / "wc.wasm", tmp_path)
    done = windows(tmp_path, "run", "wc.wasm", "--path", path, stdin="one two\nthree\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["2", "3", "14"]


@each_path
def test_deep_recursion_and_a_trigger_need_nothing_of_posix(tmp_path: Path, path: str) -> None:
    shutil.copy(SAMPLES / "recursion.wasm", tmp_path)
    call = ("--path", path, "--invoke", "depth", "--params", "I32(100000)")
    (tmp_path / "checkpoint.trigger").touch()
    stopped = windows(tmp_path, "run", "recursion.wasm", *call, "--cr")
    assert stopped.returncode == 0, stopped
    assert "checkpoint written" in stopped.stderr
    done = windows(tmp_path, "run", "recursion.wasm", "--restore", "checkpoint.bin")
    assert (done.returncode, done.stdout) == (0, "I32(100000)\n")


@each_path
def test_directories_are_refused_by_name(tmp_path: Path, path: str) -> None:
    shutil.copy(SAMPLES / "wc.wasm", tmp_path)
    done = windows(tmp_path, "run", "wc.wasm", "--path", path, "--dir", ".")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "chiwawa: error: directories for a guest need openat and O_NOFOLLOW, "
        "which this host lacks\n"
    )
