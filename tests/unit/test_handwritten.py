"""What is measured as hand-written does the samples' work."""

from __future__ import annotations

import json

import pytest

from benchmarks.handwritten import HANDWRITTEN
from benchmarks.samples import SAMPLES, compute_samples
from chiwawa import instantiate, load

ROWS = {row["name"]: row for row in json.loads((SAMPLES / "samples.json").read_text("utf-8"))}


def test_each_sample_that_is_measured_has_a_handwritten_version() -> None:
    assert list(HANDWRITTEN) == list(compute_samples())


@pytest.mark.parametrize("name", HANDWRITTEN)
def test_a_handwritten_version_gives_what_the_sample_gives(name: str) -> None:
    sample = compute_samples()[name]
    by_hand = HANDWRITTEN[name]
    (expected,) = ROWS[name]["expect"]
    assert by_hand(sample.size) == sample.normalised(expected)
    instance = instantiate(load(sample.file))
    for size in (1, 2, 7, sample.size + 1):
        assert by_hand(size) == sample.normalised(instance.invoke(sample.export, [size]))
