"""Puts beside the page that runs chiwawa in a browser what it needs: ``python docs/complete_site.py
SITE``, where SITE is what ``mkdocs build`` has made.

That is Pyodide, which npm fetches, and one archive of chiwawa and the packages that it imports, as
this Python has them. The page fetches nothing from elsewhere.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(_DOCS.parent / "samples" / "self-hosted"))

import hosts  # noqa: E402

#: What a browser loads of Pyodide's package.
PYODIDE = (
    "pyodide.mjs",
    "pyodide.asm.mjs",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    "pyodide-lock.json",
)
_OTHER = {".pyc", ".so", ".pyd"}


def complete(page: Path, cache: Path) -> None:
    """Into the folder of the page. Raises ``hosts.Missing``."""
    package = hosts.fetch(cache) / "pyodide"
    (page / "pyodide").mkdir(exist_ok=True)
    for name in PYODIDE:
        shutil.copyfile(package / name, page / "pyodide" / name)
    pack(page / "packages.zip")


def pack(archive: Path) -> None:
    """All that chiwawa imports from elsewhere, itself included, as plain Python. It has the same
    bytes whenever the same files are packed."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for folder in hosts.package_folders():
            for file in sorted(files_of(folder)):
                name = file.relative_to(folder.parent).as_posix()
                out.writestr(zipfile.ZipInfo(name), file.read_bytes(), zipfile.ZIP_DEFLATED)


def files_of(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and path.suffix not in _OTHER)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("site", type=Path, help="the folder of the site, or its folder browser")
    parser.add_argument(
        "--hosts",
        type=Path,
        default=hosts.default_cache(),
        metavar="DIR",
        help="where what npm fetches is kept (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    page = options.site / "browser"
    if not (page / "worker.js").exists():
        print(f"complete_site: {options.site} is no site of chiwawa", file=sys.stderr)
        return 2
    try:
        complete(page, options.hosts)
    except (hosts.Missing, OSError) as error:
        print(f"complete_site: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
