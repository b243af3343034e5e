"""A corpus to cause faults in: several shards, a pair that fails permanently, and what a whole result of it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO

import numpy as np
import pandas as pd
import soundfile

from manifests.files import join
from tasks.audio.sound_files import decode_flac, samples_sha256
from tasks.ledger.query import SHOWN
from tasks.storage.storage import Storage
from tests.flows.processes import run
from tests.flows.sounds import DEMO
from tests.tasks.corpus import attempts, parts, read_table, write_manifest

BRIEF = {"coarse_iterations": 2, "iterations": 3, "sound_iterations": 1, "griffin_lim_iterations": 2}
SHARD_AUDIO_S = 2
FAST = ["--device", "cpu", "--shard-audio-s", str(SHARD_AUDIO_S)]
FAST += [part for name, value in BRIEF.items() for part in ("--set", f"{name}={value}")]

ALONE_S, TOGETHER_S = 1.1, 0.2
"""A shard holds 2 s of audio: of the longer contents each has one of its own, the shorter ones share one."""

LONG = ("harp_phrase", "flute_phrase", "cello_phrase", "singing_phrase")
SHORT = ("drum_loop", "harp_phrase", "flute_phrase")
STYLES = ("violin_sustained", "glass_rub")

SAME = ["pair_id", "status", "error_type", "fingerprint", "samples_sha256", "file_sha256", "seed", "mood", *SHOWN]
"""Columns that no fault may change."""


def write_corpus(root: str) -> str:
    """Write sounds and a manifest below a root, local or on S3; return the manifest's URI. Pair ids do not tell where.

    The short sounds share a shard, which so writes several files before its rows; one of them is silent.
    """
    for folder, names, duration_s in (("long", LONG, ALONE_S), ("short", SHORT, TOGETHER_S), ("style", STYLES, 0.4)):
        for name in names:
            samples, rate = soundfile.read(DEMO / f"{name}.flac")
            _write_sound(join(root, folder, f"{name}.wav"), np.resize(samples, round(duration_s * rate)), rate)
    _write_sound(join(root, "short/silent.wav"), np.zeros(round(TOGETHER_S * 16_000)), 16_000)
    rows = [_row(f"long/{name}", "glass_rub", "long") for name in LONG]
    rows += [_row(f"short/{name}", style, "short") for name in (*SHORT, "silent") for style in STYLES]
    return write_manifest(join(root, "pairs.parquet"), rows)


def _write_sound(uri: str, samples: np.ndarray, rate: int) -> None:
    data = BytesIO()
    soundfile.write(data, samples, rate, format="WAV")
    Storage().create(uri, data.getvalue())


def _row(content: str, style: str, mood: str) -> dict[str, str]:
    return {"content": f"{content}.wav", "style": f"style/{style}.wav", "mood": mood}


def run_command(manifest: str, output: str, env: dict[str, str], *more: str) -> tuple[int, str]:
    """Run `timbreflow run` to its end; return its exit code and what it said."""
    return run("timbreflow", "run", manifest, output, *FAST, *more, env=env)


def assert_went_through(result: tuple[int, str]) -> None:
    """Assert that a run reached its end; 1 is the silent pair, if this run was the one to meet it."""
    code, said = result
    assert code in (0, 1), said
    assert "Traceback" not in said, said
    assert "results.parquet" in said


def assert_refused(result: tuple[int, str], *named: str) -> None:
    """Assert exit code 2 and, as the last word, one error that names what is wrong; no traceback anywhere."""
    code, said = result
    assert code == 2, said
    assert "Traceback" not in said, said
    lines = [line for line in said.splitlines() if line.strip()]
    assert lines[-1].startswith("Error: "), said
    assert sum(line.startswith("Error:") for line in lines) == 1, said
    for name in named:
        assert name in lines[-1], said


@dataclass
class Damage:
    """Pairs that a fault cost: gone, changed or without whole audio; in the table twice, or computed twice."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)


def damage(reference: pd.DataFrame, output: str) -> Damage:
    """Compare an output root with the table of an uninterrupted run, audio and history included."""
    table, history = read_table(output), attempts(output)
    found = {row["pair_id"]: row for row in table.to_dict("records")}
    lost = [
        str(row["pair_id"])
        for row in reference.to_dict("records")
        if row["pair_id"] not in found
        or not _same(row, found[row["pair_id"]])
        or (row["status"] == "succeeded" and not _is_whole(found[row["pair_id"]]))
    ]
    again = history.loc[history["fingerprint"].duplicated(), "pair_id"]
    doubled = [*table.loc[table["pair_id"].duplicated(), "pair_id"], *again, *(set(found) - set(reference["pair_id"]))]
    return Damage(lost, sorted(map(str, doubled)))


def _same(row: dict, other: dict) -> bool:
    return all(_alike(row[name], other[name]) for name in SAME)


def _alike(one: object, other: object) -> bool:
    """Return whether two values are the same; figures to nine digits: BLAS with more threads sums in another order."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    return one == other or (pd.isna(one) and pd.isna(other))


def _is_whole(row: dict) -> bool:
    """Say whether the audio that a row names is all there, down to the last decoded sample."""
    try:
        data = Storage().read(row["output"])
        pcm = decode_flac(data)
    except (OSError, soundfile.LibsndfileError):
        return False
    return sha256(data).hexdigest() == row["file_sha256"] and samples_sha256(pcm) == row["samples_sha256"]


def stray_audio(output: str, table: pd.DataFrame) -> set[str]:
    """Return the files among the audio that no row names."""
    return set(Storage().find(join(output, "audio"))) - set(table["output"].dropna())


def committed(output: str) -> dict[str, bytes]:
    """Return the bytes of every committed part by its URI."""
    return {uri: Storage().read(uri) for uri in parts(output)}


def fingerprints(uris: Sequence[str]) -> set[str]:
    """Return the fingerprints of the rows in some parts."""
    files = Storage()
    return {name for uri in uris for name in pd.read_parquet(BytesIO(files.read(uri)))["fingerprint"]}
