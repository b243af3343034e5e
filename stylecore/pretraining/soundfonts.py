"""Read what a soundfont (SF2) contains: which programs, and which recordings each of them plays.

Soundfonts are often made from one another. A network that is tested on recordings it was trained on shows nothing, so
the programs of a training soundfont that share a recording with the final test's are left out (`shared_programs`).

Source: SoundFont Technical Specification 2.04, sections 4 to 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stylecore.errors import DependencyError

INSTRUMENT, SAMPLE = 41, 53
"""Generators that name an instrument (in a preset) and a sample (in an instrument)."""

RUN = 12
"""Equal samples in a row by which a copy is recognised."""
PROBES = 100
SHARED = 0.05
"""A recording is shared if this part of its probes occurs in the other soundfont."""
BLOCK = 4_000_000

_PRESET = np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")])
_INSTRUMENT = np.dtype([("name", "S20"), ("bag", "<u2")])
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_GENERATOR = np.dtype([("kind", "<u2"), ("amount", "<u2")])
_SAMPLE = np.dtype([("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("rest", "V18")])


@dataclass(frozen=True)
class Soundfont:
    """A soundfont's recordings: `waveforms` `[N]` of all, `samples` their bounds, `programs` those of bank 0."""

    waveforms: NDArray[np.int16]
    samples: NDArray[np.uint32]
    programs: dict[int, frozenset[int]]


def read_soundfont(path: Path) -> Soundfont:
    """Read an SF2 file; waveforms stay on disk until they are looked at.

    Raises
    ------
    DependencyError
        If it is no SF2 file.
    """
    content = np.memmap(path, dtype=np.uint8, mode="r") if path.stat().st_size else np.zeros(0, np.uint8)
    if content[:4].tobytes() != b"RIFF" or content[8:12].tobytes() != b"sfbk":
        raise DependencyError(f"{path} is not a soundfont (SF2): name one with --soundfont")
    chunks = dict(_chunks(content))
    if missing := [
        name for name in ("smpl", "phdr", "pbag", "pgen", "inst", "ibag", "igen", "shdr") if name not in chunks
    ]:
        raise DependencyError(f"{path} is not a whole soundfont (SF2): it lacks {', '.join(missing)}")
    instruments = chunks["inst"].view(_INSTRUMENT)["bag"]
    of_instrument = _named(instruments, chunks["ibag"].view(_BAG), chunks["igen"].view(_GENERATOR), SAMPLE)
    presets = chunks["phdr"].view(_PRESET)
    of_preset = _named(presets["bag"], chunks["pbag"].view(_BAG), chunks["pgen"].view(_GENERATOR), INSTRUMENT)
    programs = {
        int(preset["program"]): frozenset().union(*(of_instrument[i] for i in played))
        for preset, played in zip(presets[:-1], of_preset, strict=True)
        if preset["bank"] == 0
    }
    headers = chunks["shdr"].view(_SAMPLE)[:-1]
    bounds = np.stack([headers["start"], headers["end"]], axis=1)
    return Soundfont(chunks["smpl"].view("<i2"), bounds, programs)


def shared_programs(one: Soundfont, other: Soundfont) -> frozenset[int]:
    """Return the programs that play, in either soundfont, a recording which is sample by sample also in the other."""
    return _sharing(one, other) | _sharing(other, one)


def _sharing(one: Soundfont, other: Soundfont) -> frozenset[int]:
    shared = _shared_samples(one, other.waveforms)
    return frozenset(program for program, samples in one.programs.items() if samples & shared)


def _chunks(content: NDArray[np.uint8], start: int = 12) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield the name and the bytes of each chunk, of those within lists too."""
    while start + 8 <= len(content):
        name = content[start : start + 4].tobytes().decode("latin-1")
        end = start + 8 + int.from_bytes(content[start + 4 : start + 8].tobytes(), "little")
        if name == "LIST":
            yield from _chunks(content[:end], start + 12)
        else:
            yield name, content[start + 8 : end]
        start = end + end % 2


def _named(bags: NDArray, zones: NDArray, generators: NDArray, kind: int) -> list[frozenset[int]]:
    """Return what the generators of one kind name, for each item whose zones begin where `bags` says."""
    first = zones["generator"][bags]
    named = [generators[start:stop] for start, stop in pairwise(first)]
    return [frozenset(part["amount"][part["kind"] == kind].tolist()) for part in named]


def _shared_samples(soundfont: Soundfont, others: NDArray[np.int16]) -> frozenset[int]:
    """Return which recordings occur in other waveforms: more than a few of their probes do."""
    owner, probes = _probes(soundfont)
    if not len(probes):
        return frozenset()
    known, which = np.unique(probes, return_inverse=True)
    met = np.zeros(len(known), dtype=bool)
    for start in range(0, len(others), BLOCK):
        keys = _keys(others[start : start + BLOCK + RUN - 1])
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        met[place[known[place] == keys]] = True
    count = len(soundfont.samples)
    asked, hits = np.bincount(owner, minlength=count), np.bincount(owner[met[which]], minlength=count)
    return frozenset(np.flatnonzero((asked > 0) & (hits >= SHARED * asked)).tolist())


def _probes(soundfont: Soundfont) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Return recordings and the keys of runs spread over each; runs that are almost silence tell nothing."""
    owners, probes = [], []
    for number, (start, end) in enumerate(soundfont.samples.astype(np.int64)):
        if end - start <= 10 * RUN:
            continue
        places = np.linspace(start, end - RUN, PROBES).astype(np.int64)
        runs = soundfont.waveforms[places[:, None] + np.arange(RUN)]
        telling = [run for run in runs if len(set(run.tolist())) >= RUN - 2 and np.abs(run.astype(int)).max() > 60]
        probes += [int(_keys(run)[0]) for run in telling]
        owners += [number] * len(telling)
    return np.array(owners, dtype=np.int64), np.array(probes, dtype=np.uint64)


def _keys(waveform: NDArray[np.int16]) -> NDArray[np.uint64]:
    """Return a hash of every run of twelve samples, `[N - 11]`."""
    values, count = waveform.astype(np.int64).view(np.uint64), len(waveform) - RUN + 1
    keys = np.zeros(max(0, count), dtype=np.uint64)
    for place in range(RUN if count > 0 else 0):
        keys = keys * np.uint64(6364136223846793005) + values[place : place + count]
    return keys
