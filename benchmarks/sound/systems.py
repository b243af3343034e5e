"""The systems that the quality table compares: the method, the method with something missing, and what is no method.

A second group are the choices: the default settings with one choice undone each. A system turns two sounds into one. It
carries the identity of everything that decides its result, so that a figure is never taken for that of another system.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.sound.baselines import matched_equaliser, plain_mix
from stylecore.analysis import analyse
from stylecore.encoder import Encoder
from stylecore.folded_alexnet import load_encoder, random_encoder
from stylecore.pairing import paired
from stylecore.settings import CORE_VERSION, Settings, preset
from stylecore.spectrogram import magnitude
from stylecore.synthesis import Pair, sound_log_spectrogram, synthesise
from stylecore.terms import TERMS
from tasks.audio.sound_files import SAMPLE_RATE

RANDOM_SEED = 0
LONG_GRIFFIN_LIM = 60
"""Iterations where Griffin-Lim is the end."""
COARSE_EVALUATIONS = 20
"""From noise, as many as the shape of a sound takes at half the resolution."""
CALIBRATION_S = 1.5
WEIGHTS = {term.name: term.weight.name for term in TERMS}

Samples = NDArray[np.floating]


class Diverged(Exception):
    """The optimisation left the finite numbers; there is no sound to measure."""


class Rendered(NamedTuple):
    """A result at any level: samples `[N]`, and the magnitudes `[F, T]` that they were meant to have, if any were."""

    samples: NDArray[np.float32]
    asked: NDArray[np.float32] | None = None
    facts: Mapping[str, object] = {}


@dataclass(frozen=True)
class System:
    """One row of the table.

    Attributes
    ----------
    name, what : str
        In the table, and in words.
    identity : mapping
        All that decides the result besides sounds and code, in JSON's types.
    render : callable
        From content and style to the result.
    group : {"system", "choice", "peer"}
        Which table of means shows it; a peer, somebody else's method, is no part of the quality tables.
    """

    name: str
    what: str
    identity: Mapping[str, object]
    render: Callable[[Samples, Samples], Rendered]
    group: Literal["system", "choice", "peer"] = "system"

    def timed(self, content: Samples, style: Samples) -> tuple[Rendered, float]:
        """Return the result and the seconds of processor time, of all threads together, that it took."""
        began = time.process_time()
        rendered = self.render(content, style)
        return rendered, time.process_time() - began


def all_systems(changes: Mapping[str, object], sounds: Sequence[Samples]) -> dict[str, System]:
    """Return every system by name, the choices last.

    Parameters
    ----------
    changes : mapping
        Settings put over both presets, for trying.
    sounds : sequence of ndarray
        Mono at 16 kHz; their beginnings calibrate the random network.

    Raises
    ------
    SettingsError
        If a change is unknown or out of bounds.
    """
    default, paper = (preset(name).resolve(changes) for name in ("default", "paper"))
    styles = default.resolve({"notes": "style"})
    shipped, chance = load_encoder(), random_encoder(RANDOM_SEED, calibration(sounds))
    listed = [
        _plain("content", "the content itself", _the_content),
        _neural("default", "the method with its default settings", default, shipped),
        _plain("equaliser", "the content, filtered to the style's average spectrum", matched_equaliser),
        _plain("mix", "content and style, mixed at equal RMS", plain_mix),
        _neural("paper", "the preset `paper`", paper, shipped),
        _neural("style-notes", "the default with notes = style", styles, shipped),
        _neural("style-notes-random", "the same with random, calibrated filters", styles, chance),
        _neural("style-notes-no-style", "the same with beta = 0", styles.resolve({"beta": 0.0}), shipped),
        _neural("random", "the default settings with random, calibrated filters", default, chance),
        *(
            _neural(f"no-{term}", f"the default with {weight} = 0", default.resolve({weight: 0.0}), shipped)
            for term, weight in WEIGHTS.items()
        ),
        *(
            replace(_neural(name, what, default.resolve(undone), shipped), group="choice")
            for name, (what, undone) in choices(default).items()
        ),
    ]
    return {system.name: system for system in listed}


def choices(default: Settings) -> dict[str, tuple[str, dict[str, object]]]:
    """Return by name what each choice is in words, and the settings that undo it.

    Evaluations follow the default's: moved from the sound to the log-spectrogram, doubled and halved.
    """
    log_spectrogram, sound, coarse = default.iterations, default.sound_iterations, default.coarse_iterations
    return {
        "no-salience": ("content counts alike everywhere, as in the paper", {"salience": 0.0}),
        "griffin-lim": (
            "all evaluations on the log-spectrogram; Griffin-Lim is the end, as in the paper",
            {"iterations": log_spectrogram + sound, "sound_iterations": 0, "griffin_lim_iterations": LONG_GRIFFIN_LIM},
        ),
        "no-consistency": ("nothing keeps log-spectrogram and sound the same in the last stage", {"consistency": 0.0}),
        "no-temporal-bands": ("L_e follows the whole frame alone, as in the paper", {"temporal_bands": 0}),
        "no-spectral-bands": ("L_t has no levels of narrow bands", {"spectral_bands": 0}),
        "one-gram": ("one Gram matrix per layer, as in the paper", {"style_bands": 1}),
        "content-4-5": ("content from the deepest layers", {"content_layers": (4, 5)}),
        "content-2-3": ("content from the paper's layers", {"content_layers": (2, 3)}),
        "style-3-4-5": ("style from the deep layers", {"style_layers": (3, 4, 5)}),
        "adam": ("Adam optimises the log-spectrogram", {"optimiser": "adam"}),
        "coarse-to-fine": (
            f"from noise, {COARSE_EVALUATIONS} evaluations at half the resolution first",
            {"coarse_iterations": COARSE_EVALUATIONS, "start": "noise"},
        ),
        "twice": ("twice the evaluations", _evaluations(2 * coarse, 2 * log_spectrogram, 2 * sound)),
        "half": ("half the evaluations", _evaluations(coarse // 2, max(1, log_spectrogram // 2), sound // 2)),
    }


def _evaluations(coarse: int, log_spectrogram: int, sound: int) -> dict[str, object]:
    return {"coarse_iterations": coarse, "iterations": log_spectrogram, "sound_iterations": sound}


def calibration(sounds: Sequence[Samples]) -> torch.Tensor:
    """Return log-spectrograms `[B, F, T]` of the first 1.5 s of each sound; shorter ones are repeated."""
    n_samples = round(CALIBRATION_S * SAMPLE_RATE)
    return torch.stack([sound_log_spectrogram(_tensor(np.resize(sound, n_samples)), SAMPLE_RATE) for sound in sounds])


def synthesised(settings: Settings, encoder: Encoder, content: Samples, style: Samples) -> Rendered:
    """Run the whole method on one pair: encode, optimise, find a phase, optimise both.

    Raises
    ------
    Diverged
        If there is no result.
    """
    (result,) = synthesise([encoded(settings, encoder, content, style)], encoder)
    if result.diverged:
        raise Diverged(f"the optimisation {result.stop_reason}")
    facts = {"evaluations": result.evaluations, "stop_reason": result.stop_reason}
    return Rendered(result.waveform.numpy(), magnitude(result.log_spectrogram).numpy(), facts)


def encoded(settings: Settings, encoder: Encoder, content: Samples, style: Samples) -> Pair:
    """Return content and style as the method takes them."""
    analyses = [analyse(_tensor(sound), settings.analysis_rate) for sound in (content, style)]
    return paired(analyses[0], analyses[1], len(content), encoder, settings)


def warm_up(systems: Sequence[System]) -> None:
    """Pay for what the libraries do on their first call, so that no pair does; one of the networks pays for all.

    A peer takes minutes even for a short sound, and starts cold.
    """
    noise = np.random.default_rng(0).normal(size=SAMPLE_RATE // 2)
    neural = [system for system in systems if system.identity and system.group != "peer"]
    for system in [*(system for system in systems if not system.identity), *neural[:1]]:
        system.render(noise, noise[::-1])


def _plain(name: str, what: str, function: Callable[[Samples, Samples], Samples]) -> System:
    return System(name, what, {}, partial(_rendered, function))


def _rendered(function: Callable[[Samples, Samples], Samples], content: Samples, style: Samples) -> Rendered:
    return Rendered(np.asarray(function(content, style), dtype=np.float32))


def _the_content(content: Samples, style: Samples) -> Samples:
    return content


def _neural(name: str, what: str, settings: Settings, encoder: Encoder) -> System:
    identity = {
        "settings": settings.model_dump(mode="json"),
        "weights": encoder.digest,
        "core_version": CORE_VERSION,
        "torch": torch.__version__,
    }
    return System(name, what, identity, partial(synthesised, settings, encoder))


def _tensor(sound: Samples) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(sound, dtype=np.float32))
