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

WINDOW = 256
"""Samples in a row by which a copy is recognised."""
COMPARED = np.random.default_rng(0).permuted(np.tile(np.arange(WINDOW), (63, 1)), axis=1)[:, :2]
"""Places in a window that are compared, `[63, 2]`: which of the two samples is higher does not depend on loudness."""
ROUNDING = 1.0
"""Root mean square, in steps of 16 bits, by which a copy may miss its original made as loud: both were rounded."""
PROBES = 100
SHARED = 0.05
"""A recording is shared if this part of its probes occurs in the other soundfont."""
QUIETEST = 500
"""Peak below which a window tells nothing: rounding is no longer small."""
BLOCK = 2_000_000
CANDIDATES = 20_000

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
    """Return the programs that play, in either soundfont, a recording which the other has as well, as loud or not."""
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
    """Return which recordings occur in other waveforms, as loud or not: more than a few of their probes do."""
    owner, probes = _probes(soundfont)
    if not len(probes):
        return frozenset()
    known, original, which = np.unique(_keys(probes), return_index=True, return_inverse=True)
    met = np.zeros(len(known), dtype=bool)
    for start in range(0, len(others) - WINDOW + 1, BLOCK):
        windows = np.lib.stride_tricks.sliding_window_view(others[start : start + BLOCK + WINDOW - 1], WINDOW)
        keys = _keys(windows)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        candidates = np.flatnonzero(known[place] == keys)
        candidates = candidates[:: len(candidates) // CANDIDATES + 1]
        copies = _are_copies(windows[candidates], probes[original[place[candidates]]])
        met[place[candidates[copies]]] = True
    count = len(soundfont.samples)
    asked, hits = np.bincount(owner, minlength=count), np.bincount(owner[met[which]], minlength=count)
    return frozenset(np.flatnonzero((asked > 0) & (hits >= SHARED * asked)).tolist())


def _probes(soundfont: Soundfont) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Return recordings `[P]` and windows `[P, 256]` spread over each."""
    owners, probes = [np.zeros(0, np.int64)], [np.zeros((0, WINDOW), np.int16)]
    for number, (start, end) in enumerate(soundfont.samples.astype(np.int64)):
        if end - start < 2 * WINDOW:
            continue
        places = np.linspace(start, end - WINDOW, PROBES).astype(np.int64)
        windows = soundfont.waveforms[places[:, None] + np.arange(WINDOW)]
        telling = windows[np.abs(windows.astype(np.int32)).max(1) > QUIETEST]
        probes.append(telling)
        owners.append(np.full(len(telling), number))
    return np.concatenate(owners), np.concatenate(probes)


def _keys(windows: NDArray[np.int16]) -> NDArray[np.uint64]:
    """Return 63 comparisons within each window `[N, 256]`, one bit each, `[N]` (BRIEF, Calonder et al. 2010)."""
    keys = np.zeros(len(windows), dtype=np.uint64)
    for one, other in COMPARED:
        keys = 2 * keys + (windows[:, one] > windows[:, other])
    return keys


def _are_copies(windows: NDArray[np.int16], originals: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return which windows `[N, 256]` are their originals but for loudness, an offset and rounding, `[N]`."""
    one, other = (part - part.mean(1, keepdims=True) for part in (windows.astype(np.float32), originals))
    gain = (one * other).sum(1) / np.maximum((one * one).sum(1), 1.0)
    missed = np.sqrt(np.square(other - gain[:, None] * one).mean(1))
    return (gain > 0.0) & (missed < ROUNDING * np.maximum(1.0, gain))
