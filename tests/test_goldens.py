"""The core's samples against those it made before: what moves them takes a new CORE_VERSION and new goldens."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from stylecore.settings import CORE_VERSION
from tests.goldens.make import FOLDER, NAMES, VERSION, golden, rendered

LEAST_SNR_DB = 60.0
"""Rounding stays 10 dB and more below it: one thread against two, SSE or AVX2 against AVX-512, the bits of a file. A
hundredth more of alpha or beta does not."""


def _snr_db(found: NDArray[np.floating], wanted: NDArray[np.floating]) -> float:
    """Return the ratio of a signal to what is added to it, in dB."""
    error = np.sum((found.astype(float) - wanted) ** 2)
    return float(10 * np.log10(np.sum(wanted.astype(float) ** 2) / max(error, 1e-20)))


def test_every_golden_is_there_and_no_other() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.flac")) == sorted(NAMES)


def test_the_goldens_are_of_this_core_version() -> None:
    """If this fails: `python -m tests.goldens.make`, after listening to what has changed."""
    assert json.loads(VERSION.read_text()) == {"core_version": CORE_VERSION}


@pytest.mark.parametrize("name", NAMES)
def test_the_samples_are_those_of_this_core_version(name: str) -> None:
    """If this fails and the sound was meant to change: raise CORE_VERSION, then `python -m tests.goldens.make`."""
    wanted, _ = soundfile.read(golden(name))
    found = rendered(name)
    assert len(found) == len(wanted)
    assert _snr_db(found, wanted) >= LEAST_SNR_DB
