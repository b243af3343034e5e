"""The `timbreflow` command as a user types it: exit codes, messages, and what it writes."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from flows import cli
from flows.command_options import chosen_settings
from tests.conftest import Typed
from tests.flows.processes import environment, run
from tests.flows.sounds import QUICK, pair, write_manifest

NOBODY = "http://127.0.0.1:9/api"
FAST = [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]
COMMANDS = [
    ("run",),
    ("report",),
    ("pair",),
    ("results",),
    ("doctor",),
    ("pretrain",),
    ("manifest", "build"),
    ("manifest", "check"),
    ("export", "folder"),
    ("export", "hf"),
    ("export", "reaper"),
    ("export", "webdataset"),
]


@pytest.fixture
def timbreflow(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Return the command in the test's folder."""
    monkeypatch.chdir(tmp_path)
    return typed


@pytest.fixture
def with_server(typed_with_server: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Return the command, for those who name a server, in the test's folder."""
    monkeypatch.chdir(tmp_path)
    return typed_with_server


def assert_refused(result: tuple[int, str], *named: str) -> None:
    """Assert exit code 2 and one message that names what is wrong, without a traceback."""
    code, said = result
    assert code == 2, said
    assert "Traceback" not in said
    assert said.count("Error") == 1
    for name in named:
        assert name in said


def test_the_version_is_told(timbreflow: Typed) -> None:
    assert timbreflow("--version") == (0, f"timbreflow {version('timbreflow')}\n")


def test_failed_pairs_exit_1_and_the_table_says_why(with_server: Typed, timbreflow: Typed, sounds: Path) -> None:
    bad = [pair("not_audio.wav", pair_id="bad", alhpa=2.0), pair("not_audio.wav", "glass_rub", pair_id="later")]
    manifest = write_manifest(sounds / "m.parquet", [*bad, pair("harp_phrase", pair_id="harp")])

    code, said = with_server("run", manifest, "out", "--limit", "2", *FAST)
    assert code == 1, said
    assert "1 FAILED" in said
    assert "not_audio.wav" in said
    assert "column 'alhpa' is taken for one of your own" in " ".join(said.split())
    assert "1 left for the next run" in said
    assert f"Listen and look: {sounds}/out/report/index.html" in said
    assert "1 of 2 pairs failed" in (sounds / "out/report/index.html").read_text()
    code, said = timbreflow("results", "out", "--status", "failed")
    assert code == 0, said
    assert "not_audio.wav" in said
    assert "harp" not in said

    flute = (sounds / "content" / "flute_phrase.wav").read_bytes()
    (sounds / "not_audio.wav").write_bytes(flute)
    code, said = with_server("run", manifest, "out", "--retry-failed", "--export", "named", *FAST)
    assert code == 0, said
    assert "2 pairs computed" in said
    assert "Exported: 3 files in" in said
    assert sorted(path.name for path in (sounds / "named").glob("*.flac")) == [
        "harp_phrase__violin_sustained.flac",
        "not_audio__glass_rub.flac",
        "not_audio__violin_sustained.flac",
    ]
    assert list(pd.read_parquet(sounds / "out" / "results.parquet")["status"]) == ["succeeded"] * 3
    code, said = with_server("run", manifest, "out", "--json", *FAST)
    told = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    assert (code, told["state"], told["computed"], told["counts"]["up_to_date"]) == (0, "completed", 0, 3)


def test_only_failed_pairs_exit_1_also_when_they_are_left_or_tried_again(with_server: Typed, sounds: Path) -> None:
    manifest = write_manifest(sounds / "m.parquet", [pair("not_audio.wav")])
    for more, words in (
        ((), "all 1 pairs failed"),
        ((), "nothing was computed. 1 failed before"),
        (("--retry-failed",), "all 1 pairs failed"),
    ):
        code, said = with_server("run", manifest, "out", *FAST, *more)
        assert code == 1, said
        assert words in said
        assert "Traceback" not in said


def test_a_bad_manifest_is_refused_by_run(with_server: Typed, sounds: Path) -> None:
    manifest = write_manifest(sounds / "m.parquet", [{"content": "content/harp_phrase.wav"}])
    assert_refused(with_server("run", manifest, "out"), "m.parquet", "style")
    assert_refused(with_server("manifest", "check", "none.parquet"), "none.parquet")
    assert not (sounds / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--set", "itertions=5"), ("itertions='5': unknown setting", "did you mean 'iterations'?")),
        (("--set", "iterations=0"), ("iterations='0'", "greater than or equal to 1")),
        (("--preset", "loud"), ("preset='loud'", "default, paper")),
        (("--device", "abacus"), ("device='abacus'",)),
    ],
)
def test_wrong_settings_and_options_are_refused(
    timbreflow: Typed, sounds: Path, arguments: tuple[str, ...], named: tuple[str, ...]
) -> None:
    manifest = write_manifest(sounds / "m.parquet", [pair()])
    assert_refused(timbreflow("run", manifest, "out", *arguments), *named)
    assert not (sounds / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--set volume=5", "volume='5': unknown setting; known are notes, strength"),
        ("--set iterations", "--set 'iterations': a setting and its value, for example `--set iterations=8`"),
        ("--set =5", "--set '=5': a setting and its value, for example `--set strength=0.8`"),
        ("--preset Papr", "preset='Papr': unknown; did you mean 'paper'?"),
        ("--device gpu", "device='gpu': use auto, cpu, mps, cuda, or cuda:N for one of several GPUs, counted from 0"),
        ("--shards 1-2", "shards='1-2': '1-2' is no slice of the shards: write 0/2 for the first of two"),
        ("--runner rays", "runner='rays': input should be 'threads' or 'ray'"),
    ],
)
def test_what_is_wrong_is_said_in_the_users_words(arguments: str, told: str, timbreflow: Typed) -> None:
    code, said = timbreflow("run", "m.parquet", "out", *arguments.split())
    assert code == 2
    assert said.startswith(f"Error: {told}")


