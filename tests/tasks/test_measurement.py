"""What is written is the synthesis times one gain, and what is recorded is measured on what was written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from manifests.schema import RESULT_COLUMNS
from stylecore import features, metrics
from stylecore.spectrogram import magnitude
from stylecore.synthesis import Pair, Synthesis, losses_of
from stylecore.weights import shipped
from tasks.audio.encoding import decode
from tasks.audio.sound_files import decode_flac, pcm_to_float, read_sound, samples_sha256
from tasks.cache import ByteLimitedCache
from tasks.devices.hardware import encoder_on
from tasks.ledger.commit import ResultRow
from tasks.pair_state import MeasurementRequest, PairState
from tasks.pipeline import batch_synthesis as synthesising
from tasks.pipeline import measurement
from tasks.pipeline.batch_synthesis import synthesise_batch
from tasks.pipeline.in_process import InProcessExecutor
from tasks.pipeline.inputs import read_pair
from tasks.pipeline.measurement import measure_all
from tasks.pipeline.rendering import PEAK_LIMIT_DB, Made, output_gain, render
from tasks.pipeline.rows import RowContext, rows_of
from tasks.storage.storage import Storage
from tests.tasks.conftest import Corpus
from tests.tasks.corpus import cut, planned, run_all, write_cut, write_manifest

PEAK_LIMIT = 10 ** (PEAK_LIMIT_DB / 20)
STEP = 2.0**-23
CONTEXT = RowContext("/out", "run", 0, "cpu", "digest")
PAIRS = {"quiet": "quiet.wav", "loud": "loud.wav", "odd": "odd.wav"}


def rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


class Case(NamedTuple):
    """A rendered outcome, and what it was rendered from."""

    outcome: PairState
    pair: Pair
    synthesis: Synthesis


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Return syntheses with a quiet content, one so dense and loud that the peak decides, and one of odd length."""
    folder = tmp_path_factory.mktemp("measured")
    torch.set_num_threads(1)
    samples, rate = cut("violin_sustained")
    soundfile.write(folder / "quiet.wav", 0.03 * samples, rate)
    soundfile.write(folder / "loud.wav", 0.99 * np.tanh(50 * samples), rate)
    write_cut(folder / "odd.wav", "singing_phrase", 0.3337)
    write_cut(folder / "style.wav", "harp_phrase", 0.3)
    rows = [{"pair_id": name, "content": file, "style": "style.wav"} for name, file in PAIRS.items()]
    pairs, _ = planned(write_manifest(folder / "pairs.parquet", rows), folder / "out")
    outcomes = [read_pair(pair, Storage(), ByteLimitedCache(0)) for pair in pairs]
    found: dict[str, Case] = {}

    def rendered(made: Sequence[Made], *rest: Any) -> None:
        render(made, *rest)
        found.update({str(one[0].planned["pair_id"]): Case(*one) for one in made})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesising, "render", rendered)
        synthesise_batch(outcomes, "cpu", shipped(), ByteLimitedCache(1 << 28), lambda: None)
    return found


@pytest.fixture(scope="module")
def outcomes(cases: dict[str, Case]) -> dict[str, PairState]:
    return {name: case.outcome for name, case in cases.items()}


def measured(outcome: PairState) -> ResultRow:
    """Measure without leaving a trace in the outcome."""
    copy = replace(outcome, seconds=dict(outcome.seconds))
    InProcessExecutor("cpu").measure([copy])
    return rows_of([copy], CONTEXT)[0]


def written(found: ResultRow) -> NDArray[np.float32]:
    assert found.audio is not None, found.row["error_message"]
    return pcm_to_float(decode_flac(found.audio))


def waveform(case: Case) -> NDArray[np.float64]:
    samples: NDArray[np.float64] = case.synthesis.waveform.numpy().astype(np.float64)
    return samples


def content(outcome: PairState) -> NDArray[np.float32]:
    assert outcome.content is not None
    return outcome.content


