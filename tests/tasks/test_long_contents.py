"""Contents that are computed in segments: nothing is heard of a seam, nothing is lost by a kill, memory is bounded."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from flows.progress_display import segments_text
from manifests.files import join
from stylecore import metrics
from stylecore.errors import Interrupted
from tasks.audio.excerpts import WHOLE, Excerpt
from tasks.audio.lengths import ANY_LENGTH_S, LONGEST_S
from tasks.audio.sandbox import DECODERS
from tasks.audio.sound_errors import AudioError
from tasks.audio.sound_files import probe_identified, read_planned, read_sound, unpacked_planned
from tasks.audio.streams import samples_of
from tasks.audio.unpacking import unpack
from tasks.cache import ByteLimitedCache
from tasks.devices.executors import SynthesisRequest
from tasks.interruption import clear_stop, request_stop
from tasks.ledger.gc import collect
from tasks.ledger.lease import lease_uri
from tasks.pair_state import Measurement, PairState, PlannedPair
from tasks.pipeline import segments
from tasks.pipeline.joining import PEAK_LIMIT, SegmentSound, joined
from tasks.pipeline.long_pairs import LongPairs
from tasks.pipeline.segment_means import measurement_of, rendered_of
from tasks.pipeline.segment_store import ComputedSegment, SegmentStore
from tasks.pipeline.segments import MOST_S, OVERLAP_S, Segment, segments_of
from tasks.progress import PROGRESS
from tasks.storage.storage import Storage
from tasks.workers.protocol import ChildError
from tests.tasks import corpus
from tests.tasks.corpus import HERE, run_all, write_cut, write_manifest
from tests.tasks.sound_bytes import encoded

RATE = 16_000
FILES = Storage()
Samples = NDArray[np.floating[Any]]


def tone(begin_s: float, duration_s: float) -> Samples:
    """Return a part of a steady tone with partials that are not in tune, `[N, 1]`."""
    time_s = begin_s + np.arange(round(duration_s * RATE)) / RATE
    return 0.1 * sum(np.sin(2 * np.pi * 220.0 * k**1.02 * time_s) / k for k in range(1, 8))[:, None]


def noise(begin_s: float, duration_s: float) -> Samples:
    """Return steady noise `[N, 1]`, another one wherever it begins."""
    return 0.1 * np.random.default_rng(round(begin_s)).standard_normal((round(duration_s * RATE), 1))


def cut(
    make: Callable[[float, float], Samples], duration_s: float, level: Sequence[float] = (1.0,)
) -> list[SegmentSound]:
    """Return the parts of a sound, as a computation might give them: none goes on as the one before it ends."""

    def sound_of(one: Segment, gain: float) -> SegmentSound:
        late_s = 0.0013 * one.number
        sound = gain * make(one.start_s + late_s, one.end_s - one.start_s)
        return SegmentSound(one, lambda: sound.astype(np.float32), gain)

    return [sound_of(one, level[one.number % len(level)]) for one in segments_of(duration_s)]


def whole(parts: Sequence[SegmentSound], duration_s: float) -> NDArray[np.float32]:
    return np.concatenate(list(joined(parts, RATE, round(duration_s * RATE))))


def levels_db(sound: Samples, around_s: float) -> Samples:
    """Return the RMS in windows of 200 ms around a time, dB."""
    begins = [round((around_s + shift) * RATE) for shift in np.arange(-0.8, 0.8, 0.05)]
    return np.array([10 * np.log10(np.mean(np.square(sound[at : at + RATE // 5]))) for at in begins])


class TestSegments:
    @pytest.mark.parametrize("duration_s", [LONGEST_S + 0.01, 47.0, 47.003, 300.0, 3600.5])
    def test_they_cover_all_of_the_content_and_overlap(self, duration_s: float) -> None:
        found = segments_of(duration_s)
        assert (found[0].start_s, found[-1].end_s) == (0.0, duration_s)
        for one, other in pairwise(found):
            assert one.end_s - other.start_s == pytest.approx(OVERLAP_S)
        assert all(MOST_S / 2 < one.end_s - one.start_s <= MOST_S + 0.01 for one in found)

    def test_they_begin_at_whole_frames(self) -> None:
        assert all((one.start_s * 100) == pytest.approx(round(one.start_s * 100)) for one in segments_of(1234.567))


class TestJoining:
    @pytest.mark.parametrize(("make", "duration_s"), [(tone, 61.0), (noise, 61.0), (tone, 60.007)])
    def test_what_is_steady_stays_steady(self, make: Callable[[float, float], Samples], duration_s: float) -> None:
        parts = cut(make, duration_s)
        sound = whole(parts, duration_s)
        assert sound.shape == (round(duration_s * RATE), 1)
        for part in parts[1:]:
            assert np.ptp(levels_db(sound, part.segment.start_s + OVERLAP_S / 2)) < 0.5

    def test_nothing_clicks(self) -> None:
        sound = whole(cut(tone, 61.0), 61.0)
        bends = np.abs(np.diff(sound[:, 0], 2))
        assert bends.max() < 1.05 * np.abs(np.diff(tone(0, 5)[:, 0], 2)).max()

    def test_a_part_that_had_less_room_lowers_all_alike(self) -> None:
        sound = whole(cut(tone, 61.0, level=(1.0, 0.5, 0.8)), 61.0)
        steady = [np.sqrt(np.mean(np.square(sound[at * RATE : (at + 3) * RATE]))) for at in range(0, 58, 3)]
        np.testing.assert_allclose(steady, 0.5 * np.sqrt(np.mean(np.square(tone(0, 3)))), rtol=0.02)

    def test_no_crossfade_passes_the_peak_of_a_result(self) -> None:
        loud = [replace(part, load=lambda load=part.load: 4 * load(), level=None) for part in cut(noise, 61.0)]
        assert np.abs(whole(loud, 61.0)).max() <= PEAK_LIMIT * 1.0001

    def test_channels_move_as_one(self) -> None:
        parts = [replace(part, load=lambda load=part.load: np.hstack([load(), -load()])) for part in cut(tone, 40.0)]
        sound = whole(parts, 40.0)
        np.testing.assert_array_equal(sound[:, 0], -sound[:, 1])

    def test_silence_stays_silence(self) -> None:
        parts = [replace(part, load=lambda load=part.load: 0 * load(), level=None) for part in cut(tone, 50.0)]
        assert not whole(parts, 50.0).any()


class TestUnpacking:
    @pytest.mark.parametrize(
        ("form", "subtype"),
        [("WAV", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III")],
    )
    @pytest.mark.parametrize("excerpt", [WHOLE, Excerpt(2.5, 35.0)])
    def test_the_samples_are_those_of_the_file(self, tmp_path: Path, form: str, subtype: str, excerpt: Excerpt) -> None:
        data = encoded(np.hstack([noise(0, 36), tone(0, 36)])[: 36 * 8_000], form, subtype, 8_000)
        sound = unpack(data, "a", excerpt, str(tmp_path / "plain"))
        first, last = (20 * 8_000, 22 * 8_000)
        begin = excerpt.samples(8_000)[0]
        wanted, rate = samples_of(data, "a", Excerpt((first + begin) / 8_000, (last + begin) / 8_000))
        assert (sound.sample_rate, sound.channels) == (rate, 2)
        np.testing.assert_array_equal(sound.samples(first, last), wanted)
        assert (tmp_path / "plain").stat().st_size == sound.n_samples * 8

    def test_a_damaged_end_shows_before_anything_is_computed(self, tmp_path: Path) -> None:
        data = encoded(noise(0, 36), "FLAC", "PCM_16", RATE)
        with pytest.raises(AudioError, match=r"damaged|ends early"):
            unpack(data[: len(data) * 2 // 3], "a.flac", WHOLE, str(tmp_path / "plain"))

    def test_an_hour_is_the_most(self, tmp_path: Path) -> None:
        data = encoded(np.zeros((3_601 * 1_000, 1)), "FLAC", "PCM_16", 1_000)
        with pytest.raises(AudioError, match="1 s more than 3600 s"):
            unpack(data, "a.flac", WHOLE, str(tmp_path / "plain"))

    def test_the_file_goes_with_the_block(self, tmp_path: Path) -> None:
        path = str(tmp_path / "a.wav")
        soundfile.write(path, tone(0, 31), RATE)
        with unpacked_planned(path, FILES, probe_identified(path, FILES, ANY_LENGTH_S)[1]) as unpacked:
            assert Path(unpacked.path).exists()
        assert not Path(unpacked.path).exists()


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call long what is longer than a second, and cut it into segments of two."""
    monkeypatch.setattr(segments, "LONGEST_S", 1.0)
    monkeypatch.setattr(segments, "MOST_S", 2.0)