def test_a_setting_may_be_written_with_spaces() -> None:
    assert chosen_settings("default", [" alpha = 3 ", "content_layers = 1, 2"]).alpha == 3.0


def test_dry_run_counts_and_estimates_and_writes_nothing(timbreflow: Typed, sounds: Path) -> None:
    manifest = write_manifest(sounds / "m.parquet", [pair("harp_phrase"), pair("flute_phrase"), pair("not_audio.wav")])
    before = sorted(sounds.rglob("*"))
    code, said = timbreflow("run", manifest, "out", "--dry-run", *FAST)
    assert code == 0, said
    assert ["new", "3"] in [line.replace("│", " ").split() for line in said.splitlines()]
    assert re.search(r"About [0-9.]+ (s|min|h) for 1\.\d s of audio here", said)
    assert sorted(sounds.rglob("*")) == before
    assert "1 sound of 1 pair cannot be read, not_audio" in said


def test_pair_writes_one_sound_and_asks_for_no_server(
    timbreflow: Typed, sounds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "reach_server", lambda: pytest.fail("a server was asked for"))
    with temporary_settings({PREFECT_API_URL: NOBODY, PREFECT_HOME: sounds / "prefect"}):
        code, said = timbreflow("pair", "content/harp_phrase.wav", "style/glass_rub.wav", "new/out.flac", *FAST)
    assert code == 0, said
    assert "timbre_transfer" in said
    assert soundfile.info(sounds / "new" / "out.flac").format == "FLAC"
    assert not (sounds / "prefect").exists()


def test_pair_says_what_is_wrong(timbreflow: Typed, sounds: Path) -> None:
    code, said = timbreflow("pair", "nowhere.wav", "style/glass_rub.wav", "out.flac", *FAST)
    assert code == 1
    assert "nowhere.wav" in said
    assert "Traceback" not in said
    assert not (sounds / "out.flac").exists()