class TestGain:
    def test_a_quiet_content_gives_its_rms(self, outcomes: dict[str, PairState]) -> None:
        found = written(measured(outcomes["quiet"]))
        assert rms(found) == pytest.approx(rms(content(outcomes["quiet"])), rel=1e-4)
        assert np.abs(found).max() < PEAK_LIMIT

    def test_where_the_peak_would_pass_minus_1_db_it_decides(self, outcomes: dict[str, PairState]) -> None:
        found = written(measured(outcomes["loud"]))
        assert np.abs(found).max() == pytest.approx(PEAK_LIMIT, abs=2 * STEP)
        assert rms(found) < 0.9 * rms(content(outcomes["loud"]))

    @pytest.mark.parametrize("name", PAIRS)
    def test_it_is_one_constant_for_all_samples(self, cases: dict[str, Case], name: str) -> None:
        found = measured(cases[name].outcome)
        assert isinstance(found.row["gain_db"], float)
        gain = 10 ** (found.row["gain_db"] / 20)
        expected = gain * waveform(cases[name])
        np.testing.assert_allclose(written(found), expected, atol=0.5 * STEP + 1e-6 * np.abs(expected).max())
        # Without the row's word for it: the quotient is the same in every sample but the faintest.
        heard = np.abs(waveform(cases[name])) > 0.1 * np.abs(waveform(cases[name])).max()
        quotients = (written(found) / waveform(cases[name]))[heard]
        assert heard.sum() > 500
        assert np.ptp(quotients) / np.median(quotients) < 1e-3

    @pytest.mark.parametrize("name", PAIRS)
    def test_the_last_losses_are_those_of_the_file(self, cases: dict[str, Case], name: str) -> None:
        """In a batch with others, and alone."""
        case, found = cases[name], measured(cases[name].outcome)
        level = np.float32(10 ** (float(str(found.row["gain_db"])) / 20))
        alone = losses_of(case.pair, encoder_on("cpu", shipped()), torch.from_numpy(written(found) / level))
        assert {f"loss_last_{term}": value for term, value in alone.items()} == pytest.approx(
            {f"loss_last_{term}": found.row[f"loss_last_{term}"] for term in alone}, rel=1e-4
        )

    @pytest.mark.parametrize("name", PAIRS)
    def test_the_length_is_the_contents(self, outcomes: dict[str, PairState], name: str) -> None:
        found = measured(outcomes[name])
        assert len(written(found)) == len(content(outcomes[name])) == found.row["n_samples"]
        assert found.row["duration_s"] == pytest.approx(len(content(outcomes[name])) / 16_000)

    def test_any_level_of_the_waveform_comes_out_the_same(self) -> None:
        noise = np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
        target = 0.05 * np.random.default_rng(1).standard_normal(8_000).astype(np.float32)
        for level in (1e-4, 1.0, 30.0):
            scaled = (level * noise).astype(np.float32)
            assert rms(output_gain(scaled, target) * scaled) == pytest.approx(rms(target), rel=1e-5)

    def test_silence_has_no_gain(self) -> None:
        assert output_gain(np.zeros(100, np.float32), np.ones(100, np.float32)) == 1.0


