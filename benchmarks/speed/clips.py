"""Pairs of demo sounds cut to one length, the paper's 2.57 s: what times are measured on."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from benchmarks.judged_pairs import JudgedPair, JudgedSound, read_pairs
from tasks.audio.sound_files import SAMPLE_RATE

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "manifests" / "examples" / "demo.csv"
CLIP_S = 2.57
"""The paper's excerpt: 41,120 samples, 258 frames."""
PAIRS = 56
"""Pairs of two different sounds, of eight."""


def demo_pairs(limit: int, seconds: float = CLIP_S) -> list[JudgedPair]:
    """Return so many pairs of demo sounds, each the first `seconds` of its file: first those of the demo, then others.

    Raises
    ------
    ValueError
        If there are not so many pairs of different demo sounds.
    """
    listed = [_clipped(pair, seconds) for pair in _listed()]
    pairs = list(itertools.islice(itertools.chain(listed, _others(listed)), limit))
    if len(pairs) < limit:
        raise ValueError(f"limit={limit} > {len(pairs)} pairs of different demo sounds")
    return pairs


def write_corpus(folder: Path, limit: int, seconds: float = CLIP_S) -> Path:
    """Write the pairs of `demo_pairs` as a corpus: clips as FLAC at their own sampling rate, and a manifest of them.

    Returns
    -------
    Path
        The manifest. Beyond the pairs that there are, they come again with seeds of their own.

    Raises
    ------
    ValueError
        As `demo_pairs`.
    """
    known = demo_pairs(min(limit, PAIRS), seconds)
    for sound in {sound.path: sound for pair in known for sound in (pair.content, pair.style)}.values():
        rate = soundfile.info(sound.path).samplerate
        samples, _ = soundfile.read(sound.path, frames=round(seconds * rate))
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / sound.path.name, samples, rate)
    rows = [
        {
            "pair_id": f"{pair.pair_id}-{turn}",
            "content": pair.content.path.name,
            "style": pair.style.path.name,
            "seed": turn,
        }
        for turn in range(-(-limit // len(known)))
        for pair in known
    ]
    pq.write_table(pa.Table.from_pylist(rows[:limit]), folder / "pairs.parquet")
    return folder / "pairs.parquet"


@lru_cache(maxsize=1)
def _listed() -> list[JudgedPair]:
    return read_pairs(DEMO)


def _clipped(pair: JudgedPair, seconds: float) -> JudgedPair:
    return JudgedPair(pair.pair_id, _cut(pair.content, seconds), _cut(pair.style, seconds))


def _cut(sound: JudgedSound, seconds: float) -> JudgedSound:
    samples = sound.samples[: round(seconds * SAMPLE_RATE)]
    return JudgedSound(sound.path, hashlib.sha256(samples.tobytes()).hexdigest(), samples)


def _others(listed: list[JudgedPair]) -> Iterator[JudgedPair]:
    """Yield each pair of two different sounds that the demo does not list, in the order of their names."""
    sounds = {sound.path.stem: sound for pair in listed for sound in (pair.content, pair.style)}
    known = {(pair.content.path.stem, pair.style.path.stem) for pair in listed}
    for content, style in itertools.permutations(sorted(sounds), 2):
        if (content, style) not in known:
            yield JudgedPair(f"{content}-x-{style}", sounds[content], sounds[style])