@pytest.fixture
def manifest(tmp_path: Path, short_segments: None) -> str:
    """Return a manifest of a long content, in two channels and silent in between, a silent one and a short one."""
    sound = np.resize(corpus.cut("harp_phrase", 2.0)[0], 5 * 22_050)
    sound[33_000:80_000] = 0
    soundfile.write(tmp_path / "long.wav", np.stack([sound, 0.5 * sound], axis=1), 22_050)
    soundfile.write(tmp_path / "silent.wav", np.zeros(3 * 16_000), 16_000)
    write_cut(tmp_path / "short.wav", "tuning_fork_440")
    rows = [{"content": f"{name}.wav", "style": "short.wav", "pair_id": name} for name in ("long", "silent", "short")]
    return write_manifest(tmp_path / "pairs.parquet", rows)


def figures_of(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the figures of a result that is measured as a whole."""
    sounds = [soundfile.read(row[name]) for name in ("output", "content", "style")]
    features = [metrics.features(soxr.resample(sound, rate, RATE)) for sound, rate in sounds]
    return metrics.compare(*features, notes="content")


@dataclass
class LongComputation:
    """A long pair whose computation is interrupted, and goes on."""

    planned: PlannedPair
    root: str
    computed: list[object] = field(default_factory=list)

    def go_on(self, until: int | None = None) -> Measurement | None:
        """Compute until so many segments are done, or to the end; return the measurement of the whole."""

        def synthesise(outcomes: Sequence[PairState]) -> str:
            if len(self.computed) == until:
                raise Interrupted("stopped")
            self.computed.append(outcomes[0].settings.excerpt("content"))
            HERE.synthesise(SynthesisRequest(outcomes, "cpu", 1, 0), HERE.devices.all[0])
            return "cpu"

        pairs = LongPairs(synthesise, HERE.measure, 1, FILES, ByteLimitedCache(0), self.root)
        try:
            return pairs.compute(self.planned, Path(self.root) / "whole").measurement
        except Interrupted:
            return None


@pytest.fixture
def interrupted(manifest: str, tmp_path: Path) -> LongComputation:
    root = tmp_path / "out"
    root.mkdir()
    (planned,) = [pair for pair in corpus.planned(manifest, root)[0] if pair["pair_id"] == "long"]
    return LongComputation(planned, str(root))


class TestRuns:
    def test_one_result_of_the_whole(self, manifest: str, tmp_path: Path) -> None:
        finished = run_all(manifest, tmp_path / "out")
        row = finished.row("long")
        assert (row["status"], row["n_samples"], row["n_channels"]) == ("succeeded", 5 * 16_000, 2)
        sound, rate = soundfile.read(row["output"])
        assert (rate, sound.shape) == (16_000, (80_000, 2))
        assert np.abs(sound[round(2.1 * rate) : round(3.0 * rate)]).max() < 1e-3
        assert np.abs(sound[rate // 2 : rate]).max() > 0.01
        assert 0 < row["rhythm_kept"] <= 1
        assert row["evaluations"] == len(row["loss_curve"])
        assert row["loss_last_total"] > 0
        assert finished.row("silent")["error_type"] == "silent"
        assert finished.row("short")["status"] == "succeeded"
        assert FILES.find(str(tmp_path / "out" / "segments")) == []

    def test_it_sounds_like_the_content_computed_in_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        content, style = (tmp_path / f"{name}.wav" for name in ("content", "style"))
        write_cut(content, "flute_phrase", 3.5)
        write_cut(style, "violin_sustained", 1.0)
        pairs = write_manifest(
            tmp_path / "pairs.parquet", [{"content": str(content), "style": str(style), "pair_id": "a"}]
        )
        in_one = figures_of(run_all(pairs, tmp_path / "one").row("a"))
        monkeypatch.setattr(segments, "LONGEST_S", 1.0)
        monkeypatch.setattr(segments, "MOST_S", 2.5)
        in_segments = figures_of(run_all(pairs, tmp_path / "some").row("a"))
        for name in ("rhythm_kept", "dynamics_kept"):
            assert in_segments[name] == pytest.approx(in_one[name], abs=0.1)

    def test_a_kill_loses_what_was_at_work_and_no_segment_before_it(self, interrupted: LongComputation) -> None:
        assert interrupted.go_on(until=1) is None
        assert interrupted.go_on() is not None
        assert len(interrupted.computed) == len(set(interrupted.computed)) >= 3

    def test_a_stop_while_they_are_joined_is_heard_and_none_is_computed_again(
        self, interrupted: LongComputation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        load = SegmentStore.samples
        with monkeypatch.context() as joining:
            joining.setattr(SegmentStore, "samples", lambda *store: (request_stop(), load(*store))[1])
            assert interrupted.go_on() is None
        clear_stop()
        computed = len(interrupted.computed)
        assert interrupted.go_on() is not None
        assert len(interrupted.computed) == computed >= 3

    def test_a_damaged_segment_is_computed_again(self, interrupted: LongComputation) -> None:
        interrupted.go_on(until=2)
        damaged, _ = sorted((Path(interrupted.root) / "segments").rglob("*.flac"))
        damaged.write_bytes(damaged.read_bytes()[:-1])
        interrupted.go_on()
        assert interrupted.computed.count(interrupted.computed[0]) == 2
        assert interrupted.computed.count(interrupted.computed[1]) == 1

    def test_a_collection_removes_the_segments_of_a_run_that_never_ended(self, manifest: str, tmp_path: Path) -> None:
        run_all(manifest, tmp_path / "out")
        left = tmp_path / "out" / "segments" / "ab" / ("ab" * 20) / "00000.json"
        left.parent.mkdir(parents=True)
        left.write_text("{}")
        FILES.delete(lease_uri(str(tmp_path / "out")))  # that run is over
        assert collect(str(tmp_path / "out"), keep_days=30).segments == (str(left),)
        assert not left.exists()

    def test_progress_counts_segments(self, interrupted: LongComputation) -> None:
        PROGRESS.reset()
        interrupted.go_on(until=1)
        done, planned = PROGRESS.segments_done, PROGRESS.segments
        assert 0 < done < planned
        assert segments_text() == f", {done} of {planned} segments"
        interrupted.go_on()
        assert PROGRESS.segments_done == planned

    def test_what_is_wrong_with_the_run_is_not_the_pairs_fault(self, interrupted: LongComputation) -> None:
        """A device that cannot be started ends the run, as for any pair: the pair would fail for good."""

        def synthesise(outcomes: Sequence[PairState]) -> object:
            raise ChildError("no device")

        pairs = LongPairs(synthesise, HERE.measure, 1, FILES, ByteLimitedCache(0), interrupted.root)
        with pytest.raises(ChildError):
            pairs.compute(interrupted.planned, Path(interrupted.root) / "whole")


def test_figures_of_a_whole_are_means_by_length() -> None:
    one = ComputedSegment(
        Segment(0, 0.0, 3.0), "a", 1.0, figures={"x": 1.0, "y": None}, loss_curve=(4.0, 2.0), evaluations=2
    )
    other = replace(one, segment=Segment(1, 3.0, 4.0), figures={"x": 5.0, "y": 2.0}, loss_curve=(8.0,), evaluations=1)
    with NamedTemporaryFile() as file:
        measured = measurement_of([one, other], Path(file.name), "", RATE, 4 * RATE, 1)
    assert measured.figures == {"x": 2.0, "y": 2.0}
    assert rendered_of([one, other]).loss_curve == [5.0, 3.5]
    assert rendered_of([one, other]).evaluations == 2


def test_everything_on_s3(short_segments: None, s3: str, tmp_path: Path) -> None:
    """A content of 18 MB, too large for memory, too: its result is that of the same run on the local disk."""
    sound = np.resize(corpus.cut("harp_phrase", 2.0)[0], 12 * 192_000)[:, None] * np.ones(4)
    rows = [{"content": "long.wav", "style": "short.wav", "content_end_s": 2.5}]
    found = {}
    for root in (s3, str(tmp_path)):
        for name, samples, rate in (("long", sound, 192_000), ("short", corpus.cut("tuning_fork_440")[0], 44_100)):
            data = io.BytesIO()
            soundfile.write(data, samples, rate, format="WAV", subtype="PCM_16")
            FILES.create(join(root, f"{name}.wav"), data.getvalue())
        table = run_all(write_manifest(join(root, "pairs.parquet"), rows), join(root, "out")).table
        assert table["error_message"].dropna().tolist() == []
        assert FILES.find(join(root, "out/segments")) == []
        found[root] = table.loc[0, ["file_sha256", "n_samples", "n_channels"]].tolist()
        assert hashlib.sha256(FILES.read(table.loc[0, "output"])).hexdigest() == found[root][0]
    assert found[s3] == found[str(tmp_path)]


class TestLargeFiles:
    @pytest.fixture
    def large(self, tmp_path: Path) -> str:
        """Return a file of 24 MB: ten minutes, of which one second is loud."""
        samples = np.full((600 * 10_000, 2), 0.01, dtype=np.float32)
        samples[300 * 10_000 : 301 * 10_000] = tone(0, 1)[:10_000]
        soundfile.write(tmp_path / "large.wav", samples, 10_000)
        return str(tmp_path / "large.wav")

    def test_an_excerpt_of_one_is_read_as_of_any_other(self, large: str) -> None:
        wanted = samples_of(Path(large).read_bytes(), "a", Excerpt(300.0, 300.5))[0].mean(axis=1)
        np.testing.assert_array_equal(read_sound(large, FILES, 10_000, Excerpt(300.0, 300.5)), wanted)

    def test_its_identity_is_the_sha256_of_its_bytes(self, large: str) -> None:
        info, identity = probe_identified(large, FILES, ANY_LENGTH_S)
        assert (info.duration_s, identity) == (600.0, hashlib.sha256(Path(large).read_bytes()).hexdigest())

    def test_one_that_has_changed_since_it_was_planned_is_refused(self, large: str) -> None:
        identity = probe_identified(large, FILES, ANY_LENGTH_S)[1]
        with Path(large).open("r+b") as file:
            file.seek(5_000)
            file.write(b"x")
        os.utime(large, (1, 1))
        with pytest.raises(AudioError, match="has changed since the run was planned"):
            read_planned(large, FILES, RATE, identity, Excerpt(300.0, 301.0))

    def test_the_process_that_decodes_it_takes_no_more_memory_than_for_a_small_one(self, large: str) -> None:
        read_sound(large, FILES, RATE, Excerpt(300.0, 301.0))
        for pid in DECODERS.pids():
            status = Path(f"/proc/{pid}/status").read_text()
            assert int(status.split("RssAnon:")[1].split()[0]) < 200_000
