"""Seeded interleavings of runs, slices and collections among pauses, kills and interrupts: no pair lost, none doubled.

`python -m tests.simulation SEED` plays a seed again, and prints every step of it.
"""

from __future__ import annotations

from unittest.mock import patch

import pytest

from tests.faults.report import recorded
from tests.simulation.checker import Violation
from tests.simulation.course import play

FEW, MANY, AT_A_TIME = 60, 10_000, 500
FAULT = "seeded interleavings of two slices, gc, pauses and kills, simulated"


def play_all(first: int, count: int) -> None:
    """Play seeds; print those that fail, and raise what the first of them did."""
    failed: dict[int, AssertionError] = {}
    with recorded(FAULT, times=count) as record:
        for seed in range(first, first + count):
            try:
                play(seed)
            except AssertionError as error:
                failed[seed] = error
        record.doubled = sum("twice" in str(error) for error in failed.values())
        record.lost = len(failed) - record.doubled
        for seed, error in failed.items():
            print(f"seed {seed}: {error}")
        if failed:
            raise next(iter(failed.values()))


def test_nothing_is_lost_or_doubled() -> None:
    play_all(0, FEW)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(FEW, MANY, AT_A_TIME))
def test_nothing_is_lost_or_doubled_in_many(first: int) -> None:
    play_all(first, min(AT_A_TIME, MANY - first))


def test_a_seed_tells_the_whole_course() -> None:
    assert play(4).world.log == play(4).world.log


def test_what_the_rules_forbid_is_found() -> None:
    """Without the part of the code that prevents it, some seed shows the fault: so the others look at something."""

    def play_until_one_fails() -> None:  # about every tenth does
        for seed in range(FEW):
            play(seed)

    found = r"computed twice|the history has lost"
    with patch("tasks.ledger.commit.announce", lambda *_: None), pytest.raises(Violation, match=found):
        play_until_one_fails()
