"""Requests as they reach functions in Python: what ``poll`` is, when it counts, looks and stops."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from chiwawa_runtime.engine.polling import Polling
from chiwawa_runtime.engine.requests import BY_COUNT, Requests


@pytest.fixture
def names() -> dict[str, Any]:
    return {}


@pytest.fixture
def requests(names: dict[str, Any]) -> Requests:
    return Requests(Polling(names))


def test_poll_is_a_plain_bool_while_nothing_counts_or_looks(
    names: dict[str, Any], requests: Requests
) -> None:
    assert names["poll"] is False
    requests.ask("one")
    requests.ask("two")
    assert names["poll"] is True
    assert requests.take() == ["one", "two"]
    assert names["poll"] is False
    assert requests.passed is None


def test_counting_stops_once_at_the_number(names: dict[str, Any], requests: Requests) -> None:
    requests.count_from(5, 8)
    assert [bool(names["poll"]) for _ in range(3)] == [False, False, True]
    assert requests.passed == 8
    assert requests.take() == [BY_COUNT]
    assert not names["poll"]
    assert requests.passed == 9


def test_a_repeated_safepoint_is_counted_once_and_reached_once(
    names: dict[str, Any], requests: Requests
) -> None:
    safepoints = requests.safepoints
    assert isinstance(safepoints, Polling)
    safepoints.repeat()
    requests.count_from(0, 2)
    assert [bool(names["poll"]) for _ in range(2)] == [False, True]
    assert requests.take() == [BY_COUNT]
    safepoints.repeat()
    assert not names["poll"]
    assert requests.passed == 2


def test_a_run_can_be_told_to_stop_at_another_number(
    names: dict[str, Any], requests: Requests
) -> None:
    requests.count_from(10, 11)
    requests.stop_at(12)
    assert [bool(names["poll"]) for _ in range(2)] == [False, True]
    requests.take()
    requests.stop_at(None)
    assert not any(names["poll"] for _ in range(5))
    assert requests.passed == 17


def test_without_a_count_the_next_safepoint_is_the_first(
    names: dict[str, Any], requests: Requests
) -> None:
    requests.stop_at(1)
    assert names["poll"]
    assert requests.passed == 1


@pytest.mark.parametrize("counting", [False, True])
def test_who_looks_can_ask_for_the_safepoint_at_which_it_looks(
    names: dict[str, Any], requests: Requests, counting: bool
) -> None:
    if counting:
        requests.count_from(0, None)
    asked = []

    def look() -> None:
        asked.append("look")
        requests.ask("look")

    requests.safepoints.watch(look, every=3)
    assert [bool(names["poll"]) for _ in range(3)] == [False, False, True]
    assert requests.take() == asked == ["look"]
    assert not names["poll"]
    requests.safepoints.watch(None)
    assert not any(bool(names["poll"]) for _ in range(5))
    assert (names["poll"] is False) == (not counting)


def test_a_host_function_that_waits_has_the_program_look_too(requests: Requests) -> None:
    requests.ask("before")
    requests.take()
    requests.watch(lambda: requests.ask("found"))
    waited = 0
    while not requests.pending:
        waited += 1
    assert waited
    assert requests.take() == ["found"]


def test_withdrawing_a_reason_leaves_the_others(names: dict[str, Any], requests: Requests) -> None:
    assert not requests.withdraw("one")
    for reason in ("one", "two", "one"):
        requests.ask(reason)
    assert requests.withdraw("one")
    assert names["poll"] is True
    assert requests.pending == ["two"]
    assert requests.withdraw("two")
    assert names["poll"] is False


def test_no_request_of_another_thread_is_lost(names: dict[str, Any], requests: Requests) -> None:
    """Whatever the taker does meanwhile, what was asked last is taken, or ``poll`` says so."""
    total = 2000

    def ask() -> None:
        for number in range(total):
            requests.ask(str(number))

    thread = threading.Thread(target=ask)
    thread.start()
    taken: list[str] = []
    while thread.is_alive() or names["poll"]:
        requests.withdraw("no such reason")
        if names["poll"]:
            taken += requests.take()
    thread.join()
    assert taken == [str(number) for number in range(total)]
