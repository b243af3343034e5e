"""The corpus flow in this process: in which state it ends, and what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from prefect.exceptions import ParameterTypeError
from prefect.states import State

from flows.cross_synthesis import NothingComputed, cross_synthesis
from manifests.schema import ManifestError
from stylecore.settings import Settings
from tasks.options import RunOptions
from tests.flows.sounds import QUICK, pair, write_manifest

pytestmark = pytest.mark.usefixtures("harness")
SETTINGS = Settings(**QUICK)  # type: ignore[arg-type]
CPU = RunOptions(device="cpu")


def run_flow(manifest: str, output: Path, settings: Settings = SETTINGS, options: RunOptions = CPU) -> State:
    """Run the flow to its end and return its final state."""
    return cross_synthesis(manifest, str(output), settings, options, return_state=True)  # type: ignore[return-value]


def record(output: Path) -> dict[str, object]:
    """Return the newest run record."""
    return json.loads(max((output / "runs").glob("*.json")).read_text())


def test_all_pairs_computed_is_completed_and_the_next_run_is_up_to_date(sounds: Path) -> None:
    manifest, output = write_manifest(sounds / "m.parquet", [pair("harp_phrase"), pair("flute_phrase")]), sounds / "out"

    state = run_flow(manifest, output)
    assert state.is_completed()
    assert state.message == "2 pairs computed"
    table = pd.read_parquet(output / "results.parquet")
    assert list(table["status"]) == ["succeeded", "succeeded"]
    assert record(output)["state"] == "completed"
    assert record(output)["computed"] == 2

    again = run_flow(manifest, output)
    assert again.is_completed()
    assert again.message == "all pairs are up to date"
    assert record(output)["computed"] == 0
    pd.testing.assert_frame_equal(pd.read_parquet(output / "results.parquet"), table)


def test_some_failed_pairs_complete_and_say_so_loudly(sounds: Path) -> None:
    manifest = write_manifest(sounds / "m.parquet", [pair("harp_phrase"), pair("not_audio.wav")])
    state = run_flow(manifest, sounds / "out")
    assert state.is_completed()
    assert state.message == "1 pairs computed, 1 FAILED"
    table = pd.read_parquet(sounds / "out" / "results.parquet")
    assert list(table["status"]) == ["succeeded", "failed"]
    assert "not_audio.wav" in table["error_message"].iloc[1]


def test_nothing_computed_is_failed_and_names_the_kind_of_failure(sounds: Path) -> None:
    manifest = write_manifest(sounds / "m.parquet", [pair("not_audio.wav"), pair("no_such_file.wav")])
    state = run_flow(manifest, sounds / "out")
    assert state.is_failed()
    with pytest.raises(NothingComputed, match=r"all 2 pairs failed .*1 x missing"):
        state.result()
    assert len(pd.read_parquet(sounds / "out" / "results.parquet")) == 2
    assert record(sounds / "out")["failed"] == 2


def test_pairs_that_failed_permanently_are_left_alone_by_the_next_run(sounds: Path) -> None:
    manifest = write_manifest(sounds / "m.parquet", [pair("not_audio.wav")])
    assert run_flow(manifest, sounds / "out").is_failed()
    assert run_flow(manifest, sounds / "out").is_completed()
    assert run_flow(manifest, sounds / "out", options=RunOptions(device="cpu", retry_failed=True)).is_failed()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"content": "content/harp_phrase.wav"}], "style"),
        ([pair(pair_id="one"), pair("flute_phrase", pair_id="one")], "pair_id.*one"),
        ([pair(iterations=0)], "iterations"),
    ],
)
def test_a_bad_manifest_fails_before_anything_is_written(
    sounds: Path, rows: list[dict[str, object]], said: str
) -> None:
    manifest = write_manifest(sounds / "m.parquet", rows)
    state = run_flow(manifest, sounds / "out")
    assert state.is_failed()
    with pytest.raises(ManifestError, match=said) as caught:
        state.result()
    assert manifest in str(caught.value)
    assert not (sounds / "out").exists()


def test_a_missing_manifest_fails(sounds: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.parquet"):
        run_flow(str(sounds / "none.parquet"), sounds / "out").result()


@pytest.mark.parametrize("settings", [{"iterations": 0}, {"iterationen": 5}, {"alpha": "much"}])
def test_settings_that_are_wrong_are_refused_by_parameter_validation(sounds: Path, settings: dict[str, object]) -> None:
    with pytest.raises(ParameterTypeError, match=next(iter(settings))):
        cross_synthesis.validate_parameters({"manifest": "m", "output": "o", "settings": settings})
