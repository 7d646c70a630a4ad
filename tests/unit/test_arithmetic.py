"""A processor that rounds twice is refused by name."""

from __future__ import annotations

from fractions import Fraction

import pytest

import chiwawa
from chiwawa_runtime.state import arithmetic
from tests.path_helpers import each_path


def twice(a: float, b: float) -> float:
    """The sum as x87 has it: rounded to 64 significant bits, then to 53."""
    exact = Fraction(a) + Fraction(b)
    # Between 1 and 2, 64 significant bits have 63 after the point; round takes ties to even.
    return float(Fraction(round(exact * (1 << 63)), 1 << 63))


def test_the_sum_that_tells_is_rounded_differently() -> None:
    arithmetic.require_single_rounding()
    assert arithmetic.add(1.0, 2.0**-53 + 2.0**-65) == 1.0 + 2.0**-52
    assert twice(1.0, 2.0**-53 + 2.0**-65) == 1.0


@each_path
def test_who_rounds_twice_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = chiwawa.load('(module (func (export "f") (loop)))')
    data = chiwawa.start(module, "f", path=path).checkpoint()
    monkeypatch.setattr(arithmetic, "add", twice)
    with pytest.raises(chiwawa.UnsupportedError, match=r"x87.*rounds twice"):
        chiwawa.instantiate(module, path=path)
    with pytest.raises(chiwawa.UnsupportedError, match=r"x87.*rounds twice"):
        chiwawa.restore(module, data, path=path)
