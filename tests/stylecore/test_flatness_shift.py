"""The figure of the spectral flatness."""

from __future__ import annotations

import numpy as np
import pytest

from stylecore.metrics import figures


def test_it_is_none_of_the_way_at_the_content_and_all_of_it_at_the_style() -> None:
    tone, noise = np.sin(np.arange(8_000) / 4), np.random.default_rng(0).standard_normal(8_000)
    assert figures(tone, tone, noise)["flatness_shift"] == pytest.approx(0.0)
    assert figures(noise, tone, noise)["flatness_shift"] == pytest.approx(1.0)
