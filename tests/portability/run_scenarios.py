"""Run by each host: the scenarios of ``tests/wasi`` on files and the sandbox, on our functions.

``python run_scenarios.py`` in a copy of the project's tests prints what pytest does, and lines of
``FAILED`` with the names of those that end otherwise than on Linux.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# What pytest expects of a host, and Wasm ones have not.
os.devnull = os.path.abspath("null")
Path(os.devnull).touch()
if not hasattr(os, "getuid"):
    os.getuid = lambda: 0
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"

import pytest  # noqa: E402

_WITHOUT = ("cacheprovider", "faulthandler", "threadexception", "unraisableexception")
_FILES = ("tests/wasi/test_wasi_files.py", "tests/wasi/test_wasi_sandbox.py")

if __name__ == "__main__":
    options = ["-q", "-rf", "--tb=no", "--capture=sys", "--basetemp=temporary"]
    options += [option for name in _WITHOUT for option in ("-p", f"no:{name}")]
    sys.exit(pytest.main([*options, "-k", "ours and not theirs", *_FILES]))
