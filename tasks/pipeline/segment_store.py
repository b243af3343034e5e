"""The computed segments of a long pair, kept in the output root until the whole is committed: a kill loses few."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256

import numpy as np
import soundfile
from numpy.typing import NDArray

from manifests.files import Files, join
from manifests.results.layout import segments_folder
from tasks.pair_state import Measurement, PairState, PlannedPair
from tasks.pipeline.segments import Segment


@dataclass(frozen=True)
class ComputedSegment:
    """What is known of a segment beside its samples, which lie in a FLAC file of that sha256; None: it is silent.

    `level` is the RMS of its samples over that of its content, None for silence; the others are as in
    `tasks.pair_state.Rendered` and `Measurement`.
    """

    segment: Segment
    file_sha256: str | None = None
    level: float | None = None
    gain: float = 1.0
    figures: Mapping[str, float | None] = field(default_factory=dict)
    first_terms: Mapping[str, float] = field(default_factory=dict)
    heard_terms: Mapping[str, float] = field(default_factory=dict)
    loss_curve: tuple[float, ...] = ()
    evaluations: int = 0
    stop_reason: str = ""
    convergence_db: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, segment: Segment, outcome: PairState) -> ComputedSegment:
        """Return what is known of a segment that was rendered and measured."""
        rendered, measured, space = outcome.rendered, outcome.measurement, outcome.space
        assert rendered is not None
        assert measured is not None
        assert space is not None
        assert outcome.content is not None
        assert isinstance(measured.audio, bytes)
        content = outcome.content if space.channels is None else space.channels
        return cls(
            segment,
            measured.file_sha256,
            _rms(samples_of(measured.audio)) / _rms(content) or None,
            rendered.gain * measured.gain,
            measured.figures,
            rendered.first_terms,
            rendered.heard_terms,
            tuple(rendered.loss_curve),
            rendered.evaluations,
            rendered.stop_reason,
            rendered.convergence_db,
            {**outcome.seconds, **measured.seconds},
        )


class SegmentStore:
    """Segments of one fingerprint, each in two files: its samples, and then what is known of it.

    Parameters
    ----------
    files : Files
        The file system.
    root, fingerprint : str
        Output root and long pair.
    """

    def __init__(self, files: Files, root: str, fingerprint: str) -> None:
        self._files, self._folder = files, segments_folder(root, fingerprint)

    @cached_property
    def computed(self) -> dict[Segment, ComputedSegment]:
        """The segments so far. What a killed run has left counts if it is whole."""
        return {one.segment: one for uri in self._files.find(self._folder) if (one := self._read(uri)) is not None}

    def add(self, computed: ComputedSegment, measured: Measurement | None) -> None:
        """Keep a segment; one that is silent has no measurement."""
        if measured is not None:
            assert isinstance(measured.audio, bytes)
            with self._files.writing(self._audio_uri(computed)) as sink:
                sink.write(measured.audio)
        with self._files.writing(join(self._folder, f"{computed.segment.number:05d}.json")) as sink:
            sink.write(json.dumps({**asdict(computed), "segment": list(computed.segment)}).encode())
        self.computed[computed.segment] = computed

    def samples(self, computed: ComputedSegment) -> NDArray[np.float32]:
        """Return the samples of a segment that is not silent, `[N, channels]`."""
        return samples_of(self._files.read(self._audio_uri(computed)))

    def clear(self) -> None:
        """Remove the files."""
        for uri in self._files.find(self._folder):
            with suppress(FileNotFoundError):  # by another worker of the run
                self._files.delete(uri)

    def _audio_uri(self, computed: ComputedSegment) -> str:
        return join(self._folder, f"{computed.segment.number:05d}-{str(computed.file_sha256)[:8]}.flac")

    def _read(self, uri: str) -> ComputedSegment | None:
        if not uri.endswith(".json"):
            return None
        try:
            values = json.loads(self._files.read(uri))
            one = ComputedSegment(**{**values, "segment": Segment(*values["segment"])})
        except (ValueError, TypeError, KeyError):  # of another release
            return None
        if one.file_sha256 is None:
            return one
        try:
            audio = self._files.read(self._audio_uri(one))
        except FileNotFoundError:
            return None
        return one if sha256(audio).hexdigest() == one.file_sha256 else None


def samples_of(flac: bytes) -> NDArray[np.float32]:
    """Return the samples of a file, `[N, channels]`."""
    samples: NDArray[np.float32] = soundfile.read(io.BytesIO(flac), dtype="float32", always_2d=True)[0]
    return samples


def clear_segments(files: Files, root: str, committed: Iterable[PlannedPair]) -> None:
    """Remove the segments of pairs that are committed."""
    for pair in committed:
        SegmentStore(files, root, str(pair["fingerprint"])).clear()


def _rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
