"""Pre-training in small: what is missing is named, notes are rendered, a network learns, resumes and is judged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stylecore.errors import DependencyError
from stylecore.network import AlexNet3x3
from stylecore.pretraining import augment, evaluate, notes, train
from stylecore.pretraining.notes import FAMILIES, PLAYABLE_RANGES, Notes
from tests.stylecore.tiny_soundfont import write_soundfont

SOUNDFONTS = tuple(Path("/usr/share/sounds/sf2") / name for name in ("TimGM6mb.sf2", "FluidR3_GM.sf2"))
FREEPATS = Path("/etc/timidity/freepats.cfg")
N_SAMPLES = round(notes.NOTE_S * notes.SAMPLE_RATE)
needs_fluidsynth = pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="fluidsynth is not installed")


@pytest.fixture
def soundfont() -> Path:
    """Return a General MIDI soundfont of the system."""
    for path in SOUNDFONTS:
        if path.is_file():
            return path
    pytest.skip(f"no soundfont installed: none of {', '.join(map(str, SOUNDFONTS))}")


@pytest.fixture(scope="module")
def synthetic() -> Notes:
    """Return notes of two instruments anybody tells apart: a plain tone (0) and a bright, noisy one (40)."""
    generator = np.random.default_rng(0)
    time_s = np.arange(N_SAMPLES) / notes.SAMPLE_RATE
    samples, programs, pitches = [], [], []
    for pitch in range(50, 70):
        pitch_hz = 440.0 * 2.0 ** ((pitch - 69) / 12.0)
        plain = np.sin(2 * np.pi * pitch_hz * time_s)
        bright = sum(np.sin(2 * np.pi * pitch_hz * k * time_s) for k in range(1, 12)) / 6.0
        samples += [plain, bright + 0.2 * generator.standard_normal(N_SAMPLES)]
        programs += [0, 40]
        pitches += [pitch, pitch]
    peaks = np.abs(samples).max(axis=1, keepdims=True)
    return Notes((np.array(samples) / peaks).astype(np.float16), np.array(programs), np.array(pitches))


@pytest.fixture
def frugal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a step of training cheap: short crops, small batches, no long warm-up."""
    monkeypatch.setattr(augment, "CROP_FRAMES", 16)
    monkeypatch.setattr(train, "BATCH", 8)
    monkeypatch.setattr(train, "WARM_UP_STEPS", 5)
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 2)


def test_there_are_80_classes_in_10_families() -> None:
    assert len(PLAYABLE_RANGES) == 80
    assert len(FAMILIES) == 10
    assert all(0 <= low < high <= 127 for low, high in PLAYABLE_RANGES)


def test_a_missing_fluidsynth_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match="fluidsynth is not installed: `apt-get install fluidsynth`"):
        notes.render_notes(tmp_path / "any.sf2", 1, 0)


def test_a_missing_soundfont_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: "/bin/true")
    with pytest.raises(
        DependencyError, match=r"any\.sf2 not found: `apt-get install fluid-soundfont-gm`, or name another one"
    ):
        notes.render_notes(tmp_path / "any.sf2", 1, 0)


