"""The compute samples, from ``samples/samples.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """``export`` of ``file`` takes a size (i32), does work in proportion to it and returns one
    value of the type ``result``. ``size`` is a small one."""

    name: str
    file: Path
    export: str
    result: str
    size: int

    def normalised(self, value: object) -> int | float:
        """``value`` as an engine gave it, with an integer unsigned and out of its list or tuple."""
        if isinstance(value, (list, tuple)):
            (value,) = value
        if not isinstance(value, (int, float)):
            raise TypeError(f"a result that is no number: {value!r}")
        if self.result.startswith("i"):
            return int(value) & ((1 << int(self.result[1:])) - 1)
        return float(value)


def compute_samples() -> dict[str, Sample]:
    """Those whose work grows in proportion to their size, by name, in the list's order."""
    rows = json.loads((SAMPLES / "samples.json").read_text("utf-8"))
    return {
        row["name"]: Sample(
            row["name"],
            SAMPLES / row["file"],
            row["export"],
            row["results"][0],
            row["args"][0],
        )
        for row in rows
        if row["compute"]
    }
