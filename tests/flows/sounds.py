"""Half-second cuts of the demo sounds, and manifests over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

DEMO = Path(__file__).parents[2] / "assets" / "demo"
QUICK = {"coarse_iterations": 3, "iterations": 5, "sound_iterations": 3, "griffin_lim_iterations": 5}
CONTENTS = ("harp_phrase", "flute_phrase")
STYLES = ("violin_sustained", "glass_rub")
ALONE_S = 0.9
"""Where a shard holds a second of audio, each content of this length has one of its own."""


def cut_sounds(folder: Path, duration_s: float = 0.4) -> None:
    """Write `content/<name>.wav` and `style/<name>.wav`, cut from the demo sounds, and a file that is not audio."""
    for side, names in (("content", CONTENTS), ("style", STYLES)):
        (folder / side).mkdir(parents=True)
        for name in names:
            samples, rate = soundfile.read(DEMO / f"{name}.flac", frames=int(duration_s * 44_100), start=8_000)
            soundfile.write(folder / side / f"{name}.wav", samples, rate)
    (folder / "not_audio.wav").write_text("no sound at all")


def pair(content: str = "harp_phrase", style: str = "violin_sustained", **own: object) -> dict[str, object]:
    """Return a row of a manifest beside `content/` and `style/`; a name with a dot is taken as it is."""
    return {
        "content": content if "." in content else f"content/{content}.wav",
        "style": f"style/{style}.wav",
        **own,
    }


def write_manifest(path: Path, rows: Sequence[Mapping[str, object]]) -> str:
    """Write a manifest and return its path as a user types it."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return str(path)


def write_quick_and_slow(folder: Path, iterations: int = 400) -> str:
    """Write a manifest of a pair that is soon committed, and of one that takes so many iterations, beside `style/`.

    Each is a shard of its own if shards hold a second of audio.
    """
    counts = {"quick": 1, "slow": iterations}
    for name in counts:
        samples, rate = soundfile.read(DEMO / "drum_loop.flac")
        soundfile.write(folder / "content" / f"{name}.wav", np.resize(samples, int(ALONE_S * rate)), rate)
    rows = [pair(name, pair_id=name, iterations=count) for name, count in counts.items()]
    return write_manifest(folder / "m.parquet", rows)
