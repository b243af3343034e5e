"""The pairs that are judged: read from a CSV, each sound once."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylecore import metrics
from tasks.audio.sound_files import SAMPLE_RATE, read_sound
from tasks.storage.storage import Storage

MAKER = "`python -m benchmarks.sound.evaluation_set` makes the evaluation set"
ROLES = ("content", "style", "truth")
GROUPS = ("kind", "soundfont")


class PairsError(Exception):
    """The list of pairs cannot be used; the message names file and row."""


@dataclass(frozen=True)
class JudgedSound:
    """A sound with its identity; its features are measured once, when first needed."""

    path: Path
    sha256: str
    samples: NDArray[np.float32] = field(repr=False)

    @property
    def seconds(self) -> float:
        """Length in s."""
        return len(self.samples) / SAMPLE_RATE

    @cached_property
    def features(self) -> metrics.SoundFeatures:
        """What the figures need to know of it."""
        return metrics.features(self.samples)


@dataclass(frozen=True)
class JudgedPair:
    """A content and a style under a name; where it is known, the right answer, and in which groups the pair counts."""

    pair_id: str
    content: JudgedSound
    style: JudgedSound
    truth: JudgedSound | None = None
    groups: tuple[str, ...] = ()


def read_pairs(path: Path, maker: str = MAKER) -> list[JudgedPair]:
    """Return the pairs of a CSV with the columns content and style; paths start from its folder.

    The columns pair_id, truth (a third sound), kind and soundfont (groups of pairs) may be there besides. `maker` says
    what makes the CSV, should it be missing.

    Raises
    ------
    PairsError
        If the CSV or a column is missing, it has no rows, or two pairs share a name.
    AudioError
        If a sound cannot be used.
    """
    if not path.is_file():
        raise PairsError(f"{path}: no such file; {maker}")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"content", "style"} <= rows[0].keys():
        raise PairsError(f"{path}: needs the columns content and style, and at least one pair")
    names = [row.get("pair_id") or f"{Path(row['content']).stem}-x-{Path(row['style']).stem}" for row in rows]
    if twice := {name for name in names if names.count(name) > 1}:
        raise PairsError(f"{path}: more than one pair is named {', '.join(sorted(twice))}")
    if unsafe := [name for name in names if Path(name).name != name]:
        raise PairsError(f"{path}: pair_id={unsafe[0]!r} names no file: leave out the slashes")
    sounds = _read({path.parent / row[role] for row in rows for role in ROLES if row.get(role)})
    return [_pair(name, row, sounds, path.parent) for name, row in zip(names, rows, strict=True)]


def _pair(name: str, row: Mapping[str, str], sounds: Mapping[Path, JudgedSound], folder: Path) -> JudgedPair:
    content, style, truth = (sounds[folder / row[role]] if row.get(role) else None for role in ROLES)
    if content is None or style is None:
        raise PairsError(f"{name}: needs a content and a style")
    return JudgedPair(name, content, style, truth, tuple(row[column] for column in GROUPS if row.get(column)))


def all_sounds(pairs: Sequence[JudgedPair]) -> list[JudgedSound]:
    """Return every content and style once, in an order that depends on their bytes alone."""
    by_identity = {sound.sha256: sound for pair in pairs for sound in (pair.content, pair.style)}
    return [by_identity[identity] for identity in sorted(by_identity)]


def _read(paths: set[Path]) -> dict[Path, JudgedSound]:
    files = Storage()
    read = {}
    for path in paths:
        samples = read_sound(str(path.resolve()), files)
        read[path] = JudgedSound(path, hashlib.sha256(path.read_bytes()).hexdigest(), samples)
    return read
