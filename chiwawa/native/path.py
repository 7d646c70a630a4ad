"""The path ``native``: a module is rewritten so that it can be stopped, and run by wasmtime."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from chiwawa.execution import Path, Prepared, Settings, Source
from chiwawa.lower.lowered import Spaces
from chiwawa.lower.sites import SitesOf
from chiwawa_runtime.errors import UnsupportedError


class Native:
    name = "native"
    enters_anywhere = False
    granularities: tuple[str, ...] = ("safepoint",)
    instruments = False
    objects = False

    def lacks(self) -> str | None:
        try:
            import wasmtime  # noqa: F401
        except ModuleNotFoundError:
            return 'the native path needs wasmtime: pip install "chiwawa[native]"'
        except (ImportError, OSError, RuntimeError) as error:
            said = " ".join(str(error).split())
            return f"the native path needs wasmtime, which does not run on this machine: {said}"
        return None

    def refusal(self, source: Source, granularity: str) -> str | None:
        lacks = self.lacks()
        if lacks is not None:
            return lacks
        if granularity not in self.granularities:
            return (
                "the native path stops at safepoints alone: granularity instruction takes "
                "another path (interp or aot)"
            )
        from chiwawa.native import capi
        from chiwawa.native.checks import check_names, check_types

        if source.module.tag_typeidxs() and not capi.has_exceptions():
            return "the native path has no exceptions with this version of wasmtime"
        try:
            source.module.once("native names", lambda: check_names(source.module))
            source.module.once("native types", lambda: check_types(source.module))
        except UnsupportedError as error:
            return f"{error} (interp and aot can run it)"
        return None

    def together(self) -> AbstractContextManager[object]:
        if self.lacks() is not None:
            return nullcontext()
        from chiwawa.native.vault import together

        return together()

    def prepare(
        self, source: Source, settings: Settings, sites_of: SitesOf | None = None
    ) -> Prepared:
        stops = "safepoint" if settings.sparse else settings.granularity
        refusal = self.refusal(source, stops)
        if refusal is not None:
            raise UnsupportedError(refusal)
        if sites_of is not None:
            raise UnsupportedError("instruments take another path than native (interp or aot)")
        from chiwawa.native.engine import NativeEngine

        engine = NativeEngine(
            Spaces.of(source.module),
            canonical_nans=settings.canonical_nans,
            sparse=settings.sparse,
            watched=settings.watched,
            cache=source.cache,
        )
        return Prepared(engine, None, engine.hand_over, engine.safepoints.arm)


PATH: Path = Native()