@needs_fluidsynth
def test_a_failing_fluidsynth_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "fluidsynth"
    program.write_text("#!/bin/sh\necho 'no such voice' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    write_soundfont(tmp_path / "any.sf2", {0: np.zeros(100, dtype=np.int16)})
    with pytest.raises(DependencyError, match=r"could not render .*any\.sf2: no such voice"):
        notes.render_notes(tmp_path / "any.sf2", 1, 0)


@needs_fluidsynth
def test_a_file_that_is_no_soundfont_is_refused(
    monkeypatch: pytest.MonkeyPatch, soundfont: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(notes, "PLAYABLE_RANGES", ((57, 81),))
    (tmp_path / "odd.sf2").write_text("no soundfont at all")
    with pytest.raises(DependencyError, match=r"odd\.sf2"):
        notes.render_notes(tmp_path / "odd.sf2", 1, 0)


def harmonic_share(power: NDArray[np.floating], pitch: float) -> float:
    """Return which share of a power spectrum of half a second lies within 12 Hz of the partials of a pitch."""
    hz = np.fft.rfftfreq(2 * (len(power) - 1), 1.0 / notes.SAMPLE_RATE)
    pitch_hz = 440.0 * 2.0 ** ((pitch - 69) / 12.0)
    harmonic = np.abs(hz / pitch_hz - np.round(hz / pitch_hz)) * pitch_hz < 12.0
    return float(power[harmonic].sum() / power.sum())


@needs_fluidsynth
def test_rendered_notes_sound_at_their_pitch(monkeypatch: pytest.MonkeyPatch, soundfont: Path) -> None:
    monkeypatch.setattr(notes, "PLAYABLE_RANGES", ((57, 81), (57, 81)))
    rendered = notes.render_notes(soundfont, 4, 3)
    assert rendered.samples.shape == (8, N_SAMPLES)
    assert rendered.samples.dtype == np.float16
    assert rendered.programs.tolist() == [0] * 4 + [1] * 4
    assert len(set(rendered.pitches.tolist())) > 2
    np.testing.assert_allclose(np.abs(rendered.samples).max(axis=1), 1.0, rtol=1e-6)
    for samples, pitch in zip(rendered.samples, rendered.pitches, strict=True):
        assert np.abs(samples[:1_600]).max() > 0.1  # it begins with its slot
        power = np.abs(np.fft.rfft(samples[:8_000] * np.hanning(8_000))) ** 2
        assert harmonic_share(power, pitch) > 0.75  # the rest is the hammer's
        assert harmonic_share(power, pitch) > 2.0 * harmonic_share(power, pitch + 1)
    again = notes.render_notes(soundfont, 4, 3)
    np.testing.assert_array_equal(again.pitches, rendered.pitches)
    np.testing.assert_array_equal(again.samples, rendered.samples)


@needs_fluidsynth
def test_programs_that_are_missing_or_unwanted_have_no_notes(tmp_path: Path) -> None:
    hum = (8_000 * np.sin(np.arange(48_000) / 5)).astype(np.int16)
    soundfont = write_soundfont(tmp_path / "few.sf2", {0: hum, 40: hum, 41: hum, 104: hum})
    few = notes.render_notes(soundfont, 3, 5)
    assert few.programs.tolist() == [0] * 3 + [40] * 3 + [41] * 3
    fewer = notes.render_notes(soundfont, 3, 5, without=(40,))
    assert fewer.programs.tolist() == [0] * 3 + [41] * 3
    np.testing.assert_array_equal(fewer.samples, few.where(few.programs != 40).samples)


def test_a_soundfont_without_instruments_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: "/bin/true")
    drums = write_soundfont(tmp_path / "drums.sf2", {0: np.zeros(100, dtype=np.int16)}, bank=128)
    with pytest.raises(DependencyError, match=r"drums\.sf2 has none of the General MIDI programs 0 to 79"):
        notes.render_notes(drums, 1, 0)


@pytest.mark.skipif(shutil.which("timidity") is None, reason="timidity is not installed")
@pytest.mark.skipif(not FREEPATS.is_file(), reason=f"freepats are not installed: no {FREEPATS}")
def test_patches_are_rendered_by_timidity() -> None:
    rendered = notes.render_notes(FREEPATS, 1, 2)
    assert {0, 40, 73} <= set(rendered.programs.tolist())
    assert not {3, 41, 78} & set(rendered.programs.tolist())  # freepats has no honky-tonk, viola, whistle
    assert rendered.samples.shape[1] == N_SAMPLES
    np.testing.assert_allclose(np.abs(rendered.samples).max(axis=1), 1.0, rtol=1e-6)


def test_held_out_pitches_are_held_out_as_a_whole(synthetic: Notes) -> None:
    held = set(synthetic.where(synthetic.held_out).pitches.tolist())
    assert held == {52, 57, 62, 67}
    assert not held & set(synthetic.where(~synthetic.held_out).pitches.tolist())


def test_training_never_sees_a_held_out_note(synthetic: Notes, frugal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Tensor] = []
    original = augment.augmented_log_spectrograms

    def listening(samples: Tensor, companions: Tensor, *others: object) -> Tensor:
        heard.extend([samples, companions])
        return original(samples, companions, *others)

    monkeypatch.setattr(train, "augmented_log_spectrograms", listening)
    train.train([synthetic], steps=3, seed=0)
    known = synthetic.where(~synthetic.held_out).samples
    allowed = {samples.tobytes() for samples in known}
    assert {samples.half().numpy().tobytes() for samples in torch.cat(heard)} <= allowed


def test_every_soundfont_is_drawn_from_and_companions_play_the_same_instrument(synthetic: Notes) -> None:
    marked = Notes(np.full_like(synthetic.samples, 0.5), synthetic.programs, synthetic.pitches)
    pool = train.Pool([synthetic, marked])
    assert len(pool) == 2 * int((~synthetic.held_out).sum())
    allowed = {
        program: {
            note.tobytes() for part in (synthetic, marked) for note in part.where(part.programs == program).samples
        }
        for program in (0, 40)
    }
    batch = pool.draw(torch.Generator().manual_seed(0))
    marks = (batch.notes == 0.5).all(1)
    assert 0 < int(marks.sum()) < len(marks)
    for part in (batch.notes, batch.companions):
        for note, program in zip(part, batch.programs.tolist(), strict=True):
            assert note.half().numpy().tobytes() in allowed[program]
    assert not torch.equal(batch.notes, batch.companions)


def test_training_starts_from_the_weights_it_is_given(synthetic: Notes, frugal: None) -> None:
    start = AlexNet3x3()
    start.input_mean.fill_(1.25)
    trained = train.train([synthetic], steps=1, seed=0, start=start)
    assert trained.input_mean.item() == 1.25
    for name, weights in start.named_parameters():
        assert (dict(trained.named_parameters())[name] - weights).abs().max() < 1e-3, name


def test_the_average_follows_the_weights_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "AVERAGE_DECAY", 0.98)
    network, average = AlexNet3x3(), AlexNet3x3()
    training = train.Training(network, average, torch.optim.SGD(network.parameters()), step=10_000)
    before, target = average.convolutions[0].weight.clone(), network.convolutions[0].weight
    train._average(training)
    decay = train.AVERAGE_DECAY
    torch.testing.assert_close(average.convolutions[0].weight, decay * before + (1 - decay) * target)
    for _ in range(500):
        train._average(training)
    torch.testing.assert_close(average.convolutions[0].weight, target, atol=1e-4, rtol=1e-3)


