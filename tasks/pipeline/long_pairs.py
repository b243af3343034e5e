"""Compute a pair whose content is long: segment by segment, in batches like pairs, and joined into one file.

Memory holds one batch of segments, and two of them while they are joined, however long the content is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from tasks.audio.decoding import DecodedContent, ResultForm, content_of
from tasks.audio.encoding import FORMATS, encode_into
from tasks.audio.excerpts import Excerpt
from tasks.audio.sound_errors import AudioError
from tasks.audio.sound_files import pcm_of, quantised, unpacked_planned
from tasks.audio.unpacking import UnpackedSound
from tasks.cache import ByteLimitedCache
from tasks.interruption import raise_if_stopping
from tasks.pair_state import PairState, PlannedPair, Tags
from tasks.pipeline.inputs import read_pair, readable_content, reason_kept, result_form
from tasks.pipeline.joining import SegmentSound, joined
from tasks.pipeline.segment_means import measurement_of, rendered_of
from tasks.pipeline.segment_store import ComputedSegment, SegmentStore
from tasks.pipeline.segments import Segment, planned_segment, segments_of
from tasks.progress import PROGRESS
from tasks.storage.storage import Storage

LARGEST_WAV_BYTES = 0xFFFFFFFF - (1 << 16)
"""What the length field of a WAV file holds, with room for its other chunks."""

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class LongPairs:
    """Computes long pairs.

    Attributes
    ----------
    synthesise : callable
        Gives each of some pairs its `rendered`, or the reason why it has none; what it returns does not count.
    measure : callable
        Gives each rendered pair its `measurement`, or the reason why it has none.
    batch_size : int
        Most segments at a time.
    files : Storage
        Local and S3 storage.
    sounds : ByteLimitedCache
        Of decoded sounds.
    root : str
        The output root, where segments wait for the others.
    """

    synthesise: Callable[[Sequence[PairState]], object]
    measure: Callable[[Sequence[PairState]], None]
    batch_size: int
    files: Storage
    sounds: ByteLimitedCache
    root: str

    def compute(self, planned: PlannedPair, target: Path) -> PairState:
        """Return a long pair with its measurement, whose audio is in the file `target`, or with the reason for none.

        Raises
        ------
        Interrupted
            If the run is asked to stop: what is computed so far is kept.
        StorageError
            If a segment cannot be kept, or the storage stays away.
        """
        outcome = PairState(planned)
        with ExitStack() as held:
            with reason_kept(outcome):
                uri, identity, excerpt = readable_content(outcome, self.files)
                content = held.enter_context(unpacked_planned(uri, self.files, identity, excerpt))
            computed = [] if outcome.failed else self._segments(outcome, content)
            if not outcome.failed:
                with reason_kept(outcome):
                    self._join(outcome, content, computed, target)
        return outcome

    def _segments(self, outcome: PairState, content: UnpackedSound) -> list[ComputedSegment]:
        """Return the segments, those that are not there yet computed; a failed one fails the pair."""
        store = self._store(outcome)
        segments = segments_of(content.duration_s)
        missing = [one for one in segments if one not in store.computed]
        PROGRESS.plan_segments(len(missing))
        for start in range(0, len(missing), self.batch_size):
            batch = missing[start : start + self.batch_size]
            pairs = [self._read(outcome.planned, one, content) for one in batch]
            for one, pair in self._computed(outcome, batch, pairs):
                store.add(one, pair.measurement)
                PROGRESS.count_segment()
            if outcome.failed:
                PROGRESS.plan_segments(-len(missing[start:]))
                return []
        return [store.computed[one] for one in segments]

    def _read(self, planned: PlannedPair, segment: Segment, content: UnpackedSound) -> PairState:
        def from_unpacked(pair: PairState, rate: int, form: ResultForm) -> DecodedContent:
            channels = content.samples(*segment.samples(content.sample_rate, content.n_samples))
            excerpt = Excerpt(*pair.settings.excerpt("content"))
            return content_of(channels, content.sample_rate, rate, form, str(planned["content"]), excerpt)

        return read_pair(planned_segment(planned, segment), self.files, self.sounds, from_unpacked)

    def _computed(
        self, outcome: PairState, batch: Sequence[Segment], pairs: Sequence[PairState]
    ) -> Iterator[tuple[ComputedSegment, PairState]]:
        """Give the segments of a batch once they are computed, up to the first that fails."""
        sounding = [pair for pair in pairs if not _is_silent(pair)]
        if sounding:
            self.synthesise(sounding)
            self.measure(sounding)
        for segment, pair in zip(batch, pairs, strict=True):
            if _is_silent(pair):
                yield ComputedSegment(segment), pair
            elif pair.failed:
                outcome.fail(str(pair.error_type), str(pair.error_message))
                return
            else:
                yield ComputedSegment.of(segment, pair), pair

    def _join(
        self, outcome: PairState, content: UnpackedSound, computed: Sequence[ComputedSegment], target: Path
    ) -> None:
        sounding = [one for one in computed if one.file_sha256 is not None]
        if not sounding:
            raise AudioError(
                "silent", f"'{outcome.planned['content']}' is silent in all of its {len(computed)} segments"
            )
        form, store = result_form(outcome), self._store(outcome)
        channels = store.samples(sounding[0]).shape[1]
        n_samples = form.length(content.n_samples, content.sample_rate)
        parts = [
            SegmentSound(one.segment, partial(_loaded, store, one, form.sample_rate, channels), one.level)
            for one in computed
        ]
        with target.open("w+b") as file:
            digest = _written(file, joined(parts, form.sample_rate, n_samples), form.sample_rate, channels, outcome)
        outcome.rendered = rendered_of(sounding)
        outcome.measurement = measurement_of(sounding, target, digest, form.sample_rate, n_samples, channels)
        for one in sounding:
            for stage in ("read", "optimise", "phase"):
                outcome.take_time(stage, one.seconds.get(stage, 0.0))

    def _store(self, outcome: PairState) -> SegmentStore:
        return SegmentStore(self.files, self.root, str(outcome.planned["fingerprint"]))


def _is_silent(pair: PairState) -> bool:
    """Return whether the content of a segment is silence; a style that is fails the pair."""
    return pair.error_type == "silent" and pair.content is None


def _loaded(store: SegmentStore, one: ComputedSegment, sample_rate: int, channels: int) -> Samples:
    raise_if_stopping()  # an hour takes minutes to join; what is computed stays
    if one.file_sha256 is None:
        length = round(one.segment.end_s * sample_rate) - round(one.segment.start_s * sample_rate)
        return np.zeros((length, channels), dtype=np.float32)
    return store.samples(one)


def _written(file: BinaryIO, blocks: Iterator[Samples], sample_rate: int, channels: int, outcome: PairState) -> str:
    """Write the whole, and return the sha256 of its samples as they are read again.

    Raises
    ------
    AudioError
        Type `too_long` if it does not fit into the format.
    ValueError
        If a file without loss does not give back the very samples.
    """
    name, given = outcome.settings.file_format, hashlib.sha256()
    form = FORMATS[name]

    def hashed() -> Iterator[Samples]:
        written = 0
        for block in blocks:
            written += block.size * (4 if form.subtype == "FLOAT" else 3)
            if form.container == "WAV" and written > LARGEST_WAV_BYTES:
                raise AudioError("too_long", "the result does not fit into a WAV file (4 GiB): choose file_format=flac")
            exact = quantised(block)
            given.update(pcm_of(exact).astype("<i4").tobytes())
            yield exact

    encode_into(file, hashed(), sample_rate, channels, name, Tags.of(outcome.planned))
    file.seek(0)
    back = hashlib.sha256()
    for block in soundfile.blocks(file, 1 << 18, dtype="float32", always_2d=True):
        raise_if_stopping()
        back.update(pcm_of(block.clip(-1, 1)).astype("<i4").tobytes())
    if form.is_lossless and back.digest() != given.digest():
        raise ValueError(f"{name} gave back other samples than were written")
    return back.hexdigest()
