"""What the settings accept, what they refuse, and what they say about it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from manifests.fingerprint import fingerprint
from stylecore.errors import StylecoreError
from stylecore.settings import NEUTRAL, PRESETS, Settings, SettingsError, checked_settings, preset


def test_importing_settings_leaves_torch_alone() -> None:
    code = "import stylecore.settings, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_default_preset_is_the_default() -> None:
    assert preset("default") == Settings()
    assert checked_settings({}) == Settings()


def test_the_paper_preset_follows_the_paper() -> None:
    paper = preset("paper")
    assert min(paper.alpha, paper.beta, paper.gamma, paper.delta) > 0  # all four terms of equation 1
    assert paper.style_bands == 1  # one Gram matrix
    assert paper.salience == 0
    assert paper.temporal_reference == "style"
    assert paper.temporal_bands == 0  # the energy of whole frames
    assert paper.coarse_iterations == paper.sound_iterations == 0  # one resolution; Griffin-Lim is the end


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_survives_its_json(name: str) -> None:
    assert Settings.model_validate_json(preset(name).model_dump_json()) == preset(name)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"preset='loud': unknown; known are default, paper"):
        preset("loud")


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("alpha", -1, "greater than or equal to 0"),
        ("alpha", 10_001.0, "less than or equal to 10000"),
        ("beta", -0.5, "greater than or equal to 0"),
        ("gamma", float("inf"), "finite"),
        ("delta", float("nan"), "finite"),
        ("alpha", "loud", "valid number"),
        ("style_bands", 0, "greater than or equal to 1"),
        ("style_bands", 258, "less than or equal to 257"),
        ("temporal_reference", "both", "'content' or 'style'"),
        ("envelopes", "mel", "'log', 'energy' or 'level'"),
        ("optimiser", "sgd", "'lbfgs' or 'adam'"),
        ("learning_rate", 0.0, "greater than 0"),
        ("learning_rate", 11.0, "less than or equal to 10"),
        ("iterations", 0, "greater than or equal to 1"),
        ("iterations", 10_001, "less than or equal to 10000"),
        ("iterations", 1.5, "valid integer"),
        ("tolerance", 1.0, "less than 1"),
        ("tolerance", -1e-9, "greater than or equal to 0"),
        ("griffin_lim_iterations", 0, "greater than or equal to 1"),
        ("griffin_lim_momentum", 1.0, "less than 1"),
        ("sample_rate", 44_100, "16000"),
        ("notes", "both", "'content' or 'style'"),
        ("strength", -0.1, "greater than or equal to 0"),
        ("strength", 2.1, "less than or equal to 2"),
        ("start", "content", "'noise' or 'target'"),
        ("temporal_reach", -1, "greater than or equal to 0"),
        ("temporal_reach", 3_001, "less than or equal to 3000"),
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**31, "less than 2147483648"),
    ],
)
def test_a_value_out_of_bounds_is_named_with_its_bound(name: str, value: object, bound: str) -> None:
    with pytest.raises(SettingsError) as refused:
        checked_settings({name: value})
    assert str(refused.value).startswith(f"{name}={value!r}: ")
    assert bound in str(refused.value)


@pytest.mark.parametrize("name", ["content_layers", "style_layers"])
@pytest.mark.parametrize("layers", [(0,), (6,), (1, 6), (2, 2)])
def test_layers_are_different_numbers_from_1_to_5(name: str, layers: tuple[int, ...]) -> None:
    with pytest.raises(SettingsError) as refused:
        checked_settings({name: layers})
    assert str(refused.value) == f"{name}={layers}: layers are different numbers from 1 to 5"


@pytest.mark.parametrize("name", ["content_layers", "style_layers"])
def test_no_layers_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"{name}=\(\): .*at least 1"):
        checked_settings({name: ()})


def test_weights_that_are_all_zero_are_refused() -> None:
    with pytest.raises(SettingsError, match="alpha, beta, gamma and delta are all 0"):
        checked_settings(dict.fromkeys(("alpha", "beta", "gamma", "delta"), 0))


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma", "delta"])
def test_one_weight_is_enough(name: str) -> None:
    settings = checked_settings({"alpha": 0, "beta": 0, "gamma": 0, "delta": 0, name: 2.0})
    assert getattr(settings, name) == 2.0


def test_an_unknown_setting_is_refused_with_the_one_that_was_meant_or_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"aplha=2: unknown setting; did you mean 'alpha'\?"):
        checked_settings({"aplha": 2})
    with pytest.raises(SettingsError, match=r"loudness=2: unknown setting; known are notes, strength, alpha, beta,"):
        checked_settings({"loudness": 2})


def test_settings_for_everybody_come_first_and_the_others_say_so() -> None:
    """Prefect's form shows fields in this order, each with its description."""
    fields = Settings.model_fields
    weights = ["alpha", "beta", "gamma", "delta"]
    everybody = ["notes", "strength", *weights, "seed", "sample_rate", "channels", "file_format"]
    everybody += ["content_start_s", "content_end_s", "style_start_s", "style_end_s"]
    assert list(fields)[: len(everybody)] == everybody
    expert = [name for name, field in fields.items() if (field.description or "").startswith("Expert: ")]
    assert expert == list(fields)[len(everybody) :]


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(SettingsError, match=r"alpha=-1: .*; seed=-2: .*"):
        checked_settings({"alpha": -1, "seed": -2})


