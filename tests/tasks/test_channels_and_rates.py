"""Results at the content's own sampling rate and in its channels, through a whole run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

from stylecore.settings import Settings
from tests.tasks.corpus import QUICK, Row, run_all, write_manifest

NATIVE = QUICK.model_copy(update={"sample_rate": "native"})
RATE = 48_000
Samples = NDArray[np.float64]


def notes(rate: int = RATE, duration_s: float = 0.6, partials: int = 40) -> Samples:
    """Return two plucked notes with partials up to 20 kHz, `[N]`."""
    time_s = np.arange(round(duration_s * rate)) / rate
    sound = np.zeros_like(time_s)
    for begin_s, pitch_hz in ((0.02, 440.0), (0.3, 550.0)):
        since = (time_s - begin_s).clip(0)
        for partial in range(1, partials + 1):
            if partial * pitch_hz < min(20_000, rate / 2):
                decay = np.exp(-since * (4 + partial / 4)) * (time_s >= begin_s)
                sound += decay * np.sin(2 * np.pi * partial * pitch_hz * since) / partial**0.7
    return 0.2 * sound / np.abs(sound).max()


def run_on(folder: Path, contents: dict[str, Samples], settings: Settings = NATIVE, rate: int = RATE) -> pd.DataFrame:
    """Return the table of a run of contents `[N, channels]` with one style, by pair id."""
    soundfile.write(folder / "style.wav", notes(duration_s=0.8, partials=60)[::-1], RATE, subtype="FLOAT")
    rows: list[Row] = []
    for name, samples in contents.items():
        soundfile.write(folder / f"{name}.wav", samples, rate, subtype="FLOAT")
        rows.append({"pair_id": name, "content": f"{name}.wav", "style": "style.wav", "seed": 1})
    table = run_all(write_manifest(folder / "pairs.parquet", rows), folder / "out", settings).table
    assert table["error_message"].dropna().tolist() == []
    return table.set_index("pair_id")


def heard(table: pd.DataFrame, name: str) -> Samples:
    """Return a result, `[N, channels]`."""
    samples, rate = soundfile.read(table.loc[name, "output"], always_2d=True)
    assert samples.shape == (table.loc[name, "n_samples"], table.loc[name, "n_channels"])
    assert rate == table.loc[name, "sample_rate"]
    return samples


def rms_db(samples: Samples) -> float:
    """Return the RMS in dB."""
    return float(10 * np.log10(np.mean(np.square(samples)) + 1e-20))


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return a run over contents of two channels, and the same content in one."""
    sound = notes()
    none = np.zeros_like(sound)
    return run_on(
        tmp_path_factory.mktemp("stereo"),
        {
            "mono": sound[:, None],
            "equal": np.stack([sound, sound], axis=1),
            "left": np.stack([sound, none], axis=1),
            "anti": np.stack([sound, -sound], axis=1),
            "wide": np.stack([sound, 0.25 * sound], axis=1),
        },
    )


def test_equal_channels_stay_equal_and_sound_as_the_mono_file(stereo: pd.DataFrame) -> None:
    equal, mono = heard(stereo, "equal"), heard(stereo, "mono")
    np.testing.assert_array_equal(equal[:, 0], equal[:, 1])
    assert np.corrcoef(equal[:, 0], mono[:, 0])[0, 1] > 0.9999


def test_what_was_on_the_left_is_there_alone(stereo: pd.DataFrame) -> None:
    left = heard(stereo, "left")
    assert not left[:, 1].any()
    assert np.corrcoef(left[:, 0], heard(stereo, "mono")[:, 0])[0, 1] > 0.9999


def test_anti_phase_survives(stereo: pd.DataFrame) -> None:
    anti = heard(stereo, "anti")
    np.testing.assert_allclose(anti[:, 0], -anti[:, 1], atol=1e-6)
    assert rms_db(anti) > -40


def test_a_balance_is_kept(stereo: pd.DataFrame) -> None:
    wide = heard(stereo, "wide")
    assert rms_db(wide[:, 0]) - rms_db(wide[:, 1]) == pytest.approx(12.04, abs=0.5)


def test_the_channels_together_are_as_loud_as_the_contents(stereo: pd.DataFrame) -> None:
    for name in ("equal", "left", "anti", "wide"):
        content = soundfile.read(Path(str(stereo.loc[name, "output"])).parents[3] / f"{name}.wav")[0]
        found = heard(stereo, name)
        assert rms_db(found) == pytest.approx(rms_db(content), abs=0.1) or np.abs(found).max() == pytest.approx(
            10 ** (-1 / 20), abs=1e-4
        )


def test_figures_of_channels_are_those_of_their_downmix(stereo: pd.DataFrame) -> None:
    names = ["timbre_transfer", "rhythm_kept", "dynamics_kept", "output_centroid_hz"]
    for other in ("equal", "left", "anti"):
        np.testing.assert_allclose(
            stereo.loc[other, names].astype(float), stereo.loc["mono", names].astype(float), rtol=1e-3, atol=1e-3
        )


def test_mono_may_be_asked_for(tmp_path: Path) -> None:
    sound = notes()
    table = run_on(tmp_path, {"two": np.stack([sound, sound], axis=1)}, NATIVE.model_copy(update={"channels": "mono"}))
    assert heard(table, "two").shape[1] == 1


def test_eight_channels_are_kept_and_nine_say_what_to_do(tmp_path: Path) -> None:
    sound = notes(16_000)
    soundfile.write(tmp_path / "style.wav", sound, 16_000)
    for count in (8, 9):
        soundfile.write(tmp_path / f"{count}.wav", np.repeat(sound[:, None], count, axis=1), 16_000)
    rows: list[Row] = [{"pair_id": str(count), "content": f"{count}.wav", "style": "style.wav"} for count in (8, 9)]
    manifest = write_manifest(tmp_path / "pairs.parquet", rows)
    table = run_all(manifest, tmp_path / "out", NATIVE).table.set_index("pair_id")
    assert heard(table, "8").shape[1] == 8
    assert table.loc["9", "error_type"] == "too_many_channels"
    assert "has 9 channels; up to 8 are kept. Ask for a mono result: channels=mono" in table.loc["9", "error_message"]
    mono = run_all(manifest, tmp_path / "out", NATIVE.model_copy(update={"channels": "mono"})).table
    assert set(mono["status"]) == {"succeeded"}


@pytest.mark.parametrize(
    ("rate", "wanted", "written"),
    [(8_000, "native", 16_000), (11_025, "native", 16_000), (44_100, "native", 44_100), (96_000, 48_000, 48_000)],
)
def test_a_result_is_as_long_as_its_content(tmp_path: Path, rate: int, wanted: object, written: int) -> None:
    sound = notes(rate)
    table = run_on(tmp_path, {"own": sound[:, None]}, QUICK.model_copy(update={"sample_rate": wanted}), rate)
    assert len(heard(table, "own")) == round(len(sound) * written / rate)
    assert table.loc["own", "sample_rate"] == written


def test_a_dull_content_gains_what_the_style_has_above(tmp_path: Path) -> None:
    """A content of 8 kHz has nothing above 4 kHz; its result at 16 kHz does."""
    table = run_on(tmp_path, {"dull": notes(8_000)[:, None]}, rate=8_000)
    spectrum = np.square(np.abs(np.fft.rfft(heard(table, "dull")[:, 0])))
    half = len(spectrum) // 2
    assert 10 * np.log10(spectrum[half:].sum() / spectrum[:half].sum()) > -30