def test_a_small_run_learns_and_tells_held_out_notes_apart(synthetic: Notes, frugal: None) -> None:
    told: list[train.Progress] = []
    network = train.train([synthetic], steps=100, seed=0, on_progress=told.append)
    assert [p.step for p in told] == [50, 100]
    assert told[1].loss < told[0].loss
    assert told[1].loss < 2.5  # chance is log(80) = 4.4
    assert told[1].accuracy > 0.8
    assert not network.training
    judged = evaluate.evaluate(network, synthetic.where(synthetic.held_out))
    assert judged.notes == 8
    assert judged.top_1 >= 0.75


def test_the_input_is_standardised_by_the_notes(synthetic: Notes, frugal: None) -> None:
    network = train.train([synthetic], steps=1, seed=0)
    log_spectrograms = augment.plain_log_spectrograms(
        torch.from_numpy(synthetic.where(~synthetic.held_out).samples).float(), 16_000
    )
    heard = (log_spectrograms - network.input_mean) * network.input_scale
    assert heard.mean().abs() < 1e-3
    assert heard.std().item() == pytest.approx(1.0, abs=1e-3)


def _killed_at(step: int) -> Callable[..., tuple[float, float]]:
    original, calls = train._step, []

    def step_or_die(*arguments: object) -> tuple[float, float]:
        calls.append(None)
        if len(calls) > step:
            raise KeyboardInterrupt
        return original(*arguments)

    return step_or_die