def test_results_refuses_a_status_that_is_none_and_a_folder_without_results(timbreflow: Typed) -> None:
    assert_refused(timbreflow("results", "out", "--status", "great"), "great", "succeeded or failed")
    assert_refused(timbreflow("results", "empty"), "empty")
    assert_refused(timbreflow("results", "brackets [/b] stay"), "brackets [/b] stay")
    assert_refused(timbreflow("results", "ftp://host/folder"), "ftp", "s3://")


@pytest.mark.parametrize(("pairing", "pairs"), [("cross", 4), ("zip", 2), ("sample:3", 3)])
def test_manifest_build_and_check_agree(timbreflow: Typed, sounds: Path, pairing: str, pairs: int) -> None:
    (sounds / "content" / "._harp.wav").touch()
    (sounds / "style" / "notes.txt").touch()
    code, said = timbreflow(
        *("manifest", "build", "--content", "content", "--style", "style/*.wav", "--pairing", pairing),
        *("--out", "m.parquet"),
    )
    assert code == 0, said
    assert f"{pairs} pairs" in said
    assert "Note: 1 file was left out as hidden" in said
    assert len(pd.read_parquet(sounds / "m.parquet")) == pairs
    code, said = timbreflow("manifest", "check", "m.parquet")
    assert code == 0, said
    assert f"{pairs} pairs" in said


def test_manifest_from_csv_keeps_the_users_columns(timbreflow: Typed, sounds: Path) -> None:
    (sounds / "m.csv").write_text("content;style;mood;sed\n~/harp_phrase.wav;style/glass_rub.wav;007;1\n")
    code, said = timbreflow("manifest", "build", "--from", "m.csv", "--out", "m.parquet")
    assert code == 0, said
    code, said = timbreflow("manifest", "check", "m.parquet")
    assert code == 0, said
    assert "mood" in said
    assert "Is it 'seed'?" in said
    assert "column 'content', row 1: '~/harp_phrase.wav': ~ is not replaced here" in said
    assert list(pd.read_parquet(sounds / "m.parquet")["mood"]) == ["007"]


def test_manifest_check_and_build_refuse_what_is_wrong(timbreflow: Typed, sounds: Path) -> None:
    manifest = write_manifest(sounds / "m.parquet", [pair(iterations=0)])
    assert_refused(timbreflow("manifest", "check", manifest), "m.parquet", "iterations")
    build = ("manifest", "build", "--out", "n.parquet", "--style", "style", "--content")
    assert_refused(timbreflow(*build, "content", "--pairing", "all"), "all")
    assert_refused(timbreflow(*build, "nowhere"), "nowhere")
    assert not (sounds / "n.parquet").exists()
    assert_refused(timbreflow("manifest", "build", "--from", "m.csv", "--out", "n.csv"), "n.csv", "n.parquet")
    assert_refused(timbreflow(*build, "content", "--from", "m.csv"), "--from", "--content")


def test_pretrain_without_a_soundfont_names_the_package(timbreflow: Typed, tmp_path: Path) -> None:
    soundfont = str(tmp_path / "none.sf2")
    result = timbreflow("pretrain", "--soundfont", soundfont, "--unseen-soundfont", soundfont, "--out", "weights")
    assert_refused(result, "apt-get install")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_shows_an_example(timbreflow: Typed, command: tuple[str, ...]) -> None:
    code, said = timbreflow(*command, "--help")
    assert code == 0, said
    assert f"Example: timbreflow {' '.join(command)}" in " ".join(said.split())


def test_help_imports_neither_torch_nor_prefect(tmp_path: Path) -> None:
    code, said = run(
        *("python", "-c"),
        "import sys; from flows.cli import app; app(['--help'], standalone_mode=False); "
        "print(sorted({'torch', 'prefect', 'pandas', 'librosa'} & set(sys.modules)))",
        env=environment(tmp_path),
    )
    assert code == 0, said
    assert said.rstrip().endswith("[]")
