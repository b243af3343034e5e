"""A corpus as people have them: formats, rates, lengths and channels of all kinds, through the command line."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tasks.audio.lengths import LONGEST_S
from tests.flows.processes import environment, start
from tests.tasks.corpus import Row, cut, write_cut, write_manifest

FEW = ("--iterations", "3", "--sound-iterations", "2")
FORMATS = {
    "wav": ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"),
    "flac": ("PCM_16", "PCM_24"),
    "aiff": ("PCM_S8", "PCM_16", "PCM_24"),
    "caf": ("PCM_24", "FLOAT"),
    "w64": ("PCM_16",),
    "au": ("PCM_16", "FLOAT"),
    "ogg": ("VORBIS",),
    "mp3": ("MPEG_LAYER_III",),
}
RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 192_000)
LENGTHS_S = (0.2, 0.35, 0.5, 0.8, 1.3, 2.0, 3.5, 6.0, 29.9, 60.0, 300.0)
SHARES = (0.15, 0.15, 0.15, 0.15, 0.12, 0.1, 0.08, 0.05, 0.01, 0.02, 0.02)


@dataclass(frozen=True)
class Kind:
    """What a file is like."""

    name: str
    subtype: str
    rate: int
    channels: int
    duration_s: float


def kind_of(number: int) -> Kind:
    """Return what a file is like, the same for the same number."""
    draw = np.random.default_rng(number)
    suffix = str(draw.choice(list(FORMATS)))
    subtype, rate = str(draw.choice(FORMATS[suffix])), int(draw.choice(RATES))
    channels = int(draw.choice([1, 1, 1, 2, 2, 2, 4, 6, 8]))
    if suffix == "mp3":
        rate, channels = min(max(rate, 16_000), 48_000), min(channels, 2)
    return Kind(f"{number:03d}.{suffix}", subtype, rate, channels, float(draw.choice(LENGTHS_S, p=SHARES)))


def write(folder: Path, number: int) -> Kind:
    """Write a file with a few notes, louder in some channels than in others."""
    kind, draw = kind_of(number), np.random.default_rng(number)
    time_s = np.arange(round(kind.duration_s * kind.rate)) / kind.rate
    pitch_hz = 110.0 * 2.0 ** (draw.integers(0, 24) / 12)
    partials = [np.sin(2 * np.pi * k * pitch_hz * time_s) / k for k in range(1, 9) if k * pitch_hz < kind.rate / 2]
    notes = sum(partials) * np.exp(-3 * (time_s % 0.4)) * 0.25
    with soundfile.SoundFile(folder / kind.name, "w", kind.rate, kind.channels, kind.subtype) as sink:
        sink.write(notes[:, None] * draw.uniform(-1, 1, kind.channels))
    return kind


class MemoryMeter:
    """Samples the memory that a session's processes have together, while it is entered."""

    def __init__(self, leader: int) -> None:
        self.leader, self.peak_mib = leader, 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(0.25):
            self.peak_mib = max(self.peak_mib, sum(map(self._resident_mib, Path("/proc").glob("[0-9]*"))))

    def _resident_mib(self, process: Path) -> float:
        try:
            if int((process / "stat").read_text().rsplit(")", 1)[1].split()[3]) != self.leader:
                return 0.0
            return int((process / "statm").read_text().split()[1]) * 4096 / 2**20
        except (OSError, IndexError):  # it has ended meanwhile
            return 0.0


def run_mixed(folder: Path, count: int, timeout_s: float) -> tuple[list[Kind], pd.DataFrame, str, float]:
    """Make files, run them as contents with one stereo style, and return the table, the output and the peak memory."""
    made = [write(folder, number) for number in range(count)]
    time_s = np.arange(2 * 48_000) / 48_000
    style = 0.3 * np.sin(2 * np.pi * 330 * time_s + 3 * np.sin(2 * np.pi * 5 * time_s))
    soundfile.write(folder / "style.flac", np.stack([style, 0.5 * style], axis=1), 48_000)
    rows: list[Row] = [{"pair_id": one.name, "content": one.name, "style": "style.flac"} for one in made]
    manifest, output = write_manifest(folder / "pairs.parquet", rows), folder / "out"
    process = start("timbreflow", "run", manifest, str(output), *FEW, env=environment(folder / "home"))
    with MemoryMeter(process.pid) as meter:
        text, _ = process.communicate(timeout=timeout_s)
    return made, pd.read_parquet(output / "results.parquet").set_index("pair_id"), text, meter.peak_mib


def assert_as_expected(made: list[Kind], table: pd.DataFrame, text: str) -> None:
    """Assert that each file has become a sound of its rate, channels and length."""
    assert len(table) == len(made), text
    assert table["error_message"].dropna().tolist() == []
    for one in made:
        info = soundfile.info(table.loc[one.name, "output"])
        assert (info.samplerate, info.channels) == (max(16_000, one.rate), one.channels), one
        assert info.duration == pytest.approx(one.duration_s, abs=0.1), one


@pytest.mark.slow
def test_some_files_of_all_kinds(tmp_path: Path) -> None:
    made, table, text, _ = run_mixed(tmp_path, 16, 280)
    assert_as_expected(made, table, text)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_two_hundred_files_of_all_kinds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, table, text, peak_mib = run_mixed(tmp_path, 200, 3_500)
    with capsys.disabled():
        failed = table["error_type"].value_counts().to_dict()
        print(f"\n200 files: {int((table['status'] == 'succeeded').sum())} succeeded, failed: {failed}")
        print(f"peak memory of all processes together: {peak_mib:.0f} MiB")
    assert_as_expected(made, table, text)


def test_the_kinds_are_mixed() -> None:
    """The corpus of the long test holds every rate, several channels, and contents of some minutes."""
    kinds = [kind_of(number) for number in range(200)]
    assert {one.rate for one in kinds} == set(RATES)
    assert {one.channels for one in kinds} == {1, 2, 4, 6, 8}
    assert {one.duration_s for one in kinds} == set(LENGTHS_S)
    assert {Path(one.name).suffix[1:] for one in kinds} == set(FORMATS)
    assert 2 < sum(one.duration_s > LONGEST_S for one in kinds) < 20


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_ten_minutes_take_no_more_memory_than_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All processes of a run together; the longer content may take 1.3 times as much."""
    write_cut(tmp_path / "style.wav", "violin_sustained", 1.0)
    peaks_mib = {}
    for minutes in (1, 10):
        samples = np.resize(cut("harp_phrase", 4.0)[0], 60 * minutes * 22_050)
        soundfile.write(tmp_path / f"{minutes}.wav", np.stack([samples, 0.5 * samples], axis=1), 22_050)
        rows = [{"content": f"{minutes}.wav", "style": "style.wav"}]
        manifest, output = write_manifest(tmp_path / f"{minutes}.parquet", rows), tmp_path / f"out-{minutes}"
        process = start("timbreflow", "run", manifest, str(output), *FEW, env=environment(tmp_path / "home"))
        with MemoryMeter(process.pid) as meter:
            text, _ = process.communicate(timeout=1_700)
        assert pd.read_parquet(output / "results.parquet")["status"].tolist() == ["succeeded"], text
        peaks_mib[minutes] = meter.peak_mib
    with capsys.disabled():
        print(f"\npeak memory of all processes together, by minutes of the content: {peaks_mib}")
    assert peaks_mib[10] <= 1.3 * peaks_mib[1]
