"""Plan a run: identify the manifest's sounds, cut shards, and leave out what the history already holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray
from prefect import task
from prefect.cache_policies import NO_CACHE

from manifests.reading.compact_pairs import Manifest
from manifests.results.planned_history import FAILED_TRANSIENTLY, Outcomes, compared_with_audio, look_up
from manifests.results.replacement_guard import refuse_another_manifest
from manifests.sharding import cut_shards, shard_layout_digest
from stylecore.settings import RATES, SOUNDS, Settings, SoundOfPair
from stylecore.weights import Weights
from tasks.audio.catalog import Sound, identify, read_memo, write_memo
from tasks.audio.lengths import LONGEST_S
from tasks.audio.style_catalog import Catalogue, catalogued
from tasks.options import RunOptions
from tasks.planning.actions import ACTIONS, PlanCounts, choose_actions, is_work
from tasks.planning.plan_table import (
    plan_rows,
    plan_uri,
    user_columns_uri,
    with_fingerprints,
    with_licences,
    with_lost_audio,
    write_plan,
)
from tasks.planning.planned_excerpts import seconds_used
from tasks.storage.network_weights import read_weights
from tasks.storage.preflight import refuse_small_disk, refuse_small_temporary_folder
from tasks.storage.storage import Storage

USUAL_EVALUATIONS = 70
"""Evaluations of the objective beyond which a second of audio counts for more, so that a shard holds less of it."""


@dataclass(frozen=True)
class Plan:
    """What travels between tasks: where the plan lies, which shards hold work, and how much.

    `pending_work_s` is that audio in seconds at 16 kHz: one at 48 kHz is the work of three. `seconds_per_second` is
    what such a second has cost in this output root so far, None if nothing has. `shard_layout` is a digest of
    which pair is in which shard.
    """

    uri: str
    shards: tuple[int, ...]
    counts: PlanCounts
    pending_audio_s: float
    pending_work_s: float
    seconds_per_second: float | None
    shard_layout: str = ""


@dataclass(frozen=True)
class PlannedManifest:
    """Every pair of a manifest with what a run does with it, in the order of the shards.

    Attributes
    ----------
    pairs : pyarrow.Table
        Compact, see `tasks.planning.plan_table`.
    sounds : Catalogue
        The manifest's sounds.
    settings : Settings
        Of the run.
    weights : Weights
        Of the network.
    """

    pairs: pa.Table
    sounds: Catalogue
    settings: Settings
    weights: Weights

    def rows(self) -> Iterator[pa.Table]:
        """Give the rows as they are written, some thousand at a time."""
        return plan_rows(self.pairs, self.sounds, self.settings)

    def pending_samples(self) -> float:
        """Return how many samples, in all channels, will be written."""
        per_second = _of_contents(self.pairs, lambda uri: self._samples_per_second(self.sounds.files[uri]))
        working = is_work(self.pairs.column("action").combine_chunks().indices.to_numpy())
        return float((per_second * self.pairs.column("duration_s").to_numpy())[working].sum())

    def unpacked_bytes(self) -> float:
        """Return how large the longest content will be once it is unpacked, 0 if none is computed in segments."""
        per_second = _of_contents(
            self.pairs, lambda uri: self.sounds.files[uri].sample_rate * self.sounds.files[uri].channels
        )
        durations = self.pairs.column("duration_s").to_numpy()
        working = is_work(self.pairs.column("action").combine_chunks().indices.to_numpy())
        unpacked = np.where(working & (durations > LONGEST_S), durations * per_second, 0.0)
        return float(unpacked.max(initial=0.0)) * np.dtype(np.float32).itemsize

    def _samples_per_second(self, content: Sound) -> int:
        channels = content.channels if self.settings.channels == "keep" else 1
        return self.settings.output_rate(content.sample_rate) * channels

    def summary(self, uri: str, outcomes: Outcomes) -> Plan:
        """Return what travels of the plan, once it is written."""
        actions = self.pairs.column("action").combine_chunks().indices.to_numpy()
        working = is_work(actions)
        counts = np.bincount(actions, minlength=len(ACTIONS)).tolist()
        durations = self.pairs.column("duration_s").to_numpy()[working]
        rates = self.pairs.column("analysis_rate").to_numpy()[working]
        spent_on = sum(
            audio_s * float(work_per_second(self.settings.at_rate_for(rate).analysis_rate))
            for rate, audio_s in outcomes.audio_s.items()
        )
        return Plan(
            uri=uri,
            shards=tuple(np.unique(self.pairs.column("shard").to_numpy()[working]).tolist()),
            counts=PlanCounts(*counts),
            pending_audio_s=float(durations.sum()),
            pending_work_s=float((durations * work_per_second(rates)).sum()),
            seconds_per_second=outcomes.seconds / spent_on if spent_on else None,
            shard_layout=shard_layout_digest(self.pairs),
        )


def make_plan(
    manifest: Manifest, output: str, settings: Settings, options: RunOptions, files: Storage
) -> tuple[PlannedManifest, Plan]:
    """Plan a run without writing anything.

    Parameters
    ----------
    manifest : Manifest
        The pairs, read and found good.
    output : str
        URI of the output root.
    settings, options
        Of the run; rows may put their own settings over them.
    files : Storage
        Local and S3 storage.

    Returns
    -------
    PlannedManifest
        Every pair.
    Plan
        Its summary, as if it were written.

    Raises
    ------
    ManifestError
        If the manifest lacks most pairs of the results so far; nothing has been computed then.
    WeightsError
        If the weights cannot be read.
    """
    pairs = manifest.pairs
    if not options.replace:
        refuse_another_manifest(files, output, pairs.column("pair_id"))
    memo = read_memo(output, files)
    sounds = catalogued(_named(pairs, "content"), _named(pairs, "style"), memo, files)
    weights = read_weights(options.weights, files)
    planned, outcomes = _looked_up(pairs, sounds, output, settings, weights, options, files)
    corrected = _read_again(planned.filter(outcomes.states == FAILED_TRANSIENTLY), sounds, memo, files)
    if corrected != sounds:
        sounds = corrected
        planned, outcomes = _looked_up(pairs, sounds, output, settings, weights, options, files)
    outcomes, lost = compared_with_audio(files, output, planned.column("fingerprint"), outcomes)
    planned = with_licences(with_lost_audio(planned, lost), manifest.user)
    actions = pa.DictionaryArray.from_arrays(pa.array(choose_actions(planned, outcomes, options)), pa.array(ACTIONS))
    whole = PlannedManifest(planned.append_column("action", actions), sounds, settings, weights)
    return whole, whole.summary("", outcomes)


def plan_run(manifest: Manifest, output: str, settings: Settings, options: RunOptions, run_id: str) -> Plan:
    """Plan a run and write the plan beside the results, where its shards read it."""
    files = Storage()
    planned, plan = make_plan(manifest, output, settings, options, files)
    refuse_small_disk(output, planned.pending_samples(), len(plan.shards))
    refuse_small_temporary_folder(manifest.pairs.num_rows, planned.unpacked_bytes())
    uri = plan_uri(output, run_id)
    write_plan(uri, files, planned.rows(), planned.weights.digest)
    if manifest.user is not None:
        with files.writing(user_columns_uri(output, run_id)) as sink:
            pq.write_table(manifest.user, sink)
    write_memo(output, planned.sounds.files.values(), files)
    return replace(plan, uri=uri)


def _looked_up(
    pairs: pa.Table,
    sounds: Catalogue,
    output: str,
    settings: Settings,
    weights: Weights,
    options: RunOptions,
    files: Storage,
) -> tuple[pa.Table, Outcomes]:
    """Return the pairs in the order of their shards, with their fingerprints, and what the history says of them."""
    contents = sounds.of("content")
    durations, rates = seconds_used(pairs, "content", contents, settings), _rates(pairs, contents, settings)
    effort = _effort(pairs, settings) * work_per_second(rates)
    planned = cut_shards(pairs, durations, options.shard_audio_s, effort, rates)
    planned = with_fingerprints(planned, sounds, settings, weights.digest)
    return planned, look_up(files, output, planned.column("fingerprint"), planned.column("pair_id"))


def _read_again(failed: pa.Table, sounds: Catalogue, memo: Mapping[str, Sound], files: Storage) -> Catalogue:
    """Return the sounds, those of failed pairs as they are now, and not as they are remembered.

    A sound that was replaced by one of equal size and time looks unchanged, and its pairs fail when it is read: were it
    not read here, they would do so in every run.
    """
    contents, styles = (pc.unique(failed.column(side)).to_pylist() for side in SOUNDS)
    uris = {*contents, *(uri for style in styles for uri in sounds.clips_of(style))}
    remembered = [uri for uri in sorted(uris) if sounds.files[uri] is memo.get(uri)]
    return sounds.corrected(identify(remembered, {}, files)) if remembered else sounds


def _named(pairs: pa.Table, side: SoundOfPair) -> list[str]:
    """Return what the pairs call the sounds of one side, each once."""
    names: list[str] = pairs.column(side).combine_chunks().dictionary.to_pylist()
    return names


def _rates(pairs: pa.Table, sounds: Mapping[str, Sound], settings: Settings) -> NDArray[np.int32]:
    """Return the sampling rate at which each pair is computed, Hz, `[N]`."""
    return _of_contents(pairs, lambda uri: settings.at_rate_for(sounds[uri].sample_rate).analysis_rate).astype(np.int32)


def _of_contents(pairs: pa.Table, value: Callable[[str], float]) -> NDArray[Any]:
    """Return what is known of each pair's content, `[N]`; each content is asked for once."""
    contents = pairs.column("content").combine_chunks()
    return np.array([value(uri) for uri in contents.dictionary.to_pylist()])[contents.indices.to_numpy()]


def work_per_second(rates: ArrayLike) -> NDArray[np.float64]:
    """Return how much work a second at a sampling rate is: as many times as much as at the paper's as it has bins."""
    return np.asarray(rates, dtype=np.float64) / RATES[0]


def _effort(pairs: pa.Table, settings: Settings) -> NDArray[np.float64]:
    """Return how many times the usual evaluations each pair may take, `[N]`."""
    iterations = np.full(pairs.num_rows, settings.iterations, dtype=np.float64)
    if "iterations" in pairs.column_names:
        iterations = pairs.column("iterations").fill_null(settings.iterations).to_numpy().astype(np.float64)
    return (iterations + settings.full_evaluations - settings.iterations) / USUAL_EVALUATIONS


plan = task(name="plan", cache_policy=NO_CACHE)(plan_run)
