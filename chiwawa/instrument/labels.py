"""What instruments call a module's functions and globals.

Names are returned as the module has them: whoever prints them escapes them.
"""

from __future__ import annotations

from chiwawa.module import Module

#: Names come from the module and may be of any length, and one may be repeated in every row.
LONGEST = 200


def global_label(module: Module, index: int) -> str:
    """What to call a global: by the name section, else by its first export, else global[index]."""
    name = module.names.globals.get(index)
    if name:
        return name
    exported = (e.name for e in module.export_section if e.kind == "global" and e.index == index)
    return next(filter(None, exported), f"global[{index}]")


def function_labels(module: Module) -> list[str]:
    """What to call each function: its name, else func[index]."""
    names = module.func_names()
    return [names.get(i) or f"func[{i}]" for i in range(len(module.func_typeidxs()))]


def row_labels(module: Module) -> list[str]:
    """``function_labels``, none longer than a row can bear."""
    return [clipped(label) for label in function_labels(module)]


def clipped(text: str, longest: int = LONGEST) -> str:
    """``text``, or as much of it as goes into ``longest`` characters with an ellipsis."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