def test_a_killed_run_resumes_to_the_same_weights(
    synthetic: Notes, frugal: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    whole = train.train([synthetic], steps=6, seed=4)
    with monkeypatch.context() as patch:
        patch.setattr(train, "_step", _killed_at(5))
        with pytest.raises(KeyboardInterrupt):
            train.train([synthetic], steps=6, seed=4, checkpoint=checkpoint)
    steps: list[None] = []
    original = train._step
    monkeypatch.setattr(train, "_step", lambda *a: (steps.append(None), original(*a))[1])
    torch.rand(7)  # the global generator has gone on meanwhile
    resumed = train.train([synthetic], steps=6, seed=4, checkpoint=checkpoint)
    assert len(steps) == 2  # the last checkpoint was written after step 4
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
    assert not list(tmp_path.glob("*.partial"))


def test_another_seed_trains_another_network(synthetic: Notes, frugal: None) -> None:
    first, second = (train.train([synthetic], steps=1, seed=seed).state_dict() for seed in (0, 1))
    assert not torch.equal(first["convolutions.1.weight"], second["convolutions.1.weight"])


class _Named(nn.Module):
    """Names the program whose number stands in the first log-spectrogram's place: the loudest bin."""

    def forward(self, log_spectrograms: Tensor) -> Tensor:
        return nn.functional.one_hot(log_spectrograms.mean(2).argmax(1), 257)[:, :80].float()


def test_accuracy_and_confusion_on_a_known_case() -> None:
    time_s = np.arange(N_SAMPLES) / notes.SAMPLE_RATE
    named = np.array([0, 1, 7, 8, 45, 79, 9])
    true = np.array([0, 2, 8, 8, 41, 79, 9])  # right; same family; wrong family; right; same family; right; right
    samples = np.array([np.cos(2 * np.pi * 31.25 * bin_ * time_s) for bin_ in named], dtype=np.float16)
    judged = evaluate.evaluate(_Named(), Notes(samples, true, np.full(7, 60)))
    assert judged.notes == 7
    assert judged.top_1 == pytest.approx(4 / 7)
    assert judged.family == pytest.approx(6 / 7)
    expected = np.zeros((10, 10), dtype=int)
    expected[0, 0], expected[1, 0], expected[1, 1], expected[5, 5], expected[9, 9] = 2, 1, 2, 1, 1
    np.testing.assert_array_equal(judged.confusion, expected)


def test_accuracy_does_not_depend_on_the_size_of_a_batch(
    synthetic: Notes, frugal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = AlexNet3x3().eval()
    whole = evaluate.evaluate(network, synthetic)
    monkeypatch.setattr(evaluate, "BATCH", 7)
    parts = evaluate.evaluate(network, synthetic)
    np.testing.assert_array_equal(parts.confusion, whole.confusion)


def test_augmented_log_spectrograms_are_drawn_from_their_generator_alone(synthetic: Notes) -> None:
    samples = torch.from_numpy(synthetic.samples[:3]).float()
    before = torch.get_rng_state()
    first, again, other = (
        augment.augmented_log_spectrograms(samples, samples.flip(0), 16_000, torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (3, 257, 128)
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.1
    assert bool(torch.isfinite(first).all())


def test_a_retuned_tone_stays_within_two_semitones() -> None:
    time_s = torch.arange(N_SAMPLES) / 16_000
    tones = torch.sin(2 * torch.pi * 1_000.0 * time_s).expand(64, -1)
    heard = augment._retuned_crops(tones, 16_000, torch.Generator().manual_seed(0))
    hz = torch.fft.rfft(heard * torch.hann_window(16_000)).abs().argmax(1).float()
    assert 1_000 * 2 ** (-2 / 12) - 1 <= hz.min() < 960
    assert 1_040 < hz.max() <= 1_000 * 2 ** (2 / 12) + 1


def test_a_room_rings_on_after_the_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    clicks = torch.zeros(8, 16_000)
    clicks[:, 100] = 1.0
    monkeypatch.setattr(augment, "ROOM_SHARE", 1.0)
    wet = augment._in_rooms(clicks, 16_000, torch.Generator().manual_seed(0))
    assert bool((wet[:, 101:2_000].square().sum(1) > 1e-4).all())
    assert wet[:, :100].abs().max() < 1e-5  # nothing sounds before its cause
    assert bool((wet[:, 200:4_200].square().sum(1) > wet[:, 10_000:14_000].square().sum(1)).all())
    monkeypatch.setattr(augment, "ROOM_SHARE", 0.0)
    assert torch.equal(augment._in_rooms(clicks, 16_000, torch.Generator().manual_seed(0)), clicks)


def test_the_equaliser_stays_within_its_limits_and_a_low_pass_cuts_the_top(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "LEVEL_DB", 0.0)
    monkeypatch.setattr(augment, "LOW_PASS_SHARE", 0.0)
    gains_db = 20 * augment._equaliser(200, 257, 16_000, torch.Generator().manual_seed(0)).log10()
    assert gains_db.shape == (200, 257, 1)
    assert gains_db.abs().max() <= augment.EQUALISER_LIMIT_DB + 1e-4
    assert gains_db.std() > 2.0
    monkeypatch.setattr(augment, "LOW_PASS_SHARE", 1.0)
    cut_db = 20 * augment._equaliser(200, 257, 16_000, torch.Generator().manual_seed(0)).log10() - gains_db
    torch.testing.assert_close(cut_db[:, :90], torch.zeros_like(cut_db[:, :90]), atol=1e-4, rtol=0.0)
    assert cut_db.max() < 1e-4
    assert bool((cut_db[:, -1] < -1.0).all())


def test_gaps_are_whole_bands_no_wider_than_they_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "GAP_SHARE", 1.0)
    heard = augment._with_gaps(torch.ones(50, 257, 128), torch.Generator().manual_seed(0))
    frames, bins = (heard.sum(1) == 0).sum(1), (heard.sum(2) == 0).sum(1)
    assert 0 < frames.max() <= augment.GAP_FRAMES + 1
    assert 0 < bins.max() <= augment.GAP_BINS + 1
    torch.testing.assert_close(heard.sum((1, 2)), ((257 - bins) * (128 - frames)).float())
    monkeypatch.setattr(augment, "GAP_SHARE", 0.0)
    assert bool((augment._with_gaps(torch.ones(5, 257, 128), torch.Generator().manual_seed(0)) == 1).all())


def test_a_chord_sounds_in_the_share_of_crops_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "CHORD_SHARE", 0.5)
    crops, companions = torch.zeros(400, 10), torch.ones(400, 10)
    level = augment._with_chords(crops, companions, torch.Generator().manual_seed(0))[:, 0]
    sounding = level[level > 0]
    assert 150 < len(sounding) < 250
    assert sounding.min() >= 10 ** (-12 / 20)
    assert sounding.max() <= 1.0


def test_a_note_that_is_silent_has_a_log_spectrogram(synthetic: Notes) -> None:
    silent = torch.zeros(2, N_SAMPLES)
    assert bool(torch.isfinite(augment.plain_log_spectrograms(silent, 16_000)).all())
    for seed in range(5):
        heard = augment.augmented_log_spectrograms(silent, silent, 16_000, torch.Generator().manual_seed(seed))
        assert bool(torch.isfinite(heard).all())


def test_a_checkpoint_of_another_run_is_refused(
    synthetic: Notes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 1)
    train.train([synthetic], steps=1, seed=4, checkpoint=tmp_path / "run.checkpoint")
    with pytest.raises(train.CheckpointError, match=r"run\.checkpoint belongs to another run"):
        train.train([synthetic], steps=1, seed=5, checkpoint=tmp_path / "run.checkpoint")
    with pytest.raises(train.CheckpointError, match=r"run\.checkpoint belongs to another run"):
        train.train([synthetic], steps=1, seed=4, start=AlexNet3x3(), checkpoint=tmp_path / "run.checkpoint")
