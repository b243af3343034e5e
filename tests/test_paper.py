"""The paper's two examples with the preset `paper`: what its figures show must be heard, as a user gets it.

They are measured on the sounds as they were written; docs/experiments.md (2026-11-25) has the figures themselves.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from stylecore import metrics
from stylecore.settings import preset
from tasks.audio.sound_files import read_sound
from tasks.pipeline.single import synthesise_single
from tasks.storage.storage import Storage

DEMO = Path(__file__).parent.parent / "assets" / "demo"
EXAMPLES = {"compression": ("harp_phrase", "tuning_fork_440"), "expansion": ("singing_phrase", "violin_sustained")}


@pytest.mark.parametrize("example", sorted(EXAMPLES))
def test_the_bandwidth_moves_and_the_content_stays_without_noise(example: str, tmp_path: Path) -> None:
    content_path, style_path = (str(DEMO / f"{name}.flac") for name in EXAMPLES[example])
    row = synthesise_single(content_path, style_path, str(tmp_path / "result.flac"), preset("paper"), "cpu")
    assert row["status"] == "succeeded"
    output, content, style = (
        metrics.features(read_sound(path, Storage())) for path in (str(row["output"]), content_path, style_path)
    )
    figures = metrics.compare(output, content, style, notes="style")
    bandwidth, rhythm, hnr, blips = (
        figures[name] for name in ("bandwidth_shift", "rhythm_kept", "noise_hnr_db", "blips_per_s")
    )
    assert bandwidth is not None
    assert 0.5 <= bandwidth <= 1.5
    assert rhythm is not None
    assert rhythm >= 0.85
    assert blips is not None
    assert blips <= 1
    assert hnr == pytest.approx(content.hnr_db, abs=3)
