"""What instruments run in the interpreter: their sites' source, compiled to handlers.

A handler of a site is called like one of an instruction, with a frame's operands and locals.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chiwawa.interp.handlers import Handler
from chiwawa.lower.lowered import Lowered
from chiwawa.lower.sites import Site, Sites, state_names, variables
from chiwawa_runtime.engine.instance import ModuleInstance

#: The file that the handlers come from, as tracebacks say it: none of an instruction's.
SITES = "<chiwawa site>"


class SiteHandlers:
    """The handlers of one function. ``at`` is by position in its body."""

    def __init__(
        self, lowered: Lowered, sites: Sites, instance: ModuleInstance, names: Mapping[str, Any]
    ) -> None:
        lines: list[str] = []
        count = 0
        for position in sorted(sites.at):
            height = lowered.heights[position]
            for site in sites.at[position]:
                lines += handler_lines(count, site, len(lowered.locals), height)
                count += 1
        for source in (sites.entry, sites.exit, sites.unwound):
            if source is not None:
                lines += handler_lines(count, Site(source), 0, 0)
                count += 1
        namespace = {**names, **state_names(instance)}
        exec(compile("\n".join(lines), SITES, "exec"), namespace)
        made: Iterator[Handler] = (namespace[f"site{number}"] for number in range(count))
        self.at = {
            position: tuple(next(made) for _ in sites.at[position]) for position in sorted(sites.at)
        }
        self.entry = None if sites.entry is None else next(made)
        self.exit = None if sites.exit is None else next(made)
        self.unwound = None if sites.unwound is None else next(made)


def handler_lines(number: int, site: Site, locals_: int, height: int) -> Iterator[str]:
    """The source of the handler of ``site``, where there are so many locals and operands."""
    used = [
        (f"{kind}{index}", f"stack[{index}]" if kind == "s" else f"locals[{index}]")
        for kind, index in variables(site.source)
        if index < (height if kind == "s" else locals_)
    ]
    yield f"def site{number}(stack, locals):"
    if len(used) == height + locals_ > 4:
        # Everything is read: at once is cheaper.
        yield f"    ({''.join(f'l{i}, ' for i in range(locals_))}) = locals"
        yield f"    ({''.join(f's{i}, ' for i in range(height))}) = stack"
    elif used:
        yield "    " + "; ".join(f"{name} = {value}" for name, value in used)
    yield f"    {site.source}"
    if site.writes and used:
        yield "    " + "; ".join(f"{value} = {name}" for name, value in used)