class TestRow:
    @pytest.mark.parametrize("name", PAIRS)
    def test_the_figures_are_those_of_the_file_read_again(
        self, outcomes: dict[str, PairState], name: str, tmp_path: Path
    ) -> None:
        outcome, found = outcomes[name], measured(outcomes[name])
        assert found.audio is not None
        (tmp_path / "out.flac").write_bytes(found.audio)
        output = soundfile.read(tmp_path / "out.flac")[0]
        style = read_sound(str(outcome.planned["style"]), Storage())
        expected = metrics.figures(output, content(outcome), style)
        assert {key: found.row[key] for key in expected} == pytest.approx(expected, abs=1e-6)
        for whose, sound in (("output", output), ("content", content(outcome)), ("style", style)):
            for key, value in features.descriptors(sound).items():
                assert found.row[f"{whose}_{key}"] == pytest.approx(value, rel=1e-5)

    @pytest.mark.parametrize("name", PAIRS)
    def test_the_convergence_is_that_of_the_log_spectrogram_before_any_phase(
        self, cases: dict[str, Case], name: str
    ) -> None:
        """Measured with librosa's STFT."""
        found = measured(cases[name].outcome)
        log_spectrogram = magnitude(cases[name].synthesis.log_spectrogram).numpy()
        n_fft = 2 * (len(log_spectrogram) - 1)
        estimate = np.abs(
            librosa.stft(
                written(found).astype(np.float64),
                n_fft=n_fft,
                win_length=features.WIN_LENGTH,
                hop_length=features.HOP_LENGTH,
                pad_mode="reflect",
            )
        )
        assert isinstance(found.row["gain_db"], float)
        wanted = 10 ** (found.row["gain_db"] / 20) * log_spectrogram
        expected = 20 * np.log10(np.linalg.norm(estimate - wanted) / np.linalg.norm(wanted))
        assert found.row["spectral_convergence_db"] == pytest.approx(expected, abs=0.05)

    def test_the_sums_are_those_of_file_and_samples(self, outcomes: dict[str, PairState]) -> None:
        found = measured(outcomes["odd"])
        assert found.audio is not None
        assert found.row["file_sha256"] == sha256(found.audio).hexdigest()
        assert found.row["samples_sha256"] == samples_sha256(decode_flac(found.audio))
        assert measured(outcomes["odd"]).row["samples_sha256"] == found.row["samples_sha256"]

    def test_it_has_every_column_of_the_schema(self, outcomes: dict[str, PairState]) -> None:
        names = {column.name for column in RESULT_COLUMNS}
        assert set(measured(outcomes["quiet"]).row) | {"error_type", "error_message"} == names

    def test_a_sound_is_measured_once_for_all_its_pairs(
        self, outcomes: dict[str, PairState], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, calls = metrics.features, 0

        def counted(samples: NDArray[np.floating]) -> metrics.SoundFeatures:
            nonlocal calls
            calls += 1
            return real(samples)

        monkeypatch.setattr(metrics, "features", counted)
        cache = ByteLimitedCache(1 << 28)
        orders = [MeasurementRequest.of(outcome) for outcome in outcomes.values()]
        measure_all(orders, cache, lambda: None)
        assert calls == 3 + 3 + 1  # outputs, contents, and one style
        held = [real(sound.samples) for sound in {order.content.identity: order.content for order in orders}.values()]
        held.append(real(orders[0].style.samples))
        textures = [found.model.character.texture for found in held if found.model.character.texture]
        assert len(textures) == 4
        # What is held inside of records counts too.
        inner = [one.correlation.nbytes for one in textures] + [found.melody.activity.nbytes for found in held]
        assert cache.n_bytes > sum(found.samples.nbytes + found.chroma.nbytes for found in held) + sum(inner)


class TestFailure:
    @pytest.mark.parametrize(
        ("error", "error_type"),
        [(MemoryError("no more"), "out_of_memory"), (ValueError("never seen"), "internal")],
    )
    def test_a_fault_while_measuring_is_a_failed_row(
        self, outcomes: dict[str, PairState], monkeypatch: pytest.MonkeyPatch, error: Exception, error_type: str
    ) -> None:
        def failing(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(metrics, "compare", failing)
        found = measured(outcomes["quiet"])
        assert found.audio is None
        assert (found.row["status"], found.row["error_type"]) == ("failed", error_type)
        assert str(error) in str(found.row["error_message"])
        assert "samples_sha256" not in found.row

    @pytest.mark.filterwarnings("ignore:invalid value")
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_waveform_that_is_not_finite_is_never_written(self, cases: dict[str, Case], value: float) -> None:
        """Its companion in the batch is."""
        spoilt = cases["quiet"].synthesis.waveform.clone()
        spoilt[100] = value
        bad, good = (replace(cases[name].outcome, rendered=None, seconds={}) for name in ("quiet", "odd"))
        made = [
            (bad, cases["quiet"].pair, replace(cases["quiet"].synthesis, waveform=spoilt)),
            (good, cases["odd"].pair, cases["odd"].synthesis),
        ]
        render(made, encoder_on("cpu", shipped()), "cpu")
        found = measured(bad)
        assert found.audio is None
        assert (found.row["status"], found.row["error_type"]) == ("failed", "internal")
        assert measured(good).row["samples_sha256"] == measured(cases["odd"].outcome).row["samples_sha256"]

    def test_a_file_that_gives_back_other_samples_is_never_kept(
        self, outcomes: dict[str, PairState], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its losses would be those of another sound."""
        monkeypatch.setattr(measurement, "decode", lambda data: decode(data) + np.float32(2**-23))
        found = measured(outcomes["quiet"])
        assert found.audio is None
        assert "other samples" in str(found.row["error_message"])

    def test_the_first_reason_stays(self, outcomes: dict[str, PairState]) -> None:
        failed = replace(outcomes["quiet"], seconds={})
        failed.fail("silent", "'a.wav' is silent")
        failed.fail("internal", "later")
        found = measured(failed)
        assert (found.row["error_type"], found.row["error_message"]) == ("silent", "'a.wav' is silent")


class TestRuleFive:
    """No figure, nor the features it is made of, enters a loss."""

    def test_the_samples_do_not_depend_on_any_figure(
        self, finished: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def zero(real: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *arguments, **named: dict.fromkeys(real(*arguments, **named), 0.0)

        monkeypatch.setattr(metrics, "compare", zero(metrics.compare))
        table = run_all(finished.manifest, tmp_path).table
        assert set(table["timbre_transfer"]) == {0.0}
        assert table["samples_sha256"].tolist() == finished.first.table["samples_sha256"].tolist()

    def test_the_core_synthesises_without_the_figures_module(self) -> None:
        code = (
            "import sys, stylecore.synthesis; sys.exit('stylecore.metrics' in sys.modules or 'librosa' in sys.modules)"
        )
        repository = Path(__file__).parents[2]
        assert subprocess.run([sys.executable, "-c", code], cwd=repository, timeout=120, check=False).returncode == 0