def test_settings_are_frozen_and_equal_by_value() -> None:
    settings = Settings(alpha=2.0)
    with pytest.raises(ValidationError, match="frozen"):
        settings.alpha = 3.0
    assert hash(settings) == hash(Settings(alpha=2.0))


def test_changes_are_put_over_settings_and_checked() -> None:
    base = Settings(alpha=2.0)
    changed = base.resolve({"beta": 5.0, "iterations": 7})
    assert (changed.alpha, changed.beta, changed.iterations) == (2.0, 5.0, 7)
    assert (base.beta, base.iterations) == (PRESETS["default"].beta, PRESETS["default"].iterations)
    with pytest.raises(SettingsError, match="iterations=0"):
        base.resolve({"iterations": 0})


def test_a_settings_error_is_one_of_the_core_and_a_value_error() -> None:
    assert issubclass(SettingsError, StylecoreError)
    assert issubclass(SettingsError, ValueError)


FROZEN = {
    "alpha": 400.0,
    "beta": 300.0,
    "coarse_iterations": 0,
    "consistency": 200.0,
    "content_layers": [1, 2],
    "delta": 100.0,
    "envelopes": "log",
    "gamma": 200.0,
    "griffin_lim_iterations": 32,
    "griffin_lim_momentum": 0.99,
    "iterations": 8,
    "learning_rate": 0.1,
    "notes": "content",
    "optimiser": "lbfgs",
    "salience": 1.0,
    "sample_rate": 16000,
    "seed": 5,
    "sound_iterations": 15,
    "spectral_bands": 64,
    "start": "target",
    "strength": 1.0,
    "style_bands": 64,
    "style_layers": [1, 2, 3],
    "temporal_bands": 64,
    "temporal_reach": 5,
    "temporal_reference": "content",
    "tolerance": 0.0001,
}
"""A record of settings as somebody may have stored it: not the defaults, which may move."""


def test_the_fingerprint_of_stored_settings_stays() -> None:
    """Whoever changes it has every result of every user computed again: that takes a new CORE_VERSION."""
    text = checked_settings(FROZEN).canonical_json()
    assert fingerprint("c" * 64, "s" * 64, text, "w" * 64, 4) == "07f4eace87cce31dea10ffc4bfbc8279fd692ac7"


def test_the_fingerprint_does_not_depend_on_whether_neutral_settings_are_spelled_out() -> None:
    silent = {name: value for name, value in FROZEN.items() if name not in NEUTRAL}
    assert checked_settings(silent).canonical_json() == checked_settings(FROZEN).canonical_json()
    assert json.loads(checked_settings(FROZEN).canonical_json()) == silent


def test_neutral_values_are_the_defaults() -> None:
    assert {name: getattr(Settings(), name) for name in NEUTRAL} == NEUTRAL


@pytest.mark.parametrize(("name", "value"), [("notes", "style"), ("strength", 0.5), ("strength", 0.0)])
def test_a_setting_that_does_something_is_in_the_json(name: str, value: object) -> None:
    text = Settings().resolve({name: value}).canonical_json()
    assert json.loads(text)[name] == value
    assert checked_settings(json.loads(text)) == Settings().resolve({name: value})


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_canonical_json_gives_the_settings_back(name: str) -> None:
    assert checked_settings(json.loads(preset(name).canonical_json())) == preset(name)


def test_what_is_laid_out_holds_its_rhythm_with_a_quarter_of_gamma() -> None:
    """And strength mixes spectrograms there; with the style's notes it scales beta and delta instead."""
    laid_out, imprint = (Settings(notes=notes, strength=0.5, gamma=200.0) for notes in ("content", "style"))
    assert laid_out.weights == (laid_out.alpha, laid_out.beta, 50.0, laid_out.delta)
    assert imprint.weights == (imprint.alpha, imprint.beta / 2, 200.0, imprint.delta / 2)
